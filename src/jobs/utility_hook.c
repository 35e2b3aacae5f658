/*-------------------------------------------------------------------------
 *
 * utility_hook.c
 *	  What commands on databases and two-phase commit mean for runners.
 *
 * A runner is connected to its database, and DROP DATABASE, ALTER DATABASE
 * RENAME or SET TABLESPACE, and CREATE DATABASE … TEMPLATE want nobody there.
 * So it is asked to leave before such a command and kept out until the
 * command is over; its remote calls go on meanwhile.  A command that will be
 * refused, because the database is somebody else's, does not disturb it.
 *
 * ALTER SERVER is looked at for options that only superusers may drop.
 *
 * Where tables, or all that a role owns, get another owner, jobs follow: see
 * new_owner.h.
 *
 * Where all triggers of a table are enabled, those that guard the tables of jobs
 * stay as they are: see guards.h.
 *
 * COMMIT PREPARED makes jobs visible that another session has prepared: see
 * wake.h.
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_database.h"
#include "commands/dbcommands.h"
#include "commands/defrem.h"
#include "endpoint/options.h"
#include "jobs/guards.h"
#include "jobs/new_owner.h"
#include "jobs/runner_state.h"
#include "jobs/utility_hook.h"
#include "jobs/wake.h"
#include "link/shmem.h"
#include "nodes/parsenodes.h"
#include "storage/ipc.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/syscache.h"

static ProcessUtility_hook_type prev_process_utility = NULL;

/* As the commands themselves will see it. */
static bool
may_use_database(Oid dbid, bool as_template)
{
	bool is_template = false;

	if (as_template)
	{
		HeapTuple tuple = SearchSysCache1(DATABASEOID, ObjectIdGetDatum(dbid));

		if (HeapTupleIsValid(tuple))
		{
			is_template = ((Form_pg_database) GETSTRUCT(tuple))->datistemplate;
			ReleaseSysCache(tuple);
		}
	}
	return is_template || database_ownercheck(dbid, GetUserId());
}

/* The database that the command wants for itself, or InvalidOid. */
static Oid
database_wanted(Node *parsetree)
{
	const char *name = NULL;
	Oid dbid;

	switch (nodeTag(parsetree))
	{
		case T_DropdbStmt:
			name = castNode(DropdbStmt, parsetree)->dbname;
			break;
		case T_RenameStmt:
			if (castNode(RenameStmt, parsetree)->renameType == OBJECT_DATABASE)
				name = castNode(RenameStmt, parsetree)->subname;
			break;
		case T_AlterDatabaseStmt:
		{
			ListCell *lc;

			foreach (lc, castNode(AlterDatabaseStmt, parsetree)->options)
				if (strcmp(lfirst_node(DefElem, lc)->defname, "tablespace") == 0)
					name = castNode(AlterDatabaseStmt, parsetree)->dbname;
			break;
		}
		case T_CreatedbStmt:
		{
			ListCell *lc;

			name = "template1";
			foreach (lc, castNode(CreatedbStmt, parsetree)->options)
			{
				DefElem *option = lfirst_node(DefElem, lc);

				if (strcmp(option->defname, "template") == 0 &&
					option->arg != NULL)
					name = defGetString(option);
			}
			break;
		}
		default:
			break;
	}
	dbid = name == NULL ? InvalidOid : get_database_oid(name, true);
	if (OidIsValid(dbid) &&
		!may_use_database(dbid, IsA(parsetree, CreatedbStmt)))
		dbid = InvalidOid;
	return dbid;
}

static void
allow_runner(int code, Datum dbid)
{
	(void) code;
	runner_allow(DatumGetObjectId(dbid));
}

static bool
is_commit_prepared(Node *parsetree)
{
	return IsA(parsetree, TransactionStmt) &&
		castNode(TransactionStmt, parsetree)->kind == TRANS_STMT_COMMIT_PREPARED;
}

/* The rest of the chain of hooks, with the arguments of process_utility. */
#define NEXT_HOOK(...) \
	(prev_process_utility ? prev_process_utility \
						  : standard_ProcessUtility)(__VA_ARGS__)

static void
run_without_runner(Oid dbid, PlannedStmt *pstmt, const char *query,
				   bool read_only_tree, ProcessUtilityContext context,
				   ParamListInfo params, QueryEnvironment *env,
				   DestReceiver *dest, QueryCompletion *qc)
{
	PG_ENSURE_ERROR_CLEANUP(allow_runner, ObjectIdGetDatum(dbid));
	{
		runner_stop(dbid);
		NEXT_HOOK(pstmt, query, read_only_tree, context, params, env, dest, qc);
	}
	PG_END_ENSURE_ERROR_CLEANUP(allow_runner, ObjectIdGetDatum(dbid));
	runner_allow(dbid);
}

static void
process_utility(PlannedStmt *pstmt, const char *query, bool read_only_tree,
				ProcessUtilityContext context, ParamListInfo params,
				QueryEnvironment *env, DestReceiver *dest, QueryCompletion *qc)
{
	bool wake = is_commit_prepared(pstmt->utilityStmt) && wake_asks_for_prepared();
	Oid dbid = database_wanted(pstmt->utilityStmt);
	OwnerChange *change = owner_change_of(pstmt->utilityStmt);
	Oid guarded = guards_enabled_by(pstmt->utilityStmt);

	if (IsA(pstmt->utilityStmt, AlterForeignServerStmt))
		options_check_alter(castNode(AlterForeignServerStmt,
									 pstmt->utilityStmt));
	if (OidIsValid(dbid))
		run_without_runner(dbid, pstmt, query, read_only_tree, context, params,
						   env, dest, qc);
	else
		NEXT_HOOK(pstmt, query, read_only_tree, context, params, env, dest, qc);
	/* pstmt may be gone: a COMMIT frees what its transaction has allocated */
	if (change != NULL)
		owner_change_follow(change);
	if (OidIsValid(guarded))
		guards_restore(guarded);
	if (wake)
		wake_after_commit_prepared();
}

void
modal_utility_hook_init(void)
{
	prev_process_utility = ProcessUtility_hook;
	ProcessUtility_hook = process_utility;
}
