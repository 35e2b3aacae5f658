/*-------------------------------------------------------------------------
 *
 * allowed_hosts.h
 *	  To which hosts connections may be made: setting modal_batch.allowed_hosts.
 *
 * A list with commas of names ("api.example.com"), suffixes ("*.example.com",
 * or "*" for all), addresses, and ranges of them ("10.0.0.0/8").  An empty one
 * allows everything but the addresses where a cloud tells its machines their
 * credentials, and others on the link: those have to be listed themselves, by
 * a range that is no wider.  So no name, and no "0.0.0.0/0", leads there.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_CORE_ALLOWED_HOSTS_H
#define MODAL_CORE_ALLOWED_HOSTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* An IPv4 address is the last four bytes of "::ffff:a.b.c.d". */
typedef struct IpAddress
{
	uint8_t bytes[16];
} IpAddress;

/* family and bytes as in a socket's address; false: neither IPv4 nor IPv6. */
extern bool ip_address_set(IpAddress *to, int family, const void *bytes);

typedef struct AllowedHosts AllowedHosts;

/*
 * NULL when memory is short, or the list is bad: then *error says how, and
 * *where and *len which entry is meant (*error NULL: no memory).
 */
extern AllowedHosts *allowed_hosts_parse(const char *list, const char **error,
										 const char **where, size_t *len);
extern void allowed_hosts_free(AllowedHosts *allowed);

/*
 * May a connection be made to this host, which has that address?  NULL: the
 * address is not known here, because it is a proxy that looks the name up.
 */
extern bool allowed_hosts_has(const AllowedHosts *allowed, const char *host,
							  const IpAddress *address);

#endif /* MODAL_CORE_ALLOWED_HOSTS_H */
