/*-------------------------------------------------------------------------
 *
 * enqueue.h
 *	  Making jobs in the caller's transaction.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_SESSION_ENQUEUE_H
#define MODAL_SESSION_ENQUEUE_H

#include "compat.h"

/* Wake the database's runner when the present transaction commits. */
extern void wake_runner_at_commit(void);
/* Wake those who wait for jobs then, too. */
extern void wake_waiters_at_commit(void);

#endif /* MODAL_SESSION_ENQUEUE_H */
