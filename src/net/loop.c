/*-------------------------------------------------------------------------
 *
 * loop.c
 *	  Sockets in one epoll descriptor, and whoever is to run in the next turn.
 *
 * In a turn every member runs once for each of its events and once when it was
 * kicked.  One that has more to do than it may do at once kicks itself, and
 * runs again in the next turn, after all others.
 *
 * Descriptors are the process's, of which there are few: before somebody takes
 * some, whoever has been idle for the longest time gives his up, until there
 * are enough.  Not from within libcurl, which is in the midst of what would be
 * closed.
 *
 *-------------------------------------------------------------------------
 */
#include "net/connection.h"
#include "net/internal.h"
#include "net/resolve.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define EVENTS_PER_WAIT 64

static int epoll_fd = -1;
static LoopMember **members; /* by descriptor */
static int nmembers;
static List kicked;
static int nsockets, max_sockets;
static List idle; /* LoopIdles, the one that is so for the longest time first */
static bool (*fd_reserve)(void);
static void (*fd_release)(void);

/* --- members -------------------------------------------------------------- */

void
loop_member_init(LoopMember *member,
				 void (*on_event)(void *owner, uint32_t events),
				 void (*on_kick)(void *owner), void *owner)
{
	*member = (LoopMember){.on_event = on_event,
						   .on_kick = on_kick,
						   .owner = owner,
						   .fd = -1};
}

static bool
members_reserve(int fd)
{
	if (fd >= nmembers)
	{
		int n = fd * 2 + 64;
		LoopMember **grown = realloc(members, n * sizeof(*members));

		if (grown == NULL)
			return false;
		memset(grown + nmembers, 0, (n - nmembers) * sizeof(*members));
		members = grown;
		nmembers = n;
	}
	return true;
}

bool
loop_watch(LoopMember *member, int fd, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.fd = fd};
	bool known = member->fd >= 0;

	MUST(!known || member->fd == fd);
	if (known && member->events == events && members[fd] == member)
		return true;
	if (!members_reserve(fd))
		return false;
	/* A library may have closed it, and opened another one there. */
	if (epoll_ctl(epoll_fd, EPOLL_CTL_MOD, fd, &event) != 0 &&
		(errno != ENOENT ||
		 epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0))
		return false;
	members[fd] = member;
	member->fd = fd;
	member->events = events;
	return true;
}

void
loop_leave(LoopMember *member)
{
	list_remove(&member->kicked);
	if (member->fd < 0)
		return;
	if (members[member->fd] == member)
	{
		/* Fails when it is closed already, which has the effect. */
		(void) epoll_ctl(epoll_fd, EPOLL_CTL_DEL, member->fd, NULL);
		members[member->fd] = NULL;
	}
	member->fd = -1;
}

void
loop_kick(LoopMember *member)
{
	if (!list_has(&member->kicked))
		list_append(&kicked, &member->kicked);
}

/* --- sockets -------------------------------------------------------------- */

static int
try_socket(int family)
{
	int fd;

	if (fd_reserve != NULL && !fd_reserve())
	{
		errno = EMFILE;
		return -1;
	}
	fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd >= 0)
		nsockets++;
	else if (fd_release != NULL)
	{
		int saved = errno;

		fd_release();
		errno = saved;
	}
	return fd;
}

static bool
lacks_descriptor(void)
{
	return errno == EMFILE || errno == ENFILE || errno == ENOBUFS ||
		   errno == ENOMEM;
}

int
loop_socket(int family, bool *no_descriptor)
{
	int fd = try_socket(family);

	*no_descriptor = fd < 0 && lacks_descriptor();
	return fd;
}

void
loop_closed(void)
{
	nsockets--;
	if (fd_release != NULL)
		fd_release();
}

void
loop_close(int fd)
{
	close(fd);
	loop_closed();
}

/* --- room for sockets ----------------------------------------------------- */

void
loop_set_idle(LoopIdle *member, bool is_idle)
{
	list_remove(&member->node);
	if (is_idle)
		list_append(&idle, &member->node);
}

/* Could a connection have a socket for each kind of address now? */
static bool
has_room(void)
{
	int fds[2];
	bool none;
	int n = 0;

	while (n < 2 && (fds[n] = loop_socket(AF_INET, &none)) >= 0)
		n++;
	for (int i = 0; i < n; i++)
		loop_close(fds[i]);
	return n == 2 || !none;
}

/* False: nobody is idle. */
static bool
evict_one(void)
{
	ListNode *node = list_pop(&idle);
	LoopIdle *member;

	if (node == NULL)
		return false;
	member = LIST_OWNER(LoopIdle, node, node);
	member->evict(member->owner);
	return true;
}

bool
loop_make_room(void)
{
	while (!has_room())
		if (!evict_one())
			return false;
	return true;
}

bool
loop_leaves_some(int more)
{
	while (nsockets + more > max_sockets - max_sockets / 8)
		if (!evict_one())
			return false;
	return true;
}

/* --- turns ---------------------------------------------------------------- */

void
net_run(void)
{
	ListNode mark;
	ListNode *node;

	list_mark(&kicked, &mark);
	while ((node = list_pop_until(&kicked, &mark)) != NULL)
	{
		LoopMember *member = LIST_OWNER(LoopMember, kicked, node);

		member->on_kick(member->owner);
	}
}

void
net_process(void)
{
	struct epoll_event events[EVENTS_PER_WAIT];
	int n;

	net_run();
	n = epoll_wait(epoll_fd, events, EVENTS_PER_WAIT, 0);
	for (int i = 0; i < n; i++)
	{
		LoopMember *member = members[events[i].data.fd];

		/* An event before may have closed it, and opened another one there,
		 * which then sees an event that is none. */
		if (member != NULL)
			member->on_event(member->owner, events[i].events);
	}
	net_run();
}

bool
net_init(bool (*reserve_fd)(void), void (*release_fd)(void), int max)
{
	max_sockets = max;
	fd_reserve = reserve_fd;
	fd_release = release_fd;
	list_init(&kicked);
	list_init(&idle);
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return false;
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	return epoll_fd >= 0 && resolve_init() && connections_init();
}

int
net_fd(void)
{
	return epoll_fd;
}

bool
net_busy(void)
{
	return !list_is_empty(&kicked);
}

int
net_connections(void)
{
	return nsockets;
}
