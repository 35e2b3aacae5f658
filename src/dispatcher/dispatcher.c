/*-------------------------------------------------------------------------
 *
 * dispatcher.c
 *	  The background worker that talks to the network: process life and
 *	  event loop.
 *
 * One thread, one place to wait: the process latch (channels), postmaster
 * death, the transport's epoll descriptor, and the nearest timer.  With no
 * call open there is no timer, and the process sleeps.
 *
 * It is connected to no database: it touches no table and blocks no DROP
 * DATABASE, but takes part in interrupts (barriers, reload) at every turn.
 * All signals are blocked but while it waits: resolver threads inherit that,
 * and no handler runs in them.
 *
 * An error that reaches the top ends the process; it is restarted after a
 * second, and sessions learn of it through their detached queues.
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#ifdef __GLIBC__
#include <malloc.h>
#endif
#include <signal.h>

#include "core/allowed_hosts.h"
#include "debug_point.h"
#include "dispatcher/channels.h"
#include "dispatcher/flow.h"
#include "dispatcher/limits.h"
#include "dispatcher/target.h"
#include "guc.h"
#include "link/shmem.h"
#include "net/net.h"
#include "net/timer.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/fd.h"
#include "storage/ipc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

/* Buffers from this size on go back to the system when they are freed. */
#define LARGE_BUFFER (32 * 1024 * 1024)
#define MAX_UNUSED_HEAP (64 * 1024 * 1024)
/* That, too, goes back after so many seconds without calls, if so much passed. */
#define IDLE_S 1.0
#define MUCH_PASSED (16 * 1024 * 1024)

PGDLLEXPORT void modal_dispatcher_main(Datum arg);

static DispatcherShared *my_shared;

/* Of which there are a third of the process's, as fd.c says. */
static bool
reserve_fd(void)
{
	return AcquireExternalFD();
}

static void
release_fd(void)
{
	ReleaseExternalFD();
}

/*
 * before_shmem_exit, as later the DSM segments are gone already.  Targets
 * hold secrets and connections; closing them tells the services.
 */
static void
dispatcher_exit(int code, Datum arg)
{
	(void) code;
	(void) arg;
	LWLockAcquire(modal_shared->lock, LW_EXCLUSIVE);
	if (my_shared->pid == MyProcPid)
	{
		my_shared->pid = 0;
		my_shared->latch = NULL;
	}
	LWLockRelease(modal_shared->lock);
	channels_detach_all();
	targets_free();
}

/* Take the entry in shared memory; what a crashed predecessor left is void. */
static void
announce(int number)
{
	my_shared = &modal_shared->dispatchers[number];
	before_shmem_exit(dispatcher_exit, (Datum) 0);

	LWLockAcquire(modal_shared->lock, LW_EXCLUSIVE);
	my_shared->pid = MyProcPid;
	my_shared->generation++;
	my_shared->latch = MyLatch;
	my_shared->started_at = GetCurrentTimestamp();
	LWLockRelease(modal_shared->lock);
	channels_init(number);
}

/* The setting has been checked: what is wrong can only be the memory. */
static bool
allow_hosts(void)
{
	const char *error, *where;
	size_t len;
	AllowedHosts *allowed =
		allowed_hosts_parse(modal_allowed_hosts, &error, &where, &len);

	if (allowed != NULL)
		net_allow_hosts(allowed);
	return allowed != NULL;
}

static void
service_interrupts(void)
{
	bool reload = ConfigReloadPending;

	/* Not exit code 0, which would mean "never start me again". */
	if (ShutdownRequestPending)
		proc_exit(1);
	ProcessMainLoopInterrupts();
	CHECK_FOR_INTERRUPTS();
	/* Rather none than the old ones. */
	if (reload && !allow_hosts())
		proc_exit(1);
}

static DispatcherState
current_state(void)
{
	if (pg_atomic_read_u32(&my_shared->calls) == 0)
		return DISPATCHER_IDLE;
	if (flow_waiting(FLOW_THROTTLED) > 0)
		return DISPATCHER_THROTTLED;
	if (net_requests() == 0 && flow_waiting(FLOW_BACKING_OFF) > 0)
		return DISPATCHER_BACKING_OFF;
	return DISPATCHER_NETWORK;
}

/* For pg_stat_activity. */
static void
report_state(DispatcherState state)
{
	static DispatcherState reported = DISPATCHER_IDLE;

	if (state != reported)
		pgstat_report_activity(state == DISPATCHER_IDLE ? STATE_IDLE : STATE_RUNNING,
							   dispatcher_state_name(state));
	reported = state;
}

/*
 * When nothing has been open for a while after much has passed, what the heap
 * has unused between its buffers goes back to the system: it would stay until
 * the last buffer is freed that lies above.  Not at once, for statements follow
 * one another, and each would pay for the same pages.
 */
static Timer give_back;
static uint64 passed_before; /* bytes, when memory was last given back */

static uint64
bytes_passed(void)
{
	NetStats stats;

	net_stats(&stats);
	return stats.bytes_sent + stats.bytes_received;
}

static void
give_back_memory(void *arg)
{
	(void) arg;
	if (current_state() != DISPATCHER_IDLE)
		return;
	passed_before = bytes_passed();
#ifdef __GLIBC__
	(void) malloc_trim(0);
#endif
}

static void
note_idle(void)
{
	if (bytes_passed() - passed_before >= MUCH_PASSED &&
		give_back.heap_index == 0)
		(void) timer_set(&give_back, monotonic_seconds() + IDLE_S);
}

static void
publish(void)
{
	NetStats stats;
	DispatcherState state = current_state();

	channels_publish(my_shared);
	net_stats(&stats);
	pg_atomic_write_u32(&my_shared->connections, net_connections());
	pg_atomic_write_u32(&my_shared->requests_active, net_requests());
	pg_atomic_write_u64(&my_shared->requests_total, stats.requests);
	pg_atomic_write_u64(&my_shared->bytes_sent, stats.bytes_sent);
	pg_atomic_write_u64(&my_shared->bytes_received, stats.bytes_received);
	pg_atomic_write_u32(&my_shared->state, state);
	report_state(state);
	if (state == DISPATCHER_IDLE)
		note_idle();
	pg_atomic_write_u64(&my_shared->heartbeat, GetCurrentTimestamp());
}

static WaitEventSet *
create_wait_set(void)
{
	WaitEventSet *set = CreateWaitEventSetCompat(3);

	AddWaitEventToSet(set, WL_LATCH_SET, PGINVALID_SOCKET, MyLatch, NULL);
	AddWaitEventToSet(set, WL_EXIT_ON_PM_DEATH, PGINVALID_SOCKET, NULL, NULL);
	AddWaitEventToSet(set, WL_SOCKET_READABLE, net_fd(), NULL, NULL);
	return set;
}

/*
 * Results pass through here: what a large one took is not to be kept for the
 * next one, of which there may be none.  The C library would keep more and
 * more, and so that it cannot be used for other sizes.
 */
static void
limit_unused_memory(void)
{
#ifdef __GLIBC__
	(void) mallopt(M_MMAP_THRESHOLD, LARGE_BUFFER);
	(void) mallopt(M_TRIM_THRESHOLD, MAX_UNUSED_HEAP);
#endif
}

/* All but those that tell of a bug in the very thread that gets them. */
static void
block_signals(sigset_t *unblocked)
{
	static const int synchronous[] = {SIGABRT, SIGBUS, SIGFPE,
									  SIGILL,  SIGSEGV, SIGTRAP};
	sigset_t all;

	sigfillset(&all);
	for (int i = 0; i < (int) lengthof(synchronous); i++)
		sigdelset(&all, synchronous[i]);
	sigprocmask(SIG_SETMASK, &all, unblocked);
}

/*
 * One turn: what has arrived from sessions and from the network, and what is
 * due.  One may lead to the other, so it is done twice before waiting again.
 */
static bool
take_turn(void)
{
	bool more;

	if (pg_atomic_exchange_u32(&my_shared->outdated, 0) != 0)
		targets_outdated();
	limits_look_at_news();
	more = channels_receive();

	timers_run(monotonic_seconds());
	net_process();
	timers_run(monotonic_seconds());
	net_run();
	channels_send();
	publish();
	return more || net_busy();
}

void
modal_dispatcher_main(Datum arg)
{
	WaitEventSet *set;
	WaitEvent event;
	uint32 wait_event;
	sigset_t unblocked;

	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, SignalHandlerForShutdownRequest);
	pqsignal(SIGPIPE, PG_SIG_IGN);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);

	limit_unused_memory();
	timer_init(&give_back, give_back_memory, NULL);
	if (!allow_hosts() || !net_init(reserve_fd, release_fd, max_safe_fds / 3))
		ereport(ERROR,
				(errcode(ERRCODE_SYSTEM_ERROR),
				 errmsg("could not initialize the network")));
	set = create_wait_set();
	wait_event = modal_wait_event("ModalBatchDispatcher");
	announce(DatumGetInt32(arg));
	pgstat_report_appname("modal_batch dispatcher");
	pgstat_report_activity(STATE_IDLE, dispatcher_state_name(DISPATCHER_IDLE));
	ereport(DEBUG1, (errmsg_internal("modal_batch dispatcher started")));

	block_signals(&unblocked);
	for (;;)
	{
		long timeout;

		ResetLatch(MyLatch);
		service_interrupts();
		DEBUG_POINT("dispatcher-loop");
		timeout = take_turn() ? 0 : timers_timeout_ms(monotonic_seconds());

		if (timeout != 0)
			sigprocmask(SIG_SETMASK, &unblocked, NULL);
		WaitEventSetWait(set, timeout, &event, 1, wait_event);
		if (timeout != 0)
			block_signals(NULL);
	}
}
