/*-------------------------------------------------------------------------
 *
 * modal_inputs.c
 *	  Inputs of a call on their way out: uploads, requests, retries.
 *
 * Inputs that come in a trickle are sent at once; while a request is under
 * way, they collect for the next one.
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/grpc_frame.h"
#include "core/pickle.h"
#include "worker/modal_call.h"

#define MAX_INPUT_OVERHEAD (128 * 1024) /* of an input in a request: tokens */

/* --- uploads -------------------------------------------------------------- */

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

/*
 * Is there an input that the reply does not name?  The service has no room for
 * it, and nothing would ever come of it.
 */
static bool
was_refused(const PutRequest *put)
{
	for (uint32_t i = 0; i < put->n; i++)
	{
		const CallItem *item = call_state_find(&put->mc->items, put->idx[i]);

		if (item != NULL &&
			(item->state == ITEM_SENDING || item->state == ITEM_RETRYING) &&
			!item->token_missing)
			return true;
	}
	return false;
}

static void
on_put(void *arg, const GrpcResult *result)
{
	PutRequest *put = arg;
	ModalCall *mc = put->mc;
	bool retry = put->retry;
	ModalError error;

	put->grpc = NULL;
	if (result->status != GRPC_OK)
	{
		modal_call_fail_grpc(mc, result,
							 retry ? "sending inputs again"
								   : "sending inputs");
		return;
	}
	if (!mc->started && modal_call_apply_started(mc, result))
		return;
	if (mc->async)
		spawn_put_done(put);
	else if (!wire_read_put(mc, put, result))
	{
		modal_call_fail_reply(mc, "FunctionPutInputs");
		return;
	}
	else if (was_refused(put))
	{
		modal_error(&error, MODAL_SQLSTATE_RESOURCES, NULL,
					"the service took fewer inputs than it was sent");
		error.retryable = true;
		modal_call_fail(mc, &error);
		return;
	}
	else
		put_request_free(put);
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

/*
 * Most inputs in flight.  When results turn out to be large, it is no more than
 * the reader can hold: what is beyond that would only come out of order.
 */
static uint32_t
window(const ModalCall *mc)
{
	const Credit *credit = &mc->call->credit;

	return output_size_window(&credit->size, credit->budget, mc->window);
}

bool
modal_inputs_take(ModalCall *mc)
{
	DispatchCall *call = mc->call;
	size_t limit = modal_call_inline_limit(mc);
	uint32_t most = window(mc);

	while (call->npending > 0 &&
		   mc->items.count + mc->nready + mc->nuploads < most &&
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

/* Is there room in a request for one more input, however large it is? */
static bool
has_room(const ModalCall *mc, const Buf *request)
{
	return request->len + mc->handle->max_inline + MAX_INPUT_OVERHEAD <=
		GRPC_MAX_MESSAGE;
}

static bool
send_ready(ModalCall *mc)
{
	PutRequest *put = put_request_add(mc);
	uint32_t most = window(mc);
	GrpcSpec spec;

	if (put == NULL)
		return false;
	spec = wire_put(mc, put);
	while (mc->nready > 0 && put->n < MAP_CHUNK && mc->items.count < most &&
		   has_room(mc, &spec.request))
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
		call_state_token_used(item);
		item = put->n < most && has_room(mc, &spec.request)
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

bool
modal_inputs_send(ModalCall *mc)
{
	if (!mc->started)
	{
		/* On an input plane the first inputs start the map, alone. */
		return mc->plane == NULL || mc->nputs > 0 || mc->nready == 0 ||
			send_ready(mc);
	}
	if (!send_due_retries(mc))
		return false;
	while (mc->nready > 0 && mc->nputs < MAX_PUTS &&
		   mc->items.count < window(mc) &&
		   (mc->nready >= MAP_CHUNK || mc->nputs == 0))
	{
		if (!send_ready(mc))
			return false;
	}
	return true;
}

/* --- life ----------------------------------------------------------------- */

void
modal_inputs_init(ModalCall *mc)
{
	mc->ready_tail = &mc->ready;
	call_state_init(&mc->items);
	timer_init(&mc->retry_timer, on_retry_timer, mc);
}

void
modal_inputs_free(ModalCall *mc)
{
	CallItem *item;
	CallInput *input;
	PutRequest *put, *next_put;
	Upload *upload, *next_upload;
	uint32_t at = 0;

	timer_cancel(&mc->retry_timer);
	for (put = mc->puts; put != NULL; put = next_put)
	{
		next_put = put->next;
		if (put->grpc != NULL)
			grpc_cancel(put->grpc);
		put_request_free(put);
	}
	for (upload = mc->uploads; upload != NULL; upload = next_upload)
	{
		next_upload = upload->next;
		if (upload->blob != NULL)
			blob_upload_cancel(upload->blob);
		if (!mc->async)
			call_input_free(upload->input);
		upload_free(upload);
	}
	while ((item = call_state_next(&mc->items, &at)) != NULL)
		call_input_free(item->payload);
	call_state_free(&mc->items);
	while ((input = mc->ready) != NULL)
	{
		mc->ready = input->next;
		call_input_free(input);
	}
}
