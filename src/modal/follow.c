/*-------------------------------------------------------------------------
 *
 * follow.c
 *	  Results of a remote call that was started elsewhere or earlier, by index
 *	  and in order.
 *
 * As Modal's own clients do it: ask for a range of indexes, take what is
 * there from its beginning without a gap, and wait for the first one that is
 * not there yet (or end there, if only what is available is wanted).
 *
 *-------------------------------------------------------------------------
 */
#include "modal/call.h"

#include <stdlib.h>
#include <string.h>

#include "core/pb.h"
#include "proto/modal.pb-c.h"

#define RANGE 49				/* most outputs to ask for at a time */

typedef struct FollowCall
{
	ModalCall mc;
	int64_t next;	/* ordinal of the output that comes next */
	int64_t asked;	/* for those up to this one */
	int64_t last;
	bool wait;		/* for that one: it is not there yet */
} FollowCall;

#define FOLLOW_CALL(mc) ((FollowCall *) (mc))

static void on_outputs(void *arg, const GrpcResult *result);

static bool
ask(ModalCall *mc)
{
	FollowCall *follow = FOLLOW_CALL(mc);
	GrpcSpec spec = grpc_spec(mc->mt->control, "FunctionGetOutputs", mc->call,
							  on_outputs, mc);
	Buf *buf = &spec.request;
	/* Wait for one, or look at many. */
	double timeout = grpc_long_poll(&spec, follow->wait ? LONG_POLL_S : 0);

	follow->asked = follow->wait ? follow->next : follow->next + RANGE - 1;
	if (follow->asked > follow->last)
		follow->asked = follow->last;
	pb_put_bytes(buf, 1, mc->call_id.data, mc->call_id.len);
	pb_put_float(buf, 3, timeout);
	pb_put_string(buf, 6, "0-0");
	pb_put_uint(buf, 7, 0);
	pb_put_double(buf, 8, unix_seconds());
	pb_put_uint(buf, 10, follow->next);
	pb_put_uint(buf, 11, follow->asked);
	grpc_end(buf);
	mc->poll_began = monotonic_seconds();
	mc->poll = grpc_start(&spec);
	if (mc->poll != NULL)
		return true;
	modal_call_fail_memory(mc);
	return false;
}

/* Has the last output been read?  Then only blobs are left, or nothing. */
static bool
is_at_end(const ModalCall *mc)
{
	return mc->stop ||
		(mc->started && FOLLOW_CALL(mc)->next > FOLLOW_CALL(mc)->last);
}

static bool
follow_pump(ModalCall *mc)
{
	if (is_at_end(mc))
	{
		if (mc->downloads.count > 0)
			return true;
		modal_call_end(mc);
		return false;
	}
	if (mc->started && mc->poll == NULL && mc->poll_pause.heap_index == 0 &&
		credit_fetch(&mc->call->credit, 1, 0) > 0 &&
		mc->downloads.count < MAX_DOWNLOADS)
		return ask(mc);
	return true;
}

/*
 * The outputs of a reply that were asked for, from the next one on: has[i] says
 * whether there is one.  Whatever else the service gives is nobody's business.
 * False: the reply cannot be read.
 */
static bool
find_asked(const FollowCall *follow, WireOutputs *reply,
		   WireOutput found[RANGE], bool has[RANGE])
{
	WireOutput output;
	bool bad;

	memset(has, 0, RANGE * sizeof(*has));
	while (wire_next_output(reply, &output, &bad))
	{
		int64_t i = output.idx - follow->next;

		if (i < 0 || output.idx > follow->asked || has[i])
			continue;
		has[i] = true;
		found[i] = output;
	}
	return !bad;
}

/* Deliver what is there without a gap; false: no memory. */
static bool
deliver_asked(ModalCall *mc, const WireOutput found[RANGE],
			  const bool has[RANGE])
{
	FollowCall *follow = FOLLOW_CALL(mc);

	for (int i = 0; i < RANGE && has[i] && !mc->stop; i++)
	{
		if (!modal_deliver(mc, follow->next, found[i].retry_count + 1,
						   &found[i]))
			return false;
		if (found[i].status != RESULT_SUCCESS &&
			!(mc->call->open.flags & CALL_RETURN_EXCEPTIONS))
			mc->stop = true;
		follow->next++;
	}
	return true;
}

static void
on_outputs(void *arg, const GrpcResult *result)
{
	ModalCall *mc = arg;
	WireOutputs reply;
	ModalError error;
	WireOutput found[RANGE];
	bool has[RANGE];
	bool any;

	mc->poll = NULL;
	if (result->status != GRPC_OK)
	{
		modal_call_fail_grpc(mc, result, "waiting for outputs");
		return;
	}
	if (!wire_read_get_outputs(result, &reply) ||
		!find_asked(FOLLOW_CALL(mc), &reply, found, has))
	{
		modal_call_fail_reply(mc, "FunctionGetOutputs");
		return;
	}
	if (!deliver_asked(mc, found, has))
	{
		modal_call_fail_memory(mc);
		return;
	}
	any = has[0];
	if (!any && (mc->call->open.flags & CALL_AVAILABLE))
		FOLLOW_CALL(mc)->last = FOLLOW_CALL(mc)->next - 1;
	else if (!any && FOLLOW_CALL(mc)->wait && reply.unfinished == 0)
	{
		modal_error(&error, MODAL_SQLSTATE_GONE,
					"The service keeps results for a limited time.",
					"results of remote call \"%s\" have expired",
					buf_cstr(&mc->call_id));
		modal_call_fail(mc, &error);
		return;
	}
	if (!any && FOLLOW_CALL(mc)->wait)
		modal_poll_pause_if_hasty(mc);
	FOLLOW_CALL(mc)->wait = !any;
	(void) follow_pump(mc);
}

bool
modal_call_find(ModalCall *mc, void (*on_reply)(void *, const GrpcResult *))
{
	GrpcSpec spec = grpc_spec(mc->mt->control, "FunctionCallFromId", mc->call,
							  on_reply, mc);
	Slice id = mc->call->open.remote_call_id;

	buf_put(&mc->call_id, id.p, id.n);
	pb_put_bytes(&spec.request, 1, id.p, id.n);
	grpc_end(&spec.request);
	mc->start = grpc_start(&spec);
	return mc->start != NULL && !mc->call_id.failed;
}

Modal__Client__FunctionCallFromIdResponse *
modal_call_found(ModalCall *mc, const GrpcResult *result)
{
	Modal__Client__FunctionCallFromIdResponse *reply;
	ModalError error;

	mc->start = NULL;
	if (result->status == GRPC_NOT_FOUND)
	{
		modal_error(&error, MODAL_SQLSTATE_GONE, NULL,
					"remote call \"%s\" does not exist",
					buf_cstr(&mc->call_id));
		modal_call_fail(mc, &error);
		return NULL;
	}
	if (result->status != GRPC_OK)
	{
		modal_call_fail_grpc(mc, result, "FunctionCallFromId");
		return NULL;
	}
	reply = grpc_unpack(
		result, &modal__client__function_call_from_id_response__descriptor);
	if (reply == NULL)
		modal_call_fail_reply(mc, "FunctionCallFromId");
	return reply;
}

static void
on_call_found(void *arg, const GrpcResult *result)
{
	ModalCall *mc = arg;
	FollowCall *follow = FOLLOW_CALL(mc);
	Modal__Client__FunctionCallFromIdResponse *reply =
		modal_call_found(mc, result);
	CallOpened opened = {0};

	if (reply == NULL)
		return;
	mc->started = true;
	follow->next = mc->call->open.first_ordinal;
	follow->last = reply->num_inputs - 1;
	if (mc->call->open.last_ordinal >= 0 &&
		mc->call->open.last_ordinal < follow->last)
		follow->last = mc->call->open.last_ordinal;
	if (reply->metadata != NULL)
		opened.function_id = (Slice){reply->metadata->function_id,
									 strlen(reply->metadata->function_id)};
	opened.remote_call_id = (Slice){buf_cstr(&mc->call_id), mc->call_id.len};
	opened.accepts_cbor = 1;
	call_set_remote_id(mc->call, buf_cstr(&mc->call_id));
	call_opened(mc->call, &opened);
	modal__client__function_call_from_id_response__free_unpacked(reply, NULL);
	(void) follow_pump(mc);
}

/* --- the kind of call ----------------------------------------------------- */

static bool
follow_begin(ModalCall *mc)
{
	if (modal_call_find(mc, on_call_found))
		return true;
	modal_call_fail_memory(mc);
	return false;
}

static void
follow_consumed(ModalCall *mc)
{
	(void) follow_pump(mc);
}

/* Never done by itself: it ends when it has read all that was asked for. */
static bool
follow_is_done(const ModalCall *mc)
{
	(void) mc;
	return false;
}

const ModalKind follow_kind = {
	.size = sizeof(FollowCall),
	.by_id = true,
	.begin = follow_begin,
	.pump = follow_pump,
	.is_done = follow_is_done,
	.consumed = follow_consumed,
};
