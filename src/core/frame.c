/*-------------------------------------------------------------------------
 *
 * frame.c
 *	  The messages between a process that makes calls and the dispatcher.
 *
 * Integers are copied as they are in memory; a Slice is a 32-bit length and
 * the bytes.  Readers check every length and every value that later code
 * would use as an index or a switch.
 *
 *-------------------------------------------------------------------------
 */
#include "core/frame.h"

#define MAX_SECONDS 1e9
#define MAX_TEXT (FRAME_MAX / 4) /* of each text in NOTICE and CLOSED */

#define SLICE_OVERHEAD sizeof(uint32_t)
#define SQLSTATE_LENGTH 5
#define INPUT_OVERHEAD (sizeof(int64_t) + SLICE_OVERHEAD)
/* ordinal, ok, format, attempts, started_at, finished_at */
#define OUTPUT_OVERHEAD (8 + 1 + 1 + 2 + 8 + 8)
/* With the format: usage follows.  Most outputs have none. */
#define HAS_USAGE 0x80
/* A record in parts is not larger than this. */
#define MAX_RECORD (FRAME_MAX_PAYLOAD + FRAME_MAX)

/* --- writing ----------------------------------------------------------- */

#define PUT(buf, v) buf_put(buf, &(v), sizeof(v))

static void
put_length(Buf *buf, size_t len)
{
	uint32_t n = (uint32_t) len;

	if (len > FRAME_MAX_PAYLOAD)
		buf->failed = true;
	else
		PUT(buf, n);
}

static void
put_slice(Buf *buf, Slice s)
{
	put_length(buf, s.n);
	buf_put(buf, s.p, s.n);
}

/* A text that may be cut, at a character's border. */
static void
put_text(Buf *buf, Slice s)
{
	if (s.n > MAX_TEXT)
	{
		s.n = MAX_TEXT;
		while (s.n > 0 && ((uint8_t) s.p[s.n] & 0xc0) == 0x80)
			s.n--;
	}
	put_slice(buf, s);
}

/* Always five bytes; zeros when there is none. */
static void
put_sqlstate(Buf *buf, const char *sqlstate)
{
	char fixed[SQLSTATE_LENGTH] = {0};

	memcpy(fixed, sqlstate, strnlen(sqlstate, SQLSTATE_LENGTH));
	buf_put(buf, fixed, sizeof(fixed));
}

void
frame_put_header(Buf *buf, FrameType type, uint16_t flags, uint32_t call)
{
	FrameHeader header = {.type = (uint16_t) type, .flags = flags, .call = call};

	PUT(buf, header);
}

void
frame_put_open(Buf *buf, uint32_t call, const CallOpen *open)
{
	size_t start = buf->len;

	frame_put_header(buf, FRAME_OPEN, 0, call);
	PUT(buf, open->kind);
	PUT(buf, open->op);
	PUT(buf, open->input_format);
	PUT(buf, open->flags);
	PUT(buf, open->window);
	PUT(buf, open->output_budget);
	PUT(buf, open->max_output);
	PUT(buf, open->deadline_ms);
	PUT(buf, open->first_ordinal);
	PUT(buf, open->last_ordinal);
	PUT(buf, open->total_inputs);
	PUT(buf, open->idempotency);
	put_slice(buf, open->endpoint);
	put_slice(buf, open->reference);
	put_slice(buf, open->label);
	put_slice(buf, open->remote_call_id);
	put_slice(buf, open->request);
	if (buf->len - start > FRAME_MAX)
		buf->failed = true;
}

void
frame_put_opened(Buf *buf, uint32_t call, const CallOpened *opened)
{
	frame_put_header(buf, FRAME_OPENED, 0, call);
	put_slice(buf, opened->function_id);
	put_slice(buf, opened->remote_call_id);
	PUT(buf, opened->version);
	PUT(buf, opened->window);
	PUT(buf, opened->accepts_cbor);
	PUT(buf, opened->is_generator);
}

void
frame_put_accepted(Buf *buf, uint32_t call, int64_t first, uint32_t count)
{
	frame_put_header(buf, FRAME_ACCEPTED, 0, call);
	PUT(buf, first);
	PUT(buf, count);
}

void
frame_put_consumed(Buf *buf, uint32_t call, uint64_t bytes, int64_t awaited,
				   uint64_t received)
{
	frame_put_header(buf, FRAME_CONSUMED, 0, call);
	PUT(buf, bytes);
	PUT(buf, awaited);
	PUT(buf, received);
}

void
frame_put_notice(Buf *buf, uint32_t call, NoticeKind kind, Slice message)
{
	frame_put_header(buf, FRAME_NOTICE, (uint16_t) kind, call);
	put_text(buf, message);
}

void
frame_put_credit(Buf *buf, uint32_t call, uint64_t bytes)
{
	frame_put_header(buf, FRAME_CREDIT, 0, call);
	PUT(buf, bytes);
}

void
frame_put_closed(Buf *buf, uint32_t call, const CallClosed *closed)
{
	frame_put_header(buf, FRAME_CLOSED, 0, call);
	PUT(buf, closed->ok);
	PUT(buf, closed->retryable);
	put_sqlstate(buf, closed->sqlstate);
	put_text(buf, closed->message);
	put_text(buf, closed->detail);
	put_text(buf, closed->hint);
	PUT(buf, closed->inputs);
	PUT(buf, closed->failed);
	PUT(buf, closed->retries);
	PUT(buf, closed->bytes_out);
	PUT(buf, closed->bytes_in);
	PUT(buf, closed->requests);
}

size_t
frame_input_size(size_t len)
{
	return INPUT_OVERHEAD + len;
}

static void
put_input_head(Buf *buf, int64_t ordinal, size_t n)
{
	PUT(buf, ordinal);
	put_length(buf, n);
}

void
frame_put_input(Buf *buf, int64_t ordinal, const void *p, size_t n)
{
	put_input_head(buf, ordinal, n);
	buf_put(buf, p, n);
}

size_t
frame_output_size(const FrameOutput *out)
{
	size_t head = OUTPUT_OVERHEAD + (out->usage != 0 ? sizeof(out->usage) : 0);

	if (out->ok)
		return head + SLICE_OVERHEAD + out->data.n;
	return head + 1 + SQLSTATE_LENGTH + 3 * SLICE_OVERHEAD +
		out->type.n + out->message.n + out->traceback.n;
}

double
frame_output_seconds(const FrameOutput *out)
{
	double seconds = out->finished_at - out->started_at;

	/* The service's clock says what it likes. */
	return out->started_at > 0 && seconds >= 0 && seconds < MAX_SECONDS ? seconds : -1;
}

void
frame_put_output_head(Buf *buf, const FrameOutput *out)
{
	uint8_t format = out->format | (out->usage != 0 ? HAS_USAGE : 0);

	PUT(buf, out->ordinal);
	PUT(buf, out->ok);
	PUT(buf, format);
	PUT(buf, out->attempts);
	PUT(buf, out->started_at);
	PUT(buf, out->finished_at);
	if (out->usage != 0)
		PUT(buf, out->usage);
	if (out->ok)
		put_length(buf, out->data.n);
	else
	{
		PUT(buf, out->retryable);
		put_sqlstate(buf, out->sqlstate);
		put_slice(buf, out->type);
		put_slice(buf, out->message);
		put_slice(buf, out->traceback);
	}
}

void
frame_put_output(Buf *buf, const FrameOutput *out)
{
	frame_put_output_head(buf, out);
	if (out->ok)
		buf_put(buf, out->data.p, out->data.n);
}

void
frame_put_part_head(Buf *buf, FrameType type, uint32_t call, uint64_t total,
					uint64_t offset, size_t n)
{
	frame_put_header(buf, type, 0, call);
	PUT(buf, total);
	PUT(buf, offset);
	put_length(buf, n);
}

void
frame_put_part(Buf *buf, FrameType type, uint32_t call, uint64_t total,
			   uint64_t offset, const void *p, size_t n)
{
	frame_put_part_head(buf, type, call, total, offset, n);
	buf_put(buf, p, n);
}

bool
frame_put_input_part(Buf *buf, uint32_t call, int64_t ordinal, const void *p,
					 size_t n, uint64_t *offset)
{
	const char *bytes = p;
	uint64_t total = frame_input_size(n);
	size_t size = total - *offset < FRAME_PART_SIZE ? total - *offset : FRAME_PART_SIZE;

	if (size == 0)
		return false;
	if (*offset > 0)
		frame_put_part(buf, FRAME_INPUT_PART, call, total, *offset,
					   bytes + *offset - INPUT_OVERHEAD, size);
	else
	{
		frame_put_part_head(buf, FRAME_INPUT_PART, call, total, 0, size);
		put_input_head(buf, ordinal, n);
		buf_put(buf, bytes, size - INPUT_OVERHEAD);
	}
	*offset += size;
	return true;
}

void
frame_put_option(Buf *buf, const char *name, const char *value)
{
	put_slice(buf, (Slice){name, strlen(name)});
	put_slice(buf, (Slice){value, strlen(value)});
}

/* --- reading ----------------------------------------------------------- */

#define GET(r, v) get_bytes(r, &(v), sizeof(v))

static bool
get_bytes(FrameReader *r, void *to, size_t n)
{
	if ((size_t) (r->end - r->p) < n)
		return false;
	memcpy(to, r->p, n);
	r->p += n;
	return true;
}

static bool
get_bool(FrameReader *r, uint8_t *v)
{
	return GET(r, *v) && *v <= 1;
}

static bool
get_slice(FrameReader *r, Slice *s)
{
	uint32_t n;

	if (!GET(r, n) || (size_t) (r->end - r->p) < n)
		return false;
	s->p = n > 0 ? (const char *) r->p : NULL;
	s->n = n;
	r->p += n;
	return true;
}

/* Five digits or capital letters, or none at all. */
static bool
get_sqlstate(FrameReader *r, char *sqlstate)
{
	static const char none[SQLSTATE_LENGTH];

	if (!get_bytes(r, sqlstate, SQLSTATE_LENGTH))
		return false;
	sqlstate[SQLSTATE_LENGTH] = '\0';
	if (memcmp(sqlstate, none, SQLSTATE_LENGTH) == 0)
		return true;
	for (int i = 0; i < SQLSTATE_LENGTH; i++)
	{
		char c = sqlstate[i];

		if (!(c >= '0' && c <= '9') && !(c >= 'A' && c <= 'Z'))
			return false;
	}
	return true;
}

static bool
is_type(const FrameReader *r, FrameType type)
{
	return r->header.type == type;
}

static bool
at_end(const FrameReader *r)
{
	return r->p == r->end;
}

bool
frame_read(FrameReader *r, const void *p, size_t n)
{
	uint16_t type;

	frame_read_records(r, p, n);
	if (n > FRAME_MAX || !GET(r, r->header) || r->header.call == 0)
		return false;
	type = r->header.type;
	return (type >= FRAME_OPEN && type <= FRAME_CANCEL) ||
		(type >= FRAME_OPENED && type <= FRAME_CLOSED);
}

void
frame_read_records(FrameReader *r, const void *p, size_t n)
{
	memset(r, 0, sizeof(*r));
	r->p = p;
	r->end = r->p + n;
}

bool
frame_get_open(FrameReader *r, CallOpen *open)
{
	memset(open, 0, sizeof(*open));
	return is_type(r, FRAME_OPEN) && GET(r, open->kind) && GET(r, open->op) &&
		GET(r, open->input_format) && GET(r, open->flags) &&
		GET(r, open->window) && GET(r, open->output_budget) &&
		GET(r, open->max_output) && GET(r, open->deadline_ms) &&
		GET(r, open->first_ordinal) && GET(r, open->last_ordinal) &&
		GET(r, open->total_inputs) &&
		GET(r, open->idempotency) && get_slice(r, &open->endpoint) &&
		get_slice(r, &open->reference) && get_slice(r, &open->label) &&
		get_slice(r, &open->remote_call_id) && get_slice(r, &open->request) &&
		at_end(r) && open->kind >= CALL_REMOTE && open->kind <= CALL_CONTROL &&
		open->op <= CONTROL_CALL_LOGS &&
		(open->kind == CALL_CONTROL) == (open->op != CONTROL_NONE) &&
		open->input_format >= PAYLOAD_CBOR &&
		open->input_format <= PAYLOAD_REQUEST && open->first_ordinal >= 0 &&
		open->last_ordinal >= -1 && open->total_inputs >= -1;
}

bool
frame_get_opened(FrameReader *r, CallOpened *opened)
{
	memset(opened, 0, sizeof(*opened));
	return is_type(r, FRAME_OPENED) && get_slice(r, &opened->function_id) &&
		get_slice(r, &opened->remote_call_id) && GET(r, opened->version) &&
		GET(r, opened->window) && get_bool(r, &opened->accepts_cbor) &&
		get_bool(r, &opened->is_generator) && at_end(r);
}

bool
frame_get_accepted(FrameReader *r, int64_t *first, uint32_t *count)
{
	return is_type(r, FRAME_ACCEPTED) && GET(r, *first) && GET(r, *count) &&
		at_end(r) && *first >= 0 && *first <= INT64_MAX - *count;
}

bool
frame_get_consumed(FrameReader *r, uint64_t *bytes, int64_t *awaited,
				   uint64_t *received)
{
	return is_type(r, FRAME_CONSUMED) && GET(r, *bytes) && GET(r, *awaited) &&
		GET(r, *received) && at_end(r) && *awaited >= -1;
}

bool
frame_get_notice(FrameReader *r, Slice *message)
{
	return is_type(r, FRAME_NOTICE) && get_slice(r, message) && at_end(r);
}

bool
frame_get_credit(FrameReader *r, uint64_t *bytes)
{
	return is_type(r, FRAME_CREDIT) && GET(r, *bytes) && at_end(r);
}

bool
frame_get_closed(FrameReader *r, CallClosed *closed)
{
	memset(closed, 0, sizeof(*closed));
	return is_type(r, FRAME_CLOSED) && get_bool(r, &closed->ok) &&
		get_bool(r, &closed->retryable) && get_sqlstate(r, closed->sqlstate) &&
		get_slice(r, &closed->message) && get_slice(r, &closed->detail) &&
		get_slice(r, &closed->hint) && GET(r, closed->inputs) &&
		GET(r, closed->failed) && GET(r, closed->retries) &&
		GET(r, closed->bytes_out) && GET(r, closed->bytes_in) &&
		GET(r, closed->requests) && at_end(r);
}

bool
frame_next_input(FrameReader *r, int64_t *ordinal, Slice *data, bool *bad)
{
	*bad = false;
	if (at_end(r))
		return false;
	*bad = !GET(r, *ordinal) || !get_slice(r, data) || *ordinal < 0;
	return !*bad;
}

bool
frame_next_output(FrameReader *r, FrameOutput *out, bool *bad)
{
	uint8_t format = 0;

	*bad = false;
	if (at_end(r))
		return false;

	memset(out, 0, sizeof(*out));
	*bad = !GET(r, out->ordinal) || !get_bool(r, &out->ok) ||
		!GET(r, format) || !GET(r, out->attempts) ||
		!GET(r, out->started_at) || !GET(r, out->finished_at) ||
		((format & HAS_USAGE) != 0 &&
		 (!GET(r, out->usage) || out->usage == 0));
	out->format = format & (uint8_t) ~HAS_USAGE;
	*bad |= out->ordinal < 0 || out->format > PAYLOAD_JSON;
	if (*bad)
		return false;
	if (out->ok)
		*bad = !get_slice(r, &out->data) ||
			(out->data.n > 0 && out->format < PAYLOAD_CBOR);
	else
		*bad = !get_bool(r, &out->retryable) ||
			!get_sqlstate(r, out->sqlstate) || !get_slice(r, &out->type) ||
			!get_slice(r, &out->message) || !get_slice(r, &out->traceback);
	return !*bad;
}

bool
frame_get_part(FrameReader *r, uint64_t *total, uint64_t *offset, Slice *data)
{
	return (is_type(r, FRAME_INPUT_PART) || is_type(r, FRAME_OUTPUT_PART)) &&
		GET(r, *total) && GET(r, *offset) && get_slice(r, data) && at_end(r) &&
		data->n > 0 && *total <= MAX_RECORD && data->n <= *total &&
		*offset <= *total - data->n;
}

bool
frame_next_option(Slice *rest, Slice *name, Slice *value, bool *bad)
{
	FrameReader r;

	*bad = false;
	if (rest->n == 0)
		return false;
	frame_read_records(&r, rest->p, rest->n);
	*bad = !get_slice(&r, name) || !get_slice(&r, value) || name->n == 0;
	if (*bad)
		return false;
	rest->p = (const char *) r.p;
	rest->n = (size_t) (r.end - r.p);
	return true;
}
