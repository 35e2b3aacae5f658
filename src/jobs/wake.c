/*-------------------------------------------------------------------------
 *
 * wake.c
 *	  Wake-ups at commit; see wake.h.
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include "access/xact.h"
#include "jobs/runner_state.h"
#include "jobs/sql.h"
#include "jobs/wake.h"
#include "link/shmem.h"
#include "storage/lock.h"

#define MAX_OWNERS 8 /* beyond that, the scout looks whose jobs there are */

static Oid owners[MAX_OWNERS];
static int nowners = 0;
static int64 first_job = PG_INT64_MAX;
static bool wake_waiters = false;

static void
wake_runners(void)
{
	int64 from_job = first_job == PG_INT64_MAX ? 0 : first_job;

	for (int i = 0; i < nowners; i++)
		runner_wake(MyDatabaseId, owners[i], from_job);
}

static void
at_transaction_event(XactEvent event, void *arg)
{
	(void) arg;
	if (event == XACT_EVENT_COMMIT)
	{
		wake_runners();
		if (wake_waiters)
			runner_job_changed();
	}
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT ||
		event == XACT_EVENT_PREPARE)
	{
		nowners = 0;
		first_job = PG_INT64_MAX;
		wake_waiters = false;
	}
}

static void
register_callback(void)
{
	static bool registered = false;

	modal_check_preloaded();
	if (!registered)
		RegisterXactCallback(at_transaction_event, NULL);
	registered = true;
}

void
wake_runner_at_commit(Oid owner)
{
	register_callback();
	for (int i = 0; i < nowners; i++)
		if (owners[i] == owner)
			return;
	if (nowners < MAX_OWNERS)
		owners[nowners++] = owner;
	else
		owners[MAX_OWNERS - 1] = InvalidOid;
}

void
wake_note_job(int64 id)
{
	register_callback();
	first_job = Min(first_job, id);
}

void
wake_waiters_at_commit(void)
{
	register_callback();
	wake_waiters = true;
}

/*
 * A prepared transaction keeps the lock of whoever has written to a table, and
 * has it again after a restart.  Another session that is just writing jobs
 * looks the same: then the runner is woken once too often.
 */
bool
wake_asks_for_prepared(void)
{
	Oid relid = store_relation("job");
	LOCKTAG tag;
	int count;

	if (!OidIsValid(relid))
		return false;
	SET_LOCKTAG_RELATION(tag, MyDatabaseId, relid);
	(void) GetLockConflicts(&tag, ShareLock, &count);
	return count > 0;
}

void
wake_after_commit_prepared(void)
{
	runner_wake(MyDatabaseId, InvalidOid, 0);
	runner_job_changed();
}
