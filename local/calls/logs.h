/*-------------------------------------------------------------------------
 *
 * logs.h
 *	  What the inputs of calls have printed, line by line.
 *
 * Kept as long as the call, within bounds: of one call and of all, the oldest
 * lines go first.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_LOCAL_LOGS_H
#define MODAL_LOCAL_LOGS_H

#include "calls/calls.h"

typedef struct LogLine
{
	uint64_t number; /* from 1, in the order of arrival */
	double at;		 /* Unix seconds */
	Call *call;
	int32_t idx;
	int stream; /* 1: standard output, 2: standard error */
	size_t len;
	struct LogLine *older; /* of all */
	struct LogLine *newer;
	struct LogLine *next; /* newer one of the same call */
	char text[];		  /* with its newline */
} LogLine;

/* Somebody who wants to know of new lines; zeroed before the first use. */
typedef struct LogWatcher
{
	void (*wake)(struct LogWatcher *watcher);
	struct LogWatcher *prev;
	struct LogWatcher *next;
} LogWatcher;

/* Whole lines that an input of the call has printed. */
extern void logs_add(Call *call, int32_t idx, int stream, const char *text,
					 size_t len);
/* The call is to be freed. */
extern void logs_forget(Call *call);
/*
 * The oldest line with a larger number, of the call or, NULL, of all; NULL:
 * there is none.
 */
extern const LogLine *logs_after(const Call *call, uint64_t number);
/* The next of these. */
extern const LogLine *logs_next(const Call *call, const LogLine *line);

/* wake() is called at the end of each round that had new lines. */
extern void logs_watch(LogWatcher *watcher);
extern void logs_unwatch(LogWatcher *watcher);

#endif /* MODAL_LOCAL_LOGS_H */
