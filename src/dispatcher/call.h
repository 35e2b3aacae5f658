/*-------------------------------------------------------------------------
 *
 * call.h
 *	  Calls inside the dispatcher, and the two sides that meet there:
 *	  channels.c, which receives inputs and passes outputs on, and a driver
 *	  per protocol (modal.c, http.c), which talks to the service.
 *
 * Everything runs in the dispatcher's one thread, between two waits.  None of
 * these functions throws; memory that depends on peers is malloc'd and
 * limited.  A driver may end a call at any time with call_close; channels.c
 * may at any time call driver->cancel (caller gone), after which the driver
 * must not touch the call again.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_DISPATCHER_CALL_H
#define MODAL_DISPATCHER_CALL_H

#include "core/call_limit.h"
#include "core/credit.h"
#include "core/frame.h"

typedef struct DispatchCall DispatchCall;
typedef struct Target Target;

/*
 * An input waiting at, or held by, the driver; free with call_input_free.
 * They come from a pool, and small ones carry their data inline, so that a
 * stream of inputs needs no allocation.
 */
#define CALL_INPUT_INLINE 192
typedef struct CallInput
{
	struct CallInput *next;
	int64_t ordinal;
	size_t len;
	uint8_t *data;	/* in memory, or in small */
	uint8_t *memory; /* malloc'd, of this input; or NULL */
	char *blob_id;	/* the driver's: where it was uploaded to; malloc'd */
	uint8_t small[CALL_INPUT_INLINE];
} CallInput;

typedef struct CallDriver
{
	/* A new call: open->… is copied into call.  May close it at once. */
	void (*open) (DispatchCall *call);
	/* call->pending has grown. */
	void (*inputs) (DispatchCall *call);
	/* call->finished was set: no more inputs will come. */
	void (*finish) (DispatchCall *call);
	/* The reader took outputs, or awaits one: call->credit has changed. */
	void (*consumed) (DispatchCall *call);
	/* Free everything; flags are FRAME_FLAG_*. */
	void (*cancel) (DispatchCall *call, int flags);
	/* For views, what it waits for; NULL: the driver cannot tell. */
	CallLimit (*limit) (const DispatchCall *call);
} CallDriver;

struct DispatchCall
{
	const CallDriver *driver;
	void *state;			/* the driver's */
	Target *target;			/* see target.h */
	CallOpen open;			/* its slices point into memory of the call */
	CallInput *pending, **pending_tail; /* received, not yet taken by driver */
	uint32_t npending;
	size_t pending_bytes;
	bool finished;			/* FINISH received */
	uint64_t received;		/* inputs so far */
	Credit credit;			/* how many outputs may be fetched */
	/* for activity, statistics and CLOSED; kept by the driver */
	uint64_t sent, done, failed, retries, bytes_out, bytes_in, requests;
	double usage;			/* what the service says that it cost */
	bool is_runner;			/* the caller is a job runner */
	/* private to channels.c follows in its own struct */
};

/* The driver has changed counters: views and statistics are to follow. */
extern void call_touch(DispatchCall *call);

/* Detach the first n (at most) pending inputs as a list. */
extern CallInput *call_take_inputs(DispatchCall *call, uint32_t n,
								   size_t max_bytes, uint32_t *taken);
extern void call_input_free(CallInput *input);
/* Other data instead; takes the memory of buf over. */
extern void call_input_replace(CallInput *input, Buf *buf);

extern void call_opened(DispatchCall *call, const CallOpened *opened);
extern void call_accepted(DispatchCall *call, int64_t first, uint32_t count);
/* Hand an output to the reader (copied). */
extern void call_output(DispatchCall *call, const FrameOutput *out);
/* The same; if out->data is all of that buffer, its memory may be taken over. */
extern void call_output_from(DispatchCall *call, const FrameOutput *out,
							 Buf *owner);
/*
 * Part of the one output of a call: as far as it has come, which is what it will
 * begin with, of all that out->data says that it will be.  The reader may get it
 * now; the output itself, or its failure, follows in any case.
 */
extern void call_output_begun(DispatchCall *call, const FrameOutput *out,
							  size_t come);
extern void call_notice(DispatchCall *call, NoticeKind kind,
						const char *message);
/* What views show of a call that runs on. */
extern void call_set_remote_id(DispatchCall *call, const char *id);
/* The last word; frees the call: do not touch it afterwards. */
extern void call_close(DispatchCall *call);
extern void call_fail(DispatchCall *call, const char *sqlstate, bool retryable,
					  const char *detail, const char *hint,
					  const char *fmt, ...)
	__attribute__((format(printf, 6, 7)));
/* For drivers that end a call's interest in what is still pending. */
extern void call_drop_pending(DispatchCall *call);

#endif /* MODAL_DISPATCHER_CALL_H */
