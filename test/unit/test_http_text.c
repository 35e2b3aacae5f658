/* Tests of core/http_text: what bodies say, for a person. */
#include "tap.h"

#include "core/cbor.h"
#include "core/http_text.h"

static void
text_is(void (*put)(const char *, size_t, Buf *), const char *body, size_t n,
		const char *want, const char *name)
{
	Buf got;

	buf_init(&got, 0, NULL);
	put(body, n, &got);
	ok(utf8_valid(got.data, got.len), "%s: valid", name);
	is_text(buf_cstr(&got), want, name);
	buf_free(&got);
}

#define BODY_IS(body, want)                                                    \
	text_is(http_text_of_body, body, sizeof(body) - 1, want, want)
#define ERROR_IS(body, want)                                                   \
	text_is(http_text_of_error, body, sizeof(body) - 1, want, want)

static void
test_bodies(void)
{
	BODY_IS("", "");
	BODY_IS(" \n", "");
	BODY_IS(" plain\n\ttext\r\n", "plain\n\ttext");
	BODY_IS("a\0b\033[1mc\x7f", "a b [1mc");
	BODY_IS("a\xc2\x85z\xc2\xa0", "a z\u00a0");
	BODY_IS("\xef\xbb\xbftext", "text");
	BODY_IS("\u00fc \u20ac \U0001f600", "\u00fc \u20ac \U0001f600");
	BODY_IS("\xe4\xc3\xa4\xff\xc3", "?\u00e4??");
	BODY_IS("\xc0\xae \xe0\x80\xae \xed\xa0\x80 \xf4\x90\x80\x80",
			"?? ??? ??? ????");
	BODY_IS("\xff\xfe\x41\0\xfc\0\x3d\xd8\0\xde", "A\u00fc\U0001f600");
	BODY_IS("\xfe\xff\0\x41\0\xfc\xd8\x3d\xde\0", "A\u00fc\U0001f600");
	BODY_IS("\xff\xfe\x3d\xd8\x41\0\0\xde\x42", "?A??");
	BODY_IS("<!DOCTYPE html>\n<html><head><title>502 Bad</title>"
			"<style>a > b {}</style><script>if (a < b) x()</script ></head>"
			"<body><!-- <h1> --><h1>502\n\n Bad</h1><p>Gate&amp;way</body>",
			"502 Bad 502 Bad Gate&amp;way");
	BODY_IS("<Error><Code>Denied</Code><Message><![CDATA[You > me]]></Message></Error>",
			"Denied You > me");
	BODY_IS("<![CDATA[", "");
	BODY_IS("<html", "");
	BODY_IS("a <b> c", "a <b> c");
}

static void
test_errors(void)
{
	ERROR_IS("{\"errorMessage\": \"a\"}", "a");
	ERROR_IS("{\"x\": 1, \"detail\": {\"k\": 2}}", "{\"k\": 2}");
	ERROR_IS("plain", "plain");
	ERROR_IS("{\"other\": 1}", "{\"other\": 1}");
	ERROR_IS("\xef\xbb\xbf{\"error\": \"a\\u0000b\\n c\"}", "a b\n c");
	ERROR_IS("{\"error\": \"\xff\"}", "?");
	ERROR_IS("{\"error\": \"<p>Oops</p>\"}", "Oops");
	ERROR_IS("\xff\xfe{\0\"\0e\0r\0r\0o\0r\0\"\0:\0\"\0\xfc\0\"\0}\0", "\u00fc");
}

static void
test_types(void)
{
	static const char *const cases[][2] = {
		{"text/html; charset=utf-8", "text/html"},
		{"text/html", "text/html"},
		{"Application/JSON", ""},
		{"application/problem+json; x=y", ""},
		{"text/ht\"ml", ""},
		{"", ""},
		{"application/vnd.something-that-is-far-too-long-to-be-shown", ""},
	};
	char type[40];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		http_text_of_type(cases[i][0], strlen(cases[i][0]), type, sizeof(type));
		is_text(type, cases[i][1], cases[i][0]);
	}
}

static void
test_large(void)
{
	static char body[3 * HTTP_TEXT_MAX];
	Buf got;

	buf_init(&got, 0, NULL);
	memset(body, '<', sizeof(body));
	http_text_of_error(body, sizeof(body), &got);
	is_int(got.len, 0, "nothing to see");
	memset(body, 'x', sizeof(body));
	http_text_of_error(body, sizeof(body), &got);
	is_int(got.len, HTTP_TEXT_MAX, "the beginning of much");
	buf_free(&got);
}

int
main(void)
{
	test_bodies();
	test_errors();
	test_types();
	test_large();
	return done_testing();
}
