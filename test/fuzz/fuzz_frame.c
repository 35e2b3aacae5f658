/*
 * Frames between sessions and the dispatcher: one that is read, written
 * again, is the same bytes.
 */
#include "fuzz.h"

#include "core/frame.h"

#define HEADER sizeof(FrameHeader)
#define LONGEST_TEXT (FRAME_MAX / 4) /* longer ones are cut when written */

static void
check_options(Slice options)
{
	Slice name;
	Slice value;
	size_t total = 0;
	size_t size = options.n;
	bool bad;

	while (frame_next_option(&options, &name, &value, &bad))
		total += 2 * sizeof(uint32_t) + name.n + value.n;
	REQUIRE(bad ? total <= size : total == size);
}

/* Write the frame again; false when that need not be the same. */
static bool
rewrite(FrameReader *r, Buf *out)
{
	uint32_t call = r->header.call;
	CallOpen open;
	CallOpened opened;
	CallClosed closed;
	FrameOutput output;
	Slice slice;
	int64_t ordinal;
	uint64_t total;
	uint64_t offset;
	uint32_t count;
	bool bad;

	switch ((FrameType) r->header.type)
	{
		case FRAME_OPEN:
			if (!frame_get_open(r, &open))
				return false;
			check_options(open.endpoint);
			frame_put_open(out, call, &open);
			return true;
		case FRAME_OPENED:
			if (!frame_get_opened(r, &opened))
				return false;
			frame_put_opened(out, call, &opened);
			return true;
		case FRAME_ACCEPTED:
			if (!frame_get_accepted(r, &ordinal, &count))
				return false;
			frame_put_accepted(out, call, ordinal, count);
			return true;
		case FRAME_CONSUMED:
			if (!frame_get_consumed(r, &total, &ordinal, &offset))
				return false;
			frame_put_consumed(out, call, total, ordinal, offset);
			return true;
		case FRAME_NOTICE:
			if (!frame_get_notice(r, &slice) || slice.n > LONGEST_TEXT)
				return false;
			frame_put_notice(out, call, (NoticeKind) r->header.flags, slice);
			return true;
		case FRAME_CREDIT:
			if (!frame_get_credit(r, &total))
				return false;
			frame_put_credit(out, call, total);
			return true;
		case FRAME_CLOSED:
			if (!frame_get_closed(r, &closed) ||
				closed.message.n > LONGEST_TEXT ||
				closed.detail.n > LONGEST_TEXT || closed.hint.n > LONGEST_TEXT)
				return false;
			frame_put_closed(out, call, &closed);
			return true;
		case FRAME_INPUTS:
			frame_put_header(out, FRAME_INPUTS, 0, call);
			while (frame_next_input(r, &ordinal, &slice, &bad))
				frame_put_input(out, ordinal, slice.p, slice.n);
			return !bad;
		case FRAME_OUTPUTS:
			frame_put_header(out, FRAME_OUTPUTS, 0, call);
			while (frame_next_output(r, &output, &bad))
			{
				size_t before = out->len;

				frame_put_output(out, &output);
				REQUIRE(out->len - before == frame_output_size(&output));
			}
			return !bad;
		case FRAME_INPUT_PART:
		case FRAME_OUTPUT_PART:
			if (!frame_get_part(r, &total, &offset, &slice))
				return false;
			frame_put_part(out, r->header.type, call, total, offset, slice.p,
						   slice.n);
			return true;
		case FRAME_FINISH:
		case FRAME_CANCEL:
			return false;
	}
	REQUIRE(!"a frame of unknown type is read");
	return false;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	FrameReader r;
	Buf out;

	check_options((Slice){(const char *) data, size});

	buf_init(&out, 0, NULL);
	if (frame_read(&r, data, size) && rewrite(&r, &out))
	{
		REQUIRE(!out.failed && out.len == size);
		REQUIRE(memcmp(out.data + HEADER, data + HEADER, size - HEADER) == 0);
	}
	buf_free(&out);
	return 0;
}
