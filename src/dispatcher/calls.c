/*-------------------------------------------------------------------------
 *
 * calls.c
 *	  Open calls: frames to driver calls, and driver's answers to frames.
 *
 * A call is in its attachment's map until its last frame is queued
 * (call_close, call_fail) or its caller is gone (cancel).  Outputs are
 * collected into frames and leave at the end of the turn.  Calls that changed
 * are in a list of their own until views are up to date.  What keeps this
 * right:
 *
 *	 - A call is freed in release_call() only: by its driver's last word, or
 *	   after driver->cancel(), never in both ways.  A driver may say its last
 *	   word in any of the functions of its CallDriver, open included: so
 *	   nothing here touches a call after it has called one.
 *	 - driver->cancel() frees the driver's state.  What it leaves may go to
 *	   another call, which may end of that: visits of an attachment's calls
 *	   survive it (map_next).
 *	 - Frames of a call keep their order: whatever sends one sends the outputs
 *	   that were collected first (begin_frame).
 *	 - Nothing here throws, and nothing waits.  A frame for which there is no
 *	   memory breaks the attachment, for its peer could not be told otherwise;
 *	   broken attachments are dropped by channels.c, not from in here.
 *	 - What a driver tells the reader passes clean_text(): no secret of the
 *	   target gets through.
 *
 *-------------------------------------------------------------------------
 */
#include "dispatcher/calls.h"

#include "core/redact.h"
#include "dispatcher/call_stats.h"
#include "dispatcher/long_output.h"
#include "dispatcher/target.h"
#include "errors.h"
#include "guc.h"
#include "lib/ilist.h"
#include "port/pg_bitutils.h"
#include "utils/timestamp.h"

#define DEFAULT_OUTPUT_BUDGET ((uint64) 64 * 1024 * 1024)
#define MAX_PENDING_BYTES ((size_t) 2 * 1024 * 1024 * 1024)
#define MAX_MESSAGE 8192		/* bytes of an error message or detail */
#define MAX_TRACEBACK (1024 * 1024)
#define MAX_TYPE 256 /* of an error */
#define MAX_POOLED_INPUTS 8192
#define CHANGED "the result has changed while it was read"
#define PART_LIMIT (FRAME_MAX_PAYLOAD + FRAME_MAX)

struct OpenCall
{
	DispatchCall pub; /* first */
	Attachment *att;
	dlist_node dirty;			 /* dirty_calls, if is_dirty */
	bool is_dirty;
	uint32 number;
	uint8_t *open_frame;		 /* pub.open points into it */
	size_t open_frame_len;
	OutFrame *outputs;			 /* being filled, or NULL */
	LongOutput begun;			 /* that is sent as it comes */
	Buf part;					 /* an input that arrives in parts */
	Timer deadline;
	CallStats stats;
	dlist_node sharing;			 /* sharing_calls, if credit is not 0 */
	uint64 credit;				 /* bytes of inputs, as its caller knows */
};

static dlist_head dirty_calls = DLIST_STATIC_INIT(dirty_calls);
static dlist_head sharing_calls = DLIST_STATIC_INIT(sharing_calls);
static uint32 nsharing;
static uint64 current_share;
static uint32 ncalls;
static CallInput *input_pool;
static uint32 input_pool_size;

#define OPEN_CALL(call) ((OpenCall *) (call))

/* --- inputs --------------------------------------------------------------- */

/*
 * The data are copied, unless memory is theirs, which goes with the input then.
 * NULL: no memory.
 */
static CallInput *
input_create(int64_t ordinal, Slice data, uint8_t *memory)
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
	input->memory = memory;
	if (memory != NULL)
	{
		input->data = (uint8_t *) data.p;
		return input;
	}
	if (data.n > CALL_INPUT_INLINE &&
		(input->memory = malloc(data.n)) == NULL)
	{
		free(input);
		return NULL;
	}
	input->data = input->memory != NULL ? input->memory : input->small;
	if (data.n > 0)
		memcpy(input->data, data.p, data.n);
	return input;
}

void
call_input_free(CallInput *input)
{
	free(input->blob_id);
	free(input->memory);
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
	free(input->memory);
	input->memory = input->data = buf->data;
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

	if (!oc->is_dirty)
		dlist_push_tail(&dirty_calls, &oc->dirty);
	oc->is_dirty = true;
}

static void
undirty(OpenCall *oc)
{
	if (oc->is_dirty)
		dlist_delete(&oc->dirty);
	oc->is_dirty = false;
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

/* --- memory for inputs ---------------------------------------------------- */

/*
 * Maps share the memory for inputs evenly, and their callers send no more than
 * that.  A share is a power of two, so that they need not be told whenever some
 * map begins or ends; and a caller who takes nothing is not told again and
 * again: what holds is sent when all before it has gone.
 */
static uint64
share_of(const OpenCall *oc)
{
	return Min(current_share, oc->pub.credit.budget);
}

void
calls_pay_credit(Attachment *att)
{
	OpenCall *oc;
	MapVisit visit = {0};
	OutFrame *frame;
	Buf *buf;

	while ((oc = map_next(&att->calls, &visit)) != NULL)
	{
		if (oc->credit == 0 || share_of(oc) == oc->credit)
			continue;
		oc->credit = share_of(oc);
		buf = begin_frame(oc, &frame);
		frame_put_credit(buf, oc->number, oc->credit);
		attachment_send(att, frame);
	}
}

static void
update_shares(void)
{
	uint64 most =
		(uint64) modal_dispatcher_memory_mb * 1024 * 1024 / Max(nsharing, 1);
	uint64 share = pg_prevpower2_64(Max(most, 1));
	dlist_iter iter;

	if (share == current_share)
		return;
	current_share = share;
	dlist_foreach(iter, &sharing_calls)
		attachment_owe_credit(
			dlist_container(OpenCall, sharing, iter.cur)->att);
}

static void
join_share(OpenCall *oc)
{
	if (oc->pub.open.kind != CALL_MAP)
		return;
	oc->credit = oc->pub.credit.budget;
	dlist_push_tail(&sharing_calls, &oc->sharing);
	nsharing++;
	update_shares();
	attachment_owe_credit(oc->att);
}

static void
leave_share(OpenCall *oc)
{
	if (oc->credit == 0)
		return;
	dlist_delete(&oc->sharing);
	nsharing--;
	update_shares();
}

/* --- the end -------------------------------------------------------------- */

/* It has the secrets of the endpoint. */
static void
forget_open_frame(OpenCall *oc)
{
	explicit_bzero(oc->open_frame, oc->open_frame_len);
	free(oc->open_frame);
}

static void
release_call(OpenCall *oc, bool failed)
{
	call_stats_end(&oc->stats, &oc->pub, failed);
	undirty(oc);
	leave_share(oc);
	map_remove(&oc->att->calls, oc->number);
	timer_cancel(&oc->deadline);
	call_drop_pending(&oc->pub);
	if (oc->outputs != NULL)
		attachment_send(oc->att, oc->outputs);
	if (oc->pub.target != NULL)
		target_put(oc->pub.target);
	buf_free(&oc->part);
	forget_open_frame(oc);
	free(oc);
	ncalls--;
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

static Slice
clean_text(const DispatchCall *call, Buf *out, const char *text, size_t n,
		   size_t max)
{
	const char *secrets[TARGET_MAX_SECRETS];
	int nsecrets = 0;

	if (call->target != NULL)
		nsecrets = target_secrets(call->target, secrets, TARGET_MAX_SECRETS);
	buf_init(out, 0, NULL);
	redact(out, text, n, secrets, nsecrets, max);
	return (Slice){(char *) out->data, out->len};
}

void
call_fail(DispatchCall *call, const char *sqlstate, bool retryable,
		  const char *detail, const char *hint, const char *fmt, ...)
{
	CallClosed closed = {0};
	Buf message;
	Buf clean_message;
	Buf clean_detail;
	Buf clean_hint;
	va_list args;
	int n;

	buf_init(&message, 0, NULL);
	va_start(args, fmt);
	n = buf_reserve(&message, MAX_MESSAGE)
		? vsnprintf((char *) message.data, MAX_MESSAGE, fmt, args)
		: 0;
	va_end(args);
	message.len = n < MAX_MESSAGE ? Max(n, 0) : MAX_MESSAGE - 1;
	closed.retryable = retryable;
	memcpy(closed.sqlstate, sqlstate, 5);
	closed.message = clean_text(call, &clean_message, (char *) message.data,
								message.len, MAX_MESSAGE);
	closed.detail = clean_text(call, &clean_detail, detail != NULL ? detail : "",
							   detail != NULL ? strlen(detail) : 0, MAX_MESSAGE);
	closed.hint = clean_text(call, &clean_hint, hint != NULL ? hint : "",
							 hint != NULL ? strlen(hint) : 0, MAX_MESSAGE);
	send_closed(OPEN_CALL(call), &closed);
	buf_free(&message);
	buf_free(&clean_message);
	buf_free(&clean_detail);
	buf_free(&clean_hint);
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
		attachment_break(att);
		return true;
	}
	memcpy(oc->open_frame, frame, len);
	oc->open_frame_len = len;
	if (map_get(&att->calls, reader->header.call) != NULL ||
		!frame_read(&copy, oc->open_frame, len) ||
		!frame_get_open(&copy, &oc->pub.open))
	{
		forget_open_frame(oc);
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
	buf_init(&oc->part, PART_LIMIT, NULL);
	timer_init(&oc->deadline, on_deadline, oc);
	if (!map_put(&att->calls, oc->number, oc))
	{
		forget_open_frame(oc);
		free(oc);
		attachment_break(att);
		return true;
	}
	ncalls++;
	call_stats_begin(&oc->stats, &oc->pub, att);
	call_touch(&oc->pub);
	join_share(oc);

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
add_input(OpenCall *oc, int64_t ordinal, Slice data, uint8_t *memory)
{
	DispatchCall *call = &oc->pub;
	CallInput *input;

	if (data.n > MAX_PENDING_BYTES - call->pending_bytes ||
		(input = input_create(ordinal, data, memory)) == NULL)
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
		if (!add_input(oc, ordinal, data, NULL))
			return true;
	}
	if (bad)
		return false;
	call_touch(&oc->pub);
	oc->pub.driver->inputs(&oc->pub);
	return true;
}

/*
 * The last part of an input is here.  It stays in the buffer that it was put
 * together in: to copy what is large would hold up others.
 */
static bool
take_whole(OpenCall *oc)
{
	FrameReader record;
	int64_t ordinal;
	Slice data;
	Buf part = oc->part;
	bool bad;

	frame_read_records(&record, part.data, part.len);
	if (!frame_next_input(&record, &ordinal, &data, &bad) ||
		record.p != record.end)
		return false;
	buf_init(&oc->part, PART_LIMIT, NULL);
	if (!add_input(oc, ordinal, data, part.data))
	{
		buf_free(&part);
		return true;
	}
	call_touch(&oc->pub);
	oc->pub.driver->inputs(&oc->pub);
	return true;
}

static bool
add_part(OpenCall *oc, FrameReader *reader)
{
	Slice data;
	uint64_t total;
	uint64_t offset;

	if (!frame_get_part(reader, &total, &offset, &data) ||
		offset != oc->part.len)
		return false;
	if (offset == 0)
		(void) buf_reserve(&oc->part, total);
	buf_put(&oc->part, data.p, data.n);
	if (oc->part.failed)
	{
		oc->pub.driver->cancel(&oc->pub, 0);
		call_fail(&oc->pub, MODAL_SQLSTATE_TOO_LARGE, false, NULL, NULL,
				  "out of memory for an input of " UINT64_FORMAT " bytes",
				  total);
		return true;
	}
	return oc->part.len < total || take_whole(oc);
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
	oc = map_get(&att->calls, reader->header.call);
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
	OpenCall *oc;
	MapVisit visit = {0};

	while ((oc = map_next(&att->calls, &visit)) != NULL)
	{
		/* Asynchronous calls are there to survive their caller. */
		bool survives = oc->pub.open.kind == CALL_SPAWN_MAP;

		oc->pub.driver->cancel(&oc->pub, survives ? FRAME_FLAG_DETACH : 0);
		release_call(oc, true);
	}
	map_free(&att->calls);
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
call_notice(DispatchCall *call, NoticeKind kind, const char *message)
{
	OutFrame *frame;
	Buf *buf = begin_frame(OPEN_CALL(call), &frame);
	Buf clean;

	frame_put_notice(buf, OPEN_CALL(call)->number, kind,
					 clean_text(call, &clean, message, strlen(message), MAX_MESSAGE));
	attachment_send(OPEN_CALL(call)->att, frame);
	buf_free(&clean);
}

void
call_set_remote_id(DispatchCall *call, const char *id)
{
	call_stats_set_remote_id(&OPEN_CALL(call)->stats, id);
	call_touch(call);
}

static void
add_output(OpenCall *oc, const FrameOutput *out, Buf *owner)
{
	size_t size = frame_output_size(out);

	credit_sent(&oc->pub.credit, size);
	if (long_output_is(size))
	{
		if (oc->outputs != NULL)
			attachment_send(oc->att, oc->outputs);
		oc->outputs = NULL;
		long_output_end(&oc->begun, oc->att, oc->number, out, owner);
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
			attachment_break(oc->att);
			return;
		}
		frame_put_header(out_frame_buf(oc->outputs), FRAME_OUTPUTS, 0,
						 oc->number);
	}
	frame_put_output(out_frame_buf(oc->outputs), out);
}

void
call_output_begun(DispatchCall *call, const FrameOutput *out, size_t come)
{
	OpenCall *oc = OPEN_CALL(call);

	Assert(call->open.kind == CALL_REMOTE && out->ok && oc->outputs == NULL);
	long_output_more(&oc->begun, oc->att, oc->number, out, come);
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

	if (out->ok && !long_output_goes_on(&oc->begun, out))
	{
		call_output(call, &(FrameOutput){
							  .ordinal = out->ordinal,
							  .attempts = out->attempts,
							  .sqlstate = MODAL_SQLSTATE_PROTOCOL,
							  .message = {CHANGED, sizeof(CHANGED) - 1}});
		return;
	}
	call_touch(call);
	call->done++;
	call->usage += out->usage;
	call_stats_output(&oc->stats, out);
	if (out->ok)
		add_output(oc, out, owner);
	else
	{
		FrameOutput clean = *out;
		Buf type;
		Buf message;
		Buf traceback;

		call->failed++;
		clean.type = clean_text(call, &type, out->type.p, out->type.n, MAX_TYPE);
		clean.message = clean_text(call, &message, out->message.p,
								   out->message.n, MAX_MESSAGE);
		clean.traceback = clean_text(call, &traceback, out->traceback.p,
									 out->traceback.n, MAX_TRACEBACK);
		add_output(oc, &clean, NULL);
		buf_free(&type);
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
	dlist_iter iter;

	dlist_foreach(iter, &dirty_calls)
	{
		OpenCall *oc = dlist_container(OpenCall, dirty, iter.cur);

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
	while (!dlist_is_empty(&dirty_calls))
	{
		OpenCall *oc =
			dlist_head_element(OpenCall, dirty, &dirty_calls);

		undirty(oc);
		call_stats_update(&oc->stats, &oc->pub);
	}
	pg_atomic_write_u32(&shared->calls, ncalls);
	call_stats_publish(shared);
}
