/*-------------------------------------------------------------------------
 *
 * attempts.c
 *	  Inputs of calls: running them, retrying them, and what comes of them.
 *
 * An Input is an attempt that has no output yet.  Who retries a failed one:
 * the client, in synchronous calls of functions that leave it to the client
 * and on the input plane; we ourselves in all others.
 *
 *-------------------------------------------------------------------------
 */
#include "calls/attempts.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "calls/blobs.h"
#include "calls/faults.h"
#include "journal.h"
#include "options.h"
#include "pb.h"
#include "util.h"

#define MAX_TEXT (2 * 1024 * 1024)	/* of an exception or a traceback */
#define MAX_INTERNAL_RETRIES 8		/* that we make ourselves */
#define MIN_RETRY_DELAY_MS 1000.0	/* as the official SDKs clamp it */
#define MAX_RETRY_DELAY_MS (24 * 3600 * 1000.0)
#define MAX_GENERATOR_ITEMS 1000000
#define TASK_ID "ta-local"
#define INTERNAL_FAILURE_TEXT "Internal failure of the platform"

struct Input
{
	Execution execution; /* first: executors know only this */
	Call *call;
	Input *prev;
	Input *next;
	bool started; /* an executor has it */
	uint32_t internal_failures;
	InputFault fault;
	double started_at; /* Unix seconds */
	uint8_t *blob;	   /* args, when they came as a blob */
	LoopTimer timer;   /* of a retry, or of the time allowed */
	uint8_t args[];
};

static void start_input(void *arg);

static bool
client_retries(const Call *call)
{
	return call->plane ||
		   (!call->async && call->handle->function->client_retries);
}

/* --- outputs ------------------------------------------------------------- */

static void
add_output(Call *call, int32_t idx, const void *item, size_t len,
		   ResultStatus status)
{
	Slot *slot = call_make_slot(call, idx);

	if (call->outputs.last == call->delivered)
		call->first_unread = loop_now();
	memcpy(outlog_add(&call->outputs, idx, len), item, len);
	slot->output = call->outputs.last;
	slot->status = (uint8_t) status;
	call_wake(call);
}

/* Count an index that is seen for the first time. */
static void
note_index(Call *call, int32_t idx)
{
	const Slot *slot = call_make_slot(call, idx);

	if (slot->live == 0 && slot->output == 0 && !slot->lost)
		call->n_inputs++;
	if (idx > call->max_idx)
		call->max_idx = idx;
}

void
attempts_restore_output(Call *call, int32_t idx, const void *item, size_t len,
						ResultStatus status)
{
	note_index(call, idx);
	add_output(call, idx, item, len, status);
	call->n_by_status[status]++;
}

void
attempts_release_held(Call *call)
{
	if (call->held.len == 0)
		return;
	add_output(call, call->held_idx, call->held.data, call->held.len,
						call->held_status);
	buf_reset(&call->held);
}

/* A result too large to travel inline goes to a blob; blob_id "" if not. */
static void
store_large_result(const Call *call, const ExecutionResult *result,
				   char *blob_id)
{
	size_t limit = (size_t) (call->async ? options.max_async_inline
										: options.max_inline);

	blob_id[0] = '\0';
	if (result->data_len > limit)
		blob_write(blob_id, result->data, result->data_len);
}

static size_t
text_len(size_t len)
{
	return len < MAX_TEXT ? len : MAX_TEXT;
}

/* Bytes of a FunctionGetOutputsItem; see modal.proto for the numbers. */
static void
encode_output(Buf *out, const Call *call, int32_t idx, uint32_t attempt,
			  double started_at, const ExecutionResult *result)
{
	size_t exception_len = text_len(result->exception_len);
	size_t traceback_len = text_len(result->traceback_len);
	char blob_id[BLOB_ID_SIZE];
	char input_id[INPUT_ID_SIZE];
	size_t input_id_len = input_id_format(input_id, call->number, idx);
	bool has_data = result->status == RESULT_SUCCESS || result->data_len > 0;
	size_t inner = 2;
	uint8_t *p;

	store_large_result(call, result, blob_id);
	if (exception_len > 0)
		inner += pb_bytes_size(exception_len);
	if (traceback_len > 0)
		inner += pb_bytes_size(traceback_len);
	if (blob_id[0] != '\0')
		inner += pb_bytes_size(strlen(blob_id));
	else if (has_data)
		inner += pb_bytes_size(result->data_len);

	/* The fixed part: idx, format, two times and the attempt. */
	if (!buf_reserve(out, pb_bytes_size(inner) + pb_bytes_size(input_id_len) +
							  pb_bytes_size(strlen(TASK_ID)) +
							  3 * (1 + PB_MAX_VARINT) + 2 * (1 + 8)))
		return;
	p = out->data + out->len;
	p = pb_put_key(p, 1, PB_BYTES);
	p = pb_put_varint(p, inner);
	p = pb_put_uint(p, 1, result->status);
	if (exception_len > 0)
		p = pb_put_bytes(p, 2, result->exception, exception_len);
	if (traceback_len > 0)
		p = pb_put_bytes(p, 4, result->traceback, traceback_len);
	if (blob_id[0] != '\0')
		p = pb_put_bytes(p, 10, blob_id, strlen(blob_id));
	else if (has_data)
		p = pb_put_bytes(p, 5, result->data, result->data_len);
	if (idx != 0)
		p = pb_put_uint(p, 2, (uint32_t) idx);
	p = pb_put_bytes(p, 3, input_id, input_id_len);
	if (result->format != FORMAT_UNSPECIFIED)
		p = pb_put_uint(p, 5, result->format);
	p = pb_put_bytes(p, 6, TASK_ID, strlen(TASK_ID));
	p = pb_put_double(p, 7, started_at);
	p = pb_put_double(p, 8, loop_wall_time());
	if (attempt != 0)
		p = pb_put_uint(p, 9, attempt);
	out->len = (size_t) (p - out->data);
}

/* The end of an attempt, for the client to see. */
static void
give_output(Call *call, int32_t idx, uint32_t attempt, double started_at,
			const ExecutionResult *result, const InputFault *fault)
{
	static Buf item; /* reused: one output at a time */

	if (item.grow == NULL)
		buf_init(&item, 0, xbuf_realloc);
	buf_reset(&item);
	/* A client that leaves retries to us knows of its first attempt only. */
	if (!call->async && !client_retries(call))
		attempt = 0;
	encode_output(&item, call, idx, attempt, started_at, result);
	call->n_by_status[result->status]++;
	journal_output(call, idx, result->status, item.data, item.len);

	if (fault->reorder && call->held.len == 0)
	{
		buf_put(&call->held, item.data, item.len);
		call->held_idx = idx;
		call->held_status = result->status;
		call_wake(call);
		return;
	}
	add_output(call, idx, item.data, item.len, result->status);
	if (fault->duplicate)
		add_output(call, idx, item.data, item.len, result->status);
	attempts_release_held(call);
}

static void
give_internal_failure(Call *call, int32_t idx, uint32_t attempt,
					  const char *text)
{
	ExecutionResult result = {
		.status = RESULT_INTERNAL_FAILURE,
		.exception = text,
		.exception_len = strlen(text),
	};
	InputFault none = {0};

	give_output(call, idx, attempt, loop_wall_time(), &result, &none);
}

void
call_report_lost(Call *call, int32_t idx, uint32_t attempt)
{
	Slot *slot = call_make_slot(call, idx);

	if (slot->lost)
		call->n_unfinished--;
	slot->lost = false;
	slot->attempt = attempt;
	give_internal_failure(call, idx, attempt, "Input was lost");
}

/* --- inputs -------------------------------------------------------------- */

static Input *
input_create(Call *call, const NewInput *new)
{
	Input *input = xmalloc(sizeof(*input) + new->args_len);
	const Function *function = call->handle->function;

	memset(input, 0, sizeof(*input));
	input->call = call;
	input->execution = (Execution){
		.function = function,
		.target = function->target,
		.attempt = new->attempt,
		.format = new->format,
		.args = input->args,
		.args_len = new->args_len,
		.params = call->handle->params,
		.params_len = call->handle->params_len,
		.environment = call->handle->environment,
		.idx = new->idx,
	};
	if (new->args_len > 0)
		memcpy(input->args, new->args, new->args_len);
	if (new->blob_id != NULL)
	{
		char *id = xasprintf("%.*s", (int) new->blob_id_len, new->blob_id);

		input->blob = blob_read(id, &input->execution.args_len);
		input->execution.args = input->blob;
		free(id);
	}
	if (function->is_class)
	{
		input->execution.method = function_method(function, new->method,
												  new->method_len);
		input->execution.target = input->execution.method->target;
	}
	input->next = call->inputs;
	if (input->next != NULL)
		input->next->prev = input;
	call->inputs = input;
	return input;
}

static void
input_free(Input *input)
{
	Call *call = input->call;

	loop_clear_timer(&input->timer);
	if (input->next != NULL)
		input->next->prev = input->prev;
	if (input->prev != NULL)
		input->prev->next = input->next;
	else
		call->inputs = input->next;
	free(input->blob);
	free(input);
}

/* Hand the result of an attempt to the client, and forget the attempt. */
static void
finish_input(Input *input, const ExecutionResult *result)
{
	Call *call = input->call;
	Execution *execution = &input->execution;
	Slot *slot = call_make_slot(call, execution->idx);

	slot->live--;
	call->n_unfinished--;
	if (input->fault.expired)
		call_wake(call);
	else
		give_output(call, execution->idx, execution->attempt,
					input->started_at, result, &input->fault);
	input_free(input);
}

/* Milliseconds until retry number n (from 1), by the function's policy. */
static double
retry_delay(const RetryPolicy *policy, uint32_t n)
{
	double ms = policy->initial_delay_ms *
				pow(policy->backoff_coefficient, (double) n - 1);

	return ms < MIN_RETRY_DELAY_MS	 ? MIN_RETRY_DELAY_MS
		   : ms > MAX_RETRY_DELAY_MS ? MAX_RETRY_DELAY_MS
									 : ms;
}

/* Set the input to be run again, if it is ours to do so. */
static bool
retry_input(Input *input, ResultStatus status)
{
	const RetryPolicy *policy = &input->call->handle->retry;
	uint32_t failures;
	double delay = 0;

	if (client_retries(input->call) || input->call->cancelled ||
		status == RESULT_SUCCESS || status == RESULT_TERMINATED)
		return false;
	if (status == RESULT_INTERNAL_FAILURE)
	{
		if (input->internal_failures++ == MAX_INTERNAL_RETRIES)
			return false;
	}
	else
	{
		failures = input->execution.attempt - input->internal_failures;
		if (failures >= policy->retries)
			return false;
		delay = retry_delay(policy, failures + 1) / 1000;
	}
	input->execution.attempt++;
	call_make_slot(input->call, input->execution.idx)->attempt =
		input->execution.attempt;
	input->started = false;
	loop_set_timer(&input->timer, delay, start_input, input);
	return true;
}

void
execution_started(Execution *execution)
{
	((Input *) execution)->started_at = loop_wall_time();
}

static bool
is_generator(const Execution *execution)
{
	return execution->method != NULL ? execution->method->generator
									 : execution->function->generator;
}

void
execution_done(Execution *execution, const ExecutionResult *result)
{
	Input *input = (Input *) execution;
	ExecutionResult done;
	uint8_t packed[1 + PB_MAX_VARINT];

	loop_clear_timer(&input->timer);
	input->started = false;
	if (retry_input(input, result->status))
		return;
	if (result->status != RESULT_SUCCESS || !is_generator(execution))
	{
		finish_input(input, result);
		return;
	}
	/* GeneratorDone { items_total = 1 } */
	done = *result;
	done.format = FORMAT_GENERATOR_DONE;
	done.data = packed;
	done.data_len =
		(size_t) (pb_put_uint(packed, 1, input->call->n_chunks) - packed);
	finish_input(input, &done);
}

void
execution_yield(Execution *execution, const void *data, size_t len)
{
	Call *call = ((Input *) execution)->call;
	Chunk *chunk;

	/* The bound on a generator that never ends; its client has gone long ago. */
	if (call->n_chunks == MAX_GENERATOR_ITEMS)
		return;
	if ((call->n_chunks & (call->n_chunks - 1)) == 0)
		call->chunks = xrealloc(call->chunks,
								(call->n_chunks > 0 ? call->n_chunks * 2 : 1) *
									sizeof(Chunk));
	chunk = &call->chunks[call->n_chunks++];
	*chunk = (Chunk){.format = execution->format, .len = len};
	if (len > (size_t) options.max_inline)
	{
		chunk->blob_id = xmalloc(BLOB_ID_SIZE);
		blob_write(chunk->blob_id, data, len);
	}
	else
	{
		chunk->data = xmalloc(len);
		memcpy(chunk->data, data, len);
	}
	call_wake(call);
}

static void
time_over(void *arg)
{
	Input *input = arg;
	Executor *executor = input->execution.function->executor;
	char text[128];
	ExecutionResult result = {.status = RESULT_TIMEOUT, .exception = text};

	executor->cancel(executor, &input->execution, false);
	snprintf(text, sizeof(text),
			 "Task's current input hit its timeout of %us",
			 input->call->handle->timeout_secs);
	result.exception_len = strlen(text);
	execution_done(&input->execution, &result);
}

static void
start_input(void *arg)
{
	Input *input = arg;
	Call *call = input->call;
	Execution *execution = &input->execution;

	input->fault = faults_for_input(execution->idx, execution->attempt);
	if (input->fault.lost)
	{
		Slot *slot = call_make_slot(call, execution->idx);

		slot->live--;
		slot->lost = true; /* and unfinished, until a client asks for it */
		input_free(input);
		return;
	}
	input->started_at = loop_wall_time();
	input->started = true;
	if (input->fault.internal_failure)
	{
		ExecutionResult result = {
			.status = RESULT_INTERNAL_FAILURE,
			.exception = INTERNAL_FAILURE_TEXT,
			.exception_len = strlen(INTERNAL_FAILURE_TEXT),
		};

		execution_done(execution, &result);
		return;
	}
	if (call->handle->timeout_secs > 0)
		loop_set_timer(&input->timer, call->handle->timeout_secs, time_over,
					   input);
	execution->function->executor->start(execution->function->executor,
										 execution);
}

const char *
input_error(const Handle *handle, const NewInput *input, GrpcStatus *status)
{
	const Function *function = handle->function;

	*status = GRPC_INVALID_ARGUMENT;
	if (input->idx < 0 || input->idx > MAX_INPUT_INDEX)
		return "index of an input is out of range";
	if (function->is_class &&
		(input->method == NULL ||
		 function_method(function, input->method, input->method_len) == NULL))
		return "the class has no such method";
	if (function->web_url != NULL)
		return "a web function cannot be called this way";
	if (input->format != FORMAT_PICKLE &&
		(input->format != FORMAT_CBOR || function->pickle_only))
		return "the function does not accept this data format";
	if (input->blob_id != NULL)
	{
		char *id = xasprintf("%.*s", (int) input->blob_id_len, input->blob_id);
		bool exists = blob_exists(id);

		free(id);
		*status = GRPC_NOT_FOUND;
		if (!exists)
			return "there is no such blob";
	}
	return NULL;
}

void
attempts_take_input(Call *call, const NewInput *new)
{
	Slot *slot = call_make_slot(call, new->idx);

	note_index(call, new->idx);
	if (slot->lost)
		call->n_unfinished--;
	slot->lost = false;
	slot->attempt = new->attempt;
	slot->live++;
	call->n_unfinished++;
	start_input(input_create(call, new));
}

void
call_put_input(Call *call, const NewInput *new)
{
	journal_input(call, new);
	attempts_take_input(call, new);
}

void
call_cancel(Call *call, bool terminate)
{
	Input *input;

	call->cancelled = true;
	journal_cancelled(call);
	while ((input = call->inputs) != NULL)
	{
		ExecutionResult result = {.status = RESULT_TERMINATED};
		/* What has ended is in the list no more. */
		/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc) */
		Executor *executor = input->execution.function->executor;

		if (input->started)
			executor->cancel(executor, &input->execution, terminate);
		finish_input(input, &result);
	}
	/* Those that a fault has lost end too. */
	for (int32_t idx = 0; call->n_unfinished > 0 && idx <= call->max_idx; idx++)
	{
		ExecutionResult result = {.status = RESULT_TERMINATED};
		InputFault none = {0};
		Slot *slot = call_slot(call, idx);

		if (slot == NULL || !slot->lost)
			continue;
		slot->lost = false;
		call->n_unfinished--;
		give_output(call, idx, slot->attempt, loop_wall_time(), &result,
					&none);
	}
}
