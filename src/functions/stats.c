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
#include "core/frame.h"
#include "funcapi.h"
#include "link/shmem.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/timestamp.h"

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

Datum
modal_activity(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = begin_result(fcinfo);
	ActivityEntry *entry = palloc(sizeof(ActivityEntry));
	TimestampTz now = GetCurrentTimestamp();

	for (int i = 0; i < MODAL_ACTIVITY_ENTRIES; i++)
	{
		Datum values[16];
		bool nulls[16] = {false};
		double seconds;
		int n = 0;

		if (!copy_activity(i, entry) || !may_see(entry->userid))
			continue;
		seconds = (double) (now - entry->started_at) / USECS_PER_SEC;
		values[n++] = Int32GetDatum(entry->pid);
		values[n++] = ObjectIdGetDatum(entry->dbid);
		values[n++] = ObjectIdGetDatum(entry->userid);
		values[n++] = Int32GetDatum(entry->dispatcher);
		values[n++] = CStringGetTextDatum(kind_name(entry->kind));
		values[n++] = CStringGetTextDatum(entry->label);
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
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}

/* --- statistics of functions ------------------------------------------------ */

Datum
modal_stat_functions(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = begin_result(fcinfo);
	HASH_SEQ_STATUS scan;
	FunctionStatEntry *entry;

	LWLockAcquire(modal_shared->stat_lock, LW_SHARED);
	hash_seq_init(&scan, modal_function_stats);
	while ((entry = hash_seq_search(&scan)) != NULL)
	{
		Datum values[13];
		bool nulls[13] = {false};
		int n = 0;

		if (!may_see(entry->key.userid))
			continue;
		values[n++] = ObjectIdGetDatum(entry->key.dbid);
		values[n++] = ObjectIdGetDatum(entry->key.userid);
		values[n++] = CStringGetTextDatum(entry->key.label);
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
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	LWLockRelease(modal_shared->stat_lock);
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
