/*-------------------------------------------------------------------------
 *
 * scout.h
 *	  A runner without a role: its database's scout.
 *
 * It looks whose jobs there are and says so to the launcher, ends those whose
 * owner is gone, and removes jobs of all roles that have been kept for long
 * enough.  That may be much: it is done a part at a time, each a transaction, and
 * in the way of no runner, all of which have jobs to run.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_JOBS_SCOUT_H
#define MODAL_JOBS_SCOUT_H

/* Until there is nothing to do, or others want its place or the database. */
extern void scout(void);

#endif /* MODAL_JOBS_SCOUT_H */
