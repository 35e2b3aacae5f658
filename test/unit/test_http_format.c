/* Tests of core/http_format: bodies as they are sent, replies of all kinds. */
#include "tap.h"

#include "core/http_format.h"

static const HttpCaller caller = {
	.request_id = "id-1",
	.function = {"s:a\"b", 5},
	.user = "ana",
	.database = "shop",
	.context = {"{\"m\":1}", 7},
};

static void
body_is(HttpBodyFormat format, const char *const *rows, uint32_t n,
		const char *expected)
{
	const char *content_type = http_format_content_type(format);
	Buf body;
	bool good = true;

	buf_init(&body, 0, NULL);
	http_format_begin(format, &body, n, (Slice){NULL, 0}, &caller);
	for (uint32_t i = 0; i < n; i++)
		good &= http_format_row(format, &body, i,
								(Slice){rows[i], strlen(rows[i])});
	http_format_end(format, &body, n, (Slice){NULL, 0}, &caller);
	if (!ok(good && strcmp(buf_cstr(&body), expected) == 0, "body: %s",
			content_type))
		printf("#   got %s\n", buf_cstr(&body));
	buf_free(&body);
}

/*
 * A reply to so many rows: the outcomes as text, joined by spaces, "!code"
 * for failed ones ("?" when they may be tried again), or what is wrong with
 * the whole.
 */
static void
reply_is(HttpBodyFormat format, const char *text, uint32_t rows,
		 const char *expected)
{
	HttpRow out[8];
	Buf copy, scratch, got;
	bool failed;
	const char *error;

	buf_init(&copy, 0, NULL);
	buf_init(&scratch, 0, NULL);
	buf_init(&got, 0, NULL);
	buf_put_cstr(&copy, text);
	error = http_format_reply(format, buf_cstr(&copy), copy.len, rows, out,
							  &scratch, &failed);
	if (error != NULL)
		buf_printf(&got, "%s: %s", failed ? "failed" : "bad", error);
	else
		for (uint32_t i = 0; i < rows; i++)
		{
			Slice shown = out[i].value.p != NULL ? out[i].value : out[i].code;

			buf_printf(&got, "%s%s%.*s", i > 0 ? " " : "",
					   out[i].value.p != NULL ? ""
						   : out[i].retryable ? "?"
											  : "!",
					   (int) shown.n, shown.n > 0 ? shown.p : "");
		}
	if (!ok(strcmp(buf_cstr(&got), expected) == 0, "reply: %s", text))
		printf("#   got %s\n#   want %s\n", buf_cstr(&got), expected);
	buf_free(&copy);
	buf_free(&scratch);
	buf_free(&got);
}

static void
test_bodies(void)
{
	const char *rows[] = {"[1,\"a\"]", "[]"};
	const char *object = "{\"a\":1}";
	HttpBodyFormat format;
	Buf body;

	body_is(BODY_JSON, &object, 1, "{\"a\":1}");
	body_is(BODY_JSON_LINES, rows, 2, "[1,\"a\"]\n[]\n");
	body_is(BODY_BIGQUERY, rows, 2,
			"{\"requestId\":\"id-1\",\"caller\":\"s:a\\\"b\","
			"\"sessionUser\":\"ana\",\"userDefinedContext\":{\"m\":1},"
			"\"calls\":[[1,\"a\"],[]]}");
	body_is(BODY_SNOWFLAKE, rows, 2, "{\"data\":[[0,1,\"a\"],[1]]}");
	body_is(BODY_REDSHIFT, rows, 2,
			"{\"request_id\":\"id-1\",\"cluster\":\"postgresql\","
			"\"user\":\"ana\",\"database\":\"shop\","
			"\"external_function\":\"s:a\\\"b\",\"query_id\":0,"
			"\"num_records\":2,\"arguments\":[[1,\"a\"],[]]}");

	buf_init(&body, 0, NULL);
	ok(!http_format_row(BODY_SNOWFLAKE, &body, 0, (Slice){"{}", 2}),
	   "an object cannot be numbered");
	buf_free(&body);
	ok(http_format_by_name("redshift", &format) && format == BODY_REDSHIFT &&
		   !http_format_by_name("xml", &format),
	   "formats by name");
	ok(!http_format_batches(BODY_JSON) && http_format_batches(BODY_JSON_LINES),
	   "json has one row a request");
}

static void
test_good_replies(void)
{
	reply_is(BODY_JSON, " {\"a\": 1.50} ", 1, "{\"a\": 1.50}");
	reply_is(BODY_JSON_LINES, "1\n\n[2]\r\n\"3\"", 3, "1 [2] \"3\"");
	reply_is(BODY_BIGQUERY, "{\"replies\":[1,null,\"x\"],\"more\":{}}", 3,
			 "1 null \"x\"");
	reply_is(BODY_BIGQUERY, "{\"errors\":[null,{\"code\":\"E\"}],\"replies\":[1,2]}",
			 2, "1 !\"E\"");
	reply_is(BODY_BIGQUERY,
			 "{\"replies\":[1,2],\"errors\":[{\"code\":7,\"retryable\":true},null]}",
			 2, "?7 2");
	reply_is(BODY_BIGQUERY, "{\"replies\":[1],\"errors\":null}", 1, "1");
	reply_is(BODY_BIGQUERY, "{\"replies\":[1],\"errors\":[]}", 1, "1");
	reply_is(BODY_SNOWFLAKE, "{\"data\":[[0,{\"a\":[]}],[1,null]]}", 2,
			 "{\"a\":[]} null");
	reply_is(BODY_REDSHIFT,
			 "{\"success\":true,\"num_records\":2,\"results\":[1,2]}", 2, "1 2");
	reply_is(BODY_REDSHIFT, "{\"results\":[1]}", 1, "1");
	reply_is(BODY_REDSHIFT, "\"{\\\"results\\\":[\\\"x\\\"]}\"", 1, "\"x\"");
}

static void
test_bad_replies(void)
{
	reply_is(BODY_JSON, "1 2", 1,
			 "bad: there is more after the end of the reply");
	reply_is(BODY_JSON_LINES, "1\n", 2,
			 "bad: the reply has fewer results than the request has rows");
	reply_is(BODY_JSON_LINES, "1\n2\n", 1,
			 "bad: the reply has more results than the request has rows");
	reply_is(BODY_JSON_LINES, "[\n1]\n", 1,
			 "bad: the text ends too early");
	reply_is(BODY_JSON_LINES, "[\n\nn", 1, "bad: the text ends too early");
	reply_is(BODY_JSON_LINES, "1 2\n", 2,
			 "bad: a line holds more than one value");
	reply_is(BODY_JSON_LINES, "\"\xff\"", 1, "bad: invalid utf-8 string");
	reply_is(BODY_BIGQUERY, "{\"replies\":[1]}", 2,
			 "bad: the reply has fewer results than the request has rows");
	reply_is(BODY_BIGQUERY, "{\"replies\":[1,2,3]}", 2,
			 "bad: the reply has more results than the request has rows");
	reply_is(BODY_BIGQUERY, "{\"replies\":[1],\"replies\":[2]}", 1,
			 "bad: the reply has its list of results twice");
	reply_is(BODY_BIGQUERY, "{}", 1, "bad: the reply has no list of results");
	reply_is(BODY_BIGQUERY, "[1]", 1, "bad: an object is expected");
	reply_is(BODY_BIGQUERY, "{\"replies\":{}}", 1, "bad: an array is expected");
	reply_is(BODY_BIGQUERY, "{\"replies\":[1,2],\"errors\":[null]}", 2,
			 "bad: the reply has fewer errors than the request has rows");
	reply_is(BODY_BIGQUERY, "{\"replies\":[1],\"errors\":[null,null]}", 1,
			 "bad: the reply has more errors than the request has rows");
	reply_is(BODY_BIGQUERY, "{\"replies\":[1],\"errors\":[\"no\"]}", 1,
			 "bad: an object is expected");
	reply_is(BODY_SNOWFLAKE, "{\"data\":[[1,5],[0,6]]}", 2,
			 "bad: the row numbers of the reply are not those of the request, in order");
	reply_is(BODY_SNOWFLAKE, "{\"data\":[[0,5],[0,6]]}", 2,
			 "bad: the row numbers of the reply are not those of the request, in order");
	reply_is(BODY_SNOWFLAKE, "{\"data\":[[0]]}", 1,
			 "bad: a result is not a pair of row number and value");
	reply_is(BODY_SNOWFLAKE, "{\"data\":[[0,1,2]]}", 1,
			 "bad: a result is not a pair of row number and value");
	reply_is(BODY_SNOWFLAKE, "{\"data\":[[0.5,1]]}", 1,
			 "bad: the row numbers of the reply are not those of the request, in order");
	reply_is(BODY_REDSHIFT, "{\"num_records\":3,\"results\":[1]}", 1,
			 "bad: num_records of the reply is not the number of rows");
	reply_is(BODY_REDSHIFT, "\"{\" 1", 1,
			 "bad: a reply within a string cannot be read");

	reply_is(BODY_BIGQUERY, "{\"errorMessage\":\"no \\\"model\\\"\"}", 1,
			 "failed: no \"model\"");
	reply_is(BODY_REDSHIFT, "{\"success\":false,\"error_msg\":\"no\"}", 1,
			 "failed: no");
	reply_is(BODY_REDSHIFT, "{\"success\":false,\"results\":[1]}", 1,
			 "failed: the function reported failure");
	reply_is(BODY_REDSHIFT,
			 "\"{\\\"success\\\":false,\\\"error_msg\\\":\\\"in text\\\"}\"", 1,
			 "failed: in text");

	/* who reports failure may have all members */
	reply_is(BODY_REDSHIFT,
			 "{\"success\":false,\"num_records\":null,\"results\":null,\"error_msg\":\"no\"}", 2,
			 "failed: no");
	reply_is(BODY_REDSHIFT, "{\"success\":false,\"results\":[],\"error_msg\":null}", 2,
			 "failed: the function reported failure");
	reply_is(BODY_REDSHIFT, "{\"results\":[1,2,3],\"error_msg\":\"no\",\"success\":false}", 2,
			 "failed: no");
	reply_is(BODY_BIGQUERY, "{\"replies\":null,\"errorMessage\":\"no\"}", 2, "failed: no");
	reply_is(BODY_BIGQUERY, "{\"errorMessage\":\"no\",\"replies\":[1]}", 2, "failed: no");
	reply_is(BODY_BIGQUERY, "{\"replies\":[1,2],\"errorMessage\":\"\"}", 2, "1 2");
	reply_is(BODY_BIGQUERY, "{\"replies\":[1],\"errorMessage\":\"\"}", 2,
			 "bad: the reply has fewer results than the request has rows");
	reply_is(BODY_BIGQUERY, "{\"replies\":[1],\"errorMessage\":null}", 2,
			 "bad: the reply has fewer results than the request has rows");
	reply_is(BODY_BIGQUERY, "{\"errorMessage\":null}", 2,
			 "bad: the reply has no list of results");
	reply_is(BODY_BIGQUERY, "{\"replies\":[1,}", 2, "bad: a value is expected");
	reply_is(BODY_REDSHIFT, "{\"results\":[1],\"num_records\":null}", 1,
			 "bad: num_records of the reply is not an integer");
}

int
main(void)
{
	test_bodies();
	test_good_replies();
	test_bad_replies();
	return done_testing();
}
