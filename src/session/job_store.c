/*-------------------------------------------------------------------------
 *
 * job_store.c
 *	  The tables of durable jobs, as C; see job_store.h.
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "commands/sequence.h"
#include "session/codec.h"
#include "jobs/sql.h"
#include "session/job_store.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/queryenvironment.h"
#include "utils/uuid.h"

static const char *const state_names[] = {
	[JOB_PENDING] = "pending",		 [JOB_RUNNING] = "running",
	[JOB_PAUSED] = "paused",		 [JOB_CANCELLING] = "cancelling",
	[JOB_COMPLETED] = "completed",	 [JOB_FAILED] = "failed",
	[JOB_CANCELLED] = "cancelled",
};

static const char *const mode_names[] = {
	[SINK_RESULT] = "result", [SINK_INSERT] = "insert",
	[SINK_UPSERT] = "upsert", [SINK_UPDATE] = "update",
	[SINK_DISCARD] = "discard",
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

static int
find_name(const char *const *names, int n, const char *name)
{
	for (int i = 0; i < n; i++)
		if (strcmp(names[i], name) == 0)
			return i;
	return -1;
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
	job->state = (JobState) find_name(state_names, lengthof(state_names), name);
	job->priority = DatumGetInt32(next_value(&row));
	name = next_text(&row);
	job->format = strcmp(name, "json") == 0 ? PAYLOAD_JSON : PAYLOAD_CBOR;
	job->kwargs = next_jsonb(&row);
	memcpy(job->seed, DatumGetUUIDP(next_value(&row))->data, UUID_LEN);
	job->remote_call_id = next_text(&row);
	job->terminate = DatumGetBool(next_value(&row));
	job->inputs = DatumGetInt64(next_value(&row));
	job->run_offset = DatumGetInt64(next_value(&row));
	job->submitted = DatumGetInt64(next_value(&row));
	job->succeeded = DatumGetInt64(next_value(&row));
	job->failed = DatumGetInt64(next_value(&row));
	job->stale = DatumGetInt64(next_value(&row));
	name = next_text(&row);
	(void) sink_mode_parse(name, &job->sink.mode);
	job->sink.into_table = DatumGetObjectId(next_value(&row));
	job->sink.key_columns = text_array_to_list(next_value(&row));
	job->sink.check_columns = text_array_to_list(next_value(&row));
	job->sink.result_column = next_text(&row);
	job->sink.error_column = next_text(&row);
	job->sink.search_path = next_text(&row);
	job->on_complete = next_text(&row);
	job->created_at = DatumGetTimestampTz(next_value(&row));
	job->started_at = DatumGetTimestampTz(next_value(&row));
	if (own_change != NULL)
		*own_change = TransactionIdIsCurrentTransactionId(
			DatumGetTransactionId(next_value(&row)));
	MemoryContextSwitchTo(spi_cxt);
	return job;
}

/* --- sessions ------------------------------------------------------------- */

int64
job_store_next_id(void)
{
	/* privileges were those of calling the function */
	return nextval_internal(store_relation("job_id_seq"), false);
}

void
job_store_insert(const Job *job)
{
	Datum args[15];
	char nulls[15];
	Oid table = job->sink.into_table;

	memset(nulls, ' ', sizeof(nulls));
	args[0] = Int64GetDatum(job->id);
	args[1] = ObjectIdGetDatum(job->owner);
	args[2] = CStringGetTextDatum(job->function);
	args[3] = Int32GetDatum(job->priority);
	args[4] = PointerGetDatum(job->kwargs);
	nulls[4] = job->kwargs == NULL ? 'n' : ' ';
	args[5] = CStringGetTextDatum(job->format == PAYLOAD_JSON ? "json" : "cbor");
	args[6] = Int64GetDatum(job->inputs);
	args[7] = CStringGetTextDatum(mode_names[job->sink.mode]);
	args[8] = ObjectIdGetDatum(table);
	nulls[8] = OidIsValid(table) ? ' ' : 'n';
	args[9] = text_array(job->sink.key_columns);
	args[10] = text_array(job->sink.check_columns);
	args[11] = text_or_null(job->sink.result_column, &nulls[11]);
	args[12] = text_or_null(job->sink.error_column, &nulls[12]);
	args[13] = text_or_null(job->on_complete, &nulls[13]);
	args[14] = CStringGetTextDatum(job->sink.search_path);
	store_run_alone(INSERT_JOB, args, nulls);
}

void
job_store_insert_chunk(int64 job, int64 first, int32 count, const Buf *inputs,
					   const int64 *ordinals)
{
	Datum args[5];
	char nulls[5] = {' ', ' ', ' ', ' ', ordinals == NULL ? 'n' : ' '};

	args[0] = Int64GetDatum(job);
	args[1] = Int64GetDatum(first);
	args[2] = Int32GetDatum(count);
	args[3] = PointerGetDatum(
		cstring_to_text_with_len((const char *) inputs->data, inputs->len));
	args[4] = ordinals == NULL ? (Datum) 0 : int8_array(ordinals, count);
	store_run_alone(INSERT_CHUNK, args, nulls);

	pfree(DatumGetPointer(args[3]));
	if (ordinals != NULL)
		pfree(DatumGetPointer(args[4]));
}

static Job *
load_job(StatementId statement, int64 id, bool *own_change)
{
	StoreScope scope;
	Datum arg = Int64GetDatum(id);
	Job *job = NULL;

	store_enter(&scope);
	if (store_run(statement, &arg, NULL) > 0)
		job = read_job(&scope, own_change);
	store_leave(&scope);
	return job;
}

Job *
job_store_get(int64 id, bool lock, bool *own_change)
{
	Job *job = load_job(lock ? LOCK_JOB : LOAD_JOB, id, own_change);

	/* another's job looks as if it did not exist */
	if (job == NULL || !has_privs_of_role(GetUserId(), job->owner))
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
						errmsg("job " INT64_FORMAT " does not exist", id)));
	return job;
}

void
job_store_set_state(int64 id, JobState state)
{
	Datum args[2] = {Int64GetDatum(id), CStringGetTextDatum(state_names[state])};

	store_run_alone(SET_STATE, args, NULL);
}

void
job_store_cancel(int64 id, bool terminate)
{
	Datum args[2] = {Int64GetDatum(id), BoolGetDatum(terminate)};

	store_run_alone(CANCEL_JOB, args, NULL);
}

void
job_store_delete(int64 id)
{
	StoreScope scope;
	Datum arg = Int64GetDatum(id);

	store_enter(&scope);
	store_run(DELETE_CHUNKS, &arg, NULL);
	store_run(DELETE_RESULTS, &arg, NULL);
	store_run(DELETE_JOB, &arg, NULL);
	store_leave(&scope);
}

/* --- runner --------------------------------------------------------------- */

bool
job_store_has_work(void)
{
	return store_run_alone(HAS_WORK, NULL, NULL) > 0;
}

List *
job_store_candidates(const int64 *active, int nactive, int limit)
{
	StoreScope scope;
	Datum args[2] = {int8_array(active, nactive), Int32GetDatum(limit)};
	List *ids = NIL;
	uint64 n;

	store_enter(&scope);
	n = store_run(CANDIDATES, args, NULL);
	for (uint64 i = 0; i < n; i++)
	{
		RowReader row = {SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 0};
		MemoryContext spi_cxt = MemoryContextSwitchTo(scope.cxt);
		int64 *id = palloc(sizeof(int64));

		*id = DatumGetInt64(next_value(&row));
		ids = lappend(ids, id);
		MemoryContextSwitchTo(spi_cxt);
	}
	store_leave(&scope);
	return ids;
}

void
job_store_states(const int64 *ids, int n, JobState *states)
{
	StoreScope scope;
	Datum arg = int8_array(ids, n);

	store_enter(&scope);
	store_run(STATES, &arg, NULL);
	for (int i = 0; i < n; i++)
	{
		char *name = SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1);

		states[i] = name == NULL
			? JOB_CANCELLED
			: (JobState) find_name(state_names, lengthof(state_names), name);
	}
	store_leave(&scope);
}

Job *
job_store_load(int64 id)
{
	return load_job(LOAD_JOB, id, NULL);
}

int64
job_store_first_chunk(int64 job)
{
	StoreScope scope;
	Datum arg = Int64GetDatum(job);
	RowReader row = {0};
	int64 first;

	store_enter(&scope);
	store_run(FIRST_CHUNK, &arg, NULL);
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
	Datum args[3] = {Int64GetDatum(job), Int64GetDatum(index),
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
job_store_started(int64 id, const char *remote_call_id, int32 version)
{
	Datum args[3];
	char nulls[3] = {' ', ' ', version == 0 ? 'n' : ' '};

	args[0] = Int64GetDatum(id);
	args[1] = text_or_null(remote_call_id, &nulls[1]);
	args[2] = Int32GetDatum(version);
	return store_run_alone(START_JOB, args, nulls) > 0;
}

bool
job_store_progress(int64 id, const JobProgress *progress)
{
	Datum args[5] = {Int64GetDatum(id), Int64GetDatum(progress->succeeded),
					 Int64GetDatum(progress->failed),
					 Int64GetDatum(progress->stale),
					 Int64GetDatum(progress->submitted)};

	return store_run_alone(PROGRESS, args, NULL) > 0;
}

bool
job_store_finish(int64 id, JobState state, Jsonb *last_error)
{
	Datum args[3] = {Int64GetDatum(id), CStringGetTextDatum(state_names[state]),
					 PointerGetDatum(last_error)};
	char nulls[3] = {' ', ' ', last_error == NULL ? 'n' : ' '};
	StoreScope scope;
	bool done;

	store_enter(&scope);
	done = store_run(FINISH_JOB, args, nulls) > 0;
	if (done && state != JOB_FAILED)
		store_run(DELETE_CHUNKS, args, NULL);
	store_leave(&scope);
	return done;
}

bool
job_store_note_error(int64 id, Jsonb *last_error)
{
	Datum args[2] = {Int64GetDatum(id), PointerGetDatum(last_error)};

	return store_run_alone(NOTE_ERROR, args, NULL) > 0;
}

void
job_store_chunk_done(int64 job, int64 first, bytea *done)
{
	Datum args[3] = {Int64GetDatum(job), Int64GetDatum(first),
					 PointerGetDatum(done)};

	store_run_alone(CHUNK_DONE, args, NULL);
}

void
job_store_chunk_delete(int64 job, int64 first)
{
	Datum args[2] = {Int64GetDatum(job), Int64GetDatum(first)};

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
	return desc;
}

/* The rows are the statement's table: no array, no row-at-a-time insert. */
void
job_store_add_results(Tuplestorestate *rows, double count)
{
	EphemeralNamedRelation enr = palloc0(sizeof(EphemeralNamedRelationData));
	StoreScope scope;
	int rc;

	enr->md.name = "results";
	enr->md.tupdesc = job_store_result_desc();
	enr->md.enrtype = ENR_NAMED_TUPLESTORE;
	enr->md.enrtuples = count;
	enr->reldata = rows;

	store_enter(&scope);
	rc = SPI_register_relation(enr);
	if (rc == SPI_OK_REL_REGISTER)
		rc = SPI_execute("INSERT INTO modal_batch.result SELECT * FROM results",
						 false, 0);
	if (rc < 0)
		elog(ERROR, "could not store results: %s", SPI_result_code_string(rc));
	store_leave(&scope);
}

void
job_store_set_on_complete_done(int64 id, Jsonb *last_error)
{
	Datum args[2] = {Int64GetDatum(id), PointerGetDatum(last_error)};
	char nulls[2] = {' ', last_error == NULL ? 'n' : ' '};

	store_run_alone(ON_COMPLETE_DONE, args, nulls);
}

int64
job_store_expire(int retention_s)
{
	StoreScope scope;
	Datum arg = Float8GetDatum(retention_s);
	int64 n;
	bool isnull;

	store_enter(&scope);
	store_run(EXPIRE, &arg, NULL);
	n = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0],
									SPI_tuptable->tupdesc, 1, &isnull));
	store_leave(&scope);
	return n;
}
