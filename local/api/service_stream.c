/*-------------------------------------------------------------------------
 *
 * service_stream.c
 *	  What generators yield, as a stream.
 *
 *-------------------------------------------------------------------------
 */
#include "api/polls.h"
#include "api/service.h"
#include "calls/calls.h"

/* The stream stays open after the last item; the client ends it, or we do. */
#define MAX_STREAM_SECONDS 300.0

static void
send_more(Rpc *rpc)
{
	call_wake(((const Waiter *) rpc->state)->call);
}

/* Sends what is new: the waiter's cursor is the index of the last item sent. */
static bool
chunks_ready(Waiter *waiter, bool timed_out)
{
	const Call *call = waiter->call;
	Rpc *rpc = ((RpcWaiter *) waiter)->rpc;

	while (waiter->cursor < call->n_chunks && !rpc_stream_full(rpc, send_more))
	{
		const Chunk *chunk = &call->chunks[waiter->cursor++];
		Modal__Client__DataChunk message = MODAL__CLIENT__DATA_CHUNK__INIT;

		message.data_format = chunk->format;
		message.index = waiter->cursor;
		if (chunk->blob_id != NULL)
		{
			message.data_oneof_case =
				MODAL__CLIENT__DATA_CHUNK__DATA_ONEOF_DATA_BLOB_ID;
			message.data_blob_id = chunk->blob_id;
		}
		else
		{
			message.data_oneof_case =
				MODAL__CLIENT__DATA_CHUNK__DATA_ONEOF_DATA;
			message.data.data = chunk->data;
			message.data.len = chunk->len;
		}
		rpc_stream_send(rpc, &message.base);
	}
	if (rpc->fault.after && waiter->cursor > 0)
		timed_out = true;
	if (timed_out)
		rpc_stream_end(rpc, rpc->fault.status);
	return timed_out;
}

void
service_function_call_get_data_out(Rpc *rpc)
{
	Modal__Client__FunctionCallGetDataRequest *request = rpc_unpack(
		rpc, &modal__client__function_call_get_data_request__descriptor);
	RpcWaiter *waiter;
	InputRef ref;
	Call *call = NULL;

	if (request == NULL)
		return;
	if (request->call_info_case ==
		MODAL__CLIENT__FUNCTION_CALL_GET_DATA_REQUEST__CALL_INFO_FUNCTION_CALL_ID)
		call = call_get_by_id(request->function_call_id);
	else if (request->call_info_case ==
				 MODAL__CLIENT__FUNCTION_CALL_GET_DATA_REQUEST__CALL_INFO_ATTEMPT_TOKEN &&
			 jwt_parse_input(request->attempt_token,
							 strlen(request->attempt_token), &ref))
		call = call_get(ref.call);
	if (call == NULL)
	{
		rpc_fail(rpc, GRPC_NOT_FOUND, "Function call not found");
		return;
	}
	rpc_log(rpc, "last_index=%llu", (unsigned long long) request->last_index);
	waiter = arena_alloc(&rpc->arena, sizeof(*waiter));
	*waiter = (RpcWaiter){.rpc = rpc,
						  .waiter = {.call = call,
									 .ready = chunks_ready,
									 .cursor = request->last_index}};
	rpc_stream_begin(rpc);
	rpc_wait(waiter, MAX_STREAM_SECONDS);
}
