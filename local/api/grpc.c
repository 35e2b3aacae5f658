/*-------------------------------------------------------------------------
 *
 * grpc.c
 *	  gRPC on a stream of HTTP/2: an Rpc from its headers to its trailers.
 *
 * Each stream is an Rpc, which rpc.c dispatches once its request is complete.
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <stdlib.h>

#include "api/rpc.h"
#include "base64.h"
#include "net/h2.h"

static const char *const header_names[N_RPC_HEADERS] = {
	[HEADER_SCHEME] = ":scheme",
	[HEADER_AUTHORITY] = ":authority",
	[HEADER_PATH] = ":path",
	[HEADER_METHOD] = ":method",
	[HEADER_CONTENT_TYPE] = "content-type",
	[HEADER_TE] = "te",
	[HEADER_CLIENT_TYPE] = "x-modal-client-type",
	[HEADER_CLIENT_VERSION] = "x-modal-client-version",
	[HEADER_PYTHON_VERSION] = "x-modal-python-version",
	[HEADER_TOKEN_ID] = "x-modal-token-id",
	[HEADER_TOKEN_SECRET] = "x-modal-token-secret",
	[HEADER_OAUTH_CLIENT_ID] = "x-modal-oauth-client-id",
	[HEADER_OAUTH_CLIENT_SECRET] = "x-modal-oauth-client-secret",
	[HEADER_REFRESH_TOKEN] = "x-modal-refresh-token",
	[HEADER_AUTH_TOKEN] = "x-modal-auth-token",
	[HEADER_IDEMPOTENCY_KEY] = "x-idempotency-key",
	[HEADER_RETRY_ATTEMPT] = "x-retry-attempt",
	[HEADER_REGION] = "x-modal-input-plane-region",
	[HEADER_FAULT] = "x-modal-local-fault",
};

/* --- replies ------------------------------------------------------------- */

/* grpc-message is percent-encoded: what is printable ASCII stays. */
static const char *
percent_encode(Arena *arena, const char *s)
{
	char *out = arena_alloc(arena, strlen(s) * 3 + 1);
	char *p = out;

	for (; *s != '\0'; s++)
	{
		unsigned char c = (unsigned char) *s;

		if (c >= 0x20 && c < 0x7f && c != '%')
			*p++ = (char) c;
		else
			p += sprintf(p, "%%%02X", c);
	}
	*p = '\0';
	return out;
}

/* The headers that tell the status; how many are added to out. */
static size_t
status_headers(Rpc *rpc, H2Header *out)
{
	size_t n = 0;

	snprintf(rpc->status_text, sizeof(rpc->status_text), "%d",
			 (int) rpc->status);
	out[n++] = (H2Header){"grpc-status", rpc->status_text};
	if (rpc->message != NULL)
		out[n++] = (H2Header){"grpc-message",
							  percent_encode(&rpc->arena, rpc->message)};
	if (rpc->details != NULL)
	{
		size_t size = base64_size(rpc->details_len);
		char *text = arena_alloc(&rpc->arena, size + 1);

		text[base64_encode(text, rpc->details, rpc->details_len)] = '\0';
		out[n++] = (H2Header){"grpc-status-details-bin", text};
	}
	return n;
}

static void
respond(Rpc *rpc, const H2Header *headers, size_t n, bool with_body)
{
	rpc->begun = true;
	h2_respond(rpc->stream, headers, n, with_body);
}

void
grpc_respond(Rpc *rpc)
{
	H2Header headers[H2_MAX_HEADERS] = {{":status", "200"},
										{"content-type", "application/grpc"}};
	size_t n = 2;
	bool with_body = rpc->reply.len > 0 || rpc->streaming;

	if (!with_body)
		n += status_headers(rpc, headers + n);
	if (!rpc->streaming)
		rpc->ended = true;
	respond(rpc, headers, n, with_body);
}

void
grpc_respond_without_trailers(Rpc *rpc)
{
	H2Header headers[] = {{":status", "200"},
						  {"content-type", "application/grpc"}};

	rpc->ended = true;
	respond(rpc, headers, 2, rpc->reply.len > 0);
}

void
grpc_respond_http_status(Rpc *rpc, int status)
{
	H2Header header = {":status", arena_printf(&rpc->arena, "%d", status)};

	rpc->ended = true;
	respond(rpc, &header, 1, false);
}

/* --- the stream ---------------------------------------------------------- */

static void *
stream_open(H2Stream *stream)
{
	Rpc *rpc = xcalloc(sizeof(*rpc));

	rpc->stream = stream;
	rpc->received = loop_now();
	rpc->fault.retry_after = -1;
	buf_init(&rpc->reply, 0, xbuf_realloc);
	buf_init(&rpc->log, 0, xbuf_realloc);
	grpc_reader_init(&rpc->body, GRPC_MAX_MESSAGE, xbuf_realloc);
	return rpc;
}

static bool
stream_header(void *state, const char *name, size_t name_len,
			  const char *value, size_t value_len)
{
	Rpc *rpc = state;

	for (int i = 0; i < N_RPC_HEADERS; i++)
	{
		const char *known = header_names[i];

		if (strlen(known) != name_len || memcmp(known, name, name_len) != 0)
			continue;
		rpc->header_bytes += value_len;
		if (rpc->header_bytes > H2_MAX_HEADER_BYTES)
			return false;
		rpc->headers[i] = arena_strndup(&rpc->arena, value, value_len);
		break;
	}
	return true;
}

static void
stream_data(void *state, const uint8_t *data, size_t len)
{
	Rpc *rpc = state;

	if (!rpc->begun && !rpc->too_large && rpc_has_token(rpc) &&
		!grpc_reader_feed(&rpc->body, data, len))
		rpc->too_large = true;
}

static void
stream_complete(void *state)
{
	Rpc *rpc = state;
	GrpcFrameResult result;

	if (rpc->begun)
		return;
	if (!rpc_has_token(rpc))
	{
		rpc_dispatch(rpc);
		return;
	}
	result = rpc->too_large ? GRPC_FRAME_TOO_LARGE
							: grpc_reader_next(&rpc->body, &rpc->request,
											   &rpc->request_len);
	switch (result)
	{
		case GRPC_FRAME_READY:
			rpc_dispatch(rpc);
			break;
		case GRPC_FRAME_TOO_LARGE:
			rpc_fail(rpc, GRPC_RESOURCE_EXHAUSTED,
					 "request is larger than %d bytes", GRPC_MAX_MESSAGE);
			break;
		case GRPC_FRAME_COMPRESSED:
			rpc_fail(rpc, GRPC_UNIMPLEMENTED,
					 "compressed messages are not supported");
			break;
		default:
			rpc_fail(rpc, GRPC_INTERNAL, "request has no whole message");
	}
}

static size_t
stream_produce(void *state, uint8_t *out, size_t room, bool *ended)
{
	Rpc *rpc = state;
	size_t n = rpc->reply.len - rpc->sent;

	if (n > room)
		n = room;
	if (n > 0)
		memcpy(out, rpc->reply.data + rpc->sent, n);
	rpc->sent += n;
	if (rpc->sent == rpc->reply.len)
	{
		buf_reset(&rpc->reply);
		rpc->sent = 0;
		*ended = rpc->ended;
		rpc_reply_taken(rpc);
	}
	return n;
}

static size_t
stream_trailers(void *state, H2Header *out)
{
	Rpc *rpc = state;

	return rpc->fault.no_trailers ? 0 : status_headers(rpc, out);
}

static void
stream_close(void *state)
{
	Rpc *rpc = state;

	rpc_stream_closed(rpc);
	buf_free(&rpc->reply);
	buf_free(&rpc->log);
	grpc_reader_free(&rpc->body);
	arena_free(&rpc->arena);
	free(rpc);
}

const H2Handler grpc_streams = {
	.open = stream_open,
	.header = stream_header,
	.data = stream_data,
	.complete = stream_complete,
	.produce = stream_produce,
	.trailers = stream_trailers,
	.close = stream_close,
};
