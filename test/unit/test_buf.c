/* Tests of core/buf: growth, limit, sticky failure. */
#include "tap.h"

static void
test_append(void)
{
	Buf buf;

	buf_init(&buf, 0, NULL);
	is_text(buf_cstr(&buf), "", "an empty buffer is an empty string");
	buf_put(&buf, NULL, 0);
	is_int(buf.len, 0, "nothing appended");
	for (int i = 0; i < 1000; i++)
		buf_put_u8(&buf, (uint8_t) i);
	is_int(buf.len, 1000, "1000 bytes");
	ok(buf.data[999] == (uint8_t) 999, "the last one");
	buf_consume(&buf, 998);
	is_bytes(buf.data, buf.len, "\xe6\xe7", 2, "consumed from the front");
	buf_consume(&buf, 5);
	is_int(buf.len, 0, "consuming more than there is empties");
	buf_put_cstr(&buf, "abc");
	buf_printf(&buf, "-%d-%s", 42, "x");
	buf_printf(&buf, "%s", "");
	is_text(buf_cstr(&buf), "abc-42-x", "strings");
	is_int(buf.len, 8, "their final zero is not counted");
	memcpy(buf_extend(&buf, 3), "end", 3);
	is_text(buf_cstr(&buf), "abc-42-xend", "extended");
	buf_free(&buf);
	ok(buf.data == NULL && buf.cap == 0, "freed");
	buf_put_cstr(&buf, "again");
	is_text(buf_cstr(&buf), "again", "used again after buf_free");
	buf_free(&buf);
}

static void
test_limit(void)
{
	Buf buf;
	char line[200];

	memset(line, 'x', sizeof(line));
	for (size_t limit = 1; limit < 150; limit++)
	{
		buf_init(&buf, limit, NULL);
		for (size_t i = 0; i < limit; i++)
			buf_put_u8(&buf, (uint8_t) i);
		if (buf.failed || buf.len != limit || buf.cap > limit)
			break;
		buf_put_u8(&buf, 0);
		if (!buf.failed || buf.len != limit || strlen(buf_cstr(&buf)) != 0)
			break;
		buf_free(&buf);
	}
	ok(buf.limit == 149 && buf.data == NULL, "limits hold to the byte");

	buf_init(&buf, 100, NULL);
	buf_put(&buf, line, 60);
	buf_put(&buf, line, 60);
	ok(buf.failed && buf.len == 60, "too much fails and changes nothing");
	buf_put(&buf, line, 1);
	ok(buf.len == 60, "failure is sticky");
	ok(buf_extend(&buf, 1) == NULL, "nothing to write to");
	buf_printf(&buf, "x");
	is_int(buf.len, 60, "nor printed");
	is_int(strlen(buf_cstr(&buf)), 60, "still readable");
	buf_reset(&buf);
	ok(!buf.failed && buf.len == 0, "reset clears failure");
	buf_printf(&buf, "%.*s", 100, line);
	ok(!buf.failed && buf.len == 100, "printed up to the limit");
	buf_reset(&buf);
	buf_printf(&buf, "%.*s", 101, line);
	ok(buf.failed && buf.len == 0, "printed beyond the limit");
	buf_free(&buf);

	buf_init(&buf, 0, NULL);
	ok(!buf_reserve(&buf, SIZE_MAX), "no overflow");
	buf_free(&buf);
}

static bool
append_much(void)
{
	Buf buf;
	bool good;

	buf_init(&buf, 0, failing_realloc);
	for (int i = 0; i < 5000; i++)
		buf_printf(&buf, "%d,", i);
	good = !buf.failed;
	if (good != (buf.len == 23890))
		abort();
	buf_free(&buf);
	return good;
}

int
main(void)
{
	test_append();
	test_limit();
	check_out_of_memory(append_much, "append");
	return done_testing();
}
