/*-------------------------------------------------------------------------
 *
 * chunk.h
 *	  A stored run of a job's inputs, as one string of bytes.
 *
 * A chunk is a sequence of records; each is the length of its meta data, the
 * meta data, the length of the payload, the payload.  Lengths are LEB128.
 * Meta data is what stays here and tells where the result goes (key columns,
 * fingerprint); the payload is what is sent.  Chunks are joined by joining
 * their bytes.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_CORE_CHUNK_H
#define MODAL_CORE_CHUNK_H

#include "core/buf.h"

/* A chunk is closed when it has so many bytes, or so many inputs. */
#define CHUNK_TARGET_BYTES (64 * 1024)
#define CHUNK_MAX_INPUTS 8192

typedef struct ChunkRecord
{
	const uint8_t *meta;
	size_t meta_len;
	const uint8_t *payload;
	size_t payload_len;
} ChunkRecord;

extern void chunk_put(Buf *buf, const void *meta, size_t meta_len,
					  const void *payload, size_t payload_len);
/*
 * Read the record at *p and move *p behind it.  False at the end of the bytes
 * (then *p == end), or when they are not a whole record (then *p < end).
 */
extern bool chunk_next(const uint8_t **p, const uint8_t *end,
					   ChunkRecord *record);

/* Bitmaps of a chunk's inputs: bit i of byte i/8. */
static inline size_t
chunk_bitmap_size(int count)
{
	return ((size_t) count + 7) / 8;
}

static inline bool
chunk_bit(const uint8_t *bits, int i)
{
	return (bits[i / 8] >> (i % 8)) & 1;
}

static inline void
chunk_set_bit(uint8_t *bits, int i)
{
	bits[i / 8] |= (uint8_t) (1 << (i % 8));
}

static inline void
chunk_clear_bit(uint8_t *bits, int i)
{
	bits[i / 8] &= (uint8_t) ~(1 << (i % 8));
}

#endif /* MODAL_CORE_CHUNK_H */
