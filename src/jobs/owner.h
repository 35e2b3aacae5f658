/*-------------------------------------------------------------------------
 *
 * owner.h
 *	  Acting as the owner of a job: the one place that says whose rights,
 *	  search_path and settings hold where.
 *
 * A runner is a session of the role whose jobs it runs, with that role's own
 * settings: what it does for the role is what the role could do by itself,
 * and there is no other user's right to get back to.  Only the tables of jobs
 * are used as their owner.
 *
 *	where								rights			search_path
 *	tables of jobs (sql.c)				their owner's	pg_catalog
 *	looking up servers, user mappings	the job's owner	any
 *	looking up tables for a job			the job's owner	pg_catalog
 *	what a row that changes does to		the job's owner	pg_catalog
 *	others, in the writer's statement
 *	writing results: conversions,		the job's owner	the job's
 *	triggers, constraints, defaults
 *	on_complete							the job's owner	the job's
 *
 * The job's search_path is one that its owner has chosen: the session's in
 * which it was made, unless somebody else's code may have set that (see
 * owner_search_path), or else the one that a new session of the owner has.
 * What a statement sets ends with its scope; what else it leaves in the
 * session (temporary tables, advisory locks, LISTEN, …) ends with the job.
 *
 * Who has lost the right to connect runs nothing; jobs of a role that could
 * log in when they were made wait while it cannot.  A role that could not,
 * such as one that only owns tables, has a session all the same from PostgreSQL
 * 17 on.  Before, its jobs run in one of the superuser that made the cluster,
 * whose settings it has, with session_user set, and in a security-restricted
 * context, so that no code of the owner's runs outside of the scope.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_JOBS_OWNER_H
#define MODAL_JOBS_OWNER_H

#include "compat.h"

#include "jobs/runner.h"
#include "jobs/store.h"

typedef struct OwnerScope
{
	Oid userid;
	int sec_context;
	int guc_level;
} OwnerScope;

/* An abort of the (sub)transaction leaves, too. */
extern void owner_enter(OwnerScope *scope, Oid owner);
/* Without a search_path, for what looks up no names by it: servers. */
extern void owner_enter_rights(OwnerScope *scope, Oid owner);
/*
 * In a trigger, for what a foreign key might do: the owner's triggers may run in
 * that session anyway, so they may also be deferred.  They find what owner_path
 * says.
 */
extern void owner_enter_row(OwnerScope *scope, Oid owner, const char *path);
/*
 * With the job's search_path: for statements that are the owner's.  In a
 * runner only; ends it (FATAL) when the owner may not act here any more.
 */
extern void owner_enter_job(OwnerScope *scope, const Job *job);
extern void owner_leave(const OwnerScope *scope);

/* For a job that the current user makes; NULL: that of its own sessions. */
extern char *owner_search_path(void);

/* --- sessions ------------------------------------------------------------- */

typedef enum OwnerAccess
{
	OWNER_SESSION,	/* may log in, and connect to the database */
	OWNER_NO_LOGIN, /* may connect, if it could log in */
	OWNER_REFUSED,	/* may not connect */
	OWNER_GONE		/* there is no such role */
} OwnerAccess;

extern bool owner_can_log_in(Oid owner);
/* In a transaction; also of a process that has no database. */
extern OwnerAccess owner_access(Oid dbid, Oid owner);
/* Why its jobs wait: an error, in the current context. */
extern ErrorData *owner_access_error(Oid owner, OwnerAccess access);

/* Enter the database, for good. */
extern void owner_session_begin(const RunnerStart *start);
/* Whose it is; InvalidOid: that of a scout, or no runner's. */
extern Oid owner_session_role(void);
/* May it go on like this?  In a transaction. */
extern bool owner_session_fits(void);
/* As far as the last transaction has seen, nothing has changed since it was asked that. */
extern bool owner_session_is_checked(void);
/* Is it one that the role could begin itself, or of a role that cannot log in? */
extern bool owner_session_is_own(void);
/* Drop what the owner's statements have left in the session, if anything. */
extern void owner_session_clean(void);

#endif /* MODAL_JOBS_OWNER_H */
