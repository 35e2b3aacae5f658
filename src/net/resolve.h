/*-------------------------------------------------------------------------
 *
 * resolve.h
 *	  The addresses of names: one resolver and one cache for the process.
 *
 * The C library's resolver waits, so it is asked in threads, a bounded number
 * of them; literal addresses and "localhost" need none.  All who want to know
 * the same name wait for the same answer.  An answer is kept for a minute, a
 * failure for a second, and of names that nobody waits for a bounded number.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_NET_RESOLVE_H
#define MODAL_NET_RESOLVE_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "core/list.h"

#define MAX_ADDRESSES 8 /* of a name, that are tried */

typedef struct Address
{
	socklen_t len;
	union
	{
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	};
} Address;

typedef struct Addresses
{
	int n;
	Address at[MAX_ADDRESSES]; /* without port */
} Addresses;

typedef struct Name Name;

/* Somebody who wants to know; embedded in its owner. */
typedef struct ResolveWait
{
	/* addresses NULL: there are none, and error says why */
	void (*on_resolved)(void *owner, const Addresses *addresses,
						const char *error);
	void *owner;
	Name *name; /* NULL: does not wait */
	ListNode node;
} ResolveWait;

extern bool resolve_init(void);
/*
 * Calls on_resolved once, from the loop, never before it has returned.  False:
 * no memory.  An IPv6 address may have brackets.
 */
extern bool resolve_start(ResolveWait *wait, const char *host);
extern void resolve_cancel(ResolveWait *wait);
/* What is known of it has not led anywhere: ask anew next time. */
extern void resolve_forget(const char *host);
/* Is it an address?  An IPv6 address may have brackets. */
extern bool resolve_literal(const char *host, Address *address);
extern void address_set_port(Address *address, uint16_t port);

#endif /* MODAL_NET_RESOLVE_H */
