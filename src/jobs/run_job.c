/*-------------------------------------------------------------------------
 *
 * run_job.c
 *	  One job in the hands of its runner; see run_job.h, and run_job_internal.h
 *	  for its other parts.
 *
 * The order of things, which is what makes a crash harmless at any point:
 *
 *	1. The remote call is opened.  Its idempotency keys come from the seed in
 *	   the job's row, so opening it twice opens one call.
 *	2. Its id is stored and committed; only then are inputs sent.
 *	3. Results are written together with the bits that say so and with the
 *	   number of inputs that the service has acknowledged (submitted).
 *
 * After a crash the call is continued by its id.  Results that were written
 * arrive again and are dropped by their bits; inputs from "submitted" on are
 * sent again, under the same keys.  When the service no longer knows the
 * call, or ends it with results missing, what is left becomes a new run.
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include "clock.h"
#include "debug_point.h"
#include "errors.h"
#include "session/job_owner.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "worker/job_error.h"
#include "jobs/run_job_internal.h"
#include "jobs/runner_xact.h"

#define JOB_WINDOW 25000 /* what a Modal function takes */
#define QUANTUM 1000 /* inputs and outputs in a step, at priority 0 */
#define MAX_WEIGHT 8
#define MAX_EMPTY_RUNS 3 /* runs without any result, before it fails */

/* --- life ----------------------------------------------------------------- */

RunJob *
run_job_create(MemoryContext cxt, Job *job)
{
	RunJob *rj = MemoryContextAllocZero(cxt, sizeof(RunJob));

	rj->cxt = cxt;
	rj->job = job;
	backoff_init(&rj->backoff, 1.0, 2.0, 60.0, false);
	return rj;
}

int64
run_job_id(const RunJob *rj)
{
	return rj->job->id;
}

int32
run_job_priority(const RunJob *rj)
{
	return rj->job->priority;
}

bool
run_job_done(const RunJob *rj)
{
	return rj->done;
}

void
run_job_close_call(RunJob *rj, int flags)
{
	if (rj->call != NULL)
		remote_call_close(rj->call, flags);
	rj->call = NULL;
	if (rj->sink != NULL)
		sink_free(rj->sink);
	rj->sink = NULL;
	if (rj->call_cxt != NULL)
		MemoryContextDelete(rj->call_cxt);
	rj->call_cxt = NULL;
	rj->nitems = 0;
	rj->cancelling = false;
}

void
run_job_release(RunJob *rj)
{
	run_job_close_call(rj, FRAME_FLAG_DETACH);
	MemoryContextDelete(rj->cxt);
}

void
run_job_stand_still(RunJob *rj)
{
	run_job_close_call(rj, FRAME_FLAG_DETACH);
	rj->retry_at = HUGE_VAL;
}

void
run_job_back_off(RunJob *rj)
{
	double s = backoff_next(&rj->backoff, 0.0);

	run_job_close_call(rj, FRAME_FLAG_DETACH);
	rj->retry_at = monotonic_seconds() + s;
}

/* --- opening -------------------------------------------------------------- */

/* "app/function" with the version that the job began with. */
static char *
pinned_reference(const Job *job, const char *rest)
{
	Reference ref;

	if (job->version == 0 ||
		reference_parse(rest, strlen(rest), false, &ref) != NULL ||
		ref.version != 0)
		return pstrdup(rest);
	return psprintf("%.*s@%d%.*s", (int) ref.target.n, ref.target.p,
					job->version,
					ref.options.p == NULL ? 0 : (int) ref.options.n + 1,
					ref.options.p == NULL ? "" : ref.options.p - 1);
}

static void
make_call_context(RunJob *rj)
{
	rj->call_cxt = AllocSetContextCreate(rj->cxt, "modal_batch job call",
										 ALLOCSET_DEFAULT_SIZES);
}

/* Within a transaction; it lives as long as the call. */
static Endpoint *
get_endpoint(RunJob *rj, const char **rest)
{
	MemoryContext old = MemoryContextSwitchTo(rj->call_cxt);
	Endpoint *endpoint;
	OwnerScope scope;

	owner_enter(&scope, rj->job->owner, NULL);
	endpoint = endpoint_get(rj->job->function, rj->job->owner, rest);
	owner_leave(&scope);
	MemoryContextSwitchTo(old);
	return endpoint;
}

static void
open_call(RunJob *rj)
{
	Job *job = rj->job;
	RemoteCallSpec spec = {0};
	Endpoint *endpoint;
	const char *rest;
	MemoryContext old;

	make_call_context(rj);
	rj->batch_cxt = AllocSetContextCreate(rj->call_cxt, "modal_batch job batch",
										  ALLOCSET_DEFAULT_SIZES);
	runner_begin();
	rj->sink = sink_create(rj->call_cxt, job);
	endpoint = get_endpoint(rj, &rest);
	old = MemoryContextSwitchTo(rj->call_cxt);
	rest = pinned_reference(job, rest);
	rj->first_unsettled = job_store_first_chunk(job->id);
	MemoryContextSwitchTo(old);
	runner_commit();

	rj->run_inputs = job_run_inputs(job);
	job_chunks_init(&rj->chunks, rj->call_cxt, job->id);
	old = MemoryContextSwitchTo(rj->call_cxt);
	buf_init(&rj->data, 0, buf_palloc);
	(void) buf_reserve(&rj->data, 1024);
	/* an input has one result */
	rj->items = palloc(sizeof(BatchItem) * Min(BATCH_ROWS, rj->run_inputs));
	MemoryContextSwitchTo(old);
	rj->nitems = 0;
	rj->sent = NIL;
	rj->unacknowledged = 0;
	rj->started = rj->finished = rj->call_done = false;
	rj->settled_at_open = job_settled(job);
	/* without an id the remote side remembers nothing: send all again */
	rj->next_index = job->remote_call_id == NULL
		? rj->first_unsettled
		: Max(job->submitted, rj->first_unsettled);
	rj->stored_submitted = rj->next_index;
	rj->submitted_since = monotonic_seconds();

	spec.kind = CALL_SPAWN_MAP;
	if (endpoint->protocol == ENDPOINT_MODAL && endpoint->window == 0)
		spec.window = JOB_WINDOW;
	spec.reference = rest;
	spec.input_format = job->format;
	spec.return_exceptions = true;
	spec.discard = job->sink.mode == SINK_DISCARD;
	spec.first_ordinal = rj->first_unsettled;
	spec.last_ordinal = -1;
	spec.total_inputs = rj->run_inputs;
	spec.remote_call_id = job->remote_call_id;
	spec.request = job->kwargs == NULL ? NULL
		: JsonbToCString(NULL, &job->kwargs->root, VARSIZE(job->kwargs));
	spec.idempotency = job->seed;
	DEBUG_POINT("runner-before-open");
	rj->call = remote_call_open(rj->call_cxt, endpoint, &spec);
}

/* The call is there: store its id before anything depends on it. */
static void
store_start(RunJob *rj, const CallOpened *opened)
{
	Job *job = rj->job;
	MemoryContext old;
	bool resumed = job->remote_call_id != NULL;

	DEBUG_POINT("runner-opened");
	if (!resumed || job->state != JOB_RUNNING)
	{
		bool running;

		old = MemoryContextSwitchTo(rj->cxt);
		if (!resumed && opened->remote_call_id.n > 0)
			job->remote_call_id = pnstrdup(opened->remote_call_id.p,
										   opened->remote_call_id.n);
		MemoryContextSwitchTo(old);
		if (job->version == 0)
			job->version = (int32) opened->version;
		runner_begin();
		running = job_store_started(job->id, job->remote_call_id, job->version);
		runner_commit();
		if (!running)
		{
			run_job_stand_still(rj);
			return;
		}
		job->state = JOB_RUNNING;
		if (job->started_at == 0)
			job->started_at = GetCurrentTimestamp();
	}
	DEBUG_POINT("runner-id-stored");
	rj->started = true;
	ereport(LOG,
			(errmsg("job " INT64_FORMAT " %s: function \"%s\", " INT64_FORMAT " inputs",
					job->id, resumed ? "continued" : "started", job->function,
					job->inputs)));
}

/* --- the remote call has ended -------------------------------------------- */

/* What is left becomes a new run, under a new call. */
static void
begin_new_run(RunJob *rj)
{
	int64 id = rj->job->id;
	MemoryContext old;
	Job *job;

	run_job_close_call(rj, FRAME_FLAG_DETACH);
	runner_begin();
	job = job_store_load(id);
	if (job != NULL && (job->state == JOB_RUNNING || job->state == JOB_PENDING))
		(void) job_store_requeue(job, false);
	old = MemoryContextSwitchTo(rj->cxt);
	job = job_store_load(id);
	MemoryContextSwitchTo(old);
	runner_commit();
	if (job == NULL)
		rj->done = true;
	else
		rj->job = job;
}

/*
 * The service no longer knows the call, or has ended it with results missing.
 * What is left runs again, unless that has been in vain before.
 */
static void
results_lost(RunJob *rj)
{
	Job *job = rj->job;
	ErrorData edata = {0};

	if (job_settled(job) == rj->settled_at_open)
		rj->empty_runs++;
	else
		rj->empty_runs = 0;
	edata.sqlerrcode = modal_sqlstate(MODAL_SQLSTATE_GONE);
	edata.message = psprintf("the service has no result for " INT64_FORMAT " inputs",
							 job->inputs - job_settled(job));
	if (rj->empty_runs >= MAX_EMPTY_RUNS)
	{
		run_job_error(rj, &edata);
		return;
	}
	ereport(LOG, (errmsg("job " INT64_FORMAT ": %s; they are sent again",
						 job->id, edata.message)));
	begin_new_run(rj);
}

static void
call_failed(RunJob *rj, const CallClosed *closed)
{
	ErrorData edata = {0};
	char *message = pnstrdup(closed->message.p, closed->message.n);

	edata.sqlerrcode = modal_sqlstate(closed->sqlstate);
	edata.message = message;
	if (closed->retryable)
		edata.sqlerrcode = modal_sqlstate(MODAL_SQLSTATE_CONNECTION);
	run_job_error(rj, &edata);
	pfree(message);
}

static void
call_ended(RunJob *rj)
{
	const CallClosed *closed = remote_call_closed(rj->call);

	if (closed->ok || strcmp(closed->sqlstate, MODAL_SQLSTATE_GONE) == 0)
		results_lost(rj);
	else
		call_failed(rj, closed);
}

/* --- cancelling ----------------------------------------------------------- */

static void
begin_cancelling(RunJob *rj)
{
	Job *job = rj->job;
	Job *now;
	RemoteCallSpec spec = {.kind = CALL_CONTROL, .op = CONTROL_CALL_CANCEL};
	Endpoint *endpoint;
	const char *rest;

	runner_begin();
	now = job_store_load(job->id);
	job->terminate = now != NULL && now->terminate;
	runner_commit();
	if (job->remote_call_id == NULL)
	{
		/* not begun, or an HTTP function: there is nothing to confirm */
		run_job_close_call(rj, job->terminate ? FRAME_FLAG_TERMINATE : 0);
		run_job_end(rj, JOB_CANCELLED, NULL, NULL);
		return;
	}
	run_job_close_call(rj, FRAME_FLAG_DETACH);
	make_call_context(rj);
	runner_begin();
	endpoint = get_endpoint(rj, &rest);
	runner_commit();
	spec.reference = spec.remote_call_id = job->remote_call_id;
	if (job->terminate)
		spec.request = "{\"terminate_containers\": true}";
	rj->call = remote_call_open(rj->call_cxt, endpoint, &spec);
	remote_call_finish(rj->call);
	rj->cancelling = true;
}

/*
 * The service has to confirm; until then, and whatever crashes meanwhile, the
 * job's row says that it is to be cancelled.
 */
static bool
step_cancelling(RunJob *rj)
{
	FrameOutput out;

	if (!rj->cancelling)
		begin_cancelling(rj);
	else
		switch (remote_call_poll_noerror(rj->call, &out))
		{
			case REMOTE_CALL_PENDING:
				return false;
			case REMOTE_CALL_END:
				if (!remote_call_closed(rj->call)->ok)
				{
					call_failed(rj, remote_call_closed(rj->call));
					break;
				}
				/* FALLTHROUGH */
			case REMOTE_CALL_OUTPUT:
				run_job_close_call(rj, FRAME_FLAG_DETACH);
				run_job_end(rj, JOB_CANCELLED, NULL, NULL);
				break;
		}
	return true;
}

void
run_job_state_changed(RunJob *rj, JobState state)
{
	Job *job = rj->job;

	switch (state)
	{
		case JOB_PENDING:
			/* paused and resumed meanwhile: it is to be marked as running */
			if (job->state == JOB_RUNNING)
			{
				run_job_close_call(rj, FRAME_FLAG_DETACH);
				job->state = state;
				rj->retry_at = 0;
			}
			break;
		case JOB_RUNNING:
			break;
		case JOB_CANCELLING:
			if (job->state != state)
				rj->retry_at = 0;
			job->state = state;
			break;
		default:
			rj->done = true;
			break;
	}
}

/* --- steps ---------------------------------------------------------------- */

static int
weight(const RunJob *rj)
{
	return Min(Max(rj->job->priority + 1, 1), MAX_WEIGHT);
}

/* Before the call's id is stored. */
static bool
step_opening(RunJob *rj)
{
	const CallOpened *opened;
	FrameOutput out;

	opened = remote_call_opened(rj->call);
	if (opened == NULL)
	{
		if (remote_call_poll_noerror(rj->call, &out) == REMOTE_CALL_END)
		{
			call_ended(rj);
			return true;
		}
		opened = remote_call_opened(rj->call);
	}
	if (opened == NULL)
		return false;
	store_start(rj, opened);
	return rj->started;
}

static bool
step_running(RunJob *rj, long *wait_ms)
{
	int quantum = QUANTUM * weight(rj);
	int64 first;
	uint32 count;
	bool more;
	long due;

	while (remote_call_accepted(rj->call, &first, &count))
		run_job_accepted(rj, first, first + count);
	more = !rj->call_done && run_job_collect(rj, quantum);
	if (!rj->finished && !rj->call_done)
		more |= run_job_feed(rj, quantum);
	due = rj->call_done ? 0 : run_job_batch_due(rj);
	if (due == 0)
	{
		run_job_write_back(rj);
		if (rj->call_done && rj->call != NULL)
			call_ended(rj);
		return true;
	}
	*wait_ms = due;
	return more;
}

bool
run_job_step(RunJob *rj, long *wait_ms)
{
	*wait_ms = -1;
	if (rj->done)
		return true;
	if (rj->retry_at == HUGE_VAL)
		return false;
	if (rj->retry_at != 0)
	{
		long ms = monotonic_ms_until(rj->retry_at);

		if (ms > 0)
		{
			*wait_ms = ms;
			return false;
		}
		rj->retry_at = 0;
	}
	if (rj->job->state == JOB_CANCELLING)
		return step_cancelling(rj);
	if (rj->call == NULL)
	{
		if (job_settled(rj->job) >= rj->job->inputs)
			run_job_end(rj, JOB_COMPLETED, NULL, NULL); /* nothing to do */
		else
			open_call(rj);
		return true;
	}
	if (!rj->started)
	{
		bool moved = step_opening(rj);

		/* its inputs need not wait for the turns of other jobs */
		if (!rj->started)
			return moved;
	}
	return step_running(rj, wait_ms);
}
