/*-------------------------------------------------------------------------
 *
 * wire.c
 *	  Requests and replies of a call, on the control plane and on an input
 *	  plane.  Field numbers are those of src/proto/modal.proto.
 *
 * There is one of these messages, or of their parts, per row, so they are
 * written straight into the request and read where they were received.
 *
 *-------------------------------------------------------------------------
 */
#include "modal/call.h"

#include <stdlib.h>
#include <string.h>

#include "core/pb.h"
#include "core/reference.h"

#define CALL_TYPE_UNARY 1
#define CALL_TYPE_MAP 2
#define POLL_RETRIES 20
#define PUT_MAX_DELAY 15.0

static inline Slice
slice_of(const PbField *f)
{
	return (Slice){(const char *) f->p, f->n};
}

/* --- inputs --------------------------------------------------------------- */

static size_t
function_input_size(const ModalCall *mc, const CallInput *input)
{
	return pb_bytes_size(input->blob_id != NULL ? strlen(input->blob_id)
												: input->len) +
		2 + pb_bytes_size(strlen(mc->handle->method_name));
}

/* FunctionInput, as field number of the message around it. */
static void
put_function_input(const ModalCall *mc, Buf *buf, uint32_t field,
				   const CallInput *input)
{
	pb_put_tag(buf, field, PB_BYTES);
	pb_put_varint(buf, function_input_size(mc, input));
	if (input->blob_id != NULL)
		pb_put_string(buf, 7, input->blob_id);
	else
		pb_put_bytes(buf, 1, input->data, input->len);
	pb_put_uint(buf, 10,
				mc->handle->accepts_cbor ? DATA_FORMAT_CBOR
										 : DATA_FORMAT_PICKLE);
	pb_put_string(buf, 11, mc->handle->method_name);
}

static size_t
put_item_size(const ModalCall *mc, int64_t idx, const CallInput *input)
{
	return 1 + pb_varint_size((uint64_t) idx) +
		pb_bytes_size(function_input_size(mc, input));
}

/* FunctionPutInputsItem */
static void
put_item(const ModalCall *mc, Buf *buf, uint32_t field, int64_t idx,
		 const CallInput *input)
{
	pb_put_tag(buf, field, PB_BYTES);
	pb_put_varint(buf, put_item_size(mc, idx, input));
	pb_put_uint(buf, 1, (uint64_t) idx);
	put_function_input(mc, buf, 2, input);
}

/* MapStartOrContinueItem */
static void
put_map_item(const ModalCall *mc, Buf *buf, int64_t idx,
			 const CallInput *input, const Buf *token)
{
	size_t size = pb_bytes_size(put_item_size(mc, idx, input));

	if (token != NULL)
		size += pb_bytes_size(token->len);
	pb_put_tag(buf, 4, PB_BYTES);
	pb_put_varint(buf, size);
	put_item(mc, buf, 1, idx, input);
	if (token != NULL)
		pb_put_bytes(buf, 2, token->data, token->len);
}

/* --- starting ------------------------------------------------------------- */

GrpcSpec
wire_start(ModalCall *mc, const CallInput *input,
		   void (*on_done)(void *, const GrpcResult *))
{
	GrpcSpec spec = grpc_spec(mc->plane != NULL ? mc->plane : mc->mt->control,
							  mc->plane != NULL ? "AttemptStart" : "FunctionMap",
							  mc->call, on_done, mc);
	Buf *buf = &spec.request;

	pb_put_string(buf, 1, mc->handle->function_id);
	if (mc->plane != NULL)
		put_item(mc, buf, 3, 0, input);
	else
	{
		pb_put_uint(buf, 3,
					(mc->call->open.flags & CALL_RETURN_EXCEPTIONS) != 0);
		pb_put_uint(buf, 4, mc->kind->unary ? CALL_TYPE_UNARY : CALL_TYPE_MAP);
		if (input != NULL)
			put_item(mc, buf, 5, 0, input);
		pb_put_uint(buf, 6, mc->kind->invocation);
	}
	spec.auth = mc->plane != NULL;
	return spec;
}

static void
read_policy(const PbField *field, WireStarted *started)
{
	PbReader r;
	PbField f;

	started->has_policy = true;
	pb_reader_init(&r, field->p, field->n);
	while (pb_next(&r, &f))
	{
		switch (f.number)
		{
			case 1:
				started->backoff_coefficient = pb_float(&f);
				break;
			case 2:
				started->initial_delay_ms = (uint32_t) f.u;
				break;
			case 18:
				started->retries = (uint32_t) f.u;
				break;
		}
	}
}

static void
read_first_item(const PbField *field, WireStarted *started)
{
	PbReader r;
	PbField f;

	if (started->has_item)
		return;
	started->has_item = true;
	pb_reader_init(&r, field->p, field->n);
	while (pb_next(&r, &f))
	{
		if (f.number == 3 && f.wire == PB_BYTES)
			started->item_token = slice_of(&f);
	}
}

static void
read_started_on_plane(const PbField *f, WireStarted *started, bool unary)
{
	switch (f->number)
	{
		case 1:
			if (unary)
			{
				started->has_item = true;
				started->item_token = slice_of(f);
			}
			break;
		case 2:
			if (unary)
				read_policy(f, started);
			else
				started->call_id = slice_of(f);
			break;
		case 3:
			started->window = (uint32_t) f->u;
			break;
		case 5:
			read_policy(f, started);
			break;
		case 6:
			started->token = slice_of(f);
			break;
	}
}

bool
wire_read_started(const ModalCall *mc, const GrpcResult *result,
				  WireStarted *started)
{
	PbReader r;
	PbField f;

	memset(started, 0, sizeof(*started));
	started->client_retries = mc->plane != NULL;
	pb_reader_init(&r, result->data, result->len);
	while (pb_next(&r, &f))
	{
		if (mc->plane != NULL)
		{
			read_started_on_plane(&f, started, mc->kind->unary);
			continue;
		}
		switch (f.number)
		{
			case 1:
				started->call_id = slice_of(&f);
				break;
			case 2:
				read_first_item(&f, started);
				break;
			case 3:
				read_policy(&f, started);
				break;
			case 4:
				started->token = slice_of(&f);
				break;
			case 5:
				started->client_retries = f.u != 0;
				break;
			case 6:
				started->window = (uint32_t) f.u;
				break;
		}
	}
	/* Views show it, and jobs keep it. */
	if (r.bad || (started->call_id.n > 0 && !object_id_is_valid(started->call_id)))
		return false;
	if (mc->plane != NULL)
		return mc->kind->unary ? started->item_token.n > 0 : started->token.n > 0;
	return started->call_id.n > 0;
}

/* --- sending inputs ------------------------------------------------------- */

static void
never_give_up(GrpcSpec *spec)
{
	spec->max_retries = GRPC_RETRY_FOREVER;
	spec->max_delay = PUT_MAX_DELAY;
	spec->retry_exhausted = true;
}

void
wire_put_input(ModalCall *mc, Buf *buf, int64_t idx, const CallInput *input)
{
	if (mc->plane != NULL)
		put_map_item(mc, buf, idx, input, NULL);
	else
		put_item(mc, buf, 4, idx, input);
}

static void
put_map_header(ModalCall *mc, GrpcSpec *spec)
{
	spec->auth = true;
	pb_put_string(&spec->request, 1, mc->handle->function_id);
	pb_put_bytes(&spec->request, 5, mc->token.data, mc->token.len);
}

GrpcSpec
wire_put(ModalCall *mc, PutRequest *put)
{
	GrpcSpec spec;

	if (mc->plane != NULL)
	{
		spec = grpc_spec(mc->plane, "MapStartOrContinue", mc->call, NULL, put);
		put_map_header(mc, &spec);
	}
	else
	{
		spec = grpc_spec(mc->mt->control, "FunctionPutInputs", mc->call, NULL,
						 put);
		pb_put_string(&spec.request, 1, mc->handle->function_id);
		pb_put_bytes(&spec.request, 3, mc->call_id.data, mc->call_id.len);
	}
	never_give_up(&spec);
	return spec;
}

void
wire_retry_input(ModalCall *mc, Buf *buf, const CallItem *item)
{
	const CallInput *input = item->payload;
	const Buf *token = &item->token;

	if (mc->plane != NULL && mc->kind->unary)
	{
		put_item(mc, buf, 3, item->idx, input);
		pb_put_bytes(buf, 4, token->data, token->len);
	}
	else if (mc->plane != NULL)
		put_map_item(mc, buf, item->idx, input, token);
	else
	{
		pb_put_tag(buf, 2, PB_BYTES);
		pb_put_varint(buf,
					  pb_bytes_size(token->len) +
						  pb_bytes_size(function_input_size(mc, input)) + 1 +
						  pb_varint_size(item->retry_count));
		pb_put_bytes(buf, 1, token->data, token->len);
		put_function_input(mc, buf, 2, input);
		pb_put_uint(buf, 3, item->retry_count);
	}
}

GrpcSpec
wire_retry(ModalCall *mc, PutRequest *put)
{
	GrpcSpec spec;

	if (mc->plane != NULL)
	{
		spec = grpc_spec(mc->plane,
						 mc->kind->unary ? "AttemptRetry" : "MapStartOrContinue",
						 mc->call, NULL, put);
		spec.auth = true;
		if (mc->kind->unary)
			pb_put_string(&spec.request, 1, mc->handle->function_id);
		else
			put_map_header(mc, &spec);
	}
	else
	{
		spec = grpc_spec(mc->mt->control, "FunctionRetryInputs", mc->call,
						 NULL, put);
		pb_put_bytes(&spec.request, 1, mc->token.data, mc->token.len);
	}
	if (mc->plane == NULL || !mc->kind->unary)
		never_give_up(&spec);
	return spec;
}

static bool
item_sent(ModalCall *mc, int64_t idx, Slice token, double now)
{
	CallItem *item = call_state_find(&SYNC_CALL(mc)->items, idx);

	return item == NULL ||
		call_state_sent(&SYNC_CALL(mc)->items, item, token.p, token.n, now);
}

/* FunctionPutInputsResponseItem */
static bool
read_put_item(ModalCall *mc, const PbField *field, double now)
{
	PbReader r;
	PbField f;
	int64_t idx = 0;
	Slice token = {"", 0};

	pb_reader_init(&r, field->p, field->n);
	while (pb_next(&r, &f))
	{
		if (f.number == 1)
			idx = (int32_t) f.u;
		else if (f.number == 3 && f.wire == PB_BYTES)
			token = slice_of(&f);
	}
	return !r.bad && item_sent(mc, idx, token, now);
}

/* Tokens in the order of the request. */
static bool
read_put_token(ModalCall *mc, const PutRequest *put, uint32_t *n,
			   const PbField *f, double now)
{
	uint32_t at = (*n)++;

	return at >= put->n || item_sent(mc, put->idx[at], slice_of(f), now);
}

bool
wire_read_put(ModalCall *mc, const PutRequest *put, const GrpcResult *result)
{
	PbReader r;
	PbField f;
	uint32_t n = 0;
	double now = monotonic_seconds();
	bool items = mc->plane == NULL && !put->retry;
	uint32_t field = 1; /* FunctionPutInputs, FunctionRetryInputs,
						 * AttemptRetry */

	if (mc->plane != NULL && !mc->kind->unary)
		field = 4;
	pb_reader_init(&r, result->data, result->len);
	while (pb_next(&r, &f))
	{
		if (f.number != field || f.wire != PB_BYTES)
			continue;
		if (items ? !read_put_item(mc, &f, now)
				  : !read_put_token(mc, put, &n, &f, now))
			return false;
	}
	return !r.bad;
}

/* --- polling -------------------------------------------------------------- */

/* input_jwts or attempt tokens of all that the service should hold. */
static void
put_waiting_tokens(ModalCall *mc, Buf *buf, uint32_t field)
{
	MapVisit visit = {0};
	CallItem *item;

	while ((item = call_state_next(&SYNC_CALL(mc)->items, &visit)) != NULL)
	{
		if (item->state == ITEM_WAITING)
			pb_put_bytes(buf, field, item->token.data, item->token.len);
	}
}

static void
poll_on_plane(ModalCall *mc, GrpcSpec *spec, double timeout)
{
	Buf *buf = &spec->request;

	spec->auth = true;
	if (mc->kind->unary)
	{
		const Buf *token = &unary_item(mc)->token;

		spec->method = "AttemptAwait";
		pb_put_bytes(buf, 1, token->data, token->len);
		pb_put_double(buf, 2, unix_seconds());
		pb_put_float(buf, 3, timeout);
	}
	else
	{
		spec->method = "MapAwait";
		pb_put_bytes(buf, 2, mc->cursor.data, mc->cursor.len);
		pb_put_double(buf, 3, unix_seconds());
		pb_put_float(buf, 4, timeout);
		pb_put_bytes(buf, 5, mc->token.data, mc->token.len);
	}
}

static void
put_get_outputs(ModalCall *mc, Buf *buf, double timeout, Slice cursor,
				bool clear)
{
	pb_put_bytes(buf, 1, mc->call_id.data, mc->call_id.len);
	pb_put_float(buf, 3, timeout);
	pb_put_bytes(buf, 6, cursor.p, cursor.n);
	pb_put_uint(buf, 7, clear);
	pb_put_double(buf, 8, unix_seconds());
}

GrpcSpec
wire_poll(ModalCall *mc, double timeout, bool list, uint32_t max_values,
		  void (*on_done)(void *, const GrpcResult *))
{
	GrpcSpec spec =
		grpc_spec(mc->plane != NULL ? mc->plane : mc->mt->control,
				  "FunctionGetOutputs", mc->call, on_done, mc);
	Slice cursor = {"0-0", 3};

	timeout = grpc_long_poll(&spec, timeout);
	if (!mc->kind->unary)
		spec.max_retries = POLL_RETRIES;
	if (mc->plane != NULL)
	{
		poll_on_plane(mc, &spec, timeout);
		return spec;
	}
	if (!mc->kind->unary && mc->cursor.len > 0)
		cursor = (Slice){(char *) mc->cursor.data, mc->cursor.len};
	put_get_outputs(mc, &spec.request, timeout, cursor, mc->kind->unary);
	if (mc->kind->unary)
		pb_put_uint(&spec.request, 2, 1);
	else if (max_values < mc->window)
		pb_put_uint(&spec.request, 2, max_values);
	if (list)
		put_waiting_tokens(mc, &spec.request, 9);
	return spec;
}

GrpcSpec
wire_ack(ModalCall *mc)
{
	GrpcSpec spec =
		grpc_spec(mc->mt->control, "FunctionGetOutputs", NULL, NULL, NULL);

	spec.max_reply = GRPC_MAX_MESSAGE;
	put_get_outputs(mc, &spec.request, 0, (Slice){"0-0", 3}, true);
	grpc_end(&spec.request);
	return spec;
}

GrpcSpec
wire_check(ModalCall *mc, int64_t **checked, uint32_t *nchecked,
		   void (*on_done)(void *, const GrpcResult *))
{
	GrpcSpec spec =
		grpc_spec(mc->plane, "MapCheckInputs", mc->call, on_done, mc);
	CallState *items = &SYNC_CALL(mc)->items;
	MapVisit visit = {0};
	CallItem *item;

	spec.auth = true;
	pb_put_bytes(&spec.request, 1, mc->cursor.data, mc->cursor.len);
	pb_put_float(&spec.request, 2, 0);

	/* The reply has a flag per token, so their order is to be remembered. */
	free(*checked);
	*nchecked = 0;
	*checked = calloc(call_state_count(items) + 1, sizeof(**checked));
	if (*checked == NULL)
		return spec;
	while ((item = call_state_next(items, &visit)) != NULL)
	{
		if (item->state != ITEM_WAITING)
			continue;
		(*checked)[(*nchecked)++] = item->idx;
		pb_put_bytes(&spec.request, 3, item->token.data, item->token.len);
	}
	return spec;
}

static void
apply_flag(ModalCall *mc, const int64_t *idx, uint64_t lost)
{
	CallState *items = &SYNC_CALL(mc)->items;
	CallItem *item = call_state_find(items, *idx);

	if (lost != 0 && item != NULL)
		call_state_lost(items, item, monotonic_seconds());
}

void
wire_apply_lost(ModalCall *mc, const int64_t *checked, uint32_t nchecked,
				const GrpcResult *result)
{
	PbReader r;
	PbField f;
	uint32_t at = 0;

	pb_reader_init(&r, result->data, result->len);
	while (at < nchecked && pb_next(&r, &f))
	{
		PbReader packed;
		uint64_t lost;

		if (f.number != 1)
			continue;
		if (f.wire == PB_VARINT)
		{
			apply_flag(mc, &checked[at++], f.u);
			continue;
		}
		pb_reader_init(&packed, f.p, f.n);
		while (at < nchecked && packed.p < packed.end &&
			   pb_read_varint(&packed, &lost))
			apply_flag(mc, &checked[at++], lost);
	}
}

/* --- outputs -------------------------------------------------------------- */

bool
wire_read_get_outputs(const GrpcResult *result, WireOutputs *outputs)
{
	PbReader r;
	PbField f;

	memset(outputs, 0, sizeof(*outputs));
	outputs->p = result->data;
	outputs->n = result->len;
	outputs->field = 4;
	pb_reader_init(&r, result->data, result->len);
	while (pb_next(&r, &f))
	{
		if (f.number == 5 && f.wire == PB_BYTES)
			outputs->cursor = slice_of(&f);
		else if (f.number == 6)
			outputs->unfinished = (int32_t) f.u;
	}
	return !r.bad;
}

bool
wire_read_outputs(const ModalCall *mc, const GrpcResult *result,
				  WireOutputs *outputs)
{
	PbReader r;
	PbField f;

	if (mc->plane == NULL)
		return wire_read_get_outputs(result, outputs);

	memset(outputs, 0, sizeof(*outputs));
	outputs->p = result->data;
	outputs->n = result->len;
	outputs->field = 1;
	outputs->unfinished = -1;
	pb_reader_init(&r, result->data, result->len);
	while (pb_next(&r, &f))
	{
		if (f.number == 2 && f.wire == PB_BYTES && !mc->kind->unary)
			outputs->cursor = slice_of(&f);
	}
	return !r.bad;
}

/* GenericResult */
static bool
read_result(const PbField *field, WireOutput *output)
{
	PbReader r;
	PbField f;

	pb_reader_init(&r, field->p, field->n);
	while (pb_next(&r, &f))
	{
		switch (f.number)
		{
			case 1:
				output->status = (int) f.u;
				break;
			case 2:
				output->exception = slice_of(&f);
				break;
			case 4:
				output->traceback = slice_of(&f);
				break;
			case 5:
				output->data = slice_of(&f);
				break;
			case 10:
				output->blob_id = slice_of(&f);
				break;
		}
	}
	return !r.bad && output->blob_id.n <= MAX_BLOB_ID;
}

/* FunctionGetOutputsItem */
static bool
read_output(const PbField *field, WireOutput *output)
{
	PbReader r;
	PbField f;

	memset(output, 0, sizeof(*output));
	pb_reader_init(&r, field->p, field->n);
	while (pb_next(&r, &f))
	{
		switch (f.number)
		{
			case 1:
				if (f.wire != PB_BYTES || !read_result(&f, output))
					return false;
				break;
			case 2:
				output->idx = (int32_t) f.u;
				break;
			case 5:
				output->data_format = (int) f.u;
				break;
			case 7:
				output->started_at = pb_double(&f);
				break;
			case 8:
				output->finished_at = pb_double(&f);
				break;
			case 9:
				output->retry_count = (uint32_t) f.u;
				break;
		}
	}
	return !r.bad;
}

bool
wire_next_output(WireOutputs *outputs, WireOutput *output, bool *bad)
{
	PbReader r;
	PbField f;

	*bad = false;
	pb_reader_init(&r, outputs->p, outputs->n);
	while (pb_next(&r, &f))
	{
		if (f.number != outputs->field || f.wire != PB_BYTES)
			continue;
		outputs->p = r.p;
		outputs->n = (size_t) (r.end - r.p);
		*bad = !read_output(&f, output);
		return !*bad;
	}
	*bad = r.bad;
	return false;
}
