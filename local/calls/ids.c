/*-------------------------------------------------------------------------
 *
 * jwt.c
 *	  The tokens that modal-local gives out, and base64.
 *
 * The token of an input is made and read for every input, so its claims have
 * a fixed order and are written and read by hand.
 *
 *-------------------------------------------------------------------------
 */
#include "jwt.h"

#include <openssl/crypto.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>

#define SIGNED_HEADER "{\"alg\":\"HS256\",\"typ\":\"JWT\"}"
/* {"alg":"none","typ":"JWT"} */
#define UNSIGNED_HEADER "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0."
#define UNSIGNED_HEADER_LEN (sizeof(UNSIGNED_HEADER) - 1)
#define SIGNATURE_SIZE 32
#define MAX_TOKEN 1024
#define MAX_CLAIMS 160 /* of an input */

static const char alphabet[] =
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char url_alphabet[] =
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/* Ids use digits and lower case letters, less those that look alike. */
static const char id_alphabet[] = "0123456789abcdefghjkmnpqrstvwxyz";

/* --- base64 -------------------------------------------------------------- */

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

/* --- clients ------------------------------------------------------------- */

static void
sign(uint8_t *signature, const char *text, size_t len, const char *secret)
{
	unsigned int size = SIGNATURE_SIZE;

	if (HMAC(EVP_sha256(), secret, (int) strlen(secret),
			 (const unsigned char *) text, len, signature, &size) == NULL)
		die("cannot sign a token");
}

const char *
jwt_sign_client(Arena *arena, const char *subject, double expires,
				const char *secret)
{
	char claims[256];
	uint8_t signature[SIGNATURE_SIZE];
	char *token = arena_alloc(arena, MAX_TOKEN);
	size_t n;

	snprintf(claims, sizeof(claims), "{\"sub\":\"%s\",\"exp\":%.0f}", subject,
			 expires);
	n = base64url_encode(token, SIGNED_HEADER, strlen(SIGNED_HEADER));
	token[n++] = '.';
	n += base64url_encode(token + n, claims, strlen(claims));
	sign(signature, token, n, secret);
	token[n++] = '.';
	n += base64url_encode(token + n, signature, sizeof(signature));
	token[n] = '\0';
	return token;
}

bool
jwt_verify_client(const char *token, double now, const char *secret)
{
	const char *claims = strchr(token, '.');
	const char *last = strrchr(token, '.');
	uint8_t given[SIGNATURE_SIZE];
	uint8_t right[SIGNATURE_SIZE];
	uint8_t text[257] = {0};
	const char *expires;

	if (claims == NULL || claims == last || strlen(token) > MAX_TOKEN)
		return false;
	if (base64url_decode(given, sizeof(given), last + 1, strlen(last + 1)) !=
		SIGNATURE_SIZE)
		return false;
	sign(right, token, (size_t) (last - token), secret);
	if (CRYPTO_memcmp(given, right, sizeof(right)) != 0)
		return false;
	if (base64url_decode(text, sizeof(text) - 1, claims + 1,
						 (size_t) (last - claims - 1)) < 0)
		return false;
	expires = strstr((const char *) text, "\"exp\":");
	return expires != NULL && atof(expires + strlen("\"exp\":")) > now;
}

/* --- ids ----------------------------------------------------------------- */

static void
format_number(char *out, uint64_t number)
{
	for (int i = CALL_NUMBER_DIGITS - 1; i >= 0; i--)
	{
		out[i] = id_alphabet[number & 31];
		number >>= 5;
	}
}

static bool
parse_number(const char *text, uint64_t *number)
{
	static uint8_t values[256];

	if (values['0'] == 0)
		for (int i = 0; i < 32; i++)
			values[(uint8_t) id_alphabet[i]] = (uint8_t) (i + 1);
	*number = 0;
	for (int i = 0; i < CALL_NUMBER_DIGITS; i++)
	{
		uint8_t value = values[(uint8_t) text[i]];

		if (value == 0)
			return false;
		*number = *number << 5 | (value - 1u);
	}
	return true;
}

void
call_id_format(char *out, uint64_t number)
{
	memcpy(out, "fc-", 3);
	format_number(out + 3, number);
	out[3 + CALL_NUMBER_DIGITS] = '\0';
}

bool
call_id_parse(const char *id, uint64_t *number)
{
	return strncmp(id, "fc-", 3) == 0 && parse_number(id + 3, number) &&
		   id[3 + CALL_NUMBER_DIGITS] == '\0';
}

static char *
put_decimal(char *p, uint32_t v)
{
	char digits[10];
	int n = 0;

	do
		digits[n++] = (char) ('0' + v % 10);
	while ((v /= 10) > 0);
	while (n > 0)
		*p++ = digits[--n];
	return p;
}

/* Reads digits to *v; returns where they end, NULL when there are none. */
static const char *
get_decimal(const char *p, uint32_t *v)
{
	uint64_t value = 0;
	const char *start = p;

	while (*p >= '0' && *p <= '9' && p - start < 10)
		value = value * 10 + (uint64_t) (*p++ - '0');
	if (p == start || value > UINT32_MAX)
		return NULL;
	*v = (uint32_t) value;
	return p;
}

size_t
input_id_format(char *out, uint64_t call, int32_t idx)
{
	char *p = out + 3 + CALL_NUMBER_DIGITS;

	memcpy(out, "in-", 3);
	format_number(out + 3, call);
	*p++ = '-';
	p = put_decimal(p, (uint32_t) idx);
	*p = '\0';
	return (size_t) (p - out);
}

bool
input_id_parse(const char *id, uint64_t *call, int32_t *idx)
{
	const char *p;
	uint32_t value;

	if (strncmp(id, "in-", 3) != 0 || !parse_number(id + 3, call) ||
		id[3 + CALL_NUMBER_DIGITS] != '-')
		return false;
	p = get_decimal(id + 3 + CALL_NUMBER_DIGITS + 1, &value);
	if (p == NULL || *p != '\0' || value > INT32_MAX)
		return false;
	*idx = (int32_t) value;
	return true;
}

/* --- inputs -------------------------------------------------------------- */

static char *
put_text(char *p, const char *text)
{
	size_t n = strlen(text);

	memcpy(p, text, n);
	return p + n;
}

/* Moves *p over text, if it is there. */
static bool
skip_text(const char **p, const char *text)
{
	size_t n = strlen(text);

	if (strncmp(*p, text, n) != 0)
		return false;
	*p += n;
	return true;
}

size_t
jwt_format_input(char *out, const InputRef *ref)
{
	char claims[MAX_CLAIMS];
	char *p = claims;
	size_t n = UNSIGNED_HEADER_LEN;

	p = put_text(p, "{\"idx\":");
	p = put_decimal(p, (uint32_t) ref->idx);
	p = put_text(p, ",\"retry_count\":");
	p = put_decimal(p, ref->attempt);
	p = put_text(p, ",\"function_call_id\":\"");
	call_id_format(p, ref->call);
	p += CALL_ID_SIZE - 1;
	p = put_text(p, "\",\"input_id\":\"");
	p += input_id_format(p, ref->call, ref->idx);
	p = put_text(p, "\",\"entry_id\":\"");
	p = put_decimal(p, (uint32_t) ref->idx);
	p = put_text(p, "-0\"}");

	memcpy(out, UNSIGNED_HEADER, UNSIGNED_HEADER_LEN);
	n += base64url_encode(out + n, claims, (size_t) (p - claims));
	out[n++] = '.';
	return n;
}

bool
jwt_parse_input(const char *token, size_t len, InputRef *ref)
{
	char claims[MAX_CLAIMS + 1];
	const char *p = claims;
	ssize_t n;
	uint32_t idx;

	if (len <= UNSIGNED_HEADER_LEN || token[len - 1] != '.' ||
		memcmp(token, UNSIGNED_HEADER, UNSIGNED_HEADER_LEN) != 0)
		return false;
	n = base64url_decode((uint8_t *) claims, MAX_CLAIMS,
						 token + UNSIGNED_HEADER_LEN,
						 len - UNSIGNED_HEADER_LEN - 1);
	if (n < 0)
		return false;
	claims[n] = '\0';
	if (!skip_text(&p, "{\"idx\":") ||
		(p = get_decimal(p, &idx)) == NULL || idx > INT32_MAX ||
		!skip_text(&p, ",\"retry_count\":") ||
		(p = get_decimal(p, &ref->attempt)) == NULL ||
		!skip_text(&p, ",\"function_call_id\":\"fc-") ||
		!parse_number(p, &ref->call))
		return false;
	ref->idx = (int32_t) idx;
	return true;
}

/* --- calls --------------------------------------------------------------- */

#define CALL_CLAIM "{\"function_call_id\":\""

const char *
jwt_format_call(Arena *arena, const char *function_id, uint64_t call)
{
	char id[CALL_ID_SIZE];
	const char *claims;
	char *token;
	size_t n = UNSIGNED_HEADER_LEN;

	call_id_format(id, call);
	claims = arena_printf(arena, CALL_CLAIM "%s\",\"function_id\":\"%s\"}", id,
						  function_id);
	token = arena_alloc(arena, n + base64_size(strlen(claims)) + 2);
	memcpy(token, UNSIGNED_HEADER, n);
	n += base64url_encode(token + n, claims, strlen(claims));
	token[n++] = '.';
	token[n] = '\0';
	return token;
}

bool
jwt_parse_call(const char *token, uint64_t *call)
{
	char claims[MAX_CLAIMS + 1] = {0};
	const char *p = claims;
	const char *end;
	ssize_t n;

	if (strncmp(token, UNSIGNED_HEADER, UNSIGNED_HEADER_LEN) != 0)
		return false;
	token += UNSIGNED_HEADER_LEN;
	end = strchr(token, '.');
	if (end == NULL)
		return false;
	n = base64url_decode((uint8_t *) claims, MAX_CLAIMS, token,
						 (size_t) (end - token));
	if (n < 0)
		return false;
	return skip_text(&p, CALL_CLAIM "fc-") && parse_number(p, call) &&
		   p[CALL_NUMBER_DIGITS] == '"';
}
