/*-------------------------------------------------------------------------
 *
 * async_plan.h
 *	  The apply node's layout, and what the parts of the rewrite share.
 *
 * An apply node is a CustomScan with a child (lefttree).  Its scan tuple is
 * the child's columns followed by one column per hoisted call.  Words as in
 * docs/typed-functions.md: the "host" is the plan node whose expressions hold
 * a call; "guards" are the conditions under which the call is reached.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_SESSION_ASYNC_PLAN_H
#define MODAL_SESSION_ASYNC_PLAN_H

#include "compat.h"

#include "nodes/extensible.h"
#include "nodes/plannodes.h"

/* custom_private: integers, so that plans survive copying and being sent. */
#define APPLY_COLUMNS(cs) linitial_int((cs)->custom_private)
#define APPLY_FLAGS(cs) lsecond_int((cs)->custom_private)

#define APPLY_DRAIN 1	/* the consumer reads to the end */
#define APPLY_EXACT 2	/* each of our rows is one row of the consumer's count */
#define APPLY_ROOT 4	/* the executor's own row count applies to us */
#define APPLY_LIMITED 8 /* a Limit above us says how many it takes */
#define APPLY_LIMIT_EXACT 16 /* each row of that Limit is one of its consumer */

/* custom_exprs: the calls, each a list (FuncExpr, guards); offset; count. */
#define APPLY_CALLS(cs) ((List *) linitial((cs)->custom_exprs))
#define APPLY_OFFSET(cs) ((Expr *) lsecond((cs)->custom_exprs))
#define APPLY_COUNT(cs) ((Expr *) lthird((cs)->custom_exprs))

extern const CustomScanMethods apply_scan_methods; /* async_exec.c */

/* A call that can be evaluated ahead of the expression it stands in. */
typedef struct HoistCall
{
	Node *origin; /* where it stands; found again by pointer */
	FuncExpr *call;
	List *guards;	/* implicitly ANDed */
	bool shareable; /* equal calls may share one result */
	int column;		/* its result, from 0; set by apply_node_create */
} HoistCall;

/* How far ahead of its consumer a node may read. */
typedef struct Prefetch
{
	int flags;	  /* APPLY_*, without _LIMITED */
	bool mark;	  /* the consumer wants mark/restore */
	Node *offset; /* below a Limit: its expressions */
	Node *count;
} Prefetch;

typedef struct Rewrite
{
	int next_node_id;
	int nodes;		  /* apply nodes made */
	Cost remote_cost; /* of the calls in them, as far as the plan tells */
} Rewrite;

/* async_plan_expr.c */
extern bool is_hoistable_call(Node *node);
extern List *hoist_calls(Node *node);
extern List *hoist_calls_in_quals(List *quals);
extern bool contains_hoistable(Node *node);
extern bool contains_unmovable(Node *node);
extern bool contains_subplan(Node *node);
extern Node *replace_calls(Node *node, List *calls, int columns);
extern Node *replace_equal_calls(Node *node, List *calls, int columns);
extern Node *renumber_vars(Node *node, int from, int to);

/* async_plan_node.c */
extern CustomScan *apply_node_create(Rewrite *rw, Plan *child, List *calls,
									 const Prefetch *prefetch);
extern Plan *materialize(Rewrite *rw, Plan *child);
extern List *pass_through_tlist(List *child_tlist);
extern void copy_tle_properties(TargetEntry *to, const TargetEntry *from);
extern void take_initplans(Plan *plan, Plan *child);
extern void clear_async_capable(Plan *plan);
extern void hoist_below(Rewrite *rw, Plan *host, const Prefetch *prefetch);
extern Plan *hoist_above(Rewrite *rw, Plan *host, const Prefetch *prefetch);
extern Plan *stack_filter(Rewrite *rw, Plan *top, List *filter,
						  const Prefetch *prefetch);
extern Plan *stack_tlist(Rewrite *rw, Plan *top, List *exprs, List *original,
						 const Prefetch *prefetch);

/* async_plan_join.c */
extern bool is_lateral_call(Plan *plan);
extern bool lateral_call_has_filter(Plan *plan);
extern Plan *hoist_lateral_call(Rewrite *rw, Plan *plan,
								const Prefetch *prefetch);
extern void hoist_hash_keys(Rewrite *rw, HashJoin *join,
							const Prefetch *outer);

#endif /* MODAL_SESSION_ASYNC_PLAN_H */
