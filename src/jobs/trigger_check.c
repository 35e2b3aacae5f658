/*-------------------------------------------------------------------------
 *
 * trigger_check.c
 *	  What a trigger that calls modal_trigger() must be like, and who may make
 *	  one of any kind on the tables of jobs; see trigger_check.h.
 *
 * Triggers come from CREATE TRIGGER and CREATE CONSTRAINT TRIGGER, from scripts
 * and dumps, and as clones in partitions that are made or attached.  All of
 * them pass the object access hook, so that is where they are looked at.
 *
 *	- Its jobs run as the owner of the table, with that role's token.  So only
 *	  the owner may make one, though PostgreSQL is content with the TRIGGER
 *	  privilege.  Another table that it fills must be theirs, too, for the trigger
 *	  depends on that.  A clone has been accepted with the trigger that it is of.
 *	- A reference without a server means the one that is set for whoever makes
 *	  the trigger.  Its name is put into the stored arguments: a setting of
 *	  those who write rows later must not choose who gets the owner's data.
 *	- Our statements fire what is on the tables of jobs with the rights of their
 *	  owner.  The TRIGGER and REFERENCES privileges are not enough for that.
 *	- Nothing of the server is checked while check_function_bodies is off:
 *	  a dump may be restored where its servers are made later.
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/sysattr.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/indexing.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_foreign_server.h"
#include "catalog/pg_language.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_trigger.h"
#include "core/reference.h"
#include "endpoint/endpoint.h"
#include "foreign/foreign.h"
#include "guc.h"
#include "jobs/generated.h"
#include "jobs/generated_follow.h"
#include "jobs/nearest_name.h"
#include "jobs/owner.h"
#include "jobs/sink_target.h"
#include "jobs/sql.h"
#include "jobs/trigger_catalog.h"
#include "jobs/trigger_check.h"
#include "jobs/trigger_rows.h"
#include "jobs/webhook.h"
#include "optimizer/optimizer.h"
#include "rewrite/rewriteHandler.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/varlena.h"

static object_access_hook_type prev_object_access = NULL;

/* --- arguments ------------------------------------------------------------ */

void
trigger_check_type(int16 tgtype, const TriggerSpec *spec)
{
	bool after_row = TRIGGER_FOR_AFTER(tgtype) && TRIGGER_FOR_ROW(tgtype);

	if (spec->webhook)
		webhook_check_type(tgtype);
	else if (spec->into_table != NULL)
	{
		if (!after_row || !TRIGGER_FOR_INSERT(tgtype) ||
			!TRIGGER_FOR_UPDATE(tgtype) || !TRIGGER_FOR_DELETE(tgtype))
			ereport(ERROR,
					(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
					 errmsg("modal_trigger() for rows of another table must be fired AFTER INSERT OR UPDATE OR DELETE, FOR EACH ROW")));
	}
	else if (!after_row || TRIGGER_FOR_DELETE(tgtype) ||
			 !(TRIGGER_FOR_INSERT(tgtype) || TRIGGER_FOR_UPDATE(tgtype)))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("modal_trigger() must be fired AFTER INSERT OR UPDATE, FOR EACH ROW")));
}

/* Add the names of the columns that a generated one is calculated from. */
static List *
add_origins(List *names, Relation rel, AttrNumber attno)
{
	Bitmapset *origins = NULL;
	int i = -1;

	pull_varattnos(build_column_default(rel, attno), 1, &origins);
	while ((i = bms_next_member(origins, i)) >= 0)
	{
		AttrNumber origin = i + FirstLowInvalidHeapAttributeNumber;

		/* tableoid is none that anybody writes */
		if (origin > 0)
			names = lappend(names, get_attname(RelationGetRelid(rel), origin, false));
	}
	return names;
}

List *
trigger_columns_read(Relation rel, List *names)
{
	List *read = list_copy(names);
	ListCell *lc;

	foreach (lc, names)
	{
		AttrNumber attno = get_attnum(RelationGetRelid(rel), lfirst(lc));

		if (attno > 0 &&
			TupleDescAttr(RelationGetDescr(rel), attno - 1)->attgenerated != '\0')
			read = add_origins(read, rel, attno);
	}
	return read;
}

/* What is written must not be what is read: that would never end. */
static void
check_written(Relation rel, const char *name, const char *role, List *read)
{
	ListCell *lc;

	(void) sink_target_written_column(rel, name, role);
	foreach (lc, read)
		if (strcmp(lfirst(lc), name) == 0)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("column \"%s\" cannot take the results", name),
					 errdetail("It is an argument, or part of the primary key, or such a column is calculated from it."),
					 errhint("Use another column for the results.")));
}

/* It must be stored: what is not there cannot be looked at again. */
void
trigger_check_argument(Relation rel, const char *name)
{
	(void) nearest_stored_column(rel, name, "argument column");
}

static void
check_version_column(Relation rel, const TriggerSpec *spec, List *read)
{
	Oid type;

	check_written(rel, spec->version_column, "version column", read);
	if (strcmp(spec->version_column, spec->result_column) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("column \"%s\" cannot take both results and versions",
						spec->version_column)));
	type = get_atttype(RelationGetRelid(rel),
					   get_attnum(RelationGetRelid(rel), spec->version_column));
	if (type != INT4OID && type != INT8OID && type != TEXTOID)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("version column \"%s\" is of type %s",
						spec->version_column, format_type_be(type)),
				 errhint("Make it integer, bigint or text.")));
}

void
trigger_check_spec(Relation rel, const TriggerSpec *spec)
{
	List *read;
	ListCell *lc;

	if (store_has_relation(RelationGetRelid(rel)))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("modal_trigger() cannot be used on table \"%s\"",
						RelationGetRelationName(rel)),
				 errdetail("It would be fired by its own jobs.")));
	if (spec->webhook)
		return;
	if (rel->rd_rel->relpersistence == RELPERSISTENCE_TEMP)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("modal_trigger() cannot be used on temporary table \"%s\"",
						RelationGetRelationName(rel)),
				 errdetail("Its jobs run in another session.")));
	foreach (lc, spec->columns)
		trigger_check_argument(rel, lfirst(lc));
	if (spec->into_table != NULL)
	{
		trigger_rows_check(rel, spec);
		return;
	}
	read = list_concat_copy(spec->columns,
							relation_primary_key(RelationGetRelid(rel)));
	read = trigger_columns_read(rel, read);
	check_written(rel, spec->result_column, "result column", read);
	if (spec->version_column != NULL)
		check_version_column(rel, spec, read);
}

/* --- the server ----------------------------------------------------------- */

static void
no_such_server(const char *name)
{
	Relation rel = table_open(ForeignServerRelationId, AccessShareLock);
	SysScanDesc scan = systable_beginscan(rel, InvalidOid, false, NULL, 0, NULL);
	NearestName nearest = nearest_name_to(name);
	HeapTuple tuple;

	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		nearest_name_consider(&nearest,
							  NameStr(((Form_pg_foreign_server) GETSTRUCT(tuple))->srvname));
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT),
			 errmsg("server \"%s\" does not exist", name),
			 nearest.name != NULL
				 ? errhint("Perhaps you meant the server \"%s\".", nearest.name)
				 : errhint("Use CREATE SERVER with foreign-data wrapper modal_batch.")));
}

void
trigger_check_server(const TriggerSpec *spec, const Endpoint *endpoint)
{
	bool webhook = endpoint->protocol == ENDPOINT_HTTP &&
		endpoint->format == HTTP_WEBHOOK;

	if (spec->webhook && !webhook)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("modal_trigger() takes three arguments, not one"),
				 errdetail("With one it is a webhook, whose server has format \"webhook\"; \"%s\" has not.",
						   endpoint->server_name)));
	if (webhook && !spec->webhook)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a webhook has no arguments and no result"),
				 errdetail("Server \"%s\" has format \"webhook\".",
						   endpoint->server_name),
				 errhint("Give modal_trigger() the function alone.")));
}

/* As the owner will find it when a row is written. */
static void
check_function(const TriggerSpec *spec, const char *reference, Relation rel)
{
	Oid owner = rel->rd_rel->relowner;
	Slice name = reference_server(reference, strlen(reference));
	char *server = pnstrdup(name.p, name.n);
	Endpoint *endpoint;
	OwnerScope scope;
	const char *rest;

	if (name.n > 0 && GetForeignServerByName(server, true) == NULL)
		no_such_server(server);
	owner_enter_rights(&scope, owner);
	endpoint = endpoint_get(reference, owner, &rest);
	owner_leave(&scope);
	trigger_check_server(spec, endpoint);
	if (endpoint->ordered_by != NULL)
		(void) webhook_order_column(rel, endpoint->ordered_by);
	endpoint_release(endpoint);
}

/* The reference with the server that it means now. */
static char *
resolved_reference(const char *reference)
{
	if (reference_server(reference, strlen(reference)).p != NULL)
		return pstrdup(reference);
	return psprintf("%s:%s", modal_default_server, reference);
}

/* --- triggers being made -------------------------------------------------- */

/* Before a table is locked: whoever only waits for that holds up all others. */
static void
check_owner(Oid relid, const char *detail)
{
	if (!relation_ownercheck(relid, GetUserId()))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("must be owner of table %s to use modal_trigger()",
						get_rel_name(relid)),
				 errdetail_internal("%s", detail)));
}

/*
 * With those of the partition itself a clone may close a circle that none of
 * the declarations has.
 */
static void
check_clone(Relation partition, const TriggerSpec *spec)
{
	Relation target;

	if (spec->into_table == NULL)
	{
		generated_check_circle(partition, spec);
		return;
	}
	target = relation_open(trigger_rows_target(spec), AccessShareLock);
	generated_check_rows_circle(partition, target);
	relation_close(target, NoLock);
}

static void
check_trigger(Relation catalog, OurTrigger *trigger)
{
	Form_pg_trigger form = trigger->form;
	bool is_clone = OidIsValid(form->tgparentid);
	Relation rel = table_open(form->tgrelid, NoLock);
	TriggerSpec spec;
	char *reference;

	if (!is_clone)
		check_owner(form->tgrelid, "Its jobs run with the rights of the table's owner.");
	trigger_spec_read(&spec, trigger->nargs, trigger->args);
	if (!is_clone && spec.into_table != NULL)
		check_owner(trigger_rows_target(&spec),
					"Dropping or renaming it changes the trigger.");
	trigger_check_type(form->tgtype, &spec);
	trigger_check_spec(rel, &spec);
	reference = resolved_reference(spec.function);
	if (check_function_bodies)
		check_function(&spec, reference, rel);
	if (strcmp(reference, spec.function) != 0)
	{
		trigger->args[TRIGGER_FUNCTION] = reference;
		/* the row that this command has made is not to be seen by it yet */
		CommandCounterIncrement();
		trigger_catalog_store(catalog, trigger, trigger->args);
	}
	if (spec.declared && is_clone)
		check_clone(rel, &spec);
	else if (spec.declared)
		generated_depend(form->oid, form->tgrelid, &spec);
	table_close(rel, NoLock);
}

/* Those of a foreign key, too, on the table that it refers to. */
static void
refuse_on_tables_of_jobs(Relation catalog, Oid trigger)
{
	Oid relid;

	if (superuser())
		return;
	relid = trigger_catalog_relation(catalog, trigger);
	if (store_has_relation(relid))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied to create a trigger on table \"%s\"",
						get_rel_name(relid)),
				 errdetail("Only superusers make triggers and foreign keys on the tables of modal_batch.")));
}

static void
trigger_made(Oid trigger)
{
	Relation catalog = table_open(TriggerRelationId, RowExclusiveLock);
	OurTrigger *ours;

	refuse_on_tables_of_jobs(catalog, trigger);
	ours = trigger_catalog_get(catalog, trigger);
	if (ours != NULL)
		check_trigger(catalog, ours);
	table_close(catalog, RowExclusiveLock);
}

static void
modal_object_access(ObjectAccessType access, Oid class, Oid object, int sub,
					void *arg)
{
	if (prev_object_access)
		prev_object_access(access, class, object, sub, arg);
	if (access == OAT_POST_CREATE && class == TriggerRelationId)
		trigger_made(object);
	else if (access == OAT_POST_ALTER && class == RelationRelationId && sub > 0)
		generated_follow_column(object, (AttrNumber) sub);
	else if (access == OAT_POST_ALTER && class == RelationRelationId)
		generated_follow_table(object);
	else if (access == OAT_POST_ALTER && class == NamespaceRelationId)
		generated_follow_schema(object);
}

void
modal_trigger_check_init(void)
{
	prev_object_access = object_access_hook;
	object_access_hook = modal_object_access;
}
