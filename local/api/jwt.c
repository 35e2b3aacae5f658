/*-------------------------------------------------------------------------
 *
 * jwt.c
 *	  The auth tokens of clients, which are signed (HS256).
 *
 *-------------------------------------------------------------------------
 */
#include "api/jwt.h"

#include <openssl/crypto.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>

#include "base64.h"

#define SIGNED_HEADER "{\"alg\":\"HS256\",\"typ\":\"JWT\"}"
#define SIGNATURE_SIZE 32
#define MAX_TOKEN 1024

static void
sign(uint8_t *signature, const char *text, size_t len, const char *secret)
{
	unsigned int size = SIGNATURE_SIZE;

	if (HMAC(EVP_sha256(), secret, (int) strlen(secret),
			 (const unsigned char *) text, len, signature, &size) == NULL)
		die("cannot sign a token");
}

const char *
jwt_sign_client(Arena *arena, const char *subject, double expires,
				const char *secret)
{
	char claims[256];
	uint8_t signature[SIGNATURE_SIZE];
	char *token = arena_alloc(arena, MAX_TOKEN);
	size_t n;

	snprintf(claims, sizeof(claims), "{\"sub\":\"%s\",\"exp\":%.0f}", subject,
			 expires);
	n = base64url_encode(token, SIGNED_HEADER, strlen(SIGNED_HEADER));
	token[n++] = '.';
	n += base64url_encode(token + n, claims, strlen(claims));
	sign(signature, token, n, secret);
	token[n++] = '.';
	n += base64url_encode(token + n, signature, sizeof(signature));
	token[n] = '\0';
	return token;
}

bool
jwt_verify_client(const char *token, double now, const char *secret)
{
	const char *claims = strchr(token, '.');
	const char *last = strrchr(token, '.');
	uint8_t given[SIGNATURE_SIZE];
	uint8_t right[SIGNATURE_SIZE];
	uint8_t text[257] = {0};
	const char *expires;

	if (claims == NULL || claims == last || strlen(token) > MAX_TOKEN)
		return false;
	if (base64url_decode(given, sizeof(given), last + 1, strlen(last + 1)) !=
		SIGNATURE_SIZE)
		return false;
	sign(right, token, (size_t) (last - token), secret);
	if (CRYPTO_memcmp(given, right, sizeof(right)) != 0)
		return false;
	if (base64url_decode(text, sizeof(text) - 1, claims + 1,
						 (size_t) (last - claims - 1)) < 0)
		return false;
	expires = strstr((const char *) text, "\"exp\":");
	return expires != NULL && atof(expires + strlen("\"exp\":")) > now;
}
