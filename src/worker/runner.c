/*-------------------------------------------------------------------------
 *
 * runner.c
 *	  Runs the jobs of one database.
 *
 * A dynamic background worker, started by the launcher when there is work and
 * gone when there has been none for modal_batch.runner_idle_timeout.  It
 * takes the jobs in turn, each for a small step (run_job.c), and sleeps when
 * none has anything to do: until the dispatcher has news, a commit brings new
 * work, or something becomes due.
 *
 * There is one runner per database (runner_state.h), and so one executor per
 * job.  It is connected as superuser; what belongs to a job's owner is done
 * as that owner (job_owner.h).
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include "access/xact.h"
#include "clock.h"
#include "guc.h"
#include "lib/ilist.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "runner_state.h"
#include "link/channel.h"
#include "session/job_store.h"
#include "storage/ipc.h"
#include "tcop/tcopprot.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "worker/job_error.h"
#include "jobs/run_job.h"
#include "jobs/runner_xact.h"

#define MAX_ACTIVE_JOBS 1000
#define LOOK_PAUSE 4 /* times as long as it took: a fifth of the time at most */
#define LOOK_RETRY_S 1 /* when the tables cannot be read */
#define EXPIRY_INTERVAL_S 600 /* of looking for old results, while busy */

pg_noreturn extern PGDLLEXPORT void modal_runner_main(Datum main_arg);

typedef struct ActiveJob
{
	dlist_node node;
	RunJob *run;
	bool fresh; /* no step has been made yet */
} ActiveJob;

static dlist_head active_jobs = DLIST_STATIC_INIT(active_jobs);
static int nactive = 0;
static bool leaving = false;
static double next_look;		  /* see clock.h */
static double last_expiry;
static bool must_look = false;
static bool more_waiting = false; /* jobs for which there was no place */
static bool had_work = false;
static MemoryContext jobs_cxt;
static MemoryContext loop_cxt; /* reset at every turn */

/* --- the list of active jobs ---------------------------------------------- */

/* Higher priority first; among equals, older first. */
static void
insert_job(ActiveJob *new)
{
	dlist_iter iter;

	nactive++;
	dlist_foreach(iter, &active_jobs)
	{
		ActiveJob *aj = dlist_container(ActiveJob, node, iter.cur);

		if (run_job_priority(aj->run) < run_job_priority(new->run))
		{
			dlist_insert_before(&aj->node, &new->node);
			return;
		}
	}
	dlist_push_tail(&active_jobs, &new->node);
}

static void
remove_job(ActiveJob *aj)
{
	dlist_delete(&aj->node);
	nactive--;
	run_job_release(aj->run);
	pfree(aj);
}

static void
remove_all_jobs(void)
{
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &active_jobs)
		remove_job(dlist_container(ActiveJob, node, iter.cur));
}

static int64 *
active_ids(void)
{
	int64 *ids = palloc(sizeof(int64) * Max(nactive, 1));
	int n = 0;
	dlist_iter iter;

	dlist_foreach(iter, &active_jobs)
		ids[n++] = run_job_id(dlist_container(ActiveJob, node, iter.cur)->run);
	return ids;
}

/* In PG_CATCH. */
static ErrorData *
take_error(void)
{
	ErrorData *edata;

	MemoryContextSwitchTo(loop_cxt);
	edata = CopyErrorData();
	FlushErrorState();
	AbortCurrentTransaction();
	MemoryContextSwitchTo(loop_cxt);
	return edata;
}

/* An error of one job is that job's affair, even one in recording an error. */
static bool
step_safely(RunJob *run, long *wait_ms)
{
	volatile bool more = true;
	ErrorData *volatile edata = NULL;

	PG_TRY();
	{
		more = run_job_step(run, wait_ms);
	}
	PG_CATCH();
	{
		edata = take_error();
	}
	PG_END_TRY();
	if (edata == NULL)
		return more;

	PG_TRY();
	{
		run_job_error(run, edata);
	}
	PG_CATCH();
	{
		edata = take_error();
		ereport(LOG, (errmsg("could not record the error of job " INT64_FORMAT ": %s",
							 run_job_id(run), edata->message)));
		must_look = true; /* are the tables still there? */
	}
	PG_END_TRY();
	return true;
}

/* --- looking for work ----------------------------------------------------- */

/* Tell the active jobs what users have done to their rows. */
static void
check_states(const int64 *ids)
{
	JobState *states = palloc(sizeof(JobState) * Max(nactive, 1));
	int n = 0;
	dlist_iter iter;

	if (nactive == 0)
		return;
	job_store_states(ids, nactive, states);
	dlist_foreach(iter, &active_jobs)
		run_job_state_changed(dlist_container(ActiveJob, node, iter.cur)->run,
							  states[n++]);
}

static void
take_job(int64 id)
{
	MemoryContext cxt = AllocSetContextCreate(jobs_cxt, "modal_batch job",
											  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(cxt);
	Job *job = job_store_load(id);
	ActiveJob *aj;

	MemoryContextSwitchTo(old);
	if (job == NULL)
	{
		MemoryContextDelete(cxt);
		return;
	}
	aj = MemoryContextAlloc(jobs_cxt, sizeof(ActiveJob));
	aj->run = run_job_create(cxt, job);
	aj->fresh = true;
	insert_job(aj);
	had_work = true;
}

/* Read the tables; when the extension is no longer there, leave. */
static void
look_for_jobs(void)
{
	runner_begin();
	if (!job_store_exists())
		leaving = true;
	else
	{
		int64 *ids = active_ids();
		List *candidates;
		ListCell *lc;

		check_states(ids);
		candidates = job_store_candidates(ids, nactive,
										  MAX_ACTIVE_JOBS - nactive + 1);
		more_waiting = false;
		foreach (lc, candidates)
		{
			if (nactive == MAX_ACTIVE_JOBS)
				more_waiting = true;
			else
				take_job(*(int64 *) lfirst(lc));
		}
	}
	runner_commit();
}

/* Use the tables; false when a lock, or the like, is in the way. */
static bool
unless_locked(void (*use) (void))
{
	ErrorData *volatile edata = NULL;

	PG_TRY();
	{
		use();
	}
	PG_CATCH();
	{
		edata = take_error();
	}
	PG_END_TRY();
	if (edata == NULL)
		return true;
	if (!error_is_contention(edata->sqlerrcode))
		ReThrowError(edata);
	ereport(LOG, (errmsg("could not use the tables of jobs: %s", edata->message)));
	return false;
}

/*
 * Look when that was wished for, and is due: the more there is to see, the
 * longer it takes, above all while an old snapshot keeps the rows of ended
 * jobs.  True when a look was taken.
 *
 * New jobs make their first step at once: the turn of those that are here can
 * take a while.
 */
static bool
look_if_wished(void)
{
	double began = monotonic_seconds();
	dlist_iter iter;
	bool stop;

	if (runner_take_wish(&stop) ||
		(more_waiting && nactive < MAX_ACTIVE_JOBS))
		must_look = true;
	if (stop)
		leaving = true;
	if (leaving || !must_look || began < next_look)
		return false;
	if (!unless_locked(look_for_jobs))
	{
		next_look = monotonic_seconds() + LOOK_RETRY_S;
		return false;
	}
	must_look = false;
	if (leaving)
		return false;
	next_look = began + (LOOK_PAUSE + 1) * (monotonic_seconds() - began);
	dlist_foreach(iter, &active_jobs)
	{
		ActiveJob *aj = dlist_container(ActiveJob, node, iter.cur);
		long ms;

		if (aj->fresh)
			(void) step_safely(aj->run, &ms);
		aj->fresh = false;
	}
	return true;
}

/* --- one turn ------------------------------------------------------------- */

/* Of two times to wait, where -1 is for ever. */
static long
sooner(long a, long b)
{
	return a < 0 ? b : b < 0 ? a : Min(a, b);
}

/* Move every job on; *wait_ms is when the earliest wants to be again. */
static bool
step_all(long *wait_ms)
{
	dlist_mutable_iter iter;
	bool more = false;

	*wait_ms = -1;
	dlist_foreach_modify(iter, &active_jobs)
	{
		ActiveJob *aj = dlist_container(ActiveJob, node, iter.cur);
		long ms;

		CHECK_FOR_INTERRUPTS();
		if (step_safely(aj->run, &ms))
			more = true;
		else
			*wait_ms = sooner(*wait_ms, ms);
		if (run_job_done(aj->run))
			remove_job(aj);
		more |= look_if_wished();
		if (leaving)
			break;
	}
	return more;
}

/* --- life ----------------------------------------------------------------- */

/* What a database's or a role's settings could make of our transactions. */
static void
set_options(void)
{
	static const char *const options[][2] = {
		{"search_path", "pg_catalog, pg_temp"},
		{"default_transaction_isolation", "read committed"},
		{"default_transaction_read_only", "off"},
		{"default_transaction_deferrable", "off"},
		{"statement_timeout", "0"},
		{"idle_in_transaction_session_timeout", "0"},
		{"lock_timeout", "1s"}, /* other jobs must go on meanwhile */
		{"session_replication_role", "origin"},
		{"synchronous_commit", "on"},
		{"row_security", "on"},
	};

	for (size_t i = 0; i < lengthof(options); i++)
		SetConfigOption(options[i][0], options[i][1], PGC_SUSET,
						PGC_S_OVERRIDE);
}

static void
expire_results(void)
{
	int64 n;

	last_expiry = monotonic_seconds();
	if (modal_result_retention_s < 0)
		return;
	runner_begin();
	n = job_store_exists() ? job_store_expire(modal_result_retention_s) : 0;
	runner_commit();
	if (n > 0)
		ereport(LOG, (errmsg("removed " INT64_FORMAT " jobs that ended longer ago than modal_batch.result_retention", n)));
}

/*
 * With nothing to do: leave, or say how long to stay.  A runner that never
 * had work was only to look, and leaves at once.
 */
static long
leave_or_stay(double idle_since)
{
	double stay_s = had_work ? modal_runner_idle_ms / 1000.0 : 0;
	long ms = monotonic_ms_until(idle_since + stay_s);

	if (ms > 0)
		return ms;
	(void) unless_locked(expire_results);
	if (runner_leave())
		proc_exit(0);
	return 0;
}

static void
reload_configuration(void)
{
	if (!ConfigReloadPending)
		return;
	ConfigReloadPending = false;
	ProcessConfigFile(PGC_SIGHUP);
}

static void
run_jobs(void)
{
	double idle_since = last_expiry = monotonic_seconds();

	for (;;)
	{
		long wait_ms;
		bool more;

		CHECK_FOR_INTERRUPTS();
		reload_configuration();
		MemoryContextSwitchTo(loop_cxt);
		MemoryContextReset(loop_cxt);

		more = step_all(&wait_ms);
		/* last: the latch of a wish may have been reset by a wait in a step */
		more |= look_if_wished();
		if (leaving)
			break;
		if (monotonic_seconds() - last_expiry > EXPIRY_INTERVAL_S)
			(void) unless_locked(expire_results);
		if (nactive > 0)
			idle_since = monotonic_seconds();
		if (more)
			wait_ms = 0; /* only let frames move */
		else if (must_look)
			wait_ms = sooner(wait_ms, monotonic_ms_until(next_look));
		else if (nactive == 0)
		{
			pgstat_report_activity(STATE_IDLE, NULL);
			wait_ms = leave_or_stay(idle_since);
		}
		channel_wait(wait_ms, PG_WAIT_EXTENSION);
	}
	remove_all_jobs();
	(void) runner_leave();
}

void
modal_runner_main(Datum main_arg)
{
	Oid dbid = DatumGetObjectId(main_arg);

	/* before signals and the database: see runner_state.h */
	if (!runner_enter(dbid))
		proc_exit(0);
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnectionByOid(dbid, InvalidOid, 0);
	set_options();
	pgstat_report_appname("modal_batch runner");
	jobs_cxt = AllocSetContextCreate(TopMemoryContext, "modal_batch jobs",
									 ALLOCSET_DEFAULT_SIZES);
	loop_cxt = AllocSetContextCreate(TopMemoryContext, "modal_batch runner turn",
									 ALLOCSET_DEFAULT_SIZES);
	run_jobs();
	proc_exit(0);
}
