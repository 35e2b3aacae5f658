/*-------------------------------------------------------------------------
 *
 * run_job_parts.c
 *	  Finding the results that keep a batch from being written; see
 *	  run_job_internal.h.
 *
 * Most errors of a row are found within the batch's transaction (sink.h).  Two
 * kinds are not.  What passes by itself, such as a lock, says nothing of a row:
 * it is waited for.  But a session may hold the lock for days, and a trigger may
 * meet such an error for one row always.  And what is found at the commit, such
 * as a deferred constraint of another server, comes too late.
 *
 * Then halves of the batch are written, each in a transaction of its own, down to
 * single results.  One that cannot be written fails if that says something of it:
 * others were written after it, or all others.  Else it is the server.
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include "clock.h"
#include "jobs/error.h"
#include "jobs/run_job_internal.h"

#define PATIENT_TRIES 8 /* in vain, with the same error: some two minutes */
#define MAX_S 5.0		/* in a step, if it has written anything */
#define MANY_ALONE 16	/* refused, and none written: it is not they */

typedef struct Parts
{
	double until;	  /* see clock.h */
	bool progress;	  /* something has been committed */
	int written;	  /* results; failed inputs need not be in the table */
	int alone;		  /* items that could not be written */
	ErrorData *error; /* of the last of these */
} Parts;

/* Not of the service's, which may have been tried as often. */
static bool
is_out_of_patience(const Job *job, const ErrorData *edata)
{
	char *code = error_member(job->last_error, "code");

	return job->tries >= PATIENT_TRIES && code != NULL &&
		strcmp(code, unpack_sql_state(edata->sqlerrcode)) == 0;
}

bool
run_job_writes_parts(const RunJob *rj, const ErrorData *edata, bool at_commit)
{
	if (rj->nitems == 0 || !OidIsValid(rj->job->sink.into_table))
		return false;
	if (error_is_passing(edata))
		return rj->nitems > 1 && is_out_of_patience(rj->job, edata);
	/* the extension's own tables are not fit for it */
	return at_commit &&
		edata->sqlerrcode != ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE;
}

static bool
is_over(const RunJob *rj, const Parts *parts)
{
	return rj->call == NULL || rj->job->state == JOB_CANCELLING ||
		(parts->written == 0 && parts->alone >= MANY_ALONE) ||
		(parts->progress && monotonic_seconds() > parts->until);
}

static int
count_results(const RunJob *rj, int lo, int n)
{
	int results = 0;

	for (int k = lo; k < lo + n; k++)
		results += rj->items[k].out.ok;
	return results;
}

static ErrorData *
write_items(RunJob *rj, Parts *parts, int lo, int n)
{
	int results = count_results(rj, lo, n);
	bool at_commit;
	ErrorData *edata = run_job_write_part(rj, lo, n, &at_commit);

	if (edata != NULL)
		return edata;
	parts->progress = true;
	parts->written += results;
	return NULL;
}

static int write_halves(RunJob *rj, Parts *parts, int lo, int n);

/* Returns how many of these items are still there, as far as it has got. */
static int
write_some(RunJob *rj, Parts *parts, int lo, int n)
{
	ErrorData *edata;

	if (n == 0 || is_over(rj, parts))
		return n;
	edata = write_items(rj, parts, lo, n);
	if (edata == NULL)
		return 0;
	if (n > 1)
		return write_halves(rj, parts, lo, n);
	rj->items[lo].refused = parts->error = edata;
	rj->items[lo].written_before = parts->written;
	parts->alone++;
	return 1;
}

/* The recursion is as deep as a batch can be halved. */
static int
write_halves(RunJob *rj, Parts *parts, int lo, int n)
{
	int left = write_some(rj, parts, lo, n / 2);

	return left + write_some(rj, parts, lo + left, n - n / 2);
}

/* Does its error say something of it? */
static bool
fails(const BatchItem *item, const Parts *parts, int last)
{
	return !error_is_passing(item->refused) ||
		parts->written > item->written_before ||
		(parts->written > 0 && last == 1);
}

static ErrorData *
fail_refused(RunJob *rj, Parts *parts)
{
	Parts found = *parts;
	ErrorData *edata = NULL;
	int last = 0; /* since something was written */
	int k = 0;

	for (int i = 0; i < rj->nitems; i++)
		last += rj->items[i].refused != NULL &&
			rj->items[i].written_before == found.written;
	while (rj->call != NULL && edata == NULL && k < rj->nitems)
	{
		if (rj->items[k].refused != NULL && fails(&rj->items[k], &found, last))
			edata = write_items(rj, parts, k, 1);
		else
			k++;
	}
	for (int i = 0; i < rj->nitems; i++)
		rj->items[i].refused = NULL;
	return edata;
}

ErrorData *
run_job_write_parts(RunJob *rj, ErrorData *edata)
{
	Parts parts = {.until = monotonic_seconds() + MAX_S, .error = edata};
	bool complete;

	(void) write_halves(rj, &parts, 0, rj->nitems);
	complete = !is_over(rj, &parts);
	edata = fail_refused(rj, &parts);
	if (edata != NULL || rj->call == NULL || rj->nitems == 0)
		return edata;
	/* what has not been tried is tried next, if that is any good */
	return parts.progress && !complete ? NULL : parts.error;
}
