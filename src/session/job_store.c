/*-------------------------------------------------------------------------
 *
 * job_store.c
 *	  SQL on the tables of durable jobs; see job_store.h.
 *
 * Statements are prepared once per process.  They are written for a
 * search_path of pg_catalog alone: whoever calls modal_spawn_map can put
 * anything into theirs, and the statements run as the tables' owner.
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "commands/sequence.h"
#include "catalog/dependency.h"
#include "executor/spi.h"
#include "session/codec.h"
#include "session/job_store.h"
#include "session/sink_target.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
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

typedef enum StatementId
{
	INSERT_JOB,
	INSERT_CHUNK,
	LOAD_JOB,
	LOCK_JOB,
	SET_STATE,
	CANCEL_JOB,
	DELETE_JOB,
	DELETE_CHUNKS,
	DELETE_RESULTS,
	NEW_RUN,
	FAILED_RESULTS,
	DELETE_FAILED,
	HAS_WORK,
	CANDIDATES,
	STATES,
	LOAD_CHUNKS,
	START_JOB,
	PROGRESS,
	FINISH_JOB,
	NOTE_ERROR,
	CHUNK_DONE,
	CHUNK_DELETE,
	ON_COMPLETE_DONE,
	EXPIRE,
	NSTATEMENTS
} StatementId;

#define MAX_STATEMENT_ARGS 16

#define JOB_COLUMNS \
	"id, owner::oid, function, coalesce(version, 0), state, priority, format, " \
	"kwargs, seed, remote_call_id, terminate, inputs, run_offset, submitted, " \
	"succeeded, failed, stale, mode, into_table::oid, key_columns, " \
	"check_columns, result_column, error_column, search_path, " \
	"CASE WHEN NOT on_complete_done THEN on_complete END, created_at, " \
	"started_at, xmin "

static const struct
{
	const char *sql;
	int nargs;
	Oid argtypes[MAX_STATEMENT_ARGS];
} statements[NSTATEMENTS] = {
	[INSERT_JOB] = {
		"INSERT INTO modal_batch.job (id, owner, function, priority, kwargs, "
		"format, inputs, mode, into_table, key_columns, check_columns, "
		"result_column, error_column, on_complete, search_path) "
		"VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)",
		15,
		{INT8OID, REGROLEOID, TEXTOID, INT4OID, JSONBOID, TEXTOID, INT8OID,
		 TEXTOID, REGCLASSOID, TEXTARRAYOID, TEXTARRAYOID, TEXTOID, TEXTOID,
		 TEXTOID, TEXTOID}},
	[INSERT_CHUNK] = {
		"INSERT INTO modal_batch.chunk (job, first, count, inputs, ordinals) "
		"VALUES ($1, $2, $3, $4, $5)",
		5, {INT8OID, INT8OID, INT4OID, BYTEAOID, INT8ARRAYOID}},
	[LOAD_JOB] = {
		"SELECT " JOB_COLUMNS "FROM modal_batch.job WHERE id = $1",
		1, {INT8OID}},
	[LOCK_JOB] = {
		"SELECT " JOB_COLUMNS "FROM modal_batch.job WHERE id = $1 FOR UPDATE",
		1, {INT8OID}},
	[SET_STATE] = {
		"UPDATE modal_batch.job SET state = $2, finished_at = NULL WHERE id = $1",
		2, {INT8OID, TEXTOID}},
	[CANCEL_JOB] = {
		"UPDATE modal_batch.job SET state = 'cancelling', terminate = $2, "
		"finished_at = NULL WHERE id = $1",
		2, {INT8OID, BOOLOID}},
	[DELETE_JOB] = {
		"DELETE FROM modal_batch.job WHERE id = $1", 1, {INT8OID}},
	[DELETE_CHUNKS] = {
		"DELETE FROM modal_batch.chunk WHERE job = $1", 1, {INT8OID}},
	[DELETE_RESULTS] = {
		"DELETE FROM modal_batch.result WHERE job = $1", 1, {INT8OID}},
	[NEW_RUN] = {
		"UPDATE modal_batch.job SET state = 'pending', finished_at = NULL, "
		"remote_call_id = NULL, seed = gen_random_uuid(), submitted = 0, "
		"failed = failed - $2, run_offset = succeeded + failed + stale - $2 "
		"WHERE id = $1",
		2, {INT8OID, INT8OID}},
	[FAILED_RESULTS] = {
		"SELECT ordinal, payload FROM modal_batch.result WHERE job = $1 "
		"AND payload IS NOT NULL AND ordinal > $2 ORDER BY ordinal LIMIT 1000",
		2, {INT8OID, INT8OID}},
	[DELETE_FAILED] = {
		"DELETE FROM modal_batch.result WHERE job = $1 AND payload IS NOT NULL",
		1, {INT8OID}},
	[HAS_WORK] = {
		"SELECT FROM modal_batch.job WHERE finished_at IS NULL "
		"AND state <> 'paused' LIMIT 1",
		0, {0}},
	[CANDIDATES] = {
		"SELECT id FROM modal_batch.job WHERE finished_at IS NULL "
		"AND state <> 'paused' AND id <> ALL ($1) "
		"ORDER BY priority DESC, id LIMIT $2",
		2, {INT8ARRAYOID, INT4OID}},
	[STATES] = {
		"SELECT j.state FROM unnest($1) WITH ORDINALITY AS a(id, n) "
		"LEFT JOIN modal_batch.job j USING (id) ORDER BY a.n",
		1, {INT8ARRAYOID}},
	[LOAD_CHUNKS] = {
		"SELECT first, count, inputs, done, ordinals FROM modal_batch.chunk "
		"WHERE job = $1 AND first > $2 - " CppAsString2(CHUNK_MAX_INPUTS)
		" AND first + count > $2 ORDER BY first LIMIT $3",
		3, {INT8OID, INT8OID, INT4OID}},
	[START_JOB] = {
		"UPDATE modal_batch.job SET state = 'running', remote_call_id = $2, "
		"version = $3, started_at = coalesce(started_at, clock_timestamp()), "
		"last_error = NULL "
		"WHERE id = $1 AND state IN ('pending', 'running')",
		3, {INT8OID, TEXTOID, INT4OID}},
	[PROGRESS] = {
		"UPDATE modal_batch.job SET succeeded = succeeded + $2, "
		"failed = failed + $3, stale = stale + $4, submitted = $5 "
		"WHERE id = $1 AND state = 'running'",
		5, {INT8OID, INT8OID, INT8OID, INT8OID, INT8OID}},
	[FINISH_JOB] = {
		"UPDATE modal_batch.job SET state = $2, finished_at = clock_timestamp(), "
		"started_at = coalesce(started_at, clock_timestamp()), "
		"last_error = coalesce($3, last_error) "
		"WHERE id = $1 AND state IN ('pending', 'running', 'cancelling') "
		"AND (state = 'cancelling') = ($2 = 'cancelled')",
		3, {INT8OID, TEXTOID, JSONBOID}},
	[NOTE_ERROR] = {
		"UPDATE modal_batch.job SET last_error = $2 WHERE id = $1 "
		"AND state IN ('pending', 'running')",
		2, {INT8OID, JSONBOID}},
	[CHUNK_DONE] = {
		"UPDATE modal_batch.chunk SET done = $3 WHERE job = $1 AND first = $2",
		3, {INT8OID, INT8OID, BYTEAOID}},
	[CHUNK_DELETE] = {
		"DELETE FROM modal_batch.chunk WHERE job = $1 AND first = $2",
		2, {INT8OID, INT8OID}},
	[ON_COMPLETE_DONE] = {
		"UPDATE modal_batch.job SET on_complete_done = true, "
		"last_error = coalesce($2, last_error) WHERE id = $1",
		2, {INT8OID, JSONBOID}},
	[EXPIRE] = {
		"WITH old AS (DELETE FROM modal_batch.job WHERE finished_at < "
		"clock_timestamp() - make_interval(secs => $1) RETURNING id), "
		"r AS (DELETE FROM modal_batch.result WHERE job IN (SELECT id FROM old)), "
		"c AS (DELETE FROM modal_batch.chunk WHERE job IN (SELECT id FROM old)) "
		"SELECT count(*) FROM old",
		1, {FLOAT8OID}},
};

static SPIPlanPtr plans[NSTATEMENTS];

/* What store_enter changed. */
typedef struct StoreScope
{
	MemoryContext cxt; /* the caller's */
	Oid userid;
	int sec_context;
	int guc_level;
} StoreScope;

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

static Oid
store_relation(const char *name)
{
	Oid nsp = get_namespace_oid("modal_batch", true);

	return OidIsValid(nsp) ? get_relname_relid(name, nsp) : InvalidOid;
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

static Oid
store_owner(void)
{
	Oid relid = store_relation("job");

	if (!OidIsValid(relid))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("table \"modal_batch.job\" does not exist"),
				 errhint("Create the extension modal_batch in this database.")));
	return relation_owner(relid);
}

/* Become the tables' owner; undone by store_leave, or by an abort. */
static void
store_enter(StoreScope *scope)
{
	Oid owner = store_owner();

	scope->cxt = CurrentMemoryContext;
	GetUserIdAndSecContext(&scope->userid, &scope->sec_context);
	SetUserIdAndSecContext(owner, scope->sec_context |
						   SECURITY_LOCAL_USERID_CHANGE);
	scope->guc_level = NewGUCNestLevel();
	(void) set_config_option("search_path", "pg_catalog, pg_temp",
							 PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true,
							 0, false);
	SPI_connect();
}

static void
store_leave(StoreScope *scope)
{
	SPI_finish();
	AtEOXact_GUC(false, scope->guc_level);
	SetUserIdAndSecContext(scope->userid, scope->sec_context);
	MemoryContextSwitchTo(scope->cxt);
}

static void
check_spi(int rc, StatementId id)
{
	if (rc < 0)
		elog(ERROR, "statement \"%s\" failed: %s", statements[id].sql,
			 SPI_result_code_string(rc));
}

/* Run a statement within a scope; its result is in SPI_tuptable. */
static uint64
run(StatementId id, Datum *args, const char *nulls)
{
	if (plans[id] == NULL)
	{
		SPIPlanPtr plan = SPI_prepare(statements[id].sql, statements[id].nargs,
									  (Oid *) statements[id].argtypes);

		if (plan == NULL)
			check_spi(SPI_result, id);
		SPI_keepplan(plan);
		plans[id] = plan;
	}
	check_spi(SPI_execute_plan(plans[id], args, nulls, false, 0), id);
	return SPI_processed;
}

/* A statement whose result is its row count. */
static uint64
run_alone(StatementId id, Datum *args, const char *nulls)
{
	StoreScope scope;
	uint64 processed;

	store_enter(&scope);
	processed = run(id, args, nulls);
	store_leave(&scope);
	return processed;
}

/* --- conversions ---------------------------------------------------------- */

static Datum
text_or_null(const char *s, char *null)
{
	*null = s == NULL ? 'n' : ' ';
	return s == NULL ? (Datum) 0 : CStringGetTextDatum(s);
}

static Datum
text_array(List *names)
{
	Datum *elems = palloc(sizeof(Datum) * Max(list_length(names), 1));
	ListCell *lc;

	foreach (lc, names)
		elems[foreach_current_index(lc)] = CStringGetTextDatum(lfirst(lc));
	return PointerGetDatum(construct_array(elems, list_length(names), TEXTOID,
										   -1, false, TYPALIGN_INT));
}

static List *
text_array_to_list(Datum array)
{
	Datum *elems;
	int n;
	List *names = NIL;

	deconstruct_array(DatumGetArrayTypeP(array), TEXTOID, -1, false,
					  TYPALIGN_INT, &elems, NULL, &n);
	for (int i = 0; i < n; i++)
		names = lappend(names, TextDatumGetCString(elems[i]));
	return names;
}

static Datum
int8_array(const int64 *values, int n)
{
	Datum *elems = palloc(sizeof(Datum) * Max(n, 1));

	for (int i = 0; i < n; i++)
		elems[i] = Int64GetDatum(values[i]);
	return PointerGetDatum(construct_array(elems, n, INT8OID, sizeof(int64),
										   FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}

static int64 *
int8_array_values(Datum array, int n)
{
	ArrayType *a = DatumGetArrayTypeP(array);
	int64 *values = palloc(sizeof(int64) * Max(n, 1));

	if (ARR_NDIM(a) != 1 || ARR_DIMS(a)[0] != n || ARR_HASNULL(a))
		ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
						errmsg("ordinals of a job's chunk are damaged")));
	memcpy(values, ARR_DATA_PTR(a), sizeof(int64) * n);
	return values;
}

/* One row of SPI_tuptable, read column by column from the left. */
typedef struct RowReader
{
	HeapTuple tuple;
	TupleDesc desc;
	int column;
} RowReader;

static Datum
next_datum(RowReader *row, bool *isnull)
{
	return SPI_getbinval(row->tuple, row->desc, ++row->column, isnull);
}

/* For columns that are NOT NULL, or for which NULL is 0. */
static Datum
next_value(RowReader *row)
{
	bool isnull;
	Datum value = next_datum(row, &isnull);

	return isnull ? (Datum) 0 : value;
}

static char *
next_text(RowReader *row)
{
	Datum value = next_value(row);

	return value == 0 ? NULL : TextDatumGetCString(value);
}

static Jsonb *
next_jsonb(RowReader *row)
{
	Datum value = next_value(row);

	return value == 0 ? NULL : DatumGetJsonbPCopy(value);
}

/* The row of JOB_COLUMNS that SPI has just returned, in the caller's context. */
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
	run_alone(INSERT_JOB, args, nulls);
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
	run_alone(INSERT_CHUNK, args, nulls);

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
	if (run(statement, &arg, NULL) > 0)
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

	run_alone(SET_STATE, args, NULL);
}

void
job_store_cancel(int64 id, bool terminate)
{
	Datum args[2] = {Int64GetDatum(id), BoolGetDatum(terminate)};

	run_alone(CANCEL_JOB, args, NULL);
}

void
job_store_delete(int64 id)
{
	StoreScope scope;
	Datum arg = Int64GetDatum(id);

	store_enter(&scope);
	run(DELETE_CHUNKS, &arg, NULL);
	run(DELETE_RESULTS, &arg, NULL);
	run(DELETE_JOB, &arg, NULL);
	store_leave(&scope);
}

/* --- a new run ------------------------------------------------------------ */

/* Collects inputs for the chunks of a new run. */
typedef struct Requeue
{
	int64 job;
	int64 first;
	int count;
	Buf inputs;
	int64 ordinals[CHUNK_MAX_INPUTS];
} Requeue;

static void
requeue_flush(Requeue *rq)
{
	if (rq->count == 0)
		return;
	job_store_insert_chunk(rq->job, rq->first, rq->count, &rq->inputs,
						   rq->ordinals);
	rq->first += rq->count;
	rq->count = 0;
	buf_reset(&rq->inputs);
}

static void
requeue_add(Requeue *rq, int64 ordinal, const ChunkRecord *rec)
{
	chunk_put(&rq->inputs, rec->meta, rec->meta_len, rec->payload,
			  rec->payload_len);
	rq->ordinals[rq->count++] = ordinal;
	if (rq->inputs.len >= CHUNK_TARGET_BYTES || rq->count == CHUNK_MAX_INPUTS)
		requeue_flush(rq);
}

/*
 * Move what is not done from the chunk into new ones.  New chunks begin no
 * later than the last old one that was read, and that is deleted first, so
 * they never meet an old one.
 */
static void
requeue_chunk(Requeue *rq, const JobChunk *chunk)
{
	const uint8_t *p = (const uint8_t *) VARDATA_ANY(chunk->inputs);
	const uint8_t *end = p + VARSIZE_ANY_EXHDR(chunk->inputs);
	const uint8_t *done = chunk->done == NULL
		? NULL
		: (const uint8_t *) VARDATA_ANY(chunk->done);
	ChunkRecord rec;

	job_store_chunk_delete(rq->job, chunk->first);
	for (int i = 0; i < chunk->count && chunk_next(&p, end, &rec); i++)
		if (done == NULL || !chunk_bit(done, i))
			requeue_add(rq, chunk->ordinals == NULL ? chunk->first + i
													: chunk->ordinals[i],
						&rec);
}

/* The failed inputs from after that ordinal on; returns how many were read. */
static int
requeue_failed(Requeue *rq, int64 *after)
{
	StoreScope scope;
	Datum args[2] = {Int64GetDatum(rq->job), Int64GetDatum(*after)};
	int n;

	store_enter(&scope);
	n = (int) run(FAILED_RESULTS, args, NULL);
	for (int i = 0; i < n; i++)
	{
		RowReader row = {SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 0};
		int64 ordinal = DatumGetInt64(next_value(&row));
		bytea *payload = DatumGetByteaPP(next_value(&row));
		const uint8_t *p = (const uint8_t *) VARDATA_ANY(payload);
		MemoryContext spi_cxt = MemoryContextSwitchTo(scope.cxt);
		ChunkRecord rec;

		if (chunk_next(&p, p + VARSIZE_ANY_EXHDR(payload), &rec))
			requeue_add(rq, ordinal, &rec);
		MemoryContextSwitchTo(spi_cxt);
		*after = ordinal;
	}
	store_leave(&scope);
	return n;
}

int64
job_store_requeue(Job *job, bool failed_too)
{
	Requeue *rq = palloc(sizeof(Requeue));
	List *chunks;
	int64 next = 0;
	int64 unfinished;
	int64 total;
	StoreScope scope;
	Datum args[2];

	rq->job = job->id;
	rq->first = 0;
	rq->count = 0;
	buf_init(&rq->inputs, 0, buf_palloc);

	while ((chunks = job_store_chunks(job->id, next, 1)) != NIL)
	{
		JobChunk *chunk = linitial(chunks);

		CHECK_FOR_INTERRUPTS();
		next = chunk->first + chunk->count;
		requeue_chunk(rq, chunk);
		pfree(chunk->inputs);
	}
	unfinished = rq->first + rq->count;
	if (failed_too)
	{
		int64 after = -1;

		while (requeue_failed(rq, &after) > 0)
			CHECK_FOR_INTERRUPTS();
	}
	requeue_flush(rq);
	total = rq->first;

	store_enter(&scope);
	args[0] = Int64GetDatum(job->id);
	args[1] = Int64GetDatum(total - unfinished);
	if (failed_too)
		run(DELETE_FAILED, args, NULL);
	run(NEW_RUN, args, NULL);
	store_leave(&scope);
	buf_free(&rq->inputs);
	pfree(rq);
	return total;
}

/* --- runner --------------------------------------------------------------- */

bool
job_store_has_work(void)
{
	return run_alone(HAS_WORK, NULL, NULL) > 0;
}

List *
job_store_candidates(const int64 *active, int nactive, int limit)
{
	StoreScope scope;
	Datum args[2] = {int8_array(active, nactive), Int32GetDatum(limit)};
	List *ids = NIL;
	uint64 n;

	store_enter(&scope);
	n = run(CANDIDATES, args, NULL);
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
	run(STATES, &arg, NULL);
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

List *
job_store_chunks(int64 job, int64 index, int limit)
{
	StoreScope scope;
	Datum args[3] = {Int64GetDatum(job), Int64GetDatum(index),
					 Int32GetDatum(limit)};
	List *chunks = NIL;
	uint64 n;

	store_enter(&scope);
	n = run(LOAD_CHUNKS, args, NULL);
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
	return run_alone(START_JOB, args, nulls) > 0;
}

bool
job_store_progress(int64 id, const JobProgress *progress)
{
	Datum args[5] = {Int64GetDatum(id), Int64GetDatum(progress->succeeded),
					 Int64GetDatum(progress->failed),
					 Int64GetDatum(progress->stale),
					 Int64GetDatum(progress->submitted)};

	return run_alone(PROGRESS, args, NULL) > 0;
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
	done = run(FINISH_JOB, args, nulls) > 0;
	if (done && state != JOB_FAILED)
		run(DELETE_CHUNKS, args, NULL);
	store_leave(&scope);
	return done;
}

bool
job_store_note_error(int64 id, Jsonb *last_error)
{
	Datum args[2] = {Int64GetDatum(id), PointerGetDatum(last_error)};

	return run_alone(NOTE_ERROR, args, NULL) > 0;
}

void
job_store_chunk_done(int64 job, int64 first, bytea *done)
{
	Datum args[3] = {Int64GetDatum(job), Int64GetDatum(first),
					 PointerGetDatum(done)};

	run_alone(CHUNK_DONE, args, NULL);
}

void
job_store_chunk_delete(int64 job, int64 first)
{
	Datum args[2] = {Int64GetDatum(job), Int64GetDatum(first)};

	run_alone(CHUNK_DELETE, args, NULL);
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

	run_alone(ON_COMPLETE_DONE, args, nulls);
}

int64
job_store_expire(int retention_s)
{
	StoreScope scope;
	Datum arg = Float8GetDatum(retention_s);
	int64 n;
	bool isnull;

	store_enter(&scope);
	run(EXPIRE, &arg, NULL);
	n = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0],
									SPI_tuptable->tupdesc, 1, &isnull));
	store_leave(&scope);
	return n;
}
