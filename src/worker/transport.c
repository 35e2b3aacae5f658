/*-------------------------------------------------------------------------
 *
 * transport.c
 *	  Requests, from their start to their end, whatever carries them.
 *
 * The clock of a request starts when it is about to be sent, so that waiting
 * for a connection or a stream does not count.
 *
 * libcurl resolves names in threads of its own, which inherit the signal
 * mask: whoever runs transport_process() and timers_run() has all signals
 * blocked, so that PostgreSQL's handlers run in the main thread only.
 *
 *-------------------------------------------------------------------------
 */
#include "worker/transport_internal.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_HEADER_BYTES (256 * 1024) /* headers and trailers of a response */
#define MAX_HEADER_NAME 256
#define MAX_IDLE_REQUESTS 256 /* kept for reuse, per origin */

static int nactive;
static TransportStats stats;

/* --- what carriers tell --------------------------------------------------- */

bool
request_sent(Request *request)
{
	const RequestSpec *spec = &request->spec;
	Response *response = &request->response;

	if (spec->once && response->sent_at > 0)
	{
		request->abort = ABORT_SECOND_TIME;
		return false;
	}
	response->sent_at = monotonic_seconds();
	request->progress_before = request->origin->progress;
	if ((spec->timeout_s > 0 &&
		 !timer_set(&request->timeout, response->sent_at + spec->timeout_s)) ||
		(spec->first_byte_timeout_s > 0 &&
		 !timer_set(&request->first_byte_timeout,
					response->sent_at + spec->first_byte_timeout_s)) ||
		(spec->stall_timeout_s > 0 &&
		 !timer_set(&request->stall,
					response->sent_at + spec->stall_timeout_s)))
	{
		request->abort = ABORT_NO_MEMORY;
		return false;
	}
	return true;
}

static void
note_first_byte(Request *request)
{
	request->origin->progress++;
	if (request->first_byte)
		return;
	request->first_byte = true;
	timer_cancel(&request->first_byte_timeout);
	request->response.first_byte_s =
		monotonic_seconds() - request->response.sent_at;
}

bool
request_head_bytes(Request *request, size_t n)
{
	note_first_byte(request);
	request->header_bytes += n;
	if (request->header_bytes <= MAX_HEADER_BYTES)
		return true;
	request->abort = ABORT_HEADERS_TOO_LARGE;
	return false;
}

void
request_header(Request *request, const char *name, size_t name_len,
			   const char *value, size_t value_len)
{
	char lower[MAX_HEADER_NAME];

	if (request->spec.on_header == NULL || name_len == 0 ||
		name_len > sizeof(lower))
		return;
	for (size_t i = 0; i < name_len; i++)
		lower[i] = tolower((unsigned char) name[i]);
	request->spec.on_header(request->spec.arg, lower, name_len, value,
							value_len);
}

bool
request_data(Request *request, const void *p, size_t n)
{
	Response *response = &request->response;

	note_first_byte(request);
	request->body_begun = true;
	if (request->spec.on_body != NULL)
	{
		if (!request->spec.on_body(request->spec.arg, p, n))
			request->abort = ABORT_BY_OWNER;
	}
	else if (n > request->spec.max_body - response->body.len)
		request->abort = ABORT_BODY_TOO_LARGE;
	else
	{
		buf_put(&response->body, p, n);
		if (response->body.failed)
			request->abort = ABORT_NO_MEMORY;
	}
	return request->abort == ABORT_NONE;
}

/* --- the end of a request ------------------------------------------------- */

static const struct
{
	TransportError error;
	const char *message;
} reasons[] = {
	[ABORT_BODY_TOO_LARGE] = {TRANSPORT_TOO_LARGE,
							  "response body is too large"},
	[ABORT_HEADERS_TOO_LARGE] = {TRANSPORT_TOO_LARGE,
								 "response headers are too large"},
	[ABORT_NO_MEMORY] = {TRANSPORT_MEMORY, "out of memory"},
	[ABORT_BAD_ENCODING] = {TRANSPORT_PROTOCOL,
							"the compressed body cannot be read"},
	[ABORT_BY_OWNER] = {TRANSPORT_ABORTED, "response was abandoned"},
	[ABORT_SECOND_TIME] = {TRANSPORT_LOST,
						   "connection was closed before an answer came"},
	[ABORT_TIMEOUT] = {TRANSPORT_TIMEOUT, "request timed out"},
	[ABORT_FIRST_BYTE_TIMEOUT] =
		{TRANSPORT_TIMEOUT,
		 "server accepted the request and did not answer in time"},
	[ABORT_STALLED] = {TRANSPORT_TIMEOUT, "server does not answer"},
};

static void
collect_figures(Request *request)
{
	Response *response = &request->response;

	if (request->is_h2)
		h2_figures(request);
	else
		curl_figures(request);
	response->finished_at = monotonic_seconds();
	if (response->sent_at > 0)
		response->total_s = response->finished_at - response->sent_at;
	stats.requests++;
	stats.bytes_sent += response->bytes_sent;
	stats.bytes_received += response->bytes_received;
}

/* Nobody carries it any more, and no clock is running. */
static void
detach(Request *request)
{
	Origin *origin = request->origin;

	if (request->is_h2)
		h2_drop(request);
	else
		curl_drop(request);
	timer_cancel(&request->timeout);
	timer_cancel(&request->first_byte_timeout);
	timer_cancel(&request->stall);
	if (request->prev != NULL)
		request->prev->next = request->next;
	else
		origin->active = request->next;
	if (request->next != NULL)
		request->next->prev = request->prev;
	nactive--;
}

static void
request_destroy(Request *request)
{
	buf_free(&request->lines);
	buf_free(&request->response.body);
	if (request->easy != NULL)
		curl_easy_cleanup(request->easy);
	curl_url_cleanup(request->url);
	buf_free(&request->url_text);
	free(request);
}

/* To the idle list. */
static void
retire(Request *request)
{
	Origin *origin = request->origin;

	buf_free(&request->response.body);
	if (origin->nidle >= MAX_IDLE_REQUESTS)
	{
		request_destroy(request);
		return;
	}
	request->next = origin->idle;
	origin->idle = request;
	origin->nidle++;
}

void
request_finish(Request *request, TransportError error, const char *message)
{
	Response *response = &request->response;

	collect_figures(request);
	request->origin->progress++;
	if (request->abort != ABORT_NONE)
	{
		error = reasons[request->abort].error;
		message = reasons[request->abort].message;
	}
	response->error = error;
	response->http2 = request->is_h2;
	if (error != TRANSPORT_OK)
		snprintf(response->message, sizeof(response->message), "%s", message);
	detach(request);
	request->spec.on_done(request->spec.arg, response);
	retire(request);
}

/*
 * When nothing at all has come from there since the request was sent, then the
 * connections may be dead, and would swallow the next request as well.
 */
static void
give_up(Request *request, AbortReason reason)
{
	Origin *origin = request->origin;

	if (origin->progress == request->progress_before)
	{
		if (request->is_h2)
			h2_cut(request);
		else
			loop_cut_connections(&origin->multi);
	}
	request->abort = reason;
	request_finish(request, TRANSPORT_TIMEOUT, "");
}

static void
on_timeout(void *arg)
{
	give_up(arg, ABORT_TIMEOUT);
}

static void
on_first_byte_timeout(void *arg)
{
	give_up(arg, ABORT_FIRST_BYTE_TIMEOUT);
}

static void
on_stall(void *arg)
{
	Request *request = arg;
	uint64_t moved = request->header_bytes +
					 (request->is_h2 ? h2_moved(request) : curl_moved(request));

	if (moved == request->moved)
	{
		give_up(request, ABORT_STALLED);
		return;
	}
	request->moved = moved;
	if (!timer_set(&request->stall,
				   monotonic_seconds() + request->spec.stall_timeout_s))
		give_up(request, ABORT_NO_MEMORY);
}

void
transport_stats(TransportStats *to)
{
	*to = stats;
}

int
transport_active(void)
{
	return nactive;
}

/* --- starting and cancelling ---------------------------------------------- */

static Request *
request_create(Origin *origin)
{
	Request *request = origin->idle;

	if (request != NULL)
	{
		origin->idle = request->next;
		origin->nidle--;
		return request;
	}
	request = calloc(1, sizeof(*request));
	if (request == NULL)
		return NULL;
	request->origin = origin;
	buf_init(&request->lines, 0, NULL);
	buf_init(&request->url_text, 0, NULL);
	timer_init(&request->timeout, on_timeout, request);
	timer_init(&request->first_byte_timeout, on_first_byte_timeout, request);
	timer_init(&request->stall, on_stall, request);
	return request;
}

/* A whole URL must be https where the origin is, unless both are here. */
static bool
may_be_asked(const Origin *origin, const char *path)
{
	return strncmp(path, "http://", 7) != 0 || origin->plain ||
		   (origin->loopback && url_is_loopback(path));
}

Request *
request_start(const RequestSpec *spec)
{
	Origin *origin = spec->origin;
	bool whole_url = strstr(spec->path, "://") != NULL;
	Request *request;

	if (!may_be_asked(origin, spec->path))
		return NULL;
	request = request_create(origin);
	if (request == NULL)
		return NULL;
	request->spec = *spec;
	memset(&request->response, 0, sizeof(request->response));
	buf_init(&request->response.body, 0, NULL);
	buf_reset(&request->lines);
	request->abort = ABORT_NONE;
	request->header_bytes = 0;
	request->first_byte = false;
	request->body_begun = false;
	request->moved = 0;
	request->error[0] = '\0';
	request->is_h2 = origin->h2 != NULL && !origin->h1_only && !whole_url;
	if (!(request->is_h2 ? h2_start(request) : curl_start(request)))
	{
		request_destroy(request);
		return NULL;
	}
	request->prev = NULL;
	request->next = origin->active;
	if (origin->active != NULL)
		origin->active->prev = request;
	origin->active = request;
	nactive++;
	return request;
}

/* HTTP/2 has kept a copy of path and headers, one line after the other. */
bool
request_fall_back(Request *request)
{
	Buf lines = request->lines;
	const char *line = (const char *) lines.data;
	const char *end = line + lines.len;
	const char *headers[MAX_HEADERS + 1];
	int n = 0;
	bool ok;

	buf_init(&request->lines, 0, NULL);
	request->spec.path = line + strlen(request->origin->base_path);
	while ((line += strlen(line) + 1) < end)
		headers[n++] = line;
	headers[n] = NULL;
	request->spec.headers = headers;
	ok = curl_start(request);
	request->is_h2 = !ok;
	buf_free(&lines);
	return ok;
}

void
request_cancel(Request *request)
{
	detach(request);
	retire(request);
}

void
requests_free(Origin *origin)
{
	Request *request, *next;

	for (request = origin->active; request != NULL; request = next)
	{
		next = request->next;
		request_cancel(request);
	}
	while ((request = origin->idle) != NULL)
	{
		origin->idle = request->next;
		request_destroy(request);
	}
}
