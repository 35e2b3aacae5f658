/*-------------------------------------------------------------------------
 *
 * limit_count.h
 *	  How much of a server's limits is used: requests under way, and tokens
 *	  for those per second.
 *
 * In the memory of the dispatcher that serves the server, or where several do,
 * in shared memory.  While others wait, a dispatcher has its share and no more;
 * of what nobody waits for, as much as there is.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_DISPATCHER_LIMIT_COUNT_H
#define MODAL_DISPATCHER_LIMIT_COUNT_H

#include <stdbool.h>
#include <stdint.h>

typedef struct LimitCount LimitCount;

typedef enum LimitTaken
{
	LIMIT_TAKEN,
	LIMIT_AT_ONCE,
	LIMIT_PER_SECOND
} LimitTaken;

/* What a predecessor of this number had is free again. */
extern void limit_counts_init(int dispatcher);
/*
 * That of a server which several dispatchers serve, or one of this dispatcher
 * alone.  NULL: *error is set, unless it is for lack of memory.
 */
extern LimitCount *limit_count_get(const char *server, bool shared,
								   const char **error);
extern void limit_count_put(LimitCount *count);

/*
 * Take a place for a request, or say what is missing: then this dispatcher
 * waits, and is woken when one has become free; *later says when there will be
 * one without that (0: not so).  per_second 0: no limit.
 */
extern LimitTaken limit_count_take(LimitCount *count, uint32_t at_once,
								   double per_second, double *later);
/* The place was not used. */
extern void limit_count_give_back(LimitCount *count);
/* The request is over. */
extern void limit_count_over(LimitCount *count);
/* Nobody waits here any more. */
extern void limit_count_content(LimitCount *count);
/* Has one become free that this dispatcher waits for? */
extern bool limit_counts_news(void);

#endif /* MODAL_DISPATCHER_LIMIT_COUNT_H */
