/*-------------------------------------------------------------------------
 *
 * housekeeping.c
 *	  Few jobs instead of many: small ones are joined before they run, old ones
 *	  go; see store.h.
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include "jobs/sql.h"
#include "jobs/store.h"

/* At a time, so that nobody waits for long, and little is done in vain. */
#define EXPIRE_JOBS 1000
#define EXPIRE_ROWS 10000

bool
job_store_join(Oid owner, bool own_session, int64 from, const int64 *active,
			   int nactive, int limit)
{
	Datum args[] = {ObjectIdGetDatum(owner), BoolGetDatum(own_session),
					Int64GetDatum(from), int8_array(active, nactive),
					Int32GetDatum(limit)};

	return store_run_alone(JOIN_JOBS, args, NULL) > 0;
}

/* How long they are kept; negative: for ever, which is NULL. */
static Datum
retention(int seconds, char *null)
{
	*null = seconds < 0 ? 'n' : ' ';
	return Float8GetDatum(seconds);
}

static Datum
first_value(void)
{
	bool isnull;

	return SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
}

bool
job_store_has_expired(int retention_s, int trigger_retention_s)
{
	StoreScope scope;
	char nulls[2];
	Datum args[] = {retention(retention_s, &nulls[0]),
					retention(trigger_retention_s, &nulls[1])};
	bool expired;

	store_enter(&scope);
	store_run(HAS_EXPIRED, args, nulls);
	expired = DatumGetBool(first_value());
	store_leave(&scope);
	return expired;
}

/* Jobs that have ended that long ago, locked: nobody is to go on with one now. */
static Datum
lock_expired(int retention_s, int limit, int *n)
{
	char nulls[2] = {' ', ' '};
	Datum args[] = {retention(retention_s, &nulls[0]), Int32GetDatum(limit)};
	int64 *ids = palloc(sizeof(int64) * limit);

	*n = (int) store_run(EXPIRED, args, nulls);
	for (int i = 0; i < *n; i++)
	{
		RowReader row = {SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 0};

		ids[i] = DatumGetInt64(next_value(&row));
	}
	return int8_array(ids, *n);
}

bool
job_store_expire(int retention_s, int64 *jobs)
{
	static const StatementId parts[] = {EXPIRE_RESULTS, EXPIRE_CHUNKS, EXPIRE_JOINED};
	StoreScope scope;
	bool more = false;
	int n;
	Datum ids;

	store_enter(&scope);
	ids = lock_expired(retention_s, EXPIRE_JOBS, &n);
	for (int i = 0; n > 0 && !more && i < (int) lengthof(parts); i++)
	{
		Datum args[] = {ids, Int32GetDatum(EXPIRE_ROWS)};

		more = store_run(parts[i], args, NULL) == EXPIRE_ROWS;
	}
	if (n > 0 && !more)
	{
		Datum args[] = {ids};

		*jobs += (int64) store_run(EXPIRE, args, NULL);
		more = n == EXPIRE_JOBS;
	}
	store_leave(&scope);
	return more;
}

bool
job_store_expire_of_triggers(int retention_s)
{
	StoreScope scope;
	char nulls[2] = {' ', ' '};
	Datum args[] = {retention(retention_s, &nulls[0]), Int32GetDatum(EXPIRE_JOBS)};
	int64 n;

	store_enter(&scope);
	store_run(EXPIRE_OF_TRIGGERS, args, nulls);
	n = DatumGetInt64(first_value());
	store_leave(&scope);
	return n == EXPIRE_JOBS;
}
