/*-------------------------------------------------------------------------
 *
 * hosts.h
 *	  The addresses that libcurl is to connect to: of the origin's server, of
 *	  its proxy, or of both.  libcurl would ask for each connection, in a thread
 *	  of its own.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_NET_HOSTS_H
#define MODAL_NET_HOSTS_H

#include <curl/curl.h>

#include "net/internal.h"
#include "net/resolve.h"

#define MAX_HOSTS 2

/* Embedded in its owner; all zero at first. */
typedef struct Hosts
{
	const Origin *origin;
	/*
	 * For CURLOPT_RESOLVE; NULL: nothing to say.  It stays until the one after
	 * the next: curl looks at it when a transfer begins.
	 */
	struct curl_slist *list;
	double known_at; /* 0: not known, see clock.h */
	bool refused;	 /* an error of the last question: they are not allowed */
	/* Private. */
	ResolveWait wait;
	int next;
	struct curl_slist *found, *before;
	/* error NULL: they are known */
	void (*on_known)(void *owner, const char *error);
	void *owner;
} Hosts;

/* Does anybody have to be asked? */
extern bool hosts_are_names(const Origin *origin);
/* Calls on_known once, from the loop, not before it has returned. */
extern bool hosts_ask(Hosts *hosts, const Origin *origin,
					  void (*on_known)(void *owner, const char *error),
					  void *owner);
extern bool hosts_are_asked(const Hosts *hosts);
/* They have not led anywhere: ask anew next time. */
extern void hosts_distrust(Hosts *hosts);
extern void hosts_free(Hosts *hosts);

#endif /* MODAL_NET_HOSTS_H */
