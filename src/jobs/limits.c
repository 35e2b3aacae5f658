/*-------------------------------------------------------------------------
 *
 * limits.c
 *	  Limits of jobs; see limits.h.
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "guc.h"
#include "jobs/error.h"
#include "jobs/limits.h"
#include "jobs/sql.h"
#include "jobs/subxact.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#define MAX_KEY_BYTES 1000 /* it is in an index */

/* --- arguments ------------------------------------------------------------ */

pg_noreturn static void
refuse_moment(const char *name, const char *detail)
{
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("invalid value for argument \"%s\"", name),
					errdetail("%s", detail),
					errhint("Give an interval from now, such as '5 minutes', or a timestamp with time zone.")));
}

static TimestampTz
moment_after(const Interval *interval)
{
	return DatumGetTimestampTz(
		DirectFunctionCall2(timestamptz_pl_interval,
							TimestampTzGetDatum(GetCurrentTimestamp()),
							IntervalPGetDatum(interval)));
}

/* False when the text is no value of the input function's type. */
static bool
read_text(PGFunction input, const char *text, Datum *value)
{
	SubScope sub;
	volatile bool read = false;

	sub_begin(&sub);
	PG_TRY();
	{
		*value = DirectFunctionCall3(input, CStringGetDatum(text),
									 ObjectIdGetDatum(InvalidOid),
									 Int32GetDatum(-1));
		sub_commit(&sub);
		read = true;
	}
	PG_CATCH();
	{
		ErrorData *edata = sub_abort(&sub);

		if (ERRCODE_TO_CATEGORY(edata->sqlerrcode) != ERRCODE_DATA_EXCEPTION)
			ReThrowError(edata);
	}
	PG_END_TRY();
	return read;
}

/* '2026-12-31 12:00', or '5 minutes': a string of no type may be either. */
static TimestampTz
moment_from_text(const char *text, const char *name)
{
	Datum value;

	if (read_text(timestamptz_in, text, &value))
		return DatumGetTimestampTz(value);
	if (!read_text(interval_in, text, &value))
		refuse_moment(name, psprintf("\"%s\" is neither an interval nor a timestamp.", text));
	return moment_after(DatumGetIntervalP(value));
}

/* Argument n, which is declared as of any type; 0: NULL. */
static TimestampTz
moment_argument(FunctionCallInfo fcinfo, int n, const char *name)
{
	Oid type = get_fn_expr_argtype(fcinfo->flinfo, n);
	TimestampTz moment;

	if (PG_ARGISNULL(n))
		return 0;
	switch (getBaseType(type))
	{
		case UNKNOWNOID:
			moment = moment_from_text(PG_GETARG_CSTRING(n), name);
			break;
		case TEXTOID:
		case VARCHAROID:
			moment = moment_from_text(text_to_cstring(PG_GETARG_TEXT_PP(n)), name);
			break;
		case INTERVALOID:
			moment = moment_after(PG_GETARG_INTERVAL_P(n));
			break;
		case TIMESTAMPTZOID:
			moment = PG_GETARG_TIMESTAMPTZ(n);
			break;
		case TIMESTAMPOID:
			moment = DatumGetTimestampTz(
				DirectFunctionCall1(timestamp_timestamptz, PG_GETARG_DATUM(n)));
			break;
		case DATEOID:
			moment = DatumGetTimestampTz(
				DirectFunctionCall1(date_timestamptz, PG_GETARG_DATUM(n)));
			break;
		default:
			refuse_moment(name, psprintf("A value of type %s is neither.",
										 format_type_be(type)));
	}
	if (TIMESTAMP_NOT_FINITE(moment))
		refuse_moment(name, "The value is infinite.");
	/* that moment has passed, however exactly it is told */
	return moment == 0 ? -1 : moment;
}

static char *
key_argument(FunctionCallInfo fcinfo, int n)
{
	text *key = PG_ARGISNULL(n) ? NULL : PG_GETARG_TEXT_PP(n);

	if (key == NULL)
		return NULL;
	if (VARSIZE_ANY_EXHDR(key) == 0 || VARSIZE_ANY_EXHDR(key) > MAX_KEY_BYTES)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("argument \"unique_key\" must have from 1 to %d bytes",
							   MAX_KEY_BYTES)));
	return text_to_cstring(key);
}

void
limits_read(FunctionCallInfo fcinfo, const LimitArguments *at, Job *job)
{
	TimestampTz now = GetCurrentTimestamp();

	job->unique_key = key_argument(fcinfo, at->unique_key);
	job->start_at = moment_argument(fcinfo, at->start_after, "start_after");
	job->deadline = moment_argument(fcinfo, at->deadline, "deadline");
	if (job->start_at <= now)
		job->start_at = 0;
	if (job->deadline != 0 && job->deadline <= Max(now, job->start_at))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"deadline\" must be after %s",
						job->start_at != 0 ? "the start of the job" : "the present time")));
	job->max_failures = PG_ARGISNULL(at->max_failures)
		? -1
		: PG_GETARG_INT64(at->max_failures);
	if (!PG_ARGISNULL(at->max_failures) && job->max_failures < 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("argument \"max_failures\" must not be negative")));
	job->max_in_flight = PG_ARGISNULL(at->max_in_flight)
		? 0
		: PG_GETARG_INT32(at->max_in_flight);
	if (!PG_ARGISNULL(at->max_in_flight) && job->max_in_flight < 1)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("argument \"max_in_flight\" must be at least 1")));
}

/* --- servers and settings -------------------------------------------------- */

/* Of limits where a negative one is none. */
static int64
smaller(int64 a, int64 b)
{
	return a < 0 ? b : b < 0 ? a : Min(a, b);
}

void
limits_of_server(Job *job, const Endpoint *endpoint)
{
	job->max_failures = smaller(job->max_failures,
								smaller(endpoint->max_failures, modal_max_failures));
}

int64
limits_max_inputs(const Endpoint *endpoint)
{
	int64 limit = smaller(endpoint->max_job_inputs, modal_max_job_inputs);

	return limit < 0 ? PG_INT64_MAX : limit;
}

void
limits_check_inputs(int64 inputs, int64 limit)
{
	if (inputs > limit)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("a job may have no more than " INT64_FORMAT " inputs", limit),
				 errdetail("The limit is the smaller of setting modal_batch.max_job_inputs and the server's option \"max_job_inputs\"."),
				 errhint("Make several jobs, or ask for a higher limit.")));
}

/* --- unique keys ----------------------------------------------------------- */

/*
 * The lock is held until the transaction ends, or what made the job is rolled
 * back: also by a prepared transaction.  Keys that share a hash only wait, and
 * only for the same role: others could look for such keys.
 */
static void
key_locktag(LOCKTAG *tag, Oid owner, const char *key)
{
	SET_LOCKTAG_OBJECT(*tag, MyDatabaseId, owner,
					   hash_bytes((const unsigned char *) key,
								  (int) strlen(key)), 0);
}

int64
limits_claim_key(Oid owner, const char *key)
{
	LOCKTAG tag;
	int64 id = job_store_with_unique_key(owner, key);

	if (id != 0)
		return id;
	key_locktag(&tag, owner, key);
	(void) LockAcquire(&tag, ExclusiveLock, false, false);
	id = job_store_with_unique_key(owner, key);
	if (id != 0)
		LockRelease(&tag, ExclusiveLock, false);
	return id;
}

void
limits_reclaim_key(const Job *job)
{
	int64 other = job->unique_key == NULL
		? 0
		: limits_claim_key(job->owner, job->unique_key);

	if (other != 0 && other != job->id)
		ereport(ERROR,
				(errcode(ERRCODE_UNIQUE_VIOLATION),
				 errmsg("another unfinished job has unique key \"%s\"",
						job->unique_key),
				 errdetail("It is job " INT64_FORMAT ".", other),
				 errhint("Wait for its end, or cancel it.")));
}

/* --- while it runs --------------------------------------------------------- */

static ErrorData *
limit_error(int sqlerrcode, char *message, char *hint)
{
	ErrorData *edata = palloc0(sizeof(ErrorData));

	edata->sqlerrcode = sqlerrcode;
	edata->message = message;
	edata->hint = hint;
	return edata;
}

static ErrorData *
failures_error(const Job *job, char *message, char *hint)
{
	ErrorData *edata = limit_error(ERRCODE_PROGRAM_LIMIT_EXCEEDED, message, hint);
	char *last = error_member(job->last_error, "message");

	if (last != NULL)
		edata->detail = psprintf("The last one: %s", last);
	return edata;
}

ErrorData *
limits_failures_error(const Job *job)
{
	int64 failed = job->failed - job->failed_before;
	int64 settled = job_settled(job) - job->settled_before;
	/* outcomes are those of rows, of which an input may have any number */
	int64 inputs = job->distinct ? Min(job->run_done, settled) : settled;

	if (job->max_failures >= 0 && failed > job->max_failures)
		return failures_error(job, psprintf(INT64_FORMAT " inputs have failed, of which " INT64_FORMAT " may",
											failed, job->max_failures),
							  "modal_batch.failures shows them. modal_retry() goes on with the job.");
	if (job->max_failures < 0 && inputs >= FAILURES_FROM_START && failed == settled)
		return failures_error(job, psprintf("the first " INT64_FORMAT " inputs have all failed",
											inputs),
							  "modal_batch.failures shows them. modal_retry() goes on with the job; max_failures sets another limit.");
	return NULL;
}

ErrorData *
limits_deadline_error(const Job *job)
{
	return limit_error(ERRCODE_QUERY_CANCELED,
					   psprintf("the job was not done at its deadline, %s",
								timestamptz_to_str(job->deadline)),
					   "modal_retry() goes on with the job, without a deadline.");
}
