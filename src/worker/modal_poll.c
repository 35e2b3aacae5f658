/*-------------------------------------------------------------------------
 *
 * modal_poll.c
 *	  Outputs of a call on their way in: one long poll at a time, and what
 *	  each output means for its input.
 *
 * A poll names the inputs that should be in progress, so that the service can
 * report the ones that it has lost.  That list is long, so it is sent only
 * when there is reason to doubt: after a short poll that brought nothing, and
 * now and then while outputs keep coming.
 *
 *-------------------------------------------------------------------------
 */
#include <stdlib.h>

#include "worker/modal_call.h"

#define LISTLESS_POLL_S 2.0		/* a poll that does not name its inputs */
#define LISTING_INTERVAL_S 5.0
#define CHECK_INTERVAL_S 1.0	/* MapCheckInputs */
#define HASTY_POLL_S 0.1		/* ends so soon, with nothing: no long poll */
#define REPLY_SHARE 4			/* of the reader's budget, in one reply */

static void on_poll(void *arg, const GrpcResult *result);

/* --- outputs -------------------------------------------------------------- */

/*
 * How many outputs to ask for: 0 for none now.  Outputs come in the service's
 * order, so the one that the reader awaits may be any of the next ones, unless
 * it is among the blobs that are known.  While a reply is read its results are
 * in memory twice, so it must not bring all that the reader has room for.
 */
static uint32_t
outputs_wanted(const ModalCall *mc)
{
	const Credit *credit = &mc->call->credit;
	uint64_t each = mc->inline_size.weight > 0
		? output_size_mean(&mc->inline_size)
		: modal_call_inline_limit(mc);
	uint32_t n = credit_fetch(credit, each, 0);
	uint64_t most = credit->budget / REPLY_SHARE / (each + 1) + 1;
	int64_t awaited = credit_awaited(credit);

	if (n == 0 && awaited >= 0 && !modal_is_download(mc, awaited))
		n = 1;
	return n < most ? n : (uint32_t) most;
}

static bool
unary_is_waiting(const ModalCall *mc)
{
	uint32_t at = 0;
	const CallItem *item = call_state_next(&mc->items, &at);

	return item != NULL && item->state == ITEM_WAITING;
}

void
modal_call_ensure_poll(ModalCall *mc)
{
	GrpcSpec spec;
	double now = monotonic_seconds();
	double timeout = LONG_POLL_S;
	uint32_t wanted;
	bool list = true;

	if (mc->poll != NULL || mc->poll_pause.heap_index != 0 || !mc->started ||
		(wanted = outputs_wanted(mc)) == 0)
		return;
	if (mc->unary && !unary_is_waiting(mc))
		return;
	if (!mc->unary && !mc->async && mc->items.count == 0)
		return;
	if (mc->async)
	{
		list = false;
		if (!spawn_wants_poll(mc))
			return;
		if (spawn_all_finished(mc))
			timeout = 0;
	}
	else if (!mc->unary && mc->plane == NULL)
	{
		if (mc->last_listing == 0)
			mc->last_listing = now;
		list = mc->poll_was_empty ||
			now - mc->last_listing >= LISTING_INTERVAL_S;
		if (list)
			mc->last_listing = now;
		else
			timeout = LISTLESS_POLL_S;
	}
	mc->poll_lists = list;
	mc->poll_began = now;
	spec = wire_poll(mc, timeout, list, wanted, on_poll);
	grpc_end(&spec.request);
	mc->poll = grpc_start(&spec);
	if (mc->poll == NULL)
		modal_call_fail_memory(mc);
}

/* An output of an input that we hold; true: the call has ended. */
static bool
handle_item_output(ModalCall *mc, CallItem *item, const WireOutput *output,
				   double now)
{
	CallInput *input = item->payload;
	int64_t ordinal = input->ordinal;
	uint32_t attempts = item->retry_count + 1;
	OutputVerdict verdict =
		call_state_output(&mc->items, item, output->retry_count,
						  output->status, now);

	if (verdict == OUTPUT_DROP || verdict == OUTPUT_RETRY)
		return false;
	call_state_remove(&mc->items, item);
	call_input_free(input);
	if (mc->generator != NULL)
		return generator_result(mc, output);
	if (!modal_deliver(mc, ordinal, attempts, output))
	{
		modal_call_fail_memory(mc);
		return true;
	}
	if (verdict == OUTPUT_FAILURE &&
		!(mc->call->open.flags & CALL_RETURN_EXCEPTIONS))
		mc->stop = true;
	return false;
}

static bool
handle_output(ModalCall *mc, const WireOutput *output, double now)
{
	int64_t idx = mc->unary ? 0 : output->idx;
	CallItem *item;

	if (mc->async)
	{
		if (!spawn_wants_output(mc, idx))
			return false;
		if (modal_deliver(mc, idx, output->retry_count + 1, output))
			return false;
		modal_call_fail_memory(mc);
		return true;
	}
	item = call_state_find(&mc->items, idx);
	return item != NULL && handle_item_output(mc, item, output, now);
}

/* A service that does not wait must not make us busy. */
static void
pause_if_hasty(ModalCall *mc)
{
	double now = monotonic_seconds();

	if (now - mc->poll_began < HASTY_POLL_S)
		timer_set(&mc->poll_pause, now + HASTY_POLL_S);
}

static void
on_poll_pause(void *arg)
{
	modal_call_pump(arg);
}

static void
on_poll(void *arg, const GrpcResult *result)
{
	ModalCall *mc = arg;
	WireOutputs outputs;
	WireOutput output;
	bool bad = false;
	uint32_t n = 0;
	uint64_t bytes = 0;
	double now = monotonic_seconds();

	mc->poll = NULL;
	if (result->status != GRPC_OK)
	{
		modal_call_fail_grpc(mc, result, "waiting for outputs");
		return;
	}
	if (!wire_read_outputs(mc, result, &outputs))
	{
		modal_call_fail_reply(mc, "FunctionGetOutputs");
		return;
	}
	if (outputs.cursor.n > 0)
	{
		buf_reset(&mc->cursor);
		buf_put(&mc->cursor, outputs.cursor.p, outputs.cursor.n);
	}
	while (!mc->stop && wire_next_output(&outputs, &output, &bad))
	{
		n++;
		bytes += output.data.n;
		if (handle_output(mc, &output, now))
			return;
	}
	output_size_note(&mc->inline_size, bytes, n);
	if (mc->stop)
	{
		modal_call_end(mc);
		return;
	}
	if (bad)
	{
		modal_call_fail_reply(mc, "FunctionGetOutputs");
		return;
	}
	mc->poll_was_empty = n == 0;
	mc->none_unfinished = outputs.unfinished == 0;
	if (n == 0 && mc->async && spawn_poll_empty(mc))
		return;
	if (n == 0 && !mc->async)
		pause_if_hasty(mc);
	modal_call_pump(mc);
}

/* --- lost inputs on an input plane ---------------------------------------- */

void
modal_check_later(ModalCall *mc)
{
	timer_set(&mc->check_timer, monotonic_seconds() + CHECK_INTERVAL_S);
}

static void
on_check(void *arg, const GrpcResult *result)
{
	ModalCall *mc = arg;

	mc->check = NULL;
	modal_check_later(mc);
	if (result->status != GRPC_OK)
		return;
	wire_apply_lost(mc, result);
	modal_call_pump(mc);
}

static void
on_check_timer(void *arg)
{
	ModalCall *mc = arg;
	GrpcSpec spec;

	if (mc->items.count == 0)
	{
		modal_check_later(mc);
		return;
	}
	spec = wire_check(mc, on_check);
	grpc_end(&spec.request);
	mc->check = grpc_start(&spec);
}

/* --- life ----------------------------------------------------------------- */

void
modal_poll_init(ModalCall *mc)
{
	buf_init(&mc->cursor, 64 * 1024, NULL);
	timer_init(&mc->poll_pause, on_poll_pause, mc);
	timer_init(&mc->check_timer, on_check_timer, mc);
}

void
modal_poll_free(ModalCall *mc)
{
	if (mc->poll != NULL)
		grpc_cancel(mc->poll);
	if (mc->check != NULL)
		grpc_cancel(mc->check);
	timer_cancel(&mc->poll_pause);
	timer_cancel(&mc->check_timer);
	modal_downloads_cancel(mc);
	buf_free(&mc->cursor);
	free(mc->checked);
}
