/*-------------------------------------------------------------------------
 *
 * call_state.c
 *	  Items of a call: hash by index, retry queue, and the rules by which an
 *	  output ends an item, is dropped, or leads to another attempt.
 *
 * Differs from Modal's Python client in two ways, on purpose: internal
 * failures do not use up the function's retries, and they are bounded.
 *
 *-------------------------------------------------------------------------
 */
#include "core/call_state.h"

#include <stdlib.h>

#include "core/backoff.h"

#define FIRST_TABLE_SIZE 64
#define DEFAULT_INTERNAL_LIMIT 8

void
call_state_init(CallState *cs)
{
	memset(cs, 0, sizeof(*cs));
	cs->internal_limit = DEFAULT_INTERNAL_LIMIT;
}

/* --- hash ----------------------------------------------------------------- */

/*
 * Scattered (by the golden ratio), as indexes come in runs: side by side they
 * would be one long cluster, through which every deletion has to go.
 */
static inline uint32_t
slot_of(const CallState *cs, int64_t idx)
{
	return (uint32_t) (((uint64_t) idx * UINT64_C(0x9E3779B97F4A7C15)) >> 32) &
		(cs->table_size - 1);
}

static void
table_insert(CallState *cs, CallItem *item)
{
	uint32_t at = slot_of(cs, item->idx);

	while (cs->table[at] != NULL)
		at = (at + 1) & (cs->table_size - 1);
	cs->table[at] = item;
}

static bool
table_grow(CallState *cs)
{
	CallItem **old = cs->table;
	uint32_t old_size = cs->table_size;
	uint32_t size = old_size > 0 ? old_size * 2 : FIRST_TABLE_SIZE;
	CallItem **table = calloc(size, sizeof(*table));

	if (table == NULL)
		return false;
	cs->table = table;
	cs->table_size = size;
	for (uint32_t i = 0; i < old_size; i++)
	{
		if (old[i] != NULL)
			table_insert(cs, old[i]);
	}
	free(old);
	return true;
}

/* Close the gap: move back whatever could not be at its own slot before. */
static void
table_delete(CallState *cs, uint32_t hole)
{
	uint32_t mask = cs->table_size - 1;
	uint32_t at = hole;

	for (;;)
	{
		uint32_t home;

		at = (at + 1) & mask;
		if (cs->table[at] == NULL)
			break;
		home = slot_of(cs, cs->table[at]->idx);
		if (((at - home) & mask) >= ((at - hole) & mask))
		{
			cs->table[hole] = cs->table[at];
			hole = at;
		}
	}
	cs->table[hole] = NULL;
}

CallItem *
call_state_find(const CallState *cs, int64_t idx)
{
	uint32_t at;

	if (cs->table_size == 0)
		return NULL;
	for (at = slot_of(cs, idx); cs->table[at] != NULL;
		 at = (at + 1) & (cs->table_size - 1))
	{
		if (cs->table[at]->idx == idx)
			return cs->table[at];
	}
	return NULL;
}

CallItem *
call_state_next(const CallState *cs, uint32_t *at)
{
	while (*at < cs->table_size)
	{
		CallItem *item = cs->table[(*at)++];

		if (item != NULL)
			return item;
	}
	return NULL;
}

/* --- retry queue: a heap by due time -------------------------------------- */

static inline void
heap_place(CallState *cs, CallItem *item, int index)
{
	cs->heap[index] = item;
	item->heap_index = index;
}

static void
heap_sift(CallState *cs, CallItem *item, int index)
{
	while (index > 1 && cs->heap[index / 2]->due > item->due)
	{
		heap_place(cs, cs->heap[index / 2], index);
		index /= 2;
	}
	for (;;)
	{
		int child = index * 2;

		if (child > cs->heap_len)
			break;
		if (child < cs->heap_len &&
			cs->heap[child + 1]->due < cs->heap[child]->due)
			child++;
		if (cs->heap[child]->due >= item->due)
			break;
		heap_place(cs, cs->heap[child], index);
		index = child;
	}
	heap_place(cs, item, index);
}

static void
heap_remove(CallState *cs, CallItem *item)
{
	int index = item->heap_index;
	CallItem *last;

	if (index == 0)
		return;
	item->heap_index = 0;
	last = cs->heap[cs->heap_len--];
	if (last != item)
		heap_sift(cs, last, index);
}

/* Room was made when the item was added, so this cannot fail. */
static void
queue_retry(CallState *cs, CallItem *item, double due)
{
	heap_remove(cs, item);
	item->state = ITEM_WAITING_TO_RETRY;
	item->due = due;
	cs->heap_len++;
	heap_sift(cs, item, cs->heap_len);
}

CallItem *
call_state_pop_due(CallState *cs, double now)
{
	while (cs->heap_len > 0 && cs->heap[1]->due <= now)
	{
		CallItem *item = cs->heap[1];

		heap_remove(cs, item);
		item->state = ITEM_RETRYING;
		if (item->token.len > 0)
			return item;
		/* The reply that brings its token puts it back. */
		item->token_missing = true;
	}
	return NULL;
}

void
call_state_token_used(CallItem *item)
{
	buf_reset(&item->token);
}

double
call_state_next_due(const CallState *cs)
{
	return cs->heap_len > 0 ? cs->heap[1]->due : -1;
}

/* --- items ---------------------------------------------------------------- */

CallItem *
call_state_add(CallState *cs, int64_t idx, void *payload)
{
	CallItem *item = cs->free_items;

	if (cs->count >= cs->table_size / 2 && !table_grow(cs))
		return NULL;
	if ((int) cs->count + 2 > cs->heap_cap)
	{
		int cap = cs->heap_cap > 0 ? cs->heap_cap * 2 : FIRST_TABLE_SIZE;
		CallItem **heap = realloc(cs->heap, cap * sizeof(*heap));

		if (heap == NULL)
			return NULL;
		cs->heap = heap;
		cs->heap_cap = cap;
	}
	if (item != NULL)
		cs->free_items = item->next_free;
	else
	{
		item = calloc(1, sizeof(*item));
		if (item == NULL)
			return NULL;
		buf_init(&item->token, 0, NULL);
	}
	item->idx = idx;
	item->state = ITEM_SENDING;
	item->retry_count = 0;
	item->user_failures = 0;
	item->internal_failures = 0;
	item->token_missing = false;
	item->payload = payload;
	buf_reset(&item->token);
	table_insert(cs, item);
	cs->count++;
	return item;
}

void
call_state_remove(CallState *cs, CallItem *item)
{
	uint32_t at = slot_of(cs, item->idx);

	while (cs->table[at] != item)
		at = (at + 1) & (cs->table_size - 1);
	table_delete(cs, at);
	heap_remove(cs, item);
	item->state = ITEM_FREE;
	item->payload = NULL;
	item->next_free = cs->free_items;
	cs->free_items = item;
	cs->count--;
}

static void
item_free(CallItem *item)
{
	buf_free(&item->token);
	free(item);
}

void
call_state_free(CallState *cs)
{
	uint32_t at = 0;
	CallItem *item;

	while ((item = call_state_next(cs, &at)) != NULL)
		item_free(item);
	while ((item = cs->free_items) != NULL)
	{
		cs->free_items = item->next_free;
		item_free(item);
	}
	free(cs->table);
	free(cs->heap);
	call_state_init(cs);
}

bool
call_state_sent(CallState *cs, CallItem *item, const void *token, size_t n,
				double now)
{
	buf_reset(&item->token);
	buf_put(&item->token, token, n);
	if (item->token.failed)
		return false;
	if (item->token_missing)
	{
		item->token_missing = false;
		queue_retry(cs, item, now);
	}
	else if (item->state == ITEM_SENDING || item->state == ITEM_RETRYING)
		item->state = ITEM_WAITING;
	return true;
}

void
call_state_lost(CallState *cs, CallItem *item, double now)
{
	if (item->state != ITEM_WAITING)
		return;
	item->retry_count++;
	queue_retry(cs, item, now);
}

OutputVerdict
call_state_output(CallState *cs, CallItem *item, uint32_t retry_count,
				  int status, double now)
{
	double delay;

	/* When the service retries by itself, the count is its own. */
	if (cs->client_retries && retry_count != item->retry_count)
		return OUTPUT_DROP;
	if (status == RESULT_SUCCESS)
		return OUTPUT_SUCCESS;
	if (!cs->client_retries || status == RESULT_TERMINATED)
		return OUTPUT_FAILURE;
	if (status == RESULT_INTERNAL_FAILURE)
	{
		if (++item->internal_failures > cs->internal_limit)
			return OUTPUT_FAILURE;
		delay = 0;
	}
	else
	{
		delay = modal_retry_delay(++item->user_failures, cs->retries,
								  cs->initial_delay_ms,
								  cs->backoff_coefficient);
		if (delay < 0)
			return OUTPUT_FAILURE;
	}
	item->retry_count++;
	/* A token that is still on its way belongs to the attempt before. */
	queue_retry(cs, item, now + delay);
	return OUTPUT_RETRY;
}
