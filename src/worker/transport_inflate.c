/*-------------------------------------------------------------------------
 *
 * transport_inflate.c
 *	  Bodies with "Content-Encoding: gzip", piece by piece.
 *
 * However much a few bytes expand to, no more than one piece of it is held
 * here: the receiver sets the limit.
 *
 *-------------------------------------------------------------------------
 */
#include "worker/transport_inflate.h"

#include <limits.h>
#include <stdlib.h>
#include <zlib.h>

#define PIECE_SIZE (16 * 1024)
#define GZIP_ONLY 16 /* zlib's inflateInit2: added to the bits of the window */

struct Inflate
{
	z_stream stream;
	bool complete;
};

Inflate *
inflate_create(void)
{
	Inflate *inflate = calloc(1, sizeof(*inflate));

	if (inflate != NULL &&
		inflateInit2(&inflate->stream, MAX_WBITS + GZIP_ONLY) != Z_OK)
	{
		free(inflate);
		return NULL;
	}
	return inflate;
}

InflateResult
inflate_feed(Inflate *inflate_state, const void *p, size_t n,
			 bool (*put)(void *arg, const void *p, size_t n), void *arg)
{
	z_stream *stream = &inflate_state->stream;
	unsigned char piece[PIECE_SIZE];

	if (n == 0)
		return INFLATE_OK;
	if (inflate_state->complete || n > UINT_MAX)
		return INFLATE_BAD;
	stream->next_in = (unsigned char *) p;
	stream->avail_in = (unsigned int) n;
	do
	{
		int rc;

		stream->next_out = piece;
		stream->avail_out = sizeof(piece);
		rc = inflate(stream, Z_NO_FLUSH);
		if (rc != Z_OK && rc != Z_STREAM_END && rc != Z_BUF_ERROR)
			return INFLATE_BAD;
		if (stream->avail_out < sizeof(piece) &&
			!put(arg, piece, sizeof(piece) - stream->avail_out))
			return INFLATE_STOPPED;
		inflate_state->complete = rc == Z_STREAM_END;
	} while (!inflate_state->complete &&
			 (stream->avail_in > 0 || stream->avail_out == 0));
	return stream->avail_in == 0 ? INFLATE_OK : INFLATE_BAD;
}

bool
inflate_complete(const Inflate *inflate)
{
	return inflate->complete;
}

void
inflate_free(Inflate *inflate)
{
	if (inflate == NULL)
		return;
	inflateEnd(&inflate->stream);
	free(inflate);
}
