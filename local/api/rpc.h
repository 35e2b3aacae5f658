/*-------------------------------------------------------------------------
 *
 * rpc.h
 *	  One gRPC call from its request to its reply.
 *
 * grpc.c makes an Rpc per stream and hands it to rpc_dispatch() when the request
 * is complete; rpc.c checks who asks, applies the faults asked for, finds the
 * handler in the table that main.c has given it and keeps the request log.  A
 * handler answers with rpc_reply*() or rpc_fail(), at once or later; the Rpc is
 * freed by grpc.c when its stream ends.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_LOCAL_RPC_H
#define MODAL_LOCAL_RPC_H

#include "calls/faults.h"
#include "core/buf.h"
#include "core/grpc_frame.h"
#include "net/h2.h"
#include "net/loop.h"
#include "util.h"

typedef struct Rpc Rpc;
typedef struct RpcMethod RpcMethod;

/* Request headers that mean something to us; all others are dropped. */
typedef enum RpcHeader
{
	HEADER_SCHEME,
	HEADER_AUTHORITY,
	HEADER_PATH,
	HEADER_METHOD,
	HEADER_CONTENT_TYPE,
	HEADER_TE,
	HEADER_CLIENT_TYPE,
	HEADER_CLIENT_VERSION,
	HEADER_PYTHON_VERSION,
	HEADER_TOKEN_ID,
	HEADER_TOKEN_SECRET,
	HEADER_OAUTH_CLIENT_ID,
	HEADER_OAUTH_CLIENT_SECRET,
	HEADER_REFRESH_TOKEN,
	HEADER_AUTH_TOKEN,
	HEADER_IDEMPOTENCY_KEY,
	HEADER_RETRY_ATTEMPT,
	HEADER_REGION,
	HEADER_FAULT,
	N_RPC_HEADERS
} RpcHeader;

#define RPC_IDEMPOTENT 1  /* a repeated x-idempotency-key gets the same reply */
#define RPC_REPEATABLE 2  /* of those: the handler can make that reply again */
#define RPC_INPUT_PLANE 4 /* needs a client's auth token, too */

struct RpcMethod
{
	const char *name;
	void (*handler)(Rpc *rpc);
	int flags;
};

struct Rpc
{
	/* The request. */
	const char *headers[N_RPC_HEADERS]; /* NULL: not sent */
	Arena arena;						/* lives as long as the Rpc */
	const uint8_t *request;
	size_t request_len;

	/* The reply. */
	Buf reply; /* one or, in a stream, more framed messages */
	GrpcStatus status;
	const char *message;	 /* of an error */
	const void *details;	 /* RPCStatus of an error */
	size_t details_len;

	/*
	 * For handlers that answer later: called when the client has gone away
	 * instead of the answer.  Must forget the Rpc.
	 */
	void (*abandoned)(Rpc *rpc);
	void *state;

	/* rpc.c's */
	void (*more)(Rpc *rpc); /* a stream's, see rpc_stream_full; NULL: none */
	const RpcMethod *method;
	Fault fault;
	LoopTimer delay;
	bool answered;	 /* replied or failed; not necessarily delivered */
	bool replayed;	 /* its key is known: it has been applied before */
	bool durable;	 /* what it has done is in the journal */
	bool logged;
	bool streaming;	 /* reply is open-ended */
	double received; /* loop_now */
	Buf log;		 /* what the handler says about the request */

	/* grpc.c's */
	H2Stream *stream;
	GrpcReader body;
	size_t header_bytes;
	size_t sent;	/* bytes of reply that are gone */
	char status_text[12];
	bool begun;		/* response headers are submitted */
	bool ended;		/* nothing more will be added to reply */
	bool too_large; /* request */
};

typedef struct RpcSettings
{
	const RpcMethod *methods; /* the busiest first, the last without a name */
	const char *token_id;
	const char *token_secret;
	const char *log_path; /* NULL: no request log */
} RpcSettings;

/* Concerns every call; the strings and the table must stay. */
extern void rpc_init(const RpcSettings *settings);

/* grpc.c: what serves the streams of HTTP/2. */
extern const H2Handler grpc_streams;
/* For rpc.c: send reply and then the status; or, without a reply, only that. */
extern void grpc_respond(Rpc *rpc);
/* Misbehaviour, for faults. */
extern void grpc_respond_http_status(Rpc *rpc, int status);
extern void grpc_respond_without_trailers(Rpc *rpc);

/* For grpc.c: without it rpc_dispatch refuses, and looks at no request. */
extern bool rpc_has_token(const Rpc *rpc);
/*
 * For grpc.c: the request is complete; all of the reply has been taken, so far;
 * the stream has ended.
 */
extern void rpc_dispatch(Rpc *rpc);
extern void rpc_reply_taken(Rpc *rpc);
extern void rpc_stream_closed(Rpc *rpc);

/* --- for handlers -------------------------------------------------------- */

/*
 * The request as a message of protoc-c, in the Rpc's arena; NULL when it is
 * malformed, and then the Rpc has been answered.
 */
extern void *rpc_unpack(Rpc *rpc, const ProtobufCMessageDescriptor *type);
extern void rpc_reply_message(Rpc *rpc, const ProtobufCMessage *message);
extern void rpc_reply_empty(Rpc *rpc);
/*
 * By hand: a place for a message of at most max bytes; then, at once, the
 * place where the message ends, which answers the Rpc.
 */
extern uint8_t *rpc_reply_open(Rpc *rpc, size_t max);
extern void rpc_reply_close(Rpc *rpc, const uint8_t *end);
extern void rpc_fail(Rpc *rpc, GrpcStatus status, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* A stream of messages: begin, any number of sends, end. */
extern void rpc_stream_begin(Rpc *rpc);
extern void rpc_stream_send(Rpc *rpc, const ProtobufCMessage *message);
extern void rpc_stream_end(Rpc *rpc, GrpcStatus status);
/*
 * Has the client so much to take yet that no more is to be sent?  Then more() is
 * called, once, when it has been taken.
 */
extern bool rpc_stream_full(Rpc *rpc, void (*more)(Rpc *rpc));

/* What kind of client has sent it, for people. */
extern const char *rpc_client(const Rpc *rpc);

/* Words about the request for the request log, "name=value". */
extern void rpc_log(Rpc *rpc, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
extern bool rpc_logging(void);
/* A line of the request log that is of no request, and of connection 0. */
extern void rpc_log_event(const char *what, const char *outcome);

/* Is this the secret of the known token?  (For tokens in other places.) */
extern const char *rpc_token_id(void);
extern const char *rpc_token_secret(void);

#endif /* MODAL_LOCAL_RPC_H */
