/*-------------------------------------------------------------------------
 *
 * service_inspect.c
 *	  Calls that exist: what is known of them, and ending them.
 *
 *-------------------------------------------------------------------------
 */
#include "api/service.h"
#include "calls/calls.h"

#define MAX_LISTED 1000
#define MAX_GRAPH_DEPTH 100

static Call *
find_call(Rpc *rpc, const char *id)
{
	Call *call = service_find_call(rpc, id);

	if (call != NULL)
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

/* --- counts -------------------------------------------------------------- */

static Modal__Client__InputCategoryInfo *
category(Arena *arena, int32_t total)
{
	Modal__Client__InputCategoryInfo *info = arena_alloc(arena, sizeof(*info));

	modal__client__input_category_info__init(info);
	info->total = total;
	return info;
}

static Modal__Client__FunctionCallInfo *
describe_call(Arena *arena, const Call *call)
{
	Modal__Client__FunctionCallInfo *info = arena_alloc(arena, sizeof(*info));
	const int32_t *by_status = call->n_by_status;
	char *id = arena_alloc(arena, CALL_ID_SIZE);
	int32_t failed = 0;

	for (int i = 0; i < N_RESULT_STATUS; i++)
		if (i != RESULT_UNSPECIFIED && i != RESULT_SUCCESS &&
			i != RESULT_TERMINATED && i != RESULT_TIMEOUT)
			failed += by_status[i];
	call_id_format(id, call->number);
	modal__client__function_call_info__init(info);
	info->function_call_id = id;
	info->created_at = call->created;
	info->scheduled_at = call->created;
	info->pending_inputs = category(arena, call->n_unfinished);
	info->succeeded_inputs = category(arena, by_status[RESULT_SUCCESS]);
	info->failed_inputs = category(arena, failed);
	info->timeout_inputs = category(arena, by_status[RESULT_TIMEOUT]);
	info->cancelled_inputs = category(arena, by_status[RESULT_TERMINATED]);
	info->total_inputs = call->declared_inputs > call->n_inputs
							 ? call->declared_inputs
							 : call->n_inputs;
	return info;
}

void
service_function_call_get_info(Rpc *rpc)
{
	Modal__Client__FunctionCallGetInfoRequest *request = rpc_unpack(
		rpc, &modal__client__function_call_get_info_request__descriptor);
	Modal__Client__FunctionCallGetInfoResponse reply =
		MODAL__CLIENT__FUNCTION_CALL_GET_INFO_RESPONSE__INIT;
	Call *call;

	if (request == NULL)
		return;
	call = find_call(rpc, request->function_call_id);
	if (call == NULL)
		return;
	reply.info = describe_call(&rpc->arena, call);
	rpc_reply_message(rpc, &reply.base);
}

void
service_function_call_list(Rpc *rpc)
{
	Modal__Client__FunctionCallListRequest *request = rpc_unpack(
		rpc, &modal__client__function_call_list_request__descriptor);
	Modal__Client__FunctionCallListResponse reply =
		MODAL__CLIENT__FUNCTION_CALL_LIST_RESPONSE__INIT;
	const Handle *handle;

	if (request == NULL)
		return;
	handle = service_find_function(rpc, request->function_id);
	if (handle == NULL)
		return;
	reply.function_calls =
		arena_alloc(&rpc->arena, MAX_LISTED * sizeof(*reply.function_calls));
	for (const Call *call = handle->calls;
		 call != NULL && reply.n_function_calls < MAX_LISTED;
		 call = call->next)
		reply.function_calls[reply.n_function_calls++] =
			describe_call(&rpc->arena, call);
	rpc_reply_message(rpc, &reply.base);
}

/* --- the graph of calls -------------------------------------------------- */

/* The call that the input which made this one belongs to; NULL: none. */
static const Call *
parent_of(const Call *call)
{
	uint64_t number;
	int32_t idx;

	return input_id_parse(call->parent_input_id, &number, &idx)
			   ? call_peek(number)
			   : NULL;
}

typedef struct Graph
{
	Rpc *rpc;
	const Call *root;
	Modal__Client__FunctionGetCallGraphResponse reply;
} Graph;

static void
add_inputs(Graph *graph, const Call *call, char *call_id)
{
	Modal__Client__FunctionGetCallGraphResponse *reply = &graph->reply;
	Arena *arena = &graph->rpc->arena;

	for (int32_t idx = 0; idx <= call->max_idx; idx++)
	{
		const Slot *slot = call_slot(call, idx);
		Modal__Client__InputCallGraphInfo *info;
		char input_id[INPUT_ID_SIZE];
		size_t len;

		if (slot == NULL || (slot->live == 0 && slot->output == 0))
			continue;
		if (reply->n_inputs == MAX_LISTED)
		{
			reply->truncated = true;
			break;
		}
		info = arena_alloc(arena, sizeof(*info));
		modal__client__input_call_graph_info__init(info);
		len = input_id_format(input_id, call->number, idx);
		info->input_id = arena_strndup(arena, input_id, len);
		info->function_call_id = call_id;
		info->status = slot->live == 0 ? slot->status : RESULT_UNSPECIFIED;
		reply->inputs[reply->n_inputs++] = info;
	}
}

/* Adds the call if it belongs to the graph. */
static void
add_call(Call *call, void *arg)
{
	Graph *graph = arg;
	Modal__Client__FunctionGetCallGraphResponse *reply = &graph->reply;
	Arena *arena = &graph->rpc->arena;
	Modal__Client__FunctionCallCallGraphInfo *info;
	const Call *ancestor = call;
	char *id;

	for (int depth = 0; ancestor != graph->root; depth++)
		if (depth == MAX_GRAPH_DEPTH || (ancestor = parent_of(ancestor)) == NULL)
			return;
	if (reply->n_function_calls == MAX_LISTED)
	{
		reply->truncated = true;
		return;
	}
	info = arena_alloc(arena, sizeof(*info));
	id = arena_alloc(arena, CALL_ID_SIZE);
	call_id_format(id, call->number);
	modal__client__function_call_call_graph_info__init(info);
	info->function_call_id = id;
	info->parent_input_id = call->parent_input_id;
	info->function_name = unconst(call->handle->function->name);
	info->module_name = unconst(call->handle->function->app);
	reply->function_calls[reply->n_function_calls++] = info;
	add_inputs(graph, call, id);
}

/* Of the whole tree that the call is in. */
void
service_function_get_call_graph(Rpc *rpc)
{
	Modal__Client__FunctionGetCallGraphRequest *request = rpc_unpack(
		rpc, &modal__client__function_get_call_graph_request__descriptor);
	Graph graph = {.rpc = rpc,
				   .reply = MODAL__CLIENT__FUNCTION_GET_CALL_GRAPH_RESPONSE__INIT};
	const Call *parent;

	if (request == NULL)
		return;
	graph.root = find_call(rpc, request->function_call_id);
	if (graph.root == NULL)
		return;
	for (int depth = 0; depth < MAX_GRAPH_DEPTH &&
						(parent = parent_of(graph.root)) != NULL;
		 depth++)
		graph.root = parent;
	graph.reply.inputs =
		arena_alloc(&rpc->arena, MAX_LISTED * sizeof(*graph.reply.inputs));
	graph.reply.function_calls = arena_alloc(
		&rpc->arena, MAX_LISTED * sizeof(*graph.reply.function_calls));
	calls_for_each(add_call, &graph);
	rpc_reply_message(rpc, &graph.reply.base);
}
