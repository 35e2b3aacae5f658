/*
 * Replies of HTTP functions in every format: what is taken out of them lies
 * in the text or in the scratch memory, and every row has an outcome.
 */
#include "fuzz.h"

#include "core/cbor.h"
#include "core/http_format.h"
#include "core/http_text.h"

#define MAX_ROWS 16

static bool
within(Slice part, const void *p, size_t n)
{
	const char *start = p;

	return part.p == NULL ||
		(start != NULL && part.p >= start && part.p + part.n <= start + n);
}

/* The first byte is the format, the second the number of rows. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	HttpRow out[MAX_ROWS];
	HttpBodyFormat format;
	uint32_t rows;
	Buf text, scratch, message;
	bool failed;
	const char *error;

	if (size < 2)
		return 0;
	format = (HttpBodyFormat) (data[0] % (BODY_REDSHIFT + 1));
	rows = format == BODY_JSON ? 1 : data[1] % MAX_ROWS + 1;
	buf_init(&text, 0, NULL);
	buf_init(&scratch, 0, NULL);
	buf_init(&message, 0, NULL);
	buf_put(&text, data + 2, size - 2);

	error = http_format_reply(format, buf_cstr(&text), text.len, rows, out,
							  &scratch, &failed);
	REQUIRE(!failed || error != NULL);
	for (uint32_t i = 0; error == NULL && i < rows; i++)
	{
		const Slice parts[] = {out[i].value, out[i].code, out[i].message};

		REQUIRE(out[i].value.p == NULL || out[i].value.n > 0);
		for (int part = 0; part < 3; part++)
			REQUIRE(within(parts[part], text.data, text.len) ||
					within(parts[part], scratch.data, scratch.len));
	}
	http_text_of_error(buf_cstr(&text), text.len, &message);
	REQUIRE(utf8_valid(message.data, message.len));
	buf_reset(&message);
	http_text_of_body(buf_cstr(&text), text.len, &message);
	REQUIRE(utf8_valid(message.data, message.len));
	buf_free(&text);
	buf_free(&scratch);
	buf_free(&message);
	return 0;
}
