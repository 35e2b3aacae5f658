/*-------------------------------------------------------------------------
 *
 * multi.h
 *	  A multi handle of libcurl in the loop.
 *
 * One makes all connections for HTTP/2 (connection.c); besides, each origin
 * that is asked over HTTP/1.1 has its own, while there is something to do
 * (h1.c): its connections are then nobody else's.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_NET_MULTI_H
#define MODAL_NET_MULTI_H

#include <curl/curl.h>

#include "core/map.h"
#include "net/internal.h"

#if LIBCURL_VERSION_NUM < 0x075000
#error "modal_batch needs libcurl 7.80 or newer"
#endif

typedef struct LoopMulti
{
	CURLM *curl; /* NULL: not open */
	LoopMember member;
	Timer timer;         /* what curl asked for */
	Timer nudge;         /* see multi_expect_connection */
	double nudge_until;
	Map sockets;         /* by descriptor */
	void (*on_run)(void *owner); /* after curl has run; may close it */
	void *owner;
} LoopMulti;

/* For CURLOPT_OPENSOCKETDATA; embedded in whoever has the easy handle. */
typedef struct SocketClaim
{
	LoopMulti *multi;
	bool no_descriptor; /* there was none to be had */
	const Origin *origin; /* for whom */
	bool not_allowed;	/* an address was refused, and none was not */
	bool allowed;
} SocketClaim;

extern bool multi_open(LoopMulti *multi, void (*on_run)(void *owner),
					   void *owner);
/* With its connections; not from within curl.  Its easy handles must be out. */
extern void multi_close(LoopMulti *multi);
/*
 * How the sockets of this easy handle are made.  False: no memory.  The multi
 * must stay where it is as long as it has connections.
 */
extern bool multi_claim_sockets(CURL *easy, SocketClaim *claim,
								LoopMulti *multi, const Origin *origin);
/* Nothing has been tried for it. */
extern void multi_claim_begin(SocketClaim *claim);
/*
 * A handle that was added may connect for so long.  libcurl 7.88 forgets to
 * tell its loop when it gives one of several addresses up, and to be called
 * for the next one.
 */
extern void multi_expect_connection(LoopMulti *multi, double seconds);
/* What has come on idle connections is no answer: they are not used again. */
extern void multi_end_disturbed(LoopMulti *multi);
/* Requests on them fail as with a peer that went away, new ones connect anew. */
extern void multi_cut(LoopMulti *multi);
/* curl is done with this one's socket, but for its end: others watch it now. */
extern void multi_hand_over(LoopMulti *multi, int fd);

/* Set an option unless one before has failed. */
#define SET_OPTION(rc, easy, option, value)                                    \
	((rc) = (rc) == CURLE_OK ? curl_easy_setopt((easy), (option), (value))     \
							 : (rc))

#endif /* MODAL_NET_MULTI_H */
