/*-------------------------------------------------------------------------
 *
 * runner_state.h
 *	  Which databases want a runner, and which have one.
 *
 * The entries are in shared memory (RunnerShared, under ModalShared->lock).
 * A session that commits work sets "wanted" and wakes the runner, or the
 * launcher when there is none.  The runner clears "wanted" before it looks
 * into its tables, so no wish is ever missed.  A runner leaves only by
 * runner_leave, which refuses when it is wanted again.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_RUNNER_STATE_H
#define MODAL_RUNNER_STATE_H

#include "compat.h"

/* There may be work in that database.  Never fails; no memory, no I/O. */
extern void runner_wake(Oid dbid);
/* Wake those who wait for the end of a job. */
extern void runner_job_changed(void);

/*
 * Keep runners out of a database, and wait (some seconds at most) until none
 * is there, until runner_allow.  For InvalidOid nothing is done.
 */
extern void runner_stop(Oid dbid);
extern void runner_allow(Oid dbid);

/* --- the runner's side ---------------------------------------------------- */

/* Take the entry; false when another runner has it or none is wanted. */
extern bool runner_enter(Oid dbid);
/* Has work been announced since the last time?  Sets *stop. */
extern bool runner_take_wish(bool *stop);
/* Give the entry up before an orderly exit; false when wanted again. */
extern bool runner_leave(void);

/* --- the launcher's side -------------------------------------------------- */

extern void launcher_enter(void);
extern bool launcher_take_look_everywhere(void);
/* A free entry was found for the wish, or one was there already. */
extern bool launcher_want(Oid dbid);
/*
 * The next database whose runner is to be started now: marked as starting.
 * Else InvalidOid; *wait_ms is set to when one will be (-1: never).
 * At most limit are starting at a time.
 */
extern Oid launcher_next(int limit, long *wait_ms);
/* The start of that runner failed before it took its entry. */
extern void launcher_start_failed(Oid dbid);
/* There is no such database any more. */
extern void launcher_forget(Oid dbid);

#endif /* MODAL_RUNNER_STATE_H */
