/*-------------------------------------------------------------------------
 *
 * retry.h
 *	  When something that failed is tried again, and when no more.
 *
 * A RetryPolicy is the rule, a Retry what has happened so far.  Pauses grow
 * from failure to failure, each with full jitter: uniform in (0, what has
 * grown], so that those who failed together do not come back together.  What
 * a service says of when it wants to be asked again is added to that: it
 * makes a pause longer, never shorter, and the spread stays.  No pause
 * outlasts the budget: at its end is the last try.  Pure: time and chance are
 * passed in.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_CORE_RETRY_H
#define MODAL_CORE_RETRY_H

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#define RETRY_FOREVER HUGE_VAL	/* as a budget */
#define RETRY_OFTEN UINT32_MAX	/* as a number of tries: no limit */

typedef struct RetryPolicy
{
	double first;	/* the first pause, seconds, before jitter */
	double growth;	/* of each pause over the one before */
	double most;	/* the longest pause, before jitter */
	double budget;	/* seconds from the first failure to the last try */
	uint32_t tries; /* after the first one */
} RetryPolicy;

/* All zero: nothing has failed. */
typedef struct Retry
{
	double since;	   /* first failure that a budget counts from; 0: none */
	uint32_t failures; /* since there was progress */
	uint32_t grown;	   /* pauses of growing length */
} Retry;

/*
 * It failed, at time now (more than 0).  May it be tried again?  A policy
 * without a budget does not begin the count for one that has: such failures
 * are free of charge.
 */
extern bool retry_failed(Retry *r, const RetryPolicy *policy, double now);
/*
 * Then: seconds to wait before that.  unit: uniform in [0,1); floor: seconds
 * for which the service does not want to be asked; what is not more than 0
 * says nothing.
 */
extern double retry_pause(Retry *r, const RetryPolicy *policy, double now,
						  double unit, double floor);
/* Seconds of the budget that are left; not more than 0: it is used up. */
extern double retry_left(const Retry *r, const RetryPolicy *policy, double now);
/* It went well, if only in part: what fails next, fails for the first time. */
extern void retry_progress(Retry *r);
/* The failure was chance: let the pauses begin anew, but not the budget. */
extern void retry_excuse(Retry *r);

/* A date in a header: any form that RFC 9110 has. */
extern bool http_date(const char *value, size_t n, time_t *date);

/*
 * The header Retry-After in seconds from now, Unix time; 0 when it says nothing
 * that can be understood, or a time that is over.
 */
extern double retry_after_seconds(const char *value, size_t n, time_t now);

/*
 * Modal's delay before retry n (from 1) of an input under a function's
 * FunctionRetryPolicy, in seconds; negative when the policy is exhausted.
 * Clamped to [1 s, 24 h] as the service's own client does.
 */
extern double modal_retry_delay(uint32_t n, uint32_t retries,
								uint32_t initial_delay_ms, double coefficient);

#endif /* MODAL_CORE_RETRY_H */
