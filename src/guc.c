/*-------------------------------------------------------------------------
 *
 * guc.c
 *	  Definition of all settings.
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include <limits.h>

#include "guc.h"
#include "link/shmem.h"

int modal_dispatchers = 1;
bool modal_enable_async_projection = true;
int modal_max_payload_kb = 256 * 1024;
int modal_result_retention_s = 7 * 24 * 3600;
int modal_runner_idle_ms = 10 * 1000;
char *modal_default_server = NULL;
int modal_window = 1000;
int modal_window_bytes_kb = 64 * 1024;
#ifdef MODAL_DEBUG_POINTS
char *modal_debug_remote_language = NULL;
#endif

void
modal_guc_init(void)
{
	/* Kept in order of name. */
#ifdef MODAL_DEBUG_POINTS
	DefineCustomStringVariable(
		"modal_batch.debug_remote_language",
		"Language whose functions are planned as if they were remote.",
		"For tests; \"*\" stands for every language.",
		&modal_debug_remote_language, "", PGC_USERSET, GUC_NOT_IN_SAMPLE, NULL,
		NULL, NULL);
#endif

	/* Only at server start can there be one of this kind. */
	if (process_shared_preload_libraries_in_progress)
		DefineCustomIntVariable(
			"modal_batch.dispatchers",
			"Number of background workers that talk to remote services.",
			"Each keeps its own connections; one is enough for most servers.",
			&modal_dispatchers, 1, 1, MODAL_MAX_DISPATCHERS, PGC_POSTMASTER, 0,
			NULL, NULL, NULL);

	DefineCustomBoolVariable(
		"modal_batch.enable_async_projection",
		"Lets the planner run typed remote functions over a window of rows at a time.",
		"When off, a typed function is called for one row after another.",
		&modal_enable_async_projection, true, PGC_USERSET, GUC_EXPLAIN, NULL,
		NULL, NULL);

	DefineCustomIntVariable(
		"modal_batch.max_payload",
		"Largest encoded input or result of a remote function.",
		NULL, &modal_max_payload_kb, 256 * 1024, 64, 1000 * 1024, PGC_SUSET,
		GUC_UNIT_KB, NULL, NULL, NULL);

	DefineCustomIntVariable(
		"modal_batch.result_retention",
		"How long results of finished jobs are kept in modal_batch.result.",
		"-1 keeps them until modal_forget().",
		&modal_result_retention_s, 7 * 24 * 3600, -1, INT_MAX, PGC_SIGHUP,
		GUC_UNIT_S, NULL, NULL, NULL);

	DefineCustomIntVariable(
		"modal_batch.runner_idle_timeout",
		"How long a database's job runner stays when its database has no work.",
		NULL, &modal_runner_idle_ms, 10 * 1000, 0, INT_MAX, PGC_SIGHUP,
		GUC_UNIT_MS, NULL, NULL, NULL);

	DefineCustomStringVariable(
		"modal_batch.server",
		"Foreign server of function references that do not name one.",
		NULL, &modal_default_server, "modal", PGC_USERSET, 0, NULL, NULL,
		NULL);

	DefineCustomIntVariable(
		"modal_batch.window",
		"Most inputs of one call that are in flight at a time.",
		"The remote service may allow less.",
		&modal_window, 1000, 1, 100000, PGC_USERSET, 0, NULL, NULL, NULL);

	DefineCustomIntVariable(
		"modal_batch.window_bytes",
		"Results of one call that may be held in memory before they are read.",
		"With large results fewer inputs are in flight than modal_batch.window.",
		&modal_window_bytes_kb, 64 * 1024, 64, MAX_KILOBYTES, PGC_USERSET,
		GUC_UNIT_KB, NULL, NULL, NULL);

	MarkGUCPrefixReserved("modal_batch");
}
