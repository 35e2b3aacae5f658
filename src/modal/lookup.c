/*-------------------------------------------------------------------------
 *
 * lookup.c
 *	  From a function reference to a FunctionHandle.
 *
 * FunctionGet finds the function, or a class's service function; a class with
 * parameters, and any function with options, is then bound by
 * FunctionBindParams, for which named secrets and volumes are looked up
 * first.  Handles are cached per target under the whole reference, for a
 * minute, or until the service says that it does not know the function.
 *
 *-------------------------------------------------------------------------
 */
#include "modal/modal.h"

#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/service_limits.h"
#include "modal/class.h"
#include "proto/modal.pb-c.h"

#define HANDLE_LIFE_S 60.0
#define MAX_HANDLES 1000
#define MAX_MESSAGE_PAYLOAD (64 * 1024 * 1024) /* whatever the service says */

#define MAX_TEXT 4096 /* kept of what is said of a function: each name, each URL */

typedef Modal__Client__FunctionHandleMetadata Metadata;

struct Lookup
{
	ModalTarget *mt;
	DispatchCall *call;
	LookupDone on_done;
	void *arg;
	Timer start;
	GrpcCall *grpc;
	char *reference;
	Reference ref;	/* points into reference */
	Modal__Client__FunctionGetResponse *found;
	BindOptions options;
	bool has_options;
	int need;		/* of options, being looked up */
};

/* A reference may set environment variables, which may be secret. */
static void
wipe(char *reference)
{
	if (reference != NULL)
		explicit_bzero(reference, strlen(reference));
	free(reference);
}

/* What may be shown of it, as of labels: not its options. */
static int
name_len(const Lookup *lookup)
{
	return (int) strcspn(lookup->reference, "#");
}

/* --- handles -------------------------------------------------------------- */

void
handle_release(FunctionHandle *handle)
{
	if (handle == NULL || --handle->refs > 0)
		return;
	wipe(handle->key);
	free(handle->function_id);
	free(handle->method_name);
	free(handle->web_url);
	free(handle->metadata_json);
	free(handle);
}

static void
uncache(ModalTarget *mt, FunctionHandle *handle)
{
	if (!handle->cached)
		return;
	map_remove_bytes(&mt->handles, handle->key, strlen(handle->key));
	list_remove(&handle->age);
	handle->cached = false;
	handle_release(handle);
}

void
handle_invalidate(ModalTarget *mt, FunctionHandle *handle)
{
	uncache(mt, handle);
}

FunctionHandle *
handle_cached(ModalTarget *mt, Slice reference)
{
	FunctionHandle *handle =
		map_get_bytes(&mt->handles, reference.p, reference.n);

	if (handle == NULL)
		return NULL;
	if (monotonic_seconds() >= handle->expires)
	{
		uncache(mt, handle);
		return NULL;
	}
	handle->refs++;
	return handle;
}

static FunctionHandle *
oldest_handle(const ModalTarget *mt)
{
	return LIST_OWNER(FunctionHandle, age, list_first(&mt->handles_by_age));
}

static void
cache_handle(ModalTarget *mt, FunctionHandle *handle)
{
	FunctionHandle *before =
		map_get_bytes(&mt->handles, handle->key, strlen(handle->key));

	/* Looked up twice at the same time. */
	if (before != NULL)
		uncache(mt, before);
	if (mt->handles.count >= MAX_HANDLES)
		uncache(mt, oldest_handle(mt));
	if (!map_put_bytes(&mt->handles, handle))
		return;
	handle->refs++;
	handle->cached = true;
	handle->expires = monotonic_seconds() + HANDLE_LIFE_S;
	list_append(&mt->handles_by_age, &handle->age);
}

static const void *
key_of(const void *value, size_t *n)
{
	const FunctionHandle *handle = value;

	*n = strlen(handle->key);
	return handle->key;
}

void
handles_init(ModalTarget *mt)
{
	map_init_bytes(&mt->handles, key_of, NULL);
	list_init(&mt->handles_by_age);
}

void
handles_free(ModalTarget *mt)
{
	while (mt->handles.count > 0)
		uncache(mt, oldest_handle(mt));
	map_free(&mt->handles);
}

static bool
has_format(const Metadata *md, Modal__Client__DataFormat format)
{
	for (size_t i = 0; i < md->n_supported_input_formats; i++)
	{
		if (md->supported_input_formats[i] == format)
			return true;
	}
	return false;
}

static size_t
limit_of(uint64_t value, bool given, size_t dflt)
{
	if (!given || value == 0)
		return dflt;
	return value < MAX_MESSAGE_PAYLOAD ? (size_t) value : MAX_MESSAGE_PAYLOAD;
}

static void
add_string(struct json_object *to, const char *name, const char *value)
{
	json_object_object_add(to, name,
						   value != NULL && value[0] != '\0'
							   ? json_object_new_string(value)
							   : NULL);
}

/* What CONTROL_LOOKUP answers. */
static char *
describe(const FunctionHandle *handle, const Metadata *md,
		 const char *plane_url)
{
	struct json_object *o = json_object_new_object();
	char *text;

	add_string(o, "function_id", handle->function_id);
	add_string(o, "function_name", md->function_name);
	add_string(o, "method_name", handle->method_name);
	add_string(o, "app_id", md->app_id);
	add_string(o, "web_url", md->web_url);
	add_string(o, "input_plane_url", plane_url);
	json_object_object_add(o, "is_generator",
						   json_object_new_boolean(handle->is_generator));
	json_object_object_add(o, "accepts_cbor",
						   json_object_new_boolean(handle->accepts_cbor));
	json_object_object_add(o, "version",
						   json_object_new_int64(handle->version));
	json_object_object_add(o, "max_inline_bytes",
						   json_object_new_int64(handle->max_inline));
	json_object_object_add(o, "max_async_inline_bytes",
						   json_object_new_int64(handle->max_async_inline));
	text = strdup(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN));
	json_object_put(o);
	return text;
}

/* Handles are kept by the thousand, and the id goes with every request. */
static bool
can_be_kept(const char *function_id, const Metadata *md, const char *plane_url,
			const char *region)
{
	const char *const texts[] = {md->function_name, md->use_method_name,
								 md->app_id, md->web_url, plane_url, region};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
	{
		if (texts[i] != NULL && strlen(texts[i]) > MAX_TEXT)
			return false;
	}
	return object_id_is_valid((Slice){function_id, strlen(function_id)});
}

static FunctionHandle *
handle_create(Lookup *lookup, const char *function_id, const Metadata *md,
			  ModalError *error)
{
	FunctionHandle *handle = calloc(1, sizeof(*handle));
	const char *plane_url =
		md->input_plane_url_opt_case ==
				MODAL__CLIENT__FUNCTION_HANDLE_METADATA__INPUT_PLANE_URL_OPT_INPUT_PLANE_URL
			? md->input_plane_url
			: "";
	const char *region =
		md->input_plane_region_opt_case ==
				MODAL__CLIENT__FUNCTION_HANDLE_METADATA__INPUT_PLANE_REGION_OPT_INPUT_PLANE_REGION
			? md->input_plane_region
			: "";

	modal_error_memory(error);
	if (handle == NULL)
		return NULL;
	if (!can_be_kept(function_id, md, plane_url, region))
	{
		modal_error(error, MODAL_SQLSTATE_PROTOCOL, NULL,
					"what the service says of remote function \"%.*s\" cannot be read",
					name_len(lookup), lookup->reference);
		free(handle);
		return NULL;
	}
	handle->refs = 1;
	handle->key = strdup(lookup->reference);
	handle->function_id = strdup(function_id);
	handle->method_name = strdup(md->use_method_name);
	handle->web_url = strdup(md->web_url);
	handle->is_generator = md->function_type ==
		MODAL__CLIENT__FUNCTION__FUNCTION_TYPE__FUNCTION_TYPE_GENERATOR;
	handle->accepts_cbor =
		has_format(md, MODAL__CLIENT__DATA_FORMAT__DATA_FORMAT_CBOR);
	handle->version = lookup->ref.version;
	handle->max_inline = limit_of(
		md->max_object_size_bytes,
		md->max_object_size_bytes_opt_case ==
			MODAL__CLIENT__FUNCTION_HANDLE_METADATA__MAX_OBJECT_SIZE_BYTES_OPT_MAX_OBJECT_SIZE_BYTES,
		DEFAULT_MAX_INLINE);
	handle->max_async_inline = limit_of(
		md->max_async_object_size_bytes,
		md->max_async_object_size_bytes_opt_case ==
			MODAL__CLIENT__FUNCTION_HANDLE_METADATA__MAX_ASYNC_OBJECT_SIZE_BYTES_OPT_MAX_ASYNC_OBJECT_SIZE_BYTES,
		DEFAULT_MAX_ASYNC_INLINE);
	if (handle->max_async_inline > handle->max_inline)
		handle->max_async_inline = handle->max_inline;
	if (plane_url[0] != '\0')
	{
		handle->plane = modal_input_plane(lookup->mt, plane_url, region);
		if (handle->plane == NULL)
			modal_error(error, MODAL_SQLSTATE_PROTOCOL, NULL,
						"the service names an input plane that cannot be used: \"%s\"",
						plane_url);
	}
	if (handle->key != NULL && handle->function_id != NULL)
		handle->metadata_json = describe(handle, md, plane_url);
	if (handle->method_name == NULL || handle->web_url == NULL ||
		handle->metadata_json == NULL ||
		(plane_url[0] != '\0' && handle->plane == NULL))
	{
		handle_release(handle);
		return NULL;
	}
	return handle;
}

/* --- the end -------------------------------------------------------------- */

static void
lookup_free(Lookup *lookup)
{
	timer_cancel(&lookup->start);
	if (lookup->grpc != NULL)
		grpc_cancel(lookup->grpc);
	if (lookup->found != NULL)
		modal__client__function_get_response__free_unpacked(lookup->found, NULL);
	if (lookup->has_options)
		bind_options_free(&lookup->options);
	wipe(lookup->reference);
	free(lookup);
}

void
lookup_cancel(Lookup *lookup)
{
	lookup_free(lookup);
}

static void
lookup_finish(Lookup *lookup, FunctionHandle *handle, const ModalError *error)
{
	LookupDone on_done = lookup->on_done;
	void *arg = lookup->arg;

	if (handle != NULL)
		cache_handle(lookup->mt, handle);
	lookup_free(lookup);
	on_done(arg, handle, error);
}

static void
lookup_fail_memory(Lookup *lookup)
{
	ModalError error;

	modal_error_memory(&error);
	lookup_finish(lookup, NULL, &error);
}

/* Send a request whose outcome is handled by on_done. */
static void
send_request(Lookup *lookup, GrpcSpec *spec, const ProtobufCMessage *message)
{
	grpc_pack(&spec->request, message);
	lookup->grpc = grpc_start(spec);
	if (lookup->grpc == NULL)
		lookup_fail_memory(lookup);
}

/* --- methods and binding -------------------------------------------------- */

static const Metadata *
find_method(const Metadata *service, Slice name)
{
	for (size_t i = 0; i < service->n_method_handle_metadata; i++)
	{
		const Modal__Client__FunctionHandleMetadata__MethodHandleMetadataEntry *e =
			service->method_handle_metadata[i];

		if (e->value != NULL && strlen(e->key) == name.n &&
			memcmp(e->key, name.p, name.n) == 0)
			return e->value;
	}
	return NULL;
}

/* Function or class, and metadata, are known: pick the method, and end. */
static void
use_function(Lookup *lookup, const char *function_id, const Metadata *md)
{
	const Reference *ref = &lookup->ref;
	FunctionHandle *handle;
	ModalError error;

	if (ref->class_name.p != NULL)
	{
		md = md != NULL ? find_method(md, ref->function) : NULL;
		if (md == NULL)
		{
			modal_error(&error, MODAL_SQLSTATE_NOT_FOUND, NULL,
						"remote class \"%.*s/%.*s\" has no method \"%.*s\"",
						(int) ref->app.n, ref->app.p, (int) ref->class_name.n,
						ref->class_name.p, (int) ref->function.n,
						ref->function.p);
			lookup_finish(lookup, NULL, &error);
			return;
		}
	}
	if (md == NULL || function_id[0] == '\0')
	{
		modal_error(&error, MODAL_SQLSTATE_PROTOCOL, NULL,
					"the service describes remote function \"%.*s\" incompletely",
					name_len(lookup), lookup->reference);
		lookup_finish(lookup, NULL, &error);
		return;
	}
	handle = handle_create(lookup, function_id, md, &error);
	lookup_finish(lookup, handle, handle == NULL ? &error : NULL);
}

static void
on_bound(void *arg, const GrpcResult *result)
{
	Lookup *lookup = arg;
	Modal__Client__FunctionBindParamsResponse *reply;
	ModalError error;

	lookup->grpc = NULL;
	if (result->status != GRPC_OK)
	{
		modal_error_grpc(&error, result,
						 "could not bind remote function \"%.*s\"",
						 name_len(lookup), lookup->reference);
		lookup_finish(lookup, NULL, &error);
		return;
	}
	reply = grpc_unpack(result,
						&modal__client__function_bind_params_response__descriptor);
	if (reply == NULL)
	{
		modal_error(&error, MODAL_SQLSTATE_PROTOCOL, NULL,
					"the reply of the service to FunctionBindParams cannot be read");
		lookup_finish(lookup, NULL, &error);
		return;
	}
	use_function(lookup, reply->bound_function_id, reply->handle_metadata);
	modal__client__function_bind_params_response__free_unpacked(reply, NULL);
}

static void
bind(Lookup *lookup)
{
	GrpcSpec spec = grpc_spec(lookup->mt->control, "FunctionBindParams",
							  lookup->call, on_bound, lookup);
	Modal__Client__FunctionBindParamsRequest request =
		MODAL__CLIENT__FUNCTION_BIND_PARAMS_REQUEST__INIT;
	const Metadata *md = lookup->found->handle_metadata;
	ModalError error;
	Buf params;

	buf_init(&params, 0, NULL);
	if (lookup->ref.class_name.p != NULL &&
		!class_parameters_encode(&params, md->class_parameter_info,
								 lookup->ref.parameters, &error))
	{
		buf_free(&spec.request);
		buf_free(&params);
		lookup_finish(lookup, NULL, &error);
		return;
	}
	request.function_id = lookup->found->function_id;
	request.serialized_params.data = params.data;
	request.serialized_params.len = params.len;
	request.environment_name = (char *) lookup->mt->environment;
	if (lookup->has_options)
	{
		if (!bind_options_complete(&lookup->options))
		{
			buf_free(&spec.request);
			buf_free(&params);
			lookup_fail_memory(lookup);
			return;
		}
		request.function_options = &lookup->options.message;
	}
	send_request(lookup, &spec, &request.base);
	buf_free(&params);
}

/* --- secrets and volumes that options name -------------------------------- */

static void look_up_next_need(Lookup *lookup);

static void
need_done(Lookup *lookup, const GrpcResult *result, const char *id)
{
	OptionNeed *need = &lookup->options.needs[lookup->need];
	ModalError error;

	lookup->grpc = NULL;
	if (result->status != GRPC_OK || id == NULL || id[0] == '\0')
	{
		const char *what = need->kind == NEED_VOLUME ? "volume" : "secret";

		if (result->status == GRPC_NOT_FOUND)
			modal_error(&error, MODAL_SQLSTATE_NOT_FOUND, NULL,
						"%s \"%s\" does not exist", what, need->name);
		else
			modal_error_grpc(&error, result, "could not look up %s \"%s\"",
							 what, need->name != NULL ? need->name : "env");
		lookup_finish(lookup, NULL, &error);
		return;
	}
	need->id = strdup(id);
	if (need->id == NULL)
	{
		lookup_fail_memory(lookup);
		return;
	}
	lookup->need++;
	look_up_next_need(lookup);
}

static void
on_secret(void *arg, const GrpcResult *result)
{
	Modal__Client__SecretGetOrCreateResponse *reply = NULL;

	if (result->status == GRPC_OK)
		reply = grpc_unpack(
			result, &modal__client__secret_get_or_create_response__descriptor);
	need_done(arg, result, reply != NULL ? reply->secret_id : NULL);
	if (reply != NULL)
		modal__client__secret_get_or_create_response__free_unpacked(reply, NULL);
}

static void
on_volume(void *arg, const GrpcResult *result)
{
	Modal__Client__VolumeGetOrCreateResponse *reply = NULL;

	if (result->status == GRPC_OK)
		reply = grpc_unpack(
			result, &modal__client__volume_get_or_create_response__descriptor);
	need_done(arg, result, reply != NULL ? reply->volume_id : NULL);
	if (reply != NULL)
		modal__client__volume_get_or_create_response__free_unpacked(reply, NULL);
}

typedef Modal__Client__SecretGetOrCreateRequest__EnvDictEntry EnvEntry;

/* Environment variables become a secret of their own. */
static void
send_secret(Lookup *lookup, const OptionNeed *need)
{
	GrpcSpec spec = grpc_spec(lookup->mt->control, "SecretGetOrCreate",
							  lookup->call, on_secret, lookup);
	Modal__Client__SecretGetOrCreateRequest request =
		MODAL__CLIENT__SECRET_GET_OR_CREATE_REQUEST__INIT;
	EnvEntry *entries = NULL;
	EnvEntry **list = NULL;
	struct json_object_iter iter;

	request.environment_name = (char *) lookup->mt->environment;
	if (need->kind == NEED_ENV)
	{
		size_t n = json_object_object_length(lookup->options.env);
		size_t i = 0;

		entries = calloc(n + 1, sizeof(*entries));
		list = calloc(n + 1, sizeof(*list));
		if (entries == NULL || list == NULL)
			spec.request.failed = true;
		else
		{
			json_object_object_foreachC(lookup->options.env, iter)
			{
				modal__client__secret_get_or_create_request__env_dict_entry__init(
					&entries[i]);
				entries[i].key = iter.key;
				entries[i].value = (char *) json_object_get_string(iter.val);
				list[i] = &entries[i];
				i++;
			}
			request.n_env_dict = n;
			request.env_dict = list;
		}
		request.object_creation_type =
			MODAL__CLIENT__OBJECT_CREATION_TYPE__OBJECT_CREATION_TYPE_EPHEMERAL;
	}
	else
		request.deployment_name = need->name;
	send_request(lookup, &spec, &request.base);
	free(entries);
	free(list);
}

static void
send_volume(Lookup *lookup, const OptionNeed *need)
{
	GrpcSpec spec = grpc_spec(lookup->mt->control, "VolumeGetOrCreate",
							  lookup->call, on_volume, lookup);
	Modal__Client__VolumeGetOrCreateRequest request =
		MODAL__CLIENT__VOLUME_GET_OR_CREATE_REQUEST__INIT;

	request.deployment_name = need->name;
	request.environment_name = (char *) lookup->mt->environment;
	send_request(lookup, &spec, &request.base);
}

static void
look_up_next_need(Lookup *lookup)
{
	const OptionNeed *need = &lookup->options.needs[lookup->need];

	if (lookup->need >= lookup->options.nneeds)
		bind(lookup);
	else if (need->kind == NEED_VOLUME)
		send_volume(lookup, need);
	else
		send_secret(lookup, need);
}

/* --- the function --------------------------------------------------------- */

static void
not_found(Lookup *lookup)
{
	const Reference *ref = &lookup->ref;
	ModalError error;
	const char *environment = lookup->mt->environment;

	if (ref->class_name.p != NULL)
		modal_error(&error, MODAL_SQLSTATE_NOT_FOUND,
					"Check the names, and that the app is deployed in this environment.",
					"remote class \"%.*s/%.*s\" does not exist",
					(int) ref->app.n, ref->app.p, (int) ref->class_name.n,
					ref->class_name.p);
	else
		modal_error(&error, MODAL_SQLSTATE_NOT_FOUND,
					"Check the names, and that the app is deployed in this environment.",
					"remote function \"%.*s/%.*s\" does not exist",
					(int) ref->app.n, ref->app.p, (int) ref->function.n,
					ref->function.p);
	snprintf(error.detail, sizeof(error.detail),
			 "The service at %s knows no such function in app \"%.*s\", %s%s%s.",
			 lookup->mt->target->url, (int) ref->app.n, ref->app.p,
			 environment[0] != '\0' ? "environment \"" : "the default environment",
			 environment, environment[0] != '\0' ? "\"" : "");
	lookup_finish(lookup, NULL, &error);
}

static void
on_function(void *arg, const GrpcResult *result)
{
	Lookup *lookup = arg;
	const Reference *ref = &lookup->ref;
	const Modal__Client__ClassParameterInfo *info;
	const Metadata *md;
	ModalError error;

	lookup->grpc = NULL;
	if (result->status == GRPC_NOT_FOUND)
	{
		not_found(lookup);
		return;
	}
	if (result->status != GRPC_OK)
	{
		modal_error_grpc(&error, result,
						 "could not look up remote function \"%.*s\"",
						 name_len(lookup), lookup->reference);
		lookup_finish(lookup, NULL, &error);
		return;
	}
	lookup->found =
		grpc_unpack(result, &modal__client__function_get_response__descriptor);
	if (lookup->found == NULL || lookup->found->handle_metadata == NULL)
	{
		modal_error(&error, MODAL_SQLSTATE_PROTOCOL, NULL,
					"the reply of the service to FunctionGet cannot be read");
		lookup_finish(lookup, NULL, &error);
		return;
	}
	modal_warn(lookup->call, lookup->found->server_warnings,
			   lookup->found->n_server_warnings);

	md = lookup->found->handle_metadata;
	info = md->class_parameter_info;
	if (lookup->has_options ||
		(ref->class_name.p != NULL &&
		 ((info != NULL && info->n_schema > 0) || ref->parameters.n > 2)))
		look_up_next_need(lookup);
	else
		use_function(lookup, lookup->found->function_id, md);
}

static void
on_lookup_start(void *arg)
{
	Lookup *lookup = arg;
	Reference *ref = &lookup->ref;
	GrpcSpec spec;
	Modal__Client__FunctionGetRequest request =
		MODAL__CLIENT__FUNCTION_GET_REQUEST__INIT;
	ModalError error;
	const char *problem = reference_parse_rest(
		lookup->reference, strlen(lookup->reference), false, ref);
	Buf app;
	Buf tag;

	if (problem != NULL)
	{
		modal_error(&error, MODAL_SQLSTATE_REFERENCE, NULL, "%s", problem);
		lookup_finish(lookup, NULL, &error);
		return;
	}
	if (ref->options.p != NULL)
	{
		lookup->has_options = true;
		if (!bind_options_parse(&lookup->options, ref->options, &error))
		{
			lookup_finish(lookup, NULL, &error);
			return;
		}
	}
	buf_init(&app, 0, NULL);
	buf_init(&tag, 0, NULL);
	buf_put(&app, ref->app.p, ref->app.n);
	if (ref->class_name.p != NULL)
	{
		buf_put(&tag, ref->class_name.p, ref->class_name.n);
		buf_put_cstr(&tag, ".*");
	}
	else
		buf_put(&tag, ref->function.p, ref->function.n);

	spec = grpc_spec(lookup->mt->control, "FunctionGet", lookup->call,
					 on_function, lookup);
	request.app_name = (char *) buf_cstr(&app);
	request.object_tag = (char *) buf_cstr(&tag);
	request.environment_name = (char *) lookup->mt->environment;
	request.app_version = ref->version;
	send_request(lookup, &spec, &request.base);
	buf_free(&app);
	buf_free(&tag);
}

Lookup *
lookup_start(ModalTarget *mt, DispatchCall *call, LookupDone on_done, void *arg)
{
	Lookup *lookup = calloc(1, sizeof(*lookup));

	if (lookup == NULL)
		return NULL;
	lookup->mt = mt;
	lookup->call = call;
	lookup->on_done = on_done;
	lookup->arg = arg;
	lookup->reference = strndup(call->open.reference.p, call->open.reference.n);
	timer_init(&lookup->start, on_lookup_start, lookup);
	if (lookup->reference == NULL ||
		!timer_set(&lookup->start, monotonic_seconds()))
	{
		lookup_free(lookup);
		return NULL;
	}
	return lookup;
}
