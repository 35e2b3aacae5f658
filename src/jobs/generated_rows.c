/*-------------------------------------------------------------------------
 *
 * generated_rows.c
 *	  Rows that are made from those of another table: declared, dropped, and
 *	  gone when that is truncated.
 *
 * The declaration is a trigger of the source (trigger_spec.h), as that of a
 * generated column is, and what generated.c says of locks and snapshots holds
 * here, too.  TRUNCATE fires no trigger for rows: one of its own looks for the
 * declarations of the table.
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include "access/relation.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/partition.h"
#include "catalog/pg_inherits.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "jobs/generated.h"
#include "jobs/generated_follow.h"
#include "jobs/generated_query.h"
#include "jobs/nearest_name.h"
#include "jobs/owner.h"
#include "jobs/owner_path.h"
#include "jobs/subxact.h"
#include "jobs/trigger_catalog.h"
#include "jobs/trigger_check.h"
#include "jobs/trigger_rows.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"

PG_FUNCTION_INFO_V1(modal_generate_rows);
PG_FUNCTION_INFO_V1(modal_drop_generated_rows);
PG_FUNCTION_INFO_V1(modal_truncate_rows);

static void
read_spec(FunctionCallInfo fcinfo, Relation target, TriggerSpec *spec)
{
	static const char *const arguments[] = {
		"source", "target", "function", "argument_columns", "key",
	};

	for (int i = 0; i < (int) lengthof(arguments); i++)
		generated_need_argument(fcinfo, i, arguments[i]);
	generated_need_argument(fcinfo, 8, "backfill");
	generated_need_argument(fcinfo, 9, "priority");
	memset(spec, 0, sizeof(*spec));
	spec->declared = true;
	spec->into_table = generated_qualified_name(target);
	spec->function = text_to_cstring(PG_GETARG_TEXT_PP(2));
	spec->columns = generated_read_names(PG_GETARG_ARRAYTYPE_P(3),
										 "argument_columns");
	spec->key = generated_read_names(PG_GETARG_ARRAYTYPE_P(4), "key");
	if (!PG_ARGISNULL(5))
		spec->result_column = pstrdup(NameStr(*PG_GETARG_NAME(5)));
	/* a default, as that of modal_spawn_map */
	if (spec->result_column != NULL && strcmp(spec->result_column, "result") == 0 &&
		get_attnum(RelationGetRelid(target), "result") <= 0)
		spec->result_column = NULL;
	if (!PG_ARGISNULL(6))
		spec->ordinality_column = pstrdup(NameStr(*PG_GETARG_NAME(6)));
	spec->kwargs = generated_read_kwargs(fcinfo, 7);
	spec->priority = PG_GETARG_INT32(9);
}

/* The source's triggers that make rows (OurTrigger *), and with target of that. */
static List *
declarations(Oid source, Oid target)
{
	Relation catalog = table_open(TriggerRelationId, AccessShareLock);
	List *found = NIL;
	ListCell *lc;

	foreach (lc, trigger_catalog_of(catalog, source))
	{
		OurTrigger *ours = lfirst(lc);
		Oid other = generated_other_table(ours->form->oid);

		if (OidIsValid(other) && (!OidIsValid(target) || other == target))
			found = lappend(found, ours);
	}
	table_close(catalog, AccessShareLock);
	return found;
}

/* The table as a whole, of which this may be a partition. */
static Oid
whole_table(Oid relid)
{
	List *ancestors = get_rel_relispartition(relid) ? get_partition_ancestors(relid)
													: NIL;

	return ancestors == NIL ? relid : llast_oid(ancestors);
}

/*
 * Are rows of one table made from those of the other, in however many steps?
 * Both are whole tables: a row of one may be a row of any partition.
 */
static bool
makes_rows_of(Oid source, Oid target, List **seen)
{
	ListCell *lc, *lc2;

	check_stack_depth();
	*seen = lappend_oid(*seen, source);
	foreach (lc, find_all_inheritors(source, NoLock, NULL))
		foreach (lc2, declarations(lfirst_oid(lc), InvalidOid))
		{
			const OurTrigger *ours = lfirst(lc2);
			Oid other = whole_table(generated_other_table(ours->form->oid));

			if (other == target || (!list_member_oid(*seen, other) &&
									makes_rows_of(other, target, seen)))
				return true;
		}
	return false;
}

void
generated_check_rows_circle(Relation source, Relation target)
{
	Oid from = whole_table(RelationGetRelid(source));
	Oid to = whole_table(RelationGetRelid(target));
	List *seen = NIL;

	if (from == to || makes_rows_of(to, from, &seen))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("rows of \"%s\" would be made from themselves",
						RelationGetRelationName(target)),
				 from == to ? errdetail("Both tables are, or are partitions of, \"%s\".",
										get_rel_name(from))
							: errdetail("Those of \"%s\" are made from them.",
										RelationGetRelationName(source))));
}

/* Are all of these names among those? */
static bool
are_among(List *names, List *all)
{
	ListCell *lc, *lc2;

	foreach (lc, names)
	{
		foreach (lc2, all)
			if (strcmp(lfirst(lc), lfirst(lc2)) == 0)
				break;
		if (lc2 == NULL)
			return false;
	}
	return true;
}

/*
 * A source knows its rows by their key: if another's rows had one, too, it would
 * take them away with its own.
 */
static void
check_other_sources(Relation target, List *key)
{
	Oid whole = whole_table(RelationGetRelid(target));
	ListCell *lc, *lc2;

	foreach (lc, find_all_inheritors(whole, NoLock, NULL))
		foreach (lc2, generated_sources(lfirst_oid(lc)))
		{
			const OurTrigger *ours = lfirst(lc2);
			TriggerSpec spec;

			trigger_spec_read(&spec, ours->nargs, ours->args);
			if (are_among(key, spec.key) || are_among(spec.key, key))
				ereport(ERROR,
						(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						 errmsg("rows of \"%s\" are made from those of \"%s\" with the same key columns",
								RelationGetRelationName(target),
								get_rel_name(ours->form->tgrelid)),
						 errdetail("Each source would take the other's rows for its own."),
						 errhint("Name key columns that only one of them fills.")));
		}
}

/* Once for all declarations of the table. */
static void
create_truncate_trigger(Relation source, Oid schema)
{
	const TriggerDesc *desc = source->trigdesc;
	char *function = quote_qualified_identifier(get_namespace_name(schema),
												"modal_truncate_rows");

	for (int i = 0; desc != NULL && i < desc->numtriggers; i++)
	{
		Oid called = desc->triggers[i].tgfoid;
		char *name = get_func_name(called);

		if (name != NULL && strcmp(name, "modal_truncate_rows") == 0 &&
			get_func_namespace(called) == schema)
			return;
	}
	generated_run_utility(psprintf(
		"CREATE TRIGGER %s AFTER TRUNCATE ON %s FOR EACH STATEMENT EXECUTE FUNCTION %s()",
		quote_identifier(generated_trigger_name(source, "truncate")),
		generated_qualified_name(source), function));
}

/* Its columns, those of the key by the target's names. */
static char *
rows_query(Relation source, const TriggerSpec *spec, const Job *model)
{
	StringInfoData sql;
	ListCell *lc, *lc2;

	initStringInfo(&sql);
	appendStringInfoString(&sql, "SELECT ");
	forboth (lc, model->sink.key_names, lc2, spec->key)
		appendStringInfo(&sql, "t.%s AS %s, ", quote_identifier(lfirst(lc)),
						 quote_identifier(lfirst(lc2)));
	foreach (lc, spec->columns)
		appendStringInfo(&sql, "%st.%s", lc == list_head(spec->columns) ? "" : ", ",
						 quote_identifier(lfirst(lc)));
	generated_append_table(&sql, source);
	return sql.data;
}

Datum
modal_generate_rows(PG_FUNCTION_ARGS)
{
	Relation source = generated_open_table(fcinfo, 0, "source", ShareRowExclusiveLock);
	/* one declaration after the other: each looks at those that there are */
	Relation target =
		generated_open_table(fcinfo, 1, "target", ShareUpdateExclusiveLock);
	Oid schema = get_func_namespace(fcinfo->flinfo->fn_oid);
	TriggerSpec spec;
	Job model = {0};
	int64 id = 0;

	read_spec(fcinfo, target, &spec);
	trigger_check_spec(source, &spec);
	trigger_rows_check_keys(source, target, &spec);
	if (declarations(RelationGetRelid(source), RelationGetRelid(target)) != NIL)
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("rows of \"%s\" are made from those of \"%s\" already",
						RelationGetRelationName(target),
						RelationGetRelationName(source)),
				 errhint("Call modal_drop_generated_rows() first.")));
	generated_check_rows_circle(source, target);
	check_other_sources(target, spec.key);
	(void) trigger_rows_model(&model, RelationGetRelid(source),
							  RelationGetRelid(target), &spec);
	generated_create_trigger(source, RelationGetRelationName(target), &spec, schema);
	create_truncate_trigger(source, schema);
	if (PG_GETARG_BOOL(8))
	{
		char *query = rows_query(source, &spec, &model);

		model.sink.key_names = NIL;
		PushActiveSnapshot(GetLatestSnapshot());
		id = generated_start_job(spec.function, &model, query);
		PopActiveSnapshot();
	}
	relation_close(target, NoLock);
	relation_close(source, NoLock);
	if (id == 0)
		PG_RETURN_NULL();
	PG_RETURN_INT64(id);
}

Datum
modal_drop_generated_rows(PG_FUNCTION_ARGS)
{
	Relation source = generated_open_table(fcinfo, 0, "source", AccessExclusiveLock);
	List *found;
	ListCell *lc;
	char *table = generated_qualified_name(source);

	generated_need_argument(fcinfo, 1, "target");
	found = OidIsValid(PG_GETARG_OID(1))
		? declarations(RelationGetRelid(source), PG_GETARG_OID(1))
		: NIL;
	if (found == NIL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("no rows of that table are made from those of \"%s\"",
						RelationGetRelationName(source)),
				 errhint("modal_generate_rows() declares them.")));
	relation_close(source, NoLock);
	foreach (lc, found)
	{
		OurTrigger *trigger = lfirst(lc);

		generated_run_utility(psprintf("DROP TRIGGER %s ON %s",
									   quote_identifier(NameStr(trigger->form->tgname)),
									   table));
	}
	PG_RETURN_VOID();
}

/* As foreign keys do: all that is there now; see trigger_rows_delete. */
static void
run(const char *command, const char *name)
{
	SPIPlanPtr plan;
	int rc;

	SPI_connect();
	plan = SPI_prepare(psprintf("%s %s", command, name), 0, NULL);
	rc = plan == NULL
		? SPI_result
		: SPI_execute_snapshot(plan, NULL, NULL, GetLatestSnapshot(),
							   IsolationUsesXactSnapshot() ? GetTransactionSnapshot()
														   : InvalidSnapshot,
							   false, true, 0);
	if (rc < 0)
		elog(ERROR, "could not empty %s: %s", name, SPI_result_code_string(rc));
	SPI_finish();
}

/*
 * False when it is in use: by the TRUNCATE that has emptied it together with the
 * source, by a cursor, or by triggers that are still to be fired.
 */
static bool
try_truncate(const char *name)
{
	ErrorData *volatile edata = NULL;
	SubScope sub;

	sub_begin(&sub);
	PG_TRY();
	{
		run("TRUNCATE", name);
		sub_commit(&sub);
	}
	PG_CATCH();
	{
		edata = sub_abort(&sub);
	}
	PG_END_TRY();
	if (edata == NULL)
		return true;
	if (edata->sqlerrcode != ERRCODE_OBJECT_IN_USE)
		ReThrowError(edata);
	return false;
}

/* Those with a key of this declaration: others have columns of their own for it. */
static char *
keyed_rows(const char *name, const OurTrigger *trigger)
{
	TriggerSpec spec;
	StringInfoData sql;
	ListCell *lc;

	trigger_spec_read(&spec, trigger->nargs, trigger->args);
	initStringInfo(&sql);
	appendStringInfo(&sql, "%s WHERE pg_catalog.num_nulls(", name);
	foreach (lc, spec.key)
		appendStringInfo(&sql, "%s%s", lc == list_head(spec.key) ? "" : ", ",
						 quote_identifier(lfirst(lc)));
	appendStringInfoString(&sql, ") OPERATOR(pg_catalog.=) 0");
	return sql.data;
}

/*
 * Take away what was made of the source.  Where a table cannot be truncated, its
 * rows are deleted.
 */
static void
empty(const OurTrigger *trigger)
{
	Oid relid = generated_other_table(trigger->form->oid);
	char kind = get_rel_relkind(relid);
	char *name = quote_qualified_identifier(
		get_namespace_name(get_rel_namespace(relid)), get_rel_name(relid));
	bool truncates = kind == RELKIND_RELATION || kind == RELKIND_PARTITIONED_TABLE;

	if (list_length(generated_sources(relid)) > 1)
		run("DELETE FROM", keyed_rows(name, trigger));
	else if (!truncates || !try_truncate(name))
		run("DELETE FROM", name);
}

Datum
modal_truncate_rows(PG_FUNCTION_ARGS)
{
	TriggerData *td = (TriggerData *) fcinfo->context;
	OwnerScope scope;
	ListCell *lc;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_BY_TRUNCATE(td->tg_event) ||
		!TRIGGER_FIRED_AFTER(td->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("modal_truncate_rows() must be fired AFTER TRUNCATE")));
	owner_enter_row(&scope, td->tg_relation->rd_rel->relowner,
					owner_path(td->tg_relation->rd_rel->relowner));
	foreach (lc, declarations(RelationGetRelid(td->tg_relation), InvalidOid))
		empty(lfirst(lc));
	owner_leave(&scope);
	return PointerGetDatum(NULL);
}
