/*-------------------------------------------------------------------------
 *
 * generated.h
 *	  What declarations of generated columns and of generated rows share.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_JOBS_GENERATED_H
#define MODAL_JOBS_GENERATED_H

#include "compat.h"

#include "fmgr.h"
#include "jobs/store.h"
#include "jobs/trigger_spec.h"
#include "utils/array.h"
#include "utils/rel.h"

/* Error 22004. */
extern void generated_need_argument(FunctionCallInfo fcinfo, int n,
									const char *name);
/* The table that an argument names, locked, of which the user must be the owner. */
extern Relation generated_open_table(FunctionCallInfo fcinfo, int n,
									 const char *name, LOCKMODE lock);
/* An array of names; errors 22004, 22023. */
extern List *generated_read_names(ArrayType *array, const char *argument);
/* NULL: none, or no members; error 22023. */
extern Jsonb *generated_read_kwargs(FunctionCallInfo fcinfo, int n);
/* Qualified and quoted. */
extern char *generated_qualified_name(Relation rel);
/* A name that no trigger of the relation has. */
extern char *generated_trigger_name(Relation rel, const char *label);
/* Make the trigger that is the declaration; schema is that of modal_trigger(). */
extern void generated_create_trigger(Relation rel, const char *label,
									 const TriggerSpec *spec, Oid schema);
extern void generated_run_utility(const char *sql);
/* 22023 if, with what is declared already, it would go on for ever. */
extern void generated_check_circle(Relation rel, const TriggerSpec *spec);
extern void generated_check_rows_circle(Relation source, Relation target);
/*
 * A job, as the model is, for rows of a query, as the active snapshot has them,
 * seen as the model's owner.  It gives way to those of the trigger, for which somebody
 * may be waiting.
 */
extern int64 generated_start_job(const char *function, Job *model,
								 const char *query);

#endif /* MODAL_JOBS_GENERATED_H */
