/* Tests of core/reference: good and bad function references. */
#include "tap.h"

#include "core/reference.h"

static void
put_slice(Buf *out, const char *name, Slice s)
{
	if (s.p != NULL)
		buf_printf(out, "%s=%.*s ", name, (int) s.n, s.p);
}

static void
check(bool http, const char *text, const char *want)
{
	Reference ref;
	const char *error = reference_parse(text, strlen(text), http, &ref);
	Buf out;

	buf_init(&out, 0, NULL);
	put_slice(&out, "server", ref.server);
	put_slice(&out, "target", ref.target);
	put_slice(&out, "app", ref.app);
	put_slice(&out, "class", ref.class_name);
	put_slice(&out, "parameters", ref.parameters);
	put_slice(&out, "function", ref.function);
	if (ref.version != 0)
		buf_printf(&out, "version=%d ", ref.version);
	put_slice(&out, "options", ref.options);
	if (out.len > 0)
		out.len--;
	is_text(error ? error : buf_cstr(&out), want, text);
	buf_free(&out);
}

static void
test_modal(void)
{
	check(false, "app/f", "target=app/f app=app function=f");
	check(false, "video-app.v2_x/embed_video",
		  "target=video-app.v2_x/embed_video app=video-app.v2_x "
		  "function=embed_video");
	check(false, "local:app/f",
		  "server=local target=app/f app=app function=f");
	check(false, "My Server:app/f",
		  "server=My Server target=app/f app=app function=f");
	check(false, "app/f@7", "target=app/f@7 app=app function=f version=7");
	check(false, "app/f@2147483647",
		  "target=app/f@2147483647 app=app function=f version=2147483647");
	check(false, "app/Model.predict",
		  "target=app/Model.predict app=app class=Model function=predict");
	check(false, "s:app/Model{\"size\": \"a}b.c\\\"}\", \"l\": [{}]}.predict@3",
		  "server=s target=app/Model{\"size\": \"a}b.c\\\"}\", \"l\": [{}]}"
		  ".predict@3 app=app class=Model "
		  "parameters={\"size\": \"a}b.c\\\"}\", \"l\": [{}]} "
		  "function=predict version=3");
	check(false, "app/M{\"t\": \"#{@:/\"}.m#{\"gpu\": \"H100\"}",
		  "target=app/M{\"t\": \"#{@:/\"}.m app=app class=M "
		  "parameters={\"t\": \"#{@:/\"} function=m "
		  "options={\"gpu\": \"H100\"}");
	check(false, "app/f@2#{\"cpu\": 2}",
		  "target=app/f@2 app=app function=f version=2 options={\"cpu\": 2}");
	check(false, "app/f\u00fc\u4e2d",
		  "target=app/f\u00fc\u4e2d app=app function=f\u00fc\u4e2d");
	check(false,
		  "a234567890123456789012345678901234567890123456789012345678901234/f",
		  "target=a234567890123456789012345678901234567890123456789012345678901234/f "
		  "app=a234567890123456789012345678901234567890123456789012345678901234 "
		  "function=f");
}

static void
test_modal_bad(void)
{
	const char *form = "function reference must have the form \"app/function\"";
	const char *app =
		"app name in function reference may only contain letters, digits, "
		"dashes, periods and underscores";
	const char *version =
		"version in function reference must be a number from 1 to 2147483647";
	const char *other = "function reference contains an unexpected character";

	check(false, "", form);
	check(false, "app", form);
	check(false, "server:", form);
	check(false, "server:app", form);
	check(false, ":app/f", "function reference has an empty server name");
	check(false, "/f", "function reference has no app name");
	check(false, "app/", "function reference has no function name");
	check(false, "app/.f", "function reference has no function name");
	check(false, "app/{}.f", "function reference has no function name");
	check(false, "app/F{\"a\": \"x\\u0000y\"}.f", "function reference must not contain \\u0000");
	check(false, "app/f#{\"env\": {\"\\\\\\u0000\": \"\"}}", "function reference must not contain \\u0000");
	check(false, "my app/f", app);
	check(false, " app/f", app);
	check(false, "s:t:app/f", app);
	check(false, "\u00e4pp/f", app);
	check(false,
		  "a2345678901234567890123456789012345678901234567890123456789012345/f",
		  "app name in function reference is longer than 64 characters");
	check(false, "app/f ", other);
	check(false, "app/f/g", other);
	check(false, "app/f()", other);
	check(false, "app/a.b.c", other);
	check(false, "app/f@1.m", other);
	check(false, "app/f@1x", other);
	check(false, "app/f\n", other);
	check(false, "app/C.", "function reference has no method name");
	check(false, "app/C{}.", "function reference has no method name");
	check(false, "app/C{}",
		  "class parameters in function reference must be followed by \".\" "
		  "and a method name");
	check(false, "app/C{\"a\": \"}.m",
		  "class parameters in function reference have no closing brace");
	check(false, "app/C{\"a\": \"\\",
		  "class parameters in function reference have no closing brace");
	check(false, "app/C{[}.m",
		  "class parameters in function reference have no closing brace");
	check(false, "app/f@", version);
	check(false, "app/f@0", version);
	check(false, "app/f@-1", version);
	check(false, "app/f@latest", version);
	check(false, "app/f@2147483648", version);
	check(false, "app/f@99999999999999999999999", version);
	check(false, "app/f#",
		  "options after \"#\" in a function reference must be a JSON object");
	check(false, "app/f#[]",
		  "options after \"#\" in a function reference must be a JSON object");
	check(false, "app/f#{",
		  "options in function reference have no closing brace");
	check(false, "app/f#{}x",
		  "nothing may follow the options in a function reference");
}

static void
test_http(void)
{
	const char *encode = "special characters in the path of a function "
						 "reference must be percent-encoded";
	const char *dots = "path in function reference must not contain \".\" or "
					   "\"..\" steps";
	const char *twice = "path in function reference must not be percent-encoded "
						"twice";
	const char *control = "path in function reference must not contain control "
						  "characters";
	const char *url = "function reference must name a server, not a URL";
	const char *hash = "function reference of an HTTP function has no fragment "
					   "(\"#\"), only options as a JSON object";
	const char *brace = "\"{\" in the path of a function reference begins the "
						"name or number of an argument, which ends with \"}\"";
	const char *percent = "\"%\" in the path of a function reference must be "
						  "followed by two hexadecimal digits";

	check(true, "scorer:v1/score", "server=scorer target=v1/score");
	check(true, "scorer:/v1/score?mode=a&b=%C3%BC",
		  "server=scorer target=/v1/score?mode=a&b=%C3%BC");
	check(true, "scorer:", "server=scorer target=");
	check(true, "v1/models:predict", "target=v1/models:predict");
	check(true, "scorer:f?q=../..", "server=scorer target=f?q=../..");
	check(true, "scorer:a...b/.../c.", "server=scorer target=a...b/.../c.");
	check(true, "s:x?next=https://user@host:99999/y%0A..%2f",
		  "server=s target=x?next=https://user@host:99999/y%0A..%2f");
	check(true, "s:?x=//", "server=s target=?x=//");
	check(true, "s:a%2fb%5cc;d=..", "server=s target=a%2fb%5cc;d=..");
	check(true, "s:/@scope/f:g@1", "server=s target=/@scope/f:g@1");
	check(true, "s:a/http://b", "server=s target=a/http://b");
	check(true, "s:a%25/..b/%252/100%25?%252e",
		  "server=s target=a%25/..b/%252/100%25?%252e");

	check(true, "https://host/a", url);
	check(true, "//host/a", url);
	check(true, "s://host/a?x=://", url);
	check(true, "s:http://host/a", url);
	check(true, "s:x+y-1.z://host/", url);
	check(true, "s:@host/a", url);
	check(true, "s::8080/a", url);
	check(true, "s:?x\\y", encode);
	check(true, "scorer:../admin", dots);
	check(true, "scorer:a/./b", dots);
	check(true, "scorer:a/..", dots);
	check(true, "scorer:..?x", dots);
	check(true, "scorer:a/%2e%2E/b", dots);
	check(true, "scorer:a/.%2e", dots);
	check(true, "s:%2E%2e", dots);
	check(true, "s:a/..%2fb", dots);
	check(true, "s:a/..%5Cb", dots);
	check(true, "s:a%2f..", dots);
	check(true, "s:a/%252e%252E/b", twice);
	check(true, "s:a/%25252e./b", twice);
	check(true, "s:a%255c", twice);
	check(true, "s:a/%25%32%65%25%32e/b", twice);
	check(true, "s:a%252%65", twice);
	check(true, "s:%2525%32e", twice);
	check(true, "s:a/..;x=1/b", dots);
	check(true, "s:a/..%3bx", dots);
	check(true, "s:/..", dots);
	check(true, "s:.", dots);
	check(true, "s:a%00b", control);
	check(true, "s:a%0d%0aX", control);
	check(true, "s:a%257f", twice);
	check(true, "s:a\x7f", encode);
	check(true, "s:a\tb", encode);
	check(true, "s:\\\\host/", encode);
	check(true, "scorer:a b", encode);
	check(true, "scorer:a\\b", encode);
	check(true, "scorer:a\r\nX-Header: 1", encode);
	check(true, "scorer:\u00fc", encode);
	check(true, "scorer:a{b}", "server=scorer target=a{b}");
	check(true, "scorer:{1}/x/{a_2}?q={b}&r#{\"format\": \"#}\"}",
		  "server=scorer target={1}/x/{a_2}?q={b}&r "
		  "options={\"format\": \"#}\"}");
	check(true, "scorer:a{", brace);
	check(true, "scorer:a{}", brace);
	check(true, "scorer:a{b", brace);
	check(true, "scorer:a{b-c}", brace);
	check(true, "scorer:a}", encode);
	check(true, "scorer:{a}/../b", dots);
	check(true, "scorer:a#{\"b\"", "options in function reference have no closing brace");
	check(true, "scorer:a#{}b", "nothing may follow the options in a function reference");
	check(true, "scorer:a%", percent);
	check(true, "scorer:a%2", percent);
	check(true, "scorer:a%zz", percent);
	check(true, "scorer:a#b", hash);
	check(true, "scorer:a#", hash);
	check(true, "s:a?b#", hash);
	check(true, ":a", "function reference has an empty server name");
}

static void
test_server(void)
{
	static const char *const cases[][2] = {
		{"s:app/f", "s"}, {"app/f", NULL}, {"app/a:b", NULL}, {"s:", "s"},
		{"a b:c", "a b"}, {"f{\"a\":1}", NULL}, {"", NULL}, {":x", ""},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		Slice s = reference_server(cases[i][0], strlen(cases[i][0]));
		const char *want = cases[i][1];

		ok(want == NULL ? s.p == NULL :
						  s.p != NULL && s.n == strlen(want) &&
				memcmp(s.p, want, s.n) == 0,
		   "server of %s", cases[i][0]);
	}
	ok(reference_server("a\0b:c", 5).p == NULL, "no server beyond a zero byte");
}

/* The rest alone: no second server in it. */
static void
test_rest(void)
{
	Reference ref;

	ok(reference_parse_rest("t:app/f", 7, false, &ref) != NULL,
	   "no server within the rest");
	ok(reference_parse_rest("models:predict", 14, true, &ref) == NULL &&
		   ref.server.p == NULL && ref.target.n == 14,
	   "a path may have a colon");
}

static void
test_call_ids(void)
{
	static const char *const bad[] = {"", "fc-\xff", "fc-a b", "fc-a\nb", "fc-a:b", "a/b"};
	char longest[129];

	memset(longest, 'x', sizeof(longest));
	ok(object_id_is_valid((Slice){"fc-01Ab_9", 9}), "an id");
	ok(object_id_is_valid((Slice){longest, 128}), "a long one");
	ok(!object_id_is_valid((Slice){longest, 129}), "too long");
	ok(!object_id_is_valid((Slice){"fc-a\0b", 6}), "a zero byte");
	for (size_t i = 0; i < sizeof(bad) / sizeof(char *); i++)
		ok(!object_id_is_valid((Slice){bad[i], strlen(bad[i])}), "not one: %zu", i);
}

int
main(void)
{
	test_call_ids();
	test_modal();
	test_modal_bad();
	test_http();
	test_rest();
	test_server();
	return done_testing();
}
