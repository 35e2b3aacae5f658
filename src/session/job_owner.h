/*-------------------------------------------------------------------------
 *
 * job_owner.h
 *	  Acting as the owner of a job.
 *
 * What a job does with its owner's tables and functions happens with the
 * owner's rights and nothing more, in a security-restricted context: no code
 * that it meets there can get back to the runner's or another user's rights.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_SESSION_JOB_OWNER_H
#define MODAL_SESSION_JOB_OWNER_H

#include "compat.h"

typedef struct OwnerScope
{
	Oid userid;
	int sec_context;
	int guc_level;
} OwnerScope;

/* search_path NULL: as it is.  An abort of the (sub)transaction leaves, too. */
extern void owner_enter(OwnerScope *scope, Oid owner, const char *search_path);
extern void owner_leave(const OwnerScope *scope);

#endif /* MODAL_SESSION_JOB_OWNER_H */
