/*-------------------------------------------------------------------------
 *
 * http_key.c
 *	  Idempotency keys; see http_key.h.
 *
 * Nobody chooses ordinals in order to make keys collide, and seeds are random,
 * so a fast mixing function does.
 *
 *-------------------------------------------------------------------------
 */
#include "core/http_key.h"

#include <string.h>

/* Keeps the halves apart when those of the seed are alike. */
#define SECOND_HALF UINT64_C(0x9e3779b97f4a7c15)

/* A bijection in which every bit of x changes about half of the result. */
static uint64_t
mix(uint64_t x)
{
	x ^= x >> 33;
	x *= UINT64_C(0xff51afd7ed558ccd);
	x ^= x >> 33;
	x *= UINT64_C(0xc4ceb9fe1a85ec53);
	x ^= x >> 33;
	return x;
}

void
http_key_begin(HttpKey *key, const uint8_t seed[HTTP_KEY_SEED])
{
	memcpy(key->halves, seed, sizeof(key->halves));
	key->halves[1] += SECOND_HALF;
}

void
http_key_add(HttpKey *key, int64_t ordinal)
{
	for (int i = 0; i < 2; i++)
		key->halves[i] = mix(key->halves[i] ^ (uint64_t) ordinal);
}

void
http_key_text(const HttpKey *key, char text[HTTP_KEY_LEN + 1])
{
	static const char digits[] = "0123456789abcdef";
	uint8_t bytes[16];
	char *to = text;

	memcpy(bytes, key->halves, sizeof(bytes));
	bytes[6] = (bytes[6] & 0x0f) | 0x80;
	bytes[8] = (bytes[8] & 0x3f) | 0x80;
	for (int i = 0; i < 16; i++)
	{
		if (i == 4 || i == 6 || i == 8 || i == 10)
			*to++ = '-';
		*to++ = digits[bytes[i] >> 4];
		*to++ = digits[bytes[i] & 0x0f];
	}
	*to = '\0';
}
