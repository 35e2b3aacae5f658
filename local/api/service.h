/*-------------------------------------------------------------------------
 *
 * service.h
 *	  The methods of modal.client.ModalClient.
 *
 * service.c has the table of them, which main.c gives to rpc.c; handlers are grouped by subject in
 * service_*.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_LOCAL_SERVICE_H
#define MODAL_LOCAL_SERVICE_H

#include "api/rpc.h"
#include "calls/calls.h"
#include "proto/modal.pb-c.h"

/* For rpc_init. */
extern const RpcMethod service_methods[];

/* What a request names; NULL: there is none, and the Rpc is answered. */
extern Handle *service_find_function(Rpc *rpc, const char *function_id);
extern Call *service_find_call(Rpc *rpc, const char *call_id);
/* Unix seconds. */
extern double service_seconds(const Modal__Client__Timestamp *time,
							  double missing);

/* For the strings of a message that is only packed. */
static inline char *
unconst(const char *s)
{
	return (char *) (uintptr_t) s;
}

/* service_account.c */
extern void service_client_hello(Rpc *rpc);
extern void service_auth_token_get(Rpc *rpc);
extern void service_token_info_get(Rpc *rpc);
extern void service_workspace_name_lookup(Rpc *rpc);
extern void service_environment_get_or_create(Rpc *rpc);
extern void service_secret_get_or_create(Rpc *rpc);
extern void service_volume_get_or_create(Rpc *rpc);

extern bool environment_known(const char *name);
/* What the client should be told with the reply; returns how many. */
extern size_t service_warnings(Rpc *rpc, Modal__Client__Warning ***warnings);

/* service_lookup.c */
extern void service_function_get(Rpc *rpc);
extern void service_class_get(Rpc *rpc);
extern void service_function_bind_params(Rpc *rpc);
extern void service_function_get_by_id(Rpc *rpc);

/* service_stats.c */
extern void service_function_get_current_stats(Rpc *rpc);
extern void service_function_get_time_range_stats(Rpc *rpc);
extern void service_function_get_metrics(Rpc *rpc);
extern void service_function_update_scheduling_params(Rpc *rpc);

/* service_logs.c */
extern void service_app_get_logs(Rpc *rpc);
extern void service_app_fetch_logs(Rpc *rpc);
extern void service_app_count_logs(Rpc *rpc);

/* service_call.c */
extern void service_function_map(Rpc *rpc);
extern void service_function_put_inputs(Rpc *rpc);
extern void service_function_finish_inputs(Rpc *rpc);
extern void service_function_retry_inputs(Rpc *rpc);
extern void service_function_get_outputs(Rpc *rpc);

/* service_inspect.c */
extern void service_function_call_cancel(Rpc *rpc);
extern void service_function_call_from_id(Rpc *rpc);
extern void service_function_call_get_info(Rpc *rpc);
extern void service_function_call_list(Rpc *rpc);
extern void service_function_get_call_graph(Rpc *rpc);

/* service_stream.c */
extern void service_function_call_get_data_out(Rpc *rpc);

/* service_plane.c: the input plane */
extern void service_attempt_start(Rpc *rpc);
extern void service_attempt_await(Rpc *rpc);
extern void service_attempt_retry(Rpc *rpc);
extern void service_map_start_or_continue(Rpc *rpc);
extern void service_map_await(Rpc *rpc);
extern void service_map_check_inputs(Rpc *rpc);

/* service_blob.c */
extern void service_blob_create(Rpc *rpc);
extern void service_blob_get(Rpc *rpc);

#endif /* MODAL_LOCAL_SERVICE_H */
