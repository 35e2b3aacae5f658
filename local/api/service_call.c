/*-------------------------------------------------------------------------
 *
 * service_call.c
 *	  Starting calls, sending inputs, getting outputs: the control plane.
 *
 * FunctionPutInputs and FunctionGetOutputs are read and written by hand
 * (pb.h): all inputs of all maps pass through them.
 *
 *-------------------------------------------------------------------------
 */
#include "api/inputs.h"
#include "api/polls.h"
#include "api/service.h"
#include "pb.h"

/* --- FunctionMap --------------------------------------------------------- */

static bool
is_async(Modal__Client__FunctionCallInvocationType type)
{
	return type ==
			   MODAL__CLIENT__FUNCTION_CALL_INVOCATION_TYPE__FUNCTION_CALL_INVOCATION_TYPE_ASYNC ||
		   type ==
			   MODAL__CLIENT__FUNCTION_CALL_INVOCATION_TYPE__FUNCTION_CALL_INVOCATION_TYPE_ASYNC_LEGACY;
}

void
service_function_map(Rpc *rpc)
{
	Modal__Client__FunctionMapRequest *request =
		rpc_unpack(rpc, &modal__client__function_map_request__descriptor);
	Modal__Client__FunctionMapResponse reply =
		MODAL__CLIENT__FUNCTION_MAP_RESPONSE__INIT;
	Modal__Client__FunctionRetryPolicy policy;
	NewInput *inputs;
	Handle *handle;
	Call *call;
	char id[CALL_ID_SIZE];

	if (request == NULL)
		return;
	handle = service_find_function(rpc, request->function_id);
	if (handle == NULL)
		return;
	if (handle->function->web_url != NULL)
	{
		rpc_fail(rpc, GRPC_INVALID_ARGUMENT,
				 "A web function is called by its URL");
		return;
	}
	if (handle->region != NULL &&
		is_async(request->function_call_invocation_type))
	{
		rpc_fail(rpc, GRPC_FAILED_PRECONDITION,
				 "A function that is routed to region '%s' cannot be spawned",
				 handle->region);
		return;
	}
	if (is_async(request->function_call_invocation_type) &&
		!inputs_welcome(rpc))
		return;
	inputs = inputs_from_items(rpc, handle, request->pipelined_inputs,
							   request->n_pipelined_inputs);
	if (inputs == NULL)
		return;
	call = call_create(
		handle,
		request->function_call_type ==
			MODAL__CLIENT__FUNCTION_CALL_TYPE__FUNCTION_CALL_TYPE_MAP,
		is_async(request->function_call_invocation_type), false,
		request->parent_input_id);
	call->client = rpc_client(rpc);
	call_id_format(id, call->number);
	inputs_put(call, inputs, request->n_pipelined_inputs);
	rpc->durable = call->async;

	policy = retry_policy_message(&handle->retry);
	reply.function_call_id = id;
	reply.function_call_jwt =
		unconst(jwt_format_call(&rpc->arena, handle->id, call->number));
	reply.retry_policy = &policy;
	reply.sync_client_retries_enabled =
		!call->async && handle->function->client_retries;
	reply.max_inputs_outstanding = call->async ? MAX_INPUTS_PENDING
											   : MAX_INPUTS_OUTSTANDING;
	reply.n_pipelined_inputs = request->n_pipelined_inputs;
	reply.pipelined_inputs =
		inputs_describe(&rpc->arena, call, inputs, request->n_pipelined_inputs);
	rpc_log(rpc, "call=%s", id);
	rpc_log(rpc, "function=%s/%s", handle->function->app,
			handle->function->name);
	inputs_log(rpc, inputs, request->n_pipelined_inputs);
	rpc_reply_message(rpc, &reply.base);
}

/* --- FunctionPutInputs --------------------------------------------------- */

void
service_function_put_inputs(Rpc *rpc)
{
	PutInputs put;
	Call *call;

	if (!inputs_parse(rpc, &put))
		return;
	call = service_find_call(rpc, put.call_id);
	if (call == NULL)
		return;
	if (!inputs_check(rpc, call, put.inputs, put.n))
		return;
	rpc_log(rpc, "call=%s", put.call_id);
	inputs_log(rpc, put.inputs, put.n);
	if (!rpc->replayed)
		inputs_put(call, put.inputs, put.n);
	rpc->durable = call->async;
	inputs_reply(rpc, call, put.inputs, put.n);
}

void
service_function_finish_inputs(Rpc *rpc)
{
	Modal__Client__FunctionFinishInputsRequest *request = rpc_unpack(
		rpc, &modal__client__function_finish_inputs_request__descriptor);
	Call *call;

	if (request == NULL)
		return;
	call = service_find_call(rpc, request->function_call_id);
	if (call == NULL)
		return;
	if (request->num_inputs > MAX_INPUT_INDEX)
	{
		rpc_fail(rpc, GRPC_INVALID_ARGUMENT, "num_inputs is out of range");
		return;
	}
	call_declare_inputs(call, (int32_t) request->num_inputs);
	rpc->durable = call->async;
	rpc_log(rpc, "call=%s", request->function_call_id);
	rpc_log(rpc, "declared=%u", request->num_inputs);
	rpc_reply_empty(rpc);
}

/* --- FunctionRetryInputs ------------------------------------------------- */

/*
 * Not all clients count: Modal's Python client leaves it to us in single calls,
 * its JavaScript client begins with 0.  One that does may know of attempts that
 * never came here.
 */
static uint32_t
next_attempt(const Call *call, int32_t idx, uint32_t counted)
{
	const Slot *slot = call_slot(call, idx);

	return slot == NULL || counted > slot->attempt ? counted
												   : slot->attempt + 1;
}

void
service_function_retry_inputs(Rpc *rpc)
{
	Modal__Client__FunctionRetryInputsRequest *request = rpc_unpack(
		rpc, &modal__client__function_retry_inputs_request__descriptor);
	Modal__Client__FunctionRetryInputsResponse reply =
		MODAL__CLIENT__FUNCTION_RETRY_INPUTS_RESPONSE__INIT;
	NewInput *inputs;
	Call *call;
	uint64_t number;
	char id[CALL_ID_SIZE];

	if (request == NULL)
		return;
	call = jwt_parse_call(request->function_call_jwt, &number)
			   ? call_get(number)
			   : NULL;
	if (call == NULL)
	{
		rpc_fail(rpc, GRPC_NOT_FOUND, "Function call not found");
		return;
	}
	inputs = arena_alloc(&rpc->arena, request->n_inputs * sizeof(*inputs));
	for (size_t i = 0; i < request->n_inputs; i++)
	{
		const Modal__Client__FunctionRetryInputsItem *item = request->inputs[i];
		InputRef ref;

		if (!jwt_parse_input(item->input_jwt, strlen(item->input_jwt), &ref) ||
			ref.call != number)
		{
			rpc_fail(rpc, GRPC_INVALID_ARGUMENT, "Not an input of this call");
			return;
		}
		input_from_message(&inputs[i], ref.idx, item->input);
		inputs[i].attempt = next_attempt(call, ref.idx, item->retry_count);
	}
	if (!inputs_check(rpc, call, inputs, request->n_inputs))
		return;
	inputs_put(call, inputs, request->n_inputs);

	reply.n_input_jwts = request->n_inputs;
	reply.input_jwts =
		arena_alloc(&rpc->arena, request->n_inputs * sizeof(char *));
	for (size_t i = 0; i < request->n_inputs; i++)
		reply.input_jwts[i] = input_jwt(&rpc->arena, call, &inputs[i]);
	call_id_format(id, number);
	rpc_log(rpc, "call=%s", id);
	inputs_log(rpc, inputs, request->n_inputs);
	rpc_reply_message(rpc, &reply.base);
}

/* --- FunctionGetOutputs -------------------------------------------------- */

static float
float_of(const PbField *field)
{
	uint32_t bits = (uint32_t) field->value;
	float value;

	memcpy(&value, &bits, sizeof(value));
	return value;
}

typedef struct GetOutputs
{
	char call_id[CALL_ID_SIZE];
	float timeout;
	size_t n_jwts;
} GetOutputs;

/* The request, but for its jwts; false: malformed. */
static bool
parse_get_outputs(Rpc *rpc, GetOutputs *get, Poll *poll)
{
	PbReader r = pb_reader(rpc->request, rpc->request_len);
	PbField field;
	bool ok = true;

	while (pb_next(&r, &field))
	{
		switch (field.number)
		{
			case 1:
				if (field.len < sizeof(get->call_id))
					memcpy(get->call_id, field.data, field.len);
				break;
			case 2:
				poll->max_values = (int32_t) field.value;
				break;
			case 3:
				get->timeout = float_of(&field);
				break;
			case 6:
				ok = ok && poll_parse_cursor(field.data, field.len,
											 &poll->base.waiter.cursor);
				break;
			case 7:
				poll->clear = field.value != 0;
				break;
			case 9:
				get->n_jwts++;
				break;
			case 10:
				poll->start_idx = (int32_t) field.value;
				poll->by_index = true;
				break;
			case 11:
				poll->end_idx = (int32_t) field.value;
				poll->by_index = true;
				break;
		}
	}
	return ok && !r.failed;
}

/* What the client waits for and we know nothing of is lost. */
static void
check_jwts(Rpc *rpc, Call *call)
{
	PbReader r = pb_reader(rpc->request, rpc->request_len);
	PbField field;
	InputRef ref;

	while (pb_next(&r, &field))
	{
		if (field.number == 9 &&
			jwt_parse_input((const char *) field.data, field.len, &ref) &&
			ref.call == call->number && ref.idx <= MAX_INPUT_INDEX &&
			call_input_lost(call, ref.idx, ref.attempt))
			call_report_lost(call, ref.idx, ref.attempt);
	}
}

/* Is this the request again whose reply gave the outputs away? */
static bool
is_same_request(const Rpc *rpc, const Call *call)
{
	const char *key = rpc->headers[HEADER_IDEMPOTENCY_KEY];

	return key != NULL && call->clear_key != NULL &&
		   strcmp(key, call->clear_key) == 0;
}

void
service_function_get_outputs(Rpc *rpc)
{
	static const PollReply reply = {4, 5, 6};
	Poll *poll = poll_create(rpc, &reply);
	Waiter *waiter = &poll->base.waiter;
	GetOutputs get = {0};
	Call *call;

	if (!parse_get_outputs(rpc, &get, poll))
	{
		rpc_fail(rpc, GRPC_INVALID_ARGUMENT,
				 "Malformed FunctionGetOutputsRequest");
		return;
	}
	call = service_find_call(rpc, get.call_id);
	if (call == NULL)
		return;
	if (rpc_logging())
	{
		rpc_log(rpc, "call=%s", get.call_id);
		rpc_log(rpc, "jwts=%zu", get.n_jwts);
	}
	if (get.n_jwts > 0)
		check_jwts(rpc, call);
	if (waiter->cursor < call->cleared_upto && !is_same_request(rpc, call))
		waiter->cursor = call->cleared_upto;
	poll_start(poll, call, get.timeout);
}
