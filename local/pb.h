/*-------------------------------------------------------------------------
 *
 * pb.h
 *	  Protobuf's wire format, for the messages of which there are thousands.
 *
 * protoc-c's code serves all other messages; reading or writing an input or
 * an output with it takes longer than everything else the server does for it.
 * Field numbers are those of modal.proto.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_LOCAL_PB_H
#define MODAL_LOCAL_PB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum PbWireType
{
	PB_VARINT = 0,
	PB_FIXED64 = 1,
	PB_BYTES = 2,
	PB_FIXED32 = 5
};

#define PB_MAX_VARINT 10

/* --- reading: fields one by one ----------------------------------------- */

typedef struct PbReader
{
	const uint8_t *p;
	const uint8_t *end;
	bool failed; /* malformed */
} PbReader;

typedef struct PbField
{
	uint32_t number;
	enum PbWireType type;
	uint64_t value; /* of VARINT, FIXED64 and FIXED32 */
	const uint8_t *data; /* of BYTES */
	size_t len;
} PbField;

static inline PbReader
pb_reader(const void *p, size_t n)
{
	return (PbReader){p, (const uint8_t *) p + n, false};
}

static inline uint64_t
pb_read_varint(PbReader *r)
{
	uint64_t value = 0;

	for (int shift = 0; shift < 64 && r->p < r->end; shift += 7)
	{
		uint8_t byte = *r->p++;

		value |= (uint64_t) (byte & 0x7f) << shift;
		if (byte < 0x80)
			return value;
	}
	r->failed = true;
	return 0;
}

static inline uint64_t
pb_read_fixed(PbReader *r, size_t size)
{
	uint64_t value = 0;

	if ((size_t) (r->end - r->p) < size)
	{
		r->failed = true;
		return 0;
	}
	for (size_t i = 0; i < size; i++)
		value |= (uint64_t) r->p[i] << (8 * i);
	r->p += size;
	return value;
}

/* False at the end and on error (r->failed). */
static inline bool
pb_next(PbReader *r, PbField *field)
{
	uint64_t key;

	if (r->failed || r->p == r->end)
		return false;
	key = pb_read_varint(r);
	field->number = (uint32_t) (key >> 3);
	field->type = key & 7;
	field->data = r->p; /* not NULL, for memcpy */
	field->len = 0;
	switch (field->type)
	{
		case PB_VARINT:
			field->value = pb_read_varint(r);
			break;
		case PB_FIXED64:
			field->value = pb_read_fixed(r, 8);
			break;
		case PB_FIXED32:
			field->value = pb_read_fixed(r, 4);
			break;
		case PB_BYTES:
			field->value = pb_read_varint(r);
			if (field->value > (size_t) (r->end - r->p))
			{
				r->failed = true;
				return false;
			}
			field->data = r->p;
			field->len = field->value;
			r->p += field->len;
			break;
		default:
			r->failed = true;
	}
	return !r->failed;
}

/* --- writing: to a place that is known to be large enough ---------------- */

static inline size_t
pb_varint_size(uint64_t v)
{
	/* 7 bits a byte: floor(log2(v)) / 7 + 1 bytes */
	return (size_t) (63 - __builtin_clzll(v | 1)) / 7 + 1;
}

static inline uint8_t *
pb_put_varint(uint8_t *p, uint64_t v)
{
	while (v >= 0x80)
	{
		*p++ = (uint8_t) v | 0x80;
		v >>= 7;
	}
	*p++ = (uint8_t) v;
	return p;
}

static inline uint8_t *
pb_put_key(uint8_t *p, uint32_t number, enum PbWireType type)
{
	return pb_put_varint(p, number << 3 | type);
}

/* Of a field with a number under 16, its key included. */
static inline size_t
pb_bytes_size(size_t len)
{
	return 1 + pb_varint_size(len) + len;
}

static inline uint8_t *
pb_put_bytes(uint8_t *p, uint32_t number, const void *data, size_t len)
{
	p = pb_put_key(p, number, PB_BYTES);
	p = pb_put_varint(p, len);
	if (len > 0)
		memcpy(p, data, len);
	return p + len;
}

static inline uint8_t *
pb_put_uint(uint8_t *p, uint32_t number, uint64_t v)
{
	return pb_put_varint(pb_put_key(p, number, PB_VARINT), v);
}

static inline uint8_t *
pb_put_double(uint8_t *p, uint32_t number, double d)
{
	uint64_t bits;

	memcpy(&bits, &d, sizeof(bits));
	p = pb_put_key(p, number, PB_FIXED64);
	for (int i = 0; i < 8; i++)
		*p++ = (uint8_t) (bits >> (8 * i));
	return p;
}

#endif /* MODAL_LOCAL_PB_H */
