/*-------------------------------------------------------------------------
 *
 * host_watch.h
 *	  Noticing that a served file, or one beside it, has changed.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_LOCAL_HOST_WATCH_H
#define MODAL_LOCAL_HOST_WATCH_H

#include <stdbool.h>

#include "net/loop.h"

/* Embedded in its owner's structure; the first four are the owner's to set. */
typedef struct HostWatch
{
	const char *path;
	/* Does a change of another file in that folder concern it, too? */
	bool (*is_concerned)(void *arg, const char *name);
	/* A moment after the last of several changes. */
	void (*changed)(void *arg);
	void *arg;

	int folder;		   /* inotify's number; -1: not watched */
	char *target;	   /* what the path leads to through links */
	int target_folder; /* likewise, of that */
	LoopTimer settle;
	struct HostWatch *next;
} HostWatch;

extern void watch_start(HostWatch *watch);
extern void watch_stop(HostWatch *watch);

#endif /* MODAL_LOCAL_HOST_WATCH_H */
