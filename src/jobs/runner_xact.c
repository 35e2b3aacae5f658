/*-------------------------------------------------------------------------
 *
 * runner_xact.c
 *	  Short transactions of the runner; see runner_xact.h.
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include "access/xact.h"
#include "pgstat.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "jobs/runner_xact.h"

/* Before 17, the end of a transaction leaves another context current. */
static MemoryContext outside_cxt;

void
runner_begin(void)
{
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
