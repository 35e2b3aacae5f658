/*
 * The same gRPC messages come out of a stream, however it is cut into pieces.
 * The first two bytes of the input say how.
 */
#include "fuzz.h"

#include "core/grpc_frame.h"

#define MAX_MESSAGE 1000

/* Feed in pieces of that size; all messages, and how it ended. */
static GrpcFrameResult
read_stream(const uint8_t *data, size_t size, size_t piece, Buf *messages)
{
	GrpcReader reader;
	GrpcFrameResult result = GRPC_FRAME_NEED_MORE;
	const uint8_t *msg;
	size_t n;

	grpc_reader_init(&reader, MAX_MESSAGE, NULL);
	while (size > 0 && result == GRPC_FRAME_NEED_MORE)
	{
		size_t now = piece < size ? piece : size;

		REQUIRE(grpc_reader_feed(&reader, data, now));
		data += now;
		size -= now;
		while ((result = grpc_reader_next(&reader, &msg, &n)) ==
			   GRPC_FRAME_READY)
		{
			REQUIRE(n <= MAX_MESSAGE);
			grpc_put_prefix(messages, n);
			buf_put(messages, msg, n);
		}
	}
	if (result == GRPC_FRAME_NEED_MORE && grpc_reader_partial(&reader))
		buf_put_cstr(messages, "cut");
	grpc_reader_free(&reader);
	return result;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t piece;
	Buf whole;
	Buf pieces;

	if (!take_piece_size(&data, &size, &piece))
		return 0;

	buf_init(&whole, 0, NULL);
	buf_init(&pieces, 0, NULL);
	REQUIRE(read_stream(data, size, size, &whole) ==
			read_stream(data, size, piece, &pieces));
	REQUIRE(whole.len == pieces.len &&
			(whole.len == 0 ||
			 memcmp(whole.data, pieces.data, whole.len) == 0));
	buf_free(&whole);
	buf_free(&pieces);
	return 0;
}
