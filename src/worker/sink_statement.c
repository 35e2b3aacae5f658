/*-------------------------------------------------------------------------
 *
 * sink_statement.c
 *	  The statements that write a batch to a user's table; see
 *	  sink_internal.h.
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include "catalog/pg_operator.h"
#include "executor/spi.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/queryenvironment.h"
#include "utils/syscache.h"
#include "utils/typcache.h"
#include "worker/sink_internal.h"

/* A statement for rows that fill just these columns. */
typedef struct SinkStatement
{
	Bitmapset *columns; /* attribute numbers */
	bool errors;		/* writes the error column */
	SPIPlanPtr plan;
} SinkStatement;

static const char *
column_name(const Sink *sink, AttrNumber attno)
{
	return quote_identifier(
		NameStr(TupleDescAttr(sink->target->desc, attno - 1)->attname));
}

/* "t.k = s.c1 AND …", with the operator that the type itself calls equal. */
static void
append_key_condition(const Sink *sink, StringInfo sql)
{
	const SinkTarget *t = sink->target;

	for (int i = 0; i < t->nkeys; i++)
	{
		Oid type = TupleDescAttr(t->desc, t->keys[i] - 1)->atttypid;
		TypeCacheEntry *entry = lookup_type_cache(type, TYPECACHE_EQ_OPR);
		HeapTuple tup = SearchSysCache1(OPEROID,
										ObjectIdGetDatum(entry->eq_opr));
		Form_pg_operator op;

		if (!HeapTupleIsValid(tup))
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_FUNCTION),
					 errmsg("key column \"%s\" has no equality operator",
							column_name(sink, t->keys[i]))));
		op = (Form_pg_operator) GETSTRUCT(tup);
		appendStringInfo(sql, "%st.%s OPERATOR(%s.%s) s.c%d",
						 i > 0 ? " AND " : "", column_name(sink, t->keys[i]),
						 quote_identifier(get_namespace_name(op->oprnamespace)),
						 NameStr(op->oprname), t->keys[i]);
		ReleaseSysCache(tup);
	}
}

static void
append_fingerprint_condition(const Sink *sink, StringInfo sql)
{
	const SinkTarget *t = sink->target;

	if (t->nchecks == 0)
		return;
	appendStringInfoString(sql, " AND modal_batch.fingerprint(");
	for (int i = 0; i < t->nchecks; i++)
		appendStringInfo(sql, "%st.%s", i > 0 ? ", " : "",
						 column_name(sink, t->checks[i]));
	appendStringInfoString(sql, ") OPERATOR(pg_catalog.=) s.fingerprint");
}

static void
append_update(const Sink *sink, StringInfo sql, const Bitmapset *columns,
			  bool errors)
{
	int attno = -1;
	const char *sep = "";

	appendStringInfo(sql, "UPDATE %s AS t SET ", sink->target->name);
	while ((attno = bms_next_member(columns, attno)) >= 0)
	{
		appendStringInfo(sql, "%s%s = s.c%d", sep, column_name(sink, attno),
						 attno);
		sep = ", ";
	}
	/* a success clears what an earlier failure has left */
	if (sink->target->error != 0)
		appendStringInfo(sql, "%s%s = %s", sep,
						 column_name(sink, sink->target->error),
						 errors ? "s.error" : "NULL");
	appendStringInfoString(sql, " FROM modal_rows AS s WHERE ");
	append_key_condition(sink, sql);
	append_fingerprint_condition(sink, sql);
	appendStringInfoString(sql, " RETURNING s.n");
}

static void
append_insert(const Sink *sink, StringInfo sql, const Bitmapset *columns,
			  bool errors)
{
	const SinkTarget *t = sink->target;
	StringInfoData names, values;
	int attno = -1;
	const char *sep = "";

	initStringInfo(&names);
	initStringInfo(&values);
	for (int i = 0; i < t->nkeys; i++)
	{
		appendStringInfo(&names, "%s%s", sep, column_name(sink, t->keys[i]));
		appendStringInfo(&values, "%ss.c%d", sep, t->keys[i]);
		sep = ", ";
	}
	while ((attno = bms_next_member(columns, attno)) >= 0)
	{
		appendStringInfo(&names, "%s%s", sep, column_name(sink, attno));
		appendStringInfo(&values, "%ss.c%d", sep, attno);
		sep = ", ";
	}
	if (errors)
	{
		appendStringInfo(&names, "%s%s", sep, column_name(sink, t->error));
		appendStringInfo(&values, "%ss.error", sep);
	}
	appendStringInfo(sql, "INSERT INTO %s ", t->name);
	/* a row of defaults has no list of columns */
	if (names.len > 0)
		appendStringInfo(sql, "(%s) ", names.data);
	appendStringInfo(sql, "SELECT %s FROM modal_rows AS s", values.data);
}

static void
append_on_conflict(const Sink *sink, StringInfo sql, const Bitmapset *columns,
				   bool errors)
{
	const SinkTarget *t = sink->target;
	int attno = -1;
	const char *sep = "";

	appendStringInfoString(sql, " ON CONFLICT (");
	for (int i = 0; i < t->nkeys; i++)
		appendStringInfo(sql, "%s%s", i > 0 ? ", " : "",
						 column_name(sink, t->keys[i]));
	appendStringInfoString(sql, ") DO ");
	if (bms_is_empty(columns) && t->error == 0)
	{
		appendStringInfoString(sql, "NOTHING");
		return;
	}
	appendStringInfoString(sql, "UPDATE SET ");
	while ((attno = bms_next_member(columns, attno)) >= 0)
	{
		appendStringInfo(sql, "%s%s = EXCLUDED.%s", sep,
						 column_name(sink, attno), column_name(sink, attno));
		sep = ", ";
	}
	if (t->error != 0)
		appendStringInfo(sql, "%s%s = %s%s", sep, column_name(sink, t->error),
						 errors ? "EXCLUDED." : "NULL",
						 errors ? column_name(sink, t->error) : "");
}

/* Prepared once for each set of columns; needs modal_rows registered. */
static SPIPlanPtr
get_statement(Sink *sink, const Bitmapset *columns, bool errors)
{
	SinkStatement *stmt;
	StringInfoData sql;
	MemoryContext old;
	ListCell *lc;

	foreach (lc, sink->statements)
	{
		stmt = lfirst(lc);
		if (stmt->errors == errors && bms_equal(stmt->columns, columns))
			return stmt->plan;
	}
	initStringInfo(&sql);
	if (sink->spec->mode == SINK_UPDATE)
		append_update(sink, &sql, columns, errors);
	else
	{
		append_insert(sink, &sql, columns, errors);
		if (sink->spec->mode == SINK_UPSERT)
			append_on_conflict(sink, &sql, columns, errors);
	}

	old = MemoryContextSwitchTo(sink->cxt);
	stmt = palloc0(sizeof(SinkStatement));
	stmt->columns = bms_copy(columns);
	stmt->errors = errors;
	MemoryContextSwitchTo(old);
	stmt->plan = SPI_prepare(sql.data, 0, NULL);
	if (stmt->plan == NULL)
		elog(ERROR, "could not prepare \"%s\": %s", sql.data,
			 SPI_result_code_string(SPI_result));
	SPI_keepplan(stmt->plan);
	old = MemoryContextSwitchTo(sink->cxt);
	sink->statements = lappend(sink->statements, stmt);
	MemoryContextSwitchTo(old);
	return stmt->plan;
}

void
sink_run_statement(Sink *sink, const RowGroup *group, bool errors,
				   bool *applied)
{
	EphemeralNamedRelationData enr = {0};
	SPIPlanPtr plan;
	int rc;

	enr.md.name = "modal_rows";
	enr.md.tupdesc = sink->rows_desc;
	enr.md.enrtype = ENR_NAMED_TUPLESTORE;
	enr.md.enrtuples = group->count;
	enr.reldata = group->store;

	SPI_connect();
	rc = SPI_register_relation(&enr);
	if (rc < 0)
		elog(ERROR, "could not register rows: %s", SPI_result_code_string(rc));
	plan = get_statement(sink, group->columns, errors);
	rc = SPI_execute_plan(plan, NULL, NULL, false, 0);
	if (rc < 0)
		elog(ERROR, "could not write results: %s", SPI_result_code_string(rc));
	if (rc == SPI_OK_UPDATE_RETURNING)
		for (uint64 i = 0; i < SPI_processed; i++)
		{
			bool isnull;

			applied[DatumGetInt32(SPI_getbinval(SPI_tuptable->vals[i],
												SPI_tuptable->tupdesc, 1,
												&isnull))] = true;
		}
	SPI_finish();
}

void
sink_free_statements(Sink *sink)
{
	ListCell *lc;

	foreach (lc, sink->statements)
		SPI_freeplan(((SinkStatement *) lfirst(lc))->plan);
}
