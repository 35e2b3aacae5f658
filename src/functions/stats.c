/*-------------------------------------------------------------------------
 *
 * stats.c
 *	  What views show of shared memory: calls in progress, statistics of
 *	  functions, the state of dispatchers.
 *
 * A user sees the calls of roles whose privileges they have; members of
 * pg_read_all_stats see all, as in pg_stat_activity.
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include "catalog/pg_authid.h"
#include "core/call_limit.h"
#include "core/frame.h"
#include "funcapi.h"
#include "link/shmem.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/timestamp.h"
#include "values/values.h"
#include "utils/tuplestore.h"

PG_FUNCTION_INFO_V1(modal_activity);
PG_FUNCTION_INFO_V1(modal_stat_functions);
PG_FUNCTION_INFO_V1(modal_stat_dispatcher);
PG_FUNCTION_INFO_V1(modal_stat_reset);

static bool
may_see(Oid userid)
{
	return has_privs_of_role(GetUserId(), userid) ||
		has_privs_of_role(GetUserId(), ROLE_PG_READ_ALL_STATS);
}

static ReturnSetInfo *
begin_result(FunctionCallInfo fcinfo)
{
	modal_check_preloaded();
	InitMaterializedSRF(fcinfo, 0);
	return (ReturnSetInfo *) fcinfo->resultinfo;
}

/* Labels come from all databases, hence in UTF-8. */
static Datum
label_datum(const char *label)
{
	return CStringGetTextDatum(remote_text((Slice){label, strlen(label)}));
}

static Datum
timestamp_or_null(TimestampTz t, bool *isnull)
{
	*isnull = t == 0;
	return TimestampTzGetDatum(t);
}

/* --- calls in progress ---------------------------------------------------- */

/*
 * Copy an entry as it was at one moment: its writer makes the count odd while
 * it changes the entry.  False when it is not in use.
 */
static bool
copy_activity(int i, ActivityEntry *copy)
{
	ActivityEntry *entry = &modal_shared->activity[i];

	for (;;)
	{
		uint32 before = pg_atomic_read_u32(&entry->change_count);

		pg_read_barrier();
		if (before % 2 == 0)
		{
			memcpy(copy, entry, sizeof(*copy));
			pg_read_barrier();
			if (pg_atomic_read_u32(&entry->change_count) == before)
				return copy->in_use;
		}
		CHECK_FOR_INTERRUPTS();
	}
}

static const char *
kind_name(uint8 kind)
{
	switch (kind)
	{
		case CALL_REMOTE:
			return "remote";
		case CALL_MAP:
			return "map";
		case CALL_SPAWN_MAP:
			return "job";
		case CALL_GENERATOR:
			return "generator";
		case CALL_FOLLOW:
			return "follow";
		default:
			return "control";
	}
}

/* NULL: nothing that is known. */
static const char *
limit_name(uint8 limit)
{
	switch (limit)
	{
		case CALL_LIMIT_READER:
			return "reader";
		case CALL_LIMIT_SERVICE:
			return "service";
		case CALL_LIMIT_CONCURRENCY:
			return "max_concurrency";
		case CALL_LIMIT_RATE:
			return "requests_per_second";
		case CALL_LIMIT_DESCRIPTORS:
			return "descriptors";
		case CALL_LIMIT_PAUSE:
			return "pause";
		default:
			return NULL;
	}
}

/* Rather than leave calls out in silence. */
static void
warn_of_unlisted_calls(void)
{
	uint32 n = 0;

	for (int i = 0; i < modal_shared->ndispatchers; i++)
		n += pg_atomic_read_u32(&modal_shared->dispatchers[i].calls_unlisted);
	if (n > 0)
		ereport(WARNING,
				(errmsg("%u open remote calls are not shown", n),
				 errdetail("No more than %d of them can be shown at a time.",
						   MODAL_ACTIVITY_ENTRIES)));
}

Datum
modal_activity(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = begin_result(fcinfo);
	ActivityEntry *entry = palloc(sizeof(ActivityEntry));
	TimestampTz now = GetCurrentTimestamp();

	for (int i = 0; i < MODAL_ACTIVITY_ENTRIES; i++)
	{
		Datum values[17];
		bool nulls[17] = {false};
		const char *limit;
		double seconds;
		int n = 0;

		CHECK_FOR_INTERRUPTS();
		if (!copy_activity(i, entry) || !may_see(entry->userid))
			continue;
		seconds = (double) (now - entry->started_at) / USECS_PER_SEC;
		values[n++] = Int32GetDatum(entry->pid);
		values[n++] = ObjectIdGetDatum(entry->dbid);
		values[n++] = ObjectIdGetDatum(entry->userid);
		values[n++] = Int32GetDatum(entry->dispatcher);
		values[n++] = CStringGetTextDatum(kind_name(entry->kind));
		values[n++] = label_datum(entry->label);
		nulls[n] = entry->remote_call_id[0] == '\0';
		values[n++] = CStringGetTextDatum(entry->remote_call_id);
		values[n++] = TimestampTzGetDatum(entry->started_at);
		values[n++] = Int64GetDatum((int64) entry->inputs_received);
		values[n++] = Int64GetDatum((int64) entry->inputs_sent);
		values[n++] = Int64GetDatum((int64) entry->inputs_done);
		values[n++] = Int64GetDatum((int64) entry->inputs_failed);
		values[n++] = Int64GetDatum((int64) entry->retries);
		values[n++] = Int64GetDatum((int64) entry->bytes_sent);
		values[n++] = Int64GetDatum((int64) entry->bytes_received);
		values[n++] = Float8GetDatum(
			seconds > 0 ? (double) entry->inputs_done / seconds : 0);
		limit = limit_name(entry->limit);
		nulls[n] = limit == NULL;
		values[n++] = limit == NULL ? (Datum) 0 : CStringGetTextDatum(limit);
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	warn_of_unlisted_calls();
	return (Datum) 0;
}

/* --- statistics of functions ------------------------------------------------ */

/*
 * A copy of them all: looking up rights, and making rows, may wait for locks
 * and be cancelled, which must not be while everybody's calls wait for ours.
 */
static FunctionStatEntry *
copy_function_stats(int *n)
{
	HASH_SEQ_STATUS scan;
	FunctionStatEntry *entry, *copies;

	copies = palloc(sizeof(FunctionStatEntry) * MODAL_MAX_FUNCTIONS);
	*n = 0;
	LWLockAcquire(modal_shared->stat_lock, LW_SHARED);
	hash_seq_init(&scan, modal_function_stats);
	while ((entry = hash_seq_search(&scan)) != NULL)
	{
		Assert(*n < MODAL_MAX_FUNCTIONS);
		copies[(*n)++] = *entry;
	}
	LWLockRelease(modal_shared->stat_lock);
	return copies;
}

static void
put_function_stats(ReturnSetInfo *result, const FunctionStatEntry *entry)
{
	static const double shares[] = {0.5, 0.95, 0.99};
	Datum values[17];
	bool nulls[17] = {false};
	int n = 0;

	values[n++] = ObjectIdGetDatum(entry->key.dbid);
	values[n++] = ObjectIdGetDatum(entry->key.userid);
	values[n++] = label_datum(entry->key.label);
	values[n++] = Int64GetDatum((int64) entry->calls);
	values[n++] = Int64GetDatum((int64) entry->inputs);
	values[n++] = Int64GetDatum((int64) entry->errors);
	values[n++] = Int64GetDatum((int64) entry->retries);
	values[n++] = Int64GetDatum((int64) entry->bytes_sent);
	values[n++] = Int64GetDatum((int64) entry->bytes_received);
	values[n++] = Float8GetDatum(entry->total_time * 1000);
	values[n++] = Float8GetDatum(entry->remote_time * 1000);
	values[n] = timestamp_or_null(entry->first_call, &nulls[n]);
	n++;
	values[n] = timestamp_or_null(entry->last_call, &nulls[n]);
	n++;
	for (int i = 0; i < (int) lengthof(shares); i++)
	{
		nulls[n] = entry->latency.total == 0;
		values[n++] = Float8GetDatum(
			(double) histogram_percentile(&entry->latency, shares[i]) / 1000);
	}
	values[n] = Float8GetDatum(entry->usage);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

Datum
modal_stat_functions(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = begin_result(fcinfo);
	uint64 left_out = pg_atomic_read_u64(&modal_shared->calls_not_counted);
	int n;
	FunctionStatEntry *entries = copy_function_stats(&n);

	for (int i = 0; i < n; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (may_see(entries[i].key.userid))
			put_function_stats(result, &entries[i]);
	}
	pfree(entries);
	if (left_out > 0)
		ereport(WARNING,
				(errmsg(UINT64_FORMAT " calls are not counted, of more functions and users than there is room for",
						left_out),
				 errdetail("There is room for %d.", MODAL_MAX_FUNCTIONS),
				 errhint("modal_stat_reset() makes room.")));
	return (Datum) 0;
}

Datum
modal_stat_reset(PG_FUNCTION_ARGS)
{
	HASH_SEQ_STATUS scan;
	FunctionStatEntry *entry;

	(void) fcinfo;
	modal_check_preloaded();
	LWLockAcquire(modal_shared->stat_lock, LW_EXCLUSIVE);
	hash_seq_init(&scan, modal_function_stats);
	while ((entry = hash_seq_search(&scan)) != NULL)
		(void) hash_search(modal_function_stats, &entry->key, HASH_REMOVE, NULL);
	pg_atomic_write_u64(&modal_shared->calls_not_counted, 0);
	LWLockRelease(modal_shared->stat_lock);
	PG_RETURN_VOID();
}

/* --- dispatchers --------------------------------------------------------------- */

Datum
modal_stat_dispatcher(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = begin_result(fcinfo);

	for (int i = 0; i < modal_shared->ndispatchers; i++)
	{
		DispatcherShared *d = &modal_shared->dispatchers[i];
		Datum values[15];
		bool nulls[15] = {false};
		int n = 0;

		values[n++] = Int32GetDatum(i);
		nulls[n] = d->pid == 0;
		values[n++] = Int32GetDatum(d->pid);
		values[n++] = CStringGetTextDatum(
			d->pid == 0 ? "not running"
						: dispatcher_state_name(
							  (DispatcherState) pg_atomic_read_u32(&d->state)));
		values[n] = timestamp_or_null(d->started_at, &nulls[n]);
		n++;
		values[n] = timestamp_or_null(
			(TimestampTz) pg_atomic_read_u64(&d->heartbeat), &nulls[n]);
		n++;
		values[n++] = Int32GetDatum(pg_atomic_read_u32(&d->channels));
		values[n++] = Int32GetDatum(pg_atomic_read_u32(&d->calls));
		values[n++] = Int32GetDatum(pg_atomic_read_u32(&d->connections));
		values[n++] = Int32GetDatum(pg_atomic_read_u32(&d->requests_active));
		values[n++] = Int64GetDatum(pg_atomic_read_u32(&d->inputs_queued));
		values[n++] = Int64GetDatum(pg_atomic_read_u32(&d->inputs_in_flight));
		values[n++] = Int64GetDatum(pg_atomic_read_u64(&d->requests_total));
		values[n++] = Int64GetDatum(pg_atomic_read_u64(&d->retries_total));
		values[n++] = Int64GetDatum(pg_atomic_read_u64(&d->bytes_sent));
		values[n++] = Int64GetDatum(pg_atomic_read_u64(&d->bytes_received));
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}
