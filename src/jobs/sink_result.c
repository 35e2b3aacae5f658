/*-------------------------------------------------------------------------
 *
 * sink_result.c
 *	  Results and failures in modal_batch.result; see sink_internal.h.
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include "clock.h"
#include "jobs/sink_internal.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

/* Rows for job_store_add_results. */
typedef struct ResultRows
{
	TupleDesc desc;
	Tuplestorestate *store;
} ResultRows;

/* Seconds of a service's clock, which need be no time at all: NULL. */
static Datum
unix_time(double t, bool *isnull)
{
	*isnull = !(t > 0 && t < MAX_UNIX_SECONDS);
	return *isnull ? (Datum) 0 : DirectFunctionCall1(float8_timestamptz,
													 Float8GetDatum(t));
}

/* What is shown of an input: its key columns. */
static Datum
input_jsonb(const Sink *sink, const SinkRow *row, bool *isnull)
{
	Size skip = sink->spec->check_columns == NIL ? 0 : sizeof(uint64);

	*isnull = sink->spec->key_columns == NIL ||
		row->input.meta_len < skip + 2;
	if (*isnull)
		return (Datum) 0;
	return JsonbPGetDatum(cbor_item_to_jsonb(row->input.meta + skip + 2,
											 row->input.meta_len - skip - 2));
}

static bool
put_result(Sink *sink, SinkRow *rows, int n, void *arg)
{
	const SinkRow *row = &rows[n];
	ResultRows *out = arg;
	Datum values[9] = {0};
	bool isnull[9] = {0};
	bool failed = row->outcome == SINK_FAILED;

	values[0] = Int64GetDatum(sink->job->id);
	values[1] = Int64GetDatum(row->ordinal);
	values[2] = input_jsonb(sink, row, &isnull[2]);
	isnull[3] = failed;
	if (!failed)
		values[3] = JsonbPGetDatum(
			result_to_jsonb(row->format, row->data, row->len));
	isnull[4] = isnull[8] = !failed;
	values[5] = Int32GetDatum(row->attempts);
	values[6] = unix_time(row->started_at, &isnull[6]);
	values[7] = unix_time(row->finished_at, &isnull[7]);
	if (failed)
	{
		Buf record;

		values[4] = JsonbPGetDatum(row->error);
		buf_init(&record, MaxAllocSize, buf_palloc);
		chunk_put(&record, row->input.meta, row->input.meta_len,
				  row->input.payload, row->input.payload_len);
		values[8] = PointerGetDatum(
			cstring_to_text_with_len((char *) record.data, record.len));
	}
	tuplestore_putvalues(out->store, out->desc, values, isnull);
	return true;
}

void
sink_write_to_result(Sink *sink, SinkRow *rows, int nrows)
{
	ResultRows out;

	out.desc = job_store_result_desc();
	out.store = tuplestore_begin_heap(false, false, STORE_KB);
	/* what cannot be shown as jsonb fails */
	if (sink->spec->mode == SINK_RESULT)
		(void) sink_each_row(sink, rows, 0, nrows, SINK_SUCCEEDED, put_result, &out);
	(void) sink_each_row(sink, rows, 0, nrows, SINK_FAILED, put_result, &out);
	if (tuplestore_tuple_count(out.store) > 0)
		job_store_add_results(out.store, tuplestore_tuple_count(out.store));
	tuplestore_end(out.store);
}
