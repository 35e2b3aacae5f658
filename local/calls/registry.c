/*-------------------------------------------------------------------------
 *
 * registry.c
 *	  Functions that are served, and their variants with parameters or options.
 *
 * Ids are digests of what they stand for, so that they survive a restart: a
 * client's cache of them stays good, and so do the calls in the journal once
 * the same files are served again.
 *
 *-------------------------------------------------------------------------
 */
#include "calls/registry.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>

#include "calls/journal.h"
#include "calls/secrets.h"

#define ID_DIGITS 22
#define MAX_HANDLES 10000 /* clients can make variants at will */
#define MAX_EXECUTORS 64

/* A variant that is in the journal. */
typedef struct Known
{
	char id[FUNCTION_ID_SIZE];
	char *base_id;
	uint8_t *params;
	size_t params_len;
	uint8_t *options; /* packed */
	size_t options_len;
} Known;

static struct
{
	Table by_name; /* app, zero, tag */
	Table by_id;
	Table known; /* Known by id: variants of before, made when asked for */
	Handle **handles;
	int n_handles;
	Function **functions; /* replaced ones too: executions may be of them */
	int n_functions;
	Executor *executors[MAX_EXECUTORS];
	int n_executors;
	uint64_t generation;
} registry;

static Handle *bind_known(const char *id);

void
executor_register(Executor *executor)
{
	if (registry.n_executors == MAX_EXECUTORS)
		die("too many executors");
	registry.executors[registry.n_executors++] = executor;
}

void
executors_shutdown(void)
{
	for (int i = 0; i < registry.n_executors; i++)
		registry.executors[i]->shutdown(registry.executors[i]);
}

/* --- ids ----------------------------------------------------------------- */

typedef struct Part
{
	const void *data;
	size_t len;
} Part;

/* prefix-DIGITS of the digest of parts, each with its length. */
static void
digest_id(char *out, const char *prefix, const Part *parts, int n_parts)
{
	static const char digits[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
	uint8_t digest[32];
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	int n = snprintf(out, FUNCTION_ID_SIZE, "%s-", prefix);

	if (ctx == NULL || EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) != 1)
		die("cannot compute a digest");
	for (int i = 0; i < n_parts; i++)
	{
		uint64_t len = parts[i].len;

		EVP_DigestUpdate(ctx, &len, sizeof(len));
		EVP_DigestUpdate(ctx, parts[i].data, parts[i].len);
	}
	EVP_DigestFinal_ex(ctx, digest, NULL);
	EVP_MD_CTX_free(ctx);
	for (int i = 0; i < ID_DIGITS; i++)
		out[n++] = digits[digest[i] & 31];
	out[n] = '\0';
}

void
registry_bytes_id(char *out, const char *prefix, const void *data, size_t len)
{
	Part part = {data, len};

	digest_id(out, prefix, &part, 1);
}

void
registry_name_id(char *out, const char *prefix, const char *name)
{
	registry_bytes_id(out, prefix, name, strlen(name));
}

static void
apply_options(Handle *handle, const Modal__Client__FunctionOptions *options)
{
	if (options->n_secret_ids > 0)
		handle->environment =
			secrets_environment(options->secret_ids, options->n_secret_ids);
	if (options->retry_policy != NULL)
		handle->retry = (RetryPolicy){
			.retries = options->retry_policy->retries,
			.backoff_coefficient = options->retry_policy->backoff_coefficient,
			.initial_delay_ms = options->retry_policy->initial_delay_ms,
			.max_delay_ms = options->retry_policy->max_delay_ms,
		};
	if (options->timeout_secs_opt_case ==
		MODAL__CLIENT__FUNCTION_OPTIONS__TIMEOUT_SECS_OPT_TIMEOUT_SECS)
		handle->timeout_secs = options->timeout_secs;
	if (options->concurrency_limit_opt_case ==
		MODAL__CLIENT__FUNCTION_OPTIONS__CONCURRENCY_LIMIT_OPT_CONCURRENCY_LIMIT)
		handle->max_containers = options->concurrency_limit;
	if (options->buffer_containers_opt_case ==
		MODAL__CLIENT__FUNCTION_OPTIONS__BUFFER_CONTAINERS_OPT_BUFFER_CONTAINERS)
		handle->buffer_containers = options->buffer_containers;
	if (options->task_idle_timeout_secs_opt_case ==
		MODAL__CLIENT__FUNCTION_OPTIONS__TASK_IDLE_TIMEOUT_SECS_OPT_TASK_IDLE_TIMEOUT_SECS)
		handle->scaledown_window = options->task_idle_timeout_secs;
	if (options->routing_region_opt_case ==
		MODAL__CLIENT__FUNCTION_OPTIONS__ROUTING_REGION_OPT_ROUTING_REGION)
		handle->region = options->routing_region;
}

/* --- functions ----------------------------------------------------------- */

static void
add_handle(Handle *handle)
{
	table_put(&registry.by_id, handle->id, strlen(handle->id), handle);
	registry.handles = xrealloc(registry.handles,
								((size_t) registry.n_handles + 1) *
									sizeof(Handle *));
	registry.handles[registry.n_handles++] = handle;
}

/* app, zero, name with ".*" for a class; to be freed. */
static char *
full_name(const char *app, const char *tag, size_t *len)
{
	char *name = xasprintf("%s%c%s", app, '\0', tag);

	*len = strlen(app) + 1 + strlen(tag);
	return name;
}

/* What a variant has of its base and of its own. */
static void
derive(Handle *handle)
{
	const Handle *base = handle->base;

	handle->function = base->function;
	handle->region = base->region;
	handle->retry = base->retry;
	handle->timeout_secs = base->timeout_secs;
	if (handle->options != NULL)
		apply_options(handle, handle->options);
}

static const Handle *
root_of(const Handle *handle)
{
	while (handle->base != NULL)
		handle = handle->base;
	return handle;
}

static void
set_function(Handle *handle, const Function *function)
{
	Function *copy = xmalloc(sizeof(*copy));

	registry.generation++;
	*copy = *function;
	registry.functions = xrealloc(registry.functions,
								  ((size_t) registry.n_functions + 1) *
									  sizeof(Function *));
	registry.functions[registry.n_functions++] = copy;
	handle->function = copy;
	handle->gone = false;
	handle->region = copy->region;
	handle->retry = copy->retry;
	handle->timeout_secs = copy->timeout_secs;
	/* A variant comes after its base. */
	for (int i = 0; i < registry.n_handles; i++)
		if (registry.handles[i]->base != NULL &&
			root_of(registry.handles[i]) == handle)
			derive(registry.handles[i]);
}

bool
function_add(const Function *function)
{
	char *tag = xasprintf("%s%s", function->name,
						  function->is_class ? ".*" : "");
	size_t len;
	char *name = full_name(function->app, tag, &len);
	Handle *handle = table_get(&registry.by_name, name, len);
	Part part = {name, len};

	free(tag);
	if (handle != NULL)
	{
		bool ours = handle->gone ||
					handle->function->executor == function->executor;

		free(name);
		if (ours)
			set_function(handle, function);
		return ours;
	}
	handle = xcalloc(sizeof(*handle));
	handle->min_containers = handle->max_containers = UNSET;
	handle->buffer_containers = handle->scaledown_window = UNSET;
	handle->activity = xcalloc(sizeof(Activity));
	digest_id(handle->id, "fu", &part, 1);
	set_function(handle, function);
	table_put(&registry.by_name, name, len, handle);
	add_handle(handle);
	return true;
}

/* A function's own handle, not that of a variant; "gone" marks what is. */
static bool
is_of(const Handle *handle, const Executor *executor)
{
	return handle->base == NULL && handle->function->executor == executor;
}

void
functions_begin(const Executor *executor)
{
	for (int i = 0; i < registry.n_handles; i++)
		if (is_of(registry.handles[i], executor))
			registry.handles[i]->gone = true;
}

/* Variants go with their base. */
void
functions_end(const Executor *executor)
{
	for (int i = 0; i < registry.n_handles; i++)
	{
		Handle *handle = registry.handles[i];

		if (handle->base != NULL && handle->function->executor == executor)
			handle->gone = handle->base->gone;
	}
	registry.generation++;
	executor_changed();
}

uint64_t
registry_generation(void)
{
	return registry.generation;
}

void
registry_for_each(void (*visit)(const Handle *handle, void *arg), void *arg)
{
	for (int i = 0; i < registry.n_handles; i++)
		if (registry.handles[i]->base == NULL && !registry.handles[i]->gone)
			visit(registry.handles[i], arg);
}

const Handle *
registry_variant(const Handle *base, int *place)
{
	while (*place < registry.n_handles)
	{
		const Handle *handle = registry.handles[(*place)++];

		if (handle->base != NULL && root_of(handle) == base)
			return handle;
	}
	return NULL;
}

static Handle *
if_served(Handle *handle)
{
	return handle != NULL && !handle->gone ? handle : NULL;
}

Handle *
registry_find(const char *app, const char *tag)
{
	size_t len;
	char *name = full_name(app, tag, &len);
	Handle *handle = table_get(&registry.by_name, name, len);

	free(name);
	return if_served(handle);
}

Handle *
registry_get(const char *function_id)
{
	Handle *handle = table_get_str(&registry.by_id, function_id);

	return if_served(handle != NULL ? handle : bind_known(function_id));
}

const char *
parameter_type_name(ParameterType type)
{
	switch ((int) type)
	{
		case PARAM_STRING:
			return "str";
		case PARAM_BYTES:
			return "bytes";
		case PARAM_BOOL:
			return "bool";
		default:
			return "int";
	}
}

const Method *
function_method(const Function *function, const char *name, size_t name_len)
{
	for (int i = 0; i < function->n_methods; i++)
		if (strlen(function->methods[i].name) == name_len &&
			memcmp(function->methods[i].name, name, name_len) == 0)
			return &function->methods[i];
	return NULL;
}

/* --- variants ------------------------------------------------------------ */

static const Parameter *
find_parameter(const Function *function, const char *name)
{
	for (int i = 0; i < function->n_parameters; i++)
		if (strcmp(function->parameters[i].name, name) == 0)
			return &function->parameters[i];
	return NULL;
}

static bool
value_has_type(const Modal__Client__ClassParameterValue *value)
{
	switch (value->type)
	{
		case PARAM_STRING:
			return value->value_oneof_case ==
				   MODAL__CLIENT__CLASS_PARAMETER_VALUE__VALUE_ONEOF_STRING_VALUE;
		case PARAM_INT:
			return value->value_oneof_case ==
				   MODAL__CLIENT__CLASS_PARAMETER_VALUE__VALUE_ONEOF_INT_VALUE;
		case PARAM_BYTES:
			return value->value_oneof_case ==
				   MODAL__CLIENT__CLASS_PARAMETER_VALUE__VALUE_ONEOF_BYTES_VALUE;
		case PARAM_BOOL:
			return value->value_oneof_case ==
				   MODAL__CLIENT__CLASS_PARAMETER_VALUE__VALUE_ONEOF_BOOL_VALUE;
		default:
			return false;
	}
}

/* What is wrong with a parameter, and which there are; valid until the next. */
static const char *
explain(const Function *function, const char *what, const char *name)
{
	static Buf text;

	if (text.grow == NULL)
		buf_init(&text, 0, xbuf_realloc);
	buf_reset(&text);
	buf_printf(&text, "%s%s%s%s; class %s has: ", what,
			   name != NULL ? " \"" : "", name != NULL ? name : "",
			   name != NULL ? "\"" : "", function->name);
	for (int i = 0; i < function->n_parameters; i++)
		buf_printf(&text, "%s%s: %s", i > 0 ? ", " : "",
				   function->parameters[i].name,
				   parameter_type_name(function->parameters[i].type));
	return buf_cstr(&text);
}

/* Why the parameters do not suit the class; NULL: they do. */
static const char *
check_params(const Function *function, ProtobufCBinaryData params)
{
	Modal__Client__ClassParameterSet *set;
	const char *error = NULL;
	size_t n_given = 0;

	if (!function->is_class)
		return params.len == 0 ? NULL : "a function takes no parameters";
	if (function->n_parameters == 0)
		return NULL; /* a pickle of nothing, perhaps */
	set = modal__client__class_parameter_set__unpack(NULL, params.len,
													 params.data);
	if (set == NULL)
		return "serialized_params is not a ClassParameterSet";
	for (size_t i = 0; i < set->n_parameters && error == NULL; i++)
	{
		const Modal__Client__ClassParameterValue *value = set->parameters[i];
		const Parameter *parameter = find_parameter(function, value->name);

		if (parameter == NULL)
			error = explain(function, "unknown class parameter", value->name);
		else if (parameter->type != value->type || !value_has_type(value))
			error = explain(function, "wrong type of class parameter",
							value->name);
		else
			n_given++;
	}
	/* Clients add the defaults, so all are there. */
	if (error == NULL && n_given != (size_t) function->n_parameters)
		error = explain(function, "missing class parameter", NULL);
	modal__client__class_parameter_set__free_unpacked(set, NULL);
	return error;
}

static void
record_handle(const Handle *handle, const uint8_t *options, size_t options_len)
{
	if (!journal_begin(RECORD_HANDLE))
		return;
	journal_text(handle->base->id, strlen(handle->base->id));
	journal_text(handle->params, handle->params_len);
	journal_text(options, options_len);
	journal_end();
}

static void
variant_id(char *out, const char *base_id, const Part *params,
		   const Part *options)
{
	Part parts[] = {{base_id, strlen(base_id)}, *params, *options};

	digest_id(out, "fu", parts, 3);
}

static Handle *
add_variant(Handle *base, const char *id, ProtobufCBinaryData params,
			const Part *packed)
{
	Handle *handle = xcalloc(sizeof(*handle));

	*handle = *base;
	handle->calls = NULL;
	handle->history = (History){NULL};
	handle->base = base;
	handle->options = NULL;
	memcpy(handle->id, id, FUNCTION_ID_SIZE);
	if (params.len > 0)
	{
		uint8_t *copy = xmalloc(params.len);

		memcpy(copy, params.data, params.len);
		handle->params = copy;
		handle->params_len = params.len;
	}
	if (packed->len > 0)
	{
		handle->options = modal__client__function_options__unpack(
			NULL, packed->len, packed->data);
		apply_options(handle, handle->options);
	}
	add_handle(handle);
	return handle;
}

Handle *
registry_bind(Handle *base, ProtobufCBinaryData params,
			  const Modal__Client__FunctionOptions *options,
			  const char **error)
{
	size_t packed_len = options != NULL
							? protobuf_c_message_get_packed_size(&options->base)
							: 0;
	uint8_t *bytes = xmalloc(packed_len);
	Part packed = {bytes, packed_len};
	char id[FUNCTION_ID_SIZE];
	Handle *handle;

	if (packed_len > 0)
		protobuf_c_message_pack(&options->base, bytes);
	variant_id(id, base->id, &(Part){params.data, params.len}, &packed);
	handle = table_get_str(&registry.by_id, id);
	*error = NULL;
	if (handle == NULL)
		*error = registry.n_handles < MAX_HANDLES
					 ? check_params(base->function, params)
					 : "too many variants of functions";
	if (handle == NULL && *error == NULL && options != NULL &&
		options->n_secret_ids > 0 &&
		secrets_environment(options->secret_ids, options->n_secret_ids) == NULL)
		*error = "unknown secret";
	if (handle == NULL && *error == NULL)
	{
		handle = add_variant(base, id, params, &packed);
		if (table_get_str(&registry.known, id) == NULL)
			record_handle(handle, bytes, packed_len);
	}
	free(bytes);
	return handle;
}

/* --- the journal --------------------------------------------------------- */

static void
forget_known(Known *known)
{
	table_delete(&registry.known, known->id, strlen(known->id));
	free(known->base_id);
	free(known->params);
	free(known->options);
	free(known);
}

/* NULL: it is not known, or cannot be made. */
static Handle *
bind_known(const char *id)
{
	const Known *known = table_get_str(&registry.known, id);
	Handle *base = known != NULL ? registry_get(known->base_id) : NULL;
	Modal__Client__FunctionOptions *options = NULL;
	const char *error;
	Handle *handle;

	if (base == NULL)
		return NULL;
	if (known->options_len > 0)
		options = modal__client__function_options__unpack(
			NULL, known->options_len, known->options);
	/* A secret that went with the process is no obstacle to the rest. */
	handle = registry_bind(
		base, (ProtobufCBinaryData){known->params_len, known->params}, options,
		&error);
	if (options != NULL)
		modal__client__function_options__free_unpacked(options, NULL);
	return handle;
}

static uint8_t *
copy_text(Text text)
{
	uint8_t *copy = xmalloc(text.len);

	memcpy(copy, text.data, text.len);
	return copy;
}

/* The id of the variant that a record is of. */
static void
read_handle(Record *record, char *id, char **base_id, Text *params,
			Text *options)
{
	*base_id = record_string(record);
	*params = record_text(record);
	*options = record_text(record);
	variant_id(id, *base_id, &(Part){params->data, params->len},
			   &(Part){options->data, options->len});
}

static void
take_handle(Record *record)
{
	Known *known = xcalloc(sizeof(*known));
	Text params;
	Text options;

	read_handle(record, known->id, &known->base_id, &params, &options);
	known->params = copy_text(params);
	known->params_len = params.len;
	known->options = copy_text(options);
	known->options_len = options.len;
	if (record->failed || table_get_str(&registry.known, known->id) != NULL)
	{
		free(known->base_id);
		free(known->params);
		free(known->options);
		free(known);
	}
	else
		table_put(&registry.known, known->id, strlen(known->id), known);
}

/* Clients may name any, but there is no room for all for ever. */
static bool
handle_needed(Record *record)
{
	char id[FUNCTION_ID_SIZE];
	char *base_id;
	Text params;
	Text options;
	Known *known;
	bool made;

	read_handle(record, id, &base_id, &params, &options);
	free(base_id);
	made = table_get_str(&registry.by_id, id) != NULL;
	known = table_get_str(&registry.known, id);
	if (!made && known != NULL && registry.known.used > MAX_HANDLES)
	{
		forget_known(known);
		return false;
	}
	return made || known != NULL;
}

void
registry_init(void)
{
	static const RecordKind handles = {.take = take_handle,
									   .needed = handle_needed};

	journal_register(RECORD_HANDLE, &handles);
}
