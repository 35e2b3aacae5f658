/*-------------------------------------------------------------------------
 *
 * call.c
 *	  SQL functions that make one remote call each.
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include "catalog/pg_type.h"
#include "core/json_split.h"
#include "endpoint/endpoint.h"
#include "endpoint/http_options.h"
#include "errors.h"
#include "funcapi.h"
#include "functions/control.h"
#include "guc.h"
#include "link/remote_call.h"
#include "link/shmem.h"
#include "utils/builtins.h"
#include "values/values.h"

PG_FUNCTION_INFO_V1(modal_remote);
PG_FUNCTION_INFO_V1(modal_call);
PG_FUNCTION_INFO_V1(modal_remote_gen);
PG_FUNCTION_INFO_V1(modal_ping);
PG_FUNCTION_INFO_V1(modal_current_stats);
PG_FUNCTION_INFO_V1(modal_update_autoscaler);
PG_FUNCTION_INFO_V1(modal_web_url);
PG_FUNCTION_INFO_V1(modal_with_options);

/* --- what several of them need ------------------------------------------- */

static char *
reference_argument(FunctionCallInfo fcinfo)
{
	if (PG_ARGISNULL(0))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
						errmsg("function reference must not be null")));
	return text_to_cstring(PG_GETARG_TEXT_PP(0));
}

/* The payload of VARIADIC "any" arguments that follow the reference. */
static void
encode_variadic(FunctionCallInfo fcinfo, const Endpoint *endpoint, Buf *payload)
{
	Datum *values = NULL;
	Oid *types = NULL;
	bool *nulls = NULL;
	int nargs = 0;
	ArgEncoder *enc;

	if (PG_NARGS() > 1)
		nargs = extract_variadic_args(fcinfo, 1, false, &values, &types, &nulls);
	if (nargs < 0)
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
						errmsg("VARIADIC argument must not be null")));
	enc = arg_encoder_create(CurrentMemoryContext,
							 endpoint_arg_format(endpoint), nargs, types, NULL,
							 NULL);
	arg_encode(enc, payload, values, nulls);
}

static Jsonb *
call_and_wait(const Endpoint *endpoint, const char *rest, const Buf *payload,
			  Jsonb *kwargs)
{
	RemoteCallSpec spec = {.kind = CALL_REMOTE,
						   .reference = rest,
						   .request = endpoint_common_kwargs(endpoint, kwargs),
						   .last_ordinal = -1,
						   .total_inputs = 1};
	FrameOutput out;
	RemoteCall *call = remote_call_once(CurrentMemoryContext, endpoint, &spec,
										payload->data, payload->len, &out);
	Jsonb *result = result_to_jsonb(out.format, out.data.p, out.data.n);

	remote_call_close(call, 0);
	return result;
}

/* --- calls ---------------------------------------------------------------- */

Datum
modal_remote(PG_FUNCTION_ARGS)
{
	const char *rest;
	Endpoint *endpoint =
		endpoint_get(reference_argument(fcinfo), GetUserId(), &rest);
	Buf payload;

	buf_init(&payload, (Size) modal_max_payload_kb * 1024, buf_palloc);
	encode_variadic(fcinfo, endpoint, &payload);
	PG_RETURN_JSONB_P(call_and_wait(endpoint, rest, &payload, NULL));
}

Datum
modal_call(PG_FUNCTION_ARGS)
{
	const char *rest;
	Endpoint *endpoint =
		endpoint_get(reference_argument(fcinfo), GetUserId(), &rest);
	ArgFormat format = endpoint_arg_format(endpoint);
	Jsonb *args = PG_GETARG_JSONB_P(1);
	Jsonb *kwargs = PG_GETARG_JSONB_P(2);
	Buf payload;

	if (format.as_object && format.request == NULL && JB_ROOT_COUNT(args) > 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("server \"%s\" takes keyword arguments only",
						endpoint->server_name),
				 errhint("Its option args is \"object\"; give the arguments in kwargs.")));
	buf_init(&payload, (Size) modal_max_payload_kb * 1024, buf_palloc);
	arg_encode_jsonb(format, &payload, args, kwargs);
	PG_RETURN_JSONB_P(call_and_wait(endpoint, rest, &payload, kwargs));
}

/*
 * Streams, one value per call.  The remote call lives in the function's
 * multi-call context: it is cancelled when that goes, by LIMIT or by error.
 */
Datum
modal_remote_gen(PG_FUNCTION_ARGS)
{
	FuncCallContext *funcctx;
	RemoteCall *call;
	FrameOutput out;

	if (SRF_IS_FIRSTCALL())
	{
		const char *rest;
		Endpoint *endpoint;
		RemoteCallSpec spec = {.kind = CALL_GENERATOR, .ordered = true};
		MemoryContext old;
		Buf payload;

		funcctx = SRF_FIRSTCALL_INIT();
		old = MemoryContextSwitchTo(funcctx->multi_call_memory_ctx);
		endpoint = endpoint_get(reference_argument(fcinfo), GetUserId(), &rest);
		buf_init(&payload, (Size) modal_max_payload_kb * 1024, buf_palloc);
		encode_variadic(fcinfo, endpoint, &payload);
		spec.reference = rest;
		call = remote_call_open(funcctx->multi_call_memory_ctx, endpoint, &spec);
		remote_call_put(call, 0, payload.data, payload.len);
		remote_call_finish(call);
		funcctx->user_fctx = call;
		buf_free(&payload);
		MemoryContextSwitchTo(old);
	}

	funcctx = SRF_PERCALL_SETUP();
	call = funcctx->user_fctx;
	if (remote_call_next(call, &out) == REMOTE_CALL_END)
	{
		remote_call_close(call, 0);
		SRF_RETURN_DONE(funcctx);
	}
	if (!out.ok)
		error_raise(&out, remote_call_label(call));
	SRF_RETURN_NEXT(funcctx, JsonbPGetDatum(result_to_jsonb(
								 out.format, out.data.p, out.data.n)));
}

/* --- questions to the service ----------------------------------------------- */

Datum
modal_ping(PG_FUNCTION_ARGS)
{
	char *server = text_to_cstring(PG_GETARG_TEXT_PP(0));
	const char *rest;
	Endpoint *endpoint =
		endpoint_get_by_prefix(psprintf("%s:", server), GetUserId(), &rest);

	PG_RETURN_DATUM(
		control_row(fcinfo, control_ask(endpoint, rest, CONTROL_PING, NULL)));
}

Datum
modal_current_stats(PG_FUNCTION_ARGS)
{
	const char *rest;
	Endpoint *endpoint =
		endpoint_get(reference_argument(fcinfo), GetUserId(), &rest);

	PG_RETURN_DATUM(
		control_row(fcinfo, control_ask(endpoint, rest, CONTROL_STATS, NULL)));
}

Datum
modal_update_autoscaler(PG_FUNCTION_ARGS)
{
	static const char *const names[] = {"min_containers", "max_containers",
										"buffer_containers",
										"scaledown_window"};
	const char *rest;
	Endpoint *endpoint =
		endpoint_get(reference_argument(fcinfo), GetUserId(), &rest);
	Buf request;

	buf_init(&request, 0, buf_palloc);
	buf_put_u8(&request, '{');
	for (int i = 0; i < (int) lengthof(names); i++)
		if (!PG_ARGISNULL(i + 1))
		{
			if (PG_GETARG_INT32(i + 1) < 0)
				ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
								errmsg("%s must not be negative", names[i])));
			buf_printf(&request, "%s\"%s\":%d", request.len > 1 ? "," : "",
					   names[i], PG_GETARG_INT32(i + 1));
		}
	buf_put_u8(&request, '}');
	PG_RETURN_JSONB_P(control_ask(endpoint, rest, CONTROL_AUTOSCALER,
								  buf_cstr(&request)));
}

Datum
modal_web_url(PG_FUNCTION_ARGS)
{
	const char *rest;
	Endpoint *endpoint =
		endpoint_get(reference_argument(fcinfo), GetUserId(), &rest);
	char *url = control_member(
		control_ask(endpoint, rest, CONTROL_LOOKUP, NULL), "web_url");

	if (url == NULL || url[0] == '\0')
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(url));
}

/* --- references ---------------------------------------------------------------- */

/*
 * Options given later win, one by one, over those that the reference already
 * has.  What they mean depends on the server, and is checked where they are
 * used; this function does not look at catalogs.
 */
Datum
modal_with_options(PG_FUNCTION_ARGS)
{
	char *reference = text_to_cstring(PG_GETARG_TEXT_PP(0));
	Jsonb *options = PG_GETARG_JSONB_P(1);
	char *before = strchr(reference, '#');
	const char *wrong;
	Reference parsed;

	if (!JB_ROOT_IS_OBJECT(options))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("options must be a JSON object")));
	wrong = reference_parse(reference, strlen(reference), false, &parsed);
	if (wrong != NULL &&
		reference_parse(reference, strlen(reference), true, &parsed) == NULL &&
		parsed.server.p != NULL)
	{
		/* It can only be an HTTP function: the options are known. */
		http_options_check_names(options);
		wrong = NULL;
	}
	if (wrong != NULL)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("invalid function reference \"%s\"",
							   reference_label(reference)),
						errdetail("%s", wrong)));
	if (before != NULL && parsed.options.p != NULL)
	{
		Datum old = DirectFunctionCall1(
			jsonb_in, CStringGetDatum(
						  pnstrdup(parsed.options.p, parsed.options.n)));

		options = DatumGetJsonbP(
			DirectFunctionCall2(jsonb_concat, old, JsonbPGetDatum(options)));
		/* options are the last part of a reference */
		reference = pnstrdup(reference, parsed.options.p - reference - 1);
	}
	PG_RETURN_TEXT_P(cstring_to_text(
		psprintf("%s#%s", reference,
				 JsonbToCString(NULL, &options->root, VARSIZE(options)))));
}
