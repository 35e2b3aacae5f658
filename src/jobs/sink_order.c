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

#include "jobs/error.h"
#include "jobs/sink_internal.h"
#include "jobs/subxact.h"
#include "utils/memutils.h"
#include "utils/sortsupport.h"
#include "utils/typcache.h"

/* The keys of a row, those that have an order. */
typedef struct RowKeys
{
	int row;
	Datum *values;
	bool *isnull;
} RowKeys;

typedef struct KeyOrder
{
	int n;
	AttrNumber *keys; /* columns */
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
	order->keys = palloc(sizeof(AttrNumber) * t->nkeys);
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
		order->keys[order->n++] = t->keys[i];
	}
}

/* Rows of the same keys stay as they are. */
static int
compare_rows(const void *a, const void *b, void *arg)
{
	const RowKeys *x = a;
	const RowKeys *y = b;
	const KeyOrder *order = arg;

	for (int i = 0; i < order->n; i++)
	{
		int cmp = ApplySortComparator(x->values[i], x->isnull[i], y->values[i],
									  y->isnull[i], &order->sort[i]);

		if (cmp != 0)
			return cmp;
	}
	return x->row < y->row ? -1 : x->row > y->row;
}

static void
order_rows(Sink *sink, SinkRow *rows, int nrows)
{
	int natts = sink->rows_desc->natts;
	Datum *values = palloc0(sizeof(Datum) * natts);
	bool *isnull = palloc0(sizeof(bool) * natts);
	RowKeys *keys = palloc(sizeof(RowKeys) * nrows);
	Datum *key_values = palloc(sizeof(Datum) * nrows * sink->target->nkeys);
	bool *key_isnull = palloc(sizeof(bool) * nrows * sink->target->nkeys);
	SinkRow *ordered = palloc(sizeof(SinkRow) * nrows);
	KeyOrder order;

	make_order(sink->target, &order);
	for (int i = 0; i < nrows; i++)
	{
		keys[i] = (RowKeys){.row = i,
							.values = key_values + (Size) i * order.n,
							.isnull = key_isnull + (Size) i * order.n};
		sink_decode_meta(sink, &rows[i], values, isnull);
		for (int k = 0; k < order.n; k++)
		{
			keys[i].values[k] = values[ROW_FIRST + order.keys[k] - 1];
			keys[i].isnull[k] = isnull[ROW_FIRST + order.keys[k] - 1];
		}
	}
	qsort_arg(keys, nrows, sizeof(RowKeys), compare_rows, &order);
	for (int i = 0; i < nrows; i++)
		ordered[i] = rows[keys[i].row];
	memcpy(rows, ordered, sizeof(SinkRow) * nrows);
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
		order_rows(sink, rows, nrows);
		sub_commit(&sub);
	}
	PG_CATCH();
	{
		edata = sub_abort(&sub);
	}
	PG_END_TRY();
	MemoryContextDelete(cxt);
	if (edata != NULL && error_is_passing(edata))
		ReThrowError(edata);
}
