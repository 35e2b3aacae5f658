/*-------------------------------------------------------------------------
 *
 * target.c
 *	  What is known of one HTTP service: its options, and the headers that
 *	  all its requests have.
 *
 *-------------------------------------------------------------------------
 */
#include "http/http.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/service_limits.h"

#define MOST_CONCURRENCY 1024 /* where no option says it: as many connections */
#define DEFAULT_MAX_REPLY (64 * 1024 * 1024)
#define DEFAULT_TIMEOUT 300.0
#define DEFAULT_CONNECT_TIMEOUT 10.0
#define DEFAULT_RETRY_BUDGET 60.0
#define RETRY_FIRST 0.1 /* seconds */
#define RETRY_MOST 30.0

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

/* Unless the user's headers have it. */
static bool
add_default(HttpTarget *http, const char *name, const char *value)
{
	size_t n = strlen(name);

	for (int i = 0; i < http->nheaders; i++)
	{
		const char *line = http->headers[i];

		if (strncasecmp(line, name, n) == 0 && line[n] == ':')
			return true;
	}
	return add_header(http, name, value);
}

static bool
add_headers(HttpTarget *http)
{
	const char *user_agent = target_option(http->target, "user_agent");
	const char *type = target_option(http->target, "content_type");

	return add_user_headers(http, target_option(http->target, "headers")) &&
		(!http->has_body ||
		 add_default(http, "Content-Type",
					 type != NULL ? type
								  : http_format_content_type(http->format))) &&
		add_default(http, "User-Agent",
					user_agent != NULL ? user_agent
									   : "modal_batch/" MODAL_BATCH_VERSION) &&
		(http->format != BODY_SNOWFLAKE ||
		 (add_header(http, "sf-external-function-format", "json") &&
		  add_header(http, "sf-external-function-format-version", "1.0"))) &&
		add_credentials(http);
}

static void
target_timer(void *arg)
{
	http_pump(arg);
}

void
http_target_free(Target *target)
{
	HttpTarget *http = target->state;

	if (http == NULL)
		return;
	timer_cancel(&http->timer);
	if (http->limits_waiter != NULL)
		limits_waiter_free(http->limits_waiter);
	if (http->limits != NULL)
		limits_put(http->limits);
	credentials_cancel(&http->credentials_wait);
	credentials_free(http->credentials);
	for (int i = 0; i < http->nheaders; i++)
		if (http->headers[i] != NULL)
		{
			explicit_bzero(http->headers[i], strlen(http->headers[i]));
			free(http->headers[i]);
		}
	map_free(&http->functions);
	form_free(http);
	buf_free(&http->text);
	free(http->out);
	free(http);
	target->state = NULL;
}

/* Requests that may be under way, whatever is found. */
static uint32_t
most_at_once(const HttpTarget *http)
{
	return http->max_concurrency > 0 ? http->max_concurrency : MOST_CONCURRENCY;
}

static void
read_options(HttpTarget *http)
{
	const Target *t = http->target;
	const char *method = target_option(t, "method");

	http->session_user = target_option(t, "session_user");
	http->database = target_option(t, "database");
	http->method = method != NULL ? method : "POST";
	http->has_body = strcmp(http->method, "GET") != 0 &&
		strcmp(http->method, "DELETE") != 0;
	http->max_batch_rows =
		http_format_batches(http->format) || http->format == BODY_BULK
		? (uint32_t) target_option_int(t, "max_batch_rows", DEFAULT_BATCH_ROWS)
		: 1;
	http->max_batch_bytes =
		target_option_int(t, "max_batch_bytes", DEFAULT_BATCH_BYTES);
	http->max_reply_bytes =
		target_option_int(t, "max_reply_bytes", DEFAULT_MAX_REPLY);
	http->idempotent = target_option_bool(t, "idempotent", true);
	http->gzip = target_option_bool(t, "gzip", false);
	http->patient = (RetryPolicy){.first = RETRY_FIRST,
								  .growth = 2,
								  .most = RETRY_MOST,
								  .budget = RETRY_FOREVER,
								  .tries = RETRY_OFTEN};
	http->retrying = http->patient;
	http->retrying.budget = target_option_seconds(t, "retry_budget",
												  DEFAULT_RETRY_BUDGET);
	http->connect_timeout = target_option_seconds(t, "connect_timeout",
												  DEFAULT_CONNECT_TIMEOUT);
	http->first_byte_timeout =
		target_option_seconds(t, "first_byte_timeout", 0);
	http->timeout = target_option_seconds(t, "timeout", DEFAULT_TIMEOUT);
	http->max_concurrency = (uint32_t) target_option_int(t, "max_concurrency", 0);
	http->requests_per_second =
		target_option_seconds(t, "requests_per_second", 0);
	pace_init(&http->pace, most_at_once(http), http->max_batch_rows);
}

void
http_set_limits(const HttpTarget *http)
{
	limits_set(http->limits, most_at_once(http), http->requests_per_second);
}

static bool
share_limits(HttpTarget *http, const char **error)
{
	const Target *t = http->target;
	const char *server = target_option(t, "server_id");
	bool shared = target_option_int(t, "dispatchers", 1) > 1;

	http->limits = limits_get(server != NULL ? server : t->url, shared, error);
	if (http->limits != NULL)
		http->limits_waiter = limits_waiter(http->limits, target_timer, http);
	return http->limits_waiter != NULL;
}

bool
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
	list_init(&http->sent);
	list_init(&http->calls);
	map_init_bytes(&http->functions, http_function_key, NULL);
	timer_init(&http->timer, target_timer, http);
	http->credentials_wait = (CredentialsWait){
		.on_settled = http_credentials_settled, .arg = http};
	if (!http_format_by_name(format != NULL ? format : "json", &http->format))
		*error = "unknown format of an HTTP function";
	else
	{
		read_options(http);
		if (share_limits(http, error) && form_init(http, error) &&
			add_headers(http))
			http->credentials = credentials_create(target, error);
		else if (http->nheaders == HTTP_MAX_HEADERS)
			*error = "too many headers";
		if (http->credentials != NULL)
			return true;
	}
	http_target_free(target);
	return false;
}
