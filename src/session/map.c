/*-------------------------------------------------------------------------
 *
 * map.c
 *	  modal_map and modal_for_each: every row of a query is an input.
 *
 * The query runs through SPI into a receiver of ours, with the caller's
 * rights and snapshot.  Each row is encoded and put into the call as it
 * comes; when the window is full, the receiver takes results into the
 * tuplestore until there is room again.  So memory is bounded by the window
 * (and by work_mem, beyond which the tuplestore goes to disk).
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "guc.h"
#include "portability/instr_time.h"
#include "session/codec.h"
#include "link/remote_call.h"
#include "session/server.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/plancache.h"

/* The scratch context is emptied after so many bytes of rows or results. */
#define BYTES_PER_RESET (256 * 1024)
#define LEAST_BYTES 1024 /* that each counts for */
/* Inputs wait at most so long for others to travel with. */
#define MAX_LINGER_US 5000

/* Keys of an input in flight, when the query has key columns. */
typedef struct KeyEntry
{
	int64 ordinal;
	Jsonb *key;
} KeyEntry;

typedef struct MapState
{
	DestReceiver receiver; /* first: callbacks get a pointer to it */
	Endpoint *endpoint;
	const char *rest;	   /* the reference without its server */
	Jsonb *kwargs;
	bool ordered;
	bool raise;			   /* else failures are returned */
	bool discard;		   /* modal_for_each */
	char **key_names;
	int nkey_names;

	RemoteCall *call;
	ArgEncoder *encoder;
	int nargs;
	int *arg_columns;	   /* positions in the query's rows, from 0 */
	Datum *values;
	bool *nulls;
	Buf payload;
	int64 next_ordinal;
	instr_time last_sent;

	/* columns that make up "input" */
	int nkeys;
	int *key_columns;
	Buf key_text;
	ArgEncoder *key_encoder;
	HTAB *keys;			   /* ordinal -> KeyEntry */
	MemoryContext key_cxt;

	Tuplestorestate *store;
	TupleDesc store_desc;
	int64 finished;
	MemoryContext cxt;	   /* for the whole map */
	MemoryContext scratch; /* for a run of rows or results */
	Size in_scratch;	   /* bytes, about */
} MapState;

PG_FUNCTION_INFO_V1(modal_map_query);
PG_FUNCTION_INFO_V1(modal_map_array);
PG_FUNCTION_INFO_V1(modal_for_each);

/* For a row or result of so many bytes. */
static void
use_scratch(MapState *map, Size bytes)
{
	if (map->in_scratch >= BYTES_PER_RESET)
	{
		MemoryContextReset(map->scratch);
		map->in_scratch = 0;
	}
	map->in_scratch += Max(bytes, LEAST_BYTES);
}

/* --- results ----------------------------------------------------------------- */

/* The key of an input that is finished now. */
static Jsonb *
take_key(MapState *map, int64 ordinal)
{
	KeyEntry *entry;
	Jsonb *key;

	if (map->keys == NULL)
		return NULL;
	entry = hash_search(map->keys, &ordinal, HASH_FIND, NULL);
	if (entry == NULL)
		return NULL;
	key = palloc(VARSIZE(entry->key));
	memcpy(key, entry->key, VARSIZE(entry->key));
	pfree(entry->key);
	(void) hash_search(map->keys, &ordinal, HASH_REMOVE, NULL);
	return key;
}

static void
take_output(MapState *map, const FrameOutput *out)
{
	MemoryContext old;
	Datum values[4] = {0};
	bool nulls[4] = {false, true, true, true};
	Jsonb *key;

	map->finished++;
	if (!out->ok && map->raise)
		error_raise(out, remote_call_label(map->call));
	if (map->store == NULL)
		return;

	use_scratch(map, out->data.n);
	old = MemoryContextSwitchTo(map->scratch);
	values[0] = Int64GetDatum(out->ordinal);
	key = take_key(map, out->ordinal);
	if (key != NULL)
	{
		values[1] = JsonbPGetDatum(key);
		nulls[1] = false;
	}
	if (out->ok)
	{
		values[2] = JsonbPGetDatum(
			result_to_jsonb(out->format, out->data.p, out->data.n));
		nulls[2] = false;
	}
	else
	{
		values[3] = JsonbPGetDatum(error_to_jsonb(out));
		nulls[3] = false;
	}
	tuplestore_putvalues(map->store, map->store_desc, values, nulls);
	MemoryContextSwitchTo(old);
}

/* Whatever is there, without waiting. */
static void
take_ready(MapState *map)
{
	FrameOutput out;

	while (remote_call_poll(map->call, &out) == REMOTE_CALL_OUTPUT)
		take_output(map, &out);
}

/* The window is full: wait until a part of it is free. */
static void
make_room(MapState *map)
{
	FrameOutput out;

	for (;;)
	{
		RemoteCallResult result = remote_call_poll(map->call, &out);

		if (result == REMOTE_CALL_OUTPUT)
		{
			take_output(map, &out);
			continue;
		}
		if (result == REMOTE_CALL_END ||
			remote_call_room(map->call) >= remote_call_refill(map->call))
			return;
		remote_call_wait(map->call, -1);
	}
}

/*
 * A query that takes its time for a row must not hold back the inputs before
 * it.
 */
static void
keep_going(MapState *map)
{
	instr_time now, passed;

	INSTR_TIME_SET_CURRENT(now);
	passed = now;
	INSTR_TIME_SUBTRACT(passed, map->last_sent);
	if (INSTR_TIME_GET_MICROSEC(passed) < MAX_LINGER_US)
		return;
	remote_call_flush(map->call);
	take_ready(map);
	map->last_sent = now;
}

static void
finish_map(MapState *map)
{
	FrameOutput out;

	if (map->call == NULL)
		return;
	remote_call_finish(map->call);
	while (remote_call_next(map->call, &out) == REMOTE_CALL_OUTPUT)
		take_output(map, &out);
	remote_call_close(map->call, 0);
	map->call = NULL;
}

/* --- inputs -------------------------------------------------------------------- */

/* The call is opened with the first input: no rows, no call. */
static void
open_call(MapState *map)
{
	RemoteCallSpec spec = {.kind = CALL_MAP,
						   .reference = map->rest,
						   .input_format = arg_encoder_format(map->encoder),
						   .ordered = map->ordered && !map->discard,
						   .return_exceptions = !map->raise,
						   .discard = map->discard,
						   .put_ahead = true,
						   .last_ordinal = -1,
						   .total_inputs = -1};

	/* Formats whose requests have a place for what all inputs share. */
	if (map->endpoint->protocol == ENDPOINT_HTTP &&
		!map->endpoint->args_as_object && JB_ROOT_COUNT(map->kwargs) > 0)
		spec.request = JsonbToCString(NULL, &map->kwargs->root,
									  VARSIZE(map->kwargs));
	map->call = remote_call_open(map->cxt, map->endpoint, &spec);
	INSTR_TIME_SET_CURRENT(map->last_sent);
}

static void
keep_key(MapState *map, const Datum *values, const bool *nulls)
{
	MemoryContext old;
	KeyEntry *entry;
	Datum *key_values = palloc(map->nkeys * sizeof(Datum));
	bool *key_nulls = palloc(map->nkeys * sizeof(bool));

	for (int i = 0; i < map->nkeys; i++)
	{
		key_values[i] = values[map->key_columns[i]];
		key_nulls[i] = nulls[map->key_columns[i]];
	}
	buf_reset(&map->key_text);
	arg_encode(map->key_encoder, &map->key_text, key_values, key_nulls);
	entry = hash_search(map->keys, &map->next_ordinal, HASH_ENTER, NULL);
	old = MemoryContextSwitchTo(map->key_cxt);
	entry->key = result_to_jsonb(PAYLOAD_JSON, map->key_text.data,
								 map->key_text.len);
	MemoryContextSwitchTo(old);
}

static void
put_input(MapState *map, const Datum *values, const bool *nulls)
{
	MemoryContext old;

	CHECK_FOR_INTERRUPTS();
	if (map->call == NULL)
		open_call(map);
	else if (remote_call_room(map->call) <= 0)
		make_room(map);
	else
		keep_going(map);

	/* this one's bytes are not known yet: it is like the last one */
	use_scratch(map, map->payload.len);
	old = MemoryContextSwitchTo(map->scratch);
	for (int i = 0; i < map->nargs; i++)
	{
		map->values[i] = values[map->arg_columns[i]];
		map->nulls[i] = nulls[map->arg_columns[i]];
	}
	buf_reset(&map->payload);
	arg_encode(map->encoder, &map->payload, map->values, map->nulls);
	if (map->nkeys > 0)
		keep_key(map, values, nulls);
	MemoryContextSwitchTo(old);
	remote_call_put(map->call, map->next_ordinal++, map->payload.data,
					map->payload.len);
}

/* --- the receiver of the query's rows ---------------------------------------------- */

static bool
is_key(const MapState *map, const char *name)
{
	for (int i = 0; i < map->nkey_names; i++)
		if (strcmp(map->key_names[i], name) == 0)
			return true;
	return false;
}

static void
check_keys_found(const MapState *map, TupleDesc desc)
{
	for (int i = 0; i < map->nkey_names; i++)
	{
		bool found = false;

		for (int j = 0; j < desc->natts && !found; j++)
			found = strcmp(NameStr(TupleDescAttr(desc, j)->attname),
						   map->key_names[i]) == 0;
		if (!found)
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_COLUMN),
					 errmsg("key column \"%s\" is not among the columns of the query",
							map->key_names[i])));
	}
}

static void
init_keys(MapState *map, const Oid *types, char **names)
{
	/* A JSON object, encoded as for an HTTP function that wants one. */
	Endpoint json_object = {.protocol = ENDPOINT_HTTP,
							.format = HTTP_JSON,
							.args_as_object = true};
	HASHCTL info = {.keysize = sizeof(int64),
					.entrysize = sizeof(KeyEntry),
					.hcxt = map->cxt};

	map->key_encoder = arg_encoder_create(map->cxt, &json_object, map->nkeys,
										  types, names, NULL);
	buf_init(&map->key_text, 0, buf_palloc);
	(void) buf_reserve(&map->key_text, 256); /* as for payload */
	map->key_cxt = AllocSetContextCreate(map->cxt, "modal_map keys",
										 ALLOCSET_DEFAULT_SIZES);
	map->keys = hash_create("modal_map keys", 1024, &info,
							HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

/* desc: of the query's rows.  Which columns are sent, and which carried? */
static void
learn_columns(MapState *map, TupleDesc desc)
{
	MemoryContext old = MemoryContextSwitchTo(map->cxt);
	int n = desc->natts;
	Oid *types = palloc(Max(n, 1) * sizeof(Oid));
	Oid *key_types = palloc(Max(n, 1) * sizeof(Oid));
	char **names = palloc0(Max(n, 1) * sizeof(char *));
	char **key_names = palloc0(Max(n, 1) * sizeof(char *));

	check_keys_found(map, desc);
	map->arg_columns = palloc(Max(n, 1) * sizeof(int));
	map->key_columns = palloc(Max(n, 1) * sizeof(int));
	map->values = palloc(Max(n, 1) * sizeof(Datum));
	map->nulls = palloc(Max(n, 1) * sizeof(bool));
	for (int i = 0; i < n; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		if (is_key(map, NameStr(att->attname)))
		{
			key_types[map->nkeys] = att->atttypid;
			key_names[map->nkeys] = NameStr(att->attname);
			map->key_columns[map->nkeys++] = i;
			continue;
		}
		types[map->nargs] = att->atttypid;
		if (map->endpoint->args_as_object)
			names[map->nargs] = NameStr(att->attname);
		map->arg_columns[map->nargs++] = i;
	}
	map->encoder = arg_encoder_create(map->cxt, map->endpoint, map->nargs,
									  types, names, map->kwargs);
	buf_init(&map->payload, (Size) modal_max_payload_kb * 1024, buf_palloc);
	/* the buffer grows in the context that it is first used in: not scratch */
	(void) buf_reserve(&map->payload, 1024);
	if (map->nkeys > 0 && !map->discard)
		init_keys(map, key_types, key_names);
	else
		map->nkeys = 0;
	MemoryContextSwitchTo(old);
}

static void
receiver_startup(DestReceiver *self, int operation, TupleDesc desc)
{
	(void) operation;
	learn_columns((MapState *) self, desc);
}

static bool
receive_row(TupleTableSlot *slot, DestReceiver *self)
{
	slot_getallattrs(slot);
	put_input((MapState *) self, slot->tts_values, slot->tts_isnull);
	return true;
}

static void
receiver_done(DestReceiver *self)
{
	(void) self;
}

/* --- running ------------------------------------------------------------------------- */

/* One SELECT (or VALUES, TABLE): nothing that writes or locks. */
static void
check_query(SPIPlanPtr plan)
{
	List *sources = SPI_plan_get_plan_sources(plan);
	CachedPlanSource *source =
		list_length(sources) == 1 ? linitial(sources) : NULL;
	Query *query;

	if (source == NULL || source->commandTag != CMDTAG_SELECT ||
		source->resultDesc == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the inputs of a map must come from one SELECT statement")));
	query = linitial_node(Query, source->query_list);
	if (query->hasModifyingCTE || query->hasForUpdate)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the query of a map must not change or lock rows"),
				 errhint("Do that in a statement of its own.")));
}

static void
run_query(MapState *map, const char *query)
{
	SPIExecuteOptions options = {.read_only = true, .dest = &map->receiver};
	SPIPlanPtr plan;
	int result;

	SPI_connect();
	plan = SPI_prepare(query, 0, NULL);
	if (plan == NULL)
		elog(ERROR, "SPI_prepare failed: %s", SPI_result_code_string(SPI_result));
	check_query(plan);
	result = SPI_execute_plan_extended(plan, &options);
	if (result < 0)
		elog(ERROR, "SPI_execute_plan_extended failed: %s",
			 SPI_result_code_string(result));
	finish_map(map);
	SPI_finish();
}

static void
check_no_nulls(FunctionCallInfo fcinfo)
{
	for (int i = 0; i < PG_NARGS(); i++)
		if (PG_ARGISNULL(i))
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 i == 0 ? errmsg("function reference must not be null")
							: errmsg("argument %d must not be null", i + 1)));
}

static MapState *
create_map(FunctionCallInfo fcinfo, int kwargs_arg)
{
	MapState *map = palloc0(sizeof(MapState));

	map->receiver.receiveSlot = receive_row;
	map->receiver.rStartup = receiver_startup;
	map->receiver.rShutdown = receiver_done;
	map->receiver.rDestroy = receiver_done;
	map->receiver.mydest = DestNone;
	map->cxt = CurrentMemoryContext;
	map->scratch = AllocSetContextCreate(CurrentMemoryContext,
										 "modal_map scratch",
										 ALLOCSET_DEFAULT_SIZES);
	map->endpoint = endpoint_get(text_to_cstring(PG_GETARG_TEXT_PP(0)),
								 GetUserId(), &map->rest);
	map->kwargs = PG_GETARG_JSONB_P(kwargs_arg);
	if (!JB_ROOT_IS_OBJECT(map->kwargs))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("keyword arguments must be a JSON object")));
	return map;
}

static void
set_keys(MapState *map, ArrayType *names)
{
	Datum *elements;
	bool *nulls;

	deconstruct_array(names, TEXTOID, -1, false, TYPALIGN_INT, &elements,
					  &nulls, &map->nkey_names);
	map->key_names = palloc(Max(map->nkey_names, 1) * sizeof(char *));
	for (int i = 0; i < map->nkey_names; i++)
	{
		if (nulls[i])
			ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
							errmsg("names of key columns must not be null")));
		map->key_names[i] = TextDatumGetCString(elements[i]);
	}
}

static void
set_result(MapState *map, FunctionCallInfo fcinfo)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;

	InitMaterializedSRF(fcinfo, 0);
	map->store = rsinfo->setResult;
	map->store_desc = rsinfo->setDesc;
}

/* modal_map(function, query, kwargs, key, ordered, on_error) */
Datum
modal_map_query(PG_FUNCTION_ARGS)
{
	MapState *map;

	check_no_nulls(fcinfo);
	map = create_map(fcinfo, 2);
	set_keys(map, PG_GETARG_ARRAYTYPE_P(3));
	map->ordered = PG_GETARG_BOOL(4);
	map->raise = on_error_raises(PG_GETARG_TEXT_PP(5));
	set_result(map, fcinfo);
	run_query(map, text_to_cstring(PG_GETARG_TEXT_PP(1)));
	return (Datum) 0;
}

/* modal_map(function, inputs anyarray, kwargs, ordered, on_error) */
Datum
modal_map_array(PG_FUNCTION_ARGS)
{
	MapState *map;
	ArrayIterator it;
	TupleDesc desc;
	Datum value;
	bool isnull;

	check_no_nulls(fcinfo);
	map = create_map(fcinfo, 2);
	map->ordered = PG_GETARG_BOOL(3);
	map->raise = on_error_raises(PG_GETARG_TEXT_PP(4));
	set_result(map, fcinfo);

	/* As if the elements were the rows of a query with one column. */
	desc = CreateTemplateTupleDesc(1);
	TupleDescInitEntry(desc, 1, "input",
					   ARR_ELEMTYPE(PG_GETARG_ARRAYTYPE_P(1)), -1, 0);
	learn_columns(map, desc);
	it = array_create_iterator(PG_GETARG_ARRAYTYPE_P(1), 0, NULL);
	while (array_iterate(it, &value, &isnull))
		put_input(map, &value, &isnull);
	finish_map(map);
	return (Datum) 0;
}

/* modal_for_each(function, query, kwargs, on_error): results are dropped */
Datum
modal_for_each(PG_FUNCTION_ARGS)
{
	MapState *map;

	check_no_nulls(fcinfo);
	map = create_map(fcinfo, 2);
	map->raise = on_error_raises(PG_GETARG_TEXT_PP(3));
	map->discard = true;
	run_query(map, text_to_cstring(PG_GETARG_TEXT_PP(1)));
	PG_RETURN_INT64(map->finished);
}
