/*-------------------------------------------------------------------------
 *
 * webhook.h
 *	  Signatures of the Standard Webhooks specification (standardwebhooks.com).
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_CORE_WEBHOOK_H
#define MODAL_CORE_WEBHOOK_H

#include <time.h>

#include "core/reference.h"

/* Without the prefix that says what it is. */
extern const char *webhook_secret_bare(const char *secret);
/* NULL when it is a good secret, else what one looks like, as a hint. */
extern const char *webhook_secret_error(const char *secret);

/*
 * Append the signature of a message ("v1,…").  False: no memory, or the secret
 * is not one.
 */
extern bool webhook_sign(Buf *out, const char *secret, Slice id, time_t at,
						 const void *body, size_t body_len);

/*
 * The id that the message has itself: member "id", if it is the first one and
 * can stand in a header.  p NULL: none.
 */
extern Slice webhook_id(const void *body, size_t body_len);

#endif /* MODAL_CORE_WEBHOOK_H */
