/*-------------------------------------------------------------------------
 *
 * http_batch.c
 *	  The life of one batch of rows: request, reply, retry, halving.
 *
 * What is done after a reply or a failure is one of the Verdicts below;
 * judge() is the whole policy.  A batch that failed for good with more than
 * one row is cut in two, so that a bad row ends up alone and its neighbours
 * succeed; each half starts with a retry budget of its own.
 *
 * With option idempotent off, a row that may have reached the function is
 * never sent again: neither retried nor halved.
 *
 *-------------------------------------------------------------------------
 */
#include "worker/http.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <zlib.h>

#include "core/json_split.h"
#include "core/redact.h"
#include "errors.h"

#define MAX_ERROR_TEXT 8192		/* bytes of a body shown to the user */
#define GZIP_WORTHWHILE 1024	/* smaller bodies are sent as they are */
#define RETRY_BASE 0.1			/* seconds; doubles, full jitter */
#define RETRY_MAX 30.0
#define POLL_BASE 0.1			/* Snowflake's 202 */
#define POLL_MAX 5.0
#define POLL_BUDGET 600.0		/* the format's own limit */
#define CONNECT_ATTEMPTS 3		/* of a call whose caller waits */
#define MAX_SECRETS 16

typedef enum Verdict
{
	VERDICT_GOOD,		/* the reply holds results */
	VERDICT_POLL,		/* accepted: ask again later */
	VERDICT_DEFER,		/* not now (429): wait, free of charge */
	VERDICT_RETRY,		/* may go well another time */
	VERDICT_BAD_ROWS,	/* halve; a row alone fails */
	VERDICT_FAIL_CALL	/* no row can go well */
} Verdict;

typedef struct Failure
{
	Verdict verdict;
	const char *sqlstate;
	const char *hint;	/* or NULL */
	bool rejected;		/* refused by an overloaded peer, not executed */
	bool executed;		/* may the function have seen it? */
} Failure;

/* --- creation and end ----------------------------------------------------- */

/*
 * The same rows of the same call give the same key, so it survives retries,
 * polls and restarts: a version-8 UUID of a digest of seed and ordinals.
 */
static bool
make_key(HttpBatch *batch)
{
	const uint8_t *seed = batch->owner->call->open.idempotency;
	uint8_t d[EVP_MAX_MD_SIZE];
	EVP_MD_CTX *digest = EVP_MD_CTX_new();
	bool ok = digest != NULL &&
		EVP_DigestInit_ex(digest, EVP_sha256(), NULL) == 1 &&
		EVP_DigestUpdate(digest, seed,
						 sizeof(batch->owner->call->open.idempotency)) == 1;

	for (CallInput *in = batch->inputs; ok && in != NULL; in = in->next)
		ok = EVP_DigestUpdate(digest, &in->ordinal, sizeof(in->ordinal)) == 1;
	ok = ok && EVP_DigestFinal_ex(digest, d, NULL) == 1;
	EVP_MD_CTX_free(digest);
	if (!ok)
		return false;
	d[6] = (d[6] & 0x0f) | 0x80;
	d[8] = (d[8] & 0x3f) | 0x80;
	snprintf(batch->key, sizeof(batch->key),
			 "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-"
			 "%02x%02x%02x%02x%02x%02x",
			 d[0], d[1], d[2], d[3], d[4], d[5], d[6], d[7], d[8], d[9], d[10],
			 d[11], d[12], d[13], d[14], d[15]);
	return true;
}

static void
timer_ready(void *arg)
{
	HttpBatch *batch = arg;
	HttpTarget *http = batch->owner->http;

	http_ready(batch);
	http_pump(http);
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
	batch->retry_after = -1;
	backoff_init(&batch->backoff, RETRY_BASE, 2, RETRY_MAX, true);
	backoff_init(&batch->polling, POLL_BASE, 2, POLL_MAX, false);
	buf_init(&batch->body, 0, NULL);
	timer_init(&batch->timer, timer_ready, batch);
	batch->next_all = owner->batches;
	if (owner->batches != NULL)
		owner->batches->prev_all = batch;
	owner->batches = batch;
	if (!make_key(batch))
	{
		batch_free(batch);
		return NULL;
	}
	return batch;
}

static void
request_gone(HttpBatch *batch)
{
	batch->request = NULL;
	batch->owner->under_way--;
	batch->owner->http->active--;
}

void
batch_free(HttpBatch *batch)
{
	HttpCall *owner = batch->owner;

	if (batch->request != NULL)
	{
		request_cancel(batch->request);
		request_gone(batch);
	}
	timer_cancel(&batch->timer);
	if (batch->prev_all != NULL)
		batch->prev_all->next_all = batch->next_all;
	else
		owner->batches = batch->next_all;
	if (batch->next_all != NULL)
		batch->next_all->prev_all = batch->prev_all;
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

static bool
make_body(HttpBatch *batch)
{
	HttpTarget *http = batch->owner->http;
	const CallOpen *open = &batch->owner->call->open;
	const char *user = target_option(http->target, "session_user");
	const char *database = target_option(http->target, "database");
	char label[256];
	HttpCaller caller;

	snprintf(label, sizeof(label), "%.*s", (int) open->label.n, open->label.p);
	caller.request_id = batch->key;
	caller.function = label;
	caller.user = user != NULL ? user : "";
	caller.database = database != NULL ? database : "";
	caller.context = open->request.n > 0 ? open->request : (Slice){NULL, 0};
	buf_reset(&batch->body);
	return http_format_body(http->format, &batch->body, batch->inputs,
							batch->rows, &caller) &&
		!batch->body.failed;
}

/* Retry-After: seconds, or an HTTP date (RFC 9110, 10.2.3). */
static double
parse_retry_after(const char *value, size_t n)
{
	char text[64];
	char *end;
	double seconds;
	struct tm tm = {0};

	if (n >= sizeof(text))
		return -1;
	memcpy(text, value, n);
	text[n] = '\0';
	seconds = strtod(text, &end);
	if (end != text && *end == '\0')
		return seconds >= 0 ? seconds : -1;
	if (strptime(text, "%a, %d %b %Y %H:%M:%S GMT", &tm) == NULL)
		return -1;
	seconds = difftime(timegm(&tm), time(NULL));
	return seconds > 0 ? seconds : 0;
}

static void
on_header(void *arg, const char *name, size_t name_len, const char *value,
		  size_t value_len)
{
	HttpBatch *batch = arg;

	if (name_len == 11 && memcmp(name, "retry-after", 11) == 0)
		batch->retry_after = parse_retry_after(value, value_len);
}

static void on_done(void *arg, Response *response);

static bool
start_request(HttpBatch *batch)
{
	HttpTarget *http = batch->owner->http;
	const CallOpen *open = &batch->owner->call->open;
	const char *headers[HTTP_MAX_HEADERS + 4];
	char key[HTTP_KEY_LEN + 32], batch_id[HTTP_KEY_LEN + 64];
	RequestSpec spec = {0};
	int n = 0;

	buf_reset(&http->text);
	/* What joins the path to the server's URL may be in the reference. */
	if (open->reference.n == 0 || open->reference.p[0] != '/')
		buf_put_u8(&http->text, '/');
	buf_put(&http->text, open->reference.p, open->reference.n);
	spec.path = buf_cstr(&http->text);
	if (spec.path == NULL)
		return false;

	for (; n < http->nheaders; n++)
		headers[n] = http->headers[n];
	snprintf(key, sizeof(key), "Idempotency-Key: %s", batch->key);
	headers[n++] = key;
	if (http->format == BODY_SNOWFLAKE)
	{
		snprintf(batch_id, sizeof(batch_id),
				 "sf-external-function-query-batch-id: %s", batch->key);
		headers[n++] = batch_id;
	}
	if (http->gzip && batch->polling_since == 0 &&
		batch->body.len >= GZIP_WORTHWHILE && gzip_body(&batch->body))
		headers[n++] = "Content-Encoding: gzip";
	headers[n] = NULL;

	spec.origin = http->target->origin;
	spec.method = batch->polling_since > 0 ? "GET" : http->method;
	spec.headers = headers;
	if (batch->polling_since == 0)
	{
		spec.body = batch->body.data;
		spec.body_len = batch->body.len;
	}
	spec.max_body = http->max_reply_bytes;
	spec.timeout_s = http->timeout;
	spec.connect_timeout_s = http->connect_timeout;
	spec.first_byte_timeout_s = http->first_byte_timeout;
	spec.accept_gzip = http->gzip;
	spec.on_header = on_header;
	spec.on_done = on_done;
	spec.arg = batch;
	batch->request = request_start(&spec);
	return batch->request != NULL;
}

void
batch_send(HttpBatch *batch)
{
	HttpCall *owner = batch->owner;

	batch->retry_after = -1;
	if ((batch->polling_since == 0 && !make_body(batch)) ||
		!start_request(batch))
	{
		http_fail_call(owner, MODAL_SQLSTATE_RESOURCES, NULL, NULL,
					   "out of memory in the modal_batch dispatcher");
		return;
	}
	owner->http->active++;
	owner->under_way++;
	owner->call->requests++;
	if (batch->attempts == 0 && batch->polling_since == 0)
		owner->call->sent += batch->rows;
	batch->sent_at = monotonic_seconds();
}

/* --- judging what came ------------------------------------------------------ */

static Failure
judge_transport(TransportError error)
{
	switch (error)
	{
		case TRANSPORT_CONNECT:
			return (Failure){VERDICT_RETRY, MODAL_SQLSTATE_CONNECT, NULL, false,
							 false};
		case TRANSPORT_TLS:
			return (Failure){VERDICT_FAIL_CALL, MODAL_SQLSTATE_CONNECT,
							 "Check option ssl_ca_file of the server.", false,
							 false};
		case TRANSPORT_TIMEOUT:
			return (Failure){VERDICT_RETRY, MODAL_SQLSTATE_TIMEOUT,
							 "See the timeout options of the server.", false,
							 true};
		case TRANSPORT_TOO_LARGE:
			return (Failure){VERDICT_BAD_ROWS, MODAL_SQLSTATE_TOO_LARGE,
							 "See option max_reply_bytes of the server.", false,
							 true};
		case TRANSPORT_MEMORY:
			return (Failure){VERDICT_FAIL_CALL, MODAL_SQLSTATE_RESOURCES, NULL,
							 false, true};
		case TRANSPORT_PROTOCOL:
			return (Failure){VERDICT_RETRY, MODAL_SQLSTATE_PROTOCOL, NULL,
							 false, true};
		default:
			return (Failure){VERDICT_RETRY, MODAL_SQLSTATE_CONNECTION, NULL,
							 false, true};
	}
}

static Failure
judge_status(const HttpBatch *batch, int status)
{
	switch (status)
	{
		case 200:
		case 201:
		case 203:
			return (Failure){.verdict = VERDICT_GOOD};
		case 202:
			if (batch->owner->http->format == BODY_SNOWFLAKE)
				return (Failure){.verdict = VERDICT_POLL};
			return (Failure){.verdict = VERDICT_GOOD};
		case 401:
		case 403:
		case 407:
			return (Failure){VERDICT_FAIL_CALL, MODAL_SQLSTATE_AUTH,
							 "Check the credentials in the user mapping.",
							 false, false};
		case 404:
		case 405:
		case 410:
			return (Failure){VERDICT_FAIL_CALL, MODAL_SQLSTATE_NOT_FOUND,
							 "Check option url of the server and the path in the function reference.",
							 false, false};
		case 429:
			return (Failure){VERDICT_DEFER, MODAL_SQLSTATE_RESOURCES, NULL,
							 true, false};
		case 408:
		case 425:
		case 500:
		case 502:
		case 504:
			return (Failure){VERDICT_RETRY, MODAL_SQLSTATE_REMOTE, NULL, false,
							 status != 425};
		case 503:
			return (Failure){VERDICT_RETRY, MODAL_SQLSTATE_REMOTE, NULL, true,
							 true};
		default:
			if (status >= 300 && status < 400)
				return (Failure){VERDICT_FAIL_CALL, MODAL_SQLSTATE_CONNECTION,
								 "Redirects are not followed: give the server the URL that answers.",
								 false, false};
			return (Failure){VERDICT_BAD_ROWS, MODAL_SQLSTATE_REMOTE, NULL,
							 false, true};
	}
}

/* Append text with secrets removed. */
static void
put_redacted(const HttpBatch *batch, Buf *out, const char *text, size_t n)
{
	const char *secrets[MAX_SECRETS];
	int count = target_secrets(batch->owner->http->target, secrets,
							   MAX_SECRETS);

	redact(out, text, n, secrets, count, MAX_ERROR_TEXT);
}

static void
describe(const HttpBatch *batch, const Response *response, Buf *message)
{
	Buf text;

	if (response->error != TRANSPORT_OK)
	{
		buf_put_cstr(message, "request to the HTTP function failed: ");
		put_redacted(batch, message, response->message,
					 strlen(response->message));
		return;
	}
	buf_printf(message, "HTTP function answered with status %d",
			   response->status);
	if (response->body.len == 0)
		return;
	buf_init(&text, 0, NULL);
	http_format_error_text((const char *) response->body.data,
						   response->body.len, &text);
	if (text.len > 0)
	{
		buf_put_cstr(message, ": ");
		put_redacted(batch, message, (const char *) text.data, text.len);
	}
	buf_free(&text);
}

/* --- outcomes of rows ------------------------------------------------------- */

static void
row_times(const HttpBatch *batch, FrameOutput *out)
{
	struct timespec now;
	double age = monotonic_seconds() - batch->sent_at;

	clock_gettime(CLOCK_REALTIME, &now);
	out->finished_at = (double) now.tv_sec + now.tv_nsec / 1e9;
	out->started_at = out->finished_at - age;
	out->attempts = batch->attempts < UINT16_MAX ? batch->attempts : UINT16_MAX;
}

static void
fail_rows(HttpBatch *batch, const Failure *failure, bool retryable,
		  const char *message)
{
	DispatchCall *call = batch->owner->call;
	FrameOutput out = {0};

	row_times(batch, &out);
	out.format = PAYLOAD_JSON;
	out.retryable = retryable;
	memcpy(out.sqlstate, failure->sqlstate, sizeof(out.sqlstate));
	out.message = (Slice){message, strlen(message)};
	for (CallInput *in = batch->inputs; in != NULL; in = in->next)
	{
		out.ordinal = in->ordinal;
		call->done++;
		call->failed++;
		call_output(call, &out);
	}
}

/* Append the text of an optional JSON value; returns its length. */
static size_t
put_field(Buf *buf, Slice value)
{
	size_t start = buf->len;

	if (value.p != NULL && !json_string(value, buf))
		buf_put(buf, value.p, value.n);
	return buf->len - start;
}

/* A row that its function reported as failed, in a reply that is good. */
static void
output_failed_row(const HttpBatch *batch, const HttpRow *row, FrameOutput *out)
{
	static const char no_message[] = "the function reported an error";
	Buf text;
	size_t code_len;

	buf_init(&text, MAX_ERROR_TEXT * 4, NULL);
	code_len = put_field(&text, row->code);
	if (put_field(&text, row->message) == 0)
		buf_put_cstr(&text, no_message);
	out->type = (Slice){(const char *) text.data, code_len};
	out->message =
		(Slice){(const char *) text.data + code_len, text.len - code_len};
	out->ok = 0;
	out->retryable = row->retryable;
	memcpy(out->sqlstate, MODAL_SQLSTATE_REMOTE, sizeof(out->sqlstate));
	call_output(batch->owner->call, out);
	buf_free(&text);
}

/* Pass all outcomes on; rows that may go well later become a new batch. */
static void
deliver(HttpBatch *batch, const HttpRow *rows, CallInput **again,
		uint32_t *nagain)
{
	HttpTarget *http = batch->owner->http;
	DispatchCall *call = batch->owner->call;
	double now = monotonic_seconds();
	bool may_retry = http->idempotent &&
		(batch->first_failed == 0 ||
		 now - batch->first_failed < http->retry_budget);
	CallInput *in = batch->inputs;
	FrameOutput out = {0};

	*again = NULL;
	*nagain = 0;
	row_times(batch, &out);
	out.format = PAYLOAD_JSON;
	for (uint32_t i = 0; i < batch->rows; i++)
	{
		CallInput *next = in->next;

		if (rows[i].value.p == NULL && rows[i].retryable && may_retry)
		{
			in->next = NULL;
			*again = in;
			again = &in->next;
			(*nagain)++;
			in = next;
			continue;
		}
		out.ordinal = in->ordinal;
		call->done++;
		if (rows[i].value.p == NULL)
		{
			call->failed++;
			output_failed_row(batch, &rows[i], &out);
		}
		else
		{
			out.ok = 1;
			out.data = rows[i].value;
			call_output(call, &out);
		}
		call_input_free(in);
		in = next;
	}
	batch->inputs = NULL;
}

/* --- after a request ---------------------------------------------------------- */

static void
wait_for(HttpBatch *batch, double seconds)
{
	if (!timer_set(&batch->timer, monotonic_seconds() + seconds))
		http_ready(batch); /* no memory for a timer: at once, then */
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
	http_ready(first);
	http_ready(second);
	return true;
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
	bool durable = owner->call->open.kind == CALL_SPAWN_MAP;
	bool unreachable = !failure->executed && durable; /* a job waits for it */
	double now = monotonic_seconds();
	bool repeatable = http->idempotent || !failure->executed;
	bool in_budget;

	if (failure->verdict == VERDICT_DEFER)
	{
		wait_for(batch, batch->retry_after >= 0
							? batch->retry_after
							: backoff_next(&batch->backoff, drand48()));
		return true;
	}
	if (batch->first_failed == 0)
		batch->first_failed = now;
	in_budget = now - batch->first_failed < http->retry_budget;

	if (failure->verdict == VERDICT_FAIL_CALL ||
		(!failure->executed && strcmp(failure->sqlstate,
									  MODAL_SQLSTATE_CONNECT) == 0 &&
		 !durable && ++owner->connect_failures >= CONNECT_ATTEMPTS))
	{
		http_fail_call(owner, failure->sqlstate, NULL, failure->hint, message);
		return false;
	}

	/* A first retry is of the whole: it may not have been a row's fault. */
	if (failure->verdict == VERDICT_RETRY && repeatable &&
		(in_budget || unreachable) &&
		(batch->rows == 1 || batch->attempts <= 1 || failure->rejected ||
		 unreachable))
	{
		owner->call->retries += batch->rows;
		wait_for(batch, batch->retry_after >= 0
							? batch->retry_after
							: backoff_next(&batch->backoff, drand48()));
		return true;
	}
	if (batch->rows > 1 && repeatable)
	{
		owner->call->retries += batch->rows;
		if (!halve(batch))
		{
			http_fail_call(owner, MODAL_SQLSTATE_RESOURCES, NULL, NULL,
						   "out of memory in the modal_batch dispatcher");
			return false;
		}
		batch_free(batch);
		return true;
	}
	fail_rows(batch, failure, failure->verdict == VERDICT_RETRY, message);
	batch_free(batch);
	return true;
}

static bool
keep_polling(HttpBatch *batch)
{
	double now = monotonic_seconds();

	if (batch->polling_since == 0)
		batch->polling_since = now;
	if (now - batch->polling_since > POLL_BUDGET)
		return false;
	wait_for(batch, backoff_next(&batch->polling, 0));
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

/* A reply with a good status.  False when the call is gone. */
static bool
after_reply(HttpBatch *batch, Response *response)
{
	HttpCall *owner = batch->owner;
	HttpTarget *http = owner->http;
	const char *text = buf_cstr(&response->body);
	const char *error;
	bool failed;
	CallInput *again;
	uint32_t nagain;

	if (text == NULL || !room_for_rows(http, batch->rows))
	{
		http_fail_call(owner, MODAL_SQLSTATE_RESOURCES, NULL, NULL,
					   "out of memory in the modal_batch dispatcher");
		return false;
	}
	error = http_format_reply(http->format, text, response->body.len,
							  batch->rows, http->out, &http->text, &failed);
	if (error != NULL)
	{
		Failure failure = {VERDICT_BAD_ROWS,
						   failed ? MODAL_SQLSTATE_REMOTE
								  : MODAL_SQLSTATE_PROTOCOL,
						   NULL, false, true};
		Buf message;
		bool alive;

		buf_init(&message, 0, NULL);
		if (!failed)
			buf_put_cstr(&message, "invalid reply of the HTTP function: ");
		put_redacted(batch, &message, error, strlen(error));
		batch->polling_since = 0;
		alive = after_failure(batch, &failure, buf_cstr(&message));
		buf_free(&message);
		return alive;
	}

	deliver(batch, http->out, &again, &nagain);
	if (nagain > 0)
	{
		HttpBatch *later = batch_create(owner, again, nagain);

		if (later == NULL)
		{
			http_fail_call(owner, MODAL_SQLSTATE_RESOURCES, NULL, NULL,
						   "out of memory in the modal_batch dispatcher");
			return false;
		}
		owner->call->retries += nagain;
		later->attempts = batch->attempts;
		later->backoff = batch->backoff;
		later->first_failed = batch->first_failed > 0 ? batch->first_failed
													  : monotonic_seconds();
		wait_for(later, backoff_next(&later->backoff, drand48()));
	}
	batch_free(batch);
	return true;
}

/* Tell the limits what they are worth. */
static void
report(HttpTarget *http, const HttpBatch *batch, const Failure *failure,
	   double seconds, bool limited)
{
	double now = monotonic_seconds();
	bool good = failure->verdict == VERDICT_GOOD;
	bool full = batch->rows == http->rows.value;

	climb_report(&http->concurrency, now, good ? batch->rows : 0, seconds,
				 failure->rejected, limited);
	if (good && full)
		climb_report(&http->rows, now, batch->rows, seconds, false, limited);
}

static void
on_done(void *arg, Response *response)
{
	HttpBatch *batch = arg;
	HttpCall *owner = batch->owner;
	HttpTarget *http = owner->http;
	bool limited = http->active >= http->concurrency.value;
	Failure failure;
	bool alive;

	request_gone(batch);
	owner->call->bytes_out += response->bytes_sent;
	owner->call->bytes_in += response->bytes_received;
	failure = response->error != TRANSPORT_OK
		? judge_transport(response->error)
		: judge_status(batch, response->status);
	if (failure.verdict != VERDICT_POLL && failure.verdict != VERDICT_DEFER)
		batch->attempts++;
	if (failure.verdict == VERDICT_GOOD)
	{
		owner->connect_failures = 0;
		backoff_reset(&http->pause);
	}
	report(http, batch, &failure, monotonic_seconds() - batch->sent_at,
		   limited);

	if (failure.verdict == VERDICT_GOOD)
		alive = after_reply(batch, response);
	else if (failure.verdict == VERDICT_POLL && keep_polling(batch))
		alive = true;
	else
	{
		Buf message;

		if (failure.verdict == VERDICT_POLL)
			failure = (Failure){VERDICT_BAD_ROWS, MODAL_SQLSTATE_TIMEOUT, NULL,
								false, true};
		if (failure.rejected && batch->retry_after >= 0)
			http_pause(http, batch->retry_after);
		buf_init(&message, 0, NULL);
		describe(batch, response, &message);
		alive = after_failure(batch, &failure, buf_cstr(&message));
		buf_free(&message);
	}

	if (alive)
		http_batch_gone(owner);
	else
		http_pump(http);
}
