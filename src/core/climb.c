/*-------------------------------------------------------------------------
 *
 * climb.c
 *	  Find by trying how large a number should be; see climb.h.
 *
 *-------------------------------------------------------------------------
 */
#include "core/climb.h"

#include <string.h>

void
climb_init(Climb *c, uint32_t start, uint32_t max, double gain)
{
	memset(c, 0, sizeof(*c));
	c->max = max > 0 ? max : 1;
	c->value = start < c->max ? start : c->max;
	if (c->value == 0)
		c->value = 1;
	c->gain = gain;
	c->hold = CLIMB_FIRST_HOLD;
}

static void
begin_window(Climb *c, double now)
{
	c->started = now;
	c->work = 0;
	c->events = 0;
	c->rejected = 0;
}

/* Measuring begins once all that ends was begun with the new value. */
static void
change_value(Climb *c, uint32_t value, double now)
{
	c->value = value;
	c->changed = now;
	c->started = 0;
}

void
climb_restart(Climb *c, double now)
{
	change_value(c, c->before != 0 ? c->before : c->value, now);
	c->before = 0;
}

void
climb_limit(Climb *c, uint32_t value, double now)
{
	change_value(c, value < 1 ? 1 : value, now);
	c->before = 0;
	c->hold_until = now + CLIMB_MAX_HOLD;
}

bool
climb_settled(const Climb *c, double now)
{
	return c->before == 0 && (c->value >= c->max || now < c->hold_until);
}

static void
move_to(Climb *c, uint32_t value, double rate, double now)
{
	c->before = c->value;
	c->rate_before = rate;
	change_value(c, value < 1 ? 1 : value > c->max ? c->max : value, now);
}

/* The trial brought nothing: back to the old value, and wait longer. */
static void
go_back(Climb *c, double now)
{
	change_value(c, c->before, now);
	c->before = 0;
	c->hold_until = now + c->hold;
	c->hold = c->hold * 2 < CLIMB_MAX_HOLD ? c->hold * 2 : CLIMB_MAX_HOLD;
}

/* A window has been measured: judge the trial that it ends, or begin one. */
static void
decide(Climb *c, double now, double rate)
{
	bool overloaded = c->rejected * 4 > c->events;

	if (c->before != 0 && c->value > c->before &&
		rate < c->rate_before * c->gain)
	{
		go_back(c, now);
		return;
	}
	if (c->before != 0 && c->value < c->before && rate < c->rate_before * 0.95)
	{
		/* The rejections were not our doing. */
		go_back(c, now);
		return;
	}

	if (overloaded && c->value > 1 && now >= c->hold_until)
		move_to(c, c->value * 3 / 4, rate, now);
	else if (!overloaded && c->value < c->max && now >= c->hold_until)
	{
		if (c->before != 0)
			c->hold = CLIMB_FIRST_HOLD; /* the last trial helped */
		move_to(c, c->value * 2, rate, now);
	}
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

	/* Without demand, a larger value could not show what it is worth. */
	if (!limited)
	{
		if (c->before == 0)
			c->started = 0;
		return;
	}

	/*
	 * What began before the value changed says nothing about it; and the
	 * time it took must not count either, or the new rate would seem too low.
	 */
	if (now - seconds < c->changed)
		return;
	if (c->started == 0)
	{
		begin_window(c, now);
		return;
	}

	c->work += work;
	c->events++;
	c->rejected += rejected;

	elapsed = now - c->started;
	if (c->events >= rounds * at_once && elapsed >= CLIMB_MIN_WINDOW &&
		elapsed >= rounds * seconds)
		decide(c, now, (double) c->work / elapsed);
}
