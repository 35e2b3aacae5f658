/*-------------------------------------------------------------------------
 *
 * apply_expr.c
 *	  Which calls in an expression can be evaluated ahead of it, and under
 *	  which conditions.
 *
 * The walk goes down only through the node types that it knows; every other
 * one is a barrier, and what stands in it is evaluated in place.  That is
 * always correct, so an unknown node costs speed only.
 *
 * Where the executor evaluates something conditionally (CASE, COALESCE, AND,
 * OR, a list of clauses), the conditions become guards of the calls found
 * there, so that no input is sent that plain evaluation would not send.
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include "access/htup_details.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "commands/proclang.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "typed/apply_plan.h"
#include "typed/function.h"
#include "utils/syscache.h"

/*
 * Guards are evaluated once per call and row; a long CASE has as many as it
 * has branches, for each of its calls.  Beyond this many a call stays where
 * it is.
 */
#define MAX_GUARDS 32

typedef struct Collector
{
	List *calls; /* of HoistCall */
	bool probe;	 /* only asked whether there are any */
} Collector;

static bool collect(Node *node, List *guards, Collector *cx);

/*
 * Functions whose calls are nothing but a remote call, with a result whose
 * type is known.  What fmgr would wrap around the handler (SECURITY DEFINER,
 * SET, security labels) cannot be left out, so those stay direct.
 */
static bool
is_hoistable_function(Oid funcid, bool set)
{
	HeapTuple tuple;
	Form_pg_proc proc;
	bool result;

	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(funcid));
	if (!HeapTupleIsValid(tuple))
		return false;
	proc = (Form_pg_proc) GETSTRUCT(tuple);
	result = typed_language_is_ours(proc->prolang) &&
			 proc->prokind == PROKIND_FUNCTION && proc->proretset == set &&
			 !proc->prosecdef &&
			 (proc->prorettype != RECORDOID ||
			  !heap_attisnull(tuple, Anum_pg_proc_proallargtypes, NULL)) &&
			 heap_attisnull(tuple, Anum_pg_proc_proconfig, NULL) &&
			 !FmgrHookIsNeeded(funcid);
	ReleaseSysCache(tuple);
	return result;
}

bool
is_hoistable_call(Node *node)
{
	return IsA(node, FuncExpr) && !((FuncExpr *) node)->funcretset &&
		   is_hoistable_function(((FuncExpr *) node)->funcid, false);
}

/* The same for a function that returns a set, which only a node can give. */
bool
is_hoistable_set(Node *node)
{
	return IsA(node, FuncExpr) && ((FuncExpr *) node)->funcretset &&
		   is_hoistable_function(((FuncExpr *) node)->funcid, true) &&
		   !typed_function_is_simulated(((FuncExpr *) node)->funcid);
}

static bool
contains_call_walker(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (is_hoistable_call(node))
		return true;
	return expression_tree_walker(node, contains_call_walker, context);
}

/*
 * Nodes that mean something only inside an enclosing construct which is not
 * part of the expression itself.
 */
static bool
contains_placeholder_walker(Node *node, void *context)
{
	if (node == NULL)
		return false;
	switch (nodeTag(node))
	{
		case T_CaseTestExpr:
		case T_CoerceToDomainValue:
			return true;
		case T_CaseExpr:
			/* those in the branches of CASE arg WHEN stand for its argument */
			if (((CaseExpr *) node)->arg == NULL)
				break;
			return contains_placeholder_walker(
				(Node *) ((CaseExpr *) node)->arg, context);
		case T_ArrayCoerceExpr:
			return contains_placeholder_walker(
				(Node *) ((ArrayCoerceExpr *) node)->arg, context);
		default:
			break;
	}
	return expression_tree_walker(node, contains_placeholder_walker, context);
}

static bool
contains_subplan_walker(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, SubPlan) || IsA(node, AlternativeSubPlan))
		return true;
	return expression_tree_walker(node, contains_subplan_walker, context);
}

bool
contains_subplan(Node *node)
{
	return contains_subplan_walker(node, NULL);
}

static bool
contains_unmovable_walker(Node *node, void *context)
{
	if (node == NULL)
		return false;
	switch (nodeTag(node))
	{
		case T_SetToDefault:
		case T_CurrentOfExpr:
			return true;
		case T_SubPlan:
			if (((SubPlan *) node)->subLinkType == MULTIEXPR_SUBLINK)
				return true;
			break;
		case T_FuncExpr:
			if (((FuncExpr *) node)->funcretset)
				return true;
			break;
		case T_OpExpr:
			if (((OpExpr *) node)->opretset)
				return true;
			break;
		default:
			break;
	}
	return expression_tree_walker(node, contains_unmovable_walker, context);
}

/* Does it hold something that must be evaluated by the node it is in? */
bool
contains_unmovable(Node *node)
{
	return contains_unmovable_walker(node, NULL);
}

static bool
collect_list(List *nodes, List *guards, Collector *cx)
{
	bool found = false;
	ListCell *lc;

	foreach (lc, nodes)
	{
		if (collect((Node *) lfirst(lc), guards, cx))
			found = true;
		if (found && cx->probe)
			break;
	}
	return found;
}

/*
 * Conditions must be evaluable ahead too, and evaluating them twice must not
 * be noticed.  One that holds a call itself has to wait until that has been
 * hoisted: then it is a column, and the next round takes this call.
 */
static bool
guards_are_usable(List *guards)
{
	return list_length(guards) <= MAX_GUARDS &&
		   !contains_unmovable((Node *) guards) &&
		   !contains_placeholder_walker((Node *) guards, NULL) &&
		   !contains_subplan((Node *) guards) &&
		   !contains_call_walker((Node *) guards, NULL) &&
		   !contain_volatile_functions((Node *) guards);
}

static bool
collect_call(FuncExpr *call, List *guards, Collector *cx)
{
	HoistCall *hoist;

	if (call->funcretset)
		return false;
	/* Innermost first: an outer call comes in a later round. */
	if (collect_list(call->args, guards, cx))
		return true;
	if (!is_hoistable_call((Node *) call) ||
		contains_unmovable((Node *) call->args) ||
		contains_placeholder_walker((Node *) call->args, NULL) ||
		!guards_are_usable(guards))
		return false;
	if (cx->probe)
		return true;

	hoist = palloc0(sizeof(HoistCall));
	hoist->origin = (Node *) call;
	hoist->call = copyObject(call);
	hoist->guards = copyObject(guards);
	hoist->shareable = !contain_volatile_functions((Node *) call) &&
					   !contains_subplan((Node *) call);
	cx->calls = lappend(cx->calls, hoist);
	return true;
}

static Node *
make_boolean_test(Node *arg, BoolTestType type)
{
	BooleanTest *test = makeNode(BooleanTest);

	test->arg = (Expr *) arg;
	test->booltesttype = type;
	test->location = -1;
	return (Node *) test;
}

static bool
collect_bool(BoolExpr *expr, List *guards, Collector *cx)
{
	BoolTestType reached =
		expr->boolop == AND_EXPR ? IS_NOT_FALSE : IS_NOT_TRUE;
	bool found = false;
	ListCell *lc;

	if (expr->boolop == NOT_EXPR)
		return collect_list(expr->args, guards, cx);

	guards = list_copy(guards);
	foreach (lc, expr->args)
	{
		Node *arg = lfirst(lc);

		found |= collect(arg, guards, cx);
		guards = lappend(guards, make_boolean_test(arg, reached));
	}
	return found;
}

/*
 * The comparison of "CASE arg WHEN value" with the argument in its place.
 * Constructs with placeholders of their own are left alone, which makes the
 * result unusable as a guard if the placeholder meant is inside.
 */
static Node *
fill_case_test(Node *node, void *arg)
{
	if (node == NULL)
		return NULL;
	if (IsA(node, CaseTestExpr))
		return (Node *) copyObject((Expr *) arg);
	if ((IsA(node, CaseExpr) && ((CaseExpr *) node)->arg != NULL) ||
		IsA(node, ArrayCoerceExpr))
		return (Node *) copyObject(node);
	return expression_tree_mutator(node, fill_case_test, arg);
}

static bool
collect_case(CaseExpr *expr, List *guards, Collector *cx)
{
	bool found = collect((Node *) expr->arg, guards, cx);
	ListCell *lc;

	guards = list_copy(guards);
	foreach (lc, expr->args)
	{
		CaseWhen *when = lfirst_node(CaseWhen, lc);
		Node *condition = (Node *) when->expr;

		found |= collect(condition, guards, cx);
		if (expr->arg != NULL)
			condition = fill_case_test(condition, expr->arg);
		found |= collect((Node *) when->result,
						 lappend(list_copy(guards), condition), cx);
		guards = lappend(guards, make_boolean_test(condition, IS_NOT_TRUE));
	}
	return found | collect((Node *) expr->defresult, guards, cx);
}

static bool
collect_coalesce(CoalesceExpr *expr, List *guards, Collector *cx)
{
	bool found = false;
	ListCell *lc;

	guards = list_copy(guards);
	foreach (lc, expr->args)
	{
		NullTest *test = makeNode(NullTest);

		found |= collect(lfirst(lc), guards, cx);
		test->arg = lfirst(lc);
		test->nulltesttype = IS_NULL;
		/* COALESCE looks at a composite as a whole, not at its fields */
		test->argisrow = false;
		test->location = -1;
		guards = lappend(guards, test);
	}
	return found;
}

/* Finds the innermost calls in node; true if there are any. */
static bool
collect(Node *node, List *guards, Collector *cx)
{
	if (node == NULL)
		return false;
	check_stack_depth();

	switch (nodeTag(node))
	{
		case T_List:
			return collect_list((List *) node, guards, cx);
		case T_TargetEntry:
			return collect((Node *) ((TargetEntry *) node)->expr, guards, cx);
		case T_FuncExpr:
			return collect_call((FuncExpr *) node, guards, cx);
		case T_BoolExpr:
			return collect_bool((BoolExpr *) node, guards, cx);
		case T_CaseExpr:
			return collect_case((CaseExpr *) node, guards, cx);
		case T_CoalesceExpr:
			return collect_coalesce((CoalesceExpr *) node, guards, cx);
		case T_OpExpr:
		case T_DistinctExpr:
		case T_NullIfExpr:
			if (((OpExpr *) node)->opretset)
				return false;
			return collect_list(((OpExpr *) node)->args, guards, cx);
		case T_ScalarArrayOpExpr:
			return collect_list(((ScalarArrayOpExpr *) node)->args, guards, cx);
		case T_MinMaxExpr:
			return collect_list(((MinMaxExpr *) node)->args, guards, cx);
		case T_ArrayExpr:
			return collect_list(((ArrayExpr *) node)->elements, guards, cx);
		case T_RowExpr:
			return collect_list(((RowExpr *) node)->args, guards, cx);
		case T_XmlExpr:
			return collect_list(list_concat_copy(((XmlExpr *) node)->named_args,
												 ((XmlExpr *) node)->args),
								guards, cx);
		case T_CoerceViaIO:
			return collect((Node *) ((CoerceViaIO *) node)->arg, guards, cx);
		case T_RelabelType:
			return collect((Node *) ((RelabelType *) node)->arg, guards, cx);
		case T_CoerceToDomain:
			return collect((Node *) ((CoerceToDomain *) node)->arg, guards, cx);
		case T_ArrayCoerceExpr:
			return collect((Node *) ((ArrayCoerceExpr *) node)->arg, guards,
						   cx);
		case T_ConvertRowtypeExpr:
			return collect((Node *) ((ConvertRowtypeExpr *) node)->arg, guards,
						   cx);
		case T_FieldSelect:
			return collect((Node *) ((FieldSelect *) node)->arg, guards, cx);
		case T_SubscriptingRef:
			/* subscripts are evaluated conditionally, in ways of the type */
			if (((SubscriptingRef *) node)->refassgnexpr != NULL)
				return false;
			return collect((Node *) ((SubscriptingRef *) node)->refexpr, guards,
						   cx);
		case T_NullTest:
			return collect((Node *) ((NullTest *) node)->arg, guards, cx);
		case T_BooleanTest:
			return collect((Node *) ((BooleanTest *) node)->arg, guards, cx);
		default:
			return false;
	}
}

/* The innermost calls in an expression, or in a list evaluated in full. */
List *
hoist_calls(Node *node)
{
	Collector cx = {NIL, false};

	(void) collect(node, NIL, &cx);
	return cx.calls;
}

/*
 * The same for a list of clauses, implicitly ANDed: each is reached only
 * where all before it are true (not merely not false).
 */
List *
hoist_calls_in_quals(List *quals)
{
	Collector cx = {NIL, false};
	List *guards = NIL;
	ListCell *lc;

	foreach (lc, quals)
	{
		(void) collect(lfirst(lc), guards, &cx);
		guards = lappend(guards, lfirst(lc));
	}
	return cx.calls;
}

bool
contains_hoistable(Node *node)
{
	Collector cx = {NIL, true};

	return collect(node, NIL, &cx);
}

typedef struct ReplaceContext
{
	List *calls;
	int columns; /* of the apply node's child */
	bool equal_too;
} ReplaceContext;

static Node *
replace_calls_mutator(Node *node, void *context)
{
	ReplaceContext *cx = context;

	if (node == NULL)
		return NULL;
	if (IsA(node, FuncExpr))
	{
		ListCell *lc;

		foreach (lc, cx->calls)
		{
			HoistCall *hoist = lfirst(lc);

			if (hoist->origin == node ||
				(cx->equal_too && equal(hoist->call, node)))
				return (Node *) makeVar(
					INDEX_VAR, cx->columns + hoist->column + 1, exprType(node),
					exprTypmod(node), exprCollation(node), 0);
		}
	}
	return expression_tree_mutator(node, replace_calls_mutator, context);
}

/* Put the columns of an apply node's results in the places of its calls. */
Node *
replace_calls(Node *node, List *calls, int columns)
{
	ReplaceContext cx = {calls, columns, false};

	return replace_calls_mutator(node, &cx);
}

/* The same in another expression, in the places of calls equal to its own. */
Node *
replace_equal_calls(Node *node, List *calls, int columns)
{
	ReplaceContext cx = {calls, columns, true};

	return replace_calls_mutator(node, &cx);
}

typedef struct RenumberContext
{
	int from;
	int to;
} RenumberContext;

static Node *
renumber_vars_mutator(Node *node, void *context)
{
	RenumberContext *cx = context;

	if (node == NULL)
		return NULL;
	if (IsA(node, Var))
	{
		Var *var = copyObject((Var *) node);

		if ((int) var->varno == cx->from)
			var->varno = cx->to;
		return (Node *) var;
	}
	return expression_tree_mutator(node, renumber_vars_mutator, context);
}

/* Copy an expression with its Vars moved from one varno to another. */
Node *
renumber_vars(Node *node, int from, int to)
{
	RenumberContext cx = {from, to};

	return renumber_vars_mutator(node, &cx);
}
