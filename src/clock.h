/*-------------------------------------------------------------------------
 *
 * clock.h
 *	  The clock for waits and deadlines of our own.
 *
 * It is the same for all processes and only goes forward: when somebody sets
 * the system's time, nothing here is late or early.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_CLOCK_H
#define MODAL_CLOCK_H

#include <math.h>
#include <time.h>

static inline double
monotonic_seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

/* Milliseconds from now until then, rounded up; not more than a day. */
static inline long
monotonic_ms_until(double then)
{
	double ms = ceil((then - monotonic_seconds()) * 1000);

	return ms <= 0 ? 0 : ms < 86400e3 ? (long) ms : 86400000L;
}

#endif /* MODAL_CLOCK_H */
