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

bool
job_store_join(Oid owner, bool own_session, int64 from, const int64 *active,
			   int nactive, int limit)
{
	Datum args[] = {ObjectIdGetDatum(owner), BoolGetDatum(own_session),
					Int64GetDatum(from), int8_array(active, nactive),
					Int32GetDatum(limit)};

	return store_run_alone(JOIN_JOBS, args, NULL) > 0;
}

static int64
expire(StatementId id, int retention_s)
{
	StoreScope scope;
	Datum args[] = {Float8GetDatum(retention_s)};
	bool isnull;
	int64 n;

	store_enter(&scope);
	store_run(id, args, NULL);
	n = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0],
									SPI_tuptable->tupdesc, 1, &isnull));
	store_leave(&scope);
	return n;
}

int64
job_store_expire(int retention_s)
{
	return expire(EXPIRE, retention_s);
}

int64
job_store_expire_of_triggers(int retention_s)
{
	return expire(EXPIRE_OF_TRIGGERS, retention_s);
}
