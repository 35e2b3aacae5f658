/*-------------------------------------------------------------------------
 *
 * run_job_outputs.c
 *	  Collecting the results of a job in batches, and writing each with its
 *	  bits and counters in one transaction; see run_job_internal.h.
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include "access/xact.h"
#include "clock.h"
#include "debug_point.h"
#include "jobs/distinct.h"
#include "jobs/error.h"
#include "jobs/limits.h"
#include "jobs/run_job_internal.h"
#include "jobs/runner_state.h"
#include "jobs/runner_xact.h"
#include "pgstat.h"
#include "utils/memutils.h"

#define BATCH_S 0.05	/* results wait no longer to be written */
/*
 * With so many bytes it is written as soon as nothing more is at hand: what
 * comes meanwhile makes the next one larger where a transaction takes long.
 */
#define WORTH_BYTES ((Size) 1024 * 1024)
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
	item->refused = NULL;
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

/* An item, as the result of its row; in a transaction. */
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
	row->refused = item->refused != NULL;
	row->outcome = out.ok && !row->refused ? SINK_SUCCEEDED : SINK_FAILED;
	row->error = !out.ok	? error_to_jsonb(&out)
		: row->refused		? edata_to_jsonb(item->refused, out.attempts)
							: NULL;
}

/* In the transaction that writes them, which owns what is made here. */
static void
write_items(RunJob *rj, int lo, int n, JobProgress *progress)
{
	RowBatch batch = {.progress = progress};
	int max_rows = rj->job->distinct ? BATCH_ROWS : n;

	batch.rows = palloc0(sizeof(SinkRow) * Max(max_rows, 1));
	for (int k = lo; k < lo + n; k++)
	{
		SinkRow row = {0};
		const FrameOutput *out = &rj->items[k].out;
		double seconds = frame_output_seconds(out);

		make_row(rj, &rj->items[k], &row);
		progress->usage += out->usage;
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

/* How many of the chunk's results still wait then?  They are not done. */
static int
clear_waiting(const RunJob *rj, const RunChunk *chunk, int lo, int n,
			  uint8 *bits)
{
	int waiting = 0;

	for (int k = 0; n < rj->nitems && k < rj->nitems; k++)
	{
		const BatchItem *item = &rj->items[k];

		if (item->chunk != chunk || (k >= lo && k < lo + n))
			continue;
		chunk_clear_bit(bits, item->i);
		waiting++;
	}
	return waiting;
}

/* Say in the tables which inputs are done with items [lo, lo + n). */
static void
mark_done(RunJob *rj, int lo, int n)
{
	for (int k = 0; k < rj->chunks.nchunks; k++)
	{
		RunChunk *chunk = rj->chunks.chunks[k];
		Size size = chunk_bitmap_size(chunk->stored.count);
		bytea *bits;
		int waiting;

		if (chunk->unwritten == 0)
			continue;
		bits = palloc(VARHDRSZ + size);
		SET_VARSIZE(bits, VARHDRSZ + size);
		memcpy(VARDATA(bits), chunk->seen, size);
		waiting = clear_waiting(rj, chunk, lo, n, (uint8 *) VARDATA(bits));
		if (chunk->left == 0 && waiting == 0)
			job_store_chunk_delete(rj->job->id, chunk->stored.first);
		else if (waiting < chunk->unwritten)
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

static void
forget_items(RunJob *rj, int lo, int n)
{
	for (int k = lo; k < lo + n; k++)
	{
		BatchItem *item = &rj->items[k];
		ChunkRecord rec;

		if (rj->order != NULL)
		{
			run_chunk_record(item->chunk, item->i, &rec);
			run_job_order_written(rj, &rec);
		}
		item->chunk->unwritten--;
	}
	for (int k = rj->chunks.nchunks - 1; k >= 0; k--)
	{
		RunChunk *chunk = rj->chunks.chunks[k];

		/* not one that is being sent: it may be needed for its position */
		if (chunk->left == 0 && chunk->unwritten == 0)
			job_chunks_drop(&rj->chunks, chunk);
	}
	rj->nitems -= n;
	memmove(rj->items + lo, rj->items + lo + n,
			sizeof(BatchItem) * (rj->nitems - lo));
	if (rj->nitems > 0)
		return;
	if (rj->data.cap > KEEP_BYTES)
		buf_free(&rj->data);
	else
		buf_reset(&rj->data);
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

/* Some of the batch, and what follows from it. */
typedef struct BatchPart
{
	int lo, n; /* items [lo, lo + n) */
	JobProgress progress;
	bool last;		  /* all else has its outcome */
	ErrorData *limit; /* ends the job; NULL: none */
	JobEnd end;
	bool running;	  /* false: the job is not to run any more */
	bool changed;	  /* by what has been written: that holds, with the results */
} BatchPart;

/* Up to the commit; what outlives the transaction is in that context. */
static void
write_part(RunJob *rj, BatchPart *part, MemoryContext cxt)
{
	int64 id = rj->job->id;

	part->progress.submitted = run_job_submitted(rj);
	runner_begin();
	remote_call_tell(rj->call);
	write_items(rj, part->lo, part->n, &part->progress);
	DEBUG_POINT("runner-sink-written");
	mark_done(rj, part->lo, part->n);
	MemoryContextSwitchTo(cxt);
	part->limit = limit_reached(rj, &part->progress);
	part->running = job_store_progress(id, &part->progress, false);
	/* a trigger of the table may have cancelled the job, or paused it */
	part->changed = !part->running && job_store_is_own_change(id) &&
		job_store_progress(id, &part->progress, true);
	if (part->running && part->last)
		part->running = run_job_finish(
			rj, part->limit == NULL ? JOB_COMPLETED : JOB_FAILED, part->limit,
			&part->end);
	else if (part->running && part->limit != NULL)
		part->running = run_job_stop(rj, part->limit);
	if (part->running)
		DEBUG_POINT("runner-before-commit");
}

/* The transaction has committed: what was written can be forgotten. */
static void
part_written(RunJob *rj, const BatchPart *part)
{
	Job *job = rj->job;

	DEBUG_POINT("runner-after-commit");
	add_progress(job, &part->progress);
	rj->stored_submitted = part->progress.submitted;
	rj->submitted_since = monotonic_seconds();
	forget_items(rj, part->lo, part->n);
	if (part->progress.answered)
	{
		job->tries = 0;
		runner_has_progressed();
	}
	pgstat_report_activity(STATE_RUNNING,
						   psprintf("job " INT64_FORMAT ": " INT64_FORMAT
									" of " INT64_FORMAT " inputs done",
									job->id, job_settled(job), job->inputs));
	if (part->last)
	{
		run_job_close_call(rj, FRAME_FLAG_DETACH);
		run_job_ended(rj, &part->end);
	}
	else if (part->limit != NULL)
		run_job_stopped(rj, part->limit);
}

ErrorData *
run_job_write_part(RunJob *rj, int lo, int n, bool *at_commit)
{
	MemoryContext cxt = CurrentMemoryContext;
	/* of an HTTP service only outcomes come, Modal's acknowledges inputs */
	bool answered = n > 0 || rj->job->remote_call_id != NULL;
	BatchPart part = {
		.lo = lo, .n = n, .progress = {.run_done = n, .answered = answered}};
	volatile bool committing = false;
	ErrorData *volatile edata = NULL;

	part.last = rj->job->run_done + n >= rj->run_inputs;
	PG_TRY();
	{
		write_part(rj, &part, cxt);
		committing = part.running || part.changed;
		if (committing)
			runner_commit();
		else
			runner_rollback();
	}
	PG_CATCH();
	{
		/* what follows a commit cannot undo it */
		if (committing && !IsTransactionState())
			PG_RE_THROW();
		edata = runner_take_error(cxt);
	}
	PG_END_TRY();
	*at_commit = committing;
	if (edata != NULL)
		return edata;
	if (part.running)
		part_written(rj, &part);
	else
		run_job_stand_still(rj);
	return NULL;
}

/* The table may have been altered, and the names of its columns with the row. */
static bool
renew_sink(RunJob *rj)
{
	if (rj->sink != NULL)
		sink_free(rj->sink);
	rj->sink = NULL;
	runner_begin();
	if (!run_job_read_row(rj))
	{
		runner_commit();
		run_job_stand_still(rj);
		return false;
	}
	rj->sink = sink_create(rj->call_cxt, rj->job);
	runner_commit();
	rj->rewrites = false;
	return true;
}

/*
 * Write the batch: results, bits and counters in one transaction; and the end
 * of the job, if this was the last of it, or a limit was reached.
 */
void
run_job_write_back(RunJob *rj)
{
	ErrorData *edata;
	bool at_commit;

	rj->unwritten = rj->rewrites;
	if (rj->rewrites && !renew_sink(rj))
		return;
	rj->unwritten = false;
	edata = run_job_write_part(rj, 0, rj->nitems, &at_commit);
	if (edata != NULL && run_job_writes_parts(rj, edata, at_commit))
		edata = run_job_write_parts(rj, edata);
	if (edata == NULL)
		return;
	rj->unwritten = true;
	ReThrowError(edata);
}

long
run_job_batch_due(const RunJob *rj, bool more)
{
	if (rj->nitems == 0 && run_job_submitted(rj) == rj->stored_submitted)
		return -1;
	if (batch_full(rj) || (!more && rj->data.len >= WORTH_BYTES) ||
		(rj->nitems > 0 && run_job_order_waits(rj)) ||
		rj->job->run_done + rj->nitems >= rj->run_inputs)
		return 0;
	return monotonic_ms_until(rj->nitems > 0
								  ? rj->batch_since + BATCH_S
								  : rj->submitted_since + SUBMITTED_S);
}
