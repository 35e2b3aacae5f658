/*-------------------------------------------------------------------------
 *
 * runner_xact.h
 *	  Short transactions of the runner, each with an active snapshot.
 *
 * The current memory context is the same after them as before.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_WORKER_RUNNER_XACT_H
#define MODAL_WORKER_RUNNER_XACT_H

extern void runner_begin(void);
extern void runner_commit(void);
extern void runner_rollback(void);

#endif /* MODAL_WORKER_RUNNER_XACT_H */
