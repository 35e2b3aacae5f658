/*-------------------------------------------------------------------------
 *
 * runner_xact.c
 *	  Short transactions of the runner; see runner_xact.h.
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include "access/xact.h"
#include "clock.h"
#include "jobs/error.h"
#include "jobs/runner_xact.h"
#include "pgstat.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#define WAIT_S 1.0		/* for a lock, at most */
#define WAIT_SHARE 0.2	/* of the runner's time, when it is in vain */
#define MIN_WAIT_S 0.01

static double may_wait_s = WAIT_S;
static double began; /* see clock.h */

/* Before 17, the end of a transaction leaves another context current. */
static MemoryContext outside_cxt;

static void
set_lock_timeout(void)
{
	static int set_ms = 0;
	double now = monotonic_seconds();
	int ms;

	may_wait_s = Min(may_wait_s + (now - began) * WAIT_SHARE, WAIT_S);
	began = now;
	ms = (int) (Max(may_wait_s, MIN_WAIT_S) * 1000);
	if (ms != set_ms)
	{
		char text[16];

		snprintf(text, sizeof(text), "%d", ms);
		SetConfigOption("lock_timeout", text, PGC_SUSET, PGC_S_OVERRIDE);
	}
	set_ms = ms;
}

/* It has ended with a lock timeout. */
static void
waited_in_vain(void)
{
	double now = monotonic_seconds();

	may_wait_s = Max(may_wait_s - (now - began), 0);
	began = now;
}

void
runner_begin(void)
{
	set_lock_timeout();
	outside_cxt = CurrentMemoryContext;
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
}

void
runner_commit(void)
{
	PopActiveSnapshot();
	CommitTransactionCommand();
	MemoryContextSwitchTo(outside_cxt);
	pgstat_report_stat(false);
}

void
runner_rollback(void)
{
	AbortCurrentTransaction();
	MemoryContextSwitchTo(outside_cxt);
}

ErrorData *
runner_take_error(MemoryContext cxt)
{
	ErrorData *edata;

	MemoryContextSwitchTo(cxt);
	edata = CopyErrorData();
	FlushErrorState();
	AbortCurrentTransaction();
	MemoryContextSwitchTo(cxt);
	if (edata->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE)
		waited_in_vain();
	return edata;
}

bool
runner_unless_locked(void (*use) (void))
{
	MemoryContext cxt = CurrentMemoryContext;
	ErrorData *volatile edata = NULL;

	PG_TRY();
	{
		use();
	}
	PG_CATCH();
	{
		edata = runner_take_error(cxt);
	}
	PG_END_TRY();
	if (edata == NULL)
		return true;
	if (!error_is_contention(edata))
		ReThrowError(edata);
	ereport(LOG, (errmsg("could not use the tables of jobs: %s", edata->message)));
	return false;
}
