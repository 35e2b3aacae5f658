/*-------------------------------------------------------------------------
 *
 * polls.c
 *	  Long polls for outputs, of the control plane and of the input plane.
 *
 *-------------------------------------------------------------------------
 */
#include "api/polls.h"

#include <math.h>
#include <stdio.h>

#include "pb.h"

#define MAX_OUTPUTS_PER_REPLY 1000
#define MAX_REPLY_BYTES (512 * 1024)
#define CURSOR_SIZE 24 /* <number>-0 */

/* A cursor: digits, then anything.  The first is 0-0. */
bool
poll_parse_cursor(const void *data, size_t len, uint64_t *cursor)
{
	const uint8_t *text = data;
	size_t i = 0;

	*cursor = 0;
	while (i < len && text[i] >= '0' && text[i] <= '9' && i < 19)
		*cursor = *cursor * 10 + (uint64_t) (text[i++] - '0');
	return len == 0 || (i > 0 && i < len && text[i] == '-');
}

/*
 * The numbers of outputs to give: in order of arrival, or of the index when
 * a range of them is asked for.  Returns how many; *bytes: what they take up.
 */
static size_t
select_outputs(const Poll *poll, uint64_t *numbers, size_t max, size_t *bytes)
{
	const Waiter *waiter = &poll->base.waiter;
	const Call *call = waiter->call;
	const OutLog *outputs = &call->outputs;
	size_t n = 0;

	*bytes = 0;
	if (poll->by_index)
	{
		for (int64_t idx = poll->start_idx > 0 ? poll->start_idx : 0;
			 idx <= poll->end_idx && idx <= call->max_idx && n < max; idx++)
		{
			const Slot *slot = call_slot(call, (int32_t) idx);

			if (slot == NULL || slot->output <= waiter->cursor ||
				slot->output <= outputs->dropped || slot->live > 0)
				continue;
			numbers[n++] = slot->output;
			*bytes += outlog_get(outputs, slot->output)->len;
		}
		return n;
	}
	for (uint64_t number = waiter->cursor > outputs->dropped
							   ? waiter->cursor + 1
							   : outputs->dropped + 1;
		 number <= outputs->last && n < max && *bytes < MAX_REPLY_BYTES;
		 number++)
	{
		numbers[n++] = number;
		*bytes += outlog_get(outputs, number)->len;
	}
	return n;
}

/*
 * All inputs are known and done, and the client gets to know that: waiting
 * would bring nothing.  One that polls for certain indexes asks again at once.
 */
static bool
is_over(const Poll *poll, const Call *call)
{
	return !poll->by_index && call->async && call->declared_inputs >= 0 &&
		   call->n_inputs >= call->declared_inputs && call->n_unfinished == 0;
}

static bool
outputs_ready(Waiter *waiter, bool timed_out)
{
	uint64_t numbers[MAX_OUTPUTS_PER_REPLY];
	const Poll *poll = (Poll *) waiter;
	Rpc *rpc = poll->base.rpc;
	Call *call = waiter->call;
	size_t max = poll->max_values > 0 &&
						 poll->max_values < MAX_OUTPUTS_PER_REPLY
					 ? (size_t) poll->max_values
					 : MAX_OUTPUTS_PER_REPLY;
	size_t bytes;
	size_t n = select_outputs(poll, numbers, max, &bytes);
	uint64_t last = waiter->cursor;
	char cursor[CURSOR_SIZE];
	uint8_t *p;

	if (n == 0 && !timed_out && !is_over(poll, call))
		return false;
	p = rpc_reply_open(rpc, bytes + n * (1 + PB_MAX_VARINT) +
								2 * (1 + PB_MAX_VARINT) + CURSOR_SIZE);
	for (size_t i = 0; i < n; i++)
	{
		const OutEntry *entry = outlog_get(&call->outputs, numbers[i]);

		p = pb_put_bytes(p, poll->reply->outputs, entry->data, entry->len);
		if (numbers[i] > last)
			last = numbers[i];
	}
	p = pb_put_bytes(p, poll->reply->cursor, cursor,
					 (size_t) snprintf(cursor, sizeof(cursor), "%llu-0",
									   (unsigned long long) last));
	if (call->n_unfinished > 0 && poll->reply->unfinished != 0)
		p = pb_put_uint(p, poll->reply->unfinished, (uint32_t) call->n_unfinished);
	if (last > call->delivered)
	{
		call->delivered = last;
		call->first_unread = loop_now();
	}
	if (rpc_logging())
	{
		rpc_log(rpc, "outputs=%zu", n);
		rpc_log(rpc, "clear=%d", poll->clear);
	}
	if (poll->clear && (n > 0 || call->map))
		call_clear(call, rpc->headers[HEADER_IDEMPOTENCY_KEY]);
	rpc_reply_close(rpc, p);
	return true;
}

static void
waiter_abandoned(Rpc *rpc)
{
	call_stop_waiting(rpc->state);
}

void
rpc_wait(RpcWaiter *waiter, double seconds)
{
	if (!call_wait(&waiter->waiter, seconds))
		return;
	waiter->rpc->state = &waiter->waiter;
	waiter->rpc->abandoned = waiter_abandoned;
}

double
poll_seconds(float timeout)
{
	if (!isfinite(timeout) || timeout <= 0)
		return 0;
	return timeout < MAX_POLL_SECONDS ? timeout : MAX_POLL_SECONDS;
}

Poll *
poll_create(Rpc *rpc, const PollReply *reply)
{
	Poll *poll = arena_alloc(&rpc->arena, sizeof(*poll));

	*poll = (Poll){.base.rpc = rpc,
				   .base.waiter.ready = outputs_ready,
				   .reply = reply,
				   .end_idx = INT32_MAX};
	return poll;
}

void
poll_start(Poll *poll, Call *call, float timeout)
{
	Waiter *waiter = &poll->base.waiter;
	const Fault *fault = &poll->base.rpc->fault;

	waiter->call = call;
	if (fault->unasked)
	{
		poll->by_index = false;
		poll->max_values = 0;
		waiter->cursor = 0;
	}
	waiter->patient = call->map && poll->max_values == 0 && !poll->by_index;
	if (!poll->by_index)
		call_forget_outputs(call, waiter->cursor);
	rpc_wait(&poll->base, fault->hasty ? 0 : poll_seconds(timeout));
}
