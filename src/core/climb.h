/*-------------------------------------------------------------------------
 *
 * climb.h
 *	  Find by trying how large a number should be: how many requests to have
 *	  in flight, how many rows to put into one.
 *
 * The owner reports work that went well; a Climb compares the throughput at
 * the present value with that at the value before, and goes on in the
 * direction that helped.  So it grows while growing helps, gives way when a
 * smaller value does as well (after rejections), and ignores failures that
 * have nothing to do with the value.  Pure: time is passed in.
 *
 * Throughput is not counted by the clock: what began together ends together,
 * and a round more or less of it in a short window is half of all.  It is the
 * work done for each second that something was under way, times how many were
 * under way.  A trial that seems to bring nothing is measured twice before it
 * is given up, for all may have stalled for a moment.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_CORE_CLIMB_H
#define MODAL_CORE_CLIMB_H

#include <stdbool.h>
#include <stdint.h>

typedef struct Climb
{
	uint32_t value;		/* the present one */
	uint32_t max;
	uint32_t before;	/* the one it is being compared with; 0: none */
	double rate_before; /* work per second there */
	double gain;		/* least gain that justifies a larger value: 1.1 */
	uint32_t leap;		/* times as much, until a trial has brought nothing */
	uint32_t refused;	/* a larger one that was too much; 0: none is known */
	/* the measurement under way */
	double since;		/* what began before that says nothing */
	double started;		/* 0: not yet */
	double seconds;		/* that all of it took */
	uint64_t work;
	uint32_t events;
	uint32_t rejected;
	bool doubted;		/* it is the trial's second one */
	bool imposed;		/* the value is one that climb_limit has set */
	bool trims;			/* see climb_trim */
	bool trimmed;		/* the last trial was of less */
	double least;		/* mean time of what is under way, in a good window */
	uint32_t crowded;	/* windows in a row, at this value, far from that */
	double hold_until;	/* no trial before */
	double hold;		/* seconds; doubles while trials bring nothing */
} Climb;

#define CLIMB_FIRST_HOLD 0.25 /* seconds between trials, at first */
#define CLIMB_MAX_HOLD 8.0
#define CLIMB_MIN_WINDOW 0.05 /* shortest measurement, seconds */

extern void climb_init(Climb *c, uint32_t start, uint32_t max, double gain,
					   uint32_t leap);
/*
 * Something ended at time now.  work: what it achieved (rows; 0 for a
 * rejection by an overloaded peer, then rejected is set); seconds: how long
 * it took; at_once: how many such are under way at once; limited: was the
 * value what kept more from being under way?
 */
extern void climb_report(Climb *c, double now, uint64_t work, double seconds,
						 uint32_t at_once, bool rejected, bool limited);
/*
 * Also try less, in turns with more, while things take much longer than they
 * did at best: perhaps they only wait for each other.
 */
extern void climb_trim(Climb *c);
/* Give a trial up, and measure anew from now on. */
extern void climb_restart(Climb *c, double now);
/* A value that something else asks for, for a while. */
extern void climb_limit(Climb *c, uint32_t value, double now);
/* No trial is due: the last one failed a short while ago, or it is at max. */
extern bool climb_settled(const Climb *c, double now);

#endif /* MODAL_CORE_CLIMB_H */
