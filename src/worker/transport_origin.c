/*-------------------------------------------------------------------------
 *
 * transport_origin.c
 *	  Origins, and what curl is told about their requests.
 *
 * Every Origin has a multi handle of its own: its connections are not shared
 * with other credentials, its limits are its own, and freeing it closes them.
 *
 *-------------------------------------------------------------------------
 */
#include "worker/transport_internal.h"

#include <stdlib.h>
#include <string.h>

#define MAX_CACHED_CONNECTIONS 64
#define DEFAULT_CONNECT_TIMEOUT_MS 10000

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

static bool
is_loopback(const char *url)
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

	origin->multi = curl_multi_init();
	if (origin->multi == NULL)
		return false;
	loop_add(origin);
	if (config->max_connections > 0)
		curl_multi_setopt(origin->multi, CURLMOPT_MAX_TOTAL_CONNECTIONS,
						  (long) config->max_connections);
	/* Fewer would be closed and opened again all the time. */
	if (config->max_connections > cached)
		cached = config->max_connections;
	if (config->max_requests > cached)
		cached = config->max_requests;
	curl_multi_setopt(origin->multi, CURLMOPT_MAXCONNECTS, cached);
	if (config->max_streams > 0)
		curl_multi_setopt(origin->multi, CURLMOPT_MAX_CONCURRENT_STREAMS,
						  (long) config->max_streams);
	return true;
}

static void
close_multi(Origin *origin)
{
	if (origin->multi == NULL)
		return;
	curl_multi_cleanup(origin->multi);
	loop_remove(origin);
	origin->multi = NULL;
}

void
origins_close_idle(void)
{
	for (Origin *origin = origins; origin != NULL; origin = origin->next_origin)
	{
		if (origin->active != NULL)
			continue;
		close_multi(origin);
		(void) open_multi(origin); /* if not, its requests will not start */
	}
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
	origin->loopback = is_loopback(config->url);
	if (!copy_string(&origin->url, config->url) ||
		!copy_string(&origin->ca_file, config->ca_file) ||
		!copy_string(&origin->client_cert, config->client_cert) ||
		!copy_string(&origin->client_key, config->client_key) ||
		!copy_string(&origin->proxy, config->proxy) || !open_multi(origin))
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
	close_multi(origin);
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
	free(origin);
}

/* --- options of requests -------------------------------------------------- */

bool
origin_set_options(const Origin *origin, CURL *easy)
{
	CURLcode rc = CURLE_OK;
	bool may_be_plain = origin->plain || origin->loopback;
	const char *protocols = may_be_plain ? "http,https" : "https";

#define SET(option, value) SET_OPTION(rc, easy, option, value)

	SET(CURLOPT_NOSIGNAL, 1L);
	SET(CURLOPT_NOPROGRESS, 1L);
	SET(CURLOPT_FOLLOWLOCATION, 0L);
#if LIBCURL_VERSION_NUM >= 0x075500
	SET(CURLOPT_PROTOCOLS_STR, protocols);
#else
	(void) protocols;
	SET(CURLOPT_PROTOCOLS,
		(long) (CURLPROTO_HTTPS | (may_be_plain ? CURLPROTO_HTTP : 0)));
#endif
#if LIBCURL_VERSION_NUM >= 0x075700
	/* Giving up must not wait for a resolver thread. */
	SET(CURLOPT_QUICK_EXIT, 1L);
#endif
	SET(CURLOPT_PROXY, origin->proxy != NULL ? origin->proxy : "");
	SET(CURLOPT_NOPROXY, "");
	/* else a proxy's HTTP/1.1 would be taken for the server's */
	SET(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
	SET(CURLOPT_SSL_VERIFYPEER, origin->config.verify ? 1L : 0L);
	SET(CURLOPT_SSL_VERIFYHOST, origin->config.verify ? 2L : 0L);
	if (origin->ca_file != NULL)
		SET(CURLOPT_CAINFO, origin->ca_file);
	if (origin->client_cert != NULL)
		SET(CURLOPT_SSLCERT, origin->client_cert);
	if (origin->client_key != NULL)
		SET(CURLOPT_SSLKEY, origin->client_key);
	if (origin->config.keepalive_s > 0)
	{
		SET(CURLOPT_TCP_KEEPALIVE, 1L);
		SET(CURLOPT_TCP_KEEPIDLE, (long) origin->config.keepalive_s);
		SET(CURLOPT_TCP_KEEPINTVL, (long) origin->config.keepalive_s);
	}
	SET(CURLOPT_PIPEWAIT, origin->config.http2 ? 1L : 0L);
	SET(CURLOPT_CLOSESOCKETFUNCTION, loop_close_socket);
	return rc == CURLE_OK;
}

static long
http_version(const Origin *origin, bool plain, bool whole_url)
{
	if (!origin->config.http2)
		return CURL_HTTP_VERSION_1_1;
	if (!plain)
		return CURL_HTTP_VERSION_2TLS;
	return whole_url ? CURL_HTTP_VERSION_1_1
					 : CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE;
}

bool
origin_set_request(const Origin *origin, CURL *easy, const RequestSpec *spec)
{
	CURLcode rc = CURLE_OK;
	bool whole_url = strstr(spec->path, "://") != NULL;
	bool plain = whole_url ? strncmp(spec->path, "http://", 7) == 0
						   : origin->plain;
	long version = http_version(origin, plain, whole_url);
	/* Reusing such a connection is broken before 8.0, curl issue 10634. */
	bool no_reuse = version == CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE &&
		loop_curl_before(0x080000);
	bool get = strcmp(spec->method, "GET") == 0;
	Buf url;

	if (whole_url && plain && !origin->plain &&
		!(origin->loopback && is_loopback(spec->path)))
		rc = CURLE_UNSUPPORTED_PROTOCOL;
	else if (whole_url)
		SET(CURLOPT_URL, spec->path);
	else
	{
		buf_init(&url, 0, NULL);
		buf_put_cstr(&url, origin->url);
		buf_put_cstr(&url, spec->path);
		SET(CURLOPT_URL, buf_cstr(&url));
		if (url.failed)
			rc = CURLE_OUT_OF_MEMORY;
		buf_free(&url);
	}
	SET(CURLOPT_HTTP_VERSION, version);
	SET(CURLOPT_FRESH_CONNECT, no_reuse ? 1L : 0L);
	SET(CURLOPT_FORBID_REUSE, no_reuse ? 1L : 0L);
	if (get)
		SET(CURLOPT_HTTPGET, 1L);
	else
	{
		SET(CURLOPT_POST, 1L);
		SET(CURLOPT_POSTFIELDS, spec->body_len > 0 ? spec->body : "");
		SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t) spec->body_len);
	}
	SET(CURLOPT_CUSTOMREQUEST,
		get || strcmp(spec->method, "POST") == 0 ? NULL : spec->method);
	SET(CURLOPT_ACCEPT_ENCODING, spec->accept_gzip ? "gzip" : NULL);
	SET(CURLOPT_CONNECTTIMEOUT_MS,
		spec->connect_timeout_s > 0 ? (long) (spec->connect_timeout_s * 1000)
									: (long) DEFAULT_CONNECT_TIMEOUT_MS);
	return rc == CURLE_OK;
#undef SET
}
