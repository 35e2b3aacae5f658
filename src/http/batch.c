/*-------------------------------------------------------------------------
 *
 * batch.c
 *	  The life of one batch of rows: request, reply, retry, halving.
 *
 * What a request's end means is for judge.c to say; on_done() and
 * after_failure() are the whole policy of what is done about it.  A batch
 * whose failure may be a row's fault is cut in two, so that a bad row ends up
 * alone and its neighbours succeed; each half starts with a retry budget of
 * its own.
 *
 * With option idempotent off, a row that may have reached the function is
 * never sent again: neither retried nor halved.
 *
 *-------------------------------------------------------------------------
 */
#include "http/http.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <zlib.h>

#include "core/http_text.h"
#include "core/random.h"
#include "errors.h"

#define GZIP_WORTHWHILE 1024	/* smaller bodies are sent as they are */
#define NOTICE_S 30.0			/* a job is told no more often that it has to wait */

/* Snowflake's 202; the budget is the format's own limit. */
static const RetryPolicy poll_policy = {
	.first = 0.1,
	.growth = 2,
	.most = 5,
	.budget = 600,
	.tries = RETRY_OFTEN,
};

/* --- creation and end ----------------------------------------------------- */

static void
make_key(HttpBatch *batch)
{
	HttpKey key;

	http_key_begin(&key, batch->owner->call->open.idempotency);
	for (CallInput *in = batch->inputs; in != NULL; in = in->next)
		http_key_add(&key, in->ordinal);
	memcpy(batch->key_header, HTTP_KEY_HEADER, sizeof(HTTP_KEY_HEADER) - 1);
	batch->key = batch->key_header + sizeof(HTTP_KEY_HEADER) - 1;
	http_key_text(&key, batch->key);
}

static void
timer_ready(void *arg)
{
	HttpBatch *batch = arg;
	flow_wait_end(&batch->waiting);
	http_ready(batch);
	http_pump(batch->owner->http);
}

static void
free_inputs(CallInput *inputs)
{
	while (inputs != NULL)
	{
		CallInput *next = inputs->next;

		call_input_free(inputs);
		inputs = next;
	}
}

HttpBatch *
batch_create(HttpCall *owner, CallInput *inputs, uint32_t rows)
{
	HttpBatch *batch = calloc(1, sizeof(HttpBatch));

	if (batch == NULL)
	{
		free_inputs(inputs);
		return NULL;
	}
	batch->owner = owner;
	batch->inputs = inputs;
	batch->rows = rows;
	batch->full = true;
	buf_init(&batch->body, 0, NULL);
	timer_init(&batch->timer, timer_ready, batch);
	list_append(&owner->batches, &batch->of_call);
	owner->rows += rows;
	make_key(batch);
	return batch;
}

void
batch_free(HttpBatch *batch)
{
	HttpCall *owner = batch->owner;

	if (batch->request != NULL)
	{
		request_cancel(batch->request);
		http_request_over(batch);
	}
	flow_wait_end(&batch->waiting);
	timer_cancel(&batch->timer);
	list_remove(&batch->ready);
	list_remove(&batch->of_call);
	owner->rows -= batch->rows;
	free_inputs(batch->inputs);
	buf_free(&batch->body);
	free(batch);
}

/* --- sending --------------------------------------------------------------- */

static bool
gzip_body(Buf *body)
{
	z_stream z = {0};
	Buf packed;
	uint8_t *out;
	size_t most;
	bool ok = false;

	if (body->len > UINT32_MAX / 2 ||
		deflateInit2(&z, Z_DEFAULT_COMPRESSION, Z_DEFLATED, MAX_WBITS + 16, 8,
					 Z_DEFAULT_STRATEGY) != Z_OK)
		return false;
	most = deflateBound(&z, (uLong) body->len);
	buf_init(&packed, 0, NULL);
	out = buf_extend(&packed, most);
	if (out != NULL)
	{
		z.next_in = body->data;
		z.avail_in = (uInt) body->len;
		z.next_out = out;
		z.avail_out = (uInt) most;
		ok = deflate(&z, Z_FINISH) == Z_STREAM_END;
		packed.len = z.total_out;
	}
	deflateEnd(&z);
	if (ok)
	{
		buf_free(body);
		*body = packed;
	}
	else
		buf_free(&packed);
	return ok;
}

/* A row's part of the body. */
static Slice
row_of(const HttpBatch *batch, const CallInput *in)
{
	Slice path, body = {(const char *) in->data, in->len};

	if (batch->owner->call->open.input_format == PAYLOAD_REQUEST &&
		!form_split_input(in, &path, &body))
		return (Slice){NULL, 0};
	return body;
}

static bool
make_body(HttpBatch *batch)
{
	HttpTarget *http = batch->owner->http;
	const CallOpen *open = &batch->owner->call->open;
	uint32_t number = 0;
	HttpCaller caller = {
		.request_id = batch->key,
		.function = open->label,
		.user = http->session_user != NULL ? http->session_user : "",
		.database = http->database != NULL ? http->database : "",
		.context = open->request.n > 0 ? open->request : (Slice){NULL, 0}};

	Slice first = row_of(batch, batch->inputs);

	if (first.p == NULL)
		return false;
	buf_reset(&batch->body);
	http_format_begin(http->format, &batch->body, batch->rows, first, &caller);
	for (const CallInput *in = batch->inputs; in != NULL; in = in->next)
		if (!http_format_row(http->format, &batch->body, number++,
							 row_of(batch, in)))
			return false;
	http_format_end(http->format, &batch->body, batch->rows, first, &caller);
	return !batch->body.failed;
}

static void
on_header(void *arg, const char *name, size_t name_len, const char *value,
		  size_t value_len)
{
	HttpBatch *batch = arg;
	double seconds;

	if (name_len == 12 && memcmp(name, "content-type", 12) == 0)
		http_text_of_type(value, value_len, batch->type, sizeof(batch->type));
	batch->says_error |=
		form_is_error_header(batch->owner->http, name, name_len);
	if (name_len == 4 && memcmp(name, "date", 4) == 0 &&
		!http_date(value, value_len, &batch->date))
		batch->date = 0;
	if (name_len != 11 || memcmp(name, "retry-after", 11) != 0)
		return;
	seconds = judge_retry_after(value, value_len,
								batch->owner->http->retrying.budget);
	if (seconds > batch->retry_after)
		batch->retry_after = seconds;
}

static void on_done(void *arg, Response *response);

static bool
start_request(HttpBatch *batch)
{
	HttpTarget *http = batch->owner->http;
	Slice path = batch->owner->path, body;
	const char *headers[HTTP_MAX_HEADERS + CREDENTIALS_HEADERS + 4];
	char batch_id[HTTP_KEY_LEN + 64];
	RequestSpec spec = {0};
	int n = 0;

	if (batch->owner->call->open.input_format == PAYLOAD_REQUEST)
		(void) form_split_input(batch->inputs, &path, &body);
	buf_reset(&http->text);
	/* What joins the path to the server's URL may be in the reference. */
	if (path.n == 0 || path.p[0] != '/')
		buf_put_u8(&http->text, '/');
	buf_put(&http->text, path.p, path.n);
	spec.path = buf_cstr(&http->text);
	if (spec.path == NULL)
		return false;

	for (; n < http->nheaders; n++)
		headers[n] = http->headers[n];
	headers[n++] = batch->key_header;
	if (http->format == BODY_SNOWFLAKE)
	{
		snprintf(batch_id, sizeof(batch_id),
				 "sf-external-function-query-batch-id: %s", batch->key);
		headers[n++] = batch_id;
	}
	if (http->gzip && !batch_is_polling(batch) &&
		batch->body.len >= GZIP_WORTHWHILE && gzip_body(&batch->body))
		headers[n++] = "Content-Encoding: gzip";
	headers[n] = NULL;

	spec.origin = http->target->origin;
	spec.method = batch_is_polling(batch) ? "GET" : http->method;
	spec.headers = headers;
	if (!batch_is_polling(batch))
	{
		spec.body = batch->body.data;
		spec.body_len = batch->body.len;
	}
	spec.max_body = http->max_reply_bytes;
	spec.timeout_s = http->timeout;
	spec.connect_timeout_s = http->connect_timeout;
	spec.first_byte_timeout_s = http->first_byte_timeout;
	spec.accept_gzip = http->gzip;
	spec.once = !http->idempotent && !batch_is_polling(batch);
	spec.on_header = on_header;
	spec.may_hold = room_may_hold;
	spec.on_done = on_done;
	spec.arg = batch;
	if (!credentials_sign(http->credentials, &spec, batch->key, headers, &n))
		return false;
	batch->credentials = credentials_serial(http->credentials);
	batch->request = request_start(&spec);
	return batch->request != NULL;
}

void
batch_send(HttpBatch *batch)
{
	HttpCall *owner = batch->owner;

	flow_wait_end(&batch->waiting);
	batch->retry_after = 0;
	batch->date = 0;
	batch->type[0] = '\0';
	batch->says_error = false;
	if ((!batch_is_polling(batch) && !make_body(batch)) ||
		!start_request(batch))
	{
		http_no_memory(owner);
		return;
	}
	batch->sent_at = monotonic_seconds();
	http_sent(batch);
	owner->call->requests++;
	if (batch->attempts == 0 && !batch_is_polling(batch))
		owner->call->sent += batch->rows;
	call_touch(owner->call);
}

/* --- after a request ---------------------------------------------------------- */

static void
wait_for(HttpBatch *batch, double seconds, FlowReason reason)
{
	if (timer_set(&batch->timer, monotonic_seconds() + seconds))
		flow_wait_begin(&batch->waiting, reason);
	else
		http_ready(batch); /* no memory for a timer: at once, then */
}

/*
 * Pauses grow only after more failures than chance explains: while most
 * requests go well, waiting longer would help nobody.
 */
static void
wait_to_retry(HttpBatch *batch, const RetryPolicy *policy, FlowReason reason)
{
	if (batch->retry.failures <= pace_excused(&batch->owner->http->pace))
		retry_excuse(&batch->retry);
	wait_for(batch,
			 retry_pause(&batch->retry, policy, monotonic_seconds(),
						 random_unit(), batch->retry_after),
			 reason);
}

/* After what is nobody's failure: free of charge. */
static void
wait_patiently(HttpBatch *batch)
{
	const RetryPolicy *patient = &batch->owner->http->patient;

	(void) retry_failed(&batch->retry, patient, monotonic_seconds());
	wait_to_retry(batch, patient, FLOW_THROTTLED);
}

/* Cut a batch in two; both go at once.  False when there is no memory. */
static bool
halve(HttpBatch *batch)
{
	HttpCall *owner = batch->owner;
	uint32_t half = batch->rows / 2;
	CallInput **cut = &batch->inputs;
	CallInput *rest;
	HttpBatch *first, *second;

	for (uint32_t i = 0; i < half; i++)
		cut = &(*cut)->next;
	rest = *cut;
	*cut = NULL;
	first = batch_create(owner, batch->inputs, half);
	batch->inputs = NULL;
	second = batch_create(owner, rest, batch->rows - half);
	if (first == NULL || second == NULL)
		return false;
	first->attempts = second->attempts = batch->attempts;
	first->usage = batch->usage;
	http_ready(first);
	http_ready(second);
	return true;
}

/* Like the rows that were not sent yet, until the service is in reach again. */
static void
wait_for_service(HttpBatch *batch)
{
	flow_wait_begin(&batch->waiting, FLOW_BACKING_OFF);
	http_ready(batch);
}

/*
 * The process may have no more connections.  Those that there are take what
 * waits in turns; without any, others must give one up.
 */
static void
wait_for_connection(HttpBatch *batch)
{
	HttpTarget *http = batch->owner->http;
	uint32_t others = http->active - http->stalled;

	if (others > 0)
	{
		pace_limit(&http->pace, others, monotonic_seconds());
		http_ready(batch);
	}
	else
		wait_patiently(batch);
}

void
http_tell_of_waiting(DispatchCall *call, double *next_notice,
					 const Failure *failure, const char *message)
{
	double now = monotonic_seconds();
	char text[256];

	if (call->open.kind != CALL_SPAWN_MAP || now < *next_notice ||
		!(failure->rejected || failure->unreachable))
		return;
	*next_notice = now + NOTICE_S;
	snprintf(text, sizeof(text), "%s: %s",
			 failure->rejected ? "the service asks to wait"
							   : "the service cannot be reached",
			 message);
	call_notice(call,
				failure->rejected ? NOTICE_THROTTLED : NOTICE_UNREACHABLE, text);
}

/*
 * What becomes of a batch whose request failed.  Returns with the batch
 * queued again or freed; false when the call is gone.
 */
static bool
after_failure(HttpBatch *batch, const Failure *failure, const char *message)
{
	HttpCall *owner = batch->owner;
	HttpTarget *http = owner->http;
	bool may_resend = http->idempotent || !failure->executed;
	/* Asking again starts no work anew; a batch under another key would. */
	bool may_ask = may_resend || batch_is_polling(batch);
	bool may_halve = may_resend && batch->rows > 1;
	bool in_budget;
	/* A job waits for its service. */
	const RetryPolicy *policy =
		!failure->executed && owner->call->open.kind == CALL_SPAWN_MAP
		? &http->patient
		: &http->retrying;

	http_tell_of_waiting(owner->call, &owner->next_notice, failure, message);
	if (failure->verdict == VERDICT_DEFER)
	{
		wait_patiently(batch);
		return true;
	}
	if (failure->unreachable && http_give_up(owner, failure, message))
		return false;
	if (failure->verdict == VERDICT_FAIL_CALL)
	{
		http_fail_call(owner, failure->sqlstate, failure->hint, message);
		return false;
	}

	in_budget = retry_failed(&batch->retry, policy, monotonic_seconds());
	if (failure->verdict == VERDICT_RETRY)
	{
		may_halve = may_halve && !failure->blameless && !batch_is_polling(batch);
		/* A first retry is of the whole: it may not have been a row's fault. */
		if (in_budget && may_ask && !(may_halve && batch->attempts > 1))
		{
			owner->call->retries += batch->rows;
			if (failure->unreachable && http->unreachable_since > 0)
				wait_for_service(batch);
			else
				wait_to_retry(batch, policy, FLOW_BACKING_OFF);
			return true;
		}
	}
	if (failure->verdict != VERDICT_FAIL_ROWS && may_halve)
	{
		owner->call->retries += batch->rows;
		if (!halve(batch))
		{
			http_no_memory(owner);
			return false;
		}
	}
	else
		outcome_fail_rows(batch, failure, message);
	batch_free(batch);
	return true;
}

/* Ask again later what has become of the batch; false when it took too long. */
static bool
keep_polling(HttpBatch *batch)
{
	double now = monotonic_seconds();

	if (!retry_failed(&batch->polling, &poll_policy, now))
		return false;
	retry_progress(&batch->retry);
	wait_for(batch,
			 retry_pause(&batch->polling, &poll_policy, now, random_unit(),
						 batch->retry_after),
			 FLOW_NONE);
	return true;
}

static bool
room_for_rows(HttpTarget *http, uint32_t rows)
{
	HttpRow *grown;

	if (rows <= http->out_size)
		return true;
	grown = realloc(http->out, rows * sizeof(HttpRow));
	if (grown == NULL)
		return false;
	http->out = grown;
	http->out_size = rows;
	return true;
}

/* Rows that their function wants to see again become a batch of their own. */
static bool
send_again(HttpBatch *batch, CallInput *inputs, uint32_t rows)
{
	const RetryPolicy *policy = &batch->owner->http->retrying;
	HttpBatch *later = batch_create(batch->owner, inputs, rows);

	if (later == NULL)
		return false;
	batch->owner->call->retries += rows;
	later->attempts = batch->attempts;
	later->retry = batch->retry;
	later->usage = batch->usage;
	(void) retry_failed(&later->retry, policy, monotonic_seconds());
	wait_to_retry(later, policy, FLOW_BACKING_OFF);
	return true;
}

/* A reply with a good status.  False when the call is gone. */
static bool
after_reply(HttpBatch *batch, Response *response)
{
	HttpCall *owner = batch->owner;
	HttpTarget *http = owner->http;
	const char *error;
	bool failed;
	CallInput *again;
	uint32_t nagain;

	/* A service that has nothing to say: NULL. */
	if (http->format == BODY_JSON && response->body.len == 0 &&
		(http->form == NULL || http->form->type < REPLY_TEXT))
		buf_put_cstr(&response->body, "null");
	if (response->body.failed || !room_for_rows(http, batch->rows))
	{
		http_no_memory(owner);
		return false;
	}
	error = form_read(batch, response, &failed);
	if (error != NULL)
	{
		Failure failure = {.verdict = VERDICT_BAD_ROWS,
						   .sqlstate = failed ? MODAL_SQLSTATE_REMOTE
											  : MODAL_SQLSTATE_PROTOCOL,
						   .executed = true};
		Buf message;
		bool alive;

		buf_init(&message, 0, NULL);
		if (failed)
			judge_quote(http->target, error, strlen(error), &message);
		else
			judge_describe_reply(http->target, response, batch->type, error,
								 &message);
		alive = after_failure(batch, &failure, buf_cstr(&message));
		buf_free(&message);
		return alive;
	}

	again = outcome_deliver(batch, http->out, &nagain);
	if (nagain > 0 && !send_again(batch, again, nagain))
	{
		http_no_memory(owner);
		return false;
	}
	batch_free(batch);
	return true;
}

/* An answer without results.  False when the call is gone. */
static bool
after_bad_response(HttpBatch *batch, const Failure *failure,
				   Response *response)
{
	HttpTarget *http = batch->owner->http;
	Failure told = *failure;
	Buf message;
	bool alive;

	if (failure->rejected)
		http_pause(batch->owner->function, batch->retry_after);
	buf_init(&message, 0, NULL);
	judge_describe(http->target, http->form, response, batch->type, &message);
	if ((response->status == 400 || response->status == 401 ||
		 response->status == 403) &&
		credentials_need_clock(http->credentials) &&
		credentials_blame_clock(batch->date, &message))
		told.hint = CREDENTIALS_CLOCK_HINT;
	alive = after_failure(batch, &told, buf_cstr(&message));
	buf_free(&message);
	return alive;
}

/* Tell the pace what was achieved. */
static void
report(HttpBatch *batch, const Failure *failure, double now)
{
	HttpTarget *http = batch->owner->http;
	PaceReport ended = {.now = now,
						.seconds = now - batch->sent_at,
						.rows = batch->rows,
						.good = failure->verdict == VERDICT_GOOD,
						.failed = failure->verdict == VERDICT_RETRY ||
							failure->verdict == VERDICT_DEFER,
						.rejected = failure->rejected,
						.full = batch->full,
						.stalled = batch->stalled,
						.limited = http->active - http->stalled >=
							pace_requests(&http->pace)};

	pace_report(&http->pace, &ended);
}

/* Was it sent with a token that is over?  Then it goes again with another one. */
static bool
renew(HttpBatch *batch, const Response *response)
{
	HttpTarget *http = batch->owner->http;

	if (response->error != TRANSPORT_OK || response->status != 401 ||
		batch->renewed ||
		!credentials_refused(http->credentials, batch->credentials))
		return false;
	batch->renewed = true;
	http_request_over(batch);
	http_ready(batch);
	http_pump(http);
	return true;
}

static void
count_traffic(DispatchCall *call, const Response *response)
{
	call->bytes_out += response->bytes_sent;
	call->bytes_in += response->bytes_received;
	call_touch(call);
}

/* There was no room for its reply: it is asked for again when there is. */
static void
wait_for_room(HttpBatch *batch, const Response *response)
{
	const Failure failure = {.verdict = VERDICT_FAIL_ROWS,
							 .sqlstate = MODAL_SQLSTATE_TOO_LARGE};
	HttpCall *owner = batch->owner;
	HttpTarget *http = owner->http;

	http_request_over(batch);
	http_reached(http, response->finished_at);
	owner->answered = true;
	batch->attempts++;
	if (http->idempotent || batch_is_polling(batch))
	{
		owner->call->retries += batch->rows;
		http_ready(batch);
		http_pump(http);
		return;
	}
	outcome_fail_rows(batch, &failure,
					  "replies of the HTTP function take too much memory at once");
	batch_free(batch);
	http_batch_gone(owner);
}

static void
on_done(void *arg, Response *response)
{
	HttpBatch *batch = arg;
	HttpCall *owner = batch->owner;
	HttpTarget *http = owner->http;
	Failure failure;
	bool alive;

	batch->request = NULL;
	if (response->error == TRANSPORT_NO_DESCRIPTOR)
	{
		http_request_over(batch);
		wait_for_connection(batch);
		http_pump(http);
		return;
	}
	if (renew(batch, response))
		return;
	count_traffic(owner->call, response);
	if (response->error == TRANSPORT_ABORTED)
	{
		wait_for_room(batch, response);
		return;
	}
	failure = judge_response(http->format,
							 owner->call->open.input_format == PAYLOAD_REQUEST,
							 response);
	report(batch, &failure, response->finished_at);
	http_request_over(batch);
	if (response->error == TRANSPORT_OK)
		owner->answered = true;
	if (failure.unreachable)
		http_not_reached(batch);
	else
		http_reached(http, response->finished_at);
	if (failure.verdict != VERDICT_POLL && failure.verdict != VERDICT_DEFER)
		batch->attempts++;

	if (failure.verdict == VERDICT_GOOD)
		alive = after_reply(batch, response);
	else if (failure.verdict == VERDICT_POLL && keep_polling(batch))
		alive = true;
	else
	{
		if (failure.verdict == VERDICT_POLL)
			failure = (Failure){.verdict = VERDICT_FAIL_ROWS,
								.sqlstate = MODAL_SQLSTATE_TIMEOUT,
								.executed = true};
		alive = after_bad_response(batch, &failure, response);
	}

	if (alive)
		http_batch_gone(owner);
	else
		http_pump(http);
}
