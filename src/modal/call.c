/*-------------------------------------------------------------------------
 *
 * call.c
 *	  A call of a Modal function, from its lookup to its end.
 *
 * A call goes from looked up (handle) to begun at the service (started) to
 * gone; kinds that are waited for begin by a request (start), spawned calls
 * may be resumed instead.  Once it has started, requests that carry inputs
 * (inputs.c), one long poll for outputs (poll.c) and transfers of blobs
 * overlap.  What keeps this right:
 *
 *	 - modal_call_pump() is the one way on.  Whoever changes something ends with
 *	   it, or with the end of the call, and touches nothing afterwards.
 *	 - Only modal_call_fail() and modal_call_end(), called by us, and the
 *	   driver's cancel, called by the channel, free a call; all through
 *	   call_gone().  A function that may do so returns false when it has, and
 *	   its callers return at once.
 *	 - The end of a call cancels every request, transfer and timer of it, at
 *	   once, so none of their callbacks runs later.  It may happen in a callback
 *	   of any of them: so each callback first forgets its own request (poll =
 *	   NULL and the like), which is gone when it returns.
 *	 - A callback may also end other requests of the call than its own.  Those
 *	   who walk over waiting requests of many calls (auth.c) expect that.
 *	 - Requests under way hold no reference to the handle: what they need is in
 *	   the request.
 *
 *-------------------------------------------------------------------------
 */
#include "modal/call.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- life ----------------------------------------------------------------- */

static void
modal_call_free(ModalCall *mc)
{
	if (mc->lookup != NULL)
		lookup_cancel(mc->lookup);
	if (mc->start != NULL)
		grpc_cancel(mc->start);
	modal_inputs_free(mc);
	modal_poll_free(mc);
	if (mc->kind->free != NULL)
		mc->kind->free(mc);
	handle_release(mc->handle);
	buf_free(&mc->call_id);
	buf_free(&mc->token);
	free(mc);
}

static void
call_gone(ModalCall *mc, CallEnd end, bool terminate)
{
	if (mc->call_id.len > 0 && mc->kind->leave != NULL)
		mc->kind->leave(mc, end, terminate);
	modal_call_free(mc);
}

void
modal_call_fail(ModalCall *mc, const ModalError *error)
{
	DispatchCall *call = mc->call;

	call_gone(mc, END_FAILED, false);
	modal_fail(call, error);
}

void
modal_call_fail_grpc(ModalCall *mc, const GrpcResult *result, const char *rpc)
{
	ModalError error;

	modal_error_grpc(&error, result, "call of \"%.*s\" failed in %s",
					 (int) mc->call->open.label.n, mc->call->open.label.p, rpc);
	/* The function was there, so this is about the call. */
	if (result->status == GRPC_NOT_FOUND)
	{
		error.sqlstate = MODAL_SQLSTATE_CONNECTION;
		error.retryable = true;
		error.hint = "The service may have been restarted, or the call may have expired there.";
	}
	modal_call_fail(mc, &error);
}

void
modal_call_fail_memory(ModalCall *mc)
{
	ModalError error;

	modal_error_memory(&error);
	modal_call_fail(mc, &error);
}

void
modal_call_fail_reply(ModalCall *mc, const char *rpc)
{
	ModalError error;

	modal_error(&error, MODAL_SQLSTATE_PROTOCOL, NULL,
				"the reply of the service to %s cannot be read", rpc);
	modal_call_fail(mc, &error);
}

void
modal_call_end(ModalCall *mc)
{
	DispatchCall *call = mc->call;

	call_gone(mc, END_DONE, false);
	call_close(call);
}

/* Is there nothing left to do?  So it is for a map that had no inputs, too. */
static bool
is_done(const ModalCall *mc)
{
	const DispatchCall *call = mc->call;

	if (mc->stop)
		return true;
	return call->finished && call->npending == 0 && mc->nready == 0 &&
		mc->nuploads == 0 && mc->nputs == 0 && mc->downloads.count == 0 &&
		mc->start == NULL && mc->handle != NULL && mc->kind->is_done(mc);
}

/* --- starting ------------------------------------------------------------- */

void
modal_call_opened(ModalCall *mc)
{
	CallOpened opened = {0};
	const FunctionHandle *handle = mc->handle;

	opened.function_id =
		(Slice){handle->function_id, strlen(handle->function_id)};
	opened.remote_call_id = (Slice){buf_cstr(&mc->call_id), mc->call_id.len};
	opened.version = handle->version;
	opened.window = mc->window;
	opened.accepts_cbor = handle->accepts_cbor;
	opened.is_generator = handle->is_generator;
	mc->started = true;
	if (mc->call_id.len > 0)
		call_set_remote_id(mc->call, buf_cstr(&mc->call_id));
	call_opened(mc->call, &opened);
}

bool
modal_call_apply_started(ModalCall *mc, const GrpcResult *result)
{
	WireStarted started;

	if (!wire_read_started(mc, result, &started))
	{
		modal_call_fail_reply(mc, "FunctionMap");
		return false;
	}
	buf_put(&mc->call_id, started.call_id.p, started.call_id.n);
	buf_put(&mc->token, started.token.p, started.token.n);
	if (mc->call_id.failed || mc->token.failed)
	{
		modal_call_fail_memory(mc);
		return false;
	}
	mc->window = started.window > 0 ? started.window : DEFAULT_WINDOW;
	/* what the service says is for calls that are waited for */
	if (mc->window > mc->call->open.window || mc->kind->background)
		mc->window = mc->call->open.window;
	modal_call_opened(mc);
	if (mc->kind->started(mc, &started))
		return true;
	modal_call_fail_memory(mc);
	return false;
}

static void on_start(void *arg, const GrpcResult *result);

bool
modal_call_start(ModalCall *mc, const CallInput *input, const uint8_t *key)
{
	GrpcSpec spec = wire_start(mc, input, on_start);

	spec.idempotency = key;
	grpc_end(&spec.request);
	mc->start = grpc_start(&spec);
	return mc->start != NULL;
}

static void lookup(ModalCall *mc);

bool
modal_call_look_up_again(ModalCall *mc)
{
	if (mc->looked_up_again)
		return false;
	mc->looked_up_again = true;
	handle_invalidate(mc->mt, mc->handle);
	handle_release(mc->handle);
	mc->handle = NULL;
	if (mc->kind->restart != NULL)
		mc->kind->restart(mc);
	lookup(mc);
	return true;
}

/* Functions with an input plane may be callable there only. */
static bool
is_spawn_refused(const ModalCall *mc, const GrpcResult *result)
{
	return mc->kind == &spawn_kind && mc->handle->plane != NULL &&
		(result->status == GRPC_INVALID_ARGUMENT ||
		 result->status == GRPC_FAILED_PRECONDITION ||
		 result->status == GRPC_UNIMPLEMENTED);
}

static void
refuse_spawn(ModalCall *mc, const GrpcResult *result)
{
	Slice label = mc->call->open.label;
	ModalError error;

	modal_error_grpc(&error, result, "\"%.*s\" cannot be called in the background",
					 (int) label.n, label.p);
	error.sqlstate = MODAL_SQLSTATE_UNSUPPORTED;
	error.hint = "It is routed to a region of its own, where the service has only calls that are waited for: use modal_remote() or modal_map().";
	modal_call_fail(mc, &error);
}

static void
on_start(void *arg, const GrpcResult *result)
{
	ModalCall *mc = arg;

	mc->start = NULL;
	if (result->status == GRPC_NOT_FOUND && modal_call_look_up_again(mc))
		return;
	if (is_spawn_refused(mc, result))
		refuse_spawn(mc, result);
	else if (result->status != GRPC_OK)
		modal_call_fail_grpc(mc, result, "starting the call");
	else if (modal_call_apply_started(mc, result))
		modal_call_pump(mc);
}

void
modal_call_pump(ModalCall *mc)
{
	if (mc->handle == NULL && !mc->kind->by_id)
		return;
	if (!mc->kind->pump(mc))
		return;
	if (is_done(mc))
		modal_call_end(mc);
	else if (mc->kind->wants_poll != NULL)
		modal_call_ensure_poll(mc);
}

/* --- driver --------------------------------------------------------------- */

/* False: the call has been failed. */
static bool
check_handle(ModalCall *mc)
{
	const FunctionHandle *handle = mc->handle;
	Slice label = mc->call->open.label;
	ModalError error;
	bool generator = mc->call->open.kind == CALL_GENERATOR;
	char hint[1024];

	if (handle->web_url[0] != '\0')
	{
		snprintf(hint, sizeof(hint),
				 "Call it at %s, through a foreign server with protocol 'http' and that URL.",
				 handle->web_url);
		modal_error(&error, MODAL_SQLSTATE_UNSUPPORTED, hint,
					"\"%.*s\" is a web function", (int) label.n, label.p);
	}
	else if (handle->is_generator != generator)
	{
		/* A caller that takes either kind learns from this which it is. */
		CallOpened opened = {.is_generator = handle->is_generator,
							 .accepts_cbor = handle->accepts_cbor};

		call_opened(mc->call, &opened);
		modal_error(&error, MODAL_SQLSTATE_UNSUPPORTED,
					generator ? "Use modal_remote() or modal_map()."
							  : "Use modal_remote_gen().",
					generator ? "\"%.*s\" is not a generator"
							  : "\"%.*s\" is a generator",
					(int) label.n, label.p);
	}
	else if (!handle->accepts_cbor && !mc->mt->allow_pickle)
	{
		modal_error(&error, MODAL_SQLSTATE_UNSUPPORTED,
					"Deploy it again with Modal's Python SDK 1.2 or newer, or set the server option allow_pickle.",
					"\"%.*s\" does not accept CBOR", (int) label.n, label.p);
		snprintf(error.detail, sizeof(error.detail),
				 "It was deployed by an SDK that knows Python's pickle format only.");
	}
	else
		return true;
	modal_call_fail(mc, &error);
	return false;
}

static void
use_handle(ModalCall *mc)
{
	if (check_handle(mc) && mc->kind->begin(mc))
		modal_call_pump(mc);
}

static void
on_lookup(void *arg, FunctionHandle *handle, const ModalError *error)
{
	ModalCall *mc = arg;

	mc->lookup = NULL;
	mc->handle = handle;
	if (handle == NULL)
		modal_call_fail(mc, error);
	else
		use_handle(mc);
}

static void
lookup(ModalCall *mc)
{
	mc->handle = handle_cached(mc->mt, mc->call->open.reference);
	if (mc->handle != NULL)
	{
		use_handle(mc);
		return;
	}
	mc->lookup = lookup_start(mc->mt, mc->call, on_lookup, mc);
	if (mc->lookup == NULL)
		modal_call_fail_memory(mc);
}

static const ModalKind *
kind_of(CallKind kind)
{
	switch (kind)
	{
		case CALL_MAP:
			return &map_kind;
		case CALL_SPAWN_MAP:
			return &spawn_kind;
		case CALL_GENERATOR:
			return &generator_kind;
		case CALL_FOLLOW:
			return &follow_kind;
		default:
			return &remote_kind;
	}
}

static void
modal_call_open(DispatchCall *call)
{
	const ModalKind *kind = kind_of(call->open.kind);
	ModalCall *mc = calloc(1, kind->size);

	if (mc == NULL)
	{
		call_fail(call, MODAL_SQLSTATE_MEMORY, true, NULL, NULL,
				  "out of memory in the dispatcher");
		return;
	}
	call->state = mc;
	mc->call = call;
	mc->mt = call->target->state;
	mc->kind = kind;
	mc->window = call->open.window;
	buf_init(&mc->call_id, 4096, NULL);
	buf_init(&mc->token, 64 * 1024, NULL);
	modal_inputs_init(mc);
	modal_poll_init(mc);
	if (kind->init != NULL)
		kind->init(mc);
	if (kind->by_id)
		(void) kind->begin(mc);
	else
		lookup(mc);
}

static void
modal_call_inputs(DispatchCall *call)
{
	ModalCall *mc = call->state;

	if (mc->kind->unary && call->received > 1)
	{
		ModalError error;

		modal_error(&error, MODAL_SQLSTATE_INTERNAL, NULL,
					"more than one input for a single call");
		modal_call_fail(mc, &error);
		return;
	}
	modal_call_pump(mc);
}

static void
modal_call_consumed(DispatchCall *call)
{
	ModalCall *mc = call->state;

	if (!modal_downloads_start(mc))
		modal_call_fail_memory(mc);
	else if (mc->kind->consumed != NULL)
		mc->kind->consumed(mc);
	else
		(void) modal_call_ensure_poll(mc);
}

static void
modal_call_cancel(DispatchCall *call, int flags)
{
	ModalCall *mc = call->state;
	bool terminate = (flags & FRAME_FLAG_TERMINATE) != 0;

	if ((flags & FRAME_FLAG_DETACH) != 0)
	{
		modal_call_free(mc);
		return;
	}
	if (mc->call_id.len == 0 && mc->start != NULL && mc->plane == NULL &&
		mc->kind->leave != NULL)
	{
		/* It may be running already: wait for its id, then cancel it. */
		modal_cancel_when_started(mc->mt, mc->start, terminate);
		mc->start = NULL;
	}
	call_gone(mc, END_CANCELLED, terminate);
}

const CallDriver modal_call_driver = {
	.open = modal_call_open,
	.inputs = modal_call_inputs,
	.finish = modal_call_inputs,
	.consumed = modal_call_consumed,
	.cancel = modal_call_cancel,
};
