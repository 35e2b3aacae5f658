/*-------------------------------------------------------------------------
 *
 * generated_query.c
 *	  Queries on the rows of a generated column; see generated_query.h.
 *
 * They are written for a search_path of pg_catalog.  NULL is asked for by
 * num_nulls(), for which a row of NULLs is a value, as for a trigger.
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include "jobs/generated_query.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

static void
append_columns(StringInfo sql, List *names, const char *sep)
{
	ListCell *lc;

	foreach (lc, names)
	{
		appendStringInfo(sql, "%st.%s", sep, quote_identifier(lfirst(lc)));
		sep = ", ";
	}
}

void
generated_append_table(StringInfo sql, Relation rel)
{
	/* a table's heirs have no trigger; partitions have */
	appendStringInfo(sql, " FROM %s%s AS t",
					 rel->rd_rel->relkind == RELKIND_PARTITIONED_TABLE ? "" : "ONLY ",
					 quote_qualified_identifier(
						 get_namespace_name(RelationGetNamespace(rel)),
						 RelationGetRelationName(rel)));
}

/* Has it all arguments that it needs? */
static void
append_wanted(StringInfo sql, const TriggerSpec *spec)
{
	ListCell *lc;

	if (!spec->skip_nulls)
	{
		appendStringInfoString(sql, "true");
		return;
	}
	/* a function has too few arguments for all */
	foreach (lc, spec->columns)
	{
		int i = foreach_current_index(lc);
		const char *sep = i % FUNC_MAX_ARGS > 0 ? ", "
			: i > 0 ? ") = 0 AND num_nulls("
					: "num_nulls(";

		appendStringInfo(sql, "%st.%s", sep, quote_identifier(lfirst(lc)));
	}
	appendStringInfoString(sql, ") = 0");
}

/* A version without a result: the function has said that it is NULL. */
static void
append_missing(StringInfo sql, const TriggerSpec *spec)
{
	appendStringInfo(sql, "num_nulls(t.%s) = 1",
					 quote_identifier(spec->result_column));
	if (spec->version_column != NULL)
		appendStringInfo(sql, " AND t.%s IS NULL",
						 quote_identifier(spec->version_column));
}

static void
append_outdated(StringInfo sql, const GeneratedColumn *column)
{
	const TriggerSpec *spec = &column->spec;

	if (spec->version_column == NULL)
	{
		appendStringInfoString(sql, "false");
		return;
	}
	appendStringInfo(sql, "t.%s IS ", quote_identifier(spec->version_column));
	if (column->version == 0)
		appendStringInfoString(sql, "NOT NULL");
	else
		appendStringInfo(sql, "DISTINCT FROM '%d'", column->version);
	appendStringInfoString(sql, " AND NOT (");
	append_missing(sql, spec);
	appendStringInfoChar(sql, ')');
}

/* modal_batch.input_identity() of the row. */
static void
append_identity(StringInfo sql, const GeneratedColumn *column)
{
	List *keys = column->model.sink.key_columns;
	bool many = 1 + list_length(keys) + list_length(column->spec.columns) >
		FUNC_MAX_ARGS;
	const char *sep = "";
	ListCell *lc;

	appendStringInfoString(sql, "modal_batch.input_identity(ARRAY[");
	foreach (lc, keys)
	{
		appendStringInfo(sql, "%s%s", sep, quote_literal_cstr(lfirst(lc)));
		sep = ", ";
	}
	append_columns(sql, keys, "], ");
	append_columns(sql, column->spec.columns, many ? ", ROW(" : ", ");
	appendStringInfoString(sql, many ? "))" : ")");
}

static void
append_inputs(StringInfo sql, const GeneratedColumn *column)
{
	appendStringInfo(sql, "modal_batch.column_inputs(%u, %s) AS i",
					 column->model.sink.into_table,
					 quote_literal_cstr(column->spec.result_column));
}

static bool
may_be_kept(const GeneratedColumn *column)
{
	return column->jobs != NIL || column->collected;
}

/* Is there an input for the row that is kept, and of that kind? */
static void
append_kept(StringInfo sql, const GeneratedColumn *column, const char *kind)
{
	if (!may_be_kept(column))
	{
		appendStringInfoString(sql, "false");
		return;
	}
	appendStringInfoString(sql, "EXISTS (SELECT FROM ");
	append_inputs(sql, column);
	appendStringInfoString(sql, " WHERE i.identity = ");
	append_identity(sql, column);
	appendStringInfo(sql, "%s)", kind);
}

char *
generated_rows_query(const GeneratedColumn *column, GeneratedRows which)
{
	StringInfoData sql;

	initStringInfo(&sql);
	append_columns(&sql, column->model.sink.key_columns, "SELECT ");
	append_columns(&sql, column->spec.columns, ", ");
	generated_append_table(&sql, column->rel);
	appendStringInfoString(&sql, " WHERE ");
	append_wanted(&sql, &column->spec);
	switch (which)
	{
		case ROWS_ALL:
			if (column->collected)
			{
				appendStringInfoString(&sql, " AND NOT ");
				append_kept(&sql, column, " AND i.collected");
			}
			break;
		case ROWS_FAILED:
			appendStringInfoString(&sql, " AND ");
			append_kept(&sql, column, " AND i.failed AND i.ended");
			appendStringInfoString(&sql, " AND NOT ");
			append_kept(&sql, column, " AND NOT i.failed");
			break;
		case ROWS_MISSING:
			appendStringInfoString(&sql, " AND ");
			append_missing(&sql, &column->spec);
			appendStringInfoString(&sql, " AND NOT ");
			append_kept(&sql, column, "");
			break;
		case ROWS_OUTDATED:
			appendStringInfoString(&sql, " AND ");
			append_outdated(&sql, column);
			appendStringInfoString(&sql, " AND NOT ");
			append_kept(&sql, column, "");
			break;
	}
	return sql.data;
}

char *
generated_counts_query(const GeneratedColumn *column)
{
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfoString(&sql,
						   "SELECT count(*), count(*) FILTER (WHERE s = 'c'), "
						   "count(*) FILTER (WHERE s = 'm'), "
						   "count(*) FILTER (WHERE s = 'f'), "
						   "count(*) FILTER (WHERE s = 'p'), "
						   "count(*) FILTER (WHERE s = 'o') FROM (SELECT CASE ");
	if (may_be_kept(column))
		appendStringInfoString(&sql, "WHEN i.pending THEN 'p' WHEN i.failed THEN 'f' ");
	appendStringInfoString(&sql, "WHEN NOT (");
	append_wanted(&sql, &column->spec);
	appendStringInfoString(&sql, ") THEN 'c' WHEN ");
	append_missing(&sql, &column->spec);
	appendStringInfoString(&sql, " THEN 'm' WHEN ");
	append_outdated(&sql, column);
	appendStringInfoString(&sql, " THEN 'o' ELSE 'c' END AS s");
	generated_append_table(&sql, column->rel);
	if (may_be_kept(column))
	{
		appendStringInfoString(&sql,
							   " LEFT JOIN (SELECT i.identity, "
							   "bool_or(NOT i.failed) AS pending, "
							   "bool_or(i.failed) AS failed FROM ");
		append_inputs(&sql, column);
		appendStringInfoString(&sql, " GROUP BY 1) AS i ON i.identity = ");
		append_identity(&sql, column);
	}
	appendStringInfoString(&sql, ") AS s");
	return sql.data;
}
