/*-------------------------------------------------------------------------
 *
 * pace.c
 *	  How many requests at once, and how many rows in each; see pace.h.
 *
 *-------------------------------------------------------------------------
 */
#include "core/pace.h"

#include <math.h>

/* Least gain in rows a second that justifies twice as much of it. */
#define REQUESTS_GAIN 1.10
#define ROWS_GAIN 1.10
/* Steps until a trial has failed: a row too many is to be sent again. */
#define REQUESTS_LEAP 4
#define ROWS_LEAP 2

#define USUAL_WEIGHT 0.125	/* of the newest request in the smoothed time */
#define STALLED_TIMES 8		/* the usual time, */
#define STALLED_LEAST_S 0.1 /* but at least so long */
#define STALLED_UNKNOWN_S 1.0 /* where no good one has been seen */

#define MOSTLY 0.5 /* with a larger share of failures, something is wrong */
#define UNLIKELY 1e-6 /* this is no chance any more */

void
pace_init(Pace *pace, uint32_t max_requests, uint32_t max_rows)
{
	climb_init(&pace->requests, PACE_FIRST_REQUESTS, max_requests,
			   REQUESTS_GAIN, REQUESTS_LEAP);
	climb_trim(&pace->requests);
	climb_init(&pace->rows, PACE_FIRST_ROWS, max_rows, ROWS_GAIN, ROWS_LEAP);
	pace->rows_turn = max_rows > 1;
	pace->usual = 0;
	pace->failing = 0;
	pace->judged = 0;
}

static void
give_turn(Pace *pace, bool rows, double now)
{
	pace->rows_turn = rows;
	climb_restart(rows ? &pace->rows : &pace->requests, now);
}

static void
report_rows(Pace *pace, const PaceReport *report)
{
	/* Too few rows for a trial; or it was one, and brought nothing. */
	if (!report->full || climb_settled(&pace->rows, report->now))
	{
		give_turn(pace, false, report->now);
		return;
	}
	if (report->good)
		climb_report(&pace->rows, report->now, report->rows, report->seconds,
					 pace->requests.value, false, true);
}

static void
report_requests(Pace *pace, const PaceReport *report)
{
	climb_report(&pace->requests, report->now, report->good ? report->rows : 0,
				 report->seconds, pace->requests.value, report->rejected,
				 report->limited);
	if (report->full && climb_settled(&pace->requests, report->now) &&
		!climb_settled(&pace->rows, report->now))
		give_turn(pace, true, report->now);
}

static void
note_failing(Pace *pace, bool failed)
{
	if (pace->judged < PACE_JUDGED)
		pace->judged++;
	pace->failing += ((failed ? 1 : 0) - pace->failing) / pace->judged;
}

void
pace_report(Pace *pace, const PaceReport *report)
{
	if (report->good || report->failed)
		note_failing(pace, report->failed);
	if (report->good)
		pace->usual += (report->seconds - pace->usual) *
			(pace->usual > 0 ? USUAL_WEIGHT : 1);
	if (report->full && report->rows > 1 && report->seconds > PACE_LONG_S)
		climb_limit(&pace->rows, report->rows / 2, report->now);
	else if (report->stalled)
		return; /* another one had its place */
	else if (pace->rows_turn)
		report_rows(pace, report);
	else
		report_requests(pace, report);
}

void
pace_limit(Pace *pace, uint32_t requests, double now)
{
	climb_limit(&pace->requests, requests, now);
}

double
pace_stalled_after(const Pace *pace)
{
	double seconds = pace->usual * STALLED_TIMES;

	if (pace->usual == 0)
		return STALLED_UNKNOWN_S;
	return seconds > STALLED_LEAST_S ? seconds : STALLED_LEAST_S;
}

uint32_t
pace_excused(const Pace *pace)
{
	if (pace->failing <= 0 || pace->failing >= MOSTLY)
		return 0;
	return (uint32_t) (log(UNLIKELY) / log(pace->failing));
}
