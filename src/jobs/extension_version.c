/*-------------------------------------------------------------------------
 *
 * extension_version.c
 *	  Compare the extension's version with the library's; see
 *	  extension_version.h.
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_extension.h"
#include "jobs/extension_version.h"
#include "jobs/sql.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/rel.h"

/* The table of jobs with which all was well; an upgrade invalidates it. */
static Oid checked_table = InvalidOid;

static void
forget_check(Datum arg, Oid relid)
{
	(void) arg;
	if (!OidIsValid(relid) || relid == checked_table)
		checked_table = InvalidOid;
}

/* NULL when the database does not have the extension. */
static char *
installed_version(void)
{
	Relation rel = table_open(ExtensionRelationId, AccessShareLock);
	char *version = NULL;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple tuple;

	ScanKeyInit(&key, Anum_pg_extension_extname, BTEqualStrategyNumber,
				F_NAMEEQ, CStringGetDatum("modal_batch"));
	scan = systable_beginscan(rel, ExtensionNameIndexId, true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
	{
		bool isnull;
		Datum value = heap_getattr(tuple, Anum_pg_extension_extversion,
								   RelationGetDescr(rel), &isnull);

		version = TextDatumGetCString(value);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return version;
}

/* The other version, or NULL if there is none. */
static char *
unfit_version(void)
{
	static bool registered = false;
	Oid table = store_relation("job");
	char *version;

	if (OidIsValid(table) && table == checked_table)
		return NULL;
	if (!registered)
	{
		CacheRegisterRelcacheCallback(forget_check, (Datum) 0);
		registered = true;
	}
	version = installed_version();
	if (version != NULL && strcmp(version, MODAL_BATCH_VERSION) != 0)
		return version;
	checked_table = table;
	return NULL;
}

bool
extension_version_fits(void)
{
	return unfit_version() == NULL;
}

void
extension_check_version(void)
{
	char *version = unfit_version();

	if (version != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("library modal_batch %s does not work with the jobs of version %s of the extension",
						MODAL_BATCH_VERSION, version),
				 errhint("Run ALTER EXTENSION modal_batch UPDATE in this database; if it has been run, restart the server.")));
}
