/*-------------------------------------------------------------------------
 *
 * sink.c
 *	  Writing results; see sink.h.
 *
 * A batch is put into tuplestores that statements see as a table named
 * "modal_rows" (an ephemeral named relation, as transition tables are), whose
 * columns have the types of the target's.  So a statement is prepared once,
 * any type will do, and the executor moves whole batches.  Statements that
 * are run elsewhere read the same rows from arrays (sink_arrays.c).
 *
 * Results that are mappings may name different columns; rows are grouped by
 * the columns that they fill, a statement for each group.
 *
 * What makes it right:
 *
 *	- All of a batch is in the transaction of its caller, which also records
 *	  what is done: a result is applied once.
 *	- Results are decoded and written as the job's owner, with its search_path
 *	  (owner.h); modal_batch.result is written as the owner of that table.
 *	- Whatever can refuse a row does so in a subtransaction: constraints are
 *	  checked at once, also those that a trigger has deferred, and nothing is
 *	  left for the commit.
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "jobs/owner.h"
#include "jobs/sink_internal.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

/* --- set-up --------------------------------------------------------------- */

static TupleDesc
make_rows_desc(TupleDesc table)
{
	TupleDesc desc = CreateTemplateTupleDesc(ROW_FIRST + table->natts);

	TupleDescInitEntry(desc, ROW_NUMBER + 1, "n", INT4OID, -1, 0);
	TupleDescInitEntry(desc, ROW_FINGERPRINT + 1, "fingerprint", INT8OID, -1, 0);
	TupleDescInitEntry(desc, ROW_ERROR + 1, "error", JSONBOID, -1, 0);
	for (int i = 0; i < table->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(table, i);
		AttrNumber attno = (AttrNumber) (ROW_FIRST + i + 1);
		char name[NAMEDATALEN];

		snprintf(name, sizeof(name), "c%d", i + 1);
		/* no typmod: the statement's assignment applies the column's own */
		TupleDescInitEntry(desc, attno, name,
						   att->attisdropped ? INT4OID : att->atttypid, -1, 0);
		if (!att->attisdropped)
			TupleDescInitEntryCollation(desc, attno, att->attcollation);
	}
	TupleDescFinalize(desc);
	return desc;
}

/* A row type of some of the table's columns. */
static TupleDesc
columns_desc(TupleDesc table, const AttrNumber *columns, int n)
{
	TupleDesc desc = CreateTemplateTupleDesc(n);

	for (int i = 0; i < n; i++)
	{
		Form_pg_attribute att = TupleDescAttr(table, columns[i] - 1);

		TupleDescInitEntry(desc, (AttrNumber) (i + 1), NameStr(att->attname),
						   att->atttypid, att->atttypmod, 0);
	}
	TupleDescFinalize(desc);
	return desc;
}

/*
 * The key columns, by the names that they had when the inputs were made.  A key
 * that is only looked for is not rounded to another row's.
 */
static TupleDesc
keys_desc(const Sink *sink)
{
	const SinkTarget *t = sink->target;
	TupleDesc desc = columns_desc(t->desc, t->keys, t->nkeys);
	ListCell *lc;

	for (int i = 0; i < t->nkeys && sink->spec->mode == SINK_UPDATE; i++)
		TupleDescAttr(desc, i)->atttypmod = -1;
	foreach (lc, sink->spec->key_names)
		namestrcpy(&TupleDescAttr(desc, foreach_current_index(lc))->attname,
				   lfirst(lc));
	return desc;
}

static bool
is_one_of(AttrNumber attno, const AttrNumber *columns, int n)
{
	for (int i = 0; i < n; i++)
		if (columns[i] == attno)
			return true;
	return false;
}

/* Columns that results are spread over: those with no other purpose. */
static void
find_spread(Sink *sink)
{
	const SinkTarget *t = sink->target;

	sink->spread = palloc(sizeof(AttrNumber) * Max(t->desc->natts, 1));
	for (int attno = 1; attno <= t->desc->natts; attno++)
	{
		Form_pg_attribute att = TupleDescAttr(t->desc, attno - 1);

		if (!att->attisdropped && !bms_is_member(attno, t->not_written) &&
			attno != t->error && attno != t->ordinality &&
			!is_one_of(attno, t->keys, t->nkeys) &&
			!is_one_of(attno, t->checks, t->nchecks))
		{
			if (attno == t->result)
				sink->scalar_column = sink->nspread;
			sink->spread[sink->nspread++] = attno;
		}
	}
	if (sink->nspread == 1)
		sink->scalar_column = 0;
}

Sink *
sink_create(MemoryContext parent, const Job *job)
{
	MemoryContext cxt = AllocSetContextCreate(parent, "modal_batch sink",
											  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(cxt);
	Sink *sink = palloc0(sizeof(Sink));
	SinkTarget *t;

	sink->cxt = cxt;
	sink_init_statements(sink);
	sink->batch_cxt = AllocSetContextCreate(cxt, "modal_batch sink batch",
											ALLOCSET_DEFAULT_SIZES);
	sink->job = job;
	sink->spec = &job->sink;
	sink->scalar_column = -1;
	if (OidIsValid(job->sink.into_table))
	{
		sink->target = t = sink_target_get(sink->spec, sink->job->owner);
		sink->rows_desc = make_rows_desc(t->desc);
		sink->keys = result_decoder_create(cxt, RECORDOID, -1, keys_desc(sink));
		if (t->result != 0 && job->sink.mode != SINK_REPLACE)
		{
			Form_pg_attribute att = TupleDescAttr(t->desc, t->result - 1);

			sink->result = result_decoder_create(cxt, att->atttypid,
												 att->atttypmod, NULL);
		}
		else
		{
			find_spread(sink);
			sink->result = result_decoder_create(
				cxt, RECORDOID, -1,
				columns_desc(t->desc, sink->spread, sink->nspread));
		}
	}
	MemoryContextSwitchTo(old);
	return sink;
}

void
sink_free(Sink *sink)
{
	sink_free_statements(sink);
	MemoryContextDelete(sink->cxt);
}

void
sink_check_target(const Sink *sink)
{
	SinkTarget *now = sink_target_get(sink->spec, sink->job->owner);

	if (strcmp(now->name, sink->target->name) != 0 ||
		now->is_local != sink->target->is_local ||
		!equalTupleDescs(now->desc, sink->target->desc))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table %s has been altered", now->name)));
}

/* --- writing -------------------------------------------------------------- */

/* Tell the table about failures; it need not be able to take them. */
static void
write_errors(Sink *sink, SinkRow *rows, int nrows, bool *applied)
{
	sink->nuntold = 0;
	sink_write_range(sink, rows, 0, nrows, SINK_FAILED, applied);
	if (sink->nuntold > 0)
		ereport(LOG,
				(errmsg("job " INT64_FORMAT ": could not write %d failures to column \"%s\": %s",
						sink->job->id, sink->nuntold, sink->spec->error_column,
						sink->untold->message)));
}

/*
 * Constraints are checked at once: a deferred one would fail the whole
 * transaction at its end, and deferred triggers would run as the runner.
 */
static void
write_to_table(Sink *sink, SinkRow *rows, int nrows)
{
	OwnerScope scope;
	bool *applied = palloc0(sizeof(bool) * nrows);

	sink_target_recheck(sink->target);
	owner_enter_job(&scope, sink->job);
	sink_check_constraints();
	/* its rows are made to be of the target's type, as that is now */
	if (!sink->target->is_local)
		sink_check_target(sink);
	if (sink_orders_rows(sink))
		sink_order_rows(sink, rows, nrows);
	sink_write_range(sink, rows, 0, nrows, SINK_SUCCEEDED, applied);
	if (sink->spec->mode == SINK_UPDATE || sink->spec->mode == SINK_REPLACE)
		for (int i = 0; i < nrows; i++)
			if (rows[i].outcome == SINK_SUCCEEDED && !applied[i])
				rows[i].outcome = SINK_STALE;
	if (sink->target->error != 0)
		write_errors(sink, rows, nrows, applied);
	owner_leave(&scope);
}

void
sink_write(Sink *sink, SinkRow *rows, int nrows)
{
	MemoryContext old = MemoryContextSwitchTo(sink->batch_cxt);

	/* what an aborted attempt has left */
	MemoryContextReset(sink->batch_cxt);
	sink->batch_owner = CurrentResourceOwner;
	sink->nrows = nrows;
	if (sink->target != NULL)
		write_to_table(sink, rows, nrows);
	sink_write_to_result(sink, rows, nrows);
	MemoryContextSwitchTo(old);
}
