/*-------------------------------------------------------------------------
 *
 * state.h
 *	  What the console shows, as JSON.
 *
 * All of it is bounded, whatever goes on: the newest calls, those that have
 * been at work for longest, a page of inputs of one call.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_LOCAL_STATE_H
#define MODAL_LOCAL_STATE_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>

typedef enum StateInputs
{
	INPUTS_ALL,		/* by index */
	INPUTS_RUNNING, /* those that have not ended, newest first */
	INPUTS_FAILED	/* the first ones */
} StateInputs;

/* Everything but single calls; functions: their declarations, too. */
extern json_object *state_overview(bool functions);
/* One call with some of its inputs; an object without an id: there is none. */
extern json_object *state_call(uint64_t number, StateInputs which,
							   int32_t from);
/* All that is known of one input; NULL: nothing. */
extern json_object *state_input(uint64_t number, int32_t idx);

#endif /* MODAL_LOCAL_STATE_H */
