/*-------------------------------------------------------------------------
 *
 * store.c
 *	  The tables of durable jobs, as C; see store.h.
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "commands/async.h"
#include "commands/extension.h"
#include "jobs/home.h"
#include "jobs/owner.h"
#include "jobs/sql.h"
#include "jobs/store.h"
#include "jobs/wake.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/uuid.h"
#include "values/values.h"

static const char *const format_names[] = {
	[0] = "", /* no format */
	[PAYLOAD_CBOR] = "cbor",
	[PAYLOAD_JSON] = "json",
	[PAYLOAD_REQUEST] = "request",
};
static const char *const state_names[] = {
	[JOB_PENDING] = "pending",		 [JOB_RUNNING] = "running",
	[JOB_PAUSED] = "paused",		 [JOB_CANCELLING] = "cancelling",
	[JOB_COMPLETED] = "completed",	 [JOB_FAILED] = "failed",
	[JOB_CANCELLED] = "cancelled",
};

static const char *const mode_names[] = {
	[SINK_RESULT] = "result", [SINK_INSERT] = "insert",
	[SINK_UPSERT] = "upsert", [SINK_UPDATE] = "update",
	[SINK_DISCARD] = "discard", [SINK_REPLACE] = "replace",
};

const char *
job_state_name(JobState state)
{
	return state_names[state];
}

const char *
sink_mode_name(SinkMode mode)
{
	return mode_names[mode];
}

const char *
payload_format_name(PayloadFormat format)
{
	return format_names[format];
}

static int
find_name(const char *const *names, int n, const char *name)
{
	for (int i = 0; i < n; i++)
		if (strcmp(names[i], name) == 0)
			return i;
	return -1;
}

/* Nobody but a superuser could have written another one. */
static JobState
state_named(const char *name)
{
	int i = find_name(state_names, lengthof(state_names), name);

	if (i < 0)
		ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
						errmsg("unrecognized state \"%s\" of a job", name)));
	return (JobState) i;
}

bool
sink_mode_parse(const char *name, SinkMode *mode)
{
	int i = find_name(mode_names, lengthof(mode_names), name);

	*mode = (SinkMode) i;
	return i >= 0;
}

/*
 * A schema of our name proves nothing: anybody could make one, and put
 * triggers there for a runner to fire as superuser.
 */
bool
job_store_exists(void)
{
	Oid extension = get_extension_oid("modal_batch", true);
	Oid relid = store_relation("job");

	return OidIsValid(extension) && OidIsValid(relid) &&
		getExtensionOfObject(RelationRelationId, relid) == extension;
}

static Job *
read_job(const StoreScope *scope, bool *own_change)
{
	MemoryContext spi_cxt = MemoryContextSwitchTo(scope->cxt);
	Job *job = palloc0(sizeof(Job));
	RowReader row = {SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 0};
	char *name;

	job->id = DatumGetInt64(next_value(&row));
	job->owner = DatumGetObjectId(next_value(&row));
	job->function = next_text(&row);
	job->version = DatumGetInt32(next_value(&row));
	name = next_text(&row);
	job->state = state_named(name);
	job->priority = DatumGetInt32(next_value(&row));
	name = next_text(&row);
	job->format = (PayloadFormat) find_name(format_names, lengthof(format_names), name);
	job->kwargs = next_jsonb(&row);
	memcpy(job->seed, DatumGetUUIDP(next_value(&row))->data, UUID_LEN);
	job->remote_call_id = next_text(&row);
	job->terminate = DatumGetBool(next_value(&row));
	job->inputs = DatumGetInt64(next_value(&row));
	job->run_inputs = DatumGetInt64(next_value(&row));
	job->run_done = DatumGetInt64(next_value(&row));
	job->submitted = DatumGetInt64(next_value(&row));
	job->succeeded = DatumGetInt64(next_value(&row));
	job->failed = DatumGetInt64(next_value(&row));
	job->stale = DatumGetInt64(next_value(&row));
	name = next_text(&row);
	if (!sink_mode_parse(name, &job->sink.mode))
		ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
						errmsg("unrecognized mode \"%s\" of a job", name)));
	job->sink.into_table = DatumGetObjectId(next_value(&row));
	job->sink.key_columns = text_array_to_list(next_value(&row));
	job->sink.check_columns = text_array_to_list(next_value(&row));
	job->sink.result_column = next_text(&row);
	job->sink.error_column = next_text(&row);
	job->search_path = next_text(&row);
	job->on_complete = next_text(&row);
	job->created_at = DatumGetTimestampTz(next_value(&row));
	job->started_at = DatumGetTimestampTz(next_value(&row));
	job->tries = DatumGetInt32(next_value(&row));
	job->waits_for = next_text(&row);
	job->sink.ordinality_column = next_text(&row);
	job->sink.source_table = DatumGetObjectId(next_value(&row));
	job->by_trigger = DatumGetBool(next_value(&row));
	job->backfill = DatumGetBool(next_value(&row));
	job->sink.version_column = next_text(&row);
	job->sink.key_names = text_array_to_list(next_value(&row));
	job->unique_key = next_text(&row);
	job->start_at = DatumGetTimestampTz(next_value(&row));
	job->deadline = DatumGetTimestampTz(next_value(&row));
	job->max_failures = DatumGetInt64(next_value(&row));
	job->failed_before = DatumGetInt64(next_value(&row));
	job->settled_before = DatumGetInt64(next_value(&row));
	job->stopped = DatumGetBool(next_value(&row));
	job->max_in_flight = DatumGetInt32(next_value(&row));
	job->distinct = DatumGetBool(next_value(&row));
	job->order_stripes = (uint64) DatumGetInt64(next_value(&row));
	job->sink.retried = DatumGetBool(next_value(&row));
	job->last_error = next_jsonb(&row);
	if (own_change != NULL)
		*own_change = TransactionIdIsCurrentTransactionId(
			DatumGetTransactionId(next_value(&row)));
	MemoryContextSwitchTo(spi_cxt);
	return job;
}

/* --- sessions ------------------------------------------------------------- */

static Job *
load_job(StatementId statement, int64 id, bool *own_change)
{
	StoreScope scope;
	Datum args[] = {Int64GetDatum(id)};
	Job *job = NULL;

	store_enter(&scope);
	if (store_run(statement, args, NULL) == 0 &&
		store_run(JOINED_TO, args, NULL) > 0)
	{
		/* it is a part of that one now */
		RowReader row = {SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 0};

		args[0] = next_value(&row);
		(void) store_run(statement, args, NULL);
	}
	if (SPI_processed > 0)
		job = read_job(&scope, own_change);
	store_leave(&scope);
	return job;
}

/* Another's job looks as if it did not exist. */
static void
check_visible(const Job *job, int64 id)
{
	if (job == NULL || !has_privs_of_role(GetUserId(), job->owner))
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
						errmsg("job " INT64_FORMAT " does not exist", id)));
}

Job *
job_store_get(int64 id, bool lock, bool *own_change)
{
	Job *job = load_job(lock ? LOOK_AT_JOB : LOAD_JOB, id, own_change);

	/* first, for no lock is waited for, or held, without the right to it */
	check_visible(job, id);
	if (!lock)
		return job;
	job = load_job(LOCK_JOB, id, own_change);
	if (job == NULL && IsolationUsesXactSnapshot())
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("could not serialize access to job " INT64_FORMAT, id),
				 errdetail("It is younger than the snapshot of the transaction.")));
	check_visible(job, id);
	return job;
}

Job *
job_store_look(int64 id, bool *own_change)
{
	Job *job = load_job(LOOK_AT_JOB, id, own_change);

	check_visible(job, id);
	return job;
}

int64
job_store_with_unique_key(Oid owner, const char *key)
{
	StoreScope scope;
	Datum args[] = {ObjectIdGetDatum(owner), CStringGetTextDatum(key)};
	int64 id = 0;

	store_enter(&scope);
	if (store_run(WITH_UNIQUE_KEY, args, NULL) > 0)
	{
		RowReader row = {SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 0};

		id = DatumGetInt64(next_value(&row));
	}
	store_leave(&scope);
	return id;
}

bool
job_store_has_failure(int64 id, const char *code)
{
	char nulls[3] = {' ', ' ', ' '};
	Datum args[] = {Int64GetDatum(id), Int64GetDatum(-1),
					text_or_null(code, &nulls[2])};

	return store_run_alone(FAILED_RESULTS, args, nulls) > 0;
}

void
job_store_retry(int64 id)
{
	Datum args[] = {Int64GetDatum(id)};

	store_run_alone(RETRY_JOB, args, NULL);
}

void
job_store_set_state(int64 id, JobState state)
{
	Datum args[] = {Int64GetDatum(id), CStringGetTextDatum(state_names[state])};

	store_run_alone(SET_STATE, args, NULL);
	wake_note_job(id);
}

void
job_store_cancel(int64 id, bool terminate)
{
	Datum args[] = {Int64GetDatum(id), BoolGetDatum(terminate)};

	store_run_alone(CANCEL_JOB, args, NULL);
	wake_note_job(id);
}

void
job_store_delete(int64 id)
{
	StoreScope scope;
	Datum args[] = {Int64GetDatum(id)};

	store_enter(&scope);
	store_run(DELETE_CHUNKS, args, NULL);
	store_run(DELETE_RESULTS, args, NULL);
	store_run(DELETE_JOINED, args, NULL);
	store_run(DELETE_JOB, args, NULL);
	store_leave(&scope);
}

void
job_store_rename_column(Oid table, const char *old_name, const char *new_name)
{
	Datum args[] = {ObjectIdGetDatum(table), CStringGetTextDatum(old_name),
					CStringGetTextDatum(new_name)};

	store_run_alone(RENAME_COLUMN, args, NULL);
}

/* --- runner --------------------------------------------------------------- */

/* The first column of a statement's rows, each as int64, in the scope's context. */
static List *
read_ids(const StoreScope *scope, uint64 n)
{
	List *ids = NIL;

	for (uint64 i = 0; i < n; i++)
	{
		RowReader row = {SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 0};
		MemoryContext spi_cxt = MemoryContextSwitchTo(scope->cxt);
		int64 *id = palloc(sizeof(int64));

		*id = DatumGetInt64(next_value(&row));
		ids = lappend(ids, id);
		MemoryContextSwitchTo(spi_cxt);
	}
	return ids;
}

List *
job_store_candidates(Oid owner, bool own_session, int64 from, TimestampTz then,
					 const int64 *active, int nactive, int limit)
{
	StoreScope scope;
	Datum args[] = {int8_array(active, nactive), Int32GetDatum(limit),
					ObjectIdGetDatum(owner), BoolGetDatum(own_session),
					Int64GetDatum(from), TimestampTzGetDatum(then)};
	List *ids;

	home_set_aside();
	store_enter(&scope);
	ids = read_ids(&scope, store_run(CANDIDATES, args, NULL));
	store_leave(&scope);
	return ids;
}

List *
job_store_of_other_databases(void)
{
	StoreScope scope;
	List *ids;

	store_enter(&scope);
	ids = read_ids(&scope, store_run_plain(OF_OTHER_DATABASES));
	store_leave(&scope);
	return ids;
}

Job *
job_store_lock_of_other_database(int64 id)
{
	return load_job(LOCK_OF_OTHER_DATABASE, id, NULL);
}

bool
job_store_is_there(int64 id)
{
	return load_job(LOOK_AT_JOB, id, NULL) != NULL;
}

/* The one value of a statement's one row; false: it is NULL. */
static bool
run_for_value(StatementId id, const Datum *args, int nargs, Datum *value)
{
	StoreScope scope;
	bool isnull;

	store_enter(&scope);
	store_run_n(id, nargs, args, NULL);
	*value = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1,
						   &isnull);
	store_leave(&scope);
	return !isnull;
}

bool
job_store_is_behind_others(const Job *job)
{
	Datum args[] = {Int64GetDatum(job->id), ObjectIdGetDatum(job->owner)};
	Datum value;

	return run_for_value(IS_BEHIND_OTHERS, args, lengthof(args), &value) &&
		DatumGetBool(value);
}

double
job_store_next_retry(Oid owner, bool own_session, int64 from, TimestampTz then)
{
	Datum args[] = {ObjectIdGetDatum(owner), BoolGetDatum(own_session),
					Int64GetDatum(from), TimestampTzGetDatum(then)};
	Datum value;

	return run_for_value(NEXT_RETRY, args, lengthof(args), &value) ? Max(DatumGetFloat8(value), 0)
												   : -1;
}

int64
job_store_first_unfinished(Oid owner, int64 from)
{
	Datum args[] = {ObjectIdGetDatum(owner), Int64GetDatum(from)};
	Datum value;

	return run_for_value(FIRST_UNFINISHED, args, lengthof(args), &value) ? DatumGetInt64(value)
														 : PG_INT64_MAX;
}

List *
job_store_owners(void)
{
	StoreScope scope;
	List *owners = NIL;
	uint64 n;

	home_set_aside();
	store_enter(&scope);
	n = store_run_plain(OWNERS);
	for (uint64 i = 0; i < n; i++)
	{
		RowReader row = {SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 0};
		MemoryContext spi_cxt = MemoryContextSwitchTo(scope.cxt);

		owners = lappend_oid(owners, DatumGetObjectId(next_value(&row)));
		MemoryContextSwitchTo(spi_cxt);
	}
	store_leave(&scope);
	return owners;
}

void
job_store_note_waiting(Oid owner, bool only_login, Jsonb *error)
{
	Datum args[] = {ObjectIdGetDatum(owner), PointerGetDatum(error),
					BoolGetDatum(only_login)};

	(void) store_run_alone(NOTE_WAITING, args, NULL);
}

void
job_store_states(const int64 *ids, int n, JobState *states)
{
	StoreScope scope;
	Datum args[] = {int8_array(ids, n), ObjectIdGetDatum(owner_session_role())};

	store_enter(&scope);
	store_run(STATES, args, NULL);
	for (int i = 0; i < n; i++)
	{
		char *name = SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1);

		states[i] = name == NULL ? JOB_CANCELLED : state_named(name);
	}
	store_leave(&scope);
}

Job *
job_store_load(int64 id)
{
	return load_job(LOAD_JOB, id, NULL);
}

bool
job_store_is_own_change(int64 id)
{
	bool own_change = false;

	return load_job(LOAD_JOB, id, &own_change) != NULL && own_change;
}

Job *
job_store_lock_own(int64 id)
{
	Job *job = load_job(LOCK_JOB, id, NULL);

	return job != NULL && job->owner == owner_session_role() ? job : NULL;
}

int64
job_store_first_chunk(int64 job)
{
	StoreScope scope;
	Datum args[] = {Int64GetDatum(job)};
	RowReader row = {0};
	int64 first;

	store_enter(&scope);
	store_run(FIRST_CHUNK, args, NULL);
	row.tuple = SPI_tuptable->vals[0];
	row.desc = SPI_tuptable->tupdesc;
	first = DatumGetInt64(next_value(&row));
	store_leave(&scope);
	return first;
}

List *
job_store_chunks(int64 job, int64 index, int limit)
{
	StoreScope scope;
	Datum args[] = {Int64GetDatum(job), Int64GetDatum(index),
					Int32GetDatum(limit)};
	List *chunks = NIL;
	uint64 n;

	store_enter(&scope);
	n = store_run(LOAD_CHUNKS, args, NULL);
	for (uint64 i = 0; i < n; i++)
	{
		RowReader row = {SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 0};
		MemoryContext spi_cxt = MemoryContextSwitchTo(scope.cxt);
		JobChunk *chunk = palloc0(sizeof(JobChunk));
		Datum value;

		chunk->first = DatumGetInt64(next_value(&row));
		chunk->count = DatumGetInt32(next_value(&row));
		chunk->inputs = DatumGetByteaPCopy(next_value(&row));
		value = next_value(&row);
		if (value != 0)
			chunk->done = DatumGetByteaPCopy(value);
		value = next_value(&row);
		if (value != 0)
			chunk->ordinals = int8_array_values(value, chunk->count);
		if (chunk->count <= 0 || chunk->count > CHUNK_MAX_INPUTS ||
			(chunk->done != NULL &&
			 VARSIZE_ANY_EXHDR(chunk->done) != chunk_bitmap_size(chunk->count)))
			ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
							errmsg("a chunk of job " INT64_FORMAT " is damaged", job)));
		chunks = lappend(chunks, chunk);
		MemoryContextSwitchTo(spi_cxt);
	}
	store_leave(&scope);
	return chunks;
}

bool
job_store_started(const Job *job)
{
	Datum args[4];
	char nulls[4] = {' ', ' ', job->version == 0 ? 'n' : ' ', ' '};

	args[0] = Int64GetDatum(job->id);
	args[1] = text_or_null(job->remote_call_id, &nulls[1]);
	args[2] = Int32GetDatum(job->version);
	args[3] = ObjectIdGetDatum(job->owner);
	return store_run_alone(START_JOB, args, nulls) > 0;
}

static bool
store_submitted(int64 id, int64 submitted)
{
	Datum args[] = {Int64GetDatum(id), Int64GetDatum(submitted),
					ObjectIdGetDatum(owner_session_role())};

	return store_run_alone(SUBMITTED, args, NULL) > 0;
}

bool
job_store_progress(int64 id, const JobProgress *progress, bool any_state)
{
	Datum args[] = {Int64GetDatum(id), Int64GetDatum(progress->succeeded),
					Int64GetDatum(progress->failed),
					Int64GetDatum(progress->stale),
					Int64GetDatum(progress->submitted),
					PointerGetDatum(progress->failure),
					Int64GetDatum(progress->run_done),
					Float8GetDatum(progress->remote_ms),
					Float8GetDatum(progress->usage),
					ObjectIdGetDatum(owner_session_role()),
					BoolGetDatum(any_state)};
	char nulls[11] = {' ', ' ', ' ', ' ', ' ',
					  progress->failure == NULL ? 'n' : ' ', ' ', ' ', ' ', ' ', ' '};

	if (!progress->answered)
		return store_submitted(id, progress->submitted);
	return store_run_alone(PROGRESS, args, nulls) > 0;
}

/* The row that FINISH_JOB has returned, in the scope's context. */
static void
read_end(const StoreScope *scope, JobEnd *end)
{
	MemoryContext spi_cxt = MemoryContextSwitchTo(scope->cxt);
	RowReader row = {SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 0};

	end->state = (JobState) find_name(state_names, lengthof(state_names),
									  next_text(&row));
	end->inputs = DatumGetInt64(next_value(&row));
	end->succeeded = DatumGetInt64(next_value(&row));
	end->failed = DatumGetInt64(next_value(&row));
	end->stale = DatumGetInt64(next_value(&row));
	end->last_error = next_jsonb(&row);
	MemoryContextSwitchTo(spi_cxt);
}

static void
notify_end(int64 id, const JobEnd *end)
{
	char payload[256];

	snprintf(payload, sizeof(payload),
			 "{\"job\": " INT64_FORMAT ", \"state\": \"%s\", \"inputs\": " INT64_FORMAT
			 ", \"succeeded\": " INT64_FORMAT ", \"failed\": " INT64_FORMAT
			 ", \"stale\": " INT64_FORMAT "}",
			 id, job_state_name(end->state), end->inputs, end->succeeded,
			 end->failed, end->stale);
	Async_Notify("modal_batch", payload);
}

static bool
finish(int64 id, Oid owner, JobState state, Jsonb *last_error, JobEnd *end)
{
	JobEnd ended;
	Datum args[] = {Int64GetDatum(id), CStringGetTextDatum(state_names[state]),
					PointerGetDatum(last_error), ObjectIdGetDatum(owner)};
	char nulls[4] = {' ', ' ', last_error == NULL ? 'n' : ' ', ' '};
	Datum job[] = {Int64GetDatum(id)};
	StoreScope scope;
	bool done;

	store_enter(&scope);
	done = store_run(FINISH_JOB, args, nulls) > 0;
	if (done)
		read_end(&scope, &ended);
	if (done && ended.state == JOB_COMPLETED && job_settled(&ended) < ended.inputs)
		elog(ERROR, "job " INT64_FORMAT " has ended with outcomes for " INT64_FORMAT " of " INT64_FORMAT " inputs",
			 id, job_settled(&ended), ended.inputs);
	if (done && ended.state != JOB_FAILED)
		store_run(DELETE_CHUNKS, job, NULL);
	store_leave(&scope);
	if (!done)
		return false;
	notify_end(id, &ended);
	if (end != NULL)
		*end = ended;
	return true;
}

bool
job_store_finish(int64 id, JobState state, Jsonb *last_error, JobEnd *end)
{
	return finish(id, owner_session_role(), state, last_error, end);
}

int64
job_store_end_orphans(Oid owner, Jsonb *error)
{
	StoreScope scope;
	Datum args[] = {ObjectIdGetDatum(owner)};
	List *ids;
	ListCell *lc;

	store_enter(&scope);
	ids = read_ids(&scope, store_run(JOBS_OF, args, NULL));
	store_leave(&scope);
	foreach (lc, ids)
	{
		int64 id = *(int64 *) lfirst(lc);

		/* the one or the other, as its state allows */
		if (!finish(id, owner, JOB_FAILED, error, NULL))
			(void) finish(id, owner, JOB_CANCELLED, error, NULL);
	}
	return list_length(ids);
}

bool
job_store_stop(int64 id, Jsonb *reason)
{
	Datum args[] = {Int64GetDatum(id), PointerGetDatum(reason),
					ObjectIdGetDatum(owner_session_role())};

	return store_run_alone(STOP_JOB, args, NULL) > 0;
}

bool
job_store_note_error(int64 id, Jsonb *last_error, double retry_in_s)
{
	Datum args[] = {Int64GetDatum(id), PointerGetDatum(last_error),
					Float8GetDatum(retry_in_s),
					ObjectIdGetDatum(owner_session_role())};

	return store_run_alone(NOTE_ERROR, args, NULL) > 0;
}

void
job_store_note_call_waits(int64 id, Jsonb *error)
{
	Datum args[] = {Int64GetDatum(id), PointerGetDatum(error),
					ObjectIdGetDatum(owner_session_role())};

	(void) store_run_alone(NOTE_CALL_WAITS, args, NULL);
}

void
job_store_set_aside(int64 id, double seconds)
{
	Datum args[] = {Int64GetDatum(id), Float8GetDatum(seconds),
					ObjectIdGetDatum(owner_session_role())};

	(void) store_run_alone(SET_ASIDE, args, NULL);
}

int
job_store_note_crash(int64 id, Oid owner)
{
	StoreScope scope;
	Datum args[] = {Int64GetDatum(id), ObjectIdGetDatum(owner)};
	int crashes = 0;
	bool isnull;

	store_enter(&scope);
	if (store_run(NOTE_CRASH, args, NULL) > 0)
		crashes = DatumGetInt32(SPI_getbinval(SPI_tuptable->vals[0],
											  SPI_tuptable->tupdesc, 1, &isnull));
	store_leave(&scope);
	return crashes;
}

void
job_store_chunk_done(int64 job, int64 first, bytea *done)
{
	Datum args[] = {Int64GetDatum(job), Int64GetDatum(first),
					PointerGetDatum(done)};

	store_run_alone(CHUNK_DONE, args, NULL);
}

void
job_store_chunk_delete(int64 job, int64 first)
{
	Datum args[] = {Int64GetDatum(job), Int64GetDatum(first)};

	store_run_alone(CHUNK_DELETE, args, NULL);
}

TupleDesc
job_store_result_desc(void)
{
	TupleDesc desc = CreateTemplateTupleDesc(9);

	TupleDescInitEntry(desc, 1, "job", INT8OID, -1, 0);
	TupleDescInitEntry(desc, 2, "ordinal", INT8OID, -1, 0);
	TupleDescInitEntry(desc, 3, "input", JSONBOID, -1, 0);
	TupleDescInitEntry(desc, 4, "result", JSONBOID, -1, 0);
	TupleDescInitEntry(desc, 5, "error", JSONBOID, -1, 0);
	TupleDescInitEntry(desc, 6, "attempts", INT4OID, -1, 0);
	TupleDescInitEntry(desc, 7, "started_at", TIMESTAMPTZOID, -1, 0);
	TupleDescInitEntry(desc, 8, "finished_at", TIMESTAMPTZOID, -1, 0);
	TupleDescInitEntry(desc, 9, "payload", BYTEAOID, -1, 0);
	TupleDescFinalize(desc);
	return desc;
}

/* The rows are the statement's table: no array, no row-at-a-time insert. */
void
job_store_add_results(Tuplestorestate *rows, double count)
{
	EphemeralNamedRelation enr = palloc0(sizeof(EphemeralNamedRelationData));
	StoreScope scope;

	enr->md.name = "results";
	enr->md.tupdesc = job_store_result_desc();
	enr->md.enrtype = ENR_NAMED_TUPLESTORE;
	enr->md.enrtuples = count;
	enr->reldata = rows;

	store_enter(&scope);
	store_run_with_rows("INSERT INTO modal_batch.result SELECT * FROM results",
						enr);
	store_leave(&scope);
}

void
job_store_set_on_complete_done(int64 id, Jsonb *last_error)
{
	Datum args[] = {Int64GetDatum(id), PointerGetDatum(last_error)};
	char nulls[2] = {' ', last_error == NULL ? 'n' : ' '};

	store_run_alone(ON_COMPLETE_DONE, args, nulls);
}
