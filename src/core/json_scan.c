/*-------------------------------------------------------------------------
 *
 * json_scan.c
 *	  Find the end of a JSON value; see json_scan.h.
 *
 * Every function takes the place that it reads from and returns the place
 * after what it has read, or NULL.  The byte at the end of the text is in no
 * token, so nothing reads past it.
 *
 *-------------------------------------------------------------------------
 */
#include "core/json_scan.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "core/cbor.h"

#define BITS 8

typedef struct Scan
{
	const char *end;
	const char *error;
	const char *at; /* of the error */
	uint32_t depth;
	uint8_t objects[JSON_MAX_DEPTH / BITS + 1]; /* bit: object, not array */
} Scan;

static const char *
fail(Scan *s, const char *p, const char *error)
{
	s->at = p;
	s->error = p == s->end ? "the text ends too early" : error;
	return NULL;
}

static const char *
skip_space(const Scan *s, const char *p)
{
	while (p < s->end &&
		   (*p == ' ' || *p == '\t' || *p == '\n' || *p == '\r'))
		p++;
	return p;
}

/* --- values without values in them ---------------------------------------- */

static bool
is_digit(char ch)
{
	return ch >= '0' && ch <= '9';
}

static const char *
scan_digits(Scan *s, const char *p)
{
	if (!is_digit(*p))
		return fail(s, p, "a digit is missing in a number");
	while (is_digit(*p))
		p++;
	return p;
}

static const char *
scan_number(Scan *s, const char *p)
{
	if (*p == '-')
		p++;
	if (*p == '0')
		p++;
	else if ((p = scan_digits(s, p)) == NULL)
		return NULL;
	if (*p == '.' && (p = scan_digits(s, p + 1)) == NULL)
		return NULL;
	if (*p == 'e' || *p == 'E')
	{
		p++;
		if (*p == '+' || *p == '-')
			p++;
		p = scan_digits(s, p);
	}
	return p;
}

static const char *
scan_word(Scan *s, const char *p, const char *word)
{
	size_t n = strlen(word);

	if ((size_t) (s->end - p) < n || memcmp(p, word, n) != 0)
		return fail(s, p, "a value is expected");
	return p + n;
}

/* p: after the backslash */
static const char *
scan_escape(Scan *s, const char *p)
{
	if (*p != 'u')
		return *p != '\0' && strchr("\"\\/bfnrt", *p) != NULL
			? p + 1
			: fail(s, p, "a string has a bad escape");
	p++;
	for (const char *last = p + 4; p < last; p++)
		if (!is_digit(*p) && !(*p >= 'a' && *p <= 'f') &&
			!(*p >= 'A' && *p <= 'F'))
			return fail(s, p, "a string has a bad escape");
	return p;
}

static const char *
scan_string(Scan *s, const char *p)
{
	const char *start = ++p;
	bool ascii = true;

	while (*p != '"')
	{
		unsigned char ch = (unsigned char) *p++;

		if (ch < 0x20)
			return fail(s, p - 1, "a string has a control character");
		if (ch == '\\' && (p = scan_escape(s, p)) == NULL)
			return NULL;
		ascii &= ch < 0x80;
	}
	if (!ascii && !utf8_valid((const uint8_t *) start, (size_t) (p - start)))
		return fail(s, p, "a string is not UTF-8");
	return p + 1;
}

/* --- arrays and objects ---------------------------------------------------- */

static bool
in_object(const Scan *s)
{
	uint32_t level = s->depth - 1;

	return (s->objects[level / BITS] >> level % BITS & 1) != 0;
}

static const char *
scan_key(Scan *s, const char *p)
{
	p = skip_space(s, p);
	if (*p != '"')
		return fail(s, p, "a key must be a string");
	p = scan_string(s, p);
	if (p == NULL)
		return NULL;
	p = skip_space(s, p);
	return *p == ':' ? p + 1 : fail(s, p, "a colon is missing");
}

/*
 * Into the container whose bracket is at p.  *closed: it is empty, and has
 * been passed; otherwise the next thing is the value of its first element.
 */
static const char *
open_container(Scan *s, const char *p, bool *closed)
{
	uint32_t level = s->depth;
	uint8_t bit = (uint8_t) (1 << level % BITS);
	bool object = *p == '{';

	if (level == JSON_MAX_DEPTH)
		return fail(s, p, "the value is nested too deeply");
	s->depth++;
	if (object)
		s->objects[level / BITS] |= bit;
	else
		s->objects[level / BITS] &= (uint8_t) ~bit;
	p = skip_space(s, p + 1);
	*closed = *p == (object ? '}' : ']');
	if (*closed)
	{
		s->depth--;
		return p + 1;
	}
	return object ? scan_key(s, p) : p;
}

/*
 * After a value: leave the containers that end here.  With s->depth 0, that
 * was all; otherwise another value follows.
 */
static const char *
after_value(Scan *s, const char *p)
{
	while (s->depth > 0)
	{
		const char *at = skip_space(s, p);

		p = at + 1;
		if (*at == ',')
			return in_object(s) ? scan_key(s, p) : p;
		if (*at != (in_object(s) ? '}' : ']'))
			return fail(s, at, "a comma is missing");
		s->depth--;
	}
	return p;
}

static const char *
scan_scalar(Scan *s, const char *p)
{
	switch (*p)
	{
		case '"':
			return scan_string(s, p);
		case 't':
			return scan_word(s, p, "true");
		case 'f':
			return scan_word(s, p, "false");
		case 'n':
			return scan_word(s, p, "null");
		default:
			if (*p == '-' || is_digit(*p))
				return scan_number(s, p);
			return fail(s, p, "a value is expected");
	}
}

const char *
json_scan(const char *p, const char *end, const char **error)
{
	const char *at;

	return json_scan_where(p, end, error, &at);
}

const char *
json_scan_where(const char *p, const char *end, const char **error,
				const char **at)
{
	Scan s = {.end = end};

	do
	{
		bool whole = true; /* the value ends at p */

		p = skip_space(&s, p);
		if (*p == '[' || *p == '{')
			p = open_container(&s, p, &whole);
		else
			p = scan_scalar(&s, p);
		if (p != NULL && whole)
			p = after_value(&s, p);
	} while (p != NULL && s.depth > 0);
	*error = s.error;
	*at = s.at;
	return p;
}
