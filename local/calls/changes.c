/*-------------------------------------------------------------------------
 *
 * changes.c
 *	  Telling those who show what is going on that something has changed.
 *
 *-------------------------------------------------------------------------
 */
#include "calls/changes.h"

#include <stddef.h>

#include "calls/exec.h"
#include "net/loop.h"

#define LOOK_SECONDS 0.25 /* between looks at what changes all the time */

ChangeWatcher *change_watchers;

static LoopTimer timer;

static void
look(void *arg)
{
	ChangeWatcher *next;

	(void) arg;
	for (ChangeWatcher *w = change_watchers; w != NULL; w = next)
	{
		next = w->next;
		w->look(w);
	}
}

void
changes_schedule(void)
{
	if (timer.place == 0)
		loop_set_timer(&timer, LOOK_SECONDS, look, NULL);
}

void
executor_changed(void)
{
	changes_note();
}

void
changes_watch(ChangeWatcher *watcher)
{
	watcher->prev = NULL;
	watcher->next = change_watchers;
	if (watcher->next != NULL)
		watcher->next->prev = watcher;
	change_watchers = watcher;
}

void
changes_unwatch(ChangeWatcher *watcher)
{
	if (watcher->next != NULL)
		watcher->next->prev = watcher->prev;
	if (watcher->prev != NULL)
		watcher->prev->next = watcher->next;
	else
		change_watchers = watcher->next;
}
