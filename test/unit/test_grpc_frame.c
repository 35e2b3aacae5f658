/* Tests of core/grpc_frame: joining messages from arbitrary pieces. */
#include "tap.h"

#include "core/grpc_frame.h"

static void
put_message(Buf *buf, const char *text)
{
	grpc_put_prefix(buf, strlen(text));
	buf_put_cstr(buf, text);
}

/* Feed the stream in pieces cut at the given places; join what comes out. */
static bool
read_in_pieces(const Buf *stream, size_t cut1, size_t cut2, size_t max,
			   BufRealloc grow, Buf *out)
{
	size_t cuts[] = {0, cut1, cut2, stream->len};
	GrpcReader reader;
	const uint8_t *msg;
	size_t n;
	bool good = true;

	grpc_reader_init(&reader, max, grow);
	buf_reset(out);
	for (int i = 0; i < 3 && good; i++)
	{
		good = grpc_reader_feed(&reader, stream->data + cuts[i],
								cuts[i + 1] - cuts[i]);
		while (grpc_reader_next(&reader, &msg, &n) == GRPC_FRAME_READY)
			buf_printf(out, "%.*s|", (int) n, (const char *) msg);
	}
	good = good && !grpc_reader_partial(&reader);
	grpc_reader_free(&reader);
	return good;
}

static void
test_pieces(void)
{
	Buf stream;
	Buf out;
	int bad = 0;

	buf_init(&stream, 0, NULL);
	buf_init(&out, 0, NULL);
	put_message(&stream, "first");
	put_message(&stream, "");
	put_message(&stream, "the third message");
	for (size_t i = 0; i <= stream.len; i++)
	{
		for (size_t j = i; j <= stream.len; j++)
		{
			if (!read_in_pieces(&stream, i, j, 17, NULL, &out) ||
				strcmp(buf_cstr(&out), "first||the third message|") != 0)
				bad++;
		}
	}
	is_int(bad, 0, "three messages, cut at every two places");
	buf_free(&stream);
	buf_free(&out);
}

static void
test_errors(void)
{
	GrpcReader reader;
	const uint8_t *msg;
	size_t n;
	uint8_t big[64];

	grpc_reader_init(&reader, 100, NULL);
	ok(!grpc_reader_partial(&reader), "nothing yet");
	is_int(grpc_reader_next(&reader, &msg, &n), GRPC_FRAME_NEED_MORE,
		   "nothing to read");
	grpc_reader_feed(&reader, "\0\0\0\0", 4);
	ok(grpc_reader_partial(&reader), "ends inside a prefix");
	is_int(grpc_reader_next(&reader, &msg, &n), GRPC_FRAME_NEED_MORE,
		   "part of a prefix");
	grpc_reader_feed(&reader, "\x64", 1);
	is_int(grpc_reader_next(&reader, &msg, &n), GRPC_FRAME_NEED_MORE,
		   "the largest message is awaited");
	memset(big, 'x', sizeof(big));
	is_int(grpc_reader_backlog(&reader), 0, "behind which there is nothing");
	ok(grpc_reader_feed(&reader, big, 64) && grpc_reader_feed(&reader, big, 37),
	   "fed, and the begin of the next");
	is_int(grpc_reader_backlog(&reader), 1, "is behind it");
	is_int(grpc_reader_next(&reader, &msg, &n), GRPC_FRAME_READY, "whole");
	is_int(n, 100, "of full length");
	is_int(grpc_reader_next(&reader, &msg, &n), GRPC_FRAME_NEED_MORE,
		   "one byte of the next prefix");
	grpc_reader_free(&reader);

	grpc_reader_init(&reader, 100, NULL);
	grpc_reader_feed(&reader, "\0\0\0\0\x65", 5);
	is_int(grpc_reader_next(&reader, &msg, &n), GRPC_FRAME_TOO_LARGE,
		   "refused by its length alone");
	ok(grpc_reader_feed(&reader, big, 64) && grpc_reader_feed(&reader, big, 64),
	   "up to a message is kept");
	ok(!grpc_reader_feed(&reader, big, 64), "more is not");
	grpc_reader_free(&reader);

	grpc_reader_init(&reader, 100, NULL);
	grpc_reader_feed(&reader, "\1\0\0\0\0", 5);
	is_int(grpc_reader_next(&reader, &msg, &n), GRPC_FRAME_COMPRESSED,
		   "compression is refused");
	grpc_reader_free(&reader);
}

static void
test_prefix(void)
{
	Buf buf;

	buf_init(&buf, 0, NULL);
	grpc_put_prefix(&buf, 0x01020304);
	is_bytes(buf.data, buf.len, "\0\1\2\3\4", 5, "prefix");
	grpc_put_prefix(&buf, (size_t) 1 << 32);
	ok(buf.failed, "no prefix beyond 32 bits");
	buf_free(&buf);
}

static bool
read_some(void)
{
	Buf stream;
	Buf out;
	bool good;

	buf_init(&stream, 0, NULL);
	buf_init(&out, 0, NULL);
	for (int i = 0; i < 100; i++)
		put_message(&stream, "0123456789");
	good = read_in_pieces(&stream, 3, 1000, 1000, failing_realloc, &out);
	buf_free(&stream);
	buf_free(&out);
	return good;
}

int
main(void)
{
	test_pieces();
	test_errors();
	test_prefix();
	check_out_of_memory(read_some, "read");
	return done_testing();
}
