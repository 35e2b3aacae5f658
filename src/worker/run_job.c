/*-------------------------------------------------------------------------
 *
 * run_job.c
 *	  One job in the hands of its runner; see run_job.h.
 *
 * The order of things, which is what makes a crash harmless at any point:
 *
 *	1. The remote call is opened.  Its idempotency keys come from the seed in
 *	   the job's row, so opening it twice opens one call.
 *	2. Its id is stored and committed; only then are inputs sent.
 *	3. Results are written together with the bits that say so and with the
 *	   number of inputs that the service has acknowledged (submitted).
 *
 * After a crash the call is continued by its id.  Results that were written
 * arrive again and are dropped by their bits; inputs from "submitted" on are
 * sent again, under the same keys.  When the service no longer knows the
 * call, or ends it with results missing, what is left becomes a new run.
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include "access/xact.h"
#include "commands/async.h"
#include "core/backoff.h"
#include "debug_point.h"
#include "errors.h"
#include "executor/spi.h"
#include "lib/stringinfo.h"
#include "pgstat.h"
#include "runner_state.h"
#include "session/job_owner.h"
#include "session/remote_call.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "worker/job_chunks.h"
#include "worker/run_job.h"
#include "worker/sink.h"

#define BATCH_ROWS 5000
#define BATCH_BYTES ((Size) 8 * 1024 * 1024)
#define BATCH_MS 50			 /* results wait no longer to be written */
#define SUBMITTED_MS 1000	 /* nor does the number of submitted inputs */
#define QUANTUM 1000		 /* inputs and outputs in a step, at priority 0 */
#define MAX_WEIGHT 8
#define MAX_EMPTY_RUNS 3	 /* runs without any result, before it fails */

/* A result that waits to be written. */
typedef struct BatchItem
{
	RunChunk *chunk;
	int i; /* within the chunk */
	bool ok;
	PayloadFormat format;
	int attempts;
	double started_at, finished_at;
	Size offset, len; /* in the batch's data */
	Jsonb *error;	  /* in batch_cxt */
} BatchItem;

/* Inputs [first, end) that were sent and not yet acknowledged. */
typedef struct SentRange
{
	int64 first, end;
} SentRange;

struct RunJob
{
	MemoryContext cxt;
	Job *job;
	bool done;			 /* nothing more to do here */
	bool call_done;		 /* the remote call has ended */
	/* one remote call; all of this is reset when it is closed */
	MemoryContext call_cxt;
	RemoteCall *call;	 /* NULL: not open */
	Sink *sink;
	bool started;		 /* its id is stored: inputs may be sent */
	bool finished;		 /* all inputs have been sent */
	int64 next_index;
	int64 run_inputs;
	List *sent;			 /* SentRange *, ascending */
	int64 stored_submitted;
	TimestampTz submitted_since; /* last time it was stored */
	int64 settled_at_open;
	JobChunks chunks;
	/* results that wait */
	MemoryContext batch_cxt;
	Buf data;
	BatchItem *items;
	int nitems;
	TimestampTz batch_since;
	/* trouble */
	Backoff backoff;
	TimestampTz retry_at; /* 0: now */
	int empty_runs;
};

/* --- transactions --------------------------------------------------------- */

/* Before 17, the end of a transaction leaves another context current. */
static MemoryContext outside_cxt;

void
runner_begin(void)
{
	outside_cxt = CurrentMemoryContext;
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
}

void
runner_commit(void)
{
	PopActiveSnapshot();
	CommitTransactionCommand();
	MemoryContextSwitchTo(outside_cxt);
	pgstat_report_stat(false);
}

static void
runner_rollback(void)
{
	AbortCurrentTransaction();
	MemoryContextSwitchTo(outside_cxt);
}

/* --- life ----------------------------------------------------------------- */

RunJob *
run_job_create(MemoryContext cxt, Job *job)
{
	RunJob *rj = MemoryContextAllocZero(cxt, sizeof(RunJob));

	rj->cxt = cxt;
	rj->job = job;
	backoff_init(&rj->backoff, 1.0, 2.0, 60.0, false);
	return rj;
}

int64
run_job_id(const RunJob *rj)
{
	return rj->job->id;
}

int32
run_job_priority(const RunJob *rj)
{
	return rj->job->priority;
}

bool
run_job_done(const RunJob *rj)
{
	return rj->done;
}

static void
close_call(RunJob *rj, int flags)
{
	if (rj->call != NULL)
		remote_call_close(rj->call, flags);
	rj->call = NULL;
	if (rj->sink != NULL)
		sink_free(rj->sink);
	rj->sink = NULL;
	if (rj->call_cxt != NULL)
		MemoryContextDelete(rj->call_cxt);
	rj->call_cxt = NULL;
	rj->nitems = 0;
}

void
run_job_release(RunJob *rj)
{
	close_call(rj, FRAME_FLAG_DETACH);
	MemoryContextDelete(rj->cxt);
}

/*
 * It was cancelled or paused meanwhile, which we shall be told: do nothing
 * until then.
 */
static void
stand_still(RunJob *rj)
{
	close_call(rj, FRAME_FLAG_DETACH);
	rj->retry_at = DT_NOEND;
}

static void
back_off(RunJob *rj)
{
	double s = backoff_next(&rj->backoff, 0.0);

	close_call(rj, FRAME_FLAG_DETACH);
	rj->retry_at = TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
											   (int64) (s * 1000));
}

/* --- the end -------------------------------------------------------------- */

static void
notify_end(const RunJob *rj, JobState state)
{
	char payload[128];

	snprintf(payload, sizeof(payload),
			 "{\"job\": " INT64_FORMAT ", \"state\": \"%s\"}", rj->job->id,
			 job_state_name(state));
	Async_Notify("modal_batch", payload);
}

static void
log_end(const RunJob *rj, JobState state, const char *message)
{
	const Job *job = rj->job;
	TimestampTz since = job->started_at != 0 ? job->started_at : job->created_at;

	ereport(LOG,
			(errmsg("job " INT64_FORMAT " %s after %.3f s: " INT64_FORMAT
					" inputs succeeded, " INT64_FORMAT " failed, " INT64_FORMAT
					" stale, of " INT64_FORMAT,
					job->id, job_state_name(state),
					TimestampDifferenceMilliseconds(since, GetCurrentTimestamp()) / 1000.0,
					job->succeeded, job->failed, job->stale, job->inputs),
			 message == NULL ? 0 : errdetail("%s", message)));
}

/*
 * Run the owner's on_complete statement in the transaction that completes the
 * job; its failure is noted, and changes nothing else.
 */
static void
run_on_complete(RunJob *rj)
{
	MemoryContext old = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	Jsonb *volatile error = NULL;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(old);
	PG_TRY();
	{
		OwnerScope scope;
		Oid type = INT8OID;
		Datum id = Int64GetDatum(rj->job->id);

		owner_enter(&scope, rj->job->owner, rj->job->sink.search_path);
		SPI_connect();
		SPI_execute_with_args(rj->job->on_complete, 1, &type, &id, NULL, false,
							  0);
		SPI_execute("SET CONSTRAINTS ALL IMMEDIATE", false, 0);
		SPI_finish();
		owner_leave(&scope);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		ErrorData *edata;

		MemoryContextSwitchTo(old);
		edata = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(old);
		error = edata_to_jsonb(edata, 1);
		ereport(LOG, (errmsg("job " INT64_FORMAT ": on_complete failed: %s",
							 rj->job->id, edata->message)));
	}
	PG_END_TRY();
	MemoryContextSwitchTo(old);
	CurrentResourceOwner = owner;
	job_store_set_on_complete_done(rj->job->id, error);
}

/* Within a transaction; false when the job is no longer running. */
static bool
complete(RunJob *rj)
{
	if (!job_store_finish(rj->job->id, JOB_COMPLETED, NULL))
		return false;
	if (rj->job->on_complete != NULL)
		run_on_complete(rj);
	notify_end(rj, JOB_COMPLETED);
	return true;
}

static void
after_end(RunJob *rj, JobState state, const char *message)
{
	log_end(rj, state, message);
	runner_job_changed();
	rj->done = true;
}

/* A job without inputs. */
static void
complete_empty(RunJob *rj)
{
	bool ended;

	runner_begin();
	ended = complete(rj);
	runner_commit();
	if (ended)
		after_end(rj, JOB_COMPLETED, NULL);
	rj->done = true;
}

/* The job cannot go on; its inputs stay, and so does the remote call. */
static void
fail(RunJob *rj, Jsonb *error, const char *message)
{
	bool ended;

	close_call(rj, FRAME_FLAG_DETACH);
	runner_begin();
	ended = job_store_finish(rj->job->id, JOB_FAILED, error);
	if (ended)
		notify_end(rj, JOB_FAILED);
	runner_commit();
	if (ended)
		after_end(rj, JOB_FAILED, message);
	rj->done = true;
}

static void
note_error(RunJob *rj, Jsonb *error)
{
	runner_begin();
	(void) job_store_note_error(rj->job->id, error);
	runner_commit();
}

/* In the job's context, for what follows may delete the current one. */
static Jsonb *
error_in_job(RunJob *rj, const ErrorData *edata)
{
	MemoryContext old = MemoryContextSwitchTo(rj->cxt);
	Jsonb *error = edata_to_jsonb(edata, 1);

	MemoryContextSwitchTo(old);
	return error;
}

void
run_job_error(RunJob *rj, const ErrorData *edata)
{
	Jsonb *error = error_in_job(rj, edata);

	if (error_is_transient(edata->sqlerrcode))
	{
		back_off(rj);
		ereport(LOG,
				(errmsg("job " INT64_FORMAT " will be tried again: %s",
						rj->job->id, edata->message)));
		note_error(rj, error);
	}
	else
		fail(rj, error, edata->message);
}

/* --- opening -------------------------------------------------------------- */

/* "app/function" with the version that the job began with. */
static char *
pinned_reference(const Job *job, const char *rest)
{
	Reference ref;

	if (job->version == 0 ||
		reference_parse(rest, strlen(rest), false, &ref) != NULL ||
		ref.version != 0)
		return pstrdup(rest);
	return psprintf("%.*s@%d%.*s", (int) ref.target.n, ref.target.p,
					job->version,
					ref.options.p == NULL ? 0 : (int) ref.options.n + 1,
					ref.options.p == NULL ? "" : ref.options.p - 1);
}

static void
open_call(RunJob *rj)
{
	Job *job = rj->job;
	RemoteCallSpec spec = {0};
	Endpoint *endpoint;
	const char *rest;
	OwnerScope scope;
	MemoryContext old;

	rj->call_cxt = AllocSetContextCreate(rj->cxt, "modal_batch job call",
										 ALLOCSET_DEFAULT_SIZES);
	rj->batch_cxt = AllocSetContextCreate(rj->call_cxt, "modal_batch job batch",
										  ALLOCSET_DEFAULT_SIZES);
	runner_begin();
	old = MemoryContextSwitchTo(rj->call_cxt);
	rj->sink = sink_create(rj->call_cxt, job);
	owner_enter(&scope, job->owner, NULL);
	endpoint = endpoint_get(job->function, job->owner, &rest);
	owner_leave(&scope);
	rest = pinned_reference(job, rest);
	MemoryContextSwitchTo(old);
	runner_commit();

	job_chunks_init(&rj->chunks, rj->call_cxt, job->id);
	old = MemoryContextSwitchTo(rj->call_cxt);
	buf_init(&rj->data, 0, buf_palloc);
	(void) buf_reserve(&rj->data, 1024);
	rj->items = palloc(sizeof(BatchItem) * BATCH_ROWS);
	MemoryContextSwitchTo(old);
	rj->nitems = 0;
	rj->sent = NIL;
	rj->started = rj->finished = rj->call_done = false;
	rj->run_inputs = job_run_inputs(job);
	rj->settled_at_open = job_settled(job);
	/* without an id the remote side remembers nothing: send all again */
	rj->next_index = job->remote_call_id == NULL ? 0 : job->submitted;
	rj->stored_submitted = rj->next_index;
	rj->submitted_since = GetCurrentTimestamp();

	spec.kind = CALL_SPAWN_MAP;
	spec.reference = rest;
	spec.input_format = job->format;
	spec.return_exceptions = true;
	spec.discard = job->sink.mode == SINK_DISCARD;
	spec.first_ordinal = rj->next_index;
	spec.last_ordinal = -1;
	spec.total_inputs = rj->run_inputs;
	spec.remote_call_id = job->remote_call_id;
	spec.request = job->kwargs == NULL ? NULL
		: JsonbToCString(NULL, &job->kwargs->root, VARSIZE(job->kwargs));
	spec.idempotency = job->seed;
	DEBUG_POINT("runner-before-open");
	rj->call = remote_call_open(rj->call_cxt, endpoint, &spec);
}

/* The call is there: store its id before anything depends on it. */
static void
store_start(RunJob *rj, const CallOpened *opened)
{
	Job *job = rj->job;
	MemoryContext old;
	bool resumed = job->remote_call_id != NULL;

	DEBUG_POINT("runner-opened");
	if (!resumed || job->state != JOB_RUNNING)
	{
		bool running;

		old = MemoryContextSwitchTo(rj->cxt);
		if (!resumed && opened->remote_call_id.n > 0)
			job->remote_call_id = pnstrdup(opened->remote_call_id.p,
										   opened->remote_call_id.n);
		MemoryContextSwitchTo(old);
		if (job->version == 0)
			job->version = (int32) opened->version;
		runner_begin();
		running = job_store_started(job->id, job->remote_call_id, job->version);
		runner_commit();
		if (!running)
		{
			stand_still(rj);
			return;
		}
		job->state = JOB_RUNNING;
		if (job->started_at == 0)
			job->started_at = GetCurrentTimestamp();
	}
	DEBUG_POINT("runner-id-stored");
	rj->started = true;
	ereport(LOG,
			(errmsg("job " INT64_FORMAT " %s: function \"%s\", " INT64_FORMAT " inputs",
					job->id, resumed ? "continued" : "started", job->function,
					job->inputs)));
}

/* --- inputs --------------------------------------------------------------- */

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
static void
note_accepted(RunJob *rj, int64 first, int64 end)
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
static int64
submitted(const RunJob *rj)
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
static bool
feed(RunJob *rj, int quantum)
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

/* --- outputs -------------------------------------------------------------- */

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
		rj->batch_since = GetCurrentTimestamp();
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
	rj->submitted_since = GetCurrentTimestamp();
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
static void
write_back(RunJob *rj)
{
	Job *job = rj->job;
	JobProgress progress = {0};
	SinkRow *rows;
	bool last = job_settled(job) + rj->nitems >= job->inputs;
	bool running;

	progress.submitted = submitted(rj);
	runner_begin();
	rows = make_rows(rj);
	if (rj->nitems > 0)
		sink_write(rj->sink, rows, rj->nitems);
	DEBUG_POINT("runner-sink-written");
	mark_done(rj);
	count_outcomes(rows, rj->nitems, &progress);
	running = job_store_progress(job->id, &progress);
	if (running && last)
		running = complete(rj);
	if (!running)
	{
		runner_rollback();
		stand_still(rj);
		return;
	}
	DEBUG_POINT("runner-before-commit");
	runner_commit();
	DEBUG_POINT("runner-after-commit");
	forget_batch(rj, &progress);
	if (last)
	{
		close_call(rj, FRAME_FLAG_DETACH);
		after_end(rj, JOB_COMPLETED, NULL);
	}
}

/* When is the batch to be written?  0: now; -1: there is nothing to write. */
static long
batch_due(const RunJob *rj)
{
	TimestampTz now;
	long ms;

	if (rj->nitems == 0 && submitted(rj) == rj->stored_submitted)
		return -1;
	if (batch_full(rj) ||
		job_settled(rj->job) + rj->nitems >= rj->job->inputs)
		return 0;
	now = GetCurrentTimestamp();
	if (rj->nitems > 0)
		ms = BATCH_MS - TimestampDifferenceMilliseconds(rj->batch_since, now);
	else
		ms = SUBMITTED_MS -
			TimestampDifferenceMilliseconds(rj->submitted_since, now);
	return Max(ms, 0);
}

/* --- the remote call has ended -------------------------------------------- */

/* What is left becomes a new run, under a new call. */
static void
begin_new_run(RunJob *rj)
{
	int64 id = rj->job->id;
	MemoryContext old;
	Job *job;

	close_call(rj, FRAME_FLAG_DETACH);
	runner_begin();
	job = job_store_load(id);
	if (job != NULL && (job->state == JOB_RUNNING || job->state == JOB_PENDING))
		(void) job_store_requeue(job, false);
	old = MemoryContextSwitchTo(rj->cxt);
	job = job_store_load(id);
	MemoryContextSwitchTo(old);
	runner_commit();
	if (job == NULL)
		rj->done = true;
	else
		rj->job = job;
}

static Jsonb *
lost_results_error(const RunJob *rj, ErrorData *edata)
{
	memset(edata, 0, sizeof(*edata));
	edata->sqlerrcode = modal_sqlstate(MODAL_SQLSTATE_CONNECTION);
	edata->message = psprintf("the service has no result for " INT64_FORMAT " inputs",
							  rj->job->inputs - job_settled(rj->job));
	return edata_to_jsonb(edata, 1);
}

static void
call_failed(RunJob *rj, const CallClosed *closed)
{
	ErrorData edata = {0};
	bool resumed = rj->job->remote_call_id != NULL;
	char *message = pnstrdup(closed->message.p, closed->message.n);

	edata.sqlerrcode = modal_sqlstate(closed->sqlstate);
	edata.message = message;
	if (closed->retryable || error_is_transient(edata.sqlerrcode))
		edata.sqlerrcode = modal_sqlstate(MODAL_SQLSTATE_CONNECTION);
	else if (resumed && !rj->started &&
			 strcmp(closed->sqlstate, MODAL_SQLSTATE_NOT_FOUND) == 0)
	{
		/* the service has forgotten the call; if it is the function that is
		 * gone, the new call will say so */
		begin_new_run(rj);
		return;
	}
	run_job_error(rj, &edata);
	pfree(message);
}

static void
call_ended(RunJob *rj)
{
	const CallClosed *closed = remote_call_closed(rj->call);

	if (!closed->ok)
	{
		call_failed(rj, closed);
		return;
	}
	/* it ended well, but results are missing: they have expired */
	if (job_settled(rj->job) == rj->settled_at_open)
		rj->empty_runs++;
	else
		rj->empty_runs = 0;
	if (rj->empty_runs >= MAX_EMPTY_RUNS)
	{
		ErrorData edata;
		Jsonb *error = lost_results_error(rj, &edata);

		fail(rj, error, edata.message);
		return;
	}
	begin_new_run(rj);
}

/* --- cancelling ----------------------------------------------------------- */

static void
cancel(RunJob *rj)
{
	Job *job = rj->job;
	bool ended;

	if (rj->call == NULL && job->remote_call_id != NULL)
	{
		/* not followed here: take it up again, to end it */
		open_call(rj);
	}
	close_call(rj, job->terminate ? FRAME_FLAG_TERMINATE : 0);
	runner_begin();
	ended = job_store_finish(job->id, JOB_CANCELLED, NULL);
	if (ended)
		notify_end(rj, JOB_CANCELLED);
	runner_commit();
	if (ended)
		after_end(rj, JOB_CANCELLED, NULL);
	rj->done = true;
}

void
run_job_state_changed(RunJob *rj, JobState state)
{
	Job *job = rj->job;

	switch (state)
	{
		case JOB_PENDING:
		case JOB_RUNNING:
			if (rj->retry_at == DT_NOEND)
				rj->done = true; /* paused and resumed: taken up anew */
			break;
		case JOB_CANCELLING:
			job->state = state;
			rj->retry_at = 0;
			break;
		default:
			rj->done = true;
			break;
	}
}

/* --- steps ---------------------------------------------------------------- */

static int
weight(const RunJob *rj)
{
	return Min(Max(rj->job->priority + 1, 1), MAX_WEIGHT);
}

/* Before the call's id is stored. */
static bool
step_opening(RunJob *rj)
{
	const CallOpened *opened;
	FrameOutput out;

	opened = remote_call_opened(rj->call);
	if (opened == NULL)
	{
		if (remote_call_poll_noerror(rj->call, &out) == REMOTE_CALL_END)
		{
			call_ended(rj);
			return true;
		}
		opened = remote_call_opened(rj->call);
	}
	if (opened == NULL)
		return false;
	store_start(rj, opened);
	return rj->started;
}

static bool
step_running(RunJob *rj, long *wait_ms)
{
	int quantum = QUANTUM * weight(rj);
	int64 first;
	uint32 count;
	bool more;
	long due;

	while (remote_call_accepted(rj->call, &first, &count))
		note_accepted(rj, first, first + count);
	more = !rj->call_done && collect(rj, quantum);
	if (!rj->finished && !rj->call_done)
		more |= feed(rj, quantum);
	due = rj->call_done ? 0 : batch_due(rj);
	if (due == 0)
	{
		write_back(rj);
		if (rj->call_done && rj->call != NULL)
			call_ended(rj);
		return true;
	}
	*wait_ms = due;
	return more;
}

bool
run_job_step(RunJob *rj, long *wait_ms)
{
	*wait_ms = -1;
	if (rj->done)
		return true;
	if (rj->job->state == JOB_CANCELLING)
	{
		cancel(rj);
		return true;
	}
	if (rj->retry_at == DT_NOEND)
		return false;
	if (rj->retry_at != 0)
	{
		long ms = TimestampDifferenceMilliseconds(GetCurrentTimestamp(),
												  rj->retry_at);

		if (ms > 0)
		{
			*wait_ms = ms;
			return false;
		}
		rj->retry_at = 0;
	}
	if (rj->call == NULL)
	{
		if (job_settled(rj->job) >= rj->job->inputs)
			complete_empty(rj);
		else
			open_call(rj);
		return true;
	}
	if (!rj->started)
		return step_opening(rj);
	return step_running(rj, wait_ms);
}
