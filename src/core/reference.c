/*-------------------------------------------------------------------------
 *
 * reference.c
 *	  Function references, as users write them.
 *
 *-------------------------------------------------------------------------
 */
#include "core/reference.h"

#include <string.h>

#include "core/must.h"

#define MAX_APP_NAME 64 /* the service's rule */
#define MAX_OBJECT_ID 128

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
is_word_char(char c)
{
	return is_alnum(c) || c == '_';
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

static const char zero[] = "function reference must not contain \\u0000";

/* A string with a zero in it would end there for who is told. */
static bool
has_zero(Slice object)
{
	const char *end = object.p + object.n;

	for (const char *p = object.p; p < end; p++)
	{
		if (*p != '\\')
			continue;
		if (end - p > 5 && memcmp(p + 1, "u0000", 5) == 0)
			return true;
		p++;
	}
	return false;
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
	if (has_zero(ref->options))
		return zero;
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
		if (has_zero(ref->parameters))
			return zero;
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

static int
hex_value(char c)
{
	return is_digit(c) ? c - '0' : (c | 0x20) - 'a' + 10;
}

static bool
is_percent_code(const char *p, const char *end)
{
	return end - p >= 2 && is_hex(p[0]) && is_hex(p[1]);
}

/* The next character of a path. */
static int
take_decoded(const char **at, const char *end)
{
	const char *p = *at;

	if (*p != '%')
		return (unsigned char) *(*at)++;
	MUST(is_percent_code(p + 1, end));
	*at += 3;
	return hex_value(p[1]) * 16 + hex_value(p[2]);
}

/*
 * Steps that some server takes for "." or "..": its separators may be encoded
 * or backslashes, and what follows ";" may be parameters of the step.  Some
 * servers decode more than once, so there must be nothing left to decode.
 */
static const char *
check_steps(const char *p, const char *end)
{
	int dots = 0, last = 0, before = 0;
	bool other = false, parameters = false;

	for (bool more = true; more;)
	{
		int c;

		more = p < end;
		c = more ? take_decoded(&p, end) : '/';
		if (c < ' ' || c == 0x7f)
			return "path in function reference must not contain control characters";
		if (before == '%' && is_hex((char) last) && is_hex((char) c))
			return "path in function reference must not be percent-encoded twice";
		before = last;
		last = c;
		if (c == '/' || c == '\\')
		{
			if (!other && (dots == 1 || dots == 2))
				return "path in function reference must not contain \".\" or \"..\" steps";
			dots = 0;
			other = parameters = false;
		}
		else if (c == ';')
			parameters = true;
		else if (c == '.' && !parameters)
			dots++;
		else if (!parameters)
			other = true;
	}
	return NULL;
}

/* Does it look as if another host were meant? */
static bool
names_a_host(Slice path)
{
	size_t n = 0;

	if (path.n > 0 && (path.p[0] == '@' || path.p[0] == ':'))
		return true;
	if (path.n >= 2 && memcmp(path.p, "//", 2) == 0)
		return true;
	while (n < path.n && (is_alnum(path.p[n]) || strchr("+-.", path.p[n])))
		n++;
	return path.n - n >= 3 && memcmp(path.p + n, "://", 3) == 0;
}

bool
object_id_is_valid(Slice id)
{
	for (size_t i = 0; i < id.n; i++)
	{
		if (!is_alnum(id.p[i]) && id.p[i] != '-' && id.p[i] != '_')
			return false;
	}
	return id.n > 0 && id.n <= MAX_OBJECT_ID;
}

bool
reference_is_placeholder(const char *p)
{
	size_t n = 1;

	while (is_word_char(p[n]))
		n++;
	return n > 1 && p[n] == '}';
}

/* A path as it is written: with "{name}" for arguments. */
static const char *
take_path(Cursor *c, Reference *ref)
{
	ref->target = take_while(c, is_path_char);
	while (at(c, '{'))
	{
		c->p++;
		if (take_while(c, is_word_char).n == 0 || !at(c, '}'))
			return "\"{\" in the path of a function reference begins the name or number of an argument, which ends with \"}\"";
		c->p++;
		(void) take_while(c, is_path_char);
		ref->target.n = (size_t) (c->p - ref->target.p);
		ref->placeholders = true;
	}
	return NULL;
}

static const char *
parse_path(Cursor *c, Reference *ref)
{
	const char *query, *end;
	const char *problem = take_path(c, ref);

	if (problem != NULL)
		return problem;
	end = c->p;
	if (at(c, '#'))
	{
		if (c->end - c->p < 2 || c->p[1] != '{')
			return "function reference of an HTTP function has no fragment (\"#\"), only options as a JSON object";
		problem = parse_options(c, ref);
		if (problem != NULL)
			return problem;
	}
	if (c->p < c->end)
		return "special characters in the path of a function reference must be percent-encoded";
	if (names_a_host(ref->target))
		return "function reference must name a server, not a URL";
	for (const char *p = ref->target.p; p < end; p++)
		if (*p == '%' && !is_percent_code(p + 1, end))
			return "\"%\" in the path of a function reference must be followed by two hexadecimal digits";
	query = memchr(ref->target.p, '?', ref->target.n);
	return check_steps(ref->target.p, query != NULL ? query : end);
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
reference_parse_rest(const char *text, size_t n, bool http, Reference *ref)
{
	Cursor c = {text, text + n};

	memset(ref, 0, sizeof(*ref));
	return http ? parse_path(&c, ref) : parse_modal(&c, ref);
}

const char *
reference_parse(const char *text, size_t n, bool http, Reference *ref)
{
	Slice server = reference_server(text, n);
	size_t skip = server.p != NULL ? server.n + 1 : 0;
	const char *error;

	if (server.p != NULL && server.n == 0)
	{
		memset(ref, 0, sizeof(*ref));
		return "function reference has an empty server name";
	}
	error = reference_parse_rest(text + skip, n - skip, http, ref);
	ref->server = server;
	return error;
}
