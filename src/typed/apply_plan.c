/*-------------------------------------------------------------------------
 *
 * apply_plan.c
 *	  The planner hook: typed functions become apply nodes in the finished
 *	  plan.
 *
 * Working on the finished plan means one recursion over one tree, in which
 * every expression stands in the node that evaluates it.  Direct execution is
 * always correct, so anything not known here is left alone.
 *
 * Going down, it takes along what is known of each node's consumer (see
 * apply_prefetch.c); coming up, it moves calls out of a node when those of its
 * children have been moved (apply_host.c, apply_join.c).
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
#include "typed/apply.h"
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
			plan->lefttree == NULL || plan->initPlan != NIL)
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
		lateral_call_prefetch(plan, &left);
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
		case T_FunctionScan:
			plan = map_scan_plan(rw, plan, prefetch);
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

	if (!modal_enable_pipelining || stmt->planTree == NULL)
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
	Prefetch root = {APPLY_DRAIN | APPLY_EXACT | APPLY_ROOT, false, false,
					 NULL, NULL};
	Prefetch unknown = {0, false, true, NULL, NULL};
	bool backward = ExecSupportsBackwardScan(stmt->planTree);
	Rewrite rw = {0, NIL, 0};
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
	if (rw.made != NIL && !ExecSupportsBackwardScan(stmt->planTree) &&
		((cursor_options & CURSOR_OPT_SCROLL) ||
		 (backward && (cursor_options & CURSOR_OPT_FAST_PLAN) &&
		  !(cursor_options & CURSOR_OPT_NO_SCROLL))))
		stmt->planTree = materialize(&rw, stmt->planTree);

	/* from the bottom up: a node is made after those below it */
	foreach (lc, rw.made)
		settle_params(stmt->subplans, lfirst(lc));
}

static PlannedStmt *
modal_planner(PLANNER_PARAMS)
{
	planner_hook_type plan =
		prev_planner_hook ? prev_planner_hook : standard_planner;
	PlannedStmt *stmt = plan(PLANNER_ARGS);

	if (plan_may_hold_calls(stmt))
		rewrite_stmt(stmt, cursor_options);
	return stmt;
}

void
modal_apply_init(void)
{
	prev_planner_hook = planner_hook;
	planner_hook = modal_planner;
	apply_exec_init();
	apply_prefetch_init();
}
