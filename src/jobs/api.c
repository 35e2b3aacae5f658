/*-------------------------------------------------------------------------
 *
 * job_api.c
 *	  SQL functions on existing jobs: wait, cancel, pause, resume, retry,
 *	  forget.
 *
 * They change the job's row in the caller's transaction; the runner sees it
 * when that commits.  Whose job it is, job_store_get checks.
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include "clock.h"
#include "executor/spi.h"
#include "runner_state.h"
#include "session/enqueue.h"
#include "session/job_store.h"
#include "link/shmem.h"
#include "storage/condition_variable.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(modal_wait);
PG_FUNCTION_INFO_V1(modal_check_job);
PG_FUNCTION_INFO_V1(modal_cancel);
PG_FUNCTION_INFO_V1(modal_pause);
PG_FUNCTION_INFO_V1(modal_resume);
PG_FUNCTION_INFO_V1(modal_retry);
PG_FUNCTION_INFO_V1(modal_forget);
PG_FUNCTION_INFO_V1(modal_start_runner);

static int64
job_argument(FunctionCallInfo fcinfo)
{
	modal_check_preloaded();
	if (PG_ARGISNULL(0))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
						errmsg("job must not be null")));
	return PG_GETARG_INT64(0);
}

static bool
has_ended(const Job *job)
{
	return job->state == JOB_COMPLETED || job->state == JOB_FAILED ||
		job->state == JOB_CANCELLED;
}

Datum
modal_check_job(PG_FUNCTION_ARGS)
{
	int64 id = job_argument(fcinfo);

	(void) job_store_get(id, false, NULL);
	PG_RETURN_INT64(id);
}

/* --- waiting -------------------------------------------------------------- */

/* The job as it is now, whatever snapshot the statement has. */
static Job *
look_at_job(int64 id)
{
	Job *job;
	bool own_change;

	PushActiveSnapshot(GetLatestSnapshot());
	job = job_store_get(id, false, &own_change);
	PopActiveSnapshot();
	if (own_change && !has_ended(job))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("cannot wait for job " INT64_FORMAT " in the transaction that made or changed it",
						id),
				 errdetail("A job starts when its transaction has committed."),
				 errhint("Commit, then call modal_wait().")));
	return job;
}

/* When to stop waiting, by clock.h; infinity: never. */
static double
deadline_argument(FunctionCallInfo fcinfo)
{
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz then;

	if (PG_ARGISNULL(1))
		return HUGE_VAL;
	then = DatumGetTimestampTz(
		DirectFunctionCall2(timestamptz_pl_interval, TimestampTzGetDatum(now),
							PG_GETARG_DATUM(1)));
	return monotonic_seconds() + (double) (then - now) / USECS_PER_SEC;
}

/*
 * Sleeps on a condition variable that is broadcast whenever any job ends;
 * returns at once for a paused job, which would not end by itself.
 */
Datum
modal_wait(PG_FUNCTION_ARGS)
{
	int64 id = job_argument(fcinfo);
	double deadline = deadline_argument(fcinfo);
	Job *job;

	ConditionVariablePrepareToSleep(&modal_shared->job_changed);
	for (;;)
	{
		long left;

		job = look_at_job(id);
		left = monotonic_ms_until(deadline);
		if (has_ended(job) || job->state == JOB_PAUSED || left == 0)
			break;
		(void) ConditionVariableTimedSleep(&modal_shared->job_changed, left,
										   PG_WAIT_EXTENSION);
	}
	ConditionVariableCancelSleep();
	PG_RETURN_TEXT_P(cstring_to_text(job_state_name(job->state)));
}

/* --- changing ------------------------------------------------------------- */

static void
set_state(Job *job, JobState state)
{
	job_store_set_state(job->id, state);
	wake_runner_at_commit();
	wake_waiters_at_commit();
}

Datum
modal_cancel(PG_FUNCTION_ARGS)
{
	Job *job = job_store_get(job_argument(fcinfo), true, NULL);
	bool terminate = !PG_ARGISNULL(1) && PG_GETARG_BOOL(1);

	/* a failed job may still have a remote call that goes on */
	if (job->state == JOB_COMPLETED || job->state == JOB_CANCELLED)
		PG_RETURN_BOOL(false);
	job_store_cancel(job->id, terminate);
	wake_runner_at_commit();
	PG_RETURN_BOOL(true);
}

Datum
modal_pause(PG_FUNCTION_ARGS)
{
	Job *job = job_store_get(job_argument(fcinfo), true, NULL);

	if (job->state != JOB_PENDING && job->state != JOB_RUNNING)
		PG_RETURN_BOOL(false);
	set_state(job, JOB_PAUSED);
	PG_RETURN_BOOL(true);
}

Datum
modal_resume(PG_FUNCTION_ARGS)
{
	Job *job = job_store_get(job_argument(fcinfo), true, NULL);

	if (job->state != JOB_PAUSED)
		PG_RETURN_BOOL(false);
	set_state(job, JOB_PENDING);
	PG_RETURN_BOOL(true);
}

/*
 * A failed job goes on where it stopped: the remote call may still hold
 * results.  In a completed one, what failed becomes a new run.
 */
Datum
modal_retry(PG_FUNCTION_ARGS)
{
	Job *job = job_store_get(job_argument(fcinfo), true, NULL);

	switch (job->state)
	{
		case JOB_FAILED:
			set_state(job, JOB_PENDING);
			PG_RETURN_INT64(job->inputs - job_settled(job));
		case JOB_COMPLETED:
			if (job->failed == 0)
				PG_RETURN_INT64(0);
			wake_runner_at_commit();
			PG_RETURN_INT64(job_store_requeue(job, true));
		default:
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("job " INT64_FORMAT " cannot be retried in state \"%s\"",
							job->id, job_state_name(job->state)),
					 errdetail("Jobs that are completed or failed can.")));
	}
}

Datum
modal_forget(PG_FUNCTION_ARGS)
{
	Job *job = job_store_get(job_argument(fcinfo), true, NULL);

	if (!has_ended(job))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("job " INT64_FORMAT " has not ended", job->id),
				 errhint("Cancel it with modal_cancel() first.")));
	job_store_delete(job->id);
	PG_RETURN_VOID();
}

Datum
modal_start_runner(PG_FUNCTION_ARGS)
{
	(void) fcinfo;
	wake_runner_at_commit();
	PG_RETURN_VOID();
}
