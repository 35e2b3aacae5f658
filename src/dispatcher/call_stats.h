/*-------------------------------------------------------------------------
 *
 * call_stats.h
 *	  What views show of calls: modal_batch.activity while they run,
 *	  modal_batch.stat_functions when they have ended.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_DISPATCHER_CALL_STATS_H
#define MODAL_DISPATCHER_CALL_STATS_H

#include "core/histogram.h"
#include "dispatcher/calls.h"

typedef struct CallStats
{
	ActivityEntry *entry; /* NULL: all are taken; see list_call */
	int pid;			  /* of the caller */
	TimestampTz started_at;
	FunctionStatKey key;
	double remote_time;	  /* seconds, of inputs at the remote side */
	Histogram latency;	  /* the same, input by input, in microseconds */
	uint64 queued, in_flight, retries; /* as counted in the sums */
} CallStats;

extern void call_stats_init(int dispatcher);
extern void call_stats_begin(CallStats *stats, const DispatchCall *call,
							 const Attachment *att);
extern void call_stats_set_remote_id(CallStats *stats, const char *id);
/* An input is done. */
extern void call_stats_output(CallStats *stats, const FrameOutput *out);
extern void call_stats_update(CallStats *stats, const DispatchCall *call);
extern void call_stats_end(CallStats *stats, const DispatchCall *call,
						   bool failed);
/* The sums over all calls. */
extern void call_stats_publish(DispatcherShared *shared);

#endif /* MODAL_DISPATCHER_CALL_STATS_H */
