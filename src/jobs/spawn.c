/*-------------------------------------------------------------------------
 *
 * enqueue.c
 *	  modal_spawn and modal_spawn_map: jobs made in the caller's transaction.
 *
 * A job is its row and its chunks.  Both are ordinary rows, so savepoints,
 * rollback and two-phase commit need no care here; only the wake-up waits for
 * the commit (when the commit is a COMMIT PREPARED, worker/utility_hook.c
 * does it).
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "debug_point.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "runner_state.h"
#include "session/enqueue.h"
#include "values/input_encoder.h"
#include "session/server.h"
#include "session/sink_target.h"
#include "link/shmem.h"
#include "tcop/dest.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

PG_FUNCTION_INFO_V1(modal_spawn);
PG_FUNCTION_INFO_V1(modal_spawn_map);

/* --- wake-up at commit ---------------------------------------------------- */

static bool wake_runner = false;
static bool wake_waiters = false;

static void
wake_at_commit(XactEvent event, void *arg)
{
	(void) arg;
	if (event == XACT_EVENT_COMMIT)
	{
		if (wake_runner)
			runner_wake(MyDatabaseId);
		if (wake_waiters)
			runner_job_changed();
	}
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT ||
		event == XACT_EVENT_PREPARE)
		wake_runner = wake_waiters = false;
}

static void
register_wake_up(void)
{
	static bool registered = false;

	modal_check_preloaded();
	if (!registered)
		RegisterXactCallback(wake_at_commit, NULL);
	registered = true;
}

void
wake_runner_at_commit(void)
{
	register_wake_up();
	wake_runner = true;
}

void
wake_waiters_at_commit(void)
{
	register_wake_up();
	wake_waiters = true;
}

/* --- one input ------------------------------------------------------------ */

static const char *
function_argument(FunctionCallInfo fcinfo)
{
	if (PG_ARGISNULL(0))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
						errmsg("function must not be null")));
	return text_to_cstring(PG_GETARG_TEXT_PP(0));
}

/* A job for the current user, without inputs yet. */
static Job *
make_job(const Endpoint *endpoint, const char *rest)
{
	Job *job = palloc0(sizeof(Job));

	job->id = job_store_next_id();
	job->owner = GetUserId();
	job->function = endpoint_reference(endpoint, rest);
	job->sink.search_path = pstrdup(namespace_search_path);
	return job;
}

Datum
modal_spawn(PG_FUNCTION_ARGS)
{
	const char *rest;
	Endpoint *endpoint;
	ArgEncoder *enc;
	Job *job;
	Buf payload, chunk;
	Datum *values = NULL;
	Oid *types = NULL;
	bool *isnull = NULL;
	int nargs = 0;

	modal_check_preloaded();
	endpoint = endpoint_get(function_argument(fcinfo), GetUserId(), &rest);
	if (PG_NARGS() > 1)
		nargs = extract_variadic_args(fcinfo, 1, true, &values, &types,
									  &isnull);
	if (nargs < 0) /* VARIADIC NULL */
		nargs = 0;
	enc = arg_encoder_create(CurrentMemoryContext, endpoint, nargs, types,
							 NULL, NULL);
	buf_init(&payload, MaxAllocSize, buf_palloc);
	buf_init(&chunk, MaxAllocSize, buf_palloc);
	arg_encode(enc, &payload, values, isnull);
	chunk_put(&chunk, NULL, 0, payload.data, payload.len);

	job = make_job(endpoint, rest);
	job->sink.mode = SINK_RESULT;
	job->format = arg_encoder_format(enc);
	job->inputs = 1;
	job_store_insert_chunk(job->id, 0, 1, &chunk, NULL);
	job_store_insert(job);
	wake_runner_at_commit();
	endpoint_release(endpoint);
	PG_RETURN_INT64(job->id);
}

/* --- the rows of a query -------------------------------------------------- */

/* A job under construction, fed by its query as it runs. */
typedef struct SpawnMap
{
	DestReceiver pub;
	MemoryContext cxt;
	Endpoint *endpoint;
	Job *job;
	SinkTarget *target; /* NULL: no table */
	InputEncoder *enc;
	Buf chunk;
	int chunk_count;
} SpawnMap;

static void
flush_chunk(SpawnMap *map)
{
	if (map->chunk_count == 0)
		return;
	job_store_insert_chunk(map->job->id, map->job->inputs, map->chunk_count,
						   &map->chunk, NULL);
	map->job->inputs += map->chunk_count;
	map->chunk_count = 0;
	buf_reset(&map->chunk);
}

static bool
is_key(const SpawnMap *map, const char *name)
{
	ListCell *lc;

	foreach (lc, map->job->sink.key_columns)
		if (strcmp(lfirst(lc), name) == 0)
			return true;
	return false;
}

/*
 * In mode "update", an argument that is a column of the table is looked at
 * again before the result is written.
 */
static bool
is_check(const SpawnMap *map, Form_pg_attribute column)
{
	TupleDesc desc;

	if (map->job->sink.mode != SINK_UPDATE)
		return false;
	desc = map->target->desc;
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		if (!att->attisdropped && att->attgenerated == '\0' &&
			strcmp(NameStr(att->attname), NameStr(column->attname)) == 0)
			return att->atttypid == column->atttypid &&
				i + 1 != map->target->result && i + 1 != map->target->error;
	}
	return false;
}

/* Find the key columns among the query's, in the order of the key. */
static void
find_keys(const SpawnMap *map, TupleDesc desc, InputColumns *columns)
{
	ListCell *lc;

	foreach (lc, map->job->sink.key_columns)
	{
		int found = -1;

		for (int i = 0; i < desc->natts && found < 0; i++)
			if (strcmp(NameStr(TupleDescAttr(desc, i)->attname),
					   lfirst(lc)) == 0)
				found = i;
		if (found < 0)
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_COLUMN),
					 errmsg("the query has no column \"%s\"", (char *) lfirst(lc)),
					 errdetail("It is named in argument \"key\"."),
					 errhint("Select the column, or give one that name with AS.")));
		columns->keys[columns->nkeys++] = found;
	}
}

static void
map_startup(DestReceiver *self, int operation, TupleDesc desc)
{
	SpawnMap *map = (SpawnMap *) self;
	MemoryContext old = MemoryContextSwitchTo(map->cxt);
	InputColumns columns = {0};
	Job *job = map->job;

	(void) operation;
	columns.args = palloc(sizeof(int) * Max(desc->natts, 1));
	columns.checks = palloc(sizeof(int) * Max(desc->natts, 1));
	columns.keys = palloc(sizeof(int) *
						  Max(list_length(job->sink.key_columns), 1));
	find_keys(map, desc, &columns);
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		if (is_key(map, NameStr(att->attname)))
			continue;
		columns.args[columns.nargs++] = i;
		if (is_check(map, att))
		{
			columns.checks[columns.nchecks++] = i;
			job->sink.check_columns = lappend(job->sink.check_columns,
											  pstrdup(NameStr(att->attname)));
		}
	}
	map->enc = input_encoder_create(map->cxt, map->endpoint, job->kwargs, desc,
									&columns);
	MemoryContextSwitchTo(old);
}

static bool
map_receive(TupleTableSlot *slot, DestReceiver *self)
{
	SpawnMap *map = (SpawnMap *) self;

	slot_getallattrs(slot);
	input_encode(map->enc, &map->chunk, slot->tts_values, slot->tts_isnull);
	map->chunk_count++;
	if (map->chunk.len >= CHUNK_TARGET_BYTES ||
		map->chunk_count == CHUNK_MAX_INPUTS)
		flush_chunk(map);
	return true;
}

static void
map_shutdown(DestReceiver *self)
{
	(void) self;
}

/* Run the query, every row of it becoming an input. */
static void
run_query(SpawnMap *map, const char *query)
{
	SPIExecuteOptions options = {0};
	SPIPlanPtr plan;
	int rc;

	map->pub.receiveSlot = map_receive;
	map->pub.rStartup = map_startup;
	map->pub.rShutdown = map_shutdown;
	map->pub.rDestroy = map_shutdown;
	map->pub.mydest = DestTuplestore; /* any that is not SPI's own */

	SPI_connect();
	plan = SPI_prepare(query, 0, NULL);
	if (plan == NULL)
		elog(ERROR, "could not prepare the query: %s",
			 SPI_result_code_string(SPI_result));
	if (!SPI_is_cursor_plan(plan))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_CURSOR_DEFINITION),
				 errmsg("argument \"query\" must be one statement that returns rows")));
	options.dest = &map->pub;
	rc = SPI_execute_plan_extended(plan, &options);
	if (rc < 0)
		elog(ERROR, "could not run the query: %s", SPI_result_code_string(rc));
	SPI_finish();
}

static List *
name_list(ArrayType *array)
{
	Datum *elems;
	bool *nulls;
	int n;
	List *names = NIL;

	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &elems, &nulls,
					  &n);
	for (int i = 0; i < n; i++)
	{
		if (nulls[i])
			ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
							errmsg("names in argument \"key\" must not be null")));
		names = lappend(names, TextDatumGetCString(elems[i]));
	}
	return names;
}

/*
 * The default of result_column is for tables that have such a column; in
 * others, results are spread over the columns that they name.
 */
static char *
result_column(FunctionCallInfo fcinfo, Oid table)
{
	const char *name;

	if (PG_ARGISNULL(5))
		return NULL;
	name = NameStr(*PG_GETARG_NAME(5));
	if (strcmp(name, "result") == 0 && get_attnum(table, name) <= 0)
		return NULL;
	return pstrdup(name);
}

/* Arguments 3 to 7 of modal_spawn_map. */
static void
read_sink(FunctionCallInfo fcinfo, SinkSpec *sink)
{
	char *mode = PG_ARGISNULL(7) ? "insert" : text_to_cstring(PG_GETARG_TEXT_PP(7));

	if (!sink_mode_parse(mode, &sink->mode) || sink->mode == SINK_RESULT)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("unrecognized mode \"%s\"", mode),
				 errhint("Modes are \"insert\", \"upsert\", \"update\" and \"discard\".")));
	if (!PG_ARGISNULL(3))
		sink->key_columns = name_list(PG_GETARG_ARRAYTYPE_P(3));
	if (!PG_ARGISNULL(6))
		sink->error_column = pstrdup(NameStr(*PG_GETARG_NAME(6)));

	if (PG_ARGISNULL(4))
	{
		if (sink->mode == SINK_INSERT)
			sink->mode = SINK_RESULT;
		else if (sink->mode != SINK_DISCARD)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("mode \"%s\" needs argument \"into_table\"", mode)));
		if (sink->error_column != NULL)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("argument \"error_column\" needs argument \"into_table\"")));
		return;
	}
	if (sink->mode == SINK_DISCARD)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("mode \"discard\" and argument \"into_table\" exclude each other")));
	if (sink->mode != SINK_INSERT && sink->key_columns == NIL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("mode \"%s\" needs argument \"key\"", mode),
				 errhint("Name the columns of the query that identify a row of the table.")));
	sink->into_table = PG_GETARG_OID(4);
	sink->result_column = result_column(fcinfo, sink->into_table);
}

Datum
modal_spawn_map(PG_FUNCTION_ARGS)
{
	SpawnMap *map = palloc0(sizeof(SpawnMap));
	const char *rest;
	Jsonb *kwargs;

	modal_check_preloaded();
	map->cxt = CurrentMemoryContext;
	buf_init(&map->chunk, MaxAllocSize, buf_palloc);
	(void) buf_reserve(&map->chunk, CHUNK_TARGET_BYTES + 1024);
	map->endpoint = endpoint_get(function_argument(fcinfo), GetUserId(), &rest);
	map->job = make_job(map->endpoint, rest);
	if (PG_ARGISNULL(1))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
						errmsg("query must not be null")));
	kwargs = PG_ARGISNULL(2) ? NULL : PG_GETARG_JSONB_P(2);
	if (kwargs != NULL && (!JB_ROOT_IS_OBJECT(kwargs)))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("argument \"kwargs\" must be a JSON object")));
	if (kwargs != NULL && JB_ROOT_COUNT(kwargs) > 0)
		map->job->kwargs = kwargs;
	read_sink(fcinfo, &map->job->sink);
	if (!PG_ARGISNULL(8))
		map->job->on_complete = text_to_cstring(PG_GETARG_TEXT_PP(8));
	if (!PG_ARGISNULL(9))
		map->job->priority = PG_GETARG_INT32(9);
	if (OidIsValid(map->job->sink.into_table))
		map->target = sink_target_get(&map->job->sink, GetUserId());

	run_query(map, text_to_cstring(PG_GETARG_TEXT_PP(1)));
	flush_chunk(map);
	map->job->format = input_encoder_format(map->enc);
	job_store_insert(map->job);
	DEBUG_POINT("enqueue-before-commit");
	wake_runner_at_commit();
	endpoint_release(map->endpoint);
	PG_RETURN_INT64(map->job->id);
}
