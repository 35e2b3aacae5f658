/* Tests of core/frame: what is written is read back, and nothing else is. */
#include "tap.h"

#include "core/frame.h"

#define S(text) ((Slice){text, sizeof(text) - 1})
#define NONE ((Slice){NULL, 0})

static bool
same(Slice a, Slice b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static CallOpen
an_open(void)
{
	CallOpen open = {
		.kind = CALL_SPAWN_MAP,
		.op = CONTROL_NONE,
		.input_format = PAYLOAD_CBOR,
		.flags = CALL_RETURN_EXCEPTIONS | CALL_ORDERED,
		.window = 1000,
		.output_budget = (uint64_t) 1 << 40,
		.max_output = 1000 * 1024 * 1024,
		.deadline_ms = 30000,
		.first_ordinal = 7,
		.last_ordinal = -1,
		.total_inputs = INT64_MAX,
		.idempotency = "0123456789abcde",
		.endpoint = S("\1\0\0\0u\1\0\0\0v"),
		.reference = S("app/f"),
		.label = S("local:app/f"),
		.remote_call_id = S("fc-1"),
		.request = NONE,
	};

	return open;
}

static bool
same_open(const CallOpen *a, const CallOpen *b)
{
	return a->kind == b->kind && a->op == b->op &&
		a->input_format == b->input_format && a->flags == b->flags &&
		a->window == b->window && a->output_budget == b->output_budget &&
		a->max_output == b->max_output && a->deadline_ms == b->deadline_ms &&
		a->first_ordinal == b->first_ordinal &&
		a->last_ordinal == b->last_ordinal &&
		a->total_inputs == b->total_inputs &&
		memcmp(a->idempotency, b->idempotency, 16) == 0 &&
		same(a->endpoint, b->endpoint) && same(a->reference, b->reference) &&
		same(a->label, b->label) &&
		same(a->remote_call_id, b->remote_call_id) &&
		same(a->request, b->request);
}

/* Does this frame read as a whole, by the function for its type? */
static bool
reads(const void *p, size_t n)
{
	FrameReader r;
	CallOpen open;
	CallOpened opened;
	CallClosed closed;
	FrameOutput out;
	Slice slice;
	int64_t ordinal;
	uint64_t total;
	uint64_t offset;
	uint32_t count;
	bool bad;

	if (!frame_read(&r, p, n))
		return false;
	switch ((FrameType) r.header.type)
	{
		case FRAME_OPEN:
			return frame_get_open(&r, &open);
		case FRAME_INPUTS:
			while (frame_next_input(&r, &ordinal, &slice, &bad))
				;
			return !bad;
		case FRAME_INPUT_PART:
		case FRAME_OUTPUT_PART:
			return frame_get_part(&r, &total, &offset, &slice);
		case FRAME_CONSUMED:
			return frame_get_consumed(&r, &total, &ordinal, &offset);
		case FRAME_OPENED:
			return frame_get_opened(&r, &opened);
		case FRAME_ACCEPTED:
			return frame_get_accepted(&r, &ordinal, &count);
		case FRAME_OUTPUTS:
			while (frame_next_output(&r, &out, &bad))
				;
			return !bad;
		case FRAME_NOTICE:
			return frame_get_notice(&r, &slice);
		case FRAME_CREDIT:
			return frame_get_credit(&r, &total);
		case FRAME_CLOSED:
			return frame_get_closed(&r, &closed);
		case FRAME_FINISH:
		case FRAME_CANCEL:
			return r.p == r.end;
	}
	return false;
}

/*
 * A whole frame reads; none of its beginnings does, but those of INPUTS and
 * OUTPUTS that end after a record.
 */
static void
check_lengths(const Buf *buf, int whole_beginnings, const char *name)
{
	int good = 0;

	ok(reads(buf->data, buf->len), "%s is read", name);
	for (size_t n = 0; n < buf->len; n++)
	{
		/* a copy of its own, so that reading beyond it is seen */
		uint8_t *copy = malloc(n + 1);

		memcpy(copy, buf->data, n);
		good += reads(copy, n);
		free(copy);
	}
	is_int(good, whole_beginnings, "its beginnings");
}

static void
test_open(void)
{
	CallOpen open = an_open();
	CallOpen got;
	FrameReader r;
	Buf buf;
	char *big = calloc(1, FRAME_MAX);

	buf_init(&buf, 0, NULL);
	frame_put_open(&buf, 3, &open);
	check_lengths(&buf, 0, "OPEN");
	frame_read(&r, buf.data, buf.len);
	is_int(r.header.call, 3, "its call number");
	ok(frame_get_open(&r, &got) && same_open(&open, &got), "OPEN is the same");
	ok(got.request.p == NULL, "an empty slice is an absent one");
	frame_read(&r, buf.data, buf.len);
	ok(!frame_get_opened(&r, &(CallOpened){0}), "OPEN is no OPENED");

	buf_put_u8(&buf, 0);
	ok(!reads(buf.data, buf.len), "bytes after the last field");

	for (int i = 0; i < 6; i++)
	{
		CallOpen bad = an_open();

		switch (i)
		{
			case 0: bad.kind = 0; break;
			case 1: bad.kind = CALL_CONTROL; break; /* without an op */
			case 2: bad.op = CONTROL_PING; break;	/* only for CONTROL */
			case 3: bad.input_format = 4; break;
			case 4: bad.first_ordinal = -1; break;
			case 5: bad.total_inputs = -2; break;
		}
		buf_reset(&buf);
		frame_put_open(&buf, 3, &bad);
		ok(!reads(buf.data, buf.len), "bad value %d in OPEN", i);
	}

	open.request = (Slice){big, FRAME_MAX};
	buf_reset(&buf);
	frame_put_open(&buf, 3, &open);
	ok(buf.failed, "an OPEN too large for a frame fails");
	buf_free(&buf);
	free(big);
}

static void
test_small_frames(void)
{
	CallOpened opened = {.function_id = S("fu-1"), .remote_call_id = S("fc-2"),
						 .version = 9, .window = 100, .accepts_cbor = 1};
	CallOpened got_opened;
	FrameReader r;
	int64_t first;
	uint32_t count;
	uint64_t bytes;
	uint64_t received;
	Slice text;
	Buf buf;

	buf_init(&buf, 0, NULL);
	frame_put_opened(&buf, 1, &opened);
	check_lengths(&buf, 0, "OPENED");
	frame_read(&r, buf.data, buf.len);
	ok(frame_get_opened(&r, &got_opened) &&
		   same(got_opened.function_id, opened.function_id) &&
		   same(got_opened.remote_call_id, opened.remote_call_id) &&
		   got_opened.version == 9 && got_opened.window == 100 &&
		   got_opened.accepts_cbor == 1 && got_opened.is_generator == 0,
	   "OPENED is the same");

	buf_reset(&buf);
	frame_put_accepted(&buf, 1, 5, 10);
	check_lengths(&buf, 0, "ACCEPTED");
	frame_read(&r, buf.data, buf.len);
	ok(frame_get_accepted(&r, &first, &count) && first == 5 && count == 10,
	   "ACCEPTED is the same");
	buf_reset(&buf);
	frame_put_accepted(&buf, 1, INT64_MAX, 1);
	ok(!reads(buf.data, buf.len), "ordinals beyond 64 bits");

	buf_reset(&buf);
	frame_put_consumed(&buf, 1, 1 << 20, -1, 12);
	check_lengths(&buf, 0, "CONSUMED");
	frame_read(&r, buf.data, buf.len);
	ok(frame_get_consumed(&r, &bytes, &first, &received) &&
		   bytes == 1 << 20 && first == -1 && received == 12,
	   "CONSUMED is the same");
	buf_reset(&buf);
	frame_put_consumed(&buf, 1, 0, -2, 0);
	ok(!reads(buf.data, buf.len), "an ordinal that cannot be awaited");

	buf_reset(&buf);
	frame_put_notice(&buf, 1, NOTICE_THROTTLED, S("careful"));
	check_lengths(&buf, 0, "NOTICE");
	frame_read(&r, buf.data, buf.len);
	ok(frame_get_notice(&r, &text) && same(text, S("careful")) &&
		   r.header.flags == NOTICE_THROTTLED,
	   "NOTICE is the same");

	buf_reset(&buf);
	frame_put_credit(&buf, 7, UINT64_C(1) << 40);
	check_lengths(&buf, 0, "CREDIT");
	frame_read(&r, buf.data, buf.len);
	ok(frame_get_credit(&r, &bytes) && bytes == UINT64_C(1) << 40,
	   "CREDIT is the same");

	buf_reset(&buf);
	frame_put_header(&buf, FRAME_CANCEL, FRAME_FLAG_TERMINATE, 8);
	frame_read(&r, buf.data, buf.len);
	ok(r.header.type == FRAME_CANCEL && r.header.call == 8 &&
		   r.header.flags == FRAME_FLAG_TERMINATE,
	   "CANCEL is the same");

	for (unsigned int type = 0; type < 200; type++)
	{
		buf_reset(&buf);
		frame_put_header(&buf, type, 0, 1);
		if (frame_read(&r, buf.data, buf.len) !=
			((type >= FRAME_OPEN && type <= FRAME_CANCEL) ||
			 (type >= FRAME_OPENED && type <= FRAME_CLOSED)))
			ok(false, "type %u", type);
	}
	buf_reset(&buf);
	frame_put_header(&buf, FRAME_FINISH, 0, 0);
	ok(!frame_read(&r, buf.data, buf.len), "call numbers begin with 1");
	buf_free(&buf);
}

static void
test_closed(void)
{
	char *big = malloc(3 * FRAME_MAX);
	CallClosed closed = {.ok = 0, .retryable = 1, .sqlstate = "08006",
						 .message = S("lost"), .detail = S("because"),
						 .hint = S("try"), .inputs = 1, .failed = 2,
						 .retries = 3, .bytes_out = 4, .bytes_in = 5,
						 .requests = 6};
	CallClosed got;
	FrameReader r;
	Buf buf;

	buf_init(&buf, 0, NULL);
	frame_put_closed(&buf, 1, &closed);
	check_lengths(&buf, 0, "CLOSED");
	frame_read(&r, buf.data, buf.len);
	ok(frame_get_closed(&r, &got) && !got.ok && got.retryable &&
		   strcmp(got.sqlstate, "08006") == 0 &&
		   same(got.message, closed.message) &&
		   same(got.detail, closed.detail) && same(got.hint, closed.hint) &&
		   got.inputs == 1 && got.failed == 2 && got.retries == 3 &&
		   got.bytes_out == 4 && got.bytes_in == 5 && got.requests == 6,
	   "CLOSED is the same");

	closed.sqlstate[0] = '\0';
	buf_reset(&buf);
	frame_put_closed(&buf, 1, &closed);
	frame_read(&r, buf.data, buf.len);
	ok(frame_get_closed(&r, &got) && got.sqlstate[0] == '\0', "no SQLSTATE");
	memcpy(closed.sqlstate, "08\n06", 6);
	buf_reset(&buf);
	frame_put_closed(&buf, 1, &closed);
	ok(!reads(buf.data, buf.len), "a malformed SQLSTATE");

	for (size_t i = 0; i < 3 * FRAME_MAX; i++)
		big[i] = "\u20ac"[i % 3];
	memcpy(closed.sqlstate, "38000", 6);
	closed.message = (Slice){big, FRAME_MAX};
	closed.detail = (Slice){big, 2 * FRAME_MAX};
	closed.hint = (Slice){big, 3 * FRAME_MAX};
	buf_reset(&buf);
	frame_put_closed(&buf, 1, &closed);
	ok(buf.len <= FRAME_MAX, "long texts are cut");
	frame_read(&r, buf.data, buf.len);
	ok(frame_get_closed(&r, &got) && got.message.n > 10000 &&
		   got.message.n % 3 == 0 && got.hint.n % 3 == 0,
	   "at a character's border");
	buf_free(&buf);
	free(big);
}

static void
test_inputs(void)
{
	FrameReader r;
	int64_t ordinal;
	Slice data;
	bool bad;
	Buf buf;
	size_t before;

	buf_init(&buf, 0, NULL);
	frame_put_header(&buf, FRAME_INPUTS, 0, 1);
	before = buf.len;
	frame_put_input(&buf, 0, "first", 5);
	is_int(buf.len - before, frame_input_size(5), "size of an input");
	frame_put_input(&buf, 1, NULL, 0);
	frame_put_input(&buf, INT64_MAX, "x", 1);
	check_lengths(&buf, 3, "INPUTS");
	frame_read(&r, buf.data, buf.len);
	ok(frame_next_input(&r, &ordinal, &data, &bad) && ordinal == 0 &&
		   same(data, S("first")), "first input");
	ok(frame_next_input(&r, &ordinal, &data, &bad) && ordinal == 1 &&
		   data.n == 0, "empty input");
	ok(frame_next_input(&r, &ordinal, &data, &bad) && ordinal == INT64_MAX &&
		   same(data, S("x")), "last input");
	ok(!frame_next_input(&r, &ordinal, &data, &bad) && !bad, "no more");

	buf_reset(&buf);
	frame_put_input(&buf, -1, "x", 1);
	frame_read_records(&r, buf.data, buf.len);
	ok(!frame_next_input(&r, &ordinal, &data, &bad) && bad,
	   "a negative ordinal is bad");
	buf_free(&buf);
}

static void
test_outputs(void)
{
	FrameOutput good = {.ordinal = 4, .ok = 1, .format = PAYLOAD_CBOR,
						.attempts = 2, .started_at = 1.5, .finished_at = 2.5,
						.usage = 12.5, .data = S("\xf6")};
	FrameOutput failed = {.ordinal = 5, .format = PAYLOAD_JSON, .attempts = 9,
						  .retryable = 1, .sqlstate = "38000",
						  .type = S("ValueError"), .message = S("bad"),
						  .traceback = S("line 1")};
	FrameOutput got;
	FrameReader r;
	bool bad;
	Buf buf;
	size_t before;

	buf_init(&buf, 0, NULL);
	frame_put_header(&buf, FRAME_OUTPUTS, 0, 1);
	before = buf.len;
	frame_put_output(&buf, &good);
	is_int(buf.len - before, frame_output_size(&good), "size of an output");
	before = buf.len;
	frame_put_output(&buf, &failed);
	is_int(buf.len - before, frame_output_size(&failed), "size of a failed one");
	check_lengths(&buf, 2, "OUTPUTS");
	frame_read(&r, buf.data, buf.len);
	ok(frame_next_output(&r, &got, &bad) && got.ordinal == 4 && got.ok &&
		   got.format == PAYLOAD_CBOR && got.attempts == 2 &&
		   got.started_at == 1.5 && got.finished_at == 2.5 &&
		   got.usage == 12.5 &&
		   same(got.data, good.data) && got.message.n == 0,
	   "output is the same");
	ok(frame_next_output(&r, &got, &bad) && got.ordinal == 5 && !got.ok &&
		   got.retryable && strcmp(got.sqlstate, "38000") == 0 &&
		   same(got.type, failed.type) && same(got.message, failed.message) &&
		   same(got.traceback, failed.traceback) && got.data.n == 0,
	   "failed output is the same");
	ok(!frame_next_output(&r, &got, &bad) && !bad, "no more");

	buf_reset(&buf);
	frame_put_output_head(&buf, &good);
	is_int(buf.len, frame_output_size(&good) - good.data.n, "head of an output");
	buf_put(&buf, good.data.p, good.data.n);
	frame_read_records(&r, buf.data, buf.len);
	ok(frame_next_output(&r, &got, &bad) && same(got.data, good.data),
	   "and its data behind it");
	good.format = 0;
	buf_reset(&buf);
	frame_put_output(&buf, &good);
	frame_read_records(&r, buf.data, buf.len);
	ok(!frame_next_output(&r, &got, &bad) && bad, "data without a format");
	good.data = NONE;
	buf_reset(&buf);
	frame_put_output(&buf, &good);
	frame_read_records(&r, buf.data, buf.len);
	ok(frame_next_output(&r, &got, &bad), "a discarded output needs none");
	buf_free(&buf);
}

static void
test_parts(void)
{
	FrameReader r;
	uint64_t total;
	uint64_t offset;
	Slice data;
	Buf buf;

	buf_init(&buf, 0, NULL);
	frame_put_part(&buf, FRAME_INPUT_PART, 1, 100, 97, "end", 3);
	check_lengths(&buf, 0, "INPUT_PART");
	frame_read(&r, buf.data, buf.len);
	ok(frame_get_part(&r, &total, &offset, &data) && total == 100 &&
		   offset == 97 && same(data, S("end")),
	   "part is the same");
	buf_reset(&buf);
	frame_put_part_head(&buf, FRAME_OUTPUT_PART, 1, FRAME_MAX_PAYLOAD, 0,
						FRAME_PART_SIZE);
	ok(buf.len + FRAME_PART_SIZE <= FRAME_MAX, "a part fits into a frame");

	buf_reset(&buf);
	frame_put_part(&buf, FRAME_OUTPUT_PART, 1, 100, 98, "end", 3);
	ok(!reads(buf.data, buf.len), "a part beyond the whole");
	buf_reset(&buf);
	frame_put_part(&buf, FRAME_OUTPUT_PART, 1, 100, UINT64_MAX, "end", 3);
	ok(!reads(buf.data, buf.len), "a part far beyond the whole");
	buf_reset(&buf);
	frame_put_part(&buf, FRAME_OUTPUT_PART, 1, 2, 0, "end", 3);
	ok(!reads(buf.data, buf.len), "a part larger than the whole");
	buf_reset(&buf);
	frame_put_part(&buf, FRAME_OUTPUT_PART, 1, UINT64_MAX, 0, "end", 3);
	ok(!reads(buf.data, buf.len), "too large a whole");
	buf_reset(&buf);
	frame_put_part(&buf, FRAME_OUTPUT_PART, 1, 100, 0, NULL, 0);
	ok(!reads(buf.data, buf.len), "a part of nothing");
	buf_free(&buf);
}

/* The pieces of an input, put together, are its record. */
static void
check_input_parts(size_t n)
{
	char *input = malloc(n + 1);
	uint64_t next = 0, total = 0, offset = 0;
	Buf record, whole, piece;
	FrameReader r;
	Slice data = {NULL, 0};
	bool good = true;

	for (size_t i = 0; i < n; i++)
		input[i] = (char) (i * 31 >> 3);
	buf_init(&record, 0, NULL);
	buf_init(&whole, 0, NULL);
	buf_init(&piece, FRAME_MAX, NULL);
	frame_put_input(&record, 7, input, n);
	while (frame_put_input_part(&piece, 1, 7, input, n, &next))
	{
		good = good && !piece.failed && frame_read(&r, piece.data, piece.len) &&
			frame_get_part(&r, &total, &offset, &data) &&
			total == record.len && offset == whole.len;
		buf_put(&whole, data.p, data.n);
		buf_reset(&piece);
	}
	ok(good, "pieces of %zu bytes", n);
	is_bytes(whole.data, whole.len, record.data, record.len, "the record");
	buf_free(&record);
	buf_free(&whole);
	buf_free(&piece);
	free(input);
}

static void
test_input_parts(void)
{
	size_t head = frame_input_size(0);

	check_input_parts(0);
	check_input_parts(FRAME_PART_SIZE - head);
	check_input_parts(FRAME_PART_SIZE - head + 1);
	check_input_parts(2 * FRAME_PART_SIZE - head);
	check_input_parts(3 * FRAME_PART_SIZE + 17);
}

static void
test_options(void)
{
	Slice rest;
	Slice name;
	Slice value;
	bool bad;
	Buf buf;
	int whole = 0;

	buf_init(&buf, 0, NULL);
	frame_put_option(&buf, "url", "https://localhost");
	frame_put_option(&buf, "empty", "");
	rest = (Slice){(char *) buf.data, buf.len};
	ok(frame_next_option(&rest, &name, &value, &bad) && same(name, S("url")) &&
		   same(value, S("https://localhost")), "first option");
	ok(frame_next_option(&rest, &name, &value, &bad) &&
		   same(name, S("empty")) && value.n == 0, "second option");
	ok(!frame_next_option(&rest, &name, &value, &bad) && !bad, "no more");

	for (size_t n = 0; n < buf.len; n++)
	{
		rest = (Slice){(char *) buf.data, n};
		while (frame_next_option(&rest, &name, &value, &bad))
			;
		whole += !bad;
	}
	is_int(whole, 2, "cut lists of options are bad");
	buf_reset(&buf);
	frame_put_option(&buf, "", "x");
	rest = (Slice){(char *) buf.data, buf.len};
	ok(!frame_next_option(&rest, &name, &value, &bad) && bad,
	   "an option has a name");
	buf_free(&buf);
}

static void
test_too_large(void)
{
	uint8_t *p = calloc(1, FRAME_MAX + 1);
	FrameHeader header = {.type = FRAME_INPUTS, .call = 1};
	FrameReader r;

	memcpy(p, &header, sizeof(header));
	ok(frame_read(&r, p, FRAME_MAX), "the largest frame");
	ok(!frame_read(&r, p, FRAME_MAX + 1), "a larger one");
	free(p);
}

static bool
write_frames(void)
{
	CallOpen open = an_open();
	Buf buf;
	bool good;

	buf_init(&buf, 0, failing_realloc);
	frame_put_open(&buf, 1, &open);
	for (int i = 0; i < 100; i++)
		frame_put_input(&buf, i, "input", 5);
	good = !buf.failed;
	buf_free(&buf);
	return good;
}

int
main(void)
{
	test_open();
	test_small_frames();
	test_closed();
	test_inputs();
	test_outputs();
	test_parts();
	test_input_parts();
	test_options();
	test_too_large();
	check_out_of_memory(write_frames, "write");
	return done_testing();
}
