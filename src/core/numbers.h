/*-------------------------------------------------------------------------
 *
 * numbers.h
 *	  Lists of numbers, to and from arrays in memory.
 *
 * A list of nothing but plain numbers, each of which the array's type can hold
 * beyond doubt, is read in one pass.  All other lists are left, untouched, to
 * whoever reads item by item and knows all the rules.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_CORE_NUMBERS_H
#define MODAL_CORE_NUMBERS_H

#include "core/cbor.h"

typedef enum NumberType
{
	NUMBER_INT2,
	NUMBER_INT4,
	NUMBER_INT8,
	NUMBER_FLOAT4,
	NUMBER_FLOAT8
} NumberType;

/* Of one in memory. */
extern size_t number_size(NumberType type);

/* The float next to a double; false where there is doubt: see below. */
extern bool number_nearest_float(double d, float *f);

/*
 * Append the elements of the list that begins with the token, as they are in
 * memory; the list's end is the next token then.  False: nothing has been read
 * or appended.
 *
 * A float4 is the one next to the number; where its neighbour is as near, or a
 * normalized float4 cannot be as small or as large, there is doubt.
 */
extern bool numbers_from_cbor(Buf *out, NumberType type, CborReader *r,
							  const CborToken *list);
/* The same for a list in JSON, which is the whole text; -0 is 0. */
extern bool numbers_from_json(Buf *out, NumberType type, const char *p,
							  size_t n);
/* Append n numbers as items; float4 in 32 bits, float8 in 64. */
extern void numbers_to_cbor(Buf *out, NumberType type, const void *numbers,
							size_t n);

#endif /* MODAL_CORE_NUMBERS_H */
