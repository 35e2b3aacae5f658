/*-------------------------------------------------------------------------
 *
 * calls.c
 *	  Open calls: frames to driver calls, and driver's answers to frames.
 *
 * A call is in its attachment's list until its last frame is queued
 * (call_close, call_fail) or its caller is gone (cancel).  Outputs are
 * collected into frames and leave at the end of the turn.  Calls that changed
 * are in a list of their own until views are up to date.
 *
 *-------------------------------------------------------------------------
 */
#include "dispatcher/calls.h"

#include "core/redact.h"
#include "errors.h"
#include "utils/timestamp.h"
#include "dispatcher/call_stats.h"
#include "dispatcher/target.h"

#define DEFAULT_OUTPUT_BUDGET ((uint64) 64 * 1024 * 1024)
#define MAX_PENDING_BYTES ((size_t) 2 * 1024 * 1024 * 1024)
#define MAX_MESSAGE 8192		/* bytes of an error message or detail */
#define MAX_TRACEBACK (1024 * 1024)
#define MAX_POOLED_INPUTS 8192

struct OpenCall
{
	DispatchCall pub; /* first */
	Attachment *att;
	OpenCall *prev, *next;		 /* att->calls */
	OpenCall *next_dirty;
	bool dirty;
	uint32 number;
	uint8_t *open_frame;		 /* pub.open points into it */
	OutFrame *outputs;			 /* being filled, or NULL */
	Buf part;					 /* an input that arrives in parts */
	Timer deadline;
	CallStats stats;
};

static OpenCall *dirty_calls;
static uint32 ncalls;
static CallInput *input_pool;
static uint32 input_pool_size;

#define OPEN_CALL(call) ((OpenCall *) (call))

/* --- inputs --------------------------------------------------------------- */

static CallInput *
input_create(int64_t ordinal, Slice data)
{
	CallInput *input = input_pool;

	if (input != NULL)
	{
		input_pool = input->next;
		input_pool_size--;
	}
	else if ((input = malloc(sizeof(*input))) == NULL)
		return NULL;
	input->next = NULL;
	input->ordinal = ordinal;
	input->len = data.n;
	input->blob_id = NULL;
	input->data = input->small;
	if (data.n > CALL_INPUT_INLINE && (input->data = malloc(data.n)) == NULL)
	{
		free(input);
		return NULL;
	}
	if (data.n > 0)
		memcpy(input->data, data.p, data.n);
	return input;
}

void
call_input_free(CallInput *input)
{
	free(input->blob_id);
	if (input->data != input->small)
		free(input->data);
	if (input_pool_size >= MAX_POOLED_INPUTS)
	{
		free(input);
		return;
	}
	input->next = input_pool;
	input_pool = input;
	input_pool_size++;
}

void
call_input_replace(CallInput *input, Buf *buf)
{
	if (input->data != input->small)
		free(input->data);
	input->data = buf->data;
	input->len = buf->len;
	buf_init(buf, 0, NULL);
}

CallInput *
call_take_inputs(DispatchCall *call, uint32_t n, size_t max_bytes,
				 uint32_t *taken)
{
	CallInput *first = call->pending;
	CallInput **end = &call->pending;
	size_t bytes = 0;

	*taken = 0;
	while (*end != NULL && *taken < n &&
		   (*taken == 0 || bytes + (*end)->len <= max_bytes))
	{
		bytes += (*end)->len;
		(*taken)++;
		end = &(*end)->next;
	}
	call->pending = *end;
	*end = NULL;
	if (call->pending == NULL)
		call->pending_tail = &call->pending;
	call->npending -= *taken;
	call->pending_bytes -= bytes;
	return *taken > 0 ? first : NULL;
}

void
call_drop_pending(DispatchCall *call)
{
	CallInput *input;

	while ((input = call->pending) != NULL)
	{
		call->pending = input->next;
		call_input_free(input);
	}
	call->pending_tail = &call->pending;
	call->npending = 0;
	call->pending_bytes = 0;
}

/* --- life ----------------------------------------------------------------- */

void
call_touch(DispatchCall *call)
{
	OpenCall *oc = OPEN_CALL(call);

	if (!oc->dirty)
	{
		oc->dirty = true;
		oc->next_dirty = dirty_calls;
		dirty_calls = oc;
	}
}

static void
undirty(OpenCall *oc)
{
	OpenCall **at = &dirty_calls;

	if (!oc->dirty)
		return;
	while (*at != oc)
		at = &(*at)->next_dirty;
	*at = oc->next_dirty;
	oc->dirty = false;
}

static OpenCall *
find_call(Attachment *att, uint32 number)
{
	OpenCall *oc = att->calls;

	while (oc != NULL && oc->number != number)
		oc = oc->next;
	return oc;
}

static void
release_call(OpenCall *oc, bool failed)
{
	call_stats_end(&oc->stats, &oc->pub, failed);
	undirty(oc);
	if (oc->prev != NULL)
		oc->prev->next = oc->next;
	else
		oc->att->calls = oc->next;
	if (oc->next != NULL)
		oc->next->prev = oc->prev;
	timer_cancel(&oc->deadline);
	call_drop_pending(&oc->pub);
	if (oc->outputs != NULL)
		attachment_send(oc->att, oc->outputs);
	if (oc->pub.target != NULL)
		target_put(oc->pub.target);
	buf_free(&oc->part);
	free(oc->open_frame);
	free(oc);
	ncalls--;
}

/* Collected outputs go first: frames of a call keep their order. */
static Buf *
begin_frame(OpenCall *oc, OutFrame **frame)
{
	static Buf no_memory = {.failed = true};

	if (oc->outputs != NULL)
	{
		attachment_send(oc->att, oc->outputs);
		oc->outputs = NULL;
	}
	*frame = out_frame_create();
	return *frame != NULL ? out_frame_buf(*frame) : &no_memory;
}

static void
send_closed(OpenCall *oc, CallClosed *closed)
{
	DispatchCall *call = &oc->pub;
	OutFrame *frame;
	Buf *buf = begin_frame(oc, &frame);

	closed->inputs = call->received;
	closed->failed = call->failed;
	closed->retries = call->retries;
	closed->bytes_out = call->bytes_out;
	closed->bytes_in = call->bytes_in;
	closed->requests = call->requests;
	frame_put_closed(buf, oc->number, closed);
	attachment_send(oc->att, frame);
}

void
call_close(DispatchCall *call)
{
	CallClosed closed = {.ok = 1, .sqlstate = "00000"};

	send_closed(OPEN_CALL(call), &closed);
	release_call(OPEN_CALL(call), false);
}

static void
clean_text(const DispatchCall *call, Buf *out, const char *text, size_t n,
		   size_t max)
{
	const char *secrets[TARGET_MAX_SECRETS];
	int nsecrets = 0;

	if (call->target != NULL)
		nsecrets = target_secrets(call->target, secrets, TARGET_MAX_SECRETS);
	buf_init(out, 0, NULL);
	redact(out, text, n, secrets, nsecrets, max);
}

void
call_fail(DispatchCall *call, const char *sqlstate, bool retryable,
		  const char *detail, const char *hint, const char *fmt, ...)
{
	CallClosed closed = {0};
	Buf message;
	Buf clean_message;
	Buf clean_detail;
	va_list args;
	int n;

	buf_init(&message, 0, NULL);
	va_start(args, fmt);
	n = buf_reserve(&message, MAX_MESSAGE)
		? vsnprintf((char *) message.data, MAX_MESSAGE, fmt, args)
		: 0;
	va_end(args);
	message.len = n < MAX_MESSAGE ? Max(n, 0) : MAX_MESSAGE - 1;
	clean_text(call, &clean_message, (char *) message.data, message.len,
			   MAX_MESSAGE);
	clean_text(call, &clean_detail, detail != NULL ? detail : "",
			   detail != NULL ? strlen(detail) : 0, MAX_MESSAGE);

	closed.retryable = retryable;
	memcpy(closed.sqlstate, sqlstate, 5);
	closed.message = (Slice){(char *) clean_message.data, clean_message.len};
	closed.detail = (Slice){(char *) clean_detail.data, clean_detail.len};
	closed.hint = (Slice){hint, hint != NULL ? strlen(hint) : 0};
	send_closed(OPEN_CALL(call), &closed);
	buf_free(&message);
	buf_free(&clean_message);
	buf_free(&clean_detail);
	release_call(OPEN_CALL(call), true);
}

static void
on_deadline(void *arg)
{
	OpenCall *oc = arg;

	oc->pub.driver->cancel(&oc->pub, 0);
	call_fail(&oc->pub, MODAL_SQLSTATE_TIMEOUT, true, NULL, NULL,
			  "remote call did not end within %u ms", oc->pub.open.deadline_ms);
}

static bool
handle_open(Attachment *att, FrameReader *reader, const void *frame, Size len)
{
	OpenCall *oc = calloc(1, sizeof(*oc));
	FrameReader copy;
	const char *error = NULL;

	if (oc == NULL || (oc->open_frame = malloc(len)) == NULL)
	{
		/* The peer cannot be told otherwise. */
		free(oc);
		att->broken = true;
		return true;
	}
	memcpy(oc->open_frame, frame, len);
	if (find_call(att, reader->header.call) != NULL ||
		!frame_read(&copy, oc->open_frame, len) ||
		!frame_get_open(&copy, &oc->pub.open))
	{
		free(oc->open_frame);
		free(oc);
		return false;
	}
	if (oc->pub.open.window == 0)
		oc->pub.open.window = DEFAULT_WINDOW;
	credit_init(&oc->pub.credit, oc->pub.open.output_budget != 0
									 ? oc->pub.open.output_budget
									 : DEFAULT_OUTPUT_BUDGET);

	oc->att = att;
	oc->number = reader->header.call;
	oc->pub.pending_tail = &oc->pub.pending;
	oc->pub.is_runner = att->is_runner;
	buf_init(&oc->part, FRAME_MAX_PAYLOAD + FRAME_MAX, NULL);
	timer_init(&oc->deadline, on_deadline, oc);
	oc->next = att->calls;
	if (att->calls != NULL)
		att->calls->prev = oc;
	att->calls = oc;
	ncalls++;
	call_stats_begin(&oc->stats, &oc->pub, att);
	call_touch(&oc->pub);

	oc->pub.target = target_get(oc->pub.open.endpoint, &error);
	if (oc->pub.target == NULL)
	{
		call_fail(&oc->pub, MODAL_SQLSTATE_OPTION, false, NULL, NULL, "%s",
				  error);
		return true;
	}
	oc->pub.driver = oc->pub.target->driver;
	if (oc->pub.open.deadline_ms > 0)
		timer_set(&oc->deadline,
				  monotonic_seconds() + oc->pub.open.deadline_ms / 1000.0);
	oc->pub.driver->open(&oc->pub);
	return true;
}

/* --- frames of open calls ------------------------------------------------- */

/* False when there is no memory, or too much is waiting: the call has ended. */
static bool
add_input(OpenCall *oc, int64_t ordinal, Slice data)
{
	DispatchCall *call = &oc->pub;
	CallInput *input;

	if (data.n > MAX_PENDING_BYTES - call->pending_bytes ||
		(input = input_create(ordinal, data)) == NULL)
	{
		call->driver->cancel(call, 0);
		call_fail(call, MODAL_SQLSTATE_TOO_LARGE, false, NULL,
				  "Use a smaller window.",
				  "inputs that wait to be sent take too much memory");
		return false;
	}
	*call->pending_tail = input;
	call->pending_tail = &input->next;
	call->npending++;
	call->pending_bytes += input->len;
	call->received++;
	return true;
}

static bool
add_inputs(OpenCall *oc, FrameReader *reader)
{
	int64_t ordinal;
	Slice data;
	bool bad;

	while (frame_next_input(reader, &ordinal, &data, &bad))
	{
		if (!add_input(oc, ordinal, data))
			return true;
	}
	if (bad)
		return false;
	call_touch(&oc->pub);
	oc->pub.driver->inputs(&oc->pub);
	return true;
}

static bool
add_part(OpenCall *oc, FrameReader *reader)
{
	FrameReader record;
	Slice data;
	uint64_t total;
	uint64_t offset;

	if (!frame_get_part(reader, &total, &offset, &data) ||
		offset != oc->part.len)
		return false;
	buf_put(&oc->part, data.p, data.n);
	if (oc->part.failed)
	{
		oc->pub.driver->cancel(&oc->pub, 0);
		call_fail(&oc->pub, MODAL_SQLSTATE_TOO_LARGE, false, NULL, NULL,
				  "out of memory for an input of " UINT64_FORMAT " bytes",
				  total);
		return true;
	}
	if (oc->part.len < total)
		return true;

	frame_read_records(&record, oc->part.data, oc->part.len);
	oc->part.len = 0;
	if (!add_inputs(oc, &record))
		return false;
	return true;
}

bool
calls_handle_frame(Attachment *att, FrameReader *reader, const void *frame,
				   Size len)
{
	OpenCall *oc;
	DispatchCall *call;
	uint64_t bytes, received;
	int64_t awaited;

	if (reader->header.type == FRAME_OPEN)
		return handle_open(att, reader, frame, len);

	/* A call that we have closed: the caller may not know yet. */
	oc = find_call(att, reader->header.call);
	if (oc == NULL)
		return true;
	call = &oc->pub;

	switch (reader->header.type)
	{
		case FRAME_INPUTS:
			return !call->finished && add_inputs(oc, reader);
		case FRAME_INPUT_PART:
			return !call->finished && add_part(oc, reader);
		case FRAME_FINISH:
			if (call->finished)
				return false;
			call->finished = true;
			call->driver->finish(call);
			return true;
		case FRAME_CONSUMED:
			if (!frame_get_consumed(reader, &bytes, &awaited, &received))
				return false;
			credit_consumed(&call->credit, bytes, awaited, received);
			call->driver->consumed(call);
			return true;
		case FRAME_CANCEL:
			call->driver->cancel(call, reader->header.flags);
			release_call(oc, false);
			return true;
		default:
			return false;
	}
}

void
calls_cancel_all(Attachment *att)
{
	OpenCall *next;

	for (OpenCall *oc = att->calls; oc != NULL; oc = next)
	{
		/* Asynchronous calls are there to survive their caller. */
		bool survives = oc->pub.open.kind == CALL_SPAWN_MAP;

		next = oc->next;
		oc->pub.driver->cancel(&oc->pub, survives ? FRAME_FLAG_DETACH : 0);
		release_call(oc, true);
	}
}

/* --- what drivers tell ---------------------------------------------------- */

void
call_opened(DispatchCall *call, const CallOpened *opened)
{
	OutFrame *frame;
	Buf *buf = begin_frame(OPEN_CALL(call), &frame);

	frame_put_opened(buf, OPEN_CALL(call)->number, opened);
	/* The caller of a single call waits for its output. */
	if (call->open.kind == CALL_REMOTE)
		attachment_send_later(OPEN_CALL(call)->att, frame);
	else
		attachment_send(OPEN_CALL(call)->att, frame);
	call_touch(call);
}

void
call_accepted(DispatchCall *call, int64_t first, uint32_t count)
{
	OutFrame *frame;
	Buf *buf = begin_frame(OPEN_CALL(call), &frame);

	frame_put_accepted(buf, OPEN_CALL(call)->number, first, count);
	attachment_send(OPEN_CALL(call)->att, frame);
	call_touch(call);
}

void
call_notice(DispatchCall *call, const char *message)
{
	OutFrame *frame;
	Buf *buf = begin_frame(OPEN_CALL(call), &frame);
	Buf clean;

	clean_text(call, &clean, message, strlen(message), MAX_MESSAGE);
	frame_put_notice(buf, OPEN_CALL(call)->number,
					 (Slice){(char *) clean.data, clean.len});
	attachment_send(OPEN_CALL(call)->att, frame);
	buf_free(&clean);
}

void
call_set_remote_id(DispatchCall *call, const char *id)
{
	call_stats_set_remote_id(&OPEN_CALL(call)->stats, id);
	call_touch(call);
}

/* An output that does not fit into one frame. */
static void
send_long(OpenCall *oc, const FrameOutput *out, Buf *owner)
{
	OutFrame *frame;
	Buf data;

	buf_init(&data, 0, NULL);
	if (owner == NULL || (char *) owner->data != out->data.p)
	{
		buf_put(&data, out->data.p, out->data.n);
		owner = &data;
	}
	if (oc->outputs != NULL)
	{
		attachment_send(oc->att, oc->outputs);
		oc->outputs = NULL;
	}
	frame = data.failed ? NULL : out_frame_create_long(oc->number, owner);
	if (frame != NULL)
		frame_put_output_head(out_frame_buf(frame), out);
	attachment_send(oc->att, frame);
	buf_free(&data);
}

static void
add_output(OpenCall *oc, const FrameOutput *out, Buf *owner)
{
	size_t size = frame_output_size(out);

	credit_sent(&oc->pub.credit, size);
	if (size > FRAME_MAX - sizeof(FrameHeader))
	{
		send_long(oc, out, owner);
		return;
	}
	if (oc->outputs != NULL &&
		out_frame_buf(oc->outputs)->len + size > FRAME_MAX)
	{
		attachment_send(oc->att, oc->outputs);
		oc->outputs = NULL;
	}
	if (oc->outputs == NULL)
	{
		oc->outputs = out_frame_create();
		if (oc->outputs == NULL)
		{
			oc->att->broken = true;
			return;
		}
		frame_put_header(out_frame_buf(oc->outputs), FRAME_OUTPUTS, 0,
						 oc->number);
	}
	frame_put_output(out_frame_buf(oc->outputs), out);
}

void
call_output(DispatchCall *call, const FrameOutput *out)
{
	call_output_from(call, out, NULL);
}

void
call_output_from(DispatchCall *call, const FrameOutput *out, Buf *owner)
{
	OpenCall *oc = OPEN_CALL(call);

	call_touch(call);
	call->done++;
	if (out->started_at > 0 && out->finished_at > out->started_at)
		oc->stats.remote_time += out->finished_at - out->started_at;
	if (out->ok)
		add_output(oc, out, owner);
	else
	{
		FrameOutput clean = *out;
		Buf message;
		Buf traceback;

		call->failed++;
		clean_text(call, &message, out->message.p, out->message.n, MAX_MESSAGE);
		clean_text(call, &traceback, out->traceback.p, out->traceback.n,
				   MAX_TRACEBACK);
		clean.message = (Slice){(char *) message.data, message.len};
		clean.traceback = (Slice){(char *) traceback.data, traceback.len};
		add_output(oc, &clean, NULL);
		buf_free(&message);
		buf_free(&traceback);
	}
}

/* --- every turn ----------------------------------------------------------- */

void
calls_init(int dispatcher)
{
	call_stats_init(dispatcher);
}

void
calls_flush(void)
{
	for (OpenCall *oc = dirty_calls; oc != NULL; oc = oc->next_dirty)
	{
		if (oc->outputs != NULL)
		{
			attachment_send(oc->att, oc->outputs);
			oc->outputs = NULL;
		}
	}
}

void
calls_publish(DispatcherShared *shared)
{
	OpenCall *oc;

	while ((oc = dirty_calls) != NULL)
	{
		dirty_calls = oc->next_dirty;
		oc->dirty = false;
		call_stats_update(&oc->stats, &oc->pub);
	}
	pg_atomic_write_u32(&shared->calls, ncalls);
	call_stats_publish(shared);
}
