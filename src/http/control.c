/*-------------------------------------------------------------------------
 *
 * http_control.c
 *	  modal_ping() for HTTP functions: is the service there, and how far?
 *
 * A GET of the server's URL.  Any HTTP status means that it is reachable;
 * 401 and 403 mean that it does not like our credentials.
 *
 *-------------------------------------------------------------------------
 */
#include "worker/http.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "errors.h"

static void
put_ping(Buf *json, const Response *response)
{
	buf_printf(json,
			   "{\"reachable\": true, \"latency_ms\": %.3f, "
			   "\"authenticated\": %s, \"detail\": ",
			   response->total_s * 1000,
			   response->status == 401 || response->status == 403 ? "false"
																  : "true");
	buf_printf(json, "\"HTTP/%s status %d\"}", response->http2 ? "2" : "1.1",
			   response->status);
}

static void
ping_done(void *arg, Response *response)
{
	DispatchCall *call = arg;
	FrameOutput out = {0};
	Buf json;

	call->state = NULL;
	call->requests++;
	if (response->error != TRANSPORT_OK)
	{
		call_fail(call,
				  response->error == TRANSPORT_TIMEOUT ? MODAL_SQLSTATE_TIMEOUT
													   : MODAL_SQLSTATE_CONNECT,
				  true, response->message, NULL,
				  "could not reach the HTTP service");
		return;
	}
	buf_init(&json, 0, NULL);
	put_ping(&json, response);
	out.ok = 1;
	out.format = PAYLOAD_JSON;
	out.attempts = 1;
	out.data = (Slice){(const char *) json.data, json.len};
	call_output(call, &out);
	buf_free(&json);
	call_close(call);
}

void
http_control(DispatchCall *call)
{
	HttpTarget *http = call->target->state;
	RequestSpec spec = {0};
	const char *headers[HTTP_MAX_HEADERS + 1] = {NULL};

	if (call->open.op != CONTROL_PING)
	{
		call_fail(call, MODAL_SQLSTATE_UNSUPPORTED, false, NULL, NULL,
				  "this operation is not possible with an HTTP function");
		return;
	}
	for (int i = 0; i < http->nheaders; i++)
		headers[i] = http->headers[i];
	spec.origin = call->target->origin;
	spec.method = "GET";
	spec.path = "/";
	spec.headers = headers;
	spec.max_body = http->max_reply_bytes;
	spec.connect_timeout_s = http->connect_timeout;
	spec.timeout_s = http->timeout;
	spec.on_done = ping_done;
	spec.arg = call;
	call->state = request_start(&spec);
	if (call->state == NULL)
		call_fail(call, MODAL_SQLSTATE_MEMORY, true, NULL, NULL,
				  "out of memory in the modal_batch dispatcher");
}

void
http_control_cancel(DispatchCall *call)
{
	if (call->state != NULL)
		request_cancel(call->state);
	call->state = NULL;
}
