/*-------------------------------------------------------------------------
 *
 * request.c
 *	  Requests, from their start to their end, whatever carries them.
 *
 * A request waits in its carrier's queue, is sent on a connection, ends, and is
 * finished: then its owner is told, and it is kept for the next one.  The clock
 * of a request starts when it is about to be sent, so that waiting for a
 * connection or a stream does not count.
 *
 * It may be sent again only before anything of an answer has come, and if the
 * server says by HTTP's own means that it was not begun, or nothing of it was
 * written; or, unless its owner forbids it (once), when it was lost on a kept
 * connection, which most likely had been dead already.
 *
 *-------------------------------------------------------------------------
 */
#include "core/gunzip.h"
#include "net/internal.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define NO_LENGTH UINT64_MAX
#define MAX_ROOM_AT_ONCE (1024 * 1024)
#define MAX_HEADER_BYTES (256 * 1024) /* headers and trailers of a response */
#define MAX_HEADER_NAME 256
#define MAX_KEPT_REQUESTS 256 /* for reuse, per origin */

static int nactive;
static NetStats stats;

/* --- what carriers tell --------------------------------------------------- */

bool
request_has_path(const Request *request)
{
	const char *path = (const char *) request->lines.data;

	for (; *path != '\0'; path++)
	{
		if ((unsigned char) *path <= ' ' || *path == 0x7f || *path == '#')
			return false;
	}
	return true;
}

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
stop_clocks(Request *request)
{
	timer_cancel(&request->timeout);
	timer_cancel(&request->first_byte_timeout);
	timer_cancel(&request->stall);
}

bool
request_may_go_again(const Request *request, bool begun)
{
	return !request->first_byte && request->abort == ABORT_NONE &&
		   (!begun || !request->spec.once);
}

void
request_reset(Request *request)
{
	stop_clocks(request);
	request->response.sent_at = 0;
	request->body_sent = 0;
	request->body_received = 0;
	request->header_bytes = 0;
	request->length = NO_LENGTH;
	request->complete = false;
}

void
request_forget_answer(Request *request)
{
	request->first_byte = false;
	request->held = 0;
	request->response.status = 0;
	buf_reset(&request->response.body);
	gunzip_free(request->gunzip);
	request->gunzip = NULL;
	request->other_coding = false;
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
request_head_begins(Request *request)
{
	request->length = NO_LENGTH;
}

static bool
is(const char *text, size_t n, const char *known)
{
	return n == strlen(known) && strncasecmp(text, known, n) == 0;
}

/* RFC 9110, 8.4.1.3; another coding matters as soon as there is a body. */
static void
add_coding(Request *request, const char *coding, size_t n)
{
	if (is(coding, n, "identity"))
		return;
	if (request->gunzip != NULL ||
		(!is(coding, n, "gzip") && !is(coding, n, "x-gzip")))
	{
		request->other_coding = true;
		return;
	}
	request->gunzip = gunzip_create();
	if (request->gunzip == NULL)
		request->abort = ABORT_NO_MEMORY;
}

/* The next item, of n bytes, of a list with commas; false: there is none. */
static bool
next_item(const char **at, const char *end, const char **item, size_t *n)
{
	do
	{
		const char *comma = memchr(*at, ',', end - *at);
		const char *last = comma != NULL ? comma : end;

		*item = *at;
		*at = comma != NULL ? comma + 1 : end;
		while (*item < last && (**item == ' ' || **item == '\t'))
			(*item)++;
		while (last > *item && (last[-1] == ' ' || last[-1] == '\t'))
			last--;
		*n = last - *item;
	} while (*n == 0 && *at < end);
	return *n > 0;
}

/*
 * Who is not told what he may send may send gzip (RFC 9110, 12.5.3).  A trailer
 * comes too late to say anything of the body.
 */
static bool
add_codings(Request *request, const char *value, size_t n)
{
	const char *end = value + n;
	const char *coding;

	while (request->body_received == 0 &&
		   next_item(&value, end, &coding, &n))
		add_coding(request, coding, n);
	return request->abort == ABORT_NONE;
}

static bool
read_length(const char *digits, size_t n, uint64_t *length)
{
	*length = 0;
	for (size_t i = 0; i < n; i++)
	{
		if (!isdigit((unsigned char) digits[i]) ||
			*length > NO_LENGTH / 10 - 1)
			return false;
		*length = *length * 10 + (uint64_t) (digits[i] - '0');
	}
	return true;
}

/*
 * RFC 9110, 8.6: with two that differ, or none that is a number, nobody knows
 * where the message ends.  libcurl takes one of them, or goes on to the end of
 * the connection.
 */
static bool
note_lengths(Request *request, const char *value, size_t n)
{
	const char *end = value + n;
	const char *digits;
	uint64_t length;

	while (next_item(&value, end, &digits, &n))
	{
		if (!read_length(digits, n, &length))
			request->abort = ABORT_BAD_LENGTH;
		else if (request->length != NO_LENGTH && request->length != length)
			request->abort = ABORT_TWO_LENGTHS;
		request->length = length;
	}
	return request->abort == ABORT_NONE;
}

bool
request_header(Request *request, const char *name, size_t name_len,
			   const char *value, size_t value_len)
{
	char lower[MAX_HEADER_NAME];

	if (is(name, name_len, "content-length") &&
		!note_lengths(request, value, value_len))
		return false;
	if (is(name, name_len, "content-encoding") &&
		!add_codings(request, value, value_len))
		return false;
	if (request->spec.on_header == NULL || name_len == 0 ||
		name_len > sizeof(lower))
		return true;
	for (size_t i = 0; i < name_len; i++)
		lower[i] = tolower((unsigned char) name[i]);
	request->spec.on_header(request->spec.arg, lower, name_len, value,
							value_len);
	return true;
}

/* May the body grow to so many bytes?  Its owner is asked for more than that. */
static bool
may_hold(Request *request, size_t size)
{
	const RequestSpec *spec = &request->spec;

	if (spec->may_hold == NULL || size <= request->held)
		return true;
	request->held = request->length != NO_LENGTH && request->length > size
		? request->length
		: size > request->held * 2 ? size : request->held * 2;
	return spec->may_hold(spec->arg, request->held);
}

/*
 * Memory for the whole body at once, rather than twice as much each time that
 * it is used up.  What the server says may be wrong: for more than a little it
 * needs the owner's consent.
 */
static void
make_room(Request *request, const void *p, size_t n)
{
	const RequestSpec *spec = &request->spec;
	uint64_t size = request->length;
	uint64_t most = MAX_ROOM_AT_ONCE;

	if (size == NO_LENGTH)
		size = spec->body_size != NULL ? spec->body_size(p, n) : 0;
	if (most < request->held)
		most = request->held;
	if (most > spec->max_body)
		most = spec->max_body;
	if (size > most)
		size = most;
	if (size > n)
		(void) buf_reserve(&request->response.body, (size_t) size);
}

static bool
tells_of_more(const Request *request)
{
	return request->spec.on_more != NULL && request->gunzip == NULL &&
		request->length != NO_LENGTH && request->response.status / 100 == 2;
}

static bool
take_body(void *arg, const void *p, size_t n)
{
	Request *request = arg;
	Response *response = &request->response;

	if (request->spec.on_body != NULL)
	{
		if (!request->spec.on_body(request->spec.arg, p, n))
			request->abort = ABORT_BY_OWNER;
	}
	else if (n > request->spec.max_body - response->body.len)
		request->abort = ABORT_BODY_TOO_LARGE;
	else if (!may_hold(request, response->body.len + n))
		request->abort = ABORT_BY_OWNER;
	else
	{
		if (response->body.len == 0)
			make_room(request, p, n);
		buf_put(&response->body, p, n);
		if (response->body.failed)
			request->abort = ABORT_NO_MEMORY;
		else if (tells_of_more(request))
			request->spec.on_more(request->spec.arg, &response->body,
								  request->length);
	}
	return request->abort == ABORT_NONE;
}

bool
request_data(Request *request, const void *p, size_t n)
{
	if (request->abort != ABORT_NONE)
		return false;
	note_first_byte(request);
	request->body_received += n;
	if (request->other_coding && n > 0)
	{
		request->abort = ABORT_OTHER_CODING;
		return false;
	}
	if (request->gunzip == NULL)
		return take_body(request, p, n);
	if (gunzip_feed(request->gunzip, p, n, take_body, request) == GUNZIP_BAD)
		request->abort = ABORT_BAD_CODING;
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
	[ABORT_TWO_LENGTHS] = {TRANSPORT_PROTOCOL,
						   "the response has two lengths"},
	[ABORT_BAD_LENGTH] = {TRANSPORT_PROTOCOL,
						  "the Content-Length of the response is not one"},
	[ABORT_OTHER_PROTOCOL] = {TRANSPORT_PROTOCOL,
							  "the server changed to another protocol"},
	[ABORT_HEADERS_TOO_LARGE] = {TRANSPORT_TOO_LARGE,
								 "response headers are too large"},
	[ABORT_NO_MEMORY] = {TRANSPORT_MEMORY, "out of memory"},
	[ABORT_BAD_CODING] = {TRANSPORT_CODING,
						  "the compressed body cannot be read"},
	[ABORT_OTHER_CODING] =
		{TRANSPORT_CODING,
		 "the body has a content coding that was not asked for"},
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

	if (request->carrier->figures != NULL)
		request->carrier->figures(request);
	response->finished_at = monotonic_seconds();
	if (response->sent_at > 0)
	{
		response->bytes_sent = request->lines.len + request->body_sent;
		response->total_s = response->finished_at - response->sent_at;
	}
	response->bytes_received = request->header_bytes + request->body_received;
	stats.requests++;
	stats.bytes_sent += response->bytes_sent;
	stats.bytes_received += response->bytes_received;
}

/* Nobody knows of it any more but its owner. */
static void
detach(Request *request)
{
	request->carrier->drop(request);
	MUST(!list_has(&request->queue));
	stop_clocks(request);
	gunzip_free(request->gunzip);
	request->gunzip = NULL;
	list_remove(&request->member);
	nactive--;
}

static void
request_destroy(Request *request)
{
	buf_free(&request->lines);
	transfer_free(request->transfer);
	buf_free(&request->response.body);
	free(request);
}

static void
retire(Request *request)
{
	Origin *origin = request->origin;

	buf_free(&request->response.body);
	if (origin->nkept >= MAX_KEPT_REQUESTS)
	{
		request_destroy(request);
		return;
	}
	list_prepend(&origin->kept, &request->member);
	origin->nkept++;
}

void
request_finish(Request *request, TransportError error, const char *message)
{
	Response *response = &request->response;

	if (error == TRANSPORT_OK && request->gunzip != NULL &&
		request->body_received > 0 && !gunzip_complete(request->gunzip))
	{
		error = TRANSPORT_CODING;
		message = "the compressed body is truncated";
	}
	collect_figures(request);
	request->origin->progress++;
	if (request->abort != ABORT_NONE)
	{
		error = reasons[request->abort].error;
		message = reasons[request->abort].message;
	}
	/* An error means what its status says, as if it had no body. */
	if (error == TRANSPORT_CODING && response->status / 100 != 2)
	{
		error = TRANSPORT_OK;
		buf_reset(&response->body);
	}
	response->error = error;
	response->http2 = request->carrier->http2;
	if (error != TRANSPORT_OK)
		snprintf(response->message, sizeof(response->message), "%s", message);
	detach(request);
	request->spec.on_done(request->spec.arg, response);
	retire(request);
}

void
requests_end(List *ended, Request *request, TransportError error,
			 const char *message)
{
	request->state = REQUEST_ENDED;
	request->error = error;
	snprintf(request->error_text, sizeof(request->error_text), "%s", message);
	list_remove(&request->queue);
	list_append(ended, &request->queue);
}

void
requests_finish(List *ended)
{
	ListNode mark;
	ListNode *node;

	list_mark(ended, &mark);
	while ((node = list_pop_until(ended, &mark)) != NULL)
	{
		Request *request = LIST_OWNER(Request, queue, node);

		request->state = REQUEST_FINISHED;
		request_finish(request, request->error, request->error_text);
	}
}

/*
 * When nothing at all has come from there since the request was sent, then the
 * connections may be dead, and would swallow the next request as well.
 */
static void
give_up(Request *request, AbortReason reason)
{
	if (request->origin->progress == request->progress_before)
		request->carrier->cut(request);
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
	uint64_t moved = request->carrier->moved(request);

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
net_stats(NetStats *to)
{
	*to = stats;
}

int
net_requests(void)
{
	return nactive;
}

/* --- starting and cancelling ---------------------------------------------- */

static Request *
request_create(Origin *origin)
{
	ListNode *node = list_pop(&origin->kept);
	Request *request;

	if (node != NULL)
	{
		origin->nkept--;
		return LIST_OWNER(Request, member, node);
	}
	request = calloc(1, sizeof(*request));
	if (request == NULL)
		return NULL;
	request->origin = origin;
	buf_init(&request->lines, 0, NULL);
	timer_init(&request->timeout, on_timeout, request);
	timer_init(&request->first_byte_timeout, on_first_byte_timeout, request);
	timer_init(&request->stall, on_stall, request);
	return request;
}

/* What is left of the last one. */
static void
clear(Request *request)
{
	Response *response = &request->response;

	memset(response, 0, sizeof(*response));
	buf_init(&response->body, 0, NULL);
	buf_reset(&request->lines);
	request->abort = ABORT_NONE;
	request_reset(request);
	request->first_byte = false;
	request->other_coding = false;
	request->held = 0;
	request->moved = 0;
	request->refusals = request->vain_refusals = 0;
}

/* Path and headers; false: no memory, too many, or no headers at all. */
static bool
copy_lines(Request *request, const char *path)
{
	const char *const *headers = request->spec.headers;
	const char *base = request->origin->base_path;
	Buf *lines = &request->lines;
	int n = 0;

	if (base[0] != '/' && (base[0] != '\0' || path[0] != '/'))
		buf_put_u8(lines, '/');
	buf_put_cstr(lines, base);
	buf_put(lines, path, strlen(path) + 1);
	for (; headers != NULL && headers[n] != NULL; n++)
	{
		/* A line break would begin another header. */
		if (strpbrk(headers[n], "\r\n") != NULL)
			return false;
		buf_put(lines, headers[n], strlen(headers[n]) + 1);
	}
	return !lines->failed && n <= MAX_HEADERS;
}

Request *
request_start(const RequestSpec *spec)
{
	Origin *origin = spec->origin;
	const char *path = spec->path;
	Request *request;

	if (path[0] != '/')
		origin = origin_of_url(origin, spec->path, &path);
	request = origin != NULL ? request_create(origin) : NULL;
	if (request == NULL)
		return NULL;
	request->spec = *spec;
	clear(request);
	request->carrier = origin_carrier(origin);
	if (!copy_lines(request, path) || !request->carrier->start(request))
	{
		request_destroy(request);
		return NULL;
	}
	list_append(&origin->active, &request->member);
	nactive++;
	return request;
}

bool
request_change_carrier(Request *request, const Carrier *carrier)
{
	request->carrier->drop(request);
	request_reset(request);
	request->carrier = carrier;
	return carrier->start(request);
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
	ListNode *node;

	while ((node = list_first(&origin->active)) != NULL)
		request_cancel(LIST_OWNER(Request, member, node));
	while ((node = list_pop(&origin->kept)) != NULL)
		request_destroy(LIST_OWNER(Request, member, node));
	origin->nkept = 0;
}
