/*-------------------------------------------------------------------------
 *
 * service_inspect.c
 *	  Calls that exist: what is known of them, and ending them.
 *
 *-------------------------------------------------------------------------
 */
#include "calls.h"
#include "service.h"

/* NULL: unknown, and the Rpc is answered. */
static Call *
find_call(Rpc *rpc, const char *id)
{
	Call *call = call_get_by_id(id);

	if (call == NULL)
		rpc_fail(rpc, GRPC_NOT_FOUND, "Function call '%s' not found", id);
	else
		rpc_log(rpc, "call=%s", id);
	return call;
}

void
service_function_call_cancel(Rpc *rpc)
{
	Modal__Client__FunctionCallCancelRequest *request = rpc_unpack(
		rpc, &modal__client__function_call_cancel_request__descriptor);
	Call *call;

	if (request == NULL)
		return;
	call = find_call(rpc, request->function_call_id);
	if (call == NULL)
		return;
	rpc_log(rpc, "terminate=%d", request->terminate_containers);
	call_cancel(call, request->terminate_containers);
	rpc_reply_empty(rpc);
}

void
service_function_call_from_id(Rpc *rpc)
{
	Modal__Client__FunctionCallFromIdRequest *request = rpc_unpack(
		rpc, &modal__client__function_call_from_id_request__descriptor);
	Modal__Client__FunctionCallFromIdResponse reply =
		MODAL__CLIENT__FUNCTION_CALL_FROM_ID_RESPONSE__INIT;
	Modal__Client__FunctionCallHandleMetadata metadata =
		MODAL__CLIENT__FUNCTION_CALL_HANDLE_METADATA__INIT;
	char app_id[FUNCTION_ID_SIZE];
	Call *call;

	if (request == NULL)
		return;
	call = find_call(rpc, request->function_call_id);
	if (call == NULL)
		return;
	registry_name_id(app_id, "ap", call->handle->function->app);
	metadata.app_id = app_id;
	metadata.function_id = call->handle->id;
	reply.function_call_id = request->function_call_id;
	reply.metadata = &metadata;
	reply.num_inputs = call->declared_inputs >= 0 ? call->declared_inputs
					   : call->n_inputs > 0		  ? call->n_inputs
												  : 1;
	rpc_reply_message(rpc, &reply.base);
}
