/*-------------------------------------------------------------------------
 *
 * estimate.c
 *	  modal_batch.estimate_inputs: what a job would send, without sending it.
 *
 * modal_estimate adds what is known of the function's time.  Rows are encoded
 * as for the job; of each, only its size and a hash are kept, in sorts that go
 * to disk when they are large.
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "core/service_limits.h"
#include "endpoint/endpoint.h"
#include "executor/tuptable.h"
#include "funcapi.h"
#include "functions/query_rows.h"
#include "link/shmem.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/tuplesort.h"
#include "utils/typcache.h"
#include "values/input_encoder.h"

PG_FUNCTION_INFO_V1(modal_estimate_inputs);

#define COLUMN_HASH 1
#define COLUMN_SIZE 2

/* Sizes of inputs, and how they go into requests. */
typedef struct Sizes
{
	int64 count, bytes, most, blobs;
	int64 requests;
	int64 in_request, bytes_in_request; /* of the last one */
} Sizes;

typedef struct Estimate
{
	Endpoint *endpoint;
	Jsonb *kwargs;
	InputEncoder *enc;
	Buf record;
	Size max_inline;
	int64 batch_rows, batch_bytes;
	bool distinct;
	TupleDesc desc;			/* of what is kept of an input: hash, size */
	Tuplesortstate *inputs;
	Tuplesortstate *sizes;	/* of those that are sent */
	TupleTableSlot *slot, *sorted; /* on the way in and out */
	int64 rows, distinct_inputs;
	Sizes sent;
} Estimate;

/* What the dispatcher is told, for it is the one who makes requests. */
static int64
dispatcher_option(const Endpoint *endpoint, const char *wanted, int64 dflt)
{
	Slice rest = {endpoint->options, endpoint->options_len};
	Slice name, value;
	bool bad = false;

	while (frame_next_option(&rest, &name, &value, &bad))
		if (name.n == strlen(wanted) && memcmp(name.p, wanted, name.n) == 0)
			return (int64) strtod(pnstrdup(value.p, value.n), NULL);
	return dflt;
}

static void
read_limits(Estimate *e)
{
	const Endpoint *endpoint = e->endpoint;

	if (endpoint->protocol == ENDPOINT_MODAL)
	{
		e->max_inline = DEFAULT_MAX_ASYNC_INLINE;
		e->batch_rows = SPAWN_CHUNK;
		e->batch_bytes = SPAWN_CHUNK_BYTES;
		return;
	}
	e->max_inline = MaxAllocSize;
	e->batch_rows = endpoint->format == HTTP_JSON
		? 1
		: dispatcher_option(endpoint, "max_batch_rows", DEFAULT_BATCH_ROWS);
	e->batch_bytes = dispatcher_option(endpoint, "max_batch_bytes",
									   DEFAULT_BATCH_BYTES);
}

/* By one column, then by the other. */
static Tuplesortstate *
begin_sort(const Estimate *e, AttrNumber first)
{
	AttrNumber columns[2] = {first, (AttrNumber) (3 - first)};
	Oid less = lookup_type_cache(INT8OID, TYPECACHE_LT_OPR)->lt_opr;
	Oid operators[2] = {less, less};
	Oid collations[2] = {InvalidOid, InvalidOid};
	bool nulls_first[2] = {false, false};

	return tuplesort_begin_heap(e->desc, 2, columns, operators, collations,
								nulls_first, work_mem, NULL, 0);
}

static void
begin_sorts(Estimate *e)
{
	e->desc = CreateTemplateTupleDesc(2);
	TupleDescInitEntry(e->desc, COLUMN_HASH, "hash", INT8OID, -1, 0);
	TupleDescInitEntry(e->desc, COLUMN_SIZE, "size", INT8OID, -1, 0);
	TupleDescFinalize(e->desc);
	e->inputs = begin_sort(e, COLUMN_HASH);
	e->sizes = begin_sort(e, COLUMN_SIZE);
	e->slot = MakeSingleTupleTableSlot(e->desc, &TTSOpsVirtual);
	e->sorted = MakeSingleTupleTableSlot(e->desc, &TTSOpsMinimalTuple);
}

static void
keep(Estimate *e, Tuplesortstate *sort, int64 hash, int64 size)
{
	ExecClearTuple(e->slot);
	e->slot->tts_values[COLUMN_HASH - 1] = Int64GetDatum(hash);
	e->slot->tts_values[COLUMN_SIZE - 1] = Int64GetDatum(size);
	e->slot->tts_isnull[0] = e->slot->tts_isnull[1] = false;
	ExecStoreVirtualTuple(e->slot);
	tuplesort_puttupleslot(sort, e->slot);
}

static bool
next_sorted(Estimate *e, Tuplesortstate *sort, int64 *hash, int64 *size)
{
	CHECK_FOR_INTERRUPTS();
	if (!tuplesort_gettupleslot(sort, true, false, e->sorted, NULL))
		return false;
	slot_getallattrs(e->sorted);
	*hash = DatumGetInt64(e->sorted->tts_values[COLUMN_HASH - 1]);
	*size = DatumGetInt64(e->sorted->tts_values[COLUMN_SIZE - 1]);
	return true;
}

/* --- one input ------------------------------------------------------------ */

static void
add_input(Estimate *e, int64 hash, int64 size)
{
	Sizes *s = &e->sent;
	bool blob = size > (int64) e->max_inline;
	int64 inlined = blob ? 0 : size;

	s->count++;
	s->bytes += size;
	s->most = Max(s->most, size);
	s->blobs += blob;
	if (s->in_request == 0 || s->in_request == e->batch_rows ||
		s->bytes_in_request + inlined > e->batch_bytes)
	{
		s->requests++;
		s->in_request = s->bytes_in_request = 0;
	}
	s->in_request++;
	s->bytes_in_request += inlined;
	keep(e, e->sizes, hash, size);
}

static void
start(void *arg, TupleDesc desc, const InputColumns *found)
{
	Estimate *e = arg;

	e->enc = input_encoder_create(CurrentMemoryContext,
								  endpoint_arg_format(e->endpoint), e->kwargs,
								  desc, found);
}

static void
put_row(void *arg, const Datum *values, const bool *nulls)
{
	Estimate *e = arg;
	const uint8_t *p;
	ChunkRecord row;

	buf_reset(&e->record);
	input_encode(e->enc, &e->record, values, nulls);
	p = e->record.data;
	(void) chunk_next(&p, p + e->record.len, &row);
	e->rows++;
	keep(e, e->inputs,
		 (int64) hash_bytes_extended(row.payload, (int) row.payload_len, 0),
		 (int64) row.payload_len);
}

/* --- all of them ---------------------------------------------------------- */

/* Those with the same hash and size are taken for equal. */
static void
count_inputs(Estimate *e)
{
	int64 last_hash = 0, last_size = -1;
	int64 hash, size;

	tuplesort_performsort(e->inputs);
	while (next_sorted(e, e->inputs, &hash, &size))
	{
		bool again = hash == last_hash && size == last_size;

		e->distinct_inputs += !again;
		if (!again || !e->distinct)
			add_input(e, hash, size);
		last_hash = hash;
		last_size = size;
	}
}

/* The smallest size that half of the inputs do not exceed. */
static int64
median_size(Estimate *e)
{
	int64 hash;
	int64 size = 0;

	tuplesort_performsort(e->sizes);
	if (e->sent.count > 0 &&
		tuplesort_skiptuples(e->sizes, (e->sent.count - 1) / 2, true))
		(void) next_sorted(e, e->sizes, &hash, &size);
	return size;
}

static void
end_sorts(Estimate *e)
{
	ExecDropSingleTupleTableSlot(e->sorted);
	ExecDropSingleTupleTableSlot(e->slot);
	tuplesort_end(e->inputs);
	tuplesort_end(e->sizes);
}

static void
read_arguments(FunctionCallInfo fcinfo, Estimate *e, QueryRows *rows)
{
	for (int i = 0; i < 2; i++)
		if (PG_ARGISNULL(i))
			ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
							errmsg("%s must not be null", i == 0 ? "function" : "query")));
	rows->query = text_to_cstring(PG_GETARG_TEXT_PP(1));
	if (!PG_ARGISNULL(2))
	{
		e->kwargs = PG_GETARG_JSONB_P(2);
		if (!JB_ROOT_IS_OBJECT(e->kwargs))
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("argument \"kwargs\" must be a JSON object")));
		if (JB_ROOT_COUNT(e->kwargs) == 0)
			e->kwargs = NULL;
	}
	if (!PG_ARGISNULL(3))
		rows->key = query_rows_key(PG_GETARG_ARRAYTYPE_P(3));
	e->distinct = !PG_ARGISNULL(4) && PG_GETARG_BOOL(4);
}

Datum
modal_estimate_inputs(PG_FUNCTION_ARGS)
{
	Estimate e = {0};
	QueryRows rows = {.arg = &e, .start = start, .row = put_row};
	const char *rest;
	TupleDesc desc;
	Datum values[8];
	bool nulls[8] = {false};

	modal_check_preloaded();
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	read_arguments(fcinfo, &e, &rows);
	e.endpoint = endpoint_get(text_to_cstring(PG_GETARG_TEXT_PP(0)), GetUserId(), &rest);
	read_limits(&e);
	buf_init(&e.record, MaxAllocSize, buf_palloc);
	begin_sorts(&e);
	query_rows_run(&rows);
	count_inputs(&e);

	values[0] = CStringGetTextDatum(endpoint_label(e.endpoint, rest));
	values[1] = Int64GetDatum(e.rows);
	values[2] = Int64GetDatum(e.sent.bytes);
	values[3] = Int64GetDatum(median_size(&e));
	values[4] = Int64GetDatum(e.sent.most);
	values[5] = Int64GetDatum(e.sent.blobs);
	values[6] = Int64GetDatum(e.sent.requests);
	values[7] = Int64GetDatum(e.distinct_inputs);
	end_sorts(&e);
	endpoint_release(e.endpoint);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}
