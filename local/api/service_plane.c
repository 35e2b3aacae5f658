/*-------------------------------------------------------------------------
 *
 * service_plane.c
 *	  The input plane: single attempts, and maps that the client drives.
 *
 * Behind it are the same calls as on the control plane.  An attempt token is
 * an input's jwt; a map token is a call's.
 *
 *-------------------------------------------------------------------------
 */
#include "api/inputs.h"
#include "api/polls.h"
#include "api/service.h"
#include "pb.h"

typedef Modal__Client__FunctionPutInputsItem PutItem;

/* The call of a token; NULL: unknown or expired, and the Rpc is answered. */
static Call *
find_attempt(Rpc *rpc, const char *token, InputRef *ref)
{
	Call *call = jwt_parse_input(token, strlen(token), ref)
					 ? call_get(ref->call)
					 : NULL;

	if (call == NULL || ref->idx > MAX_INPUT_INDEX)
	{
		rpc_fail(rpc, GRPC_NOT_FOUND, "Attempt not found");
		return NULL;
	}
	return call;
}

static void
log_call(Rpc *rpc, const Call *call)
{
	char id[CALL_ID_SIZE];

	call_id_format(id, call->number);
	rpc_log(rpc, "call=%s", id);
	if (rpc->headers[HEADER_REGION] != NULL)
		rpc_log(rpc, "region=%s", rpc->headers[HEADER_REGION]);
}

/* --- single attempts ----------------------------------------------------- */

void
service_attempt_start(Rpc *rpc)
{
	Modal__Client__AttemptStartRequest *request =
		rpc_unpack(rpc, &modal__client__attempt_start_request__descriptor);
	Modal__Client__AttemptStartResponse reply =
		MODAL__CLIENT__ATTEMPT_START_RESPONSE__INIT;
	Modal__Client__FunctionRetryPolicy policy;
	NewInput *input;
	Handle *handle;
	Call *call;

	if (request == NULL)
		return;
	handle = service_find_function(rpc, request->function_id);
	if (handle == NULL)
		return;
	if (request->input == NULL)
	{
		rpc_fail(rpc, GRPC_INVALID_ARGUMENT, "There is no input");
		return;
	}
	input = inputs_from_items(rpc, handle, &request->input, 1);
	if (input == NULL)
		return;
	call = call_create(handle, false, false, true, request->parent_input_id);
	call->client = rpc_client(rpc);
	log_call(rpc, call);
	inputs_log(rpc, input, 1);
	inputs_put(call, input, 1);
	policy = retry_policy_message(&handle->retry);
	reply.attempt_token = input_jwt(&rpc->arena, call, input);
	reply.retry_policy = &policy;
	rpc_reply_message(rpc, &reply.base);
}

/* The output of the newest attempt of input start_idx. */
static bool
attempt_ready(Waiter *waiter, bool timed_out)
{
	const Poll *poll = (Poll *) waiter;
	Rpc *rpc = poll->base.rpc;
	Call *call = waiter->call;
	const Slot *slot = call_slot(call, poll->start_idx);
	const OutEntry *entry = NULL;
	uint8_t *p;

	if (slot != NULL && slot->live == 0 &&
		slot->output > call->outputs.dropped)
		entry = outlog_get(&call->outputs, slot->output);
	if (entry == NULL && !timed_out)
		return false;
	p = rpc_reply_open(rpc, entry != NULL ? pb_bytes_size(entry->len) : 0);
	if (entry != NULL)
	{
		p = pb_put_bytes(p, 1, entry->data, entry->len);
		if (!call->map) /* its other outputs are for MapAwait */
		{
			call->delivered = call->outputs.last;
			call_clear(call, NULL);
		}
	}
	rpc_log(rpc, "outputs=%d", entry != NULL);
	rpc_reply_close(rpc, p);
	return true;
}

void
service_attempt_await(Rpc *rpc)
{
	Modal__Client__AttemptAwaitRequest *request =
		rpc_unpack(rpc, &modal__client__attempt_await_request__descriptor);
	Poll *poll;
	InputRef ref;
	Call *call;

	if (request == NULL)
		return;
	call = find_attempt(rpc, request->attempt_token, &ref);
	if (call == NULL)
		return;
	log_call(rpc, call);
	if (call_input_lost(call, ref.idx, ref.attempt))
		call_report_lost(call, ref.idx, ref.attempt);
	poll = poll_create(rpc, NULL);
	poll->base.waiter.ready = attempt_ready;
	poll->base.waiter.call = call;
	poll->start_idx = ref.idx;
	rpc_wait(&poll->base, poll_seconds(request->timeout_secs));
}

void
service_attempt_retry(Rpc *rpc)
{
	Modal__Client__AttemptRetryRequest *request =
		rpc_unpack(rpc, &modal__client__attempt_retry_request__descriptor);
	Modal__Client__AttemptRetryResponse reply =
		MODAL__CLIENT__ATTEMPT_RETRY_RESPONSE__INIT;
	NewInput input;
	InputRef ref;
	Call *call;

	if (request == NULL)
		return;
	call = find_attempt(rpc, request->attempt_token, &ref);
	if (call == NULL)
		return;
	input_from_message(&input, ref.idx,
					   request->input != NULL ? request->input->input : NULL);
	input.attempt = ref.attempt + 1;
	if (!inputs_check(rpc, call, &input, 1))
		return;
	log_call(rpc, call);
	inputs_log(rpc, &input, 1);
	inputs_put(call, &input, 1);
	reply.attempt_token = input_jwt(&rpc->arena, call, &input);
	rpc_reply_message(rpc, &reply.base);
}

/* --- maps ---------------------------------------------------------------- */

/* The call of a map token; NULL: unknown, and the Rpc is answered. */
static Call *
find_map(Rpc *rpc, const char *token)
{
	uint64_t number;
	Call *call = jwt_parse_call(token, &number) ? call_get(number) : NULL;

	if (call == NULL)
		rpc_fail(rpc, GRPC_NOT_FOUND, "Map not found");
	return call;
}

/*
 * Items of a request as inputs: a retry has the token of the attempt before.
 * NULL: not acceptable, and the Rpc is answered.
 */
static NewInput *
map_inputs(Rpc *rpc, const Handle *handle, const Call *call,
		   const Modal__Client__MapStartOrContinueRequest *request)
{
	size_t n = request->n_items;
	PutItem **items = arena_alloc(&rpc->arena, (n + 1) * sizeof(*items));
	NewInput *inputs;

	for (size_t i = 0; i < n; i++)
	{
		items[i] = request->items[i]->input;
		if (items[i] == NULL)
		{
			rpc_fail(rpc, GRPC_INVALID_ARGUMENT, "An item has no input");
			return NULL;
		}
	}
	inputs = inputs_from_items(rpc, handle, items, n);
	for (size_t i = 0; inputs != NULL && i < n; i++)
	{
		const Modal__Client__MapStartOrContinueItem *item = request->items[i];
		InputRef ref;

		if (item->attempt_token_opt_case !=
				MODAL__CLIENT__MAP_START_OR_CONTINUE_ITEM__ATTEMPT_TOKEN_OPT_ATTEMPT_TOKEN ||
			item->attempt_token[0] == '\0')
			continue;
		if (call == NULL ||
			!jwt_parse_input(item->attempt_token, strlen(item->attempt_token),
							 &ref) ||
			ref.call != call->number || ref.idx != inputs[i].idx)
		{
			rpc_fail(rpc, GRPC_INVALID_ARGUMENT,
					 "An attempt token is not of this map and input");
			return NULL;
		}
		inputs[i].attempt = ref.attempt + 1;
	}
	return inputs;
}

void
service_map_start_or_continue(Rpc *rpc)
{
	Modal__Client__MapStartOrContinueRequest *request = rpc_unpack(
		rpc, &modal__client__map_start_or_continue_request__descriptor);
	Modal__Client__MapStartOrContinueResponse reply =
		MODAL__CLIENT__MAP_START_OR_CONTINUE_RESPONSE__INIT;
	Modal__Client__FunctionRetryPolicy policy;
	Call *call = NULL;
	Handle *handle;
	NewInput *inputs;
	char id[CALL_ID_SIZE];

	if (request == NULL)
		return;
	handle = service_find_function(rpc, request->function_id);
	if (handle == NULL)
		return;
	if (request->call_info_case ==
			MODAL__CLIENT__MAP_START_OR_CONTINUE_REQUEST__CALL_INFO_MAP_TOKEN &&
		request->map_token[0] != '\0')
	{
		call = find_map(rpc, request->map_token);
		if (call == NULL)
			return;
	}
	inputs = map_inputs(rpc, handle, call, request);
	if (inputs == NULL ||
		(call != NULL && !inputs_check(rpc, call, inputs, request->n_items)))
		return;
	if (call == NULL)
		call = call_create(handle, true, false, true, request->parent_input_id);
	call->client = rpc_client(rpc);
	log_call(rpc, call);
	inputs_log(rpc, inputs, request->n_items);
	inputs_put(call, inputs, request->n_items);

	call_id_format(id, call->number);
	policy = retry_policy_message(&handle->retry);
	reply.map_token =
		unconst(jwt_format_call(&rpc->arena, handle->id, call->number));
	reply.function_id = handle->id;
	reply.function_call_id = id;
	reply.max_inputs_outstanding = MAX_INPUTS_OUTSTANDING;
	reply.retry_policy = &policy;
	reply.n_attempt_tokens = request->n_items;
	reply.attempt_tokens =
		arena_alloc(&rpc->arena, request->n_items * sizeof(char *));
	for (size_t i = 0; i < request->n_items; i++)
		reply.attempt_tokens[i] = input_jwt(&rpc->arena, call, &inputs[i]);
	rpc_reply_message(rpc, &reply.base);
}

void
service_map_await(Rpc *rpc)
{
	static const PollReply reply = {1, 2, 0};
	Modal__Client__MapAwaitRequest *request =
		rpc_unpack(rpc, &modal__client__map_await_request__descriptor);
	Poll *poll;
	Call *call;

	if (request == NULL)
		return;
	call = find_map(
		rpc, request->call_info_case ==
					 MODAL__CLIENT__MAP_AWAIT_REQUEST__CALL_INFO_MAP_TOKEN
				 ? request->map_token
				 : "");
	if (call == NULL)
		return;
	log_call(rpc, call);
	poll = poll_create(rpc, &reply);
	if (!poll_parse_cursor(request->last_entry_id,
						   strlen(request->last_entry_id),
						   &poll->base.waiter.cursor))
	{
		rpc_fail(rpc, GRPC_INVALID_ARGUMENT, "last_entry_id is not one of ours");
		return;
	}
	poll_start(poll, call, request->timeout);
}

void
service_map_check_inputs(Rpc *rpc)
{
	Modal__Client__MapCheckInputsRequest *request =
		rpc_unpack(rpc, &modal__client__map_check_inputs_request__descriptor);
	Modal__Client__MapCheckInputsResponse reply =
		MODAL__CLIENT__MAP_CHECK_INPUTS_RESPONSE__INIT;
	size_t n;

	if (request == NULL)
		return;
	n = request->n_attempt_tokens;
	reply.n_lost = n;
	reply.lost = arena_alloc(&rpc->arena, n * sizeof(*reply.lost));
	for (size_t i = 0; i < n; i++)
	{
		const char *token = request->attempt_tokens[i];
		InputRef ref;
		Call *call = jwt_parse_input(token, strlen(token), &ref)
						 ? call_get(ref.call)
						 : NULL;

		reply.lost[i] = call == NULL || ref.idx > MAX_INPUT_INDEX ||
						call_input_lost(call, ref.idx, ref.attempt);
	}
	rpc_reply_message(rpc, &reply.base);
}
