/*-------------------------------------------------------------------------
 *
 * job_owner.c
 *	  Acting as the owner of a job; see job_owner.h.
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include "session/job_owner.h"

void
owner_enter(OwnerScope *scope, Oid owner, const char *search_path)
{
	GetUserIdAndSecContext(&scope->userid, &scope->sec_context);
	SetUserIdAndSecContext(owner, scope->sec_context |
						   SECURITY_LOCAL_USERID_CHANGE |
						   SECURITY_RESTRICTED_OPERATION);
	scope->guc_level = NewGUCNestLevel();
	if (search_path != NULL)
		(void) set_config_option("search_path", search_path, PGC_USERSET,
								 PGC_S_SESSION, GUC_ACTION_SAVE, true, 0,
								 false);
}

void
owner_leave(const OwnerScope *scope)
{
	AtEOXact_GUC(false, scope->guc_level);
	SetUserIdAndSecContext(scope->userid, scope->sec_context);
}
