/*-------------------------------------------------------------------------
 *
 * query_rows.c
 *	  The rows of a query as inputs; see query_rows.h.
 *
 * The query runs into a receiver of ours, so that no row is kept.
 *
 * A query that is read bit by bit is an executor of its own, not a portal: a
 * portal is closed at the end of the transaction, perhaps before the holdable
 * cursor whose rows are then still to be had from it.  Like the plan of a SQL
 * function that returns a set, it belongs to whoever reads it: its memory is
 * the reader's, and what it holds (buffers, its snapshot) belongs to the
 * resource owner that is current whenever the reader runs, its portal's.  So
 * it ends with the reader, or is let go of with it when that is aborted.
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "executor/spi.h"
#include "executor/tuptable.h"
#include "functions/query_rows.h"
#include "tcop/dest.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/plancache.h"
#include "utils/snapmgr.h"

typedef struct RowReceiver
{
	DestReceiver pub; /* first: callbacks get a pointer to it */
	const QueryRows *rows;
	MemoryContext cxt;
	bool started;
	/* of this fetch */
	uint64 received;
	bool stopped; /* no more are wanted now */
} RowReceiver;

struct QueryRun
{
	QueryRows rows;
	RowReceiver receiver;
	QueryDesc *desc;
};

/* --- columns -------------------------------------------------------------- */

List *
query_rows_key(ArrayType *names)
{
	Datum *elements;
	bool *nulls;
	int n;
	List *key = NIL;

	deconstruct_array(names, TEXTOID, -1, false, TYPALIGN_INT, &elements,
					  &nulls, &n);
	for (int i = 0; i < n; i++)
	{
		char *name;
		ListCell *lc;

		if (nulls[i])
			ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
							errmsg("names in argument \"key\" must not be null")));
		name = TextDatumGetCString(elements[i]);
		foreach(lc, key)
			if (strcmp(lfirst(lc), name) == 0)
				ereport(ERROR,
						(errcode(ERRCODE_DUPLICATE_COLUMN),
						 errmsg("column \"%s\" is named twice in argument \"key\"",
								name)));
		key = lappend(key, name);
	}
	return key;
}

static int
find_column(TupleDesc desc, const char *name)
{
	for (int i = 0; i < desc->natts; i++)
		if (strcmp(NameStr(TupleDescAttr(desc, i)->attname), name) == 0)
			return i;
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_COLUMN),
			 errmsg("the query has no column \"%s\"", name),
			 errdetail("It is named in argument \"key\"."),
			 errhint("Select the column, or give one that name with AS.")));
}

void
query_rows_columns(TupleDesc desc, List *key, InputColumns *columns)
{
	bool *is_key = palloc0(sizeof(bool) * Max(desc->natts, 1));
	ListCell *lc;

	columns->keys = palloc(sizeof(int) * Max(list_length(key), 1));
	columns->args = palloc(sizeof(int) * Max(desc->natts, 1));
	foreach(lc, key)
	{
		int column = find_column(desc, lfirst(lc));

		is_key[column] = true;
		columns->keys[columns->nkeys++] = column;
	}
	for (int i = 0; i < desc->natts; i++)
		if (!is_key[i])
			columns->args[columns->nargs++] = i;
	pfree(is_key);
}

/* --- the receiver --------------------------------------------------------- */

static void
start_rows(DestReceiver *self, int operation, TupleDesc desc)
{
	RowReceiver *receiver = (RowReceiver *) self;
	const QueryRows *rows = receiver->rows;
	MemoryContext old;
	InputColumns columns = {0};

	(void) operation;
	if (receiver->started)
		return;
	receiver->started = true;
	old = MemoryContextSwitchTo(receiver->cxt);
	query_rows_columns(desc, rows->key, &columns);
	rows->start(rows->arg, desc, &columns);
	MemoryContextSwitchTo(old);
}

static bool
receive_row(TupleTableSlot *slot, DestReceiver *self)
{
	RowReceiver *receiver = (RowReceiver *) self;
	const QueryRows *rows = receiver->rows;

	slot_getallattrs(slot);
	receiver->received++;
	rows->row(rows->arg, slot->tts_values, slot->tts_isnull);
	receiver->stopped = rows->more != NULL && !rows->more(rows->arg);
	return !receiver->stopped;
}

static void
no_more_rows(DestReceiver *self)
{
	(void) self;
}

/* --- running -------------------------------------------------------------- */

static void
must_read_only(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("the query of a map must not change or lock rows"),
			 errhint("Do that in a statement of its own.")));
}

/*
 * One SELECT (or VALUES, TABLE): nothing that writes or locks.  Who locks in a
 * subquery or a view is found when there is a plan, which has one list of all.
 */
static void
check_reads_only(SPIPlanPtr plan)
{
	List *sources = SPI_plan_get_plan_sources(plan);
	CachedPlanSource *source =
		list_length(sources) == 1 ? linitial(sources) : NULL;
	Query *query;

	if (source == NULL || source->commandTag != CMDTAG_SELECT ||
		source->resultDesc == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the inputs of a map must come from one SELECT statement")));
	query = linitial_node(Query, source->query_list);
	if (query->hasModifyingCTE || query->hasForUpdate)
		must_read_only();
}

static void
check_returns_rows(SPIPlanPtr plan)
{
	if (!SPI_is_cursor_plan(plan))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_CURSOR_DEFINITION),
				 errmsg("argument \"query\" must be one statement that returns rows")));
}

static SPIPlanPtr
prepare(const QueryRows *rows)
{
	SPIPlanPtr plan = SPI_prepare(rows->query, 0, NULL);

	if (plan == NULL)
		elog(ERROR, "could not prepare the query: %s",
			 SPI_result_code_string(SPI_result));
	if (rows->may_write)
		check_returns_rows(plan);
	else
		check_reads_only(plan);
	return plan;
}

static void
init_receiver(RowReceiver *receiver, const QueryRows *rows)
{
	memset(receiver, 0, sizeof(*receiver));
	receiver->pub.receiveSlot = receive_row;
	receiver->pub.rStartup = start_rows;
	receiver->pub.rShutdown = no_more_rows;
	receiver->pub.rDestroy = no_more_rows;
	receiver->pub.mydest = DestTuplestore; /* not SPI's own */
	receiver->rows = rows;
	receiver->cxt = CurrentMemoryContext;
}

void
query_rows_run(const QueryRows *rows)
{
	RowReceiver receiver;
	SPIExecuteOptions options = {.read_only = !rows->may_write,
								 .dest = &receiver.pub};
	int rc;

	init_receiver(&receiver, rows);
	SPI_connect();
	rc = SPI_execute_plan_extended(prepare(rows), &options);
	if (rc < 0)
		elog(ERROR, "could not run the query: %s", SPI_result_code_string(rc));
	SPI_finish();
}

/* --- bit by bit ----------------------------------------------------------- */

/* The same that SPI says. */
static void
query_error_context(void *arg)
{
	const QueryRun *run = arg;
	int position = geterrposition();

	if (position > 0)
	{
		errposition(0);
		internalerrposition(position);
		internalerrquery(run->rows.query);
	}
	else
		errcontext("SQL statement \"%s\"", run->rows.query);
}

/* The plan, in the current memory context. */
static PlannedStmt *
plan_query(const QueryRows *rows)
{
	MemoryContext old = CurrentMemoryContext;
	CachedPlan *cached;
	PlannedStmt *stmt;

	SPI_connect();
	cached = SPI_plan_get_cached_plan(prepare(rows));
	MemoryContextSwitchTo(old);
	stmt = copyObject(linitial_node(PlannedStmt, cached->stmt_list));
	if (stmt->rowMarks != NIL)
		must_read_only();
	ReleaseCachedPlan(cached, NULL);
	SPI_finish();
	return stmt;
}

QueryRun *
query_rows_open(const QueryRows *rows)
{
	QueryRun *run = palloc0(sizeof(QueryRun));
	ErrorContextCallback context = {.callback = query_error_context,
									.arg = run,
									.previous = error_context_stack};
	PlannedStmt *stmt;

	Assert(!rows->may_write);
	run->rows = *rows;
	init_receiver(&run->receiver, &run->rows);
	stmt = plan_query(&run->rows);
	error_context_stack = &context;
	run->desc = CreateQueryDesc(stmt, run->rows.query, GetActiveSnapshot(),
								InvalidSnapshot, &run->receiver.pub, NULL,
								NULL, 0);
	PushActiveSnapshot(run->desc->snapshot);
	ExecutorStart(run->desc, 0);
	PopActiveSnapshot();
	error_context_stack = context.previous;
	return run;
}

bool
query_rows_fetch(QueryRun *run, uint64 count)
{
	RowReceiver *receiver = &run->receiver;
	ErrorContextCallback context = {.callback = query_error_context,
									.arg = run,
									.previous = error_context_stack};

	Assert(count > 0);
	receiver->received = 0;
	receiver->stopped = false;
	error_context_stack = &context;
	PushActiveSnapshot(run->desc->snapshot);
	ExecutorRunCompat(run->desc, ForwardScanDirection, count);
	PopActiveSnapshot();
	error_context_stack = context.previous;
	return receiver->stopped || receiver->received == count;
}

void
query_rows_close(QueryRun *run)
{
	ExecutorFinish(run->desc);
	ExecutorEnd(run->desc);
	FreeQueryDesc(run->desc);
	pfree(run);
}
