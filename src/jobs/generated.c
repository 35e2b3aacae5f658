/*-------------------------------------------------------------------------
 *
 * generated.c
 *	  Columns that are remote functions of others: declared, dropped, made
 *	  anew, counted.
 *
 * The declaration is a trigger with modal_trigger() (trigger_spec.h), and
 * nothing else.  What the trigger does not see, rows that are there already,
 * becomes a job like any other, made by one query: a row that changes while
 * its input is away has a newer input from the trigger, and the older one is
 * stale.
 *
 * What makes the backfill whole: the trigger is made under a lock that keeps
 * writers out, and the query's snapshot is taken after that, also in
 * transactions that have an older one.  A row that was committed before is
 * seen by the query, one that is written later by the trigger.
 *
 * Rows are read and jobs made as the owner of the table, whoever calls.
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "commands/defrem.h"
#include "commands/trigger.h"
#include "endpoint/endpoint.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "jobs/generated.h"
#include "jobs/generated_inputs.h"
#include "jobs/generated_query.h"
#include "jobs/nearest_name.h"
#include "jobs/owner.h"
#include "jobs/sink_target.h"
#include "jobs/spawn.h"
#include "jobs/trigger.h"
#include "jobs/trigger_catalog.h"
#include "jobs/trigger_check.h"
#include "jobs/wake.h"
#include "lib/stringinfo.h"
#include "link/shmem.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"

PG_FUNCTION_INFO_V1(modal_generate_column);
PG_FUNCTION_INFO_V1(modal_drop_generated_column);
PG_FUNCTION_INFO_V1(modal_regenerate);
PG_FUNCTION_INFO_V1(modal_generated_column_counts);
PG_FUNCTION_INFO_V1(modal_trigger_spec);

/* --- arguments ------------------------------------------------------------ */

void
generated_need_argument(FunctionCallInfo fcinfo, int n, const char *name)
{
	if (PG_ARGISNULL(n))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
						errmsg("argument \"%s\" must not be null", name)));
}

static void
check_owner(Oid relid, const char *name)
{
	if (!relation_ownercheck(relid, GetUserId()))
		aclcheck_error(ACLCHECK_NOT_OWNER, OBJECT_TABLE, name);
}

/*
 * Rights come first: a lock that somebody only waits for holds up all others.
 * They may be gone when it has come.
 */
Relation
generated_open_table(FunctionCallInfo fcinfo, int n, const char *name,
					 LOCKMODE lock)
{
	Oid relid;
	char *relname;
	Relation rel = NULL;

	modal_check_preloaded();
	generated_need_argument(fcinfo, n, name);
	relid = PG_GETARG_OID(n);
	/* '-'::regclass is no table, but is not NULL */
	relname = OidIsValid(relid) ? get_rel_name(relid) : NULL;
	if (relname != NULL)
	{
		check_owner(relid, relname);
		rel = try_relation_open(relid, lock);
	}
	if (rel == NULL)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE),
						errmsg("the table, with OID %u, does not exist", relid)));
	check_owner(relid, RelationGetRelationName(rel));
	if (rel->rd_rel->relkind != RELKIND_RELATION &&
		rel->rd_rel->relkind != RELKIND_PARTITIONED_TABLE)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is not a table", RelationGetRelationName(rel)),
				 errdetail("Tables and partitioned tables can have generated columns.")));
	return rel;
}

List *
generated_read_names(ArrayType *array, const char *argument)
{
	Datum *elements;
	bool *nulls;
	int n;
	List *names = NIL;

	deconstruct_array(array, NAMEOID, NAMEDATALEN, false, TYPALIGN_CHAR,
					  &elements, &nulls, &n);
	if (n == 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("argument \"%s\" names no column", argument)));
	for (int i = 0; i < n; i++)
	{
		if (nulls[i])
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("names in argument \"%s\" must not be null", argument)));
		names = lappend(names, pstrdup(NameStr(*DatumGetName(elements[i]))));
	}
	return names;
}

Jsonb *
generated_read_kwargs(FunctionCallInfo fcinfo, int n)
{
	Jsonb *kwargs = PG_ARGISNULL(n) ? NULL : PG_GETARG_JSONB_P(n);

	if (kwargs != NULL && !JB_ROOT_IS_OBJECT(kwargs))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("argument \"kwargs\" must be a JSON object")));
	return kwargs == NULL || JB_ROOT_COUNT(kwargs) == 0 ? NULL : kwargs;
}

static void
read_spec(FunctionCallInfo fcinfo, TriggerSpec *spec)
{
	generated_need_argument(fcinfo, 1, "result_column");
	generated_need_argument(fcinfo, 2, "function");
	generated_need_argument(fcinfo, 3, "argument_columns");
	generated_need_argument(fcinfo, 6, "skip_nulls");
	generated_need_argument(fcinfo, 7, "backfill");
	generated_need_argument(fcinfo, 8, "priority");
	memset(spec, 0, sizeof(*spec));
	spec->declared = true;
	spec->result_column = pstrdup(NameStr(*PG_GETARG_NAME(1)));
	spec->function = text_to_cstring(PG_GETARG_TEXT_PP(2));
	spec->columns = generated_read_names(PG_GETARG_ARRAYTYPE_P(3), "argument_columns");
	spec->kwargs = generated_read_kwargs(fcinfo, 4);
	spec->version_column =
		PG_ARGISNULL(5) ? NULL : pstrdup(NameStr(*PG_GETARG_NAME(5)));
	spec->skip_nulls = PG_GETARG_BOOL(6);
	spec->priority = PG_GETARG_INT32(8);
}

/* --- declarations --------------------------------------------------------- */

/* Those of the relation (OurTrigger *). */
static List *
declarations(Oid relid)
{
	Relation catalog = table_open(TriggerRelationId, AccessShareLock);
	List *triggers = trigger_catalog_of(catalog, relid);
	ListCell *lc;

	table_close(catalog, AccessShareLock);
	/* webhooks fill no column */
	foreach (lc, triggers)
		if (((OurTrigger *) lfirst(lc))->nargs == TRIGGER_WEBHOOK_ARGS)
			triggers = foreach_delete_current(triggers, lc);
	return triggers;
}

/* The one that fills this column, and what it says; NULL: none. */
static OurTrigger *
find_declaration(Oid relid, const char *column, TriggerSpec *spec)
{
	ListCell *lc;

	foreach (lc, declarations(relid))
	{
		OurTrigger *trigger = lfirst(lc);

		trigger_spec_read(spec, trigger->nargs, trigger->args);
		if (spec->into_table == NULL && strcmp(spec->result_column, column) == 0)
			return trigger;
	}
	return NULL;
}

/* Of a table of one's own: that of a partition may be made for one of others. */
static OurTrigger *
get_declaration(FunctionCallInfo fcinfo, Relation rel, TriggerSpec *spec)
{
	const char *column;
	OurTrigger *trigger;
	NearestName nearest;
	ListCell *lc;

	generated_need_argument(fcinfo, 1, "column");
	column = NameStr(*PG_GETARG_NAME(1));
	trigger = find_declaration(RelationGetRelid(rel), column, spec);
	if (trigger != NULL)
	{
		Oid table = trigger_catalog_table(RelationGetRelid(rel), trigger->form->oid);

		check_owner(table, get_rel_name(table));
		return trigger;
	}
	nearest = nearest_name_to(column);
	foreach (lc, declarations(RelationGetRelid(rel)))
	{
		trigger = lfirst(lc);
		nearest_name_consider(&nearest, trigger->args[TRIGGER_RESULT]);
	}
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT),
			 errmsg("column \"%s\" of relation \"%s\" is not generated remotely",
					column, RelationGetRelationName(rel)),
			 nearest.name != NULL
				 ? errhint("Perhaps you meant the column \"%s\".", nearest.name)
				 : errhint("modal_generate_column() declares one.")));
}

/*
 * Does the column depend on the other, by what is declared?  A circle would be
 * called for ever.  No way without one has more steps than there are specs.
 */
static bool
depends_on(List *specs, const char *column, const char *other, int steps)
{
	ListCell *lc;

	foreach (lc, specs)
	{
		TriggerSpec *spec = lfirst(lc);
		ListCell *lc2;

		if (steps == 0 || strcmp(spec->result_column, column) != 0)
			continue;
		foreach (lc2, spec->columns)
			if (strcmp(lfirst(lc2), other) == 0 ||
				depends_on(specs, lfirst(lc2), other, steps - 1))
				return true;
	}
	return false;
}

void
generated_check_circle(Relation rel, const TriggerSpec *new)
{
	List *specs = NIL;
	ListCell *lc;

	foreach (lc, declarations(RelationGetRelid(rel)))
	{
		OurTrigger *trigger = lfirst(lc);
		TriggerSpec *spec = palloc(sizeof(TriggerSpec));

		trigger_spec_read(spec, trigger->nargs, trigger->args);
		if (spec->into_table != NULL)
			continue;
		spec->columns = trigger_columns_read(rel, spec->columns);
		specs = lappend(specs, spec);
	}
	foreach (lc, trigger_columns_read(rel, new->columns))
		if (depends_on(specs, lfirst(lc), new->result_column,
					   list_length(specs)))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("column \"%s\" would be generated from itself",
							new->result_column),
					 errdetail("It is made of column \"%s\", which is generated from it.",
							   (char *) lfirst(lc))));
}

/* Neither of the table, nor of a partition alone. */
static void
check_not_declared(Relation rel, const char *result_column)
{
	bool has_partitions = rel->rd_rel->relkind == RELKIND_PARTITIONED_TABLE;
	List *relids = has_partitions
		? find_all_inheritors(RelationGetRelid(rel), NoLock, NULL)
		: list_make1_oid(RelationGetRelid(rel));
	TriggerSpec other;
	ListCell *lc;

	foreach (lc, relids)
		if (find_declaration(lfirst_oid(lc), result_column, &other) != NULL)
			ereport(ERROR,
					(errcode(ERRCODE_DUPLICATE_OBJECT),
					 errmsg("column \"%s\" of relation \"%s\" is generated remotely already",
							result_column, get_rel_name(lfirst_oid(lc))),
					 errhint("Call modal_drop_generated_column() first.")));
}

/* --- creating and dropping the trigger ------------------------------------ */

void
generated_run_utility(const char *sql)
{
	int rc;

	SPI_connect();
	rc = SPI_execute(sql, false, 0);
	if (rc != SPI_OK_UTILITY)
		elog(ERROR, "could not execute \"%s\": %s", sql,
			 SPI_result_code_string(rc));
	SPI_finish();
}

char *
generated_qualified_name(Relation rel)
{
	return quote_qualified_identifier(
		get_namespace_name(RelationGetNamespace(rel)),
		RelationGetRelationName(rel));
}

char *
generated_trigger_name(Relation rel, const char *label)
{
	char *name = makeObjectName("modal_generate", label, NULL);
	char number[16];

	for (int i = 1; OidIsValid(get_trigger_oid(RelationGetRelid(rel), name, true)); i++)
	{
		snprintf(number, sizeof(number), "%d", i);
		name = makeObjectName("modal_generate", label, number);
	}
	return name;
}

void
generated_create_trigger(Relation rel, const char *label,
						 const TriggerSpec *spec, Oid schema)
{
	char **args = trigger_spec_write(spec);
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfo(&sql, "CREATE TRIGGER %s AFTER INSERT OR UPDATE%s ON %s "
					 "FOR EACH ROW EXECUTE FUNCTION %s(",
					 quote_identifier(generated_trigger_name(rel, label)),
					 spec->into_table == NULL ? "" : " OR DELETE",
					 generated_qualified_name(rel),
					 quote_qualified_identifier(get_namespace_name(schema),
												"modal_trigger"));
	for (int i = 0; i < TRIGGER_MAX_ARGS; i++)
		appendStringInfo(&sql, "%s%s", i > 0 ? ", " : "",
						 quote_literal_cstr(args[i]));
	appendStringInfoChar(&sql, ')');
	generated_run_utility(sql.data);
}

/* --- rows ----------------------------------------------------------------- */

static void
begin_column(GeneratedColumn *column, Relation rel, Oid trigger)
{
	Oid target = trigger_target(RelationGetRelid(rel), trigger, false);

	memset(&column->model, 0, sizeof(column->model));
	column->rel = rel;
	column->version = 0;
	(void) trigger_job_model(&column->model, target, &column->spec);
	column->jobs = column_jobs(column->model.sink.into_table,
							   column->spec.result_column);
	column->collected = trigger_has_collected(column->model.sink.into_table,
											  column->spec.result_column);
}

/*
 * The version that the reference asks for; that of the live one is not told by
 * the service.
 */
static int32
wanted_version(const GeneratedColumn *column)
{
	const char *rest;
	Endpoint *endpoint;
	Reference ref = {0};
	OwnerScope scope;

	owner_enter_rights(&scope, column->model.owner);
	endpoint = endpoint_get_stored(column->spec.function, column->model.owner, &rest);
	owner_leave(&scope);
	if (endpoint->protocol == ENDPOINT_MODAL)
		(void) reference_parse_rest(rest, strlen(rest), false, &ref);
	endpoint_release(endpoint);
	return ref.version;
}

int64
generated_start_job(const char *function, Job *model, const char *query)
{
	OwnerScope scope;
	int64 id;

	model->priority = Max(Min(model->priority, 0), PG_INT32_MIN + 1) - 1;
	owner_enter(&scope, model->owner);
	id = spawn_backfill(function, model, query);
	owner_leave(&scope);
	return id;
}

static int64
start_job(GeneratedColumn *column, GeneratedRows which)
{
	return generated_start_job(column->spec.function, &column->model,
							   generated_rows_query(column, which));
}

/* --- SQL functions -------------------------------------------------------- */

Datum
modal_generate_column(PG_FUNCTION_ARGS)
{
	Relation rel = generated_open_table(fcinfo, 0, "table", ShareRowExclusiveLock);
	GeneratedColumn column;
	int64 id = 0;

	read_spec(fcinfo, &column.spec);
	trigger_check_spec(rel, &column.spec);
	check_not_declared(rel, column.spec.result_column);
	generated_check_circle(rel, &column.spec);
	begin_column(&column, rel, InvalidOid);
	generated_create_trigger(rel, column.spec.result_column, &column.spec,
							 get_func_namespace(fcinfo->flinfo->fn_oid));
	PushActiveSnapshot(GetLatestSnapshot());
	if (PG_GETARG_BOOL(7))
		id = start_job(&column, ROWS_MISSING);
	PopActiveSnapshot();
	relation_close(rel, NoLock);
	if (id == 0)
		PG_RETURN_NULL();
	PG_RETURN_INT64(id);
}

static GeneratedRows
which_rows(FunctionCallInfo fcinfo)
{
	static const char *const names[] = {
		[ROWS_MISSING] = "missing",
		[ROWS_FAILED] = "failed",
		[ROWS_OUTDATED] = "outdated",
		[ROWS_ALL] = "all",
	};
	char *name;
	NearestName nearest;

	generated_need_argument(fcinfo, 2, "only");
	name = text_to_cstring(PG_GETARG_TEXT_PP(2));
	nearest = nearest_name_to(name);
	for (int i = 0; i < (int) lengthof(names); i++)
	{
		if (strcmp(names[i], name) == 0)
			return (GeneratedRows) i;
		nearest_name_consider(&nearest, names[i]);
	}
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("unrecognized value \"%s\" of argument \"only\"", name),
			 nearest.name != NULL
				 ? errhint("Perhaps you meant \"%s\".", nearest.name)
				 : errhint("Values are \"missing\", \"failed\", \"outdated\" and \"all\".")));
}

Datum
modal_regenerate(PG_FUNCTION_ARGS)
{
	Relation rel = generated_open_table(fcinfo, 0, "table", AccessShareLock);
	GeneratedColumn column;
	GeneratedRows which = which_rows(fcinfo);
	const OurTrigger *trigger = get_declaration(fcinfo, rel, &column.spec);
	int64 id;

	/* one after another: what the first sends is pending for the second */
	LockDatabaseObject(TriggerRelationId, trigger->form->oid, 0,
					   ShareUpdateExclusiveLock);
	PushActiveSnapshot(GetLatestSnapshot());
	begin_column(&column, rel, trigger->form->oid);
	if (which == ROWS_OUTDATED)
	{
		if (column.spec.version_column == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("it is not known which results of column \"%s\" are outdated",
							column.spec.result_column),
					 errdetail("There is no column for the version of the function."),
					 errhint("Declare the column anew, with argument \"version_column\".")));
		column.version = wanted_version(&column);
	}
	id = start_job(&column, which);
	if (which == ROWS_FAILED || which == ROWS_ALL)
		column_jobs_forget_failures(column.jobs);
	PopActiveSnapshot();
	relation_close(rel, NoLock);
	PG_RETURN_INT64(id);
}

Datum
modal_drop_generated_column(PG_FUNCTION_ARGS)
{
	/* what DROP TRIGGER takes */
	Relation rel = generated_open_table(fcinfo, 0, "table", AccessExclusiveLock);
	TriggerSpec spec;
	OurTrigger *trigger = get_declaration(fcinfo, rel, &spec);
	Oid target = trigger_target(RelationGetRelid(rel), trigger->form->oid, false);
	char *sql = psprintf("DROP TRIGGER %s ON %s",
						 quote_identifier(NameStr(trigger->form->tgname)),
						 generated_qualified_name(rel));
	ListCell *lc;

	PushActiveSnapshot(GetLatestSnapshot());
	trigger_drop_collected(target, spec.result_column);
	foreach (lc, column_jobs(target, spec.result_column))
	{
		const ColumnJob *job = lfirst(lc);

		if (job->ended)
			continue;
		job_store_cancel(job->id, false);
		wake_runner_at_commit(job->owner);
	}
	PopActiveSnapshot();
	relation_close(rel, NoLock);
	generated_run_utility(sql);
	PG_RETURN_VOID();
}

Datum
modal_generated_column_counts(PG_FUNCTION_ARGS)
{
	Relation rel = generated_open_table(fcinfo, 0, "table", AccessShareLock);
	GeneratedColumn column;
	const OurTrigger *trigger = get_declaration(fcinfo, rel, &column.spec);
	TupleDesc desc;
	Datum values[6];
	bool nulls[6] = {false};
	OwnerScope scope;

	begin_column(&column, rel, trigger->form->oid);
	if (column.spec.version_column != NULL)
		column.version = wanted_version(&column);
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	owner_enter(&scope, column.model.owner);
	SPI_connect();
	if (SPI_execute(generated_counts_query(&column), true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not count rows");
	for (int i = 0; i < (int) lengthof(values); i++)
		values[i] = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc,
								  i + 1, &nulls[i]);
	SPI_finish();
	owner_leave(&scope);
	relation_close(rel, AccessShareLock);
	PG_RETURN_DATUM(HeapTupleGetDatum(
		heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}

/*
 * What a trigger declares of its table, for a view; NULL when it does not.  The
 * table is not locked: a view of many would wait for each.
 */
Datum
modal_trigger_spec(PG_FUNCTION_ARGS)
{
	Relation catalog = table_open(TriggerRelationId, AccessShareLock);
	OurTrigger *trigger = trigger_catalog_get(catalog, PG_GETARG_OID(0));
	TriggerSpec spec;
	TupleDesc desc;
	Datum values[8] = {0};
	bool nulls[8] = {false};
	Datum *names;
	ListCell *lc;

	table_close(catalog, AccessShareLock);
	if (trigger == NULL || trigger->nargs == TRIGGER_WEBHOOK_ARGS)
		PG_RETURN_NULL();
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	trigger_spec_read(&spec, trigger->nargs, trigger->args);
	if (spec.into_table != NULL)
		PG_RETURN_NULL();
	names = palloc(sizeof(Datum) * list_length(spec.columns));
	foreach (lc, spec.columns)
		names[foreach_current_index(lc)] =
			DirectFunctionCall1(namein, CStringGetDatum(lfirst(lc)));
	values[0] = ObjectIdGetDatum(
		trigger_target(trigger->form->tgrelid, trigger->form->oid, true));
	values[1] = DirectFunctionCall1(namein, CStringGetDatum(spec.result_column));
	values[2] = CStringGetTextDatum(reference_label(spec.function));
	values[3] = PointerGetDatum(construct_array(names, list_length(spec.columns),
												NAMEOID, NAMEDATALEN, false,
												TYPALIGN_CHAR));
	values[4] = PointerGetDatum(spec.kwargs);
	nulls[4] = spec.kwargs == NULL;
	nulls[5] = spec.version_column == NULL;
	if (!nulls[5])
		values[5] = DirectFunctionCall1(namein, CStringGetDatum(spec.version_column));
	values[6] = BoolGetDatum(spec.skip_nulls);
	values[7] = Int32GetDatum(spec.priority);
	PG_RETURN_DATUM(HeapTupleGetDatum(
		heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}
