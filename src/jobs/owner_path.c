/*-------------------------------------------------------------------------
 *
 * owner_path.c
 *	  The search_path of a role; see owner_path.h.
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_db_role_setting.h"
#include "jobs/owner_path.h"
#include "jobs/sql.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#define SETTING "search_path="

static char *server_path = NULL;

void
modal_owner_path_init(void)
{
	server_path = MemoryContextStrdup(TopMemoryContext,
									  GetConfigOption("search_path", false, false));
}

/* NULL: nothing is said of it. */
static char *
setting_of(Oid database, Oid role)
{
	Relation rel = table_open(DbRoleSettingRelationId, AccessShareLock);
	ScanKeyData keys[2];
	SysScanDesc scan;
	HeapTuple tuple;
	char *path = NULL;

	ScanKeyInit(&keys[0], Anum_pg_db_role_setting_setdatabase,
				BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(database));
	ScanKeyInit(&keys[1], Anum_pg_db_role_setting_setrole,
				BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(role));
	scan = systable_beginscan(rel, DbRoleSettingDatidRolidIndexId, true, NULL, 2,
							  keys);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		bool isnull;
		Datum settings = heap_getattr(tuple, Anum_pg_db_role_setting_setconfig,
									  RelationGetDescr(rel), &isnull);
		ListCell *lc;

		if (isnull)
			continue;
		foreach (lc, text_array_to_list(settings))
			if (strncmp(lfirst(lc), SETTING, strlen(SETTING)) == 0)
				path = (char *) lfirst(lc) + strlen(SETTING);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return path;
}

char *
owner_path(Oid role)
{
	char *path = setting_of(MyDatabaseId, role);

	if (path == NULL)
		path = setting_of(InvalidOid, role);
	if (path == NULL)
		path = setting_of(MyDatabaseId, InvalidOid);
	if (path == NULL)
		path = setting_of(InvalidOid, InvalidOid);
	if (path == NULL)
		path = server_path;
	/* else the temporary tables of the session would come first */
	return path[0] == '\0' ? pstrdup("pg_temp") : psprintf("%s, pg_temp", path);
}
