/* Tests of core/service_key: what a service account's key signs. */
#include "tap.h"

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include "core/base64.h"
#include "core/json_split.h"
#include "core/service_key.h"

static EVP_PKEY *private_key;

/* The JSON of a key of so many bits, which private_key is then. */
static void
make_json(Buf *json, unsigned bits)
{
	BIO *bio = BIO_new(BIO_s_mem());
	char *pem;
	long n;

	EVP_PKEY_free(private_key);
	private_key = EVP_RSA_gen(bits);
	PEM_write_bio_PrivateKey(bio, private_key, NULL, NULL, 0, NULL, NULL);
	n = BIO_get_mem_data(bio, &pem);
	buf_put_cstr(json, "{\"client_email\": \"robot@x\", \"private_key_id\": \"k\\\"1\", \"private_key\": ");
	json_put_string(json, pem, (size_t) n);
	buf_put_u8(json, '}');
	BIO_free(bio);
}

static void
is_part(const char *p, size_t n, const char *want, const char *name)
{
	Buf text;

	buf_init(&text, 0, NULL);
	ok(base64_decode(&text, p, n), "%s is base64", name);
	is_text(buf_cstr(&text), want, name);
	buf_free(&text);
}

static bool
is_signed(const char *token, const char *signature)
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	Buf bytes;
	bool good;

	buf_init(&bytes, 0, NULL);
	good = base64_decode(&bytes, signature, strlen(signature)) &&
		EVP_DigestVerifyInit(context, NULL, EVP_sha256(), NULL, private_key) == 1 &&
		EVP_DigestVerify(context, bytes.data, bytes.len, (const uint8_t *) token,
						 signature - 1 - token) == 1;
	EVP_MD_CTX_free(context);
	buf_free(&bytes);
	return good;
}

static void
is_assertion(const ServiceKey *key, const char *scope, const char *claims)
{
	const char *token, *second, *third;
	Buf assertion;

	buf_init(&assertion, 0, NULL);
	ok(service_key_assert(key, "https://t/x", scope, "https://a", 1000, &assertion), "signed");
	token = buf_cstr(&assertion);
	ok(strpbrk(token, "+/=\n") == NULL, "as URLs want it");
	second = strchr(token, '.') + 1;
	third = strchr(second, '.') + 1;
	is_part(token, second - 1 - token, "{\"alg\":\"RS256\",\"typ\":\"JWT\",\"kid\":\"k\\\"1\"}", "header");
	is_part(second, third - 1 - second, claims, "claims");
	ok(is_signed(token, third), "the signature is good");
	buf_free(&assertion);
}

int
main(void)
{
	static const char *const bad[] = {
		"", "x", "[]", "{}", "{\"client_email\": \"a\"}", "{\"client_email\": 1, \"private_key\": \"x\"}",
		"{\"client_email\": \"a\", \"private_key\": \"-----BEGIN PRIVATE KEY-----\\nAAAA\\n-----END PRIVATE KEY-----\"}",
	};
	const char *error;
	ServiceKey *key;
	Buf json;

	buf_init(&json, 0, NULL);
	make_json(&json, 2048);
	key = service_key_parse(buf_cstr(&json), &error);
	ok(key != NULL, "a key");
	is_assertion(key, NULL,
				 "{\"iss\":\"robot@x\",\"aud\":\"https://t/x\",\"target_audience\":\"https://a\",\"iat\":1000,\"exp\":4600}");
	is_assertion(key, "s \"1",
				 "{\"iss\":\"robot@x\",\"aud\":\"https://t/x\",\"scope\":\"s \\\"1\",\"iat\":1000,\"exp\":4600}");
	service_key_free(key);
	for (size_t i = 0; i < sizeof(bad) / sizeof(char *); i++)
		ok(service_key_parse(bad[i], &error) == NULL && error != NULL, "bad: %s", bad[i]);
	buf_reset(&json);
	make_json(&json, 1024);
	ok(service_key_parse(buf_cstr(&json), &error) == NULL, "too short a key");
	buf_reset(&json);
	make_json(&json, 4224);
	ok(service_key_parse(buf_cstr(&json), &error) == NULL, "too long a key");
	buf_free(&json);
	EVP_PKEY_free(private_key);
	service_key_free(NULL);
	return done_testing();
}
