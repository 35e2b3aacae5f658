/*-------------------------------------------------------------------------
 *
 * home.c
 *	  Which database a job belongs to; see home.h.
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "commands/trigger.h"
#include "jobs/error.h"
#include "jobs/home.h"
#include "jobs/new_owner.h"
#include "jobs/sql.h"
#include "jobs/store.h"
#include "jobs/subxact.h"
#include "replication/logicalworker.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/uuid.h"

PG_FUNCTION_INFO_V1(modal_this_database);
PG_FUNCTION_INFO_V1(modal_not_replicated);

/* --- which database this is ------------------------------------------------ */

static void
read_database_id(Oid table, pg_uuid_t *id)
{
	Relation rel = table_open(table, AccessShareLock);
	SysScanDesc scan = systable_beginscan(rel, InvalidOid, false,
										  GetLatestSnapshot(), 0, NULL);
	HeapTuple tuple = systable_getnext(scan);
	Datum value;
	bool isnull;

	if (!HeapTupleIsValid(tuple))
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("table \"modal_batch.database_id\" is empty")));
	value = heap_getattr(tuple, 1, RelationGetDescr(rel), &isnull);
	Assert(!isnull); /* the column is NOT NULL */
	*id = *DatumGetUUIDP(value);
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
}

Datum
home_this_database(void)
{
	static Oid known_table = InvalidOid;
	static pg_uuid_t known;
	Oid table = store_relation("database_id");
	pg_uuid_t *id = palloc(sizeof(pg_uuid_t));
	Oid database = MyDatabaseId;

	if (!OidIsValid(table))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("table \"modal_batch.database_id\" does not exist")));
	if (table != known_table)
	{
		read_database_id(table, &known);
		known_table = table;
	}
	*id = known;
	for (int i = 0; i < (int) sizeof(database); i++)
		id->data[i] ^= (unsigned char) (database >> (8 * i));
	return UUIDPGetDatum(id);
}

Datum
modal_this_database(PG_FUNCTION_ARGS)
{
	(void) fcinfo;
	PG_RETURN_DATUM(home_this_database());
}

/* --- jobs of other databases ----------------------------------------------- */

void
home_set_aside(void)
{
	static bool done = false;
	ErrorData edata = {.sqlerrcode = ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE};
	Datum args[1];
	uint64 n;

	if (done)
		return;
	edata.message = "the job was made in another database, of which this is a copy";
	edata.hint = "Call modal_batch.start_runner() to run the jobs of this database anew.";
	args[0] = PointerGetDatum(edata_to_jsonb(&edata, 0));
	n = store_run_alone(PAUSE_OF_OTHERS, args, NULL);
	if (n > 0)
		ereport(LOG,
				(errmsg("paused %llu jobs that were made in another database",
						(unsigned long long) n),
				 errhint("Call modal_batch.start_runner() to run them here.")));
	done = true;
}

bool
home_is_here(int64 job)
{
	StoreScope scope;
	Datum args[] = {Int64GetDatum(job)};
	bool here = true;

	store_enter(&scope);
	if (store_run(IS_HERE, args, NULL) > 0)
	{
		RowReader row = {SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 0};

		here = DatumGetBool(next_value(&row));
	}
	store_leave(&scope);
	return here;
}

void
home_disown(int64 job)
{
	Datum args[] = {Int64GetDatum(job)};

	store_run_alone(DISOWN, args, NULL);
}

/*
 * Locked; NULL: it is gone, or somebody has done something else with it.  Where the
 * whole transaction has one snapshot, waiting for one that goes ends with an error.
 */
static Job *
lock_job(int64 id)
{
	SubScope sub;
	Job *volatile job = NULL;
	ErrorData *volatile edata = NULL;

	if (!IsolationUsesXactSnapshot())
		return job_store_lock_of_other_database(id);
	sub_begin(&sub);
	PG_TRY();
	{
		job = job_store_lock_of_other_database(id);
		sub_commit(&sub);
	}
	PG_CATCH();
	{
		edata = sub_abort(&sub);
	}
	PG_END_TRY();
	if (edata != NULL && (edata->sqlerrcode != ERRCODE_T_R_SERIALIZATION_FAILURE ||
						  job_store_is_there(id)))
		ReThrowError(edata);
	return job;
}

/* Whoever only wants a runner to be woken is not kept waiting for a lock. */
void
home_move_in(void)
{
	List *ids;
	ListCell *lc;

	if (!ConditionalLockRelationOid(store_relation("job"), RowExclusiveLock))
	{
		ereport(NOTICE,
				(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
				 errmsg("table \"modal_batch.job\" is locked: jobs that were made in another database are not looked for")));
		return;
	}
	ids = job_store_of_other_databases();
	/* these may have been restored as somebody else's */
	if (ids != NIL)
		owner_change_follow_tables(0);
	foreach (lc, ids)
	{
		Job *job = job_store_load(*(int64 *) lfirst(lc));

		CHECK_FOR_INTERRUPTS();
		if (job == NULL || !has_privs_of_role(GetUserId(), job->owner))
			continue;
		job = lock_job(job->id);
		if (job != NULL)
			(void) job_store_requeue(job, false, NULL);
	}
}

/* --- logical replication --------------------------------------------------- */

/*
 * A row trigger that is enabled for replication alone: see the script.  What a
 * trigger of a replicated table writes there, in the same process, is our own.
 */
Datum
modal_not_replicated(PG_FUNCTION_ARGS)
{
	TriggerData *td = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_FOR_ROW(td->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("not_replicated() must be called for each row")));
	if (IsLogicalWorker() && !store_is_writing())
		return PointerGetDatum(NULL);
	return PointerGetDatum(TRIGGER_FIRED_BY_UPDATE(td->tg_event)
							   ? td->tg_newtuple
							   : td->tg_trigtuple);
}
