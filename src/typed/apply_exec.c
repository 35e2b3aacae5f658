/*-------------------------------------------------------------------------
 *
 * async_exec.c
 *	  The apply node's executor: a window of rows whose calls are in flight.
 *
 * Each turn tops the window up with rows of the child, sends their inputs,
 * waits for the results of the oldest row, and returns that row; so rows keep
 * their order.  Errors of a call stay with its row: a failing row that the
 * consumer never asks for is never seen.
 *
 * How many rows may be in the window follows what is known of the consumer
 * (APPLY_* flags, set by async_plan.c):
 *	  drain		it reads to the end: as many as the window holds
 *	  limited	what a Limit above still takes; past that, a slow start
 *	  root		what this run of the executor still wants
 *	  none		slow start: as many as it has taken so far
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include "executor/executor.h"
#include "guc.h"
#include "nodes/extensible.h"
#include "typed/apply_exec.h"
#include "typed/apply_plan.h"
#include "utils/memutils.h"

#define MIN_CAPACITY 16
/* Two of these can be added. */
#define MAX_COUNT (PG_INT64_MAX / 2)
/* A few blocks are in use at a time: with larger ones memory is wasted. */
#define WINDOW_BLOCK (64 * 1024)

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

static const CustomExecMethods apply_exec_methods;

/* --- runs of the executor ------------------------------------------------- */

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

/* --- how far to read ahead ------------------------------------------------ */

int
apply_window(const ApplyState *state)
{
	int window = INT_MAX;

	for (int i = 0; i < state->ncalls; i++)
		window = Min(window, apply_call_window(state->calls[i]));
	return window;
}

/*
 * What the Limit above will take at most.  A Sort below is told as well, as
 * Limit itself would if we were not between: else it would sort all its rows.
 */
static void
find_bound(ApplyState *state)
{
	ExprContext *econtext = state->css.ss.ps.ps_ExprContext;
	int64 offset = 0;
	int64 count;
	bool isnull;
	Datum value;

	state->bound_known = true;
	state->bound = -1;
	state->skip = 0;
	if (!(state->flags & APPLY_LIMITED))
		return;
	if (state->offset != NULL)
	{
		value = ExecEvalExprSwitchContext(state->offset, econtext, &isnull);
		if (!isnull)
			offset = DatumGetInt64(value);
		state->skip = Min(offset, MAX_COUNT);
	}
	value = ExecEvalExprSwitchContext(state->count, econtext, &isnull);
	count = DatumGetInt64(value);
	if (!isnull && count >= 0 && offset >= 0 && count <= PG_INT64_MAX - offset)
		state->bound = count + offset;
	if ((state->flags & APPLY_EXACT) && state->css.ss.ps.qual == NULL)
		ExecSetTupleBound(state->bound, outerPlanState(&state->css));
}

/* Rows that this run of the executor still wants, if it applies to us. */
static int64
wanted_by_run(ApplyState *state)
{
	int exact = APPLY_EXACT |
				(state->flags & APPLY_LIMITED ? APPLY_LIMIT_EXACT : 0);
	RunFrame *run;
	int64 wanted;

	if (!(state->flags & APPLY_ROOT))
		return PG_INT64_MAX;
	run = find_run(state->css.ss.ps.state);
	if (run == NULL)
		return PG_INT64_MAX;
	if (run->serial != state->run_serial)
	{
		state->run_serial = run->serial;
		state->emitted_at_run = state->emitted;
	}
	if (run->count == 0)
		return PG_INT64_MAX;

	/* unless our rows are its rows, it may want many of ours for one */
	if ((state->flags & exact) != exact)
		return Max(1, state->emitted);
	wanted = (int64) Min(run->count, (uint64) MAX_COUNT) +
			 Max(state->emitted_at_run, state->skip) - state->emitted;
	/* a cursor will probably be asked for more */
	return Max(Max(1, wanted), run->once ? 0 : state->emitted);
}

/* How many rows may be in the window now? */
static int
allowed_rows(ApplyState *state)
{
	int64 allowed = apply_window(state);

	if (state->bound >= 0)
		allowed = Min(allowed, state->emitted < state->bound
								   ? state->bound - state->emitted
								   : Max(1, state->emitted - state->bound));
	if (!(state->flags & APPLY_DRAIN))
		allowed = Min(allowed, Max(1, state->ramp));
	return (int) Min(allowed, wanted_by_run(state));
}

/* May one more row be read, having at least one already? */
static bool
has_room(ApplyState *state)
{
	Size bytes = state->row_bytes;

	for (int i = 0; i < state->ncalls; i++)
	{
		if (!apply_call_has_room(state->calls[i]))
			return false;
		bytes += apply_call_held(state->calls[i]);
	}
	return bytes < (Size) modal_window_bytes_kb * 1024;
}

/* --- the window ----------------------------------------------------------- */

static void
grow_ring(ApplyState *state)
{
	int capacity = Max(MIN_CAPACITY, state->capacity * 2);
	MemoryContext cxt = state->css.ss.ps.state->es_query_cxt;
	ApplyRow *rows = MemoryContextAlloc(cxt, sizeof(ApplyRow) * capacity);
	Answer **answers = MemoryContextAllocHuge(
		cxt, sizeof(Answer *) * capacity * state->ncalls);

	for (int i = 0; i < state->nrows; i++)
	{
		int from = (state->head + i) & (state->capacity - 1);

		rows[i] = state->rows[from];
		memcpy(answers + i * state->ncalls,
			   state->answers + from * state->ncalls,
			   sizeof(Answer *) * state->ncalls);
	}
	if (state->rows != NULL)
	{
		pfree(state->rows);
		pfree(state->answers);
	}
	state->rows = rows;
	state->answers = answers;
	state->capacity = capacity;
	state->head = 0;
}

/* The scan tuple: the child's columns; results are to be filled in. */
static void
store_child_columns(ApplyState *state, TupleTableSlot *child)
{
	TupleTableSlot *scan = state->css.ss.ss_ScanTupleSlot;

	slot_getallattrs(child);
	ExecClearTuple(scan);
	memcpy(scan->tts_values, child->tts_values,
		   sizeof(Datum) * state->columns);
	memcpy(scan->tts_isnull, child->tts_isnull, sizeof(bool) * state->columns);
	memset(scan->tts_isnull + state->columns, true, state->ncalls);
	ExecStoreVirtualTuple(scan);
	state->css.ss.ps.ps_ExprContext->ecxt_scantuple = scan;
}

/* Take a row of the child into the window and make its calls. */
static void
send_row(ApplyState *state, TupleTableSlot *child)
{
	ExprContext *econtext = state->css.ss.ps.ps_ExprContext;
	MemoryContext old;
	ApplyRow *row;
	int at;

	if (state->nrows == state->capacity)
		grow_ring(state);
	at = (state->head + state->nrows) & (state->capacity - 1);
	row = &state->rows[at];

	store_child_columns(state, child);
	for (int i = 0; i < state->ncalls; i++)
		state->answers[at * state->ncalls + i] =
			apply_call_send(state->calls[i], econtext);

	old = MemoryContextSwitchTo(state->tuples);
	row->tuple = ExecCopySlotMinimalTuple(child);
	MemoryContextSwitchTo(old);
	row->size = row->tuple->t_len;
	state->row_bytes += row->size;
	state->nrows++;
	ResetExprContext(econtext);
}

static void
top_up(ApplyState *state)
{
	int allowed = allowed_rows(state);

	while (!state->eof && state->nrows < allowed &&
		   (state->nrows == 0 || has_room(state)))
	{
		TupleTableSlot *child = ExecProcNode(outerPlanState(&state->css));

		CHECK_FOR_INTERRUPTS();
		if (TupIsNull(child))
		{
			state->eof = true;
			break;
		}
		send_row(state, child);
	}
	for (int i = 0; i < state->ncalls; i++)
		apply_call_push(state->calls[i]);
}

/* Move the oldest row, with its results, from the window to the scan tuple. */
static void
take_row(ApplyState *state)
{
	TupleTableSlot *scan = state->css.ss.ss_ScanTupleSlot;
	ExprContext *econtext = state->css.ss.ps.ps_ExprContext;
	ApplyRow *row = &state->rows[state->head];
	Answer **answers = &state->answers[state->head * state->ncalls];
	MemoryContext old;

	ExecStoreMinimalTuple(row->tuple, state->head_slot, true);
	state->row_bytes -= row->size;
	state->head = (state->head + 1) & (state->capacity - 1);
	state->nrows--;

	store_child_columns(state, state->head_slot);
	old = MemoryContextSwitchTo(econtext->ecxt_per_tuple_memory);
	for (int i = 0; i < state->ncalls; i++)
	{
		int column = state->columns + i;

		if (answers[i] != NULL)
			scan->tts_values[column] = apply_call_result(
				state->calls[i], answers[i], &scan->tts_isnull[column]);
	}
	MemoryContextSwitchTo(old);
}

/* --- the node ------------------------------------------------------------- */

static void
apply_gone(void *arg)
{
	(*(int *) arg)--;
}

static Node *
apply_create(CustomScan *cs)
{
	ApplyState *state =
		(ApplyState *) newNode(sizeof(ApplyState), T_CustomScanState);

	state->css.methods = &apply_exec_methods;
	state->columns = APPLY_COLUMNS(cs);
	state->flags = APPLY_FLAGS(cs);
	return (Node *) state;
}

static void
apply_begin(CustomScanState *node, EState *estate, int eflags)
{
	ApplyState *state = (ApplyState *) node;
	CustomScan *cs = (CustomScan *) node->ss.ps.plan;
	MemoryContextCallback *callback = palloc(sizeof(MemoryContextCallback));
	ListCell *lc;

	callback->func = apply_gone;
	callback->arg = &apply_nodes;
	MemoryContextRegisterResetCallback(estate->es_query_cxt, callback);
	apply_nodes++;

	outerPlanState(node) =
		ExecInitNode(outerPlan(cs), estate,
					 eflags & ~(EXEC_FLAG_BACKWARD | EXEC_FLAG_MARK));
	state->offset = ExecInitExpr(APPLY_OFFSET(cs), &node->ss.ps);
	state->count = ExecInitExpr(APPLY_COUNT(cs), &node->ss.ps);
	state->calls =
		palloc(sizeof(ApplyCall *) * list_length(APPLY_CALLS(cs)));
	foreach (lc, APPLY_CALLS(cs))
	{
		List *call = lfirst_node(List, lc);

		state->calls[state->ncalls++] = apply_call_create(
			linitial_node(FuncExpr, call), lsecond(call), &node->ss.ps);
	}
	state->tuples = GenerationContextCreateCompat(
		estate->es_query_cxt, "modal window", WINDOW_BLOCK);
	state->head_slot = ExecInitExtraTupleSlot(
		estate, ExecGetResultType(outerPlanState(node)), &TTSOpsMinimalTuple);
	state->bound = -1;
}

static TupleTableSlot *
apply_exec(CustomScanState *node)
{
	ApplyState *state = (ApplyState *) node;
	ExprContext *econtext = node->ss.ps.ps_ExprContext;
	ProjectionInfo *projection = node->ss.ps.ps_ProjInfo;

	if (!ScanDirectionIsForward(node->ss.ps.state->es_direction))
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("cannot scan backward over remote calls")));
	if (!state->bound_known)
		find_bound(state);
	for (;;)
	{
		ResetExprContext(econtext);
		top_up(state);
		if (state->nrows == 0)
			return ExecClearTuple(projection
									  ? node->ss.ps.ps_ResultTupleSlot
									  : node->ss.ss_ScanTupleSlot);
		take_row(state);
		if (ExecQual(node->ss.ps.qual, econtext))
			break;
		InstrCountFiltered1(node, 1);
	}
	state->emitted++;
	state->ramp++;
	return projection ? ExecProject(projection) : node->ss.ss_ScanTupleSlot;
}

static void
apply_rescan(CustomScanState *node)
{
	ApplyState *state = (ApplyState *) node;

	for (int i = 0; i < state->ncalls; i++)
		apply_call_cancel(state->calls[i]);
	/* a consumer that stopped before the end may do so again */
	if (!state->eof || state->nrows > 0)
		state->ramp = 0;
	ExecClearTuple(node->ss.ss_ScanTupleSlot);
	ExecClearTuple(state->head_slot);
	MemoryContextReset(state->tuples);
	state->head = state->nrows = 0;
	state->row_bytes = 0;
	state->eof = false;
	state->emitted = state->emitted_at_run = 0;

	/* before the child is, which may be a Sort that wants to know */
	find_bound(state);
	if (outerPlanState(node)->chgParam == NULL)
		ExecReScan(outerPlanState(node));
}

/*
 * No more rows are wanted, but for a rescan.  At the end of a FETCH this is
 * called too, though the cursor goes on: then the window must stay.
 */
static void
apply_shutdown(CustomScanState *node)
{
	ApplyState *state = (ApplyState *) node;
	RunFrame *run = find_run(node->ss.ps.state);

	if (run == NULL || !run->once)
		return;
	for (int i = 0; i < state->ncalls; i++)
		apply_call_end(state->calls[i]);
	if (!state->eof || state->nrows > 0)
		state->ramp = 0;
	state->nrows = 0;
	state->eof = true;
}

static void
apply_end(CustomScanState *node)
{
	ApplyState *state = (ApplyState *) node;

	for (int i = 0; i < state->ncalls; i++)
		apply_call_end(state->calls[i]);
	ExecEndNode(outerPlanState(node));
}

static const CustomExecMethods apply_exec_methods = {
	.CustomName = "ModalApply",
	.BeginCustomScan = apply_begin,
	.ExecCustomScan = apply_exec,
	.EndCustomScan = apply_end,
	.ReScanCustomScan = apply_rescan,
	.ShutdownCustomScan = apply_shutdown,
	.ExplainCustomScan = apply_explain,
};

const CustomScanMethods apply_scan_methods = {
	.CustomName = "ModalApply",
	.CreateCustomScanState = apply_create,
};

void
apply_exec_init(void)
{
	RegisterCustomScanMethods(&apply_scan_methods);
	prev_executor_run = ExecutorRun_hook;
	ExecutorRun_hook = modal_executor_run;
}
