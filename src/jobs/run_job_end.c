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
#include "clock.h"
#include "core/random.h"
#include "core/retry.h"
#include "errors.h"
#include "executor/spi.h"
#include "guc.h"
#include "jobs/error.h"
#include "jobs/owner.h"
#include "jobs/run_job_internal.h"
#include "jobs/runner_state.h"
#include "jobs/runner_xact.h"
#include "jobs/sql.h"
#include "jobs/subxact.h"
#include "utils/timeout.h"
#include "utils/timestamp.h"
#include "values/values.h"

#define MIN_PAUSE_S 0.1
#define UNRECORDED_PAUSE_S 1.0 /* when the row cannot be written */

static const RetryPolicy retry_policy = {
	.first = 1,
	.growth = 2,
	.most = 60,
	.budget = RETRY_FOREVER,
	.tries = RETRY_OFTEN,
};

/* With all that is known of what went wrong, if anything did. */
static void
log_end(const RunJob *rj, const JobEnd *end)
{
	const Job *job = rj->job;
	TimestampTz since = job->started_at != 0 ? job->started_at : job->created_at;
	const char *message = error_member(end->last_error, "message");
	const char *detail = error_member(end->last_error, "detail");
	const char *hint = error_member(end->last_error, "hint");

	ereport(LOG,
			(errmsg("job " INT64_FORMAT " %s after %.3f s: " INT64_FORMAT
					" inputs succeeded, " INT64_FORMAT " failed, " INT64_FORMAT
					" stale, of " INT64_FORMAT,
					job->id, job_state_name(end->state),
					TimestampDifferenceMilliseconds(since, GetCurrentTimestamp()) / 1000.0,
					end->succeeded, end->failed, end->stale, end->inputs),
			 message == NULL ? 0
				 : detail == NULL ? errdetail("%s", message)
								  : errdetail("%s\n%s", message, detail),
			 hint == NULL ? 0 : errhint("%s", hint)));
}

/* How long it may take; 0: as long as it likes. */
static int
on_complete_timeout(void)
{
	int ms = modal_on_complete_timeout_ms;

	return StatementTimeout > 0 && (ms == 0 || StatementTimeout < ms)
		? StatementTimeout
		: ms;
}

static void
execute_on_complete(const Job *job)
{
	OwnerScope scope;
	Oid type = INT8OID;
	Datum id = Int64GetDatum(job->id);
	int timeout = on_complete_timeout();
	int rc;

	owner_enter_job(&scope, job);
	if (timeout > 0)
		enable_timeout_after(STATEMENT_TIMEOUT, timeout);
	SPI_connect();
	rc = SPI_execute_with_args(job->on_complete, 1, &type, &id, NULL, false, 0);
	if (rc < 0)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("a statement of this kind cannot be run at the end of a job"),
						errdetail("SPI says \"%s\".",
								  SPI_result_code_string(rc))));
	SPI_execute("SET CONSTRAINTS ALL IMMEDIATE", false, 0);
	SPI_finish();
	disable_timeout(STATEMENT_TIMEOUT, false);
	owner_leave(&scope);
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
		execute_on_complete(rj->job);
		sub_commit(&sub);
	}
	PG_CATCH();
	{
		ErrorData *edata;

		disable_timeout(STATEMENT_TIMEOUT, false);
		edata = sub_abort(&sub);
		if (error_is_contention(edata))
			ReThrowError(edata);
		error = edata_to_jsonb(edata, 1);
		ereport(LOG, (errmsg("job " INT64_FORMAT ": on_complete failed: %s",
							 rj->job->id, edata->message)));
	}
	PG_END_TRY();
	job_store_set_on_complete_done(rj->job->id, error);
}

bool
run_job_finish(RunJob *rj, JobState state, const ErrorData *error, JobEnd *end)
{
	if (!job_store_finish(rj->job->id, state,
						  error == NULL ? NULL : edata_to_jsonb(error, 1), end))
		return false;
	if (state == JOB_COMPLETED && rj->job->on_complete != NULL)
		run_on_complete(rj);
	return true;
}

void
run_job_ended(RunJob *rj, const JobEnd *end)
{
	log_end(rj, end);
	runner_job_changed();
	runner_has_progressed();
	rj->done = rj->ended = true;
}

void
run_job_end(RunJob *rj, JobState state, const ErrorData *error)
{
	MemoryContext cxt = CurrentMemoryContext;
	JobEnd end;
	bool ended;

	runner_begin();
	MemoryContextSwitchTo(cxt); /* the end outlives the transaction */
	ended = run_job_finish(rj, state, error, &end);
	runner_commit();
	if (ended)
		run_job_ended(rj, &end);
	rj->done = true;
}

bool
run_job_stop(RunJob *rj, const ErrorData *error)
{
	return job_store_stop(rj->job->id, edata_to_jsonb(error, 1));
}

void
run_job_stopped(RunJob *rj, const ErrorData *error)
{
	ereport(LOG, (errmsg("job " INT64_FORMAT " stops: %s", rj->job->id,
						 error->message)));
	rj->job->state = JOB_CANCELLING;
	rj->retry_at = 0;
}

/* Until the next try: the longer, the more were in vain. */
static double
pause_s(int tries)
{
	Retry retry = {.grown = (uint32_t) Max(tries, 0)};

	return retry_pause(&retry, &retry_policy, monotonic_seconds(), random_unit(),
					   MIN_PAUSE_S);
}

/*
 * Its row says when it is to be tried again.  It gives up its place, unless that
 * has results.
 */
static void
wait_in_row(RunJob *rj, const ErrorData *edata)
{
	double pause = pause_s(rj->job->tries);

	runner_begin();
	(void) job_store_note_error(rj->job->id, edata_to_jsonb(edata, 1), pause);
	runner_commit();
	runner_job_changed();
	if (rj->rewrites)
		rj->retry_at = monotonic_seconds() + pause;
	else
		rj->done = true;
}

void
run_job_note_waiting(RunJob *rj)
{
	Slice message;
	NoticeKind kind = remote_call_waits(rj->call, &message);
	ErrorData edata = {0};

	if (kind == NOTICE_WARNING)
		return;
	runner_begin();
	edata.sqlerrcode = kind == NOTICE_THROTTLED
		? modal_sqlstate(MODAL_SQLSTATE_RESOURCES)
		: modal_sqlstate(MODAL_SQLSTATE_CONNECT);
	edata.message = remote_text(message);
	job_store_note_call_waits(rj->job->id, edata_to_jsonb(&edata, 1));
	remote_call_tell(rj->call);
	runner_commit();
	runner_job_changed();
}

/*
 * Results in hand could not be written, and what they came from remembers
 * nothing: they would have to be paid for again.
 */
static bool
keeps_results(const RunJob *rj, const ErrorData *edata)
{
	return rj->unwritten && error_is_transient(edata->sqlerrcode) &&
		rj->call != NULL && rj->nitems > 0 && rj->job->remote_call_id == NULL &&
		rj->job->state != JOB_CANCELLING &&
		(rj->deadline == HUGE_VAL || monotonic_ms_until(rj->deadline) > 0);
}

static bool
name_equal(const char *a, const char *b)
{
	return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

/*
 * Was a rename committed between the reading of the job's row and that of the
 * table, for which we may have waited?
 */
static bool
was_renamed(const RunJob *rj)
{
	const SinkSpec *sink = &rj->job->sink;
	const Job *job;
	bool renamed;

	runner_begin();
	job = job_store_load(rj->job->id);
	renamed = job != NULL &&
		!(names_equal(job->sink.key_columns, sink->key_columns) &&
		  names_equal(job->sink.check_columns, sink->check_columns) &&
		  name_equal(job->sink.result_column, sink->result_column) &&
		  name_equal(job->sink.ordinality_column, sink->ordinality_column) &&
		  name_equal(job->sink.version_column, sink->version_column));
	runner_commit();
	return renamed;
}

void
run_job_error(RunJob *rj, const ErrorData *edata)
{
	const Job *job = rj->job;

	/* first, for what follows may fail, too */
	if (keeps_results(rj, edata))
		rj->rewrites = true;
	else
		run_job_close_call(rj, FRAME_FLAG_DETACH);
	rj->unwritten = false;
	rj->retry_at = monotonic_seconds() + UNRECORDED_PAUSE_S;
	if (error_is_transient(edata->sqlerrcode) ||
		(job->state != JOB_CANCELLING && was_renamed(rj)))
	{
		ereport(LOG, (errmsg("job " INT64_FORMAT " will be tried again: %s",
							 job->id, edata->message),
					  edata->detail == NULL ? 0 : errdetail("%s", edata->detail),
					  edata->hint == NULL ? 0 : errhint("%s", edata->hint)));
		wait_in_row(rj, edata);
	}
	else if (job->state == JOB_CANCELLING)
	{
		/* a server or a right that is gone is no reason to keep the job */
		ereport(LOG,
				(errmsg("remote call of job " INT64_FORMAT " could not be cancelled: %s",
						job->id, edata->message)));
		run_job_end(rj, JOB_CANCELLED, edata);
	}
	else
		run_job_end(rj, JOB_FAILED, edata);
}
