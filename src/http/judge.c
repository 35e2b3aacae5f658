/*-------------------------------------------------------------------------
 *
 * http_judge.c
 *	  What the end of a request means; see http_judge.h.
 *
 *-------------------------------------------------------------------------
 */
#include "http/judge.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/redact.h"
#include "errors.h"

#define MAX_ERROR_TEXT 8192 /* bytes of a body shown to the user */

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
		case TRANSPORT_TLS:
			return (Failure){.verdict = VERDICT_FAIL_CALL,
							 .sqlstate = MODAL_SQLSTATE_CONNECT,
							 .hint = "Check option ssl_ca_file of the server."};
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
	return (Failure){.verdict = VERDICT_BAD_ROWS,
					 .sqlstate = MODAL_SQLSTATE_REMOTE,
					 .executed = true};
}

Failure
judge_response(HttpBodyFormat format, const Response *response)
{
	return response->error != TRANSPORT_OK
		? judge_transport(response->error)
		: judge_status(format, response->status);
}

void
judge_quote(const Target *target, const char *text, size_t n, Buf *message)
{
	const char *secrets[TARGET_MAX_SECRETS];
	int count = target_secrets(target, secrets, TARGET_MAX_SECRETS);

	redact(message, text, n, secrets, count, MAX_ERROR_TEXT);
}

void
judge_describe(const Target *target, const Response *response, Buf *message)
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
	if (response->body.len == 0)
		return;
	buf_init(&text, 0, NULL);
	http_format_error_text((const char *) response->body.data,
						   response->body.len, &text);
	if (text.len > 0)
	{
		buf_put_cstr(message, ": ");
		judge_quote(target, (const char *) text.data, text.len, message);
	}
	buf_free(&text);
}

/* Seconds, or an HTTP date (RFC 9110, 10.2.3). */
double
judge_retry_after(const char *value, size_t n)
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
		return seconds >= 0 && isfinite(seconds) ? seconds : -1;
	if (strptime(text, "%a, %d %b %Y %H:%M:%S GMT", &tm) == NULL)
		return -1;
	seconds = difftime(timegm(&tm), time(NULL));
	return seconds > 0 ? seconds : 0;
}
