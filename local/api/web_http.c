/*-------------------------------------------------------------------------
 *
 * web_http.c
 *	  Web endpoints of apps: /web/APP/FUNCTION, and what comes after that.
 *
 * A request is a synchronous call with one input, a map with its parts, whose
 * result is [status, headers, body]; modal_local_web.py is the other end.  As
 * with Modal's, nobody is asked for a token.
 *
 *-------------------------------------------------------------------------
 */
#include "api/web_http.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "calls/blobs.h"
#include "calls/calls.h"
#include "core/cbor.h"
#include "util.h"

#define PATH_PREFIX "/web/"
#define MAX_BODY (100 * 1024 * 1024)
#define MAX_SECONDS 600.0
#define MAX_NESTING 8

typedef struct Request
{
	HttpRequest *http;
	Handle *handle;
	Waiter waiter;
	bool waiting;
	LoopDeferred finish;
	Buf argument; /* encoded, but for the body */
	Buf body;
} Request;

/* --- the request --------------------------------------------------------- */

static int64_t
web_max_body(const HttpRequest *request)
{
	(void) request;
	return MAX_BODY;
}

/* /web/APP/FUNCTION, and where the rest begins; NULL: there is none. */
static Handle *
find_endpoint(const char *target, const char **rest)
{
	const char *app = target + strlen(PATH_PREFIX);
	size_t app_len = strcspn(app, "/?");
	const char *tag = app + app_len + (app[app_len] == '/');
	size_t tag_len = strcspn(tag, "/?");
	char *app_name = url_decode(app, app_len);
	char *tag_name = url_decode(tag, tag_len);
	Handle *handle = app_name != NULL && tag_name != NULL
						 ? registry_find(app_name, tag_name)
						 : NULL;

	*rest = tag + tag_len;
	free(app_name);
	free(tag_name);
	return handle != NULL && handle->function->web_url != NULL &&
				   handle->function->executor != NULL
			   ? handle
			   : NULL;
}

static void
put_text(Buf *out, const char *text, size_t len)
{
	cbor_put_text(out, text, len);
}

static void
put_key(Buf *out, const char *key)
{
	put_text(out, key, strlen(key));
}

/* Each line as [name, value]. */
static void
put_headers(Buf *out, const char *lines)
{
	size_t n = 0;

	for (int pass = 0; pass < 2; pass++)
	{
		if (pass == 1)
			cbor_put_array(out, n);
		for (const char *line = lines; *line != '\0';)
		{
			size_t len = strcspn(line, "\r\n");
			const char *colon = memchr(line, ':', len);

			if (colon != NULL && pass == 0)
				n++;
			else if (colon != NULL)
			{
				const char *value = colon + 1 + strspn(colon + 1, " \t");

				cbor_put_array(out, 2);
				put_text(out, line, (size_t) (colon - line));
				put_text(out, value, (size_t) (line + len - value));
			}
			line += len;
			line += strspn(line, "\r\n");
		}
	}
}

/* [[request], {}], up to the body, which is a byte string at its end. */
static void
put_request(Buf *out, const HttpRequest *request, const char *rest)
{
	size_t path_len = strcspn(rest, "?");

	cbor_put_array(out, 2);
	cbor_put_array(out, 1);
	cbor_put_map(out, 5);
	put_key(out, "method");
	put_key(out, request->method);
	put_key(out, "path");
	if (path_len > 0)
		put_text(out, rest, path_len);
	else
		put_key(out, "/");
	put_key(out, "query");
	put_key(out, rest + path_len + (rest[path_len] == '?'));
	put_key(out, "headers");
	put_headers(out, request->headers);
	put_key(out, "body");
}

static void
web_begin(HttpRequest *http)
{
	const char *rest;
	Handle *handle = find_endpoint(http->target, &rest);
	Request *request;

	if (handle == NULL)
	{
		http_refuse(http, "404 Not Found");
		return;
	}
	if (!utf8_valid((const uint8_t *) http->target, strlen(http->target)) ||
		!utf8_valid((const uint8_t *) http->headers, strlen(http->headers)))
	{
		http_refuse(http, "400 Bad Request");
		return;
	}
	request = xcalloc(sizeof(*request));
	request->http = http;
	request->handle = handle;
	buf_init(&request->argument, 0, xbuf_realloc);
	buf_init(&request->body, MAX_BODY, xbuf_realloc);
	put_request(&request->argument, http, rest);
	http->state = request;
}

static void
web_body(HttpRequest *http, const uint8_t *data, size_t len)
{
	buf_put(&((Request *) http->state)->body, data, len);
}

/* --- the answer ---------------------------------------------------------- */

/* Those that are ours to say, and what would break a line. */
static bool
may_pass(const CborToken *name, const CborToken *value)
{
	static const char *const ours[] = {"content-length", "transfer-encoding",
									   "connection"};

	for (int i = 0; i < 3; i++)
		if (strlen(ours[i]) == name->n &&
			strncasecmp(ours[i], (const char *) name->p, name->n) == 0)
			return false;
	return memchr(name->p, '\n', name->n) == NULL &&
		   memchr(name->p, '\r', name->n) == NULL &&
		   memchr(value->p, '\n', value->n) == NULL &&
		   memchr(value->p, '\r', value->n) == NULL;
}

/* [[name, value], ...] as lines; false: it is something else. */
static bool
read_headers(CborReader *r, Buf *lines)
{
	CborToken tok;
	CborToken name;

	if (!cbor_next(r, &tok) || tok.kind != CBOR_ARRAY)
		return false;
	while (cbor_next(r, &tok) && tok.kind == CBOR_ARRAY)
	{
		/* An indefinite string would be lost with the next one. */
		if (!cbor_next(r, &name) || name.kind != CBOR_TEXT ||
			name.indefinite || !cbor_next(r, &tok) || tok.kind != CBOR_TEXT)
			return false;
		if (may_pass(&name, &tok))
			buf_printf(lines, "%.*s: %.*s\r\n", (int) name.n,
					   (const char *) name.p, (int) tok.n,
					   (const char *) tok.p);
		if (!cbor_next(r, &tok) || tok.kind != CBOR_END)
			return false;
	}
	return r->error == CBOR_OK && tok.kind == CBOR_END;
}

/* Answers with [status, headers, body]; false: the result is something else. */
static bool
respond(HttpRequest *http, const void *data, size_t len)
{
	CborReader r;
	CborToken status;
	CborToken body;
	Buf lines;
	char text[32];
	bool ok;

	buf_init(&lines, 0, xbuf_realloc);
	cbor_reader_init(&r, data, len, MAX_NESTING, xbuf_realloc);
	ok = cbor_next(&r, &body) && body.kind == CBOR_ARRAY && body.u == 3 &&
		 cbor_next(&r, &status) && status.kind == CBOR_UINT &&
		 status.u >= 200 && status.u < 600 && read_headers(&r, &lines) &&
		 cbor_next(&r, &body) && body.kind == CBOR_BYTES;
	if (ok)
	{
		/* Those have none, whatever the application says. */
		bool bare = status.u == 204 || status.u == 304;

		snprintf(text, sizeof(text), "%d -", (int) status.u);
		http_respond(http, text, buf_cstr(&lines), body.p, bare ? 0 : body.n);
	}
	cbor_reader_free(&r);
	buf_free(&lines);
	return ok;
}

static void
fail(HttpRequest *http, const char *status)
{
	static const char text[] = "modal-local: the function has failed\n";

	http_respond(http, status, "Content-Type: text/plain\r\n", text,
				 strlen(text));
}

static void
answer(HttpRequest *http, const OutEntry *output)
{
	Modal__Client__FunctionGetOutputsItem *item =
		modal__client__function_get_outputs_item__unpack(NULL, output->len,
														 output->data);
	const Modal__Client__GenericResult *result =
		item != NULL ? item->result : NULL;
	BlobContent blob = {0};
	const uint8_t *data = NULL;
	size_t len = 0;

	if (result != NULL && result->status == RESULT_SUCCESS)
	{
		if (result->data_oneof_case ==
			MODAL__CLIENT__GENERIC_RESULT__DATA_ONEOF_DATA_BLOB_ID)
		{
			blob = blob_get(result->data_blob_id);
			data = blob.data;
			len = blob.len;
		}
		else
		{
			data = result->data.data;
			len = result->data.len;
		}
	}
	if (result != NULL && result->status == RESULT_TIMEOUT)
		fail(http, "504 Gateway Timeout");
	else if (data == NULL || !respond(http, data, len))
		fail(http, "500 Internal Server Error");
	blob_release(&blob);
	if (item != NULL)
		modal__client__function_get_outputs_item__free_unpacked(item, NULL);
}

/* The output has come, or the time is over. */
static void
finish(void *arg)
{
	const Request *request = arg;
	Call *call = request->waiter.call;
	const Slot *slot = call_slot(call, 0);

	if (slot != NULL && slot->live == 0 && slot->output > 0)
	{
		call_clear(call, NULL);
		answer(request->http, outlog_get(&call->outputs, slot->output));
		return;
	}
	call_cancel(call, false);
	fail(request->http, "504 Gateway Timeout");
}

/* To answer is the end of the Waiter, which its call still holds. */
static bool
output_ready(Waiter *waiter, bool timed_out)
{
	Request *request =
		(Request *) ((char *) waiter - offsetof(Request, waiter));
	const Slot *slot = call_slot(waiter->call, 0);

	if (!timed_out && (slot == NULL || slot->live > 0 || slot->output == 0))
		return false;
	request->waiting = false;
	loop_defer(&request->finish, finish, request);
	return true;
}

static void
web_complete(HttpRequest *http)
{
	Request *request = http->state;
	Buf *argument = &request->argument;
	NewInput input = {.format = FORMAT_CBOR};
	Call *call;

	if (request->handle->gone)
	{
		fail(http, "404 Not Found");
		return;
	}
	cbor_put_bytes(argument, request->body.data, request->body.len);
	cbor_put_map(argument, 0);
	input.args = argument->data;
	input.args_len = argument->len;
	call = call_create(request->handle, false, false, false, "");
	call->client = "web request";
	call_put_input(call, &input);
	request->waiter = (Waiter){.call = call, .ready = output_ready};
	request->waiting = true;
	call_wait(&request->waiter, MAX_SECONDS);
}

static void
web_close(HttpRequest *http)
{
	Request *request = http->state;

	if (request == NULL)
		return;
	if (request->waiting)
	{
		call_stop_waiting(&request->waiter);
		call_cancel(request->waiter.call, false);
	}
	loop_cancel_deferred(&request->finish);
	buf_free(&request->argument);
	buf_free(&request->body);
	free(request);
}

const HttpHandler web_http = {
	.prefix = PATH_PREFIX,
	.methods = "GET HEAD POST PUT PATCH DELETE OPTIONS",
	.max_body = web_max_body,
	.begin = web_begin,
	.body = web_body,
	.complete = web_complete,
	.close = web_close,
};
