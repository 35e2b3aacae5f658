/*-------------------------------------------------------------------------
 *
 * http.h
 *	  The driver for HTTP functions: http_target.c has what is known of a
 *	  service, http.c decides what to send when, http_batch.c knows the life
 *	  of one batch of rows (request, reply, retry, halving), http_judge.c what
 *	  an answer means, http_outcome.c hands results to the call.
 *
 * A batch belongs to a call, a call to a target.  A batch is in one place at
 * a time: under way (request != NULL), waiting for its timer, or in its
 * call's list of batches ready to go.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_WORKER_HTTP_H
#define MODAL_WORKER_HTTP_H

#include "core/backoff.h"
#include "core/http_format.h"
#include "core/http_key.h"
#include "core/pace.h"
#include "dispatcher/call.h"
#include "dispatcher/flow.h"
#include "http/judge.h"
#include "dispatcher/target.h"
#include "net/timer.h"
#include "net/net.h"

#define HTTP_MAX_HEADERS 64
#define LONGEST_PAUSE 600.0 /* a peer cannot stop us for longer */

#define HTTP_KEY_HEADER "Idempotency-Key: "

typedef struct HttpCall HttpCall;
typedef struct HttpBatch HttpBatch;

typedef struct HttpTarget
{
	Target *target;
	HttpBodyFormat format;
	const char *method;
	const char *session_user, *database; /* of the caller */
	char *headers[HTTP_MAX_HEADERS]; /* the same for all requests; own secrets */
	int nheaders;
	uint32_t max_batch_rows;
	size_t max_batch_bytes;
	size_t max_reply_bytes;
	bool idempotent;		/* may a row be sent twice? */
	bool gzip;
	double retry_budget;	/* seconds from the first failure of a row */
	double connect_timeout, first_byte_timeout, timeout;
	double requests_per_second; /* 0: no limit */
	double tokens, tokens_at;	/* of that pacing */
	double paused_until;	/* as Retry-After said, or to the next probe */
	double reached_at;		/* when a request last got through */
	double unreachable_since; /* 0: it is not, as far as is known */
	Backoff probing;		/* pauses between probes meanwhile */
	Pace pace;				/* requests at once, rows in each */
	uint32_t max_concurrency;
	uint32_t active;		/* requests under way */
	uint32_t stalled;		/* of them, those that hold nobody up any more */
	HttpBatch *oldest, *newest; /* batches under way, not stalled, by sent_at */
	HttpCall *calls;		/* ring of those with something to send */
	Timer timer;			/* pacing, pauses, lingering */
	bool pumping;			/* http_pump is running: it will see what is new */
	Buf text;				/* scratch for bodies, replies and messages */
	HttpRow *out;			/* scratch: outcomes of a reply */
	uint32_t out_size;
} HttpTarget;

struct HttpCall
{
	DispatchCall *call;
	HttpTarget *http;
	HttpCall *prev, *next;	/* in the target's ring, if in_ring */
	bool in_ring;
	HttpBatch *batches;		/* all of them */
	HttpBatch *ready, **ready_tail; /* of them, those that go next */
	uint32_t under_way;		/* batches with a request */
	uint32_t rows;			/* of all batches */
	double lingering_since; /* 0: not */
	double opened_at;
	bool answered;			/* the service has, at least once */
};

struct HttpBatch
{
	HttpCall *owner;
	HttpBatch *prev_all, *next_all;
	HttpBatch *next_ready;
	HttpBatch *prev_sent, *next_sent; /* in the target's list */
	CallInput *inputs;
	uint32_t rows;
	size_t bytes;
	uint32_t attempts;		/* requests that may have reached the function */
	double first_failed;	/* monotonic; 0: has not failed */
	uint32_t failures;		/* that it waited after */
	Backoff backoff;
	Timer timer;
	FlowWait waiting;
	bool full;				/* there was no lack of rows when it was made */
	bool stalled;
	Request *request;
	double sent_at;
	double polling_since;	/* Snowflake's 202: ask again with GET; 0: not */
	Backoff polling;
	double retry_after;		/* seconds, from the reply's header; -1: none */
	Buf body;
	char key_header[sizeof(HTTP_KEY_HEADER) + HTTP_KEY_LEN];
	char *key;				/* in there */
};

/* --- http_target.c ------------------------------------------------------ */

extern bool http_target_init(Target *target, const char **error);
extern void http_target_free(Target *target);

/* --- http_batch.c ------------------------------------------------------- */

/* Takes the list of inputs over, also on failure (NULL: no memory). */
extern HttpBatch *batch_create(HttpCall *owner, CallInput *inputs,
							   uint32_t rows);
extern void batch_free(HttpBatch *batch); /* cancels its request */
/* Send it now. */
extern void batch_send(HttpBatch *batch);

/* --- http_outcome.c ------------------------------------------------------ */

/* All rows of a batch fail alike. */
extern void outcome_fail_rows(const HttpBatch *batch, const Failure *failure,
							  const char *message);
/*
 * Hand over the outcomes of a good reply.  Rows that their function reported
 * as failed, and that may go well another time, are returned as a list of
 * *again inputs while the batch may still be retried.
 */
extern CallInput *outcome_deliver(HttpBatch *batch, const HttpRow *rows,
								  uint32_t *again);

/* --- http.c ------------------------------------------------------------- */

/* Put a batch at the end of its call's ready list (no pump). */
extern void http_ready(HttpBatch *batch);
/* Send what may be sent now. */
extern void http_pump(HttpTarget *http);
/* A request has begun, or is over: it counts, or does not any more. */
extern void http_sent(HttpBatch *batch);
extern void http_request_over(HttpBatch *batch);
/* A batch is gone: does the call end? */
extern void http_batch_gone(HttpCall *hcall);
/* The service wants less: send nothing for a while. */
extern void http_pause(HttpTarget *http, double seconds);
/*
 * A request got through; or there was no connection for this batch.  When
 * nothing has got through since it was sent, the service is out of reach: until
 * something does, requests leave one at a time, as probes.
 */
extern void http_reached(HttpTarget *http, double now);
extern void http_not_reached(const HttpBatch *batch);
/*
 * While a service is out of reach: end the calls that have waited for it long
 * enough.  True if hcall was one of them.
 */
extern bool http_give_up(HttpCall *hcall, const Failure *failure,
						 const char *message);
/* End the call with an error; frees hcall and all its batches. */
extern void http_fail_call(HttpCall *hcall, const char *sqlstate,
						   const char *hint, const char *message);
extern void http_no_memory(HttpCall *hcall);

/* --- http_control.c ------------------------------------------------------ */

/* CALL_CONTROL: only CONTROL_PING means something here. */
extern void http_control(DispatchCall *call);
extern void http_control_cancel(DispatchCall *call);

#endif /* MODAL_WORKER_HTTP_H */
