/*-------------------------------------------------------------------------
 *
 * new_owner.c
 *	  Jobs that get another owner; see new_owner.h.
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include "access/xact.h"
#include "commands/user.h"
#include "jobs/extension_version.h"
#include "jobs/new_owner.h"
#include "jobs/sql.h"
#include "jobs/store.h"
#include "jobs/wake.h"
#include "utils/acl.h"
#include "utils/snapmgr.h"

struct OwnerChange
{
	List *from; /* of OIDs; NIL: owners of tables alone change */
	Oid to;
};

static bool
changes_table_owner(AlterTableStmt *stmt)
{
	ListCell *lc;

	foreach (lc, stmt->cmds)
		if (lfirst_node(AlterTableCmd, lc)->subtype == AT_ChangeOwner)
			return true;
	return false;
}

OwnerChange *
owner_change_of(Node *parsetree)
{
	OwnerChange *change;

	if (!IsA(parsetree, ReassignOwnedStmt) &&
		!(IsA(parsetree, AlterTableStmt) &&
		  changes_table_owner((AlterTableStmt *) parsetree)))
		return NULL;
	change = palloc0(sizeof(OwnerChange));
	if (IsA(parsetree, ReassignOwnedStmt))
	{
		ReassignOwnedStmt *stmt = (ReassignOwnedStmt *) parsetree;

		change->from = roleSpecsToIds(stmt->roles);
		change->to = get_rolespec_oid(stmt->newrole, false);
	}
	return change;
}

void
owner_change_follow_tables(int64 job)
{
	Datum args[] = {Int64GetDatum(job)};

	store_run_alone(FOLLOW_TABLES, args, job == 0 ? "n" : NULL);
}

void
owner_change_follow(const OwnerChange *change)
{
	ListCell *lc;

	CommandCounterIncrement();
	if (!job_store_exists() || !extension_version_fits())
		return;
	PushActiveSnapshot(GetTransactionSnapshot());
	owner_change_follow_tables(0);
	foreach (lc, change->from)
	{
		Datum args[] = {ObjectIdGetDatum(lfirst_oid(lc)),
						 ObjectIdGetDatum(change->to)};

		store_run_alone(REASSIGN, args, NULL);
	}
	PopActiveSnapshot();
	wake_runner_at_commit(InvalidOid);
}

void
owner_change_job(Job *job)
{
	Datum args[] = {Int64GetDatum(job->id), ObjectIdGetDatum(GetUserId())};

	owner_change_follow_tables(job->id);
	store_run_alone(TAKE_OVER, args, NULL);
	job->owner = job_store_load(job->id)->owner;
}

bool
owner_change_hand_over(const Job *job)
{
	const Job *now = job_store_lock_own(job->id);

	if (now == NULL || (now->state != JOB_RUNNING && now->state != JOB_PENDING))
		return false;
	job_store_set_state(job->id, JOB_PENDING);
	owner_change_follow_tables(job->id);
	now = job_store_load(job->id);
	if (now->owner == job->owner)
		return false;
	wake_runner_at_commit(now->owner);
	return true;
}
