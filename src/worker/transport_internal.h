/*-------------------------------------------------------------------------
 *
 * transport_internal.h
 *	  What the files of the transport share; nobody else includes this, or
 *	  curl, or nghttp2.
 *
 *	transport.c			requests, from their start to their end
 *	transport_curl.c	those that go over HTTP/1.1, which curl carries
 *	transport_h2.c		connections of HTTP/2, with nghttp2
 *	transport_stream.c	and the requests that go over them
 *	transport_link.c	the bytes below HTTP/2: curl connects, OpenSSL encrypts
 *	transport_origin.c	origins
 *	transport_loop.c	sockets and timers: when any of these run
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_WORKER_TRANSPORT_INTERNAL_H
#define MODAL_WORKER_TRANSPORT_INTERNAL_H

#include <curl/curl.h>
#include <openssl/types.h>

#include "net/timer.h"
#include "net/net.h"

#if LIBCURL_VERSION_NUM < 0x075000
#error "modal_batch needs libcurl 7.80 or newer"
#endif

#define MAX_HEADERS 80 /* of a request */
#define DEFAULT_CONNECT_TIMEOUT_MS 10000
#define ERROR_TEXT_SIZE CURL_ERROR_SIZE

/* --- transport_loop.c: sockets and turns ---------------------------------- */

/*
 * Somebody who is run by the loop: when one of his sockets has an event
 * (EPOLLIN, …), or in the next turn when he was kicked.  Embedded in its owner;
 * either callback may free it.
 */
typedef struct LoopMember
{
	void (*on_event)(void *owner, int fd, uint32_t events);
	void (*on_kick)(void *owner);
	void *owner;
	bool kicked;
	struct LoopMember *next_kicked;
} LoopMember;

extern void loop_kick(LoopMember *member);
/* Its sockets are forgotten, and its kick. */
extern void loop_leave(LoopMember *member);
/* Watch a socket for events, of which EPOLLERR and EPOLLHUP are always some. */
extern bool loop_watch(LoopMember *member, int fd, uint32_t events);

/* A multi handle of curl in the loop. */
typedef struct LoopMulti
{
	LoopMember member;
	CURLM *curl;
	Timer timer;                 /* what curl asked for */
	void (*on_run)(void *owner); /* after curl has run */
	void *owner;
} LoopMulti;

extern bool multi_open(LoopMulti *multi, void (*on_run)(void *), void *owner);
extern void multi_close(LoopMulti *multi);

/*
 * For CURLOPT_OPENSOCKETFUNCTION, whose argument may be a bool to be set when
 * there was no descriptor to be had, and CURLOPT_CLOSESOCKETFUNCTION.
 */
extern curl_socket_t loop_open_socket(void *no_descriptor, curlsocktype purpose,
									  struct curl_sockaddr *address);
extern int loop_close_socket(void *arg, curl_socket_t fd);
/* Its requests fail as with a peer that went away, and new ones connect anew. */
extern void loop_cut_connections(const LoopMulti *multi);

/* --- origins and requests ------------------------------------------------- */

typedef struct H2 H2;
typedef struct H2Connection H2Connection;

struct Origin
{
	char *url, *ca_file, *client_cert, *client_key, *proxy, *proxy_credentials;
	OriginConfig config; /* numbers and flags; strings are above */
	bool plain;          /* http:// */
	bool loopback;       /* on this machine */
	/* Parts of the URL. */
	char *host, *port, *authority;
	const char *base_path;
	LoopMulti multi;     /* HTTP/1.1 */
	H2 *h2;              /* HTTP/2; NULL: not wanted */
	bool h1_only;        /* HTTP/2 is not offered */
	Origin *next_origin; /* of all */
	uint64_t progress;   /* counts what its requests receive, and their ends */
	Request *active;
	Request *idle; /* kept for reuse */
	int nidle;
};

/* Why we ended a request ourselves. */
typedef enum AbortReason
{
	ABORT_NONE,
	ABORT_BODY_TOO_LARGE,
	ABORT_HEADERS_TOO_LARGE,
	ABORT_NO_MEMORY,
	ABORT_BAD_ENCODING,
	ABORT_BY_OWNER,
	ABORT_SECOND_TIME,
	ABORT_TIMEOUT,
	ABORT_FIRST_BYTE_TIMEOUT,
	ABORT_STALLED
} AbortReason;

typedef enum StreamState
{
	STREAM_WAITING, /* for a connection */
	STREAM_OPEN,
	STREAM_ENDED, /* to be finished, with its error */
	STREAM_FINISHED
} StreamState;

/* How HTTP/2 carries a request. */
typedef struct Stream
{
	StreamState state;
	Request *next;            /* waiting or ended */
	H2Connection *connection; /* when it is open */
	int32_t id;
	int refusals; /* how often the server has not taken it */
	TransportError error;
	size_t body_sent, body_received;
	bool complete;         /* the whole answer has come */
	uint64_t heard_before; /* its connection's, when it was submitted */
	struct Gunzip *gunzip; /* when the body is compressed */
} Stream;

struct Request
{
	Origin *origin;
	Request *prev, *next; /* origin's active or idle list */
	RequestSpec spec;     /* path and headers are not used later */
	Response response;
	AbortReason abort;
	size_t header_bytes;
	bool first_byte;
	bool body_begun;
	Timer timeout;
	Timer first_byte_timeout;
	Timer stall;
	uint64_t moved;           /* bytes, both ways, when stall was set */
	uint64_t progress_before; /* its origin's, when it was sent */
	/* What is sent, kept for the next request: lines, each with a zero. */
	Buf lines;
	char error[ERROR_TEXT_SIZE];
	bool is_h2;
	/* One of them carries it. */
	CURL *easy; /* made when first needed, kept */
	CURLU *url; /* that easy is set to, parsed */
	Buf url_text; /* empty: easy has one that curl could not parse, or none */
	struct curl_slist headers[MAX_HEADERS];
	int nheaders;
	bool no_descriptor;
	Stream stream;
};

/* --- transport.c: what carriers tell -------------------------------------- */

/* It is about to be sent: its clocks start.  False: it must not be. */
extern bool request_sent(Request *request);
/* Bytes of the head or of trailers have come; false: too many. */
extern bool request_head_bytes(Request *request, size_t n);
/* A header or trailer, its name in any case of letters. */
extern void request_header(Request *request, const char *name, size_t name_len,
						   const char *value, size_t value_len);
/* Some of the body; false: no more is wanted. */
extern bool request_data(Request *request, const void *p, size_t n);
/*
 * It has ended, well or not.  Calls on_done, and so is not to be called from
 * within a library.  Our own reason to end it, if there is one, comes first.
 */
extern void request_finish(Request *request, TransportError error,
						   const char *message);
/* HTTP/2 is not offered: curl is to carry it.  False: no memory. */
extern bool request_fall_back(Request *request);
/* All of an origin's; those under way are cancelled. */
extern void requests_free(Origin *origin);

/* --- transport_curl.c: HTTP/1.1 ------------------------------------------- */

extern bool curl_start(Request *request);
/* Bytes of bodies that have moved so far, both ways. */
extern uint64_t curl_moved(const Request *request);
/* The response's status and bytes, at its end. */
extern void curl_figures(Request *request);
/* curl does not touch it any more. */
extern void curl_drop(Request *request);
/* The on_run of an origin's multi: ends the requests that curl is done with. */
extern void curl_reap(void *origin);

/* Set an option unless one before has failed. */
#define SET_OPTION(rc, easy, option, value)                                    \
	((rc) = (rc) == CURLE_OK ? curl_easy_setopt((easy), (option), (value))     \
							 : (rc))

/* --- transport_h2.c, transport_stream.c: HTTP/2 --------------------------- */

extern H2 *h2_create(Origin *origin);
/* When no request needs it any more. */
extern void h2_free(H2 *h2);
/* It is sent in this turn of the loop, or when there is a connection for it. */
extern bool h2_start(Request *request);
extern uint64_t h2_moved(const Request *request);
extern void h2_figures(Request *request);
extern void h2_drop(Request *request);
/* The request's connection is dead: what else uses it fails, as lost. */
extern void h2_cut(Request *request);
extern void h2_close_idle(H2 *h2);

/* --- transport_origin.c --------------------------------------------------- */

/* How connections are made, for both carriers. */
extern bool origin_set_connection(const Origin *origin, CURL *easy);
/* Is its host this machine, by its name alone? */
extern bool url_is_loopback(const char *url);
/*
 * Close the connections of origins without requests, so that others may have
 * some.  Not from within a library.
 */
extern void origins_close_idle(void);

#endif /* MODAL_WORKER_TRANSPORT_INTERNAL_H */
