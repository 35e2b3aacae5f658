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
#ifndef MODAL_WORKER_RUN_JOB_H
#define MODAL_WORKER_RUN_JOB_H

#include "compat.h"

#include "session/job_store.h"

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
 * The transaction has been aborted; the job backs off, or fails.  A failed
 * one keeps its inputs, and the remote call goes on.  When this raises an
 * error itself, the job has backed off.
 */
extern void run_job_error(RunJob *rj, const ErrorData *edata);
/* The row's state is now this one. */
extern void run_job_state_changed(RunJob *rj, JobState state);
extern bool run_job_done(const RunJob *rj);
/* Let go of it; the remote side goes on.  Frees all. */
extern void run_job_release(RunJob *rj);

#endif /* MODAL_WORKER_RUN_JOB_H */
