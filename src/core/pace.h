/*-------------------------------------------------------------------------
 *
 * pace.h
 *	  How much to ask of a service: how many requests at once, and how many
 *	  rows in each.
 *
 * Both are found by trying (climb.h), in turns, because a trial of one
 * changes what the other measures: first the rows, whose knee is where
 * another doubling brings no more rows a second, then the requests, and so
 * on.  However it pays, a request of many rows should not take longer than
 * PACE_LONG_S, or it would be slow to cancel and much to repeat.
 *
 * A request that has been under way far longer than usual is stalled: it
 * holds nobody else up any more (pace_stalled_after).  The same rows may fail
 * several times in a row by mere chance, where a share of all requests does
 * (pace_excused).  Pure: time is passed in.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_CORE_PACE_H
#define MODAL_CORE_PACE_H

#include "core/climb.h"

typedef struct Pace
{
	Climb requests;
	Climb rows;
	bool rows_turn;
	double usual; /* seconds a good request takes, smoothed; 0: not known */
	double failing; /* share of the requests to be repeated, smoothed */
	uint32_t judged; /* requests in that share, up to PACE_JUDGED */
} Pace;

#define PACE_FIRST_REQUESTS 8
#define PACE_FIRST_ROWS 8
#define PACE_LONG_S 5.0
#define PACE_JUDGED 64 /* the latest requests that failing is about */

/* One request that has ended. */
typedef struct PaceReport
{
	double now;
	double seconds;	 /* that it took */
	uint32_t rows;
	bool good;		 /* it brought results */
	bool failed;	 /* its rows are to be sent again as they are */
	bool rejected;	 /* by an overloaded service */
	bool full;		 /* there was no lack of rows when it was made */
	bool limited;	 /* as many requests as may be were under way */
	bool stalled;	 /* it had left its place to another one */
} PaceReport;

extern void pace_init(Pace *pace, uint32_t max_requests, uint32_t max_rows);
extern void pace_report(Pace *pace, const PaceReport *report);
/* More requests at once than this are not possible, for now. */
extern void pace_limit(Pace *pace, uint32_t requests, double now);
/* Seconds after which a request counts as stalled. */
extern double pace_stalled_after(const Pace *pace);
/*
 * How often the same rows may fail before there must be another reason than
 * the share of requests that fail: 0 when most of them do.
 */
extern uint32_t pace_excused(const Pace *pace);

static inline uint32_t
pace_requests(const Pace *pace)
{
	return pace->requests.value;
}

/* Is that what pace_limit has said? */
static inline bool
pace_is_limited(const Pace *pace)
{
	return pace->requests.imposed;
}

static inline uint32_t
pace_rows(const Pace *pace)
{
	return pace->rows.value;
}

#endif /* MODAL_CORE_PACE_H */
