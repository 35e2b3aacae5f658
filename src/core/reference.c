/*-------------------------------------------------------------------------
 *
 * reference.c
 *	  Function references, as users write them.
 *
 *-------------------------------------------------------------------------
 */
#include "core/reference.h"

#include <string.h>

#define MAX_APP_NAME 64 /* the service's rule */

/* The part of the text not yet read. */
typedef struct Cursor
{
	const char *p;
	const char *end;
} Cursor;

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool
is_alnum(char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool
is_app_char(char c)
{
	return is_alnum(c) || c == '-' || c == '_' || c == '.';
}

static bool
is_name_char(char c)
{
	return is_alnum(c) || c == '-' || c == '_' || (unsigned char) c >= 0x80;
}

static bool
at(const Cursor *c, char what)
{
	return c->p < c->end && *c->p == what;
}

static Slice
take_while(Cursor *c, bool (*belongs)(char))
{
	Slice s = {c->p, 0};

	while (c->p < c->end && belongs(*c->p))
		c->p++;
	s.n = c->p - s.p;
	return s;
}

/*
 * A JSON object, from its brace to the matching one; n is 0 when there is no
 * matching one.
 */
static Slice
take_object(Cursor *c)
{
	Slice s = {c->p, 0};
	size_t depth = 0;
	bool in_string = false;

	for (const char *p = c->p; p < c->end; p++)
	{
		if (in_string)
		{
			if (*p == '\\' && p + 1 < c->end)
				p++;
			else if (*p == '"')
				in_string = false;
		}
		else if (*p == '"')
			in_string = true;
		else if (*p == '{' || *p == '[')
			depth++;
		else if ((*p == '}' || *p == ']') && --depth == 0)
		{
			c->p = p + 1;
			s.n = c->p - s.p;
			break;
		}
	}
	return s;
}

/* "#{…}" at the end. */
static const char *
parse_options(Cursor *c, Reference *ref)
{
	c->p++;
	if (!at(c, '{'))
		return "options after \"#\" in a function reference must be a JSON object";
	ref->options = take_object(c);
	if (ref->options.n == 0)
		return "options in function reference have no closing brace";
	if (c->p < c->end)
		return "nothing may follow the options in a function reference";
	return NULL;
}

/* "@version", a positive 32-bit number. */
static const char *
parse_version(Cursor *c, Reference *ref)
{
	Slice digits;
	int64_t version = 0;

	c->p++;
	digits = take_while(c, is_digit);
	for (size_t i = 0; i < digits.n && version <= INT32_MAX; i++)
		version = version * 10 + (digits.p[i] - '0');
	if (version < 1 || version > INT32_MAX)
		return "version in function reference must be a number from 1 to 2147483647";
	ref->version = (int32_t) version;
	return NULL;
}

/* "function" or "Class[{parameters}].method". */
static const char *
parse_function(Cursor *c, Reference *ref)
{
	ref->function = take_while(c, is_name_char);
	if (ref->function.n == 0)
		return "function reference has no function name";
	if (at(c, '{'))
	{
		ref->parameters = take_object(c);
		if (ref->parameters.n == 0)
			return "class parameters in function reference have no closing brace";
		if (!at(c, '.'))
			return "class parameters in function reference must be followed by \".\" and a method name";
	}
	if (at(c, '.'))
	{
		c->p++;
		ref->class_name = ref->function;
		ref->function = take_while(c, is_name_char);
		if (ref->function.n == 0)
			return "function reference has no method name";
	}
	return NULL;
}

static const char *
parse_modal(Cursor *c, Reference *ref)
{
	const char *begin = c->p;
	const char *error;

	ref->app = take_while(c, is_app_char);
	if (!at(c, '/'))
		return c->p < c->end ?
			"app name in function reference may only contain letters, digits, dashes, periods and underscores" :
			"function reference must have the form \"app/function\"";
	if (ref->app.n == 0)
		return "function reference has no app name";
	if (ref->app.n > MAX_APP_NAME)
		return "app name in function reference is longer than 64 characters";
	c->p++;

	error = parse_function(c, ref);
	if (error == NULL && at(c, '@'))
		error = parse_version(c, ref);
	if (error != NULL)
		return error;
	ref->target = (Slice){begin, c->p - begin};

	if (at(c, '#'))
		return parse_options(c, ref);
	if (c->p < c->end)
		return "function reference contains an unexpected character";
	return NULL;
}

static bool
is_hex(char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

/* RFC 3986: what a path or a query is made of. */
static bool
is_path_char(char c)
{
	return is_alnum(c) || (c != '\0' && strchr("-._~!$&'()*+,;=:@/?%", c));
}

/* Is this step of a path "." or "..", however it is written? */
static bool
is_dot_step(const char *p, const char *end)
{
	int dots = 0;

	while (p < end)
	{
		if (*p == '.')
			p++;
		else if (end - p >= 3 && p[0] == '%' && p[1] == '2' &&
				 (p[2] == 'e' || p[2] == 'E'))
			p += 3;
		else
			return false;
		dots++;
	}
	return dots == 1 || dots == 2;
}

static const char *
parse_path(Cursor *c, Reference *ref)
{
	const char *step = c->p;
	const char *p;
	bool in_query = false;

	ref->target = take_while(c, is_path_char);
	if (ref->target.n >= 2 && memcmp(ref->target.p, "//", 2) == 0)
		return "function reference must name a server, not a URL";
	if (c->p < c->end && *c->p != '#')
		return "special characters in the path of a function reference must be percent-encoded";

	for (p = ref->target.p; p <= c->p; p++)
	{
		if (p == c->p || *p == '/' || *p == '?')
		{
			if (!in_query && is_dot_step(step, p))
				return "path in function reference must not contain \".\" or \"..\" steps";
			step = p + 1;
			in_query = in_query || (p < c->p && *p == '?');
		}
		else if (*p == '%' &&
				 !(c->p - p >= 3 && is_hex(p[1]) && is_hex(p[2])))
			return "\"%\" in the path of a function reference must be followed by two hexadecimal digits";
	}
	return at(c, '#') ? parse_options(c, ref) : NULL;
}

Slice
reference_server(const char *text, size_t n)
{
	Slice server = {NULL, 0};

	for (size_t i = 0; i < n && strchr("/{}#?", text[i]) == NULL; i++)
	{
		if (text[i] == ':')
		{
			server = (Slice){text, i};
			break;
		}
	}
	return server;
}

const char *
reference_parse(const char *text, size_t n, bool http, Reference *ref)
{
	Cursor c = {text, text + n};

	memset(ref, 0, sizeof(*ref));
	ref->server = reference_server(text, n);
	if (ref->server.p != NULL)
	{
		if (ref->server.n == 0)
			return "function reference has an empty server name";
		c.p += ref->server.n + 1;
	}
	return http ? parse_path(&c, ref) : parse_modal(&c, ref);
}
