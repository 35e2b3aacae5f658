/* Tests of core/oauth: what token endpoints are told, and what they answer. */
#include "tap.h"

#include "core/oauth.h"

static void
test_form(void)
{
	Buf form;

	buf_init(&form, 0, NULL);
	oauth_put_member(&form, "scope", "a b");
	oauth_put_member(&form, "secret", "&=+%\xc3\xbc~");
	is_text(buf_cstr(&form), "scope=a%20b&secret=%26%3D%2B%25%C3%BC~", "a form");
	buf_reset(&form);
	oauth_put_basic(&form, "id", "a:b c");
	is_text(buf_cstr(&form), "aWQ6YSUzQWIlMjBj", "id:a%3Ab%20c in base64");
	buf_free(&form);
}

static void
is_reply(const char *json, const char *token, double expires, const char *refresh)
{
	OAuthReply reply;

	is_text(oauth_take_reply(json, strlen(json), &reply), NULL, json);
	is_text(reply.token, token, "token");
	is_text(reply.refresh_token, refresh, "refresh token");
	ok(reply.expires_in == expires, "for %g s", expires);
	oauth_free_reply(&reply);
	ok(reply.token == NULL && reply.refresh_token == NULL, "freed");
}

static void
test_replies(void)
{
	static const char *const bad[] = {
		"", "null", "[]", "x", "{", "{}", "{\"access_token\": 1}",
		"{\"access_token\": \"\"}", "{\"access_token\": \"a b\"}",
		"{\"access_token\": \"a\\r\\nX: y\"}", "{\"access_token\": \"a\\u0000b\"}",
		"{\"access_token\": \"\xc3\xbc\"}", "{\"access_token\": \"a\", \"token_type\": \"mac\"}",
	};
	OAuthReply reply;
	char *large;

	is_reply("{\"access_token\": \"a\"}", "a", 0, NULL);
	is_reply("{\"access_token\": \"a\", \"token_type\": \"bearer\", \"expires_in\": 60}", "a", 60, NULL);
	is_reply("{\"access_token\": \"a\", \"expires_in\": \"3599\", \"refresh_token\": \"r\"}", "a", 3599, "r");
	is_reply("{\"id_token\": \"i\"}", "i", 0, NULL);
	is_reply("{\"access_token\": \"a\", \"id_token\": \"i\", \"expires_in\": -1}", "a", 0, NULL);
	is_reply("{\"access_token\": \"a\", \"expires_in\": null, \"refresh_token\": \"x y\"}", "a", 0, NULL);
	for (size_t i = 0; i < sizeof(bad) / sizeof(char *); i++)
		ok(oauth_take_reply(bad[i], strlen(bad[i]), &reply) != NULL &&
			   reply.token == NULL,
		   "bad: %s", bad[i]);
	large = malloc(40000);
	memset(large, 'x', 40000);
	memcpy(large, "{\"access_token\": \"", 18);
	memcpy(large + 39998, "\"}", 2);
	ok(oauth_take_reply(large, 40000, &reply) != NULL, "too long a token");
	free(large);
}

static void
test_errors(void)
{
	const char *json = "{\"error\": \"invalid_client\", \"error_description\": \"no\"}";
	Buf text;

	buf_init(&text, 0, NULL);
	ok(oauth_put_error(&text, json, strlen(json)), "an error");
	is_text(buf_cstr(&text), "invalid_client: no", "with its description");
	buf_reset(&text);
	ok(oauth_put_error(&text, "{\"error\": \"x\"}", 14), "without");
	is_text(buf_cstr(&text), "x", "its name alone");
	ok(!oauth_put_error(&text, "{\"error\": {}}", 13) &&
		   !oauth_put_error(&text, "<html>", 6) && !oauth_put_error(&text, "", 0),
	   "none");
	buf_free(&text);
}

int
main(void)
{
	test_form();
	test_replies();
	test_errors();
	return done_testing();
}
