/*-------------------------------------------------------------------------
 *
 * validator.c
 *	  LANGUAGE modal: what CREATE FUNCTION checks.
 *
 * Forms and types only: the remote function need not exist yet, and nothing
 * is sent.
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
#include "core/reference.h"
#include "endpoint/http_options.h"
#include "foreign/foreign.h"
#include "guc.h"
#include "typed/function.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#define DEFAULT_COST 100 /* what CREATE FUNCTION gives without COST */
#define REMOTE_COST 1000

PG_FUNCTION_INFO_V1(modal_language_validator);

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
	if (server != NULL && server_speaks_http(server))
		(void) http_options_with_reference(server->options, parsed.options);
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
	if (proc->proretset && proc->prorettype == VOIDOID)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_FUNCTION_DEFINITION),
				 errmsg("LANGUAGE modal functions cannot return SETOF void"),
				 errhint("Declare RETURNS void for a function whose results are not wanted.")));
	for (int i = 0; i < proc->pronargs; i++)
		check_type(proc->proargtypes.values[i], false);
	typed_function_read(&function, tuple);
	if (check_function_bodies)
	{
		check_reference(function.reference);
		warn_about_attributes(proc);
	}
	ReleaseSysCache(tuple);
	raise_default_cost(funcid);
	PG_RETURN_VOID();
}
