/*-------------------------------------------------------------------------
 *
 * polls.h
 *	  Long polls for outputs, of the control plane and of the input plane.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_LOCAL_POLLS_H
#define MODAL_LOCAL_POLLS_H

#include "calls/calls.h"

#define MAX_POLL_SECONDS 60.0

/* Numbers of a reply's fields; the messages differ in nothing else. */
typedef struct PollReply
{
	uint32_t outputs;
	uint32_t cursor;
	uint32_t unfinished; /* 0: there is no such field */
} PollReply;

/* A cursor as we gave it out, 0-0 or nothing; false: it is none. */
extern bool poll_parse_cursor(const void *text, size_t len, uint64_t *cursor);
/* What is waited for, in the Rpc's arena, for poll_start. */
extern Waiter *poll_create(Rpc *rpc, const PollReply *reply);
/* timeout as the request has it: any float. */
extern void poll_start(Waiter *waiter, Call *call, float timeout);

#endif /* MODAL_LOCAL_POLLS_H */
