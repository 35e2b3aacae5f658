/*-------------------------------------------------------------------------
 *
 * calls.c
 *	  Function calls: their life, what is known of their inputs, and who waits.
 *
 * Attempts and outputs are in attempts.c.
 *
 * A synchronous call lives until its client has said that it has everything,
 * or has not been heard of for a while; an asynchronous one until its results
 * expire.
 *
 *-------------------------------------------------------------------------
 */
#include "calls/calls.h"

#include <stdlib.h>

#include "calls/attempts.h"
#include "journal.h"
#include "util.h"

#define SLOTS_PER_PAGE 256
#define CLEARED_LIFE 5.0 /* of a call whose client has its result */
#define SYNC_LIFE 600.0	 /* of one whose client is silent */
#define ASYNC_LIFE (7 * 86400.0) /* of results that nobody fetches */

/*
 * A reply with many outputs costs hardly more than one with few, and each
 * poll names all inputs that are waited for.  So a poll of a call with much
 * in flight waits a little, for a share of that to come in.
 */
#define LINGER_SECONDS 0.001
#define LINGER_SHARE 4

struct SlotPage
{
	Slot slots[SLOTS_PER_PAGE];
};

static struct
{
	Table by_number;
	uint64_t next_number;
	int n_calls;
	LoopTimer sweep;
} calls;

static void sweep(void *arg);
static void wake(void *arg);

void
calls_init(void)
{
	/* Unlike those of earlier and later runs. */
	random_bytes(&calls.next_number, sizeof(calls.next_number));
	calls.next_number &= ((uint64_t) 1 << CALL_NUMBER_BITS) - 1;
}

static void
schedule_sweep(double seconds)
{
	if (calls.sweep.place == 0 || calls.sweep.due > loop_now() + seconds)
		loop_set_timer(&calls.sweep, seconds, sweep, NULL);
}

/* How long the call is kept without being asked for. */
static double
life(const Call *call)
{
	if (call->async)
		return ASYNC_LIFE;
	/* A client that was given a failure may yet retry it. */
	if (call->cleared && call->n_unfinished == 0 &&
		call->n_by_status[RESULT_SUCCESS] > 0)
		return CLEARED_LIFE;
	return SYNC_LIFE;
}

static Call *
call_insert(uint64_t number, Handle *handle, double created,
			const char *parent_input_id)
{
	Call *call = xcalloc(sizeof(*call));

	call->number = number;
	call->handle = handle;
	call->declared_inputs = -1;
	call->parent_input_id = xstrdup(parent_input_id);
	call->created = created;
	call->touched = loop_now();
	buf_init(&call->held, 0, xbuf_realloc);
	call->next = handle->calls;
	if (call->next != NULL)
		call->next->prev = call;
	handle->calls = call;
	table_put(&calls.by_number, &call->number, sizeof(call->number), call);
	calls.n_calls++;
	return call;
}

Call *
call_create(Handle *handle, bool map, bool async, bool plane,
			const char *parent_input_id)
{
	Call *call;

	do
		calls.next_number = (calls.next_number + 1) &
							(((uint64_t) 1 << CALL_NUMBER_BITS) - 1);
	while (call_get(calls.next_number) != NULL);
	call = call_insert(calls.next_number, handle, loop_wall_time(),
					   parent_input_id);
	call->map = map;
	call->async = async;
	call->plane = plane;
	schedule_sweep(life(call));
	journal_call(call);
	return call;
}

Call *
call_restore(uint64_t number, Handle *handle, bool map, double created,
			 const char *parent_input_id)
{
	Call *call = call_insert(number, handle, created, parent_input_id);

	call->map = map;
	call->async = true;
	schedule_sweep(life(call));
	return call;
}

static void
call_free(Call *call)
{
	table_delete(&calls.by_number, &call->number, sizeof(call->number));
	if (call->next != NULL)
		call->next->prev = call->prev;
	if (call->prev != NULL)
		call->prev->next = call->next;
	else
		call->handle->calls = call->next;
	for (int32_t i = 0; i < call->n_pages; i++)
		free(call->pages[i]);
	free(call->pages);
	for (uint64_t i = 0; i < call->n_chunks; i++)
	{
		free(call->chunks[i].data);
		free(call->chunks[i].blob_id);
	}
	free(call->chunks);
	outlog_free(&call->outputs);
	buf_free(&call->held);
	free(call->parent_input_id);
	free(call->clear_key);
	loop_cancel_deferred(&call->wake);
	loop_clear_timer(&call->linger);
	free(call);
	calls.n_calls--;
}

Call *
call_get(uint64_t number)
{
	Call *call = table_get(&calls.by_number, &number, sizeof(number));

	if (call != NULL)
		call->touched = loop_now();
	return call;
}

Call *
call_get_by_id(const char *id)
{
	uint64_t number;

	return call_id_parse(id, &number) ? call_get(number) : NULL;
}

/* Frees the call if its time is over; else, in how many seconds it will be. */
static double
expire(Call *call)
{
	double left = life(call) - (loop_now() - call->touched);

	if (call->waiters != NULL)
		return life(call);
	if (left > 0)
		return left;
	if (call->inputs != NULL)
	{
		call_cancel(call, false); /* the outputs first, the end next time */
		return CLEARED_LIFE;
	}
	call_free(call);
	return ASYNC_LIFE;
}

static void
sweep(void *arg)
{
	double next = ASYNC_LIFE;

	(void) arg;
	for (size_t i = 0; i < calls.by_number.size; i++)
		if (calls.by_number.entries[i].key != NULL)
		{
			double left = expire(calls.by_number.entries[i].value);

			if (left < next)
				next = left;
		}
	if (calls.n_calls > 0)
		schedule_sweep(next > CLEARED_LIFE ? next : CLEARED_LIFE);
}

/*
 * Outputs up to the newest are not to be given again, but in reply to the same
 * request, should its client not have got this one.
 */
void
call_clear(Call *call, const char *key)
{
	call->cleared = true;
	call->cleared_upto = call->outputs.last;
	free(call->clear_key);
	call->clear_key = key != NULL ? xstrdup(key) : NULL;
	if (call->map)
		outlog_drop(&call->outputs, call->cleared_upto);
	schedule_sweep(CLEARED_LIFE);
}

void
calls_for_each(void (*visit)(Call *call, void *arg), void *arg)
{
	for (size_t i = 0; i < calls.by_number.size; i++)
		if (calls.by_number.entries[i].key != NULL)
			visit(calls.by_number.entries[i].value, arg);
}

/* --- slots --------------------------------------------------------------- */

Slot *
call_slot(const Call *call, int32_t idx)
{
	int32_t page = idx / SLOTS_PER_PAGE;

	if (idx == 0 && !call->map)
		return (Slot *) &call->only;
	if (idx < 0 || page >= call->n_pages || call->pages[page] == NULL)
		return NULL;
	return &call->pages[page]->slots[idx % SLOTS_PER_PAGE];
}

Slot *
call_make_slot(Call *call, int32_t idx)
{
	int32_t page = idx / SLOTS_PER_PAGE;

	if (idx == 0 && !call->map)
		return &call->only;
	if (page >= call->n_pages)
	{
		int32_t n = call->n_pages > 0 ? call->n_pages * 2 : 1;

		if (n <= page)
			n = page + 1;
		call->pages = xrealloc(call->pages, (size_t) n * sizeof(SlotPage *));
		memset(call->pages + call->n_pages, 0,
			   (size_t) (n - call->n_pages) * sizeof(SlotPage *));
		call->n_pages = n;
	}
	if (call->pages[page] == NULL)
		call->pages[page] = xcalloc(sizeof(SlotPage));
	return &call->pages[page]->slots[idx % SLOTS_PER_PAGE];
}

bool
call_input_lost(const Call *call, int32_t idx, uint32_t attempt)
{
	const Slot *slot = call_slot(call, idx);

	if (slot == NULL || (slot->live == 0 && slot->output == 0 && !slot->lost))
		return true;
	if (attempt != slot->attempt)
		return attempt > slot->attempt;
	return slot->lost;
}

void
call_forget_outputs(Call *call, uint64_t number)
{
	/*
	 * Those of asynchronous calls are kept, to be read as often as wanted; the
	 * few of a single call, for the repetition of a request.
	 */
	if (call->map && !call->async)
		outlog_drop(&call->outputs, number);
}

/* --- waiters ------------------------------------------------------------- */

static void
remove_waiter(Waiter *waiter)
{
	Call *call = waiter->call;

	loop_clear_timer(&waiter->timer);
	if (waiter->next != NULL)
		waiter->next->prev = waiter->prev;
	if (waiter->prev != NULL)
		waiter->prev->next = waiter->next;
	else
		call->waiters = waiter->next;
	call->touched = loop_now();
}

static void
waiter_abandoned(Rpc *rpc)
{
	remove_waiter(rpc->state);
}

static void
waiter_timed_out(void *arg)
{
	Waiter *waiter = arg;

	waiter->ready(waiter, true);
	remove_waiter(waiter);
}

/* How many outputs has the waiter not seen? */
static uint64_t
n_new(const Waiter *waiter)
{
	uint64_t last = waiter->call->outputs.last;

	return last > waiter->cursor ? last - waiter->cursor : 0;
}

static bool
worth_a_reply(const Waiter *waiter)
{
	const Call *call = waiter->call;

	return !waiter->patient ||
		   n_new(waiter) * LINGER_SHARE >= (uint64_t) call->n_unfinished ||
		   loop_now() - call->first_unread >= LINGER_SECONDS;
}

static void
linger(Waiter *waiter)
{
	Call *call = waiter->call;
	double passed = loop_now() - call->first_unread;

	if (n_new(waiter) > 0 && call->linger.place == 0)
		loop_set_timer(&call->linger, LINGER_SECONDS - passed, wake, call);
}

/* Offer what has come to all that wait. */
static void
wake(void *arg)
{
	Call *call = arg;
	Waiter *next;

	if (call->n_unfinished == 0)
		attempts_release_held(call);
	for (Waiter *waiter = call->waiters; waiter != NULL; waiter = next)
	{
		next = waiter->next;
		if (!worth_a_reply(waiter))
			linger(waiter);
		else if (waiter->ready(waiter, false))
			remove_waiter(waiter);
	}
}

void
call_wake(Call *call)
{
	loop_defer(&call->wake, wake, call);
}

void
call_wait(Waiter *waiter, double seconds)
{
	Call *call = waiter->call;

	if (seconds > 0 && !worth_a_reply(waiter))
		linger(waiter);
	else if (waiter->ready(waiter, seconds <= 0))
		return;
	waiter->prev = NULL;
	waiter->next = call->waiters;
	if (waiter->next != NULL)
		waiter->next->prev = waiter;
	call->waiters = waiter;
	waiter->rpc->state = waiter;
	waiter->rpc->abandoned = waiter_abandoned;
	loop_set_timer(&waiter->timer, seconds, waiter_timed_out, waiter);
}
