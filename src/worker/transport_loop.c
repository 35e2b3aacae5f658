/*-------------------------------------------------------------------------
 *
 * transport_loop.c
 *	  When curl runs: its sockets in one epoll descriptor, its timers.
 *
 *-------------------------------------------------------------------------
 */
#include "worker/transport_internal.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
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
	Origin *origin;	 /* NULL: not watched */
	uint32_t events;
	bool wanted;
	bool connection; /* opened by loop_open_socket, so we see its end */
	bool doubtful;	 /* to be looked at again */
} Socket;

static int epoll_fd = -1;
static Socket *sockets;
static int nsockets;
static bool doubts; /* is there a doubtful socket? */
static Origin *kicked;
static int nconnections;
static bool too_many; /* a connection was refused: we may have no more */
static unsigned int curl_version_running;
static bool (*fd_reserve)(void);
static void (*fd_release)(void);

/* --- what curl calls ------------------------------------------------------ */

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
	sockets[fd].origin = NULL;
}

static int
on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *unused)
{
	Origin *origin = arg;
	struct epoll_event event = {0};
	Socket *entry;

	(void) easy;
	(void) unused;
	if (!socket_table_reserve(fd))
		return -1;
	entry = &sockets[fd];

	entry->wanted = what != CURL_POLL_REMOVE;
	if (what == CURL_POLL_REMOVE)
	{
		if (!entry->connection)
			unwatch(fd);
		return 0;
	}

	if (what & CURL_POLL_IN)
		event.events |= EPOLLIN;
	if (what & CURL_POLL_OUT)
		event.events |= EPOLLOUT;
	event.data.fd = fd;
	if (entry->origin == origin && entry->events == event.events)
		return 0;
	if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0 &&
		(errno != EEXIST ||
		 epoll_ctl(epoll_fd, EPOLL_CTL_MOD, fd, &event) != 0))
		return -1;
	entry->origin = origin;
	entry->events = event.events;
	if (origin->config.http2)
		origin->socket = fd;
	return 0;
}

static void
kick(Origin *origin)
{
	if (!origin->kicked)
	{
		origin->kicked = true;
		origin->next_kicked = kicked;
		kicked = origin;
	}
}

static int
on_timer(CURLM *multi, long timeout_ms, void *arg)
{
	Origin *origin = arg;

	(void) multi;
	if (timeout_ms < 0)
		timer_cancel(&origin->timer);
	else if (timeout_ms == 0)
	{
		timer_cancel(&origin->timer);
		kick(origin);
	}
	else if (!timer_set(&origin->timer,
						monotonic_seconds() + timeout_ms / 1000.0))
		return -1;
	return 0;
}

curl_socket_t
loop_open_socket(void *arg, curlsocktype purpose,
				 struct curl_sockaddr *address)
{
	curl_socket_t fd;

	(void) arg;
	(void) purpose;
	if (fd_reserve != NULL && !fd_reserve())
	{
		too_many = true;
		return CURL_SOCKET_BAD;
	}
	fd = socket(address->family, address->socktype | SOCK_CLOEXEC,
				address->protocol);
	if (fd >= 0 && socket_table_reserve(fd))
	{
		sockets[fd] = (Socket){.connection = true};
		nconnections++;
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
	sockets[fd] = (Socket){0};
	close(fd);
	if (fd_release != NULL)
		fd_release();
	nconnections--;
	return 0;
}

void
loop_cut_connections(const Origin *origin)
{
	for (int fd = 0; fd < nsockets; fd++)
		if (sockets[fd].origin == origin && sockets[fd].connection)
			shutdown(fd, SHUT_RDWR);
}

/* Its streams may have more than they have been given: see below. */
static void
doubt(int fd)
{
	if (sockets[fd].origin->config.http2 && loop_curl_before(0x080100))
		doubts = sockets[fd].doubtful = true;
}

/* --- driving curl --------------------------------------------------------- */

static void
drive(Origin *origin, curl_socket_t fd, int mask)
{
	int running;

	curl_multi_socket_action(origin->multi, fd, mask, &running);
	requests_reap(origin);
}

static void
on_origin_timer(void *arg)
{
	drive(arg, CURL_SOCKET_TIMEOUT, 0);
}

static void
cork(const Origin *origin, int fd, int on)
{
	if (fd >= 0 && sockets[fd].origin == origin)
		setsockopt(fd, IPPROTO_TCP, TCP_CORK, &on, sizeof(on));
}

/*
 * curl sends headers and data of each request by themselves.  Corked, all that
 * is sent now leaves together, and wakes up the other side once.
 */
static void
drive_corked(Origin *origin)
{
	int fd = origin->socket;

	cork(origin, fd, 1);
	drive(origin, CURL_SOCKET_TIMEOUT, 0);
	cork(origin, fd, 0);
}

void
transport_run(void)
{
	/* Bounded, so that a busy origin does not keep the event loop here. */
	for (int i = 0; i < KICKS_PER_TURN && kicked != NULL; i++)
	{
		Origin *origin = kicked;

		kicked = origin->next_kicked;
		origin->kicked = false;
		drive_corked(origin);
	}
	if (too_many)
	{
		too_many = false;
		origins_close_idle();
	}
}

/*
 * libcurl before 8.1 may leave bytes of one HTTP/2 stream lying in its own
 * buffers that it has read on behalf of another stream, and then wait for the
 * socket, where nothing more comes.  Only asking it to read once more brings
 * them to light.
 */
bool
transport_settle(void)
{
	bool found = false;

	if (!doubts)
		return false;
	doubts = false;
	for (int fd = 0; fd < nsockets; fd++)
	{
		Origin *origin = sockets[fd].origin;
		uint64_t before;

		if (!sockets[fd].doubtful)
			continue;
		sockets[fd].doubtful = false;
		if (origin == NULL || !sockets[fd].wanted || origin->active == NULL)
			continue;
		before = origin->progress;
		drive(origin, fd, CURL_CSELECT_IN);
		if (origin->progress == before)
			continue;
		found = true;
		if (sockets[fd].origin != NULL) /* else it was closed */
			doubt(fd);
	}
	return found || transport_busy();
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
		int mask = 0;

		/* An event before may have closed it. */
		if (sockets[fd].origin == NULL)
			continue;
		if (!sockets[fd].wanted)
		{
			unwatch(fd);
			continue;
		}
		if (events[i].events & (EPOLLIN | EPOLLHUP))
			mask |= CURL_CSELECT_IN;
		if (events[i].events & EPOLLOUT)
			mask |= CURL_CSELECT_OUT;
		if (events[i].events & EPOLLERR)
			mask |= CURL_CSELECT_ERR;
		doubt(fd);
		drive(sockets[fd].origin, fd, mask);
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
	curl_version_running = curl_version_info(CURLVERSION_NOW)->version_num;
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

bool
loop_curl_before(unsigned int version)
{
	return curl_version_running < version;
}

/* --- origins -------------------------------------------------------------- */

void
loop_add(Origin *origin)
{
	origin->socket = -1;
	timer_init(&origin->timer, on_origin_timer, origin);
	curl_multi_setopt(origin->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
	curl_multi_setopt(origin->multi, CURLMOPT_SOCKETDATA, origin);
	curl_multi_setopt(origin->multi, CURLMOPT_TIMERFUNCTION, on_timer);
	curl_multi_setopt(origin->multi, CURLMOPT_TIMERDATA, origin);
}

void
loop_remove(Origin *origin)
{
	timer_cancel(&origin->timer);
	for (Origin **at = &kicked; *at != NULL; at = &(*at)->next_kicked)
	{
		if (*at == origin)
		{
			*at = origin->next_kicked;
			break;
		}
	}
	for (int fd = 0; fd < nsockets; fd++)
	{
		if (sockets[fd].origin == origin)
			sockets[fd].origin = NULL;
	}
	origin->kicked = false;
}
