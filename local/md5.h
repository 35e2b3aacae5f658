/*-------------------------------------------------------------------------
 *
 * md5.h
 *	  MD5, which object stores use for ETags.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_LOCAL_MD5_H
#define MODAL_LOCAL_MD5_H

#include <openssl/evp.h>
#include <stdint.h>

#include "util.h"

#define MD5_SIZE 16

static inline EVP_MD_CTX *
md5_begin(void)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();

	if (ctx == NULL || EVP_DigestInit_ex(ctx, EVP_md5(), NULL) != 1)
		die("cannot compute MD5");
	return ctx;
}

/* Frees ctx. */
static inline void
md5_end(EVP_MD_CTX *ctx, uint8_t *digest)
{
	EVP_DigestFinal_ex(ctx, digest, NULL);
	EVP_MD_CTX_free(ctx);
}

static inline void
md5_hex(char *out, const uint8_t *digest)
{
	static const char digits[] = "0123456789abcdef";

	for (int i = 0; i < MD5_SIZE; i++)
	{
		*out++ = digits[digest[i] >> 4];
		*out++ = digits[digest[i] & 15];
	}
	*out = '\0';
}

#endif /* MODAL_LOCAL_MD5_H */
