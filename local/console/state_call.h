/*-------------------------------------------------------------------------
 *
 * state_call.h
 *	  What state.c says of each call; the rest is in state.h.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_LOCAL_STATE_CALL_H
#define MODAL_LOCAL_STATE_CALL_H

#include "calls/calls.h"
#include "console/state.h"

extern json_object *state_call_summary(const Call *call);

#endif /* MODAL_LOCAL_STATE_CALL_H */
