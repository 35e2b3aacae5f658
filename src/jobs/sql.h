/*-------------------------------------------------------------------------
 *
 * job_sql.h
 *	  The statements on the tables of durable jobs, and running them.
 *
 * For job_store.c and job_requeue.c, which say what the statements mean.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_SESSION_JOB_SQL_H
#define MODAL_SESSION_JOB_SQL_H

#include "compat.h"

#include "executor/spi.h"
#include "utils/jsonb.h"

typedef enum StatementId
{
	INSERT_JOB,
	INSERT_CHUNK,
	LOAD_JOB,
	LOCK_JOB,
	SET_STATE,
	CANCEL_JOB,
	DELETE_JOB,
	DELETE_CHUNKS,
	DELETE_RESULTS,
	NEW_RUN,
	FAILED_RESULTS,
	DELETE_FAILED,
	HAS_WORK,
	CANDIDATES,
	STATES,
	FIRST_CHUNK,
	LOAD_CHUNKS,
	START_JOB,
	PROGRESS,
	FINISH_JOB,
	NOTE_ERROR,
	CHUNK_DONE,
	CHUNK_DELETE,
	ON_COMPLETE_DONE,
	EXPIRE,
	NSTATEMENTS
} StatementId;

/* What store_enter changed. */
typedef struct StoreScope
{
	MemoryContext cxt; /* the caller's */
	Oid userid;
	int sec_context;
	int guc_level;
} StoreScope;

/* The OID of one of our tables or sequences, or InvalidOid. */
extern Oid store_relation(const char *name);

/*
 * Become the tables' owner, with a search_path of pg_catalog alone and the
 * planner's settings for these tables, and connect to SPI; undone by
 * store_leave, or by an abort.
 */
extern void store_enter(StoreScope *scope);
extern void store_leave(StoreScope *scope);

/* Run a statement within a scope; its result is in SPI_tuptable. */
extern uint64 store_run(StatementId id, Datum *args, const char *nulls);
/* A statement whose result is its row count, in a scope of its own. */
extern uint64 store_run_alone(StatementId id, Datum *args, const char *nulls);

/* --- arguments ------------------------------------------------------------ */

extern Datum text_or_null(const char *s, char *null);
extern Datum text_array(List *names);
extern Datum int8_array(const int64 *values, int n);

/* --- results -------------------------------------------------------------- */

/* One row of SPI_tuptable, read column by column from the left. */
typedef struct RowReader
{
	HeapTuple tuple;
	TupleDesc desc;
	int column;
} RowReader;

/* For columns that are NOT NULL, or for which NULL is 0. */
extern Datum next_value(RowReader *row);
/* These are copies, NULL for NULL. */
extern char *next_text(RowReader *row);
extern Jsonb *next_jsonb(RowReader *row);
extern List *text_array_to_list(Datum array);
/* n is how many there must be. */
extern int64 *int8_array_values(Datum array, int n);

#endif /* MODAL_SESSION_JOB_SQL_H */
