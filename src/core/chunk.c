/*-------------------------------------------------------------------------
 *
 * chunk.c
 *	  Writing and reading the records of a chunk; see chunk.h.
 *
 *-------------------------------------------------------------------------
 */
#include "core/chunk.h"

#define MAX_VARINT 10

static void
put_length(Buf *buf, size_t n)
{
	uint8_t bytes[MAX_VARINT];
	size_t len = 0;

	while (n >= 0x80)
	{
		bytes[len++] = (uint8_t) (n | 0x80);
		n >>= 7;
	}
	bytes[len++] = (uint8_t) n;
	buf_put(buf, bytes, len);
}

/* A length, and as many bytes after it. */
static bool
get_slice(const uint8_t **p, const uint8_t *end, const uint8_t **slice,
		  size_t *len)
{
	const uint8_t *at = *p;
	uint64_t n = 0;

	for (int shift = 0;; shift += 7)
	{
		/* 63 bits are more than any length that memory can hold */
		if (at == end || shift >= 63)
			return false;
		n |= (uint64_t) (*at & 0x7f) << shift;
		if (!(*at++ & 0x80))
			break;
	}
	if (n > (uint64_t) (end - at))
		return false;
	*slice = at;
	*len = (size_t) n;
	*p = at + n;
	return true;
}

void
chunk_put(Buf *buf, const void *meta, size_t meta_len, const void *payload,
		  size_t payload_len)
{
	put_length(buf, meta_len);
	buf_put(buf, meta, meta_len);
	put_length(buf, payload_len);
	buf_put(buf, payload, payload_len);
}

bool
chunk_next(const uint8_t **p, const uint8_t *end, ChunkRecord *record)
{
	const uint8_t *at = *p;

	if (at == end ||
		!get_slice(&at, end, &record->meta, &record->meta_len) ||
		!get_slice(&at, end, &record->payload, &record->payload_len))
		return false;
	*p = at;
	return true;
}
