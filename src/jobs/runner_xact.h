/*-------------------------------------------------------------------------
 *
 * runner_xact.h
 *	  Short transactions of the runner, each with an active snapshot.
 *
 * The current memory context is the same after them as before.
 *
 * While one waits for a lock, so do all other jobs of the runner.  So waiting
 * in vain takes at most a fifth of its time: a second at first, and much less
 * for those who come right after.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_JOBS_RUNNER_XACT_H
#define MODAL_JOBS_RUNNER_XACT_H

#include "compat.h"

extern void runner_begin(void);
extern void runner_commit(void);
extern void runner_rollback(void);
/* In PG_CATCH: aborts it.  The error is in that context, the current one then. */
extern ErrorData *runner_take_error(MemoryContext cxt);
/* Use the tables; false when a lock, or the like, is in the way. */
extern bool runner_unless_locked(void (*use) (void));

#endif /* MODAL_JOBS_RUNNER_XACT_H */
