/*-------------------------------------------------------------------------
 *
 * apply_plan.h
 *	  The apply node's layout, and what the parts of the rewrite share.
 *
 * An apply node is a CustomScan with a child (lefttree).  Its scan tuple is
 * the child's columns followed by one column per hoisted call.  Words as in
 * docs/typed-functions.md: the "host" is the plan node whose expressions hold
 * a call; "guards" are the conditions under which the call is reached.
 *
 * modal_map in FROM is an apply node without a child (APPLY_MAP): its inputs
 * are those of the query, and its scan tuple is the function's row.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_TYPED_APPLY_PLAN_H
#define MODAL_TYPED_APPLY_PLAN_H

#include "compat.h"

#include "nodes/extensible.h"
#include "nodes/plannodes.h"

/*
 * custom_private: integers, so that plans survive copying and being sent.  A
 * map's has the parameters in its arguments after these two.
 */
#define APPLY_COLUMNS(cs) linitial_int((cs)->custom_private)
#define APPLY_FLAGS(cs) lsecond_int((cs)->custom_private)
#define APPLY_FIRST_PARAM 2

#define APPLY_DRAIN 1	/* the consumer reads to the end */
#define APPLY_EXACT 2	/* each of our rows is one row of the consumer's count */
#define APPLY_ROOT 4	/* the executor's own row count applies to us */
#define APPLY_LIMITED 8 /* a Limit above us says how many it takes */
#define APPLY_LIMIT_EXACT 16 /* each row of that Limit is one of its consumer */
#define APPLY_MAP 32	/* modal_map in FROM: see map_scan.c */
#define APPLY_AGAIN 64	/* a map that may be read again, unchanged */
#define APPLY_SET 128	/* its one call returns a set: a row for each of it */
#define APPLY_OUTER 256 /*   and one for an empty set, with NULL */

/* custom_exprs: the calls, each a list (FuncExpr, guards); offset; count. */
#define APPLY_CALLS(cs) ((List *) linitial((cs)->custom_exprs))
#define APPLY_OFFSET(cs) ((Expr *) lsecond((cs)->custom_exprs))
#define APPLY_COUNT(cs) ((Expr *) lthird((cs)->custom_exprs))

extern const CustomScanMethods apply_scan_methods; /* apply_exec.c */

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
	bool again;	  /* it may read the same again from the start */
	Node *offset; /* below a Limit: its expressions */
	Node *count;
} Prefetch;

typedef struct Rewrite
{
	int next_node_id;
	List *made;		  /* new nodes, from the bottom up */
	Cost remote_cost; /* of the calls in them, as far as the plan tells */
} Rewrite;

/* apply_expr.c */
extern bool is_hoistable_call(Node *node);
extern bool is_hoistable_set(Node *node);
extern List *hoist_calls(Node *node);
extern List *hoist_calls_in_quals(List *quals);
extern bool contains_hoistable(Node *node);
extern bool contains_unmovable(Node *node);
extern bool contains_subplan(Node *node);
extern Node *replace_calls(Node *node, List *calls, int columns);
extern Node *replace_equal_calls(Node *node, List *calls, int columns);
extern Node *renumber_vars(Node *node, int from, int to);

/* apply_node.c */
extern CustomScan *apply_node_create(Rewrite *rw, Plan *child, List *calls,
									 const Prefetch *prefetch);
extern Plan *materialize(Rewrite *rw, Plan *child);
extern Var *column_var(int varno, AttrNumber column, Node *expr);
extern List *pass_through_tlist(List *child_tlist);
extern void copy_tle_properties(TargetEntry *to, const TargetEntry *from);
extern void clear_async_capable(Plan *plan);
/* The host's InitPlans follow expressions that go up to plan. */
extern void take_initplans(Plan *plan, Plan *host);
/* The one place that gives a new node its extParam and allParam. */
extern void settle_params(List *subplans, Plan *plan);
#ifdef USE_ASSERT_CHECKING
/* Does its allParam have all that its expressions and its child refer to? */
extern bool params_are_settled(List *subplans, const Plan *plan);
#endif

/* apply_prefetch.c */
/*
 * How much of its left (outer, or only) and right (inner) input a node asks
 * for, given what its own consumer asks for.  Of an Append's inputs the first
 * is the left one, the others are right ones.
 */
extern void children_prefetch(Plan *plan, const Prefetch *own, Prefetch *left,
							  Prefetch *right);

/* map_scan.c */
/* A function scan of modal_map as an apply node; other plans as they are. */
extern Plan *map_scan_plan(Rewrite *rw, Plan *plan, const Prefetch *prefetch);
extern bool is_map_scan(const Plan *plan);

/* apply_host.c */
extern void hoist_below(Rewrite *rw, Plan *host, const Prefetch *prefetch);
extern Plan *hoist_above(Rewrite *rw, Plan *host, const Prefetch *prefetch);
extern Plan *stack_filter(Rewrite *rw, Plan *top, List *filter,
						  const Prefetch *prefetch);
extern Plan *stack_tlist(Rewrite *rw, Plan *top, List *exprs, List *original,
						 const Prefetch *prefetch);

/* apply_join.c */
extern bool is_lateral_call(Plan *plan);
extern void lateral_call_prefetch(Plan *plan, Prefetch *prefetch);
extern Plan *hoist_lateral_call(Rewrite *rw, Plan *plan,
								const Prefetch *prefetch);
extern void hoist_hash_keys(Rewrite *rw, HashJoin *join,
							const Prefetch *outer);

#endif /* MODAL_TYPED_APPLY_PLAN_H */
