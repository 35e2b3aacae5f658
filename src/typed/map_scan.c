/*-------------------------------------------------------------------------
 *
 * map_scan.c
 *	  modal_map in FROM: an apply node whose inputs are the rows of a query.
 *
 * A function scan would read the whole map before its first row.  This node
 * takes its place, with its number, and reads as far ahead as its consumer is
 * known to want (apply_prefetch.c).
 *
 * Read again.  A function scan that is read again gives the rows that it has
 * kept, unless its arguments have changed.  Where that can happen
 * (APPLY_AGAIN) rows are kept here too, as they are read; elsewhere none is.
 * One that keeps its rows goes on when its consumer stops, for the next
 * consumer may read further.
 *
 * Whose memory.  A row lasts until the next one, as the map promises.  All of
 * a scan, arguments and map, is in "scan".  When the query is aborted its
 * memory goes, and with it the remote call is cancelled.
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include "catalog/objectaccess.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "executor/instrument.h"
#include "functions/map.h"
#include "guc.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "pgstat.h"
#include "typed/apply_exec.h"
#include "typed/apply_plan.h"
#include "utils/acl.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/tuplestore.h"

typedef struct MapScanState
{
	CustomScanState css; /* must be first */
	ReadAhead ahead;
	FuncExpr *call;
	MapForm form;
	List *args; /* of ExprState */
	Bitmapset *params;
	FmgrInfo fmgr;

	MemoryContext scan;
	MapRows *map; /* NULL: not begun, or ended */
	bool ended;

	Tuplestorestate *kept; /* NULL: rows are not kept */
	TupleTableSlot *kept_slot;

	int window;
	CallTally tally;
} MapScanState;

static const CustomExecMethods map_scan_methods;

/* --- the plan --------------------------------------------------------------- */

bool
is_map_scan(const Plan *plan)
{
	const CustomScan *cs = (const CustomScan *) plan;

	return IsA(plan, CustomScan) && cs->methods == &apply_scan_methods &&
		   (APPLY_FLAGS(cs) & APPLY_MAP) != 0;
}

/* Rows as such are what a function scan keeps for rechecks. */
static bool
has_whole_row(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, Var))
		return ((Var *) node)->varattno <= 0;
	return expression_tree_walker(node, has_whole_row, context);
}

static bool
scans_map(const FunctionScan *scan, MapForm *form)
{
	RangeTblFunction *function;

	if (list_length(scan->functions) != 1 || scan->funcordinality ||
		has_whole_row((Node *) scan->scan.plan.targetlist, NULL) ||
		has_whole_row((Node *) scan->scan.plan.qual, NULL))
		return false;
	function = linitial(scan->functions);
	return IsA(function->funcexpr, FuncExpr) &&
		   map_function_form(((FuncExpr *) function->funcexpr)->funcid, form);
}

/* The function's row, as columns of the scan; EXPLAIN shows them. */
static List *
map_columns(Index scanrelid)
{
	static const char *const names[MAP_COLUMNS] = {"ordinal", "input",
												   "result", "error"};
	List *columns = NIL;

	for (int i = 0; i < MAP_COLUMNS; i++)
	{
		Var *var = makeVar(scanrelid, i + 1, i == 0 ? INT8OID : JSONBOID, -1,
						   InvalidOid, 0);

		columns = lappend(columns, makeTargetEntry((Expr *) var, i + 1,
												   pstrdup(names[i]), false));
	}
	return columns;
}

Plan *
map_scan_plan(Rewrite *rw, Plan *plan, const Prefetch *prefetch)
{
	FunctionScan *scan = (FunctionScan *) plan;
	Index relid = scan->scan.scanrelid;
	RangeTblFunction *function;
	MapForm form;
	CustomScan *cs;
	int flags = prefetch->flags | APPLY_MAP;
	int param = -1;

	if (!scans_map(scan, &form))
		return plan;
	function = linitial(scan->functions);
	cs = makeNode(CustomScan);
	cs->scan.plan = *plan;
	cs->scan.plan.type = T_CustomScan;
	cs->scan.plan.targetlist =
		(List *) renumber_vars((Node *) plan->targetlist, relid, INDEX_VAR);
	cs->scan.plan.qual =
		(List *) renumber_vars((Node *) plan->qual, relid, INDEX_VAR);
	cs->custom_scan_tlist = map_columns(relid);
	cs->custom_relids = bms_make_singleton(relid);
	cs->custom_exprs = list_make3(
		list_make1(list_make2(function->funcexpr, NIL)),
		copyObject(prefetch->offset), copyObject(prefetch->count));
	if (prefetch->count != NULL)
		flags |= APPLY_LIMITED;
	if (prefetch->again)
		flags |= APPLY_AGAIN;
	/* a filter that goes up lets some of our rows fall */
	if (contains_hoistable((Node *) plan->qual))
		flags &= ~APPLY_EXACT;
	cs->custom_private = list_make2_int(MAP_COLUMNS, flags);
	while ((param = bms_next_member(function->funcparams, param)) >= 0)
		cs->custom_private = lappend_int(cs->custom_private, param);
	cs->methods = &apply_scan_methods;
	rw->made = lappend(rw->made, cs);
	return &cs->scan.plan;
}

/* --- the scan --------------------------------------------------------------- */

/* The map is not read any further. */
static void
end_map(MapScanState *state)
{
	state->ended = true;
	if (state->map == NULL)
		return;
	if (map_rows_call(state->map) != NULL)
		tally_call(&state->tally, map_rows_call(state->map));
	map_rows_close(state->map);
	state->map = NULL;
}

static void
begin_map(MapScanState *state)
{
	LOCAL_FCINFO(fcinfo, MAP_MAX_ARGS);
	MemoryContext old = MemoryContextSwitchTo(state->scan);
	ListCell *lc;
	int i = 0;

	InitFunctionCallInfoData(*fcinfo, &state->fmgr, list_length(state->args),
							 state->call->inputcollid, NULL, NULL);
	foreach (lc, state->args)
	{
		fcinfo->args[i].value =
			ExecEvalExpr(lfirst(lc), state->css.ss.ps.ps_ExprContext,
						 &fcinfo->args[i].isnull);
		i++;
	}
	state->map = map_rows_open(state->form, fcinfo);
	state->window = map_rows_window(state->map);
	MemoryContextSwitchTo(old);
}

/* A row from the map into the scan tuple. */
static bool
read_map(MapScanState *state)
{
	LOCAL_FCINFO(fcinfo, 0);
	TupleTableSlot *scan = state->css.ss.ss_ScanTupleSlot;
	bool first = state->map == NULL;
	PgStat_FunctionCallUsage usage;
	bool more;

	if (state->ended)
		return false;
	InitFunctionCallInfoData(*fcinfo, &state->fmgr, 0, InvalidOid, NULL, NULL);
	pgstat_init_function_usage(fcinfo, &usage);
	if (first)
		begin_map(state);
	more = map_rows_next(state->map,
						 read_ahead_rows(&state->ahead, PG_INT64_MAX),
						 scan->tts_values, scan->tts_isnull);
	pgstat_end_function_usage(&usage, first);
	if (!more)
	{
		end_map(state);
		return false;
	}
	tally_output(&state->tally, map_rows_output(state->map));
	if (state->kept != NULL)
		tuplestore_putvalues(state->kept, scan->tts_tupleDescriptor,
							 scan->tts_values, scan->tts_isnull);
	return true;
}

/* A row that has been kept, into the scan tuple; none when all were read. */
static bool
read_kept(MapScanState *state)
{
	TupleTableSlot *scan = state->css.ss.ss_ScanTupleSlot;
	TupleTableSlot *kept = state->kept_slot;

	if (state->kept == NULL || tuplestore_ateof(state->kept) ||
		!tuplestore_gettupleslot(state->kept, true, false, kept))
		return false;
	slot_getallattrs(kept);
	memcpy(scan->tts_values, kept->tts_values, sizeof(Datum) * MAP_COLUMNS);
	memcpy(scan->tts_isnull, kept->tts_isnull, sizeof(bool) * MAP_COLUMNS);
	return true;
}

static void
map_scan_begin(CustomScanState *node, EState *estate, int eflags)
{
	MapScanState *state = (MapScanState *) node;
	CustomScan *cs = (CustomScan *) node->ss.ps.plan;
	FuncExpr *call = linitial(linitial_node(List, APPLY_CALLS(cs)));
	AclResult acl;

	Assert(params_are_settled(estate->es_plannedstmt->subplans, &cs->scan.plan));
	apply_count_node(estate);

	acl = object_aclcheck(ProcedureRelationId, call->funcid, GetUserId(),
						  ACL_EXECUTE);
	if (acl != ACLCHECK_OK)
		aclcheck_error(acl, OBJECT_FUNCTION, get_func_name(call->funcid));
	InvokeFunctionExecuteHook(call->funcid);

	if (!map_function_form(call->funcid, &state->form))
		elog(ERROR, "function %u is not modal_map", call->funcid);
	state->call = call;
	state->args = ExecInitExprList(call->args, &node->ss.ps);
	for (int i = APPLY_FIRST_PARAM; i < list_length(cs->custom_private); i++)
		state->params = bms_add_member(state->params,
									   list_nth_int(cs->custom_private, i));
	fmgr_info(call->funcid, &state->fmgr);
	read_ahead_init(&state->ahead, node);
	state->window = modal_max_in_flight;
	state->scan = AllocSetContextCreate(estate->es_query_cxt, "modal map scan",
										ALLOCSET_SMALL_SIZES);
	if ((APPLY_FLAGS(cs) & APPLY_AGAIN) ||
		(eflags & (EXEC_FLAG_REWIND | EXEC_FLAG_BACKWARD | EXEC_FLAG_MARK)))
	{
		state->kept = tuplestore_begin_heap(false, false, work_mem);
		state->kept_slot = ExecInitExtraTupleSlot(
			estate, node->ss.ss_ScanTupleSlot->tts_tupleDescriptor,
			&TTSOpsMinimalTuple);
	}
}

static TupleTableSlot *
map_scan_exec(CustomScanState *node)
{
	MapScanState *state = (MapScanState *) node;
	TupleTableSlot *scan = node->ss.ss_ScanTupleSlot;
	ExprContext *econtext = node->ss.ps.ps_ExprContext;
	ProjectionInfo *projection = node->ss.ps.ps_ProjInfo;

	if (!ScanDirectionIsForward(node->ss.ps.state->es_direction))
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("cannot scan backward over remote calls")));
	for (;;)
	{
		ResetExprContext(econtext);
		ExecClearTuple(scan);
		if (!read_kept(state) && !read_map(state))
			return projection ? ExecClearTuple(node->ss.ps.ps_ResultTupleSlot)
							  : scan;
		ExecStoreVirtualTuple(scan);
		econtext->ecxt_scantuple = scan;
		if (ExecQual(node->ss.ps.qual, econtext))
			break;
		InstrCountFiltered1(node, 1);
	}
	read_ahead_emitted(&state->ahead);
	return projection ? ExecProject(projection) : scan;
}

static void
map_scan_rescan(CustomScanState *node)
{
	MapScanState *state = (MapScanState *) node;
	bool changed = bms_overlap(node->ss.ps.chgParam, state->params);

	ExecClearTuple(node->ss.ss_ScanTupleSlot);
	if (state->kept != NULL)
		ExecClearTuple(state->kept_slot);
	if (state->kept != NULL && !changed)
		tuplestore_rescan(state->kept);
	else
	{
		read_ahead_ended(&state->ahead, state->ended);
		end_map(state);
		MemoryContextReset(state->scan);
		state->ended = false;
		if (state->kept != NULL)
			tuplestore_clear(state->kept);
	}
	read_ahead_rescan(&state->ahead);
}

/* No more rows are wanted: see apply_shutdown. */
static void
map_scan_shutdown(CustomScanState *node)
{
	MapScanState *state = (MapScanState *) node;

	if (!apply_run_is_last(node->ss.ps.state) || state->kept != NULL)
		return;
	read_ahead_ended(&state->ahead, state->ended);
	end_map(state);
}

static void
map_scan_end(CustomScanState *node)
{
	MapScanState *state = (MapScanState *) node;

	end_map(state);
	if (state->kept != NULL)
		tuplestore_end(state->kept);
}

int
map_scan_window(const CustomScanState *node)
{
	return ((const MapScanState *) node)->window;
}

void
map_scan_stats(const CustomScanState *node, ApplyCallStats *stats)
{
	const MapScanState *state = (const MapScanState *) node;

	tally_read(&state->tally,
			   state->map != NULL ? map_rows_call(state->map) : NULL, stats);
	stats->due = stats->inputs;
}

static const CustomExecMethods map_scan_methods = {
	.CustomName = "ModalApply",
	.BeginCustomScan = map_scan_begin,
	.ExecCustomScan = map_scan_exec,
	.EndCustomScan = map_scan_end,
	.ReScanCustomScan = map_scan_rescan,
	.ShutdownCustomScan = map_scan_shutdown,
	.ExplainCustomScan = map_scan_explain,
};

Node *
map_scan_create(void)
{
	CustomScanState *state =
		(CustomScanState *) newNode(sizeof(MapScanState), T_CustomScanState);

	state->methods = &map_scan_methods;
	return (Node *) state;
}
