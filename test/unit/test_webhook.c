/* Tests of core/webhook: signatures, by the specification's own example. */
#include "tap.h"

#include "core/webhook.h"

static Slice
slice(const char *text)
{
	return (Slice){text, strlen(text)};
}

static void
test_signature(void)
{
	static const char secret[] = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
	static const char body[] = "{\"test\": 2432232314}";
	Buf out;

	buf_init(&out, 0, NULL);
	ok(webhook_sign(&out, secret, slice("msg_p5jXN8AQM9LWM0D4loKWxJek"),
					1614265330, body, strlen(body)),
	   "signed");
	is_text(buf_cstr(&out), "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=", "as the specification does");
	buf_reset(&out);
	ok(webhook_sign(&out, secret + 6, slice("x"), 1, "", 0), "without prefix, and body");
	ok(!webhook_sign(&out, "x", slice("x"), 1, "", 0), "no secret");
	buf_free(&out);
}

static void
test_secrets(void)
{
	ok(webhook_secret_error("whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3") == NULL, "24 bytes");
	ok(webhook_secret_error("whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY=") != NULL, "23 bytes");
	ok(webhook_secret_error("MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3") == NULL, "without prefix");
	ok(webhook_secret_error("whsec_MDEyMzQ1Njc4OWFiY2Rl!jAxMjM0NTY3") != NULL, "not base64");
	ok(webhook_secret_error("whsec_") != NULL, "nothing");
	ok(webhook_secret_error("whsec_"
							"MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3"
							"MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3") != NULL,
	   "72 bytes");
}

static void
is_id(const char *body, const char *want)
{
	size_t n = strlen(body);
	char *copy = malloc(n + 1);
	Slice id;

	memcpy(copy, body, n);
	id = webhook_id(copy, n);
	ok(want == NULL ? id.p == NULL
					: id.n == strlen(want) && memcmp(id.p, want, id.n) == 0,
	   "%s", body);
	free(copy);
}

static void
test_ids(void)
{
	is_id("{\"id\":\"a-B_9\",\"x\":1}", "a-B_9");
	is_id("{\"id\":\"a\"}", "a");
	is_id("{\"id\":\"\"}", NULL);
	is_id("{\"id\":\"a.b\"}", NULL);
	is_id("{\"id\":\"a\\u0000\"}", NULL);
	is_id("{\"id\":\"a\r\n\"}", NULL);
	is_id("{\"id\":\"a", NULL);
	is_id("{\"id\":\"", NULL);
	is_id("{\"id\":1}", NULL);
	is_id("{\"x\":1,\"id\":\"a\"}", NULL);
	is_id("", NULL);
	is_id("{\"id\":\"0123456789012345678901234567890123456789012345678901234567890123\"}",
		  "0123456789012345678901234567890123456789012345678901234567890123");
	is_id("{\"id\":\"01234567890123456789012345678901234567890123456789012345678901234\"}", NULL);
}

int
main(void)
{
	test_signature();
	test_secrets();
	test_ids();
	return done_testing();
}
