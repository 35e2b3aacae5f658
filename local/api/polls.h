/*-------------------------------------------------------------------------
 *
 * polls.h
 *	  Long polls for outputs, of the control plane and of the input plane.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_LOCAL_POLLS_H
#define MODAL_LOCAL_POLLS_H

#include "api/rpc.h"
#include "calls/calls.h"

#define MAX_POLL_SECONDS 60.0

/* Numbers of a reply's fields; the messages differ in nothing else. */
typedef struct PollReply
{
	uint32_t outputs;
	uint32_t cursor;
	uint32_t unfinished; /* 0: there is no such field */
} PollReply;

/* Somebody who waits with a request: an Rpc, in whose arena this is. */
typedef struct RpcWaiter
{
	Waiter waiter; /* first: calls know only this */
	Rpc *rpc;
} RpcWaiter;

typedef struct Poll
{
	RpcWaiter base; /* first */
	const PollReply *reply;
	int32_t max_values;
	int32_t start_idx; /* by_index: only these */
	int32_t end_idx;
	bool by_index;
	bool clear;
} Poll;

/* ready() gets a RpcWaiter that waits as long as its Rpc's client does. */
extern void rpc_wait(RpcWaiter *waiter, double seconds);
/* A float of a request as seconds to wait: not more than MAX_POLL_SECONDS. */
extern double poll_seconds(float timeout);

/* A cursor as we gave it out, 0-0 or nothing; false: it is none. */
extern bool poll_parse_cursor(const void *text, size_t len, uint64_t *cursor);
/* What is waited for, in the Rpc's arena, for poll_start. */
extern Poll *poll_create(Rpc *rpc, const PollReply *reply);
extern void poll_start(Poll *poll, Call *call, float timeout);

#endif /* MODAL_LOCAL_POLLS_H */
