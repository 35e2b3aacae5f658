/*-------------------------------------------------------------------------
 *
 * apply_node.c
 *	  Making apply nodes, and what a node that is put into a finished plan
 *	  must carry.
 *
 * After the rewrite nobody looks at the plan as a whole again, so a new node
 * needs all that the planner gives to its own:
 *
 * Number.  plan_node_id is one that no node of the statement has, subplans
 * included: parallel workers find their instrumentation and memory by it.
 *
 * Target list.  Child's columns come first, under their old numbers, each call
 * adds one.  The topmost node of a stack has the host's old list, with names,
 * junk and sort marks, so that the host's parent notices nothing.
 *
 * Parameters.  A change of a parameter reaches a node, and the sub-selects in
 * its expressions, only if the node's allParam has it, and only through
 * ancestors that have it too.  What decides is the expressions that the node
 * has now: they may have come from its child (a stack above the host) or from
 * its parent (arguments of an aggregate, hash keys), whose sets say nothing
 * about one another.  So nothing here copies sets: when the rewrite is done,
 * settle_params computes them for each new node, from the bottom up, by the
 * planner's own rule, and the executor asserts that they are complete.
 * Ancestors need no change: an expression moves no further than past its host
 * and that host's inputs, and those above the new node have had it all along.
 *
 * InitPlans.  EXPLAIN looks for the source of a parameter at its user or above
 * it.  So where expressions go up from a host, its InitPlans go up with them
 * (take_initplans); where they go down, InitPlans stay.
 *
 * Not to be shared.  Nodes of expressions are copied when they move: a call is
 * known by its address.
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "optimizer/plancat.h"
#include "typed/apply_plan.h"

Var *
column_var(int varno, AttrNumber column, Node *expr)
{
	return makeVar(varno, column, exprType(expr), exprTypmod(expr),
				   exprCollation(expr), 0);
}

/* --- parameters ----------------------------------------------------------- */

typedef struct ParamContext
{
	List *subplans; /* of the statement */
	Bitmapset *params;
} ParamContext;

static Bitmapset *
subplan_params(List *subplans, const SubPlan *subplan)
{
	Plan *plan = list_nth(subplans, subplan->plan_id - 1);

	/* a parallel worker gets no subplan that it must not run */
	return plan != NULL ? bms_copy(plan->extParam) : NULL;
}

/* A SubPlan gets values from its arguments, and others from outside. */
static Bitmapset *
passed_through(List *subplans, const SubPlan *subplan)
{
	Bitmapset *params = subplan_params(subplans, subplan);
	ListCell *lc;

	foreach (lc, subplan->parParam)
		params = bms_del_member(params, lfirst_int(lc));
	return params;
}

static bool
param_walker(Node *node, void *context)
{
	ParamContext *cx = context;
	SubPlan *subplan = (SubPlan *) node;
	ParamContext tested = {cx->subplans, NULL};
	ListCell *lc;

	if (node == NULL)
		return false;
	if (IsA(node, Param) && ((Param *) node)->paramkind == PARAM_EXEC)
		cx->params = bms_add_member(cx->params, ((Param *) node)->paramid);
	if (!IsA(node, SubPlan))
		return expression_tree_walker(node, param_walker, context);

	/* the test's parameters are the columns of the SubPlan's own rows */
	(void) param_walker(subplan->testexpr, &tested);
	foreach (lc, subplan->paramIds)
		tested.params = bms_del_member(tested.params, lfirst_int(lc));
	cx->params = bms_join(cx->params, tested.params);
	cx->params = bms_join(cx->params, passed_through(cx->subplans, subplan));
	return param_walker((Node *) subplan->args, context);
}

/* The parameters that the node's own expressions, and its child, refer to. */
static Bitmapset *
referenced_params(List *subplans, const Plan *plan)
{
	ParamContext cx = {subplans, NULL};

	if (plan->lefttree != NULL)
		cx.params = bms_copy(plan->lefttree->extParam);
	(void) param_walker((Node *) plan->targetlist, &cx);
	(void) param_walker((Node *) plan->qual, &cx);
	if (IsA(plan, CustomScan))
		(void) param_walker((Node *) ((const CustomScan *) plan)->custom_exprs,
							&cx);
	return cx.params;
}

/* What the planner does for its nodes, before ours are there. */
void
settle_params(List *subplans, Plan *plan)
{
	Bitmapset *set = NULL;
	ListCell *lc;

	plan->extParam = referenced_params(subplans, plan);
	foreach (lc, plan->initPlan)
	{
		SubPlan *initplan = lfirst_node(SubPlan, lc);
		ListCell *lp;

		plan->extParam =
			bms_join(plan->extParam, subplan_params(subplans, initplan));
		foreach (lp, initplan->setParam)
			set = bms_add_member(set, lfirst_int(lp));
	}
	plan->allParam = bms_union(plan->extParam, set);
	plan->extParam = bms_del_members(plan->extParam, set);
}

#ifdef USE_ASSERT_CHECKING
bool
params_are_settled(List *subplans, const Plan *plan)
{
	return bms_is_subset(referenced_params(subplans, plan), plan->allParam);
}
#endif

/*
 * To the host, if it stays below, the results of its InitPlans come from
 * outside then.
 */
void
take_initplans(Plan *plan, Plan *host)
{
	ListCell *lc;

	foreach (lc, host->initPlan)
	{
		ListCell *lp;

		foreach (lp, lfirst_node(SubPlan, lc)->setParam)
			host->extParam = bms_add_member(host->extParam, lfirst_int(lp));
	}
	plan->initPlan = list_concat(plan->initPlan, host->initPlan);
	host->initPlan = NIL;
}

/* --- nodes ---------------------------------------------------------------- */

/* Put a new node on its child. */
static void
stand_on(Rewrite *rw, Plan *plan, Plan *child)
{
	plan->startup_cost = child->startup_cost;
	plan->total_cost = child->total_cost;
	plan->plan_rows = child->plan_rows;
	plan->plan_width = child->plan_width;
	plan->parallel_safe = child->parallel_safe;
	plan->plan_node_id = rw->next_node_id++;
	plan->lefttree = child;
	rw->made = lappend(rw->made, plan);
}

/* Give equal calls one column each, and the others their own; how many. */
static int
assign_columns(List *calls)
{
	List *distinct = NIL;
	ListCell *lc;

	foreach (lc, calls)
	{
		HoistCall *hoist = lfirst(lc);
		ListCell *ld;

		hoist->column = -1;
		foreach (ld, hoist->shareable ? distinct : NIL)
		{
			HoistCall *other = lfirst(ld);

			if (other->shareable && equal(other->call, hoist->call) &&
				equal(other->guards, hoist->guards))
			{
				hoist->column = other->column;
				break;
			}
		}
		if (hoist->column < 0)
		{
			hoist->column = list_length(distinct);
			distinct = lappend(distinct, hoist);
		}
	}
	return list_length(distinct);
}

/* What the planner has charged for a call, for all rows that it expects. */
static Cost
call_cost(FuncExpr *call, const Plan *child, const Prefetch *prefetch)
{
	Const *limit = (Const *) prefetch->count;
	double rows = child->plan_rows;
	QualCost cost = {0, 0};

	if (limit != NULL && IsA(limit, Const) && !limit->constisnull)
		rows = Min(rows, (double) DatumGetInt64(limit->constvalue));
	add_function_cost(NULL, call->funcid, (Node *) call, &cost);
	return cost.per_tuple * rows;
}

/*
 * An apply node over child that passes its columns on and adds the results of
 * the calls, whose arguments are INDEX_VARs numbered as child's columns.
 */
CustomScan *
apply_node_create(Rewrite *rw, Plan *child, List *calls,
				  const Prefetch *prefetch)
{
	CustomScan *cs = makeNode(CustomScan);
	Plan *plan = &cs->scan.plan;
	int columns = list_length(child->targetlist);
	int flags = prefetch->flags;
	int added = 0;
	List *exprs = NIL;
	ListCell *lc;

	(void) assign_columns(calls);
	foreach (lc, child->targetlist)
	{
		TargetEntry *tle = lfirst_node(TargetEntry, lc);

		cs->custom_scan_tlist =
			lappend(cs->custom_scan_tlist,
					makeTargetEntry((Expr *) column_var(OUTER_VAR, tle->resno,
														(Node *) tle->expr),
									tle->resno, tle->resname, false));
	}
	foreach (lc, calls)
	{
		HoistCall *hoist = lfirst(lc);
		Node *shown;

		if (hoist->column < added)
			continue;
		added++;
		exprs = lappend(exprs, list_make2(hoist->call, hoist->guards));
		rw->remote_cost += call_cost(hoist->call, child, prefetch);
		shown = renumber_vars((Node *) hoist->call, INDEX_VAR, OUTER_VAR);
		cs->custom_scan_tlist = lappend(
			cs->custom_scan_tlist,
			makeTargetEntry((Expr *) shown, columns + added, NULL, false));
	}
	foreach (lc, cs->custom_scan_tlist)
	{
		TargetEntry *tle = lfirst_node(TargetEntry, lc);

		plan->targetlist =
			lappend(plan->targetlist,
					makeTargetEntry((Expr *) column_var(INDEX_VAR, tle->resno,
														(Node *) tle->expr),
									tle->resno, tle->resname, false));
	}
	stand_on(rw, plan, child);
	if (prefetch->count != NULL)
		flags |= APPLY_LIMITED;
	cs->custom_exprs = list_make3(exprs, copyObject(prefetch->offset),
								  copyObject(prefetch->count));
	cs->custom_private = list_make2_int(columns, flags);
	cs->methods = &apply_scan_methods;
	return cs;
}

/*
 * A parent Append would ask an ForeignScan that is async_capable for rows behind the
 * back of the apply node between them.
 */
void
clear_async_capable(Plan *plan)
{
	while (plan != NULL)
	{
		plan->async_capable = false;
		plan = IsA(plan, SubqueryScan) ? ((SubqueryScan *) plan)->subplan
									   : plan->lefttree;
	}
}

void
copy_tle_properties(TargetEntry *to, const TargetEntry *from)
{
	to->resname = from->resname;
	to->ressortgroupref = from->ressortgroupref;
	to->resorigtbl = from->resorigtbl;
	to->resorigcol = from->resorigcol;
	to->resjunk = from->resjunk;
}

/* The target list of a node that returns its child's rows unchanged. */
List *
pass_through_tlist(List *child_tlist)
{
	List *result = NIL;
	ListCell *lc;

	foreach (lc, child_tlist)
	{
		TargetEntry *tle = lfirst_node(TargetEntry, lc);
		Var *var = column_var(OUTER_VAR, tle->resno, (Node *) tle->expr);
		TargetEntry *copy =
			makeTargetEntry((Expr *) var, tle->resno, NULL, false);

		copy_tle_properties(copy, tle);
		result = lappend(result, copy);
	}
	return result;
}

/* Put a Material on top, for a consumer that wants to go backward. */
Plan *
materialize(Rewrite *rw, Plan *child)
{
	Material *material = makeNode(Material);

	material->plan.targetlist = pass_through_tlist(child->targetlist);
	stand_on(rw, &material->plan, child);
	return (Plan *) material;
}
