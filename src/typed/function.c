/*-------------------------------------------------------------------------
 *
 * function.c
 *	  What is known of a function in LANGUAGE modal.
 *
 * The body of a function is its function reference, optionally followed by
 * a list that says which parameters are sent by name:
 *
 *	  app/function			all by position
 *	  app/function(**)		all by name
 *	  app/function(a, **)	parameter a, the first, by position, others by name
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include "access/htup_details.h"
#include "catalog/pg_language.h"
#include "catalog/pg_proc.h"
#include "commands/proclang.h"
#include "core/reference.h"
#include "endpoint/endpoint.h"
#include "funcapi.h"
#include "guc.h"
#include "typed/function.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/regproc.h"
#include "utils/syscache.h"

#define LANGUAGE_NAME "modal"

typedef struct CachedFunction
{
	Oid funcid; /* hash key */
	TypedFunction *function;
} CachedFunction;

static HTAB *function_cache = NULL;

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

/* Without the blanks around it; those within belong to the name. */
static char *
trim(char *item)
{
	char *end = item + strlen(item);

	while (isspace((unsigned char) *item))
		item++;
	while (end > item && isspace((unsigned char) end[-1]))
		end--;
	*end = '\0';
	return item;
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
	for (item = strtok_r(copy, ",", &rest); item != NULL;
		 item = strtok_r(NULL, ",", &rest))
	{
		item = trim(item);
		if (*item == '\0')
			continue;
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

void
typed_function_read(TypedFunction *function, HeapTuple tuple)
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

void
typed_function_release(TypedFunction *function)
{
	if (--function->users == 0)
		MemoryContextDelete(function->cxt);
}

static TypedFunction *
function_create(HeapTuple tuple)
{
	MemoryContext cxt;
	MemoryContext old;
	TypedFunction *function;

	/* its body is the name of a symbol: the handler itself, called directly */
	if (((Form_pg_proc) GETSTRUCT(tuple))->prolang == ClanguageId)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("function %s cannot be called directly",
						NameStr(((Form_pg_proc) GETSTRUCT(tuple))->proname))));
	cxt = AllocSetContextCreate(CurrentMemoryContext, "modal function",
								ALLOCSET_SMALL_SIZES);
	old = MemoryContextSwitchTo(cxt);
	function = palloc0(sizeof(TypedFunction));
	function->cxt = cxt;
	function->funcid = ((Form_pg_proc) GETSTRUCT(tuple))->oid;
	function->xmin = HeapTupleHeaderGetRawXmin(tuple->t_data);
	function->tid = tuple->t_self;
	typed_function_read(function, tuple);
	MemoryContextSwitchTo(old);
	return function;
}

TypedFunction *
typed_function_get(Oid funcid)
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
			typed_function_release(cached->function);
		MemoryContextSetParent(function->cxt, CacheMemoryContext);
		function->users = 1;
		cached->function = function;
	}
	ReleaseSysCache(tuple);
	cached->function->users++;
	return cached->function;
}

char *
typed_reference_label(const char *reference)
{
	char *label = reference_label(reference);

	if (reference_server(reference, strlen(reference)).p != NULL)
		return label;
	return psprintf("%s:%s", endpoint_default_server(GetUserId()), label);
}

char *
typed_function_label(Oid funcid)
{
	TypedFunction *function = typed_function_get(funcid);
	char *label = typed_reference_label(function->reference);

	typed_function_release(function);
	return label;
}
