/*-------------------------------------------------------------------------
 *
 * modal_call.c
 *	  A call of a Modal function: inputs out, outputs in, until all is done.
 *
 * Three activities overlap: requests that carry inputs (pump), one long poll
 * for outputs, and transfers of blobs.  Inputs that come in a trickle are
 * sent at once; while a request is under way, they collect for the next one.
 *
 * A poll names the inputs that should be in progress, so that the service can
 * report the ones that it has lost.  That list is long, so it is sent only
 * when there is reason to doubt: after a short poll that brought nothing, and
 * now and then while outputs keep coming.
 *
 * A function that says that the call has ended leaves mc freed.
 *
 *-------------------------------------------------------------------------
 */
#include "worker/modal_call.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/pickle.h"

#define LISTLESS_POLL_S 2.0		/* a poll that does not name its inputs */
#define LISTING_INTERVAL_S 5.0
#define CHECK_INTERVAL_S 1.0	/* MapCheckInputs */
#define MAX_WINDOW 100000		/* whatever the service allows */

static void on_poll(void *arg, const GrpcResult *result);
static void on_check_timer(void *arg);

/* --- life ----------------------------------------------------------------- */

static void
input_list_free(CallInput *input)
{
	while (input != NULL)
	{
		CallInput *next = input->next;

		call_input_free(input);
		input = next;
	}
}

static void
upload_free(Upload *upload)
{
	ModalCall *mc = upload->mc;

	if (upload->prev != NULL)
		upload->prev->next = upload->next;
	else
		mc->uploads = upload->next;
	if (upload->next != NULL)
		upload->next->prev = upload->prev;
	mc->nuploads--;
	free(upload);
}

static void
modal_call_free(ModalCall *mc)
{
	CallItem *item;
	uint32_t at = 0;

	if (mc->lookup != NULL)
		lookup_cancel(mc->lookup);
	if (mc->start != NULL)
		grpc_cancel(mc->start);
	if (mc->poll != NULL)
		grpc_cancel(mc->poll);
	if (mc->check != NULL)
		grpc_cancel(mc->check);
	timer_cancel(&mc->retry_timer);
	timer_cancel(&mc->check_timer);
	while (mc->puts != NULL)
	{
		if (mc->puts->grpc != NULL)
			grpc_cancel(mc->puts->grpc);
		put_request_free(mc->puts);
	}
	while (mc->uploads != NULL)
	{
		Upload *upload = mc->uploads;

		if (upload->blob != NULL)
			blob_upload_cancel(upload->blob);
		if (!mc->async)
			call_input_free(upload->input);
		upload_free(upload);
	}
	modal_downloads_cancel(mc);
	spawn_free(mc);
	generator_free(mc);
	while ((item = call_state_next(&mc->items, &at)) != NULL)
		call_input_free(item->payload);
	call_state_free(&mc->items);
	input_list_free(mc->ready);
	handle_release(mc->handle);
	buf_free(&mc->call_id);
	buf_free(&mc->token);
	buf_free(&mc->cursor);
	buf_free(&mc->attempt_token);
	free(mc->checked);
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

static void
fail_reply(ModalCall *mc, const char *rpc)
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

/* --- uploads -------------------------------------------------------------- */

size_t
modal_call_inline_limit(const ModalCall *mc)
{
	return mc->async ? mc->handle->max_async_inline : mc->handle->max_inline;
}

static void
on_uploaded(void *arg, const char *blob_id, const ModalError *error)
{
	Upload *upload = arg;
	ModalCall *mc = upload->mc;
	CallInput *input = upload->input;

	upload->blob = NULL;
	if (blob_id == NULL)
	{
		modal_call_fail(mc, error);
		return;
	}
	upload_free(upload);
	input->blob_id = strdup(blob_id);
	if (!mc->async)
	{
		*mc->ready_tail = input;
		mc->ready_tail = &input->next;
		mc->nready++;
	}
	if (input->blob_id == NULL)
		modal_call_fail_memory(mc);
	else
		modal_call_pump(mc);
}

bool
modal_call_upload(ModalCall *mc, CallInput *input)
{
	Upload *upload = calloc(1, sizeof(*upload));

	if (upload == NULL)
		return false;
	upload->mc = mc;
	upload->input = input;
	upload->blob = blob_upload(mc->mt, mc->call, input->data, input->len,
							   on_uploaded, upload);
	if (upload->blob == NULL)
	{
		free(upload);
		return false;
	}
	upload->next = mc->uploads;
	if (upload->next != NULL)
		upload->next->prev = upload;
	mc->uploads = upload;
	mc->nuploads++;
	return true;
}

/* --- sending inputs ------------------------------------------------------- */

PutRequest *
put_request_add(ModalCall *mc)
{
	PutRequest *put = calloc(1, sizeof(*put));

	if (put == NULL)
		return NULL;
	put->mc = mc;
	put->prev = NULL;
	for (PutRequest *last = mc->puts; last != NULL; last = last->next)
		put->prev = last;
	if (put->prev != NULL)
		put->prev->next = put;
	else
		mc->puts = put;
	mc->nputs++;
	return put;
}

void
put_request_free(PutRequest *put)
{
	ModalCall *mc = put->mc;

	if (put->prev != NULL)
		put->prev->next = put->next;
	else
		mc->puts = put->next;
	if (put->next != NULL)
		put->next->prev = put->prev;
	mc->nputs--;
	free(put->ordinals);
	free(put);
}

static bool apply_started(ModalCall *mc, const GrpcResult *result);

static void
on_put(void *arg, const GrpcResult *result)
{
	PutRequest *put = arg;
	ModalCall *mc = put->mc;
	bool retry = put->retry;

	put->grpc = NULL;
	if (result->status != GRPC_OK)
	{
		modal_call_fail_grpc(mc, result,
							 retry ? "sending inputs again"
								   : "sending inputs");
		return;
	}
	if (!mc->started && apply_started(mc, result))
		return;
	if (mc->async)
		spawn_put_done(put);
	else if (wire_read_put(mc, put, result))
		put_request_free(put);
	else
	{
		fail_reply(mc, "FunctionPutInputs");
		return;
	}
	modal_call_pump(mc);
}

CallInput *
modal_call_take(ModalCall *mc)
{
	uint32_t taken;
	CallInput *input = call_take_inputs(mc->call, 1, 0, &taken);
	const char *problem;
	ModalError error;
	Buf pickle;

	if (mc->handle->accepts_cbor)
		return input;
	buf_init(&pickle, FRAME_MAX_PAYLOAD, NULL);
	problem = pickle_from_cbor_call(&pickle, input->data, input->len);
	if (problem == NULL && !pickle.failed)
	{
		call_input_replace(input, &pickle);
		return input;
	}
	modal_error(&error, MODAL_SQLSTATE_UNSUPPORTED, NULL,
				"input %lld cannot be written as a pickle",
				(long long) input->ordinal);
	snprintf(error.detail, sizeof(error.detail), "%s",
			 problem != NULL ? problem : "It is too large.");
	buf_free(&pickle);
	call_input_free(input);
	modal_call_fail(mc, &error);
	return NULL;
}

/* Take what has arrived as far as the window allows; false: ended. */
static bool
take_inputs(ModalCall *mc)
{
	DispatchCall *call = mc->call;
	size_t limit = modal_call_inline_limit(mc);

	while (call->npending > 0 &&
		   mc->items.count + mc->nready + mc->nuploads < mc->window &&
		   mc->nready < MAX_PUTS * MAP_CHUNK && mc->nuploads < MAX_UPLOADS)
	{
		CallInput *input = modal_call_take(mc);

		if (input == NULL)
			return false;
		if (input->len > limit)
		{
			if (!modal_call_upload(mc, input))
			{
				call_input_free(input);
				modal_call_fail_memory(mc);
				return false;
			}
		}
		else
		{
			*mc->ready_tail = input;
			mc->ready_tail = &input->next;
			mc->nready++;
		}
	}
	return true;
}

CallInput *
modal_call_pop_ready(ModalCall *mc)
{
	CallInput *input = mc->ready;

	mc->ready = input->next;
	if (mc->ready == NULL)
		mc->ready_tail = &mc->ready;
	input->next = NULL;
	mc->nready--;
	return input;
}

bool
modal_call_start_put(PutRequest *put, GrpcSpec *spec)
{
	spec->on_done = on_put;
	grpc_end(&spec->request);
	put->grpc = grpc_start(spec);
	return put->grpc != NULL;
}

static bool
send_ready(ModalCall *mc)
{
	PutRequest *put = put_request_add(mc);
	GrpcSpec spec;

	if (put == NULL)
		return false;
	spec = wire_put(mc, put);
	while (mc->nready > 0 && put->n < MAP_CHUNK)
	{
		CallInput *input = modal_call_pop_ready(mc);

		if (call_state_add(&mc->items, mc->next_idx, input) == NULL)
		{
			call_input_free(input);
			buf_free(&spec.request);
			return false;
		}
		put->idx[put->n++] = mc->next_idx;
		wire_put_input(mc, &spec.request, mc->next_idx, input);
		mc->next_idx++;
	}
	mc->call->sent += put->n;
	call_touch(mc->call);
	return modal_call_start_put(put, &spec);
}

/* Input planes take one retry per request. */
static bool
send_retries(ModalCall *mc, CallItem *item)
{
	PutRequest *put = put_request_add(mc);
	uint32_t most = mc->plane != NULL ? 1 : MAP_CHUNK;
	GrpcSpec spec;

	if (put == NULL)
		return false;
	put->retry = true;
	spec = wire_retry(mc, put);
	while (item != NULL)
	{
		put->idx[put->n++] = item->idx;
		wire_retry_input(mc, &spec.request, item);
		item = put->n < most
			? call_state_pop_due(&mc->items, monotonic_seconds())
			: NULL;
	}
	mc->call->retries += put->n;
	call_touch(mc->call);
	return modal_call_start_put(put, &spec);
}

static bool
send_due_retries(ModalCall *mc)
{
	CallItem *item;
	double due;

	while (mc->nputs < MAX_PUTS &&
		   (item = call_state_pop_due(&mc->items, monotonic_seconds())) != NULL)
	{
		if (!send_retries(mc, item))
			return false;
	}
	due = call_state_next_due(&mc->items);
	if (due < 0)
		timer_cancel(&mc->retry_timer);
	else if (mc->nputs < MAX_PUTS)
		return timer_set(&mc->retry_timer, due);
	return true;
}

static void
on_retry_timer(void *arg)
{
	modal_call_pump(arg);
}

/* --- starting ------------------------------------------------------------- */

static void
announce_opened(ModalCall *mc)
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
	if (mc->call_id.len > 0)
		call_set_remote_id(mc->call, buf_cstr(&mc->call_id));
	call_opened(mc->call, &opened);
}

/* True: the call has ended. */
static bool
apply_started(ModalCall *mc, const GrpcResult *result)
{
	WireStarted started;

	if (!wire_read_started(mc, result, &started))
	{
		fail_reply(mc, "FunctionMap");
		return true;
	}
	buf_put(&mc->call_id, started.call_id.p, started.call_id.n);
	buf_put(&mc->token, started.token.p, started.token.n);
	if (mc->call_id.failed || mc->token.failed)
	{
		modal_call_fail_memory(mc);
		return true;
	}
	mc->started = true;
	mc->window = started.window > 0 ? started.window : DEFAULT_WINDOW;
	if (mc->window > MAX_WINDOW)
		mc->window = MAX_WINDOW;
	mc->items.client_retries =
		started.client_retries && !mc->async && mc->generator == NULL;
	if (started.has_policy)
	{
		mc->items.retries = started.retries;
		mc->items.initial_delay_ms = started.initial_delay_ms;
		mc->items.backoff_coefficient = started.backoff_coefficient;
	}
	announce_opened(mc);
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
		spawn_key(mc, "start", 0, 0, key);
		spec.idempotency = key;
	}
	grpc_end(&spec.request);
	mc->start = grpc_start(&spec);
	return mc->start != NULL;
}

static void lookup(ModalCall *mc);

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
	if (result->status != GRPC_OK)
	{
		modal_call_fail_grpc(mc, result, "starting the call");
		return;
	}
	if (apply_started(mc, result))
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
	if (mc->plane != NULL && !mc->unary)
		timer_set(&mc->check_timer, monotonic_seconds() + CHECK_INTERVAL_S);
	modal_call_pump(mc);
}

/* A call of one input starts with it. */
static bool
start_unary(ModalCall *mc)
{
	CallInput *input = modal_call_pop_ready(mc);

	if (call_state_add(&mc->items, 0, input) == NULL)
	{
		call_input_free(input);
		return false;
	}
	mc->call->sent++;
	call_touch(mc->call);
	return start_request(mc, input);
}

/* False: no memory. */
static bool
send_inputs(ModalCall *mc)
{
	if (mc->unary && !mc->started)
		return mc->start != NULL || mc->nready == 0 || start_unary(mc);
	if (!mc->started)
	{
		/* On an input plane the first inputs start the map, alone. */
		return mc->plane == NULL || mc->nputs > 0 || mc->nready == 0 ||
			send_ready(mc);
	}
	if (!send_due_retries(mc))
		return false;
	while (mc->nready > 0 && mc->nputs < MAX_PUTS &&
		   (mc->nready >= MAP_CHUNK || mc->nputs == 0))
	{
		if (!send_ready(mc))
			return false;
	}
	return true;
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
		if (!take_inputs(mc))
			return;
		if (!send_inputs(mc))
		{
			modal_call_fail_memory(mc);
			return;
		}
	}
	if (modal_call_check_done(mc))
		return;
	modal_call_ensure_poll(mc);
}

/* --- outputs -------------------------------------------------------------- */

/*
 * More outputs may be fetched while the reader has room.  One who wants them
 * in order may be waiting for the very one that is not here yet.
 */
static bool
may_fetch(const ModalCall *mc)
{
	return call_may_fetch(mc->call) ||
		(mc->call->open.flags & CALL_ORDERED) != 0;
}

/* With large outputs, no more at a time than the reader has room for. */
static uint32_t
outputs_wanted(const ModalCall *mc)
{
	size_t average;
	size_t n;

	if (mc->delivered == 0 || mc->plane != NULL)
		return 0;
	average = mc->delivered_bytes / mc->delivered + 1;
	n = call_budget_left(mc->call) / average + 1;
	return n < mc->window ? (uint32_t) n : 0;
}

static bool
unary_is_waiting(const ModalCall *mc)
{
	uint32_t at = 0;
	const CallItem *item = call_state_next(&mc->items, &at);

	return item != NULL && item->state == ITEM_WAITING;
}

void
modal_call_ensure_poll(ModalCall *mc)
{
	GrpcSpec spec;
	double now;
	double timeout = LONG_POLL_S;
	bool list = true;

	if (mc->poll != NULL || !mc->started || !may_fetch(mc))
		return;
	if (mc->unary && !unary_is_waiting(mc))
		return;
	if (!mc->unary && !mc->async && mc->items.count == 0)
		return;
	if (mc->async)
	{
		list = false;
		if (!spawn_wants_poll(mc))
			return;
	}
	else if (!mc->unary && mc->plane == NULL)
	{
		now = monotonic_seconds();
		if (mc->last_listing == 0)
			mc->last_listing = now;
		list = mc->poll_was_empty ||
			now - mc->last_listing >= LISTING_INTERVAL_S;
		if (list)
			mc->last_listing = now;
		else
			timeout = LISTLESS_POLL_S;
	}
	mc->poll_lists = list;
	spec = wire_poll(mc, timeout, list, outputs_wanted(mc), on_poll);
	grpc_end(&spec.request);
	mc->poll = grpc_start(&spec);
	if (mc->poll == NULL)
		modal_call_fail_memory(mc);
}

/* An output of an input that we hold; true: the call has ended. */
static bool
handle_item_output(ModalCall *mc, CallItem *item, const WireOutput *output)
{
	CallInput *input = item->payload;
	int64_t ordinal = input->ordinal;
	uint32_t attempts = item->retry_count + 1;
	OutputVerdict verdict =
		call_state_output(&mc->items, item, output->retry_count,
						  output->status, monotonic_seconds());

	if (verdict == OUTPUT_DROP || verdict == OUTPUT_RETRY)
		return false;
	call_state_remove(&mc->items, item);
	call_input_free(input);
	if (mc->generator != NULL)
		return generator_result(mc, output);
	if (!modal_deliver(mc, ordinal, attempts, output))
	{
		modal_call_fail_memory(mc);
		return true;
	}
	if (verdict == OUTPUT_FAILURE &&
		!(mc->call->open.flags & CALL_RETURN_EXCEPTIONS))
		mc->stop = true;
	return false;
}

static bool
handle_output(ModalCall *mc, const WireOutput *output)
{
	int64_t idx = mc->unary ? 0 : output->idx;
	CallItem *item;

	mc->delivered++;
	mc->delivered_bytes += output->data.n;
	if (mc->async)
	{
		if (!spawn_wants_output(mc, idx))
			return false;
		if (modal_deliver(mc, idx, output->retry_count + 1, output))
			return false;
		modal_call_fail_memory(mc);
		return true;
	}
	item = call_state_find(&mc->items, idx);
	return item != NULL && handle_item_output(mc, item, output);
}

static void
on_poll(void *arg, const GrpcResult *result)
{
	ModalCall *mc = arg;
	WireOutputs outputs;
	WireOutput output;
	bool bad;
	uint32_t n = 0;

	mc->poll = NULL;
	if (result->status != GRPC_OK)
	{
		modal_call_fail_grpc(mc, result, "waiting for outputs");
		return;
	}
	if (!wire_read_outputs(mc, result, &outputs))
	{
		fail_reply(mc, "FunctionGetOutputs");
		return;
	}
	if (outputs.cursor.n > 0)
	{
		buf_reset(&mc->cursor);
		buf_put(&mc->cursor, outputs.cursor.p, outputs.cursor.n);
	}
	while (!mc->stop && wire_next_output(&outputs, &output, &bad))
	{
		n++;
		if (handle_output(mc, &output))
			return;
	}
	if (mc->stop)
	{
		modal_call_end(mc);
		return;
	}
	if (bad)
	{
		fail_reply(mc, "FunctionGetOutputs");
		return;
	}
	mc->poll_was_empty = n == 0;
	if (n == 0 && mc->async && spawn_poll_empty(mc, outputs.unfinished))
		return;
	modal_call_pump(mc);
}

/* --- lost inputs on an input plane ---------------------------------------- */

static void
on_check(void *arg, const GrpcResult *result)
{
	ModalCall *mc = arg;

	mc->check = NULL;
	timer_set(&mc->check_timer, monotonic_seconds() + CHECK_INTERVAL_S);
	if (result->status != GRPC_OK)
		return;
	wire_apply_lost(mc, result);
	modal_call_pump(mc);
}

static void
on_check_timer(void *arg)
{
	ModalCall *mc = arg;
	GrpcSpec spec;

	if (mc->items.count == 0)
	{
		timer_set(&mc->check_timer, monotonic_seconds() + CHECK_INTERVAL_S);
		return;
	}
	spec = wire_check(mc, on_check);
	grpc_end(&spec.request);
	mc->check = grpc_start(&spec);
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

	if (handle->web_url[0] != '\0')
	{
		modal_error(&error, MODAL_SQLSTATE_UNSUPPORTED,
					"Call it through a foreign server with protocol 'http'; modal_web_url() gives its URL.",
					"\"%.*s\" is a web function", (int) label.n, label.p);
		snprintf(error.detail, sizeof(error.detail), "Its URL is %s.",
				 handle->web_url);
	}
	else if (handle->is_generator && !generator)
		modal_error(&error, MODAL_SQLSTATE_UNSUPPORTED,
					"Use modal_remote_gen().", "\"%.*s\" is a generator",
					(int) label.n, label.p);
	else if (!handle->is_generator && generator)
	{
		/* A caller that takes either kind learns from this which it is. */
		CallOpened opened = {.accepts_cbor = handle->accepts_cbor};

		call_opened(mc->call, &opened);
		modal_error(&error, MODAL_SQLSTATE_UNSUPPORTED,
					"Use modal_remote() or modal_map().",
					"\"%.*s\" is not a generator", (int) label.n, label.p);
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
	Slice resumed = mc->call->open.remote_call_id;

	if (!check_handle(mc))
		return;
	if (!mc->async)
		mc->plane = mc->handle->plane;
	mc->next_idx = mc->plane != NULL && !mc->unary ? 1 : 0;
	if (mc->async && resumed.n > 0)
	{
		buf_put(&mc->call_id, resumed.p, resumed.n);
		mc->started = true;
		announce_opened(mc);
	}
	else if (!mc->unary && mc->plane == NULL && !start_request(mc, NULL))
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
	mc->window = DEFAULT_WINDOW;
	mc->highest = -1;
	mc->total = -1;
	mc->ready_tail = &mc->ready;
	call_state_init(&mc->items);
	buf_init(&mc->call_id, 4096, NULL);
	buf_init(&mc->token, 64 * 1024, NULL);
	buf_init(&mc->cursor, 64 * 1024, NULL);
	buf_init(&mc->attempt_token, 64 * 1024, NULL);
	timer_init(&mc->retry_timer, on_retry_timer, mc);
	timer_init(&mc->check_timer, on_check_timer, mc);
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
