/*-------------------------------------------------------------------------
 *
 * store.h
 *	  The tables of durable jobs: all SQL on modal_batch.job, chunk and
 *	  result is behind these functions (sql.c, store_insert.c, requeue.c).
 *
 * Users have no right to write these tables, so every function here switches
 * to their owner and to a fixed search_path while its statement runs, if it has
 * one.  All need a transaction with an active snapshot; none commits.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_JOBS_STORE_H
#define MODAL_JOBS_STORE_H

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
	SINK_DISCARD,
	SINK_REPLACE /* a list's elements become the rows with that key */
} SinkMode;

/* Where results go; part of a job's row. */
typedef struct SinkSpec
{
	SinkMode mode;
	Oid into_table;		  /* INSERT, UPSERT, UPDATE, REPLACE */
	List *key_columns;	  /* char *; values are in each input's meta data */
	List *key_names;	  /* by these names; NIL: those of the columns */
	List *check_columns;  /* char *; UPDATE: values of these were sent, and a
						   * fingerprint of them begins the meta data */
	char *result_column;  /* NULL: results spread over columns */
	char *error_column;	  /* may be NULL */
	char *ordinality_column; /* REPLACE: numbers the rows; may be NULL */
	Oid source_table; /* REPLACE: the keys are those of its primary key, and the
					   * check columns its own; of a webhook: the table that it
					   * tells of; InvalidOid: there is none */
	char *version_column; /* UPDATE: takes the job's version; may be NULL */
	bool retried;		  /* the table may have been told of its failures before */
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
	int64 run_inputs;		/* of the present run, each of which is sent; of a
							 * new job, 0: all */
	int64 run_done;			/* those of them that have their outcome */
	int64 submitted;		/* inputs of this run that the service holds */
	int64 succeeded, failed, stale;
	SinkSpec sink;
	bool by_trigger;		/* its owner is that of the table */
	char *on_complete;		/* NULL: none, or has been run */
	char *search_path;		/* of all that runs as the owner; NULL: the one of
							 * the owner's own sessions */
	TimestampTz created_at;
	TimestampTz started_at; /* 0: not yet */
	int32 tries;			/* in vain, in a row */
	const char *waits_for;	/* the error after which it is tried again; NULL: none */
	bool backfill;			/* of rows that were there before the trigger */
	/* limits: see limits.h */
	char *unique_key;		/* NULL: none */
	TimestampTz start_at;	/* 0: at once */
	TimestampTz deadline;	/* 0: none */
	int64 max_failures;		/* -1: not said */
	int64 failed_before;	/* when it was begun, or last tried again */
	int64 settled_before;	/* the same, of all outcomes */
	bool stopped;			/* its remote call has been cancelled for a limit, or
							 * is to be */
	int32 max_in_flight;	/* 0: not said */
	Jsonb *last_error;		/* of a failed input, or of the job; NULL: none */
	bool distinct;			/* equal arguments are one input: see distinct.h */
	uint64 order_stripes;	/* of its keys: see webhook.h; 0: in no order */
} Job;

#define job_settled(job) ((job)->succeeded + (job)->failed + (job)->stale)

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
	Jsonb *failure;	 /* of the last of these failed; NULL: there is none */
	int64 run_done;	 /* inputs; the outcomes above are those of rows */
	double remote_ms;
	double usage;
	bool answered;	 /* by the service: what was waited for is over */
} JobProgress;

/* What an ended job's row says. */
typedef struct JobEnd
{
	JobState state;
	int64 inputs, succeeded, failed, stale;
	Jsonb *last_error; /* NULL: none */
} JobEnd;

extern const char *job_state_name(JobState state);
extern const char *sink_mode_name(SinkMode mode);
extern const char *payload_format_name(PayloadFormat format);
extern bool sink_mode_parse(const char *name, SinkMode *mode);

/* The table's OID; false when the extension is not installed here. */
extern bool job_store_exists(void);

/* --- made by sessions --------------------------------------------------- */

extern int64 job_store_next_id(void);
extern void job_store_insert(const Job *job);
/* The owner's unfinished job with that key, as it is now; 0: none. */
extern int64 job_store_with_unique_key(Oid owner, const char *key);
extern void job_store_insert_chunk(int64 job, int64 first, int32 count,
								   const Buf *inputs, const int64 *ordinals);
/*
 * The job, if the current user may see it, else error 42704.  lock: FOR
 * UPDATE.  *own_change: its row was written by this very transaction.
 */
extern Job *job_store_get(int64 id, bool lock, bool *own_change);
/* The same as it is now, whatever snapshot the transaction has. */
extern Job *job_store_look(int64 id, bool *own_change);
/* Do older ones come before it, as it is now?  See webhook.h. */
extern bool job_store_is_behind_others(const Job *job);
/* State changes by users; the caller has locked the row. */
extern void job_store_set_state(int64 id, JobState state);
extern void job_store_cancel(int64 id, bool terminate);
extern void job_store_delete(int64 id);
/* Is a failed input of it kept, with that code, if it is not NULL? */
extern bool job_store_has_failure(int64 id, const char *code);
/* What limits counted begins anew, and the deadline is no more. */
extern void job_store_retry(int64 id);
/*
 * Begin a new run: every input without outcome, and with failed_too those
 * that failed, or of them those with that code, if it is not NULL; in new
 * chunks and under a new seed.  Returns their number.
 */
extern int64 job_store_requeue(Job *job, bool failed_too, const char *code);

/* A column has got another name: jobs of triggers that write to the table. */
extern void job_store_rename_column(Oid table, const char *old_name,
									const char *new_name);

/* Unfinished jobs that would run if this were their database: see home.h. */
extern List *job_store_of_other_databases(void);
/* One of them, locked; NULL: it is none any more. */
extern Job *job_store_lock_of_other_database(int64 id);
/* Is it there now, whatever snapshot the transaction has? */
extern bool job_store_is_there(int64 id);

/* --- used by the runner ------------------------------------------------- */

/*
 * A job is the runner's while it belongs to the role whose session that is.  It
 * may get another owner at any time; then it is gone.
 */


/* Whose jobs there are that are unfinished and not paused. */
extern List *job_store_owners(void);
/*
 * Those of an owner, from that one on, that need not wait any more then, best first,
 * excluding active[].  Without a session of its own the owner cannot have jobs from when
 * it could log in.
 */
extern List *job_store_candidates(Oid owner, bool own_session, int64 from,
								  TimestampTz then, const int64 *active,
								  int nactive, int limit);
/*
 * Join those of triggers that are of one row and alike, of the same candidates,
 * so that they are run together; false when there were none.
 */
extern bool job_store_join(Oid owner, bool own_session, int64 from,
						   const int64 *active, int nactive, int limit);
/*
 * In how many seconds, from now, the next of those that still had to wait then
 * need not any more; -1: there is none.
 */
extern double job_store_next_retry(Oid owner, bool own_session, int64 from,
								   TimestampTz then);
/* The owner's first job, from that one on, that has not ended; INT64_MAX: there
 * is none. */
extern int64 job_store_first_unfinished(Oid owner, int64 from);
/* End jobs whose owner is gone, or some of them; returns how many. */
extern int64 job_store_end_orphans(Oid owner, Jsonb *error);
/* Say why jobs of the owner wait: all, or those that need its login. */
extern void job_store_note_waiting(Oid owner, bool only_login, Jsonb *error);
/* States of these jobs; one that is gone counts as cancelled. */
extern void job_store_states(const int64 *ids, int n, JobState *states);
/* Whosever it is; NULL: there is no such job. */
extern Job *job_store_load(int64 id);
/* Has the present transaction made its row what it is? */
extern bool job_store_is_own_change(int64 id);
/* Locked; NULL when it is gone. */
extern Job *job_store_lock_own(int64 id);
/* The first index of the run whose chunk is still there; 0 when none is. */
extern int64 job_store_first_chunk(int64 job);
/* Chunks of the run from that index on, in order, at most limit of them. */
extern List *job_store_chunks(int64 job, int64 index, int limit);
/* The five below return false when the job is no longer running, or gone. */
extern bool job_store_started(const Job *job);
/* In any state: as long as it is there. */
extern bool job_store_progress(int64 id, const JobProgress *progress,
							   bool any_state);
/*
 * A job that was stopped ends as failed instead of cancelled.  Whoever listens
 * is told; *end may be NULL.
 */
extern bool job_store_finish(int64 id, JobState state, Jsonb *last_error,
							 JobEnd *end);
/* Cancel its remote call, and then let it end as failed for that reason. */
extern bool job_store_stop(int64 id, Jsonb *reason);
/* Something stands in the way: not to be tried before that. */
extern bool job_store_note_error(int64 id, Jsonb *last_error, double retry_in_s);
/* It waits in the middle of a call, which goes on by itself. */
extern void job_store_note_call_waits(int64 id, Jsonb *error);
/* Nothing happens to it at present: it need not be looked at before that. */
extern void job_store_set_aside(int64 id, double seconds);
/* The runner has crashed with it; returns how often, without progress. */
extern int job_store_note_crash(int64 id, Oid owner);

extern void job_store_chunk_done(int64 job, int64 first, bytea *done);
extern void job_store_chunk_delete(int64 job, int64 first);
/* Store results in modal_batch.result: rows of job_store_result_desc(). */
struct Tuplestorestate;
extern TupleDesc job_store_result_desc(void);
extern void job_store_add_results(struct Tuplestorestate *rows, double count);
extern void job_store_set_on_complete_done(int64 id, Jsonb *last_error);

/* --- used by the scout -------------------------------------------------- */

/*
 * Drop finished jobs, whosever they are, that are older than
 * modal_batch.result_retention: a part of what there is, so that the transaction
 * is short; a job goes after all that it has.  True when there may be more;
 * *jobs counts them.  Negative: none.
 */
extern bool job_store_expire(int retention_s, int64 *jobs);
/* And those of triggers that succeeded, after another time; they stay counted. */
extern bool job_store_expire_of_triggers(int retention_s);
/* Is there anything for these two? */
extern bool job_store_has_expired(int retention_s, int trigger_retention_s);

#endif /* MODAL_JOBS_STORE_H */
