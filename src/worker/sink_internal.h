/*-------------------------------------------------------------------------
 *
 * sink_internal.h
 *	  What the parts of a sink share.
 *
 *	sink.c				set-up, and writing a batch to a user's table
 *	sink_rows.c			decoding results to rows of that table's types
 *	sink_statement.c	the statements that write these
 *	sink_result.c		modal_batch.result
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_WORKER_SINK_INTERNAL_H
#define MODAL_WORKER_SINK_INTERNAL_H

#include "compat.h"

#include "nodes/bitmapset.h"
#include "session/sink_target.h"
#include "utils/resowner.h"
#include "utils/tuplestore.h"
#include "jobs/sink.h"

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
	int64 job;
	Oid owner;
	const SinkSpec *spec;
	/* the rest for modes that have a table */
	SinkTarget *target;
	TupleDesc rows_desc;	 /* of modal_rows */
	ResultDecoder *keys;	 /* a row of the key columns */
	ResultDecoder *result;	 /* the result column, or a row of nspread */
	int nspread;
	AttrNumber *spread;
	List *statements;		 /* SinkStatement *, in cxt */
};

/* Rows that fill the same columns. */
typedef struct RowGroup
{
	Bitmapset *columns;
	Tuplestorestate *store;
	int count;
} RowGroup;

/* --- sink_rows.c ---------------------------------------------------------- */

/*
 * Do something with each row from *next to before hi that has the wanted
 * outcome, in a subtransaction and a memory context of the row's own.  When it
 * raises an error, that row fails, and the rest is done after it.  Errors that
 * are transient are raised.
 */
typedef void (*SinkRowFunction)(Sink *sink, SinkRow *rows, int n, void *arg);
extern void sink_each_row(Sink *sink, SinkRow *rows, int lo, int hi,
						  SinkOutcome wanted, SinkRowFunction function,
						  void *arg);
extern void sink_fail_row(SinkRow *row, const ErrorData *edata);
/* Decode rows into groups (RowGroup *), as sink_each_row does. */
extern List *sink_decode(Sink *sink, SinkRow *rows, int lo, int hi,
						 SinkOutcome wanted);
extern void sink_free_groups(List *groups);

/* --- sink_statement.c ----------------------------------------------------- */

/*
 * Write a group's rows, or with errors their failures.  Of an UPDATE, rows
 * that it did not return are stale (in *applied, one flag for each row of the
 * batch, they stay false).
 */
extern void sink_run_statement(Sink *sink, const RowGroup *group, bool errors,
							   bool *applied);
extern void sink_free_statements(Sink *sink);

/* --- sink_result.c -------------------------------------------------------- */

/* Failures of every job; of jobs without a table, all results. */
extern void sink_write_to_result(Sink *sink, SinkRow *rows, int nrows);

#endif /* MODAL_WORKER_SINK_INTERNAL_H */
