/*-------------------------------------------------------------------------
 *
 * auth.h
 *	  The auth token of a target (AuthTokenGet): fetched once for all calls,
 *	  refreshed before it expires, kept in memory only.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_MODAL_AUTH_H
#define MODAL_MODAL_AUTH_H

#include "core/list.h"
#include "modal/grpc.h"

/* Embedded in what waits for a token. */
typedef struct AuthWaiter
{
	ListNode node;
	/* token NULL: failure says why there is none. */
	void (*on_token)(void *arg, const char *token, const GrpcResult *failure);
	void *arg;
} AuthWaiter;

extern AuthCache *auth_create(void);
extern void auth_free(AuthCache *auth);
/* Where tokens come from; the service uses the cache in turn. */
extern void auth_set_service(AuthCache *auth, GrpcService *control);

/*
 * The token to use now, or NULL: then the waiter is called once there is one
 * or it is known that there is none.
 */
extern const char *auth_token(AuthCache *auth, AuthWaiter *waiter);
extern void auth_cancel(AuthWaiter *waiter); /* fine when it does not wait */
/* The service has refused this token. */
extern void auth_invalidate(AuthCache *auth, const char *token);

#endif /* MODAL_MODAL_AUTH_H */
