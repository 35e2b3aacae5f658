/*-------------------------------------------------------------------------
 *
 * bignum.c
 *	  Large integers between decimal digits and bytes (CBOR tags 2 and 3).
 *
 * Numbers are kept as 32-bit limbs, lowest first, and multiplied or divided
 * by 10^9, the largest power of ten that is one limb.
 *
 *-------------------------------------------------------------------------
 */
#include "core/bignum.h"

#include "core/cbor.h"

#define CHUNK_DIGITS 9
#define CHUNK UINT32_C(1000000000) /* 10 ^ CHUNK_DIGITS */

/* Room for n limbs, zeroed, in a buffer of its own; NULL when out of memory. */
static uint32_t *
limbs_create(Buf *memory, size_t n, BufRealloc grow)
{
	void *limbs;

	buf_init(memory, 0, grow);
	limbs = buf_extend(memory, n * sizeof(uint32_t));
	if (limbs != NULL)
		memset(limbs, 0, n * sizeof(uint32_t));
	return limbs;
}

/* limbs = limbs * factor + add, where n limbs are used; the new n. */
static size_t
multiply_add(uint32_t *limbs, size_t n, uint32_t factor, uint32_t add)
{
	uint64_t carry = add;

	for (size_t i = 0; i < n; i++)
	{
		carry += (uint64_t) limbs[i] * factor;
		limbs[i] = (uint32_t) carry;
		carry >>= 32;
	}
	if (carry > 0)
		limbs[n++] = (uint32_t) carry;
	return n;
}

/* limbs = limbs / CHUNK; the remainder. */
static uint32_t
divide(uint32_t *limbs, size_t n)
{
	uint64_t rest = 0;

	for (size_t i = n; i-- > 0;)
	{
		rest = rest << 32 | limbs[i];
		limbs[i] = (uint32_t) (rest / CHUNK);
		rest %= CHUNK;
	}
	return (uint32_t) rest;
}

bool
bignum_from_digits(Buf *out, const char *digits, size_t n)
{
	Buf memory;
	uint32_t *limbs;
	size_t used = 0;
	size_t i = 0;
	bool leading = true;

	if (n > BIGNUM_MAX_DIGITS)
		return false;
	limbs = limbs_create(&memory, n / CHUNK_DIGITS + 1, out->grow);
	if (limbs == NULL)
		return false;

	while (i < n)
	{
		uint32_t factor = 1;
		uint32_t chunk = 0;

		/* The first chunk is the short one. */
		do
		{
			if (digits[i] < '0' || digits[i] > '9')
			{
				buf_free(&memory);
				return false;
			}
			chunk = chunk * 10 + (uint32_t) (digits[i] - '0');
			factor *= 10;
			i++;
		} while ((n - i) % CHUNK_DIGITS != 0);
		used = multiply_add(limbs, used, factor, chunk);
	}

	while (used-- > 0)
	{
		for (int shift = 24; shift >= 0; shift -= 8)
		{
			uint8_t byte = (uint8_t) (limbs[used] >> shift);

			leading = leading && byte == 0;
			if (!leading)
				buf_put_u8(out, byte);
		}
	}
	buf_free(&memory);
	return !out->failed;
}

bool
bignum_put_digits(Buf *out, bool negative, const char *digits, size_t n)
{
	Buf bytes;
	bool good;

	buf_init(&bytes, 0, out->grow);
	good = bignum_from_digits(&bytes, digits, n);
	if (good)
	{
		/* A negative number -v is -1 - (v - 1); -0 is 0 here. */
		negative = negative && bytes.len > 0;
		for (size_t i = bytes.len; negative && i-- > 0;)
		{
			if (bytes.data[i]-- != 0)
				break;
		}
		cbor_put_big(out, negative, bytes.data, bytes.len);
	}
	buf_free(&bytes);
	return good && !out->failed;
}

bool
bignum_to_digits(Buf *out, const uint8_t *p, size_t n)
{
	Buf memory;
	uint32_t *limbs;
	uint32_t *chunks;
	size_t used;
	size_t nchunks = 0;

	while (n > 0 && *p == 0)
	{
		p++;
		n--;
	}
	if (n > BIGNUM_MAX_BYTES)
		return false;

	/* A limb holds more than a chunk does: n bytes are < n / 3.7 chunks. */
	used = (n + 3) / 4;
	limbs = limbs_create(&memory, used + n / 3 + 1, out->grow);
	if (limbs == NULL)
		return false;
	chunks = limbs + used;

	for (size_t i = 0; i < n; i++)
		limbs[i / 4] |= (uint32_t) p[n - 1 - i] << (8 * (i % 4));
	do
	{
		chunks[nchunks++] = divide(limbs, used);
		while (used > 0 && limbs[used - 1] == 0)
			used--;
	} while (used > 0);

	buf_printf(out, "%u", (unsigned int) chunks[--nchunks]);
	while (nchunks-- > 0)
		buf_printf(out, "%09u", (unsigned int) chunks[nchunks]);
	buf_free(&memory);
	return !out->failed;
}
