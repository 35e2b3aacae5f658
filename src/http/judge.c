/*-------------------------------------------------------------------------
 *
 * judge.c
 *	  What the end of a request means; see judge.h.
 *
 *-------------------------------------------------------------------------
 */
#include "http/judge.h"

#include <string.h>
#include <time.h>

#include "core/http_text.h"
#include "core/redact.h"
#include "core/retry.h"
#include "errors.h"

#define MAX_ERROR_TEXT 8192 /* bytes of a body shown to the user */
#define MAX_BEGINNING 256 /* the same, of one that should be results */

static Failure
judge_transport(TransportError error)
{
	switch (error)
	{
		case TRANSPORT_CONNECT:
			return (Failure){.verdict = VERDICT_RETRY,
							 .sqlstate = MODAL_SQLSTATE_CONNECT,
							 .blameless = true,
							 .unreachable = true};
		case TRANSPORT_REFUSED:
			return (Failure){.verdict = VERDICT_RETRY,
							 .sqlstate = MODAL_SQLSTATE_CONNECTION,
							 .blameless = true};
		case TRANSPORT_TLS:
			return (Failure){.verdict = VERDICT_FAIL_CALL,
							 .sqlstate = MODAL_SQLSTATE_CONNECT,
							 .hint = "Check the server options ssl_ca and ssl_ca_file, which say whose certificates are trusted."};
		case TRANSPORT_NOT_ALLOWED:
			return (Failure){.verdict = VERDICT_FAIL_CALL,
							 .sqlstate = MODAL_SQLSTATE_PERMISSION,
							 .hint = "A superuser may add it to setting modal_batch.allowed_hosts."};
		case TRANSPORT_TIMEOUT:
			return (Failure){.verdict = VERDICT_RETRY,
							 .sqlstate = MODAL_SQLSTATE_TIMEOUT,
							 .hint = "See the timeout options of the server.",
							 .executed = true};
		case TRANSPORT_TOO_LARGE:
			return (Failure){.verdict = VERDICT_BAD_ROWS,
							 .sqlstate = MODAL_SQLSTATE_TOO_LARGE,
							 .hint = "See option max_reply_bytes of the server.",
							 .executed = true};
		case TRANSPORT_MEMORY:
			return (Failure){.verdict = VERDICT_FAIL_CALL,
							 .sqlstate = MODAL_SQLSTATE_MEMORY,
							 .executed = true};
		case TRANSPORT_CODING:
			return (Failure){.verdict = VERDICT_BAD_ROWS,
							 .sqlstate = MODAL_SQLSTATE_PROTOCOL,
							 .executed = true};
		case TRANSPORT_PROTOCOL:
			return (Failure){.verdict = VERDICT_RETRY,
							 .sqlstate = MODAL_SQLSTATE_PROTOCOL,
							 .executed = true};
		default:
			return (Failure){.verdict = VERDICT_RETRY,
							 .sqlstate = MODAL_SQLSTATE_CONNECTION,
							 .executed = true};
	}
}

static Failure
judge_status(HttpBodyFormat format, int status)
{
	switch (status)
	{
		case 200:
		case 201:
		case 203:
			return (Failure){.verdict = VERDICT_GOOD};
		case 202:
			return (Failure){.verdict = format == BODY_SNOWFLAKE ? VERDICT_POLL
																 : VERDICT_GOOD};
		case 204:
			if (format == BODY_JSON)
				return (Failure){.verdict = VERDICT_GOOD};
			break;
		case 401:
		case 403:
		case 407:
			return (Failure){.verdict = VERDICT_FAIL_CALL,
							 .sqlstate = MODAL_SQLSTATE_AUTH,
							 .hint = "Check the credentials in the user mapping."};
		case 404:
		case 405:
		case 410:
			return (Failure){.verdict = VERDICT_FAIL_CALL,
							 .sqlstate = MODAL_SQLSTATE_NOT_FOUND,
							 .hint = "Check option url of the server and the path in the function reference."};
		case 425:
			return (Failure){.verdict = VERDICT_RETRY,
							 .sqlstate = MODAL_SQLSTATE_REMOTE,
							 .blameless = true};
		case 429:
			return (Failure){.verdict = VERDICT_DEFER,
							 .sqlstate = MODAL_SQLSTATE_RESOURCES,
							 .rejected = true,
							 .blameless = true};
		case 408:
		case 500:
		case 502:
		case 504:
			return (Failure){.verdict = VERDICT_RETRY,
							 .sqlstate = MODAL_SQLSTATE_REMOTE,
							 .executed = true};
		case 503:
			return (Failure){.verdict = VERDICT_RETRY,
							 .sqlstate = MODAL_SQLSTATE_REMOTE,
							 .executed = true,
							 .rejected = true,
							 .blameless = true};
		default:
			break;
	}
	if (status >= 300 && status < 400)
		return (Failure){.verdict = VERDICT_FAIL_CALL,
						 .sqlstate = MODAL_SQLSTATE_CONNECTION,
						 .hint = "Redirects are not followed: give the server the URL that answers."};
	/* What is not known is as 500 (RFC 9110, 15); no time mends these two. */
	if (status >= 500 && status < 600 && status != 501 && status != 505)
		return judge_status(format, 500);
	return (Failure){.verdict = VERDICT_BAD_ROWS,
					 .sqlstate = MODAL_SQLSTATE_REMOTE,
					 .executed = true};
}

Failure
judge_response(HttpBodyFormat format, bool own_request,
			   const Response *response)
{
	Failure failure;

	/* A message that was taken: what is said to it, and how, does not count. */
	if (format == BODY_WEBHOOK && response->status / 100 == 2)
		return (Failure){.verdict = VERDICT_GOOD};
	if (response->error != TRANSPORT_OK)
		return judge_transport(response->error);
	failure = judge_status(format, response->status);

	/*
	 * What a receiver says of a message, it says of that one: others may be
	 * for other paths of its, or come when it is there again.  So it is with a
	 * row that says itself what is asked for, but not with who asks.
	 */
	if (failure.verdict == VERDICT_FAIL_CALL &&
		(format == BODY_WEBHOOK ||
		 (own_request && response->status != 401 && response->status != 407)))
		failure.verdict = VERDICT_FAIL_ROWS;
	return failure;
}

double
judge_retry_after(const char *value, size_t n, double most)
{
	double seconds = retry_after_seconds(value, n, time(NULL));

	if (most > LONGEST_PAUSE)
		most = LONGEST_PAUSE;
	return seconds < most ? seconds : most;
}

static void
quote(const Target *target, const char *text, size_t n, size_t most,
	  Buf *message)
{
	const char *secrets[TARGET_MAX_SECRETS];
	int count = target_secrets(target, secrets, TARGET_MAX_SECRETS);

	redact(message, text, n, secrets, count, most);
}

void
judge_quote(const Target *target, const char *text, size_t n, Buf *message)
{
	quote(target, text, n, MAX_ERROR_TEXT, message);
}

void
judge_describe(const Target *target, const ReplyForm *form,
			   Response *response, const char *type, Buf *message)
{
	Buf text;

	if (response->error != TRANSPORT_OK)
	{
		buf_put_cstr(message, "request to the HTTP function failed: ");
		judge_quote(target, response->message, strlen(response->message),
					message);
		return;
	}
	buf_printf(message, "HTTP function answered with status %d",
			   response->status);
	if (type[0] != '\0')
		buf_printf(message, " (%s)", type);
	if (response->body.len == 0)
		return;
	buf_init(&text, 0, NULL);
	if (form == NULL || !reply_form_error(form, buf_cstr(&response->body),
										  response->body.len, &text))
		http_text_of_error((const char *) response->body.data,
						   response->body.len, &text);
	if (text.len > 0)
	{
		buf_put_cstr(message, ": ");
		judge_quote(target, (const char *) text.data, text.len, message);
	}
	buf_free(&text);
}

void
judge_describe_reply(const Target *target, const Response *response,
					 const char *type, const char *problem, Buf *message)
{
	Buf text;

	buf_put_cstr(message, "invalid reply of the HTTP function: ");
	judge_quote(target, problem, strlen(problem), message);
	buf_init(&text, 0, NULL);
	http_text_of_body((const char *) response->body.data, response->body.len,
					  &text);
	if (type[0] != '\0')
		buf_printf(message, "; it has type %s", type);
	if (text.len > 0)
	{
		buf_printf(message, "%s begins with: ",
				   type[0] != '\0' ? " and" : "; it");
		quote(target, (const char *) text.data, text.len, MAX_BEGINNING,
			  message);
	}
	buf_free(&text);
}
