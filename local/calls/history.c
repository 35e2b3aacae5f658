/*-------------------------------------------------------------------------
 *
 * history.c
 *	  How the inputs of a function have ended, minute by minute.
 *
 *-------------------------------------------------------------------------
 */
#include "calls/history.h"

#include <math.h>
#include <stdlib.h>

#include "net/loop.h"
#include "util.h"

#define MINUTES 1440

typedef struct Minute
{
	int64_t number; /* since 1970: the place is that of several */
	uint32_t succeeded;
	uint32_t failed;
	uint32_t timed_out;
} Minute;

typedef struct Sample
{
	double at;
	double execution;
	double latency;
} Sample;

struct HistoryData
{
	Minute minutes[MINUTES];
	Sample samples[HISTORY_SAMPLES];
	size_t n_samples; /* ever */
};

void
history_add(History *history, ResultStatus status, double created,
			double started)
{
	double now = loop_wall_time();
	int64_t number = (int64_t) (now / HISTORY_SECONDS);
	HistoryData *data = history->data;
	Minute *minute;

	if (data == NULL)
		data = history->data = xcalloc(sizeof(*data));
	minute = &data->minutes[number % MINUTES];
	if (minute->number != number)
		*minute = (Minute){.number = number};
	if (status == RESULT_SUCCESS)
		minute->succeeded++;
	else if (status == RESULT_TIMEOUT)
		minute->timed_out++;
	else if (status != RESULT_TERMINATED)
		minute->failed++;
	data->samples[data->n_samples++ % HISTORY_SAMPLES] =
		(Sample){now, now - started, now - created};
}

void
history_add_range(const History *history, double since, double until,
				  HistoryRange *range)
{
	const HistoryData *data = history->data;
	int64_t first = (int64_t) floor(since / HISTORY_SECONDS);
	int64_t end = (int64_t) ceil(until / HISTORY_SECONDS);

	for (int i = 0; data != NULL && i < MINUTES; i++)
	{
		const Minute *minute = &data->minutes[i];

		if (minute->number < first || minute->number >= end)
			continue;
		range->succeeded += minute->succeeded;
		range->failed += minute->failed;
		range->timed_out += minute->timed_out;
	}
	if (data == NULL || range->counts_only)
		return;
	for (size_t i = 0; i < HISTORY_SAMPLES && i < data->n_samples; i++)
	{
		const Sample *sample = &data->samples[i];

		if (sample->at < since || sample->at >= until ||
			range->n_samples == 2 * HISTORY_SAMPLES)
			continue;
		range->execution[range->n_samples] = sample->execution;
		range->latency[range->n_samples++] = sample->latency;
	}
}

static int
compare(const void *a, const void *b)
{
	double x = *(const double *) a;
	double y = *(const double *) b;

	return (x > y) - (x < y);
}

void
history_sort(HistoryRange *range)
{
	qsort(range->execution, range->n_samples, sizeof(double), compare);
	qsort(range->latency, range->n_samples, sizeof(double), compare);
}
