/* Tests of core/json_path: what is a path, and what paths find in a text. */
#include "tap.h"

#include "core/json_path.h"

static void
refused(const char *text, const char *problem, size_t at)
{
	JsonPath path;
	TextFault fault;

	if (json_path_parse(&path, text, strlen(text), &fault))
	{
		ok(false, "refused: %s", text);
		json_path_free(&path);
		return;
	}
	if (!ok(fault.problem != NULL && strstr(fault.problem, problem) != NULL &&
				fault.at == at,
			"refused: %s", text))
		printf("#   got %s at %zu\n",
			   fault.problem != NULL ? fault.problem : "no memory", fault.at);
}

typedef struct Found
{
	Buf text;
	int until; /* so many, then an error */
} Found;

static const char *
item(void *arg, int path)
{
	Found *f = arg;

	buf_printf(&f->text, "%d: ", path);
	return NULL;
}

static const char *
found(void *arg, int path, Slice value)
{
	Found *f = arg;

	if (f->until > 0 && --f->until == 0)
		return "enough";
	buf_printf(&f->text, "%d=%.*s ", path, (int) value.n, value.p);
	return NULL;
}

/* Paths, separated by ";". */
static void
finds(const char *texts, const char *json, const char *expected)
{
	JsonPath paths[8];
	TextFault fault;
	JsonCursor c;
	Found f = {.until = 0};
	const JsonPathVisitor visitor = {item, found, &f};
	const char *error;
	int n = 0;

	buf_init(&f.text, 0, NULL);
	for (const char *p = texts; *p != '\0'; n++)
	{
		size_t len = strcspn(p, ";");

		if (!json_path_parse(&paths[n], p, len, &fault))
		{
			ok(false, "path %.*s: %s", (int) len, p, fault.problem);
			return;
		}
		p += len;
		p += *p == ';';
	}
	json_open(&c, json, strlen(json));
	error = json_paths_scan(paths, n, &c, &visitor);
	if (error != NULL)
		buf_printf(&f.text, "!%s", error);
	else if (!json_at_end(&c))
		buf_printf(&f.text, "more");
	is_text(buf_cstr(&f.text), expected, texts);
	buf_free(&f.text);
	for (int i = 0; i < n; i++)
		json_path_free(&paths[i]);
}

static void
test_syntax(void)
{
	refused("", "begins with \"$\"", 0);
	refused("a.b", "begins with \"$\"", 0);
	refused("$.", "a key is expected", 2);
	refused("$.1a", "a key is expected", 2);
	refused("$.a.*", "a key is expected", 4);
	refused("$..a", "a key is expected", 2);
	refused("$.a[last]", "a subscript must be", 4);
	refused("$.a[1 to 2]", "a \"]\" is expected", 6);
	refused("$.a[9999999999]", "too large", 13);
	refused("$.a[*", "a \"]\" is expected", 5);
	refused("$.size()", "methods are not possible", 6);
	refused("$.\"a", "double quotes", 2);
	refused("$.a b", "not possible here", 4);
	refused("strict $.a", "begins with \"$\"", 0);
	refused("$.a ? @ == 1", "a \"(\"", 6);
	refused("$.a ? (@ > 1)", "\"==\" or \"!=\"", 9);
	refused("$.a ? (@.b == 1)", "\"==\" or \"!=\"", 8);
	refused("$.a ? (@ == [1])", "a string, number", 12);
	refused("$.a ? (@ == 1 && @ == 2 || @ == 3)", "cannot be mixed", 26);
	refused("$.a ? (@ == 1).b", "not possible here", 14);
	refused("$[0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0]",
			"more than 16 steps", 50);
}

static void
test_evaluation(void)
{
	const char *embeddings =
		"{\"object\": \"list\", \"data\": [{\"index\": 1, \"embedding\": [1, 2]}, "
		"{\"embedding\": [3], \"index\": 0, \"x\": {\"index\": 7}}], "
		"\"usage\": {\"total\": 5}}";

	finds("$", " {\"a\": 1} ", "0={\"a\": 1} ");
	finds("$.data[*].embedding;$.data[*].index;$.usage.total;$.error",
		  embeddings,
		  "0: 1: 1=1 0=[1, 2] 0: 1: 0=[3] 1=0 2=5 ");
	finds("$[*]", "[1, [2], {\"a\": 3}]", "0: 0=1 0: 0=[2] 0: 0={\"a\": 3} ");
	finds("$[*][*]", "[[1, 2], 3, [4]]", "0: 0=1 0: 0=2 0: 0=4 ");
	finds("$[1].a;$[*].a", "[{\"a\": 1}, {\"a\": 2}]", "1: 1=1 1: 0=2 1=2 ");
	finds("$.error;$.error.message", "{\"error\": {\"message\": \"no\"}}",
		  "0={\"message\": \"no\"} 1=\"no\" ");
	finds("$.\"a b\";$.a.\"\"", "{\"a b\": 1, \"a\": {\"\": 2}}", "0=1 1=2 ");
	finds("$.ab", "{\"\\u0061b\": 1, \"a\\\"b\": 2}", "0=1 ");
	finds("$.\"a\\u0062\"", "{\"ab\": 1}", "0=1 ");
	finds("$.a", "{\"a\": 1, \"a\": 2}", "0=1 0=2 ");
	finds("$.a.b", "{\"a\": [{\"b\": 1}]}", "");
	finds("$.a[0]", "{\"a\": {\"0\": 1}}", "");
	finds("$.a", "[1]", "");
	finds("$.a", "7", "");
	finds("$ . a [ 0 ]", "{\"a\": [1]}", "0=1 ");
}

static void
test_filters(void)
{
	const char *all = "$[*] ? (@ != \"stop\" && @ != null)";

	finds(all, "[\"stop\", \"length\", null, 1]", "0: 0: 0=\"length\" 0: 0: 0=1 ");
	finds(all, "[\"\\u0073top\"]", "0: ");
	finds("$[*] ? (@ == 1 || @ == true)", "[1, 1.0, true, false]",
		  "0: 0=1 0: 0: 0=true 0: ");
	finds("$?(@<>\"a\\\"b\")", "\"a\\u0022b\"", "");
}

static void
test_errors(void)
{
	finds("$.a[*]", "{\"a\": [1, 2", "0: 0=1 0: 0=2 !the text ends too early");
	finds("$.a", "{\"b\": nul}", "!a value is expected");
	finds("$.a[*].b", "{\"a\": [1 2]}", "0: !a comma is missing");
	finds("$.a.b", "{\"a\": {\"b\": 1 \"c\"}}", "0=1 !a comma is missing");
}

static void
test_comparison(void)
{
	JsonPath a, b, c;
	TextFault fault;

	if (!json_path_parse(&a, "$.data[*].x", 11, &fault) ||
		!json_path_parse(&b, "$ .\"data\"[ * ].y.z", 18, &fault) ||
		!json_path_parse(&c, "$.date[*].x[1]", 14, &fault))
		abort();
	ok(json_path_same_items(&a, &b), "the same up to [*]");
	ok(!json_path_same_items(&a, &c), "another list");
	ok(json_path_last_key(&b).n == 1 && *json_path_last_key(&b).p == 'z' &&
		   json_path_last_key(&c).n == 1,
	   "the last key");
	json_path_free(&a);
	json_path_free(&b);
	json_path_free(&c);
}

int
main(void)
{
	test_syntax();
	test_evaluation();
	test_filters();
	test_errors();
	test_comparison();
	return done_testing();
}
