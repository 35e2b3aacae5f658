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
#include "replication/logicalworker.h"
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

/*
 * The apply worker of a subscription commits what it has prepared without a
 * command, and in a transaction that writes nothing of its own.
 */
static bool
may_have_committed_prepared(void)
{
	return IsLogicalWorker() && !TransactionIdIsValid(GetTopTransactionIdIfAny()) &&
		OidIsValid(store_relation("job"));
}

static void
at_transaction_event(XactEvent event, void *arg)
{
	(void) arg;
	if (event == XACT_EVENT_PRE_COMMIT && may_have_committed_prepared())
	{
		wake_runner_at_commit(InvalidOid);
		wake_waiters_at_commit();
	}
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

void
modal_wake_init(void)
{
	RegisterXactCallback(at_transaction_event, NULL);
}

void
wake_runner_at_commit(Oid owner)
{
	modal_check_preloaded();
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
	modal_check_preloaded();
	first_job = Min(first_job, id);
}

void
wake_waiters_at_commit(void)
{
	modal_check_preloaded();
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
