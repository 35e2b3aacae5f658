/*-------------------------------------------------------------------------
 *
 * runner_state.c
 *	  The shared list of runners; see runner_state.h.
 *
 * An entry is free when its dbid is InvalidOid.  It stays taken while a
 * runner is wanted, starting, running, or kept out of the database.
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include "clock.h"
#include "runner_state.h"
#include "link/shmem.h"
#include "storage/ipc.h"

#define STOP_WAIT_S 5	 /* as long as core waits for other sessions */
#define FIRST_BACKOFF_S 1
#define MAX_BACKOFF_S 60

/* This process's entry, when it is a runner, and since when. */
static RunnerShared *my_entry = NULL;
static double entered_at;

static RunnerShared *
find_entry(Oid dbid)
{
	Assert(LWLockHeldByMe(modal_shared->lock));
	for (int i = 0; i < MODAL_MAX_RUNNERS; i++)
		if (modal_shared->runners[i].dbid == dbid)
			return &modal_shared->runners[i];
	return NULL;
}

/* The database's entry, or a free one taken for it; NULL when all are used. */
static RunnerShared *
make_entry(Oid dbid)
{
	RunnerShared *entry = find_entry(dbid);

	if (entry == NULL)
	{
		entry = find_entry(InvalidOid);
		if (entry != NULL)
		{
			uint32 generation = entry->generation + 1;

			memset(entry, 0, sizeof(*entry));
			entry->dbid = dbid;
			entry->generation = generation;
		}
	}
	return entry;
}

static void
free_entry_if_unused(RunnerShared *entry)
{
	if (entry->pid == 0 && !entry->wanted && !entry->starting &&
		entry->stops == 0)
		entry->dbid = InvalidOid;
}

static void
back_off(RunnerShared *entry)
{
	int s = FIRST_BACKOFF_S;

	for (int i = 0; i < entry->failures && s < MAX_BACKOFF_S; i++)
		s *= 2;
	entry->failures++;
	entry->not_before = monotonic_seconds() + Min(s, MAX_BACKOFF_S);
}

static void
wake_launcher(void)
{
	if (modal_shared->launcher_latch != NULL)
		SetLatch(modal_shared->launcher_latch);
}

void
runner_wake(Oid dbid)
{
	RunnerShared *entry;

	LWLockAcquire(modal_shared->lock, LW_EXCLUSIVE);
	entry = make_entry(dbid);
	if (entry == NULL)
		modal_shared->look_everywhere = true;
	else
		entry->wanted = true;
	if (entry != NULL && entry->latch != NULL)
		SetLatch(entry->latch);
	else
		wake_launcher();
	LWLockRelease(modal_shared->lock);
}

void
runner_job_changed(void)
{
	ConditionVariableBroadcast(&modal_shared->job_changed);
}

static bool
runner_is_gone(Oid dbid)
{
	RunnerShared *entry;
	bool gone;

	LWLockAcquire(modal_shared->lock, LW_SHARED);
	entry = find_entry(dbid);
	gone = entry == NULL || (entry->pid == 0 && !entry->starting);
	LWLockRelease(modal_shared->lock);
	return gone;
}

void
runner_stop(Oid dbid)
{
	RunnerShared *entry;
	double deadline = monotonic_seconds() + STOP_WAIT_S;
	long left;

	LWLockAcquire(modal_shared->lock, LW_EXCLUSIVE);
	entry = make_entry(dbid);
	if (entry != NULL)
	{
		entry->stops++;
		if (entry->latch != NULL)
			SetLatch(entry->latch);
	}
	LWLockRelease(modal_shared->lock);

	ConditionVariablePrepareToSleep(&modal_shared->runner_gone);
	while (!runner_is_gone(dbid) &&
		   (left = monotonic_ms_until(deadline)) > 0)
		(void) ConditionVariableTimedSleep(&modal_shared->runner_gone, left,
										   PG_WAIT_EXTENSION);
	ConditionVariableCancelSleep();
}

void
runner_allow(Oid dbid)
{
	RunnerShared *entry;

	LWLockAcquire(modal_shared->lock, LW_EXCLUSIVE);
	entry = find_entry(dbid);
	if (entry != NULL && entry->stops > 0)
	{
		entry->stops--;
		free_entry_if_unused(entry);
		wake_launcher();
	}
	LWLockRelease(modal_shared->lock);
}

/* --- runner --------------------------------------------------------------- */

/*
 * Called when this process is no longer in its database: registered before
 * the database was entered, so it runs after core's own callbacks for that.
 * code tells a failure (FATAL, crash) from an orderly end.
 */
static void
runner_exit(int code, Datum arg)
{
	RunnerShared *entry = my_entry;

	(void) arg;
	if (entry == NULL)
		return;
	LWLockAcquire(modal_shared->lock, LW_EXCLUSIVE);
	entry->pid = 0;
	entry->latch = NULL;
	if (code != 0 && entry->stops == 0)
	{
		/* one that has worked for long has not failed in a row */
		if (monotonic_seconds() - entered_at > MAX_BACKOFF_S)
			entry->failures = 0;
		entry->wanted = true;
		back_off(entry);
	}
	free_entry_if_unused(entry);
	my_entry = NULL;
	wake_launcher();
	LWLockRelease(modal_shared->lock);
	ConditionVariableBroadcast(&modal_shared->runner_gone);
}

bool
runner_enter(Oid dbid)
{
	RunnerShared *entry;

	LWLockAcquire(modal_shared->lock, LW_EXCLUSIVE);
	entry = find_entry(dbid);
	if (entry != NULL && entry->pid == 0 && entry->stops == 0)
	{
		entry->pid = MyProcPid;
		entry->latch = MyLatch;
		entry->starting = false;
		entry->wanted = true; /* so that the first look is taken */
		my_entry = entry;
		entered_at = monotonic_seconds();
	}
	else if (entry != NULL && entry->pid == 0)
	{
		entry->starting = false;
		free_entry_if_unused(entry);
	}
	LWLockRelease(modal_shared->lock);
	if (my_entry == NULL)
	{
		ConditionVariableBroadcast(&modal_shared->runner_gone);
		return false;
	}
	on_shmem_exit(runner_exit, (Datum) 0);
	return true;
}

bool
runner_take_wish(bool *stop)
{
	bool wanted;

	LWLockAcquire(modal_shared->lock, LW_EXCLUSIVE);
	wanted = my_entry->wanted;
	my_entry->wanted = false;
	*stop = my_entry->stops > 0;
	/* asked to leave with work undone: it goes on when that is over */
	if (*stop)
		my_entry->wanted = true;
	LWLockRelease(modal_shared->lock);
	return wanted;
}

bool
runner_leave(void)
{
	bool wanted;

	LWLockAcquire(modal_shared->lock, LW_EXCLUSIVE);
	wanted = my_entry->wanted && my_entry->stops == 0;
	if (!wanted)
	{
		my_entry->latch = NULL; /* from now on, a wish goes to the launcher */
		my_entry->failures = 0;
		my_entry->not_before = 0;
	}
	LWLockRelease(modal_shared->lock);
	return !wanted;
}

/* --- launcher ------------------------------------------------------------- */

static void
launcher_exit(int code, Datum arg)
{
	(void) code;
	(void) arg;
	LWLockAcquire(modal_shared->lock, LW_EXCLUSIVE);
	modal_shared->launcher_pid = 0;
	modal_shared->launcher_latch = NULL;
	LWLockRelease(modal_shared->lock);
}

void
launcher_enter(void)
{
	LWLockAcquire(modal_shared->lock, LW_EXCLUSIVE);
	modal_shared->launcher_pid = MyProcPid;
	modal_shared->launcher_latch = MyLatch;
	modal_shared->look_everywhere = true;
	/* what a launcher before this one was starting, this one starts anew */
	for (int i = 0; i < MODAL_MAX_RUNNERS; i++)
		modal_shared->runners[i].starting = false;
	LWLockRelease(modal_shared->lock);
	before_shmem_exit(launcher_exit, (Datum) 0);
}

bool
launcher_take_look_everywhere(void)
{
	bool look;

	LWLockAcquire(modal_shared->lock, LW_EXCLUSIVE);
	look = modal_shared->look_everywhere;
	modal_shared->look_everywhere = false;
	LWLockRelease(modal_shared->lock);
	return look;
}

bool
launcher_want(Oid dbid)
{
	RunnerShared *entry;

	LWLockAcquire(modal_shared->lock, LW_EXCLUSIVE);
	entry = make_entry(dbid);
	if (entry != NULL)
	{
		entry->wanted = true;
		if (entry->latch != NULL)
			SetLatch(entry->latch);
	}
	LWLockRelease(modal_shared->lock);
	return entry != NULL;
}

Oid
launcher_next(int limit, long *wait_ms)
{
	Oid dbid = InvalidOid;
	int starting = 0;

	*wait_ms = -1;
	LWLockAcquire(modal_shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < MODAL_MAX_RUNNERS; i++)
		starting += modal_shared->runners[i].starting;
	for (int i = 0; i < MODAL_MAX_RUNNERS && starting < limit; i++)
	{
		RunnerShared *entry = &modal_shared->runners[i];
		long ms;

		if (!OidIsValid(entry->dbid) || !entry->wanted || entry->starting ||
			entry->pid != 0 || entry->stops > 0)
			continue;
		ms = monotonic_ms_until(entry->not_before);
		if (ms <= 0)
		{
			entry->starting = true;
			dbid = entry->dbid;
			break;
		}
		*wait_ms = *wait_ms < 0 ? ms : Min(*wait_ms, ms);
	}
	LWLockRelease(modal_shared->lock);
	return dbid;
}

void
launcher_start_failed(Oid dbid)
{
	RunnerShared *entry;

	LWLockAcquire(modal_shared->lock, LW_EXCLUSIVE);
	entry = find_entry(dbid);
	if (entry != NULL && entry->starting)
	{
		entry->starting = false;
		back_off(entry);
	}
	LWLockRelease(modal_shared->lock);
	ConditionVariableBroadcast(&modal_shared->runner_gone);
}

void
launcher_forget(Oid dbid)
{
	RunnerShared *entry;

	LWLockAcquire(modal_shared->lock, LW_EXCLUSIVE);
	entry = find_entry(dbid);
	if (entry != NULL)
	{
		entry->starting = false;
		entry->wanted = false;
		free_entry_if_unused(entry);
	}
	LWLockRelease(modal_shared->lock);
}
