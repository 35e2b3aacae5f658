/*-------------------------------------------------------------------------
 *
 * json_split.c
 *	  Take JSON text apart into pieces of text; see json_split.h.
 *
 *-------------------------------------------------------------------------
 */
#include "core/json_split.h"

#include <errno.h>
#include <json-c/json.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* A byte order mark before a text is none of it (RFC 8259, 8.1). */
void
json_open(JsonCursor *c, const char *p, size_t n)
{
	static const char mark[] = "\xef\xbb\xbf";
	size_t skip = sizeof(mark) - 1;

	c->p = n >= skip && memcmp(p, mark, skip) == 0 ? p + skip : p;
	c->end = p + n;
	c->error = NULL;
	c->first = false;
}

static bool
is_space(char ch)
{
	return ch == ' ' || ch == '\t' || ch == '\n' || ch == '\r';
}

static void
skip_space(JsonCursor *c)
{
	while (c->p < c->end && is_space(*c->p))
		c->p++;
}

static bool
fail(JsonCursor *c, const char *error)
{
	if (c->error == NULL)
		c->error = error;
	return false;
}

bool
json_value(JsonCursor *c, Slice *value)
{
	const char *error;
	const char *end;

	if (c->error != NULL)
		return false;
	skip_space(c);
	end = json_scan(c->p, c->end, &error);
	if (end == NULL)
		return fail(c, error);
	*value = (Slice){c->p, (size_t) (end - c->p)};
	c->p = end;
	return true;
}

bool
json_enter(JsonCursor *c, char bracket)
{
	if (c->error != NULL)
		return false;
	skip_space(c);
	if (c->p == c->end || *c->p != bracket)
		return fail(c, bracket == '[' ? "an array is expected"
									  : "an object is expected");
	c->p++;
	c->first = true;
	return true;
}

/* Pass the comma before an element; false at the end of the container. */
static bool
next_in_container(JsonCursor *c, char bracket)
{
	if (c->error != NULL)
		return false;
	skip_space(c);
	if (c->p == c->end)
		return fail(c, "the text ends too early");
	if (*c->p == bracket)
	{
		c->p++;
		c->first = false; /* we are now inside the enclosing container */
		return false;
	}
	if (!c->first)
	{
		if (*c->p != ',')
			return fail(c, "a comma is missing");
		c->p++;
	}
	c->first = false;
	return true;
}

bool
json_next_element(JsonCursor *c, Slice *value)
{
	return next_in_container(c, ']') && json_value(c, value);
}

bool
json_next_begins(JsonCursor *c)
{
	return next_in_container(c, ']');
}

char
json_peek(JsonCursor *c)
{
	skip_space(c);
	return c->p < c->end ? *c->p : '\0';
}

bool
json_next_key(JsonCursor *c, Slice *key)
{
	if (!next_in_container(c, '}'))
		return false;
	skip_space(c);
	if (c->p == c->end || *c->p != '"')
		return fail(c, "a key must be a string");
	if (!json_value(c, key))
		return false;
	skip_space(c);
	if (c->p == c->end || *c->p != ':')
		return fail(c, "a colon is missing");
	c->p++;
	return true;
}

bool
json_next_member(JsonCursor *c, Slice *key, Slice *value)
{
	return json_next_key(c, key) && json_value(c, value);
}

bool
json_key_is(Slice key, const char *name)
{
	size_t n = strlen(name);

	return key.n == n + 2 && memcmp(key.p + 1, name, n) == 0;
}

bool
json_at_end(JsonCursor *c)
{
	skip_space(c);
	return c->error == NULL && c->p == c->end;
}

bool
json_string(Slice value, Buf *out)
{
	json_tokener *tok;
	json_object *object;
	bool ok = false;

	if (value.n < 2 || value.n > INT_MAX || value.p[0] != '"')
		return false;
	tok = json_tokener_new();
	if (tok == NULL)
		return false;
	object = json_tokener_parse_ex(tok, value.p, (int) value.n);
	if (json_object_is_type(object, json_type_string))
	{
		buf_put(out, json_object_get_string(object),
				json_object_get_string_len(object));
		ok = !out->failed;
	}
	json_object_put(object);
	json_tokener_free(tok);
	return ok;
}

bool
json_integer(Slice value, int64_t *n)
{
	char digits[24];
	char *end;

	if (value.n == 0 || value.n >= sizeof(digits))
		return false;
	memcpy(digits, value.p, value.n);
	digits[value.n] = '\0';
	errno = 0;
	*n = strtoll(digits, &end, 10);
	return errno == 0 && end == digits + value.n && digits[0] != '+';
}

void
json_put_string(Buf *buf, const char *p, size_t n)
{
	static const char hex[] = "0123456789abcdef";
	size_t start = 0;

	buf_put_u8(buf, '"');
	for (size_t i = 0; i < n; i++)
	{
		unsigned char ch = (unsigned char) p[i];

		if (ch >= 0x20 && ch != '"' && ch != '\\')
			continue;
		buf_put(buf, p + start, i - start);
		start = i + 1;
		if (ch == '"' || ch == '\\')
		{
			buf_put_u8(buf, '\\');
			buf_put_u8(buf, ch);
		}
		else
		{
			buf_put(buf, "\\u00", 4);
			buf_put_u8(buf, (uint8_t) hex[ch >> 4]);
			buf_put_u8(buf, (uint8_t) hex[ch & 15]);
		}
	}
	buf_put(buf, p + start, n - start);
	buf_put_u8(buf, '"');
}
