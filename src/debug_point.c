/*-------------------------------------------------------------------------
 *
 * debug_point.c
 *	  The table of armed debug points; see debug_point.h.
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include "debug_point.h"

#ifdef MODAL_DEBUG_POINTS

#include <signal.h>
#include <unistd.h>

#include "link/shmem.h"
#include "storage/ipc.h"
#include "storage/shmem.h"
#include "storage/spin.h"
#include "utils/builtins.h"

#define MAX_DEBUG_POINTS 32
#define POINT_NAME_LEN 64
#define POINT_ACTION_LEN 32
#define POINT_POLL_MS 10 /* how soon a waiting process sees the disarming */

typedef struct DebugPointEntry
{
	char name[POINT_NAME_LEN]; /* empty: free */
	char action[POINT_ACTION_LEN];
	int nth;
	int passed;
} DebugPointEntry;

/* The spinlock covers all entries. */
typedef struct DebugPoints
{
	slock_t lock;
	DebugPointEntry entries[MAX_DEBUG_POINTS];
} DebugPoints;

static DebugPoints *debug_points = NULL;

PG_FUNCTION_INFO_V1(modal_debug_point_arm);
PG_FUNCTION_INFO_V1(modal_debug_point_disarm);

Size
modal_debug_points_size(void)
{
	return MAXALIGN(sizeof(DebugPoints));
}

void
modal_debug_points_startup(void)
{
	bool found;

	debug_points = ShmemInitStruct("modal_batch debug points",
								   sizeof(DebugPoints), &found);
	if (!found)
	{
		memset(debug_points, 0, sizeof(DebugPoints));
		SpinLockInit(&debug_points->lock);
	}
}

static DebugPointEntry *
find_point(const char *name)
{
	for (int i = 0; i < MAX_DEBUG_POINTS; i++)
		if (strcmp(debug_points->entries[i].name, name) == 0)
			return &debug_points->entries[i];
	return NULL;
}

/* Count a passage; copy the action if it is due. */
static bool
pass_point(const char *name, bool count, char *action)
{
	DebugPointEntry *entry;
	bool due = false;

	SpinLockAcquire(&debug_points->lock);
	entry = find_point(name);
	if (entry != NULL)
	{
		if (count)
			entry->passed++;
		due = entry->passed >= entry->nth;
		memcpy(action, entry->action, POINT_ACTION_LEN);
	}
	SpinLockRelease(&debug_points->lock);
	return due;
}

void
modal_debug_point(const char *name)
{
	char action[POINT_ACTION_LEN];

	if (debug_points == NULL || !pass_point(name, true, action))
		return;

	ereport(LOG, (errmsg("debug point \"%s\": %s", name, action)));
	if (strcmp(action, "crash") == 0)
		kill(MyProcPid, SIGKILL);
	else if (strcmp(action, "exit") == 0)
		proc_exit(1);
	else if (strcmp(action, "error") == 0)
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR),
						errmsg("debug point \"%s\"", name)));
	else if (strncmp(action, "sleep:", 6) == 0)
		pg_usleep(atol(action + 6) * 1000L);
	else
		while (pass_point(name, false, action))
		{
			CHECK_FOR_INTERRUPTS();
			(void) WaitLatch(MyLatch,
							 WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
							 POINT_POLL_MS, PG_WAIT_EXTENSION);
			ResetLatch(MyLatch);
		}
}

Datum
modal_debug_point_arm(PG_FUNCTION_ARGS)
{
	char *name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	char *action = text_to_cstring(PG_GETARG_TEXT_PP(1));
	DebugPointEntry *entry;

	modal_check_preloaded();
	if (name[0] == '\0' || strlen(name) >= POINT_NAME_LEN ||
		strlen(action) >= POINT_ACTION_LEN)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("invalid debug point")));

	SpinLockAcquire(&debug_points->lock);
	entry = find_point(name);
	if (entry == NULL)
		entry = find_point("");
	if (entry != NULL)
	{
		strlcpy(entry->name, name, POINT_NAME_LEN);
		strlcpy(entry->action, action, POINT_ACTION_LEN);
		entry->nth = PG_GETARG_INT32(2);
		entry->passed = 0;
	}
	SpinLockRelease(&debug_points->lock);

	if (entry == NULL)
		ereport(ERROR, (errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
						errmsg("too many debug points are armed")));
	PG_RETURN_VOID();
}

Datum
modal_debug_point_disarm(PG_FUNCTION_ARGS)
{
	char *name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	DebugPointEntry *entry;
	int passed = 0;

	modal_check_preloaded();
	if (name[0] == '\0')
		PG_RETURN_INT32(0);
	SpinLockAcquire(&debug_points->lock);
	entry = find_point(name);
	if (entry != NULL)
	{
		passed = entry->passed;
		memset(entry, 0, sizeof(*entry));
	}
	SpinLockRelease(&debug_points->lock);
	PG_RETURN_INT32(passed);
}

#endif /* MODAL_DEBUG_POINTS */
