/*-------------------------------------------------------------------------
 *
 * builtin.h
 *	  App "builtin": functions in C, for tests and benchmarks.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_LOCAL_BUILTIN_H
#define MODAL_LOCAL_BUILTIN_H

extern void builtin_init(void);

#endif /* MODAL_LOCAL_BUILTIN_H */
