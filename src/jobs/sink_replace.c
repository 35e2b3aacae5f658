/*-------------------------------------------------------------------------
 *
 * sink_replace.c
 *	  Mode REPLACE: a result is a list, whose elements become rows, in place of
 *	  all rows that have the input's key; see sink_internal.h.
 *
 * The first group of a batch has one row for each input, with its key; the
 * others have the rows of lists, by the columns that they fill.  Rows are put
 * there as they are decoded, and before it is known whether their input will
 * do: statements take those of inputs whose flag is set.
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include "catalog/pg_type.h"
#include "jobs/sink_internal.h"

/* A list that is being decoded. */
typedef struct ListRows
{
	Sink *sink;
	List **groups;
	Datum *values; /* of a row: what it has of its input, and the element's */
	bool *isnull;
	int64 ordinal;
	bool too_many; /* columns that differ */
} ListRows;

static Datum
ordinality(const Sink *sink, int64 n)
{
	AttrNumber attno = sink->target->ordinality;

	return TupleDescAttr(sink->target->desc, attno - 1)->atttypid == INT4OID
		? Int32GetDatum((int32) n)
		: Int64GetDatum(n);
}

static void
put_row(RowGroup *group, const ListRows *list)
{
	tuplestore_putvalues(group->store, list->sink->rows_desc, list->values,
						 list->isnull);
	group->count++;
}

/* A ResultRowFunction. */
static void
put_element(void *arg, const Datum *values, const bool *isnull,
			const bool *found)
{
	ListRows *list = arg;
	const Sink *sink = list->sink;
	Bitmapset *columns = NULL;
	RowGroup *group;

	if (list->too_many)
		return;
	for (int i = 0; i < sink->nspread; i++)
	{
		AttrNumber attno = sink->spread[i];

		list->isnull[ROW_FIRST + attno - 1] = !found[i] || isnull[i];
		list->values[ROW_FIRST + attno - 1] = values[i];
		if (found[i])
			columns = bms_add_member(columns, attno);
	}
	if (sink->target->ordinality != 0)
	{
		AttrNumber attno = sink->target->ordinality;

		list->values[ROW_FIRST + attno - 1] = ordinality(sink, list->ordinal++);
		list->isnull[ROW_FIRST + attno - 1] = false;
	}
	group = sink_get_group(list->sink, list->groups, columns);
	bms_free(columns);
	if (group == NULL)
		list->too_many = true;
	else
		put_row(group, list);
}

static void
check_key(const Sink *sink, const bool *isnull)
{
	const SinkTarget *t = sink->target;

	for (int i = 0; i < t->nkeys; i++)
		if (isnull[ROW_FIRST + t->keys[i] - 1])
			ereport(ERROR,
					(errcode(ERRCODE_NOT_NULL_VIOLATION),
					 errmsg("key column \"%s\" of an input is null",
							NameStr(TupleDescAttr(t->desc, t->keys[i] - 1)->attname)),
					 errdetail("In mode \"replace\" it says which rows are replaced.")));
}

/* No rows of a list fill column 0, so that no other group is like it. */
static RowGroup *
get_keys(Sink *sink, List **groups)
{
	if (*groups == NIL)
		(void) sink_get_group(sink, groups, bms_make_singleton(0));
	return linitial(*groups);
}

bool
sink_decode_list(Sink *sink, SinkRow *rows, int n, void *groups)
{
	int natts = sink->rows_desc->natts;
	ListRows list = {.sink = sink,
					 .groups = groups,
					 .values = palloc0(sizeof(Datum) * natts),
					 .isnull = palloc(sizeof(bool) * natts)};
	const SinkRow *row = &rows[n];
	bool first = *list.groups == NIL;
	RowGroup *keys;
	MemoryContext old;

	memset(list.isnull, true, sizeof(bool) * natts);
	list.values[ROW_NUMBER] = Int32GetDatum(n);
	list.isnull[ROW_NUMBER] = false;
	sink_decode_meta(sink, row, list.values, list.isnull);
	check_key(sink, list.isnull);
	keys = get_keys(sink, list.groups);
	put_row(keys, &list);
	result_decode_rows(sink->result, row->format, row->data, row->len,
					   sink->scalar_column, put_element, &list);
	if (list.too_many && first)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("result of the remote function is too diverse"),
				 errdetail("Its elements name more than %d different sets of columns.",
						   list_length(*list.groups) - 1)));
	if (list.too_many)
		return false;
	old = MemoryContextSwitchTo(sink->batch_cxt);
	keys->inputs = bms_add_member(keys->inputs, n);
	MemoryContextSwitchTo(old);
	return true;
}

void
sink_replace(Sink *sink, List *groups, bool *applied)
{
	const RowGroup *keys = linitial(groups);
	bool *wanted = palloc0(sizeof(bool) * sink->nrows);
	bool *replaced = palloc0(sizeof(bool) * sink->nrows);
	int n = -1;

	while ((n = bms_next_member(keys->inputs, n)) >= 0)
		wanted[n] = true;
	/* whoever changes the source's row waits for us, or has done it before */
	if (sink->target->source != NULL)
	{
		bool *fresh = palloc0(sizeof(bool) * sink->nrows);

		sink_run(sink, ACTION_LOCK_SOURCE, keys, wanted, fresh);
		memcpy(wanted, fresh, sizeof(bool) * sink->nrows);
		pfree(fresh);
	}
	for (int i = 0; i < sink->nrows; i++)
		applied[i] |= wanted[i];
	if (bms_membership(keys->inputs) == BMS_MULTIPLE)
		sink_run(sink, ACTION_FIND_REPLACED, keys, wanted, replaced);
	sink_run(sink, ACTION_DELETE, keys, wanted, NULL);
	/* of several inputs with a key, the last one stays */
	for (int i = 0; i < sink->nrows; i++)
		wanted[i] = wanted[i] && !replaced[i];
	for (int i = 1; i < list_length(groups); i++)
		sink_run(sink, ACTION_INSERT, list_nth(groups, i), wanted, NULL);
	pfree(wanted);
	pfree(replaced);
}
