/*-------------------------------------------------------------------------
 *
 * trigger_store.c
 *	  The inputs that a transaction has collected become a job; see
 *	  trigger_store.h.
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include "jobs/limits.h"
#include "jobs/sql.h"
#include "jobs/trigger_spec.h"
#include "jobs/trigger_store.h"
#include "jobs/wake.h"
#include "storage/lmgr.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/syscache.h"
#include "values/values.h"

/* A job on its way into the table. */
typedef struct StoredJob
{
	Job job;
	Buf chunk;
	int count; /* inputs in it */
	Superseded *superseded;
} StoredJob;

/* Somebody reads what will be sent. */
typedef struct Reading
{
	Superseded *superseded;
	CollectedReader reader;
	void *arg;
} Reading;

static void
flush_chunk(StoredJob *stored)
{
	if (stored->count == 0)
		return;
	job_store_insert_chunk(stored->job.id, stored->job.inputs, stored->count,
						   &stored->chunk, NULL);
	stored->job.inputs += stored->count;
	stored->count = 0;
	buf_reset(&stored->chunk);
}

static void
add_records(StoredJob *stored, const uint8 *records, Size len, int count)
{
	if (stored->chunk.len + len > CHUNK_TARGET_BYTES ||
		stored->count + count > CHUNK_MAX_INPUTS)
		flush_chunk(stored);
	if (stored->job.id == 0)
		stored->job.id = job_store_next_id();
	buf_put(&stored->chunk, records, len);
	stored->count += count;
}

static void
add_inputs(void *arg, const Buf *inputs, int count)
{
	StoredJob *stored = arg;
	const uint8 *p = inputs->data;
	const uint8 *end = p + inputs->len;
	const uint8 *record = p;
	ChunkRecord input;

	if (stored->superseded == NULL)
		add_records(stored, inputs->data, inputs->len, count);
	else
		for (; chunk_next(&p, end, &input); record = p)
			if (!superseded_take(stored->superseded, &input))
				add_records(stored, record, p - record, 1);
}

static void
count_inputs(void *arg, const Buf *inputs, int count)
{
	(void) count;
	superseded_count(arg, inputs);
}

static void
find_superseded(Collector *collector)
{
	if (collector->superseded == NULL)
		return;
	superseded_begin(collector->superseded);
	input_queue_read(&collector->inputs, count_inputs, collector->superseded);
}

static void
read_inputs(void *arg, const Buf *inputs, int count)
{
	const Reading *reading = arg;
	const uint8 *p = inputs->data;
	ChunkRecord input;

	(void) count;
	while (chunk_next(&p, inputs->data + inputs->len, &input))
		if (reading->superseded == NULL ||
			!superseded_take(reading->superseded, &input))
			reading->reader(reading->arg, &input);
}

void
trigger_store_read(Collector *collector, CollectedReader reader, void *arg)
{
	Reading reading = {collector->superseded, reader, arg};

	find_superseded(collector);
	input_queue_read(&collector->inputs, read_inputs, &reading);
}

static void
drop_inputs(void *arg, const Buf *inputs, int count)
{
	(void) arg;
	(void) inputs;
	(void) count;
}

static bool
is_declared(const Collector *collector)
{
	return collector->nargs > TRIGGER_OPTIONS;
}

/* NULL: it has gone. */
static char *
name_now(Oid relid, AttrNumber attno)
{
	return get_atttype(relid, attno) == InvalidOid ? NULL
												   : get_attname(relid, attno, true);
}

/* False when some are gone. */
static bool
names_now(Oid relid, const AttrNumber *attnos, int n, List **names)
{
	*names = NIL;
	for (int i = 0; i < n; i++)
	{
		char *name = name_now(relid, attnos[i]);

		if (name == NULL)
			return false;
		*names = lappend(*names, name);
	}
	return true;
}

/* So it is of a column that may be none. */
static bool
set_name(Oid relid, AttrNumber attno, char **name)
{
	if (attno == 0)
		return true;
	*name = name_now(relid, attno);
	return *name != NULL;
}

bool
trigger_store_fills(const Collector *collector, Oid table, const char *column)
{
	const SinkSpec *sink = &collector->job.sink;
	const char *name = is_declared(collector) && !OidIsValid(sink->source_table)
		? name_now(collector->target, collector->columns->result)
		: sink->result_column;

	return sink->into_table == table && name != NULL && strcmp(name, column) == 0;
}

/*
 * Columns of a declaration may have got other names since; the arguments of a
 * trigger that is none are what they are.  False when some are gone, and the
 * declaration with them.
 */
static bool
set_names(const Collector *collector, SinkSpec *sink)
{
	const SinkTarget *columns = collector->columns;
	const SinkSource *source = columns->source;
	Oid table = sink->into_table;
	List *keys;
	ListCell *lc, *lc2;

	if (!names_now(table, columns->keys, columns->nkeys, &keys) ||
		!set_name(table, columns->result, &sink->result_column) ||
		!set_name(table, columns->ordinality, &sink->ordinality_column) ||
		!set_name(table, columns->version, &sink->version_column))
		return false;
	/* inputs have them as they were */
	if (sink->key_names == NIL)
		forboth (lc, keys, lc2, sink->key_columns)
			if (strcmp(lfirst(lc), lfirst(lc2)) != 0)
				sink->key_names = sink->key_columns;
	sink->key_columns = keys;
	return source != NULL
		? names_now(source->relid, source->attnos, list_length(source->checks),
					&sink->check_columns)
		: names_now(table, columns->checks, columns->nchecks, &sink->check_columns);
}

/*
 * Is there still what its job is about?  The names of a table of rows that are
 * generated are held until the commit, as those of the one that was written are.
 */
static bool
follow_tables(const Collector *collector, SinkSpec *sink)
{
	if (OidIsValid(sink->into_table) && sink->into_table != collector->target)
		LockRelationOid(sink->into_table, AccessShareLock);
	if (!SearchSysCacheExists1(RELOID, ObjectIdGetDatum(collector->target)) ||
		!OidIsValid(store_relation("job")))
		return false;
	if (!is_declared(collector))
		return true;
	return SearchSysCacheExists1(RELOID, ObjectIdGetDatum(sink->into_table)) &&
		set_names(collector, sink);
}

void
trigger_store(Collector *collector)
{
	StoredJob stored = {.job = collector->job, .superseded = collector->superseded};

	if (!follow_tables(collector, &stored.job.sink))
	{
		input_queue_drain(&collector->inputs, drop_inputs, NULL);
		return;
	}
	/* it may have changed since the first row was collected */
	stored.job.owner = relation_owner(collector->target);
	buf_init(&stored.chunk, MaxAllocSize, buf_palloc);
	find_superseded(collector);
	input_queue_drain(&collector->inputs, add_inputs, &stored);
	flush_chunk(&stored);
	if (stored.job.inputs > 0)
	{
		limits_check_inputs(stored.job.inputs, collector->max_inputs);
		job_store_insert(&stored.job);
		wake_runner_at_commit(stored.job.owner);
	}
	buf_free(&stored.chunk);
}
