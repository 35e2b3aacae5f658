/*-------------------------------------------------------------------------
 *
 * base64.c
 *	  Base64 (RFC 4648), without padding.
 *
 *-------------------------------------------------------------------------
 */
#include "base64.h"

static const char alphabet[] =
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char url_alphabet[] =
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static size_t
encode(char *out, const uint8_t *p, size_t n, const char *letters)
{
	char *start = out;

	for (; n >= 3; n -= 3, p += 3)
	{
		uint32_t v = (uint32_t) p[0] << 16 | (uint32_t) p[1] << 8 | p[2];

		*out++ = letters[v >> 18];
		*out++ = letters[v >> 12 & 63];
		*out++ = letters[v >> 6 & 63];
		*out++ = letters[v & 63];
	}
	if (n > 0)
	{
		uint32_t v = (uint32_t) p[0] << 16 | (n > 1 ? (uint32_t) p[1] << 8 : 0);

		*out++ = letters[v >> 18];
		*out++ = letters[v >> 12 & 63];
		if (n > 1)
			*out++ = letters[v >> 6 & 63];
	}
	return (size_t) (out - start);
}

size_t
base64_encode(char *out, const void *data, size_t n)
{
	return encode(out, data, n, alphabet);
}

size_t
base64url_encode(char *out, const void *data, size_t n)
{
	return encode(out, data, n, url_alphabet);
}

/* Values of the URL alphabet's letters, plus one; 0 is no letter. */
static const uint8_t *
url_values(void)
{
	static uint8_t values[256];

	if (values['A'] == 0)
		for (int i = 0; i < 64; i++)
			values[(uint8_t) url_alphabet[i]] = (uint8_t) (i + 1);
	return values;
}

ssize_t
base64url_decode(uint8_t *out, size_t out_size, const char *text, size_t len)
{
	const uint8_t *values = url_values();
	uint32_t bits = 0;
	int n_bits = 0;
	size_t n = 0;

	for (size_t i = 0; i < len && n < out_size; i++)
	{
		uint8_t value = values[(uint8_t) text[i]];

		if (value == 0)
			return -1;
		bits = bits << 6 | (value - 1u);
		n_bits += 6;
		if (n_bits >= 8)
		{
			n_bits -= 8;
			out[n++] = (uint8_t) (bits >> n_bits);
		}
	}
	return (ssize_t) n;
}
