/*-------------------------------------------------------------------------
 *
 * sink.c
 *	  Writing results; see sink.h.
 *
 * A batch is put into tuplestores that statements see as a table named
 * "modal_rows" (an ephemeral named relation, as transition tables are), whose
 * columns have the types of the target's.  So a statement is prepared once,
 * any type will do, and the executor moves whole batches.
 *
 * Results that are mappings may name different columns; rows are grouped by
 * the columns that they fill, a statement for each group.
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "session/job_owner.h"
#include "utils/memutils.h"
#include "worker/job_error.h"
#include "worker/sink_internal.h"
#include "jobs/subxact.h"

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

		if (!att->attisdropped && att->attgenerated == '\0' &&
			att->attidentity != ATTRIBUTE_IDENTITY_ALWAYS &&
			attno != t->error && !is_one_of(attno, t->keys, t->nkeys) &&
			!is_one_of(attno, t->checks, t->nchecks))
			sink->spread[sink->nspread++] = attno;
	}
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
	sink->batch_cxt = AllocSetContextCreate(cxt, "modal_batch sink batch",
											ALLOCSET_DEFAULT_SIZES);
	sink->job = job->id;
	sink->owner = job->owner;
	sink->spec = &job->sink;
	if (OidIsValid(job->sink.into_table))
	{
		sink->target = t = sink_target_get(sink->spec, sink->owner);
		sink->rows_desc = make_rows_desc(t->desc);
		sink->keys = result_decoder_create(
			cxt, RECORDOID, -1, columns_desc(t->desc, t->keys, t->nkeys));
		if (t->result != 0)
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

/* --- writing -------------------------------------------------------------- */

/* Run the groups' statements; on failure nothing is written. */
static ErrorData *
run_statements(Sink *sink, List *groups, bool errors, bool *applied)
{
	SubScope sub;
	ErrorData *volatile edata = NULL;
	ListCell *lc;

	sub_begin(&sub);
	PG_TRY();
	{
		foreach (lc, groups)
			sink_run_statement(sink, lfirst(lc), errors, applied);
		sub_commit(&sub);
	}
	PG_CATCH();
	{
		edata = sub_abort(&sub);
	}
	PG_END_TRY();
	if (edata != NULL && error_is_transient(edata->sqlerrcode))
		ReThrowError(edata);
	return edata;
}

/*
 * A statement was refused: is it the table, rather than a row?  Then the
 * error of sink_target_get ends the job, or it begins anew with the table as
 * it is now.
 */
static void
recheck_table(const Sink *sink, const ErrorData *edata)
{
	SinkTarget *now;

	if (ERRCODE_TO_CATEGORY(edata->sqlerrcode) !=
		ERRCODE_SYNTAX_ERROR_OR_ACCESS_RULE_VIOLATION)
		return;
	now = sink_target_get(sink->spec, sink->owner);
	if (strcmp(now->name, sink->target->name) != 0 ||
		!equalTupleDescs(now->desc, sink->target->desc))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table %s has been altered", now->name)));
}

/*
 * Write the rows [lo, hi) whose outcome is SUCCEEDED.  The recursion is as
 * deep as a batch can be halved.
 */
static void
write_range(Sink *sink, SinkRow *rows, int lo, int hi, bool *applied)
{
	List *groups = sink_decode(sink, rows, lo, hi, SINK_SUCCEEDED);
	ErrorData *edata;
	int count = 0;
	int last = lo;

	for (int i = lo; i < hi; i++)
		if (rows[i].outcome == SINK_SUCCEEDED)
		{
			count++;
			last = i;
		}
	edata = count == 0 ? NULL : run_statements(sink, groups, false, applied);
	sink_free_groups(groups);
	if (edata == NULL)
		return;
	recheck_table(sink, edata);
	if (count == 1)
	{
		sink_fail_row(&rows[last], edata);
		return;
	}
	write_range(sink, rows, lo, (lo + hi) / 2, applied);
	write_range(sink, rows, (lo + hi) / 2, hi, applied);
}

/* Tell the table about failures; it need not be able to take them. */
static void
write_errors(Sink *sink, SinkRow *rows, int nrows, bool *applied)
{
	List *groups = sink_decode(sink, rows, 0, nrows, SINK_FAILED);
	ErrorData *edata;

	edata = groups == NIL ? NULL : run_statements(sink, groups, true, applied);
	sink_free_groups(groups);
	if (edata != NULL)
		ereport(LOG,
				(errmsg("job " INT64_FORMAT ": could not write failures to column \"%s\": %s",
						sink->job, sink->spec->error_column, edata->message)));
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

	owner_enter(&scope, sink->owner, sink->spec->search_path);
	SPI_connect();
	SPI_execute("SET CONSTRAINTS ALL IMMEDIATE", false, 0);
	SPI_finish();
	write_range(sink, rows, 0, nrows, applied);
	if (sink->spec->mode == SINK_UPDATE)
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
	if (sink->target != NULL)
		write_to_table(sink, rows, nrows);
	sink_write_to_result(sink, rows, nrows);
	MemoryContextSwitchTo(old);
}
