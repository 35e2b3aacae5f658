/* Tests of core/token_life: what a token says, and what is made of nonsense. */
#include "tap.h"

#include "core/base64.h"
#include "core/token_life.h"

#define NOW 1000000.0

static double
life(const char *claims)
{
	double seconds;
	Buf token;

	buf_init(&token, 0, NULL);
	buf_put_cstr(&token, "e30.");
	base64_encode(&token, claims, strlen(claims));
	buf_put_cstr(&token, ".sig");
	seconds = token_life(buf_cstr(&token), NOW);
	buf_free(&token);
	return seconds;
}

int
main(void)
{
	static const char *const nonsense[] = {
		"{}",
		"[]",
		"null",
		"not JSON",
		"{\"exp\": \"1000600\"}",
		"{\"exp\": null}",
		"{\"exp\": -1}",
		"{\"exp\": 1e300}",
		"{\"exp\": 1000600, \"iat\": 1000600}",
		"{\"exp\": 1000600, \"iat\": 1e300}",
	};

	ok(life("{\"exp\": 1000600}") == 600, "without iat, by the clock");
	ok(life("{\"exp\": 1000600, \"iat\": 1000300}") == 300,
	   "with iat, by the difference");
	ok(life("{\"exp\": 400600, \"iat\": 400300}") == 300,
	   "whatever our clock says: ahead");
	ok(life("{\"exp\": 9000600, \"iat\": 9000300}") == 300, "or behind");
	ok(life("{\"exp\": 400600}") == TOKEN_DEFAULT_LIFE,
	   "over already when it was just made: the clock is wrong");
	ok(life("{\"exp\": 9000600}") == TOKEN_DEFAULT_LIFE, "so is one of months");
	for (size_t i = 0; i < sizeof(nonsense) / sizeof(nonsense[0]); i++)
		ok(life(nonsense[i]) == TOKEN_DEFAULT_LIFE, "%s", nonsense[i]);
	ok(token_life("", NOW) == TOKEN_DEFAULT_LIFE &&
		   token_life("opaque", NOW) == TOKEN_DEFAULT_LIFE &&
		   token_life("a.%%%.c", NOW) == TOKEN_DEFAULT_LIFE,
	   "what is no token of this kind");
	return done_testing();
}
