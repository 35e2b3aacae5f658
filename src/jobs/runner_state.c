/*-------------------------------------------------------------------------
 *
 * runner_state.c
 *	  The shared table of runners; see runner_state.h.
 *
 * An entry is there while a runner is wanted, starting, running, or kept out
 * of the database.
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include "clock.h"
#include "guc.h"
#include "jobs/runner_state.h"
#include "jobs/suspect.h"
#include "storage/ipc.h"
#include "utils/hsearch.h"

#define STOP_WAIT_S 5	 /* as long as core waits for other sessions */
#define FIRST_BACKOFF_S 1
#define MAX_BACKOFF_S 60
#define TURN_S 10		 /* that a runner has when others wait for its place */
#define ASK_AGAIN_MS 1000 /* for a place */
#define MAX_RESTART_S 3	 /* to wait after crashes in quick succession */

/* This process's entry, when it is a runner, and what it has done. */
static RunnerShared *my_entry = NULL;
static double entered_at;
static bool progressed;

static RunnerShared *
find_entry(RunnerKey key)
{
	Assert(LWLockHeldByMe(modal_shared->lock));
	return hash_search(modal_runners, &key, HASH_FIND, NULL);
}

/* NULL when all entries are used. */
static RunnerShared *
make_entry(RunnerKey key)
{
	bool found;
	RunnerShared *entry;

	Assert(LWLockHeldByMe(modal_shared->lock));
	entry = hash_search(modal_runners, &key, HASH_ENTER_NULL, &found);
	if (entry != NULL && !found)
	{
		memset(entry, 0, sizeof(*entry));
		entry->key = key;
	}
	return entry;
}

static void
free_entry_if_unused(RunnerShared *entry)
{
	if (entry->pid == 0 && !entry->wanted && !entry->starting &&
		entry->stops == 0)
		(void) hash_search(modal_runners, &entry->key, HASH_REMOVE, NULL);
}

static bool
database_is_stopped(Oid dbid)
{
	RunnerShared *scout = find_entry((RunnerKey) {dbid, InvalidOid});

	return scout != NULL && scout->stops > 0;
}

/* At once, unless it has failed: it may have meant to come back later. */
static void
want(RunnerShared *entry, int64 from_job)
{
	entry->from_job = entry->wanted ? Min(entry->from_job, from_job) : from_job;
	if (!entry->wanted && entry->pid == 0)
		entry->since = monotonic_seconds();
	entry->wanted = true;
	if (entry->failures == 0)
		entry->not_before = 0;
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
runner_wake(Oid dbid, Oid owner, int64 from_job)
{
	RunnerShared *entry;

	LWLockAcquire(modal_shared->lock, LW_EXCLUSIVE);
	entry = make_entry((RunnerKey) {dbid, owner});
	if (entry == NULL)
		modal_shared->look_everywhere = true;
	else
		want(entry, from_job);
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

/* Is there a runner in the database, or about to be?  Wakes it if asked to. */
static bool
has_runner(Oid dbid, bool wake)
{
	HASH_SEQ_STATUS seq;
	RunnerShared *entry;
	bool found = false;

	hash_seq_init(&seq, modal_runners);
	while ((entry = hash_seq_search(&seq)) != NULL)
	{
		if (entry->key.dbid != dbid)
			continue;
		found |= entry->pid != 0 || entry->starting;
		if (wake && entry->latch != NULL)
			SetLatch(entry->latch);
	}
	return found;
}

void
runner_stop(Oid dbid)
{
	RunnerShared *scout;
	double deadline = monotonic_seconds() + STOP_WAIT_S;
	long left = 1;

	LWLockAcquire(modal_shared->lock, LW_EXCLUSIVE);
	scout = make_entry((RunnerKey) {dbid, InvalidOid});
	if (scout != NULL)
		scout->stops++;
	(void) has_runner(dbid, true);
	LWLockRelease(modal_shared->lock);

	ConditionVariablePrepareToSleep(&modal_shared->runner_gone);
	while (left > 0)
	{
		bool there;

		LWLockAcquire(modal_shared->lock, LW_SHARED);
		there = has_runner(dbid, false);
		LWLockRelease(modal_shared->lock);
		if (!there)
			break;
		left = monotonic_ms_until(deadline);
		if (left > 0)
			(void) ConditionVariableTimedSleep(&modal_shared->runner_gone, left,
											   PG_WAIT_EXTENSION);
	}
	ConditionVariableCancelSleep();
}

void
runner_allow(Oid dbid)
{
	RunnerShared *scout;

	LWLockAcquire(modal_shared->lock, LW_EXCLUSIVE);
	scout = find_entry((RunnerKey) {dbid, InvalidOid});
	if (scout != NULL && scout->stops > 0)
	{
		scout->stops--;
		free_entry_if_unused(scout);
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
	entry->idle = entry->yield = false;
	entry->since = monotonic_seconds();
	if (code != 0 && !database_is_stopped(entry->key.dbid))
	{
		/* one that has got something done has not failed in a row */
		if (progressed || entry->since - entered_at > MAX_BACKOFF_S)
			entry->failures = 0;
		entry->wanted = true;
		entry->died_with = suspect_in_hand();
		back_off(entry);
	}
	free_entry_if_unused(entry);
	my_entry = NULL;
	wake_launcher();
	LWLockRelease(modal_shared->lock);
	ConditionVariableBroadcast(&modal_shared->runner_gone);
}

bool
runner_enter(RunnerKey key)
{
	RunnerShared *entry;

	LWLockAcquire(modal_shared->lock, LW_EXCLUSIVE);
	entry = find_entry(key);
	if (entry != NULL && entry->pid == 0)
	{
		entry->starting = false;
		if (database_is_stopped(key.dbid))
			free_entry_if_unused(entry);
		else
		{
			entry->pid = MyProcPid;
			entry->latch = MyLatch;
			entry->wanted = true; /* so that the first look is taken */
			entry->from_job = 0;
			entry->since = entered_at = monotonic_seconds();
			my_entry = entry;
		}
	}
	/* it may have waited for this one to be no longer starting */
	wake_launcher();
	LWLockRelease(modal_shared->lock);
	if (my_entry == NULL)
	{
		ConditionVariableBroadcast(&modal_shared->runner_gone);
		return false;
	}
	on_shmem_exit(runner_exit, (Datum) 0);
	return true;
}

int64
runner_take_died_with(void)
{
	int64 job;

	LWLockAcquire(modal_shared->lock, LW_EXCLUSIVE);
	job = my_entry->died_with;
	my_entry->died_with = 0;
	LWLockRelease(modal_shared->lock);
	return job;
}

bool
runner_take_wish(RunnerWish *wish, int64 *from_job)
{
	bool wanted;

	LWLockAcquire(modal_shared->lock, LW_EXCLUSIVE);
	wanted = my_entry->wanted;
	my_entry->wanted = false;
	if (wanted)
		*from_job = Min(*from_job, my_entry->from_job);
	*wish = database_is_stopped(my_entry->key.dbid) ? RUNNER_STOP
		: my_entry->yield							? RUNNER_YIELD
													: RUNNER_STAY;
	/* asked to leave with work undone: it goes on when that is over */
	if (*wish == RUNNER_STOP)
		my_entry->wanted = true;
	LWLockRelease(modal_shared->lock);
	return wanted;
}

void
runner_set_idle(bool idle)
{
	if (my_entry->idle == idle)
		return;
	LWLockAcquire(modal_shared->lock, LW_EXCLUSIVE);
	my_entry->idle = idle;
	LWLockRelease(modal_shared->lock);
}

void
runner_has_progressed(void)
{
	progressed = true;
}

bool
runner_leave(double back_in_s)
{
	bool stay;

	LWLockAcquire(modal_shared->lock, LW_EXCLUSIVE);
	stay = my_entry->wanted && !my_entry->yield &&
		!database_is_stopped(my_entry->key.dbid);
	if (!stay)
	{
		my_entry->latch = NULL; /* from now on, a wish goes to the launcher */
		my_entry->failures = 0;
		my_entry->not_before = 0;
		if (back_in_s >= 0 && !my_entry->wanted)
		{
			my_entry->wanted = true;
			my_entry->not_before = monotonic_seconds() + back_in_s;
		}
	}
	LWLockRelease(modal_shared->lock);
	return !stay;
}

/* --- launcher ------------------------------------------------------------- */

static double no_start_before; /* after crashes of the server */

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
	HASH_SEQ_STATUS seq;
	RunnerShared *entry;

	LWLockAcquire(modal_shared->lock, LW_EXCLUSIVE);
	modal_shared->launcher_pid = MyProcPid;
	modal_shared->launcher_latch = MyLatch;
	modal_shared->look_everywhere = true;
	/* what a launcher before this one was starting, this one starts anew */
	hash_seq_init(&seq, modal_runners);
	while ((entry = hash_seq_search(&seq)) != NULL)
		entry->starting = false;
	no_start_before = monotonic_seconds() +
		Min(Max(modal_shared->restarts - 1, 0), MAX_RESTART_S);
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
launcher_want(RunnerKey key)
{
	RunnerShared *entry;

	LWLockAcquire(modal_shared->lock, LW_EXCLUSIVE);
	entry = make_entry(key);
	if (entry != NULL)
	{
		want(entry, 0);
		if (entry->latch != NULL)
			SetLatch(entry->latch);
		else
			wake_launcher();
	}
	LWLockRelease(modal_shared->lock);
	return entry != NULL;
}

/* Of all that can be started, who has waited longest; else *wait_ms is set. */
static RunnerShared *
longest_waiting(long *wait_ms)
{
	HASH_SEQ_STATUS seq;
	RunnerShared *entry;
	RunnerShared *best = NULL;

	hash_seq_init(&seq, modal_runners);
	while ((entry = hash_seq_search(&seq)) != NULL)
	{
		long ms;

		if (!entry->wanted || entry->starting || entry->pid != 0 ||
			database_is_stopped(entry->key.dbid))
			continue;
		ms = monotonic_ms_until(Max(entry->not_before, no_start_before));
		if (ms > 0)
			*wait_ms = *wait_ms < 0 ? ms : Min(*wait_ms, ms);
		else if (best == NULL || entry->since < best->since)
			best = entry;
	}
	return best;
}

/* How many are starting; how many have a place. */
static int
count_runners(int *places)
{
	HASH_SEQ_STATUS seq;
	RunnerShared *entry;
	int starting = 0;

	*places = 0;
	hash_seq_init(&seq, modal_runners);
	while ((entry = hash_seq_search(&seq)) != NULL)
	{
		starting += entry->starting;
		*places += entry->starting || entry->pid != 0;
	}
	return starting;
}

/* The idle one, or the one that has had its turn for longest; one at a time. */
static void
ask_for_place(void)
{
	HASH_SEQ_STATUS seq;
	RunnerShared *entry;
	RunnerShared *best = NULL;
	double now = monotonic_seconds();

	hash_seq_init(&seq, modal_runners);
	while ((entry = hash_seq_search(&seq)) != NULL)
	{
		if (entry->latch == NULL || entry->yield ||
			(!entry->idle && now - entry->since < TURN_S))
			continue;
		if (best == NULL || entry->idle > best->idle ||
			(entry->idle == best->idle && entry->since < best->since))
			best = entry;
	}
	if (best != NULL)
	{
		best->yield = true;
		SetLatch(best->latch);
	}
}

void
launcher_ask_for_place(void)
{
	LWLockAcquire(modal_shared->lock, LW_EXCLUSIVE);
	ask_for_place();
	LWLockRelease(modal_shared->lock);
}

bool
launcher_next(int limit, RunnerKey *key, long *wait_ms)
{
	RunnerShared *entry = NULL;
	int places;

	*wait_ms = -1;
	LWLockAcquire(modal_shared->lock, LW_EXCLUSIVE);
	if (count_runners(&places) < limit)
		entry = longest_waiting(wait_ms);
	if (entry != NULL && places >= modal_max_runners)
	{
		ask_for_place();
		*wait_ms = ASK_AGAIN_MS;
		entry = NULL;
	}
	if (entry != NULL)
	{
		entry->starting = true;
		*key = entry->key;
	}
	LWLockRelease(modal_shared->lock);
	return entry != NULL;
}

void
launcher_start_failed(RunnerKey key)
{
	RunnerShared *entry;

	LWLockAcquire(modal_shared->lock, LW_EXCLUSIVE);
	entry = find_entry(key);
	if (entry != NULL && entry->starting)
	{
		entry->starting = false;
		back_off(entry);
	}
	LWLockRelease(modal_shared->lock);
	ConditionVariableBroadcast(&modal_shared->runner_gone);
}

void
launcher_start_later(RunnerKey key)
{
	RunnerShared *entry;

	LWLockAcquire(modal_shared->lock, LW_EXCLUSIVE);
	entry = find_entry(key);
	if (entry != NULL)
		entry->starting = false;
	LWLockRelease(modal_shared->lock);
	ConditionVariableBroadcast(&modal_shared->runner_gone);
}

void
launcher_forget(RunnerKey key)
{
	RunnerShared *entry;

	LWLockAcquire(modal_shared->lock, LW_EXCLUSIVE);
	entry = find_entry(key);
	if (entry != NULL)
	{
		entry->starting = false;
		entry->wanted = false;
		free_entry_if_unused(entry);
	}
	LWLockRelease(modal_shared->lock);
}
