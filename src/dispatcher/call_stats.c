/*-------------------------------------------------------------------------
 *
 * call_stats.c
 *	  Activity entries and cumulative statistics of calls, in shared memory.
 *
 * Activity entries that nobody uses are in a list under ModalShared->lock; one
 * that was taken is written by this process alone.  Readers take a copy and
 * retry when its change count was odd or has moved.  A call that finds no entry
 * is counted, for the view to say so, and gets one when there is one again and
 * the call has news.  Function statistics are added under stat_lock, once per
 * call.
 *
 *-------------------------------------------------------------------------
 */
#include "dispatcher/call_stats.h"

#include "utils/hsearch.h"
#include "utils/timestamp.h"

static int my_dispatcher;
static uint32 unlisted;
static uint64 sum_queued;
static uint64 sum_in_flight;
static uint64 sum_retries;

static void
entry_write_begin(ActivityEntry *entry)
{
	pg_atomic_write_u32(&entry->change_count,
						pg_atomic_read_u32(&entry->change_count) + 1);
	pg_write_barrier();
}

static void
entry_write_end(ActivityEntry *entry)
{
	pg_write_barrier();
	pg_atomic_write_u32(&entry->change_count,
						pg_atomic_read_u32(&entry->change_count) + 1);
}

/* Under ModalShared->lock. */
static void
free_entry(ActivityEntry *entry)
{
	entry->next_free = modal_shared->free_activity;
	modal_shared->free_activity = (int) (entry - modal_shared->activity);
	pg_atomic_fetch_sub_u32(&modal_shared->activity_used, 1);
}

void
call_stats_init(int dispatcher)
{
	my_dispatcher = dispatcher;

	/* Calls of a predecessor that did not end properly. */
	LWLockAcquire(modal_shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < MODAL_ACTIVITY_ENTRIES; i++)
	{
		ActivityEntry *entry = &modal_shared->activity[i];

		if (entry->in_use && entry->dispatcher == dispatcher)
		{
			/* It may have been interrupted in the middle of a write. */
			if (pg_atomic_read_u32(&entry->change_count) % 2 == 0)
				entry_write_begin(entry);
			entry->in_use = false;
			entry_write_end(entry);
			free_entry(entry);
		}
	}
	LWLockRelease(modal_shared->lock);
}

static ActivityEntry *
take_entry(void)
{
	ActivityEntry *entry = NULL;

	LWLockAcquire(modal_shared->lock, LW_EXCLUSIVE);
	if (modal_shared->free_activity >= 0)
	{
		entry = &modal_shared->activity[modal_shared->free_activity];
		modal_shared->free_activity = entry->next_free;
		pg_atomic_fetch_add_u32(&modal_shared->activity_used, 1);
		entry_write_begin(entry);
		entry->in_use = true;
		entry->dispatcher = my_dispatcher;
	}
	LWLockRelease(modal_shared->lock);
	return entry;
}

/* Cut at a character border; labels come from a database in UTF-8 or not. */
static void
copy_label(char *to, Slice label)
{
	size_t n = Min(label.n, MODAL_LABEL_LEN - 1);

	if (n < label.n)
	{
		while (n > 0 && ((unsigned char) label.p[n] & 0xC0) == 0x80)
			n--;
	}
	memset(to, 0, MODAL_LABEL_LEN);
	memcpy(to, label.p, n);
}

/* Give the call an entry, if there is one. */
static void
list_call(CallStats *stats, const DispatchCall *call)
{
	ActivityEntry *entry = take_entry();

	stats->entry = entry;
	if (entry == NULL)
		return;
	entry->kind = call->open.kind;
	entry->pid = stats->pid;
	entry->userid = stats->key.userid;
	entry->dbid = stats->key.dbid;
	entry->started_at = stats->started_at;
	entry->inputs_received = entry->inputs_sent = 0;
	entry->inputs_done = entry->inputs_failed = entry->retries = 0;
	entry->bytes_sent = entry->bytes_received = 0;
	entry->limit = CALL_LIMIT_NONE;
	memcpy(entry->label, stats->key.label, MODAL_LABEL_LEN);
	entry->remote_call_id[0] = '\0';
	entry_write_end(entry);
}

void
call_stats_begin(CallStats *stats, const DispatchCall *call,
				 const Attachment *att)
{
	stats->started_at = GetCurrentTimestamp();
	stats->pid = att->pid;
	stats->key.dbid = att->dbid;
	stats->key.userid = att->userid;
	copy_label(stats->key.label, call->open.label);
	list_call(stats, call);
	if (stats->entry == NULL)
		unlisted++;
}

void
call_stats_set_remote_id(CallStats *stats, const char *id)
{
	if (stats->entry == NULL)
		return;
	entry_write_begin(stats->entry);
	strlcpy(stats->entry->remote_call_id, id,
			sizeof(stats->entry->remote_call_id));
	entry_write_end(stats->entry);
}

/* Let the sums follow what the call counts. */
static void
adjust_sums(CallStats *stats, uint64 queued, uint64 in_flight, uint64 retries)
{
	sum_queued += queued - stats->queued;
	sum_in_flight += in_flight - stats->in_flight;
	sum_retries += retries - stats->retries;
	stats->queued = queued;
	stats->in_flight = in_flight;
	stats->retries = retries;
}

void
call_stats_output(CallStats *stats, const FrameOutput *out)
{
	double seconds = frame_output_seconds(out);

	if (seconds < 0)
		return;
	stats->remote_time += seconds;
	histogram_add(&stats->latency, (uint64_t) (seconds * 1e6));
}

void
call_stats_update(CallStats *stats, const DispatchCall *call)
{
	ActivityEntry *entry;

	if (stats->entry == NULL &&
		pg_atomic_read_u32(&modal_shared->activity_used) < MODAL_ACTIVITY_ENTRIES)
	{
		list_call(stats, call);
		if (stats->entry != NULL)
			unlisted--;
	}
	entry = stats->entry;
	adjust_sums(stats, call->npending,
				call->sent > call->done ? call->sent - call->done : 0,
				call->retries);
	if (entry == NULL)
		return;
	entry_write_begin(entry);
	entry->inputs_received = call->received;
	entry->inputs_sent = call->sent;
	entry->inputs_done = call->done;
	entry->inputs_failed = call->failed;
	entry->retries = call->retries;
	entry->bytes_sent = call->bytes_out;
	entry->bytes_received = call->bytes_in;
	entry->limit = call->driver != NULL && call->driver->limit != NULL
		? (uint8) call->driver->limit(call)
		: CALL_LIMIT_NONE;
	entry_write_end(entry);
}

static void
add_to_function(const CallStats *stats, const DispatchCall *call, bool failed)
{
	FunctionStatEntry *entry;
	TimestampTz now = GetCurrentTimestamp();
	bool found;

	LWLockAcquire(modal_shared->stat_lock, LW_EXCLUSIVE);
	entry = hash_search(modal_function_stats, &stats->key,
						hash_get_num_entries(modal_function_stats) <
								MODAL_MAX_FUNCTIONS
							? HASH_ENTER_NULL
							: HASH_FIND,
						&found);
	if (entry != NULL)
	{
		if (!found)
		{
			memset((char *) entry + sizeof(entry->key), 0,
				   sizeof(*entry) - sizeof(entry->key));
			entry->first_call = stats->started_at;
		}
		entry->calls++;
		entry->inputs += call->done;
		entry->errors += call->failed + (failed ? 1 : 0);
		entry->retries += call->retries;
		entry->bytes_sent += call->bytes_out;
		entry->bytes_received += call->bytes_in;
		entry->total_time += (now - stats->started_at) / 1e6;
		entry->remote_time += stats->remote_time;
		histogram_merge(&entry->latency, &stats->latency);
		entry->usage += call->usage;
		entry->last_call = stats->started_at;
	}
	else
		pg_atomic_fetch_add_u64(&modal_shared->calls_not_counted, 1);
	LWLockRelease(modal_shared->stat_lock);
}

void
call_stats_end(CallStats *stats, const DispatchCall *call, bool failed)
{
	adjust_sums(stats, 0, 0, call->retries);
	if (call->open.kind != CALL_CONTROL)
		add_to_function(stats, call, failed);
	if (stats->entry == NULL)
	{
		unlisted--;
		return;
	}
	entry_write_begin(stats->entry);
	stats->entry->in_use = false;
	entry_write_end(stats->entry);
	LWLockAcquire(modal_shared->lock, LW_EXCLUSIVE);
	free_entry(stats->entry);
	LWLockRelease(modal_shared->lock);
	stats->entry = NULL;
}

void
call_stats_publish(DispatcherShared *shared)
{
	pg_atomic_write_u32(&shared->calls_unlisted, unlisted);
	pg_atomic_write_u32(&shared->inputs_queued, sum_queued);
	pg_atomic_write_u32(&shared->inputs_in_flight, sum_in_flight);
	pg_atomic_write_u64(&shared->retries_total, sum_retries);
}
