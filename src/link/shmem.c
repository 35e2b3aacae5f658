/*-------------------------------------------------------------------------
 *
 * shmem.c
 *	  Size, set-up and look-up of the control block; see shmem.h.
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include "clock.h"
#include "debug_point.h"
#include "guc.h"
#include "link/shmem.h"
#include "storage/ipc.h"
#include "storage/shmem.h"
#include "utils/guc.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/syscache.h"

#define CALM_S 60 /* without a crash: the next one is the first again */

ModalShared *modal_shared = NULL;
HTAB *modal_function_stats = NULL;
HTAB *modal_runners = NULL;

static shmem_startup_hook_type prev_shmem_startup_hook = NULL;
#ifdef MODAL_SHMEM_REQUEST_HOOK
static shmem_request_hook_type prev_shmem_request_hook = NULL;
#endif

static Size
control_block_size(void)
{
	Size slots = mul_size(modal_max_backends(), modal_dispatchers);

	return add_size(offsetof(ModalShared, slots),
					mul_size(slots, sizeof(ChannelSlot)));
}

static void
request_shared_memory(void)
{
#ifdef MODAL_SHMEM_REQUEST_HOOK
	if (prev_shmem_request_hook)
		prev_shmem_request_hook();
#endif
	RequestAddinShmemSpace(MAXALIGN(control_block_size()));
	RequestAddinShmemSpace(
		hash_estimate_size(MODAL_MAX_FUNCTIONS, sizeof(FunctionStatEntry)));
	RequestAddinShmemSpace(
		hash_estimate_size(MODAL_MAX_RUNNERS, sizeof(RunnerShared)));
	RequestAddinShmemSpace(MAXALIGN(channel_memory_size()));
	RequestAddinShmemSpace(modal_debug_points_size());
	RequestNamedLWLockTranche("modal_batch", 2);
}

/*
 * How often has the server been restarted in quick succession?  Only the
 * postmaster knows: its own memory is all that outlives a crash.
 */
static int
count_restart(void)
{
	static int starts = 0;
	static double last = 0;
	double now = monotonic_seconds();

	starts = now - last > CALM_S ? 1 : starts + 1;
	last = now;
	return starts - 1;
}

/* Zeroed memory is nearly right; set what is not zero at the start. */
static void
init_control_block(ModalShared *shared)
{
	LWLockPadded *locks = GetNamedLWLockTranche("modal_batch");

	memset(shared, 0, control_block_size());
	shared->lock = &locks[0].lock;
	shared->stat_lock = &locks[1].lock;
	shared->nslots = modal_max_backends();
	shared->ndispatchers = modal_dispatchers;
	shared->restarts = count_restart();
	pg_atomic_init_u64(&shared->calls_not_counted, 0);
	ConditionVariableInit(&shared->runner_gone);
	ConditionVariableInit(&shared->job_changed);

	for (int i = 0; i < MODAL_MAX_DISPATCHERS; i++)
	{
		DispatcherShared *d = &shared->dispatchers[i];

		pg_atomic_init_u32(&d->news, 0);
		pg_atomic_init_u32(&d->outdated, 0);
		pg_atomic_init_u32(&d->limits_news, 0);
		pg_atomic_init_u64(&d->heartbeat, 0);
		pg_atomic_init_u32(&d->state, DISPATCHER_IDLE);
		pg_atomic_init_u32(&d->channels, 0);
		pg_atomic_init_u32(&d->calls, 0);
		pg_atomic_init_u32(&d->calls_unlisted, 0);
		pg_atomic_init_u32(&d->connections, 0);
		pg_atomic_init_u32(&d->requests_active, 0);
		pg_atomic_init_u32(&d->inputs_queued, 0);
		pg_atomic_init_u32(&d->inputs_in_flight, 0);
		pg_atomic_init_u64(&d->requests_total, 0);
		pg_atomic_init_u64(&d->retries_total, 0);
		pg_atomic_init_u64(&d->bytes_sent, 0);
		pg_atomic_init_u64(&d->bytes_received, 0);
	}
	pg_atomic_init_u32(&shared->activity_used, 0);
	for (int i = 0; i < MODAL_LIMIT_COUNTS; i++)
		SpinLockInit(&shared->limits[i].mutex);
	for (int i = 0; i < shared->nslots * shared->ndispatchers; i++)
		pg_atomic_init_u32(&shared->slots[i].in_news, 0);
	for (int i = 0; i < MODAL_ACTIVITY_ENTRIES; i++)
	{
		pg_atomic_init_u32(&shared->activity[i].change_count, 0);
		shared->activity[i].next_free =
			i + 1 < MODAL_ACTIVITY_ENTRIES ? i + 1 : -1;
	}
}

static void
startup_shared_memory(void)
{
	HASHCTL info;
	bool found;

	if (prev_shmem_startup_hook)
		prev_shmem_startup_hook();

	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);

	modal_shared =
		ShmemInitStruct("modal_batch", control_block_size(), &found);
	if (!found)
		init_control_block(modal_shared);

	memset(&info, 0, sizeof(info));
	info.keysize = sizeof(FunctionStatKey);
	info.entrysize = sizeof(FunctionStatEntry);
	modal_function_stats =
		ShmemInitHash("modal_batch function statistics", MODAL_MAX_FUNCTIONS,
					  &info, HASH_ELEM | HASH_BLOBS);

	info.keysize = sizeof(RunnerKey);
	info.entrysize = sizeof(RunnerShared);
	modal_runners = ShmemInitHash("modal_batch runners", MODAL_MAX_RUNNERS,
								  &info, HASH_ELEM | HASH_BLOBS);

	channel_memory_startup();
	modal_debug_points_startup();

	LWLockRelease(AddinShmemInitLock);
}

/*
 * A user mapping has changed in some database.  Dispatchers do not
 * see catalogs: the first process that learns of it tells them, so that they
 * keep no secret that nobody has any more.
 */
static void
on_mapping_changed(Datum arg, int cacheid, uint32 hashvalue)
{
	(void) arg;
	(void) cacheid;
	(void) hashvalue;
	if (modal_shared == NULL)
		return;
	for (int i = 0; i < modal_shared->ndispatchers; i++)
	{
		DispatcherShared *d = &modal_shared->dispatchers[i];

		if (pg_atomic_exchange_u32(&d->outdated, 1) != 0)
			continue;
		LWLockAcquire(modal_shared->lock, LW_SHARED);
		if (d->latch != NULL)
			SetLatch(d->latch);
		LWLockRelease(modal_shared->lock);
	}
}

void
modal_shmem_init(void)
{
	/* All processes inherit it from the postmaster. */
	CacheRegisterSyscacheCallback(USERMAPPINGOID, on_mapping_changed, 0);
#ifdef MODAL_SHMEM_REQUEST_HOOK
	prev_shmem_request_hook = shmem_request_hook;
	shmem_request_hook = request_shared_memory;
#else
	request_shared_memory();
#endif
	prev_shmem_startup_hook = shmem_startup_hook;
	shmem_startup_hook = startup_shared_memory;
}

ChannelSlot *
modal_slot(int dispatcher, int procno)
{
	Assert(dispatcher >= 0 && dispatcher < modal_shared->ndispatchers);
	Assert(procno >= 0 && procno < modal_shared->nslots);
	return &modal_shared->slots[dispatcher * modal_shared->nslots + procno];
}

void
modal_slot_news(int dispatcher, int procno)
{
	DispatcherShared *d = &modal_shared->dispatchers[dispatcher];
	ChannelSlot *slot = modal_slot(dispatcher, procno);
	uint32 first;

	/* Whoever takes it from the list sees what has happened until now. */
	if (pg_atomic_exchange_u32(&slot->in_news, 1) != 0)
		return;
	first = pg_atomic_read_u32(&d->news);
	do
		slot->next_news = first;
	while (!pg_atomic_compare_exchange_u32(&d->news, &first, procno + 1));
}

uint32
modal_take_news(int dispatcher)
{
	return pg_atomic_exchange_u32(&modal_shared->dispatchers[dispatcher].news,
								  0);
}

int
modal_next_news(int dispatcher, uint32 *news)
{
	int procno = (int) *news - 1;
	ChannelSlot *slot;

	if (procno < 0)
		return -1;
	slot = modal_slot(dispatcher, procno);
	*news = slot->next_news;
	(void) pg_atomic_exchange_u32(&slot->in_news, 0);
	return procno;
}

const char *
dispatcher_state_name(DispatcherState state)
{
	switch (state)
	{
		case DISPATCHER_NETWORK:
			return "waiting for answers";
		case DISPATCHER_THROTTLED:
			return "throttled by the service";
		case DISPATCHER_BACKING_OFF:
			return "waiting before a retry";
		case DISPATCHER_IDLE:
			break;
	}
	return "idle";
}

#define PRELOAD_HINT \
	"Add modal_batch to \"shared_preload_libraries\" in postgresql.conf and restart the server."

void
modal_check_preloaded(void)
{
	if (modal_shared == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("modal_batch must be loaded via \"shared_preload_libraries\""),
				 errhint(PRELOAD_HINT)));
}

void
modal_tell_unless_preloaded(void)
{
	int level;

	if (modal_shared != NULL)
		return;
	/* CREATE EXTENSION keeps the notices of its script to itself. */
	level = NewGUCNestLevel();
	(void) set_config_option("client_min_messages", "notice", PGC_USERSET,
							 PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	ereport(NOTICE,
			(errmsg("modal_batch is not loaded by the server yet: until then nothing can be called"),
			 errhint(PRELOAD_HINT)));
	AtEOXact_GUC(true, level);
}
