/*
 * The C side of the property test of protocol buffers; see records.h.
 *
 *   m   name, zero, message: unpacked and packed by the generated code
 *   f   a message's fields, read and written by core/pb.h
 */
#include <protobuf-c/protobuf-c.h>

#include "core/pb.h"
#include "modal.pb-c.h"
#include "records.h"

static const ProtobufCMessageDescriptor *const descriptors[] = {
#define MESSAGE(descriptor) &descriptor,
#include "messages.h"
};

static const ProtobufCMessageDescriptor *
find_descriptor(const char *name)
{
	for (size_t i = 0; i < sizeof(descriptors) / sizeof(descriptors[0]); i++)
	{
		if (strcmp(descriptors[i]->name, name) == 0)
			return descriptors[i];
	}
	return NULL;
}

static const char *
generated(Buf *out, const uint8_t *p, size_t n)
{
	size_t name = strnlen((const char *) p, n);
	const ProtobufCMessageDescriptor *descriptor;
	ProtobufCMessage *message;
	uint8_t *to;
	size_t size;

	if (name == n)
		return "no name";
	descriptor = find_descriptor((const char *) p);
	if (descriptor == NULL)
		return "no such message";
	message = protobuf_c_message_unpack(descriptor, NULL, n - name - 1,
										p + name + 1);
	if (message == NULL)
		return "not such a message";
	size = protobuf_c_message_get_packed_size(message);
	to = size > 0 ? buf_extend(out, size) : NULL;
	if (to != NULL)
		protobuf_c_message_pack(message, to);
	protobuf_c_message_free_unpacked(message, NULL);
	return NULL;
}

static const char *
by_hand(Buf *out, const uint8_t *p, size_t n)
{
	PbReader r;
	PbField f;

	pb_reader_init(&r, p, n);
	while (pb_next(&r, &f))
	{
		float single = pb_float(&f);
		double twice = pb_double(&f);

		switch (f.wire)
		{
			case PB_VARINT:
				pb_put_uint(out, f.number, f.u);
				break;
			case PB_BYTES:
				pb_put_bytes(out, f.number, f.p, f.n);
				break;
			case PB_FIXED32:
				pb_put_float(out, f.number, single);
				break;
			case PB_FIXED64:
				pb_put_double(out, f.number, twice);
				break;
		}
	}
	return r.bad ? "not protocol buffers" : NULL;
}

static const char *
handle(char op, Buf *out, const void *p, size_t n, bool *known)
{
	switch (op)
	{
		case 'm':
			return generated(out, p, n);
		case 'f':
			return by_hand(out, p, n);
		default:
			*known = false;
			return NULL;
	}
}

int
main(void)
{
	return answer_records(handle);
}
