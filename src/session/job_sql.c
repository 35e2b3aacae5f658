/*-------------------------------------------------------------------------
 *
 * job_sql.c
 *	  The statements on the tables of durable jobs; see job_sql.h.
 *
 * Statements are prepared once per process.  They are written for a
 * search_path of pg_catalog alone: whoever calls modal_spawn_map can put
 * anything into theirs, and the statements run as the tables' owner.
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "core/chunk.h"
#include "jobs/extension_version.h"
#include "jobs/sql.h"
#include "session/sink_target.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

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
		"AND state <> 'paused' AND id NOT IN (SELECT unnest($1)) "
		"ORDER BY priority DESC, id LIMIT $2",
		2, {INT8ARRAYOID, INT4OID}},
	[STATES] = {
		"SELECT (SELECT state FROM modal_batch.job j WHERE j.id = a.id) "
		"FROM unnest($1) WITH ORDINALITY AS a(id, n) ORDER BY a.n",
		1, {INT8ARRAYOID}},
	[FIRST_CHUNK] = {
		"SELECT min(first) FROM modal_batch.chunk WHERE job = $1", 1, {INT8OID}},
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
		"failed = failed + $3, stale = stale + $4, submitted = $5, "
		"last_error = NULL "
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
		"AND state IN ('pending', 'running', 'cancelling')",
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

/*
 * Plans are kept: one made for a few rows must do when there are many.  What
 * has to scan all the same seems expensive then, but is not worth compiling.
 */
static const char *const settings[][2] = {
	{"search_path", "pg_catalog, pg_temp"},
	{"enable_seqscan", "off"},
	{"jit", "off"},
};

static SPIPlanPtr plans[NSTATEMENTS];

Oid
store_relation(const char *name)
{
	Oid nsp = get_namespace_oid("modal_batch", true);

	return OidIsValid(nsp) ? get_relname_relid(name, nsp) : InvalidOid;
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

void
store_enter(StoreScope *scope)
{
	Oid owner = store_owner();

	extension_check_version();
	scope->cxt = CurrentMemoryContext;
	GetUserIdAndSecContext(&scope->userid, &scope->sec_context);
	SetUserIdAndSecContext(owner, scope->sec_context |
						   SECURITY_LOCAL_USERID_CHANGE);
	scope->guc_level = NewGUCNestLevel();
	for (int i = 0; i < (int) lengthof(settings); i++)
		(void) set_config_option(settings[i][0], settings[i][1], PGC_USERSET,
								 PGC_S_SESSION, GUC_ACTION_SAVE, true, 0,
								 false);
	SPI_connect();
}

void
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

uint64
store_run(StatementId id, Datum *args, const char *nulls)
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

uint64
store_run_alone(StatementId id, Datum *args, const char *nulls)
{
	StoreScope scope;
	uint64 processed;

	store_enter(&scope);
	processed = store_run(id, args, nulls);
	store_leave(&scope);
	return processed;
}

/* --- conversions ---------------------------------------------------------- */

Datum
text_or_null(const char *s, char *null)
{
	*null = s == NULL ? 'n' : ' ';
	return s == NULL ? (Datum) 0 : CStringGetTextDatum(s);
}

Datum
text_array(List *names)
{
	Datum *elems = palloc(sizeof(Datum) * Max(list_length(names), 1));
	ListCell *lc;

	foreach (lc, names)
		elems[foreach_current_index(lc)] = CStringGetTextDatum(lfirst(lc));
	return PointerGetDatum(construct_array(elems, list_length(names), TEXTOID,
										   -1, false, TYPALIGN_INT));
}

List *
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

Datum
int8_array(const int64 *values, int n)
{
	Datum *elems = palloc(sizeof(Datum) * Max(n, 1));

	for (int i = 0; i < n; i++)
		elems[i] = Int64GetDatum(values[i]);
	return PointerGetDatum(construct_array(elems, n, INT8OID, sizeof(int64),
										   FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}

int64 *
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

Datum
next_value(RowReader *row)
{
	bool isnull;
	Datum value = SPI_getbinval(row->tuple, row->desc, ++row->column, &isnull);

	return isnull ? (Datum) 0 : value;
}

char *
next_text(RowReader *row)
{
	Datum value = next_value(row);

	return value == 0 ? NULL : TextDatumGetCString(value);
}

Jsonb *
next_jsonb(RowReader *row)
{
	Datum value = next_value(row);

	return value == 0 ? NULL : DatumGetJsonbPCopy(value);
}
