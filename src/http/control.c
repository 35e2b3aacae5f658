/*-------------------------------------------------------------------------
 *
 * control.c
 *	  modal_ping() for HTTP functions: is the service there, and how far?
 *
 * A GET of the server's URL.  Any HTTP status means that it is reachable;
 * 401 and 403 mean that it does not like our credentials.
 *
 *-------------------------------------------------------------------------
 */
#include "http/http.h"

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

/* A question under way, or one that waits for credentials. */
typedef struct Ping
{
	DispatchCall *call;
	Request *request;
	CredentialsWait wait;
} Ping;

static void
ping_free(Ping *ping)
{
	ping->call->state = NULL;
	credentials_cancel(&ping->wait);
	if (ping->request != NULL)
		request_cancel(ping->request);
	free(ping);
}

static void
ping_done(void *arg, Response *response)
{
	Ping *ping = arg;
	DispatchCall *call = ping->call;
	FrameOutput out = {0};
	Buf json;

	ping->request = NULL;
	ping_free(ping);
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

static void
ping_no_memory(Ping *ping)
{
	DispatchCall *call = ping->call;

	ping_free(ping);
	call_fail(call, MODAL_SQLSTATE_MEMORY, true, NULL, NULL,
			  "out of memory in the modal_batch dispatcher");
}

static void
ping_start(Ping *ping)
{
	HttpTarget *http = ping->call->target->state;
	RequestSpec spec = {0};
	const char *headers[HTTP_MAX_HEADERS + CREDENTIALS_HEADERS + 1] = {NULL};
	int n = http->nheaders;

	for (int i = 0; i < n; i++)
		headers[i] = http->headers[i];
	spec.origin = ping->call->target->origin;
	spec.method = "GET";
	spec.path = "/";
	spec.headers = headers;
	spec.max_body = http->max_reply_bytes;
	spec.connect_timeout_s = http->connect_timeout;
	spec.timeout_s = http->timeout;
	spec.on_done = ping_done;
	spec.arg = ping;
	if (credentials_sign(http->credentials, &spec, "", headers, &n))
		ping->request = request_start(&spec);
	if (ping->request == NULL)
		ping_no_memory(ping);
}

static void
ping_settled(void *arg, const Failure *failure, const char *message)
{
	Ping *ping = arg;
	DispatchCall *call = ping->call;

	if (failure == NULL)
	{
		ping_start(ping);
		return;
	}
	ping_free(ping);
	call_fail(call, failure->sqlstate, failure->verdict == VERDICT_RETRY, NULL,
			  failure->hint, "%s", message);
}

void
http_control(DispatchCall *call)
{
	HttpTarget *http = call->target->state;
	Ping *ping;

	if (call->open.op != CONTROL_PING)
	{
		call_fail(call, MODAL_SQLSTATE_UNSUPPORTED, false, NULL, NULL,
				  "this operation is not possible with an HTTP function");
		return;
	}
	ping = calloc(1, sizeof(*ping));
	if (ping == NULL)
	{
		call_fail(call, MODAL_SQLSTATE_MEMORY, true, NULL, NULL,
				  "out of memory in the modal_batch dispatcher");
		return;
	}
	ping->call = call;
	ping->wait = (CredentialsWait){.on_settled = ping_settled, .arg = ping};
	call->state = ping;
	if (credentials_ready(http->credentials, &ping->wait))
		ping_start(ping);
}

void
http_control_cancel(DispatchCall *call)
{
	if (call->state != NULL)
		ping_free(call->state);
}
