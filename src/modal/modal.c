/*-------------------------------------------------------------------------
 *
 * modal.c
 *	  The Modal driver: state per target, entry points, errors.
 *
 *-------------------------------------------------------------------------
 */
#include "modal/modal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/modal.pb-c.h"

#define MAX_PLANES 32 /* input planes that a service may name */
#define BACKGROUND_S 600.0 /* most that a request nobody waits for may take */

/* A request that outlives the call it belongs to. */
struct Background
{
	ListNode node; /* ModalTarget.background */
	ModalTarget *mt;
	GrpcCall *grpc;
	bool terminate; /* of a call to be cancelled once it has an id */
	Timer give_up;
};

struct InputPlane
{
	InputPlane *next;
	char *url;
	char *region;
	GrpcService *service;
};

/* --- errors --------------------------------------------------------------- */

void
modal_error(ModalError *error, const char *sqlstate, const char *hint,
			const char *fmt, ...)
{
	va_list args;

	memset(error, 0, sizeof(*error));
	error->sqlstate = sqlstate;
	error->hint = hint;
	va_start(args, fmt);
	vsnprintf(error->message, sizeof(error->message), fmt, args);
	va_end(args);
}

void
modal_error_grpc(ModalError *error, const GrpcResult *result, const char *fmt,
				 ...)
{
	va_list args;

	memset(error, 0, sizeof(*error));
	error->sqlstate = grpc_sqlstate(result);
	error->retryable = grpc_worth_retrying(result);
	error->hint = grpc_hint(result);
	if (result->transport != TRANSPORT_OK)
		snprintf(error->detail, sizeof(error->detail), "%s", result->message);
	else
		snprintf(error->detail, sizeof(error->detail),
				 "The service answered with %s%s%s",
				 grpc_status_name(result->status),
				 result->message[0] != '\0' ? ": " : ".", result->message);
	va_start(args, fmt);
	vsnprintf(error->message, sizeof(error->message), fmt, args);
	va_end(args);
}

void
modal_error_memory(ModalError *error)
{
	modal_error(error, MODAL_SQLSTATE_MEMORY, NULL,
				"out of memory in the dispatcher");
	error->retryable = true;
}

void
modal_fail(DispatchCall *call, const ModalError *error)
{
	call_fail(call, error->sqlstate, error->retryable,
			  error->detail[0] != '\0' ? error->detail : NULL, error->hint,
			  "%s", error->message);
}

void
modal_warn(DispatchCall *call, Modal__Client__Warning **warnings, size_t n)
{
	for (size_t i = 0; i < n && i < MAX_SERVER_WARNINGS; i++)
		call_notice(call, NOTICE_WARNING, warnings[i]->message);
}

/* --- requests in the background ------------------------------------------- */

static void
background_free(Background *bg)
{
	list_remove(&bg->node);
	timer_cancel(&bg->give_up);
	target_put(bg->mt->target);
	free(bg);
}

/* A service that is not there, or that throttles, does not keep it for ever. */
static void
on_give_up(void *arg)
{
	Background *bg = arg;

	grpc_cancel(bg->grpc);
	background_free(bg);
}

static void
on_background_done(void *arg, const GrpcResult *result)
{
	(void) result;
	background_free(arg);
}

static Background *
background_create(ModalTarget *mt)
{
	Background *bg = calloc(1, sizeof(*bg));

	if (bg == NULL)
		return NULL;
	bg->mt = mt;
	timer_init(&bg->give_up, on_give_up, bg);
	if (!timer_set(&bg->give_up, monotonic_seconds() + BACKGROUND_S))
	{
		free(bg);
		return NULL;
	}
	/* It is one of its target's calls: what is given up shall go out. */
	mt->target->calls++;
	list_append(&mt->background, &bg->node);
	return bg;
}

void
modal_background(ModalTarget *mt, GrpcSpec *spec)
{
	Background *bg = background_create(mt);

	if (bg == NULL)
	{
		buf_free(&spec->request);
		return;
	}
	spec->call = NULL;
	spec->on_done = on_background_done;
	spec->arg = bg;
	bg->grpc = grpc_start(spec);
	if (bg->grpc == NULL)
		background_free(bg);
}

void
modal_cancel_remote(ModalTarget *mt, const char *call_id, bool terminate)
{
	GrpcSpec spec =
		grpc_spec(mt->control, "FunctionCallCancel", NULL, NULL, NULL);
	Modal__Client__FunctionCallCancelRequest request =
		MODAL__CLIENT__FUNCTION_CALL_CANCEL_REQUEST__INIT;

	request.function_call_id = (char *) call_id;
	request.terminate_containers = terminate;
	grpc_pack(&spec.request, &request.base);
	modal_background(mt, &spec);
}

static void
on_abandoned_start(void *arg, const GrpcResult *result)
{
	Background *bg = arg;
	Modal__Client__FunctionMapResponse *reply;

	if (result->status == GRPC_OK)
	{
		reply =
			grpc_unpack(result, &modal__client__function_map_response__descriptor);
		if (reply != NULL)
		{
			modal_cancel_remote(bg->mt, reply->function_call_id, bg->terminate);
			modal__client__function_map_response__free_unpacked(reply, NULL);
		}
	}
	background_free(bg);
}

void
modal_cancel_when_started(ModalTarget *mt, GrpcCall *start, bool terminate)
{
	Background *bg = background_create(mt);

	if (bg == NULL)
	{
		grpc_cancel(start);
		return;
	}
	bg->grpc = start;
	bg->terminate = terminate;
	grpc_redirect(start, on_abandoned_start, bg);
}

/* --- targets -------------------------------------------------------------- */

GrpcService *
modal_input_plane(ModalTarget *mt, const char *url, const char *region)
{
	InputPlane *plane;

	for (plane = mt->planes; plane != NULL; plane = plane->next)
	{
		if (strcmp(plane->url, url) == 0 && strcmp(plane->region, region) == 0)
			return plane->service;
	}
	if (mt->nplanes == MAX_PLANES)
		return NULL;
	plane = calloc(1, sizeof(*plane));
	if (plane == NULL)
		return NULL;
	plane->url = strdup(url);
	plane->region = strdup(region);
	if (plane->url != NULL && plane->region != NULL)
		plane->service = grpc_service_create(mt->target, url, mt->auth, region);
	if (plane->service == NULL)
	{
		free(plane->url);
		free(plane->region);
		free(plane);
		return NULL;
	}
	plane->next = mt->planes;
	mt->planes = plane;
	mt->nplanes++;
	return plane->service;
}

static bool
modal_target_init(Target *target, const char **error)
{
	ModalTarget *mt = calloc(1, sizeof(*mt));
	const char *urls = target_option(target, "url");
	const char *environment = target_option(target, "environment");

	*error = "out of memory";
	if (mt == NULL)
		return false;
	target->state = mt;
	mt->target = target;
	handles_init(mt);
	list_init(&mt->background);
	mt->environment = environment != NULL ? environment : "";
	mt->allow_pickle = target_option_bool(target, "allow_pickle", false);
	mt->auth = auth_create();
	if (mt->auth == NULL)
		return false;
	*error = "server option \"url\" is not a list of URLs that may be used";
	mt->control = grpc_service_create(
		target, urls != NULL ? urls : target->protocol->default_url, mt->auth,
		NULL);
	if (mt->control == NULL)
		return false;
	auth_set_service(mt->auth, mt->control);
	return true;
}

static void
modal_target_free(Target *target)
{
	ModalTarget *mt = target->state;
	ListNode *node;
	InputPlane *plane;

	while ((node = list_first(&mt->background)) != NULL)
	{
		Background *bg = LIST_OWNER(Background, node, node);

		grpc_cancel(bg->grpc);
		list_remove(&bg->node);
		timer_cancel(&bg->give_up);
		free(bg);
	}
	auth_free(mt->auth);
	handles_free(mt);
	while ((plane = mt->planes) != NULL)
	{
		mt->planes = plane->next;
		grpc_service_free(plane->service);
		free(plane->url);
		free(plane->region);
		free(plane);
	}
	grpc_service_free(mt->control);
	free(mt);
	target->state = NULL;
}

/* --- entry ---------------------------------------------------------------- */

static void
modal_open(DispatchCall *call)
{
	switch (call->open.kind)
	{
		case CALL_REMOTE:
		case CALL_MAP:
		case CALL_SPAWN_MAP:
		case CALL_GENERATOR:
		case CALL_FOLLOW:
			call->driver = &modal_call_driver;
			break;
		case CALL_CONTROL:
			call->driver = &modal_control_driver;
			break;
		default:
			call_fail(call, MODAL_SQLSTATE_INTERNAL, false, NULL, NULL,
					  "unknown kind of call: %d", call->open.kind);
			return;
	}
	call->driver->open(call);
}

const Protocol modal_protocol = {
	.name = "modal",
	.default_url = "https://api.modal.com,https://api.modal2.com",
	.driver = {.open = modal_open},
	.target_init = modal_target_init,
	.target_free = modal_target_free,
};
