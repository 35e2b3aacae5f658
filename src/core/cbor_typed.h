/*-------------------------------------------------------------------------
 *
 * cbor_typed.h
 *	  Elements of CBOR's typed arrays (RFC 8746, 2): numbers of one kind without
 *	  heads, in a byte string whose tag says which kind.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_CORE_CBOR_TYPED_H
#define MODAL_CORE_CBOR_TYPED_H

#include "core/cbor.h"

/* Bytes of an element; 0: the tag is not one of a typed array that we read. */
extern size_t cbor_typed_size(uint64_t tag);
/* Sets kind, u and d of the token. */
extern void cbor_typed_element(uint64_t tag, const uint8_t *p, CborToken *tok);

#endif /* MODAL_CORE_CBOR_TYPED_H */
