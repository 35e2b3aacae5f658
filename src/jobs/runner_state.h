/*-------------------------------------------------------------------------
 *
 * runner_state.h
 *	  Who wants a job runner, and who has one.
 *
 * A runner works for one role in one database; its entry is in shared memory
 * (RunnerShared, under ModalShared->lock).  A session that commits work sets
 * "wanted" and wakes the runner, or the launcher when there is none.  The
 * runner clears "wanted" before it looks into its tables, so no wish is ever
 * missed.  A runner leaves only by runner_leave, which refuses when it is
 * wanted again.
 *
 * The entry without an owner is for the database's scout, which looks whose
 * jobs there are (scout.h).
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_JOBS_RUNNER_STATE_H
#define MODAL_JOBS_RUNNER_STATE_H

#include "compat.h"

#include "link/shmem.h"

/*
 * There may be work of that owner, or with InvalidOid of anybody, in that
 * database, in jobs from that one on.  Never fails; no memory, no I/O.
 */
extern void runner_wake(Oid dbid, Oid owner, int64 from_job);
/* Wake those who wait for the end of a job. */
extern void runner_job_changed(void);

/*
 * Keep runners out of a database, and wait (some seconds at most) until none
 * is there, until runner_allow.
 */
extern void runner_stop(Oid dbid);
extern void runner_allow(Oid dbid);

/* --- the runner's side ---------------------------------------------------- */

/* Take the entry; false when another runner has it or none is wanted. */
extern bool runner_enter(RunnerKey key);
/* The job with which the runner before this one has ended itself; 0: none. */
extern int64 runner_take_died_with(void);

typedef enum RunnerWish
{
	RUNNER_STAY,
	RUNNER_YIELD, /* others have waited for a turn */
	RUNNER_STOP	  /* the database is wanted without it */
} RunnerWish;

/*
 * Has work been announced since the last time?  In jobs from *from_job on, when
 * that is less.  Sets *wish.
 */
extern bool runner_take_wish(RunnerWish *wish, int64 *from_job);
/* Does it do nothing but wait for work? */
extern void runner_set_idle(bool idle);
/* It has got something done: what ends it now is not a failure in a row. */
extern void runner_has_progressed(void);
/*
 * Give the entry up before an orderly exit; false when wanted again.  The
 * runner is to come back after that many seconds; negative: when there is work.
 */
extern bool runner_leave(double back_in_s);

/* --- the launcher's side -------------------------------------------------- */

extern void launcher_enter(void);
extern bool launcher_take_look_everywhere(void);
/* A free entry was found for the wish, or one was there already. */
extern bool launcher_want(RunnerKey key);
/*
 * Who is to get a runner now: marked as starting.  Else false; *wait_ms is set
 * to when somebody will be (-1: never).  At most limit are starting at a time;
 * who has waited longest is first.
 */
extern bool launcher_next(int limit, RunnerKey *key, long *wait_ms);
/*
 * There is no place for another runner: ask one to leave that is idle, or has
 * had its turn.
 */
extern void launcher_ask_for_place(void);
/* That runner could not be started: the next try is later, each time. */
extern void launcher_start_failed(RunnerKey key);
/* It is to be tried again, not being its fault. */
extern void launcher_start_later(RunnerKey key);
/* There is no such database or role any more. */
extern void launcher_forget(RunnerKey key);

#endif /* MODAL_JOBS_RUNNER_STATE_H */
