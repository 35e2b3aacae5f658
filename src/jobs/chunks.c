/*-------------------------------------------------------------------------
 *
 * chunks.c
 *	  A job's chunks in memory; see chunks.h.
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include "guc.h"
#include "jobs/chunks.h"
#include "utils/memutils.h"

#define MIN_SHARE ((Size) 256 * 1024)
#define SMALL ((Size) 128 * 1024)
#define READ_AHEAD 4
#define LARGE_CHUNK ((Size) 1024 * 1024) /* no read-ahead beyond such ones */

/*
 * All that have chunks in memory, and how much that is.  The budget is shared
 * by those that have more than a chunk or two: the others, of which there may
 * be a thousand, do not take what they do not need.
 */
static dlist_head holders = DLIST_STATIC_INIT(holders);
static int nlarge = 0;
static Size all_bytes = 0;

static void
set_bytes(JobChunks *jc, Size bytes)
{
	if (jc->bytes == 0 && bytes > 0)
		dlist_push_tail(&holders, &jc->node);
	else if (jc->bytes > 0 && bytes == 0)
		dlist_delete(&jc->node);
	nlarge += (bytes > SMALL) - (jc->bytes > SMALL);
	all_bytes += bytes - jc->bytes;
	jc->bytes = bytes;
}

static Size
budget(void)
{
	return (Size) modal_runner_memory_kb * 1024;
}

Size
job_chunks_share(void)
{
	return Max(budget() / Max(nlarge, 1), MIN_SHARE);
}

int
job_chunks_window(int window)
{
	return Max(window / Max(nlarge, 1), 1);
}

void
job_chunks_init(JobChunks *jc, MemoryContext parent, int64 job)
{
	memset(jc, 0, sizeof(*jc));
	jc->cxt = AllocSetContextCreate(parent, "modal_batch job chunks",
									ALLOCSET_DEFAULT_SIZES);
	jc->job = job;
}

void
job_chunks_clear(JobChunks *jc)
{
	set_bytes(jc, 0);
	if (jc->cxt != NULL)
		MemoryContextDelete(jc->cxt);
	memset(jc, 0, sizeof(*jc));
}

/* Position of the first chunk that does not end before index. */
static int
lower_bound(const JobChunks *jc, int64 index)
{
	int lo = 0;
	int hi = jc->nchunks;

	while (lo < hi)
	{
		int mid = (lo + hi) / 2;
		const JobChunk *c = &jc->chunks[mid]->stored;

		if (c->first + c->count <= index)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

RunChunk *
job_chunks_find(JobChunks *jc, int64 index)
{
	int pos = lower_bound(jc, index);
	RunChunk *chunk;

	if (pos == jc->nchunks || jc->chunks[pos]->stored.first > index)
		return NULL;
	chunk = jc->chunks[pos];
	chunk->last_used = ++jc->clock;
	return chunk;
}

static void
damaged(int64 job)
{
	ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
					errmsg("a chunk of job " INT64_FORMAT " is damaged", job)));
}

/* Index the records of a chunk that was read; takes it over. */
static RunChunk *
make_chunk(const JobChunks *jc, const JobChunk *stored)
{
	RunChunk *chunk = palloc0(sizeof(RunChunk));
	const uint8_t *start = (const uint8_t *) VARDATA_ANY(stored->inputs);
	const uint8_t *end = start + VARSIZE_ANY_EXHDR(stored->inputs);
	const uint8_t *p = start;
	ChunkRecord rec;

	chunk->stored = *stored;
	chunk->offsets = palloc(sizeof(uint32) * stored->count);
	chunk->seen = palloc0(chunk_bitmap_size(stored->count));
	if (stored->done != NULL)
		memcpy(chunk->seen, VARDATA_ANY(stored->done),
			   chunk_bitmap_size(stored->count));
	for (int i = 0; i < stored->count; i++)
	{
		chunk->offsets[i] = (uint32) (p - start);
		if (!chunk_next(&p, end, &rec))
			damaged(jc->job);
		chunk->left += !chunk_bit(chunk->seen, i);
	}
	chunk->bytes = (Size) (end - start) + stored->count * sizeof(uint32);
	return chunk;
}

static void
insert_chunk(JobChunks *jc, RunChunk *chunk)
{
	int pos = lower_bound(jc, chunk->stored.first);

	if (jc->nchunks == jc->max_chunks)
	{
		jc->max_chunks = Max(jc->max_chunks * 2, 16);
		jc->chunks = jc->chunks == NULL
			? palloc(sizeof(RunChunk *) * jc->max_chunks)
			: repalloc(jc->chunks, sizeof(RunChunk *) * jc->max_chunks);
	}
	memmove(&jc->chunks[pos + 1], &jc->chunks[pos],
			sizeof(RunChunk *) * (jc->nchunks - pos));
	jc->chunks[pos] = chunk;
	jc->nchunks++;
	set_bytes(jc, jc->bytes + chunk->bytes);
	chunk->last_used = ++jc->clock;
}

RunChunk *
job_chunks_load(JobChunks *jc, int64 index)
{
	MemoryContext old = MemoryContextSwitchTo(jc->cxt);
	bool large = jc->nchunks > 0 &&
		jc->chunks[jc->nchunks - 1]->bytes > LARGE_CHUNK;
	List *list = job_store_chunks(jc->job, index, large ? 1 : READ_AHEAD);
	RunChunk *result = NULL;
	ListCell *lc;

	foreach (lc, list)
	{
		JobChunk *stored = lfirst(lc);
		RunChunk *chunk = job_chunks_find(jc, stored->first);

		/* what is in memory knows more than the table */
		if (chunk == NULL)
		{
			chunk = make_chunk(jc, stored);
			insert_chunk(jc, chunk);
		}
		else
			pfree(stored->inputs);
		if (result == NULL)
			result = chunk;
		pfree(stored);
	}
	list_free(list);
	MemoryContextSwitchTo(old);
	return result;
}

void
job_chunks_drop(JobChunks *jc, RunChunk *chunk)
{
	int pos = lower_bound(jc, chunk->stored.first);

	Assert(jc->chunks[pos] == chunk);
	jc->nchunks--;
	memmove(&jc->chunks[pos], &jc->chunks[pos + 1],
			sizeof(RunChunk *) * (jc->nchunks - pos));
	set_bytes(jc, jc->bytes - chunk->bytes);
	pfree(chunk->stored.inputs);
	if (chunk->stored.done != NULL)
		pfree(chunk->stored.done);
	if (chunk->stored.ordinals != NULL)
		pfree(chunk->stored.ordinals);
	pfree(chunk->offsets);
	pfree(chunk->seen);
	pfree(chunk);
}

bool
job_chunks_full(const JobChunks *jc)
{
	return jc->bytes >= job_chunks_share();
}

/* Drop what has been sent, longest unused first, down to that size. */
static void
shrink(JobChunks *jc, Size size)
{
	while (jc->bytes > size)
	{
		RunChunk *oldest = NULL;

		for (int i = 0; i < jc->nchunks; i++)
		{
			RunChunk *chunk = jc->chunks[i];

			if (chunk->unwritten == 0 &&
				chunk->stored.first + chunk->stored.count <= jc->sent_upto &&
				(oldest == NULL || chunk->last_used < oldest->last_used))
				oldest = chunk;
		}
		if (oldest == NULL)
			break;
		job_chunks_drop(jc, oldest);
	}
}

void
job_chunks_evict(JobChunks *jc, int64 sent_upto)
{
	dlist_mutable_iter iter;

	jc->sent_upto = sent_upto;
	shrink(jc, job_chunks_share());
	if (all_bytes <= budget())
		return;
	/* others have more than their share since this one has come */
	dlist_foreach_modify(iter, &holders)
		shrink(dlist_container(JobChunks, node, iter.cur), job_chunks_share());
}

void
run_chunk_record(const RunChunk *chunk, int i, ChunkRecord *rec)
{
	const uint8_t *start = (const uint8_t *) VARDATA_ANY(chunk->stored.inputs);
	const uint8_t *p = start + chunk->offsets[i];

	/* every record was read once when the chunk was made */
	(void) chunk_next(&p, start + VARSIZE_ANY_EXHDR(chunk->stored.inputs), rec);
}
