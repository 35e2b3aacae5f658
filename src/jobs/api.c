/*-------------------------------------------------------------------------
 *
 * api.c
 *	  SQL functions on existing jobs: wait, gather, cancel, pause, resume,
 *	  retry, forget.
 *
 * They change the job's row in the caller's transaction; the runner sees it
 * when that commits.  Whose job it is, job_store_get checks.
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "clock.h"
#include "endpoint/endpoint.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "jobs/home.h"
#include "jobs/limits.h"
#include "jobs/new_owner.h"
#include "jobs/runner_state.h"
#include "jobs/sql.h"
#include "jobs/store.h"
#include "jobs/watch.h"
#include "jobs/wake.h"
#include "link/shmem.h"
#include "storage/condition_variable.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"
#include "values/values.h"

#define STANDBY_LOOK_MS 1000L

PG_FUNCTION_INFO_V1(modal_wait);
PG_FUNCTION_INFO_V1(modal_gather);
PG_FUNCTION_INFO_V1(modal_check_job);
PG_FUNCTION_INFO_V1(modal_function_label);
PG_FUNCTION_INFO_V1(modal_cancel);
PG_FUNCTION_INFO_V1(modal_pause);
PG_FUNCTION_INFO_V1(modal_resume);
PG_FUNCTION_INFO_V1(modal_retry);
PG_FUNCTION_INFO_V1(modal_forget);
PG_FUNCTION_INFO_V1(modal_start_runner);

pg_noreturn static void
refuse_null_job(void)
{
	ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					errmsg("job must not be null")));
}

static int64
job_argument(FunctionCallInfo fcinfo)
{
	modal_check_preloaded();
	if (PG_ARGISNULL(0))
		refuse_null_job();
	return PG_GETARG_INT64(0);
}

Datum
modal_check_job(PG_FUNCTION_ARGS)
{
	/* another number, if it was joined to that one */
	PG_RETURN_INT64(job_store_get(job_argument(fcinfo), false, NULL)->id);
}

Datum
modal_function_label(PG_FUNCTION_ARGS)
{
	const char *reference = text_to_cstring(PG_GETARG_TEXT_PP(0));

	PG_RETURN_TEXT_P(cstring_to_text(reference_label(reference)));
}

/* --- waiting -------------------------------------------------------------- */

static Job *
look_at_job(int64 id)
{
	bool own_change;
	Job *job = job_store_look(id, &own_change);

	if (own_change && !job_has_ended(job))
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
	if (PG_ARGISNULL(1))
		return HUGE_VAL;
	return monotonic_seconds() + interval_seconds(PG_GETARG_INTERVAL_P(1));
}

/* What whoever waits has been told. */
typedef struct Told
{
	bool trouble, turn;
} Told;

/* Each once, for a port that was mistyped would else be waited for in silence. */
static void
tell_what_job_waits_for(const Job *job, Told *told)
{
	bool starts_later = job->state == JOB_PENDING &&
		job->start_at > GetCurrentTimestamp();
	bool waits = job->waits_for != NULL || starts_later;

	if (!waits && !told->turn && job_waits_its_turn(job))
	{
		told->turn = true;
		ereport(NOTICE, (errmsg("job " INT64_FORMAT " waits: %s", job->id,
								JOB_WAITS_ITS_TURN)));
	}
	if (told->trouble || job_has_ended(job) || !waits)
		return;
	told->trouble = true;
	if (starts_later)
		ereport(NOTICE, (errmsg("job " INT64_FORMAT " starts at %s", job->id,
								timestamptz_to_str(job->start_at)),
						 errhint("modal_cancel() ends it.")));
	else
		ereport(NOTICE,
				(errmsg("job " INT64_FORMAT " waits, and will be tried again: %s",
						job->id, job->waits_for),
				 errhint("modal_cancel() ends it.")));
}

/* On a standby nobody tells: what ends the job is on another server. */
static long
until_next_look(long left)
{
	return RecoveryInProgress() && (left < 0 || left > STANDBY_LOOK_MS)
		? STANDBY_LOOK_MS
		: left;
}

/*
 * Sleeps on a condition variable that is broadcast whenever any job ends, or
 * begins to wait for its next try; returns at once for a paused job, which
 * would not end by itself.
 */
static Job *
wait_for_job(int64 id, double deadline)
{
	Told told = {false};
	Job *job;

	ConditionVariablePrepareToSleep(&modal_shared->job_changed);
	for (;;)
	{
		long left;

		job = look_at_job(id);
		tell_what_job_waits_for(job, &told);
		left = monotonic_ms_until(deadline);
		if (job_has_ended(job) || job->state == JOB_PAUSED || left == 0)
			break;
		(void) ConditionVariableTimedSleep(&modal_shared->job_changed,
										   until_next_look(left),
										   PG_WAIT_EXTENSION);
	}
	ConditionVariableCancelSleep();
	job_warn_of_failures(job);
	return job;
}

Datum
modal_wait(PG_FUNCTION_ARGS)
{
	int64 id = job_argument(fcinfo);
	Job *job = wait_for_job(id, deadline_argument(fcinfo));

	PG_RETURN_TEXT_P(cstring_to_text(job_state_name(job->state)));
}

/* Results of a job that the caller has waited for, from after that ordinal on. */
static int
gather_results(ReturnSetInfo *rsinfo, int64 id, const Job *job, int64 *after)
{
	StoreScope scope;
	Datum args[] = {Int64GetDatum(job->id), Int64GetDatum(*after)};
	int n;

	store_enter(&scope);
	n = (int) store_run(GATHER_RESULTS, args, NULL);
	for (int i = 0; i < n; i++)
	{
		Datum values[4] = {Int64GetDatum(id)};
		bool isnull[4] = {false};

		for (int k = 1; k < 4; k++)
			values[k] = SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc,
									  k, &isnull[k]);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, isnull);
		*after = DatumGetInt64(values[1]);
	}
	store_leave(&scope);
	return n;
}

/*
 * The results are those that are there after the wait, as the states are, also
 * in a transaction whose snapshot is older.
 */
Datum
modal_gather(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	Datum *ids;
	bool *nulls;
	int n = 0;
	Job **jobs;

	modal_check_preloaded();
	InitMaterializedSRF(fcinfo, 0);
	if (!PG_ARGISNULL(0))
		deconstruct_array(PG_GETARG_ARRAYTYPE_P(0), INT8OID, sizeof(int64),
						  FLOAT8PASSBYVAL, TYPALIGN_DOUBLE, &ids, &nulls, &n);
	jobs = palloc(sizeof(Job *) * Max(n, 1));
	for (int i = 0; i < n; i++)
	{
		if (nulls[i])
			refuse_null_job();
		jobs[i] = wait_for_job(DatumGetInt64(ids[i]), HUGE_VAL);
	}
	for (int i = 0; i < n; i++)
	{
		int64 after = -1;

		while (gather_results(rsinfo, DatumGetInt64(ids[i]), jobs[i], &after) > 0)
			CHECK_FOR_INTERRUPTS();
	}
	return (Datum) 0;
}

/* --- changing ------------------------------------------------------------- */

#define IN_STATE(state) (1 << (state))

/*
 * The job, locked if its state is among these, in which there is something to
 * do.  In others it stays unlocked: its runner would wait until the caller's
 * transaction ends, which may itself wait for the job.
 */
static Job *
job_to_change(FunctionCallInfo fcinfo, int states)
{
	int64 id = job_argument(fcinfo);
	Job *job = job_store_look(id, NULL);

	return (IN_STATE(job->state) & states) != 0 ? job_store_get(id, true, NULL)
												: job;
}

static void
set_state(Job *job, JobState state)
{
	job_store_set_state(job->id, state);
	wake_runner_at_commit(job->owner);
	wake_waiters_at_commit();
}

/*
 * The job goes on where it stopped; in a copy of its database, with a new
 * remote call.  Returns how many inputs are left.
 */
static int64
go_on(Job *job)
{
	owner_change_job(job);
	limits_reclaim_key(job);
	if (home_is_here(job->id) && !job->stopped)
	{
		set_state(job, JOB_PENDING);
		return job->inputs - job_settled(job);
	}
	wake_runner_at_commit(job->owner);
	wake_waiters_at_commit();
	return job_store_requeue(job, false, NULL);
}

Datum
modal_cancel(PG_FUNCTION_ARGS)
{
	Job *job = job_to_change(fcinfo, ~(IN_STATE(JOB_COMPLETED) |
									   IN_STATE(JOB_CANCELLED)));
	bool terminate = !PG_ARGISNULL(1) && PG_GETARG_BOOL(1);

	/* a failed job may still have a remote call that goes on */
	if (job->state == JOB_COMPLETED || job->state == JOB_CANCELLED)
		PG_RETURN_BOOL(false);
	home_disown(job->id);
	job_store_cancel(job->id, terminate);
	wake_runner_at_commit(job->owner);
	PG_RETURN_BOOL(true);
}

Datum
modal_pause(PG_FUNCTION_ARGS)
{
	Job *job = job_to_change(fcinfo, IN_STATE(JOB_PENDING) | IN_STATE(JOB_RUNNING));

	if (job->state != JOB_PENDING && job->state != JOB_RUNNING)
		PG_RETURN_BOOL(false);
	set_state(job, JOB_PAUSED);
	PG_RETURN_BOOL(true);
}

Datum
modal_resume(PG_FUNCTION_ARGS)
{
	Job *job = job_to_change(fcinfo, IN_STATE(JOB_PAUSED));

	if (job->state != JOB_PAUSED)
		PG_RETURN_BOOL(false);
	(void) go_on(job);
	PG_RETURN_BOOL(true);
}

/* Argument "code": NULL is all codes. */
static char *
code_argument(FunctionCallInfo fcinfo)
{
	char *code = PG_ARGISNULL(1) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(1));

	if (code != NULL &&
		(strlen(code) != 5 ||
		 strspn(code, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ") != 5))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value for argument \"code\": \"%s\"", code),
				 errdetail("It is a SQLSTATE: five digits and capital letters."),
				 errhint("modal_batch.failures shows those of failed inputs.")));
	return code;
}

/* Failed inputs become part of a new run. */
static int64
run_failed_again(Job *job, const char *code)
{
	owner_change_job(job);
	limits_reclaim_key(job);
	wake_runner_at_commit(job->owner);
	wake_waiters_at_commit();
	return job_store_requeue(job, true, code);
}

/*
 * A failed job goes on where it stopped: the remote call may still hold
 * results.  In a completed one, what failed becomes a new run; in a failed one,
 * too, when that is asked for, or nothing else is left.
 */
Datum
modal_retry(PG_FUNCTION_ARGS)
{
	Job *job = job_store_get(job_argument(fcinfo), true, NULL);
	char *code = code_argument(fcinfo);
	bool all_settled = job_settled(job) == job->inputs;
	bool with_failed = job->failed > 0 &&
		(job->state == JOB_COMPLETED || code != NULL || all_settled);
	int64 inputs;

	if (job->state != JOB_FAILED && job->state != JOB_COMPLETED)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("job " INT64_FORMAT " cannot be retried in state \"%s\"",
						job->id, job_state_name(job->state)),
				 errdetail("Jobs that are completed or failed can.")));
	/* with nothing to run, it would end anew, and as completed */
	if ((job->state == JOB_COMPLETED || (all_settled && code != NULL)) &&
		(!with_failed || !job_store_has_failure(job->id, code)))
		PG_RETURN_INT64(0);
	inputs = with_failed ? run_failed_again(job, code) : go_on(job);
	job_store_retry(job->id);
	PG_RETURN_INT64(inputs);
}

Datum
modal_forget(PG_FUNCTION_ARGS)
{
	Job *job = job_store_get(job_argument(fcinfo), true, NULL);

	if (!job_has_ended(job))
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
	modal_check_preloaded();
	home_move_in();
	wake_runner_at_commit(InvalidOid);
	PG_RETURN_VOID();
}
