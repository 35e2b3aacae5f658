/*-------------------------------------------------------------------------
 *
 * transport_stream.c
 *	  A request as a stream of an HTTP/2 connection (RFC 9113), by nghttp2.
 *
 * nghttp2's callbacks only record what they see; requests that have ended are
 * put on a list, and finished after nghttp2 has returned.
 *
 *-------------------------------------------------------------------------
 */
#include "worker/transport_h2.h"
#include "core/gunzip.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define WINDOW_SIZE (16 * 1024 * 1024) /* bytes that a peer may send ahead */
#define MAX_REFUSALS 3                 /* of one request, before it is lost */

/* --- what nghttp2 calls --------------------------------------------------- */

static Request *
request_of(nghttp2_session *session, int32_t stream_id)
{
	return nghttp2_session_get_stream_user_data(session, stream_id);
}

/* We want no more of a stream; why is in its request. */
int
stream_reset(nghttp2_session *session, int32_t stream_id)
{
	return nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, stream_id,
									 NGHTTP2_CANCEL);
}

static ssize_t
on_read_body(nghttp2_session *session, int32_t stream_id, uint8_t *to,
			 size_t size, uint32_t *flags, nghttp2_data_source *source,
			 void *arg)
{
	Request *request = request_of(session, stream_id);
	Stream *stream;
	size_t n;

	(void) source;
	(void) arg;
	if (request == NULL) /* dropped */
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	stream = &request->stream;
	n = request->spec.body_len - stream->body_sent;
	if (n > size)
		n = size;
	memcpy(to, (const uint8_t *) request->spec.body + stream->body_sent, n);
	stream->body_sent += n;
	if (stream->body_sent == request->spec.body_len)
		*flags |= NGHTTP2_DATA_FLAG_EOF;
	return (ssize_t) n;
}

static bool
is(const uint8_t *name, size_t n, const char *known)
{
	return n == strlen(known) && memcmp(name, known, n) == 0;
}

/* RFC 9110, 8.4.1.3; letters of any case. */
static bool
is_gzip(const uint8_t *coding, size_t n)
{
	return (n == 4 && strncasecmp((const char *) coding, "gzip", n) == 0) ||
		   (n == 6 && strncasecmp((const char *) coding, "x-gzip", n) == 0);
}

static int
on_header(nghttp2_session *session, const nghttp2_frame *frame,
		  const uint8_t *name, size_t name_len, const uint8_t *value,
		  size_t value_len, uint8_t flags, void *arg)
{
	Request *request = request_of(session, frame->hd.stream_id);

	(void) flags;
	(void) arg;
	if (request == NULL)
		return 0;
	if (!request_head_bytes(request, name_len + value_len))
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	if (is(name, name_len, ":status"))
		request->response.status = atoi((const char *) value);
	else
		request_header(request, (const char *) name, name_len,
					   (const char *) value, value_len);
	if (request->spec.accept_gzip && request->stream.gunzip == NULL &&
		is(name, name_len, "content-encoding") && is_gzip(value, value_len))
	{
		request->stream.gunzip = gunzip_create();
		if (request->stream.gunzip == NULL)
		{
			request->abort = ABORT_NO_MEMORY;
			return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
		}
	}
	return 0;
}

static bool
put_data(void *arg, const void *p, size_t n)
{
	return request_data(arg, p, n);
}

static int
on_data_chunk(nghttp2_session *session, uint8_t flags, int32_t stream_id,
			  const uint8_t *p, size_t n, void *arg)
{
	Request *request = request_of(session, stream_id);
	Stream *stream;

	(void) flags;
	(void) arg;
	if (request == NULL || request->abort != ABORT_NONE)
		return 0;
	stream = &request->stream;
	stream->body_received += n;
	if (stream->gunzip == NULL)
		return request_data(request, p, n) ? 0
										   : stream_reset(session, stream_id);
	switch (gunzip_feed(stream->gunzip, p, n, put_data, request))
	{
		case GUNZIP_OK:
			return 0;
		case GUNZIP_BAD:
			request->abort = ABORT_BAD_ENCODING;
			return stream_reset(session, stream_id);
		case GUNZIP_STOPPED:
			return stream_reset(session, stream_id);
	}
	return 0;
}

bool
stream_try_again(H2 *h2, Request *request)
{
	if (request->first_byte || request->abort != ABORT_NONE ||
		++request->stream.refusals > MAX_REFUSALS)
		return false;
	request->response.sent_at = 0;
	request->stream.body_sent = 0;
	h2_wait(h2, request);
	return true;
}

static int
on_stream_close(nghttp2_session *session, int32_t stream_id,
				uint32_t error_code, void *arg)
{
	H2Connection *connection = arg;
	H2 *h2 = connection->h2;
	Request *request = request_of(session, stream_id);
	char message[128];

	if (--connection->nstreams == 0)
		connection->idle_since = monotonic_seconds();
	if (h2->waiting != NULL)
		loop_kick(&h2->member);
	if (request == NULL ||
		(error_code == NGHTTP2_REFUSED_STREAM && stream_try_again(h2, request)))
		return 0;
	if (!request->stream.complete)
	{
		snprintf(message, sizeof(message), "HTTP/2 stream was reset: %s",
				 nghttp2_http2_strerror(error_code));
		h2_end(h2, request, TRANSPORT_LOST, message);
	}
	else if (request->stream.gunzip != NULL &&
			 request->stream.body_received > 0 &&
			 !gunzip_complete(request->stream.gunzip))
		h2_end(h2, request, TRANSPORT_PROTOCOL,
			   "the compressed body is truncated");
	else
		h2_end(h2, request, TRANSPORT_OK, "");
	return 0;
}

/* The whole answer is there; if the body has not gone yet, it need not go. */
static int
on_end(nghttp2_session *session, int32_t stream_id)
{
	Request *request = request_of(session, stream_id);

	if (request == NULL)
		return 0;
	request->stream.complete = true;
	return request->stream.body_sent < request->spec.body_len
			   ? stream_reset(session, stream_id)
			   : 0;
}

static int
on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
	H2Connection *connection = arg;

	if (frame->hd.type == NGHTTP2_SETTINGS && !connection->settled &&
		(frame->hd.flags & NGHTTP2_FLAG_ACK) == 0)
		h2_settled(connection);
	if (frame->hd.type != NGHTTP2_SETTINGS)
	{
		connection->heard++;
		connection->doubted = false;
	}
	if ((frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA) &&
		(frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0)
		return on_end(session, frame->hd.stream_id);
	return 0;
}

nghttp2_session *
stream_session(H2Connection *connection)
{
	static const nghttp2_settings_entry settings[] = {
		{NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
		{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, WINDOW_SIZE},
	};
	nghttp2_session_callbacks *callbacks;
	nghttp2_session *session = NULL;

	if (nghttp2_session_callbacks_new(&callbacks) != 0)
		return NULL;
	nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
	nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks,
															  on_data_chunk);
	nghttp2_session_callbacks_set_on_stream_close_callback(callbacks,
														   on_stream_close);
	if (nghttp2_session_client_new(&session, callbacks, connection) != 0)
		session = NULL;
	nghttp2_session_callbacks_del(callbacks);
	if (session != NULL &&
		(nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, settings,
								 sizeof(settings) / sizeof(settings[0])) != 0 ||
		 nghttp2_session_set_local_window_size(session, NGHTTP2_FLAG_NONE, 0,
											   WINDOW_SIZE) != 0))
	{
		nghttp2_session_del(session);
		session = NULL;
	}
	return session;
}

/* --- sending -------------------------------------------------------------- */

bool
stream_prepare(Request *request)
{
	const RequestSpec *spec = &request->spec;
	Buf *lines = &request->lines;
	int n = 0;

	request->stream = (Stream){0};
	buf_put_cstr(lines, request->origin->base_path);
	buf_put_cstr(lines, spec->path);
	if (lines->len == 0)
		buf_put_u8(lines, '/');
	buf_put_u8(lines, '\0');
	for (; spec->headers != NULL && spec->headers[n] != NULL; n++)
	{
		const char *line = spec->headers[n];
		size_t name_len = strcspn(line, ":");

		for (size_t i = 0; i < name_len; i++)
			buf_put_u8(lines, tolower((unsigned char) line[i]));
		buf_put(lines, line + name_len, strlen(line + name_len) + 1);
	}
	return !lines->failed && n <= MAX_HEADERS;
}

bool
stream_has_path(const Request *request)
{
	const char *path = (const char *) request->lines.data;

	if (*path != '/')
		return false;
	for (; *path != '\0'; path++)
	{
		if ((unsigned char) *path <= ' ' || *path == 0x7f || *path == '#')
			return false;
	}
	return true;
}

#define AUTHORITY_FIELD 2

/* Headers of one request, as nghttp2 wants them. */
typedef struct Fields
{
	nghttp2_nv nv[MAX_HEADERS + 6];
	size_t n;
} Fields;

static void
add_field(Fields *fields, const char *name, size_t name_len, const char *value,
		  size_t value_len)
{
	fields->nv[fields->n++] =
		(nghttp2_nv){(uint8_t *) (uintptr_t) name,
					 (uint8_t *) (uintptr_t) value, name_len, value_len,
					 NGHTTP2_NV_FLAG_NONE};
}

static void
add_text(Fields *fields, const char *name, const char *value)
{
	add_field(fields, name, strlen(name), value, strlen(value));
}

/* RFC 9113, 8.2.2: headers of a connection are not for HTTP/2. */
static bool
is_of_connection(const char *name, size_t n)
{
	static const char *const names[] = {"connection", "keep-alive",
										"proxy-connection", "transfer-encoding",
										"upgrade"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
	{
		if (strlen(names[i]) == n && memcmp(name, names[i], n) == 0)
			return true;
	}
	return false;
}

/* "name: value", its name in lower case already. */
static void
add_line(Fields *fields, const char *line)
{
	size_t name_len = strcspn(line, ":");
	const char *value = line + name_len;

	if (*value == ':')
		value++;
	while (*value == ' ')
		value++;
	if (name_len == 4 && memcmp(line, "host", 4) == 0)
	{
		nghttp2_nv *authority = &fields->nv[AUTHORITY_FIELD];

		authority->value = (uint8_t *) (uintptr_t) value;
		authority->valuelen = strlen(value);
	}
	else if (!is_of_connection(line, name_len))
		add_field(fields, line, name_len, value, strlen(value));
}

static void
collect_fields(const Request *request, Fields *fields, char *length,
			   size_t size)
{
	const Origin *origin = request->origin;
	const char *line = (const char *) request->lines.data;
	const char *end = line + request->lines.len;

	fields->n = 0;
	add_text(fields, ":method", request->spec.method);
	add_text(fields, ":scheme", origin->plain ? "http" : "https");
	add_text(fields, ":authority", origin->authority); /* AUTHORITY_FIELD */
	/* The first line is the path. */
	add_text(fields, ":path", line);
	while ((line += strlen(line) + 1) < end)
		add_line(fields, line);
	if (request->spec.accept_gzip)
		add_text(fields, "accept-encoding", "gzip");
	if (request->spec.body_len > 0)
	{
		snprintf(length, size, "%zu", request->spec.body_len);
		add_text(fields, "content-length", length);
	}
}

void
stream_submit(H2Connection *connection, Request *request)
{
	H2 *h2 = connection->h2;
	nghttp2_data_provider body = {.read_callback = on_read_body};
	Fields fields;
	char length[24];
	int32_t id;

	if (!request_sent(request))
	{
		h2_end(h2, request, TRANSPORT_LOST, "");
		return;
	}
	collect_fields(request, &fields, length, sizeof(length));
	id = nghttp2_submit_request(connection->session, NULL, fields.nv, fields.n,
								request->spec.body_len > 0 ? &body : NULL,
								request);
	if (id < 0)
	{
		h2_end(h2, request, TRANSPORT_MEMORY, "out of memory");
		return;
	}
	request->stream.state = STREAM_OPEN;
	request->stream.id = id;
	request->stream.connection = connection;
	request->stream.heard_before = connection->heard;
	connection->nstreams++;
	connection->nrequests++;
}
