/*-------------------------------------------------------------------------
 *
 * call_state.c
 *	  Items of a call: map by index, retry queue, and the rules by which an
 *	  output ends an item, is dropped, or leads to another attempt.
 *
 * Differs from Modal's Python client in two ways, on purpose: internal
 * failures do not use up the function's retries, and they are bounded.
 *
 *-------------------------------------------------------------------------
 */
#include "core/call_state.h"

#include <stdlib.h>

#include "core/retry.h"

#define DEFAULT_INTERNAL_LIMIT 8

void
call_state_init(CallState *cs)
{
	memset(cs, 0, sizeof(*cs));
	map_init(&cs->items, NULL);
	heap_init(&cs->retry_queue);
	cs->internal_limit = DEFAULT_INTERNAL_LIMIT;
}

CallItem *
call_state_find(const CallState *cs, int64_t idx)
{
	return map_get(&cs->items, idx);
}

CallItem *
call_state_next(const CallState *cs, MapVisit *visit)
{
	return map_next(&cs->items, visit);
}

/* --- retry queue ---------------------------------------------------------- */

/* Room was made when the item was added, so this cannot fail. */
static void
queue_retry(CallState *cs, CallItem *item, double due)
{
	item->state = ITEM_WAITING_TO_RETRY;
	heap_put(&cs->retry_queue, &item->due, due);
}

CallItem *
call_state_pop_due(CallState *cs, double now)
{
	HeapNode *first;

	while ((first = heap_first(&cs->retry_queue)) != NULL && first->key <= now)
	{
		CallItem *item = HEAP_OWNER(CallItem, due, first);

		heap_remove(&cs->retry_queue, first);
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
	const HeapNode *first = heap_first(&cs->retry_queue);

	return first != NULL ? first->key : -1;
}

/* --- items ---------------------------------------------------------------- */

CallItem *
call_state_add(CallState *cs, int64_t idx, void *payload)
{
	CallItem *item = cs->free_items;

	if (!map_reserve(&cs->items, call_state_count(cs) + 1) ||
		!heap_reserve(&cs->retry_queue, call_state_count(cs) + 1))
		return NULL;
	if (item != NULL)
		cs->free_items = item->next_free;
	else
	{
		item = calloc(1, sizeof(*item));
		if (item == NULL)
			return NULL;
		buf_init(&item->token, CALL_MAX_TOKEN, NULL);
	}
	item->idx = idx;
	item->state = ITEM_SENDING;
	item->retry_count = 0;
	item->user_failures = 0;
	item->internal_failures = 0;
	item->token_missing = false;
	item->payload = payload;
	buf_reset(&item->token);
	map_put(&cs->items, idx, item);
	return item;
}

void
call_state_remove(CallState *cs, CallItem *item)
{
	map_remove(&cs->items, item->idx);
	heap_remove(&cs->retry_queue, &item->due);
	item->state = ITEM_FREE;
	item->payload = NULL;
	item->next_free = cs->free_items;
	cs->free_items = item;
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
	MapVisit visit = {0};
	CallItem *item;

	while ((item = call_state_next(cs, &visit)) != NULL)
		item_free(item);
	while ((item = cs->free_items) != NULL)
	{
		cs->free_items = item->next_free;
		item_free(item);
	}
	map_free(&cs->items);
	heap_free(&cs->retry_queue);
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
