/*-------------------------------------------------------------------------
 *
 * base64.h
 *	  Base64 (RFC 4648) of bytes in memory.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_CORE_BASE64_H
#define MODAL_CORE_BASE64_H

#include "core/buf.h"

/* Append the standard form, with padding. */
extern void base64_encode(Buf *out, const void *p, size_t n);
/*
 * Append what text stands for; both alphabets (standard and URL-safe), with
 * or without padding.  False when it is malformed or memory is short.
 */
extern bool base64_decode(Buf *out, const char *text, size_t n);

#endif /* MODAL_CORE_BASE64_H */
