/*-------------------------------------------------------------------------
 *
 * loop.h
 *	  The one event loop of modal-local: descriptors, timers, signals.
 *
 * Single-threaded, on epoll.  Callbacks run one at a time and must not block.
 * Work that other callbacks only announce (a reply to a poll, a write to a
 * connection) is deferred until all ready descriptors and due timers of a
 * round have been served, so that it is done for many at a time.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_LOCAL_LOOP_H
#define MODAL_LOCAL_LOOP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>

typedef struct LoopFd LoopFd;
typedef struct LoopTimer LoopTimer;
typedef struct LoopDeferred LoopDeferred;
typedef struct LoopTurn LoopTurn;

/* events: EPOLLIN, EPOLLOUT, EPOLLHUP, EPOLLERR as epoll reports them. */
typedef void (*LoopFdCallback)(void *arg, uint32_t events);
typedef void (*LoopCallback)(void *arg);

/*
 * Embedded in its owner's structure, zeroed before first use.  To set one that
 * is set already moves it.
 */
struct LoopTimer
{
	double due;		 /* loop_now() seconds */
	uint32_t place;	 /* 1-based position in the heap; 0: not set */
	LoopCallback cb; /* runs once; may set the timer again or free it */
	void *arg;
};

/* Embedded likewise: runs once at the end of the round. */
struct LoopDeferred
{
	LoopDeferred *next;
	bool queued;
	bool late;
	LoopCallback cb;
	void *arg;
};

/* Likewise: waits for its turn. */
struct LoopTurn
{
	LoopTurn *prev;
	LoopTurn *next;
	LoopCallback cb; /* NULL: it does not wait */
	void *arg;
};

extern void loop_init(void);
/* Runs until loop_stop; may be run again. */
extern void loop_run(void);
extern void loop_stop(void);

/*
 * The descriptor stays its owner's, who must call loop_remove_fd before
 * closing it; that is allowed in any callback, its own included.
 */
extern LoopFd *loop_add_fd(int fd, uint32_t events, LoopFdCallback cb,
						   void *arg);
extern void loop_modify_fd(LoopFd *lfd, uint32_t events);
extern void loop_remove_fd(LoopFd *lfd);

extern void loop_set_timer(LoopTimer *timer, double seconds, LoopCallback cb,
						   void *arg);
extern void loop_clear_timer(LoopTimer *timer);

extern void loop_defer(LoopDeferred *deferred, LoopCallback cb, void *arg);
/* The same, after all that are not late: for writes to connections. */
extern void loop_defer_late(LoopDeferred *deferred, LoopCallback cb,
							void *arg);
extern void loop_cancel_deferred(LoopDeferred *deferred);

/*
 * For what there may be thousands of at a time: one after the other, in each
 * round as many as take a millisecond.  One that waits already stays where it is.
 */
extern void loop_queue_turn(LoopTurn *turn, LoopCallback cb, void *arg);
extern void loop_cancel_turn(LoopTurn *turn);

/* cb(arg) runs in the loop after the signal (SIGCHLD, SIGHUP, SIGTERM, ...). */
extern void loop_on_signal(int signo, LoopCallback cb, void *arg);

/* Monotonic seconds, and Unix time, as of the beginning of this round. */
extern double loop_now(void);
extern double loop_wall_time(void);

#endif /* MODAL_LOCAL_LOOP_H */
