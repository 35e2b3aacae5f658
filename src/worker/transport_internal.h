/*-------------------------------------------------------------------------
 *
 * transport_internal.h
 *	  What the files of the transport share; nobody else includes this, or
 *	  curl.
 *
 *	transport.c			requests, from their start to their end
 *	transport_origin.c	origins, and what curl is told about their requests
 *	transport_loop.c	sockets and timers: when curl runs
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_WORKER_TRANSPORT_INTERNAL_H
#define MODAL_WORKER_TRANSPORT_INTERNAL_H

#include <curl/curl.h>

#include "worker/timer.h"
#include "worker/transport.h"

#if LIBCURL_VERSION_NUM < 0x075000
#error "modal_batch needs libcurl 7.80 or newer"
#endif

struct Origin
{
	char *url, *ca_file, *client_cert, *client_key, *proxy;
	OriginConfig config; /* numbers and flags; strings are above */
	bool plain;			 /* http:// */
	bool loopback;		 /* on this machine */
	CURLM *multi;
	int socket;			 /* its newest HTTP/2 connection, or -1 */
	Timer timer;		 /* what curl asked for */
	bool kicked;		 /* curl wants to run at once */
	Origin *next_kicked;
	Origin *next_origin; /* of all */
	uint64_t progress;	 /* counts what its requests receive, and their ends */
	Request *active;
	Request *idle;		 /* kept for reuse */
	int nidle;
};

/* Set an option unless one before has failed. */
#define SET_OPTION(rc, easy, option, value) \
	((rc) = (rc) == CURLE_OK ? curl_easy_setopt((easy), (option), (value)) \
							 : (rc))

/* --- transport.c ---------------------------------------------------------- */

/* End the requests that curl is done with. */
extern void requests_reap(Origin *origin);
/* All of them; those under way are cancelled. */
extern void requests_free(Origin *origin);

/* --- transport_origin.c --------------------------------------------------- */

/* What stays the same for all requests of an origin. */
extern bool origin_set_options(const Origin *origin, CURL *easy);
/* What does not, but for the headers. */
extern bool origin_set_request(const Origin *origin, CURL *easy,
							   const RequestSpec *spec);

/*
 * Close the connections of origins without requests, so that others may have
 * some.  Not from within curl.
 */
extern void origins_close_idle(void);

/* --- transport_loop.c ----------------------------------------------------- */

/* Is the library that runs older than this? */
extern bool loop_curl_before(unsigned int version);
/* From here on, the origin's sockets and timers are served. */
extern void loop_add(Origin *origin);
/* After its multi handle is gone. */
extern void loop_remove(Origin *origin);
extern curl_socket_t loop_open_socket(void *arg, curlsocktype purpose,
									  struct curl_sockaddr *address);
extern int loop_close_socket(void *arg, curl_socket_t fd);
/* Its requests fail as with a peer that went away, and new ones connect anew. */
extern void loop_cut_connections(const Origin *origin);

#endif /* MODAL_WORKER_TRANSPORT_INTERNAL_H */
