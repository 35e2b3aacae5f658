/*-------------------------------------------------------------------------
 *
 * grpc.c
 *	  gRPC calls: one attempt after another until the outcome is certain.
 *
 * An attempt is: auth token (from auth.c, perhaps after waiting), request,
 * verdict.  A grpc-status that was seen decides, whatever became of the
 * stream afterwards.  Server-directed delays (RPCRetryPolicy in the status
 * details) are obeyed without being counted as retries.
 *
 *-------------------------------------------------------------------------
 */
#include "modal/grpc.h"

#include <ctype.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/grpc_frame.h"
#include "core/random.h"
#include "dispatcher/flow.h"
#include "errors.h"
#include "modal/auth.h"
#include "modal/grpc_status.h"
#include "proto/modal.pb-c.h"

#define PATH_PREFIX "/modal.client.ModalClient/"
#define FIRST_DELAY 0.1
#define LOST_FIRST_DELAY 0.005
#define MIN_THROTTLE_DELAY 0.1
#define HELD_S 1.0 /* a long poll that was held for so long, was held */
#define THROTTLE_NOTICE_S 30.0
#define TOTAL_TIMEOUT_SLACK 2.0
#define LONG_POLL_GRACE_S 5.0
#define MAX_HEADERS 24
#define MESSAGES_PER_TURN 64 /* of a stream */
#define MAX_BACKLOG (4 * 1024 * 1024) /* bytes of messages behind one another */

/* What the service asks for is added to that. */
static const RetryPolicy throttle_policy = {
	.first = FIRST_DELAY,
	.growth = 1,
	.most = FIRST_DELAY,
	.budget = RETRY_FOREVER,
	.tries = RETRY_OFTEN,
};

struct GrpcCall
{
	GrpcSpec spec;
	Request *request;
	AuthWaiter auth_waiter;
	Timer again;
	FlowWait wait;
	double started;
	double sent_at;			/* the attempt */
	int origin;				/* of the service: where it went */
	Retry retry;
	Retry throttling;
	uint32_t attempt;		/* retries so far, client-driven */
	uint32_t throttled;		/* server-directed */
	uint32_t sent;
	char idempotency[37];
	char *token;			/* auth token of the attempt, or NULL */
	bool token_renewed;
	GrpcTrailers trailers;
	/* streaming */
	GrpcReader reader;
	Timer deliver;
	bool *gone;				/* set when it is freed; or NULL */
	bool stream_failed;
	bool stream_cut;		/* by us: there is more than we keep up with */
	bool stream_ended;		/* well: what is left in reader comes first */
};

static void start_attempt(GrpcCall *call);
static void deliver_messages(void *arg);

/* --- helpers -------------------------------------------------------------- */

static void
format_uuid(char *to, const uint8_t *bytes)
{
	static const char digits[] = "0123456789abcdef";
	uint8_t b[16];

	memcpy(b, bytes, sizeof(b));
	b[6] = (b[6] & 0x0f) | 0x40;
	b[8] = (b[8] & 0x3f) | 0x80;
	for (int i = 0; i < 16; i++)
	{
		if (i == 4 || i == 6 || i == 8 || i == 10)
			*to++ = '-';
		*to++ = digits[b[i] >> 4];
		*to++ = digits[b[i] & 0x0f];
	}
	*to = '\0';
}

GrpcSpec
grpc_spec(GrpcService *service, const char *method, DispatchCall *call,
		  void (*on_done)(void *, const GrpcResult *), void *arg)
{
	GrpcSpec spec = {0};

	spec.service = service;
	spec.method = method;
	spec.call = call;
	spec.on_done = on_done;
	spec.arg = arg;
	spec.max_retries = GRPC_DEFAULT_RETRIES;
	spec.max_delay = GRPC_DEFAULT_MAX_DELAY;
	spec.max_reply = GRPC_MAX_ANSWER;
	grpc_begin(&spec.request);
	return spec;
}

double
grpc_long_poll(GrpcSpec *spec, double seconds)
{
	double most = spec->service->response_timeout;

	if (seconds > most)
		seconds = most;
	spec->long_poll = true;
	spec->max_reply = GRPC_MAX_MESSAGE;
	spec->attempt_timeout =
		seconds + (most < LONG_POLL_GRACE_S ? most : LONG_POLL_GRACE_S);
	return seconds;
}

void
grpc_begin(Buf *buf)
{
	buf_init(buf, GRPC_PREFIX_SIZE + GRPC_MAX_MESSAGE, NULL);
	grpc_put_prefix(buf, 0);
}

/* The length is known now: write the prefix again, in place. */
void
grpc_end(Buf *buf)
{
	size_t len = buf->len;

	if (buf->failed)
		return;
	buf->len = 0;
	grpc_put_prefix(buf, len - GRPC_PREFIX_SIZE);
	buf->len = len;
}

void
grpc_pack(Buf *buf, const ProtobufCMessage *message)
{
	size_t n = protobuf_c_message_get_packed_size(message);
	uint8_t *at = n > 0 ? buf_extend(buf, n) : NULL;

	if (at != NULL)
		protobuf_c_message_pack(message, at);
	grpc_end(buf);
}

void *
grpc_unpack(const GrpcResult *result,
			const ProtobufCMessageDescriptor *descriptor)
{
	return protobuf_c_message_unpack(descriptor, NULL, result->len,
									 result->data);
}

/* --- the end -------------------------------------------------------------- */

static void
forget_token(GrpcCall *call)
{
	if (call->token != NULL)
		explicit_bzero(call->token, strlen(call->token));
	free(call->token);
	call->token = NULL;
}

static void
call_free(GrpcCall *call)
{
	if (call->gone != NULL)
		*call->gone = true;
	flow_wait_end(&call->wait);
	timer_cancel(&call->again);
	timer_cancel(&call->deliver);
	if (call->request != NULL)
		request_cancel(call->request);
	auth_cancel(&call->auth_waiter);
	buf_free(&call->spec.request);
	grpc_trailers_free(&call->trailers);
	grpc_reader_free(&call->reader);
	forget_token(call);
	free(call);
}

void
grpc_cancel(GrpcCall *call)
{
	call_free(call);
}

void
grpc_redirect(GrpcCall *call, void (*on_done)(void *, const GrpcResult *),
			  void *arg)
{
	call->spec.call = NULL;
	call->spec.on_done = on_done;
	call->spec.arg = arg;
}

static void
finish(GrpcCall *call, GrpcResult *result)
{
	result->attempts = call->sent;
	if (result->message == NULL)
		result->message = "";
	call->spec.on_done(call->spec.arg, result);
	call_free(call);
}

static void
finish_no_memory(GrpcCall *call)
{
	GrpcResult result = {.status = GRPC_INTERNAL,
						 .transport = TRANSPORT_MEMORY,
						 .message = "out of memory"};

	finish(call, &result);
}

/* --- retries -------------------------------------------------------------- */

static void
on_retry(void *arg)
{
	GrpcCall *call = arg;

	flow_wait_end(&call->wait);
	start_attempt(call);
}

static void
retry_after(GrpcCall *call, double delay, FlowReason reason)
{
	flow_wait_begin(&call->wait, reason);
	if (!timer_set(&call->again, monotonic_seconds() + delay))
		finish_no_memory(call);
}

static bool
status_is_retryable(const GrpcCall *call, const GrpcResult *result)
{
	return grpc_worth_retrying(result) && result->status != GRPC_ABORTED &&
		(result->status != GRPC_RESOURCE_EXHAUSTED ||
		 call->spec.retry_exhausted);
}

static void
notice_throttling(GrpcCall *call, double delay, const GrpcResult *result)
{
	GrpcService *service = call->spec.service;
	double now = monotonic_seconds();
	char text[256];

	if (call->spec.call == NULL ||
		(service->last_throttle_notice > 0 &&
		 now - service->last_throttle_notice < THROTTLE_NOTICE_S))
		return;
	service->last_throttle_notice = now;
	snprintf(text, sizeof(text),
			 "the service asks to wait %.1f s before %s is sent again: %s",
			 delay, call->spec.method, result->message);
	call_notice(call->spec.call, NOTICE_THROTTLED, text);
}

/* True when a server-directed delay was obeyed. */
static bool
throttle(GrpcCall *call, const GrpcResult *result)
{
	GrpcSpec *spec = &call->spec;
	double elapsed = monotonic_seconds() - call->started;
	double max_wait = spec->service->max_throttle_wait;
	double delay = 0;

	if (max_wait == 0 || !grpc_trailers_delay(&call->trailers, &delay))
		return false;
	if (!(delay >= MIN_THROTTLE_DELAY))
		delay = MIN_THROTTLE_DELAY;
	if ((max_wait > 0 && elapsed + delay >= max_wait) ||
		(spec->total_timeout > 0 && elapsed + delay >= spec->total_timeout))
		return false;
	call->throttled++;
	notice_throttling(call, delay, result);
	delay = retry_pause(&call->throttling, &throttle_policy,
						monotonic_seconds(), random_unit(), delay);
	retry_after(call, delay, FLOW_THROTTLED);
	return true;
}

/* The service does not like the auth token any more: once, with a new one. */
static bool
renew_token(GrpcCall *call, const GrpcResult *result)
{
	if (result->status != GRPC_UNAUTHENTICATED || call->token == NULL ||
		call->token_renewed)
		return false;
	call->token_renewed = true;
	auth_invalidate(call->spec.service->auth, call->token);
	start_attempt(call);
	return true;
}

/*
 * To the next URL, if the one that does not answer is still the one in use: it
 * may be that others who failed with us have moved on already.
 */
static void
try_next_origin(const GrpcCall *call)
{
	GrpcService *service = call->spec.service;

	if (service->current == call->origin)
		service->current = (call->origin + 1) % service->norigins;
}

/* How long to wait before the next attempt; negative: there is none. */
static double
pause_after(GrpcCall *call, const GrpcResult *result)
{
	const GrpcSpec *spec = &call->spec;
	RetryPolicy policy = {
		.first = FIRST_DELAY,
		.growth = 2,
		.most = spec->max_delay,
		.budget = RETRY_FOREVER,
		.tries = spec->max_retries,
	};
	double now = monotonic_seconds();
	bool lost = result->transport == TRANSPORT_LOST;
	double pause;

	if (lost && spec->long_poll && now - call->sent_at >= HELD_S)
		retry_progress(&call->retry);
	if (!retry_failed(&call->retry, &policy, now))
		return -1;
	pause = retry_pause(&call->retry, &policy, now, random_unit(), 0);
	/* Connections end for many reasons; most are no sign of trouble. */
	if (lost && call->retry.failures == 1)
		pause *= LOST_FIRST_DELAY / FIRST_DELAY;
	if (spec->total_timeout > 0 &&
		now - call->started + pause + TOTAL_TIMEOUT_SLACK >=
			spec->total_timeout)
		return -1;
	return pause;
}

static void
attempt_failed(GrpcCall *call, GrpcResult *result)
{
	GrpcSpec *spec = &call->spec;
	double pause;

	if (throttle(call, result) || renew_token(call, result))
		return;
	if (result->transport == TRANSPORT_CONNECT)
		try_next_origin(call);
	if (!status_is_retryable(call, result) ||
		(pause = pause_after(call, result)) < 0)
	{
		finish(call, result);
		return;
	}
	call->attempt++;
	if (spec->call != NULL)
	{
		spec->call->retries++;
		call_touch(spec->call);
	}
	retry_after(call, pause, FLOW_BACKING_OFF);
}

/* --- one attempt ---------------------------------------------------------- */

static void
on_header(void *arg, const char *name, size_t name_len, const char *value,
		  size_t value_len)
{
	GrpcCall *call = arg;

	grpc_trailers_add(&call->trailers, name, name_len, value, value_len);
}

/* Of the message that a body begins with, with its prefix; 0: cannot be told. */
static uint64_t
framed_size(const uint8_t *p, size_t n)
{
	if (n < GRPC_PREFIX_SIZE || p[0] != 0)
		return 0;
	return GRPC_PREFIX_SIZE +
		(((uint64_t) p[1] << 24) | ((uint64_t) p[2] << 16) |
		 ((uint64_t) p[3] << 8) | p[4]);
}

/* The body is exactly one message. */
static bool
is_whole(const Buf *body)
{
	return body->len > 0 && framed_size(body->data, body->len) == body->len;
}

/* What the response means, before any thought of retrying. */
static void
judge(GrpcCall *call, const Response *response, GrpcResult *result)
{
	GrpcTrailers *trailers = &call->trailers;

	memset(result, 0, sizeof(*result));
	if (trailers->status >= 0)
	{
		result->status = trailers->status;
		result->message = buf_cstr(&trailers->message);
	}
	else if (response->error != TRANSPORT_OK)
	{
		result->transport = response->error;
		result->status = grpc_status_of_transport(response->error);
		result->message = response->message;
	}
	else
	{
		result->status = grpc_status_of_http(response->status);
		result->message = response->status == 200
			? "the response has no gRPC status"
			: "the response is not one of a gRPC server";
	}
	if (result->status != GRPC_OK || call->spec.on_message != NULL)
		return;

	if (!is_whole(&response->body))
	{
		result->status = GRPC_INTERNAL;
		result->message = "the response is truncated";
		return;
	}
	result->data = response->body.data + GRPC_PREFIX_SIZE;
	result->len = response->body.len - GRPC_PREFIX_SIZE;
}

static void
on_response(void *arg, Response *response)
{
	GrpcCall *call = arg;
	GrpcResult result;

	call->request = NULL;
	if (call->spec.call != NULL)
	{
		DispatchCall *owner = call->spec.call;

		owner->requests++;
		owner->bytes_out += response->bytes_sent;
		owner->bytes_in += response->bytes_received;
	}
	judge(call, response, &result);
	if (call->spec.on_message != NULL)
	{
		/* Streams are reopened by their owner, who knows how far it got. */
		if (result.status != GRPC_OK && !call->stream_cut)
			finish(call, &result);
		else
		{
			call->stream_ended = true;
			deliver_messages(call);
		}
	}
	else if (result.status == GRPC_OK)
		finish(call, &result);
	else
		attempt_failed(call, &result);
}

/* Runs inside a library: keep the bytes, deliver them in the next turn. */
static bool
on_stream_data(void *arg, const void *p, size_t n)
{
	GrpcCall *call = arg;

	if (!grpc_reader_feed(&call->reader, p, n) ||
		!timer_set(&call->deliver, monotonic_seconds()))
		call->stream_failed = true;
	else if (grpc_reader_backlog(&call->reader) > MAX_BACKLOG)
		call->stream_cut = true;
	return !call->stream_failed && !call->stream_cut;
}

static void
finish_stream(GrpcCall *call)
{
	GrpcResult result = {.status = GRPC_OK};

	if (call->stream_failed ||
		(grpc_reader_partial(&call->reader) && !call->stream_cut))
	{
		result.status = GRPC_INTERNAL;
		result.message = "the stream is truncated";
	}
	finish(call, &result);
}

/* False: there is none yet, or the call has ended. */
static bool
deliver_message(GrpcCall *call)
{
	const uint8_t *p;
	size_t n;
	bool gone = false;
	GrpcFrameResult rc = grpc_reader_next(&call->reader, &p, &n);

	if (rc == GRPC_FRAME_READY)
	{
		/* The owner may cancel the call. */
		call->gone = &gone;
		call->spec.on_message(call->spec.arg, p, n);
		if (!gone)
			call->gone = NULL;
		return !gone;
	}
	if (rc != GRPC_FRAME_NEED_MORE)
	{
		GrpcResult result = {.status = GRPC_INTERNAL,
							 .message = "the stream cannot be read"};

		finish(call, &result);
	}
	else if (call->stream_ended)
		finish_stream(call);
	return false;
}

static void
deliver_messages(void *arg)
{
	GrpcCall *call = arg;

	for (int i = 0; i < MESSAGES_PER_TURN; i++)
	{
		if (!deliver_message(call))
			return;
	}
	if (!timer_set(&call->deliver, monotonic_seconds()))
		finish_no_memory(call);
}

static double
attempt_timeout(const GrpcCall *call)
{
	const GrpcSpec *spec = &call->spec;
	double left;

	if (spec->total_timeout <= 0)
		return spec->attempt_timeout;
	left = spec->total_timeout - (monotonic_seconds() - call->started);
	if (left < TOTAL_TIMEOUT_SLACK)
		left = TOTAL_TIMEOUT_SLACK;
	return spec->attempt_timeout > 0 && spec->attempt_timeout < left
		? spec->attempt_timeout
		: left;
}

typedef struct HeaderLines
{
	const char *lines[MAX_HEADERS];
	int n;
	char text[1024];
	size_t used;
} HeaderLines;

static void
add_line(HeaderLines *h, const char *line)
{
	if (h->n < MAX_HEADERS - 1)
		h->lines[h->n++] = line;
}

static void __attribute__((format(printf, 2, 3)))
add_formatted(HeaderLines *h, const char *fmt, ...)
{
	va_list args;
	int n;

	va_start(args, fmt);
	n = vsnprintf(h->text + h->used, sizeof(h->text) - h->used, fmt, args);
	va_end(args);
	if (n < 0 || (size_t) n >= sizeof(h->text) - h->used)
		return;
	add_line(h, h->text + h->used);
	h->used += n + 1;
}

static void
add_retry_headers(HeaderLines *h, const GrpcCall *call)
{
	double elapsed = monotonic_seconds() - call->started;

	add_formatted(h, "x-idempotency-key: %s", call->idempotency);
	add_formatted(h, "x-retry-attempt: %u", call->attempt);
	if (call->attempt > 0)
		add_formatted(h, "x-retry-delay: %.3f", elapsed);
	add_formatted(h, "x-throttle-retry-attempt: %u", call->throttled);
	if (call->throttled > 0)
		add_formatted(h, "x-throttle-retry-delay: %.3f", elapsed);
}

static void
send_request(GrpcCall *call)
{
	GrpcSpec *spec = &call->spec;
	GrpcService *service = spec->service;
	RequestSpec request = {0};
	HeaderLines h = {.n = 0};
	double timeout = attempt_timeout(call);
	char path[128];
	Buf token;

	buf_init(&token, 0, NULL);
	add_line(&h, "content-type: application/grpc");
	add_line(&h, "te: trailers");
	add_line(&h, "user-agent: modal_batch/1.0");
	for (char **line = service->identity; *line != NULL; line++)
		add_line(&h, *line);
	if (call->token != NULL)
	{
		buf_printf(&token, "x-modal-auth-token: %s", call->token);
		add_line(&h, buf_cstr(&token));
	}
	if (service->region != NULL)
		add_line(&h, service->region);
	if (spec->on_message == NULL)
		add_retry_headers(&h, call);
	if (timeout > 0)
		add_formatted(&h, "grpc-timeout: %ldm", (long) (timeout * 1000));
	h.lines[h.n] = NULL;

	snprintf(path, sizeof(path), PATH_PREFIX "%s", spec->method);
	call->origin = service->current;
	call->sent_at = monotonic_seconds();
	request.origin = service->origins[call->origin];
	request.method = "POST";
	request.path = path;
	request.headers = h.lines;
	request.body = spec->request.data;
	request.body_len = spec->request.len;
	request.max_body = GRPC_PREFIX_SIZE + spec->max_reply;
	request.timeout_s = timeout;
	/* A stream is silent while its generator works. */
	if (timeout <= 0 && spec->on_message == NULL)
		request.stall_timeout_s = service->response_timeout;
	request.connect_timeout_s = service->connect_timeout;
	request.on_header = on_header;
	request.on_body = spec->on_message != NULL ? on_stream_data : NULL;
	request.body_size = framed_size;
	request.on_done = on_response;
	request.arg = call;

	grpc_trailers_reset(&call->trailers);
	call->request = token.failed ? NULL : request_start(&request);
	if (token.data != NULL)
		explicit_bzero(token.data, token.len);
	buf_free(&token);
	if (call->request == NULL)
		finish_no_memory(call);
	else
		call->sent++;
}

static void
with_token(GrpcCall *call, const char *token)
{
	forget_token(call);
	call->token = strdup(token);
	if (call->token == NULL)
		finish_no_memory(call);
	else
		send_request(call);
}

static void
on_token(void *arg, const char *token, const GrpcResult *failure)
{
	GrpcCall *call = arg;

	if (token != NULL)
		with_token(call, token);
	else
	{
		GrpcResult result = *failure;

		/*
		 * The fetch has been tried again as often as most requests are.
		 * Those that are tried more often go on.
		 */
		forget_token(call);
		grpc_trailers_reset(&call->trailers);
		if (call->spec.max_retries > GRPC_DEFAULT_RETRIES)
			attempt_failed(call, &result);
		else
			finish(call, &result);
	}
}

static void
start_attempt(GrpcCall *call)
{
	GrpcService *service = call->spec.service;
	const char *token;

	if (service->auth == NULL || call->spec.no_auth ||
		!(service->always_auth || call->spec.auth))
	{
		send_request(call);
		return;
	}
	token = auth_token(service->auth, &call->auth_waiter);
	if (token != NULL)
		with_token(call, token);
}

/*
 * The first attempt is made from a timer, so that on_done is never called
 * before grpc_start has returned.
 */
GrpcCall *
grpc_start(GrpcSpec *spec)
{
	GrpcCall *call = calloc(1, sizeof(*call));
	uint8_t random[16];

	if (call == NULL || spec->request.failed)
	{
		free(call);
		buf_free(&spec->request);
		return NULL;
	}
	call->spec = *spec;
	call->started = monotonic_seconds();
	timer_init(&call->again, on_retry, call);
	timer_init(&call->deliver, deliver_messages, call);
	call->auth_waiter.on_token = on_token;
	call->auth_waiter.arg = call;
	grpc_trailers_init(&call->trailers);
	grpc_reader_init(&call->reader, GRPC_MAX_MESSAGE, NULL);
	if (spec->idempotency == NULL)
		random_bytes(random, sizeof(random));
	else
		memcpy(random, spec->idempotency, sizeof(random));
	format_uuid(call->idempotency, random);
	if (!timer_set(&call->again, call->started))
	{
		call_free(call);
		return NULL;
	}
	return call;
}
