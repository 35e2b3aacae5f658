/*-------------------------------------------------------------------------
 *
 * origin.c
 *	  Origins: where requests go.
 *
 * Every Origin has connections of its own: they are not shared with other
 * credentials, its limits are its own, and freeing it closes them.  Whole URLs
 * have origins of their own for each host, with the same settings, which
 * belong to the one that was asked for them; of those that have nothing to do
 * a few are kept.
 *
 *-------------------------------------------------------------------------
 */
#include "core/url.h"
#include "net/multi.h"

#include <stdlib.h>
#include <string.h>

#define MAX_OTHERS 8    /* that have nothing to do */
#define H1_ONLY_S 300.0 /* before HTTP/2 gets another chance */

static bool
copy_string(char **to, const char *from)
{
	*to = NULL;
	if (from == NULL || from[0] == '\0')
		return true;
	*to = strdup(from);
	return *to != NULL;
}

static bool
copy_url(Origin *origin, const char *text)
{
	Url url;

	if (!copy_string(&origin->url, text) || origin->url == NULL ||
		url_parse(origin->url, strlen(origin->url), &url) != NULL)
		return false;
	origin->plain = url.plain;
	origin->loopback = url_is_loopback(&url);
	origin->port = url.port;
	origin->base_path = url.path;
	origin->host = strndup(url.host, url.host_len);
	origin->authority = strndup(url.authority, url.authority_len);
	return origin->host != NULL && origin->authority != NULL;
}

/* Who has to be asked for addresses: the proxy's name, the server's, or both. */
static bool
parse_proxy(Origin *origin)
{
	CURLU *url;
	char *scheme = NULL, *host = NULL, *port = NULL;

	origin->resolves_host = true;
	if (origin->proxy == NULL)
		return true;
	url = curl_url();
	if (url == NULL)
		return false;
	/* What cannot be read, curl is to complain of. */
	if (curl_url_set(url, CURLUPART_URL, origin->proxy,
					 CURLU_NON_SUPPORT_SCHEME | CURLU_GUESS_SCHEME) == CURLUE_OK)
	{
		(void) curl_url_get(url, CURLUPART_SCHEME, &scheme, 0);
		(void) curl_url_get(url, CURLUPART_HOST, &host, 0);
		(void) curl_url_get(url, CURLUPART_PORT, &port, 0);
	}
	curl_url_cleanup(url);
	if (host != NULL)
		origin->proxy_host = strdup(host);
	if (scheme != NULL)
	{
		/* the kinds that want an address; all others are told the name */
		origin->resolves_host =
			strcmp(scheme, "socks4") == 0 || strcmp(scheme, "socks5") == 0;
		origin->proxy_port = strcmp(scheme, "https") == 0 ? 443 : 1080;
	}
	if (port != NULL)
		origin->proxy_port = (uint16_t) atoi(port);
	curl_free(scheme);
	curl_free(port);
	if (host != NULL && origin->proxy_host == NULL)
	{
		curl_free(host);
		return false;
	}
	curl_free(host);
	return true;
}

/*
 * Too many of them: those that have nothing to do go, the ones that were not
 * used for the longest time first.  Run by a kick, when no callback of theirs
 * is under way.
 */
static void
free_idle_others(void *owner)
{
	Origin *origin = owner;
	ListNode mark;
	ListNode *node;

	list_mark(&origin->others, &mark);
	while ((node = list_turn_until(&origin->others, &mark)) != NULL)
	{
		Origin *other = LIST_OWNER(Origin, member, node);

		if (origin->nothers <= MAX_OTHERS || !list_is_empty(&other->active))
			continue;
		list_remove(node);
		origin->nothers--;
		origin_free(other);
	}
}

Origin *
origin_create(const OriginConfig *config)
{
	Origin *origin = calloc(1, sizeof(*origin));

	if (origin == NULL)
		return NULL;
	origin->config = *config;
	list_init(&origin->active);
	list_init(&origin->kept);
	list_init(&origin->others);
	loop_member_init(&origin->sweep, NULL, free_idle_others, origin);
	if (!copy_url(origin, config->url) ||
		!copy_string(&origin->ca, config->ca) ||
		!copy_string(&origin->ca_file, config->ca_file) ||
		!copy_string(&origin->client_cert, config->client_cert) ||
		!copy_string(&origin->client_key, config->client_key) ||
		!copy_string(&origin->proxy, config->proxy) ||
		!copy_string(&origin->proxy_credentials, config->proxy_credentials) ||
		!parse_proxy(origin) ||
		(origin->h1 = h1_create(origin)) == NULL ||
		(config->http2 && (origin->h2 = h2_create(origin)) == NULL))
	{
		origin_free(origin);
		return NULL;
	}
	tls_init(&origin->tls, origin->ca, origin->ca_file, origin->client_cert,
			 origin->client_key, config->verify);
	return origin;
}

void
origin_free(Origin *origin)
{
	ListNode *node;

	if (origin == NULL)
		return;
	loop_leave(&origin->sweep);
	while ((node = list_pop(&origin->others)) != NULL)
		origin_free(LIST_OWNER(Origin, member, node));
	requests_free(origin);
	h2_free(origin->h2);
	h1_free(origin->h1);
	tls_free(&origin->tls);
	free(origin->proxy);
	free(origin->proxy_credentials);
	free(origin->proxy_host);
	free(origin->url);
	free(origin->ca);
	free(origin->ca_file);
	free(origin->client_cert);
	free(origin->client_key);
	free(origin->host);
	free(origin->authority);
	free(origin);
}

bool
origin_lacks_descriptors(const Origin *origin)
{
	return h1_lacks_descriptors(origin->h1);
}

/* --- which HTTP ----------------------------------------------------------- */

const Carrier *
origin_carrier(const Origin *origin)
{
	return origin->h2 != NULL && (origin->h1_until == 0 ||
								  origin->h1_until <= monotonic_seconds())
			   ? &h2_carrier
			   : &h1_carrier;
}

void
origin_fall_back(Origin *origin)
{
	origin->h1_until = monotonic_seconds() + H1_ONLY_S;
}

/* --- whole URLs ----------------------------------------------------------- */

static bool
serves(const Origin *origin, const Url *url)
{
	return origin->plain == url->plain &&
		   strlen(origin->authority) == url->authority_len &&
		   memcmp(origin->authority, url->authority, url->authority_len) == 0;
}

static Origin *
find_other(Origin *origin, const Url *url)
{
	for
		LIST_EACH(node, &origin->others)
		{
			Origin *other = LIST_OWNER(Origin, member, node);

			if (serves(other, url))
				return other;
		}
	return NULL;
}

static Origin *
create_other(Origin *origin, const Url *url)
{
	OriginConfig config = origin->config;
	const char *text =
		url->authority - strlen(url->plain ? "http://" : "https://");
	char *whole = strndup(text, url->path - text);
	Origin *other = NULL;

	config.url = whole;
	config.ca = origin->ca;
	config.ca_file = origin->ca_file;
	config.client_cert = origin->client_cert;
	config.client_key = origin->client_key;
	config.proxy = origin->proxy;
	config.proxy_credentials = origin->proxy_credentials;
	config.http2 = config.http2_required = false;
	if (whole != NULL)
		other = origin_create(&config);
	free(whole);
	return other;
}

/* Nothing that is encrypted here goes on in plain text. */
static bool
may_ask(const Origin *origin, const char *text, Url *url)
{
	return url_parse(text, strlen(text), url) == NULL &&
		(!url->plain || origin->plain ||
		 (origin->loopback && url_is_loopback(url)));
}

bool
origin_may_ask(const Origin *origin, const char *url)
{
	Url ignored;

	return may_ask(origin, url, &ignored);
}

Origin *
origin_of_url(Origin *origin, const char *text, const char **path)
{
	Url url;
	Origin *other;

	if (!may_ask(origin, text, &url))
		return NULL;
	other = find_other(origin, &url);
	if (other == NULL)
	{
		other = create_other(origin, &url);
		if (other == NULL)
			return NULL;
		if (++origin->nothers > MAX_OTHERS)
			loop_kick(&origin->sweep);
	}
	list_remove(&other->member);
	list_append(&origin->others, &other->member);
	*path = url.path;
	return other;
}

/* --- how connections are made --------------------------------------------- */

bool
origin_set_connection(const Origin *origin, CURL *easy)
{
	CURLcode rc = CURLE_OK;

	SET_OPTION(rc, easy, CURLOPT_NOSIGNAL, 1L);
#if LIBCURL_VERSION_NUM >= 0x075700
	/* Giving up must not wait for a resolver thread. */
	SET_OPTION(rc, easy, CURLOPT_QUICK_EXIT, 1L);
#endif
	SET_OPTION(rc, easy, CURLOPT_PROXY,
			   origin->proxy != NULL ? origin->proxy : "");
	SET_OPTION(rc, easy, CURLOPT_NOPROXY, "");
	SET_OPTION(rc, easy, CURLOPT_PROXYUSERPWD, origin->proxy_credentials);
	/* else a proxy's HTTP/1.1 would be taken for the server's */
	SET_OPTION(rc, easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
	if (origin->config.keepalive_s > 0)
	{
		SET_OPTION(rc, easy, CURLOPT_TCP_KEEPALIVE, 1L);
		SET_OPTION(rc, easy, CURLOPT_TCP_KEEPIDLE,
				   (long) origin->config.keepalive_s);
		SET_OPTION(rc, easy, CURLOPT_TCP_KEEPINTVL,
				   (long) origin->config.keepalive_s);
	}
	return rc == CURLE_OK;
}
