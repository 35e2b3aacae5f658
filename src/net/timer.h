/*-------------------------------------------------------------------------
 *
 * timer.h
 *	  One-shot timers of the dispatcher's event loop.  A Timer is embedded in
 *	  its owner; setting it again moves it, cancelling an idle one is fine.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_NET_TIMER_H
#define MODAL_NET_TIMER_H

#include <stdbool.h>

typedef struct Timer
{
	double due;		/* monotonic seconds */
	int heap_index; /* 0: not set */
	void (*fire) (void *arg);
	void *arg;
} Timer;

extern void timer_init(Timer *timer, void (*fire) (void *), void *arg);
extern bool timer_set(Timer *timer, double due); /* false: no memory */
extern void timer_cancel(Timer *timer);
/* Milliseconds until the next one is due, -1: none. */
extern long timers_timeout_ms(double now);
extern void timers_run(double now);

#endif /* MODAL_NET_TIMER_H */
