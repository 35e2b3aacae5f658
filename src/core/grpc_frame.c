/*-------------------------------------------------------------------------
 *
 * grpc_frame.c
 *	  gRPC's statuses, and its length-prefixed messages, joined from
 *	  arbitrary pieces.
 *
 *-------------------------------------------------------------------------
 */
#include "core/grpc_frame.h"

static const char *const status_names[GRPC_N_STATUS] = {
	[GRPC_OK] = "OK",
	[GRPC_CANCELLED] = "CANCELLED",
	[GRPC_UNKNOWN] = "UNKNOWN",
	[GRPC_INVALID_ARGUMENT] = "INVALID_ARGUMENT",
	[GRPC_DEADLINE_EXCEEDED] = "DEADLINE_EXCEEDED",
	[GRPC_NOT_FOUND] = "NOT_FOUND",
	[GRPC_ALREADY_EXISTS] = "ALREADY_EXISTS",
	[GRPC_PERMISSION_DENIED] = "PERMISSION_DENIED",
	[GRPC_RESOURCE_EXHAUSTED] = "RESOURCE_EXHAUSTED",
	[GRPC_FAILED_PRECONDITION] = "FAILED_PRECONDITION",
	[GRPC_ABORTED] = "ABORTED",
	[GRPC_OUT_OF_RANGE] = "OUT_OF_RANGE",
	[GRPC_UNIMPLEMENTED] = "UNIMPLEMENTED",
	[GRPC_INTERNAL] = "INTERNAL",
	[GRPC_UNAVAILABLE] = "UNAVAILABLE",
	[GRPC_DATA_LOSS] = "DATA_LOSS",
	[GRPC_UNAUTHENTICATED] = "UNAUTHENTICATED",
};

const char *
grpc_status_name(int status)
{
	return status >= 0 && status < GRPC_N_STATUS ? status_names[status] : "?";
}

void
grpc_reader_init(GrpcReader *r, size_t max_message, BufRealloc grow)
{
	buf_init(&r->pending, 0, grow);
	r->taken = 0;
	r->max_message = max_message;
}

void
grpc_reader_free(GrpcReader *r)
{
	buf_free(&r->pending);
	r->taken = 0;
}

bool
grpc_reader_feed(GrpcReader *r, const void *p, size_t n)
{
	/* What is kept is moved no more often than as much has been taken. */
	if (r->taken >= r->pending.len - r->taken)
	{
		buf_consume(&r->pending, r->taken);
		r->taken = 0;
	}

	/*
	 * A peer can make us hold at most the largest message and what one feed
	 * brings; more only piles up when the owner does not read.
	 */
	if (r->pending.len - r->taken > GRPC_PREFIX_SIZE &&
		r->pending.len - r->taken - GRPC_PREFIX_SIZE >= r->max_message)
		return false;
	buf_put(&r->pending, p, n);
	return !r->pending.failed;
}

static size_t
length_of(const uint8_t *prefix)
{
	return (size_t) prefix[1] << 24 | (size_t) prefix[2] << 16 |
		(size_t) prefix[3] << 8 | (size_t) prefix[4];
}

GrpcFrameResult
grpc_reader_next(GrpcReader *r, const uint8_t **msg, size_t *n)
{
	size_t left = r->pending.len - r->taken;
	size_t length;
	const uint8_t *p;

	if (r->pending.failed)
		return GRPC_FRAME_NO_MEMORY;
	if (left < GRPC_PREFIX_SIZE)
		return GRPC_FRAME_NEED_MORE;
	p = r->pending.data + r->taken;
	if (p[0] != 0)
		return GRPC_FRAME_COMPRESSED;

	length = length_of(p);
	if (length > r->max_message)
		return GRPC_FRAME_TOO_LARGE;
	if (left - GRPC_PREFIX_SIZE < length)
		return GRPC_FRAME_NEED_MORE;

	*msg = p + GRPC_PREFIX_SIZE;
	*n = length;
	r->taken += GRPC_PREFIX_SIZE + length;
	return GRPC_FRAME_READY;
}

size_t
grpc_reader_backlog(const GrpcReader *r)
{
	size_t left = r->pending.len - r->taken;
	size_t first;

	if (left < GRPC_PREFIX_SIZE)
		return 0;
	first = GRPC_PREFIX_SIZE + length_of(r->pending.data + r->taken);
	return left > first ? left - first : 0;
}

bool
grpc_reader_partial(const GrpcReader *r)
{
	return r->pending.len > r->taken;
}

void
grpc_put_prefix(Buf *buf, size_t n)
{
	uint8_t *p;

	if (n > UINT32_MAX)
	{
		buf->failed = true;
		return;
	}
	p = buf_extend(buf, GRPC_PREFIX_SIZE);
	if (p == NULL)
		return;
	p[0] = 0;
	p[1] = (uint8_t) (n >> 24);
	p[2] = (uint8_t) (n >> 16);
	p[3] = (uint8_t) (n >> 8);
	p[4] = (uint8_t) n;
}
