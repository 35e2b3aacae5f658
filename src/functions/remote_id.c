/*-------------------------------------------------------------------------
 *
 * remote_id.c
 *	  Remote calls that were started elsewhere, by another program or another
 *	  session, under the ids that the service gave them: "[server:]fc-…".
 *
 * Whoever knows the id and may use the server can look, take results as often
 * as the service keeps them, and cancel.  Going away early ends the looking,
 * not the call.
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "clock.h"
#include "core/reference.h"
#include "endpoint/endpoint.h"
#include "errors.h"
#include "funcapi.h"
#include "functions/control.h"
#include "functions/remote_id.h"
#include "guc.h"
#include "link/remote_call.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "values/values.h"

#define ID_PREFIX "fc-"
#define GATHER_AHEAD 32 /* calls whose results are fetched at a time */

PG_FUNCTION_INFO_V1(modal_function_call);
PG_FUNCTION_INFO_V1(modal_function_call_get);
PG_FUNCTION_INFO_V1(modal_function_call_results);
PG_FUNCTION_INFO_V1(modal_function_call_gather);
PG_FUNCTION_INFO_V1(modal_function_call_cancel);
PG_FUNCTION_INFO_V1(modal_function_call_graph);

Endpoint *
remote_id_endpoint(text *call, const char **id)
{
	char *name = text_to_cstring(call);
	Endpoint *endpoint = endpoint_get_by_prefix(name, GetUserId(), id);

	if (endpoint->protocol == ENDPOINT_HTTP)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("server \"%s\" has no remote calls to look at",
						endpoint->server_name),
				 errdetail("It has protocol http, whose calls end with their request.")));
	if (strncmp(*id, ID_PREFIX, strlen(ID_PREFIX)) != 0 ||
		!object_id_is_valid((Slice){*id, strlen(*id)}))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid id of a remote call: \"%s\"", name),
				 errhint("An id is \"[server:]fc-...\", as Modal's dashboard, the SDKs' function_call_id and modal_batch.jobs.remote_call_id have it.")));
	return endpoint;
}

/* --- results -------------------------------------------------------------- */

typedef struct Wanted
{
	int64 first;
	int64 last;			/* -1: to the end */
	bool available;		/* only what is there now */
	bool raise;
	Size window_bytes;	/* of results held; 0: as for any call */
} Wanted;

static RemoteCall *
follow(MemoryContext cxt, text *call, const Wanted *wanted)
{
	const char *id;
	Endpoint *endpoint = remote_id_endpoint(call, &id);
	RemoteCallSpec spec = {.kind = CALL_FOLLOW,
						   .reference = id,
						   .remote_call_id = id,
						   .ordered = true,
						   .return_exceptions = !wanted->raise,
						   .available = wanted->available,
						   .window_bytes = wanted->window_bytes,
						   .first_ordinal = wanted->first,
						   .last_ordinal = wanted->last};
	RemoteCall *followed = remote_call_open(cxt, endpoint, &spec);

	endpoint_release(endpoint);
	return followed;
}

/* result and error of one output, as two columns. */
static void
fill_result(RemoteCall *call, const FrameOutput *out, bool raise,
			Datum *values, bool *nulls)
{
	bool ok = true;
	Jsonb *value;

	if (!out->ok && raise)
		error_raise(out, remote_call_label(call));
	value = raise ? result_to_jsonb(out->format, out->data.p, out->data.n)
				  : output_to_jsonb(out, &ok);
	nulls[0] = !ok;
	nulls[1] = ok;
	values[ok ? 0 : 1] = JsonbPGetDatum(value);
}

static Datum
result_row(FuncCallContext *funcctx, Datum *values, bool *nulls)
{
	return HeapTupleGetDatum(
		heap_form_tuple(funcctx->tuple_desc, values, nulls));
}

static void
remember_row_type(FunctionCallInfo fcinfo, FuncCallContext *funcctx)
{
	TupleDesc desc;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	funcctx->tuple_desc = BlessTupleDesc(desc);
}

/* modal_function_call_results(call, first, last, wait, on_error) */
Datum
modal_function_call_results(PG_FUNCTION_ARGS)
{
	FuncCallContext *funcctx;
	RemoteCall *call;
	FrameOutput out;
	Datum values[3];
	bool nulls[3] = {false};
	bool raise;

	if (SRF_IS_FIRSTCALL())
	{
		MemoryContext old;
		Wanted wanted = {.last = -1};

		funcctx = SRF_FIRSTCALL_INIT();
		old = MemoryContextSwitchTo(funcctx->multi_call_memory_ctx);
		for (int i = 0; i < PG_NARGS(); i++)
			if (i != 2 && PG_ARGISNULL(i))
				ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
								errmsg("argument %d must not be null", i + 1)));
		wanted.first = PG_GETARG_INT64(1);
		if (!PG_ARGISNULL(2))
			wanted.last = PG_GETARG_INT64(2);
		if (wanted.first < 0 || (!PG_ARGISNULL(2) && wanted.last < wanted.first))
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("invalid range of results"),
							errdetail("Results are numbered from 0, and last must not be less than first.")));
		wanted.available = !PG_GETARG_BOOL(3);
		wanted.raise = on_error_raises(PG_GETARG_TEXT_PP(4));
		remember_row_type(fcinfo, funcctx);
		funcctx->user_fctx = follow(funcctx->multi_call_memory_ctx,
									PG_GETARG_TEXT_PP(0), &wanted);
		MemoryContextSwitchTo(old);
	}

	funcctx = SRF_PERCALL_SETUP();
	call = funcctx->user_fctx;
	raise = on_error_raises(PG_GETARG_TEXT_PP(4));
	if (remote_call_next(call, &out) == REMOTE_CALL_END)
	{
		remote_call_close(call, 0);
		SRF_RETURN_DONE(funcctx);
	}
	values[0] = Int64GetDatum(out.ordinal);
	fill_result(call, &out, raise, values + 1, nulls + 1);
	SRF_RETURN_NEXT(funcctx, result_row(funcctx, values, nulls));
}

/* Seconds; infinity for NULL, which is for ever. */
static double
timeout_argument(FunctionCallInfo fcinfo, int argno)
{
	double seconds;

	if (PG_ARGISNULL(argno))
		return HUGE_VAL;
	seconds = interval_seconds(PG_GETARG_INTERVAL_P(argno));
	if (seconds < 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("timeout must not be negative")));
	return seconds;
}

/* Until there is an output, the end, or no time left (PENDING). */
static RemoteCallResult
next_within(RemoteCall *call, FrameOutput *out, double seconds)
{
	double until = monotonic_seconds() + seconds;
	RemoteCallResult result;

	while ((result = remote_call_poll(call, out)) == REMOTE_CALL_PENDING)
	{
		long left = monotonic_ms_until(until);

		if (left == 0)
			break;
		remote_call_wait(call, left);
	}
	return result;
}

/*
 * modal_function_call_get(call, index, timeout): NULL when there is no result
 * in time.  The last look, with which a timeout of 0 begins, asks the service
 * for what is there at that moment.
 */
Datum
modal_function_call_get(PG_FUNCTION_ARGS)
{
	Wanted wanted = {.raise = true};
	RemoteCallResult result = REMOTE_CALL_PENDING;
	RemoteCall *call = NULL;
	FrameOutput out;
	Jsonb *answer;
	double timeout;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
						errmsg("call and index must not be null")));
	wanted.first = wanted.last = PG_GETARG_INT64(1);
	if (wanted.first < 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("index must not be negative")));
	timeout = timeout_argument(fcinfo, 2);
	if (timeout > 0)
	{
		call = follow(CurrentMemoryContext, PG_GETARG_TEXT_PP(0), &wanted);
		result = next_within(call, &out, timeout);
	}
	if (result == REMOTE_CALL_PENDING)
	{
		if (call != NULL)
			remote_call_close(call, 0);
		wanted.available = true;
		call = follow(CurrentMemoryContext, PG_GETARG_TEXT_PP(0), &wanted);
		result = remote_call_next(call, &out);
	}
	if (result == REMOTE_CALL_END)
	{
		remote_call_close(call, 0);
		if (wanted.available)
			PG_RETURN_NULL();
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("remote call \"%s\" has no input " INT64_FORMAT,
							   text_to_cstring(PG_GETARG_TEXT_PP(0)),
							   wanted.first),
						errdetail("Inputs are numbered from 0.")));
	}
	if (!out.ok)
		error_raise(&out, remote_call_label(call));
	answer = result_to_jsonb(out.format, out.data.p, out.data.n);
	remote_call_close(call, 0);
	PG_RETURN_JSONB_P(answer);
}

/* --- several calls -------------------------------------------------------- */

typedef struct CallGather
{
	int n;
	int opened;
	int at;				/* whose results are being returned */
	Datum *names;
	RemoteCall **calls;
} CallGather;

static CallGather *
gather_create(ArrayType *names)
{
	CallGather *gather = palloc0(sizeof(CallGather));
	bool *nulls;

	deconstruct_array(names, TEXTOID, -1, false, TYPALIGN_INT, &gather->names,
					  &nulls, &gather->n);
	for (int i = 0; i < gather->n; i++)
		if (nulls[i])
			ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
							errmsg("the id of a remote call must not be null")));
	gather->calls = palloc0(gather->n * sizeof(RemoteCall *) + 1);
	return gather;
}

static void
open_ahead(CallGather *gather, MemoryContext cxt)
{
	/* together they hold what one call may hold */
	const Wanted all = {.last = -1,
						.window_bytes = (Size) modal_window_bytes_kb * 1024 /
							Min(gather->n, GATHER_AHEAD)};
	MemoryContext old = MemoryContextSwitchTo(cxt);

	while (gather->opened < gather->n &&
		   gather->opened < gather->at + GATHER_AHEAD)
	{
		gather->calls[gather->opened] =
			follow(cxt, DatumGetTextPP(gather->names[gather->opened]), &all);
		gather->opened++;
	}
	MemoryContextSwitchTo(old);
}

/* modal_function_call_gather(VARIADIC calls): all wait at the same time. */
Datum
modal_function_call_gather(PG_FUNCTION_ARGS)
{
	FuncCallContext *funcctx;
	CallGather *gather;
	FrameOutput out;
	Datum values[4];
	bool nulls[4] = {false};

	if (SRF_IS_FIRSTCALL())
	{
		MemoryContext old;

		funcctx = SRF_FIRSTCALL_INIT();
		old = MemoryContextSwitchTo(funcctx->multi_call_memory_ctx);
		remember_row_type(fcinfo, funcctx);
		funcctx->user_fctx = gather_create(PG_GETARG_ARRAYTYPE_P(0));
		MemoryContextSwitchTo(old);
	}

	funcctx = SRF_PERCALL_SETUP();
	gather = funcctx->user_fctx;
	for (; gather->at < gather->n; gather->at++)
	{
		RemoteCall *call;

		open_ahead(gather, funcctx->multi_call_memory_ctx);
		call = gather->calls[gather->at];
		if (remote_call_next(call, &out) == REMOTE_CALL_OUTPUT)
		{
			values[0] = gather->names[gather->at];
			values[1] = Int64GetDatum(out.ordinal);
			fill_result(call, &out, false, values + 2, nulls + 2);
			SRF_RETURN_NEXT(funcctx, result_row(funcctx, values, nulls));
		}
		remote_call_close(call, 0);
	}
	SRF_RETURN_DONE(funcctx);
}

/* --- questions ------------------------------------------------------------ */

Datum
modal_function_call(PG_FUNCTION_ARGS)
{
	const char *id;
	Endpoint *endpoint = remote_id_endpoint(PG_GETARG_TEXT_PP(0), &id);

	PG_RETURN_DATUM(control_row(
		fcinfo, control_ask(endpoint, id, CONTROL_CALL_INFO, NULL)));
}

Datum
modal_function_call_cancel(PG_FUNCTION_ARGS)
{
	const char *id;
	Endpoint *endpoint = remote_id_endpoint(PG_GETARG_TEXT_PP(0), &id);

	(void) control_ask(endpoint, id, CONTROL_CALL_CANCEL,
					   PG_GETARG_BOOL(1) ? "{\"terminate_containers\": true}"
										 : NULL);
	PG_RETURN_VOID();
}

/* As the service tells it; SQL makes rows of it. */
Datum
modal_function_call_graph(PG_FUNCTION_ARGS)
{
	const char *id;
	Endpoint *endpoint = remote_id_endpoint(PG_GETARG_TEXT_PP(0), &id);

	PG_RETURN_JSONB_P(control_ask(endpoint, id, CONTROL_CALL_GRAPH, NULL));
}
