/*-------------------------------------------------------------------------
 *
 * builtin.c
 *	  App "builtin": functions in C, for tests and benchmarks.
 *
 * They behave as the Python functions described in docs/modal-local.md would,
 * down to the text of their exceptions.  All but those that wait end before
 * start() returns.
 *
 *-------------------------------------------------------------------------
 */
#include "host/builtin.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/numbers.h"
#include "host/builtin_run.h"

#define APP "builtin"
#define REGION "local"
#define WEB_URL "https://local--builtin-web.modal.run"
#define MAX_LARGE (1024 * 1024 * 1024) /* bytes that large() makes */
#define MAX_FLOATS (1024 * 1024)
#define MAX_SECONDS 86400.0
#define MAX_FACTOR 100000000000000 /* the product has 28 digits at most */
#define MAX_EXPONENT 1000
#define RETRY_COUNT 3
#define RETRY_DELAY_MS 1000

/* --- functions ----------------------------------------------------------- */

/* def echo(*values): one value itself, several as a list */
static void
echo(Run *run)
{
	const Arguments *a = &run->arguments;

	if (a->n_positional == 1)
	{
		run_succeed(run, a->positional[0].data, a->positional[0].len);
		return;
	}
	if (a->n_positional == 0)
		cbor_put_null(&run->result);
	else
		cbor_put_array(&run->result, (uint64_t) a->n_positional);
	for (int i = 0; i < a->n_positional; i++)
		buf_put(&run->result, a->positional[i].data, a->positional[i].len);
	run_succeed_result(run);
}

/* A big integer, as CBOR has it from 2^64 on. */
static void
put_uint128(Buf *buf, unsigned __int128 v)
{
	uint8_t bytes[16];
	size_t n = 0;

	if (v <= UINT64_MAX)
	{
		cbor_put_uint(buf, (uint64_t) v);
		return;
	}
	for (; v > 0; v >>= 8)
		bytes[sizeof(bytes) - ++n] = (uint8_t) v;
	cbor_put_tag(buf, CBOR_TAG_BIGNUM);
	cbor_put_bytes(buf, bytes + sizeof(bytes) - n, n);
}

static void
put_square(Buf *buf, int64_t x)
{
	uint64_t size = x < 0 ? -(uint64_t) x : (uint64_t) x;

	put_uint128(buf, (unsigned __int128) size * size);
}

/*
 * def square(x): return x * x
 *
 * Python rounds the product of Decimals to 28 digits; of those whose product
 * may have more, this makes floats.
 */
static void
square(Run *run)
{
	Item x;
	int64_t integer;
	int64_t exponent;
	double number;

	if (!run_argument(run, 0, "x", &x))
		return;
	if (item_int(x, &integer))
		put_square(&run->result, integer);
	else if (item_decimal(x, &integer, &exponent) &&
			 integer > -MAX_FACTOR && integer < MAX_FACTOR &&
			 exponent > -MAX_EXPONENT && exponent < MAX_EXPONENT)
	{
		cbor_put_tag(&run->result, CBOR_TAG_DECIMAL);
		cbor_put_array(&run->result, 2);
		cbor_put_int(&run->result, 2 * exponent);
		put_square(&run->result, integer);
	}
	else if (item_double(x, &number))
		cbor_put_double(&run->result, number * number);
	else
	{
		run_raise(run, "TypeError",
				  "can't multiply sequence by non-int of type '%s'",
				  item_type(x));
		return;
	}
	run_succeed_result(run);
}

/* A time to wait; else the call fails, for what is wrong with it. */
static bool
seconds_of(Run *run, Item item, const char *what, double *seconds)
{
	*seconds = -1;
	if (item_double(item, seconds) && *seconds >= 0 && *seconds <= MAX_SECONDS)
		return true;
	if (*seconds > MAX_SECONDS)
		run_raise(run, "ValueError", "%s must be at most %.0f s", what,
				  MAX_SECONDS);
	else
		run_raise(run, "ValueError", "%s must be non-negative", what);
	return false;
}

/* def sleep(seconds, value=None): time.sleep(seconds); return value */
static void
sleep_(Run *run)
{
	Item seconds;
	Item value = {(const uint8_t *) "\xf6", 1};
	double s;

	if (!run_argument(run, 0, "seconds", &seconds))
		return;
	if (!seconds_of(run, seconds, "sleep length", &s))
		return;
	arguments_get(&run->arguments, 1, "value", &value);
	run_wait_then_succeed(run, s, value);
}

/* def fail(message): raise ValueError(message) */
static void
fail(Run *run)
{
	Item message;
	const uint8_t *text;
	size_t len;

	if (!run_argument(run, 0, "message", &message))
		return;
	if (!item_bytes(message, &run->arena, &text, &len))
		text = (const uint8_t *) item_type(message);
	run_raise(run, "ValueError", "%s", (const char *) text);
}

/* Fails the first n attempts of each input. */
static void
flaky(Run *run)
{
	Item count;
	Item value = {(const uint8_t *) "\xf6", 1};
	int64_t n;

	if (!run_argument(run, 0, "n", &count))
		return;
	arguments_get(&run->arguments, 1, "value", &value);
	if (!item_int(count, &n))
		run_raise(run, "TypeError", "n must be an int, not %s",
				  item_type(count));
	else if (run->execution->attempt < n)
		run_raise(run, "RuntimeError", "attempt %u of an input that fails %lld times",
				  run->execution->attempt + 1, (long long) n);
	else
		run_succeed(run, value.data, value.len);
}

/* The platform fails at the first attempt of each input. */
static void
crash(Run *run)
{
	if (run->execution->attempt > 0)
		echo(run);
	else
		run_end_by_platform(run, RESULT_INTERNAL_FAILURE,
							"Runner failed with exit code 137");
}

static void
timeout(Run *run)
{
	run_end_by_platform(run, RESULT_TIMEOUT,
						"Task's current input hit its timeout of 1s");
}

/* def large(n_bytes): return bytes(n_bytes) */
static void
large(Run *run)
{
	Item count;
	int64_t n;
	uint8_t *zeros;

	if (!run_argument(run, 0, "n_bytes", &count))
		return;
	if (!item_int(count, &n) || n < 0 || n > MAX_LARGE)
	{
		run_raise(run, "ValueError", "n_bytes must be from 0 to %d", MAX_LARGE);
		return;
	}
	zeros = xcalloc((size_t) n);
	cbor_put_bytes(&run->result, zeros, (size_t) n);
	free(zeros);
	run_succeed_result(run);
}

/* def floats(n): return numpy.float32(1 / numpy.arange(1, n + 1)).tolist() */
static void
floats(Run *run)
{
	Item count;
	int64_t n;
	double *numbers;

	if (!run_argument(run, 0, "n", &count))
		return;
	if (!item_int(count, &n) || n < 0 || n > MAX_FLOATS)
	{
		run_raise(run, "ValueError", "n must be from 0 to %d", MAX_FLOATS);
		return;
	}
	numbers = xcalloc((size_t) n * sizeof(double));
	for (int64_t i = 0; i < n; i++)
		numbers[i] = (double) (1.0F / (float) (i + 1));
	cbor_put_array(&run->result, (uint64_t) n);
	numbers_to_cbor(&run->result, NUMBER_FLOAT8, numbers, (size_t) n);
	free(numbers);
	run_succeed_result(run);
}

/* def kwargs(**kwargs): return kwargs */
static void
kwargs(Run *run)
{
	run_succeed(run, run->arguments.kwargs.data, run->arguments.kwargs.len);
}

static void
put_typed(Buf *buf, Item item)
{
	const char *type = item_type(item);

	cbor_put_array(buf, 2);
	cbor_put_text(buf, type, strlen(type));
	buf_put(buf, item.data, item.len);
}

/* {"args": [[type, value], ...], "kwargs": {name: [type, value], ...}} */
static void
types(Run *run)
{
	const Arguments *a = &run->arguments;

	cbor_put_map(&run->result, 2);
	cbor_put_text(&run->result, "args", 4);
	cbor_put_array(&run->result, (uint64_t) a->n_positional);
	for (int i = 0; i < a->n_positional; i++)
		put_typed(&run->result, a->positional[i]);
	cbor_put_text(&run->result, "kwargs", 6);
	cbor_put_map(&run->result, (uint64_t) a->n_named);
	for (int i = 0; i < a->n_named; i++)
	{
		cbor_put_text(&run->result, (const char *) a->names[i].data,
					  a->names[i].len);
		put_typed(&run->result, a->named[i]);
	}
	run_succeed_result(run);
}

/* The bytes of data are the encoded result, whatever they are. */
static void
raw(Run *run)
{
	Item data;
	const uint8_t *bytes;
	size_t len;

	if (!run_argument(run, 0, "data", &data))
		return;
	if (!item_bytes(data, &run->arena, &bytes, &len))
		run_raise(run, "TypeError", "data must be bytes, not %s",
				  item_type(data));
	else
		run_succeed_raw(run, bytes, len);
}

/*
 * def count(n, delay=0, size=0): n items, 0 to n - 1, with seconds between
 * them; with a size, bytes objects of that length instead of numbers
 */
static void
count(Run *run)
{
	Item item;
	int64_t n;
	int64_t size = 0;
	double delay = 0;

	if (!run_argument(run, 0, "n", &item))
		return;
	if (!item_int(item, &n))
	{
		run_raise(run, "TypeError", "n must be an int, not %s",
				  item_type(item));
		return;
	}
	if (arguments_get(&run->arguments, 1, "delay", &item) &&
		!seconds_of(run, item, "delay", &delay))
		return;
	if (arguments_get(&run->arguments, 2, "size", &item) &&
		(!item_int(item, &size) || size < 0 || size > MAX_LARGE))
	{
		run_raise(run, "ValueError", "size must be from 0 to %d", MAX_LARGE);
		return;
	}
	run_generate(run, 0, n, delay, (size_t) size);
}

/* --- class Counter ------------------------------------------------------- */

static const Modal__Client__ClassParameterValue *
find_value(const Modal__Client__ClassParameterSet *set, const char *name)
{
	for (size_t i = 0; i < set->n_parameters; i++)
		if (strcmp(set->parameters[i]->name, name) == 0)
			return set->parameters[i];
	return NULL;
}

static const Parameter counter_parameters[] = {
	{.name = "name", .type = PARAM_STRING},
	{.name = "start", .type = PARAM_INT, .has_default = true},
	{.name = "loud", .type = PARAM_BOOL, .has_default = true},
	{.name = "seed", .type = PARAM_BYTES, .has_default = true,
	 .bytes_default = ""},
};

#define N_COUNTER_PARAMETERS \
	((int) (sizeof(counter_parameters) / sizeof(counter_parameters[0])))

/* The object's parameters; one that has none is made with the defaults. */
static Modal__Client__ClassParameterSet *
counter_of(Run *run)
{
	ProtobufCAllocator allocator = arena_allocator(&run->arena);

	return modal__client__class_parameter_set__unpack(
		&allocator, run->execution->params_len, run->execution->params);
}

static int64_t
counter_start(const Modal__Client__ClassParameterSet *set)
{
	const Modal__Client__ClassParameterValue *value = find_value(set, "start");

	return value != NULL ? value->int_value : 0;
}

/* def describe(self): the parameters as a dict */
static void
counter_describe(Run *run)
{
	const Modal__Client__ClassParameterSet *set = counter_of(run);

	cbor_put_map(&run->result, set->n_parameters);
	for (size_t i = 0; i < set->n_parameters; i++)
	{
		const Modal__Client__ClassParameterValue *value = set->parameters[i];

		cbor_put_text(&run->result, value->name, strlen(value->name));
		if (value->type == PARAM_STRING)
			cbor_put_text(&run->result, value->string_value,
						  strlen(value->string_value));
		else if (value->type == PARAM_INT)
			cbor_put_int(&run->result, value->int_value);
		else if (value->type == PARAM_BOOL)
			cbor_put_bool(&run->result, value->bool_value);
		else
			cbor_put_bytes(&run->result, value->bytes_value.data,
						   value->bytes_value.len);
	}
	run_succeed_result(run);
}

/* def add(self, n=1): return self.start + n */
static void
counter_add(Run *run)
{
	Item item;
	int64_t n = 1;

	if (arguments_get(&run->arguments, 0, "n", &item) && !item_int(item, &n))
	{
		run_raise(run, "TypeError", "n must be an int, not %s",
				  item_type(item));
		return;
	}
	cbor_put_int(&run->result, (int64_t) ((uint64_t) counter_start(counter_of(run)) +
										  (uint64_t) n));
	run_succeed_result(run);
}

/* def upto(self, end): yields self.start to end - 1 */
static void
counter_upto(Run *run)
{
	Item item;
	int64_t end;

	if (!run_argument(run, 0, "end", &item))
		return;
	if (!item_int(item, &end))
		run_raise(run, "TypeError", "end must be an int, not %s",
				  item_type(item));
	else
		run_generate(run, counter_start(counter_of(run)), end, 0, 0);
}

/* --- the table ----------------------------------------------------------- */

enum
{
	PLAIN = 0,
	GENERATOR = 1,
	ALSO_ON_PLANE = 2, /* once more as NAME_input_plane */
	RETRIED = 4,	   /* has a retry policy */
	SERVER_RETRIES = 8 /* which the server keeps to itself */
};

static const struct
{
	const char *name;
	BuiltinBody body;
	int flags;
} builtins[] = {
	{"echo", echo, ALSO_ON_PLANE},
	{"square", square, ALSO_ON_PLANE},
	{"sleep", sleep_, ALSO_ON_PLANE},
	{"fail", fail, ALSO_ON_PLANE},
	{"flaky", flaky, ALSO_ON_PLANE | RETRIED},
	{"flaky_server", flaky, RETRIED | SERVER_RETRIES},
	{"crash", crash, ALSO_ON_PLANE},
	{"timeout", timeout, PLAIN},
	{"large", large, ALSO_ON_PLANE},
	{"kwargs", kwargs, PLAIN},
	{"types", types, PLAIN},
	{"raw", raw, PLAIN},
	{"count", count, GENERATOR | ALSO_ON_PLANE},
	{"floats", floats, ALSO_ON_PLANE},
	/* Methods of Counter. */
	{"describe", counter_describe, PLAIN},
	{"add", counter_add, PLAIN},
	{"upto", counter_upto, GENERATOR},
};

#define N_BUILTINS ((int) (sizeof(builtins) / sizeof(builtins[0])))
#define N_FUNCTIONS (N_BUILTINS - 3) /* that are no methods */

/* As if deployed long ago: they take and return pickles only. */
static const struct
{
	const char *name;
	int target;
} old_builtins[] = {
	{"old_echo", 0},
	{"old_fail", 3},
	{"old_types", 10},
	{"old_raw", 11},
	{"old_count", 12},
};

static const Method counter_methods[] = {
	{.name = "describe", .target = N_FUNCTIONS},
	{.name = "add", .target = N_FUNCTIONS + 1},
	{.name = "upto", .target = N_FUNCTIONS + 2, .generator = true},
};

static void
start(Executor *executor, Execution *execution)
{
	(void) executor;
	run_start(execution, builtins[execution->target].name,
			  builtins[execution->target].body);
}

static void
cancel(Executor *executor, Execution *execution, bool terminate)
{
	(void) executor;
	(void) terminate;
	run_cancel(execution);
}

static void
get_stats(Executor *executor, const Function *function, ExecutorStats *stats)
{
	(void) executor;
	stats->tasks = 1;
	stats->running = run_waiting(function);
	stats->headroom = UINT16_MAX;
}

static void
shutdown(Executor *executor)
{
	(void) executor;
}

static Executor builtin_executor = {start, cancel, get_stats, shutdown};

static void
add(int target, const char *name, const char *region)
{
	int flags = builtins[target].flags;
	Function function = {
		.app = APP,
		.name = name,
		.executor = &builtin_executor,
		.target = target,
		.generator = flags & GENERATOR,
		.client_retries = !(flags & SERVER_RETRIES),
		.region = region,
	};

	if (flags & RETRIED)
		function.retry = (RetryPolicy){RETRY_COUNT, 1.0, RETRY_DELAY_MS,
									   RETRY_DELAY_MS};
	function_add(&function);
}

void
builtin_init(void)
{
	Function old = {.app = APP, .pickle_only = true,
					.executor = &builtin_executor};
	Function web = {.app = APP, .name = "web", .web_url = WEB_URL,
					.executor = &builtin_executor, .target = 0};
	Function counter = {
		.app = APP,
		.name = "Counter",
		.executor = &builtin_executor,
		.is_class = true,
		.client_retries = true,
		.methods = counter_methods,
		.n_methods = (int) (sizeof(counter_methods) / sizeof(Method)),
		.parameters = counter_parameters,
		.n_parameters = N_COUNTER_PARAMETERS,
	};

	executor_register(&builtin_executor);
	for (int i = 0; i < N_FUNCTIONS; i++)
	{
		add(i, builtins[i].name, NULL);
		if (builtins[i].flags & ALSO_ON_PLANE)
			add(i, xasprintf("%s_input_plane", builtins[i].name), REGION);
	}
	for (size_t i = 0; i < sizeof(old_builtins) / sizeof(old_builtins[0]); i++)
	{
		old.name = old_builtins[i].name;
		old.target = old_builtins[i].target;
		old.generator = builtins[old.target].flags & GENERATOR;
		function_add(&old);
	}
	function_add(&web);
	function_add(&counter);
}
