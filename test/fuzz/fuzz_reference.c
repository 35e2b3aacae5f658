/* Function references: the parts of one that is accepted make it up again. */
#include "fuzz.h"

#include "core/reference.h"

static void
put_slice(Buf *out, const char *before, Slice s)
{
	if (s.p != NULL)
	{
		buf_put_cstr(out, before);
		buf_put(out, s.p, s.n);
	}
}

static void
check(const char *text, size_t size, bool http)
{
	Reference ref;
	Buf out;

	if (reference_parse(text, size, http, &ref) != NULL)
		return;

	buf_init(&out, 0, NULL);
	put_slice(&out, "", ref.server);
	if (ref.server.p != NULL)
		buf_put_u8(&out, ':');
	if (http)
	{
		REQUIRE(ref.app.p == NULL && ref.function.p == NULL);
		for (size_t i = 0; i < ref.target.n; i++)
			REQUIRE(ref.target.p[i] > ' ' && ref.target.p[i] < 0x7f);
		put_slice(&out, "", ref.target);
	}
	else
	{
		const char *end = ref.function.p + ref.function.n;

		REQUIRE(ref.app.n > 0 && ref.function.n > 0 && ref.version >= 0);
		REQUIRE(ref.target.p == ref.app.p);
		put_slice(&out, "", ref.app);
		put_slice(&out, "/", ref.class_name);
		put_slice(&out, "", ref.parameters);
		put_slice(&out, ref.class_name.p != NULL ? "." : "/", ref.function);
		/* The version may have leading zeros: take its digits as they are. */
		put_slice(&out, "", (Slice){end, ref.target.p + ref.target.n - end});
	}
	put_slice(&out, "#", ref.options);
	REQUIRE(out.len == size && (size == 0 || memcmp(out.data, text, size) == 0));
	buf_free(&out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	check((const char *) data, size, false);
	check((const char *) data, size, true);
	return 0;
}
