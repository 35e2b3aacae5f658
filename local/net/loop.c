/*-------------------------------------------------------------------------
 *
 * loop.c
 *	  The one event loop of modal-local, on epoll and signalfd.
 *
 *-------------------------------------------------------------------------
 */
#include "net/loop.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "util.h"

#define EVENTS_PER_ROUND 64
#define TURNS_SECONDS 0.001 /* in a round */
#define TURNS_PER_CLOCK 8	/* between two looks at the clock */

struct LoopFd
{
	int fd;
	LoopFdCallback cb; /* NULL: removed, to be freed after the round */
	void *arg;
	LoopFd *next_removed;
};

typedef struct SignalHandler
{
	LoopCallback cb;
	void *arg;
} SignalHandler;

typedef struct DeferredQueue
{
	LoopDeferred *head;
	LoopDeferred **tail;
} DeferredQueue;

static struct
{
	int epoll_fd;
	bool stopping;
	double now;
	double wall;

	LoopFd *removed;

	/* Binary heap by due time; heap[0] is the earliest. */
	LoopTimer **heap;
	uint32_t n_timers;
	uint32_t heap_cap;

	DeferredQueue deferred;
	DeferredQueue late;
	LoopTurn turns; /* a ring: its next is the first of those that wait */

	int signal_fd;
	LoopFd *signal_watch;
	sigset_t signals;
	SignalHandler handlers[NSIG];
} loop;

static double
read_clock(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (double) ts.tv_sec + (double) ts.tv_nsec * 1e-9;
}

static void
update_clocks(void)
{
	loop.now = read_clock(CLOCK_MONOTONIC);
	loop.wall = read_clock(CLOCK_REALTIME);
}

double
loop_now(void)
{
	return loop.now;
}

double
loop_wall_time(void)
{
	return loop.wall;
}

void
loop_init(void)
{
	loop.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (loop.epoll_fd < 0)
		die_errno("cannot create an epoll descriptor");
	loop.signal_fd = -1;
	sigemptyset(&loop.signals);
	loop.deferred.tail = &loop.deferred.head;
	loop.late.tail = &loop.late.head;
	loop.turns.next = loop.turns.prev = &loop.turns;
	update_clocks();
}

void
loop_stop(void)
{
	loop.stopping = true;
}

/* --- descriptors --------------------------------------------------------- */

LoopFd *
loop_add_fd(int fd, uint32_t events, LoopFdCallback cb, void *arg)
{
	LoopFd *lfd = xmalloc(sizeof(*lfd));
	struct epoll_event event = {.events = events, .data.ptr = lfd};

	*lfd = (LoopFd){.fd = fd, .cb = cb, .arg = arg};
	if (epoll_ctl(loop.epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0)
		die_errno("cannot watch a descriptor");
	return lfd;
}

void
loop_modify_fd(LoopFd *lfd, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.ptr = lfd};

	if (epoll_ctl(loop.epoll_fd, EPOLL_CTL_MOD, lfd->fd, &event) != 0)
		die_errno("cannot watch a descriptor");
}

/* Freed later: this round's list of events may still name it. */
void
loop_remove_fd(LoopFd *lfd)
{
	epoll_ctl(loop.epoll_fd, EPOLL_CTL_DEL, lfd->fd, NULL);
	lfd->cb = NULL;
	lfd->next_removed = loop.removed;
	loop.removed = lfd;
}

static void
free_removed(void)
{
	while (loop.removed != NULL)
	{
		LoopFd *next = loop.removed->next_removed;

		free(loop.removed);
		loop.removed = next;
	}
}

/* --- timers -------------------------------------------------------------- */

static void
heap_put(uint32_t at, LoopTimer *timer)
{
	loop.heap[at] = timer;
	timer->place = at + 1;
}

static void
sift_up(uint32_t at, LoopTimer *timer)
{
	while (at > 0)
	{
		uint32_t parent = (at - 1) / 2;

		if (loop.heap[parent]->due <= timer->due)
			break;
		heap_put(at, loop.heap[parent]);
		at = parent;
	}
	heap_put(at, timer);
}

static void
sift_down(uint32_t at, LoopTimer *timer)
{
	for (;;)
	{
		uint32_t child = 2 * at + 1;

		if (child >= loop.n_timers)
			break;
		if (child + 1 < loop.n_timers &&
			loop.heap[child + 1]->due < loop.heap[child]->due)
			child++;
		if (timer->due <= loop.heap[child]->due)
			break;
		heap_put(at, loop.heap[child]);
		at = child;
	}
	heap_put(at, timer);
}

void
loop_clear_timer(LoopTimer *timer)
{
	uint32_t at;
	LoopTimer *last;

	if (timer->place == 0)
		return;
	at = timer->place - 1;
	timer->place = 0;
	last = loop.heap[--loop.n_timers];
	if (last == timer)
		return;
	if (at > 0 && last->due < loop.heap[(at - 1) / 2]->due)
		sift_up(at, last);
	else
		sift_down(at, last);
}

void
loop_set_timer(LoopTimer *timer, double seconds, LoopCallback cb, void *arg)
{
	loop_clear_timer(timer);
	if (loop.n_timers == loop.heap_cap)
	{
		loop.heap_cap = loop.heap_cap > 0 ? loop.heap_cap * 2 : 64;
		loop.heap = xrealloc(loop.heap, loop.heap_cap * sizeof(*loop.heap));
	}
	timer->due = loop.now + seconds;
	timer->cb = cb;
	timer->arg = arg;
	sift_up(loop.n_timers++, timer);
}

/*
 * Those due at the beginning of the round: a timer that is set anew with no
 * delay waits for the next.
 */
static void
run_timers(void)
{
	uint32_t n = loop.n_timers;

	while (n-- > 0 && loop.n_timers > 0 && loop.heap[0]->due <= loop.now)
	{
		LoopTimer *timer = loop.heap[0];

		loop_clear_timer(timer);
		timer->cb(timer->arg);
	}
}

/* --- turns ---------------------------------------------------------------- */

void
loop_queue_turn(LoopTurn *turn, LoopCallback cb, void *arg)
{
	if (turn->cb != NULL)
		return;
	*turn = (LoopTurn){.prev = loop.turns.prev, .next = &loop.turns, .cb = cb,
					   .arg = arg};
	turn->prev->next = turn;
	turn->next->prev = turn;
}

void
loop_cancel_turn(LoopTurn *turn)
{
	if (turn->cb == NULL)
		return;
	turn->prev->next = turn->next;
	turn->next->prev = turn->prev;
	turn->cb = NULL;
}

static bool
turns_wait(void)
{
	return loop.turns.next != &loop.turns;
}

static void
run_turns(void)
{
	double end = 0;

	for (int n = 0; turns_wait(); n++)
	{
		LoopTurn *turn = loop.turns.next;
		LoopCallback cb = turn->cb;

		if (n % TURNS_PER_CLOCK == 0)
		{
			double now = read_clock(CLOCK_MONOTONIC);

			if (n == 0)
				end = now + TURNS_SECONDS;
			else if (now >= end)
				break;
		}
		loop_cancel_turn(turn);
		cb(turn->arg);
	}
}

/* --- deferred work ------------------------------------------------------- */

static DeferredQueue *
queue_of(const LoopDeferred *deferred)
{
	return deferred->late ? &loop.late : &loop.deferred;
}

static void
enqueue(LoopDeferred *deferred, bool late, LoopCallback cb, void *arg)
{
	DeferredQueue *queue;

	if (deferred->queued)
		return;
	*deferred = (LoopDeferred){.queued = true, .late = late, .cb = cb,
							   .arg = arg};
	queue = queue_of(deferred);
	*queue->tail = deferred;
	queue->tail = &deferred->next;
}

void
loop_defer(LoopDeferred *deferred, LoopCallback cb, void *arg)
{
	enqueue(deferred, false, cb, arg);
}

void
loop_defer_late(LoopDeferred *deferred, LoopCallback cb, void *arg)
{
	enqueue(deferred, true, cb, arg);
}

void
loop_cancel_deferred(LoopDeferred *deferred)
{
	DeferredQueue *queue = queue_of(deferred);
	LoopDeferred **link = &queue->head;

	if (!deferred->queued)
		return;
	/* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): it is there. */
	while (*link != deferred)
		link = &(*link)->next;
	*link = deferred->next;
	if (queue->tail == &deferred->next)
		queue->tail = link;
	deferred->queued = false;
}

static void
run_deferred(void)
{
	for (;;)
	{
		LoopDeferred *deferred = loop.deferred.head;

		if (deferred == NULL)
			deferred = loop.late.head;
		if (deferred == NULL)
			return;
		loop_cancel_deferred(deferred);
		deferred->cb(deferred->arg);
	}
}

/* --- signals ------------------------------------------------------------- */

static void
read_signals(void *arg, uint32_t events)
{
	struct signalfd_siginfo info;

	(void) arg;
	(void) events;
	while (read(loop.signal_fd, &info, sizeof(info)) == (ssize_t) sizeof(info))
	{
		SignalHandler *handler = &loop.handlers[info.ssi_signo];

		handler->cb(handler->arg);
	}
}

void
loop_on_signal(int signo, LoopCallback cb, void *arg)
{
	bool first = loop.signal_fd < 0;

	loop.handlers[signo] = (SignalHandler){cb, arg};
	sigaddset(&loop.signals, signo);
	sigprocmask(SIG_BLOCK, &loop.signals, NULL);
	loop.signal_fd = signalfd(loop.signal_fd, &loop.signals,
							  SFD_NONBLOCK | SFD_CLOEXEC);
	if (loop.signal_fd < 0)
		die_errno("cannot create a signal descriptor");
	if (first)
		loop.signal_watch =
			loop_add_fd(loop.signal_fd, EPOLLIN, read_signals, NULL);
}

/* --- rounds -------------------------------------------------------------- */

static int
milliseconds_to_wait(void)
{
	double wait;

	if (turns_wait())
		return 0;
	if (loop.n_timers == 0)
		return -1;
	wait = loop.heap[0]->due - read_clock(CLOCK_MONOTONIC);
	if (wait <= 0)
		return 0;
	return wait > 3600 ? 3600 * 1000 : (int) (wait * 1000) + 1;
}

void
loop_run(void)
{
	struct epoll_event events[EVENTS_PER_ROUND];

	run_deferred();
	while (!loop.stopping)
	{
		int n = epoll_wait(loop.epoll_fd, events, EVENTS_PER_ROUND,
						   milliseconds_to_wait());

		if (n < 0 && errno != EINTR)
			die_errno("cannot wait for events");
		update_clocks();
		for (int i = 0; i < n; i++)
		{
			LoopFd *lfd = events[i].data.ptr;

			if (lfd->cb != NULL)
				lfd->cb(lfd->arg, events[i].events);
		}
		run_timers();
		run_turns();
		run_deferred();
		free_removed();
	}
	loop.stopping = false; /* it may be run again */
}
