/*-------------------------------------------------------------------------
 *
 * history.h
 *	  How the inputs of a function have ended, minute by minute.
 *
 * Of a day at most; times of the newest inputs only.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_LOCAL_HISTORY_H
#define MODAL_LOCAL_HISTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "calls/exec.h"

#define HISTORY_SECONDS 60.0
#define HISTORY_SAMPLES 1024

typedef struct HistoryData HistoryData;

/* Zero-initialized is empty. */
typedef struct History
{
	HistoryData *data; /* NULL: nothing has ended yet */
} History;

typedef struct HistoryRange
{
	bool counts_only;
	uint64_t succeeded;
	uint64_t failed;
	uint64_t timed_out;
	size_t n_samples;
	double execution[2 * HISTORY_SAMPLES]; /* seconds */
	double latency[2 * HISTORY_SAMPLES];
} HistoryRange;

/* An input has ended now; times in Unix seconds. */
extern void history_add(History *history, ResultStatus status, double created,
						double started);
/* Adds those that ended in a range, by the minute, to what is there. */
extern void history_add_range(const History *history, double since,
							  double until, HistoryRange *range);
/* For percentiles. */
extern void history_sort(HistoryRange *range);

#endif /* MODAL_LOCAL_HISTORY_H */
