/*-------------------------------------------------------------------------
 *
 * query_rows.h
 *	  The rows of a query as inputs: modal_map and modal_spawn_map.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_FUNCTIONS_QUERY_ROWS_H
#define MODAL_FUNCTIONS_QUERY_ROWS_H

#include "compat.h"

#include "access/tupdesc.h"
#include "nodes/pg_list.h"
#include "utils/array.h"
#include "values/input_encoder.h"

typedef struct QueryRows
{
	const char *query;
	List *key;		/* names of columns (char *), see query_rows_columns */
	bool may_write; /* else it must be a SELECT that changes and locks nothing */
	void *arg;
	/* Called once, before the first row, in the context of query_rows_run. */
	void (*start) (void *arg, TupleDesc desc, const InputColumns *columns);
	void (*row) (void *arg, const Datum *values, const bool *nulls);
	/* Asked after each row: are more wanted now?  NULL: yes */
	bool (*more) (void *arg);
} QueryRows;

/*
 * Runs the query, with the current user's rights and the active snapshot.
 * Errors: 22023, 34000 or 42P11 a statement that will not do; 42703.
 */
extern void query_rows_run(const QueryRows *rows);

/*
 * The same bit by bit, as rows are wanted; not for queries that may write.
 * Lives in the current memory context, in which it is also read and closed;
 * where an error ends the reader, there is nothing to close.
 */
typedef struct QueryRun QueryRun;

extern QueryRun *query_rows_open(const QueryRows *rows);
/* At most so many rows; false after the last one. */
extern bool query_rows_fetch(QueryRun *run, uint64 count);
extern void query_rows_close(QueryRun *run);

/* Argument "key": an array of text.  Errors: 22004, 42701. */
extern List *query_rows_key(ArrayType *names);

/*
 * Which columns are the key, in its order, and which are arguments: all
 * others, also a second one of the same name, so that a key can be sent, too.
 * Fills args and keys of *columns, which is all zero.  Error: 42703.
 */
extern void query_rows_columns(TupleDesc desc, List *key,
							   InputColumns *columns);

#endif /* MODAL_FUNCTIONS_QUERY_ROWS_H */
