/*-------------------------------------------------------------------------
 *
 * credentials.c
 *	  Signatures and tokens; see credentials.h.
 *
 * A failure to get a token is passed on to whoever waits.  A refusal is final,
 * until somebody asks again, unless the token at hand is good for a while; other
 * trouble is tried again after a pause, and a token that is there goes on being
 * used meanwhile, past its end too, until the service refuses it.
 *
 *-------------------------------------------------------------------------
 */
#include "http/credentials.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/http_text.h"
#include "core/oauth.h"
#include "core/random.h"
#include "core/retry.h"
#include "core/service_key.h"
#include "core/sigv4.h"
#include "core/token_life.h"
#include "core/url.h"
#include "core/webhook.h"
#include "errors.h"
#include "net/timer.h"

#define GOOGLE_TOKEN_URL "https://oauth2.googleapis.com/token"
#define GRANT_JWT "urn:ietf:params:oauth:grant-type:jwt-bearer"
#define FETCH_TIMEOUT_S 15.0
#define MAX_REPLY (64 * 1024)
#define MAX_LIFE 86400.0
#define MIN_LIFE 1.0   /* a token is not fetched more often */
#define REFUSED_AGE 10.0 /* one that is younger, and not over, is not renewed */
#define WRONG_CLOCK 300 /* seconds: services bear no more */

static const RetryPolicy fetch_policy = {
	.first = 0.5,
	.growth = 2,
	.most = 60,
	.budget = RETRY_FOREVER,
	.tries = RETRY_OFTEN,
};

typedef enum CredentialsKind
{
	CREDENTIALS_STATIC, /* the target's headers are all */
	CREDENTIALS_AWS,
	CREDENTIALS_OAUTH,
	CREDENTIALS_GOOGLE
} CredentialsKind;

struct Credentials
{
	Target *target;
	CredentialsKind kind;
	Buf lines; /* scratch: headers of a request */
	const char *webhook_secrets[2]; /* the new one, the old one; NULL: none */
	Buf hook_lines; /* as lines */
	/* AWS */
	SigV4Keys keys;
	char *host;
	const char *base_path; /* of the target's URL */
	/* tokens */
	const char *token_url;
	ServiceKey *service_key;
	char *audience;		 /* of an identity token */
	char *refresh_token; /* a newer one than the mapping's; NULL: none */
	char *token;
	uint32_t serial;
	double fetched_at, expires, refresh_at; /* monotonic */
	Request *fetch;	   /* under way */
	Buf form;		   /* its body */
	Buf authorization; /* the header with the client */
	time_t date;	   /* of its answer */
	List waiters;
	ListNode mark;	   /* of the walk over them */
	Retry retry;
	double not_before; /* no fetch earlier */
	Timer again;	   /* then, if anybody waits */
};

/* --- clocks --------------------------------------------------------------- */

bool
credentials_need_clock(const Credentials *c)
{
	return c->kind == CREDENTIALS_AWS || c->kind == CREDENTIALS_GOOGLE ||
		c->webhook_secrets[0] != NULL;
}

bool
credentials_blame_clock(time_t date, Buf *message)
{
	double ahead = difftime(time(NULL), date);

	if (date == 0 || (ahead < WRONG_CLOCK && ahead > -WRONG_CLOCK))
		return false;
	buf_printf(message,
			   "; the clock of the database server is %.0f s %s that of the service",
			   ahead > 0 ? ahead : -ahead, ahead > 0 ? "ahead of" : "behind");
	return true;
}

/* --- creation and end ------------------------------------------------------ */

static bool
init_aws(Credentials *c)
{
	const Target *t = c->target;
	Url url;

	c->kind = CREDENTIALS_AWS;
	c->keys.access_key_id = target_option(t, "aws_access_key_id");
	c->keys.secret_access_key = target_option(t, "aws_secret_access_key");
	c->keys.session_token = target_option(t, "aws_session_token");
	c->keys.region = target_option(t, "aws_region");
	c->keys.service = target_option(t, "aws_service");
	if (c->keys.secret_access_key == NULL || c->keys.region == NULL ||
		c->keys.service == NULL ||
		url_parse(t->url, strlen(t->url), &url) != NULL)
		return false;
	c->host = strndup(url.authority, url.authority_len);
	c->base_path = url.path;
	return c->host != NULL;
}

/* An identity token is for the service itself unless somebody knows better. */
static bool
init_google(Credentials *c, const char *json, const char **error)
{
	const Target *t = c->target;
	const char *audience = target_option(t, "audience");
	Url url;

	c->kind = CREDENTIALS_GOOGLE;
	if (c->token_url == NULL)
		c->token_url = GOOGLE_TOKEN_URL;
	c->service_key = service_key_parse(json, error);
	if (c->service_key == NULL)
		return false;
	*error = "out of memory";
	if (audience != NULL)
		c->audience = strdup(audience);
	else if (url_parse(t->url, strlen(t->url), &url) == NULL)
		c->audience = strndup(t->url, url.authority + url.authority_len - t->url);
	return c->audience != NULL;
}

static bool
init_kind(Credentials *c, const char **error)
{
	const char *json = target_option(c->target, "google_key");

	c->token_url = target_option(c->target, "token_url");
	if (target_option(c->target, "aws_access_key_id") != NULL)
	{
		*error = "the options of the server lack what AWS's signature needs";
		return init_aws(c);
	}
	if (json != NULL)
		return init_google(c, json, error);
	if (target_option(c->target, "client_id") != NULL)
	{
		*error = "the server has no option \"token_url\"";
		c->kind = CREDENTIALS_OAUTH;
		return c->token_url != NULL;
	}
	return true;
}

static void on_again(void *arg);

Credentials *
credentials_create(Target *target, const char **error)
{
	Credentials *c = calloc(1, sizeof(*c));

	*error = "out of memory";
	if (c == NULL)
		return NULL;
	c->target = target;
	buf_init(&c->lines, 0, NULL);
	buf_init(&c->hook_lines, 0, NULL);
	c->webhook_secrets[0] = target_option(target, "webhook_secret");
	c->webhook_secrets[1] = target_option(target, "webhook_secret_old");
	buf_init(&c->form, 0, NULL);
	buf_init(&c->authorization, 0, NULL);
	list_init(&c->waiters);
	timer_init(&c->again, on_again, c);
	if (init_kind(c, error))
		return c;
	credentials_free(c);
	return NULL;
}

static void
forget(char **secret)
{
	if (*secret != NULL)
	{
		explicit_bzero(*secret, strlen(*secret));
		free(*secret);
	}
	*secret = NULL;
}

static void
wipe(Buf *buf)
{
	if (buf->data != NULL)
		explicit_bzero(buf->data, buf->cap);
	buf_free(buf);
}

void
credentials_free(Credentials *c)
{
	if (c == NULL)
		return;
	if (c->fetch != NULL)
		request_cancel(c->fetch);
	timer_cancel(&c->again);
	forget(&c->token);
	forget(&c->refresh_token);
	wipe(&c->authorization);
	wipe(&c->lines);
	buf_free(&c->hook_lines);
	wipe(&c->form);
	service_key_free(c->service_key);
	free(c->audience);
	free(c->host);
	free(c);
}

/* --- who waits ------------------------------------------------------------ */

/* A waiter may wait again from within its callback. */
static void
settle(Credentials *c, const Failure *failure, const char *message)
{
	ListNode *node;

	list_mark(&c->waiters, &c->mark);
	while ((node = list_pop_until(&c->waiters, &c->mark)) != NULL)
	{
		CredentialsWait *wait = LIST_OWNER(CredentialsWait, node, node);

		wait->on_settled(wait->arg, failure, message);
	}
}

void
credentials_cancel(CredentialsWait *wait)
{
	list_remove(&wait->node);
}

/* --- a token has come ------------------------------------------------------ */

/* By what the answer says, else by what the token says. */
static double
life_of(const OAuthReply *reply)
{
	double life = reply->expires_in > 0
		? reply->expires_in
		: token_life(reply->token, unix_seconds());

	return life > MAX_LIFE ? MAX_LIFE : life < MIN_LIFE ? MIN_LIFE : life;
}

static void
take_token(Credentials *c, OAuthReply *reply)
{
	double life = life_of(reply);

	c->fetched_at = monotonic_seconds();
	c->expires = c->fetched_at + life;
	c->refresh_at = c->fetched_at + life * (0.5 + 0.1 * random_unit());
	forget(&c->token);
	c->token = reply->token;
	reply->token = NULL;
	target_keep_secret(c->target, c->token);
	if (reply->refresh_token != NULL)
	{
		forget(&c->refresh_token);
		c->refresh_token = reply->refresh_token;
		reply->refresh_token = NULL;
	}
	if (c->refresh_token != NULL)
		target_keep_secret(c->target, c->refresh_token);
	c->serial++;
	retry_progress(&c->retry);
	c->not_before = 0;
}

/* --- or it has not ---------------------------------------------------------- */

/*
 * What a status of the token endpoint means; what is not known may pass.  Some
 * say with a good one that they refuse.
 */
static Failure
judge_refusal(int status)
{
	switch (status / 100 == 2 ? 400 : status)
	{
		case 400:
		case 401:
		case 403:
			return (Failure){.verdict = VERDICT_FAIL_CALL,
							 .sqlstate = MODAL_SQLSTATE_AUTH,
							 .hint = "Check the credentials in the user mapping, and options token_url, token_auth, scope and audience of the server."};
		case 404:
		case 405:
		case 410:
			return (Failure){.verdict = VERDICT_FAIL_CALL,
							 .sqlstate = MODAL_SQLSTATE_AUTH,
							 .hint = "Check option token_url of the server."};
		default:
			break;
	}
	if (status >= 300 && status < 400)
		return (Failure){.verdict = VERDICT_FAIL_CALL,
						 .sqlstate = MODAL_SQLSTATE_AUTH,
						 .hint = "Redirects are not followed: set option token_url to the URL that answers."};
	return (Failure){.verdict = VERDICT_RETRY,
					 .sqlstate = MODAL_SQLSTATE_CONNECTION};
}

static void
describe(const Credentials *c, const Response *response, Buf *message)
{
	Buf text;

	buf_put_cstr(message, "could not get an access token: ");
	if (response->error != TRANSPORT_OK)
	{
		judge_quote(c->target, response->message, strlen(response->message),
					message);
		return;
	}
	buf_printf(message, "the token endpoint answered with status %d",
			   response->status);
	buf_init(&text, 0, NULL);
	if (!oauth_put_error(&text, (const char *) response->body.data,
						 response->body.len))
		http_text_of_error((const char *) response->body.data,
						   response->body.len, &text);
	if (text.len > 0)
	{
		buf_put_cstr(message, ": ");
		judge_quote(c->target, (const char *) text.data, text.len, message);
	}
	buf_free(&text);
}

static void
fetch_failed(Credentials *c, const Failure *failure, Buf *message)
{
	double now = monotonic_seconds();
	bool needed = c->token == NULL || now >= c->expires;

	/* One that was asked for ahead of time may come later, whatever the reason. */
	if (failure->verdict != VERDICT_RETRY && needed)
		forget(&c->token);
	else
	{
		c->not_before =
			now + retry_pause(&c->retry, &fetch_policy, now, random_unit(), 0);
		(void) timer_set(&c->again, c->not_before);
	}
	/* Others wait for nothing: the old one may do. */
	settle(c, failure, message->failed ? "out of memory" : buf_cstr(message));
}

/* *message says it, too. */
static Failure
judge_fetch(const Credentials *c, Response *response,
			const char *problem, Buf *message)
{
	Failure failure;
	Buf error;

	buf_init(&error, 0, NULL);
	if (problem != NULL && oauth_put_error(&error, buf_cstr(&response->body),
										   response->body.len))
		problem = NULL;
	buf_free(&error);
	if (problem != NULL)
	{
		buf_printf(message, "invalid reply of the token endpoint: %s", problem);
		return (Failure){.verdict = VERDICT_FAIL_CALL,
						 .sqlstate = MODAL_SQLSTATE_PROTOCOL};
	}
	failure = response->error != TRANSPORT_OK
		? judge_response(BODY_JSON, false, response)
		: judge_refusal(response->status);
	describe(c, response, message);
	if (credentials_need_clock(c) && failure.verdict == VERDICT_FAIL_CALL &&
		credentials_blame_clock(c->date, message))
		failure.hint = CREDENTIALS_CLOCK_HINT;
	return failure;
}

static void
on_fetched(void *arg, Response *response)
{
	Credentials *c = arg;
	OAuthReply reply = {0};
	Failure failure;
	Buf message;
	const char *problem = NULL;
	bool good = response->error == TRANSPORT_OK && response->status / 100 == 2;

	c->fetch = NULL;
	wipe(&c->form);
	wipe(&c->authorization);
	if (good)
		problem = oauth_take_reply(buf_cstr(&response->body),
								   response->body.len, &reply);
	buf_init(&message, 0, NULL);
	if (!good || problem != NULL)
		failure = judge_fetch(c, response, problem, &message);
	if (response->body.data != NULL)
		explicit_bzero(response->body.data, response->body.len);
	if (good && problem == NULL)
	{
		take_token(c, &reply);
		oauth_free_reply(&reply);
		settle(c, NULL, NULL);
	}
	else
		fetch_failed(c, &failure, &message);
	buf_free(&message);
}

/* --- fetching ---------------------------------------------------------------- */

static void
on_header(void *arg, const char *name, size_t name_len, const char *value,
		  size_t value_len)
{
	Credentials *c = arg;
	time_t date;

	if (name_len == 4 && memcmp(name, "date", 4) == 0 &&
		http_date(value, value_len, &date))
		c->date = date;
}

static void
put_option(Credentials *c, const char *name)
{
	const char *value = target_option(c->target, name);

	if (value != NULL)
		oauth_put_member(&c->form, name, value);
}

/* RFC 6749, 4.4 and 6; a client without a secret says who it is (3.2.1). */
static bool
put_oauth(Credentials *c)
{
	const char *refresh_token = c->refresh_token != NULL
		? c->refresh_token
		: target_option(c->target, "refresh_token");
	const char *auth = target_option(c->target, "token_auth");
	const char *secret = target_option(c->target, "client_secret");
	bool basic = secret != NULL && (auth == NULL || strcmp(auth, "basic") == 0);

	oauth_put_member(&c->form, "grant_type",
					 refresh_token != NULL ? "refresh_token"
										   : "client_credentials");
	if (refresh_token != NULL)
		oauth_put_member(&c->form, "refresh_token", refresh_token);
	put_option(c, "scope");
	put_option(c, "audience");
	if (!basic)
	{
		put_option(c, "client_id");
		put_option(c, "client_secret");
		return true;
	}
	buf_put_cstr(&c->authorization, "Authorization: Basic ");
	oauth_put_basic(&c->authorization, target_option(c->target, "client_id"),
					secret);
	return !c->authorization.failed;
}

/* RFC 7523, as Google has it. */
static bool
put_google(Credentials *c)
{
	buf_reset(&c->lines);
	if (!service_key_assert(c->service_key, c->token_url,
							target_option(c->target, "scope"), c->audience,
							time(NULL), &c->lines))
		return false;
	oauth_put_member(&c->form, "grant_type", GRANT_JWT);
	oauth_put_member(&c->form, "assertion", buf_cstr(&c->lines));
	return true;
}

/* False: no memory. */
static bool
start_fetch(Credentials *c)
{
	static const char user_agent[] =
		"User-Agent: modal_batch/" MODAL_BATCH_VERSION;
	const char *headers[] = {
		"Content-Type: application/x-www-form-urlencoded",
		"Accept: application/json", user_agent, NULL, NULL};
	RequestSpec spec = {.origin = c->target->origin,
						.method = "POST",
						.path = c->token_url,
						.headers = headers,
						.max_body = MAX_REPLY,
						.timeout_s = FETCH_TIMEOUT_S,
						.on_header = on_header,
						.on_done = on_fetched,
						.arg = c};

	if (c->fetch != NULL)
		return true;
	buf_reset(&c->form);
	buf_reset(&c->authorization);
	c->date = 0;
	if (!(c->kind == CREDENTIALS_GOOGLE ? put_google(c) : put_oauth(c)) ||
		c->form.failed)
		return false;
	if (c->authorization.len > 0)
		headers[3] = buf_cstr(&c->authorization);
	spec.body = c->form.data;
	spec.body_len = c->form.len;
	spec.connect_timeout_s = target_option_seconds(c->target, "connect_timeout", 0);
	c->fetch = request_start(&spec);
	return c->fetch != NULL;
}

static void
fail_for_memory(Credentials *c)
{
	Failure failure = {.verdict = VERDICT_FAIL_CALL,
					   .sqlstate = MODAL_SQLSTATE_MEMORY};

	settle(c, &failure, "out of memory in the modal_batch dispatcher");
}

/* Those who have come while nothing could be asked for. */
static void
on_again(void *arg)
{
	Credentials *c = arg;

	if (!list_is_empty(&c->waiters) && !start_fetch(c))
		fail_for_memory(c);
}

bool
credentials_ready(Credentials *c, CredentialsWait *wait)
{
	double now;
	bool may_fetch;

	if (c->kind != CREDENTIALS_OAUTH && c->kind != CREDENTIALS_GOOGLE)
		return true;
	now = monotonic_seconds();
	may_fetch = now >= c->not_before;
	if (c->token != NULL && now < c->expires)
	{
		if (now >= c->refresh_at && may_fetch)
			(void) start_fetch(c);
		return true;
	}
	if (c->token != NULL && !may_fetch)
		return true;
	if (!list_has(&wait->node))
		list_append(&c->waiters, &wait->node);
	/* A timer may be missing for want of memory: that one is for it, too. */
	if ((may_fetch && !start_fetch(c)) || (!may_fetch && c->again.heap_index == 0))
		(void) timer_set(&c->again, now + fetch_policy.first);
	return false;
}

uint32_t
credentials_serial(const Credentials *c)
{
	return c->serial;
}

bool
credentials_refused(Credentials *c, uint32_t serial)
{
	double now = monotonic_seconds();

	if (c->kind != CREDENTIALS_OAUTH && c->kind != CREDENTIALS_GOOGLE)
		return false;
	if (c->serial != serial)
		return true;
	if (now - c->fetched_at < REFUSED_AGE && now < c->expires)
		return false;
	/* The service has decided: nobody uses it again, whatever the endpoint does. */
	forget(&c->token);
	return true;
}

/* --- requests ---------------------------------------------------------------- */

/* The lines of a Buf, each with a zero, as headers. */
static void
point_to_lines(const Buf *lines, int count, const char **headers, int *n)
{
	const char *line = (const char *) lines->data;

	for (; count > 0; count--, line += strlen(line) + 1)
		headers[(*n)++] = line;
	headers[*n] = NULL;
}

static bool
sign_for_aws(Credentials *c, const RequestSpec *spec, const char **headers,
			 int *n)
{
	SigV4Request request = {.method = spec->method,
							.host = c->host,
							.headers = headers,
							.body = spec->body,
							.body_len = spec->body_len};
	Buf path;
	int count = 0;

	buf_init(&path, 0, NULL);
	buf_put_cstr(&path, c->base_path);
	buf_put_cstr(&path, spec->path);
	request.target = buf_cstr(&path);
	buf_reset(&c->lines);
	headers[*n] = NULL;
	if (!path.failed)
		count = sigv4_sign(&c->keys, &request, time(NULL), &c->lines);
	buf_free(&path);
	if (count > 0)
		point_to_lines(&c->lines, count, headers, n);
	return count > 0;
}

/*
 * Every attempt is of the same message, at another time.  Two signatures let
 * receivers change to the new secret when they like.
 */
static bool
sign_webhook(Credentials *c, const RequestSpec *spec, const char *id,
			 const char **headers, int *n)
{
	Slice own = webhook_id(spec->body, spec->body_len);
	time_t now = time(NULL);
	bool good = true;

	if (own.p == NULL)
		own = (Slice){id, strlen(id)};
	buf_reset(&c->hook_lines);
	buf_put_cstr(&c->hook_lines, "webhook-id: ");
	buf_put(&c->hook_lines, own.p, own.n);
	buf_put_u8(&c->hook_lines, '\0');
	buf_printf(&c->hook_lines, "webhook-timestamp: %lld", (long long) now);
	buf_put_u8(&c->hook_lines, '\0');
	buf_put_cstr(&c->hook_lines, "webhook-signature: ");
	for (int i = 0; i < 2 && c->webhook_secrets[i] != NULL; i++)
	{
		if (i > 0)
			buf_put_u8(&c->hook_lines, ' ');
		good &= webhook_sign(&c->hook_lines, c->webhook_secrets[i], own, now,
							 spec->body, spec->body_len);
	}
	buf_put_u8(&c->hook_lines, '\0');
	if (!good || c->hook_lines.failed)
		return false;
	point_to_lines(&c->hook_lines, 3, headers, n);
	return true;
}

bool
credentials_sign(Credentials *c, const RequestSpec *spec, const char *id,
				 const char **headers, int *n)
{
	if (c->webhook_secrets[0] != NULL &&
		!sign_webhook(c, spec, id, headers, n))
		return false;
	switch (c->kind)
	{
		case CREDENTIALS_STATIC:
			break;
		case CREDENTIALS_AWS:
			return sign_for_aws(c, spec, headers, n);
		case CREDENTIALS_OAUTH:
		case CREDENTIALS_GOOGLE:
			buf_reset(&c->lines);
			buf_put_cstr(&c->lines, "Authorization: Bearer ");
			buf_put_cstr(&c->lines, c->token);
			buf_put_u8(&c->lines, '\0');
			if (c->lines.failed)
				return false;
			point_to_lines(&c->lines, 1, headers, n);
			break;
	}
	return true;
}
