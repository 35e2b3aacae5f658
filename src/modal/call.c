/*-------------------------------------------------------------------------
 *
 * modal_call.c
 *	  A call of a Modal function, from its lookup to its end.
 *
 * Three activities overlap once it has started: requests that carry inputs
 * (modal_inputs.c), one long poll for outputs (modal_poll.c), and transfers
 * of blobs.
 *
 * A function that says that the call has ended leaves mc freed.
 *
 *-------------------------------------------------------------------------
 */
#include "worker/modal_call.h"

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
	spawn_free(mc);
	generator_free(mc);
	handle_release(mc->handle);
	buf_free(&mc->call_id);
	buf_free(&mc->token);
	buf_free(&mc->attempt_token);
	free(mc);
}

void
modal_call_fail(ModalCall *mc, const ModalError *error)
{
	DispatchCall *call = mc->call;

	if (mc->call_id.len > 0 && !mc->async && !mc->follow)
		modal_cancel_remote(mc->mt, buf_cstr(&mc->call_id), false);
	modal_call_free(mc);
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

	if (!mc->async && !mc->follow && mc->call_id.len > 0)
	{
		if (mc->items.count > 0)
			modal_cancel_remote(mc->mt, buf_cstr(&mc->call_id), false);
		else if (!mc->unary)
		{
			GrpcSpec spec = wire_ack(mc);

			modal_background(mc->mt, &spec);
		}
	}
	modal_call_free(mc);
	call_close(call);
}

bool
modal_call_check_done(ModalCall *mc)
{
	const DispatchCall *call = mc->call;

	if (!mc->stop)
	{
		if (!call->finished || call->npending > 0 || mc->nready > 0 ||
			mc->nuploads > 0 || mc->items.count > 0 || mc->ndownloads > 0 ||
			mc->nputs > 0 || mc->start != NULL || mc->handle == NULL)
			return false;
		if (mc->generator != NULL || (mc->async && !spawn_is_done(mc)))
			return false;
		/* A map without inputs that has not even begun. */
	}
	modal_call_end(mc);
	return true;
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
		return true;
	}
	buf_put(&mc->call_id, started.call_id.p, started.call_id.n);
	buf_put(&mc->token, started.token.p, started.token.n);
	if (mc->call_id.failed || mc->token.failed)
	{
		modal_call_fail_memory(mc);
		return true;
	}
	mc->window = started.window > 0 ? started.window : DEFAULT_WINDOW;
	/* what the service says is for synchronous calls */
	if (mc->window > mc->call->open.window || mc->async)
		mc->window = mc->call->open.window;
	mc->items.client_retries =
		started.client_retries && !mc->async && mc->generator == NULL;
	if (started.has_policy)
	{
		mc->items.retries = started.retries;
		mc->items.initial_delay_ms = started.initial_delay_ms;
		mc->items.backoff_coefficient = started.backoff_coefficient;
	}
	if (mc->plane != NULL && !mc->unary)
		modal_check_later(mc);
	modal_call_opened(mc);
	return false;
}

static void
on_start(void *arg, const GrpcResult *result);

/* Send the one input again by itself: the start took the call only. */
static bool
put_unary(ModalCall *mc, CallItem *item)
{
	PutRequest *put = put_request_add(mc);
	GrpcSpec spec;

	if (put == NULL)
		return false;
	spec = wire_put(mc, put);
	put->idx[put->n++] = item->idx;
	wire_put_input(mc, &spec.request, item->idx, item->payload);
	return modal_call_start_put(put, &spec);
}

static bool
start_request(ModalCall *mc, CallInput *input)
{
	uint8_t key[16];
	GrpcSpec spec = wire_start(mc, input, on_start);

	if (mc->async)
	{
		if (!spawn_key(mc, "start", NULL, 0, key))
			return false;
		spec.idempotency = key;
	}
	grpc_end(&spec.request);
	mc->start = grpc_start(&spec);
	return mc->start != NULL;
}

static void lookup(ModalCall *mc);

/* Functions with an input plane may be callable there only. */
static bool
is_spawn_refused(const ModalCall *mc, const GrpcResult *result)
{
	return mc->async && mc->handle->plane != NULL &&
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
	WireStarted started;
	CallItem *item = call_state_find(&mc->items, 0);

	mc->start = NULL;
	if (result->status == GRPC_NOT_FOUND && !mc->looked_up_again)
	{
		/* Deployed anew since it was looked up, perhaps. */
		mc->looked_up_again = true;
		handle_invalidate(mc->mt, mc->handle);
		handle_release(mc->handle);
		mc->handle = NULL;
		if (item != NULL)
		{
			CallInput *input = item->payload;

			call_state_remove(&mc->items, item);
			input->next = mc->ready;
			if (mc->ready == NULL)
				mc->ready_tail = &input->next;
			mc->ready = input;
			mc->nready++;
		}
		lookup(mc);
		return;
	}
	if (is_spawn_refused(mc, result))
	{
		refuse_spawn(mc, result);
		return;
	}
	if (result->status != GRPC_OK)
	{
		modal_call_fail_grpc(mc, result, "starting the call");
		return;
	}
	if (modal_call_apply_started(mc, result))
		return;
	if (item != NULL)
	{
		if (!wire_read_started(mc, result, &started) || !started.has_item
				? !put_unary(mc, item)
				: !call_state_sent(&mc->items, item, started.item_token.p,
								   started.item_token.n, monotonic_seconds()))
		{
			modal_call_fail_memory(mc);
			return;
		}
	}
	if (mc->generator != NULL && mc->plane != NULL && item != NULL)
		buf_put(&mc->attempt_token, item->token.data, item->token.len);
	if (mc->generator != NULL && !generator_begin(mc))
	{
		modal_call_fail_memory(mc);
		return;
	}
	modal_call_pump(mc);
}

/* A call of one input starts with it; false: no memory. */
static bool
start_unary(ModalCall *mc)
{
	CallInput *input;

	if (mc->start != NULL || mc->nready == 0)
		return true;
	input = modal_call_pop_ready(mc);
	if (call_state_add(&mc->items, 0, input) == NULL)
	{
		call_input_free(input);
		return false;
	}
	mc->call->sent++;
	call_touch(mc->call);
	return start_request(mc, input);
}

void
modal_call_pump(ModalCall *mc)
{
	if (mc->follow)
	{
		follow_pump(mc);
		return;
	}
	if (mc->handle == NULL)
		return;
	if (mc->async)
	{
		if (!spawn_pump(mc))
			return;
	}
	else
	{
		if (!modal_inputs_take(mc))
			return;
		if (mc->unary && !mc->started ? !start_unary(mc)
									  : !modal_inputs_send(mc))
		{
			modal_call_fail_memory(mc);
			return;
		}
	}
	if (modal_call_check_done(mc))
		return;
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
	if (!check_handle(mc))
		return;
	if (!mc->async)
		mc->plane = mc->handle->plane;
	mc->next_idx = mc->plane != NULL && !mc->unary ? 1 : 0;
	if (mc->async && mc->call->open.remote_call_id.n > 0)
	{
		spawn_resume(mc);
		return;
	}
	if (!mc->unary && mc->plane == NULL && !start_request(mc, NULL))
	{
		modal_call_fail_memory(mc);
		return;
	}
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

static void
modal_call_open(DispatchCall *call)
{
	ModalCall *mc = calloc(1, sizeof(*mc));
	CallKind kind = call->open.kind;

	if (mc == NULL)
	{
		call_fail(call, MODAL_SQLSTATE_MEMORY, true, NULL, NULL,
				  "out of memory in the dispatcher");
		return;
	}
	call->state = mc;
	mc->call = call;
	mc->mt = call->target->state;
	mc->unary = kind == CALL_REMOTE || kind == CALL_GENERATOR;
	mc->async = kind == CALL_SPAWN_MAP;
	mc->follow = kind == CALL_FOLLOW;
	mc->window = call->open.window;
	if (mc->window > DEFAULT_WINDOW && !mc->async)
		mc->window = DEFAULT_WINDOW; /* until the service has said more */
	mc->highest = -1;
	mc->total = -1;
	buf_init(&mc->call_id, 4096, NULL);
	buf_init(&mc->token, 64 * 1024, NULL);
	buf_init(&mc->attempt_token, 64 * 1024, NULL);
	modal_inputs_init(mc);
	modal_poll_init(mc);
	if (mc->async)
		spawn_begin(mc);
	if (kind == CALL_GENERATOR && !generator_create(mc))
	{
		modal_call_fail_memory(mc);
		return;
	}
	if (mc->follow)
		follow_begin(mc);
	else
		lookup(mc);
}

static void
modal_call_inputs(DispatchCall *call)
{
	ModalCall *mc = call->state;

	if (mc->unary && call->received > 1)
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
	{
		modal_call_fail_memory(mc);
		return;
	}
	if (mc->follow)
		follow_pump(mc);
	else if (mc->generator != NULL)
		generator_consumed(mc);
	else
		modal_call_ensure_poll(mc);
}

static void
modal_call_cancel(DispatchCall *call, int flags)
{
	ModalCall *mc = call->state;
	bool terminate = (flags & FRAME_FLAG_TERMINATE) != 0;

	if (!(flags & FRAME_FLAG_DETACH) && !mc->follow)
	{
		if (mc->call_id.len > 0)
			modal_cancel_remote(mc->mt, buf_cstr(&mc->call_id), terminate);
		else if (mc->start != NULL && mc->plane == NULL)
		{
			/* It may be running already: wait for its id, then cancel it. */
			modal_cancel_when_started(mc->mt, mc->start, terminate);
			mc->start = NULL;
		}
	}
	modal_call_free(mc);
}

const CallDriver modal_call_driver = {
	.open = modal_call_open,
	.inputs = modal_call_inputs,
	.finish = modal_call_inputs,
	.consumed = modal_call_consumed,
	.cancel = modal_call_cancel,
};
