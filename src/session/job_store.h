/*-------------------------------------------------------------------------
 *
 * job_store.h
 *	  The tables of durable jobs: all SQL on modal_batch.job, chunk and
 *	  result is behind these functions (job_sql.c, job_requeue.c).
 *
 * Users have no right to write these tables, so every function here switches
 * to their owner and to a fixed search_path while its statement runs.  All
 * need a transaction with an active snapshot; none commits.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_SESSION_JOB_STORE_H
#define MODAL_SESSION_JOB_STORE_H

#include "compat.h"

#include "core/chunk.h"
#include "core/frame.h"
#include "datatype/timestamp.h"
#include "nodes/pg_list.h"
#include "utils/jsonb.h"

typedef enum JobState
{
	JOB_PENDING,	/* no runner has taken it yet */
	JOB_RUNNING,
	JOB_PAUSED,		/* by modal_pause */
	JOB_CANCELLING, /* by modal_cancel; the runner has not yet stopped it */
	JOB_COMPLETED,	/* every input has an outcome, good or bad */
	JOB_FAILED,		/* could not go on; modal_retry continues it */
	JOB_CANCELLED
} JobState;

typedef enum SinkMode
{
	SINK_RESULT, /* modal_batch.result */
	SINK_INSERT,
	SINK_UPSERT,
	SINK_UPDATE,
	SINK_DISCARD
} SinkMode;

/* Where results go; part of a job's row. */
typedef struct SinkSpec
{
	SinkMode mode;
	Oid into_table;		  /* INSERT, UPSERT, UPDATE */
	List *key_columns;	  /* char *; values are in each input's meta data */
	List *check_columns;  /* char *; UPDATE: values of these were sent, and a
						   * fingerprint of them begins the meta data */
	char *result_column;  /* NULL: results spread over columns */
	char *error_column;	  /* may be NULL */
	char *search_path;	  /* as it was when the job was made */
} SinkSpec;

typedef struct Job
{
	int64 id;
	Oid owner;
	char *function; /* "server:reference" */
	int32 version;	/* of the deployed app, once known; 0: not known */
	JobState state;
	int32 priority;
	PayloadFormat format;
	Jsonb *kwargs;			/* NULL: none */
	uint8 seed[16];			/* of the run's idempotency keys */
	char *remote_call_id;	/* NULL: no run has been started */
	bool terminate;			/* CANCELLING: stop containers too */
	int64 inputs;
	int64 run_offset;		/* outcomes there were when the run began */
	int64 submitted;		/* inputs of this run that the service holds */
	int64 succeeded, failed, stale;
	SinkSpec sink;
	char *on_complete;		/* NULL: none, or has been run */
	TimestampTz created_at;
	TimestampTz started_at; /* 0: not yet */
} Job;

#define job_settled(job) ((job)->succeeded + (job)->failed + (job)->stale)
#define job_run_inputs(job) ((job)->inputs - (job)->run_offset)

typedef struct JobChunk
{
	int64 first; /* index of its first input within the run */
	int32 count;
	bytea *inputs;
	bytea *done;	 /* NULL: nothing done */
	int64 *ordinals; /* NULL: ordinal = index */
} JobChunk;

/* What one write-back adds to the counters. */
typedef struct JobProgress
{
	int64 succeeded, failed, stale;
	int64 submitted; /* new value, not an increment */
} JobProgress;

extern const char *job_state_name(JobState state);
extern const char *sink_mode_name(SinkMode mode);
extern bool sink_mode_parse(const char *name, SinkMode *mode);

/* The table's OID; false when the extension is not installed here. */
extern bool job_store_exists(void);

/* --- made by sessions --------------------------------------------------- */

extern int64 job_store_next_id(void);
extern void job_store_insert(const Job *job);
extern void job_store_insert_chunk(int64 job, int64 first, int32 count,
								   const Buf *inputs, const int64 *ordinals);
/*
 * The job, if the current user may see it, else error 42704.  lock: FOR
 * UPDATE.  *own_change: its row was written by this very transaction.
 */
extern Job *job_store_get(int64 id, bool lock, bool *own_change);
/* State changes by users; the caller has locked the row. */
extern void job_store_set_state(int64 id, JobState state);
extern void job_store_cancel(int64 id, bool terminate);
extern void job_store_delete(int64 id);
/*
 * Begin a new run: every input without outcome, and with failed_too those
 * that failed, in new chunks and under a new seed.  Returns their number.
 */
extern int64 job_store_requeue(Job *job, bool failed_too);

/* --- used by the runner ------------------------------------------------- */

extern bool job_store_has_work(void);
/* Unfinished jobs that are not paused, best first; excluding active[]. */
extern List *job_store_candidates(const int64 *active, int nactive, int limit);
/* States of these jobs; a job that is gone counts as cancelled. */
extern void job_store_states(const int64 *ids, int n, JobState *states);
/* NULL when it is gone. */
extern Job *job_store_load(int64 id);
/* The first index of the run whose chunk is still there; 0 when none is. */
extern int64 job_store_first_chunk(int64 job);
/* Chunks of the run from that index on, in order, at most limit of them. */
extern List *job_store_chunks(int64 job, int64 index, int limit);
/* The four below return false when the job is no longer running. */
extern bool job_store_started(int64 id, const char *remote_call_id,
							  int32 version);
extern bool job_store_progress(int64 id, const JobProgress *progress);
extern bool job_store_finish(int64 id, JobState state, Jsonb *last_error);
extern bool job_store_note_error(int64 id, Jsonb *last_error);

extern void job_store_chunk_done(int64 job, int64 first, bytea *done);
extern void job_store_chunk_delete(int64 job, int64 first);
/* Store results in modal_batch.result: rows of job_store_result_desc(). */
struct Tuplestorestate;
extern TupleDesc job_store_result_desc(void);
extern void job_store_add_results(struct Tuplestorestate *rows, double count);
extern void job_store_set_on_complete_done(int64 id, Jsonb *last_error);
/* Drop finished jobs that are older than modal_batch.result_retention. */
extern int64 job_store_expire(int retention_s);

#endif /* MODAL_SESSION_JOB_STORE_H */
