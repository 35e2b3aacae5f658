/*-------------------------------------------------------------------------
 *
 * guards.c
 *	  The triggers of the tables of jobs; see guards.h.
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "commands/trigger.h"
#include "jobs/generated.h"
#include "jobs/guards.h"
#include "jobs/sql.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

static bool
enables_all(AlterTableStmt *stmt)
{
	ListCell *lc;

	foreach (lc, stmt->cmds)
	{
		AlterTableType type = lfirst_node(AlterTableCmd, lc)->subtype;

		if (type == AT_EnableTrigAll || type == AT_EnableTrigUser)
			return true;
	}
	return false;
}

Oid
guards_enabled_by(Node *parsetree)
{
	Oid relid;

	if (!IsA(parsetree, AlterTableStmt) ||
		!enables_all((AlterTableStmt *) parsetree))
		return InvalidOid;
	relid = RangeVarGetRelid(((AlterTableStmt *) parsetree)->relation, NoLock, true);
	return OidIsValid(relid) && store_has_relation(relid) ? relid : InvalidOid;
}

static void
enable(Oid relid, const char *when, const char *trigger)
{
	if (OidIsValid(get_trigger_oid(relid, trigger, true)))
		generated_run_utility(
			psprintf("ALTER TABLE %s ENABLE %s TRIGGER %s",
					 quote_qualified_identifier(
						 get_namespace_name(get_rel_namespace(relid)), get_rel_name(relid)),
					 when, trigger));
}

void
guards_restore(Oid relid)
{
	CommandCounterIncrement();
	enable(relid, "ALWAYS", "refuse_write");
	enable(relid, "REPLICA", "not_replicated");
}
