/*-------------------------------------------------------------------------
 *
 * http_key.h
 *	  Idempotency keys of HTTP requests: the same rows of the same call give
 *	  the same key, so it survives retries, polls and restarts; other rows or
 *	  another call's seed give another one.
 *
 * Not a secret: who sees a key may compute those of the call's other rows.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_CORE_HTTP_KEY_H
#define MODAL_CORE_HTTP_KEY_H

#include <stdint.h>

#define HTTP_KEY_LEN 36 /* a UUID's text */
#define HTTP_KEY_SEED 16

typedef struct HttpKey
{
	uint64_t halves[2];
} HttpKey;

extern void http_key_begin(HttpKey *key, const uint8_t seed[HTTP_KEY_SEED]);
extern void http_key_add(HttpKey *key, int64_t ordinal);
/* Writes a version-8 UUID and a zero byte. */
extern void http_key_text(const HttpKey *key, char text[HTTP_KEY_LEN + 1]);

#endif /* MODAL_CORE_HTTP_KEY_H */
