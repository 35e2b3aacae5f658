/*-------------------------------------------------------------------------
 *
 * distinct.c
 *	  Rows with equal arguments as one input; see distinct.h.
 *
 * Rows are sorted by their arguments, by a hash of them first: comparing large
 * ones is for those that are equal.
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include "access/tupdesc.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "executor/tuptable.h"
#include "jobs/distinct.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/tuplesort.h"
#include "utils/typcache.h"
#include "values/values.h"

/* Rows beyond that are an input of their own: it is read as a whole. */
#define MAX_ROWS_BYTES ((Size) 16 * 1024 * 1024)

enum
{
	COLUMN_HASH,
	COLUMN_PAYLOAD,
	COLUMN_ORDINAL,
	COLUMN_META,
	NCOLUMNS
};

static const Oid column_types[NCOLUMNS] = {INT8OID, BYTEAOID, INT8OID, BYTEAOID};

#define SORT_COLUMNS 3

struct Distinct
{
	MemoryContext cxt;
	MemoryContext row_cxt; /* reset with each row */
	TupleDesc desc;
	Tuplesortstate *sort;
	TupleTableSlot *slot;
};

Distinct *
distinct_begin(void)
{
	MemoryContext cxt = AllocSetContextCreate(CurrentMemoryContext,
											  "modal_batch distinct inputs",
											  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(cxt);
	Distinct *d = palloc0(sizeof(Distinct));
	AttrNumber columns[SORT_COLUMNS];
	Oid operators[SORT_COLUMNS];
	Oid collations[SORT_COLUMNS] = {0};
	bool nulls_first[SORT_COLUMNS] = {0};

	d->cxt = cxt;
	d->row_cxt = AllocSetContextCreate(cxt, "modal_batch distinct row",
									   ALLOCSET_DEFAULT_SIZES);
	d->desc = CreateTemplateTupleDesc(NCOLUMNS);
	for (int i = 0; i < NCOLUMNS; i++)
		TupleDescInitEntry(d->desc, (AttrNumber) (i + 1), "", column_types[i], -1, 0);
	TupleDescFinalize(d->desc);
	for (int i = 0; i < SORT_COLUMNS; i++)
	{
		columns[i] = (AttrNumber) (i + 1);
		operators[i] = lookup_type_cache(column_types[i], TYPECACHE_LT_OPR)->lt_opr;
	}
	d->sort = tuplesort_begin_heap(d->desc, SORT_COLUMNS, columns, operators,
								   collations, nulls_first, work_mem, NULL, 0);
	d->slot = MakeSingleTupleTableSlot(d->desc, &TTSOpsVirtual);
	MemoryContextSwitchTo(old);
	return d;
}

static Datum
bytes_datum(const uint8_t *p, size_t n)
{
	return PointerGetDatum(cstring_to_text_with_len((const char *) p, (int) n));
}

void
distinct_put(Distinct *d, int64 ordinal, const ChunkRecord *row)
{
	MemoryContext old = MemoryContextSwitchTo(d->row_cxt);
	Datum *values = d->slot->tts_values;

	ExecClearTuple(d->slot);
	MemoryContextReset(d->row_cxt);
	values[COLUMN_HASH] = Int64GetDatum(
		(int64) hash_bytes_extended(row->payload, (int) row->payload_len, 0));
	values[COLUMN_PAYLOAD] = bytes_datum(row->payload, row->payload_len);
	values[COLUMN_ORDINAL] = Int64GetDatum(ordinal);
	values[COLUMN_META] = bytes_datum(row->meta, row->meta_len);
	memset(d->slot->tts_isnull, 0, sizeof(bool) * NCOLUMNS);
	ExecStoreVirtualTuple(d->slot);
	tuplesort_puttupleslot(d->sort, d->slot);
	MemoryContextSwitchTo(old);
}

bool
distinct_next_row(const uint8_t **p, const uint8_t *end, int64 *ordinal,
				  ChunkRecord *row)
{
	ChunkRecord own;

	if (!chunk_next(p, end, &own) || own.payload_len != sizeof(int64))
		return false;
	memcpy(ordinal, own.payload, sizeof(int64));
	row->meta = own.meta;
	row->meta_len = own.meta_len;
	return true;
}

/* --- inputs --------------------------------------------------------------- */

/* The rows of an input that is being put together. */
typedef struct EqualRows
{
	bytea *payload; /* NULL: none yet */
	Buf rows;
} EqualRows;

static void
emit_group(EqualRows *group, void (*emit) (void *arg, const ChunkRecord *record),
		   void *arg)
{
	ChunkRecord record = {.meta = group->rows.data, .meta_len = group->rows.len};

	if (group->payload == NULL)
		return;
	record.payload = (const uint8_t *) VARDATA_ANY(group->payload);
	record.payload_len = VARSIZE_ANY_EXHDR(group->payload);
	emit(arg, &record);
	pfree(group->payload);
	group->payload = NULL;
	buf_reset(&group->rows);
}

static bool
is_of_group(const EqualRows *group, const bytea *payload)
{
	return group->payload != NULL && group->rows.len < MAX_ROWS_BYTES &&
		VARSIZE_ANY_EXHDR(payload) == VARSIZE_ANY_EXHDR(group->payload) &&
		memcmp(VARDATA_ANY(payload), VARDATA_ANY(group->payload),
			   VARSIZE_ANY_EXHDR(payload)) == 0;
}

void
distinct_end(Distinct *d, void (*emit) (void *arg, const ChunkRecord *record),
			 void *arg)
{
	TupleTableSlot *slot = MakeSingleTupleTableSlot(d->desc, &TTSOpsMinimalTuple);
	EqualRows group = {0};

	buf_init(&group.rows, MaxAllocSize, buf_palloc);
	tuplesort_performsort(d->sort);
	while (tuplesort_gettupleslot(d->sort, true, false, slot, NULL))
	{
		bytea *payload, *meta;
		int64 ordinal;

		CHECK_FOR_INTERRUPTS();
		slot_getallattrs(slot);
		payload = DatumGetByteaPP(slot->tts_values[COLUMN_PAYLOAD]);
		meta = DatumGetByteaPP(slot->tts_values[COLUMN_META]);
		ordinal = DatumGetInt64(slot->tts_values[COLUMN_ORDINAL]);
		if (!is_of_group(&group, payload))
		{
			emit_group(&group, emit, arg);
			group.payload = DatumGetByteaPCopy(slot->tts_values[COLUMN_PAYLOAD]);
		}
		chunk_put(&group.rows, VARDATA_ANY(meta), VARSIZE_ANY_EXHDR(meta),
				  &ordinal, sizeof(ordinal));
	}
	emit_group(&group, emit, arg);
	buf_free(&group.rows);
	ExecDropSingleTupleTableSlot(slot);
	ExecDropSingleTupleTableSlot(d->slot);
	tuplesort_end(d->sort);
	MemoryContextDelete(d->cxt);
}
