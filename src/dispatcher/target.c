/*-------------------------------------------------------------------------
 *
 * target.c
 *	  Targets: found by their options, kept while used and a while longer.
 *
 * The session has validated the options; what matters for safety (URL scheme,
 * certificate checks) is checked here again.
 *
 *-------------------------------------------------------------------------
 */
#include "dispatcher/target.h"

#include <ctype.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/base64.h"
#include "core/map.h"
#include "core/oauth.h"
#include "core/webhook.h"

#define TARGET_UNUSED_S 600.0 /* kept that long for the next call */
#define MAX_UNUSED_TARGETS 1000
#define TARGET_MAX_OPTIONS 100
#define KEEPALIVE_S 30
#define MAX_STREAMS 250 /* per connection; the server may allow less */

/* Strings point into Target.options, behind the bytes that are the key. */
typedef struct TargetOption
{
	const char *name;
	const char *value;
} TargetOption;

static const Protocol *const protocols[] = {
	&modal_protocol,
	&http_protocol,
};

static const char *const secret_options[] = {
	"token_id",			 "token_secret",		  "basic_credentials",
	"bearer_token",		 "modal_key",			  "modal_secret",
	"proxy_credentials", "aws_access_key_id",	  "aws_secret_access_key",
	"aws_session_token", "client_secret",		  "refresh_token",
	"google_key",		 "webhook_secret",		  "webhook_secret_old",
};

/* By the bytes of their options. */
static Map targets;
static Heap unused_targets; /* the one that is so for longest is first */

/* --- options -------------------------------------------------------------- */

/*
 * options holds the key, as received, and behind it the same once more as
 * zero-terminated strings.
 */
static bool
parse_options(Target *target, Slice options, const char **error)
{
	Slice rest = options;
	Slice name;
	Slice value;
	bool bad = false;
	char *at;

	*error = "out of memory";
	target->options_len = options.n;
	/* Two zero bytes need less room than the two lengths they replace. */
	target->options = calloc(options.n + 1, 2);
	target->values = calloc(TARGET_MAX_OPTIONS, sizeof(TargetOption));
	if (target->options == NULL || target->values == NULL)
		return false;
	memcpy(target->options, options.p, options.n);
	at = target->options + options.n;

	*error = "malformed server options";
	target->nvalues = 0;
	while (frame_next_option(&rest, &name, &value, &bad))
	{
		TargetOption *option = &target->values[target->nvalues];

		if (target->nvalues == TARGET_MAX_OPTIONS)
			return false;
		option->name = at;
		memcpy(at, name.p, name.n);
		at += name.n;
		*at++ = '\0';
		option->value = at;
		memcpy(at, value.p, value.n);
		at += value.n;
		*at++ = '\0';
		target->nvalues++;
	}
	return !bad;
}

const char *
target_option(const Target *target, const char *name)
{
	for (int i = 0; i < target->nvalues; i++)
	{
		if (strcmp(target->values[i].name, name) == 0)
			return target->values[i].value;
	}
	return NULL;
}

bool
target_option_bool(const Target *target, const char *name, bool dflt)
{
	const char *value = target_option(target, name);

	if (value == NULL)
		return dflt;
	/* As the server's parse_bool(), which the validator used. */
	return strcasecmp(value, "on") == 0 || strcmp(value, "1") == 0 ||
		(value[0] != '\0' &&
		 (strncasecmp(value, "true", strlen(value)) == 0 ||
		  strncasecmp(value, "yes", strlen(value)) == 0));
}

long
target_option_int(const Target *target, const char *name, long dflt)
{
	const char *value = target_option(target, name);
	char *end;
	double n;

	if (value == NULL)
		return dflt;
	/* As the session: the validator once took a point and an exponent. */
	n = strtod(value, &end);
	return end != value && *end == '\0' && n >= INT_MIN && n <= INT_MAX
		? (long) n
		: dflt;
}

double
target_option_seconds(const Target *target, const char *name, double dflt)
{
	const char *value = target_option(target, name);
	char *end;
	double n;

	if (value == NULL)
		return dflt;
	n = strtod(value, &end);
	if (end == value || !(n >= 0))
		return dflt;
	if (*end == '\0' || strcmp(end, "s") == 0)
		return n;
	if (strcmp(end, "ms") == 0)
		return n / 1000;
	if (strcmp(end, "min") == 0)
		return n * 60;
	return dflt;
}

/* What follows the name in "name:password"; false when memory is short. */
static bool
keep_password(char **password, Buf *pair)
{
	const char *colon = strchr(buf_cstr(pair), ':');

	if (colon != NULL)
		*password = strdup(colon + 1);
	return !pair->failed && (colon == NULL || *password != NULL);
}

static void
put_percent_decoded(Buf *out, const char *text)
{
	for (; *text != '\0'; text++)
	{
		char digits[3] = "";
		char *end = digits;
		long code = 0;

		if (*text == '%' && text[1] != '\0')
		{
			memcpy(digits, text + 1, 2);
			code = strtol(digits, &end, 16);
		}
		if (isxdigit((unsigned char) digits[0]) && end == digits + 2)
			text += 2;
		else
			code = (unsigned char) *text;
		buf_put_u8(out, (uint8_t) code);
	}
}

/* The others know it without its prefix.  False: no memory. */
static bool
keep_webhook_secret(const Target *target, const char *option, char **kept)
{
	const char *secret = target_option(target, option);

	if (secret == NULL)
		return true;
	*kept = strdup(webhook_secret_bare(secret));
	return *kept != NULL;
}

/*
 * Options may have them in another form than that in which a service, or a proxy,
 * knows them, and may show them.
 */
static bool
find_passwords(Target *target)
{
	const char *basic = target_option(target, "basic_credentials");
	const char *proxy = target_option(target, "proxy_credentials");
	const char *client = target_option(target, "client_secret");
	Buf pair;
	bool good = true;

	buf_init(&pair, 0, NULL);
	if (basic != NULL && base64_decode(&pair, basic, strlen(basic)))
		good = keep_password(&target->passwords[0], &pair);
	buf_reset(&pair);
	if (good && proxy != NULL)
	{
		put_percent_decoded(&pair, proxy);
		good = keep_password(&target->passwords[1], &pair);
	}
	buf_reset(&pair);
	if (good && client != NULL)
	{
		buf_put_u8(&pair, ':');
		oauth_put_encoded(&pair, client);
		good = keep_password(&target->passwords[2], &pair);
	}
	if (pair.data != NULL)
		explicit_bzero(pair.data, pair.cap);
	buf_free(&pair);
	return good &&
		keep_webhook_secret(target, "webhook_secret", &target->passwords[3]) &&
		keep_webhook_secret(target, "webhook_secret_old", &target->passwords[4]);
}

static void
forget(char *secret)
{
	if (secret != NULL)
		explicit_bzero(secret, strlen(secret));
	free(secret);
}

void
target_keep_secret(Target *target, const char *secret)
{
	char **kept = target->fetched_secrets;
	char *copy = strdup(secret);
	int i = 0;

	if (copy == NULL)
		return;
	while (i < TARGET_FETCHED_SECRETS - 1 &&
		   !(kept[i] != NULL && strcmp(kept[i], secret) == 0))
		i++;
	forget(kept[i]);
	memmove(kept + 1, kept, i * sizeof(char *));
	kept[0] = copy;
}

int
target_secrets(const Target *target, const char **secrets, int max)
{
	int n = 0;

	for (size_t i = 0; i < sizeof(secret_options) / sizeof(char *); i++)
	{
		const char *value = target_option(target, secret_options[i]);

		if (value != NULL && n < max)
			secrets[n++] = value;
	}
	for (int i = 0; i < TARGET_PASSWORDS; i++)
	{
		if (target->passwords[i] != NULL && n < max)
			secrets[n++] = target->passwords[i];
	}
	for (int i = 0; i < TARGET_FETCHED_SECRETS; i++)
	{
		if (target->fetched_secrets[i] != NULL && n < max)
			secrets[n++] = target->fetched_secrets[i];
	}
	return n;
}

/* --- origins -------------------------------------------------------------- */

Origin *
target_create_origin(const Target *target, const char *url, bool grpc)
{
	OriginConfig config = {0};
	bool plain = strncmp(url, "http://", 7) == 0;
	const char *version = target_option(target, "http_version");

	if (!plain && strncmp(url, "https://", 8) != 0)
		return NULL;
	if (plain && !target_option_bool(target, "allow_http", false))
		return NULL;
	config.url = url;
	config.ca = target_option(target, "ssl_ca");
	config.ca_file = target_option(target, "ssl_ca_file");
	config.client_cert = target_option(target, "ssl_cert_file");
	config.client_key = target_option(target, "ssl_key_file");
	config.verify = target_option_bool(target, "ssl_verify", true);
	config.proxy = target_option(target, "proxy");
	config.proxy_credentials = target_option(target, "proxy_credentials");
	config.max_connections = target_option_int(target, "max_connections", 0);
	config.http2 = grpc || (version != NULL ? strcmp(version, "2") == 0 : !plain);
	config.http2_required = grpc;
	config.max_streams = MAX_STREAMS;
	config.keepalive_s = KEEPALIVE_S;
	return origin_create(&config);
}

/* The first URL of the list, without blanks and slashes at its end. */
static bool
set_url(Target *target, const char *urls, const char **error)
{
	size_t n = strcspn(urls, ",");

	while (n > 0 && (urls[n - 1] == '/' || urls[n - 1] == ' '))
		n--;
	target->url = strndup(urls, n);
	if (target->url == NULL)
	{
		*error = "out of memory";
		return false;
	}
	if (strncmp(target->url, "http://", 7) == 0 &&
		!target_option_bool(target, "allow_http", false))
	{
		*error = "server option \"url\" must begin with https:// unless \"allow_http\" is set";
		return false;
	}
	if (strncmp(target->url, "http://", 7) != 0 &&
		strncmp(target->url, "https://", 8) != 0)
	{
		*error = "server option \"url\" must begin with https://";
		return false;
	}
	return true;
}

static bool
set_protocol(Target *target, const char **error)
{
	const char *name = target_option(target, "protocol");

	if (name == NULL)
		name = modal_protocol.name;
	for (size_t i = 0; i < sizeof(protocols) / sizeof(protocols[0]); i++)
	{
		if (strcmp(protocols[i]->name, name) == 0)
		{
			target->protocol = protocols[i];
			target->driver = &protocols[i]->driver;
			return true;
		}
	}
	*error = "unknown protocol in server options";
	return false;
}

/* --- life ----------------------------------------------------------------- */

static void
target_free(Target *target)
{
	timer_cancel(&target->expiry);
	heap_remove(&unused_targets, &target->unused);
	if (target->state != NULL)
		target->protocol->target_free(target);
	origin_free(target->origin);
	if (target->options != NULL)
	{
		explicit_bzero(target->options, target->options_len * 2);
		free(target->options);
	}
	for (int i = 0; i < TARGET_PASSWORDS; i++)
		forget(target->passwords[i]);
	for (int i = 0; i < TARGET_FETCHED_SECRETS; i++)
		forget(target->fetched_secrets[i]);
	free(target->values);
	free(target->url);
	free(target);
}

static void
on_expiry(void *arg)
{
	Target *target = arg;

	map_remove_bytes(&targets, target->options, target->options_len);
	target_free(target);
}

static Target *
target_create(Slice options, const char **error)
{
	Target *target = calloc(1, sizeof(*target));
	const char *urls;

	if (target == NULL)
	{
		*error = "out of memory";
		return NULL;
	}
	timer_init(&target->expiry, on_expiry, target);
	if (!parse_options(target, options, error) ||
		!set_protocol(target, error))
		goto failed;
	urls = target_option(target, "url");
	if (urls == NULL)
		urls = target->protocol->default_url;
	if (urls == NULL)
	{
		*error = "server option \"url\" is missing";
		goto failed;
	}
	if (!set_url(target, urls, error))
		goto failed;
	target->origin = target_create_origin(target, target->url, false);
	*error = "out of memory";
	if (target->origin == NULL || !find_passwords(target) || !target->protocol->target_init(target, error))
		goto failed;
	return target;

failed:
	target_free(target);
	return NULL;
}

static const void *
key_of(const void *value, size_t *n)
{
	const Target *target = value;

	*n = target->options_len;
	return target->options;
}

void
targets_init(void)
{
	map_init_bytes(&targets, key_of, NULL);
	heap_init(&unused_targets);
}

Target *
target_get(Slice options, const char **error)
{
	Target *target = map_get_bytes(&targets, options.p, options.n);

	if (target == NULL)
	{
		target = target_create(options, error);
		if (target == NULL)
			return NULL;
		if (!map_put_bytes(&targets, target))
		{
			target_free(target);
			*error = "out of memory";
			return NULL;
		}
	}
	heap_remove(&unused_targets, &target->unused);
	timer_cancel(&target->expiry);
	/* Somebody has these options still. */
	target->outdated = false;
	target->calls++;
	return target;
}

/* In the next turn of the event loop. */
static void
expire_now(Target *target)
{
	(void) timer_set(&target->expiry, monotonic_seconds());
}

void
target_put(Target *target)
{
	double now = monotonic_seconds();

	if (--target->calls > 0)
		return;
	/* Without a timer it stays until the next call is over: harmless. */
	if (target->outdated ||
		!heap_put(&unused_targets, &target->unused, now))
		expire_now(target);
	else
		(void) timer_set(&target->expiry, now + TARGET_UNUSED_S);
	if (unused_targets.count > MAX_UNUSED_TARGETS)
	{
		Target *oldest = HEAP_OWNER(Target, unused, heap_first(&unused_targets));

		/* The next one to go is another one. */
		heap_remove(&unused_targets, &oldest->unused);
		expire_now(oldest);
	}
}

bool
targets_drop_unused(void)
{
	Target *target;
	MapVisit visit = {0};
	bool any = false;

	while ((target = map_next(&targets, &visit)) != NULL)
	{
		if (target->calls > 0)
			continue;
		expire_now(target);
		any = true;
	}
	return any;
}

void
targets_outdated(void)
{
	Target *target;
	MapVisit visit = {0};

	while ((target = map_next(&targets, &visit)) != NULL)
		target->outdated = true;
	(void) targets_drop_unused();
}

void
targets_free(void)
{
	Target *target;
	MapVisit visit = {0};

	while ((target = map_next(&targets, &visit)) != NULL)
		target_free(target);
	map_free(&targets);
	heap_free(&unused_targets);
}
