/*-------------------------------------------------------------------------
 *
 * generated_inputs.c
 *	  Inputs that are kept for rows of a generated column; see
 *	  generated_inputs.h.
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include "core/chunk.h"
#include "funcapi.h"
#include "jobs/generated_inputs.h"
#include "jobs/home.h"
#include "jobs/sink_target.h"
#include "jobs/sql.h"
#include "jobs/store.h"
#include "jobs/trigger.h"
#include "jobs/wake.h"
#include "link/shmem.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/tuplestore.h"
#include "values/input_encoder.h"

PG_FUNCTION_INFO_V1(modal_column_inputs);

/* --- jobs ----------------------------------------------------------------- */

List *
column_jobs(Oid table, const char *column)
{
	StoreScope scope;
	Datum args[] = {ObjectIdGetDatum(table), CStringGetTextDatum(column)};
	List *jobs = NIL;
	uint64 n;

	store_enter(&scope);
	n = store_run(COLUMN_JOBS, args, NULL);
	for (uint64 i = 0; i < n; i++)
	{
		RowReader row = {SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 0};
		MemoryContext spi_cxt = MemoryContextSwitchTo(scope.cxt);
		ColumnJob *job = palloc(sizeof(ColumnJob));

		job->id = DatumGetInt64(next_value(&row));
		job->owner = DatumGetObjectId(next_value(&row));
		job->ended = DatumGetBool(next_value(&row));
		job->failed = DatumGetBool(next_value(&row));
		jobs = lappend(jobs, job);
		MemoryContextSwitchTo(spi_cxt);
	}
	store_leave(&scope);
	return jobs;
}

void
column_jobs_forget_failures(List *jobs)
{
	ListCell *lc;

	foreach (lc, jobs)
	{
		const ColumnJob *job = lfirst(lc);
		Datum args[] = {Int64GetDatum(job->id), (Datum) 0};

		if (!job->ended)
			continue;
		store_run_alone(DELETE_FAILED, args, " n"); /* whatever the code */
		if (!job->failed)
			continue;
		/* its remote call may still go on */
		home_disown(job->id);
		job_store_cancel(job->id, false);
		wake_runner_at_commit(job->owner);
	}
}

/* --- inputs --------------------------------------------------------------- */

typedef struct ColumnInputs
{
	Tuplestorestate *store;
	TupleDesc desc;
	const ColumnJob *job; /* NULL: there is none yet */
} ColumnInputs;

static void
put_input(ColumnInputs *out, const ChunkRecord *rec, bool failed)
{
	Datum values[4];
	bool nulls[4] = {false};

	values[0] = Int64GetDatum(input_identity(rec->meta, rec->meta_len));
	values[1] = BoolGetDatum(failed);
	values[2] = BoolGetDatum(out->job != NULL && out->job->ended);
	values[3] = BoolGetDatum(out->job == NULL);
	tuplestore_putvalues(out->store, out->desc, values, nulls);
}

static void
put_collected(void *arg, const ChunkRecord *rec)
{
	put_input(arg, rec, false);
}

/* Those without an outcome. */
static void
put_chunks(ColumnInputs *out)
{
	List *chunks;
	int64 next = 0;

	while ((chunks = job_store_chunks(out->job->id, next, 1)) != NIL)
	{
		JobChunk *chunk = linitial(chunks);
		const uint8_t *p = (const uint8_t *) VARDATA_ANY(chunk->inputs);
		const uint8_t *end = p + VARSIZE_ANY_EXHDR(chunk->inputs);
		const uint8_t *done = chunk->done == NULL
			? NULL
			: (const uint8_t *) VARDATA_ANY(chunk->done);
		ChunkRecord rec;

		CHECK_FOR_INTERRUPTS();
		for (int i = 0; i < chunk->count && chunk_next(&p, end, &rec); i++)
			if (done == NULL || !chunk_bit(done, i))
				put_input(out, &rec, out->job->failed);
		next = chunk->first + chunk->count;
		pfree(chunk->inputs);
	}
}

/* Some of those that have failed, from after that ordinal on. */
static bool
put_failures(ColumnInputs *out, int64 *after)
{
	StoreScope scope;
	Datum args[] = {Int64GetDatum(out->job->id), Int64GetDatum(*after), (Datum) 0};
	const char *nulls = "  n"; /* whatever the code */
	uint64 n;

	store_enter(&scope);
	n = store_run(FAILED_RESULTS, args, nulls);
	for (uint64 i = 0; i < n; i++)
	{
		RowReader row = {SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 0};
		bytea *record;
		const uint8_t *p;
		ChunkRecord rec;

		*after = DatumGetInt64(next_value(&row));
		record = DatumGetByteaPP(next_value(&row));
		p = (const uint8_t *) VARDATA_ANY(record);
		if (chunk_next(&p, p + VARSIZE_ANY_EXHDR(record), &rec))
			put_input(out, &rec, true);
	}
	store_leave(&scope);
	return n > 0;
}

static void
put_inputs(ColumnInputs *out, Oid table, const char *column)
{
	ListCell *lc;

	foreach (lc, column_jobs(table, column))
	{
		int64 after = -1;

		out->job = lfirst(lc);
		put_chunks(out);
		while (put_failures(out, &after))
			CHECK_FOR_INTERRUPTS();
	}
	out->job = NULL;
	trigger_read_collected(table, column, put_collected, out);
}

/* As the query sees the rows: what has got its result since is pending for both. */
Datum
modal_column_inputs(PG_FUNCTION_ARGS)
{
	Oid table = PG_GETARG_OID(0);
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	ColumnInputs out;

	modal_check_preloaded();
	if (!SearchSysCacheExists1(RELOID, ObjectIdGetDatum(table)))
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE),
						errmsg("the table, with OID %u, does not exist", table)));
	if (!relation_ownercheck(table, GetUserId()))
		aclcheck_error(ACLCHECK_NOT_OWNER, OBJECT_TABLE, get_rel_name(table));
	InitMaterializedSRF(fcinfo, 0);
	out.store = rsinfo->setResult;
	out.desc = rsinfo->setDesc;
	store_read_as(GetActiveSnapshot());
	PG_TRY();
	{
		put_inputs(&out, table, NameStr(*PG_GETARG_NAME(1)));
	}
	PG_FINALLY();
	{
		store_read_as(NULL);
	}
	PG_END_TRY();
	return (Datum) 0;
}
