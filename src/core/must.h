/*-------------------------------------------------------------------------
 *
 * must.h
 *	  MUST(condition): a rule that the code itself must keep, in places that
 *	  know nothing of PostgreSQL's Assert.  Checked in builds with debug points
 *	  and in unit tests; what comes from outside is never checked like this.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_CORE_MUST_H
#define MODAL_CORE_MUST_H

#if defined(MODAL_DEBUG_POINTS) || defined(__SANITIZE_ADDRESS__)
#include <assert.h>
#define MUST(condition) assert(condition)
#else
#define MUST(condition) ((void) sizeof(condition))
#endif

#endif /* MODAL_CORE_MUST_H */
