/*-------------------------------------------------------------------------
 *
 * events.c
 *	  Server-sent events: what has changed, to pages that are open.
 *
 * An event is all of what the page shows, which is not much, so that none is
 * needed to understand the next.  A page that is slow misses some: nothing is
 * made for it before it has taken the last one.
 *
 *-------------------------------------------------------------------------
 */
#include "console/events.h"

#include <stddef.h>
#include <stdlib.h>

#include "calls/calls.h"
#include "calls/changes.h"
#include "console/query.h"
#include "console/state.h"
#include "util.h"

#define MAX_STREAMS 32
#define EVENT_HEADERS \
	"Content-Type: text/event-stream\r\nCache-Control: no-store\r\n"

typedef struct Stream
{
	HttpRequest *http;
	ChangeWatcher watcher;
	uint64_t generation; /* of the functions that the page knows */
	bool has_call;
	uint64_t call;
	StateInputs which;
	int32_t from;
} Stream;

static int n_streams;

static void
send_event(Stream *stream, const char *name, json_object *data)
{
	Buf out;

	buf_init(&out, 0, xbuf_realloc);
	buf_printf(&out, "event: %s\ndata: ", name);
	buf_put_cstr(&out, json_object_to_json_string_ext(
						   data, JSON_C_TO_STRING_PLAIN |
									 JSON_C_TO_STRING_NOSLASHESCAPE));
	buf_put_cstr(&out, "\n\n");
	http_stream_send(stream->http, out.data, out.len);
	buf_free(&out);
	json_object_put(data);
}

static void
send_state(Stream *stream)
{
	bool functions = stream->generation != registry_generation();

	send_event(stream, "state", state_overview(functions));
	stream->generation = registry_generation();
	if (stream->has_call)
		send_event(stream, "call",
				   state_call(stream->call, stream->which, stream->from));
}

static void
look(ChangeWatcher *watcher)
{
	Stream *stream =
		(Stream *) ((char *) watcher - offsetof(Stream, watcher));

	if (http_stream_unsent(stream->http) > 0)
		changes_note(); /* next time, lest it misses the last change */
	else
		send_state(stream);
}

void
events_begin(HttpRequest *request, const char *query)
{
	Stream *stream;
	char text[32];

	if (n_streams == MAX_STREAMS)
	{
		http_refuse(request, "503 Service Unavailable");
		return;
	}
	n_streams++;
	stream = xcalloc(sizeof(*stream));
	stream->http = request;
	stream->watcher.look = look;
	stream->generation = registry_generation() - 1;
	stream->has_call = query_get(query, "call", text, sizeof(text)) &&
					   call_id_parse(text, &stream->call);
	query_get(query, "show", text, sizeof(text));
	stream->which = strcmp(text, "running") == 0  ? INPUTS_RUNNING
					: strcmp(text, "failed") == 0 ? INPUTS_FAILED
												  : INPUTS_ALL;
	stream->from = query_index(query, "from");
	if (stream->from < 0)
		stream->from = 0;
	request->state = stream;
	http_stream_begin(request, "200 OK", EVENT_HEADERS);
	changes_watch(&stream->watcher);
	send_state(stream);
}

void
events_close(HttpRequest *request)
{
	Stream *stream = request->state;

	changes_unwatch(&stream->watcher);
	n_streams--;
	free(stream);
}
