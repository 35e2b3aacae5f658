/*-------------------------------------------------------------------------
 *
 * stream.c
 *	  A request as a stream of an HTTP/2 connection (RFC 9113), by nghttp2.
 *
 * nghttp2's callbacks only record what they see: requests that have ended, or
 * are to go out again, are put on a list, and dealt with after nghttp2 has
 * returned (see h2.c).
 *
 *-------------------------------------------------------------------------
 */
#include "net/h2.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define INFLATED_PIECE (16 * 1024) /* bytes that count as a frame does */
#define WINDOW_SIZE (16 * 1024 * 1024) /* bytes that a peer may send ahead */
/*
 * A request that was not begun goes out again at once; its owner, who waits
 * before he tries again, is asked when nothing at all was begun meanwhile, or
 * when others always come first.
 */
#define MAX_VAIN_REFUSALS 3
#define MAX_REFUSALS 100

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
	size_t n;

	(void) source;
	(void) arg;
	if (request == NULL) /* dropped */
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	n = request->spec.body_len - request->body_sent;
	if (n > size)
		n = size;
	memcpy(to, (const uint8_t *) request->spec.body + request->body_sent, n);
	request->body_sent += n;
	h2_progress(request->h2);
	if (request->body_sent == request->spec.body_len)
		*flags |= NGHTTP2_DATA_FLAG_EOF;
	return (ssize_t) n;
}

static int
on_begin_frame(nghttp2_session *session, const nghttp2_frame_hd *head,
			   void *arg)
{
	H2Connection *h2c = arg;

	(void) session;
	(void) head;
	h2c->frames++;
	h2c->idle_frames++;
	return 0;
}

static int
on_header(nghttp2_session *session, const nghttp2_frame *frame,
		  const uint8_t *name, size_t name_len, const uint8_t *value,
		  size_t value_len, uint8_t flags, void *arg)
{
	Request *request = request_of(session, frame->hd.stream_id);
	bool good;

	(void) flags;
	(void) arg;
	if (request == NULL)
		return 0;
	good = request_head_bytes(request, name_len + value_len);
	if (good && name_len == strlen(":status") &&
		memcmp(name, ":status", name_len) == 0)
		request->response.status = atoi((const char *) value);
	else if (good)
		good = request_header(request, (const char *) name, name_len,
							  (const char *) value, value_len);
	return good ? 0 : NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

static int
on_data_chunk(nghttp2_session *session, uint8_t flags, int32_t stream_id,
			  const uint8_t *p, size_t n, void *arg)
{
	H2Connection *h2c = arg;
	Request *request = request_of(session, stream_id);
	size_t held;
	bool good;

	(void) flags;
	if (request == NULL || request->abort != ABORT_NONE)
		return 0;
	if (n > 0)
		h2_progress(h2c);
	held = request->response.body.len;
	good = request_data(request, p, n);
	/* To inflate it is work, however few its bytes are. */
	if (request->response.body.len - held > n)
		h2c->frames += (request->response.body.len - held) / INFLATED_PIECE;
	return good ? 0 : stream_reset(session, stream_id);
}

/* What has been answered was begun, whatever is said later. */
void
stream_refused(H2 *h2, Request *request, const char *message)
{
	if (request->first_byte)
	{
		h2_end(h2, request, TRANSPORT_LOST, message);
		return;
	}
	if (request->origin->progress != request->progress_before)
		request->vain_refusals = 0;
	if (++request->vain_refusals > MAX_VAIN_REFUSALS ||
		++request->refusals > MAX_REFUSALS ||
		!request_may_go_again(request, false))
		h2_end(h2, request, TRANSPORT_REFUSED, message);
	else
		h2_wait_again(h2, request);
}

/* The server has ended it before its answer was complete. */
static void
stream_broken(H2 *h2, Request *request, uint32_t error_code)
{
	bool h1_required = error_code == NGHTTP2_HTTP_1_1_REQUIRED;
	char message[128];

	snprintf(message, sizeof(message), "HTTP/2 stream was reset: %s",
			 nghttp2_http2_strerror(error_code));
	if (error_code == NGHTTP2_REFUSED_STREAM)
		stream_refused(h2, request, message);
	else if (h1_required && h2->origin->config.http2_required)
		h2_end(h2, request, TRANSPORT_PROTOCOL, message);
	else if (h1_required && request_may_go_again(request, false))
	{
		h2->h1_required = true;
		h2_wait_again(h2, request);
	}
	else
		h2_end(h2, request, TRANSPORT_LOST, message);
}

static int
on_stream_close(nghttp2_session *session, int32_t stream_id,
				uint32_t error_code, void *arg)
{
	H2Connection *h2c = arg;
	Request *request = request_of(session, stream_id);

	h2_stream_closed(h2c);
	if (request == NULL)
		return 0;
	if (request->complete)
		h2_end(h2c->h2, request, TRANSPORT_OK, "");
	else
		stream_broken(h2c->h2, request, error_code);
	return 0;
}

/*
 * The whole answer is there.  If the body has not gone yet, it need not go, and
 * the request ends now: the server may read no more, and may have closed.
 */
static int
on_end(nghttp2_session *session, int32_t stream_id)
{
	Request *request = request_of(session, stream_id);

	if (request == NULL)
		return 0;
	request->complete = true;
	if (request->body_sent == request->spec.body_len)
		return 0;
	(void) nghttp2_session_set_stream_user_data(session, stream_id, NULL);
	h2_end(request->h2->h2, request, TRANSPORT_OK, "");
	return stream_reset(session, stream_id);
}

static int
on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
	H2Connection *h2c = arg;

	if (frame->hd.type == NGHTTP2_SETTINGS && !h2c->settled &&
		(frame->hd.flags & NGHTTP2_FLAG_ACK) == 0)
		h2_settled(h2c);
	if (frame->hd.type != NGHTTP2_SETTINGS)
	{
		h2c->heard++;
		h2c->doubted = false;
	}
	if (frame->hd.type == NGHTTP2_GOAWAY)
		h2_goaway(h2c, frame->goaway.error_code);
	if ((frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA) &&
		(frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0)
		return on_end(session, frame->hd.stream_id);
	return 0;
}

nghttp2_session *
stream_session(H2Connection *h2c)
{
	static const nghttp2_settings_entry settings[] = {
		{NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
		{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, WINDOW_SIZE},
	};
	nghttp2_session_callbacks *callbacks;
	nghttp2_session *session = NULL;

	if (nghttp2_session_callbacks_new(&callbacks) != 0)
		return NULL;
	nghttp2_session_callbacks_set_on_begin_frame_callback(callbacks,
														  on_begin_frame);
	nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
	nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks,
															  on_data_chunk);
	nghttp2_session_callbacks_set_on_stream_close_callback(callbacks,
														   on_stream_close);
	if (nghttp2_session_client_new(&session, callbacks, h2c) != 0)
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

/* "name: value"; the name is put in lower case, as HTTP/2 wants it. */
static void
add_line(Fields *fields, char *line)
{
	size_t name_len = strcspn(line, ":");
	const char *value = line + name_len;

	for (size_t i = 0; i < name_len; i++)
		line[i] = tolower((unsigned char) line[i]);

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
	char *line = (char *) request->lines.data;
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
stream_submit(H2Connection *h2c, Request *request)
{
	H2 *h2 = h2c->h2;
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
	id = nghttp2_submit_request(h2c->session, NULL, fields.nv, fields.n,
								request->spec.body_len > 0 ? &body : NULL,
								request);
	if (id < 0)
	{
		h2_end(h2, request, TRANSPORT_MEMORY, "out of memory");
		return;
	}
	request->state = REQUEST_SENT;
	request->stream_id = id;
	h2_stream_opened(h2c, request);
}
