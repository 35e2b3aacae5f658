/*-------------------------------------------------------------------------
 *
 * outcome.c
 *	  From the reply to a batch to the outcomes of its rows.
 *
 *-------------------------------------------------------------------------
 */
#include "http/http.h"

#include <string.h>
#include <time.h>

#include "core/json_split.h"
#include "errors.h"

static void
init_output(const HttpBatch *batch, FrameOutput *out)
{
	struct timespec now;
	double age = monotonic_seconds() - batch->sent_at;

	memset(out, 0, sizeof(*out));
	clock_gettime(CLOCK_REALTIME, &now);
	out->finished_at = (double) now.tv_sec + now.tv_nsec / 1e9;
	out->started_at = out->finished_at - age;
	out->attempts = batch->attempts < UINT16_MAX ? batch->attempts : UINT16_MAX;
	out->format = PAYLOAD_JSON;
}

void
outcome_fail_rows(const HttpBatch *batch, const Failure *failure,
				  const char *message)
{
	FrameOutput out;

	init_output(batch, &out);
	out.usage = batch->usage;
	out.retryable = failure->verdict == VERDICT_RETRY;
	memcpy(out.sqlstate, failure->sqlstate, sizeof(out.sqlstate));
	out.message = (Slice){message, strlen(message)};
	for (const CallInput *in = batch->inputs; in != NULL; in = in->next)
	{
		out.ordinal = in->ordinal;
		call_output(batch->owner->call, &out);
		out.usage = 0;
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
output_failed_row(DispatchCall *call, const HttpRow *row, FrameOutput *out)
{
	static const char no_message[] = "the function reported an error";
	Buf text;
	size_t code_len;

	buf_init(&text, 0, NULL);
	code_len = put_field(&text, row->code);
	if (row->what.p != NULL)
	{
		buf_put(&text, row->what.p, row->what.n);
		buf_put_cstr(&text, " is ");
	}
	if (put_field(&text, row->message) == 0)
		buf_put_cstr(&text, no_message);
	out->type = (Slice){(const char *) text.data, code_len};
	out->message =
		(Slice){(const char *) text.data + code_len, text.len - code_len};
	out->retryable = row->retryable;
	call_output(call, out);
	buf_free(&text);
}

void
outcome_row(DispatchCall *call, const HttpRow *row, FrameOutput *out)
{
	out->ok = row->value.p != NULL;
	out->data = row->value;
	out->format = row->cbor ? PAYLOAD_CBOR : PAYLOAD_JSON;
	if (out->ok)
		call_output(call, out);
	else
		output_failed_row(call, row, out);
}

CallInput *
outcome_deliver(HttpBatch *batch, const HttpRow *rows, uint32_t *again)
{
	HttpTarget *http = batch->owner->http;
	DispatchCall *call = batch->owner->call;
	bool may_retry = http->idempotent &&
		retry_left(&batch->retry, &http->retrying, monotonic_seconds()) > 0;
	CallInput *list = NULL;
	CallInput **end = &list;
	CallInput *in = batch->inputs;
	FrameOutput out;

	*again = 0;
	init_output(batch, &out);
	out.usage = batch->usage;
	memcpy(out.sqlstate, MODAL_SQLSTATE_REMOTE, sizeof(out.sqlstate));
	for (const HttpRow *row = rows; in != NULL; row++)
	{
		CallInput *next = in->next;

		in->next = NULL;
		if (row->value.p == NULL && row->retryable && may_retry)
		{
			*end = in;
			end = &in->next;
			(*again)++;
			in = next;
			continue;
		}
		out.ordinal = in->ordinal;
		outcome_row(call, row, &out);
		out.usage = batch->usage = 0;
		call_input_free(in);
		in = next;
	}
	batch->inputs = NULL;
	return list;
}
