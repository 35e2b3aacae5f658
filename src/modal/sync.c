/*-------------------------------------------------------------------------
 *
 * sync.c
 *	  Calls that somebody waits for: each input is kept until its result is
 *	  there, and is sent again when the service has lost it or its function
 *	  failed and may be retried (core/call_state).
 *
 * A map begins without inputs (on an input plane with some), a unary call with
 * its only one.  Inputs that come in a trickle are sent at once; while a
 * request is under way, they collect for the next one.
 *
 *-------------------------------------------------------------------------
 */
#include <stdlib.h>

#include "core/grpc_frame.h"
#include "modal/call.h"

#define MAX_INPUT_OVERHEAD (128 * 1024) /* of an input in a request: tokens */

/* --- taking inputs -------------------------------------------------------- */

/*
 * Most inputs in flight.  When results turn out to be large, it is no more than
 * the reader can hold: what is beyond that would only come out of order.
 */
static uint32_t
window(const ModalCall *mc)
{
	const Credit *credit = &mc->call->credit;

	return output_size_window(&credit->size, credit->budget, mc->window);
}

static uint32_t
in_flight(const ModalCall *mc)
{
	return call_state_count(&SYNC_CALL(mc)->items);
}

/* Take what has arrived as far as the window allows. */
static bool
take_inputs(ModalCall *mc)
{
	DispatchCall *call = mc->call;
	size_t limit = modal_call_inline_limit(mc);
	uint32_t most = window(mc);

	while (call->npending > 0 &&
		   in_flight(mc) + mc->nready + mc->nuploads < most &&
		   mc->nready < MAX_PUTS * MAP_CHUNK && mc->nuploads < MAX_UPLOADS)
	{
		CallInput *input = modal_call_take(mc);

		if (input == NULL)
			return false;
		if (input->len <= limit)
			modal_call_push_ready(mc, input);
		else if (!modal_call_upload(mc, input, false))
		{
			call_input_free(input);
			modal_call_fail_memory(mc);
			return false;
		}
	}
	return true;
}

/* --- sending inputs ------------------------------------------------------- */

/* Is there room in a request for one more input, however large it is? */
static bool
has_room(const ModalCall *mc, const Buf *request)
{
	return request->len + mc->handle->max_inline + MAX_INPUT_OVERHEAD <=
		GRPC_MAX_MESSAGE;
}

static bool
send_ready(ModalCall *mc)
{
	SyncCall *sc = SYNC_CALL(mc);
	PutRequest *put = put_request_add(mc);
	uint32_t most = window(mc);
	GrpcSpec spec;

	if (put == NULL)
		return false;
	spec = wire_put(mc, put);
	while (mc->nready > 0 && put->n < MAP_CHUNK && in_flight(mc) < most &&
		   has_room(mc, &spec.request))
	{
		CallInput *input = modal_call_pop_ready(mc);

		if (call_state_add(&sc->items, sc->next_idx, input) == NULL)
		{
			call_input_free(input);
			buf_free(&spec.request);
			return false;
		}
		put->idx[put->n++] = sc->next_idx;
		wire_put_input(mc, &spec.request, sc->next_idx, input);
		sc->next_idx++;
	}
	mc->call->sent += put->n;
	call_touch(mc->call);
	return modal_call_start_put(put, &spec);
}

/* Input planes take one retry per request. */
static bool
send_retries(ModalCall *mc, CallItem *item)
{
	PutRequest *put = put_request_add(mc);
	uint32_t most = mc->plane != NULL ? 1 : MAP_CHUNK;
	GrpcSpec spec;

	if (put == NULL)
		return false;
	put->retry = true;
	spec = wire_retry(mc, put);
	while (item != NULL)
	{
		put->idx[put->n++] = item->idx;
		wire_retry_input(mc, &spec.request, item);
		call_state_token_used(item);
		item = put->n < most && has_room(mc, &spec.request)
			? call_state_pop_due(&SYNC_CALL(mc)->items, monotonic_seconds())
			: NULL;
	}
	mc->call->retries += put->n;
	call_touch(mc->call);
	return modal_call_start_put(put, &spec);
}

static bool
send_due_retries(ModalCall *mc)
{
	SyncCall *sc = SYNC_CALL(mc);
	CallItem *item;
	double due;

	while (mc->nputs < MAX_PUTS &&
		   (item = call_state_pop_due(&sc->items, monotonic_seconds())) != NULL)
	{
		if (!send_retries(mc, item))
			return false;
	}
	due = call_state_next_due(&sc->items);
	if (due < 0)
		timer_cancel(&sc->retry_timer);
	else if (mc->nputs < MAX_PUTS)
		return timer_set(&sc->retry_timer, due);
	return true;
}

static void
on_retry_timer(void *arg)
{
	modal_call_pump(arg);
}

/* Send what is ready, and what is to be sent again; false: no memory. */
static bool
send_inputs(ModalCall *mc)
{
	if (!mc->started)
	{
		/* On an input plane the first inputs start the map, alone. */
		return mc->plane == NULL || mc->nputs > 0 || mc->nready == 0 ||
			send_ready(mc);
	}
	if (!send_due_retries(mc))
		return false;
	while (mc->nready > 0 && mc->nputs < MAX_PUTS &&
		   in_flight(mc) < window(mc) &&
		   (mc->nready >= MAP_CHUNK || mc->nputs == 0))
	{
		if (!send_ready(mc))
			return false;
	}
	return true;
}

/* A call of one input starts with it; false: no memory. */
static bool
start_unary(ModalCall *mc)
{
	CallInput *input;

	if (mc->start != NULL || mc->nready == 0)
		return true;
	input = modal_call_pop_ready(mc);
	if (call_state_add(&SYNC_CALL(mc)->items, 0, input) == NULL)
	{
		call_input_free(input);
		return false;
	}
	mc->call->sent++;
	call_touch(mc->call);
	return modal_call_start(mc, input, NULL);
}

bool
sync_pump(ModalCall *mc)
{
	if (!take_inputs(mc))
		return false;
	if (mc->kind->unary && !mc->started ? start_unary(mc) : send_inputs(mc))
		return true;
	modal_call_fail_memory(mc);
	return false;
}

/*
 * Is there an input that the reply does not name?  The service has no room for
 * it, and nothing would ever come of it.
 */
static bool
was_refused(const PutRequest *put)
{
	for (uint32_t i = 0; i < put->n; i++)
	{
		const CallItem *item =
			call_state_find(&SYNC_CALL(put->mc)->items, put->idx[i]);

		if (item != NULL &&
			(item->state == ITEM_SENDING || item->state == ITEM_RETRYING) &&
			!item->token_missing)
			return true;
	}
	return false;
}

bool
sync_put_done(PutRequest *put, const GrpcResult *result)
{
	ModalCall *mc = put->mc;
	ModalError error;

	if (!wire_read_put(mc, put, result))
	{
		modal_call_fail_reply(mc, "FunctionPutInputs");
		return false;
	}
	if (was_refused(put))
	{
		modal_error(&error, MODAL_SQLSTATE_RESOURCES, NULL,
					"the service took fewer inputs than it was sent");
		error.retryable = true;
		modal_call_fail(mc, &error);
		return false;
	}
	put_request_free(put);
	return true;
}

/* --- outputs -------------------------------------------------------------- */

bool
sync_settle(ModalCall *mc, int64_t idx, const WireOutput *output, double now,
			SyncResult *result)
{
	CallState *items = &SYNC_CALL(mc)->items;
	CallItem *item = call_state_find(items, idx);
	CallInput *input;
	OutputVerdict verdict;

	if (item == NULL)
		return false;
	input = item->payload;
	result->ordinal = input->ordinal;
	result->attempts = item->retry_count + 1;
	verdict = call_state_output(items, item, output->retry_count,
								output->status, now);
	if (verdict == OUTPUT_DROP)
		return false;
	mc->poll_brought = true;
	if (verdict == OUTPUT_RETRY)
		return false;
	result->failed = verdict == OUTPUT_FAILURE;
	call_state_remove(items, item);
	call_input_free(input);
	return true;
}

bool
sync_output(ModalCall *mc, const WireOutput *output, double now)
{
	SyncResult result;

	if (!sync_settle(mc, mc->kind->unary ? 0 : output->idx, output, now,
					 &result))
		return true;
	if (!modal_deliver(mc, result.ordinal, result.attempts, output))
	{
		modal_call_fail_memory(mc);
		return false;
	}
	if (result.failed && !(mc->call->open.flags & CALL_RETURN_EXCEPTIONS))
		mc->stop = true;
	return true;
}

bool
sync_is_done(const ModalCall *mc)
{
	return in_flight(mc) == 0;
}

/* How failed inputs are retried, and by whom. */
void
sync_apply_policy(ModalCall *mc, const WireStarted *started)
{
	CallState *items = &SYNC_CALL(mc)->items;

	items->client_retries = started->client_retries;
	if (!started->has_policy)
		return;
	items->retries = started->retries;
	items->initial_delay_ms = started->initial_delay_ms;
	items->backoff_coefficient = started->backoff_coefficient;
}

/* --- life ----------------------------------------------------------------- */

void
sync_init(ModalCall *mc)
{
	SyncCall *sc = SYNC_CALL(mc);

	call_state_init(&sc->items);
	timer_init(&sc->retry_timer, on_retry_timer, mc);
	if (mc->window > DEFAULT_WINDOW)
		mc->window = DEFAULT_WINDOW; /* until the service has said more */
}

void
sync_free(ModalCall *mc)
{
	SyncCall *sc = SYNC_CALL(mc);
	CallItem *item;
	MapVisit visit = {0};

	timer_cancel(&sc->retry_timer);
	while ((item = call_state_next(&sc->items, &visit)) != NULL)
		call_input_free(item->payload);
	call_state_free(&sc->items);
}

/* An input that was not taken. */
static void
take_back(ModalCall *mc, CallItem *item)
{
	CallInput *input = item->payload;

	call_state_remove(&SYNC_CALL(mc)->items, item);
	modal_call_unpop_ready(mc, input);
	mc->call->sent--;
}

void
sync_take_back(PutRequest *put)
{
	for (uint32_t i = put->n; i-- > 0;)
		take_back(put->mc, call_state_find(&SYNC_CALL(put->mc)->items, put->idx[i]));
	put_request_free(put);
}

/* --- unary calls ---------------------------------------------------------- */

CallItem *
unary_item(const ModalCall *mc)
{
	return call_state_find(&SYNC_CALL(mc)->items, 0);
}

bool
unary_begin(ModalCall *mc)
{
	mc->plane = mc->handle->plane;
	return true;
}

void
unary_restart(ModalCall *mc)
{
	take_back(mc, unary_item(mc));
}

/* Send the one input again by itself: the start took the call only. */
static bool
put_unary(ModalCall *mc, CallItem *item)
{
	PutRequest *put = put_request_add(mc);
	GrpcSpec spec;

	if (put == NULL)
		return false;
	spec = wire_put(mc, put);
	put->idx[put->n++] = item->idx;
	wire_put_input(mc, &spec.request, item->idx, item->payload);
	return modal_call_start_put(put, &spec);
}

bool
unary_started(ModalCall *mc, const WireStarted *started)
{
	CallItem *item = unary_item(mc);

	sync_apply_policy(mc, started);
	if (!started->has_item)
		return put_unary(mc, item);
	return call_state_sent(&SYNC_CALL(mc)->items, item, started->item_token.p,
						   started->item_token.n, monotonic_seconds());
}

bool
unary_wants_poll(ModalCall *mc, PollWish *wish)
{
	const CallItem *item = unary_item(mc);

	wish->list = true;
	return item != NULL && item->state == ITEM_WAITING;
}

/* An answer to a unary call needs no acknowledgement. */
void
unary_leave(ModalCall *mc, CallEnd end, bool terminate)
{
	if (end != END_DONE || in_flight(mc) > 0)
		modal_cancel_remote(mc->mt, buf_cstr(&mc->call_id), terminate);
}

const ModalKind remote_kind = {
	.size = sizeof(SyncCall),
	.unary = true,
	.invocation = INVOCATION_SYNC,
	.init = sync_init,
	.free = sync_free,
	.begin = unary_begin,
	.restart = unary_restart,
	.started = unary_started,
	.pump = sync_pump,
	.put_done = sync_put_done,
	.wants_poll = unary_wants_poll,
	.output = sync_output,
	.is_done = sync_is_done,
	.leave = unary_leave,
};
