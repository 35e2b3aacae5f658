/*-------------------------------------------------------------------------
 *
 * async.h
 *	  Typed functions as a pipelined plan node: what the rest of the library
 *	  needs to know.
 *
 * async_plan*.c rewrite a finished plan so that calls of LANGUAGE modal
 * functions are evaluated in "apply" nodes, a window of rows at a time;
 * async_exec*.c run those nodes.  docs/typed-functions.md says which shapes
 * are rewritten.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_SESSION_ASYNC_H
#define MODAL_SESSION_ASYNC_H

/* Install the planner and executor hooks; once per process, from _PG_init. */
extern void modal_async_init(void);

#endif /* MODAL_SESSION_ASYNC_H */
