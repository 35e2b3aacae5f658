/*-------------------------------------------------------------------------
 *
 * host_watch.c
 *	  Noticing that a served file, or one beside it, has changed.
 *
 * Folders are watched, not files: editors write a new file and rename it.
 *
 *-------------------------------------------------------------------------
 */
#include "host/host_watch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "util.h"

#define SETTLE_SECONDS 0.1
#define CHANGES (IN_CLOSE_WRITE | IN_MOVED_TO)

static struct
{
	int fd; /* 0: not opened yet */
	LoopFd *lfd;
	HostWatch *all;
} watches;

static const char *
base_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash != NULL ? slash + 1 : path;
}

static void
settled(void *arg)
{
	HostWatch *watch = arg;

	watch->changed(watch->arg);
}

static void
take_event(const struct inotify_event *event)
{
	for (HostWatch *w = watches.all; w != NULL; w = w->next)
		if (w->folder == event->wd && event->len > 0 &&
			(strcmp(event->name, base_of(w->path)) == 0 ||
			 w->is_concerned(w->arg, event->name)))
			loop_set_timer(&w->settle, SETTLE_SECONDS, settled, w);
}

static void
events_ready(void *arg, uint32_t events)
{
	char data[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
	ssize_t n;

	(void) arg;
	(void) events;
	while ((n = read(watches.fd, data, sizeof(data))) > 0)
		for (char *p = data; p < data + n;)
		{
			const struct inotify_event *event = (struct inotify_event *) p;

			take_event(event);
			p += sizeof(*event) + event->len;
		}
}

void
watch_start(HostWatch *watch)
{
	size_t len = (size_t) (base_of(watch->path) - watch->path);
	char *folder =
		len > 0 ? xasprintf("%.*s", (int) len, watch->path) : xstrdup(".");

	if (watches.fd == 0)
	{
		watches.fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
		if (watches.fd >= 0)
			watches.lfd = loop_add_fd(watches.fd, EPOLLIN, events_ready, NULL);
	}
	watch->folder =
		watches.fd >= 0 ? inotify_add_watch(watches.fd, folder, CHANGES) : -1;
	if (watch->folder < 0)
		complain("cannot watch \"%s\" for changes: %s", folder,
				 strerror(errno));
	watch->next = watches.all;
	watches.all = watch;
	free(folder);
}

void
watch_stop(HostWatch *watch)
{
	HostWatch **link = &watches.all;

	loop_clear_timer(&watch->settle);
	while (*link != NULL && *link != watch)
		link = &(*link)->next;
	if (*link != NULL)
		*link = watch->next;
}
