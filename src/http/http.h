/*-------------------------------------------------------------------------
 *
 * http.h
 *	  The driver for HTTP functions: target.c has what is known of a
 *	  service, http.c decides what to send when, batch.c knows the life
 *	  of one batch of rows (request, reply, retry, halving), room.c how much
 *	  memory replies take, judge.c what an answer means, outcome.c hands
 *	  results to the call.
 *
 * A batch belongs to a call, a call to a target.  A batch is in one place at
 * a time: under way (request != NULL), waiting for its timer, or in its
 * call's list of batches ready to go.
 *
 * Who may free what: http_fail_call() and what may come to it (http_no_memory,
 * http_give_up, and so batch_send) free a call with all its batches, also one
 * that is not the caller's own.  After any of them a function touches neither
 * its batch nor its call again unless it was told that they live; the target
 * always does.  So no list is walked with its next member in a variable:
 * http_pump() takes the first one anew each time, others use a mark
 * (core/list.h).
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_HTTP_HTTP_H
#define MODAL_HTTP_HTTP_H

#include "core/http_format.h"
#include "core/http_key.h"
#include "core/http_reply.h"
#include "core/list.h"
#include "core/map.h"
#include "core/pace.h"
#include "core/retry.h"
#include "dispatcher/call.h"
#include "dispatcher/flow.h"
#include "dispatcher/limits.h"
#include "dispatcher/target.h"
#include "http/credentials.h"
#include "http/judge.h"
#include "net/net.h"
#include "net/timer.h"

#define HTTP_MAX_HEADERS 64

#define HTTP_KEY_HEADER "Idempotency-Key: "

/* What is called: the calls of one path, without its query. */
typedef struct HttpFunction
{
	uint32_t calls;
	uint32_t under_way;		/* requests of theirs */
	double paused_until;	/* as Retry-After said */
	size_t n;
	char path[];
} HttpFunction;

typedef struct HttpCall HttpCall;
typedef struct HttpBatch HttpBatch;

typedef struct HttpTarget
{
	Target *target;
	HttpBodyFormat format;
	ReplyForm *form;		/* paths into replies; NULL: the format says */
	const char *error_header; /* a reply that has it is an error's; or NULL */
	const char *method;
	bool has_body;			/* requests of this method have one */
	const char *session_user, *database; /* of the caller */
	char *headers[HTTP_MAX_HEADERS]; /* the same for all requests; own secrets */
	int nheaders;
	uint32_t max_batch_rows;
	size_t max_batch_bytes;
	double max_batch_tokens; /* 0: no limit */
	double chars_per_token;
	size_t max_reply_bytes;
	Credentials *credentials; /* what those headers cannot say */
	CredentialsWait credentials_wait;
	bool idempotent;		/* may a row be sent twice? */
	bool gzip;
	RetryPolicy retrying;	/* from the first failure of a row */
	RetryPolicy patient;	/* the same, without a budget */
	double connect_timeout, first_byte_timeout, timeout;
	ServerLimits *limits;		/* of all targets of the server */
	LimitWaiter *limits_waiter;
	double paused_until;	/* out of reach: to the next probe */
	double reached_at;		/* when a request last got through */
	double unreachable_since; /* 0: it is not, as far as is known */
	Retry probing;			/* pauses between probes meanwhile */
	Pace pace;				/* requests at once, rows in each */
	uint32_t max_concurrency; /* 0: as many as help */
	double requests_per_second; /* 0: no limit */
	CallLimit limit;		/* what keeps it from more at once, when last asked */
	uint32_t active;		/* requests under way */
	uint32_t stalled;		/* of them, those that hold nobody up any more */
	List sent;				/* batches under way, not stalled, by sent_at */
	List calls;				/* those with something to send, in turns */
	uint32_t ncalls;		/* in there */
	Map functions;			/* those with calls, by path */
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
	HttpFunction *function;
	Slice path;				/* below the server's URL, with its query */
	ListNode turn;			/* in the target's calls */
	List batches;			/* all of them */
	List ready;				/* of them, those that go next */
	uint32_t under_way;		/* batches with a request */
	uint32_t rows;			/* of all batches */
	uint64_t reply_bytes;	/* of all batches under way */
	double lingering_since; /* 0: not */
	double opened_at;
	double next_notice;		/* that it has to wait, no earlier */
	bool answered;			/* the service has, at least once */
};

struct HttpBatch
{
	HttpCall *owner;
	ListNode of_call;		/* in its call's batches */
	ListNode ready;			/* in its call's list of those */
	ListNode sent;			/* in the target's list of those */
	CallInput *inputs;
	uint32_t rows;
	size_t bytes;
	uint32_t attempts;		/* requests that may have reached the function */
	Retry retry;
	Timer timer;
	FlowWait waiting;
	bool full;				/* there was no lack of rows when it was made */
	bool stalled;
	Request *request;
	uint64_t reply_bytes;	/* that its reply may take */
	uint64_t needs;			/* bytes that there was no room for; 0: none */
	double sent_at;
	Retry polling;			/* Snowflake's 202: ask again with GET */
	char type[64];			/* media type of the reply, unless JSON */
	double retry_after;		/* seconds, from the reply's header; 0: none */
	bool says_error;		/* the reply has error_header */
	double usage;			/* of replies, not yet with an output */
	time_t date;			/* the same, of header Date; 0: none */
	uint32_t credentials;	/* which it was sent with */
	bool renewed;			/* they have been refused once */
	Buf body;
	char key_header[sizeof(HTTP_KEY_HEADER) + HTTP_KEY_LEN];
	char *key;				/* in there */
};

/* Has the service accepted the rows?  Then only their results are asked for. */
static inline bool
batch_is_polling(const HttpBatch *batch)
{
	return batch->polling.failures > 0;
}

/* --- target.c ------------------------------------------------------ */

extern bool http_target_init(Target *target, const char **error);
extern void http_target_free(Target *target);
/* The limits of its server are what its options say: it has the newest. */
extern void http_set_limits(const HttpTarget *http);

/* --- batch.c ------------------------------------------------------- */

/* Takes the list of inputs over, also on failure (NULL: no memory). */
extern HttpBatch *batch_create(HttpCall *owner, CallInput *inputs,
							   uint32_t rows);
extern void batch_free(HttpBatch *batch); /* cancels its request */
/* Send it now. */
extern void batch_send(HttpBatch *batch);

/*
 * A job has nobody who sees it wait: its runner writes that down.  *next_notice
 * is when it may be told again.
 */
extern void http_tell_of_waiting(DispatchCall *call, double *next_notice,
								 const Failure *failure, const char *message);

/* --- form.c --------------------------------------------------------- */

/* What the server's options say of replies; *error says why not. */
extern bool form_init(HttpTarget *http, const char **error);
extern void form_free(HttpTarget *http);
/* Of the first inputs, most of them, how many a request may have. */
extern uint32_t form_limit_tokens(const HttpTarget *http,
								  const CallInput *inputs, uint32_t most);
/* Is there an error's header? */
extern bool form_is_error_header(const HttpTarget *http, const char *name,
								 size_t n);
/*
 * The outcomes of a good reply to a batch, in http->out; else what is wrong
 * with it, in text of the target's.  *failed: the function itself says so.
 */
extern const char *form_read(HttpBatch *batch, Response *response,
							 bool *failed);
/* The input that is the whole request: its path and its body. */
extern bool form_split_input(const CallInput *input, Slice *path, Slice *body);

/* --- outcome.c ------------------------------------------------------ */

/* All rows of a batch fail alike. */
extern void outcome_fail_rows(const HttpBatch *batch, const Failure *failure,
							  const char *message);
/* One row's, which is good or not; the rest of out says more. */
extern void outcome_row(DispatchCall *call, const HttpRow *row,
						FrameOutput *out);
/*
 * Hand over the outcomes of a good reply.  Rows that their function reported
 * as failed, and that may go well another time, are returned as a list of
 * *again inputs while the batch may still be retried.
 */
extern CallInput *outcome_deliver(HttpBatch *batch, const HttpRow *rows,
								  uint32_t *again);

/* --- room.c --------------------------------------------------------- */

/* For RequestSpec, of a batch: false when it has to wait for room. */
extern bool room_may_hold(void *batch, uint64_t bytes);
/* May it be sent, if it had to wait? */
extern bool room_for(const HttpBatch *batch);
/* Its request has begun, or is over. */
extern void room_begin(HttpBatch *batch);
extern void room_end(HttpBatch *batch);

/* --- http.c ------------------------------------------------------------- */

/* For http_target_init: the keys of its functions. */
extern const void *http_function_key(const void *function, size_t *n);
/* Put a batch at the end of its call's ready list (no pump). */
extern void http_ready(HttpBatch *batch);
/* Send what may be sent now. */
extern void http_pump(HttpTarget *http);
/* There are credentials again, or there is none: see credentials.h. */
extern void http_credentials_settled(void *arg, const Failure *failure,
									 const char *message);
/* A request has begun, or is over: it counts, or does not any more. */
extern void http_sent(HttpBatch *batch);
extern void http_request_over(HttpBatch *batch);
/* A batch is gone: does the call end? */
extern void http_batch_gone(HttpCall *hcall);
/* The function wants less: send it nothing for a while. */
extern void http_pause(HttpFunction *function, double seconds);
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

/* --- control.c ------------------------------------------------------ */

/* CALL_CONTROL: only CONTROL_PING means something here. */
extern void http_control(DispatchCall *call);
extern void http_control_cancel(DispatchCall *call);

#endif /* MODAL_HTTP_HTTP_H */
