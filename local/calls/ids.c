/*-------------------------------------------------------------------------
 *
 * ids.c
 *	  Ids of calls and inputs, and the tokens that stand for them.
 *
 * The token of an input is made and read for every input, so its claims have
 * a fixed order and are written and read by hand.
 *
 *-------------------------------------------------------------------------
 */
#include "calls/ids.h"

#include <string.h>

#include "base64.h"

/* {"alg":"none","typ":"JWT"} */
#define UNSIGNED_HEADER "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0."
#define UNSIGNED_HEADER_LEN (sizeof(UNSIGNED_HEADER) - 1)
#define MAX_CLAIMS 160 /* of an input */

/* Ids use digits and lower case letters, less those that look alike. */
static const char id_alphabet[] = "0123456789abcdefghjkmnpqrstvwxyz";

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
