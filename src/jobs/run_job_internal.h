/*-------------------------------------------------------------------------
 *
 * run_job_internal.h
 *	  What the parts of run_job share: its state, and who does what.
 *
 *	run_job.c			life, opening, steps, and what follows when the remote
 *						call has ended
 *	run_job_inputs.c	sending
 *	run_job_outputs.c	collecting and writing back
 *	run_job_end.c		the end of the job
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_WORKER_RUN_JOB_INTERNAL_H
#define MODAL_WORKER_RUN_JOB_INTERNAL_H

#include "compat.h"

#include "core/backoff.h"
#include "link/remote_call.h"
#include "jobs/chunks.h"
#include "jobs/run_job.h"
#include "jobs/sink.h"

#define BATCH_ROWS 5000
#define BATCH_BYTES ((Size) 8 * 1024 * 1024)

#define MAX_WEIGHT 8
#define MAX_EMPTY_RUNS 3	 /* runs without any result, before it fails */

/* A result that waits to be written. */
typedef struct BatchItem
{
	RunChunk *chunk;
	int i; /* within the chunk */
	bool ok;
	PayloadFormat format;
	int attempts;
	double started_at, finished_at;
	Size offset, len; /* in the batch's data */
	Jsonb *error;	  /* in batch_cxt */
} BatchItem;

/* Inputs [first, end) that were sent and not yet acknowledged. */
typedef struct SentRange
{
	int64 first, end;
	Size bytes;
} SentRange;

struct RunJob
{
	MemoryContext cxt;
	Job *job;
	bool done;			 /* nothing more to do here */
	bool call_done;		 /* the remote call has ended */
	bool cancelling;	 /* "call" asks the service to cancel it */
	/* times are those of clock.h */
	/* one remote call; all of this is reset when it is closed */
	MemoryContext call_cxt;
	RemoteCall *call;	 /* NULL: not open */
	Sink *sink;
	bool started;		 /* its id is stored: inputs may be sent */
	bool finished;		 /* all inputs have been sent */
	int64 first_unsettled; /* all inputs before it have their outcome */
	int64 next_index;
	int64 run_inputs;
	List *sent;			 /* SentRange *, ascending */
	Size unacknowledged; /* bytes of these */
	int64 stored_submitted;
	double submitted_since; /* last time it was stored */
	int64 settled_at_open;
	JobChunks chunks;
	/* results that wait */
	MemoryContext batch_cxt;
	Buf data;
	BatchItem *items;
	int nitems;
	double batch_since;
	/* trouble */
	Backoff backoff;
	double retry_at; /* 0: now, infinity: not by itself */
	int empty_runs;
};

/* --- run_job.c ------------------------------------------------------------ */

/* Let go of the remote call; flags as of remote_call_close. */
extern void run_job_close_call(RunJob *rj, int flags);
/*
 * It was cancelled or paused meanwhile, which we shall be told: do nothing
 * until then.
 */
extern void run_job_stand_still(RunJob *rj);
/* Open the call again after a while. */
extern void run_job_back_off(RunJob *rj);

/* --- run_job_inputs.c ----------------------------------------------------- */

/* Send up to quantum inputs; true when there is room for more. */
extern bool run_job_feed(RunJob *rj, int quantum);
/* The service has acknowledged the inputs [first, end). */
extern void run_job_accepted(RunJob *rj, int64 first, int64 end);
/* All inputs below it are held by the service, or have their outcome. */
extern int64 run_job_submitted(const RunJob *rj);

/* --- run_job_outputs.c ---------------------------------------------------- */

/* Take up to quantum outputs; true when there may be more at once. */
extern bool run_job_collect(RunJob *rj, int quantum);
/* When is the batch to be written?  0: now; -1: there is nothing to write. */
extern long run_job_batch_due(const RunJob *rj);
/*
 * Write the batch: results, bits and counters in one transaction; and the end
 * of the job, if this was the last of it.
 */
extern void run_job_write_back(RunJob *rj);

/* --- run_job_end.c -------------------------------------------------------- */

/*
 * Record the end within the caller's transaction.  False when the row's state
 * does not allow it: the job was cancelled, paused or ended meanwhile.  After
 * the commit, run_job_ended says so to the log and to those who wait.
 */
extern bool run_job_finish(RunJob *rj, JobState state, Jsonb *error);
extern void run_job_ended(RunJob *rj, JobState state, const char *message);
/* Both, in a transaction of its own. */
extern void run_job_end(RunJob *rj, JobState state, Jsonb *error,
						const char *message);

#endif /* MODAL_WORKER_RUN_JOB_INTERNAL_H */
