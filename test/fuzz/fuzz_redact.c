/* No secret is left in a text, and the text does not grow beyond its limit. */
#include "fuzz.h"

#include "core/redact.h"

static bool
contains(const Buf *text, const char *what)
{
	return text->len > 0 &&
		memmem(text->data, text->len, what, strlen(what)) != NULL;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const secrets[] = {"s3cret", "cretin", "aaaa", "abc"};
	size_t max;
	Buf out;

	if (size < 1)
		return 0;
	max = data[0] < 0x80 ? data[0] : SIZE_MAX;
	buf_init(&out, 0, NULL);
	redact(&out, (const char *) data + 1, size - 1, secrets, 4, max);
	REQUIRE(out.len <= max);
	for (int i = 0; i < 3; i++)
		REQUIRE(!contains(&out, secrets[i]));
	/* the first one in base64, in each of its places */
	REQUIRE(!contains(&out, "czNjcmV0"));
	REQUIRE(!contains(&out, "MzY3Jld"));
	REQUIRE(!contains(&out, "zM2NyZX"));
	buf_free(&out);
	return 0;
}
