/*-------------------------------------------------------------------------
 *
 * bignum.h
 *	  Large integers between decimal digits and bytes (CBOR tags 2 and 3).
 *
 * Both ways take time that grows with the square of the length, hence the
 * limit: what PostgreSQL's numeric can hold at most.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_CORE_BIGNUM_H
#define MODAL_CORE_BIGNUM_H

#include "core/buf.h"

#define BIGNUM_MAX_DIGITS (131072 + 16383)
#define BIGNUM_MAX_BYTES 61240 /* enough for so many digits */

/*
 * Append the number that n decimal digits make, as bytes, highest first,
 * without leading zeros (nothing at all for zero).  False, with a partial
 * result or none, when there are too many digits or other characters, or when
 * out fails.
 */
extern bool bignum_from_digits(Buf *out, const char *digits, size_t n);
/* The same as a CBOR integer of whatever size it takes, perhaps negative. */
extern bool bignum_put_digits(Buf *out, bool negative, const char *digits,
							  size_t n);
/* The reverse of bignum_from_digits; "0" for zero. */
extern bool bignum_to_digits(Buf *out, const uint8_t *p, size_t n);

#endif /* MODAL_CORE_BIGNUM_H */
