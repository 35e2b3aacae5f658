/*-------------------------------------------------------------------------
 *
 * transport_h2.c
 *	  Requests over HTTP/2 (RFC 9113), as streams of nghttp2.
 *
 * Requests wait in one queue per origin until a connection has room for
 * another stream.  All that is submitted in one turn of the loop leaves
 * together, and wakes up the other side once.  nghttp2's callbacks only record
 * what they see; requests that have ended are put on a list, and finished
 * after nghttp2 has returned.
 *
 *-------------------------------------------------------------------------
 */
#include <nghttp2/nghttp2.h>

#include "worker/transport_inflate.h"
#include "worker/transport_link.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_CONNECTIONS 64 /* of an origin that says nothing of it */
#define WINDOW_SIZE (16 * 1024 * 1024) /* bytes that a peer may send ahead */
#define OUT_SIZE (64 * 1024)           /* collected before they are written */
#define READ_SIZE (64 * 1024)
#define READS_PER_TURN 16
#define MAX_REFUSALS 3      /* of one request, before it is lost */
#define MAX_IDLE_S 120.0    /* an older connection may be a dead one */
#define CONNECT_PAUSE_S 1.0 /* when there is another connection */

struct H2Connection
{
	H2 *h2;
	H2Connection *next;
	Link *link;
	nghttp2_session *session; /* NULL: not open yet */
	uint32_t nstreams;
	double idle_since;
	bool spoken;  /* has the server said anything? */
	bool settled; /* has it said what it allows? */
	bool unread;  /* there may be more to read */
	bool failed;  /* to be closed, its requests have ended */
	Buf out;      /* not written yet */
};

struct H2
{
	Origin *origin;
	LoopMember member;
	H2Connection *connections;
	int nconnections;
	Request *waiting, **waiting_tail;
	Request *ended, **ended_tail;
	double connect_after; /* the last attempt has failed */
};

/* --- lists ---------------------------------------------------------------- */

static void
append(Request ***tail, Request *request, StreamState state)
{
	request->stream.state = state;
	request->stream.connection = NULL;
	request->stream.next = NULL;
	**tail = request;
	*tail = &request->stream.next;
}

static Request *
pop(Request **list, Request ***tail)
{
	Request *request = *list;

	*list = request->stream.next;
	if (*list == NULL)
		*tail = list;
	return request;
}

static void
unlink_from(Request **list, Request ***tail, const Request *request)
{
	Request **at = list;

	while (*at != request)
		at = &(*at)->stream.next;
	*at = request->stream.next;
	if (*at == NULL)
		*tail = at;
}

/* It is to be finished like this, soon. */
static void
end(H2 *h2, Request *request, TransportError error, const char *message)
{
	request->stream.error = error;
	snprintf(request->error, sizeof(request->error), "%s", message);
	append(&h2->ended_tail, request, STREAM_ENDED);
	loop_kick(&h2->member);
}

static void
finish_ended(H2 *h2)
{
	while (h2->ended != NULL)
	{
		Request *request = pop(&h2->ended, &h2->ended_tail);

		request->stream.state = STREAM_FINISHED;
		request_finish(request, request->stream.error, request->error);
	}
}

/* --- what nghttp2 calls --------------------------------------------------- */

static Request *
request_of(nghttp2_session *session, int32_t stream_id)
{
	return nghttp2_session_get_stream_user_data(session, stream_id);
}

/* We want no more of a stream; why is in its request. */
static int
abandon(nghttp2_session *session, int32_t stream_id)
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
	if (request->spec.accept_gzip && request->stream.inflate == NULL &&
		is(name, name_len, "content-encoding") && is(value, value_len, "gzip"))
	{
		request->stream.inflate = inflate_create();
		if (request->stream.inflate == NULL)
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
	if (stream->inflate == NULL)
		return request_data(request, p, n) ? 0 : abandon(session, stream_id);
	switch (inflate_feed(stream->inflate, p, n, put_data, request))
	{
		case INFLATE_OK:
			return 0;
		case INFLATE_BAD:
			request->abort = ABORT_BAD_ENCODING;
			return abandon(session, stream_id);
		case INFLATE_STOPPED:
			return abandon(session, stream_id);
	}
	return 0;
}

/* A request that was not worked on goes out again. */
static bool
try_again(H2 *h2, Request *request, uint32_t error_code)
{
	if (error_code != NGHTTP2_REFUSED_STREAM || request->first_byte ||
		request->abort != ABORT_NONE ||
		++request->stream.refusals > MAX_REFUSALS)
		return false;
	request->response.sent_at = 0;
	request->stream.body_sent = 0;
	append(&h2->waiting_tail, request, STREAM_WAITING);
	loop_kick(&h2->member);
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
	if (request == NULL || try_again(h2, request, error_code))
		return 0;
	if (error_code != NGHTTP2_NO_ERROR)
	{
		snprintf(message, sizeof(message), "HTTP/2 stream was reset: %s",
				 nghttp2_http2_strerror(error_code));
		end(h2, request, TRANSPORT_LOST, message);
	}
	else if (request->stream.inflate != NULL &&
			 !inflate_complete(request->stream.inflate))
		end(h2, request, TRANSPORT_PROTOCOL,
			"the compressed body is truncated");
	else
		end(h2, request, TRANSPORT_OK, "");
	return 0;
}

static int
on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
	H2Connection *connection = arg;

	(void) session;
	if (frame->hd.type == NGHTTP2_SETTINGS && !connection->settled &&
		(frame->hd.flags & NGHTTP2_FLAG_ACK) == 0)
	{
		connection->settled = true;
		loop_kick(&connection->h2->member);
	}
	return 0;
}

static nghttp2_session *
new_session(H2Connection *connection)
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

/* --- connections ---------------------------------------------------------- */

static void
connection_fail(H2Connection *connection, TransportError error,
				const char *message)
{
	H2 *h2 = connection->h2;

	if (connection->failed)
		return;
	connection->failed = true;
	for (Request *request = h2->origin->active; request != NULL;
		 request = request->next)
	{
		if (request->is_h2 && request->stream.connection == connection)
			end(h2, request, error, message);
	}
	loop_kick(&h2->member);
}

static bool
is_usable(const H2Connection *connection)
{
	return connection->session != NULL && !connection->failed &&
		   nghttp2_session_check_request_allowed(connection->session);
}

static void
connection_free(H2Connection *connection)
{
	H2 *h2 = connection->h2;

	for (H2Connection **at = &h2->connections; *at != NULL; at = &(*at)->next)
	{
		if (*at == connection)
		{
			*at = connection->next;
			break;
		}
	}
	h2->nconnections--;
	nghttp2_session_del(connection->session);
	if (connection->link != NULL)
		link_close(connection->link);
	buf_free(&connection->out);
	free(connection);
}

static void
sweep(H2 *h2)
{
	H2Connection *connection, *next;

	for (connection = h2->connections; connection != NULL; connection = next)
	{
		next = connection->next;
		if (connection->failed)
			connection_free(connection);
	}
}

/* Nobody can be reached: no request may wait any longer. */
static void
fail_waiting(H2 *h2, TransportError error, const char *message)
{
	while (h2->waiting != NULL)
		end(h2, pop(&h2->waiting, &h2->waiting_tail), error, message);
}

/* The server speaks HTTP/1.1 only, which will do. */
static void
fall_back(H2 *h2)
{
	h2->origin->h1_only = true;
	while (h2->waiting != NULL)
	{
		Request *request = pop(&h2->waiting, &h2->waiting_tail);

		if (!request_fall_back(request))
			end(h2, request, TRANSPORT_MEMORY, "out of memory");
	}
}

static void
on_open(H2Connection *connection)
{
	H2 *h2 = connection->h2;
	const Origin *origin = h2->origin;

	if (!origin->plain && !connection->link->h2_offered)
	{
		connection_fail(connection, TRANSPORT_CONNECT, "");
		if (origin->config.http2_required)
			fail_waiting(h2, TRANSPORT_CONNECT, "server does not offer HTTP/2");
		else
			fall_back(h2);
		return;
	}
	connection->session = new_session(connection);
	if (connection->session == NULL)
		connection_fail(connection, TRANSPORT_MEMORY, "out of memory");
	connection->idle_since = monotonic_seconds();
}

static void
on_not_opened(H2Connection *connection)
{
	H2 *h2 = connection->h2;
	const Link *link = connection->link;

	connection_fail(connection, link->error, link->message);
	for (H2Connection *other = h2->connections; other != NULL;
		 other = other->next)
	{
		if (is_usable(other)) /* there may be room later */
		{
			h2->connect_after = monotonic_seconds() + CONNECT_PAUSE_S;
			return;
		}
	}
	fail_waiting(h2, link->error, link->message);
}

/*
 * Before its SETTINGS, the first thing that it has to say, the server has not
 * begun any request.
 */
static void
protocol_failed(H2Connection *connection, const char *message)
{
	if (connection->settled)
		connection_fail(connection, TRANSPORT_LOST, message);
	else
		connection_fail(connection, TRANSPORT_CONNECT,
						"server does not offer HTTP/2");
}

static void
link_failed(H2Connection *connection)
{
	const Link *link = connection->link;

	if (connection->settled)
		connection_fail(connection, link->error, link->message);
	else if (connection->spoken)
		protocol_failed(connection, link->message);
	else
		connection_fail(connection, TRANSPORT_CONNECT, link->message);
}

static void
receive(H2Connection *connection)
{
	static uint8_t buf[READ_SIZE];

	connection->unread = false;
	for (int i = 0; i < READS_PER_TURN; i++)
	{
		ssize_t n = link_read(connection->link, buf, sizeof(buf));
		ssize_t rc;

		if (n == 0)
			return;
		if (n < 0)
		{
			link_failed(connection);
			return;
		}
		connection->spoken = true;
		rc = nghttp2_session_mem_recv(connection->session, buf, n);
		if (rc < 0)
		{
			protocol_failed(connection, nghttp2_strerror((int) rc));
			return;
		}
		if (!nghttp2_session_want_read(connection->session))
		{
			protocol_failed(connection, "the HTTP/2 connection was ended");
			return;
		}
	}
	connection->unread = true;
	loop_kick(&connection->h2->member);
}

/* Has it something to be written first? */
static bool
is_blocked(const H2Connection *connection)
{
	return connection->out.len > 0;
}

/* False: not all could be written. */
static bool
write_out(H2Connection *connection)
{
	Buf *out = &connection->out;
	size_t done = 0;

	while (done < out->len)
	{
		ssize_t n =
			link_write(connection->link, out->data + done, out->len - done);

		if (n < 0)
		{
			link_failed(connection);
			return false;
		}
		if (n == 0)
			break;
		done += n;
	}
	buf_consume(out, done);
	return out->len == 0;
}

static void
transmit(H2Connection *connection)
{
	bool was_blocked = is_blocked(connection);
	bool more = true;

	while (write_out(connection) && more)
	{
		Buf *out = &connection->out;

		while (more && out->len < OUT_SIZE)
		{
			const uint8_t *p;
			ssize_t n = nghttp2_session_mem_send(connection->session, &p);

			if (n < 0)
			{
				connection_fail(connection, TRANSPORT_MEMORY, "out of memory");
				return;
			}
			more = n > 0;
			buf_put(out, p, n);
		}
		if (out->failed)
		{
			connection_fail(connection, TRANSPORT_MEMORY, "out of memory");
			return;
		}
	}
	if (connection->failed)
		return;
	if (was_blocked && !is_blocked(connection))
		loop_kick(&connection->h2->member); /* for those that wait for it */
	link_want_write(connection->link, is_blocked(connection));
	if (connection->link->state == LINK_FAILED)
		link_failed(connection);
}

/* --- requests on connections ---------------------------------------------- */

static bool
has_room(const H2Connection *connection)
{
	uint32_t most = nghttp2_session_get_remote_settings(
		connection->session, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
	uint32_t ours = connection->h2->origin->config.max_streams;

	/* If none, then nghttp2 waits, and the request's clock runs. */
	if (most == 0 || !connection->settled)
		most = 1;
	if (ours > 0 && ours < most)
		most = ours;
	return connection->nstreams < most;
}

/* Ends connections that take no more requests, or are too old to be trusted. */
static void
retire_connections(H2 *h2)
{
	double now = monotonic_seconds();

	for (H2Connection *connection = h2->connections; connection != NULL;
		 connection = connection->next)
	{
		if (connection->session != NULL && connection->nstreams == 0 &&
			(!is_usable(connection) ||
			 now - connection->idle_since > MAX_IDLE_S))
			connection_fail(connection, TRANSPORT_LOST, "");
	}
}

static void on_link_event(void *owner);

static bool
open_connection(H2 *h2, double timeout_s)
{
	H2Connection *connection = calloc(1, sizeof(*connection));

	if (connection == NULL)
		return false;
	connection->h2 = h2;
	buf_init(&connection->out, 0, NULL);
	connection->next = h2->connections;
	h2->connections = connection;
	h2->nconnections++;
	connection->link =
		link_open(h2->origin, timeout_s, on_link_event, connection);
	if (connection->link == NULL)
	{
		connection_free(connection);
		return false;
	}
	return true;
}

/* One with room for another stream; NULL: none now. */
static H2Connection *
find_connection(H2 *h2, const Request *request)
{
	int most = h2->origin->config.max_connections;
	double timeout = request->spec.connect_timeout_s;
	bool one_may_come = false;

	for (H2Connection *connection = h2->connections; connection != NULL;
		 connection = connection->next)
	{
		if (connection->failed)
			continue;
		if (connection->session == NULL)
			one_may_come = true;
		else if (is_usable(connection) && has_room(connection))
		{
			if (!is_blocked(connection))
				return connection;
			one_may_come = true;
		}
	}
	if (timeout <= 0)
		timeout = DEFAULT_CONNECT_TIMEOUT_MS / 1000.0;
	if (!one_may_come && monotonic_seconds() >= h2->connect_after &&
		h2->nconnections < (most > 0 ? most : MAX_CONNECTIONS) &&
		!open_connection(h2, timeout))
		fail_waiting(h2, TRANSPORT_MEMORY, "out of memory");
	return NULL;
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

static void
submit(H2Connection *connection, Request *request)
{
	H2 *h2 = connection->h2;
	nghttp2_data_provider body = {.read_callback = on_read_body};
	Fields fields;
	char length[24];
	int32_t id;

	if (!request_sent(request))
	{
		end(h2, request, TRANSPORT_LOST, "");
		return;
	}
	collect_fields(request, &fields, length, sizeof(length));
	id = nghttp2_submit_request(connection->session, NULL, fields.nv, fields.n,
								request->spec.body_len > 0 ? &body : NULL,
								request);
	if (id < 0)
	{
		end(h2, request, TRANSPORT_MEMORY, "out of memory");
		return;
	}
	request->stream.state = STREAM_OPEN;
	request->stream.id = id;
	request->stream.connection = connection;
	connection->nstreams++;
}

static void
hand_out(H2 *h2)
{
	H2Connection *connection;

	while (h2->waiting != NULL &&
		   (connection = find_connection(h2, h2->waiting)) != NULL)
		submit(connection, pop(&h2->waiting, &h2->waiting_tail));
}

/* All that can be done without waiting. */
static void
run(void *owner)
{
	H2 *h2 = owner;

	retire_connections(h2);
	hand_out(h2);
	for (H2Connection *connection = h2->connections; connection != NULL;
		 connection = connection->next)
	{
		if (connection->session == NULL || connection->failed)
			continue;
		if (connection->unread)
			receive(connection);
		if (!connection->failed)
			transmit(connection);
	}
	sweep(h2);
	finish_ended(h2);
}

static void
on_link_event(void *owner)
{
	H2Connection *connection = owner;
	H2 *h2 = connection->h2;

	if (connection->failed)
		return;
	if (connection->session == NULL)
	{
		if (connection->link->state == LINK_OPEN)
			on_open(connection);
		else
			on_not_opened(connection);
	}
	else
		receive(connection);
	run(h2);
}

/* --- what transport.c calls ----------------------------------------------- */

static bool
is_path(const char *path)
{
	if (*path != '/')
		return false;
	for (; *path != '\0'; path++)
	{
		if ((unsigned char) *path <= ' ' || *path == 0x7f || *path == '#')
			return false;
	}
	return true;
}

bool
h2_start(Request *request)
{
	const RequestSpec *spec = &request->spec;
	H2 *h2 = request->origin->h2;
	Buf *lines = &request->lines;
	int n = 0;

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
	if (lines->failed || n > MAX_HEADERS)
		return false;
	request->stream = (Stream){0};
	if (is_path((const char *) lines->data))
	{
		append(&h2->waiting_tail, request, STREAM_WAITING);
		loop_kick(&h2->member);
	}
	else
		end(h2, request, TRANSPORT_PROTOCOL, "the URL is malformed");
	return true;
}

uint64_t
h2_moved(const Request *request)
{
	return request->stream.body_sent + request->stream.body_received;
}

void
h2_figures(Request *request)
{
	request->response.bytes_sent =
		request->response.sent_at > 0
			? request->lines.len + request->stream.body_sent
			: 0;
	request->response.bytes_received =
		request->header_bytes + request->stream.body_received;
}

void
h2_drop(Request *request)
{
	H2 *h2 = request->origin->h2;
	Stream *stream = &request->stream;
	H2Connection *connection = stream->connection;

	if (connection != NULL)
	{
		nghttp2_session_set_stream_user_data(connection->session, stream->id,
											 NULL);
		(void) abandon(connection->session, stream->id);
		loop_kick(&h2->member);
	}
	else if (stream->state == STREAM_ENDED)
		unlink_from(&h2->ended, &h2->ended_tail, request);
	else if (stream->state == STREAM_WAITING)
		unlink_from(&h2->waiting, &h2->waiting_tail, request);
	stream->state = STREAM_FINISHED;
	stream->connection = NULL;
	inflate_free(stream->inflate);
	stream->inflate = NULL;
}

void
h2_cut(Request *request)
{
	if (request->stream.connection != NULL)
		connection_fail(request->stream.connection, TRANSPORT_LOST,
						"server does not answer");
}

void
h2_close_idle(H2 *h2)
{
	for (H2Connection *connection = h2->connections; connection != NULL;
		 connection = connection->next)
	{
		if (connection->nstreams == 0)
			connection_fail(connection, TRANSPORT_LOST, "");
	}
	sweep(h2);
}

H2 *
h2_create(Origin *origin)
{
	H2 *h2 = calloc(1, sizeof(*h2));

	if (h2 == NULL)
		return NULL;
	h2->origin = origin;
	h2->member = (LoopMember){.on_kick = run, .owner = h2};
	h2->waiting_tail = &h2->waiting;
	h2->ended_tail = &h2->ended;
	return h2;
}

void
h2_free(H2 *h2)
{
	if (h2 == NULL)
		return;
	for (H2Connection *connection = h2->connections, *next;
		 connection != NULL; connection = next)
	{
		next = connection->next;
		connection_free(connection);
	}
	loop_leave(&h2->member);
	free(h2);
}
