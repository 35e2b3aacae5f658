/*-------------------------------------------------------------------------
 *
 * remote_call.c
 *	  Remote calls as the rest of the session sees them; see remote_call.h.
 *
 * Outputs wait in an output queue (output_queue.h) until the caller takes
 * them; what was taken is reported to the dispatcher from time to time, as
 * credit for more.
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include "guc.h"
#include "link/channel.h"
#include "values/values.h"
#include "link/output_queue.h"
#include "link/remote_call.h"
#include "errors.h"
#include "lib/ilist.h"
#include "portability/instr_time.h"
#include "utils/memutils.h"

/* A frame of inputs leaves when it is this full, so that work starts early. */
#define INPUT_FRAME_TARGET (16 * 1024)
/* With so many bytes queued on the way out, there is no room for more. */
#define MAX_UNSENT (1024 * 1024)
/* Consumption is reported at least this often. */
#define CONSUMED_STEP (64 * 1024)
/*
 * Shares of the window.  Half of it more is put ahead, and inputs are put by as
 * many: while a part is made, two are at the service.  With smaller parts the
 * processes wait for each other more often than they work.
 */
#define AHEAD_SHARE 2
#define REFILL_SHARE 16
/* A call's notices that wait to be told; later ones are dropped. */
#define MAX_NOTICES 16

typedef struct Accepted
{
	struct Accepted *next;
	int64 first;
	uint32 count;
} Accepted;

/* What the service wants the user to know. */
typedef struct Notice
{
	struct Notice *next;
	NoticeKind kind;
	Slice message;
} Notice;

struct RemoteCall
{
	MemoryContext cxt;
	MemoryContextCallback on_reset;
	Channel *channel; /* NULL: no longer registered */
	uint32 id;
	char *label;
	CallKind kind;
	bool return_exceptions;
	uint32 window;
	bool put_ahead;
	Size window_bytes;
	Size input_bytes; /* most of inputs on their way, if more than one */
	OutputSize input_size;
	RemoteCallCounters counters;

	/* inputs */
	Buf frame; /* an INPUTS frame being filled, when longer than its header: */
	dlist_node collected; /* then it is among these */
	int64 next_input;
	bool finished;

	OutputQueue outputs;
	uint64 awaiting; /* outputs that had arrived when we said what we await */
	CallOpened *opened;
	CallClosed *closed;
	Accepted *accepted;
	Accepted **accepted_tail;
	Notice *notices; /* not told yet */
	Notice **notices_tail;
	int nnotices;
};

/* Calls with inputs that have not left yet. */
static dlist_head collected = DLIST_STATIC_INIT(collected);

static uint32 result_wait_event = 0;

/* --- how a call ends ------------------------------------------------------ */

static Slice
copy_slice(MemoryContext cxt, Slice s)
{
	Slice copy = {NULL, s.n};

	if (s.n > 0)
	{
		copy.p = MemoryContextAlloc(cxt, s.n);
		memcpy(unconstify(char *, copy.p), s.p, s.n);
	}
	return copy;
}

static Slice
slice_of(const char *s)
{
	return (Slice){s, s != NULL ? strlen(s) : 0};
}

/* For the other side, which knows UTF-8 only; inside a transaction. */
static Slice
utf8_slice(const char *s)
{
	Size n = 0;
	char *utf8 = s != NULL ? text_to_utf8(s, strlen(s), &n) : NULL;

	return (Slice){utf8, n};
}

/* No more is expected; what has come can still be taken. */
static void
end_call(RemoteCall *call, const CallClosed *closed)
{
	CallClosed *copy;

	if (call->closed != NULL)
		return;
	copy = MemoryContextAlloc(call->cxt, sizeof(CallClosed));
	*copy = *closed;
	copy->message = copy_slice(call->cxt, closed->message);
	copy->detail = copy_slice(call->cxt, closed->detail);
	copy->hint = copy_slice(call->cxt, closed->hint);
	call->counters.retries = closed->retries;
	call->closed = copy;
}

static void
end_call_locally(RemoteCall *call, const char *sqlstate, const char *message,
				 const char *hint)
{
	CallClosed closed;

	memset(&closed, 0, sizeof(closed));
	strlcpy(closed.sqlstate, sqlstate, sizeof(closed.sqlstate));
	closed.message = slice_of(message);
	closed.hint = slice_of(hint);
	end_call(call, &closed);
}

static void
link_lost(RemoteCall *call)
{
	if (channel_was_attached(call->channel))
		end_call_locally(call, MODAL_SQLSTATE_CONNECTION,
						 "connection to the modal_batch dispatcher was lost",
						 "The statement can be repeated.");
	else
		end_call_locally(call, MODAL_SQLSTATE_NO_DISPATCHER,
						 "no modal_batch dispatcher is running",
						 "Look into the server log for why background worker \"modal_batch dispatcher\" did not start.");
}

/* Tell the dispatcher to forget the call, unless it has ended. */
static void
send_cancel(RemoteCall *call, int flags)
{
	uint8 bytes[sizeof(FrameHeader)];
	Buf frame = {.data = bytes, .cap = sizeof(bytes), .limit = sizeof(bytes)};

	if (call->closed != NULL)
		return;
	/* On the stack: a call may end while memory is short. */
	frame_put_header(&frame, FRAME_CANCEL, (uint16) flags, call->id);
	channel_send(call->channel, &frame);
}

static void
abandon(RemoteCall *call, int flags)
{
	Channel *channel = call->channel;

	output_queue_close_file(&call->outputs);
	if (call->frame.len > sizeof(FrameHeader))
		dlist_delete(&call->collected);
	call->frame.len = 0;
	if (channel == NULL)
		return;
	send_cancel(call, flags);
	call->channel = NULL;
	channel_unregister(channel, call->id);
}

/* The call's context goes away with the call still open. */
static void
on_context_reset(void *arg)
{
	abandon(arg, 0);
}

void
remote_call_close(RemoteCall *call, int flags)
{
	abandon(call, flags);
	MemoryContextDelete(call->cxt);
}

/* --- what arrives ---------------------------------------------------------- */

static bool
take_opened(RemoteCall *call, FrameReader *reader)
{
	CallOpened opened;

	if (!frame_get_opened(reader, &opened))
		return false;
	opened.function_id = copy_slice(call->cxt, opened.function_id);
	opened.remote_call_id = copy_slice(call->cxt, opened.remote_call_id);
	call->opened = MemoryContextAlloc(call->cxt, sizeof(CallOpened));
	*call->opened = opened;
	if (opened.window > 0)
		call->window = Min(call->window, opened.window);
	return true;
}

static bool
take_part(RemoteCall *call, FrameReader *reader)
{
	OutputQueueResult result = output_queue_add_part(&call->outputs, reader);

	if (result == OUTPUT_QUEUE_TOO_LARGE)
	{
		send_cancel(call, 0);
		end_call_locally(call, MODAL_SQLSTATE_TOO_LARGE,
						 "result of a remote function is larger than modal_batch.max_payload",
						 NULL);
	}
	return result != OUTPUT_QUEUE_BAD;
}

static bool
take_accepted(RemoteCall *call, FrameReader *reader)
{
	Accepted *news = MemoryContextAllocZero(call->cxt, sizeof(Accepted));

	if (!frame_get_accepted(reader, &news->first, &news->count))
		return false;
	*call->accepted_tail = news;
	call->accepted_tail = &news->next;
	return true;
}

/*
 * Kept, not told: telling converts text, which may fail and needs a
 * transaction, and this may be within somebody else's wait.
 */
static bool
take_notice(RemoteCall *call, FrameReader *reader)
{
	Slice message;
	Notice *notice;

	if (!frame_get_notice(reader, &message))
		return false;
	if (call->nnotices == MAX_NOTICES)
		return true;
	notice = MemoryContextAllocZero(call->cxt, sizeof(Notice));
	notice->kind = (NoticeKind) reader->header.flags;
	notice->message = copy_slice(call->cxt, message);
	*call->notices_tail = notice;
	call->notices_tail = &notice->next;
	call->nnotices++;
	return true;
}

static bool
take_frame(RemoteCall *call, FrameReader *reader)
{
	CallClosed closed;
	uint64_t credit;

	switch (reader->header.type)
	{
		case FRAME_OPENED:
			return take_opened(call, reader);
		case FRAME_ACCEPTED:
			return take_accepted(call, reader);
		case FRAME_OUTPUTS:
			return output_queue_add(&call->outputs, reader) == OUTPUT_QUEUE_OK;
		case FRAME_OUTPUT_PART:
			return take_part(call, reader);
		case FRAME_NOTICE:
			return take_notice(call, reader);
		case FRAME_CREDIT:
			if (!frame_get_credit(reader, &credit))
				return false;
			call->input_bytes = (Size) Min(credit, call->window_bytes);
			return true;
		case FRAME_CLOSED:
			if (!frame_get_closed(reader, &closed))
				return false;
			end_call(call, &closed);
			return true;
		default:
			return false;
	}
}

static void
deliver(void *owner, FrameReader *reader, const void *frame, Size len)
{
	RemoteCall *call = owner;

	(void) frame;
	(void) len;
	if (call->closed != NULL)
		return;
	if (reader == NULL)
		link_lost(call);
	else if (!take_frame(call, reader))
	{
		send_cancel(call, 0);
		end_call_locally(call, MODAL_SQLSTATE_PROTOCOL,
						 "the modal_batch dispatcher sent a malformed frame",
						 NULL);
	}
}

/* --- opening and putting ---------------------------------------------------- */

static void
fill_open(CallOpen *open, const RemoteCall *call, const Endpoint *endpoint,
		  const RemoteCallSpec *spec)
{
	memset(open, 0, sizeof(*open));
	open->kind = spec->kind;
	open->op = spec->op;
	open->input_format = spec->input_format != 0
		? spec->input_format
		: endpoint_arg_format(endpoint).payload;
	open->flags = (spec->return_exceptions ? CALL_RETURN_EXCEPTIONS : 0) |
		(spec->discard ? CALL_DISCARD : 0) | (spec->ordered ? CALL_ORDERED : 0) |
		(spec->available ? CALL_AVAILABLE : 0);
	open->window = call->window;
	open->output_budget = call->window_bytes;
	open->max_output = (uint64) modal_max_payload_kb * 1024;
	open->deadline_ms = spec->deadline_ms;
	open->first_ordinal = spec->first_ordinal;
	open->last_ordinal = spec->last_ordinal;
	open->total_inputs = spec->total_inputs;
	if (spec->idempotency != NULL)
		memcpy(open->idempotency, spec->idempotency, sizeof(open->idempotency));
	else if (!pg_strong_random(open->idempotency, sizeof(open->idempotency)))
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR),
						errmsg("could not generate random values")));
	open->endpoint = (Slice){endpoint->options, endpoint->options_len};
	open->reference = utf8_slice(spec->reference);
	open->label = utf8_slice(call->label);
	open->remote_call_id = slice_of(spec->remote_call_id);
	/* a template's rows need what is around them, whoever calls */
	open->request = utf8_slice(spec->request == NULL &&
									   spec->kind != CALL_CONTROL
								   ? endpoint_common_kwargs(endpoint, NULL)
								   : spec->request);
}

static void
send_open(RemoteCall *call, const Endpoint *endpoint,
		  const RemoteCallSpec *spec)
{
	CallOpen open;
	Buf frame;

	fill_open(&open, call, endpoint, spec);
	buf_init(&frame, FRAME_MAX, buf_palloc);
	frame_put_open(&frame, call->id, &open);
	if (frame.failed)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("function reference, arguments and server options are too long together"),
				 errdetail("The limit is %d bytes.", FRAME_MAX)));
	channel_send(call->channel, &frame);
	/* It holds secrets. */
	explicit_bzero(frame.data, frame.len);
	buf_free(&frame);
}

RemoteCall *
remote_call_open(MemoryContext parent, const Endpoint *endpoint,
				 const RemoteCallSpec *spec)
{
	MemoryContext cxt = AllocSetContextCreate(parent, "modal_batch call",
											  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(cxt);
	RemoteCall *call = palloc0(sizeof(RemoteCall));

	if (result_wait_event == 0)
		result_wait_event = modal_wait_event("ModalBatchResult");
	call->cxt = cxt;
	call->kind = spec->kind;
	call->return_exceptions = spec->return_exceptions;
	call->label = endpoint_label(endpoint, spec->reference != NULL
									 ? spec->reference : "");
	call->window = spec->window > 0 ? (uint32) spec->window
									: endpoint_window(endpoint);
	call->put_ahead =
		spec->put_ahead && endpoint->protocol == ENDPOINT_MODAL;
	call->window_bytes = spec->window_bytes > 0
		? spec->window_bytes
		: (Size) modal_window_bytes_kb * 1024;
	call->input_bytes = call->window_bytes;
	call->next_input = spec->first_ordinal;
	output_queue_init(&call->outputs, cxt, spec->ordered, spec->first_ordinal);
	call->accepted_tail = &call->accepted;
	call->notices_tail = &call->notices;
	buf_init(&call->frame, FRAME_MAX, buf_palloc);

	call->channel = channel_get(endpoint->serverid, endpoint->dispatchers);
	call->id = channel_register(call->channel, call, deliver);
	call->on_reset.func = on_context_reset;
	call->on_reset.arg = call;
	MemoryContextRegisterResetCallback(cxt, &call->on_reset);

	send_open(call, endpoint, spec);
	frame_put_header(&call->frame, FRAME_INPUTS, 0, call->id);
	MemoryContextSwitchTo(old);
	return call;
}

int
remote_call_window(RemoteCall *call)
{
	const OutputQueue *q = &call->outputs;
	uint32 window = call->window;

	if (call->put_ahead)
		window += window / AHEAD_SHARE;
	/* an asynchronous call's results stay at the service until there is room */
	if (call->kind == CALL_SPAWN_MAP)
		return (int) window;
	/* As many as their results would fit into the memory for them. */
	window = output_size_window(&q->size, call->window_bytes, window);
	/* Nor more than the dispatcher has memory for. */
	return (int) output_size_window(&call->input_size, call->input_bytes,
									window);
}

int
remote_call_room(RemoteCall *call)
{
	int64 used = (int64) (call->counters.put - call->counters.returned);

	if (channel_unsent(call->channel) > MAX_UNSENT)
		return 0;
	return (int) Max(remote_call_window(call) - used, 0);
}

int
remote_call_refill(RemoteCall *call)
{
	uint32 share = call->put_ahead ? AHEAD_SHARE + 1 : REFILL_SHARE;

	return Max(remote_call_window(call) / share, 1);
}

void
remote_call_flush(RemoteCall *call)
{
	if (call->frame.len <= sizeof(FrameHeader))
		return;
	channel_send(call->channel, &call->frame);
	call->frame.len = sizeof(FrameHeader);
	dlist_delete(&call->collected);
	call->counters.batches++;
}

/* An input that does not fit into a frame. */
static void
put_in_parts(RemoteCall *call, int64 ordinal, const void *p, Size n)
{
	MemoryContext old = MemoryContextSwitchTo(call->cxt);
	uint64 offset = 0;
	Buf frame;

	remote_call_flush(call);
	buf_init(&frame, FRAME_MAX, buf_palloc);
	while (frame_put_input_part(&frame, call->id, ordinal, p, n, &offset))
	{
		channel_send(call->channel, &frame);
		buf_reset(&frame);
	}
	buf_free(&frame);
	call->counters.batches++;
	MemoryContextSwitchTo(old);
}

void
remote_call_put(RemoteCall *call, int64 ordinal, const void *p, Size n)
{
	RemoteCallCounters *c = &call->counters;
	bool first;

	Assert(ordinal >= call->next_input && !call->finished);
	if (n > (Size) modal_max_payload_kb * 1024)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("an input of remote function %s is larger than modal_batch.max_payload",
						call->label),
				 errdetail("It has %zu bytes; the limit is %d kB.", n,
						   modal_max_payload_kb)));
	call->next_input = ordinal + 1;
	c->put++;
	c->bytes_put += n;
	output_size_note(&call->input_size, n, 1);
	c->max_in_flight = Max(c->max_in_flight, (int) (c->put - call->outputs.finished));
	if (frame_input_size(n) > FRAME_MAX - sizeof(FrameHeader))
	{
		put_in_parts(call, ordinal, p, n);
		return;
	}
	if (call->frame.len + frame_input_size(n) > FRAME_MAX)
		remote_call_flush(call);
	first = call->frame.len == sizeof(FrameHeader);
	frame_put_input(&call->frame, ordinal, p, n);
	if (first)
		dlist_push_tail(&collected, &call->collected);
	if (call->frame.len >= INPUT_FRAME_TARGET)
		remote_call_flush(call);
}

void
remote_call_finish(RemoteCall *call)
{
	uint8 bytes[sizeof(FrameHeader)];
	Buf frame = {.data = bytes, .cap = sizeof(bytes), .limit = sizeof(bytes)};

	remote_call_flush(call);
	frame_put_header(&frame, FRAME_FINISH, 0, call->id);
	channel_send(call->channel, &frame);
	call->finished = true;
}

/* --- taking outputs ---------------------------------------------------------- */

/*
 * Give credit for what was read.  A caller who waits, though the queue is full
 * of outputs, needs one that is not among them.
 */
static void
report_consumed(RemoteCall *call, bool waiting)
{
	OutputQueue *q = &call->outputs;
	uint8 bytes[sizeof(FrameHeader) + 3 * sizeof(uint64)];
	Buf frame = {.data = bytes, .cap = sizeof(bytes), .limit = sizeof(bytes)};
	bool awaiting = waiting && q->ordered && q->held >= call->window_bytes;

	if (call->closed == NULL &&
		(q->consumed > 0 || (awaiting && call->awaiting != q->finished)))
	{
		frame_put_consumed(&frame, call->id, q->consumed,
						   awaiting ? q->next : -1, q->finished);
		channel_send(call->channel, &frame);
	}
	call->awaiting = awaiting ? q->finished : 0;
	q->consumed = 0;
	if (awaiting)
		output_queue_spill(q, call->window_bytes);
}

/*
 * Kinds of call in which every input has one output.  When such a call says
 * that all went well, and outputs are missing, results were lost.
 */
static void
check_complete(const RemoteCall *call)
{
	bool one_each = call->kind == CALL_REMOTE || call->kind == CALL_MAP;

	if (one_each && call->closed->ok &&
		call->counters.returned < call->counters.put)
		ereport(ERROR,
				(errcode(ERRCODE_PROTOCOL_VIOLATION),
				 errmsg("remote function %s returned " UINT64_FORMAT " results for " UINT64_FORMAT " inputs",
						call->label, call->counters.returned,
						call->counters.put)));
}

bool
remote_call_is_ready(RemoteCall *call)
{
	/* Look into shared memory only when nothing is at hand. */
	if (call->closed == NULL && !output_queue_has_next(&call->outputs))
		channel_poll(call->channel);
	return call->closed != NULL || output_queue_has_next(&call->outputs);
}

RemoteCallResult
remote_call_poll_noerror(RemoteCall *call, FrameOutput *out)
{
	OutputQueue *q = &call->outputs;

	output_queue_release(q);
	if (q->consumed >= Min(CONSUMED_STEP, call->window_bytes / 4))
		report_consumed(call, false);
	if (remote_call_is_ready(call) && output_queue_next(q, out))
	{
		call->counters.returned++;
		return REMOTE_CALL_OUTPUT;
	}
	if (call->closed == NULL)
		return REMOTE_CALL_PENDING;
	/* The first failure ends such a call: results before it may never come. */
	if (!call->return_exceptions && output_queue_next_failed(q, out))
	{
		call->counters.returned++;
		return REMOTE_CALL_OUTPUT;
	}
	return REMOTE_CALL_END;
}

static void
raise_if_failed(const RemoteCall *call)
{
	const CallClosed *closed = call->closed;

	if (!closed->ok)
		ereport(ERROR,
				(errcode(closed->sqlstate[0] != '\0'
							 ? modal_sqlstate(closed->sqlstate)
							 : ERRCODE_INTERNAL_ERROR),
				 errmsg("%s", remote_text(closed->message)),
				 closed->detail.n > 0
					 ? errdetail("%s", remote_text(closed->detail)) : 0,
				 closed->hint.n > 0
					 ? errhint("%s", remote_text(closed->hint)) : 0,
				 errcontext("remote function %s", call->label)));
}

NoticeKind
remote_call_waits(const RemoteCall *call, Slice *message)
{
	for (Notice *notice = call->notices; notice != NULL; notice = notice->next)
		if (notice->kind != NOTICE_WARNING)
		{
			*message = notice->message;
			return notice->kind;
		}
	return NOTICE_WARNING;
}

void
remote_call_tell(RemoteCall *call)
{
	while (call->notices != NULL)
	{
		Notice *notice = call->notices;

		call->notices = notice->next;
		if (call->notices == NULL)
			call->notices_tail = &call->notices;
		call->nnotices--;
		ereport(WARNING, (errmsg("%s", remote_text(notice->message)),
						  errcontext("remote function %s", call->label)));
		if (notice->message.n > 0)
			pfree(unconstify(char *, notice->message.p));
		pfree(notice);
	}
}

RemoteCallResult
remote_call_poll(RemoteCall *call, FrameOutput *out)
{
	RemoteCallResult result = remote_call_poll_noerror(call, out);

	remote_call_tell(call);
	if (result == REMOTE_CALL_END)
	{
		raise_if_failed(call);
		check_complete(call);
	}
	return result;
}

void
remote_call_wait(RemoteCall *call, long timeout_ms)
{
	instr_time start, end;
	dlist_mutable_iter other;

	if (call->closed != NULL)
		return;
	/* Others make progress meanwhile, so their inputs must leave as well. */
	dlist_foreach_modify(other, &collected)
	{
		remote_call_flush(dlist_container(RemoteCall, collected, other.cur));
	}
	report_consumed(call, true);
	INSTR_TIME_SET_CURRENT(start);
	channel_wait(timeout_ms, result_wait_event);
	INSTR_TIME_SET_CURRENT(end);
	INSTR_TIME_SUBTRACT(end, start);
	call->counters.wait_us += INSTR_TIME_GET_MICROSEC(end);
}

RemoteCallResult
remote_call_next(RemoteCall *call, FrameOutput *out)
{
	RemoteCallResult result;

	while ((result = remote_call_poll(call, out)) == REMOTE_CALL_PENDING)
		remote_call_wait(call, -1);
	return result;
}

/* --- the rest ----------------------------------------------------------------- */

const CallClosed *
remote_call_closed(RemoteCall *call)
{
	return call->closed;
}

const CallOpened *
remote_call_opened(RemoteCall *call)
{
	return call->opened;
}

const CallOpened *
remote_call_wait_opened(RemoteCall *call)
{
	while (call->opened == NULL)
	{
		if (call->closed != NULL)
		{
			raise_if_failed(call);
			ereport(ERROR, (errcode(ERRCODE_PROTOCOL_VIOLATION),
							errmsg("call of remote function %s ended before it began",
								   call->label)));
		}
		remote_call_wait(call, -1);
	}
	return call->opened;
}

bool
remote_call_accepted(RemoteCall *call, int64 *first, uint32 *count)
{
	Accepted *news = call->accepted;

	if (news == NULL)
		return false;
	*first = news->first;
	*count = news->count;
	call->accepted = news->next;
	if (call->accepted == NULL)
		call->accepted_tail = &call->accepted;
	pfree(news);
	return true;
}

const RemoteCallCounters *
remote_call_counters(RemoteCall *call)
{
	RemoteCallCounters *c = &call->counters;

	c->finished = call->outputs.finished;
	c->failed = call->outputs.failed;
	c->bytes_received = call->outputs.bytes;
	return c;
}

const char *
remote_call_label(const RemoteCall *call)
{
	return call->label;
}

RemoteCall *
remote_call_once(MemoryContext cxt, const Endpoint *endpoint,
				 const RemoteCallSpec *spec, const void *p, Size n,
				 FrameOutput *out)
{
	RemoteCall *call = remote_call_open(cxt, endpoint, spec);

	remote_call_put(call, spec->first_ordinal, p, n);
	remote_call_finish(call);
	if (remote_call_next(call, out) == REMOTE_CALL_END)
		ereport(ERROR, (errcode(ERRCODE_PROTOCOL_VIOLATION),
						errmsg("remote function %s returned no result",
							   call->label)));
	if (!out->ok)
		error_raise(out, call->label);
	return call;
}
