/*-------------------------------------------------------------------------
 *
 * runner.c
 *	  Runs the jobs of one role in one database.
 *
 * A dynamic background worker, started by the launcher when there is work and
 * gone when there has been none for modal_batch.runner_idle_timeout.  It
 * takes the jobs in turn, each for a small step (run_job.c), and sleeps when
 * none has anything to do: until the dispatcher has news, a commit brings new
 * work, or something becomes due.
 *
 * What makes it right:
 *
 *	- There is one runner per role and database (runner_state.h), and so one
 *	  executor per job.
 *	- It is a session of that role (owner.h), so roles share nothing here but
 *	  the number of runners, which they take turns for.
 *	- No transaction is open between steps, and none waits for the network or
 *	  for a lock for long.  An error in a step is the affair of its job.
 *	- A job has a place among the active ones while there is something to do.
 *	  What waits, for the time of its next try or for a slow function, is in
 *	  its row, and is taken up again from there.
 *	- A job with which it crashes is known to the next runner (suspect.h).
 *
 * Without a role, a runner is the database's scout (scout.h).
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include "access/xact.h"
#include "clock.h"
#include "debug_point.h"
#include "guc.h"
#include "jobs/error.h"
#include "jobs/owner.h"
#include "jobs/run_job.h"
#include "jobs/runner.h"
#include "jobs/runner_state.h"
#include "jobs/runner_xact.h"
#include "jobs/scout.h"
#include "jobs/store.h"
#include "jobs/suspect.h"
#include "lib/ilist.h"
#include "link/channel.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "tcop/tcopprot.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#define MAX_ACTIVE_JOBS 1000
#define LOOK_PAUSE 4 /* times as long as it took: a fifth of the time at most */
#define LOOK_RETRY_S 1 /* when the tables cannot be read */
#define EXPIRY_INTERVAL_S 600 /* of looking for old results, while busy */
#define QUIET_S 5	/* a job without news for longer may lose its place */
#define ASIDE_S 15	/* for which it does then */
#define MIN_TO_JOIN 3	/* jobs that wait; fewer are as quick one by one */
#define MAX_TO_JOIN 5000 /* at a time */
#define DRAIN_S 10	/* to collect what would be computed again, before leaving */
#define RAISE_PAUSE 20 /* times as long as it took */
#define SWEEP_S 2
#define FOREGROUND_S 0.5 /* more may come */
#define BACK_S 60	/* to look whether the role can log in again */
#define MAX_CRASHES 3 /* of the runner with one job, without progress */

pg_noreturn extern PGDLLEXPORT void modal_runner_main(Datum main_arg);

typedef struct ActiveJob
{
	dlist_node node;
	RunJob *run;
	bool fresh; /* no step has been made yet */
} ActiveJob;

static RunnerStart me;
static dlist_head active_jobs = DLIST_STATIC_INIT(active_jobs);
static int nactive = 0;
static bool leaving = false;
static double back_in_s = -1;	  /* after leaving: see runner_leave */
static double drain_until = 0;	  /* not 0: it is to leave, see clock.h */
static double next_look;
static int64 from_job = 0;		  /* all jobs before it have ended */
static double next_raise = 0;	  /* of that */
static double next_sweep = 0;
static double next_retry = HUGE_VAL; /* of a job that waits */
static double last_expiry;
static bool must_look = false;
static bool look_again = false;	  /* some have been left for that */
static double unpaused_s = 0;	  /* of the last look: work, or limited by itself */
static bool more_waiting = false; /* jobs for which there was no place */
static bool stepping = false;	  /* the list is walked: nobody else may remove */
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

/* An error of one job is that job's affair, even one in recording an error. */
static bool
step_safely(RunJob *run, long *wait_ms)
{
	volatile bool more = true;
	ErrorData *volatile edata = NULL;

	suspect_set(run_job_id(run));
	PG_TRY();
	{
		more = run_job_step(run, wait_ms);
	}
	PG_CATCH();
	{
		edata = runner_take_error(loop_cxt);
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
		edata = runner_take_error(loop_cxt);
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
	Job *job;
	ActiveJob *aj;

	suspect_set(id);
	job = job_store_load(id);
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

/* Jobs wait for places: those have none that only wait for a slow function. */
static void
make_places(void)
{
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &active_jobs)
	{
		ActiveJob *aj = dlist_container(ActiveJob, node, iter.cur);

		if (!run_job_is_quiet(aj->run, QUIET_S))
			continue;
		job_store_set_aside(run_job_id(aj->run), ASIDE_S);
		remove_job(aj);
	}
}

/*
 * The role cannot log in (any more).  Jobs that it has made when it could wait
 * for that.
 */
static void
look_at_login_jobs(void)
{
	if (job_store_candidates(me.key.owner, true, 0, GetCurrentTimestamp(), NULL, 0, 1) == NIL)
		return;
	job_store_note_waiting(me.key.owner, true,
						   edata_to_jsonb(owner_access_error(me.key.owner,
															 OWNER_NO_LOGIN), 1));
	back_in_s = BACK_S;
}

/*
 * Rows of ended jobs stay for a while, with an old snapshot for long: those that
 * were known before need no look.  Now and then they get one, by which the index
 * learns that nobody sees them any more.  Jobs before from_job that come later
 * come with a wish.  It takes as long as there are jobs that wait.
 */
static void
raise_from_job(void)
{
	double began = monotonic_seconds();
	bool sweep = began >= next_sweep;
	double took_s;

	if (began < next_raise)
		return;
	from_job = job_store_first_unfinished(me.key.owner, sweep ? 0 : from_job);
	took_s = monotonic_seconds() - began;
	unpaused_s += took_s;
	next_raise = began + took_s * RAISE_PAUSE;
	if (sweep)
		next_sweep = began + SWEEP_S;
}

/* Without those that have become part of another one. */
static List *
without_joined(List *candidates)
{
	int n = list_length(candidates);
	int64 *ids = palloc(sizeof(int64) * n);
	JobState *states = palloc(sizeof(JobState) * n);
	List *left = NIL;
	ListCell *lc;

	foreach (lc, candidates)
		ids[foreach_current_index(lc)] = *(int64 *) lfirst(lc);
	job_store_states(ids, n, states);
	foreach (lc, candidates)
		if (states[foreach_current_index(lc)] != JOB_CANCELLED)
			left = lappend(left, lfirst(lc));
	return left;
}

/*
 * A burst of small jobs is work for a few large ones.  What has come while they
 * were joined is for the next look, for that is the same burst.
 */
static List *
join_candidates(List *candidates)
{
	double began = monotonic_seconds();

	look_again = job_store_join(me.key.owner, owner_session_is_own(), from_job,
								active_ids(), nactive, MAX_TO_JOIN);
	if (look_again)
		candidates = without_joined(candidates);
	unpaused_s += monotonic_seconds() - began;
	return candidates;
}

/*
 * When the next of those that had to wait need not wait any more.  Then is when
 * the candidates were chosen: one whose time came in between is among these.
 */
static void
find_next_retry(TimestampTz then)
{
	double retry = job_store_next_retry(me.key.owner, owner_session_is_own(),
										from_job, then);

	next_retry = retry < 0 ? HUGE_VAL : monotonic_seconds() + retry;
}

/* Read the tables; when the extension is no longer there, leave. */
static void
look_for_jobs(void)
{
	TimestampTz now = GetCurrentTimestamp();
	List *candidates;
	ListCell *lc;

	runner_begin();
	if (!job_store_exists() || !owner_session_fits())
	{
		/* of another kind, when it is started anew */
		leaving = true;
		back_in_s = job_store_exists() ? 0 : -1;
		runner_commit();
		return;
	}
	check_states(active_ids());
	if (more_waiting && !stepping)
		make_places();
	raise_from_job();
	candidates = job_store_candidates(me.key.owner, owner_session_is_own(), from_job,
									  now, active_ids(), nactive,
									  MAX_ACTIVE_JOBS - nactive + 1);
	if (list_length(candidates) >= MIN_TO_JOIN)
		candidates = join_candidates(candidates);
	more_waiting = false;
	foreach (lc, candidates)
	{
		if (nactive == MAX_ACTIVE_JOBS)
			more_waiting = true;
		else
			take_job(*(int64 *) lfirst(lc));
	}
	back_in_s = -1;
	if (!owner_session_is_own())
		look_at_login_jobs();
	DEBUG_POINT("runner-looked");
	if (!look_again)
		find_next_retry(now);
	runner_commit();
}

/*
 * It is to leave.  What a function that remembers nothing has in hand is
 * waited for; all else goes on at the service.
 */
static void
begin_to_leave(RunnerWish wish)
{
	if (wish == RUNNER_STOP)
		leaving = true;
	else if (drain_until == 0)
	{
		drain_until = monotonic_seconds() + DRAIN_S;
		run_job_hold_inputs(true);
	}
}

static bool
is_drained(void)
{
	dlist_iter iter;

	if (monotonic_seconds() >= drain_until)
		return true;
	dlist_foreach(iter, &active_jobs)
		if (run_job_would_lose(dlist_container(ActiveJob, node, iter.cur)->run))
			return false;
	return true;
}

/* A place for one that waits can be made every few seconds. */
static bool
place_is_due(void)
{
	return more_waiting &&
		(nactive < MAX_ACTIVE_JOBS ||
		 (!stepping && monotonic_seconds() - next_look > QUIET_S));
}

/*
 * The role may be locked out while its jobs run, which nobody tells: then the
 * next look is due at once.
 */
static void
check_access(void)
{
	bool fits;

	if (owner_session_is_checked())
		return;
	runner_begin();
	fits = owner_session_fits();
	runner_commit();
	if (fits)
		return;
	must_look = true;
	next_look = 0;
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
	RunnerWish wish;

	if (runner_take_wish(&wish, &from_job) || began >= next_retry || place_is_due())
		must_look = true;
	if (wish != RUNNER_STAY)
		begin_to_leave(wish);
	if (drain_until != 0)
	{
		if (is_drained())
			leaving = true;
		return false;
	}
	check_access();
	if (leaving || !must_look || began < next_look)
		return false;
	look_again = false;
	unpaused_s = 0;
	if (!runner_unless_locked(look_for_jobs))
	{
		next_look = monotonic_seconds() + LOOK_RETRY_S;
		return false;
	}
	must_look = look_again;
	if (leaving)
		return false;
	next_look = monotonic_seconds() +
		LOOK_PAUSE * (monotonic_seconds() - began - unpaused_s);
	dlist_foreach(iter, &active_jobs)
	{
		ActiveJob *aj = dlist_container(ActiveJob, node, iter.cur);
		long ms;

		if (aj->fresh)
			(void) step_safely(aj->run, &ms);
		aj->fresh = false;
	}
	suspect_set(0);
	return true;
}

/* --- one turn ------------------------------------------------------------- */

/* Of two times to wait, where -1 is for ever. */
static long
sooner(long a, long b)
{
	return a < 0 ? b : b < 0 ? a : Min(a, b);
}

/* Are there any that others are to stand back behind, or were just now? */
static bool
has_foreground(void)
{
	static double until = 0;
	double now = monotonic_seconds();
	dlist_iter iter;

	dlist_foreach(iter, &active_jobs)
		if (!run_job_is_background(dlist_container(ActiveJob, node, iter.cur)->run))
			until = now + FOREGROUND_S;
	return now < until;
}

/* Move every job on; *wait_ms is when the earliest wants to be again. */
static bool
step_all(long *wait_ms)
{
	dlist_mutable_iter iter;
	bool more = false;

	*wait_ms = -1;
	run_job_hold_background(has_foreground());
	stepping = true;
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
		{
			/* its row may say what is to be done next */
			must_look |= !run_job_has_ended(aj->run) ||
				run_job_is_ordered(aj->run);
			remove_job(aj);
			suspect_set(0);
			owner_session_clean();
		}
		more |= look_if_wished();
		if (leaving)
			break;
	}
	stepping = false;
	suspect_set(0);
	return more;
}

/* --- life ----------------------------------------------------------------- */

/*
 * What has been kept for long enough may be much, and of others: removing it is
 * the scout's work.
 */
static void
look_for_expired(void)
{
	last_expiry = monotonic_seconds();
	runner_begin();
	if (job_store_exists() &&
		job_store_has_expired(modal_result_retention_s, modal_trigger_job_retention_s))
		(void) launcher_want((RunnerKey) {MyDatabaseId, InvalidOid});
	runner_commit();
}

/* When to come back after leaving; negative: when there is work. */
static double
back_s(void)
{
	double retry_s = Max(next_retry - monotonic_seconds(), 0);

	if (nactive > 0)
		return 0;
	if (next_retry == HUGE_VAL)
		return back_in_s;
	return back_in_s < 0 ? retry_s : Min(back_in_s, retry_s);
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
	(void) runner_unless_locked(look_for_expired);
	if (runner_leave(back_s()))
		proc_exit(0);
	return 0;
}

static void
run_jobs(void)
{
	double idle_since = last_expiry = monotonic_seconds();
	double back;

	for (;;)
	{
		long wait_ms;
		bool more;

		CHECK_FOR_INTERRUPTS();
		modal_reload_configuration();
		MemoryContextSwitchTo(loop_cxt);
		MemoryContextReset(loop_cxt);

		more = step_all(&wait_ms);
		/* last: the latch of a wish may have been reset by a wait in a step */
		more |= look_if_wished();
		if (leaving)
			break;
		if (monotonic_seconds() - last_expiry > EXPIRY_INTERVAL_S)
			(void) runner_unless_locked(look_for_expired);
		if (nactive > 0)
			idle_since = monotonic_seconds();
		runner_set_idle(nactive == 0);
		if (more)
			wait_ms = 0; /* only let frames move */
		else if (drain_until != 0)
			wait_ms = sooner(wait_ms, monotonic_ms_until(drain_until));
		else if (must_look)
			wait_ms = sooner(wait_ms, monotonic_ms_until(next_look));
		else if (nactive == 0)
		{
			pgstat_report_activity(STATE_IDLE, NULL);
			wait_ms = leave_or_stay(idle_since);
		}
		if (next_retry != HUGE_VAL)
			wait_ms = sooner(wait_ms, Max(monotonic_ms_until(next_retry),
										  monotonic_ms_until(next_look)));
		if (more_waiting)
			wait_ms = sooner(wait_ms, QUIET_S * 1000L);
		channel_wait(wait_ms, PG_WAIT_EXTENSION);
	}
	back = back_s();
	remove_all_jobs();
	(void) runner_leave(back);
}

/* The runner before this one may have crashed with a job. */
static void
judge_suspect(void)
{
	int64 id = suspect_begin(me.key);
	int64 died_with = runner_take_died_with();
	ErrorData edata = {0};
	int crashes;

	if (id == 0)
		id = died_with;
	if (id == 0)
		return;
	runner_begin();
	crashes = job_store_exists() ? job_store_note_crash(id, me.key.owner) : 0;
	if (crashes >= MAX_CRASHES)
	{
		edata.sqlerrcode = ERRCODE_CRASH_SHUTDOWN;
		edata.message = psprintf("the server or its job runner has crashed %d times with this job", crashes);
		edata.hint = "See the server's log. modal_retry() goes on with the job.";
		(void) job_store_finish(id, JOB_FAILED, edata_to_jsonb(&edata, crashes), NULL);
		ereport(LOG, (errmsg("job " INT64_FORMAT " is set aside: %s", id, edata.message)));
	}
	runner_commit();
	runner_job_changed();
}

void
modal_runner_main(Datum main_arg)
{
	(void) main_arg;
	memcpy(&me, MyBgworkerEntry->bgw_extra, sizeof(me));
	/* before signals and the database: see runner_state.h */
	if (!runner_enter(me.key))
		proc_exit(0);
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	owner_session_begin(&me);
	pgstat_report_appname(MyBgworkerEntry->bgw_type);
	jobs_cxt = AllocSetContextCreate(TopMemoryContext, "modal_batch jobs",
									 ALLOCSET_DEFAULT_SIZES);
	loop_cxt = AllocSetContextCreate(TopMemoryContext, "modal_batch runner turn",
									 ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(loop_cxt);
	if (!OidIsValid(me.key.owner))
		scout();
	else
	{
		judge_suspect();
		run_jobs();
	}
	proc_exit(0);
}
