/*-------------------------------------------------------------------------
 *
 * site.c
 *	  A place that calls a typed function; see site.h.
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include "catalog/pg_type.h"
#include "typed/site.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

static void
site_disconnect(TypedSite *site)
{
	if (site->endpoint == NULL)
		return;
	endpoint_release(site->endpoint);
	site->endpoint = NULL;
}

static void
site_let_go(void *arg)
{
	TypedSite *site = arg;

	site_disconnect(site);
	typed_function_release(site->function);
}

TypedSite *
typed_site_create(MemoryContext cxt, Oid funcid, TupleDesc desc)
{
	TypedFunction *function = typed_function_get(funcid);
	MemoryContext site_cxt;
	MemoryContextCallback *callback;
	TypedSite *site;

	site_cxt =
		AllocSetContextCreate(cxt, "modal call site", ALLOCSET_SMALL_SIZES);
	site = MemoryContextAllocZero(site_cxt, sizeof(TypedSite));
	callback = MemoryContextAlloc(site_cxt, sizeof(MemoryContextCallback));
	site->function = function;
	site->cxt = site_cxt;
	callback->func = site_let_go;
	callback->arg = site;
	MemoryContextRegisterResetCallback(site_cxt, callback);

	site->connection_cxt = AllocSetContextCreate(
		site_cxt, "modal call site connection", ALLOCSET_SMALL_SIZES);
	if (desc == NULL)
		desc = function->result_desc;
	if (function->result_type != VOIDOID)
		site->decoder = result_decoder_create(site_cxt, function->result_type,
											  -1, desc);
	return site;
}

void
typed_site_connect(TypedSite *site)
{
	TypedFunction *function = site->function;
	MemoryContext old = MemoryContextSwitchTo(site->cxt);
	Endpoint *endpoint;
	char **names;
	bool named;

	endpoint = endpoint_get(function->reference, GetUserId(), &site->reference);
	if (site->endpoint != NULL && endpoint_is_same(site->endpoint, endpoint))
	{
		endpoint_release(endpoint);
		MemoryContextSwitchTo(old);
		return;
	}
	site_disconnect(site);
	MemoryContextReset(site->connection_cxt);
	site->endpoint = endpoint;

	MemoryContextSwitchTo(site->connection_cxt);
	site->label = endpoint_label(endpoint, site->reference);
	names = palloc0(sizeof(char *) * (function->nargs + 1));
	named = endpoint_arg_format(endpoint).named;
	for (int i = 0; i < function->nargs; i++)
	{
		if (i >= function->positional || named)
			names[i] = function->argnames[i];
	}
	site->encoder =
		arg_encoder_create(site->connection_cxt, endpoint_arg_format(endpoint),
						   function->nargs, function->argtypes, names, NULL);
	MemoryContextSwitchTo(old);
}

void
typed_site_spec(const TypedSite *site, CallKind kind, RemoteCallSpec *spec)
{
	memset(spec, 0, sizeof(*spec));
	spec->kind = kind;
	spec->reference = site->reference;
	spec->input_format = arg_encoder_format(site->encoder);
	spec->ordered = true;
	spec->return_exceptions = true;
	spec->discard = site->decoder == NULL;
	spec->last_ordinal = -1;
	spec->total_inputs = -1;
}

RemoteCall *
typed_site_open(const TypedSite *site, CallKind kind, const Buf *input,
				MemoryContext cxt)
{
	RemoteCallSpec spec;
	RemoteCall *call;

	typed_site_spec(site, kind, &spec);
	call = remote_call_open(cxt, site->endpoint, &spec);
	remote_call_put(call, 0, input->data, input->len);
	remote_call_finish(call);
	return call;
}

typedef struct ResultContext
{
	const TypedSite *site;
	int64 input;
	int64 row;
} ResultContext;

static void
result_error_context(void *arg)
{
	ResultContext *cx = arg;
	const TypedFunction *function = cx->site->function;

	if (cx->row >= 0)
		errcontext("row %lld of the result of input %lld of remote function "
				   "\"%s\", which %s declares as %s",
				   (long long) cx->row, (long long) cx->input, cx->site->label,
				   function->name, format_type_be(function->result_type));
	else
		errcontext("result of input %lld of remote function \"%s\", which %s "
				   "declares as %s",
				   (long long) cx->input, cx->site->label, function->name,
				   format_type_be(function->result_type));
}

Datum
typed_site_result(const TypedSite *site, const FrameOutput *out, int64 row,
				  bool *isnull)
{
	ResultContext cx = {site, out->ordinal, row};
	ErrorContextCallback callback;
	Datum result;

	if (!out->ok)
		error_raise(out, site->label);
	*isnull = false;
	if (site->decoder == NULL)
		return (Datum) 0;

	callback.callback = result_error_context;
	callback.arg = &cx;
	callback.previous = error_context_stack;
	error_context_stack = &callback;
	result = result_decode(site->decoder, out->format, out->data.p, out->data.n,
						   isnull);
	error_context_stack = callback.previous;
	return result;
}
