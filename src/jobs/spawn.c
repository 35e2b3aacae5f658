/*-------------------------------------------------------------------------
 *
 * spawn.c
 *	  modal_spawn and modal_spawn_map: jobs made in the caller's transaction.
 *
 * A job is its row and its chunks.  Both are ordinary rows, so savepoints,
 * rollback and two-phase commit need no care here; only the wake-up waits for
 * the commit (wake.h).
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include "catalog/pg_type.h"
#include "debug_point.h"
#include "endpoint/endpoint.h"
#include "funcapi.h"
#include "guc.h"
#include "functions/query_rows.h"
#include "jobs/distinct.h"
#include "jobs/limits.h"
#include "jobs/nearest_name.h"
#include "jobs/owner.h"
#include "jobs/sink_target.h"
#include "jobs/spawn.h"
#include "jobs/wake.h"
#include "link/shmem.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "values/input_encoder.h"

PG_FUNCTION_INFO_V1(modal_spawn);
PG_FUNCTION_INFO_V1(modal_spawn_map);

/* --- one input ------------------------------------------------------------ */

static const char *
function_argument(FunctionCallInfo fcinfo)
{
	if (PG_ARGISNULL(0))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
						errmsg("function must not be null")));
	return text_to_cstring(PG_GETARG_TEXT_PP(0));
}

/* A job without inputs yet. */
static Job *
make_job(const Endpoint *endpoint, const char *rest, Oid owner)
{
	Job *job = palloc0(sizeof(Job));

	job->max_failures = -1;
	job->id = job_store_next_id();
	job->owner = owner;
	job->function = endpoint_reference(endpoint, rest);
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
	enc = arg_encoder_create(CurrentMemoryContext,
							 endpoint_arg_format(endpoint), nargs, types, NULL,
							 NULL);
	buf_init(&payload, (size_t) modal_max_payload_kb * 1024, buf_palloc);
	buf_init(&chunk, MaxAllocSize, buf_palloc);
	arg_encode(enc, &payload, values, isnull);
	chunk_put(&chunk, NULL, 0, payload.data, payload.len);

	job = make_job(endpoint, rest, GetUserId());
	job->search_path = owner_search_path();
	job->sink.mode = SINK_RESULT;
	job->format = arg_encoder_format(enc);
	job->inputs = 1;
	limits_of_server(job, endpoint);
	limits_check_inputs(1, limits_max_inputs(endpoint));
	job_store_insert_chunk(job->id, 0, 1, &chunk, NULL);
	job_store_insert(job);
	wake_runner_at_commit(job->owner);
	endpoint_release(endpoint);
	PG_RETURN_INT64(job->id);
}

/* --- the rows of a query -------------------------------------------------- */

/* A job under construction, fed by its query as it runs. */
typedef struct SpawnMap
{
	Endpoint *endpoint;
	Job *job;
	SinkTarget *target; /* NULL: no table */
	InputEncoder *enc;
	Buf chunk;
	int chunk_count;
	int64 max_inputs;
	int64 next_index;	/* of the first input in the chunk */
	Distinct *distinct; /* NULL: each row is an input */
} SpawnMap;

/* Arguments of modal_spawn_map. */
enum
{
	ARG_ORDINALITY_COLUMN = 10,
	ARG_UNIQUE_KEY,
	ARG_START_AFTER,
	ARG_DEADLINE,
	ARG_MAX_FAILURES,
	ARG_MAX_IN_FLIGHT,
	ARG_DISTINCT
};

static const LimitArguments limit_arguments = {
	.unique_key = ARG_UNIQUE_KEY,
	.start_after = ARG_START_AFTER,
	.deadline = ARG_DEADLINE,
	.max_failures = ARG_MAX_FAILURES,
	.max_in_flight = ARG_MAX_IN_FLIGHT,
};

static void
flush_chunk(SpawnMap *map)
{
	if (map->chunk_count == 0)
		return;
	job_store_insert_chunk(map->job->id, map->next_index, map->chunk_count,
						   &map->chunk, NULL);
	map->next_index += map->chunk_count;
	map->chunk_count = 0;
	buf_reset(&map->chunk);
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

		if (!att->attisdropped && !is_virtual_column(att) &&
			strcmp(NameStr(att->attname), NameStr(column->attname)) == 0)
			return att->atttypid == column->atttypid &&
				i + 1 != map->target->result && i + 1 != map->target->error;
	}
	return false;
}

static void
start_map(void *arg, TupleDesc desc, const InputColumns *found)
{
	SpawnMap *map = arg;
	InputColumns columns = *found;
	Job *job = map->job;

	columns.checks = palloc(sizeof(int) * Max(desc->natts, 1));
	for (int i = 0; i < columns.nargs; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, columns.args[i]);

		/* a source's columns are all that there is to look at again */
		if (OidIsValid(job->sink.source_table) || is_check(map, att))
		{
			columns.checks[columns.nchecks++] = columns.args[i];
			job->sink.check_columns = lappend(job->sink.check_columns,
											  pstrdup(NameStr(att->attname)));
		}
	}
	/* they must have a place, which the runner would find out too late */
	(void) endpoint_common_kwargs(map->endpoint, job->kwargs);
	map->enc = input_encoder_create(CurrentMemoryContext,
									endpoint_arg_format(map->endpoint),
									job->kwargs, desc, &columns);
}

/* One more. */
static void
chunk_has_input(SpawnMap *map)
{
	map->chunk_count++;
	if (map->chunk.len >= CHUNK_TARGET_BYTES ||
		map->chunk_count == CHUNK_MAX_INPUTS)
		flush_chunk(map);
}

static void
put_input(void *arg, const Datum *values, const bool *nulls)
{
	SpawnMap *map = arg;

	limits_check_inputs(map->job->inputs + 1, map->max_inputs);
	input_encode(map->enc, &map->chunk, values, nulls);
	if (map->distinct == NULL)
		chunk_has_input(map);
	else
	{
		const uint8_t *p = map->chunk.data;
		ChunkRecord row;

		(void) chunk_next(&p, p + map->chunk.len, &row);
		distinct_put(map->distinct, map->job->inputs, &row);
		buf_reset(&map->chunk);
	}
	map->job->inputs++;
}

static void
put_distinct_input(void *arg, const ChunkRecord *record)
{
	SpawnMap *map = arg;

	chunk_put(&map->chunk, record->meta, record->meta_len, record->payload,
			  record->payload_len);
	chunk_has_input(map);
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

/* Arguments 3 to 7, and 10, of modal_spawn_map. */
static void
read_sink(FunctionCallInfo fcinfo, SinkSpec *sink)
{
	char *mode = PG_ARGISNULL(7) ? "insert" : text_to_cstring(PG_GETARG_TEXT_PP(7));

	if (!sink_mode_parse(mode, &sink->mode) || sink->mode == SINK_RESULT)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("unrecognized mode \"%s\"", mode),
				 errhint("Modes are \"insert\", \"upsert\", \"update\", \"replace\" and \"discard\".")));
	if (!PG_ARGISNULL(3))
		sink->key_columns = query_rows_key(PG_GETARG_ARRAYTYPE_P(3));
	if (!PG_ARGISNULL(6))
		sink->error_column = pstrdup(NameStr(*PG_GETARG_NAME(6)));
	if (!PG_ARGISNULL(ARG_ORDINALITY_COLUMN))
		sink->ordinality_column =
			pstrdup(NameStr(*PG_GETARG_NAME(ARG_ORDINALITY_COLUMN)));
	if (sink->mode != SINK_REPLACE && sink->ordinality_column != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"ordinality_column\" needs mode \"replace\"")));
	if (sink->mode == SINK_REPLACE && sink->error_column != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("mode \"replace\" and argument \"error_column\" exclude each other"),
				 errdetail("The rows that are there stay when an input fails."),
				 errhint("Failures are in modal_results().")));

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

/* A job of the rows of a query; its sink and the like are to be set. */
static SpawnMap *
begin_map(const char *function, Oid owner)
{
	SpawnMap *map = palloc0(sizeof(SpawnMap));
	const char *rest;

	buf_init(&map->chunk, MaxAllocSize, buf_palloc);
	(void) buf_reserve(&map->chunk, CHUNK_TARGET_BYTES + 1024);
	map->endpoint = endpoint_get(function, owner, &rest);
	map->job = make_job(map->endpoint, rest, owner);
	return map;
}

static int64
run_map(SpawnMap *map, const char *query, bool may_write)
{
	Job *job = map->job;
	QueryRows rows = {.query = query,
					  .key = job->sink.key_columns,
					  .may_write = may_write,
					  .arg = map,
					  .start = start_map,
					  .row = put_input};

	if (job->sink.mode != SINK_RESULT && job->sink.mode != SINK_DISCARD)
		map->target = sink_target_get(&job->sink, job->owner);
	limits_of_server(job, map->endpoint);
	map->max_inputs = limits_max_inputs(map->endpoint);
	if (job->distinct)
		map->distinct = distinct_begin();
	query_rows_run(&rows);
	if (map->distinct != NULL)
		distinct_end(map->distinct, put_distinct_input, map);
	flush_chunk(map);
	job->run_inputs = map->next_index;
	job->format = input_encoder_format(map->enc);
	job_store_insert(job);
	DEBUG_POINT("enqueue-before-commit");
	wake_runner_at_commit(job->owner);
	endpoint_release(map->endpoint);
	return job->id;
}

int64
spawn_backfill(const char *function, const Job *model, const char *query)
{
	SpawnMap *map = begin_map(function, model->owner);
	Job *job = map->job;

	job->kwargs = model->kwargs;
	job->priority = model->priority;
	job->sink = model->sink;
	job->sink.check_columns = NIL; /* start_map finds them in the query */
	job->by_trigger = job->backfill = true;
	return run_map(map, query, false);
}

Datum
modal_spawn_map(PG_FUNCTION_ARGS)
{
	SpawnMap *map;
	Job *job;
	Jsonb *kwargs;

	modal_check_preloaded();
	map = begin_map(function_argument(fcinfo), GetUserId());
	job = map->job;
	job->search_path = owner_search_path();
	if (PG_ARGISNULL(1))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
						errmsg("query must not be null")));
	kwargs = PG_ARGISNULL(2) ? NULL : PG_GETARG_JSONB_P(2);
	if (kwargs != NULL && (!JB_ROOT_IS_OBJECT(kwargs)))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("argument \"kwargs\" must be a JSON object")));
	if (kwargs != NULL && JB_ROOT_COUNT(kwargs) > 0)
		job->kwargs = kwargs;
	read_sink(fcinfo, &job->sink);
	if (!PG_ARGISNULL(8))
		job->on_complete = text_to_cstring(PG_GETARG_TEXT_PP(8));
	if (!PG_ARGISNULL(9))
		job->priority = PG_GETARG_INT32(9);
	limits_read(fcinfo, &limit_arguments, job);
	if (job->unique_key != NULL)
	{
		int64 other = limits_claim_key(job->owner, job->unique_key);

		if (other != 0)
			PG_RETURN_INT64(other);
	}
	job->distinct = !PG_ARGISNULL(ARG_DISTINCT) && PG_GETARG_BOOL(ARG_DISTINCT);
	PG_RETURN_INT64(run_map(map, text_to_cstring(PG_GETARG_TEXT_PP(1)), true));
}
