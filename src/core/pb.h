/*-------------------------------------------------------------------------
 *
 * pb.h
 *	  Protocol buffers' wire format, for the messages that carry inputs and
 *	  outputs: there is one of them per row, so they are written straight into
 *	  the request and read straight from the reply.  All other messages go
 *	  through generated code.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_CORE_PB_H
#define MODAL_CORE_PB_H

#include <endian.h>

#include "core/buf.h"

typedef enum PbWire
{
	PB_VARINT = 0,
	PB_FIXED64 = 1,
	PB_BYTES = 2,
	PB_FIXED32 = 5
} PbWire;

/* --- writing ----------------------------------------------------------- */

static inline size_t
pb_varint_size(uint64_t v)
{
	size_t n = 1;

	while (v >= 0x80)
	{
		v >>= 7;
		n++;
	}
	return n;
}

/* Of a field below 16 that holds n bytes. */
static inline size_t
pb_bytes_size(size_t n)
{
	return 1 + pb_varint_size(n) + n;
}

static inline void
pb_put_varint(Buf *buf, uint64_t v)
{
	if (!buf_reserve(buf, 10))
		return;
	while (v >= 0x80)
	{
		buf->data[buf->len++] = (uint8_t) (v | 0x80);
		v >>= 7;
	}
	buf->data[buf->len++] = (uint8_t) v;
}

static inline void
pb_put_tag(Buf *buf, uint32_t field, PbWire wire)
{
	pb_put_varint(buf, (uint64_t) field << 3 | wire);
}

static inline void
pb_put_uint(Buf *buf, uint32_t field, uint64_t v)
{
	pb_put_tag(buf, field, PB_VARINT);
	pb_put_varint(buf, v);
}

static inline void
pb_put_bytes(Buf *buf, uint32_t field, const void *p, size_t n)
{
	pb_put_tag(buf, field, PB_BYTES);
	pb_put_varint(buf, n);
	buf_put(buf, p, n);
}

static inline void
pb_put_string(Buf *buf, uint32_t field, const char *s)
{
	pb_put_bytes(buf, field, s, strlen(s));
}

/* The format is little-endian. */
static inline void
pb_put_fixed(Buf *buf, uint64_t bits, size_t n)
{
	for (size_t i = 0; i < n; i++)
		buf_put_u8(buf, (uint8_t) (bits >> (8 * i)));
}

static inline void
pb_put_float(Buf *buf, uint32_t field, float v)
{
	uint32_t bits;

	memcpy(&bits, &v, sizeof(bits));
	pb_put_tag(buf, field, PB_FIXED32);
	pb_put_fixed(buf, bits, sizeof(bits));
}

static inline void
pb_put_double(Buf *buf, uint32_t field, double v)
{
	uint64_t bits;

	memcpy(&bits, &v, sizeof(bits));
	pb_put_tag(buf, field, PB_FIXED64);
	pb_put_fixed(buf, bits, sizeof(bits));
}

/* --- reading ----------------------------------------------------------- */

typedef struct PbReader
{
	const uint8_t *p;
	const uint8_t *end;
	bool bad; /* not protocol buffers */
} PbReader;

typedef struct PbField
{
	uint32_t number;
	PbWire wire;
	uint64_t u;		  /* VARINT; the bits of FIXED32 and FIXED64 */
	const uint8_t *p; /* BYTES */
	size_t n;
} PbField;

static inline void
pb_reader_init(PbReader *r, const void *p, size_t n)
{
	r->p = p;
	r->end = n > 0 ? r->p + n : r->p; /* p may be NULL */
	r->bad = false;
}

/* The slow half of pb_read_varint: more than one byte, or none. */
static inline bool
pb_read_long_varint(PbReader *r, uint64_t *v)
{
	uint64_t result = 0;

	for (int shift = 0; shift < 64 && r->p < r->end; shift += 7)
	{
		uint8_t byte = *r->p++;

		result |= (uint64_t) (byte & 0x7f) << shift;
		if (byte < 0x80)
		{
			*v = result;
			return true;
		}
	}
	r->bad = true;
	return false;
}

/* Most are tags, lengths and small numbers: one byte. */
static inline bool
pb_read_varint(PbReader *r, uint64_t *v)
{
	if (r->p < r->end && *r->p < 0x80)
	{
		*v = *r->p++;
		return true;
	}
	return pb_read_long_varint(r, v);
}

static inline bool
pb_read_fixed(PbReader *r, uint64_t *v, size_t n)
{
	if ((size_t) (r->end - r->p) < n)
	{
		r->bad = true;
		return false;
	}
	*v = 0;
	memcpy(v, r->p, n);
	*v = le64toh(*v); /* the format is little-endian */
	r->p += n;
	return true;
}

/* The next field; false at the end, or when bad. */
static inline bool
pb_next(PbReader *r, PbField *f)
{
	uint64_t tag;
	uint64_t n;

	if (r->p == r->end || !pb_read_varint(r, &tag))
		return false;
	f->number = (uint32_t) (tag >> 3);
	f->wire = (PbWire) (tag & 7);
	f->p = NULL;
	f->n = 0;
	f->u = 0;
	switch (f->wire)
	{
		case PB_VARINT:
			return pb_read_varint(r, &f->u);
		case PB_FIXED64:
			return pb_read_fixed(r, &f->u, 8);
		case PB_FIXED32:
			return pb_read_fixed(r, &f->u, 4);
		case PB_BYTES:
			if (!pb_read_varint(r, &n))
				return false;
			if (n > (size_t) (r->end - r->p))
				break;
			f->p = r->p;
			f->n = n;
			r->p += n;
			return true;
	}
	r->bad = true;
	return false;
}

static inline double
pb_double(const PbField *f)
{
	double v;

	memcpy(&v, &f->u, sizeof(v));
	return f->wire == PB_FIXED64 ? v : 0;
}

static inline float
pb_float(const PbField *f)
{
	uint32_t bits = (uint32_t) f->u;
	float v;

	memcpy(&v, &bits, sizeof(v));
	return f->wire == PB_FIXED32 ? v : 0;
}

#endif /* MODAL_CORE_PB_H */
