/*
 * Templates, paths, and replies that are read by them: what is taken out of a
 * reply lies in its text or in scratch memory, and every row has an outcome.
 */
#include "fuzz.h"

#include "core/cbor.h"
#include "core/http_reply.h"
#include "core/template.h"

#define MAX_ROWS 16

static const ReplyOptions forms[] = {
	{.result = "$.data[*].v", .result_index = "$.data[*].i",
	 .row_error = "$.data[*].error", .error = "$.error.message\n$.error",
	 .usage = "$.usage.total", .batched = true},
	{.result = "$.choices[0].text", .result_type = "json-string",
	 .row_error = "$.choices[0].refusal\n$.choices[0].why ? (@ != \"stop\")",
	 .usage = "$.usage.a"},
	{.result = "$.data", .result_shape = "$.shape", .batched = true},
	{.result_type = "text"},
	{.result = "$[*][*].\"a\"", .batched = true, .result_type = "json-string"},
};

#define NFORMS (sizeof(forms) / sizeof(forms[0]))

static void
read_reply(const ReplyOptions *options, uint32_t rows, const uint8_t *data,
		   size_t size)
{
	ReplyForm form;
	const char *option;
	TextFault fault;
	HttpRow out[MAX_ROWS];
	Reply reply = {.rows = out};
	Buf text, scratch, message;
	const char *error;

	REQUIRE(reply_form_parse(&form, options, &option, &fault));
	buf_init(&text, 0, NULL);
	buf_init(&scratch, 0, NULL);
	buf_init(&message, 0, NULL);
	buf_put(&text, data, size);
	error = reply_form_read(&form, buf_cstr(&text), text.len, rows, false,
							&reply, &scratch);
	REQUIRE(!reply.failed || error != NULL);
	REQUIRE(reply.usage >= 0);
	for (uint32_t i = 0; error == NULL && i < rows; i++)
	{
		size_t sum = 0;

		REQUIRE((out[i].value.p != NULL) != (out[i].message.p != NULL));
		/* all of it can be read */
		for (size_t k = 0; k < out[i].value.n; k++)
			sum += (uint8_t) out[i].value.p[k];
		for (size_t k = 0; k < out[i].message.n; k++)
			sum += (uint8_t) out[i].message.p[k];
		REQUIRE(sum < SIZE_MAX);
		if (out[i].value.p != NULL && !out[i].cbor)
			REQUIRE(utf8_valid((const uint8_t *) out[i].value.p, out[i].value.n));
	}
	(void) reply_form_error(&form, buf_cstr(&text), text.len, &message);
	buf_free(&text);
	buf_free(&scratch);
	buf_free(&message);
	reply_form_free(&form);
}

static void
read_path(const char *text, size_t n)
{
	JsonPath path;
	TextFault fault;

	if (json_path_parse(&path, text, n, &fault))
		json_path_free(&path);
	else
		REQUIRE(fault.problem != NULL && fault.at <= n);
}

static void
read_template(const char *text, size_t n)
{
	Template t;
	TextFault fault;

	if (!template_parse(&t, text, n, NULL, &fault))
	{
		REQUIRE(fault.problem != NULL && fault.at <= n);
		return;
	}
	REQUIRE(t.request.n > 0 && t.batched == (t.row.n > 0));
	template_free(&t);
}

/*
 * The first byte says which form, or that it is a path or a template; for a
 * form, the second how many rows.
 */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t which;

	if (size < 2)
		return 0;
	which = data[0] % (NFORMS + 2);
	if (which == NFORMS)
		read_path((const char *) data + 1, size - 1);
	else if (which == NFORMS + 1)
		read_template((const char *) data + 1, size - 1);
	else
		read_reply(&forms[which],
				   forms[which].batched ? data[1] % MAX_ROWS + 1 : 1, data + 2,
				   size - 2);
	return 0;
}
