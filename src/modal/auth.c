/*-------------------------------------------------------------------------
 *
 * auth.c
 *	  One auth token per target, and one fetch at a time.
 *
 * A token is used until it expires; somewhere past half of its life it is
 * fetched anew in the background.  When that fails, the old one goes on being
 * used, even past its end: the service decides.  Failures back off; a refusal
 * of the credentials is passed on at once.
 *
 *-------------------------------------------------------------------------
 */
#include "modal/auth.h"

#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/backoff.h"
#include "core/base64.h"
#include "proto/modal.pb-c.h"

#define DEFAULT_LIFE_S 1200.0 /* of a token that does not say */
#define ATTEMPT_TIMEOUT_S 5.0
#define TOTAL_TIMEOUT_S 15.0
#define MAX_TOKEN 16384

struct AuthCache
{
	GrpcService *service;
	char *token;
	double expires;	   /* Unix seconds */
	double refresh_at;
	GrpcCall *fetch;   /* under way */
	AuthWaiter *waiters;
	Backoff backoff;
	double not_before; /* monotonic: no fetch earlier */
};

static double
unix_seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

static double
random_unit(void)
{
	uint32_t r;

	grpc_random((uint8_t *) &r, sizeof(r));
	return r / 4294967296.0;
}

AuthCache *
auth_create(void)
{
	AuthCache *auth = calloc(1, sizeof(*auth));

	if (auth != NULL)
		backoff_init(&auth->backoff, 0.5, 2, 60, false);
	return auth;
}

void
auth_set_service(AuthCache *auth, GrpcService *control)
{
	auth->service = control;
}

static void
drop_token(AuthCache *auth)
{
	if (auth->token != NULL)
	{
		explicit_bzero(auth->token, strlen(auth->token));
		free(auth->token);
	}
	auth->token = NULL;
}

void
auth_free(AuthCache *auth)
{
	if (auth == NULL)
		return;
	if (auth->fetch != NULL)
		grpc_cancel(auth->fetch);
	drop_token(auth);
	free(auth);
}

/* The claim "exp" of a JSON web token; its signature is the service's affair. */
static double
token_expiry(const char *token, double now)
{
	const char *payload = strchr(token, '.');
	double expires = now + DEFAULT_LIFE_S;
	struct json_object *claims;
	struct json_object *exp;
	Buf json;

	if (payload == NULL)
		return expires;
	payload++;
	buf_init(&json, MAX_TOKEN, NULL);
	if (base64_decode(&json, payload, strcspn(payload, ".")))
	{
		claims = json_tokener_parse(buf_cstr(&json));
		if (claims != NULL && json_object_is_type(claims, json_type_object) &&
			json_object_object_get_ex(claims, "exp", &exp))
			expires = json_object_get_double(exp);
		json_object_put(claims);
	}
	buf_free(&json);
	return expires;
}

/* Each waiter may start a new wait from within its callback. */
static void
wake_waiters(AuthCache *auth, const char *token, const GrpcResult *failure)
{
	AuthWaiter *list = auth->waiters;
	AuthWaiter *waiter;

	auth->waiters = NULL;
	while ((waiter = list) != NULL)
	{
		list = waiter->next;
		waiter->waiting = false;
		waiter->on_token(waiter->arg, token, failure);
	}
}

static bool
take_token(AuthCache *auth, const GrpcResult *result)
{
	Modal__Client__AuthTokenGetResponse *reply =
		grpc_unpack(result, &modal__client__auth_token_get_response__descriptor);
	double now = unix_seconds();
	double life;
	char *token = NULL;

	if (reply != NULL && reply->token[0] != '\0' &&
		strlen(reply->token) < MAX_TOKEN &&
		strpbrk(reply->token, "\r\n") == NULL)
		token = strdup(reply->token);
	if (reply != NULL)
		protobuf_c_message_free_unpacked(&reply->base, NULL);
	if (token == NULL)
		return false;
	drop_token(auth);
	auth->token = token;
	auth->expires = token_expiry(token, now);
	life = auth->expires > now ? auth->expires - now : 0;
	auth->refresh_at = now + life * (0.5 + 0.1 * random_unit());
	return true;
}

static void
on_fetched(void *arg, const GrpcResult *result)
{
	AuthCache *auth = arg;
	GrpcResult failure = *result;

	auth->fetch = NULL;
	if (result->status == GRPC_OK)
	{
		if (take_token(auth, result))
		{
			backoff_reset(&auth->backoff);
			auth->not_before = 0;
			wake_waiters(auth, auth->token, NULL);
			return;
		}
		failure.status = GRPC_INTERNAL;
		failure.message = "the service gave no auth token";
	}
	if (failure.status == GRPC_UNAUTHENTICATED ||
		failure.status == GRPC_PERMISSION_DENIED)
	{
		drop_token(auth);
		wake_waiters(auth, NULL, &failure);
		return;
	}
	auth->not_before =
		monotonic_seconds() + backoff_next(&auth->backoff, random_unit());
	wake_waiters(auth, auth->token, &failure);
}

static bool
start_fetch(AuthCache *auth)
{
	GrpcSpec spec;
	Modal__Client__AuthTokenGetRequest request =
		MODAL__CLIENT__AUTH_TOKEN_GET_REQUEST__INIT;

	if (auth->fetch != NULL)
		return true;
	spec = grpc_spec(auth->service, "AuthTokenGet", NULL, on_fetched, auth);
	spec.no_auth = true;
	spec.attempt_timeout = ATTEMPT_TIMEOUT_S;
	spec.total_timeout = TOTAL_TIMEOUT_S;
	if (auth->token != NULL)
		spec.max_retries = 0;
	grpc_pack(&spec.request, &request.base);
	auth->fetch = grpc_start(&spec);
	return auth->fetch != NULL;
}

const char *
auth_token(AuthCache *auth, AuthWaiter *waiter)
{
	double now = unix_seconds();
	bool may_fetch = monotonic_seconds() >= auth->not_before;

	if (auth->token != NULL && now < auth->expires)
	{
		if (now >= auth->refresh_at && may_fetch)
			start_fetch(auth);
		return auth->token;
	}
	if (auth->token != NULL && !may_fetch)
		return auth->token;

	waiter->waiting = true;
	waiter->next = auth->waiters;
	auth->waiters = waiter;
	if (!start_fetch(auth))
	{
		GrpcResult failure = {.status = GRPC_INTERNAL,
							  .transport = TRANSPORT_MEMORY,
							  .message = "out of memory"};

		wake_waiters(auth, NULL, &failure);
	}
	return NULL;
}

void
auth_cancel(AuthCache *auth, AuthWaiter *waiter)
{
	AuthWaiter **at = &auth->waiters;

	if (!waiter->waiting)
		return;
	while (*at != NULL && *at != waiter)
		at = &(*at)->next;
	if (*at == waiter)
		*at = waiter->next;
	waiter->waiting = false;
}

void
auth_invalidate(AuthCache *auth, const char *token)
{
	if (auth->token != NULL && strcmp(auth->token, token) == 0)
		drop_token(auth);
}
