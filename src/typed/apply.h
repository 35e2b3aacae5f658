/*-------------------------------------------------------------------------
 *
 * apply.h
 *	  Typed functions as a pipelined plan node: what the rest of the library
 *	  needs to know.
 *
 * The rewrite (apply_plan.c and what it calls) puts calls of LANGUAGE modal
 * functions in a finished plan into "apply" nodes, which evaluate them a
 * window of rows at a time (apply_exec.c).  docs/typed-functions.md says
 * which shapes are rewritten.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_TYPED_APPLY_H
#define MODAL_TYPED_APPLY_H

/* Install the planner and executor hooks; once per process, from _PG_init. */
extern void modal_apply_init(void);

#endif /* MODAL_TYPED_APPLY_H */
