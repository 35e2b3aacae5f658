/*-------------------------------------------------------------------------
 *
 * flow.h
 *	  Requests that wait before they are sent (again), and why: for
 *	  stat_dispatcher.  A FlowWait is embedded in what waits.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_DISPATCHER_FLOW_H
#define MODAL_DISPATCHER_FLOW_H

typedef enum FlowReason
{
	FLOW_NONE,
	FLOW_THROTTLED,	  /* the service told us to wait */
	FLOW_BACKING_OFF, /* after a failure */
	FLOW_REASONS
} FlowReason;

typedef struct FlowWait
{
	FlowReason reason;
} FlowWait;

extern void flow_wait_begin(FlowWait *wait, FlowReason reason);
extern void flow_wait_end(FlowWait *wait); /* fine when it does not wait */
extern int flow_waiting(FlowReason reason);

#endif /* MODAL_DISPATCHER_FLOW_H */
