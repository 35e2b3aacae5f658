/*-------------------------------------------------------------------------
 *
 * inputs.c
 *	  Inputs of a call on their way out, whatever its kind: taken, uploaded,
 *	  ready, and in requests.
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/pickle.h"
#include "modal/call.h"

/* --- ready ---------------------------------------------------------------- */

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

void
modal_call_push_ready(ModalCall *mc, CallInput *input)
{
	input->next = NULL;
	*mc->ready_tail = input;
	mc->ready_tail = &input->next;
	mc->nready++;
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

void
modal_call_unpop_ready(ModalCall *mc, CallInput *input)
{
	if (mc->ready == NULL)
		mc->ready_tail = &input->next;
	input->next = mc->ready;
	mc->ready = input;
	mc->nready++;
}

size_t
modal_call_inline_limit(const ModalCall *mc)
{
	return mc->kind->background ? mc->handle->max_async_inline
								: mc->handle->max_inline;
}

/* --- uploads -------------------------------------------------------------- */

/* An input that is uploaded before it is sent. */
typedef struct Upload
{
	ListNode node;		/* ModalCall.uploads */
	ModalCall *mc;
	CallInput *input;
	bool is_ready;		/* the input is among those that are ready */
	BlobUpload *blob;
} Upload;

static void
upload_free(Upload *upload)
{
	list_remove(&upload->node);
	upload->mc->nuploads--;
	free(upload);
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
	if (!upload->is_ready)
		modal_call_push_ready(mc, input);
	upload_free(upload);
	input->blob_id = strdup(blob_id);
	if (input->blob_id == NULL)
		modal_call_fail_memory(mc);
	else
		modal_call_pump(mc);
}

bool
modal_call_upload(ModalCall *mc, CallInput *input, bool is_ready)
{
	Upload *upload = calloc(1, sizeof(*upload));

	if (upload == NULL)
		return false;
	upload->mc = mc;
	upload->input = input;
	upload->is_ready = is_ready;
	upload->blob = blob_upload(mc->mt, mc->call, input->data, input->len,
							   on_uploaded, upload);
	if (upload->blob == NULL)
	{
		free(upload);
		return false;
	}
	list_append(&mc->uploads, &upload->node);
	mc->nuploads++;
	return true;
}

/* --- requests ------------------------------------------------------------- */

PutRequest *
put_request_add(ModalCall *mc)
{
	PutRequest *put = calloc(1, sizeof(*put));

	if (put == NULL)
		return NULL;
	put->mc = mc;
	list_append(&mc->puts, &put->node);
	mc->nputs++;
	return put;
}

void
put_request_free(PutRequest *put)
{
	list_remove(&put->node);
	put->mc->nputs--;
	free(put->ordinals);
	free(put);
}

static void
on_put(void *arg, const GrpcResult *result)
{
	PutRequest *put = arg;
	ModalCall *mc = put->mc;

	put->grpc = NULL;
	if (result->status == GRPC_NOT_FOUND && !mc->started &&
		modal_call_look_up_again(mc))
		return;
	if (result->status != GRPC_OK)
		modal_call_fail_grpc(mc, result,
							 put->retry ? "sending inputs again"
										: "sending inputs");
	else if ((mc->started || modal_call_apply_started(mc, result)) &&
			 mc->kind->put_done(put, result))
		modal_call_pump(mc);
}

bool
modal_call_start_put(PutRequest *put, GrpcSpec *spec)
{
	spec->on_done = on_put;
	grpc_end(&spec->request);
	put->grpc = grpc_start(spec);
	return put->grpc != NULL;
}

/* --- life ----------------------------------------------------------------- */

void
modal_inputs_init(ModalCall *mc)
{
	mc->ready_tail = &mc->ready;
	list_init(&mc->uploads);
	list_init(&mc->puts);
}

void
modal_inputs_free(ModalCall *mc)
{
	ListNode *node;
	CallInput *input;

	while ((node = list_first(&mc->puts)) != NULL)
	{
		PutRequest *put = LIST_OWNER(PutRequest, node, node);

		if (put->grpc != NULL)
			grpc_cancel(put->grpc);
		put_request_free(put);
	}
	while ((node = list_first(&mc->uploads)) != NULL)
	{
		Upload *upload = LIST_OWNER(Upload, node, node);

		if (upload->blob != NULL)
			blob_upload_cancel(upload->blob);
		if (!upload->is_ready)
			call_input_free(upload->input);
		upload_free(upload);
	}
	while ((input = mc->ready) != NULL)
	{
		mc->ready = input->next;
		call_input_free(input);
	}
}
