/*-------------------------------------------------------------------------
 *
 * sink_order.c
 *	  Rows of a batch in the order of their keys, in which an INSERT locks what
 *	  it meets; see sink_internal.h.
 *
 * An ORDER BY would do the same, and carry the results through its sort: those
 * of some kilobytes go to a file and back.
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include "jobs/sink_internal.h"
#include "jobs/subxact.h"
#include "utils/datum.h"
#include "utils/memutils.h"
#include "utils/sortsupport.h"
#include "utils/typcache.h"

typedef struct RowPlace
{
	const Datum *keys;
	const bool *isnull;
	int row;
} RowPlace;

typedef struct KeyOrder
{
	int n; /* of the keys, those that have an order */
	int *keys;
	SortSupportData *sort;
} KeyOrder;

bool
sink_orders_rows(const Sink *sink)
{
	return sink->target->is_local && sink->target->nkeys > 0 &&
		   (sink->spec->mode == SINK_INSERT || sink->spec->mode == SINK_UPSERT);
}

static void
make_order(const SinkTarget *t, KeyOrder *order)
{
	order->n = 0;
	order->keys = palloc(sizeof(int) * t->nkeys);
	order->sort = palloc0(sizeof(SortSupportData) * t->nkeys);
	for (int i = 0; i < t->nkeys; i++)
	{
		Form_pg_attribute att = TupleDescAttr(t->desc, t->keys[i] - 1);
		Oid less = lookup_type_cache(att->atttypid, TYPECACHE_LT_OPR)->lt_opr;
		SortSupport sort = &order->sort[order->n];

		if (!OidIsValid(less))
			continue;
		sort->ssup_cxt = CurrentMemoryContext;
		sort->ssup_collation = att->attcollation;
		PrepareSortSupportFromOrderingOp(less, sort);
		order->keys[order->n++] = i;
	}
}

/* Rows of the same keys stay as they are. */
static int
compare_rows(const void *a, const void *b, void *arg)
{
	const RowPlace *x = a;
	const RowPlace *y = b;
	const KeyOrder *order = arg;

	for (int i = 0; i < order->n; i++)
	{
		int key = order->keys[i];
		int cmp = ApplySortComparator(x->keys[key], x->isnull[key], y->keys[key],
									  y->isnull[key], &order->sort[i]);

		if (cmp != 0)
			return cmp;
	}
	return x->row < y->row ? -1 : x->row > y->row;
}

/* Where the keys of a row are kept for as long as the batch. */
static void
keep_keys(Sink *sink, const Datum *keys, const bool *isnull, Datum *kept)
{
	const SinkTarget *t = sink->target;
	MemoryContext old = MemoryContextSwitchTo(sink->batch_cxt);

	for (int i = 0; i < t->nkeys; i++)
	{
		Form_pg_attribute att = TupleDescAttr(t->desc, t->keys[i] - 1);

		kept[i] = isnull[i] ? (Datum) 0
							: datumCopy(keys[i], att->attbyval, att->attlen);
	}
	MemoryContextSwitchTo(old);
}

static void
read_keys(Sink *sink, SinkRow *rows, int nrows)
{
	int nkeys = sink->target->nkeys;
	Size n = (Size) nrows * nkeys;
	Datum *kept = MemoryContextAlloc(sink->batch_cxt, sizeof(Datum) * n);
	bool *isnull = MemoryContextAllocZero(sink->batch_cxt, sizeof(bool) * n);
	Datum *keys = palloc0(sizeof(Datum) * nkeys);
	MemoryContext cxt = AllocSetContextCreate(
		CurrentMemoryContext, "modal_batch sink keys", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(cxt);

	for (int i = 0; i < nrows; i++)
	{
		Size at = (Size) i * nkeys;

		sink_decode_keys(sink, &rows[i], keys, &isnull[at]);
		keep_keys(sink, keys, &isnull[at], &kept[at]);
		rows[i].keys = &kept[at];
		rows[i].key_isnull = &isnull[at];
		MemoryContextReset(cxt);
	}
	MemoryContextSwitchTo(old);
}

static void
order_rows(Sink *sink, SinkRow *rows, int nrows)
{
	RowPlace *places = palloc(sizeof(RowPlace) * nrows);
	SinkRow *before;
	KeyOrder order;
	int n = 0;

	read_keys(sink, rows, nrows);
	make_order(sink->target, &order);
	for (int i = 0; i < nrows; i++)
		places[i] = (RowPlace) {rows[i].keys, rows[i].key_isnull, i};
	qsort_arg(places, nrows, sizeof(RowPlace), compare_rows, &order);
	while (n < nrows && places[n].row == n)
		n++;
	if (n == nrows)
		return; /* as they mostly are */
	before = palloc(sizeof(SinkRow) * nrows);
	memcpy(before, rows, sizeof(SinkRow) * nrows);
	for (; n < nrows; n++)
		rows[n] = before[places[n].row];
}

void
sink_order_rows(Sink *sink, SinkRow *rows, int nrows)
{
	MemoryContext cxt =
		AllocSetContextCreate(sink->batch_cxt, "modal_batch sink order",
							  ALLOCSET_DEFAULT_SIZES);
	SubScope sub;
	ErrorData *volatile edata = NULL;

	sub_begin(&sub);
	PG_TRY();
	{
		MemoryContextSwitchTo(cxt);
		sink_begin_time(sink);
		order_rows(sink, rows, nrows);
		sink_end_time(sink, false);
		sub_commit(&sub);
	}
	PG_CATCH();
	{
		sink_end_time(sink, true);
		edata = sub_abort(&sub);
	}
	PG_END_TRY();
	MemoryContextDelete(cxt);
	if (edata != NULL && sink_error_is_passing(sink, edata))
		ReThrowError(edata);
}
