/*-------------------------------------------------------------------------
 *
 * apply_prefetch.c
 *	  How far ahead of its consumer an apply node reads.
 *
 * The rule: never send a call that row-at-a-time execution would not have
 * made, unless the consumer's appetite is not known; then never more than it
 * has already consumed.
 *
 * What is known of a consumer is handed down the plan as a Prefetch, when it
 * is rewritten; a kind of node that is not known here asks for an unknown
 * number of rows.  How many rows may then be in the window:
 *	  drain		it reads to the end: as many as the window holds
 *	  limited	what a Limit above still takes; past that, a slow start
 *	  root		what this run of the executor still wants
 *	  none		slow start: as many as it has taken so far
 * A node may be several of these, and then the least counts.  That a call
 * fails ahead of the row that is wanted is never seen: see apply_exec.c.
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include "executor/executor.h"
#include "optimizer/optimizer.h"
#include "typed/apply_exec.h"
#include "typed/apply_plan.h"

/* Two of these can be added. */
#define MAX_COUNT (PG_INT64_MAX / 2)

/* --- what the plan says of the consumer ----------------------------------- */

/* Is what a Limit will take known before it starts? */
static bool
limit_is_plain(Limit *limit)
{
	return !contain_volatile_functions(limit->limitCount) &&
		   !contain_volatile_functions(limit->limitOffset) &&
		   !contains_subplan(limit->limitCount) &&
		   !contains_subplan(limit->limitOffset);
}

void
children_prefetch(Plan *plan, const Prefetch *own, Prefetch *left,
				  Prefetch *right)
{
	const Prefetch all = {APPLY_DRAIN, false, false, NULL, NULL};
	const Prefetch unknown = {0, false, false, NULL, NULL};
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
	/* what is read again reads its inputs again, if it has not kept them */
	left->again = own->again;
	right->again = own->again || IsA(plan, NestLoop) || IsA(plan, MergeJoin) ||
				   IsA(plan, RecursiveUnion);
}

/* --- runs of the executor ------------------------------------------------- */

/* Runs of the executor in progress, innermost first. */
typedef struct RunFrame
{
	EState *estate;
	uint64 count; /* rows wanted; 0: all */
	bool once;	  /* will the query not be run on? */
	uint64 serial;
	struct RunFrame *outer;
} RunFrame;

static RunFrame *current_run = NULL;
static uint64 last_run_serial = 0;
static int apply_nodes = 0; /* that exist in this process */
static ExecutorRun_hook_type prev_executor_run = NULL;

static void
call_executor_run(EXECUTOR_RUN_PARAMS)
{
	if (prev_executor_run)
		prev_executor_run(EXECUTOR_RUN_ARGS);
	else
		standard_ExecutorRun(EXECUTOR_RUN_ARGS);
}

/* Let apply nodes know how many rows this run of their query will take. */
static void
modal_executor_run(EXECUTOR_RUN_PARAMS)
{
	RunFrame frame;

	if (apply_nodes == 0)
	{
		call_executor_run(EXECUTOR_RUN_ARGS);
		return;
	}
	frame.estate = queryDesc->estate;
	frame.count = count;
	frame.once = EXECUTOR_RUN_ONCE;
	frame.serial = ++last_run_serial;
	frame.outer = current_run;
	current_run = &frame;
	PG_TRY();
	{
		call_executor_run(EXECUTOR_RUN_ARGS);
	}
	PG_FINALLY();
	{
		current_run = frame.outer;
	}
	PG_END_TRY();
}

static RunFrame *
find_run(EState *estate)
{
	RunFrame *frame = current_run;

	while (frame != NULL && frame->estate != estate)
		frame = frame->outer;
	return frame;
}

/*
 * Not if there is a WITH that writes: however much of it has been asked for,
 * ExecutorFinish reads it to its end.
 */
bool
apply_run_is_last(EState *estate)
{
	RunFrame *run = find_run(estate);

	return run != NULL && run->once && estate->es_auxmodifytables == NIL;
}

static void
apply_gone(void *arg)
{
	(void) arg;
	apply_nodes--;
}

void
apply_count_node(EState *estate)
{
	MemoryContextCallback *callback =
		MemoryContextAlloc(estate->es_query_cxt, sizeof(MemoryContextCallback));

	callback->func = apply_gone;
	callback->arg = NULL;
	MemoryContextRegisterResetCallback(estate->es_query_cxt, callback);
	apply_nodes++;
}

/* --- how many rows now ------------------------------------------------ */

void
read_ahead_init(ReadAhead *ahead, CustomScanState *node)
{
	CustomScan *cs = (CustomScan *) node->ss.ps.plan;

	memset(ahead, 0, sizeof(*ahead));
	ahead->node = &node->ss.ps;
	ahead->flags = APPLY_FLAGS(cs);
	ahead->offset = ExecInitExpr(APPLY_OFFSET(cs), &node->ss.ps);
	ahead->count = ExecInitExpr(APPLY_COUNT(cs), &node->ss.ps);
	ahead->bound = -1;
}

/*
 * A Sort below is told as well, as Limit itself would if we were not between:
 * else it would sort all its rows.
 */
void
read_ahead_find_bound(ReadAhead *ahead)
{
	ExprContext *econtext = ahead->node->ps_ExprContext;
	int64 offset = 0;
	int64 count;
	bool isnull;
	Datum value;

	ahead->bound_known = true;
	ahead->bound = -1;
	ahead->skip = 0;
	if (!(ahead->flags & APPLY_LIMITED))
		return;
	if (ahead->offset != NULL)
	{
		value = ExecEvalExprSwitchContext(ahead->offset, econtext, &isnull);
		if (!isnull)
			offset = DatumGetInt64(value);
		ahead->skip = Min(offset, MAX_COUNT);
	}
	value = ExecEvalExprSwitchContext(ahead->count, econtext, &isnull);
	count = DatumGetInt64(value);
	if (!isnull && count >= 0 && offset >= 0 && count <= PG_INT64_MAX - offset)
		ahead->bound = count + offset;
	if ((ahead->flags & APPLY_EXACT) && ahead->node->qual == NULL &&
		outerPlanState(ahead->node) != NULL)
		ExecSetTupleBound(ahead->bound, outerPlanState(ahead->node));
}

/* Rows that this run of the executor still wants, if it applies to us. */
static int64
wanted_by_run(ReadAhead *ahead)
{
	int exact = APPLY_EXACT |
				(ahead->flags & APPLY_LIMITED ? APPLY_LIMIT_EXACT : 0);
	RunFrame *run;
	int64 wanted;

	if (!(ahead->flags & APPLY_ROOT))
		return PG_INT64_MAX;
	run = find_run(ahead->node->state);
	if (run == NULL)
		return PG_INT64_MAX;
	if (run->serial != ahead->run_serial)
	{
		ahead->run_serial = run->serial;
		ahead->emitted_at_run = ahead->emitted;
	}
	if (run->count == 0)
		return PG_INT64_MAX;

	/* unless our rows are its rows, it may want many of ours for one */
	if ((ahead->flags & exact) != exact)
		return Max(1, ahead->emitted);
	wanted = (int64) Min(run->count, (uint64) MAX_COUNT) +
			 Max(ahead->emitted_at_run, ahead->skip) - ahead->emitted;
	/* a cursor will probably be asked for more */
	return Max(Max(1, wanted), run->once ? 0 : ahead->emitted);
}

int64
read_ahead_rows(ReadAhead *ahead, int64 window)
{
	int64 allowed = window;

	if (!ahead->bound_known)
		read_ahead_find_bound(ahead);
	if (ahead->bound >= 0)
		allowed = Min(allowed, ahead->emitted < ahead->bound
								   ? ahead->bound - ahead->emitted
								   : Max(1, ahead->emitted - ahead->bound));
	if (!(ahead->flags & APPLY_DRAIN))
		allowed = Min(allowed, Max(1, ahead->ramp));
	return Min(allowed, wanted_by_run(ahead));
}

void
read_ahead_emitted(ReadAhead *ahead)
{
	ahead->emitted++;
	ahead->ramp++;
}

void
read_ahead_ended(ReadAhead *ahead, bool whole)
{
	/* a consumer that stopped before the end may do so again */
	if (!whole)
		ahead->ramp = 0;
}

void
read_ahead_rescan(ReadAhead *ahead)
{
	ahead->emitted = ahead->emitted_at_run = 0;
	/* before the child is, which may be a Sort that wants to know */
	read_ahead_find_bound(ahead);
}

void
apply_prefetch_init(void)
{
	prev_executor_run = ExecutorRun_hook;
	ExecutorRun_hook = modal_executor_run;
}
