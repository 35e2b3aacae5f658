/*-------------------------------------------------------------------------
 *
 * run_job_outputs.c
 *	  Collecting the results of a job in batches, and writing each with its
 *	  bits and counters in one transaction; see run_job_internal.h.
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include "clock.h"
#include "debug_point.h"
#include "pgstat.h"
#include "utils/memutils.h"
#include "jobs/run_job_internal.h"
#include "jobs/runner_xact.h"

#define BATCH_S 0.05	/* results wait no longer to be written */
#define SUBMITTED_S 1.0 /* nor does the number of submitted inputs */

static RunChunk *
chunk_of_output(RunJob *rj, int64 index)
{
	RunChunk *chunk = job_chunks_find(&rj->chunks, index);

	if (chunk == NULL)
	{
		job_chunks_evict(&rj->chunks, rj->next_index);
		runner_begin();
		(void) job_chunks_load(&rj->chunks, index);
		runner_commit();
		chunk = job_chunks_find(&rj->chunks, index);
	}
	return chunk;
}

/* Keep a result for the next batch, unless it was there before. */
static void
take_output(RunJob *rj, const FrameOutput *out)
{
	RunChunk *chunk;
	BatchItem *item;
	int i;

	if (out->ordinal < 0 || out->ordinal >= rj->run_inputs)
		return;
	chunk = chunk_of_output(rj, out->ordinal);
	if (chunk == NULL)
		return; /* all of the chunk is done */
	i = (int) (out->ordinal - chunk->stored.first);
	if (chunk_bit(chunk->seen, i))
		return;
	chunk_set_bit(chunk->seen, i);
	chunk->left--;
	chunk->unwritten++;

	if (rj->nitems == 0)
		rj->batch_since = monotonic_seconds();
	item = &rj->items[rj->nitems++];
	memset(item, 0, sizeof(*item));
	item->chunk = chunk;
	item->i = i;
	item->ok = out->ok;
	item->format = out->format;
	item->attempts = out->attempts;
	item->started_at = out->started_at;
	item->finished_at = out->finished_at;
	item->offset = rj->data.len;
	item->len = out->data.n;
	if (out->ok)
		buf_put(&rj->data, out->data.p, out->data.n);
	else
	{
		MemoryContext old = MemoryContextSwitchTo(rj->batch_cxt);

		item->error = error_to_jsonb(out);
		MemoryContextSwitchTo(old);
	}
}

static bool
batch_full(const RunJob *rj)
{
	return rj->nitems == BATCH_ROWS || rj->data.len >= BATCH_BYTES;
}

/* True when there may be more at once. */
bool
run_job_collect(RunJob *rj, int quantum)
{
	FrameOutput out;

	for (int n = 0; n < quantum && !batch_full(rj); n++)
	{
		switch (remote_call_poll_noerror(rj->call, &out))
		{
			case REMOTE_CALL_OUTPUT:
				take_output(rj, &out);
				break;
			case REMOTE_CALL_PENDING:
				return false;
			case REMOTE_CALL_END:
				rj->call_done = true;
				return true;
		}
	}
	return true;
}

/* --- writing back --------------------------------------------------------- */

static SinkRow *
make_rows(RunJob *rj)
{
	SinkRow *rows = palloc0(sizeof(SinkRow) * Max(rj->nitems, 1));

	for (int n = 0; n < rj->nitems; n++)
	{
		const BatchItem *item = &rj->items[n];
		SinkRow *row = &rows[n];

		row->ordinal = run_chunk_ordinal(item->chunk, item->i);
		run_chunk_record(item->chunk, item->i, &row->input);
		row->format = item->format;
		row->data = rj->data.data + item->offset;
		row->len = item->len;
		row->attempts = item->attempts;
		row->started_at = item->started_at;
		row->finished_at = item->finished_at;
		row->outcome = item->ok ? SINK_SUCCEEDED : SINK_FAILED;
		row->error = item->error;
	}
	return rows;
}

/* Say in the tables which inputs are done. */
static void
mark_done(RunJob *rj)
{
	for (int n = 0; n < rj->chunks.nchunks; n++)
	{
		RunChunk *chunk = rj->chunks.chunks[n];
		Size size = chunk_bitmap_size(chunk->stored.count);
		bytea *bits;

		if (chunk->unwritten == 0)
			continue;
		if (chunk->left == 0)
		{
			job_store_chunk_delete(rj->job->id, chunk->stored.first);
			continue;
		}
		bits = palloc(VARHDRSZ + size);
		SET_VARSIZE(bits, VARHDRSZ + size);
		memcpy(VARDATA(bits), chunk->seen, size);
		job_store_chunk_done(rj->job->id, chunk->stored.first, bits);
		pfree(bits);
	}
}

static void
count_outcomes(const SinkRow *rows, int n, JobProgress *progress)
{
	for (int i = 0; i < n; i++)
		switch (rows[i].outcome)
		{
			case SINK_SUCCEEDED:
				progress->succeeded++;
				break;
			case SINK_FAILED:
				progress->failed++;
				break;
			case SINK_STALE:
				progress->stale++;
				break;
		}
}

/* The transaction has committed: what was written can be forgotten. */
static void
forget_batch(RunJob *rj, const JobProgress *progress)
{
	Job *job = rj->job;

	job->succeeded += progress->succeeded;
	job->failed += progress->failed;
	job->stale += progress->stale;
	job->submitted = rj->stored_submitted = progress->submitted;
	rj->submitted_since = monotonic_seconds();
	for (int n = rj->chunks.nchunks - 1; n >= 0; n--)
	{
		RunChunk *chunk = rj->chunks.chunks[n];

		chunk->unwritten = 0;
		/* not one that is being sent: it may be needed for its position */
		if (chunk->left == 0)
			job_chunks_drop(&rj->chunks, chunk);
	}
	rj->nitems = 0;
	buf_reset(&rj->data);
	MemoryContextReset(rj->batch_cxt);
	backoff_reset(&rj->backoff);
	pgstat_report_activity(STATE_RUNNING,
						   psprintf("job " INT64_FORMAT ": " INT64_FORMAT
									" of " INT64_FORMAT " inputs done",
									job->id, job_settled(job), job->inputs));
}

/*
 * Write the batch: results, bits and counters in one transaction; and the end
 * of the job, if this was the last of it.
 */
void
run_job_write_back(RunJob *rj)
{
	Job *job = rj->job;
	JobProgress progress = {0};
	SinkRow *rows;
	bool last = job_settled(job) + rj->nitems >= job->inputs;
	bool running;

	progress.submitted = run_job_submitted(rj);
	runner_begin();
	rows = make_rows(rj);
	if (rj->nitems > 0)
		sink_write(rj->sink, rows, rj->nitems);
	DEBUG_POINT("runner-sink-written");
	mark_done(rj);
	count_outcomes(rows, rj->nitems, &progress);
	running = job_store_progress(job->id, &progress);
	if (running && last)
		running = run_job_finish(rj, JOB_COMPLETED, NULL);
	if (!running)
	{
		runner_rollback();
		run_job_stand_still(rj);
		return;
	}
	DEBUG_POINT("runner-before-commit");
	runner_commit();
	DEBUG_POINT("runner-after-commit");
	forget_batch(rj, &progress);
	if (last)
	{
		run_job_close_call(rj, FRAME_FLAG_DETACH);
		run_job_ended(rj, JOB_COMPLETED, NULL);
	}
}

long
run_job_batch_due(const RunJob *rj)
{
	if (rj->nitems == 0 && run_job_submitted(rj) == rj->stored_submitted)
		return -1;
	if (batch_full(rj) ||
		job_settled(rj->job) + rj->nitems >= rj->job->inputs)
		return 0;
	return monotonic_ms_until(rj->nitems > 0
								  ? rj->batch_since + BATCH_S
								  : rj->submitted_since + SUBMITTED_S);
}
