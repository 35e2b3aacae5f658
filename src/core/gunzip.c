/*-------------------------------------------------------------------------
 *
 * gunzip.c
 *	  Compressed bodies, piece by piece; see gunzip.h.
 *
 * However much a few bytes expand to, no more than one piece of it is held
 * here: the receiver sets the limit.  What follows the end of a member is
 * another one (RFC 1952, 2.2), or no gzip; zeros to the end fill a block, as
 * gzip's own program has it.
 *
 *-------------------------------------------------------------------------
 */
#include "core/gunzip.h"

#include <limits.h>
#include <stdlib.h>
#include <zlib.h>

#define PIECE_SIZE (16 * 1024)
#define GZIP_ONLY 16 /* zlib's inflateInit2: added to the bits of the window */

struct Gunzip
{
	z_stream stream;
	bool complete; /* a member has ended, and no other one begun */
	bool padded;   /* it was followed by zeros */
};

/* Past zeros that follow a member. */
static bool
skip_padding(Gunzip *gunzip)
{
	z_stream *stream = &gunzip->stream;

	while (gunzip->complete && stream->avail_in > 0 && *stream->next_in == 0)
	{
		gunzip->padded = true;
		stream->next_in++;
		stream->avail_in--;
	}
	return stream->avail_in > 0 || !gunzip->complete;
}

Gunzip *
gunzip_create(void)
{
	Gunzip *gunzip = calloc(1, sizeof(*gunzip));

	if (gunzip != NULL &&
		inflateInit2(&gunzip->stream, MAX_WBITS + GZIP_ONLY) != Z_OK)
	{
		free(gunzip);
		return NULL;
	}
	return gunzip;
}

GunzipResult
gunzip_feed(Gunzip *gunzip, const void *p, size_t n,
			bool (*put)(void *arg, const void *p, size_t n), void *arg)
{
	z_stream *stream = &gunzip->stream;
	unsigned char piece[PIECE_SIZE];

	if (n == 0)
		return GUNZIP_OK;
	if (n > UINT_MAX)
		return GUNZIP_BAD;
	stream->next_in = (unsigned char *) p;
	stream->avail_in = (unsigned int) n;
	do
	{
		int rc;

		if (!skip_padding(gunzip))
			break;
		if (gunzip->padded ||
			(gunzip->complete && inflateReset(stream) != Z_OK))
			return GUNZIP_BAD;
		stream->next_out = piece;
		stream->avail_out = sizeof(piece);
		rc = inflate(stream, Z_NO_FLUSH);
		if (rc != Z_OK && rc != Z_STREAM_END && rc != Z_BUF_ERROR)
			return GUNZIP_BAD;
		if (stream->avail_out < sizeof(piece) &&
			!put(arg, piece, sizeof(piece) - stream->avail_out))
			return GUNZIP_STOPPED;
		gunzip->complete = rc == Z_STREAM_END;
	} while (stream->avail_in > 0 ||
			 (!gunzip->complete && stream->avail_out == 0));
	return GUNZIP_OK;
}

bool
gunzip_complete(const Gunzip *gunzip)
{
	return gunzip->complete;
}

void
gunzip_free(Gunzip *gunzip)
{
	if (gunzip == NULL)
		return;
	inflateEnd(&gunzip->stream);
	free(gunzip);
}
