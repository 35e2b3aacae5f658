/* Tests of core/json_split: pieces of JSON, as they stand in the text. */
#include "tap.h"

#include "core/json_split.h"

/* All elements of an array, or members of an object, joined by "|". */
static const char *
split(const char *text, Buf *out)
{
	JsonCursor c;
	Slice key;
	Slice value;

	buf_reset(out);
	json_open(&c, text, strlen(text));
	if (text[strspn(text, " \n")] == '{')
	{
		json_enter(&c, '{');
		while (json_next_member(&c, &key, &value))
			buf_printf(out, "%.*s=%.*s|", (int) key.n, key.p, (int) value.n,
					   value.p);
	}
	else
	{
		json_enter(&c, '[');
		while (json_next_element(&c, &value))
			buf_printf(out, "%.*s|", (int) value.n, value.p);
	}
	if (c.error != NULL)
		return c.error;
	return json_at_end(&c) ? buf_cstr(out) : "more";
}

static void
check(const char *text, const char *want)
{
	Buf out;

	buf_init(&out, 0, NULL);
	is_text(split(text, &out), want, text);
	buf_free(&out);
}

static void
check_fails(const char *text)
{
	JsonCursor c;
	Slice key;
	Slice value;

	json_open(&c, text, strlen(text));
	if (text[0] == '{')
	{
		json_enter(&c, '{');
		while (json_next_member(&c, &key, &value))
			;
	}
	else
	{
		json_enter(&c, '[');
		while (json_next_element(&c, &value))
			;
	}
	ok(c.error != NULL || !json_at_end(&c), "refused: %s", text);
}

static void
test_split(void)
{
	check("\xef\xbb\xbf[1, 2]", "1|2|");
	check("\xef\xbb[1]", "an array is expected");
	check("[]", "");
	check(" [ ] \n", "");
	check("[1,2,3]", "1|2|3|");
	check("[ 1.50 , -0 , 1e400 ]", "1.50|-0|1e400|");
	check("[123456789012345678901234567890, 0.1000]",
		  "123456789012345678901234567890|0.1000|");
	check("[{\"n\": [-123456789012345678901234567890]}]",
		  "{\"n\": [-123456789012345678901234567890]}|");
	check("[0.0, 1E+5, 10e-2, -1.5e3]", "0.0|1E+5|10e-2|-1.5e3|");
	check("[\"\\b\\/\\uAbcD\"]", "\"\\b\\/\\uAbcD\"|");
	check("[\"a\\\"]\\u0041\", null, true, false]",
		  "\"a\\\"]\\u0041\"|null|true|false|");
	check("[[1, [2]], {\"a\": [3, {}]}, []]", "[1, [2]]|{\"a\": [3, {}]}|[]|");
	check("[\"\u00fc\u20ac\U0001f600\"]", "\"\u00fc\u20ac\U0001f600\"|");
	check("{}", "");
	check("{ \"a\" : 1 , \"b\\n\":\"x\"}", "\"a\"=1|\"b\\n\"=\"x\"|");
	check("{\"a\":{\"a\":[1]}}", "\"a\"={\"a\":[1]}|");
	check("[1] [2]", "more");
	check("[1]x", "more");
}

static void
test_bad(void)
{
	check_fails("");
	check_fails("1");
	check_fails("[");
	check_fails("[1");
	check_fails("[1,");
	check_fails("[1,]");
	check_fails("[,1]");
	check_fails("[1 2]");
	check_fails("[1}");
	check_fails("[\"a");
	check_fails("[tru]");
	check_fails("[NaN]");
	check_fails("[Infinity]");
	check_fails("[-Infinity]");
	check_fails("['a']");
	check_fails("[\"\xff\"]");
	check_fails("[[1]");
	check_fails("[01]");
	check_fails("[+1]");
	check_fails("[-]");
	check_fails("[1.]");
	check_fails("[.5]");
	check_fails("[1e]");
	check_fails("[1.e5]");
	check_fails("[0x10]");
	check_fails("[\"\t\"]");
	check_fails("[\"\\x\"]");
	check_fails("[\"\\u12g4\"]");
	check_fails("[\"\\u12\"]");
	check_fails("[\"\\");
	check_fails("[\"\xc3\"]");
	check_fails("[nul");
	check_fails("[nullnull]");
	check_fails("[[1,2}]");
	check_fails("[{\"a\":1]]");
	check_fails("[{\"a\":1,}]");
	check_fails("[{1:1}]");
	check_fails("[[1,]]");
	check_fails("[1,/* no comment */2]");
	check_fails("{");
	check_fails("{\"a\"}");
	check_fails("{\"a\":}");
	check_fails("{\"a\":1,}");
	check_fails("{a:1}");
	check_fails("{1:1}");
	check_fails("{\"a\" 1}");
	check_fails("{\"a\":1 \"b\":2}");
}

static void
test_deep(void)
{
	size_t n = JSON_MAX_DEPTH * 4;
	char *text = malloc(n + 1);
	JsonCursor c;
	Slice value;

	memset(text, '[', n / 2);
	memset(text + n / 2, ']', n / 2);
	text[n] = '\0';
	json_open(&c, text, n);
	ok(!json_value(&c, &value) && c.error != NULL, "nested too deeply");
	json_open(&c, text + n / 2 - 500, 1000);
	ok(json_value(&c, &value) && value.n == 1000, "nested deeply");
	free(text);
}

static void
test_nested_cursor(void)
{
	const char *text = "{\"data\": [[0, 1], [1, 2]], \"more\": 1}";
	JsonCursor c;
	Slice key;
	Slice value;

	json_open(&c, text, strlen(text));
	ok(json_enter(&c, '{') && json_next_key(&c, &key) &&
		   json_key_is(key, "data") && !json_key_is(key, "dat") &&
		   !json_key_is(key, "datas"),
	   "a key");
	ok(json_enter(&c, '[') && json_enter(&c, '['), "into an array of arrays");
	ok(json_next_element(&c, &value) && json_next_element(&c, &value) &&
		   value.n == 1 && value.p[0] == '1',
	   "an inner element");
	ok(!json_next_element(&c, &value) && c.error == NULL, "inner end");
	ok(json_next_element(&c, &value) && value.n == 6, "the next array");
	ok(!json_next_element(&c, &value) && c.error == NULL, "outer end");
	ok(json_next_key(&c, &key) && json_key_is(key, "more") &&
		   json_value(&c, &value),
	   "the next member");
	ok(!json_next_key(&c, &key) && json_at_end(&c), "the end");
	ok(!json_enter(&c, '[') && c.error != NULL, "no more");
	ok(!json_value(&c, &value) && !json_at_end(&c), "errors stay");
}

static void
check_string(const char *json, const char *want, size_t n)
{
	Buf out;
	bool good;

	buf_init(&out, 0, NULL);
	good = json_string((Slice){json, strlen(json)}, &out);
	if (want == NULL)
		ok(!good, "no string: %s", json);
	else
		is_bytes(out.data, out.len, want, n, json);
	buf_free(&out);
}

static void
test_strings(void)
{
	char all[300];
	size_t n = 0;
	Buf json;
	Buf back;

	check_string("\"\"", "", 0);
	check_string("\"a\"", "a", 1);
	check_string("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\/\b\f\n\r\t", 8);
	check_string("\"\\u00fc\\u20ac\\ud83d\\ude00\"",
				 "\u00fc\u20ac\U0001f600", 9);
	check_string("\"a\\u0000b\"", "a\0b", 3);
	check_string("1", NULL, 0);
	check_string("\"", NULL, 0);
	check_string("[\"a\"]", NULL, 0);

	for (int c = 0; c < 128; c++)
		all[n++] = (char) c;
	memcpy(all + n, "\u00fc\u20ac", 5);
	n += 5;
	buf_init(&json, 0, NULL);
	buf_init(&back, 0, NULL);
	json_put_string(&json, all, n);
	ok(json_string((Slice){buf_cstr(&json), json.len}, &back),
	   "what is written is a string");
	is_bytes(back.data, back.len, all, n, "the same string");
	buf_free(&json);
	buf_free(&back);
}

static void
test_integers(void)
{
	static const struct
	{
		const char *text;
		bool good;
		int64_t value;
	} cases[] = {
		{"0", true, 0}, {"-1", true, -1},
		{"9223372036854775807", true, INT64_MAX},
		{"-9223372036854775808", true, INT64_MIN},
		{"9223372036854775808", false, 0}, {"", false, 0}, {"1.5", false, 0},
		{"1e3", false, 0}, {"\"1\"", false, 0}, {"null", false, 0},
		{"123456789012345678901234567890", false, 0},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		Slice text = {cases[i].text, strlen(cases[i].text)};
		int64_t value = 0;
		bool good = json_integer(text, &value);

		ok(good == cases[i].good && (!good || value == cases[i].value),
		   "integer %s", cases[i].text);
	}
}

int
main(void)
{
	test_split();
	test_bad();
	test_deep();
	test_nested_cursor();
	test_strings();
	test_integers();
	return done_testing();
}
