/*-------------------------------------------------------------------------
 *
 * idempotency.h
 *	  Replies by idempotency key, so that a repeated request is applied once.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_LOCAL_IDEMPOTENCY_H
#define MODAL_LOCAL_IDEMPOTENCY_H

#include <stdbool.h>

#include "core/buf.h"

/* To be called once, before journal_init. */
extern void idempotency_init(void);
/*
 * The reply to an earlier request of the same method and key; NULL: none.
 * It is empty for requests from before a restart whose handlers can make the
 * reply again.  Valid until the next idempotency_put.
 */
extern const Buf *idempotency_get(const char *method, const char *key);
/*
 * Remember a reply, whose key must not be known yet.  durable: also after a
 * restart; repeatable: the handler can make the reply again.
 */
extern void idempotency_put(const char *method, const char *key,
							const Buf *reply, bool durable, bool repeatable);

#endif /* MODAL_LOCAL_IDEMPOTENCY_H */
