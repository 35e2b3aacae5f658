/*-------------------------------------------------------------------------
 *
 * h2.c
 *	  The streams of HTTP/2 connections, with nghttp2.
 *
 * nghttp2's callbacks only hand requests to the handler and fetch responses
 * from it; whatever the handler asks for is submitted to nghttp2 and leaves
 * when the connection is written, at the end of the round.  A response's body
 * goes straight to where the connection's frames are collected.
 *
 *-------------------------------------------------------------------------
 */
#include "net/h2.h"

#include <nghttp2/nghttp2.h>
#include <stdlib.h>

#include "net/conn.h"
#include "util.h"

#define MAX_STREAMS 4096
#define WINDOW_SIZE (64 * 1024 * 1024)
#define FRAME_HEADER_SIZE 9

typedef struct H2 H2;

struct H2Stream
{
	H2 *h2;
	int32_t id;
	void *state; /* the handler's */
	H2Stream *prev;
	H2Stream *next;
};

struct H2
{
	Conn *conn;
	nghttp2_session *session;
	Buf *out;          /* within h2_produce(): where frames go */
	H2Stream *streams; /* open ones */
};

static const H2Handler *handler;

/*
 * A client that ends many calls early resets many long polls, and nghttp2 takes
 * that for an attack.  Weak, as libraries that do not count have it not.
 */
extern void nghttp2_option_set_stream_reset_rate_limit(nghttp2_option *option,
													   uint64_t burst,
													   uint64_t rate)
	__attribute__((weak));

void
h2_init(const H2Handler *streams_handler)
{
	handler = streams_handler;
}

uint64_t
h2_connection_number(const H2Stream *stream)
{
	return conn_number(stream->h2->conn);
}

/* --- responses ----------------------------------------------------------- */

static size_t
to_nghttp2(nghttp2_nv *out, const H2Header *headers, size_t n)
{
	for (size_t i = 0; i < n; i++)
		out[i] = (nghttp2_nv){
			.name = (uint8_t *) (uintptr_t) headers[i].name,
			.namelen = strlen(headers[i].name),
			.value = (uint8_t *) (uintptr_t) headers[i].value,
			.valuelen = strlen(headers[i].value),
			.flags = NGHTTP2_NV_FLAG_NO_COPY_NAME,
		};
	return n;
}

/* The body of the frame that is sent next, behind the place of its header. */
static ssize_t
read_body(nghttp2_session *session, int32_t stream_id, uint8_t *buf,
		  size_t length, uint32_t *flags, nghttp2_data_source *source,
		  void *user_data)
{
	H2Stream *stream = source->ptr;
	Buf *out = stream->h2->out;
	H2Header headers[H2_MAX_HEADERS];
	nghttp2_nv trailers[H2_MAX_HEADERS];
	bool ended = false;
	size_t n;
	size_t n_trailers;

	(void) buf;
	(void) user_data;
	if (!buf_reserve(out, FRAME_HEADER_SIZE + length))
		return NGHTTP2_ERR_CALLBACK_FAILURE;
	n = handler->produce(stream->state, out->data + out->len + FRAME_HEADER_SIZE,
						 length, &ended);
	if (n == 0 && !ended)
		return NGHTTP2_ERR_DEFERRED;
	*flags |= NGHTTP2_DATA_FLAG_NO_COPY;
	if (!ended)
		return (ssize_t) n;
	*flags |= NGHTTP2_DATA_FLAG_EOF;
	n_trailers = handler->trailers(stream->state, headers);
	if (n_trailers > 0)
	{
		*flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
		nghttp2_submit_trailer(session, stream_id, trailers,
							   to_nghttp2(trailers, headers, n_trailers));
	}
	return (ssize_t) n;
}

/* Frames are not padded. */
static int
send_body(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *header,
		  size_t length, nghttp2_data_source *source, void *user_data)
{
	Buf *out = ((H2 *) user_data)->out;

	(void) session;
	(void) frame;
	(void) source;
	memcpy(out->data + out->len, header, FRAME_HEADER_SIZE);
	out->len += FRAME_HEADER_SIZE + length;
	return 0;
}

void
h2_respond(H2Stream *stream, const H2Header *headers, size_t n, bool with_body)
{
	nghttp2_data_provider provider = {.source.ptr = stream,
									  .read_callback = read_body};
	nghttp2_nv nv[H2_MAX_HEADERS];

	nghttp2_submit_response(stream->h2->session, stream->id, nv,
							to_nghttp2(nv, headers, n),
							with_body ? &provider : NULL);
	conn_wants_write(stream->h2->conn);
}

void
h2_resume(H2Stream *stream)
{
	nghttp2_session_resume_data(stream->h2->session, stream->id);
	conn_wants_write(stream->h2->conn);
}

void
h2_reset(H2Stream *stream)
{
	nghttp2_submit_rst_stream(stream->h2->session, NGHTTP2_FLAG_NONE,
							  stream->id, NGHTTP2_INTERNAL_ERROR);
	conn_wants_write(stream->h2->conn);
}

/*
 * Older streams go on, and this one unless it is refused; for all others the
 * client must open a new connection.
 */
void
h2_goaway(H2Stream *stream, bool refuse)
{
	nghttp2_submit_goaway(stream->h2->session, NGHTTP2_FLAG_NONE,
						  refuse ? stream->id - 2 : stream->id,
						  NGHTTP2_NO_ERROR, NULL, 0);
	conn_wants_write(stream->h2->conn);
}

void
h2_abort_connection(H2Stream *stream)
{
	conn_abort(stream->h2->conn);
}

/* --- requests ------------------------------------------------------------ */

static int
on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame,
				 void *user_data)
{
	H2 *h2 = user_data;
	H2Stream *stream;

	if (frame->hd.type != NGHTTP2_HEADERS ||
		frame->headers.cat != NGHTTP2_HCAT_REQUEST)
		return 0;
	stream = xcalloc(sizeof(*stream));
	stream->h2 = h2;
	stream->id = frame->hd.stream_id;
	stream->next = h2->streams;
	if (stream->next != NULL)
		stream->next->prev = stream;
	h2->streams = stream;
	stream->state = handler->open(stream);
	nghttp2_session_set_stream_user_data(session, stream->id, stream);
	return 0;
}

static int
on_header(nghttp2_session *session, const nghttp2_frame *frame,
		  const uint8_t *name, size_t name_len, const uint8_t *value,
		  size_t value_len, uint8_t flags, void *user_data)
{
	H2Stream *stream = nghttp2_session_get_stream_user_data(
		session, frame->hd.stream_id);

	(void) flags;
	(void) user_data;
	if (stream == NULL ||
		handler->header(stream->state, (const char *) name, name_len,
						(const char *) value, value_len))
		return 0;
	return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

static int
on_data_chunk(nghttp2_session *session, uint8_t flags, int32_t stream_id,
			  const uint8_t *data, size_t len, void *user_data)
{
	H2Stream *stream = nghttp2_session_get_stream_user_data(session,
															stream_id);

	(void) flags;
	(void) user_data;
	if (stream != NULL)
		handler->data(stream->state, data, len);
	return 0;
}

static int
on_frame_recv(nghttp2_session *session, const nghttp2_frame *frame,
			  void *user_data)
{
	H2Stream *stream;

	(void) user_data;
	if (frame->hd.type != NGHTTP2_DATA && frame->hd.type != NGHTTP2_HEADERS)
		return 0;
	stream = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
	if (stream != NULL && frame->hd.flags & NGHTTP2_FLAG_END_STREAM)
		handler->complete(stream->state);
	return 0;
}

static void
stream_free(H2Stream *stream)
{
	handler->close(stream->state);
	if (stream->next != NULL)
		stream->next->prev = stream->prev;
	if (stream->prev != NULL)
		stream->prev->next = stream->next;
	else
		stream->h2->streams = stream->next;
	free(stream);
}

static int
on_stream_close(nghttp2_session *session, int32_t stream_id,
				uint32_t error_code, void *user_data)
{
	H2Stream *stream = nghttp2_session_get_stream_user_data(session,
															stream_id);

	(void) error_code;
	(void) user_data;
	if (stream != NULL)
		stream_free(stream);
	return 0;
}

/* --- sessions ------------------------------------------------------------ */

static void *
h2_open(Conn *conn)
{
	static const nghttp2_settings_entry settings[] = {
		{NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, MAX_STREAMS},
		{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, WINDOW_SIZE},
		{NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, H2_MAX_HEADER_BYTES},
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
	nghttp2_session_callbacks_set_send_data_callback(callbacks, send_body);
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

	h2->out = out;
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

	for (H2Stream *stream = h2->streams, *next; stream != NULL; stream = next)
	{
		next = stream->next;
		stream_free(stream);
	}
	nghttp2_session_del(h2->session);
	free(h2);
}

const Protocol h2_protocol = {h2_open, h2_receive, h2_produce, h2_close};
