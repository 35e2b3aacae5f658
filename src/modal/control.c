/*-------------------------------------------------------------------------
 *
 * control.c
 *	  Questions: one or a few requests, whose answer is a JSON object.
 *
 *-------------------------------------------------------------------------
 */
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "clock.h"
#include "core/pb.h"
#include "core/url.h"
#include "modal/logs.h"
#include "modal/modal.h"
#include "proto/modal.pb-c.h"

/* Where Modal shows any object by its id. */
#define DASHBOARD_URL "https://modal.com/id/"
#define CONSOLE_URL "http://%.*s/console/call/%s" /* modal-local has no https there */

#define MAX_GRAPH 200000 /* inputs and calls of a call graph */

typedef struct json_object Json;

typedef struct Control
{
	DispatchCall *call;
	ModalTarget *mt;
	Lookup *lookup;
	FunctionHandle *handle;
	GrpcCall *grpc;
	char *call_id;
	Json *request;		/* NULL: there is none, or it is no object */
	double sent_at;
	bool warm;			/* PING: the second request, on an open connection */
	Json *answer;
} Control;

static void
control_free(Control *control)
{
	if (control->lookup != NULL)
		lookup_cancel(control->lookup);
	if (control->grpc != NULL)
		grpc_cancel(control->grpc);
	handle_release(control->handle);
	free(control->call_id);
	json_object_put(control->request);
	json_object_put(control->answer);
	free(control);
}

static void
control_fail(Control *control, const ModalError *error)
{
	DispatchCall *call = control->call;

	control_free(control);
	modal_fail(call, error);
}

static void
control_fail_memory(Control *control)
{
	ModalError error;

	modal_error_memory(&error);
	control_fail(control, &error);
}

static void
send_text(Control *control, const char *text)
{
	DispatchCall *call = control->call;
	FrameOutput out = {.ok = 1, .format = PAYLOAD_JSON, .attempts = 1};

	out.data = (Slice){text, strlen(text)};
	call_output(call, &out);
	control_free(control);
	call_close(call);
}

static void
answer(Control *control)
{
	send_text(control, json_object_to_json_string_ext(control->answer,
													  JSON_C_TO_STRING_PLAIN));
}

static void
add_int(Json *to, const char *name, int64_t value)
{
	json_object_object_add(to, name, json_object_new_int64(value));
}

static void
add_double(Json *to, const char *name, double value)
{
	json_object_object_add(to, name, json_object_new_double(value));
}

static void
add_string(Json *to, const char *name, const char *value)
{
	json_object_object_add(to, name, json_object_new_string(value));
}

static void
add_bool(Json *to, const char *name, bool value)
{
	json_object_object_add(to, name, json_object_new_boolean(value));
}

static void
send_for(Control *control, const char *method, const ProtobufCMessage *message,
		 size_t max_reply, void (*on_done)(void *, const GrpcResult *))
{
	GrpcSpec spec = grpc_spec(control->mt->control, method, control->call,
							  on_done, control);

	spec.max_reply = max_reply;
	grpc_pack(&spec.request, message);
	control->sent_at = monotonic_seconds();
	control->grpc = grpc_start(&spec);
	if (control->grpc == NULL)
		control_fail_memory(control);
}

static void
send(Control *control, const char *method, const ProtobufCMessage *message,
	 void (*on_done)(void *, const GrpcResult *))
{
	send_for(control, method, message, GRPC_MAX_ANSWER, on_done);
}

/* The reply, or NULL: then the call has failed. */
static void *
take_reply(Control *control, const GrpcResult *result,
		   const ProtobufCMessageDescriptor *descriptor)
{
	ModalError error;
	void *reply = NULL;

	control->grpc = NULL;
	if (result->status == GRPC_NOT_FOUND && control->call_id != NULL)
		modal_error(&error, MODAL_SQLSTATE_GONE, NULL,
					"remote call \"%s\" does not exist", control->call_id);
	else if (result->status != GRPC_OK)
		modal_error_grpc(&error, result, "the request to the service failed");
	else
	{
		reply = grpc_unpack(result, descriptor);
		modal_error(&error, MODAL_SQLSTATE_PROTOCOL, NULL,
					"the reply of the service cannot be read");
	}
	if (reply == NULL)
		control_fail(control, &error);
	return reply;
}

/* --- ping ----------------------------------------------------------------- */

static void ping(Control *control);

/* Not reached, or not let in, is an answer and no error. */
static void
ping_failed(Control *control, const GrpcResult *result)
{
	Buf detail;

	buf_init(&detail, 4096, NULL);
	buf_printf(&detail, "%.2000s", result->message);
	if (grpc_hint(result) != NULL)
		buf_printf(&detail, " (%s)", grpc_hint(result));
	add_bool(control->answer, "reachable", result->transport == TRANSPORT_OK);
	add_bool(control->answer, "authenticated", false);
	add_string(control->answer, "detail", buf_cstr(&detail));
	buf_free(&detail);
	answer(control);
}

static void
on_pong(void *arg, const GrpcResult *result)
{
	Control *control = arg;
	Modal__Client__ClientHelloResponse *reply;
	double latency = monotonic_seconds() - control->sent_at;

	control->grpc = NULL;
	if (result->status != GRPC_OK)
	{
		ping_failed(control, result);
		return;
	}
	if (!control->warm)
	{
		/* Connection and token are there now: measure. */
		control->warm = true;
		ping(control);
		return;
	}
	add_bool(control->answer, "reachable", true);
	add_bool(control->answer, "authenticated", true);
	add_double(control->answer, "latency_ms", latency * 1000);
	add_string(control->answer, "server", control->mt->target->url);
	reply = grpc_unpack(result, &modal__client__client_hello_response__descriptor);
	if (reply != NULL)
	{
		if (reply->warning[0] != '\0')
			call_notice(control->call, NOTICE_WARNING, reply->warning);
		modal_warn(control->call, reply->server_warnings,
				   reply->n_server_warnings);
		modal__client__client_hello_response__free_unpacked(reply, NULL);
	}
	answer(control);
}

static void
ping(Control *control)
{
	/* google.protobuf.Empty, like any message without fields. */
	Modal__Client__AuthTokenGetRequest empty =
		MODAL__CLIENT__AUTH_TOKEN_GET_REQUEST__INIT;

	send(control, "ClientHello", &empty.base, on_pong);
}

/* --- functions ------------------------------------------------------------ */

static void
on_stats(void *arg, const GrpcResult *result)
{
	Control *control = arg;
	Modal__Client__FunctionStats *reply =
		take_reply(control, result, &modal__client__function_stats__descriptor);

	if (reply == NULL)
		return;
	add_int(control->answer, "backlog", reply->backlog);
	add_int(control->answer, "runners", reply->num_total_tasks);
	add_int(control->answer, "running_inputs", reply->num_running_inputs);
	add_int(control->answer, "input_headroom", reply->input_headroom);
	modal__client__function_stats__free_unpacked(reply, NULL);
	answer(control);
}

#define SETTING_GIVEN(m, NAME, name) \
	((m)->name##_opt_case == \
	 MODAL__CLIENT__AUTOSCALER_SETTINGS__##NAME##_OPT_##NAME)

#define SET_SETTING(m, NAME, name, object) \
	do { \
		Json *value_; \
		if (json_object_object_get_ex(object, #name, &value_) && \
			value_ != NULL) \
		{ \
			(m)->name##_opt_case = \
				MODAL__CLIENT__AUTOSCALER_SETTINGS__##NAME##_OPT_##NAME; \
			(m)->name = json_object_get_int64(value_); \
		} \
	} while (0)

#define ADD_SETTING(m, NAME, name, object) \
	do { \
		if (SETTING_GIVEN(m, NAME, name)) \
			add_int(object, #name, (m)->name); \
	} while (0)

static void
on_autoscaler(void *arg, const GrpcResult *result)
{
	Control *control = arg;
	Modal__Client__FunctionUpdateSchedulingParamsResponse *reply = take_reply(
		control, result,
		&modal__client__function_update_scheduling_params_response__descriptor);
	const Modal__Client__AutoscalerSettings *now;

	if (reply == NULL)
		return;
	now = reply->current_settings;
	if (now != NULL)
	{
		ADD_SETTING(now, MIN_CONTAINERS, min_containers, control->answer);
		ADD_SETTING(now, MAX_CONTAINERS, max_containers, control->answer);
		ADD_SETTING(now, BUFFER_CONTAINERS, buffer_containers, control->answer);
		ADD_SETTING(now, SCALEDOWN_WINDOW, scaledown_window, control->answer);
	}
	modal__client__function_update_scheduling_params_response__free_unpacked(
		reply, NULL);
	answer(control);
}

static void
update_autoscaler(Control *control)
{
	Modal__Client__FunctionUpdateSchedulingParamsRequest request =
		MODAL__CLIENT__FUNCTION_UPDATE_SCHEDULING_PARAMS_REQUEST__INIT;
	Modal__Client__AutoscalerSettings settings =
		MODAL__CLIENT__AUTOSCALER_SETTINGS__INIT;
	Json *wanted = control->request;

	if (wanted == NULL)
	{
		ModalError error;

		modal_error(&error, MODAL_SQLSTATE_REFERENCE, NULL,
					"autoscaler settings are not a JSON object");
		control_fail(control, &error);
	}
	else
	{
		SET_SETTING(&settings, MIN_CONTAINERS, min_containers, wanted);
		SET_SETTING(&settings, MAX_CONTAINERS, max_containers, wanted);
		SET_SETTING(&settings, BUFFER_CONTAINERS, buffer_containers, wanted);
		SET_SETTING(&settings, SCALEDOWN_WINDOW, scaledown_window, wanted);
		request.function_id = control->handle->function_id;
		request.settings = &settings;
		send(control, "FunctionUpdateSchedulingParams", &request.base,
			 on_autoscaler);
	}
}

static void
use_function(Control *control)
{
	Modal__Client__FunctionGetCurrentStatsRequest request =
		MODAL__CLIENT__FUNCTION_GET_CURRENT_STATS_REQUEST__INIT;

	switch (control->call->open.op)
	{
		case CONTROL_LOOKUP:
			send_text(control, control->handle->metadata_json);
			break;
		case CONTROL_STATS:
			request.function_id = control->handle->function_id;
			send(control, "FunctionGetCurrentStats", &request.base, on_stats);
			break;
		default:
			update_autoscaler(control);
			break;
	}
}

static void
on_lookup(void *arg, FunctionHandle *handle, const ModalError *error)
{
	Control *control = arg;

	control->lookup = NULL;
	control->handle = handle;
	if (handle == NULL)
		control_fail(control, error);
	else
		use_function(control);
}

/* --- calls ---------------------------------------------------------------- */

static void
add_total(Json *to, const char *name,
		  const Modal__Client__InputCategoryInfo *category)
{
	add_int(to, name, category != NULL ? category->total : 0);
}

/* Unix seconds, as a timestamp can be written; nothing when not known. */
static void
add_time(Json *to, const char *name, double seconds)
{
	char text[64];
	time_t whole;
	struct tm tm;

	if (!(seconds > 0 && seconds < MAX_UNIX_SECONDS))
		return;
	whole = (time_t) seconds;
	gmtime_r(&whole, &tm);
	snprintf(text, sizeof(text), "%04d-%02d-%02dT%02d:%02d:%02d.%06dZ",
			 tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour,
			 tm.tm_min, tm.tm_sec, (int) ((seconds - whole) * 1e6));
	add_string(to, name, text);
}

static void
on_call_info(void *arg, const GrpcResult *result)
{
	Control *control = arg;
	Modal__Client__FunctionCallGetInfoResponse *reply = take_reply(
		control, result,
		&modal__client__function_call_get_info_response__descriptor);
	const Modal__Client__FunctionCallInfo *info;

	if (reply == NULL)
		return;
	info = reply->info;
	if (info != NULL)
	{
		if (info->total_inputs > 0)
			add_int(control->answer, "inputs", info->total_inputs);
		add_time(control->answer, "created_at", info->created_at);
		add_total(control->answer, "pending", info->pending_inputs);
		add_total(control->answer, "succeeded", info->succeeded_inputs);
		add_total(control->answer, "failed", info->failed_inputs);
		add_total(control->answer, "timed_out", info->timeout_inputs);
		add_total(control->answer, "cancelled", info->cancelled_inputs);
	}
	modal__client__function_call_get_info_response__free_unpacked(reply, NULL);
	answer(control);
}

/* --- what was printed ----------------------------------------------------- */

/* A number of the request; 0: it is not there. */
static int64_t
request_int(const Control *control, const char *name)
{
	Json *value;

	return json_object_object_get_ex(control->request, name, &value)
		? json_object_get_int64(value)
		: 0;
}

static void
on_logs(void *arg, const GrpcResult *result)
{
	Control *control = arg;
	Modal__Client__AppFetchLogsResponse *reply = take_reply(
		control, result, &modal__client__app_fetch_logs_response__descriptor);

	if (reply == NULL)
		return;
	json_object_object_add(
		control->answer, "lines",
		logs_to_json(reply, (size_t) request_int(control, "limit")));
	modal__client__app_fetch_logs_response__free_unpacked(reply, NULL);
	answer(control);
}

static void
set_time(Modal__Client__Timestamp *time, int64_t microseconds)
{
	modal__client__timestamp__init(time);
	time->seconds = microseconds / 1000000;
	time->nanos = (int32_t) (microseconds % 1000000) * 1000;
}

/* Logs are an app's: which one, the first reply has told. */
static void
fetch_logs(Control *control, const Modal__Client__FunctionCallHandleMetadata *of)
{
	Modal__Client__AppFetchLogsRequest request =
		MODAL__CLIENT__APP_FETCH_LOGS_REQUEST__INIT;
	Modal__Client__Timestamp since;
	Modal__Client__Timestamp until;
	Json *search;

	set_time(&since, request_int(control, "since"));
	set_time(&until, request_int(control, "until"));
	request.since = &since;
	request.until = &until;
	request.limit = (uint32_t) request_int(control, "limit");
	request.function_call_id = control->call_id;
	if (of != NULL)
		request.app_id = of->app_id;
	if (json_object_object_get_ex(control->request, "search", &search))
		request.search_text = (char *) json_object_get_string(search);
	send_for(control, "AppFetchLogs", &request.base, GRPC_MAX_LISTING, on_logs);
}

/* --- what is known of a call ---------------------------------------------- */

/* Is it Modal's own, and not a modal-local? */
static bool
is_modals(const Url *url)
{
	static const char *const domains[] = {"modal.com", "modal2.com"};

	for (int i = 0; i < 2; i++)
	{
		size_t n = strlen(domains[i]);
		const char *end = url->host + url->host_len;

		if (url->host_len >= n && strncasecmp(end - n, domains[i], n) == 0 &&
			(url->host_len == n || end[-n - 1] == '.'))
			return true;
	}
	return false;
}

/* The call's page there, or in the console of modal-local. */
static void
add_dashboard_url(Control *control)
{
	char text[1024];
	Url url;

	if (url_parse(control->mt->target->url,
				  strlen(control->mt->target->url), &url) != NULL)
		return;
	if (is_modals(&url))
		snprintf(text, sizeof(text), DASHBOARD_URL "%s", control->call_id);
	else
		snprintf(text, sizeof(text), CONSOLE_URL, (int) url.authority_len,
				 url.authority, control->call_id);
	add_string(control->answer, "dashboard_url", text);
}

static void
on_call_found(void *arg, const GrpcResult *result)
{
	Control *control = arg;
	Modal__Client__FunctionCallFromIdResponse *reply = take_reply(
		control, result,
		&modal__client__function_call_from_id_response__descriptor);
	Modal__Client__FunctionCallGetInfoRequest request =
		MODAL__CLIENT__FUNCTION_CALL_GET_INFO_REQUEST__INIT;

	if (reply == NULL)
		return;
	if (control->call->open.op == CONTROL_CALL_LOGS)
	{
		fetch_logs(control, reply->metadata);
		modal__client__function_call_from_id_response__free_unpacked(reply,
																	 NULL);
		return;
	}
	add_string(control->answer, "call_id", control->call_id);
	add_dashboard_url(control);
	add_int(control->answer, "inputs", reply->num_inputs);
	request.function_call_id = control->call_id;
	if (reply->metadata != NULL)
	{
		add_string(control->answer, "app_id", reply->metadata->app_id);
		add_string(control->answer, "function_id",
				   reply->metadata->function_id);
		request.function_id = reply->metadata->function_id;
	}
	send(control, "FunctionCallGetInfo", &request.base, on_call_info);
	modal__client__function_call_from_id_response__free_unpacked(reply, NULL);
}

/* GenericResult.GenericStatus; an input without a result is pending. */
static const char *
status_name(size_t status)
{
	static const char *const names[] = {
		"pending",	"success",		"failure",
		"terminated", "timeout",	"init_failure",
		"internal_failure", "idle_timeout", "memory_eviction"};

	return status < sizeof(names) / sizeof(names[0]) ? names[status]
													 : "unknown";
}

/* Has the reply more than that?  Even empty ones take memory when it is read. */
static bool
is_graph_too_large(const GrpcResult *result)
{
	PbReader r;
	PbField f;
	uint32_t n = 0;

	pb_reader_init(&r, result->data, result->len);
	while (pb_next(&r, &f))
		n++;
	return n > MAX_GRAPH;
}

static void
on_call_graph(void *arg, const GrpcResult *result)
{
	Control *control = arg;
	Modal__Client__FunctionGetCallGraphResponse *reply;
	Json *inputs;
	Json *calls;

	if (result->status == GRPC_OK && is_graph_too_large(result))
	{
		ModalError error;

		control->grpc = NULL;
		modal_error(&error, MODAL_SQLSTATE_TOO_LARGE, NULL,
					"the call graph of remote call \"%s\" has more than %d inputs and calls",
					control->call_id, MAX_GRAPH);
		control_fail(control, &error);
		return;
	}
	reply = take_reply(
		control, result,
		&modal__client__function_get_call_graph_response__descriptor);
	if (reply == NULL)
		return;
	inputs = json_object_new_array();
	for (size_t i = 0; i < reply->n_inputs; i++)
	{
		const Modal__Client__InputCallGraphInfo *from = reply->inputs[i];
		Json *to = json_object_new_object();

		add_string(to, "input_id", from->input_id);
		add_string(to, "status", status_name(from->status));
		add_string(to, "call_id", from->function_call_id);
		add_string(to, "task_id", from->task_id);
		json_object_array_add(inputs, to);
	}
	calls = json_object_new_array();
	for (size_t i = 0; i < reply->n_function_calls; i++)
	{
		const Modal__Client__FunctionCallCallGraphInfo *from =
			reply->function_calls[i];
		Json *to = json_object_new_object();

		add_string(to, "call_id", from->function_call_id);
		if (from->parent_input_id[0] != '\0')
			add_string(to, "parent_input_id", from->parent_input_id);
		add_string(to, "module", from->module_name);
		add_string(to, "function", from->function_name);
		json_object_array_add(calls, to);
	}
	json_object_object_add(control->answer, "inputs", inputs);
	json_object_object_add(control->answer, "calls", calls);
	modal__client__function_get_call_graph_response__free_unpacked(reply, NULL);
	answer(control);
}

static void
on_call_cancelled(void *arg, const GrpcResult *result)
{
	Control *control = arg;
	/* google.protobuf.Empty */
	void *reply = take_reply(control, result,
							 &modal__client__auth_token_get_request__descriptor);

	if (reply == NULL)
		return;
	protobuf_c_message_free_unpacked(reply, NULL);
	add_bool(control->answer, "cancelled", true);
	answer(control);
}

static bool
wants_termination(const Control *control)
{
	Json *value;

	return json_object_object_get_ex(control->request, "terminate_containers",
									 &value) &&
		json_object_get_boolean(value);
}

static void
ask_about_call(Control *control)
{
	Modal__Client__FunctionCallFromIdRequest from_id =
		MODAL__CLIENT__FUNCTION_CALL_FROM_ID_REQUEST__INIT;
	Modal__Client__FunctionGetCallGraphRequest graph =
		MODAL__CLIENT__FUNCTION_GET_CALL_GRAPH_REQUEST__INIT;
	Modal__Client__FunctionCallCancelRequest cancel =
		MODAL__CLIENT__FUNCTION_CALL_CANCEL_REQUEST__INIT;

	switch (control->call->open.op)
	{
		case CONTROL_CALL_INFO:
		case CONTROL_CALL_LOGS:
			from_id.function_call_id = control->call_id;
			send(control, "FunctionCallFromId", &from_id.base, on_call_found);
			break;
		case CONTROL_CALL_GRAPH:
			graph.function_call_id = control->call_id;
			send_for(control, "FunctionGetCallGraph", &graph.base,
					 GRPC_MAX_LISTING, on_call_graph);
			break;
		default:
			cancel.function_call_id = control->call_id;
			cancel.terminate_containers = wants_termination(control);
			send(control, "FunctionCallCancel", &cancel.base,
				 on_call_cancelled);
			break;
	}
}

/* --- driver --------------------------------------------------------------- */

static void
begin(Control *control)
{
	DispatchCall *call = control->call;
	ModalError error;

	switch (call->open.op)
	{
		case CONTROL_PING:
			ping(control);
			break;
		case CONTROL_LOOKUP:
		case CONTROL_STATS:
		case CONTROL_AUTOSCALER:
			control->handle = handle_cached(control->mt, call->open.reference);
			if (control->handle != NULL)
			{
				use_function(control);
				break;
			}
			control->lookup =
				lookup_start(control->mt, call, on_lookup, control);
			if (control->lookup == NULL)
				control_fail_memory(control);
			break;
		case CONTROL_CALL_INFO:
		case CONTROL_CALL_GRAPH:
		case CONTROL_CALL_CANCEL:
		case CONTROL_CALL_LOGS:
			control->call_id = strndup(call->open.remote_call_id.p,
									   call->open.remote_call_id.n);
			if (control->call_id != NULL)
				ask_about_call(control);
			else
				control_fail_memory(control);
			break;
		default:
			modal_error(&error, MODAL_SQLSTATE_INTERNAL, NULL,
						"unknown question to a Modal server: %d",
						call->open.op);
			control_fail(control, &error);
			break;
	}
}

/* NULL: it is no JSON object, or there is no memory. */
static Json *
parse_request(Slice text)
{
	char *copy = strndup(text.p != NULL ? text.p : "", text.n);
	Json *request = copy != NULL ? json_tokener_parse(copy) : NULL;

	free(copy);
	if (json_object_is_type(request, json_type_object))
		return request;
	json_object_put(request);
	return NULL;
}

static void
control_open(DispatchCall *call)
{
	Control *control = calloc(1, sizeof(*control));

	if (control == NULL ||
		(control->answer = json_object_new_object()) == NULL)
	{
		free(control);
		call_fail(call, MODAL_SQLSTATE_MEMORY, true, NULL, NULL,
				  "out of memory in the dispatcher");
		return;
	}
	call->state = control;
	control->call = call;
	control->mt = call->target->state;
	control->request = parse_request(call->open.request);
	begin(control);
}

/* Questions have no inputs, and one output that always fits. */
static void
control_ignore(DispatchCall *call)
{
	call_drop_pending(call);
}

static void
control_cancel(DispatchCall *call, int flags)
{
	(void) flags;
	control_free(call->state);
}

const CallDriver modal_control_driver = {
	.open = control_open,
	.inputs = control_ignore,
	.finish = control_ignore,
	.consumed = control_ignore,
	.cancel = control_cancel,
};
