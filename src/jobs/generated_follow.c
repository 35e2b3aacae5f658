/*-------------------------------------------------------------------------
 *
 * generated_follow.c
 *	  Declarations follow their columns; see generated_follow.h.
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/dependency.h"
#include "catalog/indexing.h"
#include "catalog/pg_attribute.h"
#include "catalog/pg_class.h"
#include "catalog/pg_depend.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_trigger.h"
#include "jobs/extension_version.h"
#include "jobs/generated_follow.h"
#include "jobs/store.h"
#include "jobs/trigger_catalog.h"
#include "jobs/trigger_rows.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"

/* column NULL: on the table as a whole. */
static void
depend_on(Oid trigger, Oid relid, const char *column)
{
	ObjectAddress depender;
	ObjectAddress referenced;

	ObjectAddressSet(depender, TriggerRelationId, trigger);
	ObjectAddressSubSet(referenced, RelationRelationId, relid,
						column == NULL ? 0 : get_attnum(relid, column));
	recordDependencyOn(&depender, &referenced, DEPENDENCY_AUTO);
}

void
generated_depend(Oid trigger, Oid relid, const TriggerSpec *spec)
{
	Oid other = spec->into_table == NULL ? relid : trigger_rows_target(spec);
	ListCell *lc;

	if (other != relid)
		depend_on(trigger, other, NULL);
	if (spec->result_column != NULL)
		depend_on(trigger, other, spec->result_column);
	if (spec->version_column != NULL)
		depend_on(trigger, relid, spec->version_column);
	if (spec->ordinality_column != NULL)
		depend_on(trigger, other, spec->ordinality_column);
	foreach (lc, spec->key)
		depend_on(trigger, other, lfirst(lc));
	foreach (lc, spec->columns)
		depend_on(trigger, relid, lfirst(lc));
}

/* --- other tables --------------------------------------------------------- */

/* What depends so on another table was put there by generated_depend. */
Oid
generated_other_table(Oid trigger)
{
	OurTrigger *ours = trigger_catalog_root(trigger);
	Relation catalog;
	ScanKeyData keys[2];
	SysScanDesc scan;
	HeapTuple tuple;
	Oid other = InvalidOid;

	if (ours == NULL)
		return InvalidOid;
	catalog = table_open(DependRelationId, AccessShareLock);
	ScanKeyInit(&keys[0], Anum_pg_depend_classid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(TriggerRelationId));
	ScanKeyInit(&keys[1], Anum_pg_depend_objid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(ours->form->oid));
	scan = systable_beginscan(catalog, DependDependerIndexId, true, NULL, 2, keys);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_depend form = (Form_pg_depend) GETSTRUCT(tuple);

		if (form->refclassid == RelationRelationId && form->refobjsubid == 0 &&
			form->refobjid != ours->form->tgrelid)
			other = form->refobjid;
	}
	systable_endscan(scan);
	table_close(catalog, AccessShareLock);
	return other;
}

/* Triggers of other tables that fill this one (OurTrigger *), clones not. */
static List *
triggers_into(Relation triggers, Oid relid)
{
	Relation catalog = table_open(DependRelationId, AccessShareLock);
	ScanKeyData keys[3];
	SysScanDesc scan;
	HeapTuple tuple;
	List *found = NIL;

	ScanKeyInit(&keys[0], Anum_pg_depend_refclassid, BTEqualStrategyNumber,
				F_OIDEQ, ObjectIdGetDatum(RelationRelationId));
	ScanKeyInit(&keys[1], Anum_pg_depend_refobjid, BTEqualStrategyNumber,
				F_OIDEQ, ObjectIdGetDatum(relid));
	ScanKeyInit(&keys[2], Anum_pg_depend_refobjsubid, BTEqualStrategyNumber,
				F_INT4EQ, Int32GetDatum(0));
	scan = systable_beginscan(catalog, DependReferenceIndexId, true, NULL, 3,
							  keys);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_depend form = (Form_pg_depend) GETSTRUCT(tuple);
		OurTrigger *ours = form->classid == TriggerRelationId
			? trigger_catalog_get(triggers, form->objid)
			: NULL;

		if (ours != NULL && ours->form->tgrelid != relid &&
			ours->nargs > TRIGGER_OPTIONS)
			found = lappend(found, ours);
	}
	systable_endscan(scan);
	table_close(catalog, AccessShareLock);
	return found;
}

/* A row of a catalog as the present command leaves it; a copy.  NULL: it is gone. */
static HeapTuple
row_to_be(Oid catalog, Oid index, AttrNumber column, Oid oid)
{
	Relation rel = table_open(catalog, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple tuple;

	ScanKeyInit(&key, column, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(oid));
	scan = systable_beginscan(rel, index, true, SnapshotSelf, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
		tuple = heap_copytuple(tuple);
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return tuple;
}

List *
generated_sources(Oid relid)
{
	Relation catalog = table_open(TriggerRelationId, AccessShareLock);
	List *found = triggers_into(catalog, relid);

	table_close(catalog, AccessShareLock);
	return found;
}

/*
 * As it is now, and stays: its own table is not locked, so that others may drop
 * it.  NULL: they have.
 */
static OurTrigger *
lock_trigger(Relation triggers, const OurTrigger *found)
{
	LockDatabaseObject(TriggerRelationId, found->form->oid, 0,
					   ShareUpdateExclusiveLock);
	return trigger_catalog_get(triggers, found->form->oid);
}

/* The name that the present command gives the table, qualified; NULL: it is gone. */
static char *
table_name_to_be(Oid relid)
{
	HeapTuple table = row_to_be(RelationRelationId, ClassOidIndexId,
								Anum_pg_class_oid, relid);
	HeapTuple schema;

	if (!HeapTupleIsValid(table))
		return NULL;
	schema = row_to_be(NamespaceRelationId, NamespaceOidIndexId,
					   Anum_pg_namespace_oid,
					   ((Form_pg_class) GETSTRUCT(table))->relnamespace);
	if (!HeapTupleIsValid(schema))
		return NULL;
	return quote_qualified_identifier(
		NameStr(((Form_pg_namespace) GETSTRUCT(schema))->nspname),
		NameStr(((Form_pg_class) GETSTRUCT(table))->relname));
}

void
generated_follow_table(Oid relid)
{
	Relation catalog = table_open(TriggerRelationId, RowExclusiveLock);
	char *name = NULL;
	ListCell *lc;

	foreach (lc, triggers_into(catalog, relid))
	{
		OurTrigger *ours = lock_trigger(catalog, lfirst(lc));
		TriggerSpec spec;

		if (ours == NULL)
			continue;
		trigger_spec_read(&spec, ours->nargs, ours->args);
		if (name == NULL)
			name = table_name_to_be(relid);
		if (name == NULL || spec.into_table == NULL ||
			strcmp(spec.into_table, name) == 0)
			continue;
		spec.into_table = name;
		trigger_catalog_store(catalog, ours, trigger_spec_write(&spec));
	}
	table_close(catalog, RowExclusiveLock);
}

void
generated_follow_schema(Oid nsp)
{
	Relation catalog = table_open(RelationRelationId, AccessShareLock);
	SysScanDesc scan = systable_beginscan(catalog, InvalidOid, false, NULL, 0, NULL);
	List *tables = NIL;
	HeapTuple tuple;
	ListCell *lc;

	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_class form = (Form_pg_class) GETSTRUCT(tuple);

		if (form->relnamespace == nsp && form->relkind != RELKIND_INDEX)
			tables = lappend_oid(tables, form->oid);
	}
	systable_endscan(scan);
	table_close(catalog, AccessShareLock);
	foreach (lc, tables)
		generated_follow_table(lfirst_oid(lc));
}

/* --- columns -------------------------------------------------------------- */

/* The name that the present command gives the column; NULL: it is gone. */
static char *
name_to_be(Oid relid, AttrNumber attno)
{
	Relation catalog = table_open(AttributeRelationId, AccessShareLock);
	ScanKeyData keys[2];
	SysScanDesc scan;
	HeapTuple tuple;
	char *name = NULL;

	ScanKeyInit(&keys[0], Anum_pg_attribute_attrelid, BTEqualStrategyNumber,
				F_OIDEQ, ObjectIdGetDatum(relid));
	ScanKeyInit(&keys[1], Anum_pg_attribute_attnum, BTEqualStrategyNumber,
				F_INT2EQ, Int16GetDatum(attno));
	scan = systable_beginscan(catalog, AttributeRelidNumIndexId, true,
							  SnapshotSelf, 2, keys);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
		name = pstrdup(NameStr(((Form_pg_attribute) GETSTRUCT(tuple))->attname));
	systable_endscan(scan);
	table_close(catalog, AccessShareLock);
	return name;
}

/* A column of the table that it fills. */
static void
rename_in_other(Relation catalog, const OurTrigger *found, const char *old_name,
				const char *new_name)
{
	OurTrigger *ours = lock_trigger(catalog, found);
	TriggerSpec spec;

	if (ours == NULL)
		return;
	trigger_spec_read(&spec, ours->nargs, ours->args);
	if (trigger_spec_rename_other(&spec, old_name, new_name))
		trigger_catalog_store(catalog, ours, trigger_spec_write(&spec));
}

/* Has it any triggers of ours? */
static bool
rename_in_triggers(Oid relid, const char *old_name, const char *new_name)
{
	Relation catalog = table_open(TriggerRelationId, RowExclusiveLock);
	List *triggers = trigger_catalog_of(catalog, relid);
	List *others = triggers_into(catalog, relid);
	ListCell *lc;

	foreach (lc, triggers)
	{
		OurTrigger *ours = lfirst(lc);
		TriggerSpec spec;

		if (ours->nargs <= TRIGGER_OPTIONS)
			continue;
		trigger_spec_read(&spec, ours->nargs, ours->args);
		if (trigger_spec_rename(&spec, old_name, new_name))
			trigger_catalog_store(catalog, ours, trigger_spec_write(&spec));
	}
	foreach (lc, others)
	{
		OurTrigger *ours = lfirst(lc);
		ListCell *lc2;

		rename_in_other(catalog, ours, old_name, new_name);
		foreach (lc2, trigger_catalog_clones(catalog, ours))
			rename_in_other(catalog, lfirst(lc2), old_name, new_name);
	}
	table_close(catalog, RowExclusiveLock);
	return triggers != NIL || others != NIL;
}

void
generated_follow_column(Oid relid, AttrNumber attno)
{
	/* the catalog caches do not know yet what this command has done */
	char *old_name = get_attname(relid, attno, true);
	char *new_name = name_to_be(relid, attno);

	if (old_name == NULL || new_name == NULL || strcmp(old_name, new_name) == 0)
		return;
	if (rename_in_triggers(relid, old_name, new_name) && job_store_exists() &&
		extension_version_fits())
		job_store_rename_column(relid, old_name, new_name);
}
