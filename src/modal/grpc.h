/*-------------------------------------------------------------------------
 *
 * grpc.h
 *	  gRPC calls over the transport: metadata, status, and the retry rules of
 *	  Modal's own clients (see grpc_spec and struct GrpcSpec).
 *
 * A call is retried in here, under one idempotency key, until it succeeds,
 * fails for good, or is cancelled.  Callbacks run outside of the network's frames.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_MODAL_GRPC_H
#define MODAL_MODAL_GRPC_H

#include <protobuf-c/protobuf-c.h>

#include "core/grpc_frame.h"
#include "core/retry.h"
#include "dispatcher/call.h"
#include "dispatcher/target.h"
#include "net/net.h"

#define GRPC_RETRY_FOREVER RETRY_OFTEN
#define GRPC_DEFAULT_RETRIES 3
#define GRPC_DEFAULT_MAX_DELAY 1.0
/* Bytes of a reply, which take many times as much memory while it is read. */
#define GRPC_MAX_ANSWER (4 * 1024 * 1024)
#define GRPC_MAX_LISTING (16 * 1024 * 1024) /* what was printed, call graphs */

typedef struct AuthCache AuthCache;

/* One server of Modal's service: the control plane, or an input plane. */
typedef struct GrpcService
{
	Target *target;
	Origin **origins;	/* the first is the preferred one */
	char **hosts;		/* their host names, for x-modal-host */
	int norigins;
	int current;		/* that answered last */
	AuthCache *auth;	/* shared by all services of a target; or NULL */
	bool always_auth;	/* send the auth token on every call */
	char *region;		/* x-modal-input-plane-region, or NULL */
	char *identity[8];	/* header lines, NULL-terminated */
	double max_throttle_wait; /* negative: unlimited */
	double connect_timeout;
	double response_timeout; /* how long it may be silent */
	double last_throttle_notice;
} GrpcService;

/* urls: comma-separated list.  NULL: out of memory, or URLs not allowed. */
extern GrpcService *grpc_service_create(Target *target, const char *urls,
										AuthCache *auth, const char *region);
extern void grpc_service_free(GrpcService *service);

typedef struct GrpcResult
{
	GrpcStatus status;
	TransportError transport; /* when no status came */
	const char *message;	  /* of a failure, never NULL */
	const uint8_t *data;	  /* of a success: the one reply message */
	size_t len;
	uint32_t attempts;		  /* requests sent */
} GrpcResult;

typedef struct GrpcCall GrpcCall;

typedef struct GrpcSpec
{
	GrpcService *service;
	const char *method;		/* name of the RPC; a literal */
	Buf request;			/* see grpc_begin; taken over, in any case */
	double attempt_timeout; /* seconds, 0: none */
	double total_timeout;
	uint32_t max_retries;	/* or GRPC_RETRY_FOREVER */
	double max_delay;
	size_t max_reply;		/* bytes: GRPC_MAX_ANSWER, polls GRPC_MAX_MESSAGE */
	bool long_poll;			/* see grpc_long_poll */
	bool retry_exhausted;	/* RESOURCE_EXHAUSTED is a deferral */
	bool auth;				/* the token is needed whatever always_auth says */
	bool no_auth;			/* AuthTokenGet itself */
	const uint8_t *idempotency; /* 16 bytes; NULL: random */
	DispatchCall *call;		/* whose counters to keep; may be NULL */
	/* Exactly once, unless cancelled; the call is gone after it. */
	void (*on_done)(void *arg, const GrpcResult *result);
	/*
	 * Server streaming: each message.  May be NULL.  A stream that brings more
	 * than is taken in the same time ends (well) before its end.
	 */
	void (*on_message)(void *arg, const uint8_t *p, size_t n);
	void *arg;
} GrpcSpec;

/* With the retry rules that most calls have. */
extern GrpcSpec grpc_spec(GrpcService *service, const char *method,
						  DispatchCall *call,
						  void (*on_done)(void *, const GrpcResult *),
						  void *arg);
/*
 * Make it a long poll: returns for how long the service is to hold it, which
 * is as asked for, or as long as the service may be silent.  A connection that
 * is lost after it was held for a while counts as nothing: it says more about
 * what is between us and the service than about the service.
 */
extern double grpc_long_poll(GrpcSpec *spec, double seconds);
/* A request body: begin, append the message, end. */
extern void grpc_begin(Buf *buf);
extern void grpc_end(Buf *buf);
extern void grpc_pack(Buf *buf, const ProtobufCMessage *message);

/* NULL: out of memory, and on_done will not be called. */
extern GrpcCall *grpc_start(GrpcSpec *spec);
extern void grpc_cancel(GrpcCall *call);

/* Unpack a reply; free with protobuf_c_message_free_unpacked. */
extern void *grpc_unpack(const GrpcResult *result,
						 const ProtobufCMessageDescriptor *descriptor);

extern const char *grpc_sqlstate(const GrpcResult *result);
extern bool grpc_worth_retrying(const GrpcResult *result);
extern const char *grpc_hint(const GrpcResult *result); /* or NULL */
/* Let a call run on for another owner, when its own one ends. */
extern void grpc_redirect(GrpcCall *call,
						  void (*on_done)(void *, const GrpcResult *),
						  void *arg);

#endif /* MODAL_MODAL_GRPC_H */
