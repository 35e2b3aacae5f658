/*-------------------------------------------------------------------------
 *
 * h2.c
 *	  Requests over HTTP/2: an origin's connections, and the requests that wait
 *	  for them.
 *
 *	opening ──► session ──► settled ──► failed
 *
 * Requests wait in one queue per origin until a connection that is settled has
 * room for another stream: what has not begun to speak HTTP/2 in time has had
 * no request.  All that is submitted in one turn of the loop leaves together,
 * and wakes up the other side once.
 *
 * Who frees what: nghttp2's callbacks and all that run within them only move
 * requests between lists and set flags.  A connection that has failed is closed
 * and freed in the next turn (run, which begins with sweep), and requests are
 * finished at the end of a turn, where no connection is being used.  on_done
 * may start and cancel requests, so lists of requests are walked by a mark.
 *
 * When a request goes out again: when nghttp2 has made no frame of it, when the
 * server says that it was not begun (REFUSED_STREAM, or above GOAWAY's last
 * stream), or wants it over HTTP/1.1; never when it may have been begun.
 *
 * A peer's frames cost us time.  A turn reads what its budget allows, and a
 * peer whose frames bring nothing forward, by the thousands, is left.  A
 * connection that is silent while it has streams is asked by a PING whether it
 * is still there.
 *
 *-------------------------------------------------------------------------
 */
#include "net/h2.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_CONNECTIONS 64   /* of an origin that says nothing of it */
#define OUT_SIZE (64 * 1024) /* collected before they are written */
#define WRITE_PER_TURN (512 * 1024)
#define MAX_IDLE_S 120.0    /* an older connection may be a dead one */
#define CONNECT_PAUSE_S 1.0 /* when there is another connection */
#define SILENT_S 1.0        /* a dead connection may be silent for that long */
#define PING_AFTER_S 30.0   /* as the service's own client */
#define PING_WAIT_S 10.0
#define MAX_PING_AFTER_S 600.0
#define MAX_IDLE_FRAMES 10000 /* in so many seconds */
#define MAX_IDLE_BYTES                                                         \
	(64 * 1024 *                                                               \
	 1024) /* streams that were dropped may have that much under way */
#define IDLE_FRAMES_S 10.0

static H2Connection *
connection_of(ListNode *node)
{
	return LIST_OWNER(H2Connection, node, node);
}

/* --- lists ---------------------------------------------------------------- */

/* It is on no connection any more. */
static void
leave_connection(Request *request)
{
	list_remove(&request->queue);
	request->h2 = NULL;
}

void
h2_wait_again(H2 *h2, Request *request)
{
	leave_connection(request);
	request_reset(request);
	request->state = REQUEST_WAITING;
	list_prepend(&h2->waiting, &request->queue);
	loop_kick(&h2->member);
}

void
h2_end(H2 *h2, Request *request, TransportError error, const char *message)
{
	leave_connection(request);
	requests_end(&h2->ended, request, error, message);
	loop_kick(&h2->member);
}

static Request *
first_waiting(const H2 *h2)
{
	ListNode *node = list_first(&h2->waiting);

	return node != NULL ? LIST_OWNER(Request, queue, node) : NULL;
}

/* Nobody can be reached: no request may wait any longer. */
static void
fail_waiting(H2 *h2, TransportError error, const char *message)
{
	Request *request;

	while ((request = first_waiting(h2)) != NULL)
		h2_end(h2, request, error, message);
}

/* --- connections ---------------------------------------------------------- */

/* Has nghttp2 made a frame of it yet? */
static bool
is_begun(const Request *request)
{
	return nghttp2_session_find_stream(request->h2->session,
									   request->stream_id) != NULL;
}

/* It is freed in the next turn, when nothing is in the midst of using it. */
static void
fail_connection(H2Connection *h2c, TransportError error, const char *message)
{
	H2 *h2 = h2c->h2;

	if (h2c->failed)
		return;
	h2c->failed = true;
	timer_cancel(&h2c->alive);
	/* From the last one on, so that they wait in their order. */
	while (!list_is_empty(&h2c->requests))
	{
		Request *request = LIST_OWNER(Request, queue, h2c->requests.ends.prev);

		if (is_begun(request))
			h2_end(h2, request, error, message);
		else
			stream_refused(h2, request, message);
	}
	loop_kick(&h2->member);
}

static bool
is_usable(const H2Connection *h2c)
{
	return h2c->settled && !h2c->failed &&
		   h2c->connection->state == CONNECTION_OPEN &&
		   nghttp2_session_check_request_allowed(h2c->session);
}

static void
free_connection(H2Connection *h2c)
{
	MUST(list_is_empty(&h2c->requests));
	list_remove(&h2c->node);
	h2c->h2->nconnections--;
	timer_cancel(&h2c->alive);
	nghttp2_session_del(h2c->session);
	if (h2c->connection != NULL)
		connection_close(h2c->connection);
	buf_free(&h2c->out);
	free(h2c);
}

static void
sweep(H2 *h2)
{
	ListNode mark;
	ListNode *node;

	list_mark(&h2->connections, &mark);
	while ((node = list_turn_until(&h2->connections, &mark)) != NULL)
	{
		if (connection_of(node)->failed)
			free_connection(connection_of(node));
	}
}

/* The server wants HTTP/1.1, which will do. */
static void
fall_back(H2 *h2)
{
	Request *request;

	h2->h1_required = false;
	origin_fall_back(h2->origin);
	while ((request = first_waiting(h2)) != NULL)
	{
		if (!request_change_carrier(request, &h1_carrier))
			h2_end(h2, request, TRANSPORT_MEMORY, "out of memory");
	}
}

/* TLS is there, and HTTP/2 is not offered. */
static void
open_without_h2(H2Connection *h2c)
{
	H2 *h2 = h2c->h2;

	if (h2->origin->config.http2_required)
	{
		fail_connection(h2c, TRANSPORT_CONNECT, "");
		fail_waiting(h2, TRANSPORT_CONNECT, "server does not offer HTTP/2");
		return;
	}
	fail_connection(h2c, TRANSPORT_CONNECT, "");
	fall_back(h2);
}

static void
opened(H2Connection *h2c)
{
	if (!h2c->h2->origin->plain && !h2c->connection->h2_offered)
	{
		open_without_h2(h2c);
		return;
	}
	h2c->session = stream_session(h2c);
	if (h2c->session == NULL)
		fail_connection(h2c, TRANSPORT_MEMORY, "out of memory");
	h2c->unread = true; /* TLS may have read ahead */
}

void
h2_settled(H2Connection *h2c)
{
	h2c->settled = true;
	h2c->idle_since = monotonic_seconds();
	connection_ready(h2c->connection);
	connection_set_idle(h2c->connection, true);
	loop_kick(&h2c->h2->member);
}

void
h2_stream_opened(H2Connection *h2c, Request *request)
{
	list_append(&h2c->requests, &request->queue);
	request->h2 = h2c;
	request->heard_before = h2c->heard;
	if (h2c->nstreams++ > 0)
		return;
	connection_set_idle(h2c->connection, false);
	h2c->heard_at = monotonic_seconds();
	if (h2c->alive.heap_index == 0)
		(void) timer_set(&h2c->alive, h2c->heard_at + h2c->h2->ping_after_s);
}

void
h2_stream_closed(H2Connection *h2c)
{
	H2 *h2 = h2c->h2;

	if (--h2c->nstreams == 0)
	{
		h2c->idle_since = monotonic_seconds();
		connection_set_idle(h2c->connection, true);
	}
	if (!list_is_empty(&h2->waiting))
		loop_kick(&h2->member);
}

/* A connection came to nothing: another one would fare no better now. */
static void
attempt_failed(H2Connection *h2c, TransportError error, const char *message)
{
	H2 *h2 = h2c->h2;

	fail_connection(h2c, error, message);
	for
		LIST_EACH(node, &h2->connections)
		{
			H2Connection *other = connection_of(node);

			if (is_usable(other) &&
				!other->doubted) /* there may be room later */
			{
				(void) timer_set(&h2->pause,
								 monotonic_seconds() + CONNECT_PAUSE_S);
				return;
			}
		}
	fail_waiting(h2, error, message);
}

static void
protocol_failed(H2Connection *h2c, const char *message)
{
	if (h2c->settled)
		fail_connection(h2c, TRANSPORT_LOST, message);
	else
		attempt_failed(h2c, TRANSPORT_CONNECT, "server does not offer HTTP/2");
}

/* The bytes have come to an end. */
static void
connection_lost(H2Connection *h2c)
{
	const Connection *connection = h2c->connection;

	if (h2c->settled)
		fail_connection(h2c, connection->error, connection->message);
	else if (h2c->spoken)
		protocol_failed(h2c, connection->message);
	else if (h2c->session == NULL)
		attempt_failed(h2c, connection->error, connection->message);
	else
		attempt_failed(h2c, TRANSPORT_CONNECT, connection->message);
}

static const char *const over = "the HTTP/2 connection was ended";

/* Either side has said that it ends, and nothing is under way any more. */
static bool
is_over(const H2Connection *h2c)
{
	return nghttp2_session_want_read(h2c->session) == 0;
}

/* --- bytes ---------------------------------------------------------------- */

void
h2_progress(H2Connection *h2c)
{
	h2c->idle_frames = h2c->idle_bytes = 0;
}

/* Has it sent so much for nothing that it had better be left? */
static bool
is_flood(H2Connection *h2c)
{
	if (h2c->heard_at - h2c->counted_since > IDLE_FRAMES_S)
	{
		h2c->counted_since = h2c->heard_at;
		h2_progress(h2c);
	}
	return h2c->idle_frames > MAX_IDLE_FRAMES ||
		   h2c->idle_bytes > MAX_IDLE_BYTES;
}

/* What a read has brought; false: it was the last one. */
static bool
take(H2Connection *h2c, const uint8_t *p, size_t n)
{
	ssize_t rc;

	h2c->spoken = true;
	h2c->heard_at = monotonic_seconds();
	h2c->idle_bytes += n;
	rc = nghttp2_session_mem_recv(h2c->session, p, n);
	if (rc < 0)
		protocol_failed(h2c, nghttp2_strerror((int) rc));
	else if (is_over(h2c))
		protocol_failed(h2c, over);
	else if (is_flood(h2c))
		protocol_failed(h2c, "the server sends empty frames without end");
	return !h2c->failed;
}

static void
receive(H2Connection *h2c)
{
	static uint8_t buf[READ_SIZE];
	uint64_t frames;

	h2c->unread = false;
	budget_begin(&h2c->budget);
	for (;;)
	{
		ssize_t n =
			connection_read(h2c->connection, buf, h2c->budget.read_size);

		if (n == 0)
			return;
		if (n < 0)
		{
			connection_lost(h2c);
			return;
		}
		frames = h2c->frames;
		if (!take(h2c, buf, n))
			return;
		frames = h2c->frames - frames;
		if (!budget_spend(&h2c->budget, n, frames))
			break;
	}
	h2c->unread = true;
	loop_kick(&h2c->h2->member);
}

/* Has it something to be written first? */
static bool
is_blocked(const H2Connection *h2c)
{
	return h2c->out.len > 0;
}

/* False: not all could be written. */
static bool
write_out(H2Connection *h2c, size_t *written)
{
	Buf *out = &h2c->out;
	size_t done = 0;

	while (done < out->len)
	{
		ssize_t n = connection_write(h2c->connection, out->data + done,
									 out->len - done);

		if (n < 0)
		{
			/* There may be an answer, or a reason, to be read yet. */
			receive(h2c);
			if (!h2c->failed)
				connection_lost(h2c);
			return false;
		}
		if (n == 0)
			break;
		done += n;
	}
	*written += done;
	buf_consume(out, done);
	return out->len == 0;
}

/* Fills the buffer; false: no memory. */
static bool
collect(H2Connection *h2c, bool *more)
{
	Buf *out = &h2c->out;

	while (*more && out->len < OUT_SIZE)
	{
		const uint8_t *p;
		ssize_t n = nghttp2_session_mem_send(h2c->session, &p);

		if (n < 0)
			return false;
		*more = n > 0;
		buf_put(out, p, n);
	}
	return !out->failed;
}

static void
transmit(H2Connection *h2c)
{
	bool was_blocked = is_blocked(h2c);
	bool more = true;
	size_t written = 0;

	while (write_out(h2c, &written) && more)
	{
		if (written >= WRITE_PER_TURN)
		{
			loop_kick(&h2c->h2->member);
			break;
		}
		if (!collect(h2c, &more))
		{
			fail_connection(h2c, TRANSPORT_MEMORY, "out of memory");
			return;
		}
	}
	if (h2c->failed)
		return;
	if (was_blocked && !is_blocked(h2c))
		loop_kick(&h2c->h2->member); /* for those that wait for it */
	if (!is_blocked(h2c) && is_over(h2c))
	{
		protocol_failed(h2c, over);
		return;
	}
	connection_want_write(h2c->connection, is_blocked(h2c));
}

/* --- is it still there? --------------------------------------------------- */

static void
on_alive(void *arg)
{
	H2Connection *h2c = arg;
	double now = monotonic_seconds();
	double due = h2c->heard_at + h2c->h2->ping_after_s;

	if (h2c->nstreams == 0) /* the next stream begins anew */
		h2c->pinged = false;
	else if (due > now)
	{
		h2c->pinged = false;
		(void) timer_set(&h2c->alive, due);
	}
	else if (h2c->pinged)
		fail_connection(h2c, TRANSPORT_LOST, "server does not answer");
	else
	{
		h2c->pinged = true;
		(void) nghttp2_submit_ping(h2c->session, NGHTTP2_FLAG_NONE, NULL);
		(void) timer_set(&h2c->alive, now + PING_WAIT_S);
		loop_kick(&h2c->h2->member);
	}
}

/* The server ends the connection, and says why. */
void
h2_goaway(H2Connection *h2c, uint32_t error_code)
{
	H2 *h2 = h2c->h2;

	if (error_code == NGHTTP2_HTTP_1_1_REQUIRED &&
		!h2->origin->config.http2_required)
		h2->h1_required = true;
	/* It may be our PINGs (gRPC: too_many_pings). */
	if (error_code == NGHTTP2_ENHANCE_YOUR_CALM &&
		h2->ping_after_s < MAX_PING_AFTER_S)
		h2->ping_after_s *= 2;
}

/* --- requests on connections ---------------------------------------------- */

static bool
has_room(const H2Connection *h2c)
{
	uint32_t most = nghttp2_session_get_remote_settings(
		h2c->session, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
	uint32_t ours = h2c->h2->origin->config.max_streams;

	/* If none, then nghttp2 waits, and the request's clock runs. */
	if (most == 0)
		most = 1;
	if (ours > 0 && ours < most)
		most = ours;
	return h2c->nstreams < most;
}

/*
 * Ends connections that take no more requests, or are too old to be trusted.
 * One that is doubted may never take note that its streams are not wanted.
 */
static void
retire_connections(H2 *h2)
{
	double now = monotonic_seconds();

	for
		LIST_EACH(node, &h2->connections)
		{
			H2Connection *h2c = connection_of(node);

			if (!h2c->settled)
				continue;
			if ((h2c->nstreams == 0 &&
				 (!is_usable(h2c) || now - h2c->idle_since > MAX_IDLE_S)) ||
				(h2c->doubted && list_is_empty(&h2c->requests)))
				fail_connection(h2c, TRANSPORT_LOST, "");
		}
}

static void on_event(void *owner);

static bool
open_connection(H2 *h2, double timeout_s)
{
	H2Connection *h2c = calloc(1, sizeof(*h2c));

	if (h2c == NULL)
		return false;
	h2c->h2 = h2;
	buf_init(&h2c->out, 0, NULL);
	budget_init(&h2c->budget);
	list_init(&h2c->requests);
	timer_init(&h2c->alive, on_alive, h2c);
	list_append(&h2->connections, &h2c->node);
	h2->nconnections++;
	h2c->connection =
		connection_open(h2->origin, timeout_s, on_event, h2c);
	if (h2c->connection == NULL)
	{
		free_connection(h2c);
		return false;
	}
	return true;
}

/*
 * Those that take no more requests, and end with their last stream, are no
 * part of the limit, but no more than as many.
 */
static bool
may_open(const H2 *h2, bool any_usable, int nliving)
{
	int most = h2->origin->config.max_connections;

	if (most == 0)
		most = MAX_CONNECTIONS;
	return (!any_usable || h2->pause.heap_index == 0) && nliving < most &&
		   h2->nconnections < 2 * most;
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
	int nliving = 0;

	for
		LIST_EACH(node, &h2->connections)
		{
			H2Connection *h2c = connection_of(node);
			bool usable = is_usable(h2c);
			bool room = usable && has_room(h2c);

			one_may_come |= !h2c->settled && !h2c->failed;
			nliving += usable || (!h2c->settled && !h2c->failed);
			if (h2c->doubted)
			{
				if (room && !is_blocked(h2c))
					doubted = h2c;
				continue;
			}
			if (room && !is_blocked(h2c))
				return h2c;
			one_may_come |= room;
			any_usable |= usable;
		}
	if (one_may_come)
		return NULL;
	if (!may_open(h2, any_usable, nliving))
		return doubted;
	if (!open_connection(h2, timeout > 0 ? timeout : DEFAULT_CONNECT_TIMEOUT_S))
		fail_waiting(h2, TRANSPORT_MEMORY, "out of memory");
	return NULL;
}

static void
hand_out(H2 *h2)
{
	H2Connection *h2c;
	Request *request;

	while ((request = first_waiting(h2)) != NULL &&
		   (h2c = find_connection(h2, request)) != NULL)
	{
		list_remove(&request->queue);
		stream_submit(h2c, request);
	}
}

/* All that can be done without waiting. */
static void
run(void *owner)
{
	H2 *h2 = owner;

	retire_connections(h2);
	sweep(h2);
	if (h2->h1_required)
		fall_back(h2);
	hand_out(h2);
	for
		LIST_EACH(node, &h2->connections)
		{
			H2Connection *h2c = connection_of(node);

			if (h2c->session == NULL || h2c->failed)
				continue;
			if (h2c->unread)
				receive(h2c);
			if (!h2c->failed)
				transmit(h2c);
		}
	requests_finish(&h2->ended);
}

static void
on_event(void *owner)
{
	H2Connection *h2c = owner;
	H2 *h2 = h2c->h2;

	if (h2c->failed)
		return;
	if (h2c->session != NULL)
		receive(h2c);
	else if (h2c->connection->state == CONNECTION_OPEN)
		opened(h2c);
	else
		connection_lost(h2c);
	/* Once for all events of this turn. */
	loop_kick(&h2->member);
}

static void
on_pause(void *arg)
{
	loop_kick(&((H2 *) arg)->member);
}

/* --- what request.c calls ------------------------------------------------- */

static bool
start(Request *request)
{
	H2 *h2 = request->origin->h2;

	if (!request_has_path(request))
	{
		requests_end(&h2->ended, request, TRANSPORT_PROTOCOL,
					 "the URL is malformed");
		loop_kick(&h2->member);
		return true;
	}
	request->state = REQUEST_WAITING;
	list_append(&h2->waiting, &request->queue);
	loop_kick(&h2->member);
	return true;
}

/* Has nothing come on its connection since it was sent, for a while? */
static bool
was_silent(const Request *request)
{
	return request->h2->heard == request->heard_before &&
		   monotonic_seconds() - request->response.sent_at > SILENT_S;
}

static void
drop(Request *request)
{
	H2Connection *h2c = request->h2;

	if (h2c != NULL)
	{
		nghttp2_session_set_stream_user_data(h2c->session, request->stream_id,
											 NULL);
		(void) stream_reset(h2c->session, request->stream_id);
		if (is_blocked(h2c) || was_silent(request))
			h2c->doubted = true;
		loop_kick(&h2c->h2->member);
	}
	leave_connection(request);
	request->state = REQUEST_FINISHED;
}

static void
cut(Request *request)
{
	if (request->h2 != NULL)
		fail_connection(request->h2, TRANSPORT_LOST, "server does not answer");
}

static uint64_t
moved(const Request *request)
{
	return request->header_bytes + request->body_sent + request->body_received;
}

const Carrier h2_carrier = {.http2 = true,
							.start = start,
							.moved = moved,
							.drop = drop,
							.cut = cut};

H2 *
h2_create(Origin *origin)
{
	H2 *h2 = calloc(1, sizeof(*h2));

	if (h2 == NULL)
		return NULL;
	h2->origin = origin;
	h2->ping_after_s = PING_AFTER_S;
	loop_member_init(&h2->member, NULL, run, h2);
	timer_init(&h2->pause, on_pause, h2);
	list_init(&h2->connections);
	list_init(&h2->waiting);
	list_init(&h2->ended);
	return h2;
}

void
h2_free(H2 *h2)
{
	ListNode *node;

	if (h2 == NULL)
		return;
	while ((node = list_first(&h2->connections)) != NULL)
		free_connection(connection_of(node));
	timer_cancel(&h2->pause);
	loop_leave(&h2->member);
	free(h2);
}
