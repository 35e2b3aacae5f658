/*-------------------------------------------------------------------------
 *
 * http1.c
 *	  HTTP/1.1: requests and responses, one after the other on a connection.
 *
 * Bodies go to and come from handlers as they travel, so that memory does not
 * grow with them.
 *
 *-------------------------------------------------------------------------
 */
#include "net/http1.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "net/conn.h"
#include "util.h"

#define MAX_HEAD (16 * 1024)
/* Taken before its turn has come, and answered before that is read. */
#define MAX_AHEAD (1024 * 1024)

typedef enum State
{
	READ_HEAD,
	READ_BODY,
	ANSWERING, /* the handler has the whole request */
	SEND_BODY, /* of the response */
	STREAMING, /* likewise, one without an end */
	CLOSING	   /* what is left to be written, and then no more */
} State;

typedef struct Http1
{
	HttpRequest request;
	Conn *conn;
	State state;
	const HttpHandler *handler; /* of the request; NULL: there is none */
	Buf in;						/* head, or what came too early */
	Buf out;
	int64_t body_left;
	bool last; /* the connection ends with the answer */
} Http1;

static const HttpHandler *const *handlers;

void
http_init(const HttpHandler *const *all)
{
	handlers = all;
}

static Http1 *
http1_of(HttpRequest *request)
{
	return (Http1 *) ((char *) request - offsetof(Http1, request));
}

/* --- responses ----------------------------------------------------------- */

static void
forget_request(Http1 *http)
{
	if (http->handler != NULL)
		http->handler->close(&http->request);
	http->handler = NULL;
	http->request.state = NULL;
}

static void
put_head(Http1 *http, const char *status, const char *headers, int64_t len)
{
	buf_printf(&http->out, "HTTP/1.1 %s\r\nContent-Length: %lld\r\n%s%s\r\n",
			   status, (long long) len,
			   http->last ? "Connection: close\r\n" : "", headers);
	conn_wants_write(http->conn);
}

void
http_respond(HttpRequest *request, const char *status, const char *headers,
			 const void *body, size_t len)
{
	Http1 *http = http1_of(request);

	put_head(http, status, headers, (int64_t) len);
	if (strcmp(request->method, "HEAD") != 0)
		buf_put(&http->out, body, len);
	/* A body that nobody wants any more cannot be told from what follows. */
	http->state = http->body_left > 0 || http->last ? CLOSING : READ_HEAD;
	forget_request(http);
}

void
http_respond_long(HttpRequest *request, const char *status,
				  const char *headers, int64_t len)
{
	Http1 *http = http1_of(request);

	put_head(http, status, headers, len);
	http->state = SEND_BODY;
}

void
http_stream_begin(HttpRequest *request, const char *status,
				  const char *headers)
{
	Http1 *http = http1_of(request);

	buf_printf(&http->out, "HTTP/1.1 %s\r\nConnection: close\r\n%s\r\n",
			   status, headers);
	conn_wants_write(http->conn);
	http->state = STREAMING;
}

void
http_stream_send(HttpRequest *request, const void *data, size_t len)
{
	Http1 *http = http1_of(request);

	buf_put(&http->out, data, len);
	conn_wants_write(http->conn);
}

size_t
http_stream_unsent(const HttpRequest *request)
{
	return ((const Http1 *) ((const char *) request -
							 offsetof(Http1, request)))->out.len;
}

void
http_refuse(HttpRequest *request, const char *status)
{
	Http1 *http = http1_of(request);

	http->last = true;
	put_head(http, status, "", 0);
	http->state = CLOSING;
	forget_request(http);
}

void
http_abort(HttpRequest *request)
{
	Http1 *http = http1_of(request);

	conn_abort(http->conn);
	http->state = CLOSING;
	forget_request(http);
}

/* --- requests ------------------------------------------------------------ */

char *
http_header(const HttpRequest *request, const char *name)
{
	size_t n = strlen(name);

	for (const char *line = request->headers; *line != '\0';)
	{
		size_t len = strcspn(line, "\r\n");

		if (len > n && line[n] == ':' && strncasecmp(line, name, n) == 0)
		{
			const char *value = line + n + 1;

			value += strspn(value, " \t");
			return xasprintf("%.*s", (int) (line + len - value), value);
		}
		line += len;
		line += strspn(line, "\r\n");
	}
	return NULL;
}

/* Is word one of words? */
static bool
contains_word(const char *words, const char *word)
{
	size_t n = strlen(word);

	for (const char *p = words; (p = strstr(p, word)) != NULL; p += n)
		if ((p == words || p[-1] == ' ') && (p[n] == ' ' || p[n] == '\0'))
			return n > 0;
	return false;
}

/* Why the request is refused, or NULL. */
static const char *
take_lengths(Http1 *http)
{
	HttpRequest *request = &http->request;
	char *length = http_header(request, "content-length");
	char *encoding = http_header(request, "transfer-encoding");
	char *expect = http_header(request, "expect");
	bool has_length = length != NULL;
	bool has_encoding = encoding != NULL;
	bool valid = true;
	char *end;

	request->length = 0;
	if (has_length)
	{
		request->length = strtoll(length, &end, 10);
		valid = end != length && request->length >= 0;
	}
	if (expect != NULL)
		buf_put_cstr(&http->out, "HTTP/1.1 100 Continue\r\n\r\n");
	free(length);
	free(encoding);
	free(expect);
	if (!valid)
		return "400 Bad Request";
	/* Where its body ends would be in the body. */
	if (has_encoding)
		return "411 Length Required";
	if (!has_length && (strcmp(request->method, "PUT") == 0 ||
						strcmp(request->method, "POST") == 0))
		return "411 Length Required";
	return NULL;
}

static const HttpHandler *
find_handler(const char *target)
{
	for (const HttpHandler *const *h = handlers; *h != NULL; h++)
		if (strncmp(target, (*h)->prefix, strlen((*h)->prefix)) == 0)
			return *h;
	return NULL;
}

/* Method and target; why they are refused, or NULL. */
static const char *
take_first_line(HttpRequest *request, const char *line)
{
	static const char version[] = " HTTP/1.";
	int end = 0;

	if (sscanf(line, "%7s %8191s%n", request->method, request->target,
			   &end) != 2)
		return "400 Bad Request";
	if (strlen(request->target) == HTTP_MAX_TARGET - 1 && line[end] != ' ')
		return "414 URI Too Long";
	return strncmp(line + end, version, strlen(version)) == 0
			   ? NULL
			   : "400 Bad Request";
}

/* Does the client want no more than this request's answer? */
static bool
wants_end(const HttpRequest *request, const char *version)
{
	char *connection = http_header(request, "connection");
	bool end = strncmp(version, " HTTP/1.0", 9) == 0 ||
			   (connection != NULL && strcasecmp(connection, "close") == 0);

	free(connection);
	return end;
}

/* The head is complete: text. */
static void
begin_request(Http1 *http, char *head)
{
	HttpRequest *request = &http->request;
	char *first_end = strstr(head, "\r\n");
	const HttpHandler *handler;
	const char *error;

	*first_end = '\0';
	http->body_left = 0;
	error = take_first_line(request, head);
	if (error != NULL)
	{
		http_refuse(request, error);
		return;
	}
	request->headers = first_end + 2;
	http->last = wants_end(request, strrchr(head, ' '));
	handler = find_handler(request->target);
	error = handler == NULL ? "404 Not Found"
			: !contains_word(handler->methods, request->method)
				? "405 Method Not Allowed"
				: take_lengths(http);
	if (error == NULL && request->length > handler->max_body(request))
		error = "413 Content Too Large";
	if (error != NULL)
	{
		http_refuse(request, error);
		return;
	}
	http->handler = handler;
	http->body_left = request->length;
	http->state = READ_BODY;
	handler->begin(request);
}

/* Part of the body; returns how much was of this request. */
static size_t
take_body(Http1 *http, const uint8_t *data, size_t len)
{
	if ((int64_t) len > http->body_left)
		len = (size_t) http->body_left;
	http->body_left -= (int64_t) len;
	if (len > 0 && http->handler != NULL)
		http->handler->body(&http->request, data, len);
	return len;
}

/* --- sessions ------------------------------------------------------------ */

static void *
http1_open(Conn *conn)
{
	Http1 *http = xcalloc(sizeof(*http));

	http->conn = conn;
	buf_init(&http->in, 0, xbuf_realloc);
	buf_init(&http->out, 0, xbuf_realloc);
	return http;
}

/* Requests that have come whole, one after the other. */
static void
process(Http1 *http)
{
	while ((http->state == READ_HEAD || http->state == READ_BODY) &&
		   http->out.len < MAX_AHEAD)
	{
		if (http->state == READ_BODY)
		{
			buf_consume(&http->in,
						take_body(http, http->in.data, http->in.len));
			if (http->body_left > 0 || http->state != READ_BODY)
				return;
			http->state = ANSWERING;
			http->handler->complete(&http->request);
		}
		else
		{
			char *head = (char *) (uintptr_t) buf_cstr(&http->in);
			char *end = strstr(head, "\r\n\r\n");
			size_t len;

			if (end == NULL)
			{
				if (http->in.len > MAX_HEAD || strlen(head) < http->in.len)
					http_refuse(&http->request, "400 Bad Request");
				return;
			}
			len = (size_t) (end - head) + 4;
			end[2] = '\0';
			begin_request(http, head);
			buf_consume(&http->in, len);
		}
	}
}

static bool
http1_receive(void *session, const uint8_t *data, size_t len)
{
	Http1 *http = session;

	if (http->state == CLOSING)
		return false;
	/* A long body goes straight to the handler. */
	if (http->state == READ_BODY && http->in.len == 0)
	{
		size_t taken = take_body(http, data, len);

		data += taken;
		len -= taken;
	}
	if (http->in.len + len > MAX_HEAD + MAX_AHEAD)
		return false;
	buf_put(&http->in, data, len);
	process(http);
	return http->state != CLOSING;
}

static bool
http1_produce(void *session, Buf *out, size_t room)
{
	Http1 *http = session;
	bool cut = false;

	buf_put(out, http->out.data, http->out.len);
	buf_reset(&http->out);
	while (http->state == SEND_BODY && http->handler != NULL &&
		   out->len < room)
	{
		if (http->handler->produce(&http->request, out, room, &cut))
			continue;
		http->state = cut || http->last ? CLOSING : READ_HEAD;
		forget_request(http);
	}
	/* One that was answered late may have had others wait behind it. */
	process(http);
	if (http->out.len > 0 || http->state == SEND_BODY)
		conn_wants_write(http->conn);
	return http->state != CLOSING || http->out.len > 0;
}

static void
http1_close(void *session)
{
	Http1 *http = session;

	forget_request(http);
	buf_free(&http->in);
	buf_free(&http->out);
	free(http);
}

const Protocol http1_protocol = {http1_open, http1_receive, http1_produce,
								 http1_close};
