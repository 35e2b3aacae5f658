/*-------------------------------------------------------------------------
 *
 * inputs.c
 *	  Inputs as they arrive in requests, and as replies name them.
 *
 *-------------------------------------------------------------------------
 */
#include "api/inputs.h"

#include "pb.h"

#define MAX_INPUTS_PER_REQUEST 10000
/* Of a FunctionPutInputsResponseItem, its own key and length included. */
#define MAX_RESPONSE_ITEM (INPUT_ID_SIZE + INPUT_JWT_SIZE + 32)

/* --- reading ------------------------------------------------------------- */

/* FunctionInput */
static bool
parse_input(NewInput *input, const uint8_t *data, size_t len)
{
	PbReader r = pb_reader(data, len);
	PbField field;

	while (pb_next(&r, &field))
	{
		switch (field.number)
		{
			case 1:
				input->args = field.data;
				input->args_len = field.len;
				input->blob_id = NULL;
				break;
			case 7:
				input->blob_id = (const char *) field.data;
				input->blob_id_len = field.len;
				input->args = NULL;
				input->args_len = 0;
				break;
			case 10:
				input->format = (DataFormat) field.value;
				break;
			case 11:
				input->method = (const char *) field.data;
				input->method_len = field.len;
				break;
		}
	}
	return !r.failed;
}

/* FunctionPutInputsItem */
static bool
parse_item(NewInput *input, const uint8_t *data, size_t len)
{
	PbReader r = pb_reader(data, len);
	PbField field;
	bool ok = true;

	while (pb_next(&r, &field))
	{
		if (field.number == 1)
			input->idx = (int32_t) field.value;
		else if (field.number == 2)
			ok = ok && parse_input(input, field.data, field.len);
	}
	return ok && !r.failed;
}

bool
inputs_parse(Rpc *rpc, PutInputs *put)
{
	PbReader r = pb_reader(rpc->request, rpc->request_len);
	PbField field;
	bool ok = true;

	*put = (PutInputs){0};
	while (pb_next(&r, &field))
		if (field.number == 4)
			put->n++;
	if (put->n > MAX_INPUTS_PER_REQUEST)
	{
		rpc_fail(rpc, GRPC_INVALID_ARGUMENT,
				 "more than %d inputs in one request", MAX_INPUTS_PER_REQUEST);
		return false;
	}
	put->inputs = arena_alloc(&rpc->arena, put->n * sizeof(NewInput));
	put->n = 0;
	r = pb_reader(rpc->request, rpc->request_len);
	while (pb_next(&r, &field))
	{
		if (field.number == 3 && field.len < sizeof(put->call_id))
			memcpy(put->call_id, field.data, field.len);
		else if (field.number == 4)
		{
			NewInput *input = &put->inputs[put->n++];

			*input = (NewInput){0};
			ok = ok && parse_item(input, field.data, field.len);
		}
	}
	if (!ok || r.failed)
	{
		rpc_fail(rpc, GRPC_INTERNAL, "Malformed FunctionPutInputsRequest");
		return false;
	}
	return true;
}

void
input_from_message(NewInput *input, int32_t idx,
				   const Modal__Client__FunctionInput *message)
{
	*input = (NewInput){.idx = idx};
	if (message == NULL)
		return;
	input->format = message->data_format;
	if (message->args_oneof_case ==
		MODAL__CLIENT__FUNCTION_INPUT__ARGS_ONEOF_ARGS)
	{
		input->args = message->args.data;
		input->args_len = message->args.len;
	}
	else if (message->args_oneof_case ==
			 MODAL__CLIENT__FUNCTION_INPUT__ARGS_ONEOF_ARGS_BLOB_ID)
	{
		input->blob_id = message->args_blob_id;
		input->blob_id_len = strlen(message->args_blob_id);
	}
	if (message->method_name_opt_case ==
		MODAL__CLIENT__FUNCTION_INPUT__METHOD_NAME_OPT_METHOD_NAME)
	{
		input->method = message->method_name;
		input->method_len = strlen(message->method_name);
	}
}

static const char *
check_input(const Handle *handle, const NewInput *input, GrpcStatus *status)
{
	*status = GRPC_INVALID_ARGUMENT;
	if (handle->function->web_url != NULL)
		return "a web function cannot be called this way";
	return input_error(handle, input, status);
}

NewInput *
inputs_from_items(Rpc *rpc, const Handle *handle,
				  Modal__Client__FunctionPutInputsItem **items, size_t n)
{
	NewInput *inputs = arena_alloc(&rpc->arena, (n + 1) * sizeof(*inputs));

	for (size_t i = 0; i < n; i++)
	{
		GrpcStatus status;
		const char *error;

		input_from_message(&inputs[i], items[i]->idx, items[i]->input);
		error = check_input(handle, &inputs[i], &status);
		if (error != NULL)
		{
			rpc_fail(rpc, status, "Input %d: %s", items[i]->idx, error);
			return NULL;
		}
	}
	return inputs;
}

bool
inputs_welcome(Rpc *rpc)
{
	const char *refusal = calls_refusal();

	if (refusal != NULL)
		rpc_fail(rpc, GRPC_RESOURCE_EXHAUSTED, "%s", refusal);
	return refusal == NULL;
}

bool
inputs_check(Rpc *rpc, const Call *call, const NewInput *inputs, size_t n)
{
	int64_t limit = call->async ? MAX_INPUTS_PENDING : MAX_INPUTS_OUTSTANDING;

	for (size_t i = 0; i < n; i++)
	{
		GrpcStatus status;
		const char *error = check_input(call->handle, &inputs[i], &status);

		if (error != NULL)
		{
			rpc_fail(rpc, status, "Input %d: %s", inputs[i].idx, error);
			return false;
		}
	}
	if (call->async && !inputs_welcome(rpc))
		return false;
	if (call->n_unfinished + (int64_t) n > limit)
	{
		rpc_fail(rpc, GRPC_RESOURCE_EXHAUSTED,
				 "more than %lld inputs of this call are unfinished",
				 (long long) limit);
		return false;
	}
	if (!call->async && call->outputs.bytes > MAX_UNREAD_BYTES)
	{
		rpc_fail(rpc, GRPC_RESOURCE_EXHAUSTED,
				 "too many outputs of this call have not been fetched");
		return false;
	}
	return true;
}

void
inputs_put(Call *call, const NewInput *inputs, size_t n)
{
	for (size_t i = 0; i < n; i++)
		call_put_input(call, &inputs[i]);
}

/* inputs=49 idx=0-48: runs of indexes, separated by commas. */
void
inputs_log(Rpc *rpc, const NewInput *inputs, size_t n)
{
	if (!rpc_logging())
		return;
	rpc_log(rpc, "inputs=%zu", n);
	buf_put_cstr(&rpc->log, "\tidx=");
	for (size_t i = 0, next; i < n; i = next)
	{
		next = i + 1;
		while (next < n && inputs[next].idx == inputs[next - 1].idx + 1)
			next++;
		buf_printf(&rpc->log, "%s%d", i > 0 ? "," : "", inputs[i].idx);
		if (next > i + 1)
			buf_printf(&rpc->log, "-%d", inputs[next - 1].idx);
	}
}

/* --- writing ------------------------------------------------------------- */

static InputRef
ref_of(const Call *call, const NewInput *input)
{
	return (InputRef){call->number, input->idx, input->attempt};
}

char *
input_jwt(Arena *arena, const Call *call, const NewInput *input)
{
	InputRef ref = ref_of(call, input);
	char jwt[INPUT_JWT_SIZE];

	return arena_strndup(arena, jwt, jwt_format_input(jwt, &ref));
}

void
inputs_reply(Rpc *rpc, const Call *call, const NewInput *inputs, size_t n)
{
	uint8_t *p = rpc_reply_open(rpc, n * MAX_RESPONSE_ITEM);

	for (size_t i = 0; i < n; i++)
	{
		InputRef ref = ref_of(call, &inputs[i]);
		char id[INPUT_ID_SIZE];
		char jwt[INPUT_JWT_SIZE];
		size_t id_len = input_id_format(id, ref.call, ref.idx);
		size_t jwt_len = jwt_format_input(jwt, &ref);
		size_t len = pb_bytes_size(id_len) + pb_bytes_size(jwt_len);

		if (ref.idx != 0)
			len += 1 + pb_varint_size((uint32_t) ref.idx);
		p = pb_put_key(p, 1, PB_BYTES);
		p = pb_put_varint(p, len);
		if (ref.idx != 0)
			p = pb_put_uint(p, 1, (uint32_t) ref.idx);
		p = pb_put_bytes(p, 2, id, id_len);
		p = pb_put_bytes(p, 3, jwt, jwt_len);
	}
	rpc_reply_close(rpc, p);
}

Modal__Client__FunctionPutInputsResponseItem **
inputs_describe(Arena *arena, const Call *call, const NewInput *inputs,
				size_t n)
{
	Modal__Client__FunctionPutInputsResponseItem **items =
		arena_alloc(arena, n * sizeof(*items));

	for (size_t i = 0; i < n; i++)
	{
		Modal__Client__FunctionPutInputsResponseItem *item =
			arena_alloc(arena, sizeof(*item));
		char id[INPUT_ID_SIZE];
		size_t len = input_id_format(id, call->number, inputs[i].idx);

		modal__client__function_put_inputs_response_item__init(item);
		item->idx = inputs[i].idx;
		item->input_id = arena_strndup(arena, id, len);
		item->input_jwt = input_jwt(arena, call, &inputs[i]);
		items[i] = item;
	}
	return items;
}

Modal__Client__FunctionRetryPolicy
retry_policy_message(const RetryPolicy *policy)
{
	Modal__Client__FunctionRetryPolicy message =
		MODAL__CLIENT__FUNCTION_RETRY_POLICY__INIT;

	message.retries = policy->retries;
	message.backoff_coefficient = policy->backoff_coefficient;
	message.initial_delay_ms = policy->initial_delay_ms;
	message.max_delay_ms = policy->max_delay_ms;
	return message;
}
