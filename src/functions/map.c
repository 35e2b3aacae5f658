/*-------------------------------------------------------------------------
 *
 * map.c
 *	  modal_map and modal_for_each: every row of a query is an input.
 *
 * In FROM modal_map is usually a plan node (typed/map_scan.c) and does not
 * come here.  In a select list it gives a row at a time, reading no further
 * ahead than it has been read, since the list may be under a LIMIT; where the
 * whole set is asked for, it goes to a tuplestore (which goes to disk beyond
 * work_mem).
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include "access/htup_details.h"
#include "catalog/pg_language.h"
#include "catalog/pg_proc.h"
#include "executor/executor.h"
#include "funcapi.h"
#include "functions/map.h"
#include "utils/syscache.h"
#include "utils/tuplestore.h"

PG_FUNCTION_INFO_V1(modal_map_query);
PG_FUNCTION_INFO_V1(modal_map_array);
PG_FUNCTION_INFO_V1(modal_for_each);

/* All rows at once. */
static void
materialize(MapForm form, FunctionCallInfo fcinfo)
{
	ReturnSetInfo *rsinfo;
	Datum values[MAP_COLUMNS];
	bool nulls[MAP_COLUMNS];
	MapRows *map;

	InitMaterializedSRF(fcinfo, 0);
	rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	map = map_rows_open(form, fcinfo);
	while (map_rows_next(map, PG_INT64_MAX, values, nulls))
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	map_rows_close(map);
}

/* The query is let go of before the memory that it is in. */
static void
reader_stops(Datum map)
{
	map_rows_close((MapRows *) DatumGetPointer(map));
}

static FuncCallContext *
begin_rows(MapForm form, FunctionCallInfo fcinfo)
{
	ExprContext *econtext = ((ReturnSetInfo *) fcinfo->resultinfo)->econtext;
	FuncCallContext *context = SRF_FIRSTCALL_INIT();
	MemoryContext old = MemoryContextSwitchTo(context->multi_call_memory_ctx);

	if (get_call_result_type(fcinfo, NULL, &context->tuple_desc) !=
		TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	context->tuple_desc = BlessTupleDesc(context->tuple_desc);
	context->user_fctx = map_rows_open(form, fcinfo);
	RegisterExprContextCallback(econtext, reader_stops,
								PointerGetDatum(context->user_fctx));
	MemoryContextSwitchTo(old);
	return context;
}

/* One row. */
static Datum
next_row(MapForm form, FunctionCallInfo fcinfo)
{
	ExprContext *econtext = ((ReturnSetInfo *) fcinfo->resultinfo)->econtext;
	FuncCallContext *context;
	MapRows *map;
	Datum values[MAP_COLUMNS];
	bool nulls[MAP_COLUMNS];
	MemoryContext old;
	bool more;

	if (SRF_IS_FIRSTCALL())
		(void) begin_rows(form, fcinfo);
	context = SRF_PERCALL_SETUP();
	map = context->user_fctx;

	old = MemoryContextSwitchTo(context->multi_call_memory_ctx);
	more = map_rows_next(map, Max(1, map_rows_returned(map)), values, nulls);
	MemoryContextSwitchTo(old);
	if (more)
		SRF_RETURN_NEXT(context, HeapTupleGetDatum(heap_form_tuple(
									 context->tuple_desc, values, nulls)));
	UnregisterExprContextCallback(econtext, reader_stops, PointerGetDatum(map));
	map_rows_close(map);
	SRF_RETURN_DONE(context);
}

static Datum
return_set(MapForm form, FunctionCallInfo fcinfo)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;

	if (rsinfo != NULL && IsA(rsinfo, ReturnSetInfo) &&
		(rsinfo->allowedModes & SFRM_ValuePerCall) &&
		!(rsinfo->allowedModes & SFRM_Materialize_Preferred))
		return next_row(form, fcinfo);
	materialize(form, fcinfo);
	return (Datum) 0;
}

/* modal_map(function, query, kwargs, key, ordered, on_error) */
Datum
modal_map_query(PG_FUNCTION_ARGS)
{
	return return_set(MAP_QUERY, fcinfo);
}

/* modal_map(function, inputs anyarray, kwargs, ordered, on_error) */
Datum
modal_map_array(PG_FUNCTION_ARGS)
{
	return return_set(MAP_ARRAY, fcinfo);
}

/* modal_for_each(function, query, kwargs, on_error): results are dropped */
Datum
modal_for_each(PG_FUNCTION_ARGS)
{
	MapRows *map = map_rows_open(MAP_FOR_EACH, fcinfo);
	int64 inputs;

	while (map_rows_next(map, PG_INT64_MAX, NULL, NULL))
		;
	inputs = map_rows_returned(map);
	map_rows_close(map);
	PG_RETURN_INT64(inputs);
}

bool
map_function_form(Oid funcid, MapForm *form)
{
	HeapTuple tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(funcid));
	Form_pg_proc proc;
	bool plain;
	FmgrInfo info;

	if (!HeapTupleIsValid(tuple))
		return false;
	proc = (Form_pg_proc) GETSTRUCT(tuple);
	plain = proc->prolang == ClanguageId && proc->proretset &&
			!proc->prosecdef && proc->prorettype == RECORDOID &&
			heap_attisnull(tuple, Anum_pg_proc_proconfig, NULL) &&
			!FmgrHookIsNeeded(funcid);
	ReleaseSysCache(tuple);
	if (!plain)
		return false;
	fmgr_info(funcid, &info);
	*form = info.fn_addr == modal_map_array ? MAP_ARRAY : MAP_QUERY;
	return info.fn_addr == modal_map_array || info.fn_addr == modal_map_query;
}
