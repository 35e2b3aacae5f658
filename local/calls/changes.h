/*-------------------------------------------------------------------------
 *
 * changes.h
 *	  Telling those who show what is going on that something has changed.
 *
 * Not what has changed: they look themselves, a few times a second at most.
 * Nothing is done, and no timer runs, while nobody watches.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_LOCAL_CHANGES_H
#define MODAL_LOCAL_CHANGES_H

#include <stddef.h>

/* Zeroed, but for look(), before the first use. */
typedef struct ChangeWatcher
{
	/* May leave by changes_unwatch, but only itself. */
	void (*look)(struct ChangeWatcher *watcher);
	struct ChangeWatcher *prev;
	struct ChangeWatcher *next;
} ChangeWatcher;

extern ChangeWatcher *change_watchers;

extern void changes_watch(ChangeWatcher *watcher);
extern void changes_unwatch(ChangeWatcher *watcher);
extern void changes_schedule(void);

/* Several times for each input: cheap when nobody watches. */
static inline void
changes_note(void)
{
	if (change_watchers != NULL)
		changes_schedule();
}

#endif /* MODAL_LOCAL_CHANGES_H */
