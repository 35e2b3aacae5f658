/*-------------------------------------------------------------------------
 *
 * trigger.c
 *	  modal_trigger: rows that change become inputs of background jobs whose
 *	  results are written back to them.
 *
 * Fired after each row, it only encodes: inputs are collected in memory, for
 * each target table and set of trigger arguments (a Collector), and become
 * one job shortly before the transaction commits.  When a transaction
 * collects more than SPILL_BYTES, what there is becomes a job of its own.
 *
 * Inputs are kept in segments, each of which belongs to one subtransaction: a
 * rolled-back savepoint takes its segments along, a released one leaves them
 * to its parent.
 *
 * The job belongs to the owner of the table, as a foreign key's action does:
 * who may write to the table needs no right on the server.
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/partition.h"
#include "commands/trigger.h"
#include "debug_point.h"
#include "lib/ilist.h"
#include "session/enqueue.h"
#include "values/input_encoder.h"
#include "session/job_owner.h"
#include "session/job_store.h"
#include "session/server.h"
#include "session/sink_target.h"
#include "link/shmem.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/varlena.h"

#define SPILL_BYTES (32 * 1024 * 1024)

PG_FUNCTION_INFO_V1(modal_trigger);

typedef struct Segment
{
	dlist_node node;
	SubTransactionId subid;
	int count;
	Buf inputs;
} Segment;

typedef struct Collector
{
	dlist_node node;
	Oid target;			 /* table whose rows are updated */
	char *function;
	char *columns;		 /* as given to the trigger */
	char *result_column;
	Job job;			 /* prototype of the jobs it makes */
	dlist_head segments; /* oldest first */
} Collector;

/* How to read the rows of one table: a partition has its own columns. */
typedef struct Source
{
	dlist_node node;
	Oid relid;
	Oid trigger;
	Collector *collector;
	int nwatched;		 /* argument and key columns */
	int *watched;
	Oid *types;			 /* their types, when the encoder was made */
	InputEncoder *enc;
} Source;

/* All of the present transaction; memory is in collect_cxt. */
static MemoryContext collect_cxt = NULL;
static dlist_head collectors;
static dlist_head sources;
static Size collected_bytes;

/* --- segments ------------------------------------------------------------- */

static Segment *
current_segment(Collector *collector)
{
	SubTransactionId subid = GetCurrentSubTransactionId();
	Segment *seg;
	MemoryContext old;

	if (!dlist_is_empty(&collector->segments))
	{
		seg = dlist_tail_element(Segment, node, &collector->segments);
		if (seg->subid == subid && seg->inputs.len < CHUNK_TARGET_BYTES &&
			seg->count < CHUNK_MAX_INPUTS)
			return seg;
	}
	old = MemoryContextSwitchTo(collect_cxt);
	seg = palloc0(sizeof(Segment));
	seg->subid = subid;
	buf_init(&seg->inputs, MaxAllocSize, buf_palloc);
	(void) buf_reserve(&seg->inputs, 1024);
	dlist_push_tail(&collector->segments, &seg->node);
	MemoryContextSwitchTo(old);
	return seg;
}

static void
free_segment(Segment *seg)
{
	dlist_delete(&seg->node);
	collected_bytes -= seg->inputs.len;
	buf_free(&seg->inputs);
	pfree(seg);
}

/* Store the collector's segments of one subtransaction as a job. */
static void
store_job(Collector *collector, SubTransactionId subid, bool all)
{
	dlist_mutable_iter iter;
	Job job = collector->job;
	Buf chunk;
	int count = 0;

	job.id = 0;
	job.inputs = 0;
	buf_init(&chunk, MaxAllocSize, buf_palloc);
	dlist_foreach_modify(iter, &collector->segments)
	{
		Segment *seg = dlist_container(Segment, node, iter.cur);

		if (!all && seg->subid != subid)
			continue;
		if (job.id == 0)
			job.id = job_store_next_id();
		/* savepoints leave small segments: join them */
		if (count > 0 && (chunk.len + seg->inputs.len > CHUNK_TARGET_BYTES ||
						  count + seg->count > CHUNK_MAX_INPUTS))
		{
			job_store_insert_chunk(job.id, job.inputs, count, &chunk, NULL);
			job.inputs += count;
			count = 0;
			buf_reset(&chunk);
		}
		buf_put(&chunk, seg->inputs.data, seg->inputs.len);
		count += seg->count;
		free_segment(seg);
	}
	if (count > 0)
	{
		job_store_insert_chunk(job.id, job.inputs, count, &chunk, NULL);
		job.inputs += count;
		job_store_insert(&job);
		wake_runner_at_commit();
	}
	buf_free(&chunk);
}

static void
store_jobs(SubTransactionId subid, bool all)
{
	dlist_iter iter;

	dlist_foreach(iter, &collectors)
	{
		Collector *collector = dlist_container(Collector, node, iter.cur);

		if (!dlist_is_empty(&collector->segments))
			store_job(collector, subid, all);
	}
}

/* --- transaction events --------------------------------------------------- */

static void
forget_all(void)
{
	if (collect_cxt != NULL)
		MemoryContextDelete(collect_cxt);
	collect_cxt = NULL;
	collected_bytes = 0;
}

static void
at_transaction_event(XactEvent event, void *arg)
{
	(void) arg;
	if (collect_cxt == NULL)
		return;
	switch (event)
	{
		case XACT_EVENT_PRE_COMMIT:
		case XACT_EVENT_PRE_PREPARE:
			PushActiveSnapshot(GetTransactionSnapshot());
			store_jobs(InvalidSubTransactionId, true);
			PopActiveSnapshot();
			DEBUG_POINT("trigger-stored");
			break;
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_PREPARE:
		case XACT_EVENT_ABORT:
			forget_all();
			break;
		default:
			break;
	}
}

static void
at_subtransaction_event(SubXactEvent event, SubTransactionId subid,
						SubTransactionId parent, void *arg)
{
	dlist_iter iter;

	(void) arg;
	if (collect_cxt == NULL || (event != SUBXACT_EVENT_COMMIT_SUB &&
								event != SUBXACT_EVENT_ABORT_SUB))
		return;
	dlist_foreach(iter, &collectors)
	{
		Collector *collector = dlist_container(Collector, node, iter.cur);
		dlist_mutable_iter seg_iter;

		dlist_foreach_modify(seg_iter, &collector->segments)
		{
			Segment *seg = dlist_container(Segment, node, seg_iter.cur);

			if (seg->subid != subid)
				continue;
			if (event == SUBXACT_EVENT_COMMIT_SUB)
				seg->subid = parent;
			else
				free_segment(seg);
		}
	}
}

static void
begin_collecting(void)
{
	static bool registered = false;

	if (!registered)
	{
		RegisterXactCallback(at_transaction_event, NULL);
		RegisterSubXactCallback(at_subtransaction_event, NULL);
		registered = true;
	}
	if (collect_cxt == NULL)
	{
		collect_cxt = AllocSetContextCreate(TopTransactionContext,
											"modal_batch trigger",
											ALLOCSET_DEFAULT_SIZES);
		dlist_init(&collectors);
		dlist_init(&sources);
		collected_bytes = 0;
	}
}

/* --- set-up per table ----------------------------------------------------- */

static void
check_call(FunctionCallInfo fcinfo)
{
	TriggerData *td = (TriggerData *) fcinfo->context;

	modal_check_preloaded();
	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("modal_trigger() was not called by the trigger manager")));
	if (!TRIGGER_FIRED_AFTER(td->tg_event) ||
		!TRIGGER_FIRED_FOR_ROW(td->tg_event) ||
		!(TRIGGER_FIRED_BY_INSERT(td->tg_event) ||
		  TRIGGER_FIRED_BY_UPDATE(td->tg_event)))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("modal_trigger() must be fired AFTER INSERT OR UPDATE, FOR EACH ROW")));
	if (td->tg_trigger->tgnargs != 3)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("modal_trigger() takes three arguments, not %d",
						td->tg_trigger->tgnargs),
				 errhint("They are: function, argument columns separated by commas, result column.")));
}

/*
 * The table to update: the highest partitioned table above this one that has
 * a primary key, so that rows are found when they have moved, and rows of all
 * partitions go to one job.
 */
static Oid
find_target(Relation rel)
{
	Oid target = RelationGetRelid(rel);
	ListCell *lc;

	if (rel->rd_rel->relispartition)
	{
		List *ancestors = get_partition_ancestors(target);

		foreach (lc, ancestors)
			if (relation_primary_key(lfirst_oid(lc)) != NIL)
				target = lfirst_oid(lc);
	}
	return target;
}

static List *
split_columns(const char *text)
{
	List *names;

	if (!SplitIdentifierString(pstrdup(text), ',', &names) || names == NIL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid list of argument columns \"%s\"", text)));
	return names;
}

static Collector *
make_collector(Oid target, char **args)
{
	Collector *collector = palloc0(sizeof(Collector));
	SinkSpec *sink = &collector->job.sink;
	const char *rest;
	Endpoint *endpoint;
	OwnerScope scope;

	collector->target = target;
	collector->function = pstrdup(args[0]);
	collector->columns = pstrdup(args[1]);
	collector->result_column = pstrdup(args[2]);
	dlist_init(&collector->segments);

	sink->mode = SINK_UPDATE;
	sink->into_table = target;
	sink->result_column = collector->result_column;
	sink->key_columns = relation_primary_key(target);
	sink->check_columns = split_columns(args[1]);
	sink->search_path = pstrdup(namespace_search_path);
	if (sink->key_columns == NIL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table \"%s\" has no primary key", get_rel_name(target)),
				 errdetail("modal_trigger() needs one to find the row again when the result is there.")));
	collector->job.owner = relation_owner(target);
	(void) sink_target_get(sink, collector->job.owner);
	owner_enter(&scope, collector->job.owner, NULL);
	endpoint = endpoint_get(args[0], collector->job.owner, &rest);
	owner_leave(&scope);
	collector->job.function = endpoint_reference(endpoint, rest);
	endpoint_release(endpoint);
	dlist_push_tail(&collectors, &collector->node);
	return collector;
}

static Collector *
find_collector(Oid target, char **args)
{
	dlist_iter iter;

	dlist_foreach(iter, &collectors)
	{
		Collector *collector = dlist_container(Collector, node, iter.cur);

		if (collector->target == target &&
			strcmp(collector->function, args[0]) == 0 &&
			strcmp(collector->columns, args[1]) == 0 &&
			strcmp(collector->result_column, args[2]) == 0)
			return collector;
	}
	return make_collector(target, args);
}

static int
find_attribute(TupleDesc desc, const char *name, const char *relname)
{
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		if (!att->attisdropped && strcmp(NameStr(att->attname), name) == 0)
			return i;
	}
	ereport(ERROR, (errcode(ERRCODE_UNDEFINED_COLUMN),
					errmsg("column \"%s\" of relation \"%s\" does not exist",
						   name, relname)));
}

/* Positions of the named columns; also added to the source's watched ones. */
static int *
find_attributes(Source *source, Relation rel, List *names)
{
	TupleDesc desc = RelationGetDescr(rel);
	int *columns = palloc(sizeof(int) * list_length(names));
	ListCell *lc;

	foreach (lc, names)
	{
		int column = find_attribute(desc, lfirst(lc),
									RelationGetRelationName(rel));

		columns[foreach_current_index(lc)] = column;
		source->watched[source->nwatched] = column;
		source->types[source->nwatched++] = TupleDescAttr(desc, column)->atttypid;
	}
	return columns;
}

static Source *
make_source(const TriggerData *td)
{
	Relation rel = td->tg_relation;
	Source *source = palloc0(sizeof(Source));
	Collector *collector = find_collector(find_target(rel),
										  td->tg_trigger->tgargs);
	const SinkSpec *sink = &collector->job.sink;
	InputColumns columns = {0};
	Endpoint *endpoint;
	const char *rest;
	OwnerScope scope;
	int most = list_length(sink->check_columns) + list_length(sink->key_columns);

	source->relid = RelationGetRelid(rel);
	source->trigger = td->tg_trigger->tgoid;
	source->collector = collector;
	source->watched = palloc(sizeof(int) * most);
	source->types = palloc(sizeof(Oid) * most);
	columns.nargs = columns.nchecks = list_length(sink->check_columns);
	columns.args = find_attributes(source, rel, sink->check_columns);
	columns.checks = columns.args;
	columns.nkeys = list_length(sink->key_columns);
	columns.keys = find_attributes(source, rel, sink->key_columns);

	owner_enter(&scope, collector->job.owner, NULL);
	endpoint = endpoint_get(collector->function, collector->job.owner, &rest);
	owner_leave(&scope);
	source->enc = input_encoder_create(collect_cxt, endpoint, NULL,
									   RelationGetDescr(rel), &columns);
	collector->job.format = input_encoder_format(source->enc);
	dlist_push_head(&sources, &source->node);
	return source;
}

/* Still as it was made for?  Tables can be altered between statements. */
static bool
source_is_valid(const Source *source, TupleDesc desc)
{
	for (int i = 0; i < source->nwatched; i++)
		if (source->watched[i] >= desc->natts ||
			TupleDescAttr(desc, source->watched[i])->attisdropped ||
			TupleDescAttr(desc, source->watched[i])->atttypid != source->types[i])
			return false;
	return true;
}

static Source *
find_source(const TriggerData *td)
{
	dlist_mutable_iter iter;
	MemoryContext old;
	Source *source;

	dlist_foreach_modify(iter, &sources)
	{
		source = dlist_container(Source, node, iter.cur);
		if (source->relid != RelationGetRelid(td->tg_relation) ||
			source->trigger != td->tg_trigger->tgoid)
			continue;
		if (source_is_valid(source, RelationGetDescr(td->tg_relation)))
		{
			dlist_move_head(&sources, &source->node);
			return source;
		}
		dlist_delete(&source->node);
	}
	old = MemoryContextSwitchTo(collect_cxt);
	source = make_source(td);
	MemoryContextSwitchTo(old);
	return source;
}

/* --- the trigger ---------------------------------------------------------- */

/* Has an UPDATE changed an argument, or the key?  Write-backs have not. */
static bool
row_changed(const Source *source, const TriggerData *td)
{
	TupleDesc desc = RelationGetDescr(td->tg_relation);
	TupleTableSlot *before = td->tg_trigslot;
	TupleTableSlot *after = td->tg_newslot;

	slot_getallattrs(before);
	slot_getallattrs(after);
	for (int i = 0; i < source->nwatched; i++)
	{
		int column = source->watched[i];
		Form_pg_attribute att = TupleDescAttr(desc, column);

		if (before->tts_isnull[column] != after->tts_isnull[column])
			return true;
		if (!before->tts_isnull[column] &&
			!datum_image_eq(before->tts_values[column],
							after->tts_values[column], att->attbyval,
							att->attlen))
			return true;
	}
	return false;
}

Datum
modal_trigger(PG_FUNCTION_ARGS)
{
	TriggerData *td = (TriggerData *) fcinfo->context;
	TupleTableSlot *slot;
	Source *source;
	Segment *seg;
	Size before;

	check_call(fcinfo);
	begin_collecting();
	source = find_source(td);
	if (TRIGGER_FIRED_BY_UPDATE(td->tg_event))
	{
		if (!row_changed(source, td))
			return PointerGetDatum(NULL);
		slot = td->tg_newslot;
	}
	else
		slot = td->tg_trigslot;

	slot_getallattrs(slot);
	seg = current_segment(source->collector);
	before = seg->inputs.len;
	input_encode(source->enc, &seg->inputs, slot->tts_values, slot->tts_isnull);
	seg->count++;
	collected_bytes += seg->inputs.len - before;
	if (collected_bytes > SPILL_BYTES)
		store_jobs(GetCurrentSubTransactionId(), false);
	return PointerGetDatum(NULL);
}
