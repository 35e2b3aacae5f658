/*-------------------------------------------------------------------------
 *
 * trigger_rows.h
 *	  Triggers whose results are rows of another table (trigger_spec.h): for
 *	  each row of the source, the list that the function makes of it.
 *
 * A job in mode REPLACE writes them, if the source's row still holds what was
 * sent, which it locks (sink_replace.c).  What does not need the function is done in
 * the transaction that changes the source: rows whose source row has gone, or
 * got another key, go with it.  So they do where the transaction has an older
 * snapshot than the job: what it does not see is an error then, as with foreign
 * keys.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_JOBS_TRIGGER_ROWS_H
#define MODAL_JOBS_TRIGGER_ROWS_H

#include "compat.h"

#include "executor/spi.h"
#include "jobs/sink_target.h"
#include "jobs/trigger_spec.h"
#include "utils/rel.h"

/* The other table; error 42P01. */
extern Oid trigger_rows_target(const TriggerSpec *spec);
/* Errors, when it does not fit the source or the other table. */
extern void trigger_rows_check(Relation source, const TriggerSpec *spec);
/*
 * Errors, when keys that differ in the source could be equal in the other table,
 * or one of its columns stands for two.  Asked of new declarations only.
 */
extern void trigger_rows_check_keys(Relation source, Relation target,
									const TriggerSpec *spec);
/*
 * Fill in owner, sink, kwargs and priority of a job for rows of the source.
 * Errors: 55000 it has no primary key; those of sink_target_get.
 */
extern SinkTarget *trigger_rows_model(Job *job, Oid source, Oid target,
									  const TriggerSpec *spec);
/*
 * Delete the rows with this key, as the owner of the job, with that path.  The
 * statement is kept in *plan, which is NULL at first, until trigger_clear_forget.
 */
extern void trigger_rows_delete(SPIPlanPtr *plan, const Job *job, const char *path,
								const SinkTarget *target, Datum *key);

#endif /* MODAL_JOBS_TRIGGER_ROWS_H */
