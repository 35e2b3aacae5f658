/*-------------------------------------------------------------------------
 *
 * modal_batch.c
 *	  Loading of the library: settings, shared memory, background workers and
 *	  hooks, each initialized by the part that owns it.
 *
 * The library may also be loaded without shared_preload_libraries (CREATE
 * EXTENSION, pg_dump of a database that has it): then there is no shared
 * memory and no worker, and every entry point that needs them says so.
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include "functions/untyped.h"
#include "guc.h"
#include "jobs/owner_path.h"
#include "jobs/trigger_check.h"
#include "jobs/utility_hook.h"
#include "jobs/wake.h"
#include "link/shmem.h"
#include "postmaster/bgworker.h"
#include "typed/apply.h"

PG_MODULE_MAGIC;

void _PG_init(void);

/* Static workers; an entry point is found by name in the starting process. */
static void
register_worker(const char *name, const char *function, int number)
{
	BackgroundWorker worker;

	memset(&worker, 0, sizeof(worker));
	worker.bgw_flags =
		BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = 1;
	worker.bgw_main_arg = Int32GetDatum(number);
	strlcpy(worker.bgw_library_name, "modal_batch", BGW_MAXLEN);
	strlcpy(worker.bgw_function_name, function, BGW_MAXLEN);
	strlcpy(worker.bgw_name, name, BGW_MAXLEN);
	strlcpy(worker.bgw_type, name, BGW_MAXLEN);
	RegisterBackgroundWorker(&worker);
}

void
_PG_init(void)
{
	modal_guc_init();

	if (!process_shared_preload_libraries_in_progress)
		return;

	modal_shmem_init();
	modal_apply_init();
	modal_untyped_init();
	modal_owner_path_init();

	/* before that, for it records what triggers depend on, also of old ones */
	modal_trigger_check_init();

	/* pg_upgrade runs the server to move catalogs, not to do the work. */
	if (IsBinaryUpgrade)
		return;

	modal_utility_hook_init();
	modal_wake_init();
	for (int i = 0; i < modal_dispatchers; i++)
		register_worker("modal_batch dispatcher", "modal_dispatcher_main", i);
	if (modal_run_jobs)
		register_worker("modal_batch launcher", "modal_launcher_main", 0);
}
