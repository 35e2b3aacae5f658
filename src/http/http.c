/*-------------------------------------------------------------------------
 *
 * http.c
 *	  HTTP functions: targets, calls, and what is sent when.
 *
 * Every target has a limit on requests under way and a number of rows per
 * request, both found by trying (core/pace.h), and a list of calls that take
 * turns.  Everything that may let something be sent (inputs, an end, a timer)
 * ends in http_pump().
 *
 *-------------------------------------------------------------------------
 */
#include "http/http.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/random.h"
#include "core/template.h"
#include "http/bulk.h"
#include "errors.h"

#define LINGER_SECONDS 0.002
#define LEAST_CONCURRENCY 64 /* where no option says it */
#define KEPT_FROM 8 /* places; with fewer, none is kept */
#define KEPT_PART 32 /* one of so many, and one */
#define NEVER_REACHED_S 1.0 /* for a call that has had no answer */

static const RetryPolicy probe_policy = {
	.first = 0.1,
	.growth = 2,
	.most = 1,
	.budget = RETRY_FOREVER,
	.tries = RETRY_OFTEN,
};

/* --- functions --------------------------------------------------------------- */

const void *
http_function_key(const void *function, size_t *n)
{
	const HttpFunction *f = function;

	*n = f->n;
	return f->path;
}

void
http_pause(HttpFunction *f, double seconds)
{
	double until = monotonic_seconds() + seconds;

	if (until > f->paused_until)
		f->paused_until = until;
}

/* NULL: no memory. */
static HttpFunction *
function_get(HttpTarget *http, Slice path)
{
	const char *query = memchr(path.p, '?', path.n);
	size_t n = query != NULL ? (size_t) (query - path.p) : path.n;
	HttpFunction *f = map_get_bytes(&http->functions, path.p, n);

	if (f == NULL)
	{
		f = calloc(1, sizeof(HttpFunction) + n);
		if (f == NULL)
			return NULL;
		memcpy(f->path, path.p, n);
		f->n = n;
		if (!map_put_bytes(&http->functions, f))
		{
			free(f);
			return NULL;
		}
	}
	f->calls++;
	return f;
}

static void
function_release(HttpTarget *http, HttpFunction *f)
{
	if (--f->calls > 0)
		return;
	MUST(f->under_way == 0);
	map_remove_bytes(&http->functions, f->path, f->n);
	free(f);
}

/* --- calls with something to send ----------------------------------------- */

static void
give_turns(HttpCall *hcall)
{
	if (list_has(&hcall->turn))
		return;
	list_append(&hcall->http->calls, &hcall->turn);
	hcall->http->ncalls++;
}

static void
take_turns_away(HttpCall *hcall)
{
	if (!list_has(&hcall->turn))
		return;
	list_remove(&hcall->turn);
	hcall->http->ncalls--;
}

void
http_ready(HttpBatch *batch)
{
	list_append(&batch->owner->ready, &batch->ready);
	give_turns(batch->owner);
}

/* --- a service that is out of reach ---------------------------------------- */

static void
pause_until_probe(HttpTarget *http)
{
	double now = monotonic_seconds();
	double until =
		now + retry_pause(&http->probing, &probe_policy, now, random_unit(), 0);

	if (until > http->paused_until)
		http->paused_until = until;
}

void
http_reached(HttpTarget *http, double now)
{
	http->reached_at = now;
	if (http->unreachable_since == 0)
		return;
	http->unreachable_since = 0;
	http->paused_until = 0;
	retry_progress(&http->probing);
}

void
http_not_reached(const HttpBatch *batch)
{
	HttpTarget *http = batch->owner->http;

	if (http->unreachable_since > 0 || http->reached_at >= batch->sent_at)
		return;
	http->unreachable_since = monotonic_seconds();
	pause_until_probe(http);
}

/* A job has nobody who waits for it, and goes on trying. */
static bool
out_of_patience(const HttpCall *hcall, double now)
{
	const HttpTarget *http = hcall->http;
	double budget = http->retrying.budget;
	double patience = hcall->answered || budget < NEVER_REACHED_S
		? budget
		: NEVER_REACHED_S;

	return hcall->call->open.kind != CALL_SPAWN_MAP &&
		now - http->unreachable_since >= patience &&
		now - hcall->opened_at >= patience;
}

/* True if hcall was one of them; all: whatever patience they have. */
static bool
give_up(HttpTarget *http, const HttpCall *hcall, bool all,
		const Failure *failure, const char *message)
{
	double now = monotonic_seconds();
	bool among_them = false;
	ListNode mark, *node;

	list_mark(&http->calls, &mark);
	while ((node = list_turn_until(&http->calls, &mark)) != NULL)
	{
		HttpCall *at = LIST_OWNER(HttpCall, turn, node);

		if (!all && !out_of_patience(at, now))
			continue;
		among_them |= at == hcall;
		http_fail_call(at, failure->sqlstate, failure->hint, message);
	}
	return among_them;
}

bool
http_give_up(HttpCall *hcall, const Failure *failure, const char *message)
{
	HttpTarget *http = hcall->http;

	if (http->unreachable_since == 0)
		return false;
	give_turns(hcall); /* it will have something to send again */
	return give_up(http, hcall, false, failure, message);
}

/* Without a token a service is as good as out of reach. */
void
http_credentials_settled(void *arg, const Failure *failure, const char *message)
{
	HttpTarget *http = arg;
	double now = monotonic_seconds();

	if (failure == NULL)
		http_reached(http, now);
	else
	{
		if (http->unreachable_since == 0)
			http->unreachable_since = now;
		(void) give_up(http, NULL, failure->verdict == VERDICT_FAIL_CALL,
					   failure, message);
	}
	http_pump(http);
}

/* --- requests under way ---------------------------------------------------- */

void
http_sent(HttpBatch *batch)
{
	HttpTarget *http = batch->owner->http;

	http->active++;
	room_begin(batch);
	limits_sent(http->limits);
	batch->owner->under_way++;
	batch->owner->function->under_way++;
	batch->stalled = false;
	list_append(&http->sent, &batch->sent);
	if (http->unreachable_since > 0)
		pause_until_probe(http);
}

void
http_request_over(HttpBatch *batch)
{
	HttpTarget *http = batch->owner->http;

	http->active--;
	room_end(batch);
	limits_over(http->limits);
	batch->owner->under_way--;
	batch->owner->function->under_way--;
	if (batch->stalled)
		http->stalled--;
	list_remove(&batch->sent);
}

/*
 * Requests that hang must not hold up the others: what takes far longer than
 * usual leaves its place.  *later: when the next one will.
 */
static void
note_stalled(HttpTarget *http, double now, double *later)
{
	double after = pace_stalled_after(&http->pace);
	ListNode *node;

	*later = 0;
	while ((node = list_first(&http->sent)) != NULL)
	{
		HttpBatch *batch = LIST_OWNER(HttpBatch, sent, node);

		if (batch->sent_at + after > now)
		{
			if (after < LONGEST_PAUSE)
				*later = batch->sent_at + after;
			return;
		}
		list_remove(node);
		batch->stalled = true;
		http->stalled++;
	}
}

/* --- deciding what to send ------------------------------------------------ */

/*
 * Most requests under way, those that have stalled included.  Where no option
 * says it, these do not grow beyond what helps, either.
 */
static uint32_t
most_active(const HttpTarget *http)
{
	uint32_t most = 2 * pace_requests(&http->pace);

	if (http->max_concurrency > 0)
		return http->max_concurrency;
	return most > LEAST_CONCURRENCY ? most : LEAST_CONCURRENCY;
}

/* Why there are not more of them. */
static CallLimit
limit_of_pace(const HttpTarget *http)
{
	if (pace_is_limited(&http->pace) ||
		origin_lacks_descriptors(http->target->origin))
		return CALL_LIMIT_DESCRIPTORS;
	return http->active >= http->max_concurrency && http->max_concurrency > 0
		? CALL_LIMIT_CONCURRENCY
		: CALL_LIMIT_SERVICE;
}

/*
 * What keeps another request from being sent?  *later says when that may change
 * (0: when something ends, or the server's limits allow it).
 */
static CallLimit
find_limit(HttpTarget *http, double now, double *later)
{
	*later = 0;
	if (http->active >= most_active(http))
		return limit_of_pace(http);
	if (http->active - http->stalled >= pace_requests(&http->pace))
	{
		note_stalled(http, now, later);
		if (http->active - http->stalled >= pace_requests(&http->pace))
			return limit_of_pace(http);
		*later = 0;
	}
	if (now < http->paused_until)
	{
		*later = http->paused_until;
		return CALL_LIMIT_PAUSE;
	}
	if (!credentials_ready(http->credentials, &http->credentials_wait))
		return CALL_LIMIT_PAUSE;
	if (limits_may_send(http->limits_waiter))
		return CALL_LIMIT_NONE;
	return limits_rate(http->limits) ? CALL_LIMIT_RATE : CALL_LIMIT_CONCURRENCY;
}

static bool
may_send(HttpTarget *http, double now, double *later)
{
	http->limit = find_limit(http, now, later);
	return http->limit == CALL_LIMIT_NONE;
}

/* Of two times, of which 0 is never. */
static double
sooner(double a, double b)
{
	return a == 0 || (b > 0 && b < a) ? b : a;
}

/*
 * Should a batch that is not full wait for more rows?  Then *later is lowered
 * to the time when it goes all the same.
 */
static bool
linger(HttpCall *hcall, uint32_t most, double now, double *later)
{
	const DispatchCall *call = hcall->call;
	double due;

	if (call->npending >= most || call->finished || hcall->under_way == 0 ||
		call->pending_bytes >= hcall->http->max_batch_bytes)
		return false;
	if (hcall->lingering_since == 0)
		hcall->lingering_since = now;
	due = hcall->lingering_since + LINGER_SECONDS;
	if (now >= due)
		return false;
	*later = sooner(*later, due);
	return true;
}

/*
 * The last places are for functions that have less than
 * their share of them: where one has many rows that hang, in however many
 * calls, others find a place all the same.
 */
static bool
has_its_share(const HttpCall *hcall)
{
	const HttpTarget *http = hcall->http;
	uint32_t most = most_active(http);
	uint32_t kept = most < KEPT_FROM ? 0 : 1 + most / KEPT_PART;

	return http->active >= most - kept &&
		(uint64_t) hcall->function->under_way * http->functions.count >=
		http->active;
}

/* The next batch of a call, or NULL: nothing to send, or better *later. */
static HttpBatch *
next_batch(HttpCall *hcall, double now, double *later)
{
	HttpTarget *http = hcall->http;
	DispatchCall *call = hcall->call;
	ListNode *ready = list_pop(&hcall->ready);
	double paused_until = hcall->function->paused_until;
	HttpBatch *batch;
	CallInput *inputs;
	uint32_t most, rows;

	/* what is tried again has had a pause of its own */
	if (ready != NULL)
	{
		batch = LIST_OWNER(HttpBatch, ready, ready);
		if (room_for(batch))
			return batch;
		list_prepend(&hcall->ready, ready);
		return NULL;
	}
	if (call->npending == 0)
		return NULL;
	if (now < paused_until)
	{
		*later = sooner(*later, paused_until);
		return NULL;
	}
	/* what is tried again keeps its place: the reader may wait for it */
	most = credit_fetch(&call->credit, output_size_mean(&call->credit.size),
						hcall->rows);
	if (most > pace_rows(&http->pace))
		most = pace_rows(&http->pace);
	most = form_limit_tokens(http, call->pending, most);
	if (most == 0 || linger(hcall, most, now, later))
		return NULL;
	hcall->lingering_since = 0;
	inputs = call_take_inputs(call, most, http->max_batch_bytes, &rows);
	batch = batch_create(hcall, inputs, rows);
	if (batch == NULL)
		http_no_memory(hcall);
	else
		batch->full = rows == pace_rows(&http->pace) ||
			call->npending > 0; /* the limit of bytes */
	return batch;
}

/*
 * Let the calls have their turns, until nobody has something that may go now.
 * Returns when there will be something to do, without an event (0: never).
 */
static double
take_turns(HttpTarget *http, double now)
{
	uint32_t in_vain = 0;
	double later = 0;
	double blocked;

	while (in_vain < http->ncalls)
	{
		HttpCall *hcall =
			LIST_OWNER(HttpCall, turn, list_first(&http->calls));
		HttpBatch *batch;

		if (!may_send(http, now, &blocked))
			return sooner(later, blocked);
		list_remove(&hcall->turn);
		list_append(&http->calls, &hcall->turn);
		if (list_is_empty(&hcall->ready) && hcall->call->npending == 0)
		{
			take_turns_away(hcall);
			continue;
		}
		batch = has_its_share(hcall) ? NULL : next_batch(hcall, now, &later);
		if (batch == NULL)
		{
			in_vain++;
			continue;
		}
		in_vain = 0;
		batch_send(batch);
	}
	return later;
}

void
http_pump(HttpTarget *http)
{
	double later;

	if (http->pumping)
		return;
	http->pumping = true;
	later = take_turns(http, monotonic_seconds());
	limits_settle(http->limits);
	http->pumping = false;
	/* Waking up too early does no harm. */
	if (later > 0 &&
		(http->timer.heap_index == 0 || later < http->timer.due))
		(void) timer_set(&http->timer, later);
}

/* --- calls ---------------------------------------------------------------- */

static void
hcall_free(HttpCall *hcall)
{
	ListNode *node;

	take_turns_away(hcall);
	while ((node = list_first(&hcall->batches)) != NULL)
		batch_free(LIST_OWNER(HttpBatch, of_call, node));
	function_release(hcall->http, hcall->function);
	free(hcall);
}

void
http_fail_call(HttpCall *hcall, const char *sqlstate, const char *hint,
			   const char *message)
{
	DispatchCall *call = hcall->call;

	hcall_free(hcall);
	call_fail(call, sqlstate, false, NULL, hint, "%s", message);
}

void
http_no_memory(HttpCall *hcall)
{
	http_fail_call(hcall, MODAL_SQLSTATE_MEMORY, NULL,
				   "out of memory in the modal_batch dispatcher");
}

/* Has the call nothing left to do? */
static bool
maybe_end(HttpCall *hcall)
{
	DispatchCall *call = hcall->call;

	if (!call->finished || call->npending > 0 ||
		!list_is_empty(&hcall->batches))
		return false;
	hcall_free(hcall);
	call_close(call);
	return true;
}

void
http_batch_gone(HttpCall *hcall)
{
	HttpTarget *http = hcall->http;

	(void) maybe_end(hcall);
	http_pump(http);
}

/* What jobs ask of a service's batch endpoint. */
static bool
is_for_bulks(const CallOpen *open)
{
	return open->kind == CALL_SPAWN_MAP ||
		(open->kind == CALL_CONTROL && open->op == CONTROL_CALL_CANCEL);
}

/*
 * What is wrong with a call, or NULL.  The session has refused it already; but a
 * job may be older than the rule.
 */
static const char *
request_problem(const DispatchCall *call, Reference *ref)
{
	const HttpTarget *http = call->target->state;
	const char *problem = reference_parse_rest(
		call->open.reference.p, call->open.reference.n, true, ref);

	if (problem != NULL)
		return problem;
	if (http->format == BODY_TEMPLATE &&
		!template_is_envelope(call->open.request))
		return "the request template of the server has changed meanwhile";
	if ((call->open.input_format == PAYLOAD_REQUEST) !=
		(ref->placeholders || !http->has_body))
		return "the method of the server has changed meanwhile";
	return NULL;
}

static void
http_open(DispatchCall *call)
{
	HttpTarget *http = call->target->state;
	HttpCall *hcall;
	CallOpened opened = {0};
	Reference ref;
	const char *problem;

	call->state = NULL;
	if (http->format == BODY_BULK && is_for_bulks(&call->open))
	{
		bulk_open(call);
		return;
	}
	if (call->open.kind == CALL_CONTROL)
	{
		http_control(call);
		return;
	}
	if (http->format == BODY_BULK)
	{
		call_fail(call, MODAL_SQLSTATE_UNSUPPORTED, false, NULL,
				  "Use modal_spawn_map(), modal_spawn() or a trigger.",
				  "format openai-batch is for background jobs alone");
		return;
	}
	if (call->open.kind != CALL_REMOTE && call->open.kind != CALL_MAP &&
		call->open.kind != CALL_SPAWN_MAP)
	{
		call_fail(call, MODAL_SQLSTATE_UNSUPPORTED, false, NULL, NULL,
				  "this operation is not possible with an HTTP function");
		return;
	}
	problem = request_problem(call, &ref);
	if (problem != NULL)
	{
		call_fail(call, MODAL_SQLSTATE_REFERENCE, false, NULL, NULL, "%s",
				  problem);
		return;
	}
	if (call->open.request.n > 0 && http->format != BODY_BIGQUERY &&
		http->format != BODY_TEMPLATE)
	{
		call_fail(call, MODAL_SQLSTATE_UNSUPPORTED, false, NULL, NULL,
				  "the format of the server has no place for common keyword arguments");
		return;
	}
	hcall = calloc(1, sizeof(HttpCall));
	if (hcall != NULL)
		hcall->function = function_get(http, ref.target);
	if (hcall == NULL || hcall->function == NULL)
	{
		free(hcall);
		call_fail(call, MODAL_SQLSTATE_MEMORY, true, NULL, NULL,
				  "out of memory in the modal_batch dispatcher");
		return;
	}
	hcall->call = call;
	hcall->http = http;
	hcall->path = ref.target;
	list_init(&hcall->batches);
	list_init(&hcall->ready);
	hcall->opened_at = monotonic_seconds();
	call->state = hcall;
	http_set_limits(http);
	opened.window = call->open.window;
	call_opened(call, &opened);
}

/* A control call keeps its request there, and takes no inputs. */
static HttpCall *
hcall_of(DispatchCall *call)
{
	return call->open.kind == CALL_CONTROL ? NULL : call->state;
}

static void
http_inputs(DispatchCall *call)
{
	HttpCall *hcall = hcall_of(call);

	if (hcall == NULL)
		return;
	give_turns(hcall);
	http_pump(hcall->http);
}

static void
http_finish(DispatchCall *call)
{
	HttpCall *hcall = hcall_of(call);
	HttpTarget *http;

	if (hcall == NULL || maybe_end(hcall))
		return;
	http = hcall->http;
	http_pump(http); /* an incomplete batch need not linger any more */
}

static void
http_consumed(DispatchCall *call)
{
	HttpCall *hcall = hcall_of(call);

	if (hcall != NULL)
		http_pump(hcall->http);
}

/* Of what it has not sent. */
static CallLimit
http_limit(const DispatchCall *call)
{
	const HttpCall *hcall = call->open.kind == CALL_CONTROL ? NULL : call->state;
	bool tries_again;

	if (hcall == NULL)
		return CALL_LIMIT_NONE;
	tries_again = !list_is_empty(&hcall->ready);
	if (!tries_again && call->npending == 0)
		return CALL_LIMIT_NONE;
	if (monotonic_seconds() < hcall->function->paused_until)
		return CALL_LIMIT_PAUSE;
	if (!tries_again &&
		credit_fetch(&call->credit, output_size_mean(&call->credit.size),
					 hcall->rows) == 0)
		return CALL_LIMIT_READER;
	return hcall->http->limit;
}

static void
http_cancel(DispatchCall *call, int flags)
{
	(void) flags;
	if (call->open.kind == CALL_CONTROL)
		http_control_cancel(call);
	else if (call->state != NULL)
	{
		HttpTarget *http = ((HttpCall *) call->state)->http;

		hcall_free(call->state);
		http_pump(http);
	}
}

const Protocol http_protocol = {
	.name = "http",
	.driver =
		{
			.open = http_open,
			.inputs = http_inputs,
			.finish = http_finish,
			.consumed = http_consumed,
			.cancel = http_cancel,
			.limit = http_limit,
		},
	.target_init = http_target_init,
	.target_free = http_target_free,
};
