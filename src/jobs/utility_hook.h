/*-------------------------------------------------------------------------
 *
 * utility_hook.h
 *	  What commands on databases and two-phase commit mean for runners.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_JOBS_UTILITY_HOOK_H
#define MODAL_JOBS_UTILITY_HOOK_H

extern void modal_utility_hook_init(void); /* from _PG_init */

#endif /* MODAL_JOBS_UTILITY_HOOK_H */
