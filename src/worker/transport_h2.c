/*-------------------------------------------------------------------------
 *
 * transport_h2.c
 *	  An origin's HTTP/2 connections, and the requests that wait for them.
 *
 * Requests wait in one queue per origin until a connection has room for
 * another stream.  All that is submitted in one turn of the loop leaves
 * together, and wakes up the other side once.
 *
 *-------------------------------------------------------------------------
 */
#include "worker/transport_h2.h"
#include "core/gunzip.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_CONNECTIONS 64   /* of an origin that says nothing of it */
#define OUT_SIZE (64 * 1024) /* collected before they are written */
#define READ_SIZE (64 * 1024)
#define READS_PER_TURN 16
#define MAX_IDLE_S 120.0    /* an older connection may be a dead one */
#define CONNECT_PAUSE_S 1.0 /* when there is another connection */

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

void
h2_wait(H2 *h2, Request *request)
{
	append(&h2->waiting_tail, request, STREAM_WAITING);
	loop_kick(&h2->member);
}

void
h2_end(H2 *h2, Request *request, TransportError error, const char *message)
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

/* --- connections ---------------------------------------------------------- */

/* It is freed in the next turn, when nothing is in the midst of using it. */
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
			h2_end(h2, request, error, message);
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
		h2_end(h2, pop(&h2->waiting, &h2->waiting_tail), error, message);
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
			h2_end(h2, request, TRANSPORT_MEMORY, "out of memory");
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
	connection->session = stream_session(connection);
	if (connection->session == NULL)
		connection_fail(connection, TRANSPORT_MEMORY, "out of memory");
	connection->idle_since = monotonic_seconds();
}

/* A connection came to nothing: another one would fare no better now. */
static void
attempt_failed(H2Connection *connection, TransportError error,
			   const char *message)
{
	H2 *h2 = connection->h2;

	connection_fail(connection, error, message);
	for (H2Connection *other = h2->connections; other != NULL;
		 other = other->next)
	{
		if (is_usable(other)) /* there may be room later */
		{
			h2->connect_after = monotonic_seconds() + CONNECT_PAUSE_S;
			return;
		}
	}
	fail_waiting(h2, error, message);
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
		attempt_failed(connection, TRANSPORT_CONNECT,
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
		attempt_failed(connection, TRANSPORT_CONNECT, link->message);
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
	bool any_usable = false;

	for (H2Connection *connection = h2->connections; connection != NULL;
		 connection = connection->next)
	{
		if (connection->session == NULL)
			one_may_come = true;
		else if (is_usable(connection))
		{
			any_usable = true;
			if (!has_room(connection))
				continue;
			if (!is_blocked(connection))
				return connection;
			one_may_come = true;
		}
	}
	if (timeout <= 0)
		timeout = DEFAULT_CONNECT_TIMEOUT_MS / 1000.0;
	/* With a usable one, something will happen there, and we come here again. */
	if (!one_may_come &&
		(!any_usable || monotonic_seconds() >= h2->connect_after) &&
		h2->nconnections < (most > 0 ? most : MAX_CONNECTIONS) &&
		!open_connection(h2, timeout))
		fail_waiting(h2, TRANSPORT_MEMORY, "out of memory");
	return NULL;
}

static void
hand_out(H2 *h2)
{
	H2Connection *connection;

	while (h2->waiting != NULL &&
		   (connection = find_connection(h2, h2->waiting)) != NULL)
		stream_submit(connection, pop(&h2->waiting, &h2->waiting_tail));
}

/* All that can be done without waiting. */
static void
run(void *owner)
{
	H2 *h2 = owner;

	retire_connections(h2);
	sweep(h2);
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
			attempt_failed(connection, connection->link->error,
						   connection->link->message);
	}
	else
		receive(connection);
	run(h2);
}

/* --- what transport.c calls ----------------------------------------------- */

bool
h2_start(Request *request)
{
	H2 *h2 = request->origin->h2;

	if (!stream_prepare(request))
		return false;
	if (stream_has_path(request))
		h2_wait(h2, request);
	else
		h2_end(h2, request, TRANSPORT_PROTOCOL, "the URL is malformed");
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
		(void) stream_reset(connection->session, stream->id);
		loop_kick(&h2->member);
	}
	else if (stream->state == STREAM_ENDED)
		unlink_from(&h2->ended, &h2->ended_tail, request);
	else if (stream->state == STREAM_WAITING)
		unlink_from(&h2->waiting, &h2->waiting_tail, request);
	stream->state = STREAM_FINISHED;
	stream->connection = NULL;
	gunzip_free(stream->gunzip);
	stream->gunzip = NULL;
}

void
h2_cut(Request *request)
{
	static const char *const message = "server does not answer";
	H2Connection *connection = request->stream.connection;

	if (connection == NULL)
		return;
	if (connection->settled)
		connection_fail(connection, TRANSPORT_LOST, message);
	else
		attempt_failed(connection, TRANSPORT_CONNECT, message);
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
	for (H2Connection *connection = h2->connections, *next; connection != NULL;
		 connection = next)
	{
		next = connection->next;
		connection_free(connection);
	}
	loop_leave(&h2->member);
	free(h2);
}
