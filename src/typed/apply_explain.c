/*-------------------------------------------------------------------------
 *
 * apply_explain.c
 *	  What EXPLAIN says about an apply node.
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include "nodes/extensible.h"
#include "nodes/makefuncs.h"
#include "typed/apply_exec.h"
#include "typed/apply_plan.h"
#include "typed/function.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/ruleutils.h"

/* A line of indented text. */
static void
text_line(ExplainState *es, const char *line)
{
	appendStringInfoSpaces(es->str, es->indent * 2);
	appendStringInfo(es->str, "%s\n", line);
}

static void
explain_stats(const ApplyCallStats *stats, ExplainState *es)
{
	if (es->format != EXPLAIN_FORMAT_TEXT)
	{
		ExplainPropertyUInteger("Calls", NULL, stats->due, es);
		ExplainPropertyUInteger("Inputs Sent", NULL, stats->inputs, es);
		ExplainPropertyUInteger("Inputs Shared", NULL, stats->due - stats->inputs,
								es);
		ExplainPropertyInteger("Most In Flight", NULL, stats->max_in_flight, es);
		ExplainPropertyUInteger("Batches", NULL, stats->batches, es);
		ExplainPropertyUInteger("Bytes Sent", NULL, stats->bytes_sent, es);
		ExplainPropertyUInteger("Bytes Received", NULL, stats->bytes_received,
								es);
		if (es->timing)
		{
			ExplainPropertyFloat("Time Waiting", "ms", stats->wait_us / 1000.0,
								 3, es);
			ExplainPropertyFloat("Remote Time p50", "ms",
								 stats->remote_p50_us / 1000.0, 3, es);
			ExplainPropertyFloat("Remote Time Max", "ms",
								 stats->remote_max_us / 1000.0, 3, es);
		}
		return;
	}

	text_line(es, psprintf("Calls: %llu  Inputs: %llu sent, %llu shared",
						   (unsigned long long) stats->due,
						   (unsigned long long) stats->inputs,
						   (unsigned long long) (stats->due - stats->inputs)));
	text_line(es, psprintf("Most In Flight: %d  Batches: %llu  Bytes: %llu "
						   "sent, %llu received",
						   stats->max_in_flight,
						   (unsigned long long) stats->batches,
						   (unsigned long long) stats->bytes_sent,
						   (unsigned long long) stats->bytes_received));
	if (es->timing)
		text_line(es, psprintf("Time: %.3f ms waiting, remote p50 %.3f ms, "
							   "max %.3f ms",
							   stats->wait_us / 1000.0,
							   stats->remote_p50_us / 1000.0,
							   stats->remote_max_us / 1000.0));
}

/* label, guards, stats: NULL if there are none. */
static void
explain_call(FuncExpr *expr, const char *label, List *guards,
			 const ApplyCallStats *stats, List *context, ExplainState *es)
{
	bool prefix = es->verbose || list_length(es->rtable) > 1;
	char *shown;

	if (es->verbose)
		shown = deparse_expression((Node *) expr, context, prefix, false);
	else
		shown = get_func_name(expr->funcid);

	ExplainOpenGroup("Remote Call", NULL, true, es);
	ExplainPropertyText("Remote Call", shown, es);
	es->indent += es->format == EXPLAIN_FORMAT_TEXT;
	if (label != NULL)
		ExplainPropertyText("Function", label, es);
	if (guards != NIL)
		ExplainPropertyText(
			"Condition",
			deparse_expression((Node *) make_ands_explicit(guards), context,
							   prefix, false),
			es);
	if (es->analyze)
		explain_stats(stats, es);
	es->indent -= es->format == EXPLAIN_FORMAT_TEXT;
	ExplainCloseGroup("Remote Call", NULL, true, es);
}

static void
explain_apply_call(const ApplyCall *call, List *context, ExplainState *es)
{
	FuncExpr *expr = apply_call_expr(call);
	const char *label = NULL;
	ApplyCallStats stats;

	apply_call_stats(call, &stats);
	if (!typed_function_is_simulated(expr->funcid))
		label = typed_function_label(expr->funcid);
	explain_call(expr, label, apply_call_guards(call), &stats, context, es);
}

static void
explain_read_ahead(int window, int flags, ExplainState *es)
{
	ExplainPropertyInteger("Window", NULL, window, es);
	if (flags & APPLY_LIMITED)
		ExplainPropertyText("Prefetch", "limited", es);
	else if (!(flags & APPLY_DRAIN))
		ExplainPropertyText("Prefetch", "slow start", es);
}

void
apply_explain(CustomScanState *node, List *ancestors, ExplainState *es)
{
	ApplyState *state = (ApplyState *) node;
	List *context = set_deparse_context_plan(es->deparse_cxt,
											 node->ss.ps.plan, ancestors);

	ExplainOpenGroup("Remote Calls", "Remote Calls", false, es);
	for (int i = 0; i < state->ncalls; i++)
		explain_apply_call(state->calls[i], context, es);
	ExplainCloseGroup("Remote Calls", "Remote Calls", false, es);

	explain_read_ahead(apply_window(state), state->ahead.flags, es);
}

void
map_scan_explain(CustomScanState *node, List *ancestors, ExplainState *es)
{
	CustomScan *cs = (CustomScan *) node->ss.ps.plan;
	FuncExpr *expr = linitial(linitial_node(List, APPLY_CALLS(cs)));
	Const *reference = linitial(expr->args);
	List *context = set_deparse_context_plan(es->deparse_cxt,
											 node->ss.ps.plan, ancestors);
	const char *label = NULL;
	ApplyCallStats stats;

	if (IsA(reference, Const) && !reference->constisnull)
		label = typed_reference_label(TextDatumGetCString(reference->constvalue));
	map_scan_stats(node, &stats);
	ExplainOpenGroup("Remote Calls", "Remote Calls", false, es);
	explain_call(expr, label, NIL, &stats, context, es);
	ExplainCloseGroup("Remote Calls", "Remote Calls", false, es);
	explain_read_ahead(map_scan_window(node), APPLY_FLAGS(cs), es);
}
