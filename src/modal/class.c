/*-------------------------------------------------------------------------
 *
 * class.c
 *	  Class parameters and with-options, from JSON to protocol buffers.
 *
 *-------------------------------------------------------------------------
 */
#include "modal/class.h"

#include <ctype.h>
#include <json-c/json.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base64.h"
#include "core/cbor.h"

typedef struct json_object Json;
typedef Modal__Client__ClassParameterSpec ParameterSpec;
typedef Modal__Client__ClassParameterValue ParameterValue;

#define MAX_PARAMETERS 256

/* The bytes of a character after its first one, in valid UTF-8. */
static size_t
more_bytes(uint8_t first)
{
	return first < 0x80 ? 0 : first < 0xe0 ? 1 : first < 0xf0 ? 2 : 3;
}

/* JSON with what is not ASCII as \u.  False: not UTF-8, or no memory. */
static bool
put_ascii_json(Buf *out, Slice text)
{
	const uint8_t *p = (const uint8_t *) text.p;
	const uint8_t *end = p + text.n;

	if (!utf8_valid(p, text.n))
		return false;
	while (p < end)
	{
		size_t more = more_bytes(*p);
		uint32_t c = more == 0 ? *p : *p & (0x3fu >> more);

		p++;
		for (size_t i = 0; i < more; i++)
			c = c << 6 | (*p++ & 0x3f);
		if (more == 0)
			buf_put_u8(out, (uint8_t) c);
		else if (c < 0x10000)
			buf_printf(out, "\\u%04x", c);
		else
			buf_printf(out, "\\u%04x\\u%04x", 0xd800 + ((c - 0x10000) >> 10),
					   0xdc00 + ((c - 0x10000) & 0x3ff));
	}
	return !out->failed;
}

/*
 * By the strict rules, or integers that are too large would become the
 * largest.  json-c 0.18 takes what is not ASCII for control characters then.
 */
static Json *
parse_strict(Slice text)
{
	struct json_tokener *tokener = json_tokener_new();
	Json *json = NULL;
	Buf ascii;

	buf_init(&ascii, INT_MAX, NULL);
	if (tokener != NULL && put_ascii_json(&ascii, text))
	{
		json_tokener_set_flags(tokener, JSON_TOKENER_STRICT);
		json = json_tokener_parse_ex(tokener, buf_cstr(&ascii),
									 (int) ascii.len);
	}
	if (tokener != NULL)
		json_tokener_free(tokener);
	buf_free(&ascii);
	return json;
}

/* An empty object when there is no text; NULL when it is not an object. */
static Json *
parse_object(Slice text)
{
	Json *json;

	if (text.p == NULL)
		return json_object_new_object();
	json = parse_strict(text);
	if (json != NULL && !json_object_is_type(json, json_type_object))
	{
		json_object_put(json);
		return NULL;
	}
	return json;
}

/* --- class parameters ----------------------------------------------------- */

#define TYPE(name) MODAL__CLIENT__PARAMETER_TYPE__PARAM_TYPE_##name
#define VALUE(name) MODAL__CLIENT__CLASS_PARAMETER_VALUE__VALUE_ONEOF_##name
#define DEFAULT(name) MODAL__CLIENT__CLASS_PARAMETER_SPEC__DEFAULT_ONEOF_##name

static Modal__Client__ParameterType
type_of(const ParameterSpec *spec)
{
	if (spec->full_type != NULL && spec->full_type->base_type != 0)
		return spec->full_type->base_type;
	return spec->type;
}

static bool
set_default(ParameterValue *value, const ParameterSpec *spec)
{
	switch (spec->default_oneof_case)
	{
		case DEFAULT(STRING_DEFAULT):
			value->value_oneof_case = VALUE(STRING_VALUE);
			value->string_value = spec->string_default;
			return true;
		case DEFAULT(INT_DEFAULT):
			value->value_oneof_case = VALUE(INT_VALUE);
			value->int_value = spec->int_default;
			return true;
		case DEFAULT(BYTES_DEFAULT):
			value->value_oneof_case = VALUE(BYTES_VALUE);
			value->bytes_value = spec->bytes_default;
			return true;
		case DEFAULT(BOOL_DEFAULT):
			value->value_oneof_case = VALUE(BOOL_VALUE);
			value->bool_value = spec->bool_default;
			return true;
		default:
			return false;
	}
}

/* bytes holds what base64 stands for, and must outlive value. */
static bool
set_value(ParameterValue *value, Modal__Client__ParameterType type, Json *json,
		  Buf *bytes)
{
	switch (type)
	{
		case TYPE(STRING):
			value->value_oneof_case = VALUE(STRING_VALUE);
			value->string_value = (char *) json_object_get_string(json);
			return json_object_is_type(json, json_type_string);
		case TYPE(INT):
			value->value_oneof_case = VALUE(INT_VALUE);
			value->int_value = json_object_get_int64(json);
			return json_object_is_type(json, json_type_int) &&
				(value->int_value < 0 ||
				 json_object_get_uint64(json) == (uint64_t) value->int_value);
		case TYPE(BOOL):
			value->value_oneof_case = VALUE(BOOL_VALUE);
			value->bool_value = json_object_get_boolean(json);
			return json_object_is_type(json, json_type_boolean);
		case TYPE(BYTES):
			value->value_oneof_case = VALUE(BYTES_VALUE);
			if (!json_object_is_type(json, json_type_string) ||
				!base64_decode(bytes, json_object_get_string(json),
							   json_object_get_string_len(json)))
				return false;
			value->bytes_value.data = bytes->data;
			value->bytes_value.len = bytes->len;
			return true;
		default:
			return false;
	}
}

static const char *
type_name(Modal__Client__ParameterType type)
{
	switch (type)
	{
		case TYPE(STRING):
			return "a string";
		case TYPE(INT):
			return "an integer of at most 64 bits";
		case TYPE(BOOL):
			return "a boolean";
		case TYPE(BYTES):
			return "bytes, written in base64";
		default:
			return "of a type that cannot be given from SQL";
	}
}

static int
compare_specs(const void *a, const void *b)
{
	return strcmp((*(ParameterSpec *const *) a)->name,
				  (*(ParameterSpec *const *) b)->name);
}

/* One value, as a member of the set. */
static bool
put_parameter(Buf *out, const ParameterSpec *spec, Json *given,
			  ModalError *error)
{
	ParameterValue value = MODAL__CLIENT__CLASS_PARAMETER_VALUE__INIT;
	ParameterValue *list = &value;
	Modal__Client__ClassParameterSet set =
		MODAL__CLIENT__CLASS_PARAMETER_SET__INIT;
	Json *json = NULL;
	Buf bytes;
	size_t n;
	uint8_t *at;

	buf_init(&bytes, 0, NULL);
	value.name = spec->name;
	value.type = type_of(spec);
	if (json_object_object_get_ex(given, spec->name, &json))
	{
		if (!set_value(&value, value.type, json, &bytes))
		{
			modal_error(error, MODAL_SQLSTATE_REFERENCE, NULL,
						"class parameter \"%s\" must be %s", spec->name,
						type_name(value.type));
			buf_free(&bytes);
			return false;
		}
	}
	else if (!spec->has_default || !set_default(&value, spec))
	{
		modal_error(error, MODAL_SQLSTATE_REFERENCE, NULL,
					"class parameter \"%s\" is missing", spec->name);
		return false;
	}
	/* The concatenation of sets of one is the set of all. */
	set.n_parameters = 1;
	set.parameters = &list;
	n = modal__client__class_parameter_set__get_packed_size(&set);
	at = buf_extend(out, n);
	if (at != NULL)
		modal__client__class_parameter_set__pack(&set, at);
	buf_free(&bytes);
	modal_error_memory(error);
	return at != NULL;
}

static bool
all_known(const Modal__Client__ClassParameterInfo *info, Json *given,
		  ModalError *error)
{
	size_t nschema = info != NULL ? info->n_schema : 0;
	struct json_object_iter iter;

	json_object_object_foreachC(given, iter)
	{
		size_t i = 0;

		while (i < nschema && strcmp(info->schema[i]->name, iter.key) != 0)
			i++;
		if (i == nschema)
		{
			modal_error(error, MODAL_SQLSTATE_REFERENCE, NULL,
						"the remote class has no parameter \"%s\"", iter.key);
			return false;
		}
	}
	return true;
}

bool
class_parameters_encode(Buf *out, const Modal__Client__ClassParameterInfo *info,
						Slice parameters, ModalError *error)
{
	ParameterSpec *sorted[MAX_PARAMETERS];
	size_t n = info != NULL ? info->n_schema : 0;
	Json *given = parse_object(parameters);
	bool ok;

	if (given == NULL)
	{
		modal_error(error, MODAL_SQLSTATE_REFERENCE, NULL,
					"class parameters are not a JSON object");
		return false;
	}
	ok = all_known(info, given, error);
	if (ok && n > 0 &&
		(n > MAX_PARAMETERS ||
		 info->format !=
			 MODAL__CLIENT__CLASS_PARAMETER_INFO__PARAMETER_SERIALIZATION_FORMAT__PARAM_SERIALIZATION_FORMAT_PROTO))
	{
		modal_error(error, MODAL_SQLSTATE_UNSUPPORTED,
					"Declare its parameters with modal.parameter().",
					"the remote class takes parameters in a way that cannot be used from SQL");
		ok = false;
	}
	if (ok && n > 0)
	{
		memcpy(sorted, info->schema, n * sizeof(*sorted));
		qsort(sorted, n, sizeof(*sorted), compare_specs);
		for (size_t i = 0; i < n && ok; i++)
			ok = put_parameter(out, sorted[i], given, error);
	}
	json_object_put(given);
	return ok;
}

/* --- options -------------------------------------------------------------- */

#define OPTION_CASE(NAME) MODAL__CLIENT__FUNCTION_OPTIONS__##NAME

typedef bool (*OptionParser)(BindOptions *options, Json *value);

static bool
get_uint(Json *value, uint32_t min, uint32_t max, uint32_t *to)
{
	int64_t n = json_object_get_int64(value);

	if (!json_object_is_type(value, json_type_int) || n < min || n > max)
		return false;
	*to = (uint32_t) n;
	return true;
}

static bool
get_number(Json *value, double *to)
{
	*to = json_object_get_double(value);
	return json_object_is_type(value, json_type_int) ||
		json_object_is_type(value, json_type_double);
}

/* x, or [request, limit]; scaled. */
static bool
get_range(Json *value, double scale, uint32_t *request, uint32_t *limit)
{
	Json *first = value;
	Json *second = NULL;
	double a;
	double b = 0;

	if (json_object_is_type(value, json_type_array))
	{
		if (json_object_array_length(value) != 2)
			return false;
		first = json_object_array_get_idx(value, 0);
		second = json_object_array_get_idx(value, 1);
	}
	if (!get_number(first, &a) || (second != NULL && !get_number(second, &b)))
		return false;
	a *= scale;
	b *= scale;
	if (!(a > 0) || a > UINT32_MAX || (second != NULL && !(b >= a)) ||
		b > UINT32_MAX)
		return false;
	*request = (uint32_t) a;
	*limit = (uint32_t) b;
	return true;
}

static bool
option_cpu(BindOptions *o, Json *value)
{
	o->message.resources = &o->resources;
	return get_range(value, 1000, &o->resources.milli_cpu,
					 &o->resources.milli_cpu_max);
}

static bool
option_memory(BindOptions *o, Json *value)
{
	o->message.resources = &o->resources;
	return get_range(value, 1, &o->resources.memory_mb,
					 &o->resources.memory_mb_max);
}

static bool
option_gpu(BindOptions *o, Json *value)
{
	const char *text = json_object_get_string(value);
	const char *colon;
	char *end;
	long count = 1;

	if (!json_object_is_type(value, json_type_string) || text[0] == '\0')
		return false;
	colon = strchr(text, ':');
	if (colon != NULL)
	{
		count = strtol(colon + 1, &end, 10);
		if (end == colon + 1 || *end != '\0' || count < 1 || count > 1024)
			return false;
	}
	free(o->gpu_type);
	o->gpu_type = colon != NULL ? strndup(text, colon - text) : strdup(text);
	if (o->gpu_type == NULL)
		return false;
	for (char *p = o->gpu_type; *p != '\0'; p++)
		*p = toupper((unsigned char) *p);
	o->gpu.gpu_type = o->gpu_type;
	o->gpu.count = count;
	o->resources.gpu_config = &o->gpu;
	o->message.resources = &o->resources;
	return true;
}

static bool
get_member(Json *object, const char *name, double dflt, double min, double max,
		   double *to)
{
	Json *value;

	*to = dflt;
	if (json_object_object_get_ex(object, name, &value) &&
		!get_number(value, to))
		return false;
	return *to >= min && *to <= max;
}

static bool
option_retries(BindOptions *o, Json *value)
{
	Modal__Client__FunctionRetryPolicy *policy = &o->retry_policy;
	double retries;
	double coefficient;
	double initial;
	double longest;

	o->message.retry_policy = policy;
	if (json_object_is_type(value, json_type_int))
	{
		policy->backoff_coefficient = 1;
		policy->initial_delay_ms = 1000;
		policy->max_delay_ms = 60000;
		return get_uint(value, 0, 10, &policy->retries);
	}
	if (!json_object_is_type(value, json_type_object) ||
		!get_member(value, "max_retries", 0, 0, 10, &retries) ||
		!get_member(value, "backoff_coefficient", 2, 1, 10, &coefficient) ||
		!get_member(value, "initial_delay", 1, 0, 60, &initial) ||
		!get_member(value, "max_delay", 60, 1, 60, &longest))
		return false;
	policy->retries = retries;
	policy->backoff_coefficient = coefficient;
	policy->initial_delay_ms = initial * 1000;
	policy->max_delay_ms = longest * 1000;
	return true;
}

#define UINT_OPTION(function, NAME, member, min, max) \
	static bool function(BindOptions *o, Json *value) \
	{ \
		uint32_t n; \
		if (!get_uint(value, min, max, &n)) \
			return false; \
		o->message.member##_opt_case = OPTION_CASE(NAME##_OPT_##NAME); \
		o->message.member = n; \
		return true; \
	}

UINT_OPTION(option_max_containers, CONCURRENCY_LIMIT, concurrency_limit, 1,
			INT32_MAX)
UINT_OPTION(option_buffer_containers, BUFFER_CONTAINERS, buffer_containers, 0,
			INT32_MAX)
UINT_OPTION(option_scaledown_window, TASK_IDLE_TIMEOUT_SECS,
			task_idle_timeout_secs, 1, INT32_MAX)
UINT_OPTION(option_timeout, TIMEOUT_SECS, timeout_secs, 1, INT32_MAX)
UINT_OPTION(option_max_inputs, MAX_CONCURRENT_INPUTS, max_concurrent_inputs, 1,
			INT32_MAX)
UINT_OPTION(option_target_inputs, TARGET_CONCURRENT_INPUTS,
			target_concurrent_inputs, 1, INT32_MAX)
UINT_OPTION(option_max_batch_size, BATCH_MAX_SIZE, batch_max_size, 1, 1000)
UINT_OPTION(option_wait_ms, BATCH_LINGER_MS, batch_linger_ms, 0, 600000)

static bool
option_region(BindOptions *o, Json *value)
{
	bool list = json_object_is_type(value, json_type_array);
	size_t n = list ? json_object_array_length(value) : 1;

	o->regions = calloc(n + 1, sizeof(char *));
	if (o->regions == NULL)
		return false;
	for (size_t i = 0; i < n; i++)
	{
		Json *region = list ? json_object_array_get_idx(value, i) : value;

		if (!json_object_is_type(region, json_type_string))
			return false;
		o->regions[i] = (char *) json_object_get_string(region);
	}
	o->placement.regions = o->regions;
	o->placement.n_regions = n;
	o->message.scheduler_placement = &o->placement;
	return true;
}

static bool
option_cloud(BindOptions *o, Json *value)
{
	o->message.cloud_provider_str_opt_case =
		OPTION_CASE(CLOUD_PROVIDER_STR_OPT_CLOUD_PROVIDER_STR);
	o->message.cloud_provider_str = (char *) json_object_get_string(value);
	return json_object_is_type(value, json_type_string);
}

static bool
option_routing_region(BindOptions *o, Json *value)
{
	o->message.routing_region_opt_case =
		OPTION_CASE(ROUTING_REGION_OPT_ROUTING_REGION);
	o->message.routing_region = (char *) json_object_get_string(value);
	return json_object_is_type(value, json_type_string);
}

static bool
add_need(BindOptions *o, OptionNeedKind kind, const char *name,
		 const char *path)
{
	OptionNeed *need = &o->needs[o->nneeds];

	if (o->nneeds >= MAX_OPTION_NEEDS)
		return false;
	need->kind = kind;
	need->name = (char *) name;
	need->path = (char *) path;
	o->nneeds++;
	return true;
}

static bool
option_secrets(BindOptions *o, Json *value)
{
	if (!json_object_is_type(value, json_type_array))
		return false;
	for (size_t i = 0; i < json_object_array_length(value); i++)
	{
		Json *name = json_object_array_get_idx(value, i);

		if (!json_object_is_type(name, json_type_string) ||
			!add_need(o, NEED_SECRET, json_object_get_string(name), NULL))
			return false;
	}
	return true;
}

static bool
is_variable_name(const char *name)
{
	if (!isalpha((unsigned char) name[0]) && name[0] != '_')
		return false;
	while (isalnum((unsigned char) *name) || *name == '_')
		name++;
	return *name == '\0';
}

static bool
option_env(BindOptions *o, Json *value)
{
	struct json_object_iter iter;

	if (!json_object_is_type(value, json_type_object))
		return false;
	json_object_object_foreachC(value, iter)
	{
		if (!is_variable_name(iter.key) ||
			!json_object_is_type(iter.val, json_type_string))
			return false;
	}
	o->env = value;
	return add_need(o, NEED_ENV, "env", NULL);
}

static bool
option_volumes(BindOptions *o, Json *value)
{
	struct json_object_iter iter;

	if (!json_object_is_type(value, json_type_object))
		return false;
	json_object_object_foreachC(value, iter)
	{
		if (!json_object_is_type(iter.val, json_type_string) ||
			!add_need(o, NEED_VOLUME, json_object_get_string(iter.val),
					  iter.key))
			return false;
	}
	return true;
}

static const struct
{
	const char *name;
	OptionParser parse;
	const char *expected;
} option_table[] = {
	{"buffer_containers", option_buffer_containers, "an integer from 0"},
	{"cloud", option_cloud, "a string"},
	{"cpu", option_cpu, "a positive number, or [request, limit]"},
	{"env", option_env, "an object of strings, with names of environment variables"},
	{"gpu", option_gpu, "a string such as \"T4\" or \"H100:2\""},
	{"max_batch_size", option_max_batch_size, "an integer from 1 to 1000"},
	{"max_containers", option_max_containers, "an integer from 1"},
	{"max_inputs", option_max_inputs, "an integer from 1"},
	{"memory", option_memory, "a positive number of MiB, or [request, limit]"},
	{"region", option_region, "a string, or an array of strings"},
	{"retries", option_retries, "an integer from 0 to 10, or an object with max_retries, backoff_coefficient, initial_delay and max_delay"},
	{"routing_region", option_routing_region, "a string"},
	{"scaledown_window", option_scaledown_window, "an integer of seconds, from 1"},
	{"secrets", option_secrets, "an array of names"},
	{"target_inputs", option_target_inputs, "an integer from 1"},
	{"timeout", option_timeout, "an integer of seconds, from 1"},
	{"volumes", option_volumes, "an object from mount paths to names"},
	{"wait_ms", option_wait_ms, "an integer from 0 to 600000"},
};

static bool
parse_option(BindOptions *options, const char *name, Json *value,
			 ModalError *error)
{
	for (size_t i = 0; i < sizeof(option_table) / sizeof(option_table[0]); i++)
	{
		if (strcmp(option_table[i].name, name) != 0)
			continue;
		if (option_table[i].parse(options, value))
			return true;
		modal_error(error, MODAL_SQLSTATE_REFERENCE, NULL,
					"invalid value of function option \"%s\"", name);
		snprintf(error->detail, sizeof(error->detail), "It must be %s.",
				 option_table[i].expected);
		return false;
	}
	modal_error(error, MODAL_SQLSTATE_REFERENCE,
				"Valid options are buffer_containers, cloud, cpu, env, gpu, max_batch_size, max_containers, max_inputs, memory, region, retries, routing_region, scaledown_window, secrets, target_inputs, timeout, volumes, wait_ms.",
				"unknown function option \"%s\"", name);
	return false;
}

static bool
check_together(const BindOptions *options, ModalError *error)
{
	const Modal__Client__FunctionOptions *message = &options->message;

	if (message->max_concurrent_inputs_opt_case == 0 ||
		message->target_concurrent_inputs <= message->max_concurrent_inputs)
		return true;
	modal_error(error, MODAL_SQLSTATE_REFERENCE, NULL,
				"function option \"target_inputs\" must not be more than \"max_inputs\"");
	return false;
}

bool
bind_options_parse(BindOptions *options, Slice text, ModalError *error)
{
	struct json_object_iter iter;

	memset(options, 0, sizeof(*options));
	modal__client__function_options__init(&options->message);
	modal__client__resources__init(&options->resources);
	modal__client__gpuconfig__init(&options->gpu);
	modal__client__function_retry_policy__init(&options->retry_policy);
	modal__client__scheduler_placement__init(&options->placement);
	options->json = parse_object(text);
	if (options->json == NULL)
	{
		modal_error(error, MODAL_SQLSTATE_REFERENCE, NULL,
					"function options are not a JSON object");
		return false;
	}
	json_object_object_foreachC(options->json, iter)
	{
		if (!parse_option(options, iter.key, iter.val, error))
			return false;
	}
	return check_together(options, error);
}

bool
bind_options_complete(BindOptions *options)
{
	Modal__Client__FunctionOptions *message = &options->message;
	size_t n = options->nneeds;

	options->secret_ids = calloc(n + 1, sizeof(char *));
	options->volumes = calloc(n + 1, sizeof(*options->volumes));
	options->volume_list = calloc(n + 1, sizeof(*options->volume_list));
	if (options->secret_ids == NULL || options->volumes == NULL ||
		options->volume_list == NULL)
		return false;
	message->secret_ids = options->secret_ids;
	message->volume_mounts = options->volume_list;
	for (size_t i = 0; i < n; i++)
	{
		const OptionNeed *need = &options->needs[i];
		Modal__Client__VolumeMount *volume;

		if (need->kind != NEED_VOLUME)
		{
			message->secret_ids[message->n_secret_ids++] = need->id;
			continue;
		}
		volume = &options->volumes[message->n_volume_mounts];
		modal__client__volume_mount__init(volume);
		volume->volume_id = need->id;
		volume->mount_path = need->path;
		volume->allow_background_commits = true;
		options->volume_list[message->n_volume_mounts++] = volume;
	}
	message->replace_secret_ids = message->n_secret_ids > 0;
	message->replace_volume_mounts = message->n_volume_mounts > 0;
	return true;
}

void
bind_options_free(BindOptions *options)
{
	for (int i = 0; i < options->nneeds; i++)
		free(options->needs[i].id);
	free(options->gpu_type);
	free(options->regions);
	free(options->secret_ids);
	free(options->volumes);
	free(options->volume_list);
	json_object_put(options->json);
}
