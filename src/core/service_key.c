/*-------------------------------------------------------------------------
 *
 * service_key.c
 *	  A Google service account's key; see service_key.h.
 *
 * Where the key says that tokens are to be had is not believed: whoever makes
 * a user mapping must not choose whom the dispatcher talks to.
 *
 *-------------------------------------------------------------------------
 */
#include "core/service_key.h"

#include <json-c/json.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdlib.h>

#include "core/base64.h"
#include "core/json_split.h"

#define LIFE 3600 /* seconds, the most that Google allows */
#define MAX_JSON (16 * 1024)
#define MIN_BITS 2048
#define MAX_BITS 4096 /* others wait while it signs: one of 16384 bits takes 0.2 s */

struct ServiceKey
{
	char *email, *key_id; /* key_id NULL: it has none */
	EVP_PKEY *key;
};

/* --- reading it ----------------------------------------------------------- */

/* malloc'd; NULL: there is none. */
static char *
copy_member(struct json_object *object, const char *name)
{
	struct json_object *value;

	if (!json_object_object_get_ex(object, name, &value) ||
		!json_object_is_type(value, json_type_string))
		return NULL;
	return strdup(json_object_get_string(value));
}

/* Nobody is there to be asked for a passphrase. */
static int
no_passphrase(char *to, int size, int writing, void *arg)
{
	(void) to;
	(void) size;
	(void) writing;
	(void) arg;
	return 0;
}

static EVP_PKEY *
read_private_key(const char *pem)
{
	BIO *bio = BIO_new_mem_buf(pem, -1);
	EVP_PKEY *key = NULL;

	if (bio != NULL)
		key = PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL);
	BIO_free(bio);
	ERR_clear_error();
	if (key != NULL && (EVP_PKEY_base_id(key) != EVP_PKEY_RSA ||
						EVP_PKEY_bits(key) < MIN_BITS ||
						EVP_PKEY_bits(key) > MAX_BITS))
	{
		EVP_PKEY_free(key);
		key = NULL;
	}
	return key;
}

static const char *
take_members(struct json_object *object, ServiceKey *key)
{
	char *pem = copy_member(object, "private_key");

	key->email = copy_member(object, "client_email");
	key->key_id = copy_member(object, "private_key_id");
	if (pem != NULL)
	{
		key->key = read_private_key(pem);
		explicit_bzero(pem, strlen(pem));
	}
	free(pem);
	if (key->email == NULL)
		return "The value must be the JSON key of a service account, with member client_email.";
	if (key->key == NULL)
		return "Member private_key of the JSON key must be an RSA key in PEM of 2048 to 4096 bits.";
	return NULL;
}

ServiceKey *
service_key_parse(const char *json, const char **error)
{
	struct json_object *object =
		strlen(json) <= MAX_JSON ? json_tokener_parse(json) : NULL;
	ServiceKey *key = calloc(1, sizeof(*key));

	*error = "out of memory";
	if (key != NULL)
		*error = json_object_is_type(object, json_type_object)
			? take_members(object, key)
			: "The value must be the JSON key of a service account.";
	json_object_put(object);
	if (*error == NULL)
		return key;
	service_key_free(key);
	return NULL;
}

void
service_key_free(ServiceKey *key)
{
	if (key == NULL)
		return;
	EVP_PKEY_free(key->key);
	free(key->email);
	free(key->key_id);
	free(key);
}

/* --- the assertion -------------------------------------------------------- */

/* As URLs want it, without padding. */
static void
put_base64url(Buf *out, const void *p, size_t n)
{
	size_t begin = out->len;

	base64_encode(out, p, n);
	while (out->len > begin && out->data[out->len - 1] == '=')
		out->len--;
	for (size_t i = begin; i < out->len; i++)
	{
		if (out->data[i] == '+')
			out->data[i] = '-';
		else if (out->data[i] == '/')
			out->data[i] = '_';
	}
}

static void
put_string(Buf *json, const char *name, const char *value)
{
	buf_printf(json, "%s\"%s\":", json->len > 1 ? "," : "", name);
	json_put_string(json, value, strlen(value));
}

static void
put_header(Buf *out, const ServiceKey *key)
{
	Buf json;

	buf_init(&json, 0, NULL);
	buf_put_u8(&json, '{');
	put_string(&json, "alg", "RS256");
	put_string(&json, "typ", "JWT");
	if (key->key_id != NULL)
		put_string(&json, "kid", key->key_id);
	buf_put_u8(&json, '}');
	put_base64url(out, json.data, json.len);
	out->failed |= json.failed;
	buf_free(&json);
}

static void
put_claims(Buf *out, const ServiceKey *key, const char *endpoint,
		   const char *scope, const char *audience, time_t now)
{
	Buf json;

	buf_init(&json, 0, NULL);
	buf_put_u8(&json, '{');
	put_string(&json, "iss", key->email);
	put_string(&json, "aud", endpoint);
	if (scope != NULL)
		put_string(&json, "scope", scope);
	else
		put_string(&json, "target_audience", audience);
	buf_printf(&json, ",\"iat\":%lld,\"exp\":%lld}", (long long) now,
			   (long long) now + LIFE);
	put_base64url(out, json.data, json.len);
	out->failed |= json.failed;
	buf_free(&json);
}

/* RS256 of all that is there from that byte on. */
static bool
put_signature(Buf *out, size_t begin, EVP_PKEY *key)
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	size_t n = (size_t) EVP_PKEY_size(key);
	uint8_t *signature = malloc(n);
	bool good = !out->failed && context != NULL && signature != NULL &&
		EVP_DigestSignInit(context, NULL, EVP_sha256(), NULL, key) == 1 &&
		EVP_DigestSign(context, signature, &n, out->data + begin,
					   out->len - begin) == 1;

	if (good)
	{
		buf_put_u8(out, '.');
		put_base64url(out, signature, n);
	}
	EVP_MD_CTX_free(context);
	free(signature);
	ERR_clear_error();
	return good && !out->failed;
}

bool
service_key_assert(const ServiceKey *key, const char *endpoint,
				   const char *scope, const char *audience, time_t now,
				   Buf *assertion)
{
	size_t begin = assertion->len;

	put_header(assertion, key);
	buf_put_u8(assertion, '.');
	put_claims(assertion, key, endpoint, scope, audience, now);
	return put_signature(assertion, begin, key->key);
}
