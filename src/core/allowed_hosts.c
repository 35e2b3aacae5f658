/*-------------------------------------------------------------------------
 *
 * allowed_hosts.c
 *	  To which hosts connections may be made; see allowed_hosts.h.
 *
 * A list of a few entries, looked at once for each connection.
 *
 *-------------------------------------------------------------------------
 */
#include "core/allowed_hosts.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#define MAX_ENTRIES 1000
#define MAX_NAME 253
#define IPV4_BITS 96 /* that come before an IPv4 address */

typedef struct Range
{
	IpAddress first;
	int bits;
} Range;

typedef struct Entry
{
	bool is_range;
	bool is_suffix;
	Range range;
	char name[MAX_NAME + 1]; /* or suffix, with its dot; "": any name */
} Entry;

struct AllowedHosts
{
	size_t n;
	Entry at[];
};

#define V4(a, b, c, d) {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d}}

/* Never meant by a name. */
static const Range special[] = {
	{V4(169, 254, 0, 0), IPV4_BITS + 16},	  /* link-local; most clouds */
	{V4(100, 100, 100, 200), IPV4_BITS + 32}, /* Alibaba */
	{V4(168, 63, 129, 16), IPV4_BITS + 32},	  /* Azure */
	{V4(192, 0, 0, 192), IPV4_BITS + 32},	  /* Oracle */
	{{{0xfe, 0x80}}, 10},					  /* link-local */
	{{{0xfd, 0x00, 0x0e, 0xc2}}, 32},		  /* AWS */
	{{{0xfd, 0x20, 0x00, 0xce}}, 32},		  /* Google */
	{{{0xfd, 0x00, 0x00, 0xc1, 0, 0, 0, 0, 0, 0, 0, 0, 0xa9, 0xfe, 0xa9, 0xfe}}, 128}, /* Oracle */
	{{{0xfd, 0x00, 0x00, 0x42, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x42}}, 128}, /* Scaleway */
	/* RFC 8215: translators of one's own, who know what is behind them */
	{{{0x00, 0x64, 0xff, 0x9b, 0x00, 0x01}}, 48},
};

/* RFC 6052: IPv4 addresses behind a translator. */
static const Range translated = {{{0x00, 0x64, 0xff, 0x9b}}, IPV4_BITS};

/* --- addresses ------------------------------------------------------------ */

static bool
contains(const Range *range, const IpAddress *address)
{
	int whole = range->bits / 8;
	int rest = range->bits % 8;

	return memcmp(range->first.bytes, address->bytes, whole) == 0 &&
		(rest == 0 ||
		 ((range->first.bytes[whole] ^ address->bytes[whole]) >> (8 - rest)) == 0);
}

bool
ip_address_set(IpAddress *to, int family, const void *bytes)
{
	static const IpAddress v4 = V4(0, 0, 0, 0);

	if (family == AF_INET6)
		memcpy(to->bytes, bytes, sizeof(to->bytes));
	else if (family == AF_INET)
	{
		*to = v4;
		memcpy(to->bytes + IPV4_BITS / 8, bytes, 4);
	}
	else
		return false;
	if (contains(&translated, to))
		memcpy(to->bytes, v4.bytes, IPV4_BITS / 8);
	return true;
}

/* --- the list ------------------------------------------------------------- */

/* NULL, or what is wrong with it. */
static const char *
parse_range(const char *text, Range *range)
{
	char address[INET6_ADDRSTRLEN];
	size_t n = strcspn(text, "/");
	uint8_t bytes[16];
	int family = memchr(text, ':', n) != NULL ? AF_INET6 : AF_INET;
	int most = family == AF_INET6 ? 128 : 32;
	long bits = most;
	IpAddress rest;

	if (n >= sizeof(address))
		return "It is not an address.";
	memcpy(address, text, n);
	address[n] = '\0';
	if (inet_pton(family, address, bytes) != 1)
		return "It is not an address.";
	if (text[n] == '/')
	{
		char *end;

		text += n + 1;
		bits = strtol(text, &end, 10);
		if (strspn(text, "0123456789") != strlen(text) || end == text ||
			bits > most)
			return "The length of its prefix is not one of such an address.";
	}
	(void) ip_address_set(&range->first, family, bytes);
	range->bits = (int) bits + (family == AF_INET ? IPV4_BITS : 0);

	/* Bits that do not count are most likely a mistake in those that do. */
	rest = range->first;
	for (int i = range->bits; i < 128; i++)
	{
		if (rest.bytes[i / 8] & (0x80 >> i % 8))
			return "There are bits set to the right of its prefix.";
	}
	return NULL;
}

static bool
is_number(const char *text)
{
	return strspn(text, "0123456789./") == strlen(text);
}

static const char *
parse_name(const char *text, Entry *entry)
{
	size_t n;

	entry->is_suffix = text[0] == '*' || text[0] == '.';
	if (text[0] == '*')
	{
		text++;
		if (text[0] != '.' && text[0] != '\0')
			return "After \"*\" there may only be a dot and a name.";
	}
	n = strlen(text);
	if (n > 0 && text[n - 1] == '.')
		n--;
	if (n == 0 && !(entry->is_suffix && text[0] == '\0'))
		return "It is not a name.";
	for (size_t i = 0; i < n; i++)
	{
		if (strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.",
				   text[i]) == NULL ||
			(text[i] == '.' && text[i + 1] == '.'))
			return "Give names without scheme, port and path.";
	}
	memcpy(entry->name, text, n);
	entry->name[n] = '\0';
	return NULL;
}

static const char *
parse_entry(const char *p, size_t n, Entry *entry)
{
	char text[MAX_NAME + 1];

	if (n == 0)
		return "It is empty.";
	if (n > MAX_NAME)
		return "It is too long.";
	memcpy(text, p, n);
	text[n] = '\0';
	entry->is_range = strchr(text, ':') != NULL || is_number(text);
	return entry->is_range ? parse_range(text, &entry->range)
						   : parse_name(text, entry);
}

AllowedHosts *
allowed_hosts_parse(const char *list, const char **error, const char **where,
					size_t *len)
{
	AllowedHosts *allowed;
	size_t n = 1;

	*error = NULL;
	list += strspn(list, " \t\n");
	for (const char *p = list; *p != '\0'; p++)
		n += *p == ',';
	allowed = calloc(1, sizeof(*allowed) + n * sizeof(Entry));
	if (allowed == NULL || *list == '\0')
		return allowed;
	*where = list;
	*len = 0;
	if (n > MAX_ENTRIES)
		*error = "There are too many of them.";
	for (const char *p = list; *error == NULL; p++)
	{
		size_t whole = strcspn(p, ",");

		*where = p + strspn(p, " \t\n");
		*len = p + whole > *where ? p + whole - *where : 0;
		while (*len > 0 && strchr(" \t\n", (*where)[*len - 1]) != NULL)
			(*len)--;
		*error = parse_entry(*where, *len, &allowed->at[allowed->n++]);
		p += whole;
		if (*p == '\0')
			break;
	}
	if (*error == NULL)
		return allowed;
	free(allowed);
	return NULL;
}

void
allowed_hosts_free(AllowedHosts *allowed)
{
	free(allowed);
}

/* --- the question --------------------------------------------------------- */

static bool
has_name(const Entry *entry, const char *host)
{
	size_t n = strlen(host);
	size_t m = strlen(entry->name);

	if (n > 0 && host[n - 1] == '.')
		n--;
	return (entry->is_suffix ? n > m || m == 0 : n == m) &&
		strncasecmp(host + n - m, entry->name, m) == 0;
}

/* Is the address in a listed range that has at least so many bits? */
static bool
has_address(const AllowedHosts *allowed, const IpAddress *address, int bits)
{
	for (size_t i = 0; i < allowed->n; i++)
	{
		const Entry *entry = &allowed->at[i];

		if (entry->is_range && entry->range.bits >= bits &&
			contains(&entry->range, address))
			return true;
	}
	return false;
}

bool
allowed_hosts_has(const AllowedHosts *allowed, const char *host,
				  const IpAddress *address)
{
	for (size_t i = 0; address != NULL && i < sizeof(special) / sizeof(Range); i++)
	{
		if (contains(&special[i], address))
			return has_address(allowed, address, special[i].bits);
	}
	if (allowed->n == 0)
		return true;
	for (size_t i = 0; i < allowed->n; i++)
	{
		if (!allowed->at[i].is_range && has_name(&allowed->at[i], host))
			return true;
	}
	return address != NULL && has_address(allowed, address, 0);
}
