/*-------------------------------------------------------------------------
 *
 * digest.h
 *	  MD5 and SHA-256 of large memory, in pieces between other work: one of
 *	  200 MB would take most of a second, in which nobody else is served.
 *
 * All digests of the process are in one queue, and take turns: a piece in each
 * turn of the event loop, which is of one of them, or of many small ones.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_MODAL_DIGEST_H
#define MODAL_MODAL_DIGEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MD5_LEN 16
#define SHA256_LEN 32

typedef struct Digest Digest;

/* Both NULL: no memory. */
typedef void (*DigestDone)(void *arg, const uint8_t *md5,
						   const uint8_t *sha256);

/*
 * The bytes must stay.  sha256 is made if it is wanted.  on_done is called
 * from the event loop, and the Digest is gone then.  NULL: no memory.
 */
extern Digest *digest_start(const void *p, size_t n, bool sha256,
							DigestDone on_done, void *arg);
extern void digest_cancel(Digest *digest);

#endif /* MODAL_MODAL_DIGEST_H */
