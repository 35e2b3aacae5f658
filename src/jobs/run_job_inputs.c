/*-------------------------------------------------------------------------
 *
 * run_job_inputs.c
 *	  Sending a job's inputs, and which of them the service has acknowledged;
 *	  see run_job_internal.h.
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include "guc.h"
#include "jobs/run_job_internal.h"
#include "jobs/runner_xact.h"

#define HELD_IN_FLIGHT 256 /* of a job that stands back, so that it goes on */
#define RANGE_INPUTS 512 /* no more in one range: its bytes are an average */

static void
note_sent(RunJob *rj, int64 index, Size bytes)
{
	SentRange *last = rj->sent == NIL ? NULL : llast(rj->sent);

	if (last == NULL || last->end != index ||
		last->end - last->first == RANGE_INPUTS)
	{
		MemoryContext old = MemoryContextSwitchTo(rj->call_cxt);

		last = palloc(sizeof(SentRange));
		last->first = index;
		last->bytes = 0;
		rj->sent = lappend(rj->sent, last);
		MemoryContextSwitchTo(old);
	}
	last->end = index + 1;
	last->bytes += bytes;
	rj->unacknowledged += bytes;
}

/* Cut [first, end) off the range; its bytes are thought to be spread evenly. */
static SentRange *
cut_range(SentRange *range, int64 first, int64 end)
{
	SentRange *part = palloc(sizeof(SentRange));

	part->first = first;
	part->end = end;
	part->bytes = (Size) ((double) range->bytes / (range->end - range->first) *
						  (end - first));
	return part;
}

void
run_job_accepted(RunJob *rj, int64 first, int64 end)
{
	MemoryContext old = MemoryContextSwitchTo(rj->call_cxt);
	List *left = NIL;
	ListCell *lc;

	rj->unacknowledged = 0;
	foreach (lc, rj->sent)
	{
		SentRange *r = lfirst(lc);

		if (end <= r->first || first >= r->end)
		{
			left = lappend(left, r);
			continue;
		}
		if (first > r->first)
			left = lappend(left, cut_range(r, r->first, first));
		if (end < r->end)
			left = lappend(left, cut_range(r, end, r->end));
		pfree(r);
	}
	list_free(rj->sent);
	rj->sent = left;
	foreach (lc, left)
		rj->unacknowledged += ((SentRange *) lfirst(lc))->bytes;
	MemoryContextSwitchTo(old);
}

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

static bool hold_inputs = false;

void
run_job_hold_inputs(bool hold)
{
	hold_inputs = hold;
}

static bool hold_background = false;

void
run_job_hold_background(bool hold)
{
	hold_background = hold;
}

bool
run_job_stands_back(const RunJob *rj)
{
	/* in a bulk it holds up nobody */
	return hold_background && run_job_is_background(rj) && !rj->bulk;
}

/* What the service has not acknowledged is held by the dispatcher, too. */
static bool
may_send(const RunJob *rj)
{
	return !hold_inputs && rj->unacknowledged < job_chunks_share() / 2;
}

/*
 * How many inputs may be sent now?  What has no result yet is kept in memory,
 * for its keys: when that is full, no more than any call may have.
 */
static int
room_for_inputs(const RunJob *rj)
{
	int room = remote_call_room(rj->call);
	int in_flight = remote_call_window(rj->call) - room;

	if (job_chunks_full(&rj->chunks))
		room = Min(room, Max(job_chunks_window(modal_max_in_flight) - in_flight, 0));
	/* what the service holds from before a restart is in no window */
	if (rj->job->max_in_flight > 0)
		room = Min(room, (int) Max(rj->job->max_in_flight -
								   (rj->next_index - rj->job->run_done - rj->nitems), 0));
	if (run_job_stands_back(rj))
		room = Min(room, Max(HELD_IN_FLIGHT - in_flight, 0));
	return room;
}

bool
run_job_feed(RunJob *rj, int quantum)
{
	int room = room_for_inputs(rj);
	int n = Min(quantum, room);
	/* HTTP functions acknowledge nothing but by results */
	bool asynchronous = rj->job->remote_call_id != NULL;
	RunChunk *chunk;

	while (n > 0 && rj->next_index < rj->run_inputs && may_send(rj) &&
		   (chunk = next_chunk(rj)) != NULL)
	{
		int i = (int) (rj->next_index - chunk->stored.first);

		for (; i < chunk->stored.count && n > 0 && may_send(rj); i++)
		{
			ChunkRecord rec;

			/*
			 * The service may hold more than has been recorded, and knows
			 * the same request again: it must be made of the same inputs,
			 * even if some have results already.
			 */
			if (asynchronous || !chunk_bit(chunk->seen, i))
			{
				run_chunk_record(chunk, i, &rec);
				if (rj->order != NULL && !run_job_order_take(rj, &rec))
				{
					remote_call_flush(rj->call);
					return false;
				}
				remote_call_put(rj->call, rj->next_index, rec.payload,
								rec.payload_len);
				if (asynchronous)
					note_sent(rj, rj->next_index, rec.payload_len);
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
	return room > quantum && may_send(rj);
}
