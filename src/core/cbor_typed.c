/*-------------------------------------------------------------------------
 *
 * cbor_typed.c
 *	  Elements of CBOR's typed arrays; see cbor_typed.h.
 *
 * The tags are 010 f s e ll in bits: floating point, signed, little endian,
 * and the binary logarithm of the size.
 *
 *-------------------------------------------------------------------------
 */
#include "core/cbor_typed.h"

#include <math.h>

#define FIRST_TAG 64
#define LAST_TAG 87
#define IS_FLOAT 0x10
#define IS_SIGNED 0x08
#define IS_LITTLE 0x04
#define LOG_SIZE 0x03

#define TAG_RESERVED 76
#define MAX_SIZE 8 /* beyond are floats of 128 bits */

size_t
cbor_typed_size(uint64_t tag)
{
	size_t size;

	if (tag < FIRST_TAG || tag > LAST_TAG || tag == TAG_RESERVED)
		return 0;
	size = (size_t) ((tag & IS_FLOAT) != 0 ? 2 : 1) << (tag & LOG_SIZE);
	return size <= MAX_SIZE ? size : 0;
}

/* RFC 8949, appendix D */
static double
half_to_double(uint64_t half)
{
	int exponent = (int) (half >> 10 & 0x1f);
	double mantissa = (double) (half & 0x3ff);
	double v;

	if (exponent == 0)
		v = ldexp(mantissa, -24);
	else if (exponent != 31)
		v = ldexp(mantissa + 1024, exponent - 25);
	else
		v = mantissa == 0 ? INFINITY : NAN;
	return (half & 0x8000) != 0 ? -v : v;
}

static double
bits_to_double(uint64_t bits, size_t size)
{
	uint32_t single_bits = (uint32_t) bits;
	float f;
	double d;

	if (size == 2)
		return half_to_double(bits);
	if (size == 4)
	{
		memcpy(&f, &single_bits, sizeof(f));
		return f;
	}
	memcpy(&d, &bits, sizeof(d));
	return d;
}

void
cbor_typed_element(uint64_t tag, const uint8_t *p, CborToken *tok)
{
	size_t size = cbor_typed_size(tag);
	bool little = (tag & IS_LITTLE) != 0;
	bool is_float = (tag & IS_FLOAT) != 0;
	bool negative = !is_float && (tag & IS_SIGNED) != 0 &&
		(p[little ? size - 1 : 0] & 0x80) != 0;
	uint64_t bits = negative ? UINT64_MAX : 0;

	for (size_t i = 0; i < size; i++)
		bits = bits << 8 | p[little ? size - 1 - i : i];
	if (is_float)
	{
		tok->kind = CBOR_DOUBLE;
		tok->d = bits_to_double(bits, size);
	}
	else
	{
		tok->kind = negative ? CBOR_NINT : CBOR_UINT;
		tok->u = negative ? ~bits : bits;
	}
}
