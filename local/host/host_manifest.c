/*-------------------------------------------------------------------------
 *
 * host_manifest.c
 *	  What a Python file offers, as its host tells.
 *
 *-------------------------------------------------------------------------
 */
#include "host/host_manifest.h"

#include <stdlib.h>
#include <string.h>

#include "util.h"

static const char *
string_of(json_object *object, const char *key)
{
	return json_object_get_string(json_object_object_get(object, key));
}

/* 0 when it is not there. */
static int
int_of(json_object *object, const char *key)
{
	return json_object_get_int(json_object_object_get(object, key));
}

static double
double_of(json_object *object, const char *key)
{
	return json_object_get_double(json_object_object_get(object, key));
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
		methods[i].target = int_of(entry, "target");
		methods[i].generator =
			json_object_get_boolean(json_object_object_get(entry, "generator"));
		methods[i].signature = string_of(entry, "signature");
		methods[i].batch = int_of(entry, "batch");
		methods[i].batch_wait = double_of(entry, "batch_wait");
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

/* Words that are in a list, with commas; NULL: none. */
static const char *
join(json_object *list)
{
	Buf text;

	if (json_object_array_length(list) == 0)
		return NULL;
	buf_init(&text, 0, xbuf_realloc);
	for (size_t i = 0; i < json_object_array_length(list); i++)
		buf_printf(&text, "%s%s", i > 0 ? ", " : "",
				   json_object_get_string(json_object_array_get_idx(list, i)));
	return buf_cstr(&text);
}

/* What was said in decorators. */
static void
describe_options(Function *function, json_object *entry)
{
	json_object *retries;
	json_object *ignored;

	function->timeout_secs = (uint32_t) int_of(entry, "timeout");
	function->batch = int_of(entry, "batch");
	function->batch_wait = double_of(entry, "batch_wait");
	if (json_object_object_get_ex(entry, "retries", &retries))
		function->retry = (RetryPolicy){
			.retries = (uint32_t) int_of(retries, "count"),
			.backoff_coefficient = (float) double_of(retries, "factor"),
			.initial_delay_ms = (uint32_t) int_of(retries, "delay"),
			.max_delay_ms = (uint32_t) int_of(retries, "max_delay"),
		};
	if (json_object_object_get_ex(entry, "ignored", &ignored))
		function->ignored = join(ignored);
}

static bool
announce(json_object *entry, bool is_class, Executor *executor,
		 const char *file, const char *web_url)
{
	Function function = {
		.app = string_of(entry, "app"),
		.name = string_of(entry, "name"),
		.executor = executor,
		.signature = string_of(entry, "signature"),
		.doc = string_of(entry, "doc"),
	};

	describe_options(&function, entry);
	if (is_class)
		describe_class(&function, entry);
	else
	{
		function.target = int_of(entry, "target");
		function.generator =
			json_object_get_boolean(json_object_object_get(entry, "generator"));
	}
	if (string_of(entry, "web") != NULL)
	{
		char *app = url_encode(function.app);
		char *name = url_encode(function.name);

		function.web_url = xasprintf("%s/%s/%s", web_url, app, name);
		free(app);
		free(name);
	}
	if (function_add(&function))
		return true;
	complain("%s: %s/%s is defined already", file, function.app,
			 function.name);
	return false;
}

bool
manifest_announce(json_object *manifest, Executor *executor, const char *file,
				  const char *web_url)
{
	static const char *const keys[] = {"functions", "classes"};
	json_object *left_out;
	bool all = true;

	functions_begin(executor);
	for (int k = 0; k < 2; k++)
	{
		json_object *entries = json_object_object_get(manifest, keys[k]);

		for (size_t i = 0; i < json_object_array_length(entries); i++)
			all &= announce(json_object_array_get_idx(entries, i), k == 1,
							executor, file, web_url);
	}
	functions_end(executor);
	left_out = json_object_object_get(manifest, "left_out");
	for (size_t i = 0; i < json_object_array_length(left_out); i++)
		complain("%s: not served: %s", file,
				 json_object_get_string(
					 json_object_array_get_idx(left_out, i)));
	return all;
}

bool
manifest_same_targets(json_object *manifest, const char *json)
{
	json_object *other = json_tokener_parse(json);
	bool same =
		json_object_equal(json_object_object_get(manifest, "targets"),
						  json_object_object_get(other, "targets")) != 0;

	json_object_put(other);
	return same;
}

bool
manifest_has_file(json_object *manifest, const char *name)
{
	json_object *files = json_object_object_get(manifest, "files");

	for (size_t i = 0; i < json_object_array_length(files); i++)
		if (strcmp(json_object_get_string(json_object_array_get_idx(files, i)),
				   name) == 0)
			return true;
	return false;
}
