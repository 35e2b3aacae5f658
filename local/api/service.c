/*-------------------------------------------------------------------------
 *
 * service.c
 *	  The methods of modal.client.ModalClient.
 *
 * Repeating a request of an idempotent method with the same key has no effect
 * but to get the same reply again.  FunctionGetOutputs sees to that itself, for
 * what clear_on_success makes it drop.
 *
 *-------------------------------------------------------------------------
 */
#include "api/service.h"

const RpcMethod service_methods[] = {
	/* The busiest first. */
	{"FunctionPutInputs", service_function_put_inputs, RPC_IDEMPOTENT | RPC_REPEATABLE},
	{"FunctionGetOutputs", service_function_get_outputs, 0},
	{"FunctionMap", service_function_map, RPC_IDEMPOTENT},
	{"FunctionRetryInputs", service_function_retry_inputs,
	 RPC_IDEMPOTENT},
	{"FunctionFinishInputs", service_function_finish_inputs,
	 RPC_IDEMPOTENT | RPC_REPEATABLE},
	{"FunctionGet", service_function_get, 0},
	{"AuthTokenGet", service_auth_token_get, 0},
	{"FunctionCallCancel", service_function_call_cancel, 0},
	{"FunctionCallFromId", service_function_call_from_id, 0},
	{"FunctionGetCurrentStats", service_function_get_current_stats, 0},
	{"ClientHello", service_client_hello, 0},
	{"EnvironmentGetOrCreate", service_environment_get_or_create, 0},
	{"BlobCreate", service_blob_create, 0},
	{"BlobGet", service_blob_get, 0},
	{"ClassGet", service_class_get, 0},
	{"FunctionBindParams", service_function_bind_params, 0},
	{"FunctionUpdateSchedulingParams",
	 service_function_update_scheduling_params, 0},
	{"FunctionCallGetInfo", service_function_call_get_info, 0},
	{"FunctionCallList", service_function_call_list, 0},
	{"FunctionGetCallGraph", service_function_get_call_graph, 0},
	{"SecretGetOrCreate", service_secret_get_or_create, 0},
	{"VolumeGetOrCreate", service_volume_get_or_create, 0},
	{"TokenInfoGet", service_token_info_get, 0},
	{"WorkspaceNameLookup", service_workspace_name_lookup, 0},
	{"FunctionCallGetDataOut", service_function_call_get_data_out, 0},
	{"AppGetLogs", service_app_get_logs, 0},
	{"AppFetchLogs", service_app_fetch_logs, 0},
	{"AppCountLogs", service_app_count_logs, 0},
	{"FunctionGetById", service_function_get_by_id, 0},
	{"FunctionGetTimeRangeStats", service_function_get_time_range_stats, 0},
	{"FunctionGetMetrics", service_function_get_metrics, 0},
	{"AttemptStart", service_attempt_start, RPC_IDEMPOTENT | RPC_INPUT_PLANE},
	{"AttemptAwait", service_attempt_await, RPC_INPUT_PLANE},
	{"AttemptRetry", service_attempt_retry, RPC_IDEMPOTENT | RPC_INPUT_PLANE},
	{"MapStartOrContinue", service_map_start_or_continue, RPC_IDEMPOTENT | RPC_INPUT_PLANE},
	{"MapAwait", service_map_await, RPC_INPUT_PLANE},
	{"MapCheckInputs", service_map_check_inputs, RPC_INPUT_PLANE},
	{NULL, NULL, 0},
};

double
service_seconds(const Modal__Client__Timestamp *time, double missing)
{
	return time == NULL ? missing
						: (double) time->seconds + (double) time->nanos * 1e-9;
}

Handle *
service_find_function(Rpc *rpc, const char *function_id)
{
	Handle *handle = registry_get(function_id);

	if (handle == NULL)
		rpc_fail(rpc, GRPC_NOT_FOUND, "Function '%s' not found", function_id);
	return handle;
}

Call *
service_find_call(Rpc *rpc, const char *call_id)
{
	Call *call = call_get_by_id(call_id);

	if (call == NULL)
		rpc_fail(rpc, GRPC_NOT_FOUND, "Function call '%s' not found", call_id);
	return call;
}
