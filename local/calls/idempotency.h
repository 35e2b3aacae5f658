/*-------------------------------------------------------------------------
 *
 * idempotency.h
 *	  Replies by idempotency key, so that a repeated request is applied once.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_LOCAL_IDEMPOTENCY_H
#define MODAL_LOCAL_IDEMPOTENCY_H

#include "api/rpc.h"

/*
 * The reply to an earlier request of the same method and key; NULL: none.
 * It is empty for requests from before a restart whose handlers can make the
 * reply again.  Valid until the next idempotency_put.
 */
extern const Buf *idempotency_get(const Rpc *rpc);
/* Remember the reply of rpc, which must have a key, and not be known yet. */
extern void idempotency_put(const Rpc *rpc);
/* As the journal has it. */
extern void idempotency_restore(const void *key, size_t key_len,
								const void *reply, size_t reply_len);

#endif /* MODAL_LOCAL_IDEMPOTENCY_H */
