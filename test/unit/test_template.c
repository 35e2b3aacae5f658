/* Tests of core/template and core/json_tensor: requests as users describe them. */
#include "tap.h"

#include "core/json_tensor.h"
#include "core/template.h"

static void
put_parts(Buf *out, const TemplateParts *parts)
{
	for (uint32_t i = 0; i < parts->n; i++)
	{
		const TemplatePart *p = &parts->parts[i];

		switch (p->kind)
		{
			case PART_TEXT:
				buf_put(out, p->text.p, p->text.n);
				break;
			case PART_ARGUMENT:
				if (p->number > 0)
					buf_printf(out, "<%u>", p->number);
				else
					buf_printf(out, "<%.*s>", (int) p->text.n, p->text.p);
				break;
			case PART_ROW:
				buf_put_cstr(out, "<ROW>");
				break;
			case PART_ROWS:
				buf_put_cstr(out, "<ROWS>");
				break;
			case PART_KWARGS:
				buf_printf(out, p->optional ? "<KWARGS %.*s>" : "<KWARGS>",
						   (int) p->text.n, p->text.p);
				break;
			case PART_MEMBERS:
				buf_printf(out, "<MEMBERS %.*s>", (int) p->text.n, p->text.p);
				break;
			case PART_COUNT:
				buf_put_cstr(out, "<COUNT>");
				break;
			case PART_SHAPE:
				buf_put_cstr(out, "<SHAPE>");
				break;
		}
	}
}

static void
means(const char *text, const char *expected)
{
	Template t;
	TextFault fault;
	Buf got;

	if (!template_parse(&t, text, strlen(text), NULL, &fault))
	{
		ok(false, "%s: %s", text, fault.problem);
		return;
	}
	buf_init(&got, 0, NULL);
	put_parts(&got, &t.request);
	if (t.batched)
	{
		buf_put_cstr(&got, " of ");
		put_parts(&got, &t.row);
	}
	is_text(buf_cstr(&got), expected, text);
	buf_free(&got);
	template_free(&t);
}

static void
refused(const char *text, const char *problem, size_t at)
{
	Template t;
	TextFault fault;

	if (template_parse(&t, text, strlen(text), NULL, &fault))
	{
		ok(false, "refused: %s", text);
		template_free(&t);
	}
	else if (!ok(fault.problem != NULL && strstr(fault.problem, problem) != NULL &&
					 fault.at == at,
				 "refused: %s", text))
		printf("#   got %s at %zu\n", fault.problem, fault.at);
}

static void
test_parsing(void)
{
	Buf deep;

	means("{\"input\": \"$rows\"}", "{\"input\":<ROWS>} of <ROW>");
	means("\"$rows\"", "<ROWS> of <ROW>");
	means("[1, {\"a\": \"$1\", \"b\": [\"$name\", null]}, \"$row\"]",
		  "[1,{\"a\":<1>,\"b\":[<name>,null]},<ROW>]");
	means("{\"$rows\": {\"t\": \"$1\", \"id\": \"$id\"}}",
		  "<ROWS> of {\"t\":<1>,\"id\":<id>}");
	means("{\"a\": {\"$rows\": [\"$2\"]}, \"b\": \"$model\"}",
		  "{\"a\":<ROWS>,\"b\":<model>} of [<2>]");
	means("{\"p\": \"$kwargs\", \"x\": \"$rows\"}",
		  "{\"x\":<ROWS><KWARGS \"p\">} of <ROW>");
	means("[\"$kwargs\", \"$rows\"]", "[<KWARGS>,<ROWS>] of <ROW>");
	means("{\"$kwargs\": {\"t\": 0}, \"x\": \"$1\"}",
		  "{\"x\":<1><MEMBERS {\"t\": 0}>}");
	means("{\"s\": \"$shape\", \"n\": \"$count\", \"d\": \"$rows\"}",
		  "{\"s\":<SHAPE>,\"n\":<COUNT>,\"d\":<ROWS>} of <ROW>");
	means("[\"$$1\", \"\\u00241\", \"a $1\", \"$\", \"$1\"]",
		  "[\"$1\",\"\\u00241\",\"a $1\",\"$\",<1>]");
	means("{\"$ref\": \"#/x\", \"$schema\": {\"$defs\": 1}, \"a\": \"$1\"}",
		  "{\"$ref\":\"#/x\",\"$schema\":{\"$defs\":1},\"a\":<1>}");

	refused("", "ends too early", 0);
	refused("{\"a\": }", "a value is expected", 6);
	refused("{\"a\": \"$1\"} x", "more after the end", 12);
	refused("{\"a\": 1}", "no placeholder", 0);
	refused("{\"a\": \"$rows\", \"b\": \"$rows\"}", "only once", 20);
	refused("{\"a\": \"$rows\", \"b\": \"$1\"}", "no place for arguments", 0);
	refused("{\"$rows\": {\"$rows\": 1}}", "only once", 10);
	refused("{\"a\": \"$1\", \"b\": [{\"c\": 1, \"c\": \"$2\"}]}", "twice", 27);
	refused("{\"a\": \"$1\", \"b\": 1, \"a\": \"$kwargs\"}", "twice", 20);
	refused("{\"$rows\": {\"x\": 1}}", "has no placeholder", 0);
	refused("{\"$rows\": \"$1\", \"x\": 1}", "has no other", 1);
	refused("{\"a\": \"$0\"}", "from 1 to 1664", 8);
	refused("{\"a\": \"$1665\"}", "from 1 to 1664", 8);
	refused("{\"a\": \"$1x\"}", "a number or a name", 8);
	refused("{\"a\": \"$a b\"}", "begins with \"$$\"", 8);
	refused("{\"$kwargs\": 1, \"a\": \"$1\"}", "object of defaults", 12);
	refused("{\"$rows\": [\"$1\", \"$count\"]}", "about all rows", 17);
	refused("[\"$1\", \"$count\"]", "need \"$rows\"", 0);
	buf_init(&deep, 0, NULL);
	for (int i = 0; i < 40; i++)
		buf_put_u8(&deep, '[');
	buf_put_cstr(&deep, "\"$1\"");
	for (int i = 0; i < 40; i++)
		buf_put_u8(&deep, ']');
	refused(buf_cstr(&deep), "nested too deeply", 32);
	buf_free(&deep);
}

static bool
parse_with_little_memory(void)
{
	static const char text[] =
		"{\"a\": {\"$rows\": [\"$1\", \"$2\", \"$3\", \"$4\", \"$5\"]}, \"$kwargs\": {}}";
	Template t;
	TextFault fault;

	if (!template_parse(&t, text, sizeof(text) - 1, failing_realloc, &fault))
	{
		if (fault.problem != NULL)
			printf("# %s\n", fault.problem);
		return false;
	}
	template_free(&t);
	return true;
}

static void
test_envelopes(void)
{
	Slice envelope = {"{\"n\":\002,\"s\":\003,\"d\":\001,\"x\":\003}", 27};
	Slice first = {"[[1,2],[3,4],[5,6]]", 19};
	Buf body;

	envelope.n = strlen(envelope.p);
	buf_init(&body, 0, NULL);
	template_put_head(envelope, &body, 2, first);
	buf_put_cstr(&body, "r,r");
	template_put_tail(envelope, &body, 2, first);
	is_text(buf_cstr(&body),
			"{\"n\":2,\"s\":[2,3,2],\"d\":[r,r],\"x\":[2,3,2]}", "an envelope");
	ok(template_is_envelope(envelope) &&
		   !template_is_envelope((Slice){"{}", 2}) &&
		   !template_is_envelope((Slice){NULL, 0}),
	   "what is one");
	buf_reset(&body);
	json_tensor_put_shape(&body, 3, (Slice){"\"x\"", 3});
	json_tensor_put_shape(&body, 3, (Slice){"[]", 2});
	is_text(buf_cstr(&body), "[3][3,0]", "shapes");
	buf_free(&body);
}

static void
splits(const char *data, const char *shape, uint32_t rows, const char *expected)
{
	HttpRow out[8];
	Buf scratch, got;
	const char *error;

	memset(out, 0, sizeof(out));
	buf_init(&scratch, 0, NULL);
	buf_init(&got, 0, NULL);
	error = json_tensor_split((Slice){data, strlen(data)},
							  (Slice){shape, strlen(shape)}, rows, out, &scratch);
	if (error != NULL)
		buf_put_cstr(&got, error);
	for (uint32_t i = 0; error == NULL && i < rows; i++)
		buf_printf(&got, "%s%.*s", i > 0 ? " " : "", (int) out[i].value.n,
				   out[i].value.p);
	is_text(buf_cstr(&got), expected, shape);
	buf_free(&scratch);
	buf_free(&got);
}

static void
test_tensors(void)
{
	splits("[1, 2, 3]", "[3]", 3, "1 2 3");
	splits("[1, 2, 3, 4]", "[2, 2]", 2, "[1,2] [3,4]");
	splits("[1, 2]", "[2, 1]", 2, "[1] [2]");
	splits("[1,2,3,4,5,6,7,8]", "[2,2,2]", 2, "[[1,2],[3,4]] [[5,6],[7,8]]");
	splits("[[1, 2], [3, 4]]", "[2, 2]", 2, "[1, 2] [3, 4]");
	splits("[1, 2, 3]", "[2, 2]", 2,
		   "the reply has fewer elements than its shape says");
	splits("[1, 2, 3, 4, 5]", "[2, 2]", 2,
		   "the reply has more elements than its shape says");
	splits("[1, 2]", "[2]", 3,
		   "the shape in the reply is not that of the request's rows");
	splits("[[1]]", "[2, 1]", 2,
		   "the reply has fewer results than the request has rows");
	splits("[[1], [2], [3]]", "[2, 1]", 2,
		   "the reply has more results than the request has rows");
	splits("{}", "[1]", 1, "the elements in the reply are no list");
	splits("[]", "[1, 0]", 1, "the shape in the reply leaves rows empty");
	splits("[]", "{}", 1, "the shape in the reply is not one");
	splits("[]", "[1, -1]", 1, "the shape in the reply is not one");
	splits("[]", "[1, 1099511627776, 1099511627776]", 1,
		   "the shape in the reply is not one");
	splits("[]", "[1,1,1,1,1,1,1,1,1]", 1, "the shape in the reply is not one");
}

int
main(void)
{
	test_parsing();
	check_out_of_memory(parse_with_little_memory, "a template");
	test_envelopes();
	test_tensors();
	return done_testing();
}
