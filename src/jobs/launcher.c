/*-------------------------------------------------------------------------
 *
 * launcher.c
 *	  Starts a runner for each role and database that wants one.
 *
 * At server start and at promotion it does not know which databases have
 * unfinished jobs, so each gets a scout, a few at a time, which looks whose
 * jobs there are and leaves.  Afterwards the launcher sleeps until a commit
 * wants a runner where there is none, or one has ended.
 *
 * When there is no place for another runner, one that is idle, or has had its
 * turn, is asked for its own.
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_database.h"
#include "guc.h"
#include "jobs/owner.h"
#include "jobs/runner.h"
#include "jobs/runner_state.h"
#include "jobs/suspect.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/procsignal.h"
#include "tcop/tcopprot.h"
#include "utils/acl.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#define MAX_STARTING 3
#define NO_WORKER_RETRY_MS 1000 /* when max_worker_processes is used up */

pg_noreturn extern PGDLLEXPORT void modal_launcher_main(Datum main_arg);

/* A runner that has been asked for. */
typedef struct Start
{
	RunnerKey key;
	BackgroundWorkerHandle *handle;
} Start;

static Start starts[MAX_STARTING];

/* Databases that could not get an entry when everything was looked at. */
static List *waiting_databases = NIL;

/* Wish for a runner in every database that can be connected to. */
static void
look_everywhere(void)
{
	Relation rel;
	TableScanDesc scan;
	HeapTuple tup;
	MemoryContext old = CurrentMemoryContext;
	List *all = NIL;

	StartTransactionCommand();
	(void) GetTransactionSnapshot();
	rel = table_open(DatabaseRelationId, AccessShareLock);
	scan = table_beginscan_catalog(rel, 0, NULL);
	while ((tup = heap_getnext(scan, ForwardScanDirection)) != NULL)
	{
		Form_pg_database db = (Form_pg_database) GETSTRUCT(tup);
		MemoryContext xact_cxt;

		/* an interrupted DROP DATABASE has left it invalid: nobody can enter */
		if (!db->datallowconn || db->datconnlimit == DATCONNLIMIT_INVALID_DB)
			continue;
		xact_cxt = MemoryContextSwitchTo(old);
		all = lappend_oid(all, db->oid);
		MemoryContextSwitchTo(xact_cxt);
	}
	table_endscan(scan);
	table_close(rel, AccessShareLock);
	CommitTransactionCommand();
	MemoryContextSwitchTo(old);

	list_free(waiting_databases);
	waiting_databases = all;
}

static void
place_waiting_databases(void)
{
	while (waiting_databases != NIL &&
		   launcher_want((RunnerKey) {linitial_oid(waiting_databases), InvalidOid}))
		waiting_databases = list_delete_first(waiting_databases);
}

typedef enum DatabaseState
{
	DATABASE_GONE, /* or invalid: it is only there to be dropped */
	DATABASE_CLOSED,
	DATABASE_OPEN
} DatabaseState;

static DatabaseState
database_state(Oid dbid)
{
	HeapTuple tup = SearchSysCache1(DATABASEOID, ObjectIdGetDatum(dbid));
	Form_pg_database database;
	DatabaseState state;

	if (!HeapTupleIsValid(tup))
		return DATABASE_GONE;
	database = (Form_pg_database) GETSTRUCT(tup);
	state = database->datconnlimit == DATCONNLIMIT_INVALID_DB ? DATABASE_GONE
		: database->datallowconn							  ? DATABASE_OPEN
															  : DATABASE_CLOSED;
	ReleaseSysCache(tup);
	return state;
}

/*
 * May it be started, and how?  When nobody may act as that role here, the
 * database's scout says so to its jobs, if it can get in.
 */
static bool
may_start(RunnerKey key, OwnerAccess *access)
{
	RunnerKey scout = {key.dbid, InvalidOid};
	MemoryContext old = CurrentMemoryContext;
	DatabaseState state;

	StartTransactionCommand();
	state = database_state(key.dbid);
	*access = !OidIsValid(key.owner) ? OWNER_SESSION
		: state == DATABASE_GONE	 ? OWNER_GONE
									 : owner_access(key.dbid, key.owner);
	CommitTransactionCommand();
	MemoryContextSwitchTo(old);

	if (state == DATABASE_GONE || *access == OWNER_GONE)
	{
		launcher_forget(key);
		suspect_forget(key);
		if (state != DATABASE_GONE)
			(void) launcher_want(scout);
		return false;
	}
	if (state == DATABASE_OPEN && *access != OWNER_REFUSED)
		return true;
	launcher_start_failed(key);
	if (state == DATABASE_OPEN)
		(void) launcher_want(scout);
	return false;
}

static bool
start_runner(RunnerKey key, OwnerAccess access, BackgroundWorkerHandle **handle)
{
	BackgroundWorker worker;
	RunnerStart start = {key, access == OWNER_SESSION};
	const char *type =
		OidIsValid(key.owner) ? "modal_batch runner" : "modal_batch scout";

	memset(&worker, 0, sizeof(worker));
	worker.bgw_flags =
		BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART; /* that is up to us */
	worker.bgw_notify_pid = MyProcPid;
	StaticAssertStmt(sizeof(start) <= BGW_EXTRALEN, "no room");
	memcpy(worker.bgw_extra, &start, sizeof(start));
	strlcpy(worker.bgw_library_name, "modal_batch", BGW_MAXLEN);
	strlcpy(worker.bgw_function_name, "modal_runner_main", BGW_MAXLEN);
	snprintf(worker.bgw_name, BGW_MAXLEN, "%s for database %u", type, key.dbid);
	strlcpy(worker.bgw_type, type, BGW_MAXLEN);
	return RegisterDynamicBackgroundWorker(&worker, handle);
}

/*
 * Forget starts that have come to something.  A runner takes its entry before
 * anything else, so only one that never ran has to be reported.
 */
static void
check_starts(void)
{
	for (int i = 0; i < MAX_STARTING; i++)
	{
		BgwHandleStatus status;
		pid_t pid;

		if (starts[i].handle == NULL)
			continue;
		status = GetBackgroundWorkerPid(starts[i].handle, &pid);
		if (status == BGWH_NOT_YET_STARTED)
			continue;
		if (status != BGWH_STARTED)
			launcher_start_failed(starts[i].key);
		pfree(starts[i].handle);
		starts[i].handle = NULL;
	}
}

static Start *
free_start(void)
{
	for (int i = 0; i < MAX_STARTING; i++)
		if (starts[i].handle == NULL)
			return &starts[i];
	return NULL;
}

/* max_worker_processes is used up. */
static long
no_worker(RunnerKey key)
{
	static bool complained = false;

	launcher_start_later(key);
	launcher_ask_for_place();
	if (!complained)
		ereport(WARNING,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("could not start a job runner for database %u", key.dbid),
				 errhint("You might need to increase max_worker_processes.")));
	complained = true;
	return NO_WORKER_RETRY_MS;
}

/* Start what can be started; returns how long to sleep (-1: for ever). */
static long
start_runners(void)
{
	Start *start;
	long wait_ms = -1;

	while ((start = free_start()) != NULL)
	{
		OwnerAccess access;

		if (!launcher_next(MAX_STARTING, &start->key, &wait_ms))
			break;
		if (!may_start(start->key, &access))
			continue;
		if (!start_runner(start->key, access, &start->handle))
		{
			start->handle = NULL;
			return no_worker(start->key);
		}
	}
	return wait_ms;
}

/*
 * A process without a database does not by itself: what it has once found out
 * about a role would hold for ever.
 */
static void
hear_of_memberships(void)
{
	StartTransactionCommand();
	initialize_acl();
	CommitTransactionCommand();
}

void
modal_launcher_main(Datum main_arg)
{
	(void) main_arg;
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);
	hear_of_memberships();
	launcher_enter();
	pgstat_report_appname("modal_batch launcher");

	for (;;)
	{
		long wait_ms;

		CHECK_FOR_INTERRUPTS();
		modal_reload_configuration();
		check_starts();
		if (waiting_databases == NIL && launcher_take_look_everywhere())
			look_everywhere();
		place_waiting_databases();
		wait_ms = start_runners();

		pgstat_report_activity(STATE_IDLE, NULL);
		(void) WaitLatch(MyLatch,
						 WL_LATCH_SET | WL_EXIT_ON_PM_DEATH |
							 (wait_ms >= 0 ? WL_TIMEOUT : 0),
						 wait_ms, modal_wait_event("ModalLauncherIdle"));
		ResetLatch(MyLatch);
	}
}
