/*-------------------------------------------------------------------------
 *
 * credit.h
 *	  How many outputs of a call may be on their way to its reader, who has
 *	  memory for so many bytes: its budget.
 *
 * What was sent and is not yet consumed is held, by the reader or on the way
 * to it.  Outputs are fetched while what is held, and what is expected of
 * those that are being fetched already, leaves something of the budget; so it
 * is exceeded by one output, as far as the expectation is right.  When it is
 * used up, nothing is fetched, with one exception: a reader who wants outputs
 * in order, and holds all but the one that comes next, says so, and gets that
 * one.
 *
 * Bytes are those of whole records (see frame_output_size), as they are what
 * takes memory.  Pure, like all of src/core.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_CORE_CREDIT_H
#define MODAL_CORE_CREDIT_H

#include <stdbool.h>
#include <stdint.h>

/* --- how large are outputs? -------------------------------------------------- */

#define OUTPUT_SIZE_SPAN 32

typedef struct OutputSize
{
	double mean;	   /* of about the last OUTPUT_SIZE_SPAN outputs */
	uint32_t weight;   /* of what it is the mean of; 0: nothing is known */
	double peak;	   /* the largest one; forgotten as slowly */
} OutputSize;

/* So many outputs, with so many bytes together. */
extern void output_size_note(OutputSize *size, uint64_t bytes, uint32_t outputs);
/* Bytes of the next one, on average; at least 1. */
extern uint64_t output_size_mean(const OutputSize *size);
/* Bytes that it may well have; at least 1. */
extern uint64_t output_size_peak(const OutputSize *size);
/* Most inputs in flight: not more than the reader has room for their outputs. */
extern uint32_t output_size_window(const OutputSize *size, uint64_t budget,
								   uint32_t window);

/* --- how many may be fetched? ------------------------------------------------ */

typedef struct Credit
{
	uint64_t budget;   /* bytes */
	uint64_t held;
	uint64_t sent;	   /* outputs so far */
	OutputSize size;
	/* as the reader said last */
	int64_t awaited;   /* ordinal; -1: none in particular */
	uint64_t received; /* outputs that it had then */
} Credit;

extern void credit_init(Credit *c, uint64_t budget);
/* An output of so many bytes was sent to the reader. */
extern void credit_sent(Credit *c, uint64_t bytes);
/*
 * The reader has done with so many bytes more; it waits for the output
 * awaited (-1: none in particular), having received so many in all.
 */
extern void credit_consumed(Credit *c, uint64_t bytes, int64_t awaited,
							uint64_t received);
/*
 * How many outputs may be fetched, if each has so many bytes and so many are
 * being fetched already?
 */
extern uint32_t credit_fetch(const Credit *c, uint64_t each,
							 uint32_t being_fetched);
/*
 * With the budget used up, the ordinal of the output that may be fetched
 * nevertheless; -1: none.  It ends as soon as any other output is sent: then
 * the reader has to say again what it waits for.
 */
extern int64_t credit_awaited(const Credit *c);

#endif /* MODAL_CORE_CREDIT_H */
