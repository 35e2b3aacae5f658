/*-------------------------------------------------------------------------
 *
 * bulk_request.c
 *	  The requests of jobs at a service's batch endpoint; see bulk.h.
 *
 *-------------------------------------------------------------------------
 */
#include "http/bulk.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "core/http_text.h"
#include "core/random.h"
#include "errors.h"

#define LISTED 100 /* the newest ones; it is the most that can be asked for */

static void
put_path(const BulkCall *bc, Buf *path)
{
	buf_put(path, bc->path.data, 1 + bc->base);
	switch (bc->step)
	{
		case BULK_FIND:
			buf_printf(path, "/batches?limit=%d", LISTED);
			break;
		case BULK_UPLOAD:
			buf_put_cstr(path, "/files");
			break;
		case BULK_CREATE:
			buf_put_cstr(path, "/batches");
			break;
		case BULK_WAIT:
			buf_printf(path, "/batches/%s", bc->bulk.id);
			break;
		case BULK_CANCEL:
			buf_printf(path, "/batches/%s/cancel", bc->bulk.id);
			break;
		default:
			buf_printf(path, "/files/%s/content",
					   bc->step == BULK_OUTPUTS ? bc->bulk.output_file
												: bc->bulk.error_file);
			break;
	}
}

static bool
is_post(const BulkCall *bc)
{
	return bc->step == BULK_UPLOAD || bc->step == BULK_CREATE ||
		bc->step == BULK_CANCEL;
}

static void
on_header(void *arg, const char *name, size_t name_len, const char *value,
		  size_t value_len)
{
	BulkCall *bc = arg;

	if (name_len == 12 && memcmp(name, "content-type", 12) == 0)
		http_text_of_type(value, value_len, bc->type, sizeof(bc->type));
	else if (name_len == 11 && memcmp(name, "retry-after", 11) == 0)
		bc->retry_after = judge_retry_after(value, value_len,
											bc->http->retrying.budget);
}

/* Was it sent with a token that is over?  Then it goes again with another one. */
static bool
renew(BulkCall *bc, const Response *response)
{
	if (response->error != TRANSPORT_OK || response->status != 401 ||
		bc->renewed ||
		!credentials_refused(bc->http->credentials, bc->credentials))
		return false;
	bc->renewed = true;
	bulk_ask(bc);
	return true;
}

/*
 * It may go well another time.  Whether a bulk was made by a request that was
 * lost is found out first.
 */
static void
ask_again(BulkCall *bc, const Failure *failure, const char *message)
{
	const RetryPolicy *patient = &bc->http->patient;
	double now = monotonic_seconds();

	http_tell_of_waiting(bc->call, &bc->next_notice, failure, message);
	if (bc->step == BULK_CREATE)
		bc->step = BULK_FIND;
	(void) retry_failed(&bc->retry, patient, now);
	if (!timer_set(&bc->timer, now + retry_pause(&bc->retry, patient, now,
												 random_unit(),
												 bc->retry_after)))
		bulk_fail_memory(bc);
}

static void
failed(BulkCall *bc, const Failure *failure, Response *response)
{
	HttpTarget *http = bc->http;
	Buf message;

	buf_init(&message, 0, NULL);
	judge_describe(http->target, http->form, response, bc->type, &message);
	if (failure->verdict == VERDICT_DEFER || failure->verdict == VERDICT_RETRY)
		ask_again(bc, failure, buf_cstr(&message));
	else
		bulk_fail(bc, failure->sqlstate, failure->hint, buf_cstr(&message));
	buf_free(&message);
}

static void
on_done(void *arg, Response *response)
{
	BulkCall *bc = arg;
	DispatchCall *call = bc->call;
	Failure failure;

	bc->request = NULL;
	call->requests++;
	call->bytes_out += response->bytes_sent;
	call->bytes_in += response->bytes_received;
	call_touch(call);
	if (renew(bc, response))
		return;
	failure = judge_response(bc->http->format, false, response);
	if (failure.verdict == VERDICT_GOOD)
	{
		retry_progress(&bc->retry);
		bc->renewed = false;
		bulk_answered(bc, response);
	}
	else if (response->error != TRANSPORT_OK ||
			 !bulk_refused(bc, response->status))
		failed(bc, &failure, response);
}

/* The target's, but for the type of the body; returns how many. */
static int
copy_headers(const BulkCall *bc, const char **headers)
{
	static const char type[] = "Content-Type:";
	int n = 0;

	for (int i = 0; i < bc->http->nheaders; i++)
		if (strncasecmp(bc->http->headers[i], type, strlen(type)) != 0)
			headers[n++] = bc->http->headers[i];
	return n;
}

static bool
start(BulkCall *bc, Buf *path)
{
	HttpTarget *http = bc->http;
	const char *headers[HTTP_MAX_HEADERS + CREDENTIALS_HEADERS + 3] = {NULL};
	char form[128], key[sizeof(HTTP_KEY_HEADER) + HTTP_KEY_LEN + BULK_ID_MAX];
	int n = copy_headers(bc, headers);
	RequestSpec spec = {.origin = http->target->origin,
						.method = is_post(bc) ? "POST" : "GET",
						.path = buf_cstr(path),
						.headers = headers,
						.max_body = http->max_reply_bytes,
						.timeout_s = http->timeout,
						.connect_timeout_s = http->connect_timeout,
						.first_byte_timeout_s = http->first_byte_timeout,
						.accept_gzip = http->gzip,
						.once = bc->step == BULK_CREATE,
						.on_header = on_header,
						.on_done = on_done,
						.arg = bc};

	if (bc->step == BULK_UPLOAD)
	{
		snprintf(form, sizeof(form),
				 "Content-Type: multipart/form-data; boundary=%s", bc->run);
		headers[n++] = form;
	}
	else if (bc->step == BULK_CREATE)
	{
		headers[n++] = "Content-Type: application/json";
		/* after one for which there was no room, it is another one */
		snprintf(key, sizeof(key), HTTP_KEY_HEADER "%s%s", bc->run, bc->bulk.id);
		headers[n++] = key;
	}
	if (bc->step == BULK_UPLOAD || bc->step == BULK_CREATE)
	{
		spec.body = bc->body.data;
		spec.body_len = bc->body.len;
	}
	if (!credentials_sign(http->credentials, &spec, bc->run, headers, &n))
		return false;
	bc->credentials = credentials_serial(http->credentials);
	bc->request = request_start(&spec);
	return bc->request != NULL;
}

void
bulk_ask(BulkCall *bc)
{
	const BulkLabel label = {bc->run, bc->first, bc->rows};
	Slice function = {(const char *) bc->path.data, bc->path.len};
	Buf path;
	bool started;

	timer_cancel(&bc->timer);
	if (!credentials_ready(bc->http->credentials, &bc->wait))
		return;
	bc->type[0] = '\0';
	bc->retry_after = 0;
	if (bc->step == BULK_CREATE)
	{
		buf_reset(&bc->body);
		bulk_put_request(&bc->body, bc->file, function, &label);
	}
	buf_init(&path, 0, NULL);
	put_path(bc, &path);
	started = !path.failed && !bc->body.failed && start(bc, &path);
	buf_free(&path);
	if (!started)
		bulk_fail_memory(bc);
}
