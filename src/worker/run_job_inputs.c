/*-------------------------------------------------------------------------
 *
 * run_job_inputs.c
 *	  Sending a job's inputs, and which of them the service has acknowledged;
 *	  see run_job_internal.h.
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include "worker/run_job_internal.h"
#include "worker/runner_xact.h"

static void
note_sent(RunJob *rj, int64 index)
{
	SentRange *last = rj->sent == NIL ? NULL : llast(rj->sent);

	if (last == NULL || last->end != index)
	{
		MemoryContext old = MemoryContextSwitchTo(rj->call_cxt);

		last = palloc(sizeof(SentRange));
		last->first = index;
		rj->sent = lappend(rj->sent, last);
		MemoryContextSwitchTo(old);
	}
	last->end = index + 1;
}

/* Take [first, end) out of the ranges that wait for acknowledgement. */
void
run_job_accepted(RunJob *rj, int64 first, int64 end)
{
	MemoryContext old = MemoryContextSwitchTo(rj->call_cxt);
	List *left = NIL;
	ListCell *lc;

	foreach (lc, rj->sent)
	{
		SentRange *r = lfirst(lc);

		if (end <= r->first || first >= r->end)
		{
			left = lappend(left, r);
			continue;
		}
		if (first > r->first)
		{
			SentRange *head = palloc(sizeof(SentRange));

			head->first = r->first;
			head->end = first;
			left = lappend(left, head);
		}
		if (end < r->end)
		{
			r->first = end;
			left = lappend(left, r);
		}
		else
			pfree(r);
	}
	list_free(rj->sent);
	rj->sent = left;
	MemoryContextSwitchTo(old);
}

/* All inputs below it are held by the service, or have their outcome. */
int64
run_job_submitted(const RunJob *rj)
{
	return rj->sent == NIL ? rj->next_index
						   : ((SentRange *) linitial(rj->sent))->first;
}

/* The chunk of the next input; moves next_index over what is gone. */
static RunChunk *
next_chunk(RunJob *rj)
{
	RunChunk *chunk = job_chunks_find(&rj->chunks, rj->next_index);

	if (chunk != NULL)
		return chunk;
	job_chunks_evict(&rj->chunks, rj->next_index);
	runner_begin();
	chunk = job_chunks_load(&rj->chunks, rj->next_index);
	runner_commit();
	if (chunk == NULL)
		rj->next_index = rj->run_inputs;
	else if (chunk->stored.first > rj->next_index)
		rj->next_index = chunk->stored.first;
	return chunk;
}

/* Send up to quantum inputs; true when there is room for more. */
bool
run_job_feed(RunJob *rj, int quantum)
{
	int room = remote_call_room(rj->call);
	int n = Min(quantum, room);
	RunChunk *chunk;

	while (n > 0 && rj->next_index < rj->run_inputs &&
		   (chunk = next_chunk(rj)) != NULL)
	{
		int i = (int) (rj->next_index - chunk->stored.first);

		for (; i < chunk->stored.count && n > 0; i++)
		{
			ChunkRecord rec;

			if (!chunk_bit(chunk->seen, i))
			{
				run_chunk_record(chunk, i, &rec);
				remote_call_put(rj->call, rj->next_index, rec.payload,
								rec.payload_len);
				note_sent(rj, rj->next_index);
				n--;
			}
			rj->next_index++;
		}
	}
	if (rj->next_index >= rj->run_inputs)
	{
		remote_call_finish(rj->call);
		rj->finished = true;
		return false;
	}
	remote_call_flush(rj->call);
	return room > quantum;
}
