/*-------------------------------------------------------------------------
 *
 * base64.h
 *	  Base64 (RFC 4648), without padding; the URL alphabet where it says so.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_LOCAL_BASE64_H
#define MODAL_LOCAL_BASE64_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

static inline size_t
base64_size(size_t n)
{
	return (n * 4 + 2) / 3;
}

/* Both return the number of characters written, base64_size(n). */
extern size_t base64_encode(char *out, const void *data, size_t n);
extern size_t base64url_encode(char *out, const void *data, size_t n);
/*
 * At most out_size bytes of the beginning of the URL form; returns how many,
 * or -1 for a character that is not of the alphabet.
 */
extern ssize_t base64url_decode(uint8_t *out, size_t out_size,
								const char *text, size_t len);

#endif /* MODAL_LOCAL_BASE64_H */
