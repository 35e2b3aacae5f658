/*-------------------------------------------------------------------------
 *
 * suspect.h
 *	  Which job a runner has in its hands: known to the next runner when this
 *	  one crashes, and the server with it.
 *
 * A job that crashes whoever touches it must not keep the server down.  Tables
 * would cost a commit for each job, and shared memory does not outlive a
 * crash, so the number is in a small file of the data directory,
 * "modal_batch/DATABASE.ROLE", which is there while the runner is.  Only a
 * crash leaves it behind.  It is written and not mapped: on a full disk a
 * write is an error, and a store a signal that would be such a crash.
 *
 * A runner that ends itself with a job leaves no file, for all of them end so
 * when the server stops.  Where that goes on, shared memory has the number.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_JOBS_SUSPECT_H
#define MODAL_JOBS_SUSPECT_H

#include "link/shmem.h"

/* The job with which the runner before this one has crashed; 0: none. */
extern int64 suspect_begin(RunnerKey key);
/* This one is touched now; 0: none. */
extern void suspect_set(int64 job);
/* The one that is; also after the file has gone. */
extern int64 suspect_in_hand(void);

/* There is no such role or database any more. */
extern void suspect_forget(RunnerKey key);

#endif /* MODAL_JOBS_SUSPECT_H */
