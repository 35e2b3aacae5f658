/*-------------------------------------------------------------------------
 *
 * shmem.h
 *	  What all processes of modal_batch share: one control block in main
 *	  shared memory, made at server start.
 *
 * Locks, and the order to take them in:
 *	 1. ModalShared->lock	slots, launcher and runner entries (short, never
 *							across I/O, catalog access or another lock but 2)
 *	 2. ModalShared->stat_lock	the hash of function statistics
 * Counters of a DispatcherShared and activity entries are written by the
 * dispatcher that owns them only; readers copy entries by change counts.
 *
 * Everything reusable carries a generation: remember it with the index, and
 * compare before acting on it.  The startup hook runs again after a crash
 * restart, with memory zeroed: nothing here survives one.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_SHMEM_H
#define MODAL_SHMEM_H

#include "compat.h"

#include "datatype/timestamp.h"
#include "port/atomics.h"
#include "storage/condition_variable.h"
#include "storage/dsm_impl.h"
#include "storage/lwlock.h"

#define MODAL_MAX_DISPATCHERS 16
#define MODAL_ACTIVITY_ENTRIES 1024
#define MODAL_MAX_FUNCTIONS 2048 /* entries of stat_functions */
#define MODAL_LABEL_LEN 256		 /* of a function's label, with its zero byte */
#define MODAL_MAX_RUNNERS 64

/*
 * A channel's segment: two shm_mq side by side, session to dispatcher first.
 */
#define MODAL_QUEUE_TO_DISPATCHER ((Size) 128 * 1024)
#define MODAL_QUEUE_TO_SESSION ((Size) 128 * 1024)
#define MODAL_CHANNEL_SIZE (MODAL_QUEUE_TO_DISPATCHER + MODAL_QUEUE_TO_SESSION)

typedef enum ChannelSlotState
{
	SLOT_FREE,
	SLOT_OFFERED,  /* by a process, not yet seen by the dispatcher */
	SLOT_ATTACHED, /* both sides have the segment */
} ChannelSlotState;

/* One per PGPROC and dispatcher: slot(dispatcher, MyProcSlot). */
typedef struct ChannelSlot
{
	ChannelSlotState state;
	uint32 generation; /* bumped at each offer */
	dsm_handle handle;
	int pid;
	Oid userid;		   /* session user */
	Oid dbid;
	bool is_runner;
} ChannelSlot;

typedef struct DispatcherShared
{
	int pid;			  /* 0: not running */
	uint32 generation;	  /* bumped at each start */
	Latch *latch;		  /* NULL: not running; under lock */
	pg_atomic_uint32 offers; /* bumped after a slot was offered */
	TimestampTz started_at;
	/* written by the dispatcher alone, read without a lock (pg_atomic) */
	pg_atomic_uint64 heartbeat; /* TimestampTz of the last turn of its loop */
	pg_atomic_uint32 state;		/* DispatcherState */
	pg_atomic_uint32 channels;
	pg_atomic_uint32 calls;		/* open now */
	pg_atomic_uint32 connections;
	pg_atomic_uint32 requests_active;
	pg_atomic_uint32 inputs_queued;	   /* received, not yet sent */
	pg_atomic_uint32 inputs_in_flight; /* sent, not yet finished */
	pg_atomic_uint64 requests_total;
	pg_atomic_uint64 retries_total;
	pg_atomic_uint64 bytes_sent;
	pg_atomic_uint64 bytes_received;
} DispatcherShared;

typedef enum DispatcherState
{
	DISPATCHER_IDLE,	   /* no call open */
	DISPATCHER_NETWORK,	   /* waits for answers */
	DISPATCHER_THROTTLED,  /* the service told us to wait */
	DISPATCHER_BACKING_OFF /* waits before a retry */
} DispatcherState;

extern const char *dispatcher_state_name(DispatcherState state);

/* A call in progress, of any kind; see view modal_batch.activity. */
typedef struct ActivityEntry
{
	pg_atomic_uint32 change_count; /* odd while being written */
	bool in_use;
	uint8 kind; /* CallKind */
	int pid;	/* of the caller */
	Oid userid;
	Oid dbid;
	int dispatcher;
	TimestampTz started_at;
	uint64 inputs_received; /* from the caller */
	uint64 inputs_sent;		/* to the service */
	uint64 inputs_done;
	uint64 inputs_failed;
	uint64 retries;
	uint64 bytes_sent;
	uint64 bytes_received;
	char label[MODAL_LABEL_LEN];
	char remote_call_id[64];
} ActivityEntry;

typedef struct FunctionStatKey
{
	Oid dbid;
	Oid userid;
	char label[MODAL_LABEL_LEN];
} FunctionStatKey;

typedef struct FunctionStatEntry
{
	FunctionStatKey key;
	uint64 calls, inputs, errors, retries, bytes_sent, bytes_received;
	double total_time;	/* seconds, of calls */
	double remote_time; /* seconds, of inputs at the remote side */
	TimestampTz first_call, last_call;
} FunctionStatEntry;

/* Databases with work for a runner; see runner_state.h. */
typedef struct RunnerShared
{
	Oid dbid;			/* InvalidOid: free */
	uint32 generation;
	int pid;			/* 0: not running (yet) */
	Latch *latch;
	bool wanted;		/* there is work; set at commit, taken by the runner */
	int stops;			/* commands that need it gone: DROP DATABASE, … */
	bool starting;		/* registered, not yet running */
	int failures;		/* ends in a row that were failures, for the backoff */
	double not_before; /* see clock.h */
} RunnerShared;

typedef struct ModalShared
{
	LWLock *lock;
	LWLock *stat_lock;
	int nslots;			/* per dispatcher */
	int ndispatchers;
	/* launcher; under lock */
	int launcher_pid;
	Latch *launcher_latch;
	bool look_everywhere; /* a wish was lost for want of a runner entry */
	RunnerShared runners[MODAL_MAX_RUNNERS];
	ConditionVariable runner_gone; /* a runner has left its database */
	ConditionVariable job_changed; /* a job has ended, or was paused */
	DispatcherShared dispatchers[MODAL_MAX_DISPATCHERS];
	ActivityEntry activity[MODAL_ACTIVITY_ENTRIES];
	ChannelSlot slots[FLEXIBLE_ARRAY_MEMBER];
} ModalShared;

extern ModalShared *modal_shared; /* NULL: the library was not preloaded */
struct HTAB;
extern struct HTAB *modal_function_stats; /* FunctionStatKey -> entry */

extern void modal_shmem_init(void); /* from _PG_init, when preloading */
/* A process's entry in modal_slot(); MyProcSlot is always below nslots. */
extern ChannelSlot *modal_slot(int dispatcher, int procno);

/* Error 55000 with a hint, unless the library was preloaded. */
extern void modal_check_preloaded(void);

#endif /* MODAL_SHMEM_H */
