/*-------------------------------------------------------------------------
 *
 * http.c
 *	  HTTP functions: targets, calls, and what is sent when.
 *
 * Every target has a limit on requests under way and a number of rows per
 * request, both found by trying (core/climb.h), and a ring of calls that take
 * turns.  Everything that may let something be sent (inputs, an end, a timer)
 * ends in http_pump().
 *
 *-------------------------------------------------------------------------
 */
#include "worker/http.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "errors.h"

#define DEFAULT_BATCH_ROWS 1000
#define DEFAULT_BATCH_BYTES (1024 * 1024)
#define DEFAULT_CONCURRENCY 64
#define FIRST_CONCURRENCY 8
#define FIRST_BATCH_ROWS 16
#define DEFAULT_MAX_REPLY (64 * 1024 * 1024)
#define LINGER_SECONDS 0.002
#define FIRST_PAUSE 0.1
#define MAX_PAUSE 30.0

/* A larger limit must bring this much more, or it is not worth its cost. */
#define CONCURRENCY_GAIN 1.05
#define ROWS_GAIN 1.10

/* --- targets ------------------------------------------------------------ */

static bool
add_header(HttpTarget *http, const char *name, const char *value)
{
	size_t size = strlen(name) + strlen(value) + 3;
	char *line;

	if (http->nheaders == HTTP_MAX_HEADERS || (line = malloc(size)) == NULL)
		return false;
	snprintf(line, size, "%s: %s", name, value);
	http->headers[http->nheaders++] = line;
	return true;
}

/* Option headers: lines of "Name: value", separated by newlines. */
static bool
add_user_headers(HttpTarget *http, const char *lines)
{
	while (lines != NULL && *lines != '\0')
	{
		size_t n = strcspn(lines, "\n");

		if (n > 0)
		{
			if (http->nheaders == HTTP_MAX_HEADERS)
				return false;
			http->headers[http->nheaders] = strndup(lines, n);
			if (http->headers[http->nheaders++] == NULL)
				return false;
		}
		lines += n;
		lines += *lines == '\n';
	}
	return true;
}

static bool
add_credentials(HttpTarget *http)
{
	const Target *t = http->target;
	const char *bearer = target_option(t, "bearer_token");
	const char *basic = target_option(t, "basic_credentials");
	const char *key = target_option(t, "modal_key");
	const char *secret = target_option(t, "modal_secret");
	char *line;
	bool ok = true;

	if (bearer != NULL || basic != NULL)
	{
		const char *scheme = bearer != NULL ? "Bearer" : "Basic";
		const char *value = bearer != NULL ? bearer : basic;
		size_t size = strlen(scheme) + strlen(value) + 2;

		line = malloc(size);
		if (line == NULL)
			return false;
		snprintf(line, size, "%s %s", scheme, value);
		ok = add_header(http, "Authorization", line);
		explicit_bzero(line, size);
		free(line);
	}
	if (ok && key != NULL)
		ok = add_header(http, "Modal-Key", key);
	if (ok && secret != NULL)
		ok = add_header(http, "Modal-Secret", secret);
	return ok;
}

static bool
add_headers(HttpTarget *http)
{
	const char *user_agent = target_option(http->target, "user_agent");

	return add_header(http, "Content-Type",
					  http_format_content_type(http->format)) &&
		add_header(http, "User-Agent",
				   user_agent != NULL ? user_agent
									  : "modal_batch/" MODAL_BATCH_VERSION) &&
		(http->format != BODY_SNOWFLAKE ||
		 (add_header(http, "sf-external-function-format", "json") &&
		  add_header(http, "sf-external-function-format-version", "1.0"))) &&
		add_user_headers(http, target_option(http->target, "headers")) &&
		add_credentials(http);
}

static void
target_timer(void *arg)
{
	http_pump(arg);
}

static void
http_target_free(Target *target)
{
	HttpTarget *http = target->state;

	if (http == NULL)
		return;
	timer_cancel(&http->timer);
	for (int i = 0; i < http->nheaders; i++)
		if (http->headers[i] != NULL)
		{
			explicit_bzero(http->headers[i], strlen(http->headers[i]));
			free(http->headers[i]);
		}
	buf_free(&http->text);
	free(http->out);
	free(http);
	target->state = NULL;
}

static void
read_options(HttpTarget *http)
{
	const Target *t = http->target;
	const char *method = target_option(t, "method");

	http->method = method != NULL ? method : "POST";
	http->max_batch_rows = http_format_batches(http->format)
		? (uint32_t) target_option_int(t, "max_batch_rows", DEFAULT_BATCH_ROWS)
		: 1;
	http->max_batch_bytes =
		target_option_int(t, "max_batch_bytes", DEFAULT_BATCH_BYTES);
	http->max_reply_bytes =
		target_option_int(t, "max_reply_bytes", DEFAULT_MAX_REPLY);
	http->idempotent = target_option_bool(t, "idempotent", true);
	http->gzip = target_option_bool(t, "gzip", false);
	http->retry_budget = target_option_seconds(t, "retry_budget", 60);
	http->connect_timeout = target_option_seconds(t, "connect_timeout", 10);
	http->first_byte_timeout =
		target_option_seconds(t, "first_byte_timeout", 0);
	http->timeout = target_option_seconds(t, "timeout", 300);
	http->requests_per_second =
		target_option_seconds(t, "requests_per_second", 0);
	climb_init(&http->concurrency, FIRST_CONCURRENCY,
			   (uint32_t) target_option_int(t, "max_concurrency",
											DEFAULT_CONCURRENCY),
			   CONCURRENCY_GAIN);
	climb_init(&http->rows, FIRST_BATCH_ROWS, http->max_batch_rows, ROWS_GAIN);
	backoff_init(&http->pause, FIRST_PAUSE, 2, MAX_PAUSE, true);
}

static bool
http_target_init(Target *target, const char **error)
{
	HttpTarget *http = calloc(1, sizeof(HttpTarget));
	const char *format = target_option(target, "format");

	*error = "out of memory";
	if (http == NULL)
		return false;
	target->state = http;
	http->target = target;
	buf_init(&http->text, 0, NULL);
	timer_init(&http->timer, target_timer, http);
	if (!http_format_by_name(format != NULL ? format : "json", &http->format))
		*error = "unknown format of an HTTP function";
	else
	{
		read_options(http);
		if (add_headers(http))
			return true;
		if (http->nheaders == HTTP_MAX_HEADERS)
			*error = "too many headers";
	}
	http_target_free(target);
	return false;
}

/* --- the ring of calls with something to send ----------------------------- */

static void
ring_remove(HttpCall *hcall)
{
	HttpTarget *http = hcall->http;

	if (!hcall->in_ring)
		return;
	hcall->prev->next = hcall->next;
	hcall->next->prev = hcall->prev;
	if (http->calls == hcall)
		http->calls = hcall->next != hcall ? hcall->next : NULL;
	hcall->in_ring = false;
}

static void
ring_add(HttpCall *hcall)
{
	HttpTarget *http = hcall->http;

	if (hcall->in_ring)
		return;
	if (http->calls == NULL)
	{
		hcall->prev = hcall->next = hcall;
		http->calls = hcall;
	}
	else
	{
		hcall->next = http->calls;
		hcall->prev = http->calls->prev;
		hcall->prev->next = hcall;
		hcall->next->prev = hcall;
	}
	hcall->in_ring = true;
}

void
http_ready(HttpBatch *batch)
{
	HttpCall *hcall = batch->owner;

	batch->next_ready = NULL;
	*hcall->ready_tail = batch;
	hcall->ready_tail = &batch->next_ready;
	ring_add(hcall);
}

/* --- deciding what to send ------------------------------------------------ */

/*
 * May another request be sent?  If not, *later says when that may change (0:
 * when something ends).
 */
static bool
may_send(HttpTarget *http, double now, double *later)
{
	*later = 0;
	if (http->active >= http->concurrency.value)
		return false;
	if (now < http->paused_until)
	{
		*later = http->paused_until;
		return false;
	}
	if (http->requests_per_second > 0)
	{
		double most = http->requests_per_second > 1 ? http->requests_per_second
													: 1;

		/* A second's worth may be saved up, but not at the start. */
		if (http->tokens_at == 0)
			http->tokens = 1;
		else
			http->tokens += (now - http->tokens_at) * http->requests_per_second;
		if (http->tokens > most)
			http->tokens = most;
		http->tokens_at = now;
		if (http->tokens < 1)
		{
			*later = now + (1 - http->tokens) / http->requests_per_second;
			return false;
		}
	}
	return true;
}

/*
 * The next batch of a call, or NULL: nothing to send, or better later (then
 * *later is lowered to the time when it goes even if incomplete).
 */
static HttpBatch *
next_batch(HttpCall *hcall, double now, double *later)
{
	HttpTarget *http = hcall->http;
	DispatchCall *call = hcall->call;
	HttpBatch *batch = hcall->ready;
	CallInput *inputs;
	uint32_t rows;

	if (!call_may_fetch(call))
		return NULL;
	if (batch != NULL)
	{
		hcall->ready = batch->next_ready;
		if (hcall->ready == NULL)
			hcall->ready_tail = &hcall->ready;
		return batch;
	}
	if (call->npending == 0)
		return NULL;
	if (call->npending < http->rows.value && !call->finished &&
		call->pending_bytes < http->max_batch_bytes && hcall->under_way > 0)
	{
		if (hcall->lingering_since == 0)
			hcall->lingering_since = now;
		if (now < hcall->lingering_since + LINGER_SECONDS)
		{
			double due = hcall->lingering_since + LINGER_SECONDS;

			if (*later == 0 || due < *later)
				*later = due;
			return NULL;
		}
	}
	hcall->lingering_since = 0;
	inputs = call_take_inputs(call, http->rows.value, http->max_batch_bytes,
							  &rows);
	batch = batch_create(hcall, inputs, rows);
	if (batch == NULL)
		http_fail_call(hcall, MODAL_SQLSTATE_RESOURCES, NULL, NULL,
					   "out of memory in the modal_batch dispatcher");
	return batch;
}

/* Let each call of the ring have a turn; true if something was sent. */
static bool
pump_round(HttpTarget *http, double now, double *later)
{
	HttpCall *last;
	bool sent = false;

	if (http->calls == NULL)
		return false;
	last = http->calls->prev;
	for (;;)
	{
		HttpCall *hcall = http->calls;
		bool at_end = hcall == last;
		HttpBatch *batch;

		if (!may_send(http, now, later))
			return false;
		http->calls = hcall->next;
		if (hcall->ready == NULL && hcall->call->npending == 0)
			ring_remove(hcall);
		else if ((batch = next_batch(hcall, now, later)) != NULL)
		{
			if (http->requests_per_second > 0)
				http->tokens -= 1;
			batch_send(batch);
			sent = true;
		}
		/* Sending can end calls, other ones too: then begin anew. */
		if (at_end || http->calls == NULL)
			return sent;
		if (sent)
			return true;
	}
}

void
http_pump(HttpTarget *http)
{
	double now = monotonic_seconds();
	double later = 0;

	if (http->pumping)
		return;
	http->pumping = true;
	while (pump_round(http, now, &later))
		;
	http->pumping = false;
	if (later > 0)
		(void) timer_set(&http->timer, later);
}

void
http_pause(HttpTarget *http, double seconds)
{
	static const double longest = 600; /* a peer cannot stop us for longer */
	double until;

	if (seconds < 0)
		seconds = backoff_next(&http->pause, drand48());
	until = monotonic_seconds() + (seconds < longest ? seconds : longest);
	if (until > http->paused_until)
		http->paused_until = until;
	(void) timer_set(&http->timer, http->paused_until);
}

/* --- calls ---------------------------------------------------------------- */

static void
hcall_free(HttpCall *hcall)
{
	ring_remove(hcall);
	while (hcall->batches != NULL)
		batch_free(hcall->batches);
	free(hcall);
}

void
http_fail_call(HttpCall *hcall, const char *sqlstate, const char *detail,
			   const char *hint, const char *message)
{
	DispatchCall *call = hcall->call;

	hcall_free(hcall);
	call_fail(call, sqlstate, false, detail, hint, "%s", message);
}

/* Has the call nothing left to do? */
static bool
maybe_end(HttpCall *hcall)
{
	DispatchCall *call = hcall->call;

	if (!call->finished || call->npending > 0 || hcall->batches != NULL)
		return false;
	hcall_free(hcall);
	call_close(call);
	return true;
}

void
http_batch_gone(HttpCall *hcall)
{
	HttpTarget *http = hcall->http;

	(void) maybe_end(hcall);
	http_pump(http);
}

static void
http_open(DispatchCall *call)
{
	HttpCall *hcall;
	CallOpened opened = {0};

	call->state = NULL;
	if (call->open.kind == CALL_CONTROL)
	{
		http_control(call);
		return;
	}
	if (call->open.kind != CALL_REMOTE && call->open.kind != CALL_MAP &&
		call->open.kind != CALL_SPAWN_MAP)
	{
		call_fail(call, MODAL_SQLSTATE_UNSUPPORTED, false, NULL, NULL,
				  "this operation is not possible with an HTTP function");
		return;
	}
	hcall = calloc(1, sizeof(HttpCall));
	if (hcall == NULL)
	{
		call_fail(call, MODAL_SQLSTATE_RESOURCES, true, NULL, NULL,
				  "out of memory in the modal_batch dispatcher");
		return;
	}
	hcall->call = call;
	hcall->http = call->target->state;
	hcall->ready_tail = &hcall->ready;
	call->state = hcall;
	opened.window = call->open.window;
	call_opened(call, &opened);
}

/* A control call keeps its request there, and takes no inputs. */
static HttpCall *
hcall_of(DispatchCall *call)
{
	return call->open.kind == CALL_CONTROL ? NULL : call->state;
}

static void
http_inputs(DispatchCall *call)
{
	HttpCall *hcall = hcall_of(call);

	if (hcall == NULL)
		return;
	ring_add(hcall);
	http_pump(hcall->http);
}

static void
http_finish(DispatchCall *call)
{
	HttpCall *hcall = hcall_of(call);
	HttpTarget *http;

	if (hcall == NULL || maybe_end(hcall))
		return;
	http = hcall->http;
	http_pump(http); /* an incomplete batch need not linger any more */
}

static void
http_consumed(DispatchCall *call)
{
	HttpCall *hcall = hcall_of(call);

	if (hcall != NULL)
		http_pump(hcall->http);
}

static void
http_cancel(DispatchCall *call, int flags)
{
	(void) flags;
	if (call->open.kind == CALL_CONTROL)
		http_control_cancel(call);
	else if (call->state != NULL)
	{
		HttpTarget *http = ((HttpCall *) call->state)->http;

		hcall_free(call->state);
		http_pump(http);
	}
}

const Protocol http_protocol = {
	.name = "http",
	.driver =
		{
			.open = http_open,
			.inputs = http_inputs,
			.finish = http_finish,
			.consumed = http_consumed,
			.cancel = http_cancel,
		},
	.target_init = http_target_init,
	.target_free = http_target_free,
};
