/* Tests of core/http_reply: replies that are read by paths. */
#include "tap.h"

#include "core/http_reply.h"

static const ReplyOptions openai = {.result = "$.data[*].v",
									.result_index = "$.data[*].i",
									.row_error = "$.data[*].error",
									.error = "$.error.message\n$.error",
									.usage = "$.usage.total",
									.batched = true};
static const ReplyOptions chat = {
	.result = "$.choices[0].text",
	.row_error = "$.choices[0].refusal\n$.choices[0].why ? (@ != \"stop\")",
	.error = "$.error", .usage = "$.usage.a\n$.usage.b"};

static void
put_slice(Buf *out, Slice s)
{
	buf_put(out, s.p, s.n);
}

/*
 * The outcomes, joined by blanks, failed ones as "!code/message"; then the
 * usage, if there is any.
 */
static void
reads(const ReplyOptions *options, const char *text, uint32_t rows,
	  bool says_error, const char *expected)
{
	ReplyForm form;
	const char *option;
	TextFault fault;
	HttpRow out[8];
	Reply reply = {.rows = out};
	Buf copy, scratch, got;
	const char *error;

	if (!reply_form_parse(&form, options, &option, &fault))
	{
		ok(false, "%s: %s", option, fault.problem);
		return;
	}
	buf_init(&copy, 0, NULL);
	buf_init(&scratch, 0, NULL);
	buf_init(&got, 0, NULL);
	buf_put_cstr(&copy, text);
	error = reply_form_read(&form, buf_cstr(&copy), copy.len, rows, says_error,
							&reply, &scratch);
	if (error != NULL)
		buf_printf(&got, "%s: %s", reply.failed ? "failed" : "bad", error);
	for (uint32_t i = 0; error == NULL && i < rows; i++)
	{
		if (i > 0)
			buf_put_u8(&got, ' ');
		if (out[i].value.p != NULL)
		{
			put_slice(&got, out[i].value);
			continue;
		}
		buf_put_u8(&got, out[i].retryable ? '?' : '!');
		put_slice(&got, out[i].code);
		buf_put_u8(&got, '/');
		put_slice(&got, out[i].what);
		put_slice(&got, out[i].message);
	}
	if (reply.usage != 0)
		buf_printf(&got, " =%g", reply.usage);
	is_text(buf_cstr(&got), expected, text);
	buf_free(&copy);
	buf_free(&scratch);
	buf_free(&got);
	reply_form_free(&form);
}

static void
test_batches(void)
{
	reads(&openai, "{\"data\": [{\"i\": 1, \"v\": [1]}, {\"v\": 2, \"i\": 0}], "
				   "\"usage\": {\"total\": 7}}", 2, false, "2 [1] =7");
	reads(&openai, "{\"data\": [{\"i\":2,\"v\":\"c\"},{\"i\":0,\"v\":\"a\"},{\"i\":1,\"v\":\"b\"}]}",
		  3, false, "\"a\" \"b\" \"c\"");
	reads(&openai, "{\"data\": [{\"i\": 0, \"v\": 1}]}", 2, false,
		  "bad: the reply has fewer results than the request has rows");
	reads(&openai, "{\"data\": [{\"i\": 0, \"v\": 1}, {\"i\": 1, \"v\": 1}, {}]}", 2,
		  false, "bad: the reply has more results than the request has rows");
	reads(&openai, "{\"data\": [{\"i\": 0, \"v\": 1}, {\"i\": 0, \"v\": 1}]}", 2,
		  false, "bad: the reply has an index twice");
	reads(&openai, "{\"data\": [{\"i\": 1, \"v\": 1}, {\"i\": 1, \"v\": 1}]}", 2,
		  false, "bad: the reply has an index twice");
	reads(&openai, "{\"data\": [{\"i\": 2, \"v\": 1}]}", 1, false,
		  "bad: an index in the reply is not one of the request's rows");
	reads(&openai, "{\"data\": [{\"i\": -1, \"v\": 1}]}", 1, false,
		  "bad: an index in the reply is not one of the request's rows");
	reads(&openai, "{\"data\": [{\"i\": 0, \"i\": 1, \"v\": 1}, {}]}", 2, false,
		  "bad: a result of the reply has two indexes");
	reads(&openai, "{\"data\": [{\"v\": 1}]}", 1, false,
		  "bad: a result of the reply has no index at $.data[*].i");
	reads(&openai, "{\"data\": [{\"i\": 0}]}", 1, false,
		  "bad: the reply has nothing at $.data[*].v");
	reads(&openai, "{\"data\": [{\"i\": 0, \"v\": 1, \"v\": 2}]}", 1, false,
		  "bad: the reply has two results of a row at $.data[*].v");
	reads(&openai, "{\"answer\": 42}", 1, false,
		  "bad: the reply has nothing at $.data[*].v");
	reads(&openai, "[]", 1, false, "bad: the reply has nothing at $.data[*].v");
	reads(&openai, "{\"data\": [{\"i\": 0, \"v\": 1}]} x", 1, false,
		  "bad: there is more after the end of the reply");
	reads(&openai, "{\"data\": [{\"i\": 0, \"v\": 1}", 1, false,
		  "bad: the text ends too early");
	reads(&openai, "", 1, false, "bad: the text ends too early");
}

static void
test_errors(void)
{
	ReplyForm form;
	const char *option;
	TextFault fault;
	Buf message;

	reads(&openai, "{\"data\": [{\"i\":1,\"error\":\"no\"},{\"i\":0,\"v\":null,\"error\":null}]}",
		  2, false, "null !error/\"no\"");
	reads(&openai, "{\"data\": [{\"i\":0,\"v\":1,\"error\":{\"code\":\"C\",\"message\":\"m\",\"retryable\":true}}]}",
		  1, false, "?\"C\"/\"m\"");
	reads(&openai, "{\"data\": [{\"i\":0,\"error\":{\"x\":1}}]}", 1, false,
		  "!error/{\"x\":1}");
	reads(&openai, "{\"error\": {\"message\": \"no \\u006dodel\"}}", 1, false,
		  "failed: no model");
	reads(&openai, "{\"error\": \"bad\"}", 2, false, "failed: bad");
	reads(&openai, "{\"error\": null}", 1, false,
		  "bad: the reply has nothing at $.data[*].v");
	reads(&chat, "{\"error\": \"x\", \"choices\": [{\"text\": 1}]}", 1, true,
		  "failed: x");
	reads(&chat, "{}", 1, true, "failed: the function reported failure");

	if (!reply_form_parse(&form, &openai, &option, &fault))
		abort();
	buf_init(&message, 0, NULL);
	ok(reply_form_error(&form, "{\"error\": {\"message\": \"m\"}}", 28, &message) &&
		   message.len > 0,
	   "an error's body");
	ok(!reply_form_error(&form, "<html>", 6, &message) &&
		   !reply_form_error(&form, "{\"e\": 1}", 8, &message),
	   "no error's body");
	buf_free(&message);
	reply_form_free(&form);
}

static void
test_single(void)
{
	ReplyOptions parsed = chat, text = {.result_type = "text"},
				 bytes = {.result_type = "bytes"}, plain = {.usage = "$.n"};

	reads(&chat, "{\"choices\": [{\"text\": \"a\", \"why\": \"stop\"}], \"usage\": {\"a\": 1.5, \"b\": 2}}",
		  1, false, "\"a\" =3.5");
	reads(&chat, "{\"choices\": [{\"text\": \"a\", \"why\": \"length\"}]}", 1, false,
		  "!why/why\"length\"");
	reads(&chat, "{\"choices\": [{\"text\": null, \"refusal\": \"no\"}]}", 1, false,
		  "!refusal/\"no\"");
	reads(&chat, "{\"choices\": []}", 1, false,
		  "bad: the reply has nothing at $.choices[0].text");
	reads(&chat, "{\"choices\": [{\"text\": 1}], \"usage\": {\"a\": \"1\"}}", 1, false,
		  "bad: what the reply says of its usage is not a number: $.usage.a");
	reads(&chat, "{\"choices\": [{\"text\": 1}], \"usage\": {\"a\": -1}}", 1, false,
		  "bad: what the reply says of its usage is not a number: $.usage.a");
	reads(&chat, "{\"choices\": [{\"text\": 1}], \"usage\": {\"a\": 1e308}}", 1, false,
		  "bad: what the reply says of its usage is not a number: $.usage.a");
	reads(&chat, "{\"choices\": [{\"text\": 1}], \"usage\": {\"a\": 1e999}}", 1, false,
		  "bad: what the reply says of its usage is not a number: $.usage.a");
	reads(&chat, "{\"choices\": [{\"text\": 1}], \"usage\": null}", 1, false, "1");
	parsed.result_type = "json-string";
	reads(&parsed, "{\"choices\": [{\"text\": \" {\\\"a\\\": [1]} \"}]}", 1, false,
		  "{\"a\": [1]}");
	reads(&parsed, "{\"choices\": [{\"text\": \"{\"}]}", 1, false,
		  "!/the result is a string, but not with JSON in it");
	reads(&parsed, "{\"choices\": [{\"text\": null}]}", 1, false, "null");
	reads(&parsed, "{\"choices\": [{\"text\": 1}]}", 1, false,
		  "bad: what should be JSON in a string is no string: $.choices[0].text");
	reads(&plain, "{\"n\": 2}", 1, false, "{\"n\": 2} =2");
	reads(&text, "ab", 1, false, "bab");
	reads(&text, "a\xff", 1, false, "bad: invalid utf-8 string");
	reads(&bytes, "\xff", 1, false, "A\xff");
}

static void
refused(ReplyOptions options, const char *option, const char *problem, size_t at)
{
	ReplyForm form;
	const char *which;
	TextFault fault;

	if (reply_form_parse(&form, &options, &which, &fault))
	{
		ok(false, "refused: %s", problem);
		reply_form_free(&form);
	}
	else if (!ok(which != NULL && strcmp(which, option) == 0 &&
					 strstr(fault.problem, problem) != NULL && fault.at == at,
				 "refused: %s", problem))
		printf("#   %s: %s at %zu\n", which, fault.problem, fault.at);
}

static void
test_options(void)
{
	refused((ReplyOptions){.result = "$.a", .batched = true}, "result",
			"has a [*]", 3);
	refused((ReplyOptions){.result = "$[*].a", .result_index = "$[0].i", .batched = true},
			"result_index", "same path", 0);
	refused((ReplyOptions){.result = "$[*].a", .row_error = "$.e", .batched = true},
			"row_error", "same path", 0);
	refused((ReplyOptions){.result = "$[*].a", .result_shape = "$.s", .batched = true},
			"result_shape", "without [*]", 0);
	refused((ReplyOptions){.result_type = "text", .batched = true}, "result_type",
			"are in JSON", 0);
	refused((ReplyOptions){.result_type = "xml"}, "result_type", "must be", 0);
	refused((ReplyOptions){.usage = "$.a\n$.b..c"}, "usage", "a key", 8);
	refused((ReplyOptions){.error = "$.a\n\nx"}, "error", "begins with", 5);
	refused((ReplyOptions){.result = "$.a b"}, "result", "not possible", 4);
}

int
main(void)
{
	test_batches();
	test_errors();
	test_single();
	test_options();
	return done_testing();
}
