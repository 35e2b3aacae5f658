/*-------------------------------------------------------------------------
 *
 * sink_rows.c
 *	  Results of a batch, decoded to the types of the user's table; see
 *	  sink_internal.h.
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include "jobs/error.h"
#include "jobs/sink_internal.h"
#include "jobs/subxact.h"
#include "utils/memutils.h"

#define MAX_GROUPS 32 /* each has a tuplestore */

RowGroup *
sink_get_group(Sink *sink, List **groups, const Bitmapset *columns)
{
	RowGroup *group;
	ResourceOwner owner = CurrentResourceOwner;
	MemoryContext old;
	ListCell *lc;

	foreach (lc, *groups)
	{
		group = lfirst(lc);
		if (bms_equal(group->columns, columns))
			return group;
	}
	if (list_length(*groups) == MAX_GROUPS)
		return NULL;
	old = MemoryContextSwitchTo(sink->batch_cxt);
	group = palloc0(sizeof(RowGroup));
	group->columns = bms_copy(columns);
	CurrentResourceOwner = sink->batch_owner;
	group->store = tuplestore_begin_heap(false, false, STORE_KB);
	CurrentResourceOwner = owner;
	*groups = lappend(*groups, group);
	MemoryContextSwitchTo(old);
	return group;
}

static Size
fingerprint_size(const Sink *sink, const SinkRow *row)
{
	Size n = sink->spec->check_columns != NIL ? sizeof(uint64) : 0;

	if (row->input.meta_len < n)
		ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
						errmsg("a stored input is damaged")));
	return n;
}

void
sink_decode_keys(Sink *sink, const SinkRow *row, Datum *keys, bool *isnull)
{
	int nkeys = sink->target->nkeys;
	Size skipped = fingerprint_size(sink, row);
	bool *found = palloc0(sizeof(bool) * nkeys);

	/* it was written as the keyword arguments of a call: [[], {…}] */
	skipped += 2;
	result_decode_row(sink->keys, PAYLOAD_CBOR, row->input.meta + skipped,
					  row->input.meta_len - skipped, -1, keys, isnull, found);
	for (int i = 0; i < nkeys; i++)
		isnull[i] = isnull[i] || !found[i];
}

void
sink_decode_meta(Sink *sink, const SinkRow *row, Datum *values, bool *isnull)
{
	const SinkTarget *t = sink->target;
	const Datum *keys = row->keys;
	const bool *key_isnull = row->key_isnull;

	if (fingerprint_size(sink, row) > 0)
	{
		uint64 hash;

		memcpy(&hash, row->input.meta, sizeof(hash));
		values[ROW_FINGERPRINT] = Int64GetDatum((int64) hash);
		isnull[ROW_FINGERPRINT] = false;
	}
	if (t->nkeys == 0)
		return;
	if (keys == NULL)
	{
		Datum *read = palloc0(sizeof(Datum) * t->nkeys);
		bool *read_isnull = palloc0(sizeof(bool) * t->nkeys);

		sink_decode_keys(sink, row, read, read_isnull);
		keys = read;
		key_isnull = read_isnull;
	}
	for (int i = 0; i < t->nkeys; i++)
	{
		values[ROW_FIRST + t->keys[i] - 1] = keys[i];
		isnull[ROW_FIRST + t->keys[i] - 1] = key_isnull[i];
	}
}

/* The result; returns the columns that it fills. */
static Bitmapset *
decode_result(Sink *sink, const SinkRow *row, Datum *values, bool *isnull)
{
	AttrNumber attno = sink->target->result;
	Bitmapset *columns = NULL;
	int n = sink->nspread;
	Datum *spread;
	bool *nulls, *found;

	if (attno != 0)
	{
		values[ROW_FIRST + attno - 1] =
			result_decode(sink->result, row->format, row->data, row->len,
						  &isnull[ROW_FIRST + attno - 1]);
		return bms_make_singleton(attno);
	}
	spread = palloc0(sizeof(Datum) * Max(n, 1));
	nulls = palloc0(sizeof(bool) * Max(n, 1));
	found = palloc0(sizeof(bool) * Max(n, 1));
	result_decode_row(sink->result, row->format, row->data, row->len,
					  n == 1 ? 0 : -1, spread, nulls, found);
	for (int i = 0; i < n; i++)
		if (found[i])
		{
			attno = sink->spread[i];
			values[ROW_FIRST + attno - 1] = spread[i];
			isnull[ROW_FIRST + attno - 1] = nulls[i];
			columns = bms_add_member(columns, attno);
		}
	return columns;
}

static bool
decode_row(Sink *sink, SinkRow *rows, int n, void *groups)
{
	int natts = sink->rows_desc->natts;
	Datum *values = palloc0(sizeof(Datum) * natts);
	bool *isnull = palloc(sizeof(bool) * natts);
	SinkRow *row = &rows[n];
	Bitmapset *columns = NULL;
	RowGroup *group;

	if (row->refused)
		return true;
	memset(isnull, true, sizeof(bool) * natts);
	values[ROW_NUMBER] = Int32GetDatum(n);
	isnull[ROW_NUMBER] = false;
	sink_decode_meta(sink, row, values, isnull);
	if (row->outcome == SINK_FAILED)
	{
		values[ROW_ERROR] = JsonbPGetDatum(row->error);
		isnull[ROW_ERROR] = false;
	}
	else
		columns = decode_result(sink, row, values, isnull);

	group = sink_get_group(sink, groups, columns);
	if (group == NULL)
		return false;
	tuplestore_putvalues(group->store, sink->rows_desc, values, isnull);
	group->count++;
	return true;
}

/* --- row by row ----------------------------------------------------------- */

void
sink_fail_row(SinkRow *row, const ErrorData *edata)
{
	row->outcome = SINK_FAILED;
	row->error = edata_to_jsonb(edata, row->attempts);
}

/*
 * Until one cannot be done; that one fails.  False when no more are to be done.
 */
static bool
do_some(Sink *sink, SinkRow *rows, int hi, SinkOutcome wanted,
		volatile int *next, SinkRowFunction function, void *arg)
{
	MemoryContext row_cxt = AllocSetContextCreate(
		sink->batch_cxt, "modal_batch sink row", ALLOCSET_DEFAULT_SIZES);
	SubScope sub;
	ErrorData *volatile edata = NULL;

	sub_begin(&sub);
	PG_TRY();
	{
		MemoryContextSwitchTo(row_cxt);
		for (; *next < hi; (*next)++)
		{
			bool more;

			if (rows[*next].outcome != wanted)
				continue;
			CHECK_FOR_INTERRUPTS();
			sink_begin_time(sink);
			more = function(sink, rows, *next, arg);
			sink_end_time(sink, false);
			if (!more)
				break;
			MemoryContextReset(row_cxt);
		}
		sub_commit(&sub);
	}
	PG_CATCH();
	{
		sink_end_time(sink, true);
		edata = sub_abort(&sub);
	}
	PG_END_TRY();
	MemoryContextDelete(row_cxt);
	if (edata == NULL)
		return false;
	if (sink_error_is_passing(sink, edata))
		ReThrowError(edata);
	sink_fail_row(&rows[(*next)++], edata);
	return true;
}

int
sink_each_row(Sink *sink, SinkRow *rows, int lo, int hi, SinkOutcome wanted,
			  SinkRowFunction function, void *arg)
{
	volatile int next = lo;

	while (do_some(sink, rows, hi, wanted, &next, function, arg))
		CHECK_FOR_INTERRUPTS();
	return next;
}

List *
sink_decode(Sink *sink, SinkRow *rows, int lo, int hi, SinkOutcome wanted,
			int *end)
{
	List *groups = NIL;

	*end = sink_each_row(sink, rows, lo, hi, wanted,
						 sink->spec->mode == SINK_REPLACE ? sink_decode_list
														  : decode_row,
						 &groups);
	return groups;
}

void
sink_free_groups(List *groups)
{
	ListCell *lc;

	foreach (lc, groups)
		tuplestore_end(((RowGroup *) lfirst(lc))->store);
}
