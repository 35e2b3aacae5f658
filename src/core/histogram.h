/*-------------------------------------------------------------------------
 *
 * histogram.h
 *	  How often values occurred, exact to an eighth: of times in microseconds,
 *	  for percentiles.
 *
 * Log-linear: values below 8 have a bucket each, and every power of two from
 * there on has eight of the same width, so that a bucket's width is at most an
 * eighth of the values in it.  What is HISTOGRAM_END or more counts as the
 * largest value below it.  All zero is empty; of fixed size, so that it can be
 * in shared memory.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_CORE_HISTOGRAM_H
#define MODAL_CORE_HISTOGRAM_H

#include <stdint.h>

#define HISTOGRAM_BITS 37 /* microseconds: 38 hours */
#define HISTOGRAM_END ((uint64_t) 1 << HISTOGRAM_BITS)
#define HISTOGRAM_BUCKETS (8 * (HISTOGRAM_BITS - 2))

typedef struct Histogram
{
	uint64_t total; /* of the counts */
	uint64_t counts[HISTOGRAM_BUCKETS];
} Histogram;

extern void histogram_add(Histogram *histogram, uint64_t value);
extern void histogram_merge(Histogram *to, const Histogram *from);
/*
 * The least value that is no smaller than this share (0 to 1) of all values:
 * rounded down to where its bucket begins, so by less than an eighth of it.
 * 0 if there is none.
 */
extern uint64_t histogram_percentile(const Histogram *histogram, double share);

#endif /* MODAL_CORE_HISTOGRAM_H */
