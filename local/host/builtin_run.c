/*-------------------------------------------------------------------------
 *
 * builtin_run.c
 *	  How a builtin function gets its arguments, and ends.
 *
 * Bodies speak CBOR.  A caller that sent a pickle has it translated, and the
 * result back.
 *
 *-------------------------------------------------------------------------
 */
#include "host/builtin_run.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/pickle.h"
#include "net/loop.h"

#define CALL_END 4 /* bytes of a pickled call after its only argument */
/* A generator yields so much, and then the loop turns. */
#define TURN_ITEMS 1000
#define TURN_BYTES (1024 * 1024)

/* An execution that goes on after its body has returned. */
typedef struct Wait
{
	Execution *execution;
	LoopTimer timer;
	Buf result; /* of one that sleeps; others yield */
	int64_t next;
	int64_t end;
	double delay;
	size_t size; /* of items that are bytes; 0: they are numbers */
	struct Wait *prev_wait;
	struct Wait *next_wait;
} Wait;

static Wait *waits;

/* --- pickles ------------------------------------------------------------- */

/*
 * One item, by way of a call with it as the only argument: PROTO, the item,
 * TUPLE1, EMPTY_DICT, TUPLE2, STOP.
 */
static const char *
pickle_item(Buf *out, const void *item, size_t len)
{
	Buf call;
	const char *error;

	buf_init(&call, 0, xbuf_realloc);
	cbor_put_array(&call, 2);
	cbor_put_array(&call, 1);
	buf_put(&call, item, len);
	cbor_put_map(&call, 0);
	error = pickle_from_cbor_call(out, call.data, call.len);
	buf_free(&call);
	if (error == NULL)
	{
		out->len -= CALL_END;
		buf_put_u8(out, '.');
	}
	return error;
}

/* --- ends ---------------------------------------------------------------- */

static void
end_execution(Execution *execution, ResultStatus status, const char *exception,
			  const char *traceback)
{
	ExecutionResult result = {
		.status = status,
		.format = status == RESULT_FAILURE ? execution->format
										   : FORMAT_UNSPECIFIED,
		.exception = exception,
		.exception_len = strlen(exception),
		.traceback = traceback,
		.traceback_len = traceback != NULL ? strlen(traceback) : 0,
	};

	execution_done(execution, &result);
}

static void
succeed_raw(Execution *execution, const void *data, size_t len)
{
	ExecutionResult result = {.status = RESULT_SUCCESS,
							  .format = execution->format,
							  .data = data,
							  .data_len = len};

	execution_done(execution, &result);
}

static void
succeed(Execution *execution, const void *item, size_t len)
{
	Buf pickle;
	const char *error;

	if (execution->format != FORMAT_PICKLE)
	{
		succeed_raw(execution, item, len);
		return;
	}
	buf_init(&pickle, 0, xbuf_realloc);
	error = pickle_item(&pickle, item, len);
	if (error == NULL)
		succeed_raw(execution, pickle.data, pickle.len);
	else
		end_execution(execution, RESULT_FAILURE,
					  "SerializationError('the result cannot be pickled')",
					  NULL);
	buf_free(&pickle);
}

void
run_succeed(Run *run, const void *item, size_t len)
{
	succeed(run->execution, item, len);
}

void
run_succeed_result(Run *run)
{
	succeed(run->execution, run->result.data, run->result.len);
}

void
run_succeed_raw(Run *run, const void *data, size_t len)
{
	succeed_raw(run->execution, data, len);
}

void
run_end_by_platform(Run *run, ResultStatus status, const char *text)
{
	end_execution(run->execution, status, text, NULL);
}

/* Text as repr() of Python would show it. */
static void
put_repr(Buf *buf, const char *text)
{
	char quote = strchr(text, '\'') != NULL && strchr(text, '"') == NULL
					 ? '"'
					 : '\'';

	buf_put_u8(buf, (uint8_t) quote);
	for (; *text != '\0'; text++)
	{
		unsigned char c = (unsigned char) *text;

		if (c == (unsigned char) quote || c == '\\')
			buf_printf(buf, "\\%c", c);
		else if (c == '\n')
			buf_put_cstr(buf, "\\n");
		else if (c == '\r')
			buf_put_cstr(buf, "\\r");
		else if (c == '\t')
			buf_put_cstr(buf, "\\t");
		else if (c < 0x20 || c == 0x7f)
			buf_printf(buf, "\\x%02x", c);
		else
			buf_put_u8(buf, c);
	}
	buf_put_u8(buf, (uint8_t) quote);
}

void
run_raise(Run *run, const char *type, const char *fmt, ...)
{
	va_list args;
	char *text;
	Buf repr;
	Buf traceback;

	va_start(args, fmt);
	if (vasprintf(&text, fmt, args) < 0)
		die("out of memory");
	va_end(args);
	buf_init(&repr, 0, xbuf_realloc);
	buf_init(&traceback, 0, xbuf_realloc);
	buf_printf(&repr, "%s(", type);
	put_repr(&repr, text);
	buf_put_u8(&repr, ')');
	buf_printf(&traceback,
			   "Traceback (most recent call last):\n"
			   "  File \"builtin.py\", line 1, in %s\n"
			   "%s: %s\n",
			   run->name, type, text);
	end_execution(run->execution, RESULT_FAILURE, buf_cstr(&repr),
				  buf_cstr(&traceback));
	buf_free(&traceback);
	buf_free(&repr);
	free(text);
}

/* --- waiting ------------------------------------------------------------- */

static Wait *
wait_create(Execution *execution)
{
	Wait *wait = xcalloc(sizeof(*wait));

	wait->execution = execution;
	buf_init(&wait->result, 0, xbuf_realloc);
	wait->next_wait = waits;
	if (waits != NULL)
		waits->prev_wait = wait;
	waits = wait;
	execution->executor_data = wait;
	execution_started(execution);
	return wait;
}

static void
wait_free(Wait *wait)
{
	if (wait->next_wait != NULL)
		wait->next_wait->prev_wait = wait->prev_wait;
	if (wait->prev_wait != NULL)
		wait->prev_wait->next_wait = wait->next_wait;
	else
		waits = wait->next_wait;
	loop_clear_timer(&wait->timer);
	buf_free(&wait->result);
	free(wait);
}

void
run_cancel(Execution *execution)
{
	wait_free(execution->executor_data);
}

uint32_t
run_waiting(const Function *function)
{
	uint32_t n = 0;

	for (Wait *wait = waits; wait != NULL; wait = wait->next_wait)
		if (wait->execution->function == function)
			n++;
	return n;
}

static void
slept(void *arg)
{
	Wait *wait = arg;

	succeed(wait->execution, wait->result.data, wait->result.len);
	wait_free(wait);
}

void
run_wait_then_succeed(Run *run, double seconds, Item value)
{
	Wait *wait = wait_create(run->execution);

	buf_put(&wait->result, value.data, value.len);
	loop_set_timer(&wait->timer, seconds, slept, wait);
}

static void
yield_one(Execution *execution, int64_t value, size_t size)
{
	Buf item;
	Buf pickle;

	buf_init(&item, 0, xbuf_realloc);
	buf_init(&pickle, 0, xbuf_realloc);
	if (size == 0)
		cbor_put_int(&item, value);
	else
	{
		uint8_t *bytes = xmalloc(size);

		memset(bytes, (uint8_t) value, size);
		cbor_put_bytes(&item, bytes, size);
		free(bytes);
	}
	if (execution->format != FORMAT_PICKLE)
		execution_yield(execution, item.data, item.len);
	else if (pickle_item(&pickle, item.data, item.len) == NULL)
		execution_yield(execution, pickle.data, pickle.len);
	buf_free(&item);
	buf_free(&pickle);
}

static void
generate(void *arg)
{
	Wait *wait = arg;
	Execution *execution = wait->execution;
	size_t bytes = 0;
	int n = 0;

	do
	{
		if (wait->next >= wait->end)
		{
			ExecutionResult done = {.status = RESULT_SUCCESS};

			wait_free(wait);
			execution_done(execution, &done);
			return;
		}
		yield_one(execution, wait->next++, wait->size);
		bytes += wait->size;
	} while (wait->delay == 0 && ++n < TURN_ITEMS && bytes < TURN_BYTES);
	loop_set_timer(&wait->timer, wait->delay, generate, wait);
}

void
run_generate(Run *run, int64_t start, int64_t end, double delay, size_t size)
{
	Wait *wait = wait_create(run->execution);

	wait->next = start;
	wait->end = end;
	wait->delay = delay;
	wait->size = size;
	generate(wait);
}

/* --- beginnings ---------------------------------------------------------- */

bool
run_argument(Run *run, int position, const char *name, Item *item)
{
	if (arguments_get(&run->arguments, position, name, item))
		return true;
	run_raise(run, "TypeError",
			  "%s() missing 1 required positional argument: '%s'", run->name,
			  name);
	return false;
}

static void
run_body(Run *run, BuiltinBody body, const void *call, size_t len)
{
	const char *error = arguments_parse(&run->arguments, call, len);

	if (error != NULL)
		run_raise(run, "DeserializationError", "%s", error);
	else
		body(run);
}

void
run_start(Execution *execution, const char *name, BuiltinBody body)
{
	Run run;
	Buf call;
	const char *error;

	run.execution = execution;
	run.name = name;
	run.arena = (Arena){0};
	buf_init(&run.result, 0, xbuf_realloc);
	if (execution->args_len == 0) /* no arguments */
		run_body(&run, body, "\x82\x80\xa0", 3);
	else if (execution->format != FORMAT_PICKLE)
		run_body(&run, body, execution->args, execution->args_len);
	else
	{
		buf_init(&call, 0, xbuf_realloc);
		error = pickle_to_cbor(&call, execution->args, execution->args_len);
		if (error != NULL)
			run_raise(&run, "DeserializationError", "%s", error);
		else
			run_body(&run, body, call.data, call.len);
		buf_free(&call);
	}
	buf_free(&run.result);
	arena_free(&run.arena);
}
