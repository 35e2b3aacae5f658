/*-------------------------------------------------------------------------
 *
 * apply_tally.c
 *	  What the remote calls of a plan node have done, for EXPLAIN.
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include "typed/apply_exec.h"

void
tally_output(CallTally *tally, const FrameOutput *out)
{
	double seconds = frame_output_seconds(out);
	uint64 us;

	if (seconds < 0)
		return;
	us = (uint64) (seconds * 1e6);
	tally->totals.remote_max_us = Max(tally->totals.remote_max_us, us);
	histogram_add(&tally->times, us);
}

static void
add_call(ApplyCallStats *totals, RemoteCall *call)
{
	const RemoteCallCounters *counters = remote_call_counters(call);

	totals->inputs += counters->put;
	totals->batches += counters->batches;
	totals->bytes_sent += counters->bytes_put;
	totals->bytes_received += counters->bytes_received;
	totals->wait_us += counters->wait_us;
	totals->max_in_flight =
		Max(totals->max_in_flight, counters->max_in_flight);
}

void
tally_call(CallTally *tally, RemoteCall *call)
{
	add_call(&tally->totals, call);
}

void
tally_read(const CallTally *tally, RemoteCall *open, ApplyCallStats *stats)
{
	*stats = tally->totals;
	if (open != NULL)
		add_call(stats, open);
	stats->timed = tally->times.total;
	stats->remote_p50_us = histogram_percentile(&tally->times, 0.5);
}
