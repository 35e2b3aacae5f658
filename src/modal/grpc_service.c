/*-------------------------------------------------------------------------
 *
 * grpc_service.c
 *	  A server of Modal's service: its origins, and who we say we are.
 *
 * The identity that the service checks (client type and version) is that of
 * an official SDK with the same abilities, and can be set by server options.
 *
 *-------------------------------------------------------------------------
 */
#include "modal/grpc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_URLS 8
#define MULTI_URL_CONNECT_TIMEOUT 3.0
#define RESPONSE_TIMEOUT 60.0
#define CLIENT_TYPE_PYTHON 1
#define CLIENT_TYPE_GO 9

/* host[:port] of a URL. */
static char *
url_host(const char *url)
{
	const char *host = strstr(url, "://");

	host = host != NULL ? host + 3 : url;
	return strndup(host, strcspn(host, "/:"));
}

static bool
add_origins(GrpcService *service, const char *urls)
{
	service->origins = calloc(MAX_URLS, sizeof(Origin *));
	service->hosts = calloc(MAX_URLS, sizeof(char *));
	if (service->origins == NULL || service->hosts == NULL)
		return false;
	while (*urls != '\0' && service->norigins < MAX_URLS)
	{
		size_t n;
		size_t whole;
		char *url;
		Origin *origin;

		urls += strspn(urls, ", ");
		whole = n = strcspn(urls, ",");
		while (n > 0 && (urls[n - 1] == '/' || urls[n - 1] == ' '))
			n--;
		url = strndup(urls, n);
		if (url == NULL)
			return false;
		origin = n > 0 ? target_create_origin(service->target, url, true)
					   : NULL;
		if (origin != NULL)
		{
			service->origins[service->norigins] = origin;
			service->hosts[service->norigins++] = url_host(url);
		}
		free(url);
		if (n > 0 && origin == NULL)
			return false;
		urls += whole;
	}
	return service->norigins > 0;
}

/* Options have no line breaks: the validator and this see to it. */
static bool
add_identity(GrpcService *service, int *n, const char *name, const char *value)
{
	size_t size;
	char *line;

	if (value == NULL || value[0] == '\0')
		return true;
	if (strpbrk(value, "\r\n") != NULL)
		return false;
	size = strlen(name) + strlen(value) + 3;
	line = malloc(size);
	if (line == NULL)
		return false;
	snprintf(line, size, "%s: %s", name, value);
	service->identity[(*n)++] = line;
	return true;
}

static bool
add_identities(GrpcService *service)
{
	const Target *target = service->target;
	long type = target_option_int(target, "client_type", CLIENT_TYPE_GO);
	bool python = type == CLIENT_TYPE_PYTHON;
	const char *version = target_option(target, "client_version");
	const char *libmodal = target_option(target, "libmodal_version");
	const char *runtime = target_option(target, "python_version");
	char type_text[16];
	int n = 0;

	snprintf(type_text, sizeof(type_text), "%ld", type);
	if (version == NULL)
		version = python ? "1.5.4" : "1.0.0";
	if (libmodal == NULL && !python)
		libmodal = "modal-go/0.9.0";
	if (runtime == NULL && python)
		runtime = "3.12.1";
	/* The Python SDK sends the token to input planes only. */
	service->always_auth = !python;
	return add_identity(service, &n, "x-modal-client-type", type_text) &&
		add_identity(service, &n, "x-modal-client-version", version) &&
		add_identity(service, &n, "x-modal-libmodal-version", libmodal) &&
		add_identity(service, &n, "x-modal-python-version", runtime) &&
		add_identity(service, &n, "x-modal-host",
					 python ? service->hosts[0] : NULL) &&
		add_identity(service, &n, "x-modal-token-id",
					 target_option(target, "token_id")) &&
		add_identity(service, &n, "x-modal-token-secret",
					 target_option(target, "token_secret"));
}

static bool
set_region(GrpcService *service, const char *region)
{
	size_t size;

	if (region == NULL || region[0] == '\0')
		return true;
	if (strpbrk(region, "\r\n") != NULL)
		return false;
	size = strlen(region) + sizeof("x-modal-input-plane-region: ");
	service->region = malloc(size);
	if (service->region == NULL)
		return false;
	snprintf(service->region, size, "x-modal-input-plane-region: %s", region);
	return true;
}

GrpcService *
grpc_service_create(Target *target, const char *urls, AuthCache *auth,
					const char *region)
{
	GrpcService *service = calloc(1, sizeof(*service));

	if (service == NULL)
		return NULL;
	service->target = target;
	service->auth = auth;
	if (!add_origins(service, urls) || !add_identities(service) ||
		!set_region(service, region))
	{
		grpc_service_free(service);
		return NULL;
	}
	service->max_throttle_wait =
		target_option_seconds(target, "max_throttle_wait", -1);
	service->connect_timeout = target_option_seconds(
		target, "connect_timeout",
		service->norigins > 1 ? MULTI_URL_CONNECT_TIMEOUT : 0);
	service->response_timeout =
		target_option_seconds(target, "response_timeout", RESPONSE_TIMEOUT);
	return service;
}

void
grpc_service_free(GrpcService *service)
{
	if (service == NULL)
		return;
	for (int i = 0; i < service->norigins; i++)
	{
		origin_free(service->origins[i]);
		free(service->hosts[i]);
	}
	for (char **line = service->identity; *line != NULL; line++)
	{
		explicit_bzero(*line, strlen(*line));
		free(*line);
	}
	free(service->origins);
	free(service->hosts);
	free(service->region);
	free(service);
}
