/*-------------------------------------------------------------------------
 *
 * apply_join.c
 *	  Calls that make up one side of a join, or its hash key.
 *
 * "FROM t, f(t.x)" is planned as a nested loop whose inner side is a function
 * scan: for a function that returns one value it gives one row for each outer
 * row, so an apply node over the outer side can take the place of the join.  So
 * it can for one that returns a set, if the node gives a row for each of it.
 *
 * A hash join evaluates its keys for hashing and, as part of the hash
 * clauses, again for each match.  Hoisted below the join they are columns for
 * both purposes.  Only for a single key: a second one is not evaluated where
 * the first is NULL, in ways that depend on the type of join.
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include "catalog/pg_type.h"
#include "funcapi.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "typed/apply_plan.h"

/* --- functions in FROM ----------------------------------------------------- */

static RangeTblFunction *
scanned_function(const FunctionScan *scan)
{
	return linitial_node(RangeTblFunction, scan->functions);
}

/*
 * The inner side, if it is a scan of one function.  A Memoize node above a set
 * that is declared VOLATILE is passed over: each row is to be a call.
 */
static FunctionScan *
lateral_scan(const NestLoop *join)
{
	Plan *inner = join->join.plan.righttree;
	bool memoized = IsA(inner, Memoize);
	FunctionScan *scan =
		(FunctionScan *) (memoized ? inner->lefttree : inner);
	Node *call;

	if (!IsA(scan, FunctionScan) || list_length(scan->functions) != 1 ||
		scan->funcordinality)
		return NULL;
	call = scanned_function(scan)->funcexpr;
	if (memoized && (!is_hoistable_set(call) || inner->initPlan != NIL ||
					 !contain_volatile_functions(call)))
		return NULL;
	return scan;
}

/* Is it a value that changes with the outer row? */
static bool
depends_on_outer_row(NestLoop *join, RangeTblFunction *function)
{
	ListCell *lc;

	foreach (lc, join->nestParams)
	{
		NestLoopParam *param = lfirst_node(NestLoopParam, lc);

		if (bms_is_member(param->paramno, function->funcparams))
			return true;
	}
	return false;
}

/* Whole rows: for a composite, NULL and a row of NULLs would be confused. */
static bool
contains_whole_row_walker(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, Var))
		return ((Var *) node)->varattno <= 0;
	return expression_tree_walker(node, contains_whole_row_walker, context);
}

/* Is it the scan's columns, and nothing made of them? */
static bool
has_plain_columns(Plan *scan)
{
	ListCell *lc;

	foreach (lc, scan->targetlist)
	{
		if (!IsA(lfirst_node(TargetEntry, lc)->expr, Var))
			return false;
	}
	return true;
}

/* Does this nested loop do nothing but call a function for each outer row? */
bool
is_lateral_call(Plan *plan)
{
	Join *join = (Join *) plan;
	FunctionScan *scan;
	Plan *inner;
	Oid type;
	TupleDesc desc;
	TypeFuncClass typeclass;
	Node *call;
	List *evaluated;

	if (!IsA(plan, NestLoop) ||
		(join->jointype != JOIN_INNER && join->jointype != JOIN_LEFT))
		return false;
	scan = lateral_scan((NestLoop *) plan);
	if (scan == NULL)
		return false;
	inner = &scan->scan.plan;
	/* an outer join would have to null what does not pass these */
	if (join->jointype == JOIN_LEFT &&
		(join->joinqual != NIL || inner->qual != NIL))
		return false;

	call = scanned_function(scan)->funcexpr;
	if ((!is_hoistable_call(call) && !is_hoistable_set(call)) ||
		!depends_on_outer_row((NestLoop *) plan, scanned_function(scan)))
		return false;
	typeclass = get_expr_result_type(call, &type, &desc);
	if (typeclass != TYPEFUNC_SCALAR && typeclass != TYPEFUNC_COMPOSITE)
		return false;

	/* what is made of columns is NULL where there is no row, whatever it is */
	if (join->jointype == JOIN_LEFT && is_hoistable_set(call) &&
		!has_plain_columns(inner))
		return false;

	evaluated = list_make4(((FuncExpr *) call)->args, inner->targetlist, inner->qual,
						   list_make3(join->joinqual, plan->qual,
									  plan->targetlist));
	return inner->initPlan == NIL && !contains_unmovable((Node *) evaluated) &&
		   !contains_subplan((Node *) evaluated) &&
		   !contains_whole_row_walker((Node *) inner->targetlist, NULL) &&
		   !contains_whole_row_walker((Node *) inner->qual, NULL) &&
		   !contain_volatile_functions((Node *) inner->targetlist);
}

static bool
lateral_call_has_filter(Plan *plan)
{
	return lateral_scan((NestLoop *) plan)->scan.plan.qual != NIL ||
		   ((Join *) plan)->joinqual != NIL || plan->qual != NIL;
}

/* What the consumer of the join asks of its left side, then. */
void
lateral_call_prefetch(Plan *plan, Prefetch *prefetch)
{
	FunctionScan *scan = lateral_scan((NestLoop *) plan);
	bool set = is_hoistable_set(scanned_function(scan)->funcexpr);

	if (set || lateral_call_has_filter(plan))
		prefetch->flags &= ~APPLY_EXACT;
	/* a Limit takes rows; how many of them an input gives is not known */
	if (set && prefetch->count != NULL)
		prefetch->flags &= ~APPLY_DRAIN;
}

typedef struct LateralContext
{
	NestLoop *join;
	FunctionScan *scan;
	int columns;	/* of the outer side; the result comes after them */
	FuncExpr *call;
	bool composite; /* the scan's columns are fields of the result */
} LateralContext;

static Node *
result_column(LateralContext *cx, Var *var)
{
	Node *call = (Node *) cx->call;
	Var *result = makeVar(INDEX_VAR, cx->columns + 1, exprType(call),
						  exprTypmod(call), exprCollation(call), 0);
	FieldSelect *field;

	if (!cx->composite)
		return (Node *) result;
	field = makeNode(FieldSelect);
	field->arg = (Expr *) result;
	field->fieldnum = var->varattno;
	field->resulttype = var->vartype;
	field->resulttypmod = var->vartypmod;
	field->resultcollid = var->varcollid;
	return (Node *) field;
}

/*
 * An expression of the join, or of its inner side, as one over the apply
 * node's scan tuple.
 */
static Node *
lateral_mutator(Node *node, void *context)
{
	LateralContext *cx = context;

	if (node == NULL)
		return NULL;
	if (IsA(node, Var))
	{
		Var *var = (Var *) node;

		if (var->varno == INNER_VAR)
			return lateral_mutator(
				(Node *) list_nth_node(TargetEntry,
									   cx->scan->scan.plan.targetlist,
									   var->varattno - 1)
					->expr,
				context);
		if ((int) var->varno == (int) cx->scan->scan.scanrelid)
			return result_column(cx, var);
		return renumber_vars(node, OUTER_VAR, INDEX_VAR);
	}
	if (IsA(node, Param) && ((Param *) node)->paramkind == PARAM_EXEC)
	{
		ListCell *lc;

		foreach (lc, cx->join->nestParams)
		{
			NestLoopParam *param = lfirst_node(NestLoopParam, lc);

			if (param->paramno == ((Param *) node)->paramid)
				return renumber_vars((Node *) param->paramval, OUTER_VAR,
									 INDEX_VAR);
		}
	}
	return expression_tree_mutator(node, lateral_mutator, context);
}

/*
 * The call as one over the columns of outer, with those in its arguments put
 * into apply nodes below it.
 */
static FuncExpr *
stack_arguments(Rewrite *rw, LateralContext *cx, Plan **outer,
				const Prefetch *prefetch)
{
	FuncExpr *call = (FuncExpr *) lateral_mutator((Node *) cx->call, cx);
	List *calls;

	clear_async_capable(*outer);
	while ((calls = hoist_calls((Node *) call->args)) != NIL)
	{
		int columns = list_length((*outer)->targetlist);

		*outer = (Plan *) apply_node_create(rw, *outer, calls, prefetch);
		call->args =
			(List *) replace_calls((Node *) call->args, calls, columns);
	}
	cx->columns = list_length((*outer)->targetlist);
	return call;
}

/* The apply node that takes the place of a join that is_lateral_call(). */
Plan *
hoist_lateral_call(Rewrite *rw, Plan *plan, const Prefetch *prefetch)
{
	Plan *outer = plan->lefttree;
	FunctionScan *scan = lateral_scan((NestLoop *) plan);
	Node *expr = scanned_function(scan)->funcexpr;
	LateralContext cx = {(NestLoop *) plan, scan, 0, (FuncExpr *) expr, false};
	Prefetch filtered = *prefetch;
	Prefetch below = *prefetch;
	HoistCall *hoist = palloc0(sizeof(HoistCall));
	List *filter = NIL;
	List *exprs = NIL;
	Plan *top;
	TupleDesc desc;
	Oid type;
	ListCell *lc;

	filtered.flags &= ~APPLY_EXACT;
	lateral_call_prefetch(plan, &below);
	cx.composite = get_expr_result_type(expr, &type, &desc) ==
				   TYPEFUNC_COMPOSITE;
	hoist->call = stack_arguments(rw, &cx, &outer, &below);
	hoist->shareable = !contain_volatile_functions(expr);

	filter = list_concat(filter, cx.scan->scan.plan.qual);
	filter = list_concat(filter, cx.join->join.joinqual);
	filter = list_concat(filter, plan->qual);
	filter = (List *) lateral_mutator((Node *) filter, &cx);
	foreach (lc, plan->targetlist)
		exprs = lappend(exprs, lateral_mutator(
								   (Node *) lfirst_node(TargetEntry, lc)->expr,
								   &cx));

	if (is_hoistable_set(expr))
		below.flags |= APPLY_SET;
	if (cx.join->join.jointype == JOIN_LEFT)
		below.flags |= APPLY_OUTER;
	top = (Plan *) apply_node_create(rw, outer, list_make1(hoist), &below);
	top->startup_cost = plan->startup_cost;
	top->total_cost = plan->total_cost;
	top->plan_rows = plan->plan_rows;
	if (filter != NIL)
		top = stack_filter(rw, top, filter, &filtered);
	top = stack_tlist(rw, top, exprs, plan->targetlist, prefetch);
	take_initplans(top, plan);
	return top;
}

/* --- hash keys -------------------------------------------------------------- */

/*
 * Hoist the calls in the keys of one side, which are OUTER_VARs over child,
 * and replace them in the hash clauses, where that side is varno.  Returns
 * what replaces child.
 */
static Plan *
hoist_side(Rewrite *rw, Plan *child, List **keys, List **clauses, int varno,
		   const Prefetch *prefetch)
{
	Node *key_exprs = renumber_vars((Node *) *keys, OUTER_VAR, INDEX_VAR);
	Node *clause_exprs = renumber_vars((Node *) *clauses, varno, INDEX_VAR);
	List *calls;
	ListCell *lc;

	while ((calls = hoist_calls(key_exprs)) != NIL)
	{
		int columns = list_length(child->targetlist);

		foreach (lc, calls)
		{
			HoistCall *hoist = lfirst(lc);

			/* a result must not be taken where its call was not due */
			if (hoist->guards != NIL || !hoist->shareable)
				return child;
		}
		clear_async_capable(child);
		child = (Plan *) apply_node_create(rw, child, calls, prefetch);
		key_exprs = replace_calls(key_exprs, calls, columns);
		clause_exprs = replace_equal_calls(clause_exprs, calls, columns);
		*keys = (List *) renumber_vars(key_exprs, INDEX_VAR, OUTER_VAR);
		*clauses = (List *) renumber_vars(clause_exprs, INDEX_VAR, varno);
	}
	return child;
}

/* Put calls in the key of a hash join below it, on either side. */
void
hoist_hash_keys(Rewrite *rw, HashJoin *join, const Prefetch *outer)
{
	const Prefetch all = {APPLY_DRAIN, false, false, NULL, NULL};
	Plan *plan = &join->join.plan;
	Hash *hash = (Hash *) plan->righttree;
	Plan *child;

	if (list_length(join->hashkeys) != 1 || !IsA(hash, Hash))
		return;
	plan->lefttree = hoist_side(rw, plan->lefttree, &join->hashkeys,
								&join->hashclauses, OUTER_VAR, outer);
	child = hoist_side(rw, hash->plan.lefttree, &hash->hashkeys,
					   &join->hashclauses, INNER_VAR, &all);
	if (child != hash->plan.lefttree)
	{
		/* the hash table's rows have the results too */
		hash->plan.lefttree = child;
		hash->plan.targetlist = pass_through_tlist(child->targetlist);
	}
}
