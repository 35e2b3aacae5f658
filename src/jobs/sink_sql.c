/*-------------------------------------------------------------------------
 *
 * sink_sql.c
 *	  The text of the statements that write a batch; see sink_internal.h.
 *
 * Where rows live elsewhere, statements are such that a distributed planner
 * takes them: their rows are arguments, and what they say of columns is
 * immutable.
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include "catalog/pg_class.h"
#include "jobs/sink_internal.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/ruleutils.h"
#include "utils/typcache.h"

bool
sink_updates_failures(const Sink *sink)
{
	return sink->spec->mode == SINK_INSERT && sink->spec->retried &&
		sink->target->error != 0 && sink->target->takes_conflicts;
}

bool
sink_takes_flags(const Sink *sink)
{
	return sink->spec->mode == SINK_REPLACE || sink_updates_failures(sink);
}

bool
sink_reads_arrays(const Sink *sink, SinkAction action)
{
	return !sink->target->is_local && action != ACTION_FIND_REPLACED &&
		action != ACTION_LOCK_SOURCE;
}

static Form_pg_attribute
column(const Sink *sink, AttrNumber attno)
{
	return TupleDescAttr(sink->target->desc, attno - 1);
}

static const char *
column_name(const Sink *sink, AttrNumber attno)
{
	return quote_identifier(NameStr(column(sink, attno)->attname));
}

Oid
sink_first_key_array(const Sink *sink)
{
	const SinkTarget *t = sink->target;

	return t->nkeys == 0 ? InvalidOid
						 : get_array_type(column(sink, t->keys[0])->atttypid);
}

/*
 * "t.k = s.c1 AND …".  From arrays, the first key is also compared with an
 * array: so the rows, and not all of the table, are asked for elsewhere.
 */
static void
append_key_condition(const Sink *sink, StringInfo sql, SinkAction action)
{
	const SinkTarget *t = sink->target;

	for (int i = 0; i < t->nkeys; i++)
	{
		appendStringInfo(sql, "%st.%s ", i > 0 ? " AND " : "",
						 column_name(sink, t->keys[i]));
		sink_target_append_equals(t, sql, t->keys[i]);
		appendStringInfo(sql, " s.c%d", t->keys[i]);
	}
	if (sink_reads_arrays(sink, action) && OidIsValid(sink_first_key_array(sink)))
	{
		appendStringInfo(sql, " AND t.%s ", column_name(sink, t->keys[0]));
		sink_target_append_equals(t, sql, t->keys[0]);
		appendStringInfoString(sql, " ANY ($4)");
	}
}

/* Of columns by their names; a function has too few arguments for many. */
static void
append_fingerprint(StringInfo sql, List *names)
{
	bool many = list_length(names) > FUNC_MAX_ARGS;
	const char *sep = "";
	ListCell *lc;

	appendStringInfo(sql, "modal_batch.fingerprint(%s", many ? "ROW(" : "");
	foreach (lc, names)
	{
		appendStringInfo(sql, "%st.%s", sep, quote_identifier(lfirst(lc)));
		sep = ", ";
	}
	appendStringInfo(sql, "%s) OPERATOR(pg_catalog.=) s.fingerprint",
					 many ? ")" : "");
}

/* Does the row still hold what was sent? */
static void
append_fingerprint_condition(const Sink *sink, StringInfo sql)
{
	const SinkTarget *t = sink->target;
	List *names = NIL;

	if (t->nchecks == 0)
		return;
	for (int i = 0; i < t->nchecks; i++)
		names = lappend(names, NameStr(column(sink, t->checks[i])->attname));
	appendStringInfoString(sql, " AND ");
	append_fingerprint(sql, names);
}

/*
 * Does it hold what ACTION_READ_CHECKS has read, and found to be what was sent?
 * Types without equality are not looked at again.
 */
static void
append_values_condition(const Sink *sink, StringInfo sql)
{
	const SinkTarget *t = sink->target;

	for (int i = 0; i < t->nchecks; i++)
	{
		const char *name = column_name(sink, t->checks[i]);
		Oid type = column(sink, t->checks[i])->atttypid;

		if (!OidIsValid(lookup_type_cache(type, TYPECACHE_EQ_OPR)->eq_opr))
			continue;
		appendStringInfo(sql, " AND (t.%s ", name);
		sink_target_append_equals(t, sql, t->checks[i]);
		appendStringInfo(sql, " s.c%d OR t.%s IS NULL AND s.c%d IS NULL)",
						 t->checks[i], name, t->checks[i]);
	}
}

/*
 * The rows, if possible in the order of their keys, in which they are locked
 * then: whoever locks rows in that order, too, does not meet this statement
 * half-way.  The rows of a list are new: nobody locks them.  Those of an INSERT
 * are in order already (sink_order.c).
 */
static void
append_named_rows(const Sink *sink, StringInfo sql, SinkAction action)
{
	const SinkTarget *t = sink->target;
	bool replace = sink->spec->mode == SINK_REPLACE;
	bool ordered = sink_orders_rows(sink) || (replace && action == ACTION_INSERT);
	const char *sep = " ORDER BY ";

	appendStringInfoString(sql, "(SELECT * FROM modal_rows AS r");
	if (sink_takes_flags(sink))
		appendStringInfoString(sql, " WHERE $1[r.n OPERATOR(pg_catalog.+) 1]");
	for (int i = 0; i < t->nkeys && !ordered; i++)
	{
		Oid type = column(sink, t->keys[i])->atttypid;

		if (!OidIsValid(lookup_type_cache(type, TYPECACHE_LT_OPR)->lt_opr))
			continue;
		appendStringInfo(sql, "%sr.c%d", sep, t->keys[i]);
		sep = ", ";
	}
	appendStringInfoString(sql, ") AS s");
}

static void
append_rows(const Sink *sink, StringInfo sql, SinkAction action)
{
	const TupleDesc desc = sink->target->desc;

	if (!sink_reads_arrays(sink, action))
	{
		append_named_rows(sink, sql, action);
		return;
	}
	appendStringInfoString(sql, "unnest($1, $2, $3) AS s(n, error");
	for (int attno = 1; attno <= desc->natts; attno++)
		if (!TupleDescAttr(desc, attno - 1)->attisdropped)
			appendStringInfo(sql, ", c%d", attno);
	appendStringInfoChar(sql, ')');
}

/* Which version of the function a result is from: that is part of it. */
static void
append_version(const Sink *sink, StringInfo sql)
{
	const char *name = column_name(sink, sink->target->version);

	if (sink->job->version == 0)
		appendStringInfo(sql, ", %s = NULL", name);
	else
		appendStringInfo(sql, ", %s = '%d'", name, sink->job->version);
}

/* A trigger is one table's, not its heirs'; that of partitions is. */
static const char *
only(Oid relid)
{
	return get_rel_relkind(relid) == RELKIND_RELATION ? "ONLY " : "";
}

static void
append_set(const Sink *sink, StringInfo sql, const Bitmapset *columns,
		   bool errors)
{
	int attno = -1;
	const char *sep = "";

	appendStringInfoString(sql, " SET ");
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
	if (sink->target->version != 0 && !errors)
		append_version(sink, sql);
}

/* A result that names no column sets nothing, but may be of a row that is stale. */
static void
append_update(const Sink *sink, StringInfo sql, const Bitmapset *columns,
			  SinkAction action)
{
	const SinkTarget *t = sink->target;
	bool sets = !bms_is_empty(columns) || t->error != 0 || t->version != 0;
	StringInfoData table;

	initStringInfo(&table);
	appendStringInfo(&table, "%s%s AS t",
					 sink->job->by_trigger && t->is_local ? only(t->relid) : "",
					 t->name);
	if (sets)
	{
		appendStringInfo(sql, "UPDATE %s", table.data);
		append_set(sink, sql, columns, action == ACTION_UPDATE_ERRORS);
		appendStringInfoString(sql, " FROM ");
	}
	else
		appendStringInfo(sql, "SELECT s.n FROM %s, ", table.data);
	append_rows(sink, sql, action);
	appendStringInfoString(sql, " WHERE ");
	append_key_condition(sink, sql, action);
	if (sink_reads_arrays(sink, action))
		append_values_condition(sink, sql);
	else
		append_fingerprint_condition(sink, sql);
	if (sink_updates_failures(sink))
		appendStringInfo(sql, " AND t.%s IS NOT NULL", column_name(sink, t->error));
	if (sets)
		appendStringInfoString(sql, " RETURNING s.n");
}

static void
append_insert(const Sink *sink, StringInfo sql, const Bitmapset *columns,
			  SinkAction action)
{
	const SinkTarget *t = sink->target;
	bool errors = action == ACTION_INSERT_ERRORS || action == ACTION_UPSERT_ERRORS;
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
	if (t->ordinality != 0)
	{
		appendStringInfo(&names, "%s%s", sep, column_name(sink, t->ordinality));
		appendStringInfo(&values, "%ss.c%d", sep, t->ordinality);
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
	appendStringInfo(sql, "SELECT %s FROM ", values.data);
	append_rows(sink, sql, action);
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

/* --- of REPLACE, and of updates elsewhere --------------------------------- */

static void
append_read_checks(const Sink *sink, StringInfo sql)
{
	const SinkTarget *t = sink->target;

	appendStringInfoString(sql, "SELECT s.n");
	for (int i = 0; i < t->nchecks; i++)
		appendStringInfo(sql, ", t.%s", column_name(sink, t->checks[i]));
	appendStringInfo(sql, " FROM %s AS t, ", t->name);
	append_rows(sink, sql, ACTION_READ_CHECKS);
	appendStringInfoString(sql, " WHERE ");
	append_key_condition(sink, sql, ACTION_READ_CHECKS);
}

static void
append_find_replaced(const Sink *sink, StringInfo sql)
{
	const SinkTarget *t = sink->target;

	appendStringInfoString(
		sql, "SELECT s.n FROM (SELECT r.n, pg_catalog.lead(r.n) OVER (PARTITION BY ");
	for (int i = 0; i < t->nkeys; i++)
		appendStringInfo(sql, "%sr.c%d", i > 0 ? ", " : "", t->keys[i]);
	appendStringInfoString(sql, " ORDER BY r.n) AS later FROM modal_rows AS r WHERE ");
	if (sink->spec->mode == SINK_REPLACE)
		appendStringInfoString(sql, "$1[r.n OPERATOR(pg_catalog.+) 1]");
	/* NULL is no other row's key, and none in mode REPLACE */
	for (int i = 0; i < t->nkeys && sink->spec->mode != SINK_REPLACE; i++)
	{
		appendStringInfo(sql, "%sr.c%d ", i > 0 ? " AND " : "", t->keys[i]);
		sink_target_append_equals(t, sql, t->keys[i]);
		appendStringInfo(sql, " r.c%d", t->keys[i]);
	}
	appendStringInfoString(sql, ") AS s WHERE s.later IS NOT NULL");
}

static void
append_delete(const Sink *sink, StringInfo sql)
{
	appendStringInfo(sql, "DELETE FROM %s AS t USING ", sink->target->name);
	append_rows(sink, sql, ACTION_DELETE);
	appendStringInfoString(sql, " WHERE ");
	append_key_condition(sink, sql, ACTION_DELETE);
}

/* That of the column: the other side of the comparison may have another one. */
static void
append_collation(StringInfo sql, Oid relid, const char *name)
{
	Oid type, collation;
	int32 typmod;

	get_atttypetypmodcoll(relid, get_attnum(relid, name), &type, &typmod, &collation);
	if (OidIsValid(collation))
		appendStringInfo(sql, " COLLATE %s", generate_collation_name(collation));
}

static void
append_lock_source(const Sink *sink, StringInfo sql)
{
	const SinkTarget *t = sink->target;
	const SinkSource *source = t->source;
	ListCell *lc;

	appendStringInfoString(sql, "SELECT s.n FROM ");
	append_rows(sink, sql, ACTION_LOCK_SOURCE);
	appendStringInfo(sql, ", %s%s AS t WHERE ", only(source->relid), source->name);
	foreach (lc, source->keys)
	{
		AttrNumber attno = t->keys[foreach_current_index(lc)];

		appendStringInfo(sql, "t.%s ", quote_identifier(lfirst(lc)));
		sink_target_append_equals(t, sql, attno);
		appendStringInfo(sql, " s.c%d", attno);
		append_collation(sql, source->relid, lfirst(lc));
		appendStringInfoString(sql, " AND ");
	}
	append_fingerprint(sql, source->checks);
	appendStringInfoString(sql, " FOR NO KEY UPDATE OF t");
}

char *
sink_statement_text(const Sink *sink, SinkAction action,
					const Bitmapset *columns)
{
	StringInfoData sql;

	initStringInfo(&sql);
	switch (action)
	{
		case ACTION_INSERT:
		case ACTION_INSERT_ERRORS:
			append_insert(sink, &sql, columns, action);
			break;
		case ACTION_UPSERT:
		case ACTION_UPSERT_ERRORS:
			append_insert(sink, &sql, columns, action);
			append_on_conflict(sink, &sql, columns,
							   action == ACTION_UPSERT_ERRORS);
			break;
		case ACTION_UPDATE:
		case ACTION_UPDATE_ERRORS:
			append_update(sink, &sql, columns, action);
			break;
		case ACTION_READ_CHECKS:
			append_read_checks(sink, &sql);
			break;
		case ACTION_FIND_REPLACED:
			append_find_replaced(sink, &sql);
			break;
		case ACTION_DELETE:
			append_delete(sink, &sql);
			break;
		case ACTION_LOCK_SOURCE:
			append_lock_source(sink, &sql);
			break;
	}
	return sql.data;
}
