/* Function references: the parts of one that is accepted make it up again. */
#include "fuzz.h"

#include <ctype.h>
#include <stdlib.h>

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
require_no_dot_step(const char *step, size_t n)
{
	n = memchr(step, ';', n) != NULL
		? (size_t) ((const char *) memchr(step, ';', n) - step)
		: n;
	REQUIRE(!(n == 1 && step[0] == '.') && !(n == 2 && memcmp(step, "..", 2) == 0));
}

/* However often the path is decoded, it stays below where it begins. */
static void
check_path(const char *path, size_t n)
{
	char *text = calloc(1, n + 1);
	bool decoded;

	REQUIRE(n == 0 || (path[0] != '@' && path[0] != ':'));
	REQUIRE(n < 2 || memcmp(path, "//", 2) != 0);
	n = memchr(path, '?', n) != NULL
		? (size_t) ((const char *) memchr(path, '?', n) - path)
		: n;
	memcpy(text, path, n);
	do
	{
		size_t to = 0;
		const char *step = text;

		for (size_t i = 0; i <= n; i++)
			if (i == n || text[i] == '/' || text[i] == '\\')
			{
				require_no_dot_step(step, text + i - step);
				step = text + i + 1;
			}
		decoded = false;
		for (size_t i = 0; i < n; to++)
		{
			unsigned int c;
			char digits[3] = {0};

			if (text[i] == '%' && n - i >= 3 && isxdigit((uint8_t) text[i + 1]) &&
				isxdigit((uint8_t) text[i + 2]))
			{
				memcpy(digits, text + i + 1, 2);
				c = (unsigned int) strtoul(digits, NULL, 16);
				i += 3;
				decoded = true;
			}
			else
				c = (uint8_t) text[i++];
			REQUIRE(c >= ' ' && c != 0x7f);
			text[to] = (char) c;
		}
		n = to;
	} while (decoded);
	free(text);
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
		check_path(ref.target.p, ref.target.n);
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
