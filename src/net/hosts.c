/*-------------------------------------------------------------------------
 *
 * hosts.c
 *	  The addresses that libcurl is to connect to; see hosts.h.
 *
 *-------------------------------------------------------------------------
 */
#include "net/hosts.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Host n of those that are asked for; false: there are not so many. */
static bool
host_at(const Origin *origin, int n, const char **host, uint16_t *port)
{
	const struct
	{
		const char *host; /* NULL: not asked for */
		uint16_t port;
	} hosts[MAX_HOSTS] = {
		{origin->resolves_host ? origin->host : NULL, origin->port},
		{origin->proxy_host, origin->proxy_port}};
	Address literal;

	for (int i = 0; i < MAX_HOSTS; i++)
	{
		/* "localhost" is libcurl's own, as RFC 6761 has it */
		if (hosts[i].host == NULL || resolve_literal(hosts[i].host, &literal) ||
			strcasecmp(hosts[i].host, "localhost") == 0 || n-- > 0)
			continue;
		*host = hosts[i].host;
		*port = hosts[i].port;
		return true;
	}
	return false;
}

bool
hosts_are_names(const Origin *origin)
{
	const char *host;
	uint16_t port;

	return host_at(origin, 0, &host, &port);
}

/* "+host:port:address,…": as long as libcurl keeps names by itself. */
static bool
add_entry(Hosts *hosts, const char *host, uint16_t port,
		  const Addresses *addresses)
{
	Buf entry;
	struct curl_slist *longer = NULL;

	buf_init(&entry, 0, NULL);
	buf_printf(&entry, "+%s:%d:", host, (int) port);
	for (int i = 0; i < addresses->n; i++)
	{
		const Address *address = &addresses->at[i];
		bool v6 = address->any.sa_family == AF_INET6;
		const void *bytes = v6 ? (const void *) &address->v6.sin6_addr
							   : (const void *) &address->v4.sin_addr;
		char text[INET6_ADDRSTRLEN];

		if (inet_ntop(address->any.sa_family, bytes, text, sizeof(text)) != NULL)
			buf_printf(&entry, v6 ? "%s[%s]" : "%s%s", i > 0 ? "," : "", text);
	}
	if (!entry.failed)
		longer = curl_slist_append(hosts->found, buf_cstr(&entry));
	buf_free(&entry);
	if (longer != NULL)
		hosts->found = longer;
	return longer != NULL;
}

static void
tell(Hosts *hosts, const char *error)
{
	hosts->on_known(hosts->owner, error);
}

static bool ask_next(Hosts *hosts);

/* Which of them a proxy takes is not known. */
static bool
all_allowed(const Origin *origin, const Addresses *addresses)
{
	for (int i = 0; i < addresses->n; i++)
	{
		if (!origin_may_tell_proxy(origin, &addresses->at[i].any))
			return false;
	}
	return true;
}

static void
on_resolved(void *owner, const Addresses *addresses, const char *error)
{
	Hosts *hosts = owner;
	const char *host = NULL;
	uint16_t port = 0;

	if (addresses == NULL)
	{
		tell(hosts, error);
		return;
	}
	(void) host_at(hosts->origin, hosts->next, &host, &port);
	if (host == hosts->origin->host && !all_allowed(hosts->origin, addresses))
	{
		hosts->refused = true;
		tell(hosts, NOT_ALLOWED_TEXT);
		return;
	}
	if (!add_entry(hosts, host, port, addresses))
	{
		tell(hosts, "out of memory");
		return;
	}
	hosts->next++;
	if (host_at(hosts->origin, hosts->next, &host, &port))
	{
		if (!ask_next(hosts))
			tell(hosts, "out of memory");
		return;
	}
	curl_slist_free_all(hosts->before);
	hosts->before = hosts->list;
	hosts->list = hosts->found;
	hosts->found = NULL;
	hosts->known_at = monotonic_seconds();
	tell(hosts, NULL);
}

static bool
ask_next(Hosts *hosts)
{
	const char *host = NULL;
	uint16_t port;

	(void) host_at(hosts->origin, hosts->next, &host, &port);
	hosts->wait.on_resolved = on_resolved;
	hosts->wait.owner = hosts;
	return resolve_start(&hosts->wait, host);
}

bool
hosts_ask(Hosts *hosts, const Origin *origin,
		  void (*on_known)(void *owner, const char *error), void *owner)
{
	MUST(hosts_are_names(origin) && !hosts_are_asked(hosts));
	hosts->origin = origin;
	hosts->on_known = on_known;
	hosts->owner = owner;
	hosts->next = 0;
	hosts->refused = false;
	curl_slist_free_all(hosts->found);
	hosts->found = NULL;
	return ask_next(hosts);
}

bool
hosts_are_asked(const Hosts *hosts)
{
	return hosts->wait.name != NULL;
}

void
hosts_distrust(Hosts *hosts)
{
	const char *host;
	uint16_t port;

	if (hosts->origin == NULL)
		return;
	hosts->known_at = 0;
	for (int i = 0; host_at(hosts->origin, i, &host, &port); i++)
		resolve_forget(host);
}

void
hosts_free(Hosts *hosts)
{
	resolve_cancel(&hosts->wait);
	curl_slist_free_all(hosts->list);
	curl_slist_free_all(hosts->found);
	curl_slist_free_all(hosts->before);
	memset(hosts, 0, sizeof(*hosts));
}
