/*-------------------------------------------------------------------------
 *
 * service_lookup.c
 *	  Looking functions and classes up, and what is told about them.
 *
 *-------------------------------------------------------------------------
 */
#include "api/service.h"
#include "api/text.h"
#include "calls/calls.h"
#include "calls/registry.h"
#include "options.h"

typedef Modal__Client__FunctionHandleMetadata Metadata;
typedef Modal__Client__ClassParameterSpec ParameterSpec;

#define LIVE_VERSION 1 /* of every app */

/* --- metadata ------------------------------------------------------------ */

static ParameterSpec *
describe_parameter(Arena *arena, const Parameter *parameter)
{
	ParameterSpec *spec = arena_alloc(arena, sizeof(*spec));
	Modal__Client__GenericPayloadType *type =
		arena_alloc(arena, sizeof(*type));

	modal__client__class_parameter_spec__init(spec);
	modal__client__generic_payload_type__init(type);
	type->base_type = parameter->type;
	spec->name = unconst(parameter->name);
	spec->type = parameter->type;
	spec->full_type = type;
	spec->has_default = parameter->has_default;
	if (!parameter->has_default)
		return spec;
	switch (parameter->type)
	{
		case PARAM_STRING:
			spec->default_oneof_case =
				MODAL__CLIENT__CLASS_PARAMETER_SPEC__DEFAULT_ONEOF_STRING_DEFAULT;
			spec->string_default = arena_strndup(
				arena, parameter->bytes_default, parameter->bytes_default_len);
			break;
		case PARAM_INT:
			spec->default_oneof_case =
				MODAL__CLIENT__CLASS_PARAMETER_SPEC__DEFAULT_ONEOF_INT_DEFAULT;
			spec->int_default = parameter->int_default;
			break;
		case PARAM_BOOL:
			spec->default_oneof_case =
				MODAL__CLIENT__CLASS_PARAMETER_SPEC__DEFAULT_ONEOF_BOOL_DEFAULT;
			spec->bool_default = parameter->int_default != 0;
			break;
		default:
			spec->default_oneof_case =
				MODAL__CLIENT__CLASS_PARAMETER_SPEC__DEFAULT_ONEOF_BYTES_DEFAULT;
			spec->bytes_default.data = (uint8_t *) unconst(parameter->bytes_default);
			spec->bytes_default.len = parameter->bytes_default_len;
	}
	return spec;
}

static void
describe_class_parameters(Arena *arena, const Function *function,
						  Metadata *metadata)
{
	Modal__Client__ClassParameterInfo *info =
		arena_alloc(arena, sizeof(*info));

	modal__client__class_parameter_info__init(info);
	info->format =
		MODAL__CLIENT__CLASS_PARAMETER_INFO__PARAMETER_SERIALIZATION_FORMAT__PARAM_SERIALIZATION_FORMAT_PROTO;
	info->n_schema = (size_t) function->n_parameters;
	info->schema = arena_alloc(arena, info->n_schema * sizeof(*info->schema));
	for (size_t i = 0; i < info->n_schema; i++)
		info->schema[i] = describe_parameter(arena, &function->parameters[i]);
	metadata->class_parameter_info = info;
}

/* What a function, a class and a method have in common. */
static Metadata *
describe_common(Rpc *rpc, const Handle *handle, const char *name,
				bool generator)
{
	static Modal__Client__DataFormat formats[] = {FORMAT_PICKLE, FORMAT_CBOR,
												  FORMAT_GENERATOR_DONE};
	Arena *arena = &rpc->arena;
	const Function *function = handle->function;
	Metadata *m = arena_alloc(arena, sizeof(*m));
	char *app_id = arena_alloc(arena, FUNCTION_ID_SIZE);

	modal__client__function_handle_metadata__init(m);
	registry_name_id(app_id, "ap", function->app);
	m->app_id = app_id;
	m->function_name = unconst(name);
	m->definition_id = unconst(handle->base != NULL ? handle->base->id
													: handle->id);
	m->base_function_id = m->definition_id;
	m->function_type =
		generator
			? MODAL__CLIENT__FUNCTION__FUNCTION_TYPE__FUNCTION_TYPE_GENERATOR
			: MODAL__CLIENT__FUNCTION__FUNCTION_TYPE__FUNCTION_TYPE_FUNCTION;
	if (function->web_url != NULL)
		m->web_url = unconst(function->web_url);
	m->max_object_size_bytes_opt_case =
		MODAL__CLIENT__FUNCTION_HANDLE_METADATA__MAX_OBJECT_SIZE_BYTES_OPT_MAX_OBJECT_SIZE_BYTES;
	m->max_object_size_bytes = (uint64_t) options.max_inline;
	m->max_async_object_size_bytes_opt_case =
		MODAL__CLIENT__FUNCTION_HANDLE_METADATA__MAX_ASYNC_OBJECT_SIZE_BYTES_OPT_MAX_ASYNC_OBJECT_SIZE_BYTES;
	m->max_async_object_size_bytes = (uint64_t) options.max_async_inline;
	if (!function->pickle_only)
	{
		m->n_supported_input_formats = 2;
		m->supported_input_formats = formats;
		m->n_supported_output_formats = generator ? 3 : 2;
		m->supported_output_formats = formats;
	}
	if (handle->region != NULL)
	{
		m->input_plane_url_opt_case =
			MODAL__CLIENT__FUNCTION_HANDLE_METADATA__INPUT_PLANE_URL_OPT_INPUT_PLANE_URL;
		m->input_plane_url = arena_printf(
			arena, "%s://%s", rpc->headers[HEADER_SCHEME],
			rpc->headers[HEADER_AUTHORITY]);
		m->input_plane_region_opt_case =
			MODAL__CLIENT__FUNCTION_HANDLE_METADATA__INPUT_PLANE_REGION_OPT_INPUT_PLANE_REGION;
		m->input_plane_region = unconst(handle->region);
	}
	return m;
}

static void
describe_methods(Rpc *rpc, const Handle *handle, Metadata *metadata)
{
	Arena *arena = &rpc->arena;
	const Function *function = handle->function;
	size_t n = (size_t) function->n_methods;

	metadata->n_method_handle_metadata = n;
	metadata->method_handle_metadata =
		arena_alloc(arena, n * sizeof(*metadata->method_handle_metadata));
	for (size_t i = 0; i < n; i++)
	{
		Modal__Client__FunctionHandleMetadata__MethodHandleMetadataEntry *entry =
			arena_alloc(arena, sizeof(*entry));
		const Method *method = &function->methods[i];
		Metadata *m;

		modal__client__function_handle_metadata__method_handle_metadata_entry__init(
			entry);
		m = describe_common(rpc, handle,
							arena_printf(arena, "%s.%s", function->name,
										 method->name),
							method->generator);
		m->is_method = true;
		m->use_method_name = unconst(method->name);
		m->use_function_id = unconst(handle->id);
		entry->key = unconst(method->name);
		entry->value = m;
		metadata->method_handle_metadata[i] = entry;
	}
}

static Metadata *
describe(Rpc *rpc, const Handle *handle)
{
	const Function *function = handle->function;
	Metadata *m = describe_common(
		rpc, handle,
		function->is_class ? arena_printf(&rpc->arena, "%s.*", function->name)
						   : function->name,
		function->generator);

	if (handle->base != NULL)
		m->use_function_id = unconst(handle->id);
	if (function->is_class)
	{
		describe_class_parameters(&rpc->arena, function, m);
		describe_methods(rpc, handle, m);
	}
	return m;
}

/* --- handlers ------------------------------------------------------------ */

/* NULL: not found, and the Rpc is answered. */
static Handle *
find_handle(Rpc *rpc, const char *app, const char *tag,
			const char *environment, int32_t version)
{
	Handle *handle = NULL;

	if (environment_known(environment) &&
		(version == 0 || version == LIVE_VERSION))
		handle = registry_find(app, tag);
	if (handle == NULL)
		rpc_fail(rpc, GRPC_NOT_FOUND,
				 "Function '%s' of app '%s' not found in environment '%s'%s",
				 tag, app, environment[0] != '\0' ? environment : "main",
				 version > LIVE_VERSION ? " (no such version)" : "");
	return handle;
}

void
service_function_get(Rpc *rpc)
{
	Modal__Client__FunctionGetRequest *request =
		rpc_unpack(rpc, &modal__client__function_get_request__descriptor);
	Modal__Client__FunctionGetResponse reply =
		MODAL__CLIENT__FUNCTION_GET_RESPONSE__INIT;
	Handle *handle;

	if (request == NULL)
		return;
	handle = find_handle(rpc, request->app_name, request->object_tag,
						 request->environment_name, request->app_version);
	if (handle == NULL)
		return;
	rpc_log(rpc, "function=%s/%s", handle->function->app,
			handle->function->name);
	rpc_log(rpc, "environment=%s", request->environment_name);
	rpc_log(rpc, "version=%d", request->app_version);
	reply.function_id = handle->id;
	reply.handle_metadata = describe(rpc, handle);
	reply.n_server_warnings = service_warnings(rpc, &reply.server_warnings);
	rpc_reply_message(rpc, &reply.base);
}

void
service_function_get_by_id(Rpc *rpc)
{
	Modal__Client__FunctionGetByIdRequest *request =
		rpc_unpack(rpc, &modal__client__function_get_by_id_request__descriptor);
	Modal__Client__FunctionGetByIdResponse reply =
		MODAL__CLIENT__FUNCTION_GET_BY_ID_RESPONSE__INIT;
	Modal__Client__FunctionData data = MODAL__CLIENT__FUNCTION_DATA__INIT;
	const Handle *handle;

	if (request == NULL)
		return;
	handle = service_find_function(rpc, request->function_id);
	if (handle == NULL)
		return;
	data.function_name = unconst(handle->function->name);
	data.is_class = handle->function->is_class;
	reply.function = &data;
	reply.handle_metadata = describe(rpc, handle);
	rpc_reply_message(rpc, &reply.base);
}

void
service_class_get(Rpc *rpc)
{
	Modal__Client__ClassGetRequest *request =
		rpc_unpack(rpc, &modal__client__class_get_request__descriptor);
	Modal__Client__ClassGetResponse reply =
		MODAL__CLIENT__CLASS_GET_RESPONSE__INIT;
	Modal__Client__ClassHandleMetadata metadata =
		MODAL__CLIENT__CLASS_HANDLE_METADATA__INIT;
	char id[FUNCTION_ID_SIZE];
	Handle *handle;

	if (request == NULL)
		return;
	handle = find_handle(
		rpc, request->app_name,
		arena_printf(&rpc->arena, "%s.*", request->object_tag),
		request->environment_name, request->app_version);
	if (handle == NULL)
		return;
	registry_name_id(id, "cs", handle->id);
	metadata.class_function_id = handle->id;
	metadata.class_function_metadata = describe(rpc, handle);
	reply.class_id = id;
	reply.handle_metadata = &metadata;
	rpc_reply_message(rpc, &reply.base);
}

static void
log_params(Rpc *rpc, ProtobufCBinaryData params)
{
	if (!rpc_logging())
		return;
	buf_put_cstr(&rpc->log, "\tparams=");
	for (size_t i = 0; i < params.len; i++)
		buf_printf(&rpc->log, "%02x", params.data[i]);
}

void
service_function_bind_params(Rpc *rpc)
{
	Modal__Client__FunctionBindParamsRequest *request = rpc_unpack(
		rpc, &modal__client__function_bind_params_request__descriptor);
	Modal__Client__FunctionBindParamsResponse reply =
		MODAL__CLIENT__FUNCTION_BIND_PARAMS_RESPONSE__INIT;
	const char *error;
	Handle *handle;

	if (request == NULL)
		return;
	handle = service_find_function(rpc, request->function_id);
	if (handle == NULL)
		return;
	handle = registry_bind(handle, request->serialized_params,
						   request->function_options, &error);
	if (handle == NULL)
	{
		rpc_fail(rpc, GRPC_INVALID_ARGUMENT, "%s", error);
		return;
	}
	rpc_log(rpc, "function=%s/%s", handle->function->app,
			handle->function->name);
	rpc_log(rpc, "bound=%s", handle->id);
	log_params(rpc, request->serialized_params);
	if (rpc_logging() && request->function_options != NULL)
	{
		buf_put_cstr(&rpc->log, "\toptions=");
		message_to_text(&rpc->log, &request->function_options->base);
	}
	reply.bound_function_id = handle->id;
	reply.handle_metadata = describe(rpc, handle);
	rpc_reply_message(rpc, &reply.base);
}
