/*-------------------------------------------------------------------------
 *
 * transport.c
 *	  HTTP requests on libcurl's multi_socket interface, from their start to
 *	  their end.
 *
 * curl's callbacks only record what they see.  Finished requests are reaped
 * after curl has returned, and only then is the owner's on_done called.  The
 * clock of a request starts when curl is about to send it (PREREQFUNCTION),
 * so that waiting for a connection or a stream does not count.
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
#include <strings.h>
#include <time.h>

#define MAX_HEADER_BYTES (256 * 1024) /* headers and trailers of a response */
#define MAX_HEADER_NAME 256
#define MAX_HEADERS 80				  /* of a request */
#define EXPECT_BODY (64 * 1024)		  /* with a larger body curl may ask first */
#define MAX_IDLE_REQUESTS 256		  /* kept for reuse, per origin */

/* Why our own callbacks made curl fail a request. */
typedef enum AbortReason
{
	ABORT_NONE,
	ABORT_BODY_TOO_LARGE,
	ABORT_HEADERS_TOO_LARGE,
	ABORT_NO_MEMORY,
	ABORT_BY_OWNER,
	ABORT_HTTP1,
	ABORT_SECOND_TIME,
	ABORT_TIMEOUT,
	ABORT_FIRST_BYTE_TIMEOUT,
	ABORT_STALLED
} AbortReason;

struct Request
{
	Origin *origin;
	Request *prev, *next; /* origin's active or idle list */
	CURL *easy;
	/* The list of headers, and their lines; kept for the next request. */
	struct curl_slist headers[MAX_HEADERS];
	int nheaders;
	Buf header_lines;
	RequestSpec spec;	  /* origin, path and headers are not used later */
	Response response;
	AbortReason abort;
	size_t header_bytes;
	bool first_byte;
	bool body_begun;
	bool no_descriptor;
	Timer timeout;
	Timer first_byte_timeout;
	Timer stall;
	curl_off_t moved;	  /* bytes, both ways, when stall was set */
	uint64_t progress_before; /* its origin's, when it was sent */
	char error[CURL_ERROR_SIZE];
};

static int nactive;
static TransportStats stats;

/* --- what curl calls ------------------------------------------------------ */

static int
on_prereq(void *arg, char *conn_primary_ip, char *conn_local_ip,
		  int conn_primary_port, int conn_local_port)
{
	Request *request = arg;

	(void) conn_primary_ip;
	(void) conn_local_ip;
	(void) conn_primary_port;
	(void) conn_local_port;
	if (request->spec.once && request->response.sent_at > 0)
	{
		request->abort = ABORT_SECOND_TIME;
		return CURL_PREREQFUNC_ABORT;
	}
	request->response.sent_at = monotonic_seconds();
	request->progress_before = request->origin->progress;
	if ((request->spec.timeout_s > 0 &&
		 !timer_set(&request->timeout,
					request->response.sent_at + request->spec.timeout_s)) ||
		(request->spec.first_byte_timeout_s > 0 &&
		 !timer_set(&request->first_byte_timeout,
					request->response.sent_at +
						request->spec.first_byte_timeout_s)) ||
		(request->spec.stall_timeout_s > 0 &&
		 !timer_set(&request->stall,
					request->response.sent_at + request->spec.stall_timeout_s)))
	{
		request->abort = ABORT_NO_MEMORY;
		return CURL_PREREQFUNC_ABORT;
	}
	return CURL_PREREQFUNC_OK;
}

static curl_socket_t
on_open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
	Request *request = arg;
	curl_socket_t fd = loop_open_socket(NULL, purpose, address);

	request->no_descriptor = fd == CURL_SOCKET_BAD;
	return fd;
}

static void
note_first_byte(Request *request)
{
	if (request->first_byte)
		return;
	request->first_byte = true;
	timer_cancel(&request->first_byte_timeout);
	request->response.first_byte_s =
		monotonic_seconds() - request->response.sent_at;
}

static size_t
on_header_line(char *line, size_t size, size_t n, void *arg)
{
	Request *request = arg;
	size_t len = size * n;
	size_t end = len;
	size_t name_len;
	size_t value;
	const char *colon;
	char name[MAX_HEADER_NAME];

	note_first_byte(request);
	request->origin->progress++;
	request->header_bytes += len;
	if (request->header_bytes > MAX_HEADER_BYTES)
	{
		request->abort = ABORT_HEADERS_TOO_LARGE;
		return 0;
	}

	if (len >= 5 && memcmp(line, "HTTP/", 5) == 0)
	{
		request->response.http2 = len > 5 && line[5] == '2';
		if (request->origin->config.http2_required &&
			!request->response.http2)
		{
			request->abort = ABORT_HTTP1;
			return 0;
		}
		return len;
	}
	colon = memchr(line, ':', len);
	if (colon == NULL || request->spec.on_header == NULL)
		return len;

	name_len = colon - line;
	if (name_len == 0 || name_len > sizeof(name))
		return len;
	for (size_t i = 0; i < name_len; i++)
		name[i] = tolower((unsigned char) line[i]);
	value = name_len + 1;
	while (value < end && (line[value] == ' ' || line[value] == '\t'))
		value++;
	while (end > value && isspace((unsigned char) line[end - 1]))
		end--;
	request->spec.on_header(request->spec.arg, name, name_len, line + value,
							end - value);
	return len;
}

static size_t
on_data(char *p, size_t size, size_t n, void *arg)
{
	Request *request = arg;
	size_t len = size * n;

	note_first_byte(request);
	request->origin->progress++;
	request->body_begun = true;
	if (request->spec.on_body != NULL)
	{
		if (!request->spec.on_body(request->spec.arg, p, len))
		{
			request->abort = ABORT_BY_OWNER;
			return 0;
		}
		return len;
	}
	if (len > request->spec.max_body - request->response.body.len)
	{
		request->abort = ABORT_BODY_TOO_LARGE;
		return 0;
	}
	buf_put(&request->response.body, p, len);
	if (request->response.body.failed)
	{
		request->abort = ABORT_NO_MEMORY;
		return 0;
	}
	return len;
}

/* --- the end of a request ------------------------------------------------- */

/* CURLE_TOO_LARGE, which libcurl has from 8.6 on: seen at run time. */
#define CODE_TOO_LARGE 100

/*
 * A head over libcurl's own limits; before 8.6 it calls a line that is too
 * long out of memory.
 */
static bool
head_too_large(const Request *request, CURLcode code)
{
	return (code == CURLE_OUT_OF_MEMORY || (int) code == CODE_TOO_LARGE) &&
		request->response.sent_at > 0 && !request->body_begun;
}

static void
cancel_timers(Request *request)
{
	timer_cancel(&request->timeout);
	timer_cancel(&request->first_byte_timeout);
	timer_cancel(&request->stall);
}

static TransportError
classify(const Request *request, CURLcode code)
{
	bool sent = request->response.sent_at > 0;

	switch (request->abort)
	{
		case ABORT_NONE:
			break;
		case ABORT_BODY_TOO_LARGE:
		case ABORT_HEADERS_TOO_LARGE:
			return TRANSPORT_TOO_LARGE;
		case ABORT_NO_MEMORY:
			return TRANSPORT_MEMORY;
		case ABORT_BY_OWNER:
			return TRANSPORT_ABORTED;
		case ABORT_SECOND_TIME:
			return TRANSPORT_LOST;
		case ABORT_HTTP1:
			return TRANSPORT_CONNECT;
		case ABORT_TIMEOUT:
		case ABORT_FIRST_BYTE_TIMEOUT:
		case ABORT_STALLED:
			return TRANSPORT_TIMEOUT;
	}

	if (head_too_large(request, code))
		return TRANSPORT_TOO_LARGE;
	switch (code)
	{
		case CURLE_OK:
			return TRANSPORT_OK;
		case CURLE_PEER_FAILED_VERIFICATION:
		case CURLE_SSL_CERTPROBLEM:
		case CURLE_SSL_CACERT_BADFILE:
		case CURLE_SSL_ISSUER_ERROR:
			return TRANSPORT_TLS;
		case CURLE_OUT_OF_MEMORY:
			return TRANSPORT_MEMORY;
		case CURLE_UNSUPPORTED_PROTOCOL:
		case CURLE_URL_MALFORMAT:
		case CURLE_WEIRD_SERVER_REPLY:
		case CURLE_BAD_CONTENT_ENCODING:
			return TRANSPORT_PROTOCOL;
		default:
			if (!sent && request->no_descriptor)
				return TRANSPORT_NO_DESCRIPTOR;
			return sent ? TRANSPORT_LOST : TRANSPORT_CONNECT;
	}
}

static const char *
error_text(const Request *request, CURLcode code)
{
	switch (request->abort)
	{
		case ABORT_NONE:
			break;
		case ABORT_BODY_TOO_LARGE:
			return "response body is too large";
		case ABORT_HEADERS_TOO_LARGE:
			return "response headers are too large";
		case ABORT_NO_MEMORY:
			return "out of memory";
		case ABORT_BY_OWNER:
			return "response was abandoned";
		case ABORT_HTTP1:
			return "server does not offer HTTP/2";
		case ABORT_SECOND_TIME:
			return "connection was closed before an answer came";
		case ABORT_TIMEOUT:
			return "request timed out";
		case ABORT_FIRST_BYTE_TIMEOUT:
			return "server accepted the request and did not answer in time";
		case ABORT_STALLED:
			return "server does not answer";
	}
	if (head_too_large(request, code))
		return "response headers are too large";
	return request->error[0] != '\0' ? request->error : curl_easy_strerror(code);
}

static void
collect_figures(Request *request)
{
	Response *response = &request->response;
	curl_off_t upload = 0;
	curl_off_t download = 0;
	long status = 0;
	long request_size = 0;

	curl_easy_getinfo(request->easy, CURLINFO_RESPONSE_CODE, &status);
	curl_easy_getinfo(request->easy, CURLINFO_REQUEST_SIZE, &request_size);
	curl_easy_getinfo(request->easy, CURLINFO_SIZE_UPLOAD_T, &upload);
	curl_easy_getinfo(request->easy, CURLINFO_SIZE_DOWNLOAD_T, &download);
	response->status = status;
	response->bytes_sent = request_size + upload;
	response->bytes_received = request->header_bytes + download;
	response->finished_at = monotonic_seconds();
	if (response->sent_at > 0)
		response->total_s = response->finished_at - response->sent_at;
	stats.requests++;
	stats.bytes_sent += response->bytes_sent;
	stats.bytes_received += response->bytes_received;
}

static void
unlink_active(Request *request)
{
	Origin *origin = request->origin;

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
	buf_free(&request->header_lines);
	buf_free(&request->response.body);
	curl_easy_cleanup(request->easy);
	free(request);
}

/* Off the multi handle, and to the idle list. */
static void
request_retire(Request *request)
{
	Origin *origin = request->origin;

	cancel_timers(request);
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

static void
request_finish(Request *request, CURLcode code)
{
	void (*on_done)(void *, Response *) = request->spec.on_done;
	Response *response = &request->response;

	collect_figures(request);
	request->origin->progress++;
	response->error = classify(request, code);
	response->trailers_may_be_lost =
		response->http2 && loop_curl_before(0x080100);
	if (response->error != TRANSPORT_OK)
		snprintf(response->message, sizeof(response->message), "%s",
				 error_text(request, code));
	curl_multi_remove_handle(request->origin->multi, request->easy);
	unlink_active(request);
	cancel_timers(request);

	on_done(request->spec.arg, response);
	request_retire(request);
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
		loop_cut_connections(origin);
	request->abort = reason;
	request_finish(request, CURLE_OPERATION_TIMEDOUT);
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
	curl_off_t upload = 0;
	curl_off_t moved = 0;

	curl_easy_getinfo(request->easy, CURLINFO_SIZE_UPLOAD_T, &upload);
	curl_easy_getinfo(request->easy, CURLINFO_SIZE_DOWNLOAD_T, &moved);
	moved += upload + (curl_off_t) request->header_bytes;
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
requests_reap(Origin *origin)
{
	CURLMsg *message;
	int left;

	while ((message = curl_multi_info_read(origin->multi, &left)) != NULL)
	{
		CURLcode code = message->data.result;
		char *request;

		if (message->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &request);
		request_finish((Request *) request, code);
	}
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

static bool
set_callbacks(Request *request)
{
	CURLcode rc = CURLE_OK;

#define SET(option, value) SET_OPTION(rc, request->easy, option, value)
	SET(CURLOPT_OPENSOCKETFUNCTION, on_open_socket);
	SET(CURLOPT_OPENSOCKETDATA, request);
	SET(CURLOPT_PREREQFUNCTION, on_prereq);
	SET(CURLOPT_PREREQDATA, request);
	SET(CURLOPT_HEADERFUNCTION, on_header_line);
	SET(CURLOPT_HEADERDATA, request);
	SET(CURLOPT_WRITEFUNCTION, on_data);
	SET(CURLOPT_WRITEDATA, request);
	SET(CURLOPT_ERRORBUFFER, request->error);
	SET(CURLOPT_PRIVATE, request);
#undef SET
	return rc == CURLE_OK;
}

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
	buf_init(&request->header_lines, 0, NULL);
	timer_init(&request->timeout, on_timeout, request);
	timer_init(&request->first_byte_timeout, on_first_byte_timeout, request);
	timer_init(&request->stall, on_stall, request);
	request->easy = curl_easy_init();
	if (request->easy == NULL || !set_callbacks(request) ||
		!origin_set_options(origin, request->easy))
	{
		request_destroy(request);
		return NULL;
	}
	return request;
}

/* There is room for the line already. */
static void
add_header(Request *request, const char *line)
{
	struct curl_slist *node = &request->headers[request->nheaders];
	size_t size = strlen(line) + 1;

	node->data = (char *) buf_extend(&request->header_lines, size);
	memcpy(node->data, line, size);
	node->next = NULL;
	if (request->nheaders++ > 0)
		node[-1].next = node;
}

/* The owner's headers, without those that curl would add by itself. */
static bool
build_headers(Request *request, const RequestSpec *spec)
{
	static const char no_expect[] = "Expect:", no_type[] = "Content-Type:",
					  no_accept[] = "Accept:";
	bool content_type = false;
	bool accept = false;
	size_t size = sizeof(no_expect) + sizeof(no_type) + sizeof(no_accept);
	int n = 0;

	while (spec->headers != NULL && spec->headers[n] != NULL)
		size += strlen(spec->headers[n++]) + 1;
	buf_reset(&request->header_lines);
	request->nheaders = 0;
	if (n > MAX_HEADERS - 3 || !buf_reserve(&request->header_lines, size))
		return false;
	for (int i = 0; i < n; i++)
	{
		const char *line = spec->headers[i];

		content_type |= strncasecmp(line, "content-type:", 13) == 0;
		accept |= strncasecmp(line, "accept:", 7) == 0;
		add_header(request, line);
	}
	if (spec->body_len >= EXPECT_BODY)
		add_header(request, no_expect);
	if (!content_type)
		add_header(request, no_type);
	if (!accept)
		add_header(request, no_accept);
	return true;
}

Request *
request_start(const RequestSpec *spec)
{
	Origin *origin = spec->origin;
	Request *request = request_create(origin);

	if (request == NULL)
		return NULL;
	request->spec = *spec;
	memset(&request->response, 0, sizeof(request->response));
	buf_init(&request->response.body, 0, NULL);
	request->abort = ABORT_NONE;
	request->header_bytes = 0;
	request->first_byte = false;
	request->body_begun = false;
	request->no_descriptor = false;
	request->moved = 0;
	request->error[0] = '\0';

	if (!build_headers(request, spec) ||
		!origin_set_request(origin, request->easy, spec) ||
		curl_easy_setopt(request->easy, CURLOPT_HTTPHEADER,
						 request->headers) != CURLE_OK ||
		curl_multi_add_handle(origin->multi, request->easy) != CURLM_OK)
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

void
request_cancel(Request *request)
{
	curl_multi_remove_handle(request->origin->multi, request->easy);
	unlink_active(request);
	request_retire(request);
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
