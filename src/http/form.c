/*-------------------------------------------------------------------------
 *
 * form.c
 *	  What a server's options say of requests and replies.
 *
 * Sessions have written rows and envelopes as the options want; here are their
 * limits, and what is made of a reply.
 *
 *-------------------------------------------------------------------------
 */
#include "http/http.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define DEFAULT_CHARS_PER_TOKEN 4

/* Any of these, and the reply is read by paths. */
static const char *const form_options[] = {
	"result", "result_index", "result_shape", "result_type",
	"row_error", "error", "error_header", "usage",
};

static bool
has_form(const Target *t)
{
	for (size_t i = 0; i < sizeof(form_options) / sizeof(form_options[0]); i++)
		if (target_option(t, form_options[i]) != NULL)
			return true;
	return false;
}

bool
form_init(HttpTarget *http, const char **error)
{
	const Target *t = http->target;
	const ReplyOptions options = {
		.result = target_option(t, "result"),
		.result_index = target_option(t, "result_index"),
		.result_shape = target_option(t, "result_shape"),
		.row_error = target_option(t, "row_error"),
		.error = target_option(t, "error"),
		.usage = target_option(t, "usage"),
		.result_type = target_option(t, "result_type"),
		.batched = http->format == BODY_TEMPLATE,
	};
	const char *option;
	TextFault fault;

	http->max_batch_tokens = target_option_seconds(t, "max_batch_tokens", 0);
	http->chars_per_token = target_option_seconds(t, "chars_per_token",
												  DEFAULT_CHARS_PER_TOKEN);
	http->error_header = target_option(t, "error_header");
	if (!options.batched && !has_form(t))
		return true;
	http->form = malloc(sizeof(ReplyForm));
	if (http->form != NULL &&
		reply_form_parse(http->form, &options, &option, &fault))
		return true;
	*error = http->form != NULL && option != NULL
		? "an option about replies is not valid"
		: "out of memory";
	free(http->form);
	http->form = NULL;
	return false;
}

void
form_free(HttpTarget *http)
{
	if (http->form == NULL)
		return;
	reply_form_free(http->form);
	free(http->form);
}

/* --- tokens ---------------------------------------------------------------- */

/*
 * Characters of the texts and numbers in a row: what it has for JSON's sake is
 * no text, an escape is one character.
 */
static size_t
characters(const CallInput *input)
{
	size_t n = 0;

	for (size_t i = 0; i < input->len; i++)
	{
		uint8_t c = input->data[i];

		if (c == '\\')
			i++;
		n += (c & 0xC0) != 0x80 && strchr("\"[]{},: ", c) == NULL;
	}
	return n;
}

uint32_t
form_limit_tokens(const HttpTarget *http, const CallInput *inputs,
				  uint32_t most)
{
	double tokens = 0;
	uint32_t n = 0;

	if (http->max_batch_tokens <= 0)
		return most;
	for (const CallInput *in = inputs; in != NULL && n < most; in = in->next)
	{
		tokens += ceil((double) characters(in) / http->chars_per_token);
		/* one that is larger goes alone */
		if (n > 0 && tokens > http->max_batch_tokens)
			return n;
		n++;
	}
	return most;
}

/* --- requests with a path of their own ---------------------------------------- */

bool
form_split_input(const CallInput *input, Slice *path, Slice *body)
{
	uint32_t n;
	Reference ref;

	if (input->len < sizeof(n))
		return false;
	memcpy(&n, input->data, sizeof(n));
	if (n > input->len - sizeof(n))
		return false;
	*path = (Slice){(const char *) input->data + sizeof(n), n};
	*body = (Slice){path->p + n, input->len - sizeof(n) - n};
	/* The session has looked at it; nothing leaves the server's URL. */
	return reference_parse_rest(path->p, n, true, &ref) == NULL &&
		!ref.placeholders && ref.options.p == NULL;
}

/* --- replies -------------------------------------------------------------------- */

bool
form_is_error_header(const HttpTarget *http, const char *name, size_t n)
{
	return http->error_header != NULL && strlen(http->error_header) == n &&
		strncasecmp(http->error_header, name, n) == 0;
}

const char *
form_read(HttpBatch *batch, Response *response, bool *failed)
{
	HttpTarget *http = batch->owner->http;
	const char *text = buf_cstr(&response->body);
	Reply reply = {.rows = http->out};
	const char *error;

	if (http->form == NULL)
		return http_format_reply(http->format, text, response->body.len,
								 batch->rows, http->out, &http->text, failed);
	error = reply_form_read(http->form, text, response->body.len, batch->rows,
							batch->says_error, &reply, &http->text);
	batch->usage += reply.usage;
	*failed = reply.failed;
	return error;
}
