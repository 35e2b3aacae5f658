/*-------------------------------------------------------------------------
 *
 * remote_call.h
 *	  Remote calls as the rest of the session sees them: open, put inputs,
 *	  get outputs, close.  Used by modal_map, typed functions and the runner.
 *
 * A call belongs to a memory context: when that is reset or deleted with the
 * call still open (error, cancel, end of portal), the call is cancelled at
 * the remote side too.  Several calls may be open at once and be used in any
 * order; waiting for one serves all.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_LINK_REMOTE_CALL_H
#define MODAL_LINK_REMOTE_CALL_H

#include "compat.h"

#include "core/frame.h"
#include "endpoint/endpoint.h"

typedef struct RemoteCall RemoteCall;

typedef struct RemoteCallSpec
{
	CallKind kind;
	ControlOp op;
	const char *reference;		/* without "server:" */
	PayloadFormat input_format; /* default PAYLOAD_CBOR for Modal */
	bool ordered;				/* hand out outputs by ordinal, from
								 * first_ordinal */
	bool return_exceptions;
	bool available;				/* FOLLOW: only what is there now */
	bool discard;
	int window;					/* 0: server option, else .max_in_flight */
	bool put_ahead;				/* a caller that can, puts more than the window:
								 * see remote_call_window */
	Size window_bytes;			/* 0: modal_batch.window_bytes */
	int64 first_ordinal;
	int64 last_ordinal;			/* FOLLOW: -1 to the end */
	int64 total_inputs;			/* -1: not known */
	const char *remote_call_id; /* resume, follow */
	const char *request;		/* JSON; control arguments, HTTP kwargs */
	const uint8 *idempotency;	/* 16 bytes; NULL: random */
	int deadline_ms;			/* 0: none */
} RemoteCallSpec;

typedef struct RemoteCallCounters
{
	uint64 put;			/* inputs handed over */
	uint64 finished;	/* outputs arrived, good or bad */
	uint64 failed;
	uint64 returned;	/* outputs handed to the caller */
	uint64 batches;		/* input frames sent */
	uint64 bytes_put, bytes_received;
	uint64 wait_us;		/* spent waiting for outputs */
	uint64 retries;		/* known after the end */
	int max_in_flight;
} RemoteCallCounters;

/*
 * Inside a transaction, in which names are converted.  Never waits for the
 * network.  Errors: 55000.
 */
extern RemoteCall *remote_call_open(MemoryContext parent,
									const Endpoint *endpoint,
									const RemoteCallSpec *spec);

/*
 * How many inputs may be put and not yet taken as outputs: the window, less
 * when results are large.  With put_ahead it is half as many more, when the
 * dispatcher keeps to the window by itself (Modal): what is beyond it waits
 * there, so that the next input is at hand when one has finished.
 */
extern int remote_call_window(RemoteCall *call);
/* How many more may be put now. */
extern int remote_call_room(RemoteCall *call);
/*
 * When there is no room: how much of it to wait for.  Going on at the first
 * free place would send inputs one by one; waiting for much would leave the
 * remote side without work.
 */
extern int remote_call_refill(RemoteCall *call);
/*
 * Put an input.  Ordinals must ascend.  The payload is copied; small inputs
 * are collected into frames, which leave when full and at remote_call_flush,
 * remote_call_finish and whenever the caller waits.  May put beyond the room,
 * which is a hint for pacing; SPAWN_MAP callers must respect it.
 */
extern void remote_call_put(RemoteCall *call, int64 ordinal, const void *p,
							Size n);
extern void remote_call_flush(RemoteCall *call);
/* No more inputs follow. */
extern void remote_call_finish(RemoteCall *call);

typedef enum RemoteCallResult
{
	REMOTE_CALL_OUTPUT,	 /* *out is set, valid until the next call on it */
	REMOTE_CALL_PENDING, /* nothing now; more will come */
	REMOTE_CALL_END		 /* the call has ended; see remote_call_closed */
} RemoteCallResult;

/* Without waiting.  Raises the error of a failed call, not of failed inputs. */
extern RemoteCallResult remote_call_poll(RemoteCall *call, FrameOutput *out);
/* Would it give something now?  What was taken before stays valid. */
extern bool remote_call_is_ready(RemoteCall *call);
/*
 * Send what is collected, of all calls, then sleep until something has
 * happened on any channel, or timeout_ms (-1: none) has passed.
 */
extern void remote_call_wait(RemoteCall *call, long timeout_ms);
/* Waits until there is an output or the end (never PENDING). */
extern RemoteCallResult remote_call_next(RemoteCall *call, FrameOutput *out);
/*
 * The same, for callers that handle the end themselves (runner): a failed
 * call is REMOTE_CALL_END.
 */
extern RemoteCallResult remote_call_poll_noerror(RemoteCall *call,
												 FrameOutput *out);

/*
 * Tell the user, by warnings, what the service has said meanwhile.  Inside a
 * transaction only; remote_call_poll and remote_call_next do so by themselves.
 */
extern void remote_call_tell(RemoteCall *call);
/*
 * Does it wait, as a notice says that has not been told?  NOTICE_WARNING: it
 * does not, or that is not known.  *message is text from outside.
 */
extern NoticeKind remote_call_waits(const RemoteCall *call, Slice *message);

/* How it ended; NULL while it goes on. */
extern const CallClosed *remote_call_closed(RemoteCall *call);
/*
 * What the service said at the start; NULL until it has.  A call whose inputs
 * are needed to begin it (endpoint.h, HTTP_BULK) gets its id after them, and may
 * get another one.
 */
extern const CallOpened *remote_call_opened(RemoteCall *call);
/* Wait for that (raises the call's error if it fails first). */
extern const CallOpened *remote_call_wait_opened(RemoteCall *call);
/*
 * Inputs acknowledged by the service since the last time it was asked:
 * returns false when there are no (more) news.  SPAWN_MAP only.
 */
extern bool remote_call_accepted(RemoteCall *call, int64 *first, uint32 *count);
extern const RemoteCallCounters *remote_call_counters(RemoteCall *call);
/* "server:reference", for messages. */
extern const char *remote_call_label(const RemoteCall *call);

/* Cancel if still open (flags: FRAME_FLAG_*), and free. */
extern void remote_call_close(RemoteCall *call, int flags);

/*
 * One input in, one output out; raises remote failures (modal_remote).  The
 * output is valid until the caller closes the call.
 */
extern RemoteCall *remote_call_once(MemoryContext cxt, const Endpoint *endpoint,
									const RemoteCallSpec *spec, const void *p,
									Size n, FrameOutput *out);

#endif /* MODAL_LINK_REMOTE_CALL_H */
