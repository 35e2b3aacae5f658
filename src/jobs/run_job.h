/*-------------------------------------------------------------------------
 *
 * run_job.h
 *	  One job in the hands of its runner.
 *
 * A job is moved on in small steps, none of which waits for the network, so
 * that many jobs share the runner.  No transaction is open between steps.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_JOBS_RUN_JOB_H
#define MODAL_JOBS_RUN_JOB_H

#include "compat.h"

#include "jobs/store.h"

typedef struct RunJob RunJob;

/* Takes the job, which was loaded in the new context *cxt. */
extern RunJob *run_job_create(MemoryContext cxt, Job *job);
extern int64 run_job_id(const RunJob *rj);
extern int32 run_job_priority(const RunJob *rj);
/*
 * One step.  True when there is more to do at once; else *wait_ms is set to
 * when the next step is due, if nothing arrives earlier (-1: no limit).
 * Errors are of this job alone; hand them to run_job_error.
 */
extern bool run_job_step(RunJob *rj, long *wait_ms);
/*
 * The transaction has been aborted; the job waits, or fails.  A failed one
 * keeps its inputs, and the remote call goes on.  When this raises an error
 * itself, the job keeps its place and waits a little.
 */
extern void run_job_error(RunJob *rj, const ErrorData *edata);
/*
 * Has it done nothing for so long but wait for a function whose call can be
 * continued?
 */
extern bool run_job_is_quiet(const RunJob *rj, double seconds);
/* Would inputs that are under way have to be sent again, were it released? */
extern bool run_job_would_lose(RunJob *rj);
/*
 * Does it stand back behind others?  Jobs of negative priority do: what they
 * have in hand at a time is small, so that nobody waits long for it.
 */
extern bool run_job_is_background(const RunJob *rj);
/* There are others: such jobs send hardly anything. */
extern void run_job_hold_background(bool hold);
/* Send no more inputs, of any job. */
extern void run_job_hold_inputs(bool hold);
/* The row's state is now this one. */
extern void run_job_state_changed(RunJob *rj, JobState state);
/* It needs no place any more: it has ended, or waits. */
extern bool run_job_done(const RunJob *rj);
extern bool run_job_has_ended(const RunJob *rj);
/* Others may be waiting for its end: see webhook.h. */
extern bool run_job_is_ordered(const RunJob *rj);
/* Let go of it; the remote side goes on.  Frees all. */
extern void run_job_release(RunJob *rj);

#endif /* MODAL_JOBS_RUN_JOB_H */
