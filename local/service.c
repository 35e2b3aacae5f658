/*-------------------------------------------------------------------------
 *
 * service.c
 *	  The methods of modal.client.ModalClient.
 *
 * Repeating a request of an idempotent method with the same key has no effect
 * but to get the same reply again.  FunctionGetOutputs is among them because
 * of clear_on_success, which makes it drop what it gives.
 *
 *-------------------------------------------------------------------------
 */
#include "service.h"

static const RpcMethod methods[] = {
	/* The busiest first. */
	{"FunctionPutInputs", service_function_put_inputs, true},
	{"FunctionGetOutputs", service_function_get_outputs, false},
	{"FunctionMap", service_function_map, true},
	{"FunctionRetryInputs", service_function_retry_inputs, true},
	{"FunctionFinishInputs", service_function_finish_inputs, true},
	{"FunctionGet", service_function_get, false},
	{"AuthTokenGet", service_auth_token_get, false},
	{"FunctionCallCancel", service_function_call_cancel, false},
	{"FunctionCallFromId", service_function_call_from_id, false},
	{"FunctionGetCurrentStats", service_function_get_current_stats, false},
	{"ClientHello", service_client_hello, false},
	{"EnvironmentGetOrCreate", service_environment_get_or_create, false},
	{"BlobCreate", service_blob_create, false},
	{"BlobGet", service_blob_get, false},
};

const RpcMethod *
service_find(const char *name)
{
	for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++)
		if (strcmp(methods[i].name, name) == 0)
			return &methods[i];
	return NULL;
}
