/*-------------------------------------------------------------------------
 *
 * owner_path.h
 *	  The search_path of a role's sessions, for what is done as that role in a
 *	  session of somebody else: its triggers find then what they find otherwise,
 *	  and nothing that the other one has put in the way.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_JOBS_OWNER_PATH_H
#define MODAL_JOBS_OWNER_PATH_H

#include "compat.h"

/* The server's own path is known from when it was started. */
extern void modal_owner_path_init(void);
/* As ALTER ROLE and ALTER DATABASE say, with pg_temp at its end. */
extern char *owner_path(Oid role);

#endif /* MODAL_JOBS_OWNER_PATH_H */
