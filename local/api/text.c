/*-------------------------------------------------------------------------
 *
 * text.c
 *	  Protobuf messages as text, for the request log.
 *
 *-------------------------------------------------------------------------
 */
#include "api/text.h"

#include <inttypes.h>

static void
put_string(Buf *out, const char *s)
{
	for (; s != NULL && *s != '\0'; s++)
		buf_put_u8(out, (uint8_t) *s < 0x20 ? '?' : (uint8_t) *s);
}

/* One value, in the memory where protobuf-c keeps it. */
static void
put_value(Buf *out, const ProtobufCFieldDescriptor *field, const void *value)
{
	switch (field->type)
	{
		case PROTOBUF_C_TYPE_STRING:
			put_string(out, *(char *const *) value);
			break;
		case PROTOBUF_C_TYPE_MESSAGE:
			message_to_text(out, *(ProtobufCMessage *const *) value);
			break;
		case PROTOBUF_C_TYPE_BOOL:
			buf_put_cstr(out, *(const protobuf_c_boolean *) value ? "true"
																  : "false");
			break;
		case PROTOBUF_C_TYPE_FLOAT:
			buf_printf(out, "%g", (double) *(const float *) value);
			break;
		case PROTOBUF_C_TYPE_DOUBLE:
			buf_printf(out, "%g", *(const double *) value);
			break;
		case PROTOBUF_C_TYPE_UINT64:
			buf_printf(out, "%" PRIu64, *(const uint64_t *) value);
			break;
		case PROTOBUF_C_TYPE_INT64:
			buf_printf(out, "%" PRId64, *(const int64_t *) value);
			break;
		case PROTOBUF_C_TYPE_UINT32:
			buf_printf(out, "%" PRIu32, *(const uint32_t *) value);
			break;
		case PROTOBUF_C_TYPE_INT32:
		case PROTOBUF_C_TYPE_ENUM:
			buf_printf(out, "%" PRId32, *(const int32_t *) value);
			break;
		default:
			buf_put_u8(out, '?');
	}
}

/* Bytes that a value of a repeated field takes up. */
static size_t
value_size(const ProtobufCFieldDescriptor *field)
{
	switch (field->type)
	{
		case PROTOBUF_C_TYPE_STRING:
		case PROTOBUF_C_TYPE_MESSAGE:
			return sizeof(void *);
		case PROTOBUF_C_TYPE_BOOL:
			return sizeof(protobuf_c_boolean);
		case PROTOBUF_C_TYPE_DOUBLE:
		case PROTOBUF_C_TYPE_UINT64:
		case PROTOBUF_C_TYPE_INT64:
			return sizeof(uint64_t);
		default:
			return sizeof(uint32_t);
	}
}

/* Has a field that is not repeated a value that was set? */
static bool
is_set(const ProtobufCFieldDescriptor *field, const ProtobufCMessage *message)
{
	const uint8_t *base = (const uint8_t *) message;
	const void *value = base + field->offset;

	if (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF)
		return *(const uint32_t *) (base + field->quantifier_offset) ==
			   field->id;
	if (field->type == PROTOBUF_C_TYPE_MESSAGE)
		return *(ProtobufCMessage *const *) value != NULL;
	if (field->type == PROTOBUF_C_TYPE_STRING)
		return (*(char *const *) value)[0] != '\0';
	for (size_t i = 0; i < value_size(field); i++)
		if (((const uint8_t *) value)[i] != 0)
			return true;
	return false;
}

static void
put_field(Buf *out, bool *first, const ProtobufCFieldDescriptor *field,
		  const void *value)
{
	if (!*first)
		buf_put_u8(out, ',');
	*first = false;
	buf_printf(out, "%s:", field->name);
	put_value(out, field, value);
}

void
message_to_text(Buf *out, const ProtobufCMessage *message)
{
	const uint8_t *base = (const uint8_t *) message;
	bool first = true;

	buf_put_u8(out, '{');
	for (unsigned i = 0; i < message->descriptor->n_fields; i++)
	{
		const ProtobufCFieldDescriptor *field = &message->descriptor->fields[i];

		if (field->type == PROTOBUF_C_TYPE_BYTES)
			continue;
		if (field->label != PROTOBUF_C_LABEL_REPEATED)
		{
			if (is_set(field, message))
				put_field(out, &first, field, base + field->offset);
			continue;
		}
		for (size_t k = 0;
			 k < *(const size_t *) (base + field->quantifier_offset); k++)
			put_field(out, &first, field,
					  *(const uint8_t *const *) (base + field->offset) +
						  k * value_size(field));
	}
	buf_put_u8(out, '}');
}
