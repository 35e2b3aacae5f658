/*-------------------------------------------------------------------------
 *
 * host.c
 *	  The executor that serves the functions of the user's Python files.
 *
 * One pool of processes per file.  An input whose process dies is a FAILURE
 * of that input: the real service gives the work of a crashed container to
 * another one, for ever, which is no help to somebody who wants to see why a
 * function crashes.
 *
 *-------------------------------------------------------------------------
 */
#include "host.h"

#include <errno.h>
#include <json-c/json.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "calls/exec.h"
#include "host/host_pool.h"
#include "util.h"

/* Processes with certain variables in their environment. */
typedef struct Variant
{
	struct Variant *next;
	char *const *environment; /* NULL: none beyond ours */
	Pool *pool;
} Variant;

typedef struct File
{
	HostSpawn spawn; /* path, label, interpreter, concurrency */
	int workers;
	Variant *variants;     /* the first one is without variables */
	const char *json;      /* its manifest; NULL: not imported yet */
	json_object *manifest; /* the same; owner of all names in it */
	bool failed;
	Executor executor;
} File;

typedef struct Input
{
	PoolInput pool; /* first: the pool knows only this */
	Pool *home;
	Execution *execution; /* NULL: cancelled, nobody wants the answer */
} Input;

/* ------------------------------------------------------- what is offered */

static const char *
string_of(json_object *object, const char *key)
{
	return json_object_get_string(json_object_object_get(object, key));
}

static int
hex_digit(char c)
{
	return c <= '9' ? c - '0' : c - 'a' + 10;
}

/* Parameter types as the manifest names them. */
static ParameterType
parameter_type(const char *name)
{
	if (strcmp(name, "string") == 0)
		return PARAM_STRING;
	if (strcmp(name, "bytes") == 0)
		return PARAM_BYTES;
	return strcmp(name, "bool") == 0 ? PARAM_BOOL : PARAM_INT;
}

static void
describe_parameter(Parameter *parameter, json_object *entry)
{
	json_object *value;
	uint8_t *bytes;

	parameter->name = string_of(entry, "name");
	parameter->type = parameter_type(string_of(entry, "type"));
	parameter->has_default =
		json_object_object_get_ex(entry, "default", &value);
	if (!parameter->has_default)
		return;
	switch ((int) parameter->type)
	{
		case PARAM_STRING:
			parameter->bytes_default = json_object_get_string(value);
			parameter->bytes_default_len = json_object_get_string_len(value);
			break;
		case PARAM_BYTES: /* as hexadecimal digits */
			parameter->bytes_default_len =
				json_object_get_string_len(value) / 2;
			bytes = xcalloc(parameter->bytes_default_len + 1);
			for (size_t i = 0; i < parameter->bytes_default_len; i++)
			{
				const char *digits = json_object_get_string(value) + 2 * i;

				bytes[i] = hex_digit(digits[0]) << 4 | hex_digit(digits[1]);
			}
			parameter->bytes_default = bytes;
			break;
		case PARAM_BOOL:
			parameter->int_default = json_object_get_boolean(value);
			break;
		default:
			parameter->int_default = json_object_get_int64(value);
	}
}

static void
describe_methods(Function *function, json_object *entries)
{
	Method *methods =
		xcalloc((json_object_array_length(entries) + 1) * sizeof(Method));

	function->n_methods = json_object_array_length(entries);
	for (int i = 0; i < function->n_methods; i++)
	{
		json_object *entry = json_object_array_get_idx(entries, i);

		methods[i].name = string_of(entry, "name");
		methods[i].target =
			json_object_get_int(json_object_object_get(entry, "target"));
		methods[i].generator =
			json_object_get_boolean(json_object_object_get(entry, "generator"));
	}
	function->methods = methods;
}

static void
describe_class(Function *function, json_object *entry)
{
	json_object *entries = json_object_object_get(entry, "parameters");
	Parameter *parameters;

	function->is_class = true;
	describe_methods(function, json_object_object_get(entry, "methods"));
	function->n_parameters = json_object_array_length(entries);
	parameters = xcalloc((function->n_parameters + 1) * sizeof(Parameter));
	for (int i = 0; i < function->n_parameters; i++)
		describe_parameter(&parameters[i],
						   json_object_array_get_idx(entries, i));
	function->parameters = parameters;
}

static void
announce(File *file, json_object *entry, bool is_class)
{
	Function function = {
		.app = string_of(entry, "app"),
		.name = string_of(entry, "name"),
		.executor = &file->executor,
	};

	if (is_class)
		describe_class(&function, entry);
	else
	{
		function.target =
			json_object_get_int(json_object_object_get(entry, "target"));
		function.generator =
			json_object_get_boolean(json_object_object_get(entry, "generator"));
	}
	if (!function_add(&function))
	{
		complain("%s: %s/%s is defined already", file->spawn.file, function.app,
				 function.name);
		file->failed = true;
	}
}

static void
take_manifest(void *arg, const char *json)
{
	static const char *const keys[] = {"functions", "classes"};
	File *file = arg;

	loop_stop(); /* await_file waits for us */
	if (json == NULL)
		return;
	file->json = json;
	file->manifest = json_tokener_parse(json);
	for (int k = 0; k < 2; k++)
	{
		json_object *entries = json_object_object_get(file->manifest, keys[k]);

		for (size_t i = 0; i < json_object_array_length(entries); i++)
			announce(file, json_object_array_get_idx(entries, i), k == 1);
	}
}

/* --------------------------------------------------------- what happens */

static void
finish(PoolInput *pool_input, const ExecutionResult *result)
{
	Input *input = (Input *) pool_input;
	Execution *execution = input->execution;

	free(input);
	if (execution != NULL)
		execution_done(execution, result);
}

/* What the platform, not the function, has to say about an input. */
static void
finish_by_platform(PoolInput *input, ResultStatus status, const char *exception)
{
	ExecutionResult result = {
		.status = status,
		.format = FORMAT_UNSPECIFIED,
		.exception = exception,
		.exception_len = strlen(exception),
	};

	finish(input, &result);
}

static void
input_started(PoolInput *pool_input)
{
	execution_started(((Input *) pool_input)->execution);
}

static void
input_yields(PoolInput *pool_input, const HostReply *item)
{
	execution_yield(((Input *) pool_input)->execution, item->data, item->len);
}

/* Cut a text with its length in front off the data; false if there is none. */
static bool
cut_text(const uint8_t **data, size_t *len, const char **text, size_t *text_len)
{
	const uint8_t *p = *data;

	if (*len < 4)
		return false;
	*text_len = p[0] | p[1] << 8 | p[2] << 16 | (size_t) p[3] << 24;
	if (*text_len > *len - 4)
		return false;
	*text = (const char *) p + 4;
	*data += 4 + *text_len;
	*len -= 4 + *text_len;
	return true;
}

static void
input_done(PoolInput *input, const HostReply *reply)
{
	ExecutionResult result = {
		.status = RESULT_SUCCESS,
		.format = (DataFormat) reply->format,
		.data = reply->data,
		.data_len = reply->len,
	};
	const uint8_t *data = reply->data;
	size_t len = reply->len;

	switch (reply->type)
	{
		case HOST_REPLY_DONE:
			result.data = NULL;
			result.data_len = 0;
			break;
		case HOST_REPLY_CANCELLED:
			result.status = RESULT_TERMINATED;
			result.format = FORMAT_UNSPECIFIED;
			break;
		case HOST_REPLY_FAILURE:
			if (!cut_text(&data, &len, &result.exception,
						  &result.exception_len) ||
				!cut_text(&data, &len, &result.traceback,
						  &result.traceback_len))
			{
				finish_by_platform(input, RESULT_INTERNAL_FAILURE,
								   "InternalFailure('malformed failure')");
				return;
			}
			result.status = RESULT_FAILURE;
			result.data = len > 0 ? data : NULL;
			result.data_len = len;
			break;
		default:
			break;
	}
	finish(input, &result);
}

static void
input_crashed(PoolInput *input, const char *how)
{
	char text[256];

	snprintf(text, sizeof(text),
			 "ExecutionError('the process that ran the function %s')", how);
	finish_by_platform(input, RESULT_FAILURE, text);
}

static void
input_unstartable(PoolInput *input, const char *why)
{
	finish_by_platform(input, RESULT_INIT_FAILURE, why);
}

static const PoolEvents events = {
	.manifest = take_manifest,
	.started = input_started,
	.yield = input_yields,
	.done = input_done,
	.crashed = input_crashed,
	.unstartable = input_unstartable,
};

/* ---------------------------------------------------------- the executor */

static File *
file_of(Executor *executor)
{
	return (File *) ((char *) executor - offsetof(File, executor));
}

/* The processes that have these variables; started when there is work. */
static Variant *
get_variant(File *file, char *const *environment)
{
	Variant **link = &file->variants;
	HostSpawn spawn = file->spawn;
	Variant *variant;

	while (*link != NULL && (*link)->environment != environment)
		link = &(*link)->next;
	if (*link != NULL)
		return *link;

	spawn.environment = environment;
	variant = xcalloc(sizeof(Variant));
	variant->environment = environment;
	variant->pool =
		pool_create(&spawn, file->workers, file->json, &events, file);
	*link = variant;
	return variant;
}

static void
host_start(Executor *executor, Execution *execution)
{
	Input *input = xcalloc(sizeof(Input));

	input->home = get_variant(file_of(executor), execution->environment)->pool;
	input->execution = execution;
	input->pool.group = execution->function;
	input->pool.call = (HostCall){
		.target = execution->target,
		.format = execution->format,
		.parameters = execution->params,
		.parameters_len = execution->params_len,
		.arguments = execution->args,
		.arguments_len = execution->args_len,
	};
	execution->executor_data = input;
	pool_submit(input->home, &input->pool);
}

static void
host_cancel(Executor *executor, Execution *execution, bool terminate)
{
	Input *input = execution->executor_data;

	(void) executor;
	input->execution = NULL;
	pool_cancel(input->home, &input->pool, terminate);
}

static void
host_get_stats(Executor *executor, const Function *function,
			   ExecutorStats *stats)
{
	int ready = 0;
	int running = 0;
	int waiting = 0;
	int headroom = 0;

	for (Variant *v = file_of(executor)->variants; v != NULL; v = v->next)
		pool_counts(v->pool, function, &ready, &running, &waiting, &headroom);
	stats->tasks = ready;
	stats->running = running;
	stats->backlog = waiting;
	stats->headroom = headroom;
}

static void
host_shutdown(Executor *executor)
{
	for (Variant *v = file_of(executor)->variants; v != NULL; v = v->next)
		pool_destroy(v->pool);
}

/* --------------------------------------------------------------- starting */

/* Whether the interpreter exists and has the module that the host needs. */
static bool
python_works(const char *python)
{
	int status = -1;
	pid_t pid = fork();

	if (pid == 0)
	{
		execlp(
			python, python, "-c",
			"import sys, importlib.util as u\n"
			"sys.exit(sys.version_info < (3, 9) or not u.find_spec('cbor2'))",
			(char *) NULL);
		_exit(127);
	}
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return pid > 0 && status == 0;
}

static const char *
find_python(const char *wanted)
{
	static const char *const candidates[] = {"python3", "/usr/bin/python3"};

	if (wanted != NULL)
		return python_works(wanted) ? wanted : NULL;
	for (int i = 0; i < 2; i++)
	{
		if (python_works(candidates[i]))
			return candidates[i];
	}
	return NULL;
}

static char *
label_of(const char *path)
{
	const char *slash = strrchr(path, '/');
	char *label = xstrdup(slash != NULL ? slash + 1 : path);
	char *dot = strrchr(label, '.');

	if (dot != NULL && dot != label)
		*dot = '\0';
	return label;
}

static bool
start_file(File *file, const char *path, const char *python,
		   const HostOptions *options)
{
	if (access(path, R_OK) < 0)
	{
		complain("%s: %s", path, strerror(errno));
		return false;
	}
	file->spawn.python = python;
	file->spawn.file = path;
	file->spawn.label = label_of(path);
	file->spawn.concurrency = options->concurrency;
	file->workers = options->workers;
	file->executor.start = host_start;
	file->executor.cancel = host_cancel;
	file->executor.get_stats = host_get_stats;
	file->executor.shutdown = host_shutdown;
	executor_register(&file->executor);
	pool_start(get_variant(file, NULL)->pool);
	return true;
}

/* Run the loop until the file has been imported; false if it cannot be. */
static bool
await_file(File *file)
{
	const Pool *pool = file->variants->pool;

	while (file->json == NULL && pool_error(pool) == NULL)
		loop_run();
	if (file->json == NULL)
		complain("cannot serve %s:\n%s", file->spawn.file, pool_error(pool));
	return file->json != NULL && !file->failed;
}

bool
host_init(const HostOptions *options)
{
	const char *python;
	File *files; /* stay for ever */

	if (options->n_files == 0)
		return true;
	python = find_python(options->python);
	if (python == NULL)
	{
		if (options->python != NULL)
			complain("%s is not a Python 3.9 or later with the module cbor2",
					 options->python);
		else
			complain("there is no Python 3.9 or later with the module cbor2; "
					 "install python3-cbor2");
		return false;
	}
	files = xcalloc(options->n_files * sizeof(File));
	for (int i = 0; i < options->n_files; i++)
	{
		if (!start_file(&files[i], options->files[i], python, options))
			return false;
	}
	for (int i = 0; i < options->n_files; i++)
	{
		if (!await_file(&files[i]))
			return false;
	}
	return true;
}
