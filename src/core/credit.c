/*-------------------------------------------------------------------------
 *
 * credit.c
 *	  How many outputs may be on their way to their reader; see credit.h.
 *
 *-------------------------------------------------------------------------
 */
#include "core/credit.h"

#include <string.h>

void
output_size_note(OutputSize *size, uint64_t bytes, uint32_t outputs)
{
	double mean;

	if (outputs == 0)
		return;
	mean = (double) bytes / outputs;
	if (outputs > OUTPUT_SIZE_SPAN)
		outputs = OUTPUT_SIZE_SPAN;
	size->weight += outputs;
	if (size->weight > OUTPUT_SIZE_SPAN)
		size->weight = OUTPUT_SIZE_SPAN;
	size->mean += (mean - size->mean) * outputs / size->weight;
	if (mean >= size->peak)
		size->peak = mean;
	else
		size->peak += (mean - size->peak) * outputs / OUTPUT_SIZE_SPAN;
}

static uint64_t
at_least_one(double bytes)
{
	return bytes > 1 ? (uint64_t) bytes : 1;
}

uint64_t
output_size_mean(const OutputSize *size)
{
	return at_least_one(size->mean);
}

uint64_t
output_size_peak(const OutputSize *size)
{
	return at_least_one(size->peak);
}

uint32_t
output_size_window(const OutputSize *size, uint64_t budget, uint32_t window)
{
	uint64_t fit;

	/* Mostly so, and asked for each input: it saves a division. */
	if (size->mean * window <= (double) budget && budget >= window)
		return window;
	fit = budget / output_size_mean(size);
	if (fit == 0)
		return 1;
	return fit < window ? (uint32_t) fit : window;
}

void
credit_init(Credit *c, uint64_t budget)
{
	memset(c, 0, sizeof(*c));
	c->budget = budget;
	c->awaited = -1;
}

void
credit_sent(Credit *c, uint64_t bytes)
{
	c->sent++;
	c->held += bytes;
	output_size_note(&c->size, bytes, 1);
}

void
credit_consumed(Credit *c, uint64_t bytes, int64_t awaited, uint64_t received)
{
	c->held -= bytes < c->held ? bytes : c->held;
	c->awaited = awaited;
	c->received = received;
}

uint32_t
credit_fetch(const Credit *c, uint64_t each, uint32_t being_fetched)
{
	uint64_t fit;

	if (c->held >= c->budget)
		return 0;
	/* the last one need not fit wholly */
	fit = (c->budget - c->held - 1) / (each > 0 ? each : 1) + 1;
	if (fit <= being_fetched)
		return 0;
	fit -= being_fetched;
	return fit < UINT32_MAX ? (uint32_t) fit : UINT32_MAX;
}

int64_t
credit_awaited(const Credit *c)
{
	return c->held >= c->budget && c->received == c->sent ? c->awaited : -1;
}
