/*-------------------------------------------------------------------------
 *
 * sql.h
 *	  The statements on the tables of durable jobs, and running them.
 *
 * For store.c and requeue.c, which say what the statements mean.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_JOBS_SQL_H
#define MODAL_JOBS_SQL_H

#include "compat.h"

#include "executor/spi.h"
#include "utils/jsonb.h"
#include "utils/queryenvironment.h"
#include "utils/snapshot.h"

typedef enum StatementId
{
	WITH_UNIQUE_KEY,
	LOAD_JOB,
	LOCK_JOB,
	LOOK_AT_JOB,
	SET_STATE,
	CANCEL_JOB,
	STOP_JOB,
	RETRY_JOB,
	DELETE_JOB,
	DELETE_CHUNKS,
	DELETE_RESULTS,
	DELETE_JOINED,
	NEW_RUN,
	FOLLOW_TABLES,
	REASSIGN,
	TAKE_OVER,
	PAUSE_OF_OTHERS,
	OF_OTHER_DATABASES,
	LOCK_OF_OTHER_DATABASE,
	IS_HERE,
	DISOWN,
	FAILED_RESULTS,
	GATHER_RESULTS,
	DELETE_FAILED,
	OWNERS,
	JOBS_OF,
	NOTE_WAITING,
	CANDIDATES,
	NEXT_RETRY,
	FIRST_UNFINISHED,
	STATES,
	IS_BEHIND_OTHERS,
	FIRST_CHUNK,
	LOAD_CHUNKS,
	START_JOB,
	PROGRESS,
	SUBMITTED,
	FINISH_JOB,
	NOTE_ERROR,
	NOTE_CALL_WAITS,
	SET_ASIDE,
	NOTE_CRASH,
	CHUNK_DONE,
	CHUNK_DELETE,
	ON_COMPLETE_DONE,
	HAS_EXPIRED,
	EXPIRED,
	EXPIRE_RESULTS,
	EXPIRE_CHUNKS,
	EXPIRE_JOINED,
	EXPIRE,
	COLUMN_JOBS,
	RENAME_COLUMN,
	JOIN_JOBS,
	JOINED_TO,
	EXPIRE_OF_TRIGGERS,
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
/* Is it a table of the extension's own? */
extern bool store_has_relation(Oid relid);

/*
 * Become the tables' owner, with a search_path of pg_catalog alone and the
 * planner's settings for these tables, and connect to SPI; undone by
 * store_leave, or by an abort.
 */
extern void store_enter(StoreScope *scope);
extern void store_leave(StoreScope *scope);

/*
 * Run a statement within a scope; its result is in SPI_tuptable.  args is an
 * array, with as many elements as the statement has arguments; nulls may be
 * NULL.
 */
extern uint64 store_run_n(StatementId id, int nargs, const Datum *args,
						  const char *nulls);
#define store_run(id, args, nulls) store_run_n(id, lengthof(args), args, nulls)
/* One without arguments. */
#define store_run_plain(id) store_run_n(id, 0, NULL, NULL)
/* Run a statement that reads those rows as a table, within a scope. */
extern void store_run_with_rows(const char *sql, EphemeralNamedRelation rows);
/* A statement whose result is its row count, in a scope of its own. */
extern uint64 store_run_alone_n(StatementId id, int nargs, const Datum *args,
								const char *nulls);
#define store_run_alone(id, args, nulls) \
	store_run_alone_n(id, lengthof(args), args, nulls)

/*
 * Inputs of generated columns are read as that snapshot sees them, until this
 * is undone with NULL.
 */
extern void store_read_as(Snapshot snapshot);
/* Is such a statement being run just now, or a row written without one? */
extern bool store_is_writing(void);
extern void store_set_writing(bool on);

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

#endif /* MODAL_JOBS_SQL_H */
