/*-------------------------------------------------------------------------
 *
 * trigger_check.h
 *	  What a trigger that calls modal_trigger() must be like.
 *
 * Checked when the trigger is made, in whatever way, so that a mistake is told
 * to whoever makes it and not to those who write to the table later; and again
 * when it fires first in a transaction, because tables change.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_JOBS_TRIGGER_CHECK_H
#define MODAL_JOBS_TRIGGER_CHECK_H

#include "compat.h"

#include "endpoint/endpoint.h"
#include "jobs/trigger_spec.h"
#include "utils/rel.h"

/*
 * SQLSTATE 39P01 unless the trigger is fired AFTER INSERT OR UPDATE, by rows;
 * for rows of another table after DELETE, too.
 */
extern void trigger_check_type(int16 tgtype, const TriggerSpec *spec);
/* 22023, 42703, 42804 or 428C9 unless it fits the columns of rel. */
extern void trigger_check_argument(Relation rel, const char *name);
extern void trigger_check_spec(Relation rel, const TriggerSpec *spec);
/* The columns, and those that generated ones among them are calculated from. */
extern List *trigger_columns_read(Relation rel, List *names);

/*
 * 22023 unless the function's server is one for such triggers: those with
 * format webhook take webhooks, and nothing else.
 */
extern void trigger_check_server(const TriggerSpec *spec,
								 const Endpoint *endpoint);

/*
 * Watch for triggers being made; from _PG_init.  On the tables of jobs, 42501 for
 * whoever is no superuser.
 */
extern void modal_trigger_check_init(void);

#endif /* MODAL_JOBS_TRIGGER_CHECK_H */
