/*-------------------------------------------------------------------------
 *
 * limits.h
 *	  What a job may cost: when it may run, how many inputs it may have, and
 *	  after how many failures it stops.
 *
 * A limit is said by the call that makes the job, by its server, and by a
 * setting that only a superuser can change; the smallest holds.  What is
 * found then is in the job's row, and holds for it from then on.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_JOBS_LIMITS_H
#define MODAL_JOBS_LIMITS_H

#include "compat.h"

#include "endpoint/endpoint.h"
#include "fmgr.h"
#include "jobs/store.h"

/* Failures from the beginning that end a job for which nothing is said. */
#define FAILURES_FROM_START 1000

/* --- when a job is made --------------------------------------------------- */

/* Which arguments of a function say limits. */
typedef struct LimitArguments
{
	int unique_key, start_after, deadline, max_failures, max_in_flight;
} LimitArguments;

/* Errors: 22023 and the like for values that will not do. */
extern void limits_read(FunctionCallInfo fcinfo, const LimitArguments *at,
						Job *job);
/* What the server and settings say. */
extern void limits_of_server(Job *job, const Endpoint *endpoint);
/* How many inputs it may have; PG_INT64_MAX: any number. */
extern int64 limits_max_inputs(const Endpoint *endpoint);
/* 54000: too many of them. */
extern void limits_check_inputs(int64 inputs, int64 limit);

/*
 * The owner's unfinished job with that key, or 0: then there can be no other
 * until the present transaction has ended, or rolled back to before.  Waits for
 * other transactions that make one.
 */
extern int64 limits_claim_key(Oid owner, const char *key);
/* The same before a job goes on; 23505: there is another one. */
extern void limits_reclaim_key(const Job *job);

/* --- while it runs -------------------------------------------------------- */

/* Why it has to stop, with these counts and this last error; NULL: it need not. */
extern ErrorData *limits_failures_error(const Job *job);
extern ErrorData *limits_deadline_error(const Job *job);

#endif /* MODAL_JOBS_LIMITS_H */
