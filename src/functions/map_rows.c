/*-------------------------------------------------------------------------
 *
 * map_rows.c
 *	  A map in progress; see map_rows.h.
 *
 * Each row of the query is encoded and put into the call as it comes, as many
 * as the window has room for and the reader wants; then results are handed
 * out until there is room again.  So memory is bounded by the window, and how
 * much is sent by the reader.
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include "endpoint/endpoint.h"
#include "functions/map_rows.h"
#include "functions/query_rows.h"
#include "guc.h"
#include "portability/instr_time.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "values/values.h"

/* The scratch context is emptied after so many bytes of rows or results. */
#define BYTES_PER_RESET (256 * 1024)
#define LEAST_BYTES 1024 /* that each counts for */
/* Inputs wait at most so long for others to travel with. */
#define MAX_LINGER_US 5000
/* A reader whose appetite grows gets inputs by this part of it. */
#define AHEAD_PARTS 8

/* Keys of an input in flight, when the query has key columns. */
typedef struct KeyEntry
{
	int64 ordinal;
	Jsonb *key;
} KeyEntry;

struct MapRows
{
	Endpoint *endpoint;
	const char *rest;	   /* the reference without its server */
	Jsonb *kwargs;
	bool ordered;
	bool raise;			   /* else failures are returned */
	bool discard;		   /* modal_for_each */

	/* where inputs come from: one of these */
	QueryRows query;
	QueryRun *run;		   /* NULL: not begun, or at its end */
	ArrayType *array;
	ArrayIterator elements;
	bool no_more;		   /* inputs */

	RemoteCall *call;
	ArgEncoder *encoder;
	InputColumns columns;  /* of the query's rows */
	Datum *values;
	bool *nulls;
	Buf payload;
	int64 next_ordinal;
	instr_time last_sent;

	/* columns that make up "input" */
	ArgEncoder *key_encoder; /* NULL: there are none */
	Buf key_text;
	HTAB *keys;			   /* ordinal -> KeyEntry */
	MemoryContext key_cxt;

	int64 returned;
	int64 look_at; /* so many have returned before there is room again */
	FrameOutput output;	   /* the last one */
	MemoryContext cxt;	   /* for the whole map */
	MemoryContext scratch; /* for a run of rows or results */
	Size in_scratch;	   /* bytes, about */
};

/* For a row or result of so many bytes. */
static void
use_scratch(MapRows *map, Size bytes)
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
take_key(MapRows *map, int64 ordinal)
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
take_output(MapRows *map, Datum *row, bool *row_nulls)
{
	const FrameOutput *out = &map->output;
	MemoryContext old;
	Jsonb *key, *value;
	bool ok = true;

	map->returned++;
	if (!out->ok && map->raise)
		error_raise(out, remote_call_label(map->call));
	if (map->discard)
		return;

	use_scratch(map, out->data.n);
	old = MemoryContextSwitchTo(map->scratch);
	memset(row_nulls, true, MAP_COLUMNS * sizeof(bool));
	row[0] = Int64GetDatum(out->ordinal);
	row_nulls[0] = false;
	key = take_key(map, out->ordinal);
	if (key != NULL)
	{
		row[1] = JsonbPGetDatum(key);
		row_nulls[1] = false;
	}
	value = map->raise
		? result_to_jsonb(out->format, out->data.p, out->data.n)
		: output_to_jsonb(out, &ok);
	row[ok ? 2 : 3] = JsonbPGetDatum(value);
	row_nulls[ok ? 2 : 3] = false;
	MemoryContextSwitchTo(old);
}

/* --- inputs -------------------------------------------------------------------- */

/* The call is opened with the first input: no rows, no call. */
static void
open_call(MapRows *map)
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

	spec.request = endpoint_common_kwargs(map->endpoint, map->kwargs);
	map->call = remote_call_open(map->cxt, map->endpoint, &spec);
}

static void
keep_key(MapRows *map, const Datum *values, const bool *nulls)
{
	MemoryContext old;
	KeyEntry *entry;
	int nkeys = map->columns.nkeys;
	Datum *key_values = palloc(nkeys * sizeof(Datum));
	bool *key_nulls = palloc(nkeys * sizeof(bool));

	for (int i = 0; i < nkeys; i++)
	{
		key_values[i] = values[map->columns.keys[i]];
		key_nulls[i] = nulls[map->columns.keys[i]];
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
put_input(void *arg, const Datum *values, const bool *nulls)
{
	MapRows *map = arg;
	MemoryContext old;

	CHECK_FOR_INTERRUPTS();
	if (map->call == NULL)
		open_call(map);

	/* this one's bytes are not known yet: it is like the last one */
	use_scratch(map, map->payload.len);
	old = MemoryContextSwitchTo(map->scratch);
	for (int i = 0; i < map->columns.nargs; i++)
	{
		map->values[i] = values[map->columns.args[i]];
		map->nulls[i] = nulls[map->columns.args[i]];
	}
	buf_reset(&map->payload);
	arg_encode(map->encoder, &map->payload, map->values, map->nulls);
	if (map->key_encoder != NULL)
		keep_key(map, values, nulls);
	MemoryContextSwitchTo(old);
	remote_call_put(map->call, map->next_ordinal++, map->payload.data,
					map->payload.len);
}

/*
 * Is there room for one more?  A query that takes its time for a row must not
 * hold back the inputs before it, nor the results of those.
 */
static bool
has_room(void *arg)
{
	MapRows *map = arg;
	instr_time passed;

	if (remote_call_room(map->call) <= 0)
		return false;
	INSTR_TIME_SET_CURRENT(passed);
	INSTR_TIME_SUBTRACT(passed, map->last_sent);
	return INSTR_TIME_GET_MICROSEC(passed) < MAX_LINGER_US;
}

/* --- columns ---------------------------------------------------------------------- */

/* Types and names of some of the columns; names NULL: not wanted. */
static Oid *
column_types(TupleDesc desc, const int *columns, int n, char **names)
{
	Oid *types = palloc(Max(n, 1) * sizeof(Oid));

	for (int i = 0; i < n; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, columns[i]);

		types[i] = att->atttypid;
		if (names != NULL)
			names[i] = NameStr(att->attname);
	}
	return types;
}

static void
init_keys(MapRows *map, TupleDesc desc)
{
	int n = map->columns.nkeys;
	char **names = palloc(n * sizeof(char *));
	Oid *types = column_types(desc, map->columns.keys, n, names);
	ArgFormat format = {.payload = PAYLOAD_JSON, .named = true, .as_object = true};
	HASHCTL info = {.keysize = sizeof(int64),
					.entrysize = sizeof(KeyEntry),
					.hcxt = map->cxt};

	map->key_encoder = arg_encoder_create(map->cxt, format, n, types, names,
										  NULL);
	buf_init(&map->key_text, 0, buf_palloc);
	map->key_cxt = AllocSetContextCreate(map->cxt, "modal_map keys",
										 ALLOCSET_DEFAULT_SIZES);
	map->keys = hash_create("modal_map keys", 1024, &info,
							HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

static void
start_map(void *arg, TupleDesc desc, const InputColumns *columns)
{
	MapRows *map = arg;
	int n = columns->nargs;
	char **names = NULL;
	Oid *types;

	map->columns = *columns;
	map->values = palloc(Max(n, 1) * sizeof(Datum));
	map->nulls = palloc(Max(n, 1) * sizeof(bool));
	if (endpoint_arg_format(map->endpoint).named)
		names = palloc(Max(n, 1) * sizeof(char *));
	types = column_types(desc, columns->args, n, names);
	map->encoder = arg_encoder_create(map->cxt,
									  endpoint_arg_format(map->endpoint), n,
									  types, names, map->kwargs);
	buf_init(&map->payload, (Size) modal_max_payload_kb * 1024, buf_palloc);
	if (columns->nkeys > 0 && !map->discard)
		init_keys(map, desc);
}

/* As if the elements were the rows of a query with one column. */
static void
start_array(MapRows *map)
{
	InputColumns columns = {0};
	TupleDesc desc = CreateTemplateTupleDesc(1);

	TupleDescInitEntry(desc, 1, "input", ARR_ELEMTYPE(map->array), -1, 0);
	TupleDescFinalize(desc);
	query_rows_columns(desc, NIL, &columns);
	start_map(map, desc, &columns);
	map->elements = array_create_iterator(map->array, 0, NULL);
}

/* At most so many elements of the array; false after the last one. */
static bool
fetch_elements(MapRows *map, uint64 count)
{
	Datum value;
	bool isnull;

	for (uint64 n = 0; n < count; n++)
	{
		if (!array_iterate(map->elements, &value, &isnull))
			return false;
		put_input(map, &value, &isnull);
		if (!has_room(map))
			break;
	}
	return true;
}

static void
begin_inputs(MapRows *map)
{
	MemoryContext old = MemoryContextSwitchTo(map->cxt);

	if (map->array != NULL)
		start_array(map);
	else
		map->run = query_rows_open(&map->query);
	MemoryContextSwitchTo(old);
}

/* Put at most so many inputs, and send them. */
static void
put_inputs(MapRows *map, uint64 count)
{
	if (map->run == NULL && map->elements == NULL)
		begin_inputs(map);
	INSTR_TIME_SET_CURRENT(map->last_sent);
	map->no_more = map->array != NULL ? !fetch_elements(map, count)
									  : !query_rows_fetch(map->run, count);
	if (map->no_more && map->run != NULL)
	{
		query_rows_close(map->run);
		map->run = NULL;
	}
	if (map->call == NULL)
		return;
	if (map->no_more)
		remote_call_finish(map->call);
	else
		remote_call_flush(map->call);
}

/*
 * How many inputs to put now.  Some at a time: going on at the first free
 * place would send them one by one.
 */
static uint64
inputs_wanted(MapRows *map, int64 ahead)
{
	int64 in_flight = map->next_ordinal - map->returned;
	int64 wanted = ahead - in_flight;

	map->look_at = 0;
	if (map->no_more)
		return 0;
	if (map->call != NULL)
	{
		int64 least = Min(remote_call_refill(map->call), ahead / AHEAD_PARTS);

		wanted = Min(wanted, remote_call_room(map->call));
		if (in_flight > 0 && wanted < least)
		{
			map->look_at = map->returned + least - wanted;
			return 0;
		}
	}
	return (uint64) Max(wanted, 0);
}

/* --- running ------------------------------------------------------------------------- */

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

MapRows *
map_rows_open(MapForm form, FunctionCallInfo fcinfo)
{
	MemoryContext cxt = AllocSetContextCreate(
		CurrentMemoryContext, "modal map", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(cxt);
	MapRows *map = palloc0(sizeof(MapRows));
	int options = form == MAP_QUERY ? 4 : 3; /* arguments from here on differ */

	check_no_nulls(fcinfo);
	map->cxt = cxt;
	map->scratch = AllocSetContextCreate(cxt, "modal map scratch",
										 ALLOCSET_DEFAULT_SIZES);
	map->endpoint = endpoint_get(text_to_cstring(PG_GETARG_TEXT_PP(0)),
								 GetUserId(), &map->rest);
	map->kwargs = PG_GETARG_JSONB_P(2);
	if (!JB_ROOT_IS_OBJECT(map->kwargs))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("keyword arguments must be a JSON object")));
	if (form == MAP_QUERY)
		map->query.key = query_rows_key(PG_GETARG_ARRAYTYPE_P(3));
	map->discard = form == MAP_FOR_EACH;
	if (!map->discard)
		map->ordered = PG_GETARG_BOOL(options++);
	map->raise = on_error_raises(PG_GETARG_TEXT_PP(options));
	if (form == MAP_ARRAY)
		map->array = PG_GETARG_ARRAYTYPE_P(1);
	else
	{
		map->query.query = text_to_cstring(PG_GETARG_TEXT_PP(1));
		map->query.arg = map;
		map->query.start = start_map;
		map->query.row = put_input;
		map->query.more = has_room;
	}
	MemoryContextSwitchTo(old);
	return map;
}

bool
map_rows_next(MapRows *map, int64 ahead, Datum *values, bool *nulls)
{
	for (;;)
	{
		uint64 wanted = map->returned < map->look_at ? 0 : inputs_wanted(map, ahead);

		CHECK_FOR_INTERRUPTS();
		if (wanted > 0)
			put_inputs(map, wanted);
		if (map->call == NULL)
			return false;
		switch (remote_call_poll(map->call, &map->output))
		{
			case REMOTE_CALL_OUTPUT:
				take_output(map, values, nulls);
				return true;
			case REMOTE_CALL_END:
				if (map->returned < map->next_ordinal || !map->no_more)
					ereport(ERROR,
							(errcode(ERRCODE_PROTOCOL_VIOLATION),
							 errmsg("remote function \"%s\" ended before all "
									"its results had arrived",
									remote_call_label(map->call))));
				return false;
			case REMOTE_CALL_PENDING:
				if (inputs_wanted(map, ahead) == 0)
					remote_call_wait(map->call, -1);
				break;
		}
	}
}

void
map_rows_close(MapRows *map)
{
	if (map->run != NULL)
		query_rows_close(map->run);
	if (map->call != NULL)
		remote_call_close(map->call, 0);
	MemoryContextDelete(map->cxt);
}

int64
map_rows_returned(const MapRows *map)
{
	return map->returned;
}

const FrameOutput *
map_rows_output(const MapRows *map)
{
	return &map->output;
}

int
map_rows_window(const MapRows *map)
{
	return (int) endpoint_window(map->endpoint);
}

RemoteCall *
map_rows_call(const MapRows *map)
{
	return map->call;
}
