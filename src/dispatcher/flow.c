/*-------------------------------------------------------------------------
 *
 * flow.c
 *	  Count of the requests that wait, by reason.
 *
 *-------------------------------------------------------------------------
 */
#include "dispatcher/flow.h"

static int waiting[FLOW_REASONS];

void
flow_wait_begin(FlowWait *wait, FlowReason reason)
{
	flow_wait_end(wait);
	wait->reason = reason;
	waiting[reason]++;
}

void
flow_wait_end(FlowWait *wait)
{
	if (wait->reason != FLOW_NONE)
		waiting[wait->reason]--;
	wait->reason = FLOW_NONE;
}

int
flow_waiting(FlowReason reason)
{
	return waiting[reason];
}
