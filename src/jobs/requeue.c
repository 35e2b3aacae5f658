/*-------------------------------------------------------------------------
 *
 * job_requeue.c
 *	  A new run of a job: what has no outcome, or has failed, in new chunks.
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include "session/codec.h"
#include "jobs/sql.h"
#include "session/job_store.h"

/* Collects inputs for the chunks of a new run. */
typedef struct Requeue
{
	int64 job;
	int64 first;
	int count;
	Buf inputs;
	int64 ordinals[CHUNK_MAX_INPUTS];
} Requeue;

static void
requeue_flush(Requeue *rq)
{
	if (rq->count == 0)
		return;
	job_store_insert_chunk(rq->job, rq->first, rq->count, &rq->inputs,
						   rq->ordinals);
	rq->first += rq->count;
	rq->count = 0;
	buf_reset(&rq->inputs);
}

static void
requeue_add(Requeue *rq, int64 ordinal, const ChunkRecord *rec)
{
	chunk_put(&rq->inputs, rec->meta, rec->meta_len, rec->payload,
			  rec->payload_len);
	rq->ordinals[rq->count++] = ordinal;
	if (rq->inputs.len >= CHUNK_TARGET_BYTES || rq->count == CHUNK_MAX_INPUTS)
		requeue_flush(rq);
}

/*
 * Move what is not done from the chunk into new ones.  New chunks begin no
 * later than the last old one that was read, and that is deleted first, so
 * they never meet an old one.
 */
static void
requeue_chunk(Requeue *rq, const JobChunk *chunk)
{
	const uint8_t *p = (const uint8_t *) VARDATA_ANY(chunk->inputs);
	const uint8_t *end = p + VARSIZE_ANY_EXHDR(chunk->inputs);
	const uint8_t *done = chunk->done == NULL
		? NULL
		: (const uint8_t *) VARDATA_ANY(chunk->done);
	ChunkRecord rec;

	job_store_chunk_delete(rq->job, chunk->first);
	for (int i = 0; i < chunk->count && chunk_next(&p, end, &rec); i++)
		if (done == NULL || !chunk_bit(done, i))
			requeue_add(rq, chunk->ordinals == NULL ? chunk->first + i
													: chunk->ordinals[i],
						&rec);
}

/* The failed inputs from after that ordinal on; returns how many were read. */
static int
requeue_failed(Requeue *rq, int64 *after)
{
	StoreScope scope;
	Datum args[2] = {Int64GetDatum(rq->job), Int64GetDatum(*after)};
	int n;

	store_enter(&scope);
	n = (int) store_run(FAILED_RESULTS, args, NULL);
	for (int i = 0; i < n; i++)
	{
		RowReader row = {SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 0};
		int64 ordinal = DatumGetInt64(next_value(&row));
		bytea *payload = DatumGetByteaPP(next_value(&row));
		const uint8_t *p = (const uint8_t *) VARDATA_ANY(payload);
		MemoryContext spi_cxt = MemoryContextSwitchTo(scope.cxt);
		ChunkRecord rec;

		if (chunk_next(&p, p + VARSIZE_ANY_EXHDR(payload), &rec))
			requeue_add(rq, ordinal, &rec);
		MemoryContextSwitchTo(spi_cxt);
		*after = ordinal;
	}
	store_leave(&scope);
	return n;
}

int64
job_store_requeue(Job *job, bool failed_too)
{
	Requeue *rq = palloc(sizeof(Requeue));
	List *chunks;
	int64 next = 0;
	int64 unfinished;
	int64 total;
	StoreScope scope;
	Datum args[2];

	rq->job = job->id;
	rq->first = 0;
	rq->count = 0;
	buf_init(&rq->inputs, 0, buf_palloc);

	while ((chunks = job_store_chunks(job->id, next, 1)) != NIL)
	{
		JobChunk *chunk = linitial(chunks);

		CHECK_FOR_INTERRUPTS();
		next = chunk->first + chunk->count;
		requeue_chunk(rq, chunk);
		pfree(chunk->inputs);
	}
	unfinished = rq->first + rq->count;
	if (failed_too)
	{
		int64 after = -1;

		while (requeue_failed(rq, &after) > 0)
			CHECK_FOR_INTERRUPTS();
	}
	requeue_flush(rq);
	total = rq->first;

	store_enter(&scope);
	args[0] = Int64GetDatum(job->id);
	args[1] = Int64GetDatum(total - unfinished);
	if (failed_too)
		store_run(DELETE_FAILED, args, NULL);
	store_run(NEW_RUN, args, NULL);
	store_leave(&scope);
	buf_free(&rq->inputs);
	pfree(rq);
	return total;
}
