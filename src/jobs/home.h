/*-------------------------------------------------------------------------
 *
 * home.h
 *	  Which database a job belongs to.
 *
 * A copy of a database has the jobs of the original, with the ids of remote
 * calls that the original still waits for.  In the copy none of them runs, and
 * none of those calls is asked for results or cancelled, until somebody says
 * so: modal_batch.start_runner(), modal_resume() and modal_retry() begin new
 * remote calls there.
 *
 * What tells a copy: a restored dump has another modal_batch.database_id, a
 * database made from a template another OID.  A copy of the whole cluster
 * cannot be told from a failover, after which jobs must go on; it is to be
 * started with modal_batch.run_jobs = off.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_JOBS_HOME_H
#define MODAL_JOBS_HOME_H

#include "compat.h"

/*
 * Pause the unfinished jobs of other databases, and forget their remote calls;
 * once per process.  Nobody may look for jobs to run before that.
 */
extern void home_set_aside(void);
/* What modal_batch.this_database() says. */
extern Datum home_this_database(void);
/* Was the job made, or begun anew, in this database? */
extern bool home_is_here(int64 job);
/* It will be cancelled: not its remote call, if that is another database's. */
extern void home_disown(int64 job);
/* Begin new runs of the jobs set aside that the current user may change. */
extern void home_move_in(void);

#endif /* MODAL_JOBS_HOME_H */
