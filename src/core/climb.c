/*-------------------------------------------------------------------------
 *
 * climb.c
 *	  Find by trying how large a number should be; see climb.h.
 *
 *-------------------------------------------------------------------------
 */
#include "core/climb.h"

#include <string.h>

#define STEP 2			/* times as much, where a trial has brought nothing */
#define LESS_IS_ENOUGH 0.95 /* of the throughput, with a smaller value */
#define CROWDED 1.5		/* times as long as at best, */
#define CROWDED_WINDOWS 4 /* for so many windows: connections take time, too */
#define FORGET 1.001	/* a window's share of what is remembered of the best */

void
climb_init(Climb *c, uint32_t start, uint32_t max, double gain, uint32_t leap)
{
	memset(c, 0, sizeof(*c));
	c->max = max > 0 ? max : 1;
	c->value = start < c->max ? start : c->max;
	if (c->value == 0)
		c->value = 1;
	c->gain = gain;
	c->leap = leap;
	c->hold = CLIMB_FIRST_HOLD;
}

void
climb_trim(Climb *c)
{
	c->trims = true;
}

static void
begin_window(Climb *c, double now)
{
	c->started = now;
	c->seconds = 0;
	c->work = 0;
	c->events = 0;
	c->rejected = 0;
}

/* What is measured is only what begins from now on. */
static void
measure_anew(Climb *c, double now)
{
	c->since = now;
	c->started = 0;
}

static void
change_value(Climb *c, uint32_t value, double now)
{
	c->value = value;
	c->doubted = false;
	c->imposed = false;
	c->crowded = 0;
	measure_anew(c, now);
}

void
climb_restart(Climb *c, double now)
{
	change_value(c, c->before != 0 ? c->before : c->value, now);
	c->before = 0;
}

/* No trial for a while, and for longer when that comes again. */
static void
hold(Climb *c, double now)
{
	c->hold_until = now + c->hold;
	c->hold = c->hold * 2 < CLIMB_MAX_HOLD ? c->hold * 2 : CLIMB_MAX_HOLD;
}

void
climb_limit(Climb *c, uint32_t value, double now)
{
	change_value(c, value < 1 ? 1 : value, now);
	c->before = 0;
	c->imposed = true;
	/* Many may say so at once, of one and the same reason. */
	if (now >= c->hold_until)
		hold(c, now);
}

bool
climb_settled(const Climb *c, double now)
{
	return c->before == 0 && (c->value >= c->max || now < c->hold_until);
}

static void
move_to(Climb *c, uint64_t value, double rate, double now)
{
	c->before = c->value;
	c->rate_before = rate;
	change_value(c, value < 1 ? 1 : value > c->max ? c->max : (uint32_t) value, now);
}

/* The trial brought nothing: to a value that does as well, and wait longer. */
static void
give_up(Climb *c, uint32_t value, double now)
{
	change_value(c, value, now);
	c->before = 0;
	hold(c, now);
}

/* The window ends a trial.  False: of that nothing is left to be done. */
static bool
judge_trial(Climb *c, double now, double rate, bool overloaded)
{
	bool up = c->value > c->before;
	bool nothing = rate < c->rate_before * (up ? c->gain : LESS_IS_ENOUGH);

	if (up && overloaded)
	{
		c->refused = c->value;
		give_up(c, c->before, now);
	}
	else if (nothing && !c->doubted)
	{
		c->doubted = true;
		begin_window(c, now);
	}
	else if (nothing)
		/* if it was a smaller value: the rejections were not our doing */
		give_up(c, c->before, now);
	else if (up && c->value / STEP > c->before && rate < c->rate_before * STEP)
		give_up(c, c->before * STEP, now);
	else
		return true;
	return false;
}

/* Up to what was refused by halves; once that is near, from the beginning. */
static uint64_t
larger(Climb *c)
{
	uint64_t value = (uint64_t) c->value * (c->hold_until == 0 ? c->leap : STEP);

	if (c->refused > c->value + c->value / 8)
		return ((uint64_t) c->value + c->refused) / 2;
	c->refused = 0;
	return value;
}

/* How long do things take, compared with what they took at best? */
static void
note_time(Climb *c)
{
	double mean = c->seconds / c->events;

	/* a rejection is no work done soon */
	if (c->rejected > 0)
		return;
	c->least = c->least == 0 || mean < c->least ? mean : c->least * FORGET;
	c->crowded = mean > c->least * CROWDED ? c->crowded + 1 : 0;
}

/* The next trial, when one is due. */
static void
try_another(Climb *c, double now, double rate, bool overloaded)
{
	bool crowded = c->trims && c->crowded >= CROWDED_WINDOWS && c->value > 1;

	if (overloaded && c->value > 1)
		move_to(c, (uint64_t) c->value * 3 / 4, rate, now);
	else if (crowded && !c->trimmed)
		move_to(c, c->value / STEP, rate, now);
	else if (!overloaded && c->value < c->max)
		move_to(c, larger(c), rate, now);
	else
	{
		c->before = 0;
		begin_window(c, now);
	}
	c->trimmed = c->before > c->value;
}

/* A window has been measured: judge the trial that it ends, or begin one. */
static void
decide(Climb *c, double now, double rate)
{
	bool overloaded = c->rejected * 4 > c->events;

	note_time(c);
	if (c->before != 0)
	{
		if (!judge_trial(c, now, rate, overloaded))
			return;
		c->hold = CLIMB_FIRST_HOLD;
	}
	if (now >= c->hold_until)
		try_another(c, now, rate, overloaded);
	else
	{
		c->before = 0;
		begin_window(c, now);
	}
}

void
climb_report(Climb *c, double now, uint64_t work, double seconds,
			 uint32_t at_once, bool rejected, bool limited)
{
	/* Until a trial has failed, speed matters more than certainty. */
	int rounds = c->hold_until == 0 ? 1 : 2;
	double elapsed;

	if (now - seconds < c->since)
		return;
	/* Without demand, a larger value could not show what it is worth. */
	if (!limited)
	{
		measure_anew(c, now);
		return;
	}
	if (c->started == 0)
	{
		begin_window(c, now);
		return;
	}

	c->seconds += seconds;
	c->work += work;
	c->events++;
	c->rejected += rejected;

	elapsed = now - c->started;
	if (c->events >= rounds * at_once && elapsed >= CLIMB_MIN_WINDOW &&
		elapsed >= rounds * seconds && c->seconds > 0)
		decide(c, now, (double) c->work / c->seconds * at_once);
}
