/*-------------------------------------------------------------------------
 *
 * trigger_catalog.c
 *	  Triggers with modal_trigger() in pg_trigger; see trigger_catalog.h.
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/indexing.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_language.h"
#include "catalog/pg_proc.h"
#include "jobs/trigger_catalog.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

static bool
is_ours(Oid funcid)
{
	HeapTuple tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(funcid));
	bool isnull;
	bool ours;
	Datum source;

	if (!HeapTupleIsValid(tuple))
		return false;
	source = SysCacheGetAttr(PROCOID, tuple, Anum_pg_proc_prosrc, &isnull);
	ours = ((Form_pg_proc) GETSTRUCT(tuple))->prolang == ClanguageId &&
		!isnull && strcmp(TextDatumGetCString(source), "modal_trigger") == 0;
	ReleaseSysCache(tuple);
	return ours;
}

/* They are stored one after the other, each with a zero byte at its end. */
static char **
read_arguments(Relation catalog, HeapTuple tuple, int nargs)
{
	char **args = palloc(sizeof(char *) * Max(nargs, 1));
	bool isnull;
	Datum value = heap_getattr(tuple, Anum_pg_trigger_tgargs,
							   RelationGetDescr(catalog), &isnull);
	const char *p;

	if (isnull)
		elog(ERROR, "tgargs is null in trigger");
	p = VARDATA_ANY(DatumGetByteaPP(value));
	for (int i = 0; i < nargs; i++)
	{
		args[i] = pstrdup(p);
		p += strlen(p) + 1;
	}
	return args;
}

/* NULL when it is not one of ours. */
static OurTrigger *
our_trigger(Relation catalog, HeapTuple tuple)
{
	OurTrigger *ours;

	if (!is_ours(((Form_pg_trigger) GETSTRUCT(tuple))->tgfoid))
		return NULL;
	ours = palloc(sizeof(OurTrigger));
	ours->tuple = heap_copytuple(tuple);
	ours->form = (Form_pg_trigger) GETSTRUCT(ours->tuple);
	ours->nargs = ours->form->tgnargs;
	ours->args = read_arguments(catalog, ours->tuple, ours->nargs);
	return ours;
}

/* A copy; NULL: there is none. */
static HeapTuple
find(Relation catalog, Oid trigger)
{
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple tuple;

	ScanKeyInit(&key, Anum_pg_trigger_oid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(trigger));
	scan = systable_beginscan(catalog, TriggerOidIndexId, true, SnapshotSelf, 1,
							  &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
		tuple = heap_copytuple(tuple);
	systable_endscan(scan);
	return tuple;
}

OurTrigger *
trigger_catalog_get(Relation catalog, Oid trigger)
{
	HeapTuple tuple = find(catalog, trigger);

	return HeapTupleIsValid(tuple) ? our_trigger(catalog, tuple) : NULL;
}

Oid
trigger_catalog_relation(Relation catalog, Oid trigger)
{
	HeapTuple tuple = find(catalog, trigger);

	return HeapTupleIsValid(tuple)
		? ((Form_pg_trigger) GETSTRUCT(tuple))->tgrelid
		: InvalidOid;
}

OurTrigger *
trigger_catalog_root(Oid trigger)
{
	Relation catalog = table_open(TriggerRelationId, AccessShareLock);
	OurTrigger *ours;

	while ((ours = trigger_catalog_get(catalog, trigger)) != NULL &&
		   OidIsValid(ours->form->tgparentid))
		trigger = ours->form->tgparentid;
	table_close(catalog, AccessShareLock);
	return ours;
}

Oid
trigger_catalog_table(Oid relid, Oid trigger)
{
	OurTrigger *root = get_rel_relispartition(relid) ? trigger_catalog_root(trigger)
													 : NULL;

	return root == NULL ? relid : root->form->tgrelid;
}

List *
trigger_catalog_of(Relation catalog, Oid relid)
{
	List *triggers = NIL;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple tuple;

	ScanKeyInit(&key, Anum_pg_trigger_tgrelid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(relid));
	scan = systable_beginscan(catalog, TriggerRelidNameIndexId, true, NULL, 1,
							  &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		OurTrigger *ours = our_trigger(catalog, tuple);

		if (ours != NULL)
			triggers = lappend(triggers, ours);
	}
	systable_endscan(scan);
	return triggers;
}

List *
trigger_catalog_clones(Relation catalog, const OurTrigger *trigger)
{
	List *clones = NIL;
	ListCell *lc, *lc2;

	foreach (lc, find_all_inheritors(trigger->form->tgrelid, NoLock, NULL))
	{
		if (lfirst_oid(lc) == trigger->form->tgrelid)
			continue;
		foreach (lc2, trigger_catalog_of(catalog, lfirst_oid(lc)))
		{
			OurTrigger *other = lfirst(lc2);
			const OurTrigger *root = trigger_catalog_root(other->form->oid);

			if (root != NULL && root->form->oid == trigger->form->oid)
				clones = lappend(clones, other);
		}
	}
	return clones;
}

void
trigger_catalog_store(Relation catalog, OurTrigger *trigger, char **args)
{
	Datum values[Natts_pg_trigger] = {0};
	bool nulls[Natts_pg_trigger] = {0};
	bool replace[Natts_pg_trigger] = {0};
	StringInfoData packed;
	HeapTuple tuple;

	initStringInfo(&packed);
	for (int i = 0; i < trigger->nargs; i++)
		appendBinaryStringInfo(&packed, args[i], (int) strlen(args[i]) + 1);
	values[Anum_pg_trigger_tgargs - 1] = PointerGetDatum(
		cstring_to_text_with_len(packed.data, packed.len));
	replace[Anum_pg_trigger_tgargs - 1] = true;
	tuple = heap_modify_tuple(trigger->tuple, RelationGetDescr(catalog), values,
							  nulls, replace);
	CatalogTupleUpdate(catalog, &tuple->t_self, tuple);
	/* the command may be one on another table */
	CacheInvalidateRelcacheByRelid(trigger->form->tgrelid);
}
