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
#include "jobs/distinct.h"
#include "jobs/limits.h"
#include "jobs/run_job_internal.h"
#include "jobs/runner_state.h"
#include "jobs/runner_xact.h"
#include "pgstat.h"
#include "utils/memutils.h"

#define BATCH_S 0.05	/* results wait no longer to be written */
#define KEEP_BYTES ((Size) 1024 * 1024) /* of a batch's buffer, for the next */
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

#define OUTPUT_SLICES 4

static void
output_slices(FrameOutput *out, Slice *slices[OUTPUT_SLICES])
{
	slices[0] = &out->data;
	slices[1] = &out->type;
	slices[2] = &out->message;
	slices[3] = &out->traceback;
}

static BatchItem *
next_item(RunJob *rj)
{
	if (rj->nitems == rj->max_items)
	{
		int n = Min(Max(rj->max_items * 2, 16), BATCH_ROWS);

		rj->items = repalloc(rj->items, sizeof(BatchItem) * n);
		rj->max_items = n;
	}
	return &rj->items[rj->nitems];
}

/*
 * Keep a result for the next batch, unless it was there before.  It is whole
 * before it is counted: what fails on the way has not happened.
 */
static void
take_output(RunJob *rj, const FrameOutput *out)
{
	RunChunk *chunk;
	BatchItem *item;
	Slice *slices[OUTPUT_SLICES];
	MemoryContext old;
	int i;

	if (out->ordinal < 0 || out->ordinal >= rj->run_inputs)
		return;
	chunk = chunk_of_output(rj, out->ordinal);
	if (chunk == NULL)
		return; /* all of the chunk is done */
	i = (int) (out->ordinal - chunk->stored.first);
	if (chunk_bit(chunk->seen, i))
		return;

	old = MemoryContextSwitchTo(rj->call_cxt);
	item = next_item(rj);
	item->chunk = chunk;
	item->i = i;
	item->out = *out;
	item->offset = rj->data.len;
	output_slices(&item->out, slices);
	for (int n = 0; n < OUTPUT_SLICES; n++)
		buf_put(&rj->data, slices[n]->p, slices[n]->n);
	MemoryContextSwitchTo(old);

	if (rj->nitems == 0)
		rj->batch_since = monotonic_seconds();
	rj->nitems++;
	chunk_set_bit(chunk->seen, i);
	chunk->left--;
	chunk->unwritten++;
}

static bool
batch_full(const RunJob *rj)
{
	int rows = run_job_stands_back(rj) ? HELD_BATCH_ROWS
		: run_job_is_background(rj)	   ? BACKGROUND_BATCH_ROWS
									   : BATCH_ROWS;

	return rj->nitems >= rows ||
		rj->data.len >= Min(BATCH_BYTES, job_chunks_share() / 4);
}

static bool
collect(RunJob *rj, int quantum)
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

/* True when there may be more at once. */
bool
run_job_collect(RunJob *rj, int quantum)
{
	int before = rj->nitems;
	bool more = collect(rj, quantum);

	if (rj->nitems > before)
		rj->last_news = monotonic_seconds();
	return more;
}

/* --- writing back --------------------------------------------------------- */

/* What the items of a batch become, as many at a time as a batch may have. */
typedef struct RowBatch
{
	SinkRow *rows;
	int n;
	JobProgress *progress;
} RowBatch;

/* The last failure is copied: the sink frees it when it writes the next rows. */
static void
count_outcomes(const SinkRow *rows, int n, JobProgress *progress)
{
	Jsonb *failure = NULL;

	for (int i = 0; i < n; i++)
		switch (rows[i].outcome)
		{
			case SINK_SUCCEEDED:
				progress->succeeded++;
				break;
			case SINK_FAILED:
				progress->failed++;
				failure = rows[i].error;
				break;
			case SINK_STALE:
				progress->stale++;
				break;
		}
	if (failure != NULL)
		progress->failure = DatumGetJsonbPCopy(JsonbPGetDatum(failure));
}

static void
write_rows(RunJob *rj, RowBatch *batch)
{
	if (batch->n == 0)
		return;
	sink_write(rj->sink, batch->rows, batch->n);
	count_outcomes(batch->rows, batch->n, batch->progress);
	batch->n = 0;
}

static void
add_row(RunJob *rj, RowBatch *batch, const SinkRow *row)
{
	if (batch->n == BATCH_ROWS)
		write_rows(rj, batch);
	batch->rows[batch->n++] = *row;
}

/* An item, as the result of its row. */
static void
make_row(const RunJob *rj, const BatchItem *item, SinkRow *row)
{
	FrameOutput out = item->out;
	Slice *slices[OUTPUT_SLICES];
	const uint8 *p = rj->data.data + item->offset;

	output_slices(&out, slices);
	for (int k = 0; k < OUTPUT_SLICES; k++)
	{
		slices[k]->p = (const char *) p;
		p += slices[k]->n;
	}
	row->ordinal = run_chunk_ordinal(item->chunk, item->i);
	run_chunk_record(item->chunk, item->i, &row->input);
	row->format = (PayloadFormat) out.format;
	row->data = (const uint8 *) out.data.p;
	row->len = out.data.n;
	row->attempts = out.attempts;
	row->started_at = out.started_at;
	row->finished_at = out.finished_at;
	row->outcome = out.ok ? SINK_SUCCEEDED : SINK_FAILED;
	row->error = out.ok ? NULL : error_to_jsonb(&out);
}

/* In the transaction that writes them, which owns what is made here. */
static void
write_items(RunJob *rj, JobProgress *progress)
{
	RowBatch batch = {.progress = progress};
	int max_rows = rj->job->distinct ? BATCH_ROWS : rj->nitems;

	batch.rows = palloc0(sizeof(SinkRow) * Max(max_rows, 1));
	for (int n = 0; n < rj->nitems; n++)
	{
		SinkRow row = {0};
		double seconds = frame_output_seconds(&rj->items[n].out);

		make_row(rj, &rj->items[n], &row);
		if (seconds > 0)
			progress->remote_ms += seconds * 1000;
		if (!rj->job->distinct)
			add_row(rj, &batch, &row);
		else
		{
			const uint8 *p = row.input.meta;
			const uint8 *end = p + row.input.meta_len;

			while (distinct_next_row(&p, end, &row.ordinal, &row.input))
				add_row(rj, &batch, &row);
		}
	}
	write_rows(rj, &batch);
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

/* The counters in memory follow those of the row. */
static void
add_progress(Job *job, const JobProgress *progress)
{
	job->succeeded += progress->succeeded;
	job->failed += progress->failed;
	job->stale += progress->stale;
	job->run_done += progress->run_done;
	job->submitted = progress->submitted;
}

/* The transaction has committed: what was written can be forgotten. */
static void
forget_batch(RunJob *rj, const JobProgress *progress)
{
	Job *job = rj->job;

	add_progress(job, progress);
	for (int n = 0; rj->order != NULL && n < rj->nitems; n++)
	{
		ChunkRecord rec;

		run_chunk_record(rj->items[n].chunk, rj->items[n].i, &rec);
		run_job_order_written(rj, &rec);
	}
	rj->stored_submitted = progress->submitted;
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
	if (rj->data.cap > KEEP_BYTES)
		buf_free(&rj->data);
	else
		buf_reset(&rj->data);
	job->tries = 0;
	runner_has_progressed();
	pgstat_report_activity(STATE_RUNNING,
						   psprintf("job " INT64_FORMAT ": " INT64_FORMAT
									" of " INT64_FORMAT " inputs done",
									job->id, job_settled(job), job->inputs));
}

/* The error with which a limit ends the job when the batch has been written. */
static ErrorData *
limit_reached(const RunJob *rj, const JobProgress *progress)
{
	Job job = *rj->job;

	add_progress(&job, progress);
	job.last_error = progress->failure;
	return limits_failures_error(&job);
}

/*
 * Write the batch: results, bits and counters in one transaction; and the end
 * of the job, if this was the last of it, or a limit was reached.
 */
void
run_job_write_back(RunJob *rj)
{
	Job *job = rj->job;
	MemoryContext cxt = CurrentMemoryContext;
	JobProgress progress = {.run_done = rj->nitems};
	bool last = job->run_done + rj->nitems >= rj->run_inputs;
	ErrorData *limit;
	JobEnd end;
	bool running;

	progress.submitted = run_job_submitted(rj);
	for (int i = 0; i < rj->nitems; i++)
		progress.usage += rj->items[i].out.usage;
	runner_begin();
	remote_call_tell(rj->call);
	write_items(rj, &progress);
	DEBUG_POINT("runner-sink-written");
	mark_done(rj);
	MemoryContextSwitchTo(cxt); /* what follows outlives the transaction */
	limit = limit_reached(rj, &progress);
	running = job_store_progress(job->id, &progress);
	if (running && last)
		running = run_job_finish(rj, limit == NULL ? JOB_COMPLETED : JOB_FAILED,
								 limit, &end);
	else if (running && limit != NULL)
		running = run_job_stop(rj, limit);
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
		run_job_ended(rj, &end);
	}
	else if (limit != NULL)
		run_job_stopped(rj, limit);
}

long
run_job_batch_due(const RunJob *rj)
{
	if (rj->nitems == 0 && run_job_submitted(rj) == rj->stored_submitted)
		return -1;
	if (batch_full(rj) || (rj->nitems > 0 && run_job_order_waits(rj)) ||
		rj->job->run_done + rj->nitems >= rj->run_inputs)
		return 0;
	return monotonic_ms_until(rj->nitems > 0
								  ? rj->batch_since + BATCH_S
								  : rj->submitted_since + SUBMITTED_S);
}
