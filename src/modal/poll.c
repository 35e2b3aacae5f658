/*-------------------------------------------------------------------------
 *
 * poll.c
 *	  Outputs of a call on their way in: one long poll at a time.
 *
 *-------------------------------------------------------------------------
 */
#include <stdlib.h>

#include "modal/call.h"

#define HASTY_POLL_S 0.1		/* ends so soon, with nothing new: no long poll */
#define REPLY_SHARE 4			/* of the reader's budget, in one reply */

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

/* What a reply brought, to the call; false: it has ended. */
static bool
take_outputs(ModalCall *mc, WireOutputs *outputs)
{
	WireOutput output;
	bool bad = false;
	uint32_t n = 0;
	uint64_t bytes = 0;
	double now = monotonic_seconds();

	while (!mc->stop && wire_next_output(outputs, &output, &bad))
	{
		n++;
		bytes += output.data.n;
		if (!mc->kind->output(mc, &output, now))
			return false;
	}
	output_size_note(&mc->inline_size, bytes, n);
	if (mc->stop)
		return true;
	if (bad)
	{
		modal_call_fail_reply(mc, "FunctionGetOutputs");
		return false;
	}
	return mc->kind->polled == NULL ||
		mc->kind->polled(mc, n, outputs->unfinished);
}

static void
on_poll(void *arg, const GrpcResult *result)
{
	ModalCall *mc = arg;
	WireOutputs outputs;

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
	mc->poll_brought = false;
	if (!take_outputs(mc, &outputs))
		return;
	if (!mc->poll_brought)
		modal_poll_pause_if_hasty(mc);
	if (mc->stop)
		modal_call_end(mc);
	else
		modal_call_pump(mc);
}

bool
modal_call_ensure_poll(ModalCall *mc)
{
	PollWish wish = {.timeout = LONG_POLL_S};
	GrpcSpec spec;
	uint32_t wanted;

	if (mc->poll != NULL || mc->poll_pause.heap_index != 0 || !mc->started ||
		(wanted = outputs_wanted(mc)) == 0 ||
		!mc->kind->wants_poll(mc, &wish))
		return true;
	mc->poll_began = monotonic_seconds();
	spec = wire_poll(mc, wish.timeout, wish.list, wanted, on_poll);
	grpc_end(&spec.request);
	mc->poll = grpc_start(&spec);
	if (mc->poll != NULL)
		return true;
	modal_call_fail_memory(mc);
	return false;
}

void
modal_poll_pause_if_hasty(ModalCall *mc)
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

/* --- life ----------------------------------------------------------------- */

void
modal_poll_init(ModalCall *mc)
{
	buf_init(&mc->cursor, 64 * 1024, NULL);
	timer_init(&mc->poll_pause, on_poll_pause, mc);
	modal_downloads_init(mc);
}

void
modal_poll_free(ModalCall *mc)
{
	if (mc->poll != NULL)
		grpc_cancel(mc->poll);
	timer_cancel(&mc->poll_pause);
	modal_downloads_free(mc);
	buf_free(&mc->cursor);
}
