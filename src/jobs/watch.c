/*-------------------------------------------------------------------------
 *
 * watch.c
 *	  modal_watch: how far a job is, as notices, until it ends; and what is
 *	  told of its failures then.
 *
 * Each look is a transaction of its own, and nothing is held in between, no
 * snapshot and no lock: watching a job for hours keeps nobody else from
 * cleaning up.  So it cannot be called where there is a transaction around it.
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include "clock.h"
#include "executor/spi.h"
#include "jobs/error.h"
#include "jobs/watch.h"
#include "link/shmem.h"
#include "nodes/parsenodes.h"
#include "storage/condition_variable.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "values/values.h"

#define BAR_WIDTH 20
#define MIN_EVERY_S 0.01
#define MAX_EVERY_S 3600.0

PG_FUNCTION_INFO_V1(modal_watch);

/* How far it was, and when. */
typedef struct Progress
{
	double at; /* see clock.h */
	int64 settled;
} Progress;

bool
job_has_ended(const Job *job)
{
	return job->state == JOB_COMPLETED || job->state == JOB_FAILED ||
		job->state == JOB_CANCELLED;
}

bool
job_waits_its_turn(const Job *job)
{
	return job->state == JOB_PENDING && job->order_stripes != 0 &&
		job_store_is_behind_others(job);
}

void
job_warn_of_failures(const Job *job)
{
	const char *message = error_member(job->last_error, "message");
	const char *detail = error_member(job->last_error, "detail");

	if (!job_has_ended(job) || (job->failed == 0 && job->state != JOB_FAILED))
		return;
	ereport(WARNING,
			(job->failed == 0
				 ? errmsg("job " INT64_FORMAT " has failed", job->id)
				 : errmsg(INT64_FORMAT " of " INT64_FORMAT " inputs of job " INT64_FORMAT " have failed",
						  job->failed, job->inputs, job->id),
			 message == NULL ? 0
				 : detail == NULL ? errdetail("%s", message)
								  : errdetail("%s\n%s", message, detail),
			 job->failed == 0
				 ? errhint("modal_retry() goes on with it.")
				 : errhint("modal_batch.failures shows them; modal_retry() runs them again.")));
}

/* As it is now; the transaction has ended, with its locks. */
static Job *
look(int64 id, MemoryContext cxt)
{
	MemoryContext old;
	bool own_change;
	Job *job;

	MemoryContextReset(cxt);
	old = MemoryContextSwitchTo(cxt);
	PushActiveSnapshot(GetTransactionSnapshot());
	job = job_store_look(id, &own_change);
	if (job->waits_for == NULL && job_waits_its_turn(job))
		job->waits_for = JOB_WAITS_ITS_TURN;
	PopActiveSnapshot();
	MemoryContextSwitchTo(old);
	SPI_commit();
	return job;
}

static const char *
time_left(const Job *job, double rate)
{
	double s = (double) (job->inputs - job_settled(job)) / rate;

	if (!(rate > 0))
		return "time left not known";
	if (s < 60)
		return psprintf("%.0f s left", ceil(s));
	if (s < 3600)
		return psprintf("%d min %02d s left", (int) s / 60, (int) s % 60);
	return psprintf("%.0f h %02d min left", floor(s / 3600), (int) fmod(s / 60, 60));
}

static void
tell_progress(const Job *job, const Progress *before)
{
	int64 settled = job_settled(job);
	double share = job->inputs > 0 ? (double) settled / job->inputs : 1;
	double rate = before->at == 0
		? 0
		: (settled - before->settled) / Max(monotonic_seconds() - before->at, 0.001);
	char bar[BAR_WIDTH + 1];
	int full = (int) (share * BAR_WIDTH);

	memset(bar, '#', full);
	memset(bar + full, '-', BAR_WIDTH - full);
	bar[BAR_WIDTH] = '\0';
	ereport(NOTICE,
			(errmsg("job " INT64_FORMAT " [%s] %3d %%, " INT64_FORMAT " of " INT64_FORMAT
					", " INT64_FORMAT " failed, %.0f/s, %s",
					job->id, bar, (int) (share * 100), settled, job->inputs,
					job->failed, rate,
					job_has_ended(job) || job->state == JOB_PAUSED
						? job_state_name(job->state)
						: time_left(job, rate)),
			 job->waits_for == NULL ? 0 : errdetail("It waits: %s", job->waits_for)));
}

static double
every_argument(FunctionCallInfo fcinfo)
{
	double s = PG_ARGISNULL(1) ? 1 : interval_seconds(PG_GETARG_INTERVAL_P(1));

	if (!(s > 0))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("argument \"every\" must be a positive interval")));
	return Min(Max(s, MIN_EVERY_S), MAX_EVERY_S);
}

/* Whenever it is time, or some job has ended or begun to wait. */
static void
watch(int64 id, double every, MemoryContext cxt)
{
	Progress before = {0};
	Job *job;

	ConditionVariablePrepareToSleep(&modal_shared->job_changed);
	for (;;)
	{
		bool over;

		job = look(id, cxt);
		over = job_has_ended(job) || job->state == JOB_PAUSED;
		if (before.at != 0 && (over || monotonic_ms_until(before.at + every) == 0))
			tell_progress(job, &before);
		if (over)
			break;
		if (before.at == 0 || monotonic_ms_until(before.at + every) == 0)
			before = (Progress) {monotonic_seconds(), job_settled(job)};
		(void) ConditionVariableTimedSleep(&modal_shared->job_changed,
										   monotonic_ms_until(before.at + every),
										   PG_WAIT_EXTENSION);
	}
	ConditionVariableCancelSleep();
	if (before.at == 0)
		tell_progress(job, &before);
	job_warn_of_failures(job);
}

Datum
modal_watch(PG_FUNCTION_ARGS)
{
	const CallContext *call = (CallContext *) fcinfo->context;
	MemoryContext cxt;
	double every;
	int64 id;

	modal_check_preloaded();
	if (PG_ARGISNULL(0))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
						errmsg("job must not be null")));
	id = PG_GETARG_INT64(0);
	every = every_argument(fcinfo);
	if (call == NULL || !IsA(call, CallContext) || call->atomic)
		ereport(ERROR,
				(errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
				 errmsg("modal_watch() cannot run inside a transaction block"),
				 errhint("In a transaction, use modal_wait().")));
	SPI_connect_ext(SPI_OPT_NONATOMIC);
	/* the portal's: the transactions' own come and go */
	cxt = AllocSetContextCreate(PortalContext, "modal_watch",
								ALLOCSET_DEFAULT_SIZES);
	watch(id, every, cxt);
	MemoryContextDelete(cxt);
	SPI_finish();
	PG_RETURN_VOID();
}
