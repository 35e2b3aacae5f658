/*-------------------------------------------------------------------------
 *
 * debug_point.h
 *	  Named places in our own code where a test can stop a process, make it
 *	  fail, or make it crash.
 *
 * Only in builds with MODAL_DEBUG_POINTS; elsewhere DEBUG_POINT is nothing.
 * Points are armed through shared memory, so that background workers see
 * them:
 *	   SELECT modal_batch.debug_point_arm('runner-before-commit', 'crash');
 * with action 'crash' (kill -9 of itself), 'error', 'exit' (proc_exit(1)),
 * 'wait' (until disarmed), 'sleep:MS', each optionally for the n-th passage.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_DEBUG_POINT_H
#define MODAL_DEBUG_POINT_H

#ifdef MODAL_DEBUG_POINTS
extern void modal_debug_point(const char *name);
#define DEBUG_POINT(name) modal_debug_point(name)
#else
#define DEBUG_POINT(name) ((void) 0)
#endif

#endif /* MODAL_DEBUG_POINT_H */
