/*-------------------------------------------------------------------------
 *
 * watch.h
 *	  What is told of a job to who waits for it or watches it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_JOBS_WATCH_H
#define MODAL_JOBS_WATCH_H

#include "compat.h"

#include "jobs/store.h"

extern bool job_has_ended(const Job *job);
/* Does it wait for older ones to end?  With an active snapshot. */
extern bool job_waits_its_turn(const Job *job);
#define JOB_WAITS_ITS_TURN "an older job with messages of the same keys has not ended"
/* A WARNING when it has ended, and something in it has failed. */
extern void job_warn_of_failures(const Job *job);

#endif /* MODAL_JOBS_WATCH_H */
