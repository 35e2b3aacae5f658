/*-------------------------------------------------------------------------
 *
 * multi.c
 *	  A multi handle of libcurl in the loop; see multi.h.
 *
 * curl says which sockets it waits for (on_socket), and opens and closes them
 * by our means, so that descriptors are accounted for.  What it does not wait
 * for is an idle connection, on which nothing may come: libcurl before 8.0
 * would take that for the beginning of the next answer.  So we wait there, and
 * end a connection that is disturbed; curl sees the end when it looks whether
 * it can use the connection again.  Newer ones look once a second at most, so
 * they are told: those from 8.16 on can be, and close all that are idle.
 *
 * What runs within curl (on_socket, on_timer, opening and closing of sockets)
 * only takes notes.  on_run comes after that, and may do anything.
 *
 *-------------------------------------------------------------------------
 */
#include "net/multi.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#define NUDGE_S 0.5
#define DRAIN_SIZE (16 * 1024)
#define MAX_DRAINS 64
#define POLLED_AT_ONCE 64

typedef struct MultiSocket
{
	LoopMulti *multi;
	LoopMember member;
	int fd;
	bool connection; /* we opened it, and are told of its end */
	bool wanted;     /* curl waits for it */
	bool handed_over;
} MultiSocket;

/* --- running curl --------------------------------------------------------- */

static void
run(LoopMulti *multi, curl_socket_t fd, int mask)
{
	int running;

	curl_multi_socket_action(multi->curl, fd, mask, &running);
	multi->on_run(multi->owner);
}

static void
on_due(void *arg)
{
	run(arg, CURL_SOCKET_TIMEOUT, 0);
}

static void
on_nudge(void *arg)
{
	LoopMulti *multi = arg;
	double now = monotonic_seconds();
	int running;

	if (now < multi->nudge_until)
		(void) timer_set(&multi->nudge, now + NUDGE_S);
	/*
	 * Unlike curl_multi_perform, this says of what it begins for which sockets
	 * it waits; or the answers would come to connections that seem to be idle.
	 */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
	curl_multi_socket_all(multi->curl, &running);
#pragma GCC diagnostic pop
	multi->on_run(multi->owner);
}

void
multi_expect_connection(LoopMulti *multi, double seconds)
{
	double now = monotonic_seconds();

	if (multi->nudge_until < now + seconds)
		multi->nudge_until = now + seconds;
	if (multi->nudge.heap_index == 0)
		(void) timer_set(&multi->nudge, now + NUDGE_S);
}

static int
on_timer(CURLM *curl, long timeout_ms, void *arg)
{
	LoopMulti *multi = arg;

	(void) curl;
	if (timeout_ms <= 0)
		timer_cancel(&multi->timer);
	if (timeout_ms == 0)
		loop_kick(&multi->member);
	else if (timeout_ms > 0 &&
			 !timer_set(&multi->timer,
						monotonic_seconds() + timeout_ms / 1000.0))
		return -1;
	return 0;
}

/* --- sockets -------------------------------------------------------------- */

/* Whatever came last on it is thrown away, or curl would find it alive. */
static void
end_connection(int fd)
{
	char waste[DRAIN_SIZE];

	(void) shutdown(fd, SHUT_RDWR);
	for (int i = 0; i < MAX_DRAINS; i++)
	{
		if (recv(fd, waste, sizeof(waste), MSG_DONTWAIT) <= 0)
			break;
	}
}

/* May close any idle connection, and free its MultiSocket. */
static void
tell_curl(LoopMulti *multi)
{
#ifdef CURLMNWC_CLEAR_CONNS
	curl_multi_setopt(multi->curl, CURLMOPT_NETWORK_CHANGED,
					  CURLMNWC_CLEAR_CONNS);
#else
	(void) multi;
#endif
}

static void
on_event(void *owner, uint32_t events)
{
	MultiSocket *socket = owner;
	int mask = 0;

	if (!socket->wanted)
	{
		loop_leave(&socket->member);
		if (socket->connection)
		{
			end_connection(socket->fd);
			tell_curl(socket->multi);
		}
		return;
	}
	if (events & (EPOLLIN | EPOLLHUP))
		mask |= CURL_CSELECT_IN;
	if (events & EPOLLOUT)
		mask |= CURL_CSELECT_OUT;
	if (events & EPOLLERR)
		mask |= CURL_CSELECT_ERR;
	run(socket->multi, socket->fd, mask);
}

static MultiSocket *
add_socket(LoopMulti *multi, int fd, bool connection)
{
	MultiSocket *socket = calloc(1, sizeof(*socket));

	if (socket == NULL)
		return NULL;
	socket->multi = multi;
	socket->fd = fd;
	socket->connection = connection;
	loop_member_init(&socket->member, on_event, NULL, socket);
	if (map_put(&multi->sockets, fd, socket))
		return socket;
	free(socket);
	return NULL;
}

static void
forget_socket(LoopMulti *multi, int fd)
{
	MultiSocket *socket = map_remove(&multi->sockets, fd);

	if (socket == NULL)
		return;
	loop_leave(&socket->member);
	free(socket);
}

/* libcurl 7.88 tells nobody when it closes one that has not connected. */
static void
forget_closed(LoopMulti *multi, int fd)
{
	forget_socket(multi, fd);
	loop_closed();
}

static int
on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *unused)
{
	LoopMulti *multi = arg;
	MultiSocket *socket = map_get(&multi->sockets, fd);
	uint32_t events = 0;

	(void) easy;
	(void) unused;
	if (socket != NULL && socket->handed_over)
		return 0;
	if (what == CURL_POLL_REMOVE)
	{
		if (socket == NULL)
			return 0;
		socket->wanted = false;
		if (!socket->connection)
			forget_socket(multi, fd);
		else if (fcntl(fd, F_GETFD) < 0)
			forget_closed(multi, fd);
		else if (!loop_watch(&socket->member, fd, EPOLLIN))
			return -1;
		return 0;
	}
	if (socket == NULL && (socket = add_socket(multi, fd, false)) == NULL)
		return -1;
	if (what & CURL_POLL_IN)
		events |= EPOLLIN;
	if (what & CURL_POLL_OUT)
		events |= EPOLLOUT;
	socket->wanted = true;
	return loop_watch(&socket->member, fd, events) ? 0 : -1;
}

static curl_socket_t
open_socket(void *data, curlsocktype purpose, struct curl_sockaddr *address)
{
	SocketClaim *claim = data;
	MultiSocket *known;
	int fd;

	(void) purpose;
	if (!origin_may_connect(claim->origin, &address->addr))
	{
		claim->not_allowed = !claim->allowed;
		return CURL_SOCKET_BAD;
	}
	claim->allowed = true;
	claim->not_allowed = false;
	fd = loop_socket(address->family, &claim->no_descriptor);
	if (fd < 0)
		return CURL_SOCKET_BAD;
	known = map_get(&claim->multi->sockets, fd);
	if (known != NULL && known->connection) /* closed behind our back */
		forget_closed(claim->multi, fd);
	else if (known != NULL)
		forget_socket(claim->multi, fd);
	if (add_socket(claim->multi, fd, true) == NULL)
	{
		loop_close(fd);
		return CURL_SOCKET_BAD;
	}
	return fd;
}

static int
close_socket(void *arg, curl_socket_t fd)
{
	forget_socket(arg, fd);
	loop_close(fd);
	return 0;
}

bool
multi_claim_sockets(CURL *easy, SocketClaim *claim, LoopMulti *multi,
					const Origin *origin)
{
	CURLcode rc = CURLE_OK;

	claim->multi = multi;
	claim->origin = origin;
	SET_OPTION(rc, easy, CURLOPT_OPENSOCKETFUNCTION, open_socket);
	SET_OPTION(rc, easy, CURLOPT_OPENSOCKETDATA, claim);
	SET_OPTION(rc, easy, CURLOPT_CLOSESOCKETFUNCTION, close_socket);
	SET_OPTION(rc, easy, CURLOPT_CLOSESOCKETDATA, multi);
	return rc == CURLE_OK;
}

void
multi_claim_begin(SocketClaim *claim)
{
	claim->no_descriptor = claim->not_allowed = claim->allowed = false;
}

void
multi_hand_over(LoopMulti *multi, int fd)
{
	MultiSocket *socket = map_get(&multi->sockets, fd);

	if (socket == NULL)
		return;
	socket->handed_over = true;
	loop_leave(&socket->member);
}

/* Whether there were any. */
static bool
end_readable(struct pollfd *polled, nfds_t n)
{
	bool any = n > 0 && poll(polled, n, 0) > 0;

	for (nfds_t i = 0; any && i < n; i++)
	{
		if (polled[i].revents != 0)
			end_connection(polled[i].fd);
	}
	return any;
}

void
multi_end_disturbed(LoopMulti *multi)
{
	struct pollfd polled[POLLED_AT_ONCE];
	MapVisit visit = {0};
	MultiSocket *socket;
	bool any = false;
	nfds_t n = 0;

	while ((socket = map_next(&multi->sockets, &visit)) != NULL)
	{
		if (socket->wanted || !socket->connection || socket->member.fd < 0)
			continue;
		polled[n++] = (struct pollfd){.fd = socket->fd, .events = POLLIN};
		if (n == POLLED_AT_ONCE)
		{
			any |= end_readable(polled, n);
			n = 0;
		}
	}
	any |= end_readable(polled, n);
	if (any)
		tell_curl(multi);
}

void
multi_cut(LoopMulti *multi)
{
	MapVisit visit = {0};
	MultiSocket *socket;

	while ((socket = map_next(&multi->sockets, &visit)) != NULL)
	{
		if (socket->connection)
			(void) shutdown(socket->fd, SHUT_RDWR);
	}
}

/* --- opening and closing -------------------------------------------------- */

bool
multi_open(LoopMulti *multi, void (*on_run)(void *), void *owner)
{
	multi->curl = curl_multi_init();
	if (multi->curl == NULL)
		return false;
	loop_member_init(&multi->member, NULL, on_due, multi);
	timer_init(&multi->timer, on_due, multi);
	timer_init(&multi->nudge, on_nudge, multi);
	multi->nudge_until = 0;
	map_init(&multi->sockets, NULL);
	multi->on_run = on_run;
	multi->owner = owner;
	curl_multi_setopt(multi->curl, CURLMOPT_SOCKETFUNCTION, on_socket);
	curl_multi_setopt(multi->curl, CURLMOPT_SOCKETDATA, multi);
	curl_multi_setopt(multi->curl, CURLMOPT_TIMERFUNCTION, on_timer);
	curl_multi_setopt(multi->curl, CURLMOPT_TIMERDATA, multi);
	return true;
}

void
multi_close(LoopMulti *multi)
{
	MapVisit visit = {0};
	MultiSocket *socket;

	if (multi->curl == NULL)
		return;
	curl_multi_cleanup(multi->curl);
	multi->curl = NULL;
	timer_cancel(&multi->timer);
	timer_cancel(&multi->nudge);
	loop_leave(&multi->member);
	/* Those that curl has closed without a word. */
	while ((socket = map_next(&multi->sockets, &visit)) != NULL)
	{
		if (socket->connection)
			loop_closed();
		loop_leave(&socket->member);
		free(socket);
	}
	map_free(&multi->sockets);
}
