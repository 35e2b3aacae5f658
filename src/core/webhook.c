/*-------------------------------------------------------------------------
 *
 * webhook.c
 *	  Signatures of webhooks; see webhook.h.
 *
 *-------------------------------------------------------------------------
 */
#include "core/webhook.h"

#include <openssl/evp.h>
#include <string.h>
#include <strings.h>

#include "core/base64.h"

#define PREFIX "whsec_"
#define MIN_SECRET 24 /* bytes, as the specification has it */
#define MAX_SECRET 64
#define MAX_ID 64
#define DIGEST 32

const char *
webhook_secret_bare(const char *secret)
{
	size_t n = strlen(PREFIX);

	return strncmp(secret, PREFIX, n) == 0 ? secret + n : secret;
}

/* False: it is not one. */
static bool
decode_secret(const char *secret, Buf *bytes)
{
	secret = webhook_secret_bare(secret);
	return base64_decode(bytes, secret, strlen(secret)) &&
		bytes->len >= MIN_SECRET && bytes->len <= MAX_SECRET;
}

static void
wipe(Buf *bytes)
{
	if (bytes->data != NULL)
		explicit_bzero(bytes->data, bytes->cap);
	buf_free(bytes);
}

const char *
webhook_secret_error(const char *secret)
{
	Buf bytes;
	bool good;

	buf_init(&bytes, 0, NULL);
	good = decode_secret(secret, &bytes);
	wipe(&bytes);
	return good ? NULL : "The value must be \"whsec_\" and 24 to 64 bytes in base64.";
}

bool
webhook_sign(Buf *out, const char *secret, Slice id, time_t at,
			 const void *body, size_t body_len)
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	EVP_PKEY *key = NULL;
	uint8_t digest[DIGEST];
	size_t n = sizeof(digest);
	Buf bytes, head;
	bool good;

	buf_init(&bytes, 0, NULL);
	buf_init(&head, 0, NULL);
	buf_put(&head, id.p, id.n);
	buf_printf(&head, ".%lld.", (long long) at);
	if (decode_secret(secret, &bytes))
		key = EVP_PKEY_new_raw_private_key(EVP_PKEY_HMAC, NULL, bytes.data,
										   bytes.len);
	good = context != NULL && key != NULL && !head.failed &&
		EVP_DigestSignInit(context, NULL, EVP_sha256(), NULL, key) == 1 &&
		EVP_DigestSignUpdate(context, head.data, head.len) == 1 &&
		(body_len == 0 || EVP_DigestSignUpdate(context, body, body_len) == 1) &&
		EVP_DigestSignFinal(context, digest, &n) == 1;
	if (good)
	{
		buf_put_cstr(out, "v1,");
		base64_encode(out, digest, n);
	}
	EVP_PKEY_free(key);
	EVP_MD_CTX_free(context);
	wipe(&bytes);
	buf_free(&head);
	return good && !out->failed;
}

Slice
webhook_id(const void *body, size_t body_len)
{
	static const char begin[] = "{\"id\":\"";
	size_t skip = sizeof(begin) - 1;
	const char *id = (const char *) body + skip;
	size_t n = 0;

	if (body_len <= skip || memcmp(body, begin, skip) != 0)
		return (Slice){NULL, 0};
	while (skip + n < body_len && n <= MAX_ID && id[n] != '\0' &&
		   strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_",
				  id[n]) != NULL)
		n++;
	if (n == 0 || n > MAX_ID || skip + n == body_len || id[n] != '"')
		return (Slice){NULL, 0};
	return (Slice){id, n};
}
