/*-------------------------------------------------------------------------
 *
 * net.h
 *	  HTTP requests: HTTP/1.1, and HTTP/2 by nghttp2.  Only src/net includes
 *	  nghttp2 and OpenSSL's TLS.
 *
 * One per dispatcher process.  All sockets live in one epoll descriptor,
 * net_fd(), which the event loop waits on together with its latch; delays are
 * timers (timer.h).  Completion callbacks run from net_process(), net_run() and
 * timers_run(), outside of any library's frames, so they may start and cancel
 * other requests, but must not throw.
 * Memory is malloc'd: nothing here uses palloc, or PostgreSQL at all.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_NET_NET_H
#define MODAL_NET_NET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "clock.h"
#include "core/allowed_hosts.h"
#include "core/buf.h"

typedef struct Request Request;

/*
 * Where requests go: one per distinct endpoint; connections and TLS settings
 * are shared by its requests.  Strings are copied.
 */
typedef struct OriginConfig
{
	const char *url;		/* https://host[:port] or http://host[:port] */
	const char *ca;			/* certificates of authorities as PEM, or */
	const char *ca_file;	/* a file of them; both NULL: the system's */
	const char *client_cert, *client_key;
	bool verify;			/* TLS peer and host */
	const char *proxy;		/* NULL: none; environment is never used */
	const char *proxy_credentials;	/* "user:password"; NULL: none */
	int max_connections;	/* 0: some */
	bool http2;				/* TLS: if offered; plain: by prior knowledge */
	bool http2_required;	/* gRPC: no HTTP/1.1 instead */
	int max_streams;		/* concurrent streams per connection */
	int keepalive_s;		/* TCP keepalive interval; 0: none */
} OriginConfig;

typedef struct Origin Origin;

/* How a request ended below HTTP. */
typedef enum TransportError
{
	TRANSPORT_OK,
	TRANSPORT_CONNECT,	  /* name, refused, TLS handshake, h2 not offered: nothing sent */
	TRANSPORT_TLS,		  /* certificate not accepted: never retried */
	TRANSPORT_LOST,		  /* connection or stream lost after something was sent */
	TRANSPORT_REFUSED,	  /* the server said that it has not begun with it */
	TRANSPORT_TIMEOUT,
	TRANSPORT_TOO_LARGE,  /* body or headers over a limit, or decompressed */
	TRANSPORT_ABORTED,	  /* by on_body or may_hold */
	TRANSPORT_PROTOCOL,	  /* what came is not HTTP */
	TRANSPORT_CODING,	  /* the body of a good answer cannot be read */
	TRANSPORT_MEMORY,
	TRANSPORT_NO_DESCRIPTOR, /* the process has too many connections already */
	TRANSPORT_NOT_ALLOWED /* its host is none that may be connected to */
} TransportError;

typedef struct Response
{
	TransportError error;
	char message[256];		/* error text, no secrets, when error is set */
	int status;				/* HTTP, 0 when none came */
	Buf body;				/* whole body, unless on_body was given; may be
							 * taken over by leaving an empty Buf here */
	double sent_at, finished_at; /* monotonic seconds; sent_at 0: never sent */
	double first_byte_s, total_s;
	bool http2;
	size_t bytes_sent, bytes_received;
} Response;

typedef struct RequestSpec
{
	Origin *origin;
	const char *method;		/* "POST", … */
	const char *path;		/* path and query, which begin with "/"; else a
							 * whole URL (blobs), which must be https where the
							 * origin is, unless both are on this machine */
	const char *const *headers; /* "name: value", NULL-terminated; copied */
	const void *body;		/* not copied: must stay until the end */
	size_t body_len;
	size_t max_body;		/* most bytes of answer, after decompression */
	double timeout_s;		/* whole, from when it is sent; 0: none */
	double connect_timeout_s;
	double first_byte_timeout_s; /* 0: none */
	double stall_timeout_s; /* in which nothing at all moves; 0: none */
	bool accept_gzip;		/* it is asked for; it is read in any case */
	bool once;				/* what may have reached the server is not sent
							 * again, which else happens when a kept connection
							 * turns out to be dead */
	/*
	 * on_header: each header and trailer, name in lower case (may be NULL).
	 * on_body: pieces as they arrive instead of collecting; false aborts.
	 * body_size: how long the whole body is, by its first bytes, where the head
	 * does not say it; 0: unknown (may be NULL).  For memory only.
	 * may_hold: may the answer take so many bytes?  It is asked before they
	 * come, as far as the server says how many they are; false aborts.
	 * on_more: more of it has come, of an answer that is good (2xx), sent as it
	 * is, and of a length that the head says.
	 * All run inside a library: no new requests, no cancels, no throwing.
	 * on_done: exactly once, unless cancelled; the Response is valid during
	 * the call; the Request is gone after it.
	 */
	void (*on_header) (void *arg, const char *name, size_t name_len,
					   const char *value, size_t value_len);
	bool (*on_body) (void *arg, const void *p, size_t n);
	uint64_t (*body_size) (const uint8_t *p, size_t n);
	bool (*may_hold) (void *arg, uint64_t bytes);
	void (*on_more) (void *arg, const Buf *body, uint64_t length);
	void (*on_done) (void *arg, Response *response);
	void *arg;
} RequestSpec;

/*
 * The callbacks account for descriptors; they must not throw, and may be NULL.
 * reserve returns false when the process may not have another one.
 */
extern bool net_init(bool (*reserve_fd)(void), void (*release_fd)(void),
					 int max_sockets);
/*
 * The hosts that connections may be made to from now on; takes it over.  What
 * is connected stays so.
 */
extern void net_allow_hosts(AllowedHosts *allowed);
extern int net_fd(void);
/*
 * Both run callbacks: the first looks at the sockets, the second only goes on
 * with what needs no event.
 */
extern void net_process(void);
extern void net_run(void);
/* Is there work for net_run()? */
extern bool net_busy(void);
extern int net_connections(void);
extern int net_requests(void); /* under way */

/* Since the start of the process. */
typedef struct NetStats
{
	uint64_t requests, bytes_sent, bytes_received;
} NetStats;

extern void net_stats(NetStats *stats);

extern Origin *origin_create(const OriginConfig *config);
extern void origin_free(Origin *origin); /* cancels what is under way */
/*
 * May a whole URL be asked for with its settings?  It has to be one, and https
 * must stay https, unless both are on this machine.
 */
extern bool origin_may_ask(const Origin *origin, const char *url);
/* Do requests wait because the process may have no more connections? */
extern bool origin_lacks_descriptors(const Origin *origin);

extern Request *request_start(const RequestSpec *spec); /* NULL: no memory */
extern void request_cancel(Request *request); /* on_done is not called */

#endif /* MODAL_NET_NET_H */
