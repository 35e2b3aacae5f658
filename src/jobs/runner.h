/*-------------------------------------------------------------------------
 *
 * runner.h
 *	  What the launcher tells a runner that it starts.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_JOBS_RUNNER_H
#define MODAL_JOBS_RUNNER_H

#include "link/shmem.h"

/* In bgw_extra. */
typedef struct RunnerStart
{
	RunnerKey key;
	bool login; /* its role may log in: see owner.h */
} RunnerStart;

#endif /* MODAL_JOBS_RUNNER_H */
