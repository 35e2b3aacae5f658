/*-------------------------------------------------------------------------
 *
 * language.c
 *	  LANGUAGE modal: the handler.
 *
 * It makes one call and waits for it; sets are streamed, a value at a time.
 * Plain calls in queries usually do not come here: see apply_plan.c.
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include "catalog/pg_type.h"
#include "funcapi.h"
#include "guc.h"
#include "typed/list.h"
#include "typed/site.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

PG_FUNCTION_INFO_V1(modal_language_handler);

/* The row type of RETURNS record, which only the query knows. */
static TupleDesc
expected_desc(FunctionCallInfo fcinfo)
{
	TupleDesc desc = NULL;

	if (get_func_rettype(fcinfo->flinfo->fn_oid) == RECORDOID &&
		get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("function returning record called in context "
							   "that cannot accept type record")));
	return desc;
}

static void
encode_arguments(TypedSite *site, FunctionCallInfo fcinfo, Buf *input)
{
	Datum values[FUNC_MAX_ARGS];
	bool nulls[FUNC_MAX_ARGS];

	for (int i = 0; i < PG_NARGS(); i++)
	{
		values[i] = PG_GETARG_DATUM(i);
		nulls[i] = PG_ARGISNULL(i);
	}
	buf_init(input, (size_t) modal_max_payload_kb * 1024, buf_palloc);
	arg_encode(site->encoder, input, values, nulls);
}

static Datum
call_for_value(FunctionCallInfo fcinfo)
{
	TypedSite *site = fcinfo->flinfo->fn_extra;
	RemoteCallSpec spec;
	RemoteCall *call;
	FrameOutput out;
	Buf input;
	Datum result;
	bool isnull;

	if (site == NULL)
	{
		site = typed_site_create(fcinfo->flinfo->fn_mcxt,
								 fcinfo->flinfo->fn_oid, expected_desc(fcinfo));
		fcinfo->flinfo->fn_extra = site;
	}
	typed_site_connect(site);
	encode_arguments(site, fcinfo, &input);
	typed_site_spec(site, CALL_REMOTE, &spec);
	call = remote_call_once(CurrentMemoryContext, site->endpoint, &spec,
							input.data, input.len, &out);
	buf_free(&input);
	result = typed_site_result(site, &out, -1, &isnull);
	remote_call_close(call, 0);
	if (isnull)
		PG_RETURN_NULL();
	return result;
}

/* A set in progress. */
typedef struct SetState
{
	TypedSite *site;
	RemoteCall *call;
	bool is_generator;
	TypedList list; /* that a function other than a generator returned */
} SetState;

/* Open a call of the given kind with its one input; is the function of it? */
static bool
set_try(SetState *set, CallKind kind, const Buf *input, MemoryContext cxt)
{
	set->call = typed_site_open(set->site, kind, input, cxt);
	set->is_generator = remote_call_wait_opened(set->call)->is_generator;
	return set->is_generator == (kind == CALL_GENERATOR);
}

/*
 * Make the call.  Whether a function is a generator is known where its handle
 * is, in the dispatcher, which refuses a call of the wrong kind before its
 * input is sent; then the other kind is right.  Over HTTP there are no
 * generators, and nothing is refused.
 */
static SetState *
set_open(FunctionCallInfo fcinfo, MemoryContext cxt)
{
	SetState *set = palloc0(sizeof(SetState));
	TypedFunction *function;
	CallKind kind;
	Buf input;

	set->site = typed_site_create(cxt, fcinfo->flinfo->fn_oid,
								  expected_desc(fcinfo));
	typed_site_connect(set->site);
	encode_arguments(set->site, fcinfo, &input);

	function = set->site->function;
	kind = set->site->endpoint->protocol == ENDPOINT_HTTP || function->gives_list
			   ? CALL_REMOTE
			   : CALL_GENERATOR;
	if (!set_try(set, kind, &input, cxt))
	{
		remote_call_close(set->call, 0);
		kind = kind == CALL_GENERATOR ? CALL_REMOTE : CALL_GENERATOR;
		(void) set_try(set, kind, &input, cxt);
	}
	function->gives_list = !set->is_generator;
	buf_free(&input);
	return set;
}

/* Wait for the list that is the function's result; false if it is null. */
static bool
set_fetch_list(SetState *set)
{
	FrameOutput out;

	return remote_call_next(set->call, &out) != REMOTE_CALL_END &&
		   typed_list_open(&set->list, set->site, &out);
}

static Datum
call_for_set(FunctionCallInfo fcinfo)
{
	FuncCallContext *context;
	SetState *set;
	FrameOutput out = {0};
	int64 row = -1;
	Datum result;
	bool isnull;
	bool more;

	if (SRF_IS_FIRSTCALL())
	{
		MemoryContext old;

		context = SRF_FIRSTCALL_INIT();
		old = MemoryContextSwitchTo(context->multi_call_memory_ctx);
		set = set_open(fcinfo, context->multi_call_memory_ctx);
		context->user_fctx = set;
		if (!set->is_generator && !set_fetch_list(set))
			set->call = NULL;
		MemoryContextSwitchTo(old);
	}
	context = SRF_PERCALL_SETUP();
	set = context->user_fctx;

	if (set->call == NULL)
		more = false;
	else if (set->is_generator)
	{
		more = remote_call_next(set->call, &out) == REMOTE_CALL_OUTPUT;
		row = out.ordinal;
		out.ordinal = 0;
	}
	else
		more = typed_list_next(&set->list, &out, &row);
	if (!more)
		SRF_RETURN_DONE(context);
	result = typed_site_result(set->site, &out, row, &isnull);
	if (isnull)
		SRF_RETURN_NEXT_NULL(context);
	SRF_RETURN_NEXT(context, result);
}

Datum
modal_language_handler(PG_FUNCTION_ARGS)
{
	if (fcinfo->flinfo->fn_retset)
		return call_for_set(fcinfo);
	return call_for_value(fcinfo);
}
