/*
 * Pickles become CBOR that can be read, or an error; calls in CBOR become
 * pickles that can be read.
 */
#include "fuzz.h"

#include "core/cbor.h"
#include "core/pickle.h"

#define MAX_REPORT 32768 /* of an exception, whatever its size */

static void
require_cbor(const Buf *item)
{
	CborReader reader;
	CborToken tok;

	cbor_reader_init(&reader, item->data, item->len, CBOR_MAX_DEPTH, NULL);
	while (cbor_next(&reader, &tok))
		;
	/* Sets are a tag and an array, so they are twice as deep in CBOR. */
	REQUIRE(reader.error == CBOR_OK || reader.error == CBOR_TOO_DEEP);
	cbor_reader_free(&reader);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *error;
	Buf out;
	Buf again;
	Buf type;

	buf_init(&out, 0, NULL);
	buf_init(&again, 0, NULL);
	buf_init(&type, 0, NULL);
	error = pickle_to_cbor(&out, data, size);
	REQUIRE((error != NULL) || (!out.failed && out.len <= pickle_work(size)));
	if (error == NULL)
		require_cbor(&out);
	buf_reset(&out);
	if (pickle_exception(data, size, &type, &out))
		REQUIRE(error != NULL);
	REQUIRE(out.len + type.len < MAX_REPORT);

	buf_reset(&out);
	error = pickle_from_cbor_call(&out, data, size);
	REQUIRE((error != NULL) || !out.failed);
	if (error == NULL)
	{
		error = pickle_to_cbor(&again, out.data, out.len);
		if (error == NULL)
			require_cbor(&again);
		else
			/* written as a call with text, read with a state */
			REQUIRE(strcmp(error, "malformed UUID in pickle") == 0 ||
					again.failed);
	}
	buf_free(&out);
	buf_free(&again);
	buf_free(&type);
	return 0;
}
