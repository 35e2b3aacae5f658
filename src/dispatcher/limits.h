/*-------------------------------------------------------------------------
 *
 * limits.h
 *	  What a foreign server allows of requests, at once and per second, over
 *	  all its targets: all roles that use it.
 *
 * Who may not send now waits, and gets its turn when it may, one request at a
 * time and in the order in which they came.  Calls of a server are in one
 * dispatcher, unless its option "dispatchers" says otherwise: then what is used
 * is counted for all of them (limit_count.h).
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_DISPATCHER_LIMITS_H
#define MODAL_DISPATCHER_LIMITS_H

#include <stdbool.h>
#include <stdint.h>

typedef struct ServerLimits ServerLimits;
typedef struct LimitWaiter LimitWaiter;

extern void limits_init(int dispatcher);
/*
 * Those of the server that this text identifies.  Shared: with other
 * dispatchers.  NULL: *error says why.
 */
extern ServerLimits *limits_get(const char *server, bool shared,
								const char **error);
extern void limits_put(ServerLimits *limits);
/*
 * The values that the server's options have now, as each call says that is
 * opened: its target may be older than others' values.  per_second 0: no limit.
 */
extern void limits_set(ServerLimits *limits, uint32_t at_once,
					   double per_second);

/* go is called from the event loop.  NULL: no memory. */
extern LimitWaiter *limits_waiter(ServerLimits *limits, void (*go)(void *arg),
								  void *arg);
extern void limits_waiter_free(LimitWaiter *waiter);

/*
 * May one more request be sent?  If not, go is called when it may.  Whoever
 * asks sends it, or settles that it has not done so.
 */
extern bool limits_may_send(LimitWaiter *waiter);
/* Is it requests per second that there may not be more of? */
extern bool limits_rate(const ServerLimits *limits);
extern void limits_sent(ServerLimits *limits);
extern void limits_settle(ServerLimits *limits);
extern void limits_over(ServerLimits *limits);
/* Once a turn: what have other dispatchers left? */
extern void limits_look_at_news(void);

#endif /* MODAL_DISPATCHER_LIMITS_H */
