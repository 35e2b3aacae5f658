/*-------------------------------------------------------------------------
 *
 * scout.c
 *	  Work in a database that is no role's; see scout.h.
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include "guc.h"
#include "jobs/error.h"
#include "jobs/owner.h"
#include "jobs/runner_state.h"
#include "jobs/runner_xact.h"
#include "jobs/scout.h"
#include "jobs/store.h"

#define BACK_S 60 /* when there are too many runners */
#define LOOK_RETRY_S 1 /* when the tables cannot be read */

static double back_in_s = -1; /* see runner_leave */
static bool more_expired = false;
static int64 removed = 0;

static void
scout_owner(Oid owner)
{
	OwnerAccess access = owner_access(MyDatabaseId, owner);
	Jsonb *error = edata_to_jsonb(owner_access_error(owner, access), 1);

	if (access == OWNER_GONE)
	{
		while (job_store_end_orphans(owner, error) > 0)
			CHECK_FOR_INTERRUPTS();
		return;
	}
	if (access == OWNER_REFUSED)
		job_store_note_waiting(owner, false, error);
	if (!launcher_want((RunnerKey) {MyDatabaseId, owner}))
		back_in_s = BACK_S; /* too many at present */
}

static void
scout_database(void)
{
	ListCell *lc;

	back_in_s = -1;
	runner_begin();
	if (job_store_exists())
		foreach (lc, job_store_owners())
			scout_owner(lfirst_oid(lc));
	runner_commit();
	runner_job_changed();
}

/* A part of what has been kept for long enough. */
static void
expire_part(void)
{
	more_expired = false;
	runner_begin();
	if (job_store_exists())
	{
		more_expired |= job_store_expire_of_triggers(modal_trigger_job_retention_s);
		more_expired |= job_store_expire(modal_result_retention_s, &removed);
	}
	runner_commit();
	if (more_expired || removed == 0)
		return;
	ereport(LOG, (errmsg("removed " INT64_FORMAT " jobs that ended longer ago than modal_batch.result_retention", removed)));
	removed = 0;
}

void
scout(void)
{
	RunnerWish wish;
	int64 from_job = 0;

	do
	{
		bool wished;

		CHECK_FOR_INTERRUPTS();
		modal_reload_configuration();
		wished = runner_take_wish(&wish, &from_job);
		if (wish != RUNNER_STAY)
		{
			if (more_expired)
				back_in_s = 0;
			more_expired = false;
			continue;
		}
		if (wished && !runner_unless_locked(scout_database))
			back_in_s = LOOK_RETRY_S;
		if (!runner_unless_locked(expire_part))
			more_expired = false;
	} while (more_expired || !runner_leave(back_in_s));
}
