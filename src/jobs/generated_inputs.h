/*-------------------------------------------------------------------------
 *
 * generated_inputs.h
 *	  Inputs of jobs that write to a column: which rows of the table they are
 *	  for, and whether these are still to come or have failed.  Those that
 *	  this transaction's triggers have collected are to come, too.
 *
 * A row and an input that is kept for it know each other by a hash of the key
 * and of the arguments' fingerprint: modal_batch.input_identity() gives that of
 * a row, modal_batch.column_inputs() those of the inputs.  A row that has
 * changed since has another one.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_JOBS_GENERATED_INPUTS_H
#define MODAL_JOBS_GENERATED_INPUTS_H

#include "compat.h"

#include "nodes/pg_list.h"

/*
 * A job whose inputs, or failures, are kept.  It has not been locked, and may be
 * gone when something is done to it.
 */
typedef struct ColumnJob
{
	int64 id;
	Oid owner;
	bool ended;	 /* nothing is added to its failures */
	bool failed; /* as a whole: what has no outcome will have none */
} ColumnJob;

/* Of jobs that update this column (ColumnJob *), as the active snapshot has them. */
extern List *column_jobs(Oid table, const char *column);
/* Forget what has failed in those that have ended: it is tried again. */
extern void column_jobs_forget_failures(List *jobs);

#endif /* MODAL_JOBS_GENERATED_INPUTS_H */
