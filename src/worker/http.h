/*-------------------------------------------------------------------------
 *
 * http.h
 *	  The driver for HTTP functions, in two halves: http.c decides what to
 *	  send when (targets, calls, pacing), http_batch.c knows the life of one
 *	  batch of rows (request, reply, retry, halving).
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
#include "core/climb.h"
#include "worker/call.h"
#include "worker/http_format.h"
#include "worker/target.h"
#include "worker/timer.h"
#include "worker/transport.h"

#define HTTP_MAX_HEADERS 64
#define HTTP_KEY_LEN 36 /* an idempotency key: a UUID's text */

typedef struct HttpCall HttpCall;
typedef struct HttpBatch HttpBatch;

typedef struct HttpTarget
{
	Target *target;
	HttpBodyFormat format;
	const char *method;
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
	double paused_until;	/* the service asked for it (429, Retry-After) */
	Backoff pause;			/* when it does not say how long */
	Climb concurrency;		/* requests under way */
	Climb rows;				/* rows per request */
	uint32_t active;
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
	double lingering_since; /* 0: not */
	uint32_t connect_failures; /* in a row */
};

struct HttpBatch
{
	HttpCall *owner;
	HttpBatch *prev_all, *next_all;
	HttpBatch *next_ready;
	CallInput *inputs;
	uint32_t rows;
	size_t bytes;
	uint32_t attempts;		/* requests that may have reached the function */
	double first_failed;	/* monotonic; 0: has not failed */
	Backoff backoff;
	Timer timer;
	Request *request;
	double sent_at;
	double polling_since;	/* Snowflake's 202: ask again with GET; 0: not */
	Backoff polling;
	double retry_after;		/* seconds, from the reply's header; -1: none */
	Buf body;
	char key[HTTP_KEY_LEN + 1];
};

/* --- http_batch.c ------------------------------------------------------- */

/* Takes the list of inputs over, also on failure (NULL: no memory). */
extern HttpBatch *batch_create(HttpCall *owner, CallInput *inputs,
							   uint32_t rows);
extern void batch_free(HttpBatch *batch); /* cancels its request */
/* Send it now. */
extern void batch_send(HttpBatch *batch);

/* --- http.c ------------------------------------------------------------- */

/* Put a batch at the end of its call's ready list (no pump). */
extern void http_ready(HttpBatch *batch);
/* Send what may be sent now. */
extern void http_pump(HttpTarget *http);
/* A batch is gone: does the call end? */
extern void http_batch_gone(HttpCall *hcall);
/* The service wants less: send nothing for a while (seconds < 0: guess). */
extern void http_pause(HttpTarget *http, double seconds);
/* End the call with an error; frees hcall and all its batches. */
extern void http_fail_call(HttpCall *hcall, const char *sqlstate,
						   const char *detail, const char *hint,
						   const char *message);

/* --- http_control.c ------------------------------------------------------ */

/* CALL_CONTROL: only CONTROL_PING means something here. */
extern void http_control(DispatchCall *call);
extern void http_control_cancel(DispatchCall *call);

#endif /* MODAL_WORKER_HTTP_H */
