/*-------------------------------------------------------------------------
 *
 * transport_origin.c
 *	  Origins.
 *
 * Every Origin has connections of its own: they are not shared with other
 * credentials, its limits are its own, and freeing it closes them.
 *
 *-------------------------------------------------------------------------
 */
#include "worker/transport_internal.h"

#include <stdlib.h>
#include <string.h>

#define MAX_CACHED_CONNECTIONS 64

/* --- origins -------------------------------------------------------------- */

static Origin *origins;

static bool
copy_string(char **to, const char *from)
{
	*to = NULL;
	if (from == NULL || from[0] == '\0')
		return true;
	*to = strdup(from);
	return *to != NULL;
}

bool
url_is_loopback(const char *url)
{
	const char *host = strstr(url, "://");
	size_t n;

	if (host == NULL)
		return false;
	host += 3;
	n = strcspn(host, "/?#");
	if (memchr(host, '@', n) != NULL)
		return false;
	if (host[0] == '[')
		return strncmp(host, "[::1]", 5) == 0;
	n = strcspn(host, ":/?#");
	return (n == 9 && memcmp(host, "localhost", 9) == 0) ||
		   (n == 9 && memcmp(host, "127.0.0.1", 9) == 0);
}

static bool
open_multi(Origin *origin)
{
	const OriginConfig *config = &origin->config;
	long cached = MAX_CACHED_CONNECTIONS;

	if (!multi_open(&origin->multi, curl_reap, origin))
		return false;
	if (config->max_connections > 0)
		curl_multi_setopt(origin->multi.curl, CURLMOPT_MAX_TOTAL_CONNECTIONS,
						  (long) config->max_connections);
	/* Fewer would be closed and opened again all the time. */
	if (config->max_connections > cached)
		cached = config->max_connections;
	if (config->max_requests > cached)
		cached = config->max_requests;
	curl_multi_setopt(origin->multi.curl, CURLMOPT_MAXCONNECTS, cached);
	return true;
}

void
origins_close_idle(void)
{
	for (Origin *origin = origins; origin != NULL; origin = origin->next_origin)
	{
		if (origin->active != NULL)
			continue;
		if (origin->h2 != NULL)
			h2_close_idle(origin->h2);
		multi_close(&origin->multi);
		(void) open_multi(origin); /* if not, its requests will not start */
	}
}

/* The part of a URL, by libcurl's reading of it; NULL if there is none. */
static char *
url_part(CURLU *url, CURLUPart part, unsigned int flags)
{
	char *text = NULL;
	char *copy;

	if (curl_url_get(url, part, &text, flags) != CURLUE_OK)
		return NULL;
	copy = strdup(text);
	curl_free(text);
	return copy;
}

static bool
parse_url(Origin *origin)
{
	CURLU *url = curl_url();
	const char *rest;
	Buf authority;
	char *port;

	if (url == NULL)
		return false;
	if (curl_url_set(url, CURLUPART_URL, origin->url, 0) == CURLUE_OK)
	{
		origin->host = url_part(url, CURLUPART_HOST, 0);
		origin->port = url_part(url, CURLUPART_PORT, CURLU_DEFAULT_PORT);
	}
	port = url_part(url, CURLUPART_PORT, CURLU_NO_DEFAULT_PORT);
	curl_url_cleanup(url);
	if (origin->host == NULL || origin->port == NULL)
	{
		free(port);
		return false;
	}
	buf_init(&authority, 0, NULL);
	buf_put_cstr(&authority, origin->host);
	if (port != NULL)
		buf_printf(&authority, ":%s", port);
	free(port);
	origin->authority = authority.failed ? NULL : strdup(buf_cstr(&authority));
	buf_free(&authority);
	rest = strstr(origin->url, "://") + 3;
	origin->base_path = rest + strcspn(rest, "/?#");
	return origin->authority != NULL;
}

Origin *
origin_create(const OriginConfig *config)
{
	Origin *origin = calloc(1, sizeof(*origin));

	if (origin == NULL)
		return NULL;
	origin->next_origin = origins;
	origins = origin;
	origin->config = *config;
	origin->plain = strncmp(config->url, "http://", 7) == 0;
	origin->loopback = url_is_loopback(config->url);
	if (!copy_string(&origin->url, config->url) ||
		!copy_string(&origin->ca_file, config->ca_file) ||
		!copy_string(&origin->client_cert, config->client_cert) ||
		!copy_string(&origin->client_key, config->client_key) ||
		!copy_string(&origin->proxy, config->proxy) ||
		!copy_string(&origin->proxy_credentials, config->proxy_credentials) ||
		!open_multi(origin) ||
		(config->http2 &&
		 (!parse_url(origin) || (origin->h2 = h2_create(origin)) == NULL)))
	{
		origin_free(origin);
		return NULL;
	}
	return origin;
}

void
origin_free(Origin *origin)
{
	if (origin == NULL)
		return;
	requests_free(origin);
	h2_free(origin->h2);
	multi_close(&origin->multi);
	for (Origin **at = &origins; *at != NULL; at = &(*at)->next_origin)
	{
		if (*at == origin)
		{
			*at = origin->next_origin;
			break;
		}
	}
	free(origin->url);
	free(origin->ca_file);
	free(origin->client_cert);
	free(origin->client_key);
	free(origin->proxy);
	free(origin->proxy_credentials);
	free(origin->host);
	free(origin->port);
	free(origin->authority);
	free(origin);
}

bool
origin_set_connection(const Origin *origin, CURL *easy)
{
	CURLcode rc = CURLE_OK;

#define SET(option, value) SET_OPTION(rc, easy, option, value)
	SET(CURLOPT_NOSIGNAL, 1L);
#if LIBCURL_VERSION_NUM >= 0x075700
	/* Giving up must not wait for a resolver thread. */
	SET(CURLOPT_QUICK_EXIT, 1L);
#endif
	SET(CURLOPT_PROXY, origin->proxy != NULL ? origin->proxy : "");
	SET(CURLOPT_NOPROXY, "");
	SET(CURLOPT_PROXYUSERPWD, origin->proxy_credentials);
	/* else a proxy's HTTP/1.1 would be taken for the server's */
	SET(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
	if (origin->config.keepalive_s > 0)
	{
		SET(CURLOPT_TCP_KEEPALIVE, 1L);
		SET(CURLOPT_TCP_KEEPIDLE, (long) origin->config.keepalive_s);
		SET(CURLOPT_TCP_KEEPINTVL, (long) origin->config.keepalive_s);
	}
	SET(CURLOPT_CLOSESOCKETFUNCTION, loop_close_socket);
#undef SET
	return rc == CURLE_OK;
}
