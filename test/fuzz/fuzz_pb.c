/*
 * Protocol buffers: fields lie within their message, and what was read is read
 * again when it has been written.
 */
#include "fuzz.h"

#include "core/pb.h"

#define MAX_DEPTH 4

static void
put_field(Buf *buf, const PbField *f)
{
	switch (f->wire)
	{
		case PB_VARINT:
			pb_put_uint(buf, f->number, f->u);
			break;
		case PB_BYTES:
			pb_put_bytes(buf, f->number, f->p, f->n);
			break;
		case PB_FIXED64:
			pb_put_tag(buf, f->number, PB_FIXED64);
			pb_put_fixed(buf, f->u, 8);
			break;
		case PB_FIXED32:
			pb_put_tag(buf, f->number, PB_FIXED32);
			pb_put_fixed(buf, f->u, 4);
			break;
	}
}

/* Numbers of doubles and floats are compared by their bits. */
static bool
same(const PbField *a, const PbField *b)
{
	double x = pb_double(a);
	double y = pb_double(b);
	float v = pb_float(a);
	float w = pb_float(b);

	return a->number == b->number && a->wire == b->wire && a->u == b->u &&
		a->n == b->n && (a->n == 0 || memcmp(a->p, b->p, a->n) == 0) &&
		memcmp(&x, &y, sizeof(x)) == 0 && memcmp(&v, &w, sizeof(v)) == 0;
}

/* Every field of the message, and of what may be messages in it. */
static void
read_message(const uint8_t *data, size_t size, Buf *again, int depth)
{
	PbReader reader;
	PbField f;

	pb_reader_init(&reader, data, size);
	while (pb_next(&reader, &f))
	{
		REQUIRE(reader.p <= reader.end);
		if (f.wire == PB_BYTES)
			REQUIRE(f.p >= data && f.n <= size &&
					(size_t) (f.p - data) <= size - f.n);
		else
			REQUIRE(f.p == NULL && f.n == 0);
		if (again != NULL)
			put_field(again, &f);
		if (depth < MAX_DEPTH)
			read_message(f.p, f.n, NULL, depth + 1);
	}
	REQUIRE(reader.bad || reader.p == reader.end);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	PbReader first;
	PbReader second;
	PbField a;
	PbField b;
	Buf again;

	buf_init(&again, 0, NULL);
	read_message(data, size, &again, 0);
	pb_reader_init(&first, data, size);
	pb_reader_init(&second, again.data, again.len);
	while (pb_next(&second, &b))
	{
		REQUIRE(pb_next(&first, &a));
		REQUIRE(same(&a, &b));
	}
	REQUIRE(!second.bad && !pb_next(&first, &a));
	buf_free(&again);
	return 0;
}
