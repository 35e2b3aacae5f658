/*-------------------------------------------------------------------------
 *
 * generated_query.h
 *	  Queries on the rows of a table with a generated column: which are in
 *	  what state.
 *
 * Each row is in one state.  It is pending while an input for it, as it is, is
 * kept for a job; failed if that has failed; missing if it has all of its
 * arguments and no result; outdated if its result is from another version of
 * the function than the one that is asked for; else current.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_JOBS_GENERATED_QUERY_H
#define MODAL_JOBS_GENERATED_QUERY_H

#include "compat.h"

#include "jobs/store.h"
#include "jobs/trigger_spec.h"
#include "lib/stringinfo.h"
#include "utils/rel.h"

typedef enum GeneratedRows
{
	ROWS_MISSING,
	ROWS_FAILED,
	ROWS_OUTDATED,
	ROWS_ALL
} GeneratedRows;

typedef struct GeneratedColumn
{
	Relation rel;
	TriggerSpec spec;
	Job model;		/* of jobs for its rows, see trigger_job_model */
	List *jobs;		/* see column_jobs */
	bool collected;	/* triggers of this transaction may have inputs, too */
	int32 version;	/* that the reference asks for; 0: the live one */
} GeneratedColumn;

/* Rows as inputs: key columns, then arguments. */
extern char *generated_rows_query(const GeneratedColumn *column,
								  GeneratedRows which);
/* " FROM " and the table, as t: what has the declaration's trigger. */
extern void generated_append_table(StringInfo sql, Relation rel);
/* One row: how many rows there are, and how many in each state. */
extern char *generated_counts_query(const GeneratedColumn *column);

#endif /* MODAL_JOBS_GENERATED_QUERY_H */
