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
#define SILENT_S 1.0        /* a dead connection may be silent for that long */

/* --- lists ---------------------------------------------------------------- */

static void
leave_connection(Request *request)
{
	if (request->stream.connection != NULL)
		request->stream.connection->nrequests--;
	request->stream.connection = NULL;
}

static void
append(Request ***tail, Request *request, StreamState state)
{
	leave_connection(request);
	request->stream.state = state;
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

/* Has nghttp2 made a frame of it yet? */
static bool
is_begun(const Request *request)
{
	const Stream *stream = &request->stream;

	return nghttp2_session_find_stream(stream->connection->session,
									   stream->id) != NULL;
}

/* It is freed in the next turn, when nothing is in the midst of using it. */
static void
connection_fail(H2Connection *connection, TransportError error,
				const char *message)
{
	H2 *h2 = connection->h2;

	if (connection->failed)
		return;
	connection->failed = true;
	timer_cancel(&connection->deadline);
	for (Request *request = h2->origin->active; request != NULL;
		 request = request->next)
	{
		if (!request->is_h2 || request->stream.connection != connection)
			continue;
		if (!is_begun(request) && stream_try_again(h2, request))
			continue;
		h2_end(h2, request, error, message);
	}
	loop_kick(&h2->member);
}

static bool
is_usable(const H2Connection *connection)
{
	return connection->settled && !connection->failed &&
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
	timer_cancel(&connection->deadline);
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
	connection->unread = true; /* TLS may have read ahead */
}

void
h2_settled(H2Connection *connection)
{
	connection->settled = true;
	connection->idle_since = monotonic_seconds();
	timer_cancel(&connection->deadline);
	loop_kick(&connection->h2->member);
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
		if (is_usable(other) && !other->doubted) /* there may be room later */
		{
			(void) timer_set(&h2->pause, monotonic_seconds() + CONNECT_PAUSE_S);
			return;
		}
	}
	fail_waiting(h2, error, message);
}

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

static const char *const over = "the HTTP/2 connection was ended";

/* Either side has said that it ends, and nothing is under way any more. */
static bool
is_over(const H2Connection *connection)
{
	return nghttp2_session_want_read(connection->session) == 0;
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
		if (is_over(connection))
		{
			protocol_failed(connection, over);
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
	if (!is_blocked(connection) && is_over(connection))
	{
		protocol_failed(connection, over);
		return;
	}
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
	if (most == 0)
		most = 1;
	if (ours > 0 && ours < most)
		most = ours;
	return connection->nstreams < most;
}

/*
 * Ends connections that take no more requests, or are too old to be trusted.
 * One that is doubted may never take note that its streams are not wanted.
 */
static void
retire_connections(H2 *h2)
{
	double now = monotonic_seconds();

	for (H2Connection *connection = h2->connections; connection != NULL;
		 connection = connection->next)
	{
		if (!connection->settled)
			continue;
		if ((connection->nstreams == 0 &&
			 (!is_usable(connection) ||
			  now - connection->idle_since > MAX_IDLE_S)) ||
			(connection->doubted && connection->nrequests == 0))
			connection_fail(connection, TRANSPORT_LOST, "");
	}
}

static void on_link_event(void *owner);
static void on_deadline(void *arg);

static bool
open_connection(H2 *h2, double timeout_s)
{
	H2Connection *connection = calloc(1, sizeof(*connection));

	if (connection == NULL)
		return false;
	connection->h2 = h2;
	buf_init(&connection->out, 0, NULL);
	timer_init(&connection->deadline, on_deadline, connection);
	connection->next = h2->connections;
	h2->connections = connection;
	h2->nconnections++;
	connection->link =
		link_open(h2->origin, timeout_s, on_link_event, connection);
	if (connection->link == NULL ||
		!timer_set(&connection->deadline, monotonic_seconds() + timeout_s))
	{
		connection_free(connection);
		return false;
	}
	return true;
}

static bool
may_open(const H2 *h2, bool any_usable)
{
	int most = h2->origin->config.max_connections;

	return (!any_usable || h2->pause.heap_index == 0) &&
		   h2->nconnections < (most > 0 ? most : MAX_CONNECTIONS);
}

/*
 * One with room for another stream; NULL: none now.  One that is doubted is
 * neither waited for nor taken, unless there can be no other.
 */
static H2Connection *
find_connection(H2 *h2, const Request *request)
{
	double timeout = request->spec.connect_timeout_s;
	H2Connection *doubted = NULL;
	bool one_may_come = false;
	bool any_usable = false;

	for (H2Connection *connection = h2->connections; connection != NULL;
		 connection = connection->next)
	{
		bool usable = is_usable(connection);
		bool room = usable && has_room(connection);

		one_may_come |= !connection->settled;
		if (connection->doubted)
		{
			if (room && !is_blocked(connection))
				doubted = connection;
			continue;
		}
		if (room && !is_blocked(connection))
			return connection;
		one_may_come |= room;
		any_usable |= usable;
	}
	if (one_may_come)
		return NULL;
	if (!may_open(h2, any_usable))
		return doubted;
	if (timeout <= 0)
		timeout = DEFAULT_CONNECT_TIMEOUT_MS / 1000.0;
	if (!open_connection(h2, timeout))
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

static void
on_deadline(void *arg)
{
	H2Connection *connection = arg;
	H2 *h2 = connection->h2;

	attempt_failed(connection, TRANSPORT_CONNECT,
				   connection->session == NULL ? "connection timed out"
											   : "server does not answer");
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

/* Has nothing come on its connection since it was sent, for a while? */
static bool
was_silent(const Request *request)
{
	const Stream *stream = &request->stream;

	return stream->connection->heard == stream->heard_before &&
		   monotonic_seconds() - request->response.sent_at > SILENT_S;
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
		if (is_blocked(connection) || was_silent(request))
			connection->doubted = true;
		loop_kick(&h2->member);
	}
	else if (stream->state == STREAM_ENDED)
		unlink_from(&h2->ended, &h2->ended_tail, request);
	else if (stream->state == STREAM_WAITING)
		unlink_from(&h2->waiting, &h2->waiting_tail, request);
	stream->state = STREAM_FINISHED;
	leave_connection(request);
	gunzip_free(stream->gunzip);
	stream->gunzip = NULL;
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
	timer_init(&h2->pause, run, h2);
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
	timer_cancel(&h2->pause);
	loop_leave(&h2->member);
	free(h2);
}
