/*-------------------------------------------------------------------------
 *
 * sink_internal.h
 *	  What the parts of a sink share.
 *
 *	sink.c				set-up, and writing a batch to a user's table
 *	sink_rows.c			decoding results to rows of that table's types
 *	sink_sql.c			the text of the statements that write these
 *	sink_order.c		rows in the order of their keys
 *	sink_statement.c	preparing and running them
 *	sink_arrays.c		running them where a tuplestore cannot be read
 *	sink_replace.c		lists, which take the place of rows
 *	sink_refused.c		finding the rows that the table refuses
 *	sink_result.c		modal_batch.result
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_JOBS_SINK_INTERNAL_H
#define MODAL_JOBS_SINK_INTERNAL_H

#include "compat.h"

#include "core/map.h"
#include "jobs/sink.h"
#include "jobs/sink_target.h"
#include "nodes/bitmapset.h"
#include "utils/resowner.h"
#include "utils/tuplestore.h"

#define STORE_KB (32 * 1024) /* a batch in memory; more goes to a file */

/* Columns of modal_rows: these, then one for each column of the target. */
#define ROW_NUMBER 0	  /* position in the batch */
#define ROW_FINGERPRINT 1 /* of the values that were sent */
#define ROW_ERROR 2
#define ROW_FIRST 3

struct Sink
{
	MemoryContext cxt;
	MemoryContext batch_cxt; /* reset after each batch */
	ResourceOwner batch_owner; /* the transaction's: outlives subtransactions */
	const Job *job;
	const SinkSpec *spec; /* the job's */
	/* the rest for modes that have a table */
	SinkTarget *target;
	TupleDesc rows_desc;	 /* of modal_rows */
	ResultDecoder *keys;	 /* a row of the key columns */
	ResultDecoder *result;	 /* the result column, or a row of nspread */
	int nspread;
	AttrNumber *spread;
	int scalar_column;		 /* REPLACE: of spread, for elements that are neither
							  * maps nor lists; -1: none */
	int nrows;				 /* of the batch that is being written */
	Map statements;			 /* SinkStatement *, by what they write */
	bool refused_often;		 /* by the table, of late: see sink_refused.c */
	double time_up;			 /* see clock.h; HUGE_VAL: nothing is timed */
	bool timed_out;			 /* what has failed last */
	int nuntold;			 /* failures that the table did not take, of the batch */
	const ErrorData *untold; /* why, of the last of them */
};

/* Rows that fill the same columns. */
typedef struct RowGroup
{
	Bitmapset *columns;
	Tuplestorestate *store;
	int count;
	Bitmapset *inputs; /* of the first group of REPLACE, which has the keys:
						* those that were decoded to their end */
} RowGroup;

/* What a statement does with the rows of a group. */
typedef enum SinkAction
{
	ACTION_INSERT,
	ACTION_UPSERT,
	ACTION_UPDATE,		  /* returns the numbers of rows that were there */
	ACTION_UPDATE_ERRORS, /* the same, of failures */
	ACTION_INSERT_ERRORS,
	ACTION_UPSERT_ERRORS,
	ACTION_READ_CHECKS,	  /* returns numbers and the values of check columns */
	ACTION_FIND_REPLACED, /* returns numbers of those with a later one's key */
	ACTION_DELETE,		  /* all rows with these keys */
	ACTION_LOCK_SOURCE	  /* returns numbers of those whose source row still
						   * holds what was sent, and keeps it so */
} SinkAction;

/* --- sink.c --------------------------------------------------------------- */

/*
 * Is the target still what it was?  Else the errors of sink_target_get, or
 * 55000, after which the job goes on with the table as it is now.
 */
extern void sink_check_target(const Sink *sink);

/* --- sink_rows.c ---------------------------------------------------------- */

/*
 * Do something with each row from lo to before hi that has the wanted outcome,
 * in a subtransaction and a memory context of the row's own.  When it raises
 * an error, that row fails, and the rest is done after it.  Errors that pass by
 * themselves are raised.  When it returns false, that row and the rest are not
 * done: returns where.
 */
typedef bool (*SinkRowFunction)(Sink *sink, SinkRow *rows, int n, void *arg);
extern int sink_each_row(Sink *sink, SinkRow *rows, int lo, int hi,
						 SinkOutcome wanted, SinkRowFunction function,
						 void *arg);
extern void sink_fail_row(SinkRow *row, const ErrorData *edata);
/*
 * Decode rows into groups (RowGroup *), as sink_each_row does, up to *end:
 * there are not more than a few groups at a time.
 */
extern List *sink_decode(Sink *sink, SinkRow *rows, int lo, int hi,
						 SinkOutcome wanted, int *end);
extern void sink_free_groups(List *groups);
/* The keys, as many as the target has, from the input's meta data. */
extern void sink_decode_keys(Sink *sink, const SinkRow *row, Datum *keys,
							 bool *isnull);
/* The fingerprint and the key columns. */
extern void sink_decode_meta(Sink *sink, const SinkRow *row, Datum *values,
							 bool *isnull);
/* The group of these columns; NULL: there are too many. */
extern RowGroup *sink_get_group(Sink *sink, List **groups,
								const Bitmapset *columns);

/* --- sink_order.c --------------------------------------------------------- */

/* Are the rows of a batch put in the order of their keys before all else? */
extern bool sink_orders_rows(const Sink *sink);
/* Do so; when a row's keys cannot be read, they stay as they are. */
extern void sink_order_rows(Sink *sink, SinkRow *rows, int nrows);

/* --- sink_sql.c ----------------------------------------------------------- */

/*
 * INSERT: has the table a row, by a unique index, for each failure that is tried
 * again?  That row is updated.
 */
extern bool sink_updates_failures(const Sink *sink);
/* Do statements take the rows of modal_rows whose flag is set, and no others? */
extern bool sink_takes_flags(const Sink *sink);
/* Does the statement take its rows from arrays, its arguments? */
extern bool sink_reads_arrays(const Sink *sink, SinkAction action);
/*
 * The statement for rows that fill these columns.  Rows are in modal_rows, of
 * which those may be taken whose flag is set in its only argument, a bool[]; or the arguments are arrays: numbers, errors, rows of the target's
 * type and, unless it inserts, the values of the first key column.
 */
extern char *sink_statement_text(const Sink *sink, SinkAction action,
								 const Bitmapset *columns);
extern Oid sink_first_key_array(const Sink *sink);

/* --- sink_statement.c ----------------------------------------------------- */

/*
 * Do that with a group's rows; wanted NULL: with all of them, else with those
 * that have this flag.  Sets the flags of rows that it returns: there is one
 * for each row of the batch.
 */
extern void sink_run(Sink *sink, SinkAction action, const RowGroup *group,
					 const bool *wanted, bool *returned);
/*
 * Write a group's rows, or with errors their failures, as the mode is.  Of an
 * UPDATE, rows that were not there, or have changed, are not set in *applied.
 */
extern void sink_run_group(Sink *sink, const RowGroup *group, bool errors,
						   bool *applied);
/*
 * The owner's statement_timeout, which does nothing by itself in a background
 * worker, holds in between.
 */
extern void sink_begin_time(Sink *sink);
extern void sink_end_time(Sink *sink, bool failed);
/* More time than the owner gives it would not help. */
extern bool sink_error_is_passing(const Sink *sink, const ErrorData *edata);
/* Those that are deferred, by now; no more of them are then. */
extern void sink_check_constraints(void);
/* Prepare it if need be and run it, within SPI. */
extern void sink_execute(Sink *sink, SinkAction action,
						 const Bitmapset *columns, Datum *args);
extern void sink_init_statements(Sink *sink);
extern void sink_free_statements(Sink *sink);

/* --- sink_arrays.c -------------------------------------------------------- */

/* sink_run for such statements, some rows at a time; an upsert is an UPDATE and an INSERT where it has to be. */
extern void sink_run_arrays(Sink *sink, SinkAction action, const RowGroup *group,
							const bool *wanted, bool *returned);

/* --- sink_replace.c ------------------------------------------------------- */

/* A SinkRowFunction for results of mode REPLACE; arg: a List ** of groups. */
extern bool sink_decode_list(Sink *sink, SinkRow *rows, int n, void *groups);
/* Write groups that it made; sets the flags of inputs that have been applied. */
extern void sink_replace(Sink *sink, List *groups, bool *applied);

/* --- sink_refused.c ------------------------------------------------------- */

/*
 * Write the rows [lo, hi) that have this outcome.  SUCCEEDED: those that the table
 * refuses fail.  FAILED: it is told of the errors, of which it may refuse some.
 */
extern void sink_write_range(Sink *sink, SinkRow *rows, int lo, int hi,
							 SinkOutcome wanted, bool *applied);

/* --- sink_result.c -------------------------------------------------------- */

/* Failures of every job; of jobs without a table, all results. */
extern void sink_write_to_result(Sink *sink, SinkRow *rows, int nrows);

#endif /* MODAL_JOBS_SINK_INTERNAL_H */
