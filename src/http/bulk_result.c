/*-------------------------------------------------------------------------
 *
 * bulk_result.c
 *	  What came out of a bulk, line by line; see bulk.h.
 *
 *-------------------------------------------------------------------------
 */
#include "http/bulk.h"

#include <stdlib.h>
#include <string.h>

#include "errors.h"

#define LINES_A_TURN 500 /* others wait meanwhile */

static const char expired[] = "\"batch_expired\"";
static const char cancelled[] = "\"batch_cancelled\"";

/* Is the row one of the bulk's, and without an outcome?  Now it has one. */
static bool
take_row(BulkCall *bc, int64_t ordinal)
{
	uint64_t i = (uint64_t) ordinal - (uint64_t) bc->first;

	if (bc->rows == 0)
		return ordinal >= 0;
	if (ordinal < bc->first || i >= bc->rows || (bc->seen[i / 8] >> (i % 8)) & 1)
		return false;
	bc->seen[i / 8] |= (uint8_t) (1 << (i % 8));
	return true;
}

static bool
is_code(Slice code, const char *name)
{
	return code.p != NULL && code.n == strlen(name) &&
		memcmp(code.p, name, code.n) == 0;
}

/* A row that was not run, or answered with an error: as its code and message. */
static void
fail_row(BulkCall *bc, int64_t ordinal, Slice code, Slice message)
{
	FrameOutput out = {.ordinal = ordinal, .attempts = 1};
	HttpRow row = {.code = code, .message = message};

	row.retryable = is_code(code, expired);
	memcpy(out.sqlstate,
		   row.retryable || is_code(code, cancelled) ? MODAL_SQLSTATE_TIMEOUT
													 : MODAL_SQLSTATE_REMOTE,
		   sizeof(out.sqlstate));
	outcome_row(bc->call, &row, &out);
}

/* With a message of ours. */
static void
tell_row(BulkCall *bc, FrameOutput *out, const char *sqlstate, Buf *message)
{
	memcpy(out->sqlstate, sqlstate, sizeof(out->sqlstate));
	out->message = (Slice){buf_cstr(message), message->len};
	call_output(bc->call, out);
}

/* An answer to a row: what it is is what it would be without a bulk. */
static void
deliver_answer(BulkCall *bc, const BulkLine *line, Response *response)
{
	HttpTarget *http = bc->http;
	FrameOutput out = {.ordinal = line->ordinal, .attempts = 1,
					   .format = PAYLOAD_JSON};
	HttpRow row;
	Reply reply = {.rows = &row};
	const char *problem;
	Buf message;

	buf_init(&message, 0, NULL);
	if (line->status < 200 || line->status > 299)
	{
		out.retryable = line->status == 429 || line->status >= 500;
		judge_describe(http->target, http->form, response, "", &message);
		tell_row(bc, &out, MODAL_SQLSTATE_REMOTE, &message);
		buf_free(&message);
		return;
	}
	problem = reply_form_read(http->form, buf_cstr(&response->body),
							  response->body.len, 1, false, &reply,
							  &http->text);
	out.usage = reply.usage;
	if (problem == NULL)
	{
		memcpy(out.sqlstate, MODAL_SQLSTATE_REMOTE, sizeof(out.sqlstate));
		outcome_row(bc->call, &row, &out);
	}
	else if (reply.failed)
	{
		judge_quote(http->target, problem, strlen(problem), &message);
		tell_row(bc, &out, MODAL_SQLSTATE_REMOTE, &message);
	}
	else
	{
		judge_describe_reply(http->target, response, "", problem, &message);
		tell_row(bc, &out, MODAL_SQLSTATE_PROTOCOL, &message);
	}
	buf_free(&message);
}

/* What cannot be read is no result: its row has none, then. */
static void
deliver_line(BulkCall *bc, const char *text, size_t n)
{
	BulkLine line;
	Response response = {.error = TRANSPORT_OK};

	if (n == 0)
		return;
	bc->has_lines = true;
	if (bulk_read_line(text, n, &line) != NULL || line.ordinal < 0)
		return;
	bc->has_results = true;
	if ((line.status == 0 && line.message.p == NULL && line.code.p == NULL) ||
		!take_row(bc, line.ordinal))
		return;
	if (line.status == 0)
	{
		fail_row(bc, line.ordinal, line.code, line.message);
		return;
	}
	response.status = line.status;
	buf_init(&response.body, 0, NULL);
	buf_put(&response.body, line.body.p, line.body.n);
	deliver_answer(bc, &line, &response);
	buf_free(&response.body);
}

bool
bulk_hand_over(BulkCall *bc, bool *again)
{
	Credit *credit = &bc->call->credit;
	const char *text = buf_cstr(&bc->lines);

	for (int i = 0; bc->at < bc->lines.len; i++)
	{
		const char *line = text + bc->at;
		const char *end = memchr(line, '\n', bc->lines.len - bc->at);
		size_t n = end != NULL ? (size_t) (end - line) : bc->lines.len - bc->at;

		*again = i == LINES_A_TURN;
		if (*again || credit_fetch(credit, output_size_mean(&credit->size), 0) == 0)
			return false;
		deliver_line(bc, line, n);
		bc->at += n + (end != NULL);
	}
	return true;
}

static Slice
json_text(const char *text)
{
	return (Slice){text, strlen(text)};
}

void
bulk_fail_rest(BulkCall *bc)
{
	Slice code = {NULL, 0};
	Slice message = json_text("\"the batch has no result for this input\"");

	if (bc->bulk.status == BULK_EXPIRED)
	{
		code = json_text(expired);
		message = json_text("\"the batch has expired before this input was run\"");
	}
	else if (bc->bulk.status == BULK_CANCELLED)
	{
		code = json_text(cancelled);
		message = json_text("\"the batch was cancelled at the service\"");
	}
	for (int64_t i = 0; i < bc->rows; i++)
		if (take_row(bc, bc->first + i))
			fail_row(bc, bc->first + i, code, message);
}

/* False: no line of this bulk is named. */
static bool
refuse_named(BulkCall *bc)
{
	Slice rest = bc->bulk.errors;
	BulkError error;
	bool any = false;

	while (bulk_next_error(&rest, &error))
		if (error.line > 0 && error.line <= bc->rows)
		{
			any = true;
			if (take_row(bc, bc->first + error.line - 1))
				fail_row(bc, bc->first + error.line - 1, error.code,
						 error.message);
		}
	return any;
}

void
bulk_refuse_rows(BulkCall *bc)
{
	Slice rest = bc->bulk.errors;
	BulkError error;

	if (refuse_named(bc))
	{
		/* the others have not been run */
		bulk_end(bc);
		return;
	}
	if (!bulk_next_error(&rest, &error) || error.message.p == NULL)
		error.message = json_text("\"the service has refused the batch\"");
	for (int64_t i = 0; i < bc->rows; i++)
		if (take_row(bc, bc->first + i))
			fail_row(bc, bc->first + i, error.code, error.message);
	if (bc->rows == 0)
		bulk_fail(bc, MODAL_SQLSTATE_REMOTE, NULL,
				  "the service has refused the batch");
	else
		bulk_end(bc);
}
