/*-------------------------------------------------------------------------
 *
 * run_job_order.c
 *	  Which inputs of a job have to wait for others; see run_job_internal.h,
 *	  and webhook.h for why.
 *
 * Inputs are sent in the order of their chunks, and one that has to wait holds
 * up those behind it: they are changes of the same transaction.  What is on
 * its way has its keys in a table until its outcome is committed.
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include "jobs/run_job_internal.h"
#include "jobs/webhook.h"
#include "utils/hsearch.h"

typedef struct JobOrder
{
	HTAB *keys;	/* uint32, of inputs that are on their way */
	bool waits; /* the next one is for one of them */
} JobOrder;

void
run_job_order_begin(RunJob *rj)
{
	HASHCTL info = {.keysize = sizeof(uint32),
					.entrysize = sizeof(uint32),
					.hcxt = rj->call_cxt};

	rj->order = MemoryContextAllocZero(rj->call_cxt, sizeof(JobOrder));
	rj->order->keys = hash_create("modal_batch order", 256, &info,
								  HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

bool
run_job_order_take(RunJob *rj, const ChunkRecord *rec)
{
	JobOrder *order = rj->order;
	uint32 keys[WEBHOOK_MAX_KEYS];
	int n = webhook_keys(rec, keys);

	order->waits = false;
	for (int i = 0; i < n; i++)
		order->waits |= hash_search(order->keys, &keys[i], HASH_FIND, NULL) != NULL;
	for (int i = 0; !order->waits && i < n; i++)
		(void) hash_search(order->keys, &keys[i], HASH_ENTER, NULL);
	return !order->waits;
}

bool
run_job_order_waits(const RunJob *rj)
{
	return rj->order != NULL && rj->order->waits;
}

void
run_job_order_written(RunJob *rj, const ChunkRecord *rec)
{
	uint32 keys[WEBHOOK_MAX_KEYS];
	int n = webhook_keys(rec, keys);

	for (int i = 0; i < n; i++)
		(void) hash_search(rj->order->keys, &keys[i], HASH_REMOVE, NULL);
}
