/*-------------------------------------------------------------------------
 *
 * limits.c
 *	  Limits of a server, shared by its targets; see limits.h.
 *
 * A turn is given from a timer only, never by whoever makes room: that may be
 * in the middle of anything.
 *
 *-------------------------------------------------------------------------
 */
#include "dispatcher/limits.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "core/list.h"
#include "core/map.h"
#include "dispatcher/limit_count.h"
#include "net/timer.h"

struct ServerLimits
{
	char *key;
	uint32_t refs;
	uint32_t at_once;
	double per_second; /* 0: no limit */
	LimitCount *count;
	bool has_place;	   /* for a request that is about to be sent */
	bool lacks_token;  /* that is what was missing last */
	bool is_known_to_wait;
	List waiting;
	LimitWaiter *turn; /* whose it is; NULL: nobody's */
	Timer timer;
};

struct LimitWaiter
{
	ListNode node; /* in waiting */
	ServerLimits *limits;
	void (*go)(void *arg);
	void *arg;
};

/*
 * By identity, those of this dispatcher alone apart from shared ones: when an
 * option makes one of the other, calls of before go on as they are.
 */
static Map servers;

static const void *
key_of(const void *value, size_t *n)
{
	const ServerLimits *limits = value;

	*n = strlen(limits->key);
	return limits->key;
}

/* NULL: no memory. */
static char *
make_key(const char *server, bool shared)
{
	size_t size = strlen(server) + 2;
	char *key = malloc(size);

	if (key != NULL)
		snprintf(key, size, "%c%s", shared ? '+' : '-', server);
	return key;
}

void
limits_init(int dispatcher)
{
	map_init_bytes(&servers, key_of, NULL);
	limit_counts_init(dispatcher);
}

/* --- room ----------------------------------------------------------------- */

/*
 * Take a place for the next request, unless there is one already.  False:
 * *later says when there will be one, without anything ending (0: not so).
 */
static bool
take_place(ServerLimits *limits, double *later)
{
	LimitTaken taken;

	*later = 0;
	if (limits->has_place)
		return true;
	taken = limit_count_take(limits->count, limits->at_once,
							 limits->per_second, later);
	limits->has_place = taken == LIMIT_TAKEN;
	limits->lacks_token = taken == LIMIT_PER_SECOND;
	limits->is_known_to_wait |= !limits->has_place;
	return limits->has_place;
}

static void
tell_if_content(ServerLimits *limits)
{
	if (!limits->is_known_to_wait || !list_is_empty(&limits->waiting))
		return;
	limits->is_known_to_wait = false;
	limit_count_content(limits->count);
}

/* Let those who wait send, as long as there is room. */
static void
give_turns(void *arg)
{
	ServerLimits *limits = arg;
	ListNode *node;
	double later = 0;

	while (!list_is_empty(&limits->waiting) && take_place(limits, &later))
	{
		node = list_pop(&limits->waiting);
		limits->turn = LIST_OWNER(LimitWaiter, node, node);
		limits->turn->go(limits->turn->arg);
		limits->turn = NULL;
	}
	limits_settle(limits);
	if (!list_is_empty(&limits->waiting) && later > 0)
		(void) timer_set(&limits->timer, later);
	tell_if_content(limits);
}

bool
limits_may_send(LimitWaiter *waiter)
{
	ServerLimits *limits = waiter->limits;
	bool others = !list_is_empty(&limits->waiting) && limits->turn != waiter;
	double later = 0;

	if (!others && take_place(limits, &later))
		return true;
	if (!list_has(&waiter->node))
		list_append(&limits->waiting, &waiter->node);
	if (later > 0)
		(void) timer_set(&limits->timer, later);
	return false;
}

bool
limits_rate(const ServerLimits *limits)
{
	return limits->lacks_token;
}

void
limits_sent(ServerLimits *limits)
{
	MUST(limits->has_place);
	limits->has_place = false;
	/* The next one is for another. */
	limits->turn = NULL;
}

void
limits_settle(ServerLimits *limits)
{
	if (!limits->has_place)
		return;
	limits->has_place = false;
	limit_count_give_back(limits->count);
}

/* Something has changed for those who wait. */
static void
look_again(ServerLimits *limits)
{
	if (!list_is_empty(&limits->waiting))
		(void) timer_set(&limits->timer, monotonic_seconds());
}

void
limits_over(ServerLimits *limits)
{
	limit_count_over(limits->count);
	look_again(limits);
}

void
limits_set(ServerLimits *limits, uint32_t at_once, double per_second)
{
	if (limits->at_once == at_once && limits->per_second == per_second)
		return;
	limits->at_once = at_once;
	limits->per_second = per_second;
	look_again(limits);
}

/* --- life ----------------------------------------------------------------- */

static void
limits_free(ServerLimits *limits)
{
	timer_cancel(&limits->timer);
	if (limits->count != NULL)
		limit_count_put(limits->count);
	free(limits->key);
	free(limits);
}

/* The key is its own then. */
static ServerLimits *
limits_create(char *key, const char *server, bool shared, const char **error)
{
	ServerLimits *limits = calloc(1, sizeof(*limits));

	*error = "out of memory";
	if (limits == NULL)
	{
		free(key);
		return NULL;
	}
	list_init(&limits->waiting);
	timer_init(&limits->timer, give_turns, limits);
	limits->key = key;
	limits->count = limit_count_get(server, shared, error);
	if (limits->count == NULL || !map_put_bytes(&servers, limits))
	{
		limits_free(limits);
		return NULL;
	}
	return limits;
}

ServerLimits *
limits_get(const char *server, bool shared, const char **error)
{
	char *key = make_key(server, shared);
	ServerLimits *limits;

	*error = "out of memory";
	if (key == NULL)
		return NULL;
	limits = map_get_bytes(&servers, key, strlen(key));
	if (limits != NULL)
		free(key);
	else if ((limits = limits_create(key, server, shared, error)) == NULL)
		return NULL;
	limits->refs++;
	return limits;
}

void
limits_put(ServerLimits *limits)
{
	if (--limits->refs > 0)
		return;
	map_remove_bytes(&servers, limits->key, strlen(limits->key));
	limits_free(limits);
}

LimitWaiter *
limits_waiter(ServerLimits *limits, void (*go)(void *arg), void *arg)
{
	LimitWaiter *waiter = calloc(1, sizeof(*waiter));

	if (waiter == NULL)
		return NULL;
	waiter->limits = limits;
	waiter->go = go;
	waiter->arg = arg;
	return waiter;
}

void
limits_waiter_free(LimitWaiter *waiter)
{
	list_remove(&waiter->node);
	tell_if_content(waiter->limits);
	free(waiter);
}

void
limits_look_at_news(void)
{
	ServerLimits *limits;
	MapVisit visit = {0};

	if (!limit_counts_news())
		return;
	while ((limits = map_next(&servers, &visit)) != NULL)
		look_again(limits);
}
