/*-------------------------------------------------------------------------
 *
 * host_watch.c
 *	  Noticing that a served file, or one beside it, has changed.
 *
 * Folders are watched, not files: editors write a new file and rename it.  Of a
 * symbolic link, the folder of what it leads to as well; and when anything in
 * its own has changed, it may lead elsewhere.
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
#define CHANGES (IN_CLOSE_WRITE | IN_MOVED_TO | IN_CREATE)

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

/* The descriptor of a folder's watch; -1: there is none. */
static int
watch_folder_of(const char *path)
{
	size_t len = (size_t) (base_of(path) - path);
	char *folder = len > 0 ? xasprintf("%.*s", (int) len, path) : xstrdup(".");
	int wd =
		watches.fd >= 0 ? inotify_add_watch(watches.fd, folder, CHANGES) : -1;

	if (wd < 0)
		complain("cannot watch \"%s\" for changes: %s", folder,
				 strerror(errno));
	free(folder);
	return wd;
}

/* Where the path leads to now; false: where it did, or nowhere. */
static bool
follow(HostWatch *watch)
{
	char *target = realpath(watch->path, NULL);

	if (target == NULL ||
		(watch->target != NULL && strcmp(target, watch->target) == 0))
	{
		free(target);
		return false;
	}
	free(watch->target);
	watch->target = target;
	watch->target_folder = watch_folder_of(target);
	return true;
}

static void
settled(void *arg)
{
	HostWatch *watch = arg;

	watch->changed(watch->arg);
}

static bool
concerns(HostWatch *w, const struct inotify_event *event)
{
	if (event->len == 0)
		return false;
	if (event->mask & IN_CREATE) /* a file is empty yet, a link is not */
		return event->wd == w->folder && follow(w);
	if (event->wd == w->target_folder && w->target != NULL &&
		strcmp(event->name, base_of(w->target)) == 0)
		return true;
	return event->wd == w->folder &&
		   (follow(w) || strcmp(event->name, base_of(w->path)) == 0 ||
			w->is_concerned(w->arg, event->name));
}

static void
take_event(const struct inotify_event *event)
{
	for (HostWatch *w = watches.all; w != NULL; w = w->next)
		if (concerns(w, event))
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
	if (watches.fd == 0)
	{
		watches.fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
		if (watches.fd >= 0)
			watches.lfd = loop_add_fd(watches.fd, EPOLLIN, events_ready, NULL);
	}
	watch->folder = watch_folder_of(watch->path);
	follow(watch);
	watch->next = watches.all;
	watches.all = watch;
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
	free(watch->target);
	watch->target = NULL;
}
