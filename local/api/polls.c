/*-------------------------------------------------------------------------
 *
 * polls.c
 *	  Long polls for outputs, of the control plane and of the input plane.
 *
 *-------------------------------------------------------------------------
 */
#include "polls.h"

#include <math.h>
#include <stdio.h>

#include "pb.h"

#define MAX_OUTPUTS_PER_REPLY 1000
#define MAX_REPLY_BYTES (16 * 1024 * 1024)
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
select_outputs(const Waiter *waiter, uint64_t *numbers, size_t max,
			   size_t *bytes)
{
	const Call *call = waiter->call;
	const OutLog *outputs = &call->outputs;
	size_t n = 0;

	*bytes = 0;
	if (waiter->by_index)
	{
		for (int64_t idx = waiter->start_idx;
			 idx <= waiter->end_idx && idx <= call->max_idx && n < max; idx++)
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

/* All inputs are known and done: waiting would bring nothing. */
static bool
is_over(const Call *call)
{
	return call->async && call->declared_inputs >= 0 &&
		   call->n_inputs >= call->declared_inputs && call->n_unfinished == 0;
}

static bool
outputs_ready(Waiter *waiter, bool timed_out)
{
	uint64_t numbers[MAX_OUTPUTS_PER_REPLY];
	Rpc *rpc = waiter->rpc;
	Call *call = waiter->call;
	size_t max = waiter->max_values > 0 &&
						 waiter->max_values < MAX_OUTPUTS_PER_REPLY
					 ? (size_t) waiter->max_values
					 : MAX_OUTPUTS_PER_REPLY;
	size_t bytes;
	size_t n = select_outputs(waiter, numbers, max, &bytes);
	uint64_t last = waiter->cursor;
	char cursor[CURSOR_SIZE];
	uint8_t *p;

	if (n == 0 && !timed_out && !is_over(call))
		return false;
	p = rpc_reply_open(rpc, bytes + n * (1 + PB_MAX_VARINT) +
								2 * (1 + PB_MAX_VARINT) + CURSOR_SIZE);
	for (size_t i = 0; i < n; i++)
	{
		const OutEntry *entry = outlog_get(&call->outputs, numbers[i]);

		p = pb_put_bytes(p, waiter->reply->outputs, entry->data, entry->len);
		if (numbers[i] > last)
			last = numbers[i];
	}
	p = pb_put_bytes(p, waiter->reply->cursor, cursor,
					 (size_t) snprintf(cursor, sizeof(cursor), "%llu-0",
									   (unsigned long long) last));
	if (call->n_unfinished > 0 && waiter->reply->unfinished != 0)
		p = pb_put_uint(p, waiter->reply->unfinished, (uint32_t) call->n_unfinished);
	if (last > call->delivered)
	{
		call->delivered = last;
		call->first_unread = loop_now();
	}
	if (rpc_logging())
	{
		rpc_log(rpc, "outputs=%zu", n);
		rpc_log(rpc, "clear=%d", waiter->clear);
	}
	if (waiter->clear && (n > 0 || call->map))
		call_clear(call, rpc->headers[HEADER_IDEMPOTENCY_KEY]);
	rpc_reply_close(rpc, p);
	return true;
}

Waiter *
poll_create(Rpc *rpc, const PollReply *reply)
{
	Waiter *waiter = arena_alloc(&rpc->arena, sizeof(*waiter));

	*waiter = (Waiter){.rpc = rpc, .reply = reply, .end_idx = INT32_MAX,
					   .ready = outputs_ready};
	return waiter;
}

void
poll_start(Waiter *waiter, Call *call, float timeout)
{
	double seconds = isfinite(timeout) && timeout > 0 ? timeout : 0;

	waiter->call = call;
	waiter->patient =
		call->map && waiter->max_values == 0 && !waiter->by_index;
	if (!waiter->by_index)
		call_forget_outputs(call, waiter->cursor);
	call_wait(waiter, seconds < MAX_POLL_SECONDS ? seconds : MAX_POLL_SECONDS);
}
