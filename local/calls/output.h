/*-------------------------------------------------------------------------
 *
 * output.h
 *	  Outputs as they are kept and sent: FunctionGetOutputsItems.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_LOCAL_OUTPUT_H
#define MODAL_LOCAL_OUTPUT_H

#include "calls/calls.h"

/* Appends the item; blob_id: where the result is, "" if it is in the item. */
extern void output_encode(Buf *out, const Call *call, int32_t idx,
						  uint32_t attempt, double started_at,
						  const ExecutionResult *result, const char *blob_id);

#endif /* MODAL_LOCAL_OUTPUT_H */
