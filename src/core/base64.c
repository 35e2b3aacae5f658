/*-------------------------------------------------------------------------
 *
 * base64.c
 *	  Base64 (RFC 4648) of bytes in memory.
 *
 *-------------------------------------------------------------------------
 */
#include "core/base64.h"

void
base64_encode(Buf *out, const void *p, size_t n)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const uint8_t *in = p;

	for (size_t i = 0; i < n; i += 3)
	{
		size_t left = n - i;
		uint32_t v = (uint32_t) in[i] << 16;

		if (left > 1)
			v |= (uint32_t) in[i + 1] << 8;
		if (left > 2)
			v |= in[i + 2];
		buf_put_u8(out, digits[v >> 18]);
		buf_put_u8(out, digits[(v >> 12) & 63]);
		buf_put_u8(out, left > 1 ? digits[(v >> 6) & 63] : '=');
		buf_put_u8(out, left > 2 ? digits[v & 63] : '=');
	}
}

static int
digit_value(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == '+' || c == '-')
		return 62;
	if (c == '/' || c == '_')
		return 63;
	return -1;
}

bool
base64_decode(Buf *out, const char *text, size_t n)
{
	uint32_t bits = 0;
	int have = 0;

	while (n > 0 && text[n - 1] == '=')
		n--;
	if (n % 4 == 1)
		return false;
	for (size_t i = 0; i < n; i++)
	{
		int v = digit_value(text[i]);

		if (v < 0)
			return false;
		bits = (bits << 6) | (uint32_t) v;
		have += 6;
		if (have >= 8)
		{
			have -= 8;
			buf_put_u8(out, (uint8_t) (bits >> have));
		}
	}
	return !out->failed;
}
