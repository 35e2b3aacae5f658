/*-------------------------------------------------------------------------
 *
 * internal.h
 *	  What the files of the network share; nobody else includes this, curl,
 *	  nghttp2 or OpenSSL's TLS.
 *
 *	request.c		requests, from their start to their end
 *	h1.c			the carrier of those over HTTP/1.1, which is libcurl
 *	h2.c, stream.c	the carrier of those over HTTP/2: connections, with
 *					nghttp2, and requests on them
 *	origin.c		where requests go
 *	connection.c	the bytes below HTTP/2: libcurl connects, OpenSSL encrypts
 *	multi.c			libcurl in the loop
 *	allowed.c		to whom connections may be made
 *	hosts.c			what libcurl is told of names
 *	resolve.c		names
 *	loop.c			when any of these run
 *
 * Who may free what: on_done of a request may start and cancel any request, its
 * own excepted, which ends with it.  An Origin is freed by its owner, never in
 * a callback of one of its requests.  Connections are freed by the carrier that
 * opened them, in its own turn.  on_header and on_body run within a library or
 * a parser: they may do nothing but look.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_NET_INTERNAL_H
#define MODAL_NET_INTERNAL_H

#include <curl/curl.h>

#include "core/list.h"
#include "net/net.h"
#include "net/timer.h"
#include "net/tls.h"

#define MAX_HEADERS 80 /* of a request */
#define DEFAULT_CONNECT_TIMEOUT_S 10.0
#define ERROR_TEXT_SIZE 256

/* --- loop.c: sockets and turns -------------------------------------------- */

/*
 * Somebody who is run by the loop: when his socket has an event (EPOLLIN, …),
 * or in the next turn when he was kicked.  Embedded in its owner; either
 * callback may free it.
 */
typedef struct LoopMember
{
	void (*on_event)(void *owner, uint32_t events);
	void (*on_kick)(void *owner);
	void *owner;
	int fd; /* that is watched; -1: none */
	uint32_t events;
	ListNode kicked;
} LoopMember;

extern void loop_member_init(LoopMember *member,
							 void (*on_event)(void *owner, uint32_t events),
							 void (*on_kick)(void *owner), void *owner);
extern void loop_kick(LoopMember *member);
/* Its socket is not watched any more, which is not closed; its kick forgotten. */
extern void loop_leave(LoopMember *member);
/* Watch a socket for events, of which EPOLLERR and EPOLLHUP are always some. */
extern bool loop_watch(LoopMember *member, int fd, uint32_t events);
/*
 * A TCP socket; -1: see errno, and whether the process may have no more.  What
 * is opened here is closed here, after it was left.
 */
extern int loop_socket(int family, bool *no_descriptor);
extern void loop_close(int fd);
/* The same, of one that a library has closed. */
extern void loop_closed(void);

/*
 * Somebody who has descriptors that he does not need now.  Embedded in its
 * owner; evict gives them back, at once.
 */
typedef struct LoopIdle
{
	ListNode node;
	void (*evict)(void *owner);
	void *owner;
} LoopIdle;

extern void loop_set_idle(LoopIdle *member, bool is_idle);
/*
 * Is there a descriptor for another connection?  Whoever has been idle for the
 * longest time makes room.  Not from within a library.
 */
extern bool loop_make_room(void);
/* The same, for so many, of those that are not the last ones. */
extern bool loop_leaves_some(int more);

/* --- requests ------------------------------------------------------------- */

typedef struct Connection Connection;
typedef struct H1 H1;
typedef struct H2 H2;
typedef struct H2Connection H2Connection;

/* What carries a request. */
typedef struct Carrier
{
	bool http2;
	/* It is sent in this turn of the loop, or when there is a connection. */
	bool (*start)(Request *request);
	/* Bytes that have moved so far, both ways. */
	uint64_t (*moved)(const Request *request);
	/* What the carrier alone knows of the response is filled in, at its end. */
	void (*figures)(Request *request);
	/* It is not to be carried any more: it ends, or goes to another carrier. */
	void (*drop)(Request *request);
	/*
	 * Nothing has come from its origin since it was sent: connections that may
	 * be dead like its own are not to be used again.
	 */
	void (*cut)(Request *request);
} Carrier;

extern const Carrier h1_carrier;
extern const Carrier h2_carrier;

/* Why we ended a request ourselves. */
typedef enum AbortReason
{
	ABORT_NONE,
	ABORT_BODY_TOO_LARGE,
	ABORT_TWO_LENGTHS,
	ABORT_BAD_LENGTH,
	ABORT_OTHER_PROTOCOL,
	ABORT_HEADERS_TOO_LARGE,
	ABORT_NO_MEMORY,
	ABORT_BAD_CODING,
	ABORT_OTHER_CODING,
	ABORT_BY_OWNER,
	ABORT_SECOND_TIME,
	ABORT_TIMEOUT,
	ABORT_FIRST_BYTE_TIMEOUT,
	ABORT_STALLED
} AbortReason;

/* Where a request is; its carrier alone changes that. */
typedef enum RequestState
{
	REQUEST_WAITING, /* in its carrier's queue, for a connection */
	REQUEST_SENT,    /* on a connection, perhaps not wholly */
	REQUEST_ENDED,   /* in its carrier's list, to be finished */
	REQUEST_FINISHED
} RequestState;

struct Request
{
	Origin *origin;
	const Carrier *carrier;
	RequestState state;
	ListNode member;  /* of its origin's active or kept ones */
	ListNode queue;   /* by state: waiting, sent, or ended */
	RequestSpec spec; /* path and headers are not used later */
	Response response;
	AbortReason abort;
	TransportError error; /* with error_text, when it has ended */
	char error_text[ERROR_TEXT_SIZE];
	/* What has moved. */
	size_t header_bytes, body_sent, body_received;
	uint64_t length;	/* as the head says; NO_LENGTH: not yet */
	uint64_t held;		/* bytes of the body that may_hold was asked for */
	bool first_byte;
	struct Gunzip *gunzip; /* when the body is compressed */
	bool other_coding;     /* it has a content coding that cannot be read */
	Timer timeout;
	Timer first_byte_timeout;
	Timer stall;
	uint64_t moved;           /* when stall was set */
	uint64_t progress_before; /* its origin's, when it was sent */
	/*
	 * What is sent, kept for the next request: the path with the origin's, and
	 * the headers, each with a zero; only the carrier knows how they are sent.
	 */
	Buf lines;
	/* HTTP/1.1: what curl is given. */
	struct Transfer *transfer; /* made when first needed, kept */
	/* Where it is sent. */
	H2Connection *h2;
	int32_t stream_id;
	bool complete;         /* HTTP/2: the whole answer has come */
	uint64_t heard_before; /* HTTP/2: its connection's, when it was sent */
	int refusals;          /* how often it was not begun */
	int vain_refusals;     /* since its origin has begun anything else */
};

/* Is its path one that can be sent? */
extern bool request_has_path(const Request *request);
/* It is about to be sent: its clocks start.  False: it must not be. */
extern bool request_sent(Request *request);
/* Bytes of the head or of trailers have come; false: too many. */
extern bool request_head_bytes(Request *request, size_t n);
/* A head begins, of an answer or of one that only says that it will come. */
extern void request_head_begins(Request *request);
/* A header or trailer, its name in any case of letters; false: no memory. */
extern bool request_header(Request *request, const char *name, size_t name_len,
						   const char *value, size_t value_len);
/* Some of the body, as it was sent; false: no more is wanted. */
extern bool request_data(Request *request, const void *p, size_t n);
/*
 * May it go out again, on another connection?  Only before anything of an
 * answer has come; and if it was begun, as far as HTTP can say, only if its
 * owner allows it.
 */
extern bool request_may_go_again(const Request *request, bool begun);
/* It has not been sent: its clocks stop. */
extern void request_reset(Request *request);
/* What has come was no answer to it. */
extern void request_forget_answer(Request *request);
/*
 * It has ended, well or not.  Calls on_done, and so is not to be called from
 * within a library.  Our own reason to end it, if there is one, comes first.
 */
extern void request_finish(Request *request, TransportError error,
						   const char *message);
/* The other carrier takes it, which is not carried now.  False: no memory. */
extern bool request_change_carrier(Request *request, const Carrier *carrier);
/* All of an origin's; those under way are cancelled. */
extern void requests_free(Origin *origin);

/* Those that have ended, and are to be finished outside of libraries. */
extern void requests_end(List *ended, Request *request, TransportError error,
						 const char *message);
extern void requests_finish(List *ended);

/* --- origins -------------------------------------------------------------- */

struct Origin
{
	char *url, *ca, *ca_file, *client_cert, *client_key, *host, *authority;
	char *proxy, *proxy_credentials, *proxy_host;
	OriginConfig config;   /* numbers and flags; strings are above */
	const char *base_path; /* of url */
	uint16_t port;
	bool plain;    /* http:// */
	bool loopback; /* on this machine */
	uint16_t proxy_port;
	bool resolves_host; /* its proxy does not, or there is none */
	Tls tls;
	H1 *h1;
	H2 *h2;            /* NULL: not wanted */
	double h1_until;   /* HTTP/2 is not offered: not tried before */
	uint64_t progress; /* counts what its requests receive, and their ends */
	List active;       /* requests */
	List kept;         /* for reuse */
	int nkept;
	List others; /* for whole URLs; the one that was used last is the last */
	int nothers;
	LoopMember sweep; /* kicked when there are too many of them */
	ListNode member;  /* of others */
};

/* What carries its next request. */
extern const Carrier *origin_carrier(const Origin *origin);
/* HTTP/2 is not offered, or not wanted, by its server. */
extern void origin_fall_back(Origin *origin);
/* For a whole URL, and its path; NULL: it may not be asked, or no memory. */
extern Origin *origin_of_url(Origin *origin, const char *url,
							 const char **path);

/* --- allowed.c: setting modal_batch.allowed_hosts ------------------------- */

struct sockaddr;
/*
 * May a socket for this origin be connected to this address?  A proxy was
 * chosen by a superuser.
 */
extern bool origin_may_connect(const Origin *origin,
							   const struct sockaddr *address);
/*
 * The same of what a proxy is asked for: the server's name, or its address if
 * that is known.
 */
extern bool origin_may_ask_proxy(const Origin *origin);
/* Of an address that we have looked up for the proxy. */
extern bool origin_may_tell_proxy(const Origin *origin,
								  const struct sockaddr *address);
/* For a person. */
#define NOT_ALLOWED_TEXT "connections to this host are not allowed"

/* How connections are made, whatever they carry. */
extern bool origin_set_connection(const Origin *origin, CURL *easy);

/* --- the carriers --------------------------------------------------------- */

extern H1 *h1_create(Origin *origin);
extern void h1_free(H1 *h1);
/* Do its requests wait for descriptors? */
extern bool h1_lacks_descriptors(const H1 *h1);
/* The request is freed. */
extern void transfer_free(struct Transfer *transfer);

extern H2 *h2_create(Origin *origin);
/* When no request needs it any more. */
extern void h2_free(H2 *h2);

#endif /* MODAL_NET_INTERNAL_H */
