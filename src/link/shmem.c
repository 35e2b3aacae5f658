/*-------------------------------------------------------------------------
 *
 * shmem.c
 *	  Size, set-up and look-up of the control block; see shmem.h.
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include "debug_point.h"
#include "guc.h"
#include "link/shmem.h"
#include "storage/ipc.h"
#include "storage/shmem.h"
#include "utils/hsearch.h"

ModalShared *modal_shared = NULL;
HTAB *modal_function_stats = NULL;

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
	RequestAddinShmemSpace(modal_debug_points_size());
	RequestNamedLWLockTranche("modal_batch", 2);
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
	ConditionVariableInit(&shared->runner_gone);
	ConditionVariableInit(&shared->job_changed);

	for (int i = 0; i < MODAL_MAX_DISPATCHERS; i++)
	{
		DispatcherShared *d = &shared->dispatchers[i];

		pg_atomic_init_u32(&d->offers, 0);
		pg_atomic_init_u64(&d->heartbeat, 0);
		pg_atomic_init_u32(&d->state, DISPATCHER_IDLE);
		pg_atomic_init_u32(&d->channels, 0);
		pg_atomic_init_u32(&d->calls, 0);
		pg_atomic_init_u32(&d->connections, 0);
		pg_atomic_init_u32(&d->requests_active, 0);
		pg_atomic_init_u32(&d->inputs_queued, 0);
		pg_atomic_init_u32(&d->inputs_in_flight, 0);
		pg_atomic_init_u64(&d->requests_total, 0);
		pg_atomic_init_u64(&d->retries_total, 0);
		pg_atomic_init_u64(&d->bytes_sent, 0);
		pg_atomic_init_u64(&d->bytes_received, 0);
	}
	for (int i = 0; i < MODAL_ACTIVITY_ENTRIES; i++)
		pg_atomic_init_u32(&shared->activity[i].change_count, 0);
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
					  MODAL_MAX_FUNCTIONS, &info, HASH_ELEM | HASH_BLOBS);

	modal_debug_points_startup();

	LWLockRelease(AddinShmemInitLock);
}

void
modal_shmem_init(void)
{
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

void
modal_check_preloaded(void)
{
	if (modal_shared == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("modal_batch must be loaded via \"shared_preload_libraries\""),
				 errhint("Add modal_batch to \"shared_preload_libraries\" in postgresql.conf and restart the server.")));
}
