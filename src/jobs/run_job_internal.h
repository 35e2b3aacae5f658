/*-------------------------------------------------------------------------
 *
 * run_job_internal.h
 *	  What the parts of run_job share: its state, and who does what.
 *
 *	run_job.c			life, opening, steps, and what follows when the remote
 *						call has ended
 *	run_job_inputs.c	sending
 *	run_job_outputs.c	collecting and writing back
 *	run_job_parts.c		finding the results that keep others from being written
 *	run_job_order.c		which inputs have to wait for others
 *	run_job_end.c		the end of the job
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_JOBS_RUN_JOB_INTERNAL_H
#define MODAL_JOBS_RUN_JOB_INTERNAL_H

#include "compat.h"

#include "jobs/chunks.h"
#include "jobs/run_job.h"
#include "jobs/sink.h"
#include "link/remote_call.h"

#define BATCH_ROWS 5000
#define BACKGROUND_BATCH_ROWS 500 /* others wait while they are written */
#define HELD_BATCH_ROWS 64		  /* and there are others */
#define BATCH_BYTES ((Size) 8 * 1024 * 1024)

/*
 * A result that waits to be written, as it came: its text is converted when it
 * is written, for that needs a transaction.
 */
typedef struct BatchItem
{
	RunChunk *chunk;
	int i;			 /* within the chunk */
	FrameOutput out; /* its slices are one after the other at offset, in the
					  * order of output_slices */
	Size offset;	 /* in the batch's data */
	/* while it is written in parts */
	const ErrorData *refused; /* it cannot be written, not even alone */
	int written_before;		  /* results, when that was seen */
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
	MemoryContext row_cxt; /* of job, if that was loaded anew; or NULL */
	bool done;			 /* nothing more to do here */
	bool ended;			 /* nor anywhere else */
	bool call_done;		 /* the remote call has ended */
	bool cancelling;	 /* "call" asks the service to cancel it */
	bool bulk;			 /* a run is one remote call, which begins when its inputs
						  * are there, and takes no more (http/bulk.h) */
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
	struct JobOrder *order; /* NULL: inputs are sent in no order */
	/* results that wait */
	Buf data;
	BatchItem *items;
	int nitems, max_items;
	double batch_since;
	bool unwritten; /* the error of the step is that they are not */
	bool rewrites;	/* they are kept, to be tried again with a new sink */
	/* trouble */
	double retry_at; /* 0: now */
	double last_news; /* of the remote call */
	int empty_runs;
	double deadline; /* HUGE_VAL: none */
};

/* --- run_job.c ------------------------------------------------------------ */

/* Let go of the remote call; flags as of remote_call_close. */
extern void run_job_close_call(RunJob *rj, int flags);
/*
 * It was cancelled or paused meanwhile: its row says what is to be done.
 */
extern void run_job_stand_still(RunJob *rj);
/*
 * Read its row anew, in a transaction, in which the columns that it names keep
 * their names: one that was renamed while the row was read would not be found,
 * or be another one.  False: the job is no longer to run as it did.
 */
extern bool run_job_read_row(RunJob *rj);

/* --- run_job_inputs.c ----------------------------------------------------- */

/* Is it one that others are not to wait for, while there are others? */
extern bool run_job_stands_back(const RunJob *rj);
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
extern long run_job_batch_due(const RunJob *rj, bool more);
/*
 * Write the batch: results, bits and counters in one transaction; and the end
 * of the job, if this was the last of it.
 */
extern void run_job_write_back(RunJob *rj);
/*
 * Write items [lo, lo + n) of it in a transaction, and forget them; the call is
 * closed if nothing is left to do.  Or returns the error with which that was
 * aborted, at its commit or before.
 */
extern ErrorData *run_job_write_part(RunJob *rj, int lo, int n,
									 bool *at_commit);

/* --- run_job_parts.c ------------------------------------------------------ */

/* Is that how a batch is to be written which has met this error? */
extern bool run_job_writes_parts(const RunJob *rj, const ErrorData *edata,
								 bool at_commit);
/*
 * Write what can be written, each part in a transaction of its own; results that
 * cannot, while others can, fail.  Returns an error when it is no result's, and the
 * rest of the batch has to wait; else it is written, or goes on in the next step.
 */
extern ErrorData *run_job_write_parts(RunJob *rj, ErrorData *edata);

/* --- run_job_order.c ------------------------------------------------------ */

extern void run_job_order_begin(RunJob *rj);
/*
 * May that input be sent?  Then it is on its way.  Else one before it, of the
 * same key, has no outcome yet that is written.
 */
extern bool run_job_order_take(RunJob *rj, const ChunkRecord *rec);
/* Is there one that waits so? */
extern bool run_job_order_waits(const RunJob *rj);
/* Its outcome is written. */
extern void run_job_order_written(RunJob *rj, const ChunkRecord *rec);

/* --- run_job_end.c -------------------------------------------------------- */

/*
 * Record the end within the caller's transaction; error may be NULL.  False
 * when the row's state does not allow it: the job was cancelled, paused or
 * ended meanwhile.  After the commit, run_job_ended says so to the log and to
 * those who wait.
 */
extern bool run_job_finish(RunJob *rj, JobState state, const ErrorData *error,
						   JobEnd *end);
extern void run_job_ended(RunJob *rj, const JobEnd *end);
/* Both, in a transaction of its own. */
extern void run_job_end(RunJob *rj, JobState state, const ErrorData *error);
/*
 * The service asks to wait, or is waited for, in the middle of the call: say so
 * in its row, and to who waits for it.
 */
extern void run_job_note_waiting(RunJob *rj);
/*
 * A limit was reached: what is under way is cancelled, and then the job ends as
 * failed.  Within the caller's transaction; false as above.  After the commit,
 * run_job_stopped.
 */
extern bool run_job_stop(RunJob *rj, const ErrorData *error);
extern void run_job_stopped(RunJob *rj, const ErrorData *error);

#endif /* MODAL_JOBS_RUN_JOB_INTERNAL_H */
