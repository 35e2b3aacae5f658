/*-------------------------------------------------------------------------
 *
 * long_output.c
 *	  Outputs that do not fit into a frame; see long_output.h.
 *
 *-------------------------------------------------------------------------
 */
#include "dispatcher/long_output.h"

#define MAX_HEAD 128  /* bytes, of a good output */
#define MAX_WAITING 8 /* frames of a channel; with more, parts wait for the end */

bool
long_output_is(size_t size)
{
	return size > FRAME_MAX - sizeof(FrameHeader);
}

/* The next part, of a record that begins with head and goes on with data. */
static OutFrame *
make_part(const LongOutput *begun, uint32 call, const Buf *head,
		  const char *data)
{
	OutFrame *frame = out_frame_create();
	size_t at = begun->sent;
	size_t end = at + FRAME_PART_SIZE;
	Buf *buf;

	if (frame == NULL)
		return NULL;
	buf = out_frame_buf(frame);
	frame_put_part_head(buf, FRAME_OUTPUT_PART, call, begun->size, at,
						FRAME_PART_SIZE);
	if (at < head->len)
	{
		buf_put(buf, head->data + at, head->len - at);
		at = head->len;
	}
	buf_put(buf, data + (at - head->len), end - at);
	return frame;
}

void
long_output_more(LongOutput *begun, Attachment *att, uint32 call,
				 const FrameOutput *out, size_t come)
{
	size_t size = frame_output_size(out);
	uint8_t bytes[MAX_HEAD];
	Buf head = {.data = bytes, .cap = sizeof(bytes), .limit = sizeof(bytes)};

	/* another one than before shows at its end */
	if (!long_output_is(size) || !long_output_goes_on(begun, out))
		return;
	begun->size = size;
	frame_put_output_head(&head, out);
	Assert(!head.failed && head.len + out->data.n == size);
	/* its last part is left to the end */
	while (begun->sent + FRAME_PART_SIZE < size &&
		   begun->sent + FRAME_PART_SIZE <= head.len + come &&
		   att->nwaiting < MAX_WAITING && !att->broken)
	{
		attachment_send(att, make_part(begun, call, &head, out->data.p));
		begun->sent += FRAME_PART_SIZE;
	}
}

bool
long_output_goes_on(const LongOutput *begun, const FrameOutput *out)
{
	return begun->sent == 0 || begun->size == frame_output_size(out);
}

void
long_output_end(LongOutput *begun, Attachment *att, uint32 call,
				const FrameOutput *out, Buf *owner)
{
	size_t sent = begun->sent;
	OutFrame *frame;
	Buf data;

	Assert(long_output_goes_on(begun, out));
	*begun = (LongOutput){0};
	buf_init(&data, 0, NULL);
	if (owner == NULL || (char *) owner->data != out->data.p)
	{
		buf_put(&data, out->data.p, out->data.n);
		owner = &data;
	}
	frame = data.failed ? NULL : out_frame_create_long(call, owner, sent);
	if (frame != NULL)
		frame_put_output_head(out_frame_buf(frame), out);
	attachment_send(att, frame);
	buf_free(&data);
}
