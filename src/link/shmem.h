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
 *	 3. LimitCount.mutex	what is used of a server's limits
 * Counters of a DispatcherShared and activity entries are written by the
 * dispatcher that owns them only; readers copy entries by change counts.
 *
 * Everything reusable carries a generation: remember it with the index, and
 * compare before acting on it.  The startup hook runs again after a crash
 * restart, with memory zeroed: nothing here survives one.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_LINK_SHMEM_H
#define MODAL_LINK_SHMEM_H

#include "compat.h"

#include "core/histogram.h"
#include "datatype/timestamp.h"
#include "link/channel_memory.h"
#include "port/atomics.h"
#include "storage/condition_variable.h"
#include "storage/lwlock.h"
#include "storage/spin.h"

#define MODAL_MAX_DISPATCHERS 16
#define MODAL_ACTIVITY_ENTRIES 1024
#define MODAL_LIMIT_COUNTS 256	/* servers of several dispatchers, with limits */
#define MODAL_MAX_FUNCTIONS 2048 /* entries of stat_functions */
#define MODAL_LABEL_LEN 256		 /* of a function's label, with its zero byte */
#define MODAL_MAX_RUNNERS 1024 /* entries, not processes: max_runners */

typedef enum ChannelSlotState
{
	SLOT_FREE,
	SLOT_OFFERED,  /* by a process, not yet seen by the dispatcher */
	SLOT_ATTACHED, /* both sides have its memory */
} ChannelSlotState;

/* One per PGPROC and dispatcher: slot(dispatcher, MyProcSlot). */
typedef struct ChannelSlot
{
	ChannelSlotState state;
	uint32 generation; /* bumped at each offer */
	ChannelAddress memory;
	int pid;
	Oid userid;		   /* session user */
	Oid dbid;
	bool is_runner;
	/* not under the lock; see modal_slot_news */
	pg_atomic_uint32 in_news;
	uint32 next_news;
} ChannelSlot;

typedef struct DispatcherShared
{
	int pid;			  /* 0: not running */
	uint32 generation;	  /* bumped at each start */
	Latch *latch;		  /* NULL: not running; under lock */
	pg_atomic_uint32 news; /* slots to look at: 0, or procno + 1 of the first */
	pg_atomic_uint32 outdated; /* user mappings have changed */
	pg_atomic_uint32 limits_news; /* there is room for requests again */
	TimestampTz started_at;
	/* written by the dispatcher alone, read without a lock (pg_atomic) */
	pg_atomic_uint64 heartbeat; /* TimestampTz of the last turn of its loop */
	pg_atomic_uint32 state;		/* DispatcherState */
	pg_atomic_uint32 channels;
	pg_atomic_uint32 calls;		/* open now */
	pg_atomic_uint32 calls_unlisted; /* of these, without an ActivityEntry */
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
	int next_free; /* under lock: index of the next free one, or -1 */
	bool in_use;
	uint8 kind; /* CallKind */
	uint8 limit; /* CallLimit */
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
	Histogram latency;	/* the same, input by input, in microseconds */
	double usage;		/* as the service counts, see option usage */
	TimestampTz first_call, last_call;
} FunctionStatEntry;

/* Whose jobs; owner InvalidOid: the scout of the database. */
typedef struct RunnerKey
{
	Oid dbid;
	Oid owner;
} RunnerKey;

/* Who has work for a runner; see runner_state.h. */
typedef struct RunnerShared
{
	RunnerKey key;
	int pid;			/* 0: not running (yet) */
	Latch *latch;
	bool wanted;		/* there is work; set at commit, taken by the runner */
	bool starting;		/* registered, not yet running */
	bool idle;			/* it only waits for work to come */
	bool yield;			/* others wait for its place */
	int stops;			/* a scout's: commands that need everybody out of the
						 * database: DROP DATABASE, … */
	int failures;		/* ends in a row that were failures, for the backoff */
	double not_before;	/* see clock.h */
	double since;		/* running, or waiting to be started */
	int64 from_job;		/* no job below is among those that are wanted */
	int64 died_with;	/* the job that the last one had in hand; 0: none */
} RunnerShared;

/*
 * What is used of the limits of a server that several dispatchers serve; see
 * dispatcher/limit_count.h.  What is of each of them is by its number.
 */
struct LimitCount
{
	char server[32]; /* identifies it; this and users are under lock */
	uint32 users;	 /* dispatchers, a bit for each; 0: unused, or not shared */
	slock_t mutex;	 /* of the rest */
	uint32 active[MODAL_MAX_DISPATCHERS]; /* requests under way */
	double taken_at[MODAL_MAX_DISPATCHERS];
	uint32 waiting;	 /* dispatchers with requests that may not go yet: bits */
	double tokens, tokens_at;
};

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
	int restarts;		  /* crashes of the server in quick succession */
	ConditionVariable runner_gone; /* a runner has left its database */
	ConditionVariable job_changed; /* a job has ended, or was paused */
	/* ended calls without an entry in the hash, which is full; since a reset */
	pg_atomic_uint64 calls_not_counted;
	DispatcherShared dispatchers[MODAL_MAX_DISPATCHERS];
	int free_activity; /* under lock: the first free entry, or -1 */
	pg_atomic_uint32 activity_used;
	struct LimitCount limits[MODAL_LIMIT_COUNTS];
	ActivityEntry activity[MODAL_ACTIVITY_ENTRIES];
	ChannelSlot slots[FLEXIBLE_ARRAY_MEMBER];
} ModalShared;

extern ModalShared *modal_shared; /* NULL: the library was not preloaded */
struct HTAB;
extern struct HTAB *modal_function_stats; /* FunctionStatKey -> entry */
extern struct HTAB *modal_runners; /* RunnerKey -> RunnerShared; under lock */

extern void modal_shmem_init(void); /* from _PG_init, when preloading */
/* A process's entry in modal_slot(); MyProcSlot is always below nslots. */
extern ChannelSlot *modal_slot(int dispatcher, int procno);

/*
 * Something has happened in the slot, or in the queue of the channel offered
 * there: the dispatcher is to look at it.  To be called after it has happened,
 * and before the dispatcher's latch is set: with thousands of channels, the
 * dispatcher looks at those with news only.  Needs no lock.
 */
extern void modal_slot_news(int dispatcher, int procno);
/*
 * For the dispatcher: all slots that have news, and then one after another;
 * each can have news again from when it is returned.  -1: no more.
 */
extern uint32 modal_take_news(int dispatcher);
extern int modal_next_news(int dispatcher, uint32 *news);

/* Error 55000 with a hint, unless the library was preloaded. */
extern void modal_check_preloaded(void);
/* A notice with the same hint: the extension is being made. */
extern void modal_tell_unless_preloaded(void);

#endif /* MODAL_LINK_SHMEM_H */
