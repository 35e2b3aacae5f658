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
#include "calls/changes.h"
#include "calls/details.h"
#include "calls/faults.h"
#include "calls/journal.h"
#include "calls/large_result.h"
#include "calls/logs.h"
#include "calls/output.h"
#include "options.h"
#include "pb.h"
#include "util.h"

#define MAX_INTERNAL_RETRIES 8		/* that we make ourselves */
#define MIN_RETRY_DELAY_MS 1000.0	/* as the official SDKs clamp it */
#define MAX_RETRY_DELAY_MS (24 * 3600 * 1000.0)
#define MAX_GENERATOR_ITEMS 1000000
#define MAX_GENERATOR_BYTES (256 * 1024 * 1024) /* in memory, then blobs */
#define INTERNAL_FAILURE_TEXT "Internal failure of the platform"
#define NO_ROOM_TEXT "OSError('there is no room for the result in modal-local')"
#define TOO_MANY_TEXT \
	"RuntimeError('the generator has yielded more than 1000000 items')"
#define UNREADABLE_TEXT "The argument of the input cannot be read"
#define GONE_TEXT "The function is served no more"

struct Input
{
	Execution execution; /* first: executors know only this */
	Call *call;
	Input *prev;
	Input *next;
	char *method;  /* of a class; NULL: none */
	bool started; /* an executor has it */
	bool running; /* as far as is known */
	uint32_t internal_failures;
	const char *excess; /* why this generator is stopped; NULL: it is not */
	LargeResult *large; /* that is being kept; NULL: none */
	InputFault fault;
	double created;	   /* Unix seconds */
	double started_at; /* likewise, of this attempt */
	char *blob_id;	   /* of args; NULL: they came inline */
	BlobContent blob;  /* these args, once they are read */
	LoopTurn turn;	   /* to be started */
	LoopTimer timer;   /* of a retry, or of the time allowed */
	uint8_t args[];
};

static void start_input(void *arg);
static void time_over(void *arg);

static bool
client_retries(const Call *call)
{
	return call->plane ||
		   (!call->async && call->handle->function->client_retries);
}

/* --- what is counted ----------------------------------------------------- */

static void
count_unfinished(Call *call, int32_t change)
{
	bool was_active = call->n_unfinished > 0;

	call->n_unfinished += change;
	if (was_active != (call->n_unfinished > 0))
		calls_set_active(call, !was_active);
	call->handle->activity->unfinished += change;
	changes_note();
}

static void
set_running(Input *input, bool running)
{
	Call *call = input->call;

	if (input->running == running)
		return;
	input->running = running;
	call->n_running += running ? 1 : -1;
	call->handle->activity->running += running ? 1 : -1;
	changes_note();
}

static void
count_end(Input *input, const ExecutionResult *result)
{
	Call *call = input->call;
	Activity *activity = call->handle->activity;
	double seconds = loop_wall_time() - input->started_at;

	set_running(input, false);
	count_unfinished(call, -1);
	call->n_ended++;
	call->seconds += seconds;
	call->ended = loop_wall_time();
	activity->n_ended++;
	activity->n_failed += result->status != RESULT_SUCCESS;
	activity->seconds += seconds;
	history_add(&call->handle->history, result->status, input->created,
				input->started_at);
	details_end(call, &input->execution, input->created, input->started_at,
				result);
}

/* --- outputs ------------------------------------------------------------- */

static ExecutionResult
exception_result(ResultStatus status, const char *text)
{
	return (ExecutionResult){
		.status = status,
		.exception = text,
		.exception_len = strlen(text),
	};
}

static void
add_output(Call *call, int32_t idx, const void *item, size_t len,
		   ResultStatus status)
{
	Slot *slot = call_make_slot(call, idx);

	if (call->outputs.last == call->delivered)
		call->first_unread = loop_now();
	memcpy(outlog_add(&call->outputs, idx, len), item, len);
	calls_note_output(call, len);
	if (slot->output > 0)
		call->n_last[slot->status]--;
	call->n_last[status]++;
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
attempts_release_held(Call *call)
{
	if (call->held.len == 0)
		return;
	add_output(call, call->held_idx, call->held.data, call->held.len,
						call->held_status);
	buf_reset(&call->held);
}

static void
record_output(const Call *call, int32_t idx, ResultStatus status,
			  const void *item, size_t len)
{
	if (!call->async || !journal_begin(RECORD_OUTPUT))
		return;
	journal_number(call->number);
	journal_number((uint64_t) idx);
	journal_number(status);
	journal_text(item, len);
	journal_end();
}

/* The end of an attempt, for the client to see. */
static void
give_output(Call *call, int32_t idx, uint32_t attempt, double started_at,
			const ExecutionResult *result, const InputFault *fault)
{
	static Buf item; /* reused: one output at a time */
	const ExecutionResult no_room =
		exception_result(RESULT_FAILURE, NO_ROOM_TEXT);
	char blob_id[BLOB_ID_SIZE];

	if (item.grow == NULL)
		buf_init(&item, 0, xbuf_realloc);
	buf_reset(&item);
	/* A client that leaves retries to us knows of its first attempt only. */
	if (!call->async && !client_retries(call))
		attempt = 0;
	if (!large_result_store(call, result, blob_id))
	{
		blob_id[0] = '\0';
		result = &no_room;
	}
	output_encode(&item, call, idx, attempt, started_at, result, blob_id);
	call->n_by_status[result->status]++;
	record_output(call, idx, result->status, item.data, item.len);

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
	ExecutionResult result = exception_result(RESULT_INTERNAL_FAILURE, text);
	InputFault none = {0};

	give_output(call, idx, attempt, loop_wall_time(), &result, &none);
}

void
call_report_lost(Call *call, int32_t idx, uint32_t attempt)
{
	Slot *slot = call_make_slot(call, idx);

	if (slot->lost)
		count_unfinished(call, -1);
	slot->lost = false;
	slot->attempt = attempt;
	give_internal_failure(call, idx, attempt, "Input was lost");
}

/* --- inputs -------------------------------------------------------------- */

/*
 * Before each attempt: the function as it is now, which may be another than at
 * the last one.  False: it is served no more.
 */
static bool
input_bind(Input *input)
{
	const Handle *handle = input->call->handle;
	const Function *function = handle->function;
	Execution *execution = &input->execution;

	execution->function = function;
	execution->target = function->target;
	execution->method = NULL;
	if (input->method != NULL)
	{
		execution->method = function_method(function, input->method,
											strlen(input->method));
		if (execution->method == NULL)
			return false;
		execution->target = execution->method->target;
	}
	return !handle->gone && function->is_class == (input->method != NULL);
}

static Input *
input_create(Call *call, const NewInput *new)
{
	Input *input = xmalloc(sizeof(*input) + new->args_len);

	memset(input, 0, sizeof(*input));
	input->call = call;
	input->created = input->started_at = loop_wall_time();
	input->execution = (Execution){
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
		input->blob_id =
			xasprintf("%.*s", (int) new->blob_id_len, new->blob_id);
	if (call->handle->function->is_class)
		input->method =
			xasprintf("%.*s", (int) new->method_len, new->method);
	input->next = call->inputs;
	if (input->next != NULL)
		input->next->prev = input;
	call->inputs = input;
	return input;
}

/* False: they cannot be read now, for want of descriptors, perhaps. */
static bool
read_arguments(Input *input)
{
	if (input->blob_id == NULL || input->blob.data != NULL)
		return true;
	input->blob = blob_get(input->blob_id);
	input->execution.args = input->blob.data;
	input->execution.args_len = input->blob.len;
	return input->blob.data != NULL;
}

static void
input_free(Input *input)
{
	Call *call = input->call;

	loop_cancel_turn(&input->turn);
	loop_clear_timer(&input->timer);
	if (input->next != NULL)
		input->next->prev = input->prev;
	if (input->prev != NULL)
		input->prev->next = input->next;
	else
		call->inputs = input->next;
	large_result_free(input->large);
	blob_release(&input->blob);
	free(input->blob_id);
	free(input->method);
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
	count_end(input, result);
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
		/* What has failed twice may be a matter of time. */
		if (input->internal_failures > 1)
			delay = MIN_RETRY_DELAY_MS / 1000;
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
	set_running(input, false);
	loop_set_timer(&input->timer, delay, start_input, input);
	return true;
}

void
execution_started(Execution *execution)
{
	Input *input = (Input *) execution;
	uint32_t seconds = input->call->handle->timeout_secs;

	input->started_at = loop_wall_time();
	set_running(input, true);
	if (seconds > 0)
		loop_set_timer(&input->timer, seconds, time_over, input);
}

void
execution_returned(Execution *execution)
{
	Input *input = (Input *) execution;

	loop_clear_timer(&input->timer);
	set_running(input, false);
}

static bool
is_generator(const Execution *execution)
{
	return execution->method != NULL ? execution->method->generator
									 : execution->function->generator;
}

static void
large_result_kept(void *arg, const ExecutionResult *result)
{
	ExecutionResult no_room = exception_result(RESULT_FAILURE, NO_ROOM_TEXT);

	finish_input(arg, result != NULL ? result : &no_room);
}

void
execution_done(Execution *execution, const ExecutionResult *result)
{
	Input *input = (Input *) execution;
	ExecutionResult done;
	uint8_t packed[1 + PB_MAX_VARINT];

	loop_clear_timer(&input->timer);
	input->started = false;
	if (input->excess != NULL)
	{
		done = exception_result(RESULT_FAILURE, input->excess);
		finish_input(input, &done);
		return;
	}
	if (retry_input(input, result->status))
		return;
	if (result->status != RESULT_SUCCESS || !is_generator(execution))
	{
		if (large_result_is_slow(input->call, result))
			input->large = large_result_keep(result, large_result_kept, input);
		else
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

static void
stop_generator(void *arg)
{
	Input *input = arg;
	Execution *execution = &input->execution;
	Executor *executor = execution->function->executor;

	executor->cancel(executor, execution, false);
	execution_done(execution, &(ExecutionResult){.status = RESULT_FAILURE});
}

/* Not at once: the executor is in the middle of it. */
static void
exceed(Input *input, const char *text)
{
	input->excess = text;
	loop_set_timer(&input->timer, 0, stop_generator, input);
}

void
execution_yield(Execution *execution, const void *data, size_t len)
{
	Input *input = (Input *) execution;
	Call *call = input->call;
	Chunk chunk = {.format = execution->format, .len = len};

	if (input->excess != NULL)
		return;
	if (call->n_chunks == MAX_GENERATOR_ITEMS)
	{
		exceed(input, TOO_MANY_TEXT);
		return;
	}
	if (len > (size_t) options.max_inline ||
		call->chunk_bytes + len > MAX_GENERATOR_BYTES)
	{
		chunk.blob_id = xmalloc(BLOB_ID_SIZE);
		if (!blob_write(chunk.blob_id, data, len))
		{
			free(chunk.blob_id);
			exceed(input, NO_ROOM_TEXT);
			return;
		}
	}
	else
	{
		chunk.data = xmalloc(len);
		memcpy(chunk.data, data, len);
		call->chunk_bytes += len;
	}
	if ((call->n_chunks & (call->n_chunks - 1)) == 0)
		call->chunks = xrealloc(call->chunks,
								(call->n_chunks > 0 ? call->n_chunks * 2 : 1) *
									sizeof(Chunk));
	call->chunks[call->n_chunks++] = chunk;
	call_wake(call);
}

void
execution_printed(Execution *execution, int stream, const void *text,
				  size_t len)
{
	logs_add(((Input *) execution)->call, execution->idx, stream, text, len);
}

static void
end_by_platform(Input *input, ResultStatus status, const char *text)
{
	ExecutionResult result = exception_result(status, text);

	execution_done(&input->execution, &result);
}

static void
time_over(void *arg)
{
	Input *input = arg;
	Executor *executor = input->execution.function->executor;
	char text[128];

	executor->cancel(executor, &input->execution, false);
	snprintf(text, sizeof(text),
			 "Task's current input hit its timeout of %us",
			 input->call->handle->timeout_secs);
	end_by_platform(input, RESULT_TIMEOUT, text);
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
		end_by_platform(input, RESULT_INTERNAL_FAILURE, INTERNAL_FAILURE_TEXT);
		return;
	}
	if (!input_bind(input))
	{
		end_by_platform(input, RESULT_INIT_FAILURE, GONE_TEXT);
		return;
	}
	if (!read_arguments(input))
	{
		end_by_platform(input, RESULT_INTERNAL_FAILURE, UNREADABLE_TEXT);
		return;
	}
	execution->function->executor->start(execution->function->executor,
										 execution);
}

static void
take_input(Call *call, const NewInput *new)
{
	Slot *slot = call_make_slot(call, new->idx);
	Input *input;

	note_index(call, new->idx);
	if (slot->lost)
		count_unfinished(call, -1);
	slot->lost = false;
	slot->attempt = new->attempt;
	slot->live++;
	count_unfinished(call, 1);
	input = input_create(call, new);
	if (details_wanted(new->idx))
	{
		read_arguments(input);
		details_begin(call, new->idx, &input->execution, input->created);
	}
	loop_queue_turn(&input->turn, start_input, input);
}

static void
record_input(const Call *call, const NewInput *input)
{
	if (!call->async || !journal_begin(RECORD_INPUT))
		return;
	journal_number(call->number);
	journal_number((uint64_t) input->idx);
	journal_number(input->format);
	journal_number(input->blob_id != NULL);
	if (input->blob_id != NULL)
		journal_text(input->blob_id, input->blob_id_len);
	else
		journal_text(input->args, input->args_len);
	journal_text(input->method, input->method_len);
	journal_end();
}

void
call_put_input(Call *call, const NewInput *new)
{
	record_input(call, new);
	take_input(call, new);
}

const Input *
call_next_live(const Call *call, const Input *input, LiveInput *live)
{
	input = input != NULL ? input->next : call->inputs;
	if (input != NULL)
		*live = (LiveInput){.execution = &input->execution,
							.created = input->created,
							.started = input->started_at,
							.running = input->running};
	return input;
}

void
call_cancel(Call *call, bool terminate)
{
	Input *input;

	call->cancelled = true;
	if (call->async && journal_begin(RECORD_CANCELLED))
	{
		journal_number(call->number);
		journal_end();
	}
	while ((input = call->inputs) != NULL)
	{
		ExecutionResult result = {.status = RESULT_TERMINATED};

		/* What has ended is in the list no more. */
		/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc) */
		if (input->started)
		{
			Executor *executor = input->execution.function->executor;

			executor->cancel(executor, &input->execution, terminate);
		}
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
		count_unfinished(call, -1);
		give_output(call, idx, slot->attempt, loop_wall_time(), &result,
					&none);
	}
}

/* --- the journal --------------------------------------------------------- */

static void
take_cancelled(Record *record)
{
	Call *call = call_peek(record_number(record));

	if (call != NULL)
		call->cancelled = true;
}

/* The call and index that records of inputs and outputs begin with. */
static Call *
record_call_and_index(Record *record, int32_t *idx)
{
	Call *call = call_peek(record_number(record));
	uint64_t index = record_number(record);

	if (record->failed || index > MAX_INPUT_INDEX)
		return NULL;
	*idx = (int32_t) index;
	return call;
}

static void
take_output(Record *record)
{
	int32_t idx;
	Call *call = record_call_and_index(record, &idx);
	uint64_t status = record_number(record);
	Text item = record_text(record);

	if (call == NULL || record->failed || status >= N_RESULT_STATUS)
		return;
	note_index(call, idx);
	add_output(call, idx, item.data, item.len, (ResultStatus) status);
	call->n_by_status[status]++;
}

/* One that has no output yet; known once all outputs have been taken. */
static bool
input_needed(Record *record)
{
	int32_t idx;
	Call *call = record_call_and_index(record, &idx);
	const Slot *slot = call != NULL ? call_slot(call, idx) : NULL;

	return call != NULL && (slot == NULL || slot->output == 0);
}

/* Run it again. */
static void
resume_input(Record *record)
{
	NewInput input = {0};
	Call *call = record_call_and_index(record, &input.idx);
	bool by_blob;
	Text args;
	Text method;
	GrpcStatus status;

	input.format = (DataFormat) record_number(record);
	by_blob = record_number(record) != 0;
	args = record_text(record);
	method = record_text(record);
	if (call == NULL || record->failed)
		return;
	if (by_blob)
	{
		input.blob_id = (const char *) args.data;
		input.blob_id_len = args.len;
	}
	else
	{
		input.args = args.data;
		input.args_len = args.len;
	}
	input.method = (const char *) method.data;
	input.method_len = method.len;
	if (input_error(call->handle, &input, &status) == NULL)
		take_input(call, &input);
}

void
attempts_init(void)
{
	static const RecordKind cancelled = {take_cancelled, call_needed, NULL};
	static const RecordKind inputs = {NULL, input_needed, resume_input};
	static const RecordKind outputs = {take_output, call_needed, NULL};

	journal_register(RECORD_CANCELLED, &cancelled);
	journal_register(RECORD_INPUT, &inputs);
	journal_register(RECORD_OUTPUT, &outputs);
}
