/*-------------------------------------------------------------------------
 *
 * backoff.h
 *	  Delays between attempts; time and chance are passed in.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_CORE_BACKOFF_H
#define MODAL_CORE_BACKOFF_H

#include <stdbool.h>
#include <stdint.h>

typedef struct Backoff
{
	double base;	/* first delay, seconds */
	double factor;	/* growth per attempt */
	double max;		/* largest delay, seconds */
	bool full_jitter; /* delay is uniform in (0, computed] */
	uint32_t attempt; /* attempts so far */
} Backoff;

extern void backoff_init(Backoff *b, double base, double factor, double max,
						 bool full_jitter);
/* Seconds to wait before the next attempt; unit is uniform in [0,1). */
extern double backoff_next(Backoff *b, double unit);
extern void backoff_reset(Backoff *b);

/*
 * Modal's delay before retry n (from 1) of an input under a function's
 * FunctionRetryPolicy, in seconds; negative when the policy is exhausted.
 * Clamped to [1 s, 24 h] as the service's own client does.
 */
extern double modal_retry_delay(uint32_t n, uint32_t retries,
								uint32_t initial_delay_ms, double coefficient);

#endif /* MODAL_CORE_BACKOFF_H */
