/*-------------------------------------------------------------------------
 *
 * debug_point.h
 *	  Named places in our own code where a test can stop a process, make it
 *	  fail, or make it crash.
 *
 * Only in builds with MODAL_DEBUG_POINTS; elsewhere DEBUG_POINT is nothing.
 * Points are armed in shared memory, so that background workers see them.
 * The extension's script does not know these functions; a test makes them:
 *
 *	 CREATE FUNCTION modal_debug_point_arm(name text, action text, nth int)
 *		 RETURNS void LANGUAGE c STRICT AS 'modal_batch';
 *	 CREATE FUNCTION modal_debug_point_disarm(name text)
 *		 RETURNS int LANGUAGE c STRICT AS 'modal_batch';
 *
 * action: 'crash' (kill -9 of itself), 'error' (ereport), 'exit'
 * (proc_exit(1)), 'wait' (until disarmed), 'sleep:MS'.  It happens at the nth
 * passage (from 1) and, but for crash and exit, at all later ones.  Disarming
 * returns how often the point was passed.  A crash restart disarms all.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_DEBUG_POINT_H
#define MODAL_DEBUG_POINT_H

#ifdef MODAL_DEBUG_POINTS
extern void modal_debug_point(const char *name);
extern Size modal_debug_points_size(void);
extern void modal_debug_points_startup(void); /* AddinShmemInitLock held */
#define DEBUG_POINT(name) modal_debug_point(name)
#else
#define DEBUG_POINT(name) ((void) 0)
#define modal_debug_points_size() ((Size) 0)
#define modal_debug_points_startup() ((void) 0)
#endif

#endif /* MODAL_DEBUG_POINT_H */
