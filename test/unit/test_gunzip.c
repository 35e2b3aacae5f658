/* Tests of core/gunzip: members, pieces, what is none. */
#include "tap.h"

#include <zlib.h>

#include "core/gunzip.h"

static Buf packed;
static Buf body;

static void
add_member(const char *text)
{
	unsigned char out[200];
	z_stream stream = {0};

	(void) deflateInit2(&stream, 9, Z_DEFLATED, MAX_WBITS + 16, 8, Z_DEFAULT_STRATEGY);
	stream.next_in = (unsigned char *) (uintptr_t) text;
	stream.avail_in = (unsigned int) strlen(text);
	stream.next_out = out;
	stream.avail_out = sizeof(out);
	(void) deflate(&stream, Z_FINISH);
	buf_put(&packed, out, sizeof(out) - stream.avail_out);
	deflateEnd(&stream);
}

static bool
put(void *arg, const void *p, size_t n)
{
	(void) arg;
	buf_put(&body, p, n);
	return true;
}

/* What is in the first n bytes, and how it ended. */
static const char *
unpacked(size_t n, size_t piece)
{
	Gunzip *gunzip = gunzip_create();
	GunzipResult result = GUNZIP_OK;

	buf_reset(&body);
	for (size_t at = 0; at < n && result == GUNZIP_OK; at += piece)
		result = gunzip_feed(gunzip, packed.data + at, n - at < piece ? n - at : piece, put, NULL);
	buf_put_cstr(&body, result != GUNZIP_OK ? " bad" : gunzip_complete(gunzip) ? " whole" : " cut");
	gunzip_free(gunzip);
	return buf_cstr(&body);
}

static void
gives(const char *want, const char *name)
{
	is_text(unpacked(packed.len, packed.len), want, name);
	is_text(unpacked(packed.len, 1), want, "a byte at a time");
	is_text(unpacked(packed.len, 7), want, "seven bytes at a time");
}

int
main(void)
{
	size_t one;

	buf_init(&packed, 0, NULL);
	buf_init(&body, 0, NULL);
	add_member("one");
	one = packed.len;
	gives("one whole", "a member");
	is_text(unpacked(one - 1, one), "one cut", "a part of it");
	add_member("");
	add_member(" two");
	gives("one two whole", "three members");
	is_text(unpacked(one + 5, one + 5), "one cut", "a part of the second one");
	is_text(unpacked(one, one), "one whole", "the first one alone");
	buf_put(&packed, "\0\0\0\0\0\0\0\0\0", 9);
	gives("one two whole", "zeros behind them");
	buf_put_cstr(&packed, "x");
	gives("one two bad", "and something else");
	packed.len -= 10;
	buf_put_cstr(&packed, "x");
	is_text(unpacked(packed.len - 1, packed.len), "one two whole", "nothing behind them");
	buf_put_cstr(&packed, "more");
	gives("one two bad", "something else behind them");
	buf_free(&packed);
	buf_free(&body);
	return done_testing();
}
