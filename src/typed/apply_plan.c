/*-------------------------------------------------------------------------
 *
 * async_plan.c
 *	  The planner hook: typed functions become apply nodes in the finished
 *	  plan.
 *
 * Working on the finished plan means one recursion over one tree, in which
 * every expression stands in the node that evaluates it.  Direct execution is
 * always correct, so anything not known here is left alone.
 *
 * The rule for reading ahead: never send a call that row-at-a-time execution
 * would not have made, unless the consumer's appetite is not known; then
 * never more than it has already consumed.  What is known about the consumer
 * is handed down the tree as a Prefetch.
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include "executor/executor.h"
#include "guc.h"
#include "jit/jit.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "optimizer/planner.h"
#include "session/async.h"
#include "typed/apply_exec.h"
#include "typed/apply_plan.h"
#include "typed/function.h"
#include "utils/syscache.h"

static planner_hook_type prev_planner_hook = NULL;

static Plan *rewrite_plan(Rewrite *rw, Plan *plan, const Prefetch *prefetch);

/* The lists of children that nodes have besides their left and right one. */
static List *
child_list(Plan *plan)
{
	switch (nodeTag(plan))
	{
		case T_Append:
			return ((Append *) plan)->appendplans;
		case T_MergeAppend:
			return ((MergeAppend *) plan)->mergeplans;
		case T_BitmapAnd:
			return ((BitmapAnd *) plan)->bitmapplans;
		case T_BitmapOr:
			return ((BitmapOr *) plan)->bitmapplans;
		case T_SubqueryScan:
			return list_make1(((SubqueryScan *) plan)->subplan);
		case T_CustomScan:
			return ((CustomScan *) plan)->custom_plans;
		default:
			return NIL;
	}
}

static int
max_node_id(Plan *plan)
{
	int result;
	ListCell *lc;

	if (plan == NULL)
		return 0;
	check_stack_depth();

	result = Max(plan->plan_node_id, max_node_id(plan->lefttree));
	result = Max(result, max_node_id(plan->righttree));
	foreach (lc, child_list(plan))
		result = Max(result, max_node_id(lfirst(lc)));
	return result;
}

/* Is what a Limit will take known before it starts? */
static bool
limit_is_plain(Limit *limit)
{
	return !contain_volatile_functions(limit->limitCount) &&
		   !contain_volatile_functions(limit->limitOffset) &&
		   !contains_subplan(limit->limitCount) &&
		   !contains_subplan(limit->limitOffset);
}

/*
 * How much of its left (outer, or only) and right (inner) input a node asks
 * for, given what its own consumer asks for.  Of an Append's inputs the first
 * is the left one, the others are right ones.
 */
static void
children_prefetch(Plan *plan, const Prefetch *own, Prefetch *left,
				  Prefetch *right)
{
	const Prefetch all = {APPLY_DRAIN, false, NULL, NULL};
	const Prefetch unknown = {0, false, NULL, NULL};
	Prefetch as_asked = unknown;
	JoinType jointype;

	/* nodes that pass rows on need not give one row for each they take */
	as_asked.flags = own->flags & APPLY_ROOT;
	if (own->count == NULL)
		as_asked.flags |= own->flags & APPLY_DRAIN;

	*left = *right = unknown;
	switch (nodeTag(plan))
	{
		case T_Limit:
			if (((Limit *) plan)->limitCount == NULL)
			{
				*left = as_asked; /* OFFSET alone */
				break;
			}
			if (!limit_is_plain((Limit *) plan))
				break;
			left->count = ((Limit *) plan)->limitCount;
			left->offset = ((Limit *) plan)->limitOffset;
			/* nobody needs to take all that the Limit would */
			left->flags = as_asked.flags;
			if (((Limit *) plan)->limitOption == LIMIT_OPTION_COUNT)
				left->flags |= APPLY_EXACT;
			if ((own->flags & APPLY_EXACT) && own->count == NULL)
				left->flags |= APPLY_LIMIT_EXACT;
			break;
		case T_Result:
			*left = *own;
			break;
		case T_SubqueryScan:
			*left = *own;
			left->mark = false;
			if (plan->qual != NIL)
				left->flags &= ~APPLY_EXACT;
			break;
		case T_Append:
			*left = *own;
			left->mark = false;
			*right = *left;
			/* how much the inputs before it leave to a Limit is not known */
			if (own->count != NULL)
				right->flags &= ~APPLY_DRAIN;
			break;
		case T_MergeAppend:
			/* the input that goes first may be asked for all the rows */
			*left = *own;
			left->flags &= ~APPLY_EXACT;
			if (own->count != NULL)
				left->flags &= ~APPLY_DRAIN;
			left->mark = false;
			break;
		case T_LockRows:
			*left = *own;
			left->flags &= ~APPLY_EXACT;
			left->mark = false;
			break;
		case T_Sort:
		case T_Hash:
			*left = all;
			break;
		case T_ModifyTable:
			*left = all;
			/* with RETURNING it may be stopped by the executor's row count */
			if (((ModifyTable *) plan)->returningLists != NIL)
				left->flags |= own->flags & APPLY_ROOT;
			break;
		case T_Agg:
			*left = ((Agg *) plan)->aggstrategy == AGG_PLAIN ||
							((Agg *) plan)->aggstrategy == AGG_HASHED
						? all
						: as_asked;
			break;
		case T_SetOp:
			*left = *right = as_asked;
			/* where both are sorted, it may end with the left one */
			if (((SetOp *) plan)->strategy == SETOP_SORTED)
				right->flags &= ~APPLY_DRAIN;
			break;
		case T_IncrementalSort:
		case T_Group:
		case T_ProjectSet:
		case T_Unique:
		case T_Material:
		case T_Gather:
		case T_GatherMerge:
		case T_RecursiveUnion:
			*left = *right = as_asked;
			break;
		case T_WindowAgg:
			*left = as_asked;
			/* it may stop where its run condition fails */
			if (window_agg_run_condition(plan) != NIL)
				left->flags &= ~APPLY_DRAIN;
			break;
		case T_NestLoop:
			*left = *right = as_asked;
			jointype = ((Join *) plan)->jointype;
			if (jointype == JOIN_SEMI || jointype == JOIN_ANTI ||
				((Join *) plan)->inner_unique)
				right->flags &= ~APPLY_DRAIN;
			break;
		case T_MergeJoin:
			right->mark = !((MergeJoin *) plan)->skip_mark_restore;
			break;
		default:
			break;
	}
}

static bool
same_exprs(List *a, List *b)
{
	ListCell *la;
	ListCell *lb;

	if (list_length(a) != list_length(b))
		return false;
	forboth(la, a, lb, b)
	{
		if (!equal(lfirst_node(TargetEntry, la)->expr,
				   lfirst_node(TargetEntry, lb)->expr))
			return false;
	}
	return true;
}

static bool
same_types(List *a, List *b)
{
	ListCell *la;
	ListCell *lb;

	if (list_length(a) != list_length(b))
		return false;
	forboth(la, a, lb, b)
	{
		Node *ea = (Node *) lfirst_node(TargetEntry, la)->expr;
		Node *eb = (Node *) lfirst_node(TargetEntry, lb)->expr;

		if (exprType(ea) != exprType(eb) || exprTypmod(ea) != exprTypmod(eb) ||
			exprCollation(ea) != exprCollation(eb))
			return false;
	}
	return true;
}

/* Do all children of an Append end in apply nodes that do the same? */
static bool
children_apply_alike(Append *append)
{
	CustomScan *first = NULL;
	ListCell *lc;

	foreach (lc, append->appendplans)
	{
		CustomScan *cs = lfirst(lc);
		Plan *plan = &cs->scan.plan;

		if (!IsA(cs, CustomScan) || cs->methods != &apply_scan_methods ||
			plan->initPlan != NIL)
			return false;
		if (first == NULL)
			first = cs;
		else if (!same_exprs(first->scan.plan.targetlist, plan->targetlist) ||
				 !equal(first->scan.plan.qual, plan->qual) ||
				 !equal(first->custom_exprs, cs->custom_exprs) ||
				 !same_types(first->custom_scan_tlist, cs->custom_scan_tlist))
			return false;
	}
	return list_length(append->appendplans) > 1;
}

/*
 * An Append over apply nodes that do the same becomes one apply node over an
 * Append, so that one window spans all partitions; again for stacked nodes.
 */
static Plan *
lift_over_append(Append *append)
{
	Plan *apply;
	ListCell *la;
	ListCell *lb;

	if (!children_apply_alike(append))
		return (Plan *) append;

	apply = linitial(append->appendplans);
	foreach (la, append->appendplans)
		lfirst(la) = ((Plan *) lfirst(la))->lefttree;

	forboth(la, apply->targetlist, lb, append->plan.targetlist)
		copy_tle_properties(lfirst(la), lfirst(lb));
	append->plan.targetlist = pass_through_tlist(
		((Plan *) linitial(append->appendplans))->targetlist);

	apply->startup_cost = append->plan.startup_cost;
	apply->total_cost = append->plan.total_cost;
	apply->plan_rows = append->plan.plan_rows;
	apply->parallel_safe = append->plan.parallel_safe;
	apply->extParam = bms_copy(append->plan.extParam);
	apply->allParam = bms_copy(append->plan.allParam);
	take_initplans(apply, &append->plan);
	apply->lefttree = lift_over_append(append);
	return apply;
}

static void
rewrite_children(Rewrite *rw, List *children, const Prefetch *first,
				 const Prefetch *others)
{
	ListCell *lc;

	foreach (lc, children)
		lfirst(lc) = rewrite_plan(
			rw, lfirst(lc), lc == list_head(children) ? first : others);
}

/* Rewrite the tree under plan, children first; returns what replaces plan. */
static Plan *
rewrite_plan(Rewrite *rw, Plan *plan, const Prefetch *prefetch)
{
	Prefetch left;
	Prefetch right;

	if (plan == NULL)
		return NULL;
	check_stack_depth();

	if (is_lateral_call(plan))
	{
		left = *prefetch;
		left.mark = false;
		if (lateral_call_has_filter(plan))
			left.flags &= ~APPLY_EXACT;
		plan->lefttree = rewrite_plan(rw, plan->lefttree, &left);
		return hoist_lateral_call(rw, plan, prefetch);
	}
	children_prefetch(plan, prefetch, &left, &right);

	/* the child of a ForeignScan is there to recheck a row, not to scan */
	if (!IsA(plan, ForeignScan))
		plan->lefttree = rewrite_plan(rw, plan->lefttree, &left);
	plan->righttree = rewrite_plan(rw, plan->righttree, &right);
	switch (nodeTag(plan))
	{
		case T_SubqueryScan:
			((SubqueryScan *) plan)->subplan =
				rewrite_plan(rw, ((SubqueryScan *) plan)->subplan, &left);
			break;
		case T_Append:
			rewrite_children(rw, ((Append *) plan)->appendplans, &left, &right);
			return lift_over_append((Append *) plan);
		case T_MergeAppend:
			rewrite_children(rw, ((MergeAppend *) plan)->mergeplans, &left, &left);
			return plan;
		case T_HashJoin:
			hoist_hash_keys(rw, (HashJoin *) plan, &left);
			break;
		case T_Agg:
			hoist_below(rw, plan, &left);
			break;
		case T_WindowAgg:
			if (window_agg_run_condition(plan) == NIL)
				hoist_below(rw, plan, &left);
			break;
		case T_ProjectSet:
			if (plan->lefttree != NULL)
				hoist_below(rw, plan, &left);
			break;
		default:
			break;
	}
	return hoist_above(rw, plan, prefetch);
}

/* User-defined functions are always among what a plan depends on. */
static bool
plan_may_hold_calls(PlannedStmt *stmt)
{
	ListCell *lc;

	if (!modal_enable_async_projection || stmt->planTree == NULL)
		return false;
	foreach (lc, stmt->invalItems)
	{
		if (lfirst_node(PlanInvalItem, lc)->cacheId == PROCOID)
			return true;
	}
	return typed_language_is_simulated();
}

/*
 * The planner asks for JIT compilation where a plan costs much.  What calls
 * cost that are made elsewhere is no reason to compile anything here.
 */
static void
reconsider_jit(PlannedStmt *stmt, Cost remote_cost)
{
	Cost local_cost = stmt->planTree->total_cost - remote_cost;

	if (local_cost <= jit_above_cost)
		stmt->jitFlags = PGJIT_NONE;
	if (local_cost <= jit_optimize_above_cost)
		stmt->jitFlags &= ~PGJIT_OPT3;
	if (local_cost <= jit_inline_above_cost)
		stmt->jitFlags &= ~PGJIT_INLINE;
}

static void
rewrite_stmt(PlannedStmt *stmt, int cursor_options)
{
	Prefetch root = {APPLY_DRAIN | APPLY_EXACT | APPLY_ROOT, false, NULL, NULL};
	Prefetch unknown = {0, false, NULL, NULL};
	bool backward = ExecSupportsBackwardScan(stmt->planTree);
	Rewrite rw = {0, 0, 0};
	ListCell *lc;

	rw.next_node_id = max_node_id(stmt->planTree);
	foreach (lc, stmt->subplans)
		rw.next_node_id = Max(rw.next_node_id, max_node_id(lfirst(lc)));
	rw.next_node_id++;

	stmt->planTree = rewrite_plan(&rw, stmt->planTree, &root);
	rewrite_children(&rw, stmt->subplans, &unknown, &unknown);
	reconsider_jit(stmt, rw.remote_cost);

	/*
	 * A cursor that could go backward still can: asked for by SCROLL, or
	 * DECLARE CURSOR of a plan that could by itself.
	 */
	if (rw.nodes > 0 && !ExecSupportsBackwardScan(stmt->planTree) &&
		((cursor_options & CURSOR_OPT_SCROLL) ||
		 (backward && (cursor_options & CURSOR_OPT_FAST_PLAN) &&
		  !(cursor_options & CURSOR_OPT_NO_SCROLL))))
		stmt->planTree = materialize(&rw, stmt->planTree);
}

static PlannedStmt *
modal_planner(Query *parse, const char *query_string, int cursor_options,
			  ParamListInfo bound_params)
{
	planner_hook_type plan =
		prev_planner_hook ? prev_planner_hook : standard_planner;
	PlannedStmt *stmt =
		plan(parse, query_string, cursor_options, bound_params);

	if (plan_may_hold_calls(stmt))
		rewrite_stmt(stmt, cursor_options);
	return stmt;
}

void
modal_async_init(void)
{
	prev_planner_hook = planner_hook;
	planner_hook = modal_planner;
	apply_exec_init();
}
