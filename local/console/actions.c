/*-------------------------------------------------------------------------
 *
 * actions.c
 *	  What can be done from the console.
 *
 *-------------------------------------------------------------------------
 */
#include "console/actions.h"

#include <stdlib.h>

#include "calls/calls.h"
#include "calls/faults.h"
#include "console/json.h"
#include "console/values.h"
#include "host/host.h"
#include "util.h"

#define MAX_PARAMETERS 64

/* "": it is not there. */
static const char *
get_text(json_object *request, const char *name)
{
	json_object *value;

	return json_object_object_get_ex(request, name, &value) &&
				   json_object_is_type(value, json_type_string)
			   ? json_object_get_string(value)
			   : "";
}

static json_object *
fail(json_object *answer, const char *error)
{
	put_text(answer, "error", error);
	return answer;
}

/* --- calls --------------------------------------------------------------- */

/* One parameter of a class; false: the value does not suit it. */
static bool
set_parameter(Modal__Client__ClassParameterValue *to, const Parameter *from,
			  json_object *value)
{
	modal__client__class_parameter_value__init(to);
	to->name = (char *) (uintptr_t) from->name;
	to->type = from->type;
	switch ((int) from->type)
	{
		case PARAM_STRING:
			to->value_oneof_case =
				MODAL__CLIENT__CLASS_PARAMETER_VALUE__VALUE_ONEOF_STRING_VALUE;
			to->string_value = (char *) (uintptr_t) (
				value != NULL ? json_object_get_string(value)
							  : (const char *) from->bytes_default);
			return value == NULL ||
				   json_object_is_type(value, json_type_string);
		case PARAM_INT:
			to->value_oneof_case =
				MODAL__CLIENT__CLASS_PARAMETER_VALUE__VALUE_ONEOF_INT_VALUE;
			to->int_value = value != NULL ? json_object_get_int64(value)
										  : from->int_default;
			return value == NULL || json_object_is_type(value, json_type_int);
		case PARAM_BOOL:
			to->value_oneof_case =
				MODAL__CLIENT__CLASS_PARAMETER_VALUE__VALUE_ONEOF_BOOL_VALUE;
			to->bool_value = value != NULL ? json_object_get_boolean(value)
										   : from->int_default != 0;
			return value == NULL ||
				   json_object_is_type(value, json_type_boolean);
		default: /* JSON has no bytes */
			to->value_oneof_case =
				MODAL__CLIENT__CLASS_PARAMETER_VALUE__VALUE_ONEOF_BYTES_VALUE;
			to->bytes_value.data = (uint8_t *) (uintptr_t) from->bytes_default;
			to->bytes_value.len = from->bytes_default_len;
			return value == NULL;
	}
}

/* The class with parameters as JSON, those that are missing by default. */
static Handle *
bind_parameters(Handle *handle, json_object *given, Arena *arena,
				const char **error)
{
	const Function *function = handle->function;
	Modal__Client__ClassParameterSet set =
		MODAL__CLIENT__CLASS_PARAMETER_SET__INIT;
	Modal__Client__ClassParameterValue values[MAX_PARAMETERS];
	Modal__Client__ClassParameterValue *pointers[MAX_PARAMETERS];
	ProtobufCBinaryData packed = {0};
	size_t n_given = 0;

	if (!function->is_class || function->n_parameters == 0)
		return handle;
	if (function->n_parameters > MAX_PARAMETERS)
	{
		*error = "the class has too many parameters for this form";
		return NULL;
	}
	for (int i = 0; i < function->n_parameters; i++)
	{
		const Parameter *parameter = &function->parameters[i];
		json_object *value = NULL;

		n_given += json_object_object_get_ex(given, parameter->name, &value);
		/* null is none: no parameter can have it. */
		if ((value == NULL && !parameter->has_default) ||
			!set_parameter(&values[i], parameter, value))
		{
			*error = arena_printf(arena, "parameter \"%s\" must be of type %s",
								  parameter->name,
								  parameter_type_name(parameter->type));
			return NULL;
		}
		pointers[i] = &values[i];
	}
	if (given != NULL && n_given != (size_t) json_object_object_length(given))
	{
		*error = "the class has no such parameter";
		return NULL;
	}
	set.n_parameters = (size_t) function->n_parameters;
	set.parameters = pointers;
	packed.len = protobuf_c_message_get_packed_size(&set.base);
	packed.data = arena_alloc(arena, packed.len);
	protobuf_c_message_pack(&set.base, packed.data);
	return registry_bind(handle, packed, NULL, error);
}

/* "": there are none.  NULL, with what is wrong. */
static json_object *
parse_parameters(const char *text, const char **error)
{
	json_object *given = NULL;

	if (text[0] == '\0')
		return NULL;
	given = json_tokener_parse(text);
	if (!json_object_is_type(given, json_type_object))
	{
		json_object_put(given);
		*error = "parameters are not a JSON object";
		return NULL;
	}
	return given;
}

/* Puts one input with the arguments; false with what is wrong. */
static Call *
start_call(Handle *handle, json_object *request, Buf *argument,
		   const char **error)
{
	const char *args = get_text(request, "args");
	const char *kwargs = get_text(request, "kwargs");
	const char *method = get_text(request, "method");
	NewInput input = {.format = FORMAT_CBOR};
	GrpcStatus status;
	Call *call;

	*error = arguments_from_json(argument, args, strlen(args), kwargs,
								 strlen(kwargs));
	if (*error != NULL)
		return NULL;
	input.args = argument->data;
	input.args_len = argument->len;
	if (handle->function->is_class)
	{
		input.method = method;
		input.method_len = strlen(method);
	}
	*error = input_error(handle, &input, &status);
	if (*error != NULL)
		return NULL;
	call = call_create(handle, false, false, false, "");
	call->client = "console";
	call_put_input(call, &input);
	return call;
}

static json_object *
do_call(json_object *request, json_object *answer)
{
	Handle *handle = registry_get(get_text(request, "function"));
	const char *error = NULL;
	json_object *given =
		parse_parameters(get_text(request, "parameters"), &error);
	Arena arena = {0};
	Buf argument;
	char id[CALL_ID_SIZE];

	buf_init(&argument, 0, xbuf_realloc);
	if (handle == NULL)
		error = "there is no such function";
	else if (handle->function->web_url != NULL)
		error = "a web function is called by its URL";
	if (error == NULL)
		handle = bind_parameters(handle, given, &arena, &error);
	if (error == NULL)
	{
		Call *call = start_call(handle, request, &argument, &error);

		if (call != NULL)
		{
			call_id_format(id, call->number);
			put_text(answer, "call", id);
		}
	}
	if (error != NULL)
		fail(answer, error);
	buf_free(&argument);
	arena_free(&arena);
	json_object_put(given);
	return answer;
}

static json_object *
do_cancel(json_object *request, json_object *answer)
{
	Call *call = call_get_by_id(get_text(request, "call"));

	if (call == NULL)
		return fail(answer, "there is no such call");
	call_cancel(call, false);
	return answer;
}

/* --- the rest ------------------------------------------------------------ */

static json_object *
do_fault(json_object *request, json_object *answer)
{
	const char *text = get_text(request, "text");
	json_object *place;
	json_object *on;
	const char *bad;
	int i;

	if (!json_object_object_get_ex(request, "place", &place))
	{
		bad = strpbrk(text, "\r\n") != NULL ? "a line break" : faults_add(text);
		if (bad != NULL)
			put_text(answer, "error", bad);
		return answer;
	}
	i = json_object_get_int(place);
	/* The script may have been read again meanwhile. */
	if (i < 0 || i >= faults_count() || strcmp(faults_rule(i).text, text) != 0)
		return fail(answer, "there is no such rule any more");
	faults_switch(i, json_object_object_get_ex(request, "on", &on) &&
						 json_object_get_boolean(on));
	return answer;
}

static json_object *
do_reload(json_object *request, json_object *answer)
{
	(void) request;
	host_reload();
	return answer;
}

json_object *
action_do(const char *name, json_object *request)
{
	static const struct
	{
		const char *name;
		json_object *(*act)(json_object *request, json_object *answer);
	} actions[] = {{"call", do_call},
				   {"cancel", do_cancel},
				   {"fault", do_fault},
				   {"reload", do_reload}};

	for (size_t i = 0; i < sizeof(actions) / sizeof(actions[0]); i++)
		if (strcmp(actions[i].name, name) == 0)
			return actions[i].act(request, json_object_new_object());
	return NULL;
}
