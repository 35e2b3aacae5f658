/*-------------------------------------------------------------------------
 *
 * sink_arrays.c
 *	  Statements on a target that lives elsewhere: a foreign table, a view, a
 *	  table that Citus distributes; see sink_internal.h.
 *
 * No other server can read our tuplestore.  Rows are arguments instead: arrays
 * of their numbers, errors, and values, these as rows of the target's own type.
 * So any type will do, and one that is an array, too.  A thousand rows or a
 * megabyte go into a statement.
 *
 * An UPDATE there must not call a function for the target's rows.  So these are
 * read first and compared with what was sent here; the UPDATE then compares
 * them with what has been read.
 *
 * Rows of the target's type are understood as the type is when a statement
 * runs: the target is held as it was when they are made.
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "executor/tuptable.h"
#include "funcapi.h"
#include "jobs/sink_internal.h"
#include "utils/array.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "values/input_encoder.h"

#define SLICE_ROWS 1000
#define SLICE_BYTES ((Size) 1024 * 1024)

/* Rows of one statement: values as in modal_rows. */
typedef struct ArrayRows
{
	int count;
	int natts;
	Datum *values[SLICE_ROWS];
	bool *isnull[SLICE_ROWS];
} ArrayRows;

/* --- arguments ------------------------------------------------------------ */

/* One column of the rows. */
static Datum
column_array(const ArrayRows *rows, int column, Oid type)
{
	Datum *values = palloc(sizeof(Datum) * rows->count);
	bool *isnull = palloc(sizeof(bool) * rows->count);
	int dims = rows->count;
	int lower = 1;
	int16 len;
	bool byval;
	char align;

	for (int i = 0; i < rows->count; i++)
	{
		values[i] = rows->values[i][column];
		isnull[i] = rows->isnull[i][column];
	}
	get_typlenbyvalalign(type, &len, &byval, &align);
	return PointerGetDatum(construct_md_array(values, isnull, 1, &dims, &lower,
											  type, len, byval, align));
}

/* All that is the target's, as values of its row type. */
static Datum
rows_array(const Sink *sink, const ArrayRows *rows)
{
	Datum *values = palloc(sizeof(Datum) * rows->count);

	for (int i = 0; i < rows->count; i++)
		values[i] = HeapTupleGetDatum(
			heap_form_tuple(sink->target->desc, rows->values[i] + ROW_FIRST,
							rows->isnull[i] + ROW_FIRST));
	return PointerGetDatum(construct_array(values, rows->count,
										   sink->target->row_type, -1, false,
										   TYPALIGN_DOUBLE));
}

static void
execute(Sink *sink, SinkAction action, const Bitmapset *columns,
		const ArrayRows *rows)
{
	const SinkTarget *t = sink->target;
	Datum args[4] = {0};

	args[0] = column_array(rows, ROW_NUMBER, INT4OID);
	args[1] = column_array(rows, ROW_ERROR, JSONBOID);
	args[2] = rows_array(sink, rows);
	if (t->nkeys > 0 && OidIsValid(sink_first_key_array(sink)))
		args[3] = column_array(rows, ROW_FIRST + t->keys[0] - 1,
							   TupleDescAttr(t->desc, t->keys[0] - 1)->atttypid);
	sink_execute(sink, action, columns, args);
}

/* --- rows ----------------------------------------------------------------- */

static int
row_number(const ArrayRows *rows, int i)
{
	return DatumGetInt32(rows->values[i][ROW_NUMBER]);
}

/* Keep those rows whose flag, of the batch, is this. */
static void
keep_rows(ArrayRows *rows, const bool *flags, bool kept)
{
	int n = 0;

	for (int i = 0; i < rows->count; i++)
	{
		if (flags[row_number(rows, i)] != kept)
			continue;
		rows->values[n] = rows->values[i];
		rows->isnull[n++] = rows->isnull[i];
	}
	rows->count = n;
}

/* Some more rows of the store, into the current context; none: its end. */
static void
read_rows(ArrayRows *rows, const RowGroup *group, TupleTableSlot *slot,
		  const bool *wanted)
{
	Size bytes = 0;

	rows->count = 0;
	while (rows->count < SLICE_ROWS && bytes < SLICE_BYTES &&
		   tuplestore_gettupleslot(group->store, true, false, slot))
	{
		bool isnull;
		int n = DatumGetInt32(slot_getattr(slot, ROW_NUMBER + 1, &isnull));

		CHECK_FOR_INTERRUPTS();
		if (wanted != NULL && !wanted[n])
			continue;
		slot_getallattrs(slot);
		bytes += ((MinimalTuple) ExecFetchSlotMinimalTuple(slot, NULL))->t_len;
		rows->values[rows->count] = palloc(sizeof(Datum) * rows->natts);
		rows->isnull[rows->count] = palloc(sizeof(bool) * rows->natts);
		for (int i = 0; i < rows->natts; i++)
		{
			Form_pg_attribute att = TupleDescAttr(slot->tts_tupleDescriptor, i);

			rows->isnull[rows->count][i] = slot->tts_isnull[i];
			rows->values[rows->count][i] = slot->tts_isnull[i]
				? (Datum) 0
				: datumCopy(slot->tts_values[i], att->attbyval, att->attlen);
		}
		rows->count++;
	}
	/* what the slot has may be of this context */
	ExecClearTuple(slot);
}

/* --- statements ----------------------------------------------------------- */

/* Sets the flags of the rows that the last statement has returned. */
static void
note_returned(bool *returned)
{
	for (uint64 i = 0; SPI_tuptable != NULL && i < SPI_processed; i++)
	{
		bool isnull;
		int n = DatumGetInt32(SPI_getbinval(SPI_tuptable->vals[i],
											SPI_tuptable->tupdesc, 1, &isnull));

		returned[n] = true;
	}
}

/* Numbers ascend in a slice. */
static int
find_row(const ArrayRows *rows, int number)
{
	int lo = 0;
	int hi = rows->count - 1;

	while (lo < hi)
	{
		int middle = (lo + hi) / 2;

		if (row_number(rows, middle) < number)
			lo = middle + 1;
		else
			hi = middle;
	}
	return lo;
}

/* What ACTION_READ_CHECKS says of a row: is it as it was sent?  Then note how. */
static void
compare_checks(const Sink *sink, Fingerprint *fp, const ArrayRows *rows,
			   HeapTuple tuple, bool *fresh)
{
	const SinkTarget *t = sink->target;
	int natts = t->nchecks + 1;
	Datum *values = palloc(sizeof(Datum) * natts);
	bool *isnull = palloc(sizeof(bool) * natts);
	int n, i;

	heap_deform_tuple(tuple, SPI_tuptable->tupdesc, values, isnull);
	n = DatumGetInt32(values[0]);
	i = find_row(rows, n);
	if (fingerprint_of(fp, values + 1, isnull + 1) !=
		DatumGetInt64(rows->values[i][ROW_FINGERPRINT]))
		return;
	fresh[n] = true;
	for (int k = 0; k < t->nchecks; k++)
	{
		rows->values[i][ROW_FIRST + t->checks[k] - 1] = values[k + 1];
		rows->isnull[i][ROW_FIRST + t->checks[k] - 1] = isnull[k + 1];
	}
}

/* Drop rows whose arguments have changed since they were sent. */
static void
keep_fresh(Sink *sink, const Bitmapset *columns, ArrayRows *rows)
{
	const SinkTarget *t = sink->target;
	bool *fresh = palloc0(sizeof(bool) * sink->nrows);
	Oid *types = palloc(sizeof(Oid) * Max(t->nchecks, 1));
	Fingerprint *fp;

	for (int i = 0; i < t->nchecks; i++)
		types[i] = TupleDescAttr(t->desc, t->checks[i] - 1)->atttypid;
	fp = fingerprint_create(CurrentMemoryContext, t->nchecks, types);
	execute(sink, ACTION_READ_CHECKS, columns, rows);
	for (uint64 i = 0; i < SPI_processed; i++)
		compare_checks(sink, fp, rows, SPI_tuptable->vals[i], fresh);
	keep_rows(rows, fresh, true);
}

static void
run_update(Sink *sink, SinkAction action, const Bitmapset *columns,
		   ArrayRows *rows, bool *returned)
{
	if (sink->target->nchecks > 0)
		keep_fresh(sink, columns, rows);
	if (rows->count == 0)
		return;
	execute(sink, action, columns, rows);
	note_returned(returned);
}

/* Where there is no ON CONFLICT: update what is there, insert the rest. */
static void
run_upsert(Sink *sink, bool errors, const Bitmapset *columns, ArrayRows *rows)
{
	bool *there = palloc0(sizeof(bool) * sink->nrows);

	execute(sink, errors ? ACTION_UPDATE_ERRORS : ACTION_UPDATE, columns, rows);
	note_returned(there);
	keep_rows(rows, there, false);
	if (rows->count > 0)
		execute(sink, errors ? ACTION_INSERT_ERRORS : ACTION_INSERT, columns, rows);
}

static void
run_rows(Sink *sink, SinkAction action, const Bitmapset *columns,
		 ArrayRows *rows, bool *returned)
{
	switch (action)
	{
		case ACTION_UPDATE:
		case ACTION_UPDATE_ERRORS:
			run_update(sink, action, columns, rows, returned);
			break;
		case ACTION_UPSERT:
		case ACTION_UPSERT_ERRORS:
			if (!sink->target->takes_conflicts)
			{
				run_upsert(sink, action == ACTION_UPSERT_ERRORS, columns, rows);
				break;
			}
			pg_fallthrough;
		default:
			execute(sink, action, columns, rows);
			break;
	}
}

void
sink_run_arrays(Sink *sink, SinkAction action, const RowGroup *group,
				const bool *wanted, bool *returned)
{
	ArrayRows *rows = palloc(sizeof(ArrayRows));
	TupleTableSlot *slot = MakeSingleTupleTableSlot(sink->rows_desc,
													&TTSOpsMinimalTuple);

	rows->natts = sink->rows_desc->natts;
	tuplestore_rescan(group->store);
	do
	{
		/* the rows, and all that is made of them, are SPI's */
		SPI_connect();
		read_rows(rows, group, slot, wanted);
		if (rows->count > 0)
			run_rows(sink, action, group->columns, rows, returned);
		SPI_finish();
	} while (!tuplestore_ateof(group->store));
	ExecDropSingleTupleTableSlot(slot);
	pfree(rows);
}
