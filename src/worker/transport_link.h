/*-------------------------------------------------------------------------
 *
 * transport_link.h
 *	  A stream of bytes to an origin's server and back, encrypted unless its
 *	  URL is http://.
 *
 * libcurl makes the connection: names, addresses, proxies.  OpenSSL encrypts.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_WORKER_TRANSPORT_LINK_H
#define MODAL_WORKER_TRANSPORT_LINK_H

#include "worker/transport_internal.h"

typedef enum LinkState
{
	LINK_CONNECTING,
	LINK_ENCRYPTING, /* the TLS handshake */
	LINK_OPEN,
	LINK_FAILED /* or closed by the peer: see error and message */
} LinkState;

typedef struct Link
{
	LinkState state;
	bool h2_offered; /* by TLS (ALPN) */
	TransportError error;
	char message[ERROR_TEXT_SIZE];
	/* Private. */
	const Origin *origin;
	LoopMulti multi;   /* in which curl connects */
	Timer curl_due;    /* while it does */
	CURL *easy;        /* owns the socket */
	LoopMember member; /* which watches the socket, once connected */
	curl_socket_t fd;
	SSL *ssl; /* NULL: plain */
	bool no_descriptor;
	char error_text[ERROR_TEXT_SIZE]; /* curl's */
	void (*on_event)(void *owner);
	void *owner;
} Link;

/*
 * Calls on_event whenever it is open or has failed, and when it may be read
 * or written again; never before it has returned, and never from within a
 * library.  NULL: no memory.  timeout_s is what curl may take to connect, to
 * one of several addresses: how long all may take is for the owner to say.
 */
extern Link *link_open(const Origin *origin, double timeout_s,
					   void (*on_event)(void *owner), void *owner);
/* Bytes read or written; 0: not now; -1: it has failed. */
extern ssize_t link_read(Link *link, void *to, size_t n);
extern ssize_t link_write(Link *link, const void *from, size_t n);
/* Is on_event to be called when it may be written? */
extern void link_want_write(Link *link, bool wanted);
extern void link_close(Link *link);

#endif /* MODAL_WORKER_TRANSPORT_LINK_H */
