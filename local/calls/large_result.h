/*-------------------------------------------------------------------------
 *
 * large_result.h
 *	  Results that are too large to travel inline go to blobs; those that take
 *	  long to be written, a piece at a time.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_LOCAL_LARGE_RESULT_H
#define MODAL_LOCAL_LARGE_RESULT_H

#include "calls/calls.h"
#include "calls/exec.h"

typedef struct LargeResult LargeResult;

/* blob_id "" if it travels inline.  False: there is no room for it. */
extern bool large_result_store(const Call *call, const ExecutionResult *result,
							   char *blob_id);
/* Would that hold up all?  Of those that succeed. */
extern bool large_result_is_slow(const Call *call,
								 const ExecutionResult *result);
/*
 * Then: copies the result's data and calls kept, not at once: with
 * the result as it is kept, or NULL when there is no room for it.
 */
extern LargeResult *
large_result_keep(const ExecutionResult *result,
				  void (*kept)(void *arg, const ExecutionResult *result),
				  void *arg);
/* kept is not called any more. */
extern void large_result_free(LargeResult *large);

#endif /* MODAL_LOCAL_LARGE_RESULT_H */
