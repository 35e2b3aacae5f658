/*-------------------------------------------------------------------------
 *
 * credentials.h
 *	  What authorizes the requests of a target, where that is more than a header
 *	  that never changes: signatures, and tokens that have to be fetched.
 *
 * A token is fetched once for all who wait, used until it expires, and past
 * half of its life fetched anew in the background, as Modal's (modal/auth).  It
 * is in memory only, and among the target's secrets.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_HTTP_CREDENTIALS_H
#define MODAL_HTTP_CREDENTIALS_H

#include "core/list.h"
#include "dispatcher/target.h"
#include "http/judge.h"
#include "net/net.h"

typedef struct Credentials Credentials;

/* Who waits for a token; embedded in its owner. */
typedef struct CredentialsWait
{
	ListNode node;
	/* failure NULL: there is one; else it and message say why there is none */
	void (*on_settled)(void *arg, const Failure *failure, const char *message);
	void *arg;
} CredentialsWait;

/* NULL: *error says why. */
extern Credentials *credentials_create(Target *target, const char **error);
extern void credentials_free(Credentials *credentials);

/*
 * May requests be sent?  If not, on_settled is called once when that may have
 * changed, from the event loop.
 */
extern bool credentials_ready(Credentials *credentials, CredentialsWait *wait);
extern void credentials_cancel(CredentialsWait *wait); /* fine if it does not */

/*
 * The headers of one request, which is else complete: as many are put behind
 * those that it has, which must leave room for CREDENTIALS_HEADERS and a NULL;
 * they stay until the next call.  id: of the message, for webhooks.
 * False: no memory.
 */
#define CREDENTIALS_HEADERS 7
extern bool credentials_sign(Credentials *credentials, const RequestSpec *spec,
							 const char *id, const char **headers, int *n);

/* Which token requests are sent with now. */
extern uint32_t credentials_serial(const Credentials *credentials);
/*
 * The service has refused that token.  True: another one is there, or will be
 * asked for.
 */
extern bool credentials_refused(Credentials *credentials, uint32_t serial);

/* Do they depend on the time that it is? */
extern bool credentials_need_clock(const Credentials *credentials);

/*
 * Append that the clocks differ, if the header Date of an answer (Unix time; 0:
 * it had none) says so; then true.
 */
extern bool credentials_blame_clock(time_t date, Buf *message);
#define CREDENTIALS_CLOCK_HINT "Signatures and tokens depend on the time: check the clock of the database server."

#endif /* MODAL_HTTP_CREDENTIALS_H */
