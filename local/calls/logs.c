/*-------------------------------------------------------------------------
 *
 * logs.c
 *	  What the inputs of calls have printed, line by line.
 *
 *-------------------------------------------------------------------------
 */
#include "calls/logs.h"

#include <stdlib.h>

#include "calls/changes.h"
#include "util.h"

#define MAX_BYTES (64 * 1024 * 1024)
#define MAX_CALL_BYTES (4 * 1024 * 1024)
#define MAX_LINE (64 * 1024) /* the rest of a longer one is dropped */

static struct
{
	LogLine *oldest;
	LogLine *newest;
	uint64_t last; /* number of the newest ever */
	size_t bytes;
	LogWatcher *watchers;
	LoopDeferred wake;
} logs;

static size_t
size_of(const LogLine *line)
{
	return sizeof(*line) + line->len;
}

/* The oldest of its call. */
static void
drop_first(Call *call)
{
	LogLine *line = call->log.first;

	call->log.first = line->next;
	if (call->log.first == NULL)
		call->log.last = NULL;
	call->log.bytes -= size_of(line);
	logs.bytes -= size_of(line);
	if (line->newer != NULL)
		line->newer->older = line->older;
	else
		logs.newest = line->older;
	if (line->older != NULL)
		line->older->newer = line->newer;
	else
		logs.oldest = line->newer;
	free(line);
}

static void
wake_watchers(void *arg)
{
	LogWatcher *next;

	(void) arg;
	for (LogWatcher *w = logs.watchers; w != NULL; w = next)
	{
		next = w->next; /* it may leave, but only itself */
		w->wake(w);
	}
}

static void
add_line(Call *call, int32_t idx, int stream, const char *text, size_t len)
{
	size_t kept = len < MAX_LINE ? len : MAX_LINE;
	LogLine *line = xmalloc(sizeof(*line) + kept);

	*line = (LogLine){.number = ++logs.last,
					  .at = loop_wall_time(),
					  .call = call,
					  .idx = idx,
					  .stream = stream,
					  .len = kept,
					  .older = logs.newest};
	memcpy(line->text, text, kept);
	if (logs.newest != NULL)
		logs.newest->newer = line;
	else
		logs.oldest = line;
	logs.newest = line;
	if (call->log.last != NULL)
		call->log.last->next = line;
	else
		call->log.first = line;
	call->log.last = line;
	call->log.bytes += size_of(line);
	logs.bytes += size_of(line);
	while (call->log.bytes > MAX_CALL_BYTES)
		drop_first(call);
	while (logs.bytes > MAX_BYTES && logs.oldest != NULL)
		drop_first(logs.oldest->call);
}

void
logs_add(Call *call, int32_t idx, int stream, const char *text, size_t len)
{
	while (len > 0)
	{
		const char *newline = memchr(text, '\n', len);
		size_t n = newline != NULL ? (size_t) (newline - text) + 1 : len;

		add_line(call, idx, stream, text, n);
		text += n;
		len -= n;
	}
	changes_note();
	if (logs.watchers != NULL)
		loop_defer(&logs.wake, wake_watchers, NULL);
}

void
logs_forget(Call *call)
{
	while (call->log.first != NULL)
		drop_first(call);
}

const LogLine *
logs_next(const Call *call, const LogLine *line)
{
	return call != NULL ? line->next : line->newer;
}

/* From the newest back: who asks again has seen all but a few. */
const LogLine *
logs_after(const Call *call, uint64_t number)
{
	const LogLine *line = logs.newest;

	if (number == 0)
		return call != NULL ? call->log.first : logs.oldest;
	if (line == NULL || line->number <= number)
		return NULL;
	while (line->older != NULL && line->older->number > number)
		line = line->older;
	while (line != NULL && call != NULL && line->call != call)
		line = line->newer;
	return line;
}

void
logs_watch(LogWatcher *watcher)
{
	watcher->prev = NULL;
	watcher->next = logs.watchers;
	if (watcher->next != NULL)
		watcher->next->prev = watcher;
	logs.watchers = watcher;
}

void
logs_unwatch(LogWatcher *watcher)
{
	if (watcher->next != NULL)
		watcher->next->prev = watcher->prev;
	if (watcher->prev != NULL)
		watcher->prev->next = watcher->next;
	else
		logs.watchers = watcher->next;
}
