/*-------------------------------------------------------------------------
 *
 * call_state.h
 *	  The inputs of one remote call that are on their way: which state each is
 *	  in, and what an output that arrives means.
 *
 * Pure: no I/O, and the time is passed in.  The states are those of Modal's
 * own client (docs: "Item state machine"):
 *
 *	 SENDING -> WAITING -> (removed)
 *				   |  ^
 *				   v  |
 *	 WAITING_TO_RETRY -> RETRYING
 *
 * An output may arrive in any state, also before the reply to the request
 * that sent its input.  Items are kept in a map by index and are reused.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_CORE_CALL_STATE_H
#define MODAL_CORE_CALL_STATE_H

#include "core/buf.h"
#include "core/heap.h"
#include "core/map.h"

#define CALL_MAX_TOKEN (64 * 1024) /* bytes: it is kept while its item is */

typedef enum ItemState
{
	ITEM_FREE,
	ITEM_SENDING,
	ITEM_WAITING,
	ITEM_WAITING_TO_RETRY,
	ITEM_RETRYING
} ItemState;

/* GenericResult.GenericStatus, as far as it matters here. */
typedef enum ResultStatus
{
	RESULT_SUCCESS = 1,
	RESULT_FAILURE = 2,
	RESULT_TERMINATED = 3,
	RESULT_TIMEOUT = 4,
	RESULT_INTERNAL_FAILURE = 6
} ResultStatus;

typedef struct CallItem
{
	int64_t idx;
	ItemState state;
	uint32_t retry_count;		/* identity of the current attempt */
	uint32_t user_failures;
	uint32_t internal_failures;
	HeapNode due;				/* WAITING_TO_RETRY: in the retry queue */
	bool token_missing;			/* due, but its token is not known yet */
	void *payload;				/* the owner's */
	Buf token;					/* input_jwt or attempt token */
	struct CallItem *next_free;
} CallItem;

typedef struct CallState
{
	/* FunctionRetryPolicy */
	uint32_t retries;
	uint32_t initial_delay_ms;
	double backoff_coefficient;
	bool client_retries;		/* the client is in charge of retrying */
	uint32_t internal_limit;	/* internal failures of an input that are
								 * retried */
	Map items;					/* those not FREE, by idx */
	Heap retry_queue;			/* by due time */
	CallItem *free_items;
} CallState;

typedef enum OutputVerdict
{
	OUTPUT_DROP,	/* duplicate, or of an attempt that is over */
	OUTPUT_SUCCESS, /* the owner delivers it and removes the item */
	OUTPUT_FAILURE, /* the same */
	OUTPUT_RETRY	/* put in the retry queue */
} OutputVerdict;

extern void call_state_init(CallState *cs);
/* Frees items and queues, not payloads: visit them before. */
extern void call_state_free(CallState *cs);
/* A fresh item, SENDING; NULL when memory is short.  idx must be new. */
extern CallItem *call_state_add(CallState *cs, int64_t idx, void *payload);
extern CallItem *call_state_find(const CallState *cs, int64_t idx);
extern void call_state_remove(CallState *cs, CallItem *item);
/* The service holds the item, under this token; false: no memory for it. */
extern bool call_state_sent(CallState *cs, CallItem *item, const void *token,
							size_t n, double now);
extern OutputVerdict call_state_output(CallState *cs, CallItem *item,
									   uint32_t retry_count, int status,
									   double now);
/* The service has lost the item: to be retried at once. */
extern void call_state_lost(CallState *cs, CallItem *item, double now);
/* Next item to retry, now RETRYING; NULL when none is due. */
extern CallItem *call_state_pop_due(CallState *cs, double now);
/*
 * Its token is in a request to retry it.  The attempt after that one needs the
 * token that the reply brings, though its output may be here first.
 */
extern void call_state_token_used(CallItem *item);
/* When the next one is due; negative: none waits. */
extern double call_state_next_due(const CallState *cs);
/* Visit all items, as by map_next; the current one may be removed. */
extern CallItem *call_state_next(const CallState *cs, MapVisit *visit);

/* Items that are not FREE. */
static inline uint32_t
call_state_count(const CallState *cs)
{
	return cs->items.count;
}

#endif /* MODAL_CORE_CALL_STATE_H */
