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
/* A WARNING when it has ended, and something in it has failed. */
extern void job_warn_of_failures(const Job *job);

#endif /* MODAL_JOBS_WATCH_H */
