/*-------------------------------------------------------------------------
 *
 * untyped.c
 *	  An argument of modal_remote and its like that is a parameter of no type
 *	  ($1, as most drivers send strings) is text.
 *
 * PostgreSQL takes the type of such a parameter from where it is used.  An
 * argument that is declared "any" says nothing, so the statement would be
 * refused.  That happens after the hook by which extensions see a statement
 * that has been analyzed; here we say what such arguments are before.
 *
 * Only who has variable parameters (parse_param.c of the server) has any whose
 * type is unknown, so that is how their state is recognised.
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include "access/htup_details.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_language.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "functions/untyped.h"
#include "nodes/nodeFuncs.h"
#include "parser/analyze.h"
#include "parser/parse_node.h"
#include "utils/syscache.h"

extern Datum modal_remote(PG_FUNCTION_ARGS);
extern Datum modal_remote_gen(PG_FUNCTION_ARGS);
extern Datum modal_spawn(PG_FUNCTION_ARGS);
extern Datum modal_spawn_map(PG_FUNCTION_ARGS);

/* The server's own, which it keeps to itself; the same from 14 to 19. */
typedef struct VariableParams
{
	Oid **types;
	int *n;
} VariableParams;

static post_parse_analyze_hook_type next_hook;

static bool
any_is_unknown(const VariableParams *params)
{
	for (int i = 0; i < *params->n; i++)
		if ((*params->types)[i] == UNKNOWNOID)
			return true;
	return false;
}

/* Is it a C function of ours that takes arguments of any type? */
static bool
takes_anything(Oid function)
{
	HeapTuple tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	Form_pg_proc proc;
	bool is_candidate = false;
	FmgrInfo info;

	if (!HeapTupleIsValid(tuple))
		return false;
	proc = (Form_pg_proc) GETSTRUCT(tuple);
	for (int i = 0; proc->prolang == ClanguageId && i < proc->pronargs; i++)
		if (proc->proargtypes.values[i] == ANYOID)
			is_candidate = true;
	ReleaseSysCache(tuple);
	if (!is_candidate)
		return false;
	fmgr_info(function, &info);
	return info.fn_addr == modal_remote || info.fn_addr == modal_remote_gen ||
		info.fn_addr == modal_spawn || info.fn_addr == modal_spawn_map;
}

static bool
is_untyped(Node *arg)
{
	return IsA(arg, Param) && ((Param *) arg)->paramkind == PARAM_EXTERN &&
		((Param *) arg)->paramtype == UNKNOWNOID;
}

static void
make_text(Param *param, const VariableParams *params)
{
	Oid *type = &(*params->types)[param->paramid - 1];

	/* It may have got a type elsewhere; the server then says what is wrong. */
	if (*type != UNKNOWNOID && *type != TEXTOID)
		return;
	*type = TEXTOID;
	param->paramtype = TEXTOID;
	param->paramcollid = DEFAULT_COLLATION_OID;
}

static bool
walk(Node *node, void *arg)
{
	const VariableParams *params = arg;

	if (node == NULL)
		return false;
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, walk, arg, 0);
	if (IsA(node, FuncExpr))
	{
		FuncExpr *call = (FuncExpr *) node;
		ListCell *lc;

		foreach(lc, call->args)
		{
			Node *param = lfirst(lc);

			if (IsA(param, NamedArgExpr))
				param = (Node *) ((NamedArgExpr *) param)->arg;
			if (!is_untyped(param))
				continue;
			if (!takes_anything(call->funcid))
				break;
			make_text((Param *) param, params);
		}
	}
	return expression_tree_walker(node, walk, arg);
}

static void
type_parameters(ParseState *pstate, Query *query, POST_PARSE_JUMBLE *jstate)
{
	VariableParams *params = pstate->p_ref_hook_state;

	if (pstate->p_coerce_param_hook != NULL && any_is_unknown(params))
		(void) walk((Node *) query, params);
	if (next_hook != NULL)
		next_hook(pstate, query, jstate);
}

void
modal_untyped_init(void)
{
	next_hook = post_parse_analyze_hook;
	post_parse_analyze_hook = type_parameters;
}
