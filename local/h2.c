/*-------------------------------------------------------------------------
 *
 * h2.c
 *	  gRPC over HTTP/2, with nghttp2.
 *
 * Each stream is an Rpc.  nghttp2's callbacks only collect requests and hand
 * out replies; whatever rpc.c asks for is submitted to nghttp2 and leaves
 * when the connection is written, at the end of the round.
 *
 *-------------------------------------------------------------------------
 */
#include "h2.h"

#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <stdlib.h>

#include "net/conn.h"
#include "jwt.h"

#define MAX_STREAMS 4096
#define MAX_HEADER_BYTES (16 * 1024) /* of the headers that we keep */
#define WINDOW_SIZE (64 * 1024 * 1024)
#define STATUS_TEXT_SIZE 12
#define MAX_HEADERS_OUT 6

typedef struct H2
{
	Conn *conn;
	nghttp2_session *session;
	Rpc *rpcs; /* of open streams */
} H2;

/*
 * A client that ends many calls early resets many long polls, and nghttp2 takes
 * that for an attack.  Weak, as libraries that do not count have it not.
 */
extern void nghttp2_option_set_stream_reset_rate_limit(nghttp2_option *option,
													   uint64_t burst,
													   uint64_t rate)
	__attribute__((weak));

static H2 *
h2_of(const Rpc *rpc)
{
	return rpc->session;
}

uint64_t
h2_connection_number(const Rpc *rpc)
{
	return conn_number(h2_of(rpc)->conn);
}

/* --- replies ------------------------------------------------------------- */

#define NV(n, v) make_nv(n, v, strlen(v))

static nghttp2_nv
make_nv(const char *name, const char *value, size_t value_len)
{
	return (nghttp2_nv){
		.name = (uint8_t *) (uintptr_t) name,
		.namelen = strlen(name),
		.value = (uint8_t *) (uintptr_t) value,
		.valuelen = value_len,
		.flags = NGHTTP2_NV_FLAG_NO_COPY_NAME,
	};
}

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

/* The headers that tell the status; n_out of them are added to out. */
static size_t
status_headers(Rpc *rpc, nghttp2_nv *out, char *number)
{
	size_t n = 0;

	snprintf(number, STATUS_TEXT_SIZE, "%d", (int) rpc->status);
	out[n++] = NV("grpc-status", number);
	if (rpc->message != NULL)
		out[n++] = NV("grpc-message",
					  percent_encode(&rpc->arena, rpc->message));
	if (rpc->details != NULL)
	{
		size_t size = base64_size(rpc->details_len);
		char *text = arena_alloc(&rpc->arena, size + 1);

		text[base64_encode(text, rpc->details, rpc->details_len)] = '\0';
		out[n++] = NV("grpc-status-details-bin", text);
	}
	return n;
}

static ssize_t
read_reply(nghttp2_session *session, int32_t stream_id, uint8_t *buf,
		   size_t length, uint32_t *flags, nghttp2_data_source *source,
		   void *user_data)
{
	Rpc *rpc = source->ptr;
	size_t n = rpc->reply.len - rpc->sent;

	(void) user_data;
	if (n == 0 && !rpc->ended)
		return NGHTTP2_ERR_DEFERRED;
	if (n > length)
		n = length;
	if (n > 0)
		memcpy(buf, rpc->reply.data + rpc->sent, n);
	rpc->sent += n;
	if (rpc->sent == rpc->reply.len)
	{
		buf_reset(&rpc->reply);
		rpc->sent = 0;
		if (rpc->ended)
		{
			*flags |= NGHTTP2_DATA_FLAG_EOF;
			if (!rpc->fault.no_trailers)
			{
				nghttp2_nv headers[MAX_HEADERS_OUT];
				char number[STATUS_TEXT_SIZE];

				*flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
				nghttp2_submit_trailer(session, stream_id, headers,
									   status_headers(rpc, headers, number));
			}
		}
	}
	return (ssize_t) n;
}

static void
submit(Rpc *rpc, const nghttp2_nv *headers, size_t n, bool with_data)
{
	nghttp2_data_provider provider = {.source.ptr = rpc,
									  .read_callback = read_reply};

	rpc->begun = true;
	nghttp2_submit_response(h2_of(rpc)->session, rpc->stream_id, headers, n,
							with_data ? &provider : NULL);
	conn_wants_write(h2_of(rpc)->conn);
}

void
h2_respond(Rpc *rpc)
{
	nghttp2_nv headers[MAX_HEADERS_OUT];
	char number[STATUS_TEXT_SIZE];
	size_t n = 0;
	bool with_data = rpc->reply.len > 0 || rpc->streaming;

	headers[n++] = NV(":status", "200");
	headers[n++] = NV("content-type", "application/grpc");
	if (!with_data)
		n += status_headers(rpc, headers + n, number);
	if (!rpc->streaming)
		rpc->ended = true;
	submit(rpc, headers, n, with_data);
}

void
h2_respond_without_trailers(Rpc *rpc)
{
	nghttp2_nv headers[] = {NV(":status", "200"),
							NV("content-type", "application/grpc")};

	rpc->ended = true;
	submit(rpc, headers, 2, rpc->reply.len > 0);
}

void
h2_respond_http_status(Rpc *rpc, int status)
{
	char number[STATUS_TEXT_SIZE];
	nghttp2_nv headers[1];

	snprintf(number, sizeof(number), "%d", status);
	headers[0] = NV(":status", number);
	rpc->ended = true;
	submit(rpc, headers, 1, false);
}

void
h2_resume(Rpc *rpc)
{
	nghttp2_session_resume_data(h2_of(rpc)->session, rpc->stream_id);
	conn_wants_write(h2_of(rpc)->conn);
}

void
h2_reset(Rpc *rpc)
{
	nghttp2_submit_rst_stream(h2_of(rpc)->session, NGHTTP2_FLAG_NONE,
							  rpc->stream_id, NGHTTP2_INTERNAL_ERROR);
	conn_wants_write(h2_of(rpc)->conn);
}

/*
 * Older streams go on, and this one unless it is refused; for all others the
 * client must open a new connection.
 */
void
h2_goaway(Rpc *rpc, bool refuse)
{
	H2 *h2 = h2_of(rpc);

	nghttp2_submit_goaway(h2->session, NGHTTP2_FLAG_NONE,
						  refuse ? rpc->stream_id - 2 : rpc->stream_id,
						  NGHTTP2_NO_ERROR, NULL, 0);
	conn_wants_write(h2->conn);
}

void
h2_abort_connection(Rpc *rpc)
{
	conn_abort(h2_of(rpc)->conn);
}

/* --- requests ------------------------------------------------------------ */

static int
on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame,
				 void *user_data)
{
	H2 *h2 = user_data;
	Rpc *rpc;

	if (frame->hd.type != NGHTTP2_HEADERS ||
		frame->headers.cat != NGHTTP2_HCAT_REQUEST)
		return 0;
	rpc = xcalloc(sizeof(*rpc));
	rpc->session = h2;
	rpc->next = h2->rpcs;
	if (rpc->next != NULL)
		rpc->next->prev = rpc;
	h2->rpcs = rpc;
	rpc->stream_id = frame->hd.stream_id;
	rpc->received = loop_now();
	rpc->fault.retry_after = -1;
	buf_init(&rpc->reply, 0, xbuf_realloc);
	buf_init(&rpc->log, 0, xbuf_realloc);
	grpc_reader_init(&rpc->body, GRPC_MAX_MESSAGE, xbuf_realloc);
	nghttp2_session_set_stream_user_data(session, rpc->stream_id, rpc);
	return 0;
}

static int
on_header(nghttp2_session *session, const nghttp2_frame *frame,
		  const uint8_t *name, size_t name_len, const uint8_t *value,
		  size_t value_len, uint8_t flags, void *user_data)
{
	Rpc *rpc = nghttp2_session_get_stream_user_data(session,
													frame->hd.stream_id);

	(void) flags;
	(void) user_data;
	if (rpc == NULL)
		return 0;
	for (int i = 0; i < N_RPC_HEADERS; i++)
	{
		const char *known = rpc_header_names[i];

		if (strlen(known) != name_len || memcmp(known, name, name_len) != 0)
			continue;
		rpc->header_bytes += value_len;
		if (rpc->header_bytes > MAX_HEADER_BYTES)
			return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
		rpc->headers[i] = arena_strndup(&rpc->arena, value, value_len);
		break;
	}
	return 0;
}

static int
on_data_chunk(nghttp2_session *session, uint8_t flags, int32_t stream_id,
			  const uint8_t *data, size_t len, void *user_data)
{
	Rpc *rpc = nghttp2_session_get_stream_user_data(session, stream_id);

	(void) flags;
	(void) user_data;
	if (rpc == NULL || rpc->begun || rpc->too_large)
		return 0;
	if (!grpc_reader_feed(&rpc->body, data, len))
		rpc->too_large = true;
	return 0;
}

static void
finish_request(Rpc *rpc)
{
	GrpcFrameResult result;

	rpc->complete = true;
	if (rpc->begun)
		return;
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

static int
on_frame_recv(nghttp2_session *session, const nghttp2_frame *frame,
			  void *user_data)
{
	Rpc *rpc;

	(void) user_data;
	if (frame->hd.type != NGHTTP2_DATA && frame->hd.type != NGHTTP2_HEADERS)
		return 0;
	rpc = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
	if (rpc != NULL && frame->hd.flags & NGHTTP2_FLAG_END_STREAM)
		finish_request(rpc);
	return 0;
}

static void
rpc_free(Rpc *rpc)
{
	rpc_stream_closed(rpc);
	if (rpc->next != NULL)
		rpc->next->prev = rpc->prev;
	if (rpc->prev != NULL)
		rpc->prev->next = rpc->next;
	else
		h2_of(rpc)->rpcs = rpc->next;
	buf_free(&rpc->reply);
	buf_free(&rpc->log);
	grpc_reader_free(&rpc->body);
	arena_free(&rpc->arena);
	free(rpc);
}

static int
on_stream_close(nghttp2_session *session, int32_t stream_id,
				uint32_t error_code, void *user_data)
{
	Rpc *rpc = nghttp2_session_get_stream_user_data(session, stream_id);

	(void) error_code;
	(void) user_data;
	if (rpc != NULL)
		rpc_free(rpc);
	return 0;
}

/* --- sessions ------------------------------------------------------------ */

static void *
h2_open(Conn *conn)
{
	static const nghttp2_settings_entry settings[] = {
		{NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, MAX_STREAMS},
		{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, WINDOW_SIZE},
		{NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, MAX_HEADER_BYTES},
	};
	H2 *h2 = xcalloc(sizeof(*h2));
	nghttp2_session_callbacks *callbacks;
	nghttp2_option *option;

	h2->conn = conn;
	if (nghttp2_session_callbacks_new(&callbacks) != 0 ||
		nghttp2_option_new(&option) != 0)
		die("out of memory");
	if (nghttp2_option_set_stream_reset_rate_limit != NULL)
		nghttp2_option_set_stream_reset_rate_limit(option, UINT64_MAX,
												   UINT64_MAX);
	nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks,
															on_begin_headers);
	nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks,
															  on_data_chunk);
	nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks,
														 on_frame_recv);
	nghttp2_session_callbacks_set_on_stream_close_callback(callbacks,
														   on_stream_close);
	if (nghttp2_session_server_new2(&h2->session, callbacks, h2, option) != 0)
		die("out of memory");
	nghttp2_option_del(option);
	nghttp2_session_callbacks_del(callbacks);
	nghttp2_submit_settings(h2->session, NGHTTP2_FLAG_NONE, settings,
							sizeof(settings) / sizeof(settings[0]));
	nghttp2_session_set_local_window_size(h2->session, NGHTTP2_FLAG_NONE, 0,
										  WINDOW_SIZE);
	return h2;
}

static bool
h2_receive(void *session, const uint8_t *data, size_t len)
{
	H2 *h2 = session;

	return nghttp2_session_mem_recv(h2->session, data, len) >= 0;
}

static bool
h2_produce(void *session, Buf *out, size_t room)
{
	H2 *h2 = session;

	while (out->len < room)
	{
		const uint8_t *data;
		ssize_t n = nghttp2_session_mem_send(h2->session, &data);

		if (n < 0)
			return false;
		if (n == 0)
			break;
		buf_put(out, data, (size_t) n);
	}
	return out->len > 0 || nghttp2_session_want_read(h2->session) ||
		   nghttp2_session_want_write(h2->session);
}

/* nghttp2 does not report the streams that are open when it is deleted. */
static void
h2_close(void *session)
{
	H2 *h2 = session;

	for (Rpc *rpc = h2->rpcs, *next; rpc != NULL; rpc = next)
	{
		next = rpc->next;
		rpc_free(rpc);
	}
	nghttp2_session_del(h2->session);
	free(h2);
}

const Protocol h2_protocol = {h2_open, h2_receive, h2_produce, h2_close};
