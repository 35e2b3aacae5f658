/*-------------------------------------------------------------------------
 *
 * allowed.c
 *	  To whom connections may be made: setting modal_batch.allowed_hosts, whose
 *	  rules are in core/allowed_hosts.
 *
 * Looked at is the address that a socket is about to be connected to, whatever
 * name has led there, by whomever it was resolved, and whenever.  Only where a
 * proxy connects there is no such address here: then it is the name, or the
 * address that the proxy is told.
 *
 *-------------------------------------------------------------------------
 */
#include "net/internal.h"

#include <netinet/in.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "net/resolve.h"

static AllowedHosts *hosts;

void
net_allow_hosts(AllowedHosts *allowed)
{
	allowed_hosts_free(hosts);
	hosts = allowed;
}

static bool
may_reach(const Origin *origin, const struct sockaddr *address)
{
	const void *bytes = address->sa_family == AF_INET6
		? (const void *) &((const struct sockaddr_in6 *) address)->sin6_addr
		: (const void *) &((const struct sockaddr_in *) address)->sin_addr;
	IpAddress ip;

	return ip_address_set(&ip, address->sa_family, bytes) &&
		allowed_hosts_has(hosts, origin->host, &ip);
}

bool
origin_may_connect(const Origin *origin, const struct sockaddr *address)
{
	return origin->proxy != NULL || may_reach(origin, address);
}

/* Also with a last dot, which libcurl and proxies may leave out. */
static bool
is_address(const char *host, Address *address)
{
	char bare[128];
	size_t n = strlen(host);

	if (n == 0 || n >= sizeof(bare))
		return false; /* no address is as long as that */
	memcpy(bare, host, n + 1);
	if (bare[n - 1] == '.')
		bare[n - 1] = '\0';
	return resolve_literal(bare, address);
}

bool
origin_may_ask_proxy(const Origin *origin)
{
	Address literal;

	if (origin->proxy == NULL)
		return true;
	if (is_address(origin->host, &literal))
		return may_reach(origin, &literal.any);
	/* what is resolved here is looked at then; libcurl knows this name itself */
	return (origin->resolves_host && strcasecmp(origin->host, "localhost") != 0) ||
		allowed_hosts_has(hosts, origin->host, NULL);
}

bool
origin_may_tell_proxy(const Origin *origin, const struct sockaddr *address)
{
	return origin->proxy == NULL || may_reach(origin, address);
}
