/*-------------------------------------------------------------------------
 *
 * run_job_end.c
 *	  The end of a job, good or bad: recorded, announced, logged; and errors,
 *	  which end it or make it wait; see run_job_internal.h.
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include "catalog/pg_type.h"
#include "commands/async.h"
#include "executor/spi.h"
#include "runner_state.h"
#include "session/job_owner.h"
#include "utils/timestamp.h"
#include "worker/job_error.h"
#include "jobs/run_job_internal.h"
#include "jobs/runner_xact.h"
#include "jobs/subxact.h"

static void
notify_end(const RunJob *rj, JobState state)
{
	char payload[128];

	snprintf(payload, sizeof(payload),
			 "{\"job\": " INT64_FORMAT ", \"state\": \"%s\"}", rj->job->id,
			 job_state_name(state));
	Async_Notify("modal_batch", payload);
}

static void
log_end(const RunJob *rj, JobState state, const char *message)
{
	const Job *job = rj->job;
	TimestampTz since = job->started_at != 0 ? job->started_at : job->created_at;

	ereport(LOG,
			(errmsg("job " INT64_FORMAT " %s after %.3f s: " INT64_FORMAT
					" inputs succeeded, " INT64_FORMAT " failed, " INT64_FORMAT
					" stale, of " INT64_FORMAT,
					job->id, job_state_name(state),
					TimestampDifferenceMilliseconds(since, GetCurrentTimestamp()) / 1000.0,
					job->succeeded, job->failed, job->stale, job->inputs),
			 message == NULL ? 0 : errdetail("%s", message)));
}

/*
 * Run the owner's on_complete statement in the transaction that completes the
 * job; its failure is noted, and changes nothing else, unless it is one that
 * others caused: then all of the transaction is tried again.
 */
static void
run_on_complete(RunJob *rj)
{
	SubScope sub;
	Jsonb *volatile error = NULL;

	sub_begin(&sub);
	PG_TRY();
	{
		OwnerScope scope;
		Oid type = INT8OID;
		Datum id = Int64GetDatum(rj->job->id);
		int rc;

		owner_enter(&scope, rj->job->owner, rj->job->sink.search_path);
		SPI_connect();
		rc = SPI_execute_with_args(rj->job->on_complete, 1, &type, &id, NULL,
								   false, 0);
		if (rc < 0)
			ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
							errmsg("a statement of this kind cannot be run at the end of a job"),
							errdetail("SPI says \"%s\".",
									  SPI_result_code_string(rc))));
		SPI_execute("SET CONSTRAINTS ALL IMMEDIATE", false, 0);
		SPI_finish();
		owner_leave(&scope);
		sub_commit(&sub);
	}
	PG_CATCH();
	{
		ErrorData *edata = sub_abort(&sub);

		if (error_is_contention(edata->sqlerrcode))
			ReThrowError(edata);
		error = edata_to_jsonb(edata, 1);
		ereport(LOG, (errmsg("job " INT64_FORMAT ": on_complete failed: %s",
							 rj->job->id, edata->message)));
	}
	PG_END_TRY();
	job_store_set_on_complete_done(rj->job->id, error);
}

bool
run_job_finish(RunJob *rj, JobState state, Jsonb *error)
{
	if (!job_store_finish(rj->job->id, state, error))
		return false;
	if (state == JOB_COMPLETED && rj->job->on_complete != NULL)
		run_on_complete(rj);
	notify_end(rj, state);
	return true;
}

void
run_job_ended(RunJob *rj, JobState state, const char *message)
{
	log_end(rj, state, message);
	runner_job_changed();
	rj->done = true;
}

void
run_job_end(RunJob *rj, JobState state, Jsonb *error, const char *message)
{
	bool ended;

	runner_begin();
	ended = run_job_finish(rj, state, error);
	runner_commit();
	if (ended)
		run_job_ended(rj, state, message);
	rj->done = true;
}

static void
note_error(RunJob *rj, Jsonb *error)
{
	runner_begin();
	(void) job_store_note_error(rj->job->id, error);
	runner_commit();
}

/* In the job's context, for what follows may delete the current one. */
static Jsonb *
error_in_job(RunJob *rj, const ErrorData *edata)
{
	MemoryContext old = MemoryContextSwitchTo(rj->cxt);
	Jsonb *error = edata_to_jsonb(edata, 1);

	MemoryContextSwitchTo(old);
	return error;
}

void
run_job_error(RunJob *rj, const ErrorData *edata)
{
	Jsonb *error = error_in_job(rj, edata);

	/* first, for what follows may fail, too */
	run_job_back_off(rj);
	if (error_is_transient(edata->sqlerrcode))
	{
		ereport(LOG,
				(errmsg("job " INT64_FORMAT " will be tried again: %s",
						rj->job->id, edata->message)));
		note_error(rj, error);
	}
	else if (rj->job->state == JOB_CANCELLING)
	{
		/* a server or a right that is gone is no reason to keep the job */
		ereport(LOG,
				(errmsg("remote call \"%s\" of job " INT64_FORMAT " could not be cancelled: %s",
						rj->job->remote_call_id, rj->job->id, edata->message)));
		run_job_end(rj, JOB_CANCELLED, error, NULL);
	}
	else
		run_job_end(rj, JOB_FAILED, error, edata->message);
}
