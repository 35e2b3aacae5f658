/*-------------------------------------------------------------------------
 *
 * backoff.c
 *	  Delays between attempts; time and chance are passed in.
 *
 *-------------------------------------------------------------------------
 */
#include "core/backoff.h"

#include <math.h>

#define MIN_INPUT_DELAY_MS 1000.0
#define MAX_INPUT_DELAY_MS 86400000.0

void
backoff_init(Backoff *b, double base, double factor, double max,
			 bool full_jitter)
{
	b->base = base;
	b->factor = factor;
	b->max = max;
	b->full_jitter = full_jitter;
	b->attempt = 0;
}

double
backoff_next(Backoff *b, double unit)
{
	double delay = b->base * pow(b->factor, b->attempt);

	/* Infinity, where pow overflows, is more than max as well. */
	if (delay > b->max)
		delay = b->max;
	if (b->attempt < UINT32_MAX)
		b->attempt++;
	return b->full_jitter ? delay * (1.0 - unit) : delay;
}

void
backoff_reset(Backoff *b)
{
	b->attempt = 0;
}

double
modal_retry_delay(uint32_t n, uint32_t retries, uint32_t initial_delay_ms,
				  double coefficient)
{
	double delay;

	if (n > retries)
		return -1.0;

	/*
	 * The coefficient comes from the network: with a senseless one (NaN, or
	 * 0 ms times infinity) the delay is the shortest.
	 */
	delay = initial_delay_ms * pow(coefficient, (double) n - 1.0);
	if (!(delay >= MIN_INPUT_DELAY_MS))
		delay = MIN_INPUT_DELAY_MS;
	else if (delay > MAX_INPUT_DELAY_MS)
		delay = MAX_INPUT_DELAY_MS;
	return delay / 1000.0;
}
