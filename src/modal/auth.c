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

#include <stdlib.h>
#include <string.h>

#include "core/random.h"
#include "core/retry.h"
#include "core/token_life.h"
#include "proto/modal.pb-c.h"

#define ATTEMPT_TIMEOUT_S 5.0
#define TOTAL_TIMEOUT_S 15.0
#define MAX_TOKEN 16384

static const RetryPolicy fetch_policy = {
	.first = 0.5,
	.growth = 2,
	.most = 60,
	.budget = RETRY_FOREVER,
	.tries = RETRY_OFTEN,
};

struct AuthCache
{
	GrpcService *service;
	char *token;
	double expires;	   /* monotonic, as all times here */
	double refresh_at;
	GrpcCall *fetch;   /* under way */
	List waiters;
	ListNode mark;	   /* of the walk over them */
	Retry retry;
	double not_before; /* no fetch earlier */
};

AuthCache *
auth_create(void)
{
	AuthCache *auth = calloc(1, sizeof(*auth));

	if (auth != NULL)
		list_init(&auth->waiters);
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

/*
 * A waiter may start a new wait from within its callback, and may end other
 * waits: those of the same call, when that fails.
 */
static void
wake_waiters(AuthCache *auth, const char *token, const GrpcResult *failure)
{
	ListNode *node;

	list_mark(&auth->waiters, &auth->mark);
	while ((node = list_pop_until(&auth->waiters, &auth->mark)) != NULL)
	{
		AuthWaiter *waiter = LIST_OWNER(AuthWaiter, node, node);

		waiter->on_token(waiter->arg, token, failure);
	}
}

static bool
take_token(AuthCache *auth, const GrpcResult *result)
{
	Modal__Client__AuthTokenGetResponse *reply =
		grpc_unpack(result, &modal__client__auth_token_get_response__descriptor);
	double now = monotonic_seconds();
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
	target_keep_secret(auth->service->target, token);
	life = token_life(token, unix_seconds());
	auth->expires = now + life;
	auth->refresh_at = now + life * (0.5 + 0.1 * random_unit());
	return true;
}

static void
on_fetched(void *arg, const GrpcResult *result)
{
	AuthCache *auth = arg;
	GrpcResult failure = *result;
	double now;

	auth->fetch = NULL;
	if (result->status == GRPC_OK)
	{
		if (take_token(auth, result))
		{
			retry_progress(&auth->retry);
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
	now = monotonic_seconds();
	auth->not_before =
		now + retry_pause(&auth->retry, &fetch_policy, now, random_unit(), 0);
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
	double now = monotonic_seconds();
	bool may_fetch = now >= auth->not_before;

	if (auth->token != NULL && now < auth->expires)
	{
		if (now >= auth->refresh_at && may_fetch)
			start_fetch(auth);
		return auth->token;
	}
	if (auth->token != NULL && !may_fetch)
		return auth->token;

	if (!start_fetch(auth))
	{
		GrpcResult failure = {.status = GRPC_INTERNAL,
							  .transport = TRANSPORT_MEMORY,
							  .message = "out of memory"};

		waiter->on_token(waiter->arg, NULL, &failure);
		return NULL;
	}
	list_append(&auth->waiters, &waiter->node);
	return NULL;
}

void
auth_cancel(AuthWaiter *waiter)
{
	list_remove(&waiter->node);
}

void
auth_invalidate(AuthCache *auth, const char *token)
{
	if (auth->token != NULL && strcmp(auth->token, token) == 0)
		drop_token(auth);
}
