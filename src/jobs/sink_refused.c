/*-------------------------------------------------------------------------
 *
 * sink_refused.c
 *	  Writing rows of which the table may refuse some; see sink_internal.h.
 *
 * All rows are written at once.  Only when that fails is there anything to
 * find: halves are tried, and of a few hundred rows one after the other, in one
 * subtransaction, up to the one that is refused.  Those before it are then
 * written at once, and the search goes on behind it: two transaction ids for
 * each refused row.  Where every other row is refused, each has a
 * subtransaction of its own: then it is one.
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include "jobs/error.h"
#include "jobs/sink_internal.h"
#include "jobs/subxact.h"

#define FEW_ROWS 400 /* to try one after the other */
#define OFTEN 2		 /* refused, when fewer rows than this are between */

bool
sink_error_is_passing(const Sink *sink, const ErrorData *edata)
{
	return error_is_passing(edata) &&
		!(sink->timed_out && edata->sqlerrcode == ERRCODE_QUERY_CANCELED);
}

/* Write groups, which must not be none. */
static void
run_groups(Sink *sink, List *groups, bool errors, bool *applied)
{
	ListCell *lc;

	if (sink->spec->mode == SINK_REPLACE)
		sink_replace(sink, groups, applied);
	else
		foreach (lc, groups)
			sink_run_group(sink, lfirst(lc), errors, applied);
	/* a trigger may have deferred them again */
	sink_check_constraints();
}

/* On failure nothing is written. */
static ErrorData *
run_statements(Sink *sink, List *groups, bool errors, bool *applied)
{
	SubScope sub;
	ErrorData *volatile edata = NULL;

	sub_begin(&sub);
	PG_TRY();
	{
		run_groups(sink, groups, errors, applied);
		sub_commit(&sub);
	}
	PG_CATCH();
	{
		edata = sub_abort(&sub);
	}
	PG_END_TRY();
	if (edata != NULL && sink_error_is_passing(sink, edata))
		ReThrowError(edata);
	return edata;
}

/*
 * A statement was refused: is it the table, rather than a row?  Then the
 * error of sink_target_get ends the job, or it begins anew with the table as
 * it is now.
 */
static void
recheck_table(const Sink *sink, const ErrorData *edata)
{
	switch (ERRCODE_TO_CATEGORY(edata->sqlerrcode))
	{
		case ERRCODE_SYNTAX_ERROR_OR_ACCESS_RULE_VIOLATION:
		case ERRCODE_FEATURE_NOT_SUPPORTED: /* it lives elsewhere now */
		case ERRCODE_INTERNAL_ERROR:
			sink_check_target(sink);
			break;
		default:
			break;
	}
}

static int
count_rows(const SinkRow *rows, int lo, int hi, SinkOutcome wanted)
{
	int count = 0;

	for (int i = lo; i < hi; i++)
		count += rows[i].outcome == wanted;
	return count;
}

/* A failure stays one; only the table does not say so. */
static void
refuse_row(Sink *sink, SinkRow *row, SinkOutcome wanted,
		   const ErrorData *edata)
{
	if (wanted == SINK_SUCCEEDED)
		sink_fail_row(row, edata);
	else
	{
		sink->nuntold++;
		sink->untold = edata;
	}
}

/* All of [lo, *end) or nothing, where *end is at most hi. */
static ErrorData *
write_at_once(Sink *sink, SinkRow *rows, int lo, int hi, SinkOutcome wanted,
			  int *end, bool *applied)
{
	List *groups = sink_decode(sink, rows, lo, hi, wanted, end);
	ErrorData *edata;

	memset(applied + lo, 0, sizeof(bool) * (*end - lo));
	edata = groups == NIL
		? NULL
		: run_statements(sink, groups, wanted == SINK_FAILED, applied);
	sink_free_groups(groups);
	return edata;
}

/*
 * Write one after the other.  When one is refused, nothing is written: returns
 * which, and *edata says why; else hi.
 */
static int
write_up_to_refused(Sink *sink, SinkRow *rows, int lo, int hi,
					SinkOutcome wanted, bool *applied, ErrorData **edata)
{
	SubScope sub;
	volatile int n = lo;
	List *volatile groups = NIL;
	int end;

	*edata = NULL;
	memset(applied + lo, 0, sizeof(bool) * (hi - lo));
	sub_begin(&sub);
	PG_TRY();
	{
		for (; n < hi; n++)
		{
			CHECK_FOR_INTERRUPTS();
			groups = sink_decode(sink, rows, n, n + 1, wanted, &end);
			if (groups != NIL)
				run_groups(sink, groups, wanted == SINK_FAILED, applied);
			sink_free_groups(groups);
			groups = NIL;
		}
		sub_commit(&sub);
	}
	PG_CATCH();
	{
		*edata = sub_abort(&sub);
	}
	PG_END_TRY();
	sink_free_groups(groups);
	if (*edata != NULL && sink_error_is_passing(sink, *edata))
		ReThrowError(*edata);
	return n;
}

/* Each in a subtransaction of its own, up to a stretch that is not refused. */
static int
write_singly(Sink *sink, SinkRow *rows, int lo, int hi, SinkOutcome wanted,
			 bool *applied)
{
	int written = 0;
	int n = lo;

	for (; n < hi && written < OFTEN; n++)
	{
		ErrorData *edata;
		int end;

		CHECK_FOR_INTERRUPTS();
		edata = write_at_once(sink, rows, n, n + 1, wanted, &end, applied);
		if (edata != NULL)
			refuse_row(sink, &rows[n], wanted, edata);
		written = edata != NULL ? 0 : written + (rows[n].outcome == wanted);
	}
	return n;
}

static void
write_few(Sink *sink, SinkRow *rows, int lo, int hi, SinkOutcome wanted,
		  bool *applied)
{
	while (lo < hi)
	{
		ErrorData *edata;
		int refused, end;

		if (sink->refused_often)
		{
			lo = write_singly(sink, rows, lo, hi, wanted, applied);
			sink->refused_often = lo == hi;
			continue;
		}
		refused = write_up_to_refused(sink, rows, lo, hi, wanted, applied, &edata);
		if (refused == hi)
			break;
		refuse_row(sink, &rows[refused], wanted, edata);
		sink->refused_often = count_rows(rows, lo, refused, wanted) < OFTEN;
		/* they have just been written, so all is well; but nobody knows */
		while (lo < refused)
			if (write_at_once(sink, rows, lo, refused, wanted, &end, applied) == NULL)
				lo = end;
			else
				lo = write_singly(sink, rows, lo, refused, wanted, applied);
		lo = refused + 1;
	}
}

/* The recursion is as deep as a batch can be halved. */
void
sink_write_range(Sink *sink, SinkRow *rows, int lo, int hi, SinkOutcome wanted,
				 bool *applied)
{
	while (lo < hi)
	{
		int end;
		ErrorData *edata = write_at_once(sink, rows, lo, hi, wanted, &end,
										 applied);
		int count = count_rows(rows, lo, end, wanted);

		if (edata != NULL)
		{
			if (wanted == SINK_SUCCEEDED)
				recheck_table(sink, edata);
			if (count == 1)
			{
				int n = lo;

				while (rows[n].outcome != wanted)
					n++;
				refuse_row(sink, &rows[n], wanted, edata);
			}
			else if (count <= FEW_ROWS)
				write_few(sink, rows, lo, end, wanted, applied);
			else
			{
				int middle = (lo + end) / 2;

				sink_write_range(sink, rows, lo, middle, wanted, applied);
				sink_write_range(sink, rows, middle, end, wanted, applied);
			}
		}
		lo = end;
	}
}
