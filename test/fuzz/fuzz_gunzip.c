/*
 * The same comes out of a compressed body, however it is cut into pieces, and
 * no more than the receiver takes.  The first two bytes of the input say how.
 */
#include "fuzz.h"

#include "core/buf.h"
#include "core/gunzip.h"

#define MAX_BODY (100 * 1024)

static bool
put(void *arg, const void *p, size_t n)
{
	Buf *body = arg;

	REQUIRE(n > 0);
	buf_put(body, p, n);
	return !body->failed;
}

/* Feed in pieces of that size; the body, and how it ended. */
static GunzipResult
read_body(const uint8_t *data, size_t size, size_t piece, Buf *body)
{
	Gunzip *gunzip = gunzip_create();
	GunzipResult result = GUNZIP_OK;

	REQUIRE(gunzip != NULL);
	while (size > 0 && result == GUNZIP_OK)
	{
		size_t now = piece < size ? piece : size;

		result = gunzip_feed(gunzip, data, now, put, body);
		data += now;
		size -= now;
	}
	if (gunzip_complete(gunzip) && result == GUNZIP_OK)
		buf_put_u8(body, '.');
	gunzip_free(gunzip);
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

	buf_init(&whole, MAX_BODY, NULL);
	buf_init(&pieces, MAX_BODY, NULL);
	/* What is given up early has come as far as the pieces let it. */
	if (read_body(data, size, size > 0 ? size : 1, &whole) == GUNZIP_OK)
	{
		REQUIRE(read_body(data, size, piece, &pieces) == GUNZIP_OK);
		REQUIRE(whole.len == pieces.len &&
				(whole.len == 0 ||
				 memcmp(whole.data, pieces.data, whole.len) == 0));
	}
	else
		REQUIRE(read_body(data, size, piece, &pieces) != GUNZIP_OK);
	buf_free(&whole);
	buf_free(&pieces);
	return 0;
}
