/*-------------------------------------------------------------------------
 *
 * timer.c
 *	  One-shot timers: a binary heap of pointers, ordered by due time.
 *
 * heap[1] is the next one due; a Timer knows its place, so that moving and
 * cancelling cost O(log n) and no search.
 *
 *-------------------------------------------------------------------------
 */
#include "net/timer.h"

#include <limits.h>
#include <math.h>
#include <stddef.h>
#include <stdlib.h>

static Timer **heap;
static int heap_len; /* timers set */
static int heap_cap;

static inline void
place(Timer *timer, int index)
{
	heap[index] = timer;
	timer->heap_index = index;
}

static void
sift_up(Timer *timer, int index)
{
	while (index > 1 && heap[index / 2]->due > timer->due)
	{
		place(heap[index / 2], index);
		index /= 2;
	}
	place(timer, index);
}

static void
sift_down(Timer *timer, int index)
{
	for (;;)
	{
		int child = index * 2;

		if (child > heap_len)
			break;
		if (child < heap_len && heap[child + 1]->due < heap[child]->due)
			child++;
		if (heap[child]->due >= timer->due)
			break;
		place(heap[child], index);
		index = child;
	}
	place(timer, index);
}

void
timer_init(Timer *timer, void (*fire)(void *), void *arg)
{
	timer->due = 0;
	timer->heap_index = 0;
	timer->fire = fire;
	timer->arg = arg;
}

bool
timer_set(Timer *timer, double due)
{
	bool later = due > timer->due;

	if (timer->heap_index == 0)
	{
		if (heap_len + 2 > heap_cap)
		{
			int cap = heap_cap > 0 ? heap_cap * 2 : 64;
			Timer **grown = realloc(heap, cap * sizeof(*heap));

			if (grown == NULL)
				return false;
			heap = grown;
			heap_cap = cap;
		}
		timer->heap_index = ++heap_len;
		later = false;
	}
	timer->due = due;
	if (later)
		sift_down(timer, timer->heap_index);
	else
		sift_up(timer, timer->heap_index);
	return true;
}

void
timer_cancel(Timer *timer)
{
	int index = timer->heap_index;
	Timer *last;

	if (index == 0)
		return;
	timer->heap_index = 0;
	last = heap[heap_len--];
	if (last == timer)
		return;
	if (index > 1 && heap[index / 2]->due > last->due)
		sift_up(last, index);
	else
		sift_down(last, index);
}

long
timers_timeout_ms(double now)
{
	double ms;

	if (heap_len == 0)
		return -1;
	ms = ceil((heap[1]->due - now) * 1000);
	if (ms <= 0)
		return 0;
	return ms < INT_MAX ? (long) ms : INT_MAX;
}

void
timers_run(double now)
{
	/* Timers that a callback sets for "now" wait for the next turn. */
	int bound = heap_len;

	while (bound-- > 0 && heap_len > 0 && heap[1]->due <= now)
	{
		Timer *timer = heap[1];

		timer_cancel(timer);
		timer->fire(timer->arg);
	}
}
