/*-------------------------------------------------------------------------
 *
 * histogram.c
 *	  How often values occurred; see histogram.h.
 *
 *-------------------------------------------------------------------------
 */
#include "core/histogram.h"

#include <math.h>

/* A value of power 2^n is in one of the eight buckets that begin at 8(n-2). */
static int
bucket_of(uint64_t value)
{
	int power;

	if (value < 8)
		return (int) value;
	if (value >= HISTOGRAM_END)
		return HISTOGRAM_BUCKETS - 1;
	power = 63 - __builtin_clzll(value);
	return (power - 2) * 8 + (int) ((value >> (power - 3)) & 7);
}

static uint64_t
bucket_start(int bucket)
{
	if (bucket < 8)
		return (uint64_t) bucket;
	return (uint64_t) (8 + bucket % 8) << (bucket / 8 - 1);
}

void
histogram_add(Histogram *histogram, uint64_t value)
{
	histogram->total++;
	histogram->counts[bucket_of(value)]++;
}

void
histogram_merge(Histogram *to, const Histogram *from)
{
	uint64_t left = from->total;

	to->total += left;
	for (int i = 0; left > 0; i++)
	{
		to->counts[i] += from->counts[i];
		left -= from->counts[i];
	}
}

uint64_t
histogram_percentile(const Histogram *histogram, double share)
{
	double rank = ceil(share * (double) histogram->total);
	uint64_t seen = 0;

	for (int i = 0; i < HISTOGRAM_BUCKETS; i++)
	{
		seen += histogram->counts[i];
		if (seen > 0 && (double) seen >= rank)
			return bucket_start(i);
	}
	return 0;
}
