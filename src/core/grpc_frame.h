/*-------------------------------------------------------------------------
 *
 * grpc_frame.h
 *	  gRPC's statuses, and its length-prefixed messages, joined from
 *	  arbitrary pieces.
 *
 * Source: gRPC over HTTP/2, "Length-Prefixed-Message": one byte flag (0, no
 * compression; 1 is refused, we never offer any), four bytes big-endian
 * length, the message.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_CORE_GRPC_FRAME_H
#define MODAL_CORE_GRPC_FRAME_H

#include "core/buf.h"

#define GRPC_PREFIX_SIZE 5
#define GRPC_MAX_MESSAGE (100 * 1024 * 1024) /* as the official SDKs */

typedef enum GrpcStatus
{
	GRPC_OK = 0,
	GRPC_CANCELLED = 1,
	GRPC_UNKNOWN = 2,
	GRPC_INVALID_ARGUMENT = 3,
	GRPC_DEADLINE_EXCEEDED = 4,
	GRPC_NOT_FOUND = 5,
	GRPC_ALREADY_EXISTS = 6,
	GRPC_PERMISSION_DENIED = 7,
	GRPC_RESOURCE_EXHAUSTED = 8,
	GRPC_FAILED_PRECONDITION = 9,
	GRPC_ABORTED = 10,
	GRPC_OUT_OF_RANGE = 11,
	GRPC_UNIMPLEMENTED = 12,
	GRPC_INTERNAL = 13,
	GRPC_UNAVAILABLE = 14,
	GRPC_DATA_LOSS = 15,
	GRPC_UNAUTHENTICATED = 16
} GrpcStatus;

#define GRPC_N_STATUS 17

/* "UNAVAILABLE"; "?" for what is no status. */
extern const char *grpc_status_name(int status);

typedef enum GrpcFrameResult
{
	GRPC_FRAME_NEED_MORE,
	GRPC_FRAME_READY,
	GRPC_FRAME_COMPRESSED,
	GRPC_FRAME_TOO_LARGE,
	GRPC_FRAME_NO_MEMORY
} GrpcFrameResult;

typedef struct GrpcReader
{
	Buf pending;	/* bytes not yet handed out */
	size_t taken;	/* of them, already consumed by the caller */
	size_t max_message;
} GrpcReader;

extern void grpc_reader_init(GrpcReader *r, size_t max_message, BufRealloc grow);
extern void grpc_reader_free(GrpcReader *r);
/*
 * Append what arrived; false when memory does not allow it, or when a message
 * of the largest size already waits to be read: read all there is after each
 * feed.
 */
extern bool grpc_reader_feed(GrpcReader *r, const void *p, size_t n);
/* The next whole message, in place; valid until the next feed or next. */
extern GrpcFrameResult grpc_reader_next(GrpcReader *r, const uint8_t **msg,
										size_t *n);
/* Bytes behind the next message, which is whole then; else 0. */
extern size_t grpc_reader_backlog(const GrpcReader *r);
/* True when the stream ended inside a message. */
extern bool grpc_reader_partial(const GrpcReader *r);
/* Write the prefix of a message of n bytes (more than 32 bits: buf fails). */
extern void grpc_put_prefix(Buf *buf, size_t n);

#endif /* MODAL_CORE_GRPC_FRAME_H */
