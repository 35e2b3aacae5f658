/*-------------------------------------------------------------------------
 *
 * apply_exec.c
 *	  The apply node's executor: a window of rows whose calls are in flight.
 *
 * Each turn tops the window up with rows of the child, sends their inputs,
 * waits for the results of the oldest row, and returns that row; so rows keep
 * their order.  Errors of a call stay with its row: a failing row that the
 * consumer never asks for is never seen.
 *
 * Whose memory.  A row in the window is a copy in "tuples" and belongs to the
 * window until take_row; then it belongs to head_slot, which frees it when the
 * next row comes.  Columns of the scan tuple point into the child's slot or
 * into head_slot, results are in per-tuple memory, so a returned row is good
 * until the next call of this node, as any node's is.  Answers belong to their
 * ApplyCall: each is handed to apply_call_result once, or forgotten by
 * apply_call_cancel or _end; nobody else frees them.  When the query's memory
 * goes, by end or abort, all of it goes, and open remote calls are cancelled.
 *
 * Rescan.  All rows and answers are dropped and what is in flight is cancelled
 * before the child is told, since their inputs may depend on what has changed.
 * The bound is found anew before the child is rescanned: a Sort below wants to
 * know it then.  The child is rescanned here only when no parameter of it has
 * changed; else it does that by itself, at its next row.
 *
 * EvalPlanQual.  The node has an executor of its own there, and its child
 * gives one row or none; nothing needs to be rechecked, as the calls are made
 * for that row anew.  This is why it does not go through ExecScan, which would
 * not ask the child at all.
 *
 * Backward.  Rows that have left cannot come back: the rewrite puts a Material
 * above where somebody may go backward, or mark and restore.
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include "access/htup_details.h"
#include "executor/executor.h"
#include "executor/instrument.h"
#include "guc.h"
#include "nodes/extensible.h"
#include "portability/instr_time.h"
#include "typed/apply_exec.h"
#include "typed/apply_plan.h"
#include "utils/memutils.h"

#define MIN_CAPACITY 16
/* A few blocks are in use at a time: with larger ones memory is wasted. */
#define WINDOW_BLOCK (64 * 1024)
/* How long rows may be read before what is collected is sent. */
#define MAX_LINGER_US 5000

static const CustomExecMethods apply_exec_methods;

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

/* Most rows in the window, by settings and server options. */
int
apply_window(const ApplyState *state)
{
	int window = INT_MAX;

	for (int i = 0; i < state->ncalls; i++)
		window = Min(window, apply_call_window(state->calls[i]));
	return window;
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

/* So long since then; if so, it is now. */
static bool
time_is_up(instr_time *since)
{
	instr_time now, passed;

	INSTR_TIME_SET_CURRENT(now);
	passed = now;
	INSTR_TIME_SUBTRACT(passed, *since);
	if (INSTR_TIME_GET_MICROSEC(passed) < MAX_LINGER_US)
		return false;
	*since = now;
	return true;
}

/* Send what there is; has the oldest row got all its results? */
static bool
head_is_ready(ApplyState *state)
{
	bool ready = true;

	for (int i = 0; i < state->ncalls; i++)
		apply_call_flush(state->calls[i]);
	for (int i = 0; i < state->ncalls && ready; i++)
		ready = apply_call_is_ready(
			state->calls[i], state->answers[state->head * state->ncalls + i]);
	return ready;
}

/*
 * A child that takes its time for a row must hold back neither the inputs
 * before it nor their results.
 */
static void
top_up(ApplyState *state)
{
	int64 allowed = read_ahead_rows(&state->ahead, apply_window(state));
	bool many = state->nrows + 1 < allowed;
	instr_time since;

	if (many)
		INSTR_TIME_SET_CURRENT(since);
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
		if (many && time_is_up(&since) && head_is_ready(state))
			return;
	}
	for (int i = 0; i < state->ncalls; i++)
		apply_call_push(state->calls[i]);
}

/*
 * Move the oldest row from the window to head_slot and the scan tuple; its
 * answers, which are good until the window grows.
 */
static Answer **
take_row(ApplyState *state)
{
	ApplyRow *row = &state->rows[state->head];
	Answer **answers = &state->answers[state->head * state->ncalls];

	ExecStoreMinimalTuple(row->tuple, state->head_slot, true);
	state->row_bytes -= row->size;
	state->head = (state->head + 1) & (state->capacity - 1);
	state->nrows--;
	store_child_columns(state, state->head_slot);
	return answers;
}

/* The next row of the scan, with the results of its calls. */
static bool
next_row(ApplyState *state)
{
	TupleTableSlot *scan = state->css.ss.ss_ScanTupleSlot;
	ExprContext *econtext = state->css.ss.ps.ps_ExprContext;
	MemoryContext old;
	Answer **answers;

	top_up(state);
	if (state->nrows == 0)
		return false;
	answers = take_row(state);
	old = MemoryContextSwitchTo(econtext->ecxt_per_tuple_memory);
	for (int i = 0; i < state->ncalls; i++)
	{
		int column = state->columns + i;

		if (answers[i] != NULL)
			scan->tts_values[column] = apply_call_result(
				state->calls[i], answers[i], &scan->tts_isnull[column]);
	}
	MemoryContextSwitchTo(old);
	return true;
}

/*
 * The same where the call returns a set: the next of the rows that a row of
 * the child becomes.
 */
static bool
next_row_of_set(ApplyState *state)
{
	TupleTableSlot *scan = state->css.ss.ss_ScanTupleSlot;
	ExprContext *econtext = state->css.ss.ps.ps_ExprContext;
	int column = state->columns;

	for (;;)
	{
		MemoryContext old;

		if (!state->in_set)
		{
			top_up(state);
			if (state->nrows == 0)
				return false;
			apply_call_begin_set(state->calls[0], *take_row(state));
			/* how far to read ahead is counted in inputs */
			read_ahead_emitted(&state->ahead);
			state->in_set = state->empty = true;
		}
		store_child_columns(state, state->head_slot);
		old = MemoryContextSwitchTo(econtext->ecxt_per_tuple_memory);
		state->in_set =
			apply_call_next_in_set(state->calls[0], &scan->tts_values[column],
								   &scan->tts_isnull[column]);
		MemoryContextSwitchTo(old);
		if (state->in_set)
			state->empty = false;
		else if (!state->empty || !(state->ahead.flags & APPLY_OUTER))
			continue;
		return true;
	}
}

/* --- the node ------------------------------------------------------------- */

static Node *
apply_create(CustomScan *cs)
{
	ApplyState *state;

	if (APPLY_FLAGS(cs) & APPLY_MAP)
		return map_scan_create();
	state = (ApplyState *) newNode(sizeof(ApplyState), T_CustomScanState);
	state->css.methods = &apply_exec_methods;
	state->columns = APPLY_COLUMNS(cs);
	return (Node *) state;
}

static void
apply_begin(CustomScanState *node, EState *estate, int eflags)
{
	ApplyState *state = (ApplyState *) node;
	CustomScan *cs = (CustomScan *) node->ss.ps.plan;
	ListCell *lc;

	Assert(params_are_settled(estate->es_plannedstmt->subplans, &cs->scan.plan));
	apply_count_node(estate);

	outerPlanState(node) =
		ExecInitNode(outerPlan(cs), estate,
					 eflags & ~(EXEC_FLAG_BACKWARD | EXEC_FLAG_MARK));
	read_ahead_init(&state->ahead, node);
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
}

static TupleTableSlot *
apply_exec(CustomScanState *node)
{
	ApplyState *state = (ApplyState *) node;
	ExprContext *econtext = node->ss.ps.ps_ExprContext;
	ProjectionInfo *projection = node->ss.ps.ps_ProjInfo;
	bool set = (state->ahead.flags & APPLY_SET) != 0;

	if (!ScanDirectionIsForward(node->ss.ps.state->es_direction))
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("cannot scan backward over remote calls")));
	for (;;)
	{
		ResetExprContext(econtext);
		if (!(set ? next_row_of_set(state) : next_row(state)))
			return ExecClearTuple(projection
									  ? node->ss.ps.ps_ResultTupleSlot
									  : node->ss.ss_ScanTupleSlot);
		if (ExecQual(node->ss.ps.qual, econtext))
			break;
		InstrCountFiltered1(node, 1);
	}
	if (!set)
		read_ahead_emitted(&state->ahead);
	return projection ? ExecProject(projection) : node->ss.ss_ScanTupleSlot;
}

static bool
scan_is_over(const ApplyState *state)
{
	return state->eof && state->nrows == 0 && !state->in_set;
}

static void
apply_rescan(CustomScanState *node)
{
	ApplyState *state = (ApplyState *) node;

	for (int i = 0; i < state->ncalls; i++)
		apply_call_cancel(state->calls[i]);
	read_ahead_ended(&state->ahead, scan_is_over(state));
	ExecClearTuple(node->ss.ss_ScanTupleSlot);
	ExecClearTuple(state->head_slot);
	MemoryContextReset(state->tuples);
	state->head = state->nrows = 0;
	state->in_set = false;
	state->row_bytes = 0;
	state->eof = false;

	read_ahead_rescan(&state->ahead);
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

	if (!apply_run_is_last(node->ss.ps.state))
		return;
	for (int i = 0; i < state->ncalls; i++)
		apply_call_end(state->calls[i]);
	read_ahead_ended(&state->ahead, scan_is_over(state));
	state->nrows = 0;
	state->in_set = false;
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
}
