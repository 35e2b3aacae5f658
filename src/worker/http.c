/*-------------------------------------------------------------------------
 *
 * http.c
 *	  HTTP functions: targets, calls, and what is sent when.
 *
 * Every target has a limit on requests under way and a number of rows per
 * request, both found by trying (core/pace.h), and a ring of calls that take
 * turns.  Everything that may let something be sent (inputs, an end, a timer)
 * ends in http_pump().
 *
 *-------------------------------------------------------------------------
 */
#include "worker/http.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "errors.h"

#define LINGER_SECONDS 0.002
#define NEVER_REACHED_S 1.0 /* for a call that has had no answer */

/* --- the ring of calls with something to send ----------------------------- */

static void
ring_remove(HttpCall *hcall)
{
	HttpTarget *http = hcall->http;

	if (!hcall->in_ring)
		return;
	hcall->prev->next = hcall->next;
	hcall->next->prev = hcall->prev;
	if (http->calls == hcall)
		http->calls = hcall->next != hcall ? hcall->next : NULL;
	hcall->in_ring = false;
}

static void
ring_add(HttpCall *hcall)
{
	HttpTarget *http = hcall->http;

	if (hcall->in_ring)
		return;
	if (http->calls == NULL)
	{
		hcall->prev = hcall->next = hcall;
		http->calls = hcall;
	}
	else
	{
		hcall->next = http->calls;
		hcall->prev = http->calls->prev;
		hcall->prev->next = hcall;
		hcall->next->prev = hcall;
	}
	hcall->in_ring = true;
}

void
http_ready(HttpBatch *batch)
{
	HttpCall *hcall = batch->owner;

	batch->next_ready = NULL;
	*hcall->ready_tail = batch;
	hcall->ready_tail = &batch->next_ready;
	ring_add(hcall);
}

/* --- a service that is out of reach ---------------------------------------- */

void
http_pause(HttpTarget *http, double seconds)
{
	double until = monotonic_seconds() +
		(seconds < LONGEST_PAUSE ? seconds : LONGEST_PAUSE);

	if (until > http->paused_until)
		http->paused_until = until;
}

static void
pause_until_probe(HttpTarget *http)
{
	http_pause(http, backoff_next(&http->probing, drand48()));
}

void
http_reached(HttpTarget *http, double now)
{
	http->reached_at = now;
	if (http->unreachable_since == 0)
		return;
	http->unreachable_since = 0;
	http->paused_until = 0;
	backoff_reset(&http->probing);
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
	double patience = hcall->answered || http->retry_budget < NEVER_REACHED_S
		? http->retry_budget
		: NEVER_REACHED_S;

	return hcall->call->open.kind != CALL_SPAWN_MAP &&
		now - http->unreachable_since >= patience &&
		now - hcall->opened_at >= patience;
}

static HttpCall *
find_impatient(const HttpTarget *http, double now)
{
	HttpCall *at = http->calls;

	do
	{
		if (at == NULL || out_of_patience(at, now))
			return at;
		at = at->next;
	} while (at != http->calls);
	return NULL;
}

bool
http_give_up(HttpCall *hcall, const Failure *failure, const char *message)
{
	const HttpTarget *http = hcall->http;
	double now = monotonic_seconds();
	bool among_them = false;
	HttpCall *at;

	if (http->unreachable_since == 0)
		return false;
	ring_add(hcall); /* it will have something to send again */
	while ((at = find_impatient(http, now)) != NULL)
	{
		among_them |= at == hcall;
		http_fail_call(at, failure->sqlstate, failure->hint, message);
	}
	return among_them;
}

/* --- requests under way ---------------------------------------------------- */

static void
unlist_sent(HttpBatch *batch)
{
	HttpTarget *http = batch->owner->http;

	if (batch->prev_sent != NULL)
		batch->prev_sent->next_sent = batch->next_sent;
	else
		http->oldest = batch->next_sent;
	if (batch->next_sent != NULL)
		batch->next_sent->prev_sent = batch->prev_sent;
	else
		http->newest = batch->prev_sent;
}

void
http_sent(HttpBatch *batch)
{
	HttpTarget *http = batch->owner->http;

	http->active++;
	batch->owner->under_way++;
	batch->stalled = false;
	batch->next_sent = NULL;
	batch->prev_sent = http->newest;
	if (http->newest != NULL)
		http->newest->next_sent = batch;
	else
		http->oldest = batch;
	http->newest = batch;
	if (http->unreachable_since > 0)
		pause_until_probe(http);
}

void
http_request_over(HttpBatch *batch)
{
	HttpTarget *http = batch->owner->http;

	http->active--;
	batch->owner->under_way--;
	if (batch->stalled)
		http->stalled--;
	else
		unlist_sent(batch);
}

/*
 * Requests that hang must not hold up the others: what takes far longer than
 * usual leaves its place.  *later: when the next one will.
 */
static void
note_stalled(HttpTarget *http, double now, double *later)
{
	double after = pace_stalled_after(&http->pace);
	HttpBatch *batch;

	while ((batch = http->oldest) != NULL && batch->sent_at + after <= now)
	{
		unlist_sent(batch);
		batch->stalled = true;
		http->stalled++;
	}
	*later = batch != NULL && after < LONGEST_PAUSE ? batch->sent_at + after : 0;
}

/* --- deciding what to send ------------------------------------------------ */

/*
 * Take a token of the pacing.  A second's worth may be saved up, but not at
 * the start.
 */
static bool
may_send_now(HttpTarget *http, double now, double *later)
{
	double rate = http->requests_per_second;
	double most = rate > 1 ? rate : 1;

	if (rate == 0)
		return true;
	if (http->tokens_at == 0)
		http->tokens = 1;
	else
		http->tokens += (now - http->tokens_at) * rate;
	if (http->tokens > most)
		http->tokens = most;
	http->tokens_at = now;
	if (http->tokens >= 1)
		return true;
	*later = now + (1 - http->tokens) / rate;
	return false;
}

/*
 * May another request be sent?  If not, *later says when that may change (0:
 * when something ends).
 */
static bool
may_send(HttpTarget *http, double now, double *later)
{
	*later = 0;
	if (http->active >= http->max_concurrency)
		return false;
	if (http->active - http->stalled >= pace_requests(&http->pace))
	{
		note_stalled(http, now, later);
		if (http->active - http->stalled >= pace_requests(&http->pace))
			return false;
		*later = 0;
	}
	if (now < http->paused_until)
	{
		*later = http->paused_until;
		return false;
	}
	return may_send_now(http, now, later);
}

/*
 * The next batch of a call, or NULL: nothing to send, or better later (then
 * *later is lowered to the time when it goes even if incomplete).
 */
static HttpBatch *
next_batch(HttpCall *hcall, double now, double *later)
{
	HttpTarget *http = hcall->http;
	DispatchCall *call = hcall->call;
	HttpBatch *batch = hcall->ready;
	CallInput *inputs;
	uint32_t most, rows;

	if (batch != NULL)
	{
		hcall->ready = batch->next_ready;
		if (hcall->ready == NULL)
			hcall->ready_tail = &hcall->ready;
		return batch;
	}
	if (call->npending == 0)
		return NULL;
	/* what is tried again keeps its place: the reader may wait for it */
	most = credit_fetch(&call->credit, output_size_mean(&call->credit.size),
						hcall->rows);
	if (most > pace_rows(&http->pace))
		most = pace_rows(&http->pace);
	if (most == 0)
		return NULL;
	if (call->npending < most && !call->finished &&
		call->pending_bytes < http->max_batch_bytes && hcall->under_way > 0)
	{
		if (hcall->lingering_since == 0)
			hcall->lingering_since = now;
		if (now < hcall->lingering_since + LINGER_SECONDS)
		{
			double due = hcall->lingering_since + LINGER_SECONDS;

			if (*later == 0 || due < *later)
				*later = due;
			return NULL;
		}
	}
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

/* Let each call of the ring have a turn; true if something was sent. */
static bool
pump_round(HttpTarget *http, double now, double *later)
{
	HttpCall *last;
	bool sent = false;

	if (http->calls == NULL)
		return false;
	last = http->calls->prev;
	for (;;)
	{
		HttpCall *hcall = http->calls;
		bool at_end = hcall == last;
		HttpBatch *batch;

		if (!may_send(http, now, later))
			return false;
		http->calls = hcall->next;
		if (hcall->ready == NULL && hcall->call->npending == 0)
			ring_remove(hcall);
		else if ((batch = next_batch(hcall, now, later)) != NULL)
		{
			if (http->requests_per_second > 0)
				http->tokens -= 1;
			batch_send(batch);
			sent = true;
		}
		/* Sending can end calls, other ones too: then begin anew. */
		if (at_end || http->calls == NULL)
			return sent;
		if (sent)
			return true;
	}
}

void
http_pump(HttpTarget *http)
{
	double now = monotonic_seconds();
	double later = 0;

	if (http->pumping)
		return;
	http->pumping = true;
	while (pump_round(http, now, &later))
		;
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
	ring_remove(hcall);
	while (hcall->batches != NULL)
		batch_free(hcall->batches);
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

	if (!call->finished || call->npending > 0 || hcall->batches != NULL)
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

static void
http_open(DispatchCall *call)
{
	HttpTarget *http = call->target->state;
	HttpCall *hcall;
	CallOpened opened = {0};

	call->state = NULL;
	if (call->open.kind == CALL_CONTROL)
	{
		http_control(call);
		return;
	}
	if (call->open.kind != CALL_REMOTE && call->open.kind != CALL_MAP &&
		call->open.kind != CALL_SPAWN_MAP)
	{
		call_fail(call, MODAL_SQLSTATE_UNSUPPORTED, false, NULL, NULL,
				  "this operation is not possible with an HTTP function");
		return;
	}
	if (call->open.request.n > 0 && http->format != BODY_BIGQUERY)
	{
		call_fail(call, MODAL_SQLSTATE_UNSUPPORTED, false, NULL, NULL,
				  "the format of the server has no place for common keyword arguments");
		return;
	}
	hcall = calloc(1, sizeof(HttpCall));
	if (hcall == NULL)
	{
		call_fail(call, MODAL_SQLSTATE_MEMORY, true, NULL, NULL,
				  "out of memory in the modal_batch dispatcher");
		return;
	}
	hcall->call = call;
	hcall->http = http;
	hcall->ready_tail = &hcall->ready;
	hcall->opened_at = monotonic_seconds();
	call->state = hcall;
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
	ring_add(hcall);
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
		},
	.target_init = http_target_init,
	.target_free = http_target_free,
};
