/*-------------------------------------------------------------------------
 *
 * job_error.h
 *	  Errors of our own, as opposed to the remote side's, in a job.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_WORKER_JOB_ERROR_H
#define MODAL_WORKER_JOB_ERROR_H

#include "compat.h"

#include "utils/jsonb.h"

/* Do other sessions, or a lack of resources, stand in the way? */
extern bool error_is_contention(int sqlstate);
/* Is it one of those that a later attempt may not meet, such as that? */
extern bool error_is_transient(int sqlstate);
/* As the jsonb that every failure has. */
extern Jsonb *edata_to_jsonb(const ErrorData *edata, int attempts);

#endif /* MODAL_WORKER_JOB_ERROR_H */
