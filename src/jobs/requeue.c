/*-------------------------------------------------------------------------
 *
 * requeue.c
 *	  A new run of a job: what has no outcome, or has failed, in new chunks.
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include "jobs/distinct.h"
#include "jobs/sql.h"
#include "jobs/store.h"
#include "jobs/wake.h"
#include "values/values.h"

/* Collects inputs for the chunks of a new run. */
typedef struct Requeue
{
	int64 job;
	int64 first;
	int count;
	Buf inputs;
	int64 ordinals[CHUNK_MAX_INPUTS];
	Distinct *distinct; /* NULL: each row is an input */
	int64 rows;
} Requeue;

static void
requeue_flush(Requeue *rq)
{
	if (rq->count == 0)
		return;
	job_store_insert_chunk(rq->job, rq->first, rq->count, &rq->inputs,
						   rq->distinct == NULL ? rq->ordinals : NULL);
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

/* A row, or all rows of an input that stands for several. */
static void
requeue_row(Requeue *rq, int64 ordinal, const ChunkRecord *rec)
{
	rq->rows++;
	if (rq->distinct != NULL)
		distinct_put(rq->distinct, ordinal, rec);
	else
		requeue_add(rq, ordinal, rec);
}

static void
requeue_rows(Requeue *rq, const ChunkRecord *rec)
{
	const uint8_t *p = rec->meta;
	ChunkRecord row = *rec;
	int64 ordinal;

	while (distinct_next_row(&p, rec->meta + rec->meta_len, &ordinal, &row))
		requeue_row(rq, ordinal, &row);
}

/* An input whose rows have their ordinals with them. */
static void
requeue_distinct(void *rq, const ChunkRecord *rec)
{
	requeue_add(rq, 0, rec);
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
		if (done != NULL && chunk_bit(done, i))
			continue;
		else if (rq->distinct != NULL)
			requeue_rows(rq, &rec);
		else
			requeue_row(rq, chunk->ordinals == NULL ? chunk->first + i
													: chunk->ordinals[i],
						&rec);
}

/* The failed inputs from after that ordinal on; returns how many were read. */
static int
requeue_failed(Requeue *rq, const char *code, int64 *after)
{
	StoreScope scope;
	char nulls[3] = {' ', ' ', ' '};
	Datum args[] = {Int64GetDatum(rq->job), Int64GetDatum(*after),
					text_or_null(code, &nulls[2])};
	int n;

	store_enter(&scope);
	n = (int) store_run(FAILED_RESULTS, args, nulls);
	for (int i = 0; i < n; i++)
	{
		RowReader row = {SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 0};
		int64 ordinal = DatumGetInt64(next_value(&row));
		bytea *payload = DatumGetByteaPP(next_value(&row));
		const uint8_t *p = (const uint8_t *) VARDATA_ANY(payload);
		MemoryContext spi_cxt = MemoryContextSwitchTo(scope.cxt);
		ChunkRecord rec;

		if (chunk_next(&p, p + VARSIZE_ANY_EXHDR(payload), &rec))
			requeue_row(rq, ordinal, &rec);
		MemoryContextSwitchTo(spi_cxt);
		*after = ordinal;
	}
	store_leave(&scope);
	return n;
}

int64
job_store_requeue(Job *job, bool failed_too, const char *code)
{
	Requeue *rq = palloc0(sizeof(Requeue));
	List *chunks;
	int64 next = 0;
	int64 unfinished;
	int64 rows;
	StoreScope scope;
	Datum args[3];
	Datum failures[2];
	char nulls[2] = {' ', ' '};

	rq->job = job->id;
	rq->distinct = job->distinct ? distinct_begin() : NULL;
	buf_init(&rq->inputs, 0, buf_palloc);

	while ((chunks = job_store_chunks(job->id, next, 1)) != NIL)
	{
		JobChunk *chunk = linitial(chunks);

		CHECK_FOR_INTERRUPTS();
		next = chunk->first + chunk->count;
		requeue_chunk(rq, chunk);
		pfree(chunk->inputs);
	}
	unfinished = rq->rows;
	if (failed_too)
	{
		int64 after = -1;

		while (requeue_failed(rq, code, &after) > 0)
			CHECK_FOR_INTERRUPTS();
	}
	if (rq->distinct != NULL)
		distinct_end(rq->distinct, requeue_distinct, rq);
	requeue_flush(rq);
	rows = rq->rows;

	store_enter(&scope);
	args[0] = failures[0] = Int64GetDatum(job->id);
	failures[1] = text_or_null(code, &nulls[1]);
	if (failed_too)
		store_run(DELETE_FAILED, failures, nulls);
	args[1] = Int64GetDatum(rows - unfinished);
	args[2] = Int64GetDatum(rq->first);
	store_run(NEW_RUN, args, NULL);
	wake_note_job(job->id);
	store_leave(&scope);
	buf_free(&rq->inputs);
	pfree(rq);
	return rows;
}
