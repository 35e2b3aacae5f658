/*-------------------------------------------------------------------------
 *
 * language.c
 *	  LANGUAGE modal: handler and validator.
 *
 * The body of a function is its function reference, optionally followed by
 * a list that says which parameters are sent by name:
 *
 *	  app/function			all by position
 *	  app/function(**)		all by name
 *	  app/function(a, **)	parameter a, the first, by position, others by name
 *
 * The handler makes one call and waits for it; sets are streamed, a value at
 * a time.  Plain calls in queries usually do not come here: see async_plan.c.
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/indexing.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "commands/defrem.h"
#include "commands/proclang.h"
#include "core/cbor.h"
#include "foreign/foreign.h"
#include "funcapi.h"
#include "guc.h"
#include "session/language.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/regproc.h"
#include "utils/syscache.h"

#define LANGUAGE_NAME "modal"
#define DEFAULT_COST 100 /* what CREATE FUNCTION gives without COST */
#define REMOTE_COST 1000

typedef struct CachedFunction
{
	Oid funcid; /* hash key */
	TypedFunction *function;
} CachedFunction;

static HTAB *function_cache = NULL;

PG_FUNCTION_INFO_V1(modal_language_handler);
PG_FUNCTION_INFO_V1(modal_language_validator);

/* --- which functions are ours -------------------------------------------- */

#ifdef MODAL_DEBUG_POINTS

/* Functions of this language count as remote too; "*": of any language. */
static bool
simulated_language(Oid langid)
{
	if (modal_debug_remote_language[0] == '\0')
		return false;
	return strcmp(modal_debug_remote_language, "*") == 0 ||
		   langid == get_language_oid(modal_debug_remote_language, true);
}

bool
typed_language_is_simulated(void)
{
	return modal_debug_remote_language[0] != '\0';
}

bool
typed_function_is_simulated(Oid funcid)
{
	HeapTuple tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(funcid));
	bool result;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for function %u", funcid);
	result = ((Form_pg_proc) GETSTRUCT(tuple))->prolang !=
			 get_language_oid(LANGUAGE_NAME, true);
	ReleaseSysCache(tuple);
	return result;
}

#else
#define simulated_language(langid) false
#endif

bool
typed_language_is_ours(Oid langid)
{
	return langid == get_language_oid(LANGUAGE_NAME, true) ||
		   simulated_language(langid);
}

/* --- the body of a function ---------------------------------------------- */

/* The parameter list at the end of a body, if there is one. */
static const char *
find_parameter_list(const char *body)
{
	const char *open = strrchr(body, '(');
	const char *p;

	if (open == NULL)
		return NULL;
	/* "**)" at the very end; anything else belongs to the reference */
	p = open + strlen(open) - 1;
	while (p > open && isspace((unsigned char) *p))
		p--;
	if (*p-- != ')')
		return NULL;
	while (p > open && isspace((unsigned char) *p))
		p--;
	return p - open >= 2 && p[0] == '*' && p[-1] == '*' ? open : NULL;
}

static void
bad_parameter_list(const char *detail)
{
	ereport(ERROR, (errcode(ERRCODE_INVALID_FUNCTION_DEFINITION),
					errmsg("invalid parameter list in function reference"),
					errdetail_internal("%s", detail),
					errhint("Write \"(**)\" to send all parameters by name, or "
							"the first ones to be sent by position before it, "
							"as in \"(a, b, **)\".")));
}

/*
 * How many parameters are sent by position: those named in the list before
 * its "**", which must be the first ones.
 */
static int
parse_parameter_list(const char *list, int nargs, char **names)
{
	char *copy = pstrdup(list + 1);
	char *item;
	char *rest;
	int positional = 0;

	*strrchr(copy, '*') = '\0';
	*strrchr(copy, '*') = '\0';
	for (item = strtok_r(copy, ", \t\n", &rest); item != NULL;
		 item = strtok_r(NULL, ", \t\n", &rest))
	{
		if (positional >= nargs || names[positional] == NULL ||
			strcmp(item, names[positional]) != 0)
			bad_parameter_list(
				psprintf(_("\"%s\" is not the name of input parameter %d."),
						 item, positional + 1));
		positional++;
	}
	for (int i = positional; i < nargs; i++)
	{
		if (names[i] == NULL)
			bad_parameter_list(
				psprintf(_("Input parameter %d has no name."), i + 1));
	}
	return positional;
}

/* --- the function cache -------------------------------------------------- */

static char *
function_body(HeapTuple tuple)
{
	bool isnull;
	Datum body = SysCacheGetAttr(PROCOID, tuple, Anum_pg_proc_prosrc, &isnull);

	if (isnull)
		elog(ERROR, "function has no body");
	return TextDatumGetCString(body);
}

static bool
is_input_mode(char mode)
{
	return mode == PROARGMODE_IN || mode == PROARGMODE_INOUT ||
		   mode == PROARGMODE_VARIADIC;
}

/* Fill in what the pg_proc row says; memory from the current context. */
static void
read_function(TypedFunction *function, HeapTuple tuple)
{
	Form_pg_proc proc = (Form_pg_proc) GETSTRUCT(tuple);
	Oid *types;
	char **names;
	char *modes;
	int total = get_func_arg_info(tuple, &types, &names, &modes);
	const char *list;

	function->name = format_procedure(proc->oid);
	function->reference = function_body(tuple);
	function->argtypes = palloc(sizeof(Oid) * (total + 1));
	function->argnames = palloc(sizeof(char *) * (total + 1));
	for (int i = 0; i < total; i++)
	{
		if (modes != NULL && !is_input_mode(modes[i]))
			continue;
		function->argtypes[function->nargs] = types[i];
		function->argnames[function->nargs] =
			names != NULL && names[i] != NULL && names[i][0] != '\0'
				? names[i]
				: NULL;
		function->nargs++;
	}

	function->positional = function->nargs;
	list = find_parameter_list(function->reference);
	if (list != NULL)
	{
		function->positional = parse_parameter_list(list, function->nargs,
													function->argnames);
		while (list > function->reference && isspace((unsigned char) list[-1]))
			list--;
		function->reference =
			pnstrdup(function->reference, list - function->reference);
	}

	function->strict = proc->proisstrict;
	function->shareable = proc->provolatile != PROVOLATILE_VOLATILE;
	function->result_type = proc->prorettype;
	if (proc->prorettype == RECORDOID)
	{
		TupleDesc desc = build_function_result_tupdesc_t(tuple);

		if (desc != NULL)
			function->result_desc = BlessTupleDesc(desc);
	}
}

static void
function_release(TypedFunction *function)
{
	if (--function->users == 0)
		MemoryContextDelete(function->cxt);
}

static TypedFunction *
function_create(HeapTuple tuple)
{
	MemoryContext cxt = AllocSetContextCreate(
		CurrentMemoryContext, "modal function", ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(cxt);
	TypedFunction *function = palloc0(sizeof(TypedFunction));

	function->cxt = cxt;
	function->funcid = ((Form_pg_proc) GETSTRUCT(tuple))->oid;
	function->xmin = HeapTupleHeaderGetRawXmin(tuple->t_data);
	function->tid = tuple->t_self;
	read_function(function, tuple);
	MemoryContextSwitchTo(old);
	return function;
}

/* The function as it is now; the caller gets a use of it. */
static TypedFunction *
function_get(Oid funcid)
{
	HeapTuple tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(funcid));
	CachedFunction *cached;
	bool found;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for function %u", funcid);
	if (function_cache == NULL)
	{
		HASHCTL ctl = {.keysize = sizeof(Oid),
					   .entrysize = sizeof(CachedFunction)};

		function_cache = hash_create("modal functions", 32, &ctl,
									 HASH_ELEM | HASH_BLOBS);
	}

	cached = hash_search(function_cache, &funcid, HASH_FIND, NULL);
	if (cached == NULL ||
		cached->function->xmin != HeapTupleHeaderGetRawXmin(tuple->t_data) ||
		!ItemPointerEquals(&cached->function->tid, &tuple->t_self))
	{
		TypedFunction *function = function_create(tuple);

		cached = hash_search(function_cache, &funcid, HASH_ENTER, &found);
		if (found)
			function_release(cached->function);
		MemoryContextSetParent(function->cxt, CacheMemoryContext);
		function->users = 1;
		cached->function = function;
	}
	ReleaseSysCache(tuple);
	cached->function->users++;
	return cached->function;
}

char *
typed_function_label(Oid funcid)
{
	TypedFunction *function = function_get(funcid);
	const char *reference = function->reference;
	char *label;

	if (reference_server(reference, strlen(reference)).p != NULL)
		label = pstrdup(reference);
	else
		label = psprintf("%s:%s", modal_default_server, reference);
	function_release(function);
	return label;
}

/* --- call sites ----------------------------------------------------------- */

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
	function_release(site->function);
}

TypedSite *
typed_site_create(MemoryContext cxt, Oid funcid, TupleDesc desc)
{
	TypedFunction *function = function_get(funcid);
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

static bool
same_endpoint(const Endpoint *a, const Endpoint *b)
{
	return a->serverid == b->serverid && a->userid == b->userid &&
		   a->protocol == b->protocol && a->format == b->format &&
		   a->args_as_object == b->args_as_object && a->window == b->window &&
		   a->options_len == b->options_len &&
		   memcmp(a->options, b->options, a->options_len) == 0;
}

void
typed_site_connect(TypedSite *site)
{
	TypedFunction *function = site->function;
	MemoryContext old = MemoryContextSwitchTo(site->cxt);
	Endpoint *endpoint;
	char **names;

	endpoint = endpoint_get(function->reference, GetUserId(), &site->reference);
	if (site->endpoint != NULL && same_endpoint(site->endpoint, endpoint))
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
	for (int i = 0; i < function->nargs; i++)
	{
		if (i >= function->positional || endpoint->args_as_object)
			names[i] = function->argnames[i];
	}
	site->encoder =
		arg_encoder_create(site->connection_cxt, endpoint, function->nargs,
						   function->argtypes, names, NULL);
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

typedef struct ResultContext
{
	const TypedSite *site;
	int64 ordinal;
} ResultContext;

static void
result_error_context(void *arg)
{
	ResultContext *cx = arg;

	errcontext("result of input %lld of remote function \"%s\", which %s "
			   "declares as %s",
			   (long long) cx->ordinal, cx->site->label,
			   cx->site->function->name,
			   format_type_be(cx->site->function->result_type));
}

Datum
typed_site_result(const TypedSite *site, const FrameOutput *out, bool *isnull)
{
	ResultContext cx = {site, out->ordinal};
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

/* --- the handler ---------------------------------------------------------- */

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
	remote_call_once(CurrentMemoryContext, site->endpoint, &spec, input.data,
					 input.len, &out);
	result = typed_site_result(site, &out, &isnull);
	buf_free(&input);
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
	/* the list that a function other than a generator returned */
	FrameOutput list;
	CborReader reader;	/* of a list in CBOR */
	Jsonb *elements;	/* of a list in JSON */
	uint32 next;
} SetState;

static void
set_start(SetState *set, CallKind kind, MemoryContext cxt, const Buf *input)
{
	RemoteCallSpec spec;

	typed_site_spec(set->site, kind, &spec);
	set->call = remote_call_open(cxt, set->site->endpoint, &spec);
	remote_call_put(set->call, 0, input->data, input->len);
	remote_call_finish(set->call);
}

/*
 * Make the call as that of a generator, which needs its input to begin.  That
 * the function is none is said before anything is sent to the service.
 */
static SetState *
set_open(FunctionCallInfo fcinfo, MemoryContext cxt)
{
	SetState *set = palloc0(sizeof(SetState));
	Buf input;

	set->site = typed_site_create(cxt, fcinfo->flinfo->fn_oid,
								  expected_desc(fcinfo));
	typed_site_connect(set->site);
	encode_arguments(set->site, fcinfo, &input);

	set_start(set, CALL_GENERATOR, cxt, &input);
	set->is_generator = remote_call_wait_opened(set->call)->is_generator;
	if (!set->is_generator)
	{
		remote_call_close(set->call, 0);
		set_start(set, CALL_REMOTE, cxt, &input);
	}
	buf_free(&input);
	return set;
}

static void
not_a_list(SetState *set)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATATYPE_MISMATCH),
			 errmsg("remote function \"%s\" returned neither a generator nor "
					"a list",
					set->site->label),
			 errdetail("%s is declared to return a set.",
					   set->site->function->name)));
}

/* Wait for the list that is the function's result; false if it is null. */
static bool
set_fetch_list(SetState *set)
{
	CborToken token;

	if (remote_call_next(set->call, &set->list) == REMOTE_CALL_END)
		return false;
	if (!set->list.ok)
		error_raise(&set->list, set->site->label);
	if (set->list.format == PAYLOAD_JSON)
	{
		set->elements =
			result_to_jsonb(PAYLOAD_JSON, set->list.data.p, set->list.data.n);
		if (JB_ROOT_IS_SCALAR(set->elements) &&
			getIthJsonbValueFromContainer(&set->elements->root, 0)->type ==
				jbvNull)
			return false;
		if (!JB_ROOT_IS_ARRAY(set->elements) ||
			JB_ROOT_IS_SCALAR(set->elements))
			not_a_list(set);
		return true;
	}

	cbor_reader_init(&set->reader, set->list.data.p, set->list.data.n,
					 CBOR_MAX_DEPTH, buf_palloc);
	do
	{
		if (!cbor_next(&set->reader, &token))
			ereport(ERROR, (errcode(ERRCODE_PROTOCOL_VIOLATION),
							errmsg("could not decode the result of remote "
								   "function \"%s\": %s",
								   set->site->label,
								   cbor_error_text(set->reader.error))));
	} while (token.kind == CBOR_TAG);
	if (token.kind == CBOR_NULL)
		return false;
	if (token.kind != CBOR_ARRAY)
		not_a_list(set);
	return true;
}

/* The list's next element as an output of its own; false after the last. */
static bool
set_next_element(SetState *set, FrameOutput *out)
{
	CborToken token;
	const uint8_t *start;

	*out = set->list;
	out->ordinal = set->next++;
	if (set->elements != NULL)
	{
		JsonbValue *element = getIthJsonbValueFromContainer(
			&set->elements->root, out->ordinal);
		Jsonb *value;

		if (element == NULL)
			return false;
		value = JsonbValueToJsonb(element);
		out->data.p = JsonbToCString(NULL, &value->root, VARSIZE(value));
		out->data.n = strlen(out->data.p);
		return true;
	}

	start = set->reader.p;
	if (!cbor_next(&set->reader, &token) ||
		(token.kind != CBOR_END && !cbor_skip(&set->reader, &token)))
		ereport(
			ERROR,
			(errcode(ERRCODE_PROTOCOL_VIOLATION),
			 errmsg("could not decode the result of remote function \"%s\": %s",
					set->site->label, cbor_error_text(set->reader.error))));
	if (token.kind == CBOR_END)
		return false;
	out->data.p = (const char *) start;
	out->data.n = set->reader.p - start;
	return true;
}

static Datum
call_for_set(FunctionCallInfo fcinfo)
{
	FuncCallContext *context;
	SetState *set;
	FrameOutput out;
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
		more = remote_call_next(set->call, &out) == REMOTE_CALL_OUTPUT;
	else
		more = set_next_element(set, &out);
	if (!more)
		SRF_RETURN_DONE(context);
	result = typed_site_result(set->site, &out, &isnull);
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

/* --- the validator -------------------------------------------------------- */

/* Types that have no values of their own cannot travel. */
static void
check_type(Oid type, bool is_result)
{
	if (get_typtype(type) != TYPTYPE_PSEUDO)
		return;
	if (is_result && (type == VOIDOID || type == RECORDOID))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_FUNCTION_DEFINITION),
			 is_result
				 ? errmsg("LANGUAGE modal functions cannot return type %s",
						  format_type_be(type))
				 : errmsg("LANGUAGE modal functions cannot accept type %s",
						  format_type_be(type)),
			 type == TRIGGEROID
				 ? errhint("Use the trigger function modal_trigger().")
				 : errhint("Declare the types that the remote function takes "
						   "and gives; jsonb holds any.")));
}

static bool
server_speaks_http(ForeignServer *server)
{
	ListCell *lc;

	foreach (lc, server->options)
	{
		DefElem *option = lfirst_node(DefElem, lc);

		if (strcmp(option->defname, "protocol") == 0)
			return strcmp(defGetString(option), "http") == 0;
	}
	return false;
}

/*
 * The reference's form, by the rules of the server it names.  The server may
 * be made later: then either form will do.
 */
static void
check_reference(const char *reference)
{
	size_t len = strlen(reference);
	Slice name = reference_server(reference, len);
	char *server_name = name.p != NULL ? pnstrdup(name.p, name.n)
									   : pstrdup(modal_default_server);
	ForeignServer *server = GetForeignServerByName(server_name, true);
	Reference parsed;
	const char *problem;

	problem =
		reference_parse(reference, len,
						server != NULL && server_speaks_http(server), &parsed);
	if (problem != NULL && server == NULL &&
		reference_parse(reference, len, true, &parsed) == NULL)
		problem = NULL;
	if (problem != NULL)
		ereport(ERROR, (errcode(ERRCODE_INVALID_FUNCTION_DEFINITION),
						errmsg("invalid function reference \"%s\"", reference),
						errdetail_internal("%s", problem)));
	if (server == NULL)
		ereport(NOTICE, (errmsg("server \"%s\" does not exist yet",
								server_name)));
}

static void
warn_about_attributes(Form_pg_proc proc)
{
	if (proc->provolatile == PROVOLATILE_IMMUTABLE)
		ereport(WARNING,
				(errmsg("remote function \"%s\" is declared IMMUTABLE",
						NameStr(proc->proname)),
				 errdetail("Calls with constant arguments will be made while "
						   "planning, and results may be kept in indexes."),
				 errhint("Declare it STABLE, or VOLATILE.")));
	if (proc->proparallel == PROPARALLEL_SAFE)
		ereport(WARNING,
				(errmsg("remote function \"%s\" is declared PARALLEL SAFE",
						NameStr(proc->proname)),
				 errdetail("Each parallel worker will keep a window of inputs "
						   "in flight."),
				 errhint("Declare it PARALLEL RESTRICTED.")));
}

/*
 * CREATE FUNCTION assumes that a function of any language but C costs 100,
 * as much as a few lines of PL/pgSQL.  Where that was left, say instead what
 * makes the planner evaluate the function last and on the fewest rows.  Only
 * while it is being created: ALTER FUNCTION ... COST 100 is kept.
 */
static void
raise_default_cost(Oid funcid)
{
	Relation catalog = table_open(ProcedureRelationId, RowExclusiveLock);
	HeapTuple tuple = SearchSysCacheCopy1(PROCOID, ObjectIdGetDatum(funcid));
	Form_pg_proc proc;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for function %u", funcid);
	proc = (Form_pg_proc) GETSTRUCT(tuple);
	if (proc->procost == DEFAULT_COST &&
		TransactionIdIsCurrentTransactionId(
			HeapTupleHeaderGetXmin(tuple->t_data)))
	{
		proc->procost = REMOTE_COST;
		CatalogTupleUpdate(catalog, &tuple->t_self, tuple);
	}
	heap_freetuple(tuple);
	table_close(catalog, RowExclusiveLock);
}

Datum
modal_language_validator(PG_FUNCTION_ARGS)
{
	Oid funcid = PG_GETARG_OID(0);
	TypedFunction function = {0};
	HeapTuple tuple;
	Form_pg_proc proc;

	if (!CheckFunctionValidatorAccess(fcinfo->flinfo->fn_oid, funcid))
		PG_RETURN_VOID();

	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(funcid));
	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for function %u", funcid);
	proc = (Form_pg_proc) GETSTRUCT(tuple);

	check_type(proc->prorettype, true);
	for (int i = 0; i < proc->pronargs; i++)
		check_type(proc->proargtypes.values[i], false);
	read_function(&function, tuple);
	if (check_function_bodies)
	{
		check_reference(function.reference);
		warn_about_attributes(proc);
	}
	ReleaseSysCache(tuple);
	raise_default_cost(funcid);
	PG_RETURN_VOID();
}
