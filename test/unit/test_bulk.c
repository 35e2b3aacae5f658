/* OpenAI's batch endpoint: files that are sent, objects and lines that come. */
#include "core/bulk.h"
#include "tap.h"

#include <stdlib.h>

static Slice
slice(const char *text)
{
	return (Slice){text, strlen(text)};
}

static bool
slice_is(Slice s, const char *text)
{
	return s.p != NULL && s.n == strlen(text) && memcmp(s.p, text, s.n) == 0;
}

static void
test_sent(void)
{
	const BulkLabel label = {"r-1", 7, 3};
	Buf buf;

	buf_init(&buf, 0, NULL);
	bulk_put_line(&buf, 12, slice("/v1/x"), slice("{\"a\":\n 1,\r\n\"b\": \"\\n\"}"));
	ok(strcmp(buf_cstr(&buf),
			  "{\"custom_id\":\"12\",\"method\":\"POST\",\"url\":\"/v1/x\",\"body\":{\"a\":  1,  \"b\": \"\\n\"}}\n") == 0,
	   "a line is one line");
	buf_reset(&buf);
	bulk_put_request(&buf, "file-1", slice("/v1/x"), &label);
	ok(strcmp(buf_cstr(&buf),
			  "{\"input_file_id\":\"file-1\",\"endpoint\":\"/v1/x\",\"completion_window\":\"24h\",\"metadata\":"
			  "{\"modal_batch_run\":\"r-1\",\"modal_batch_first\":\"7\",\"modal_batch_rows\":\"3\"}}") == 0,
	   "a request for a batch");
	buf_reset(&buf);
	bulk_form_begin(&buf, "B");
	buf_put_cstr(&buf, "lines\n");
	bulk_form_end(&buf, "B");
	ok(strstr(buf_cstr(&buf), "\r\n\r\nlines\n\r\n--B--\r\n") != NULL, "a form");
	buf_free(&buf);
}

#define BATCH(more) "{\"id\": \"batch_1\", \"status\": \"completed\"" more "}"

/* What is wrong with it, or "". */
static const char *
problem(const char *text, Bulk *bulk)
{
	const char *error = bulk_read(text, strlen(text), bulk);

	return error == NULL ? "" : error;
}

static void
test_batch(void)
{
	Bulk bulk;

	ok(problem(BATCH(", \"output_file_id\": \"file-2\", \"error_file_id\": null, \"metadata\": "
					 "{\"modal_batch_run\": \"r\", \"modal_batch_first\": \"5\", \"modal_batch_rows\": \"10\"}"),
			   &bulk)[0] == '\0',
	   "a batch");
	ok(strcmp(bulk.id, "batch_1") == 0 && bulk.status == BULK_COMPLETED, "its id and status");
	ok(strcmp(bulk.output_file, "file-2") == 0 && bulk.error_file[0] == '\0', "its files");
	ok(bulk.first == 5 && bulk.rows == 10, "its rows");
	ok(problem(BATCH(", \"metadata\": {\"modal_batch_first\": \"-5\", \"modal_batch_rows\": \"10\"}"), &bulk)[0] == '\0' &&
		   bulk.rows == 0, "a negative ordinal is none");
	ok(problem(BATCH(", \"metadata\": {\"modal_batch_first\": \"5\", \"modal_batch_rows\": \"99999999999\"}"), &bulk)[0] == '\0' &&
		   bulk.rows == 0, "too many rows");
	ok(problem(BATCH(", \"metadata\": [1]"), &bulk)[0] == '\0' && bulk.rows == 0, "metadata of others");
	ok(problem("{\"id\": \"a/../b\", \"status\": \"completed\"}", &bulk)[0] != '\0', "an id that is a path");
	ok(problem("{\"id\": \"..\", \"status\": \"completed\"}", &bulk)[0] != '\0', "an id of dots");
	ok(problem("{\"id\": \"b\", \"status\": \"dancing\"}", &bulk)[0] != '\0', "an unknown status");
	ok(problem("{\"id\": \"b\"}", &bulk)[0] != '\0', "no status");
	ok(problem("{\"status\": \"failed\"}", &bulk)[0] != '\0', "no id");
	ok(problem(BATCH(", \"output_file_id\": \"x?y\""), &bulk)[0] != '\0', "a file that is none");
	ok(problem("[]", &bulk)[0] != '\0' && problem("", &bulk)[0] != '\0', "something else");
	ok(bulk_set_id(&bulk, slice("batch_2")) && !bulk_set_id(&bulk, slice("a/b")) && !bulk_set_id(&bulk, slice("")),
	   "ids that were stored");
}

static void
test_list(void)
{
	const char *text = "{\"data\": [{\"id\": \"b1\", \"status\": \"odd\"}, {\"id\": \"b2\", \"status\": \"expired\","
					   "\"metadata\": {\"modal_batch_run\": \"r2\"}}, {\"id\": \"b3\", \"status\": \"completed\", \"metadata\": null}]}";
	Bulk bulk;

	ok(bulk_find(text, strlen(text), "r2", &bulk) == NULL && strcmp(bulk.id, "b2") == 0 && bulk.status == BULK_EXPIRED,
	   "one of a list");
	ok(bulk_find(text, strlen(text), "r3", &bulk) == NULL && bulk.id[0] == '\0', "none");
	ok(bulk_find(text, strlen(text), "", &bulk) == NULL, "those without metadata");
	ok(bulk_find("{\"data\": [", 10, "r", &bulk) != NULL, "a list that is cut");
	text = "{\"data\": [{\"id\": \"b1\", \"status\": \"strange\", \"metadata\": {\"modal_batch_run\": \"r1\"}}]}";
	ok(bulk_find(text, strlen(text), "r1", &bulk) != NULL, "the one, of which something is not known");
	ok(bulk_find(text, strlen(text), "r2", &bulk) == NULL && bulk.id[0] == '\0', "another one's status");
}

static void
test_errors(void)
{
	const char *text = "{\"id\": \"b\", \"status\": \"failed\", \"errors\": {\"object\": \"list\", \"data\": "
					   "[{\"code\": \"c\", \"line\": 3, \"message\": \"m\"}, {\"line\": null, \"message\": 4}]}}";
	Bulk bulk;
	BulkError error;
	Slice rest;

	ok(problem(text, &bulk)[0] == '\0', "a file that was refused");
	rest = bulk.errors;
	ok(bulk_next_error(&rest, &error) && error.line == 3 && slice_is(error.code, "\"c\"") &&
		   slice_is(error.message, "\"m\""), "of a line");
	ok(bulk_next_error(&rest, &error) && error.line == 0 && error.message.p == NULL, "of none");
	ok(!bulk_next_error(&rest, &error), "and no more");
	rest = (Slice){NULL, 0};
	ok(!bulk_next_error(&rest, &error), "none at all");
}

static void
test_room(void)
{
	Bulk bulk;

	ok(problem("{\"id\": \"b\", \"input_file_id\": \"f\", \"status\": \"failed\", \"errors\": {\"data\": "
			   "[{\"code\": \"token_limit_exceeded\", \"line\": null}]}}", &bulk)[0] == '\0' &&
		   bulk.status == BULK_NO_ROOM && strcmp(bulk.input_file, "f") == 0, "no room");
	ok(problem("{\"id\": \"b\", \"input_file_id\": \"f\", \"status\": \"failed\", \"errors\": {\"data\": "
			   "[{\"code\": \"token_limit_exceeded\"}, {\"code\": \"other\"}]}}", &bulk)[0] == '\0' &&
		   bulk.status == BULK_FAILED, "no room, and more that is wrong");
	ok(problem("{\"id\": \"b\", \"status\": \"failed\", \"errors\": {\"data\": "
			   "[{\"code\": \"token_limit_exceeded\"}]}}", &bulk)[0] == '\0' &&
		   bulk.status == BULK_FAILED, "no room, without its file");
}

static void
test_lines(void)
{
	BulkLine line;
	const char *good = "{\"custom_id\": \"4\", \"response\": {\"status_code\": 200, \"body\": {\"x\": [1]}}, \"error\": null}";
	const char *bad = "{\"custom_id\": \"5\", \"response\": null, \"error\": {\"code\": \"c\", \"message\": \"m\"}}";
	const char *other = "{\"custom_id\": \"mine\", \"response\": {\"status_code\": \"200\"}}";

	ok(bulk_read_line(good, strlen(good), &line) == NULL && line.ordinal == 4 && line.status == 200 &&
		   slice_is(line.body, "{\"x\": [1]}"), "a result");
	ok(bulk_read_line(bad, strlen(bad), &line) == NULL && line.ordinal == 5 && line.status == 0 &&
		   slice_is(line.code, "\"c\"") && slice_is(line.message, "\"m\""), "an error");
	ok(bulk_read_line(other, strlen(other), &line) == NULL && line.ordinal == -1 && line.status == 0,
	   "a line of somebody else");
	ok(bulk_read_line("{} {}", 5, &line) != NULL, "two values");
	ok(bulk_read_line("{", 1, &line) != NULL, "a line that is cut");
}

int
main(void)
{
	test_sent();
	test_batch();
	test_list();
	test_errors();
	test_room();
	test_lines();
	return done_testing();
}
