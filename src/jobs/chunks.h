/*-------------------------------------------------------------------------
 *
 * chunks.h
 *	  The chunks of one job that its runner has in memory.
 *
 * Chunks are read from the table when their inputs are sent, or when a result
 * arrives for one that is not here (after a restart).  Only a bounded amount
 * is held, which all jobs of the runner share: chunks whose inputs have all
 * been sent are dropped and read again when a result needs them.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_JOBS_CHUNKS_H
#define MODAL_JOBS_CHUNKS_H

#include "compat.h"

#include "jobs/store.h"
#include "lib/ilist.h"

typedef struct RunChunk
{
	JobChunk stored;
	uint32 *offsets; /* of each record in the inputs */
	uint8 *seen;	 /* bit set: done, or its result is waiting to be written */
	int left;		 /* inputs that are not seen */
	int unwritten;	 /* results waiting to be written */
	Size bytes;
	uint64 last_used;
} RunChunk;

typedef struct JobChunks
{
	MemoryContext cxt;
	int64 job;
	RunChunk **chunks; /* by ascending first */
	int nchunks, max_chunks;
	Size bytes;
	uint64 clock;
	int64 sent_upto;   /* inputs from here on have not been sent */
	dlist_node node;   /* among those that have chunks in memory */
} JobChunks;

extern void job_chunks_init(JobChunks *jc, MemoryContext parent, int64 job);
/* Frees all; harmless when it was never set up. */
extern void job_chunks_clear(JobChunks *jc);
/*
 * What each job may have of modal_batch.runner_memory, now, and of a window.
 */
extern Size job_chunks_share(void);
extern int job_chunks_window(int window);
/* The chunk with that input, if it is in memory. */
extern RunChunk *job_chunks_find(JobChunks *jc, int64 index);
/*
 * Read the chunk with that input, or if there is none the next one, and some
 * more behind it; in a transaction.  Returns the first, NULL when there is
 * none.
 */
extern RunChunk *job_chunks_load(JobChunks *jc, int64 index);
/* Does it hold as much as it may? */
extern bool job_chunks_full(const JobChunks *jc);
/* Make room; inputs from sent_upto on have not been sent. */
extern void job_chunks_evict(JobChunks *jc, int64 sent_upto);
extern void job_chunks_drop(JobChunks *jc, RunChunk *chunk);

extern void run_chunk_record(const RunChunk *chunk, int i, ChunkRecord *rec);
static inline int64
run_chunk_ordinal(const RunChunk *chunk, int i)
{
	return chunk->stored.ordinals == NULL ? chunk->stored.first + i
										  : chunk->stored.ordinals[i];
}

#endif /* MODAL_JOBS_CHUNKS_H */
