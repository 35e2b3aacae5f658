/*-------------------------------------------------------------------------
 *
 * store_insert.c
 *	  Jobs and their inputs on their way into the tables; see store.h.
 *
 * Every transaction that changes a row of a table with a trigger comes here.
 * So rows are put into the tables without a statement, whose planner's and
 * executor's part would cost several times as much as the rows themselves.
 * No right is asked for and no role taken on: nobody's expression is evaluated.
 * Triggers that a superuser has put on the tables are those of the caller; they
 * have no transition tables.
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include "access/table.h"
#include "access/xact.h"
#include "commands/sequence.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "jobs/extension_version.h"
#include "jobs/home.h"
#include "jobs/owner.h"
#include "jobs/sql.h"
#include "jobs/store.h"
#include "jobs/wake.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

/* --- rows ----------------------------------------------------------------- */

/* A row that is being made, column by column in the table's order. */
typedef struct NewRow
{
	Relation rel;
	EState *estate; /* its memory is the row's */
	MemoryContext outer;
	TupleTableSlot *slot;
	int next;
} NewRow;

static void
begin_row(NewRow *row, const char *table)
{
	PreventCommandIfReadOnly("INSERT");
	PreventCommandIfParallelMode("INSERT");
	extension_check_version();
	row->rel = table_open(store_relation(table), RowExclusiveLock);
	row->estate = CreateExecutorState();
	row->outer = MemoryContextSwitchTo(row->estate->es_query_cxt);
	row->slot = MakeSingleTupleTableSlot(RelationGetDescr(row->rel), &TTSOpsVirtual);
	row->next = 0;
	memset(row->slot->tts_isnull, true,
		   sizeof(bool) * row->slot->tts_tupleDescriptor->natts);
}

static void
put(NewRow *row, const char *column, Datum value)
{
	TupleDesc desc = row->slot->tts_tupleDescriptor;
	int i = row->next++;

	if (i >= desc->natts || strcmp(NameStr(TupleDescAttr(desc, i)->attname), column) != 0)
		elog(ERROR, "column %d of table \"%s\" is not \"%s\"", i + 1,
			 RelationGetRelationName(row->rel), column);
	row->slot->tts_values[i] = value;
	row->slot->tts_isnull[i] = false;
}

/* NULL, unless there is a value. */
static void
put_if(NewRow *row, const char *column, bool there, Datum value)
{
	int i = row->next;

	put(row, column, value);
	row->slot->tts_isnull[i] = !there;
}

static void
put_text(NewRow *row, const char *column, const char *value)
{
	put_if(row, column, value != NULL,
		   value == NULL ? (Datum) 0 : CStringGetTextDatum(value));
}

static void
insert_row(NewRow *row)
{
	EState *estate = row->estate;
	ResultRelInfo *target = makeNode(ResultRelInfo);

	ExecStoreVirtualTuple(row->slot);
	InitResultRelInfo(target, row->rel, 0, NULL, 0);
	ExecOpenIndices(target, false);
	PG_TRY();
	{
		store_set_writing(true);
		AfterTriggerBeginQuery();
		ExecBSInsertTriggers(estate, target);
		ExecSimpleRelationInsert(target, estate, row->slot);
		ExecASInsertTriggers(estate, target, NULL);
		AfterTriggerEndQuery(estate);
	}
	PG_FINALLY();
	{
		store_set_writing(false);
	}
	PG_END_TRY();
	ExecCloseIndices(target);
	/* what triggers have opened */
	ExecCloseResultRelations(estate);
	ExecResetTupleTable(estate->es_tupleTable, false);
	ExecDropSingleTupleTableSlot(row->slot);
	MemoryContextSwitchTo(row->outer);
	FreeExecutorState(estate);
	table_close(row->rel, NoLock);
	/* what comes next is to see it */
	CommandCounterIncrement();
}

/* --- jobs ----------------------------------------------------------------- */

int64
job_store_next_id(void)
{
	/* privileges were those of calling the function */
	return nextval_internal(store_relation("job_id_seq"), false);
}

static void
put_work(NewRow *row, const Job *job)
{
	put(row, "id", Int64GetDatum(job->id));
	put(row, "home", home_this_database());
	put(row, "set_aside", BoolGetDatum(false));
	put(row, "owner", ObjectIdGetDatum(job->owner));
	put(row, "login", BoolGetDatum(owner_can_log_in(job->owner)));
	put(row, "by_trigger", BoolGetDatum(job->by_trigger));
	put(row, "backfill", BoolGetDatum(job->backfill));
	put_text(row, "function", job->function);
	put_if(row, "kwargs", job->kwargs != NULL, PointerGetDatum(job->kwargs));
	put_text(row, "format", payload_format_name(job->format));
	put(row, "priority", Int32GetDatum(job->priority));
	put_text(row, "search_path", job->search_path);
	put_text(row, "on_complete", job->on_complete);
	put(row, "on_complete_done", BoolGetDatum(false));
}

static void
put_sink(NewRow *row, const SinkSpec *sink)
{
	put_text(row, "mode", sink_mode_name(sink->mode));
	put_if(row, "into_table", OidIsValid(sink->into_table),
		   ObjectIdGetDatum(sink->into_table));
	put_if(row, "source_table", OidIsValid(sink->source_table),
		   ObjectIdGetDatum(sink->source_table));
	put(row, "key_columns", text_array(sink->key_columns));
	put(row, "key_names", text_array(sink->key_names));
	put(row, "check_columns", text_array(sink->check_columns));
	put_text(row, "result_column", sink->result_column);
	put_text(row, "error_column", sink->error_column);
	put_text(row, "ordinality_column", sink->ordinality_column);
	put_text(row, "version_column", sink->version_column);
}

static void
put_limits(NewRow *row, const Job *job)
{
	put_text(row, "unique_key", job->unique_key);
	put_if(row, "start_at", job->start_at != 0, TimestampTzGetDatum(job->start_at));
	put_if(row, "deadline", job->deadline != 0, TimestampTzGetDatum(job->deadline));
	put_if(row, "max_failures", job->max_failures >= 0,
		   Int64GetDatum(job->max_failures));
	put_if(row, "max_in_flight", job->max_in_flight != 0,
		   Int32GetDatum(job->max_in_flight));
	put(row, "distinct_inputs", BoolGetDatum(job->distinct));
	put_if(row, "order_stripes", job->order_stripes != 0,
		   Int64GetDatum((int64) job->order_stripes));
}

/* What comes after these is NULL in the beginning. */
static void
put_progress(NewRow *row, const Job *job)
{
	static const char *const counters[] = {"run_done", "submitted", "succeeded",
										   "failed", "stale", "failed_before",
										   "settled_before"};

	put_text(row, "state", job_state_name(JOB_PENDING));
	put(row, "seed", OidFunctionCall0(F_GEN_RANDOM_UUID));
	put(row, "inputs", Int64GetDatum(job->inputs));
	put_if(row, "run_inputs", job->run_inputs != 0, Int64GetDatum(job->run_inputs));
	for (int i = 0; i < (int) lengthof(counters); i++)
		put(row, counters[i], Int64GetDatum(0));
	put(row, "retried", BoolGetDatum(false));
	put(row, "tries", Int32GetDatum(0));
	put(row, "crashes", Int32GetDatum(0));
	put(row, "remote_ms", Float8GetDatum(0));
	put(row, "usage", Float8GetDatum(0));
	put(row, "terminate", BoolGetDatum(false));
	put(row, "created_at", TimestampTzGetDatum(GetCurrentTimestamp()));
}

void
job_store_insert(const Job *job)
{
	NewRow row;

	begin_row(&row, "job");
	put_work(&row, job);
	put_sink(&row, &job->sink);
	put_limits(&row, job);
	put_progress(&row, job);
	insert_row(&row);
	wake_note_job(job->id);
}

void
job_store_insert_chunk(int64 job, int64 first, int32 count, const Buf *inputs,
					   const int64 *ordinals)
{
	NewRow row;

	begin_row(&row, "chunk");
	put(&row, "job", Int64GetDatum(job));
	put(&row, "first", Int64GetDatum(first));
	put(&row, "count", Int32GetDatum(count));
	put(&row, "inputs",
		PointerGetDatum(cstring_to_text_with_len((const char *) inputs->data, inputs->len)));
	put_if(&row, "done", false, (Datum) 0);
	put_if(&row, "ordinals", ordinals != NULL,
		   ordinals == NULL ? (Datum) 0 : int8_array(ordinals, count));
	insert_row(&row);
}
