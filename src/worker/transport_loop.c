/*-------------------------------------------------------------------------
 *
 * transport_loop.c
 *	  Sockets in one epoll descriptor, timers of curl, and whoever is to run
 *	  in the next turn.
 *
 *-------------------------------------------------------------------------
 */
#include "worker/transport_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define EVENTS_PER_WAIT 64
#define KICKS_PER_TURN 256

/*
 * By descriptor: whose it is, and which events epoll watches.  curl takes an
 * interest in a connection for each request anew.  So a socket that it does
 * not want is taken out of epoll only when it has an event after all.
 */
typedef struct Socket
{
	LoopMember *member; /* NULL: not watched */
	uint32_t events;
	bool wanted;
	bool connection; /* opened by loop_open_socket, so we see its end */
} Socket;

static int epoll_fd = -1;
static Socket *sockets;
static int nsockets;
static LoopMember *kicked, **kicked_tail = &kicked;
static int nconnections;
static bool too_many; /* a connection was refused: we may have no more */
static bool (*fd_reserve)(void);
static void (*fd_release)(void);

/* --- sockets -------------------------------------------------------------- */

static bool
socket_table_reserve(int fd)
{
	if (fd >= nsockets)
	{
		int n = fd * 2 + 64;
		Socket *grown = realloc(sockets, n * sizeof(*sockets));

		if (grown == NULL)
			return false;
		memset(grown + nsockets, 0, (n - nsockets) * sizeof(*sockets));
		sockets = grown;
		nsockets = n;
	}
	return true;
}

static void
unwatch(int fd)
{
	/* Fails when the socket is closed already, which has the effect. */
	epoll_ctl(epoll_fd, EPOLL_CTL_DEL, fd, NULL);
	sockets[fd].member = NULL;
}

bool
loop_watch(LoopMember *member, int fd, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.fd = fd};
	Socket *entry;

	if (!socket_table_reserve(fd))
		return false;
	entry = &sockets[fd];
	entry->wanted = true;
	if (entry->member == member && entry->events == events)
		return true;
	if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0 &&
		(errno != EEXIST ||
		 epoll_ctl(epoll_fd, EPOLL_CTL_MOD, fd, &event) != 0))
		return false;
	entry->member = member;
	entry->events = events;
	return true;
}

/* The socket of a connection is closed. */
static void
forget_connection(int fd)
{
	sockets[fd] = (Socket){0};
	if (fd_release != NULL)
		fd_release();
	nconnections--;
}

curl_socket_t
loop_open_socket(void *no_descriptor, curlsocktype purpose,
				 struct curl_sockaddr *address)
{
	bool *none = no_descriptor;
	curl_socket_t fd;

	(void) purpose;
	if (fd_reserve != NULL && !fd_reserve())
	{
		too_many = true;
		*none = true;
		return CURL_SOCKET_BAD;
	}
	fd = socket(address->family, address->socktype | SOCK_CLOEXEC,
				address->protocol);
	/* Other reasons are the address's, and there may be another one. */
	*none = fd >= 0 || errno == EMFILE || errno == ENFILE || errno == ENOBUFS ||
			errno == ENOMEM;
	if (fd >= 0 && socket_table_reserve(fd))
	{
		if (sockets[fd].connection) /* closed behind our back */
			forget_connection(fd);
		sockets[fd] = (Socket){.connection = true};
		nconnections++;
		*none = false;
		return fd;
	}
	if (fd >= 0)
		close(fd);
	if (fd_release != NULL)
		fd_release();
	return CURL_SOCKET_BAD;
}

int
loop_close_socket(void *arg, curl_socket_t fd)
{
	(void) arg;
	close(fd);
	forget_connection(fd);
	return 0;
}

void
loop_cut_connections(const LoopMulti *multi)
{
	for (int fd = 0; fd < nsockets; fd++)
		if (sockets[fd].member == &multi->member && sockets[fd].connection)
			shutdown(fd, SHUT_RDWR);
}

/* --- turns ---------------------------------------------------------------- */

void
loop_kick(LoopMember *member)
{
	if (member->kicked)
		return;
	member->kicked = true;
	member->next_kicked = NULL;
	*kicked_tail = member;
	kicked_tail = &member->next_kicked;
}

static void
unkick(LoopMember *member)
{
	for (LoopMember **at = &kicked; *at != NULL; at = &(*at)->next_kicked)
	{
		if (*at == member)
		{
			*at = member->next_kicked;
			if (*at == NULL)
				kicked_tail = at;
			break;
		}
	}
	member->kicked = false;
}

void
loop_leave(LoopMember *member)
{
	if (member->kicked)
		unkick(member);
	for (int fd = 0; fd < nsockets; fd++)
	{
		if (sockets[fd].member == member)
			sockets[fd].member = NULL;
	}
}

void
transport_run(void)
{
	/* Bounded, so that a busy member does not keep the event loop here. */
	for (int i = 0; i < KICKS_PER_TURN && kicked != NULL; i++)
	{
		LoopMember *member = kicked;

		unkick(member);
		member->on_kick(member->owner);
	}
	if (too_many)
	{
		too_many = false;
		origins_close_idle();
	}
}

void
transport_process(void)
{
	struct epoll_event events[EVENTS_PER_WAIT];
	int n;

	transport_run();
	n = epoll_wait(epoll_fd, events, EVENTS_PER_WAIT, 0);
	for (int i = 0; i < n; i++)
	{
		int fd = events[i].data.fd;
		LoopMember *member = sockets[fd].member;

		/* An event before may have closed it. */
		if (member == NULL)
			continue;
		if (!sockets[fd].wanted)
			unwatch(fd);
		else
			member->on_event(member->owner, fd, events[i].events);
	}
	transport_run();
}

bool
transport_init(bool (*reserve_fd)(void), void (*release_fd)(void))
{
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return false;
	fd_reserve = reserve_fd;
	fd_release = release_fd;
	if (fd_reserve != NULL && !fd_reserve())
		return false;
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	return epoll_fd >= 0;
}

int
transport_fd(void)
{
	return epoll_fd;
}

bool
transport_busy(void)
{
	return kicked != NULL;
}

int
transport_connections(void)
{
	return nconnections;
}

/* --- multi handles of curl ------------------------------------------------ */

static int
on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *unused)
{
	LoopMulti *multi = arg;
	uint32_t events = 0;

	(void) easy;
	(void) unused;
	if (what == CURL_POLL_REMOVE)
	{
		if (!socket_table_reserve(fd))
			return -1;
		sockets[fd].wanted = false;
		if (!sockets[fd].connection)
			unwatch(fd);
		/* libcurl 7.88 tells nobody when it closes one that has not connected. */
		else if ((sockets[fd].events & EPOLLIN) == 0 && fcntl(fd, F_GETFD) < 0)
			forget_connection(fd);
		return 0;
	}
	if (what & CURL_POLL_IN)
		events |= EPOLLIN;
	if (what & CURL_POLL_OUT)
		events |= EPOLLOUT;
	return loop_watch(&multi->member, fd, events) ? 0 : -1;
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

/* Runs curl; the multi may be gone afterwards. */
static void
run_multi(LoopMulti *multi, curl_socket_t fd, int mask)
{
	int running;

	curl_multi_socket_action(multi->curl, fd, mask, &running);
	multi->on_run(multi->owner);
}

static void
on_multi_due(void *arg)
{
	run_multi(arg, CURL_SOCKET_TIMEOUT, 0);
}

static void
on_multi_event(void *owner, int fd, uint32_t events)
{
	int mask = 0;

	if (events & (EPOLLIN | EPOLLHUP))
		mask |= CURL_CSELECT_IN;
	if (events & EPOLLOUT)
		mask |= CURL_CSELECT_OUT;
	if (events & EPOLLERR)
		mask |= CURL_CSELECT_ERR;
	run_multi(owner, fd, mask);
}

bool
multi_open(LoopMulti *multi, void (*on_run)(void *), void *owner)
{
	multi->member = (LoopMember){.on_event = on_multi_event,
								 .on_kick = on_multi_due,
								 .owner = multi};
	multi->on_run = on_run;
	multi->owner = owner;
	timer_init(&multi->timer, on_multi_due, multi);
	multi->curl = curl_multi_init();
	if (multi->curl == NULL)
		return false;
	curl_multi_setopt(multi->curl, CURLMOPT_SOCKETFUNCTION, on_socket);
	curl_multi_setopt(multi->curl, CURLMOPT_SOCKETDATA, multi);
	curl_multi_setopt(multi->curl, CURLMOPT_TIMERFUNCTION, on_timer);
	curl_multi_setopt(multi->curl, CURLMOPT_TIMERDATA, multi);
	return true;
}

void
multi_close(LoopMulti *multi)
{
	if (multi->curl == NULL)
		return;
	curl_multi_cleanup(multi->curl);
	timer_cancel(&multi->timer);
	loop_leave(&multi->member);
	multi->curl = NULL;
}
