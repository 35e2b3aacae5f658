/*-------------------------------------------------------------------------
 *
 * state_call.c
 *	  What the console shows of a call and of its inputs.
 *
 * What is known of an input depends on which one it is: the first ones and the
 * first that fail have details, those that have not ended their arguments, and
 * of asynchronous calls the outputs are kept.
 *
 *-------------------------------------------------------------------------
 */
#include "console/state_call.h"

#include "calls/blobs.h"
#include "calls/details.h"
#include "calls/logs.h"
#include "console/json.h"
#include "console/values.h"
#include "util.h"

#define MAX_ROWS 50
#define MAX_ROW_TEXT 200
#define MAX_TEXT (64 * 1024)
#define MAX_LINES 200 /* of what was printed: the newest */
#define MAX_ITEMS 100 /* of a generator: the first */

static const char *
status_name(ResultStatus status)
{
	switch (status)
	{
		case RESULT_SUCCESS:
			return "succeeded";
		case RESULT_FAILURE:
			return "failed";
		case RESULT_TERMINATED:
			return "cancelled";
		case RESULT_TIMEOUT:
			return "timed out";
		case RESULT_INIT_FAILURE:
			return "could not start";
		default:
			return "internal failure";
	}
}

json_object *
state_call_summary(const Call *call)
{
	const Function *function = call->handle->function;
	const int32_t *n = call->n_last;
	json_object *to = json_object_new_object();
	int32_t failed = 0;
	char id[CALL_ID_SIZE];

	for (int i = 0; i < N_RESULT_STATUS; i++)
		if (i != RESULT_SUCCESS && i != RESULT_TERMINATED)
			failed += n[i];
	call_id_format(id, call->number);
	put_text(to, "id", id);
	put_text(to, "app", function->app);
	put_text(to, "name", function->name);
	put_text(to, "client", call->client);
	put_bool(to, "map", call->map);
	put_bool(to, "async", call->async);
	put_double(to, "created", call->created);
	put_double(to, "at", call->ended);
	put_int(to, "inputs", call->declared_inputs > call->n_inputs
							  ? call->declared_inputs
							  : call->n_inputs);
	put_int(to, "running", call->n_running);
	put_int(to, "unfinished", call->n_unfinished);
	put_int(to, "succeeded", n[RESULT_SUCCESS]);
	put_int(to, "failed", failed);
	put_int(to, "cancelled", n[RESULT_TERMINATED]);
	put_int(to, "ended", (int64_t) call->n_ended);
	put_double(to, "seconds", call->seconds);
	return to;
}

/* --- inputs -------------------------------------------------------------- */

typedef void (*ToText)(Buf *out, DataFormat format, const void *data,
					   size_t len, size_t max);

static void
put_value(json_object *to, const char *name, ToText to_text, DataFormat format,
		  const void *data, size_t len, size_t max)
{
	Buf text;

	buf_init(&text, 0, xbuf_realloc);
	to_text(&text, format, data, len, max);
	put_text_len(to, name, buf_cstr(&text), text.len);
	buf_free(&text);
}

static void
put_cut(json_object *to, const char *name, const void *data, size_t len,
		size_t max)
{
	if (len > 0)
		put_text_len(to, name, data, len < max ? len : max);
}

static json_object *
new_input(int32_t idx, uint32_t attempt, const char *status)
{
	json_object *to = json_object_new_object();

	put_int(to, "idx", idx);
	put_int(to, "attempt", attempt);
	put_text(to, "status", status);
	return to;
}

static json_object *
describe_detail(const Detail *detail, size_t max)
{
	bool ended = detail->status != RESULT_UNSPECIFIED;
	json_object *to =
		new_input(detail->idx, detail->attempt,
				  ended ? status_name(detail->status) : "not ended");

	put_double(to, "created", detail->created);
	if (ended)
	{
		put_double(to, "started", detail->started);
		put_double(to, "at", detail->ended);
	}
	put_value(to, "args", arguments_to_text, detail->format, detail->args.data,
			  detail->args.len, max);
	if (ended && detail->status == RESULT_SUCCESS)
		put_value(to, "result", value_to_text, detail->format,
				  detail->result.data, detail->result.len, max);
	put_int(to, "args_bytes", (int64_t) detail->args.whole);
	put_int(to, "result_bytes", (int64_t) detail->result.whole);
	put_cut(to, "exception", detail->exception.data, detail->exception.len,
			max);
	if (max == MAX_TEXT)
		put_cut(to, "traceback", detail->traceback.data, detail->traceback.len,
				max);
	return to;
}

static json_object *
describe_live(const LiveInput *live, size_t max)
{
	const Execution *execution = live->execution;
	json_object *to = new_input(execution->idx, execution->attempt,
								live->running ? "running" : "waiting");

	put_double(to, "created", live->created);
	if (live->running)
		put_double(to, "started", live->started);
	put_value(to, "args", arguments_to_text, execution->format, execution->args,
			  execution->args_len, max);
	return to;
}

/* From the output that is kept for clients. */
static void
put_output(json_object *to, const OutEntry *output, size_t max)
{
	Modal__Client__FunctionGetOutputsItem *item =
		modal__client__function_get_outputs_item__unpack(NULL, output->len,
														 output->data);
	const Modal__Client__GenericResult *result =
		item != NULL ? item->result : NULL;

	if (result != NULL)
	{
		put_double(to, "started", item->input_started_at);
		put_double(to, "at", item->output_created_at);
		put_cut(to, "exception", result->exception, strlen(result->exception),
				max);
		if (max == MAX_TEXT)
			put_cut(to, "traceback", result->traceback,
					strlen(result->traceback), max);
		if (result->status == RESULT_SUCCESS &&
			result->data_oneof_case ==
				MODAL__CLIENT__GENERIC_RESULT__DATA_ONEOF_DATA)
			put_value(to, "result", value_to_text, item->data_format,
					  result->data.data, result->data.len, max);
	}
	if (item != NULL)
		modal__client__function_get_outputs_item__free_unpacked(item, NULL);
}

/* NULL: nothing is known of it. */
static json_object *
describe_input(const Call *call, int32_t idx, size_t max)
{
	const Detail *detail = details_get(call, idx);
	const Slot *slot = call_slot(call, idx);
	json_object *to;

	if (detail != NULL)
		return describe_detail(detail, max);
	if (slot == NULL || (slot->live == 0 && slot->output == 0 && !slot->lost))
		return NULL;
	to = new_input(idx, slot->attempt,
				   slot->live > 0	  ? "not ended"
				   : slot->output > 0 ? status_name(slot->status)
									  : "lost");
	if (slot->output > call->outputs.dropped)
		put_output(to, outlog_get(&call->outputs, slot->output), max);
	return to;
}

static void
add_by_index(json_object *list, const Call *call, int32_t from)
{
	const Detail *detail;
	int place = 0;

	/* Of the past there is nothing but details. */
	while (call->past && (detail = details_next(call, &place)) != NULL &&
		   json_object_array_length(list) < MAX_ROWS)
		if (detail->idx >= from)
			json_object_array_add(list, describe_detail(detail, MAX_ROW_TEXT));
	for (int32_t idx = from; !call->past && idx <= call->max_idx &&
							 idx < from + MAX_ROWS;
		 idx++)
	{
		json_object *input = describe_input(call, idx, MAX_ROW_TEXT);

		if (input != NULL)
			json_object_array_add(list, input);
	}
}

static void
add_running(json_object *list, const Call *call)
{
	const Input *input = NULL;
	LiveInput live;

	while (json_object_array_length(list) < MAX_ROWS &&
		   (input = call_next_live(call, input, &live)) != NULL)
		json_object_array_add(list, describe_live(&live, MAX_ROW_TEXT));
}

static void
add_failed(json_object *list, const Call *call, int32_t from)
{
	const Detail *detail;
	int place = 0;

	while (json_object_array_length(list) < MAX_ROWS &&
		   (detail = details_next(call, &place)) != NULL)
		if (detail->status != RESULT_UNSPECIFIED &&
			detail->status != RESULT_SUCCESS && detail->idx >= from)
			json_object_array_add(list, describe_detail(detail, MAX_ROW_TEXT));
}

/* --- what was printed ---------------------------------------------------- */

/* The newest lines, in their order; idx: only of that input, -1: of all. */
static json_object *
describe_lines(const Call *call, int32_t idx)
{
	json_object *list = json_object_new_array();
	size_t n = 0;

	for (const LogLine *line = call->log.first; line != NULL; line = line->next)
		n += idx < 0 || line->idx == idx;
	for (const LogLine *line = call->log.first; line != NULL; line = line->next)
	{
		json_object *to;
		size_t len = line->len;

		if ((idx >= 0 && line->idx != idx) || n-- > MAX_LINES)
			continue;
		while (len > 0 && line->text[len - 1] == '\n')
			len--;
		to = json_object_new_object();
		put_double(to, "at", line->at);
		put_int(to, "idx", line->idx);
		put_int(to, "stream", line->stream);
		put_text_len(to, "text", line->text, len);
		json_object_array_add(list, to);
	}
	return list;
}

/* --- one call ------------------------------------------------------------ */

static json_object *
describe_items(const Call *call)
{
	json_object *list = json_object_new_array();

	for (uint64_t i = 0; i < call->n_chunks && i < MAX_ITEMS; i++)
	{
		const Chunk *chunk = &call->chunks[i];
		Buf text;

		buf_init(&text, 0, xbuf_realloc);
		if (chunk->data != NULL)
			value_to_text(&text, chunk->format, chunk->data, chunk->len,
						  MAX_ROW_TEXT);
		else
			buf_printf(&text, "(%zu bytes)", chunk->len);
		json_object_array_add(
			list,
			json_object_new_string_len(buf_cstr(&text), (int) text.len));
		buf_free(&text);
	}
	return list;
}

json_object *
state_call(uint64_t number, StateInputs which, int32_t from)
{
	const Call *call = call_look(number);
	json_object *list;
	json_object *to;

	if (call == NULL)
		return json_object_new_object();
	to = state_call_summary(call);
	list = json_object_new_array();
	if (which == INPUTS_RUNNING)
		add_running(list, call);
	else if (which == INPUTS_FAILED)
		add_failed(list, call, from);
	else
		add_by_index(list, call, from);
	put_bool(to, "past", call->past);
	put_int(to, "last", call->max_idx);
	json_object_object_add(to, "rows", list);
	json_object_object_add(to, "lines", describe_lines(call, -1));
	if (call->n_chunks > 0)
	{
		put_int(to, "n_items", (int64_t) call->n_chunks);
		json_object_object_add(to, "items", describe_items(call));
	}
	return to;
}

json_object *
state_input(uint64_t number, int32_t idx)
{
	const Call *call = call_look(number);
	json_object *to =
		call != NULL ? describe_input(call, idx, MAX_TEXT) : NULL;

	if (to != NULL)
		json_object_object_add(to, "lines", describe_lines(call, idx));
	return to;
}
