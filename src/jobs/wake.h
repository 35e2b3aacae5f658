/*-------------------------------------------------------------------------
 *
 * wake.h
 *	  Telling runners, and those who wait for jobs, what a transaction has
 *	  changed, once it has committed.
 *
 * Whoever writes a job's row says so here; what is said is forgotten when the
 * transaction is rolled back.  Work that a rolled-back savepoint has taken
 * along still wakes a runner, which then finds nothing.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_JOBS_WAKE_H
#define MODAL_JOBS_WAKE_H

#include "compat.h"

extern void modal_wake_init(void);

/*
 * There will be work of that owner when the present transaction commits;
 * InvalidOid: of anybody.
 */
extern void wake_runner_at_commit(Oid owner);
/*
 * This job is among them.  So a runner need not look at those before it, which
 * may have left many dead rows; every writer of a job's row says it.
 */
extern void wake_note_job(int64 id);
/* Wake those who wait for jobs then, too. */
extern void wake_waiters_at_commit(void);

/*
 * PREPARE TRANSACTION keeps nothing of this: COMMIT PREPARED may come from
 * another session, after a restart.  Before it: may a prepared transaction
 * have written jobs?  That may raise an error.  After it, what must not raise
 * or wait, because the commit has happened.
 */
extern bool wake_asks_for_prepared(void);
extern void wake_after_commit_prepared(void);

#endif /* MODAL_JOBS_WAKE_H */
