/*-------------------------------------------------------------------------
 *
 * url.c
 *	  URLs of services; see url.h.
 *
 *-------------------------------------------------------------------------
 */
#include "core/url.h"

#include <string.h>
#include <strings.h>

#define DIGITS "0123456789"
#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
/*
 * What names and IPv4 addresses are made of, and IPv6 addresses, which may have a
 * zone.  RFC 3986 has names with %XX, too: who decodes them asks for another name
 * than the one that was looked at.
 */
#define HOST_NAME DIGITS LETTERS "-._~"
#define HOST_ADDRESS DIGITS LETTERS "-._~%:"
#define MAX_PORT 65535

/* How many of the first n bytes are in the set. */
static size_t
span(const char *text, size_t n, const char *set)
{
	size_t i = 0;

	while (i < n && text[i] != '\0' && strchr(set, text[i]) != NULL)
		i++;
	return i;
}

/* How many come before the first one that is in the set. */
static size_t
span_until(const char *text, size_t n, const char *set)
{
	size_t i = 0;

	while (i < n && strchr(set, text[i]) == NULL)
		i++;
	return i;
}

static const char *
parse_port(const char *text, size_t n, Url *url)
{
	unsigned int port = 0;

	if (n == 0) /* RFC 3986, 3.2.3: as if it was not given */
	{
		url->authority_len--;
		return NULL;
	}
	if (n > strlen("65535") || span(text, n, DIGITS) < n)
		return "A port is a number from 1 to 65535.";
	for (size_t i = 0; i < n; i++)
		port = port * 10 + (unsigned int) (text[i] - '0');
	if (port == 0 || port > MAX_PORT)
		return "A port is a number from 1 to 65535.";
	/* Clients leave the usual one out of Host, and sign what they send. */
	if (port == url->port)
		url->authority_len = url->host_len;
	url->port = (uint16_t) port;
	return NULL;
}

static const char *
parse_authority(Url *url)
{
	const char *text = url->authority;
	size_t n = url->authority_len;
	size_t host;

	if (memchr(text, '@', n) != NULL)
		return "A URL has a host, and no user name or password.";
	if (n > 0 && text[0] == '[')
	{
		host = 1 + span(text + 1, n - 1, HOST_ADDRESS);
		if (host < 3 || host == n || text[host] != ']')
			return "An IPv6 address is given in brackets.";
		host++;
	}
	else
		host = span(text, n, HOST_NAME);
	if (n == 0 || text[0] == ':')
		return "A URL has a host, and no user name or password.";
	if (host == 0 || (host < n && text[host] != ':'))
		return "A host is a name or an address, without escapes.";
	url->host = text;
	url->host_len = host;
	return host < n ? parse_port(text + host + 1, n - host - 1, url) : NULL;
}

const char *
url_parse(const char *text, size_t n, Url *url)
{
	size_t scheme;

	*url = (Url){0};
	for (size_t i = 0; i < n; i++)
	{
		if (text[i] <= ' ' || text[i] > '~')
			return "A URL consists of printable ASCII characters without "
				   "spaces.";
		if (text[i] == '#')
			return "A URL of a service has no fragment (#).";
	}
	if (n >= 8 && strncmp(text, "https://", 8) == 0)
		scheme = 8;
	else if (n >= 7 && strncmp(text, "http://", 7) == 0)
		scheme = 7;
	else
		return "A URL begins with \"https://\" (or \"http://\", with option "
			   "allow_http).";
	url->plain = scheme == 7;
	url->port = url->plain ? 80 : 443;
	url->authority = text + scheme;
	url->authority_len = span_until(text + scheme, n - scheme, "/?");
	url->path = url->authority + url->authority_len;
	url->path_len = n - scheme - url->authority_len;
	return parse_authority(url);
}

static bool
host_is(const Url *url, const char *name)
{
	return url->host_len == strlen(name) &&
		   strncasecmp(url->host, name, url->host_len) == 0;
}

bool
url_is_loopback(const Url *url)
{
	return host_is(url, "localhost") || host_is(url, "127.0.0.1") ||
		   host_is(url, "[::1]");
}
