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

/* For what others are told; whoever sets the system's time changes it. */
static inline double
unix_seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

/* What others call a time, and is later than this (the year 10000), is none. */
#define MAX_UNIX_SECONDS 253402300800.0

/* Milliseconds from now until then, rounded up; not more than a day. */
static inline long
monotonic_ms_until(double then)
{
	double ms = ceil((then - monotonic_seconds()) * 1000);

	return ms <= 0 ? 0 : ms < 86400e3 ? (long) ms : 86400000L;
}

#endif /* MODAL_CLOCK_H */
