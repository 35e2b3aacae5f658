/*-------------------------------------------------------------------------
 *
 * trigger.c
 *	  modal_trigger: rows that change become inputs of background jobs whose
 *	  results are written back to them.
 *
 * Fired after each row, it only encodes: inputs are collected for each target
 * table and set of trigger arguments (a Collector; trigger_inputs.h), and
 * become one job shortly before the transaction commits.
 *
 * What makes it right:
 *
 *	- Jobs are stored in XACT_EVENT_PRE_COMMIT or PRE_PREPARE, when the last
 *	  deferred trigger has fired.  Nobody fires what storing them defers, so
 *	  that is done here, until nothing is left.
 *	- The job belongs to the owner of the table that the trigger was made on,
 *	  as a foreign key's action does: who may write to the table needs no right
 *	  on the server, and who owns a partition makes no job of the table's owner.
 *	- Rows are encoded by whoever writes them, the server is looked up as the
 *	  owner (owner.h), and jobs are stored as the owner of their tables
 *	  (sql.c).
 *	- Memory is the transaction's; each segment is freed with its
 *	  subtransaction, and all of them at its end.
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include "access/table.h"
#include "access/xact.h"
#include "catalog/partition.h"
#include "commands/trigger.h"
#include "debug_point.h"
#include "endpoint/endpoint.h"
#include "jobs/generated_follow.h"
#include "jobs/limits.h"
#include "jobs/owner.h"
#include "jobs/owner_path.h"
#include "jobs/sink_target.h"
#include "jobs/store.h"
#include "jobs/trigger.h"
#include "jobs/trigger_catalog.h"
#include "jobs/trigger_check.h"
#include "jobs/trigger_clear.h"
#include "jobs/trigger_inputs.h"
#include "jobs/trigger_rows.h"
#include "jobs/trigger_store.h"
#include "jobs/wake.h"
#include "jobs/webhook.h"
#include "lib/ilist.h"
#include "link/shmem.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/hsearch.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "values/input_encoder.h"

PG_FUNCTION_INFO_V1(modal_trigger);

/* How to read the rows of one table: a partition has its own columns. */
typedef struct SourceKey
{
	Oid relid;
	Oid trigger;
} SourceKey;

typedef struct Source
{
	SourceKey key;
	Collector *collector;
	int nargs;
	int nwatched;		 /* argument columns, then those of the key */
	int *watched;
	int nkeys;			 /* of watched, at its end */
	int result;			 /* where the result goes */
	int version;		 /* -1: there is no such column */
	NameData table;		 /* what all had for names and types when the encoder was made */
	NameData *names;
	Oid *types;
	InputEncoder *enc;	 /* NULL: to be made */
	SPIPlanPtr clear;	 /* see trigger_clear.h, trigger_rows.h */
} Source;

/* All of the present transaction; memory is in collect_cxt. */
static MemoryContext collect_cxt = NULL;
static dlist_head collectors;
static HTAB *sources;

/* --- jobs ----------------------------------------------------------------- */

/*
 * What has been deferred by then has fired; what somebody defers on the tables
 * of jobs, or on tables that such triggers write to, comes after that.
 */
static void
store_jobs(void)
{
	dlist_iter iter;

	while (trigger_inputs_wait())
	{
		PushActiveSnapshot(GetTransactionSnapshot());
		dlist_foreach(iter, &collectors)
			trigger_store(dlist_container(Collector, node, iter.cur));
		PopActiveSnapshot();
		AfterTriggerFireDeferred();
	}
	trigger_inputs_end();
}

/* --- transaction events --------------------------------------------------- */

static void
forget_all(void)
{
	HASH_SEQ_STATUS seq;
	Source *source;

	hash_seq_init(&seq, sources);
	while ((source = hash_seq_search(&seq)) != NULL)
		trigger_clear_forget(&source->clear);
	MemoryContextDelete(collect_cxt);
	collect_cxt = NULL;
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
			store_jobs();
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
	(void) arg;
	if (collect_cxt != NULL)
		trigger_inputs_subxact(event, subid, parent);
}

static void
begin_collecting(void)
{
	static bool registered = false;
	HASHCTL info = {.keysize = sizeof(SourceKey), .entrysize = sizeof(Source)};

	if (!registered)
	{
		RegisterXactCallback(at_transaction_event, NULL);
		RegisterSubXactCallback(at_subtransaction_event, NULL);
		registered = true;
	}
	if (collect_cxt != NULL)
		return;
	collect_cxt = AllocSetContextCreate(TopTransactionContext,
										"modal_batch trigger",
										ALLOCSET_DEFAULT_SIZES);
	dlist_init(&collectors);
	info.hcxt = collect_cxt;
	sources = hash_create("modal_batch trigger", 16, &info,
						  HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	trigger_inputs_begin(collect_cxt);
}

/* --- set-up per table ----------------------------------------------------- */

static void
check_call(FunctionCallInfo fcinfo)
{
	modal_check_preloaded();
	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("modal_trigger() was not called by the trigger manager")));
}

Oid
trigger_target(Oid relid, Oid trigger, bool missing_ok)
{
	Oid table;
	Oid owner;
	Oid target;
	ListCell *lc;

	if (!get_rel_relispartition(relid))
		return relid;
	table = trigger_catalog_table(relid, trigger);
	owner = relation_owner(table);
	target = relation_owner(relid) == owner ? relid : InvalidOid;
	foreach (lc, get_partition_ancestors(relid))
		if (relation_owner(lfirst_oid(lc)) == owner &&
			relation_primary_key(lfirst_oid(lc)) != NIL)
			target = lfirst_oid(lc);
	if (!OidIsValid(target) && !missing_ok)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("partition \"%s\" does not belong to the owner of table \"%s\"",
						get_rel_name(relid), get_rel_name(table)),
				 errdetail("Jobs of that table's triggers write to a table that does, and has a primary key.")));
	return target;
}

/*
 * By the names of now, also where the statement that fires the trigger was begun
 * before they were given.  The table is locked, so that they stay; InvalidOid:
 * there is none.
 */
static Oid
follow_other_table(const Trigger *trigger, TriggerSpec *spec)
{
	Oid relid = generated_other_table(trigger->tgoid);
	Relation catalog;
	OurTrigger *now;

	if (!OidIsValid(relid))
		return relid;
	LockRelationOid(relid, AccessShareLock);
	catalog = table_open(TriggerRelationId, AccessShareLock);
	now = trigger_catalog_get(catalog, trigger->tgoid);
	table_close(catalog, AccessShareLock);
	if (now != NULL)
		trigger_spec_read(spec, now->nargs, now->args);
	spec->into_table = quote_qualified_identifier(
		get_namespace_name(get_rel_namespace(relid)), get_rel_name(relid));
	return relid;
}

/*
 * It may have been made where nobody looked at it, or the table be altered.
 * Returns what follow_other_table has locked.
 */
static Oid
check_trigger(const TriggerData *td, TriggerSpec *spec)
{
	const Trigger *trigger = td->tg_trigger;
	Oid other = InvalidOid;

	trigger_spec_read(spec, trigger->tgnargs, trigger->tgargs);
	if (spec->into_table != NULL)
		other = follow_other_table(trigger, spec);
	trigger_check_type(trigger->tgtype, spec);
	trigger_check_spec(td->tg_relation, spec);
	if (reference_server(spec->function, strlen(spec->function)).p == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("trigger \"%s\" of relation \"%s\" names no server",
						trigger->tgname,
						RelationGetRelationName(td->tg_relation)),
				 errhint("Drop the trigger and create it again.")));
	return other;
}

/* Without one, rows would not be found again. */
static void
check_primary_key(const SinkSpec *sink)
{
	if (sink->key_columns == NIL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table \"%s\" has no primary key",
						get_rel_name(sink->into_table)),
				 errdetail("modal_trigger() needs one to find the row again when the result is there.")));
}

SinkTarget *
trigger_job_model(Job *job, Oid target, const TriggerSpec *spec)
{
	SinkSpec *sink = &job->sink;
	SinkTarget *columns;

	job->by_trigger = true;
	job->kwargs = spec->kwargs;
	job->priority = spec->priority;
	sink->mode = SINK_UPDATE;
	sink->into_table = target;
	sink->result_column = spec->result_column;
	sink->version_column = spec->version_column;
	sink->key_columns = relation_primary_key(target);
	sink->check_columns = spec->columns;
	job->owner = relation_owner(target);
	columns = sink_target_get(sink, job->owner);
	check_primary_key(sink);
	return columns;
}

/* As the owner of the table that the job will be of. */
static Endpoint *
stored_endpoint(const Job *job, const TriggerSpec *spec, const char **rest)
{
	Endpoint *endpoint;
	OwnerScope scope;

	owner_enter_rights(&scope, job->owner);
	endpoint = endpoint_get_stored(spec->function, job->owner, rest);
	owner_leave(&scope);
	return endpoint;
}

static Collector *
make_collector(Oid target, const Trigger *trigger, const TriggerSpec *spec)
{
	Collector *collector = palloc0(sizeof(Collector));
	Job *job = &collector->job;
	const char *rest;

	collector->target = target;
	collector->nargs = trigger->tgnargs;
	collector->args = palloc(sizeof(char *) * trigger->tgnargs);
	for (int i = 0; i < trigger->tgnargs; i++)
		collector->args[i] = pstrdup(trigger->tgargs[i]);
	collector->skip_nulls = spec->skip_nulls;
	input_queue_init(&collector->inputs);
	if (spec->webhook)
		webhook_job_model(job, target);
	else if (spec->into_table != NULL)
		collector->columns = trigger_rows_model(
			job, target, trigger_rows_target(spec), spec);
	else
		collector->columns = trigger_job_model(job, target, spec);
	collector->endpoint = stored_endpoint(job, spec, &rest);
	trigger_check_server(spec, collector->endpoint);
	job->function = endpoint_reference(collector->endpoint, rest);
	job->max_failures = -1;
	limits_of_server(job, collector->endpoint);
	collector->max_inputs = limits_max_inputs(collector->endpoint);
	dlist_push_tail(&collectors, &collector->node);
	return collector;
}

static bool
has_arguments(const Collector *collector, const Trigger *trigger)
{
	if (collector->nargs != trigger->tgnargs)
		return false;
	for (int i = 0; i < collector->nargs; i++)
		if (strcmp(collector->args[i], trigger->tgargs[i]) != 0)
			return false;
	return true;
}

static bool
names_equal(const List *a, const List *b)
{
	ListCell *lc, *lc2;

	if (list_length(a) != list_length(b))
		return false;
	forboth (lc, a, lc2, b)
		if (strcmp(lfirst(lc), lfirst(lc2)) != 0)
			return false;
	return true;
}

/* Do its inputs have their keys by the names that these have now? */
static bool
has_key_names(const Collector *collector)
{
	const SinkSpec *sink = &collector->job.sink;

	return collector->columns == NULL || /* a webhook, without keys */
		names_equal(OidIsValid(sink->source_table) ? sink->key_names : sink->key_columns,
					relation_primary_key(collector->target));
}

/* NULL: there is none yet. */
static Collector *
find_collector(Oid target, const Trigger *trigger)
{
	dlist_iter iter;

	dlist_foreach(iter, &collectors)
	{
		Collector *collector = dlist_container(Collector, node, iter.cur);

		if (collector->target == target && has_arguments(collector, trigger) &&
			has_key_names(collector))
			return collector;
	}
	return NULL;
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
		namestrcpy(&source->names[source->nwatched], lfirst(lc));
		source->types[source->nwatched++] = TupleDescAttr(desc, column)->atttypid;
	}
	return columns;
}

static void
fill_source(Source *source, const TriggerData *td, const TriggerSpec *spec)
{
	Relation rel = td->tg_relation;
	Oid target = trigger_target(RelationGetRelid(rel), td->tg_trigger->tgoid, false);
	Collector *collector = find_collector(target, td->tg_trigger);
	const SinkSpec *sink;
	InputColumns columns = {0};
	int most;

	if (collector == NULL)
		collector = make_collector(target, td->tg_trigger, spec);
	sink = &collector->job.sink;
	most = list_length(sink->check_columns) + list_length(sink->key_columns);
	source->collector = collector;
	namestrcpy(&source->table, RelationGetRelationName(rel));
	source->nwatched = 0;
	source->watched = palloc(sizeof(int) * most);
	source->names = palloc(sizeof(NameData) * most);
	source->types = palloc(sizeof(Oid) * most);
	source->nargs = list_length(sink->check_columns);
	columns.nargs = columns.nchecks = source->nargs;
	columns.args = find_attributes(source, rel, sink->check_columns);
	columns.checks = columns.args;
	columns.nkeys = source->nkeys = list_length(sink->key_columns);
	columns.keys = find_attributes(source, rel,
								   spec->into_table == NULL ? sink->key_columns
															: sink->key_names);
	source->result = spec->into_table != NULL
		? -1
		: find_attribute(RelationGetDescr(rel), spec->result_column,
						 RelationGetRelationName(rel));
	source->version = spec->version_column == NULL
		? -1
		: find_attribute(RelationGetDescr(rel), spec->version_column,
						 RelationGetRelationName(rel));

	source->enc = input_encoder_create(collect_cxt,
									   endpoint_arg_format(collector->endpoint),
									   collector->job.kwargs,
									   RelationGetDescr(rel), &columns);
	collector->job.format = input_encoder_format(source->enc);
}

/*
 * Still as it was made for?  Tables can be altered between statements, names
 * be given to other columns.
 */
static bool
source_is_valid(const Source *source, const TriggerData *td)
{
	TupleDesc desc = RelationGetDescr(td->tg_relation);

	if (source->enc == NULL ||
		strcmp(NameStr(source->table), RelationGetRelationName(td->tg_relation)) != 0 ||
		!has_arguments(source->collector, td->tg_trigger))
		return false;
	for (int i = 0; i < source->nwatched; i++)
	{
		int column = source->watched[i];
		Form_pg_attribute att;

		if (column >= desc->natts)
			return false;
		att = TupleDescAttr(desc, column);
		if (att->attisdropped || att->atttypid != source->types[i] ||
			strcmp(NameStr(att->attname), NameStr(source->names[i])) != 0)
			return false;
	}
	return true;
}

static Source *
find_source(const TriggerData *td)
{
	SourceKey key = {RelationGetRelid(td->tg_relation), td->tg_trigger->tgoid};
	Source *source;
	TriggerSpec spec;
	MemoryContext old;
	Oid other;
	bool found;

	source = hash_search(sources, &key, HASH_ENTER, &found);
	if (!found)
	{
		source->enc = NULL;
		source->clear = NULL;
	}
	if (source_is_valid(source, td))
		return source;

	/* what it had stays until the end of the transaction */
	source->enc = NULL;
	trigger_clear_forget(&source->clear);
	old = MemoryContextSwitchTo(collect_cxt);
	other = check_trigger(td, &spec);
	fill_source(source, td, &spec);
	if (OidIsValid(other))
		UnlockRelationOid(other, AccessShareLock);
	MemoryContextSwitchTo(old);
	return source;
}

/* --- who asks for what is collected ---------------------------------------- */

/* After that one, or from the first on, whose job will write to the column. */
static Collector *
next_collector(Collector *after, Oid table, const char *column)
{
	dlist_node *node = after != NULL ? &after->node : &collectors.head;

	if (collect_cxt == NULL)
		return NULL;
	while (node->next != &collectors.head)
	{
		Collector *collector = dlist_container(Collector, node, node->next);

		if (trigger_store_fills(collector, table, column))
			return collector;
		node = node->next;
	}
	return NULL;
}

void
trigger_read_collected(Oid table, const char *column, CollectedReader reader,
					   void *arg)
{
	Collector *collector = NULL;

	while ((collector = next_collector(collector, table, column)) != NULL)
		trigger_store_read(collector, reader, arg);
}

bool
trigger_has_collected(Oid table, const char *column)
{
	return next_collector(NULL, table, column) != NULL;
}

void
trigger_drop_collected(Oid table, const char *column)
{
	Collector *collector = NULL;

	while ((collector = next_collector(collector, table, column)) != NULL)
		input_queue_cut(&collector->inputs);
}

/* --- the trigger ---------------------------------------------------------- */

/*
 * Has an UPDATE changed a column that is watched, from that one on?  Write-backs
 * have not.
 */
static bool
row_changed(const Source *source, const TriggerData *td, int first)
{
	TupleDesc desc = RelationGetDescr(td->tg_relation);
	TupleTableSlot *before = td->tg_trigslot;
	TupleTableSlot *after = td->tg_newslot;

	slot_getallattrs(before);
	slot_getallattrs(after);
	for (int i = first; i < source->nwatched; i++)
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

static bool
has_null_argument(const Source *source, const TupleTableSlot *slot)
{
	for (int i = 0; i < source->nargs; i++)
		if (slot->tts_isnull[source->watched[i]])
			return true;
	return false;
}

static const char *
path_of(Collector *collector)
{
	MemoryContext old = MemoryContextSwitchTo(collect_cxt);

	if (collector->path == NULL)
		collector->path = owner_path(collector->job.owner);
	MemoryContextSwitchTo(old);
	return collector->path;
}

/* The row has lost an argument: there is no result for it. */
static void
clear_result(Source *source, const TriggerData *td, const TupleTableSlot *slot)
{
	if (slot->tts_isnull[source->result] &&
		(source->version < 0 || slot->tts_isnull[source->version]))
		return;
	trigger_clear_row(&source->clear, td->tg_relation, &slot->tts_tid,
					  &source->collector->job, path_of(source->collector));
}

/*
 * The messages of one trigger are one job, of which a row's may come from two
 * partitions.
 */
static Collector *
message_collector(const TriggerData *td)
{
	Oid target = trigger_catalog_table(RelationGetRelid(td->tg_relation),
									   td->tg_trigger->tgoid);
	Collector *collector = find_collector(target, td->tg_trigger);
	TriggerSpec spec;

	if (collector != NULL)
		return collector;
	(void) check_trigger(td, &spec);
	return make_collector(target, td->tg_trigger, &spec);
}

/* A webhook: told of every change, whatever it is. */
static void
collect_message(const TriggerData *td)
{
	SourceKey key = {RelationGetRelid(td->tg_relation), td->tg_trigger->tgoid};
	Collector *collector;
	Source *source;
	bool found;

	source = hash_search(sources, &key, HASH_ENTER, &found);
	if (!found)
	{
		source->clear = NULL;
		source->collector = NULL;
	}
	if (source->collector == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(collect_cxt);

		source->collector = message_collector(td);
		MemoryContextSwitchTo(old);
	}
	collector = source->collector;
	collector->job.order_stripes |=
		webhook_encode(td, collector->endpoint->ordered_by, collect_cxt,
					   input_queue_tail(&collector->inputs));
	input_queue_added(&collector->inputs);
}

/* The row has gone, or has another key: so have those that were made from it. */
static void
delete_rows(Source *source, const TriggerData *td)
{
	TupleTableSlot *slot = td->tg_trigslot;
	Collector *collector = source->collector;
	Datum *key = palloc(sizeof(Datum) * source->nkeys);

	slot_getallattrs(slot);
	for (int i = 0; i < source->nkeys; i++)
		key[i] = slot->tts_values[source->watched[source->nwatched - source->nkeys + i]];
	trigger_rows_delete(&source->clear, &collector->job, path_of(collector),
						collector->columns, key);
	pfree(key);
}

/*
 * An input for the row.  What an UPDATE finds of this very transaction may have
 * one already.
 */
static void
collect_input(Source *source, const TriggerData *td, const TupleTableSlot *slot)
{
	Collector *collector = source->collector;
	Buf *inputs = input_queue_tail(&collector->inputs);
	Size before = inputs->len;

	input_encode(source->enc, inputs, slot->tts_values, slot->tts_isnull);
	if (TRIGGER_FIRED_BY_UPDATE(td->tg_event) &&
		TransactionIdIsCurrentTransactionId(
			HeapTupleHeaderGetXmin(td->tg_trigtuple->t_data)))
		superseded_note(&collector->superseded, collect_cxt, inputs, before);
	input_queue_added(&collector->inputs);
}

Datum
modal_trigger(PG_FUNCTION_ARGS)
{
	TriggerData *td = (TriggerData *) fcinfo->context;
	TupleTableSlot *slot;
	Source *source;

	check_call(fcinfo);
	begin_collecting();
	if (td->tg_trigger->tgnargs == TRIGGER_WEBHOOK_ARGS)
	{
		collect_message(td);
		return PointerGetDatum(NULL);
	}
	source = find_source(td);
	if (TRIGGER_FIRED_BY_DELETE(td->tg_event))
	{
		delete_rows(source, td);
		return PointerGetDatum(NULL);
	}
	if (TRIGGER_FIRED_BY_UPDATE(td->tg_event))
	{
		if (!row_changed(source, td, 0))
			return PointerGetDatum(NULL);
		if (OidIsValid(source->collector->job.sink.source_table) &&
			row_changed(source, td, source->nwatched - source->nkeys))
			delete_rows(source, td);
		slot = td->tg_newslot;
	}
	else
		slot = td->tg_trigslot;

	slot_getallattrs(slot);
	if (source->collector->skip_nulls && has_null_argument(source, slot))
	{
		/* an UPDATE that moves a row inserts it into the other partition */
		if (TRIGGER_FIRED_BY_UPDATE(td->tg_event) ||
			td->tg_relation->rd_rel->relispartition)
			clear_result(source, td, slot);
		return PointerGetDatum(NULL);
	}
	collect_input(source, td, slot);
	return PointerGetDatum(NULL);
}
