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
 * Each of these is a transaction of its own, and none is open between steps:
 * what comes from the service is kept as it came until one is, and an error
 * there aborts nothing but the step.  Servers are looked up and results are
 * written as the job's owner (owner.h), all else as the owner of the tables.
 *
 * A job that a limit ends (limits.h) is first "cancelling", with the reason in
 * its row: so whatever crashes then, its call is cancelled before the job ends
 * as failed.
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
#include "guc.h"
#include "jobs/error.h"
#include "jobs/limits.h"
#include "jobs/owner.h"
#include "jobs/run_job_internal.h"
#include "jobs/runner_xact.h"
#include "jobs/sink_target.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#define JOB_WINDOW 25000 /* what a Modal function takes */
#define BACKGROUND_WINDOW 2000
#define QUANTUM 1000 /* inputs and outputs in a step, at priority 0 */
#define BACKGROUND_QUANTUM 250
#define MAX_WEIGHT 8
#define MAX_EMPTY_RUNS 3 /* runs without any result, before it fails */

/* --- life ----------------------------------------------------------------- */

RunJob *
run_job_create(MemoryContext cxt, Job *job)
{
	RunJob *rj = MemoryContextAllocZero(cxt, sizeof(RunJob));

	rj->cxt = cxt;
	rj->job = job;
	rj->deadline = job->deadline == 0
		? HUGE_VAL
		: monotonic_seconds() +
			(double) (job->deadline - GetCurrentTimestamp()) / USECS_PER_SEC;
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
run_job_is_background(const RunJob *rj)
{
	return rj->job->priority < 0;
}

bool
run_job_done(const RunJob *rj)
{
	return rj->done;
}

bool
run_job_has_ended(const RunJob *rj)
{
	return rj->ended;
}

bool
run_job_is_ordered(const RunJob *rj)
{
	return rj->job->order_stripes != 0;
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
	job_chunks_clear(&rj->chunks);
	if (rj->call_cxt != NULL)
		MemoryContextDelete(rj->call_cxt);
	rj->call_cxt = NULL;
	rj->order = NULL;
	rj->nitems = 0;
	rj->unwritten = rj->rewrites = false;
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
	rj->done = true;
}

bool
run_job_read_row(RunJob *rj)
{
	MemoryContext cxt = AllocSetContextCreate(
		CurrentMemoryContext, "modal_batch job row", ALLOCSET_SMALL_SIZES);
	MemoryContext old;
	Job *job;

	sink_target_hold(&rj->job->sink);
	old = MemoryContextSwitchTo(cxt);
	job = job_store_load(rj->job->id);
	MemoryContextSwitchTo(old);
	if (job == NULL || job->state != rj->job->state ||
		job->owner != rj->job->owner)
		return false;
	rj->job = job;
	MemoryContextSetParent(cxt, rj->cxt);
	if (rj->row_cxt != NULL)
		MemoryContextDelete(rj->row_cxt);
	rj->row_cxt = cxt;
	return true;
}

bool
run_job_is_quiet(const RunJob *rj, double seconds)
{
	return rj->call != NULL && rj->started && rj->finished && !rj->call_done &&
		!rj->cancelling && rj->job->remote_call_id != NULL && rj->nitems == 0 &&
		run_job_submitted(rj) == rj->stored_submitted &&
		monotonic_seconds() - rj->last_news >= seconds;
}

bool
run_job_would_lose(RunJob *rj)
{
	return rj->call != NULL && rj->started && rj->job->remote_call_id == NULL &&
		(rj->nitems > 0 ||
		 remote_call_room(rj->call) < remote_call_window(rj->call));
}

/* --- opening -------------------------------------------------------------- */

/* "app/function" with the version that the job began with. */
static char *
pinned_reference(const Job *job, const char *rest)
{
	Reference ref;

	if (job->version == 0 ||
		reference_parse_rest(rest, strlen(rest), false, &ref) != NULL ||
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

	owner_enter_rights(&scope, rj->job->owner);
	endpoint = endpoint_get(rj->job->function, rj->job->owner, rest);
	owner_leave(&scope);
	MemoryContextSwitchTo(old);
	return endpoint;
}

static int
job_window(const RunJob *rj, const Endpoint *endpoint)
{
	const Job *job = rj->job;
	int window = (int) endpoint_window(endpoint);

	if (endpoint->protocol == ENDPOINT_MODAL && endpoint->window == 0)
		window = run_job_is_background(rj) ? BACKGROUND_WINDOW : JOB_WINDOW;

	return job->max_in_flight > 0 ? Min(job->max_in_flight, window) : window;
}

static void
open_call(RunJob *rj)
{
	Job *job;
	RemoteCallSpec spec = {0};
	Endpoint *endpoint;
	const char *rest;
	MemoryContext old;

	make_call_context(rj);
	runner_begin();
	/* those of other jobs are not followed */
	if (rj->job->by_trigger && !run_job_read_row(rj))
	{
		runner_commit();
		run_job_stand_still(rj);
		return;
	}
	job = rj->job;
	rj->sink = sink_create(rj->call_cxt, job);
	endpoint = get_endpoint(rj, &rest);
	rj->bulk = endpoint->protocol == ENDPOINT_HTTP &&
		endpoint->format == HTTP_BULK;
	old = MemoryContextSwitchTo(rj->call_cxt);
	rest = pinned_reference(job, rest);
	rj->first_unsettled = job_store_first_chunk(job->id);
	MemoryContextSwitchTo(old);
	runner_commit();

	rj->run_inputs = job->run_inputs;
	job_chunks_init(&rj->chunks, rj->call_cxt, job->id);
	old = MemoryContextSwitchTo(rj->call_cxt);
	buf_init(&rj->data, 0, buf_palloc);
	rj->max_items = 1;
	rj->items = palloc(sizeof(BatchItem));
	MemoryContextSwitchTo(old);
	rj->nitems = 0;
	rj->sent = NIL;
	rj->unacknowledged = 0;
	if (run_job_is_ordered(rj))
		run_job_order_begin(rj);
	rj->started = rj->finished = rj->call_done = false;
	rj->settled_at_open = job_settled(job);
	/* without an id the remote side remembers nothing: send all again */
	rj->next_index = job->remote_call_id == NULL
		? rj->first_unsettled
		: Max(job->submitted, rj->first_unsettled);
	rj->stored_submitted = rj->next_index;
	rj->submitted_since = rj->last_news = monotonic_seconds();

	spec.kind = CALL_SPAWN_MAP;
	spec.window = job_window(rj, endpoint);
	spec.reference = rest;
	spec.input_format = job->format;
	spec.return_exceptions = true;
	spec.discard = job->sink.mode == SINK_DISCARD;
	spec.first_ordinal = rj->first_unsettled;
	spec.last_ordinal = -1;
	spec.total_inputs = rj->run_inputs;
	spec.window_bytes = Min(job_chunks_share(), (Size) modal_window_bytes_kb * 1024);
	spec.remote_call_id = job->remote_call_id;
	spec.idempotency = job->seed;
	DEBUG_POINT("runner-before-open");
	runner_begin();
	spec.request = endpoint_common_kwargs(endpoint, job->kwargs);
	rj->call = remote_call_open(rj->call_cxt, endpoint, &spec);
	runner_commit();
}

/* False: the job is no longer to run. */
static bool
store_id(RunJob *rj, const CallOpened *opened)
{
	Job *job = rj->job;
	MemoryContext old = MemoryContextSwitchTo(rj->cxt);
	bool running;

	if (opened->remote_call_id.n > 0)
		job->remote_call_id = pnstrdup(opened->remote_call_id.p,
									   opened->remote_call_id.n);
	MemoryContextSwitchTo(old);
	if (job->version == 0)
		job->version = (int32) opened->version;
	runner_begin();
	running = job_store_started(job);
	runner_commit();
	if (!running)
	{
		run_job_stand_still(rj);
		return false;
	}
	job->state = JOB_RUNNING;
	if (job->started_at == 0)
		job->started_at = GetCurrentTimestamp();
	return true;
}

/* The call is there: store its id before anything depends on it. */
static void
store_start(RunJob *rj, const CallOpened *opened)
{
	Job *job = rj->job;
	bool resumed = job->remote_call_id != NULL;

	DEBUG_POINT("runner-opened");
	if ((!resumed || job->state != JOB_RUNNING) && !store_id(rj, opened))
		return;
	DEBUG_POINT("runner-id-stored");
	rj->started = true;
	ereport(LOG,
			(errmsg("job " INT64_FORMAT " %s: function \"%s\", " INT64_FORMAT " inputs",
					job->id, resumed ? "continued" : "started",
					reference_label(job->function),
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
	job = job_store_lock_own(id);
	if (job != NULL && (job->state == JOB_RUNNING || job->state == JOB_PENDING))
		(void) job_store_requeue(job, false, NULL);
	old = MemoryContextSwitchTo(rj->cxt);
	if (job != NULL)
		job = job_store_load(id);
	MemoryContextSwitchTo(old);
	runner_commit();
	if (job == NULL)
		rj->done = rj->ended = true;
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
						 job->id, edata.message),
				  rj->bulk ? errdetail("A batch has as many as option max_batch_rows of the server says, or fewer.")
						   : 0));
	begin_new_run(rj);
}

static void
call_failed(RunJob *rj, const CallClosed *closed)
{
	MemoryContext cxt = CurrentMemoryContext; /* outlives the call */
	ErrorData *edata;

	runner_begin();
	MemoryContextSwitchTo(cxt);
	edata = closed_to_edata(closed);
	runner_commit();
	run_job_error(rj, edata);
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

/* Its id may not have come, or not have been stored. */
static bool
may_have_bulk(RunJob *rj)
{
	Endpoint *endpoint;
	const char *rest;
	OwnerScope scope;
	bool bulk;

	if (rj->job->started_at == 0)
		return false;
	runner_begin();
	owner_enter(&scope, rj->job->owner);
	endpoint = endpoint_get(rj->job->function, rj->job->owner, &rest);
	owner_leave(&scope);
	bulk = endpoint->protocol == ENDPOINT_HTTP && endpoint->format == HTTP_BULK;
	endpoint_release(endpoint);
	runner_commit();
	return bulk;
}

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
	if (job->remote_call_id == NULL && !may_have_bulk(rj))
	{
		/* not begun, or an HTTP function: there is nothing to confirm */
		run_job_close_call(rj, job->terminate ? FRAME_FLAG_TERMINATE : 0);
		run_job_end(rj, JOB_CANCELLED, NULL);
		return;
	}
	run_job_close_call(rj, FRAME_FLAG_DETACH);
	make_call_context(rj);
	runner_begin();
	endpoint = get_endpoint(rj, &rest);
	spec.remote_call_id = job->remote_call_id;
	spec.reference = endpoint->protocol == ENDPOINT_HTTP ? rest
														 : job->remote_call_id;
	spec.idempotency = job->seed;
	if (job->terminate)
		spec.request = "{\"terminate_containers\": true}";
	rj->call = remote_call_open(rj->call_cxt, endpoint, &spec);
	runner_commit();
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
				pg_fallthrough;
			case REMOTE_CALL_OUTPUT:
				run_job_close_call(rj, FRAME_FLAG_DETACH);
				run_job_end(rj, JOB_CANCELLED, NULL);
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
		case JOB_PAUSED:
			rj->done = true;
			break;
		default:
			rj->done = rj->ended = true;
			break;
	}
}

/* --- steps ---------------------------------------------------------------- */

static int
weight(const RunJob *rj)
{
	return Min(Max(rj->job->priority, 0), MAX_WEIGHT - 1) + 1;
}

/* Before the call's id is stored. */
static bool
step_opening(RunJob *rj)
{
	const CallOpened *opened;
	FrameOutput out;

	opened = remote_call_opened(rj->call);
	run_job_note_waiting(rj);
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
has_id(const Job *job, Slice id)
{
	return job->remote_call_id != NULL && strlen(job->remote_call_id) == id.n &&
		memcmp(job->remote_call_id, id.p, id.n) == 0;
}

/*
 * Has the id of a bulk come?  Then it is stored, and no more inputs follow, as
 * when the call goes on from there.  False: the job is no longer to run.
 */
static bool
begin_following(RunJob *rj)
{
	const CallOpened *opened = remote_call_opened(rj->call);

	if (!rj->bulk || opened->remote_call_id.n == 0)
		return true;
	if (!has_id(rj->job, opened->remote_call_id))
	{
		DEBUG_POINT("runner-bulk-made");
		if (!store_id(rj, opened))
			return false;
		DEBUG_POINT("runner-bulk-stored");
	}
	if (!rj->finished)
		remote_call_finish(rj->call);
	rj->finished = true;
	return true;
}

static bool
step_running(RunJob *rj, long *wait_ms)
{
	int quantum = run_job_is_background(rj) ? BACKGROUND_QUANTUM
											: QUANTUM * weight(rj);
	int64 first;
	uint32 count;
	bool more;
	long due;

	if (!begin_following(rj))
		return true;
	while (remote_call_accepted(rj->call, &first, &count))
	{
		run_job_accepted(rj, first, first + count);
		rj->last_news = monotonic_seconds();
	}
	more = !rj->call_done && run_job_collect(rj, quantum);
	if (!rj->finished && !rj->call_done)
		more |= run_job_feed(rj, quantum);
	due = rj->call_done ? 0 : run_job_batch_due(rj, more);
	if (due == 0)
	{
		run_job_write_back(rj);
		if (rj->call_done && rj->call != NULL && rj->nitems == 0 &&
			rj->job->state != JOB_CANCELLING)
			call_ended(rj);
		return true;
	}
	run_job_note_waiting(rj);
	*wait_ms = due;
	return more;
}

/* What has arrived in time is kept. */
static void
deadline_passed(RunJob *rj)
{
	MemoryContext cxt = CurrentMemoryContext;
	ErrorData *error;
	bool stops;

	if (rj->nitems > 0)
		run_job_write_back(rj);
	if (rj->done || rj->job->state == JOB_CANCELLING)
		return;
	runner_begin();
	MemoryContextSwitchTo(cxt);
	error = limits_deadline_error(rj->job);
	stops = run_job_stop(rj, error);
	DEBUG_POINT("runner-before-stop");
	runner_commit();
	DEBUG_POINT("runner-after-stop");
	if (stops)
		run_job_stopped(rj, error);
	else
		run_job_stand_still(rj);
}

static bool
step(RunJob *rj, long *wait_ms)
{
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
			run_job_end(rj, JOB_COMPLETED, NULL); /* nothing to do */
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

bool
run_job_step(RunJob *rj, long *wait_ms)
{
	bool more;

	*wait_ms = -1;
	if (rj->done)
		return true;
	if (rj->deadline != HUGE_VAL && rj->job->state != JOB_CANCELLING &&
		monotonic_ms_until(rj->deadline) == 0)
	{
		deadline_passed(rj);
		return true;
	}
	more = step(rj, wait_ms);
	if (rj->deadline != HUGE_VAL && rj->job->state != JOB_CANCELLING)
	{
		long ms = monotonic_ms_until(rj->deadline);

		*wait_ms = *wait_ms < 0 ? ms : Min(*wait_ms, ms);
	}
	return more;
}
