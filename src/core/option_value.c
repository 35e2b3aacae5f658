/*-------------------------------------------------------------------------
 *
 * option_value.c
 *	  What values the options of servers and user mappings may have.
 *
 *-------------------------------------------------------------------------
 */
#include "core/option_value.h"
#include "core/url.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define DIGITS "0123456789"
#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
/* RFC 9110, 5.6.2: what the name of a header is made of */
#define TOKEN DIGITS LETTERS "!#$%&'*+-.^_`|~"
/* RFC 3986: what a host is made of, with the brackets of an IPv6 address */
#define HOST DIGITS LETTERS "-._~%[]:"

static bool
is_printable(char c)
{
	return c >= ' ' && c <= '~';
}

const char *
option_text_error(const char *value)
{
	if (value[0] == '\0')
		return "The value must not be empty.";
	for (const char *p = value; *p != '\0'; p++)
	{
		if (!is_printable(*p))
			return "The value must consist of printable ASCII characters.";
	}
	return NULL;
}

const char *
option_word_error(const char *value)
{
	return value[0] != '\0' && strspn(value, DIGITS LETTERS "-") == strlen(value)
		? NULL
		: "The value must consist of letters, digits and \"-\".";
}

bool
option_number(const char *value, bool whole, double min, double max)
{
	double number;
	char *end;

	/* strtod would take spaces, hexadecimal numbers and infinity as well. */
	if (strspn(value, whole ? DIGITS "+-" : DIGITS "+-.eE") != strlen(value))
		return false;
	number = strtod(value, &end);
	return end != value && *end == '\0' && number >= min && number <= max;
}

bool
option_choice(const char *value, const char *choices)
{
	size_t n = strlen(value);

	for (const char *p = choices; p != NULL; p = strchr(p, '|'))
	{
		p += *p == '|';
		if (n > 0 && strcspn(p, "|") == n && strncmp(p, value, n) == 0)
			return true;
	}
	return false;
}

const char *
option_url_error(const char *value)
{
	for (const char *p = value;; p++)
	{
		size_t n = strcspn(p, ",");
		Url url;
		const char *error = url_parse(p, n, &url);

		if (error != NULL)
			return error;
		p += n;
		if (*p == '\0')
			return NULL;
	}
}

const char *
option_proxy_error(const char *value)
{
	const char *host = strstr(value, "://");
	size_t n;

	if (host == NULL)
		host = value;
	else if (strspn(value, DIGITS LETTERS) != (size_t) (host - value))
		return "The scheme of a proxy is a word.";
	else
		host += 3;
	n = strspn(host, HOST);
	if (n == 0 || host[0] == ':' || strcmp(host + n, host[n] == '/' ? "/" : "") != 0)
		return "A proxy is given as [scheme://]host[:port]; user name and password are option \"proxy_credentials\" of user mappings.";
	return NULL;
}

/* Headers that the HTTP library itself must decide about. */
static bool
is_framing_header(const char *name, size_t n)
{
	static const char *const names[] = {
		"connection", "content-length", "expect", "te", "trailer",
		"transfer-encoding", "upgrade",
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
	{
		if (strlen(names[i]) == n && strncasecmp(name, names[i], n) == 0)
			return true;
	}
	return false;
}

const char *
option_headers_error(const char *value)
{
	for (const char *p = value; *p != '\0';)
	{
		size_t line = strcspn(p, "\n");
		size_t name = strspn(p, TOKEN);

		if (name == 0 || p[name] != ':')
			return "Give one header a line, as \"Name: value\".";
		for (size_t i = 0; i < line; i++)
		{
			if (!is_printable(p[i]))
				return "Headers must consist of printable ASCII characters.";
		}
		if (name == strlen("authorization") &&
			strncasecmp(p, "authorization", name) == 0)
			return "Secrets belong into the user mapping: see options bearer_token and basic_credentials.";
		if (is_framing_header(p, name))
			return "Headers that say where a request ends cannot be set.";
		p += line;
		p += *p == '\n';
	}
	return NULL;
}
