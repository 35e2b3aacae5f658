/*-------------------------------------------------------------------------
 *
 * launcher.c
 *	  Starts a runner for each database that wants one.
 *
 * At server start and at promotion it does not know which databases have
 * unfinished jobs, so each gets a runner, a few at a time, that leaves at
 * once when it finds nothing.  Afterwards the launcher sleeps until a commit
 * wants a runner where there is none, or one has ended.
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
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "runner_state.h"
#include "link/shmem.h"
#include "storage/ipc.h"
#include "storage/procsignal.h"
#include "tcop/tcopprot.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#define MAX_STARTING 3
#define NO_WORKER_RETRY_MS 1000 /* when max_worker_processes is used up */

pg_noreturn extern PGDLLEXPORT void modal_launcher_main(Datum main_arg);

/* A runner that has been asked for. */
typedef struct Start
{
	Oid dbid;
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

		if (!db->datallowconn)
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
		   launcher_want(linitial_oid(waiting_databases)))
		waiting_databases = list_delete_first(waiting_databases);
}

static bool
database_exists(Oid dbid)
{
	MemoryContext old = CurrentMemoryContext;
	bool exists;

	StartTransactionCommand();
	exists = SearchSysCacheExists1(DATABASEOID, ObjectIdGetDatum(dbid));
	CommitTransactionCommand();
	MemoryContextSwitchTo(old);
	return exists;
}

static bool
start_runner(Oid dbid, BackgroundWorkerHandle **handle)
{
	BackgroundWorker worker;

	memset(&worker, 0, sizeof(worker));
	worker.bgw_flags =
		BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART; /* that is up to us */
	worker.bgw_main_arg = ObjectIdGetDatum(dbid);
	worker.bgw_notify_pid = MyProcPid;
	strlcpy(worker.bgw_library_name, "modal_batch", BGW_MAXLEN);
	strlcpy(worker.bgw_function_name, "modal_runner_main", BGW_MAXLEN);
	snprintf(worker.bgw_name, BGW_MAXLEN,
			 "modal_batch runner for database %u", dbid);
	strlcpy(worker.bgw_type, "modal_batch runner", BGW_MAXLEN);
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
			launcher_start_failed(starts[i].dbid);
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

/* Start what can be started; returns how long to sleep (-1: for ever). */
static long
start_runners(void)
{
	static bool complained = false;
	Start *start;
	long wait_ms = -1;

	while ((start = free_start()) != NULL)
	{
		Oid dbid = launcher_next(MAX_STARTING, &wait_ms);

		if (!OidIsValid(dbid))
			break;
		if (!database_exists(dbid))
		{
			launcher_forget(dbid);
			continue;
		}
		start->dbid = dbid;
		if (!start_runner(dbid, &start->handle))
		{
			start->handle = NULL;
			launcher_start_failed(dbid);
			if (!complained)
				ereport(WARNING,
						(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
						 errmsg("could not start a job runner for database %u", dbid),
						 errhint("You might need to increase max_worker_processes.")));
			complained = true;
			return NO_WORKER_RETRY_MS;
		}
		complained = false;
	}
	return wait_ms;
}

void
modal_launcher_main(Datum main_arg)
{
	(void) main_arg;
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);
	launcher_enter();
	pgstat_report_appname("modal_batch launcher");

	for (;;)
	{
		long wait_ms;

		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
		}
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
