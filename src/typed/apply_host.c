/*-------------------------------------------------------------------------
 *
 * apply_host.c
 *	  Moving calls out of a plan node into apply nodes below or above it.
 *
 * Below: arguments of aggregates, window functions and set-returning
 * functions, which the host evaluates over its child's rows.  The apply node
 * passes the child's columns on under their old numbers and adds results, so
 * nothing else in the host changes.
 *
 * Above: the host's own target list and filter.  The host then delivers what
 * the moved expressions are made of, and the topmost apply node has the
 * host's old target list, so its parent notices nothing.
 *
 * Calls within calls need one apply node each, stacked: every round takes the
 * innermost calls, and for the next one their results are columns.
 *
 * Whose expressions they are: in both cases the host's, whether the new node
 * stands below the host or above it.  What follows from that for the node is
 * in apply_node.c.
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "typed/apply_plan.h"
#include "utils/lsyscache.h"

/* --- below the host ------------------------------------------------------ */

/* What one of the host's functions is given: its arguments, and a filter. */
typedef struct Given
{
	List **args;
	Expr **filter; /* NULL: it has none */
} Given;

/* The host's functions, and meanwhile what is made of what they are given. */
typedef struct Arguments
{
	Plan *host;
	List *given; /* of Given */
	List *exprs; /* parallel to it */
} Arguments;

/*
 * "CASE WHEN filter THEN args END", to be taken apart again; so the filter's
 * own calls are taken as well, and the others are made where it is true.
 */
static CaseExpr *
guard_arguments(List *args, Expr *filter)
{
	CaseExpr *expr = makeNode(CaseExpr);
	CaseWhen *when = makeNode(CaseWhen);

	when->expr = filter;
	when->result = (Expr *) args;
	when->location = -1;
	expr->args = list_make1(when);
	expr->location = -1;
	return expr;
}

/*
 * Is what the function is given evaluated for every row of the partition?
 * That is so for aggregates when each row is in its own frame.  lag() and the
 * like look at some rows only.
 */
static bool
given_each_row(const WindowFunc *func, const WindowAgg *host)
{
	return func->winagg &&
		   (host->frameOptions &
			(FRAMEOPTION_START_OFFSET_FOLLOWING |
			 FRAMEOPTION_END_OFFSET_PRECEDING | FRAMEOPTION_EXCLUSION)) == 0;
}

static bool
collect_arguments(Node *node, void *context)
{
	Arguments *arguments = context;
	Given *given;
	List **args;
	Expr **filter = NULL;

	if (node == NULL)
		return false;
	if (IsA(node, Aggref))
	{
		args = &((Aggref *) node)->args;
		filter = &((Aggref *) node)->aggfilter;
	}
	else if (IsA(node, WindowFunc))
	{
		if (!given_each_row((WindowFunc *) node, (WindowAgg *) arguments->host))
			return false;
		args = &((WindowFunc *) node)->args;
		filter = &((WindowFunc *) node)->aggfilter;
	}
	else if (IsA(arguments->host, ProjectSet) && IsA(node, FuncExpr) &&
			 ((FuncExpr *) node)->funcretset)
		args = &((FuncExpr *) node)->args;
	else
		return expression_tree_walker(node, collect_arguments, context);

	given = palloc(sizeof(Given));
	given->args = args;
	given->filter = filter != NULL && *filter != NULL ? filter : NULL;
	arguments->given = lappend(arguments->given, given);
	arguments->exprs =
		lappend(arguments->exprs,
				given->filter != NULL
					? (void *) guard_arguments(*args, *given->filter)
					: (void *) *args);
	return false;
}

/* Write the rewritten arguments back to where they came from. */
static void
store_arguments(Arguments *arguments, List *rewritten)
{
	ListCell *lg;
	ListCell *lr;

	forboth(lg, arguments->given, lr, rewritten)
	{
		Given *given = lfirst(lg);

		if (given->filter != NULL)
		{
			CaseWhen *when =
				linitial_node(CaseWhen, lfirst_node(CaseExpr, lr)->args);

			*given->filter = when->expr;
			*given->args = (List *) when->result;
		}
		else
			*given->args = lfirst(lr);
	}
}

/* Put the calls in arguments that the host hands to other functions below it. */
void
hoist_below(Rewrite *rw, Plan *host, const Prefetch *prefetch)
{
	Arguments arguments = {host, NIL, NIL};
	Plan *child = host->lefttree;
	Node *exprs;
	List *calls;

	(void) collect_arguments((Node *) host->targetlist, &arguments);
	if (!IsA(host, WindowAgg))
		(void) collect_arguments((Node *) host->qual, &arguments);
	if (!contains_hoistable((Node *) arguments.exprs))
		return;

	clear_async_capable(child);
	exprs = renumber_vars((Node *) arguments.exprs, OUTER_VAR, INDEX_VAR);
	while ((calls = hoist_calls(exprs)) != NIL)
	{
		int columns = list_length(child->targetlist);

		child = (Plan *) apply_node_create(rw, child, calls, prefetch);
		exprs = replace_calls(exprs, calls, columns);
	}
	host->lefttree = child;
	store_arguments(&arguments,
					(List *) renumber_vars(exprs, INDEX_VAR, OUTER_VAR));
}

/* --- above the host ------------------------------------------------------ */

/*
 * Can the target list of this kind of node move, and which of its filters?
 * A Result without a child is worth it only for several calls, and never with
 * one column: PL/pgSQL takes such a plan for a simple expression.
 */
static bool
host_is_known(Plan *host, List ***filter)
{
	Join *join = (Join *) host;

	*filter = NULL;
	switch (nodeTag(host))
	{
		case T_Result:
			return host->lefttree != NULL ||
				   (list_length(host->targetlist) > 1 &&
					list_length(hoist_calls((Node *) host->targetlist)) > 1);
		case T_ForeignScan:
			*filter = &host->qual;
			return ((ForeignScan *) host)->operation == CMD_SELECT;
		case T_CustomScan:
			*filter = &host->qual;
			return is_map_scan(host);
		case T_SeqScan:
		case T_SampleScan:
		case T_IndexScan:
		case T_IndexOnlyScan:
		case T_BitmapHeapScan:
		case T_TidScan:
		case T_TidRangeScan:
		case T_SubqueryScan:
		case T_FunctionScan:
		case T_TableFuncScan:
		case T_ValuesScan:
		case T_CteScan:
		case T_NamedTuplestoreScan:
		case T_WorkTableScan:
		case T_Agg:
		case T_Group:
			*filter = &host->qual;
			return true;
		case T_NestLoop:
		case T_MergeJoin:
		case T_HashJoin:
			/* joinqual is evaluated before qual, so it can move only alone */
			if (join->jointype == JOIN_INNER && host->qual == NIL)
				*filter = &join->joinqual;
			else if (join->jointype != JOIN_INNER || join->joinqual == NIL)
				*filter = &host->qual;
			return true;
		case T_WindowAgg:
			/* the run condition refers to the target list by number */
			return window_agg_run_condition(host) == NIL;
		case T_ProjectSet:
		case T_Gather:
		case T_GatherMerge:
			return true;
		default:
			return false;
	}
}

/* May it be what proves to a join that there is only one match? */
static bool
may_prove_uniqueness(Node *clause)
{
	return is_opclause(clause) && !contain_volatile_functions(clause) &&
		   op_mergejoinable(((OpExpr *) clause)->opno,
							exprType(linitial(((OpExpr *) clause)->args)));
}

/*
 * The clauses from the first with a call to the end: all or none of these
 * move, for a clause must not overtake another (think of row security).
 */
static List *
movable_filter(Plan *host, List *filter)
{
	bool unique = (IsA(host, NestLoop) || IsA(host, MergeJoin) ||
				   IsA(host, HashJoin)) &&
				  ((Join *) host)->inner_unique;
	List *moved = NIL;
	ListCell *lc;

	foreach (lc, filter)
	{
		if (moved != NIL || contains_hoistable(lfirst(lc)))
			moved = lappend(moved, lfirst(lc));
	}
	if (contains_unmovable((Node *) moved))
		return NIL;
	foreach (lc, unique ? moved : NIL)
	{
		if (may_prove_uniqueness(lfirst(lc)))
			return NIL;
	}
	return moved;
}

static bool
tlist_can_move(Plan *host, bool whole)
{
	ListCell *lc;

	foreach (lc, host->targetlist)
	{
		Node *expr = (Node *) lfirst_node(TargetEntry, lc)->expr;

		if (!contains_unmovable(expr))
			continue;
		if (whole || contains_hoistable(expr))
			return false;
		/* other entries read what it sets, in the same node */
		if (IsA(expr, SubPlan))
			return false;
	}
	return true;
}

/* The host's column that delivers expr, added if there is none yet. */
static Node *
host_column(Node *expr, List **delivered)
{
	TargetEntry *found = NULL;

	if (!contain_volatile_functions(expr))
	{
		ListCell *lc;

		foreach (lc, *delivered)
		{
			TargetEntry *tle = lfirst_node(TargetEntry, lc);

			if (equal(tle->expr, expr))
			{
				found = tle;
				break;
			}
		}
	}
	if (found == NULL)
	{
		found = makeTargetEntry((Expr *) copyObject(expr),
								list_length(*delivered) + 1, NULL, false);
		*delivered = lappend(*delivered, found);
	}
	return (Node *) column_var(INDEX_VAR, found->resno, expr);
}

/* Leave to the host only what an expression fetches or aggregates. */
static Node *
lift_mutator(Node *node, void *context)
{
	if (node == NULL)
		return NULL;
	switch (nodeTag(node))
	{
		case T_Var:
		case T_Aggref:
		case T_WindowFunc:
		case T_GroupingFunc:
			return host_column(node, (List **) context);
		default:
			return expression_tree_mutator(node, lift_mutator, context);
	}
}

/*
 * The host's target list as expressions over what it delivers from now on.
 * With a filter moved (lift_all) nothing but fetching columns may happen
 * before it; else an entry without calls is evaluated where it was.
 */
static List *
lift_tlist(Plan *host, bool lift_all, List **delivered)
{
	List *exprs = NIL;
	ListCell *lc;

	foreach (lc, host->targetlist)
	{
		Node *expr = (Node *) lfirst_node(TargetEntry, lc)->expr;

		if (lift_all || contains_hoistable(expr))
			expr = lift_mutator(expr, delivered);
		else if (!IsA(expr, Const))
			expr = host_column(expr, delivered);
		/* a Const stays: INSERT wants to see one for a dropped column */
		exprs = lappend(exprs, expr);
	}
	return exprs;
}

/* Stack apply nodes until the filter holds no call any more; it goes on top. */
Plan *
stack_filter(Rewrite *rw, Plan *top, List *filter, const Prefetch *prefetch)
{
	List *calls;

	while ((calls = hoist_calls_in_quals(filter)) != NIL)
	{
		int columns = list_length(top->targetlist);

		top = (Plan *) apply_node_create(rw, top, calls, prefetch);
		filter = (List *) replace_calls((Node *) filter, calls, columns);
	}
	top->qual = filter;
	return top;
}

/*
 * The same for expressions over top's columns, which become its target list in
 * the place of the original one.
 */
Plan *
stack_tlist(Rewrite *rw, Plan *top, List *exprs, List *original,
			const Prefetch *prefetch)
{
	List *tlist = NIL;
	List *calls;
	ListCell *lt;
	ListCell *le;

	while ((calls = hoist_calls((Node *) exprs)) != NIL)
	{
		int columns = list_length(top->targetlist);

		top = (Plan *) apply_node_create(rw, top, calls, prefetch);
		exprs = (List *) replace_calls((Node *) exprs, calls, columns);
	}
	forboth(lt, original, le, exprs)
	{
		TargetEntry *tle = lfirst_node(TargetEntry, lt);
		TargetEntry *copy =
			makeTargetEntry(lfirst(le), tle->resno, NULL, false);

		copy_tle_properties(copy, tle);
		tlist = lappend(tlist, copy);
	}
	top->targetlist = tlist;
	return top;
}

/* Hoist the calls in the host's own target list and filter above it. */
Plan *
hoist_above(Rewrite *rw, Plan *host, const Prefetch *prefetch)
{
	Prefetch filtered = *prefetch;
	List *original = host->targetlist;
	List *delivered = NIL;
	List *moved = NIL;
	List *exprs;
	List **filter;
	Plan *top = host;

	if (!host_is_known(host, &filter))
		return host;
	if (filter != NULL)
		moved = movable_filter(host, *filter);
	if ((moved == NIL && !contains_hoistable((Node *) original)) ||
		!tlist_can_move(host, moved != NIL))
		return host;

	exprs = lift_tlist(host, moved != NIL, &delivered);
	if (moved != NIL)
	{
		*filter = list_truncate(list_copy(*filter),
								list_length(*filter) - list_length(moved));
		moved = (List *) lift_mutator((Node *) moved, &delivered);
	}
	host->targetlist = delivered;
	clear_async_capable(host);

	filtered.flags &= ~APPLY_EXACT;
	if (moved != NIL)
		top = stack_filter(rw, top, moved, &filtered);
	top = stack_tlist(rw, top, exprs, original, prefetch);
	take_initplans(top, host);
	return prefetch->mark ? materialize(rw, top) : top;
}
