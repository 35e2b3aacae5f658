/*-------------------------------------------------------------------------
 *
 * calls.h
 *	  Function calls: their inputs, attempts, outputs, and who waits for them.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_LOCAL_CALLS_H
#define MODAL_LOCAL_CALLS_H

#include "calls/exec.h"
#include "calls/ids.h"
#include "calls/outlog.h"
#include "calls/registry.h"
#include "core/grpc_frame.h"
#include "net/loop.h"

#define N_RESULT_STATUS 9
#define MAX_INPUTS_OUTSTANDING 1000	   /* of a synchronous call */
#define MAX_INPUTS_PENDING 1000000	   /* of an asynchronous call */
#define MAX_INPUT_INDEX ((1 << 24) - 1)
#define MAX_UNREAD_BYTES (256 * 1024 * 1024) /* outputs of a call */

typedef struct Call Call;
typedef struct Input Input;
typedef struct Waiter Waiter;
typedef struct Details Details;
struct Record;

/* What is known of an index of a call; zero: nothing. */
typedef struct Slot
{
	uint64_t output;  /* number of its last output, 0: none */
	uint32_t attempt; /* the newest */
	uint16_t live;	  /* attempts that have no output yet */
	uint8_t status;	  /* of its last output, a ResultStatus */
	bool lost;		  /* the newest was dropped by a fault */
} Slot;

typedef struct SlotPage SlotPage;

/* An item of a generator. */
typedef struct Chunk
{
	DataFormat format;
	size_t len;
	char *blob_id; /* NULL: data is here */
	uint8_t *data;
} Chunk;

struct Call
{
	uint64_t number; /* its id; see ids.h */
	Handle *handle;
	bool async;		/* results are kept, retries are ours */
	bool map;
	bool plane; /* made on the input plane: the client retries */
	bool cancelled;
	bool cleared;		   /* the client has all it wants, ... */
	uint64_t cleared_upto; /* up to this output, ... */
	char *clear_key;	   /* by the request with this idempotency key */
	bool past;			   /* forgotten, but for those who read about it */
	char *parent_input_id; /* "" */
	const char *client;	   /* what has made it, for people; NULL: not known */
	double created;		   /* Unix seconds */
	double touched;		   /* loop_now of the last request */

	Slot only; /* index 0 of a call that is no map */
	SlotPage **pages;
	int32_t n_pages;
	int32_t max_idx;  /* the largest index seen */
	int32_t n_inputs; /* distinct indexes seen */
	int32_t declared_inputs; /* by FunctionFinishInputs; -1: not yet */
	int32_t n_unfinished;	 /* attempts without output, lost ones too */
	int32_t n_by_status[N_RESULT_STATUS];
	int32_t n_last[N_RESULT_STATUS]; /* indexes by their last output */
	int32_t n_running;
	uint64_t n_ended; /* attempts, and the seconds that they have run */
	double seconds;
	double ended;	/* Unix time of the last one */
	Input *inputs; /* live, newest first */
	Details *details; /* details.c's; NULL: none */

	OutLog outputs;
	Buf held; /* output that a fault keeps back; see faults.h */
	int32_t held_idx;
	ResultStatus held_status;

	Waiter *waiters;
	LoopDeferred wake;
	LoopTimer linger;
	uint64_t delivered;	 /* number of the newest output given to anybody */
	double first_unread; /* loop_now when the first after that came */

	struct
	{
		struct LogLine *first; /* the oldest */
		struct LogLine *last;
		size_t bytes;
	} log; /* what its inputs have printed; logs.c's */

	Chunk *chunks; /* of a generator */
	uint64_t n_chunks;
	size_t chunk_bytes; /* in memory */

	Call *next; /* older one of the same function; of the past: newer one */
	Call *prev;
	Call *older; /* of all */
	Call *newer;
	Call *active_prev; /* of those with unfinished inputs, oldest first */
	Call *active_next;
};

/*
 * Somebody who waits for outputs or chunks of a call; embedded in its owner's
 * structure.  ready() answers and returns true, after which the Waiter is
 * forgotten; or returns false to wait on.
 */
struct Waiter
{
	Call *call;
	bool (*ready)(Waiter *waiter, bool timed_out);
	uint64_t cursor;
	bool patient; /* rather wait a moment than get few outputs */
	LoopTimer timer;
	Waiter *prev;
	Waiter *next;
};

typedef struct NewInput
{
	int32_t idx;
	uint32_t attempt;
	DataFormat format;
	const uint8_t *args; /* NULL: blob_id */
	size_t args_len;
	const char *blob_id;
	size_t blob_id_len;
	const char *method; /* NULL: none */
	size_t method_len;
} NewInput;

extern void calls_init(void);
/*
 * Why no new input of an asynchronous call can be taken now; NULL: one can.
 */
extern const char *calls_refusal(void);
/* An output of so many bytes is kept. */
extern void calls_note_output(const Call *call, size_t len);
extern Call *call_create(Handle *handle, bool map, bool async, bool plane,
						 const char *parent_input_id);
/* NULL: unknown, expired. */
extern Call *call_get(uint64_t number);
extern Call *call_get_by_id(const char *id);

/* No more inputs than these will come. */
extern void call_declare_inputs(Call *call, int32_t n);

/*
 * Whether it is past or not, and without a sign of life to it; NULL: it is
 * known no more.
 */
extern Call *call_look(uint64_t number);
/* Likewise, when it is not past. */
extern Call *call_peek(uint64_t number);
/* Is the call known that a record of the journal begins with? */
extern bool call_needed(struct Record *record);
extern const Call *calls_newest(void); /* then older */
extern const Call *calls_active(void); /* then active_next */
/* attempts.c tells when a call begins or ends to have unfinished inputs. */
extern void calls_set_active(Call *call, bool active);

/* Those that are not past. */
extern void calls_for_each(void (*visit)(Call *call, void *arg), void *arg);

/*
 * Could this input be taken by a call of this function?  NULL, or why not
 * (and the gRPC status).
 */
extern const char *input_error(const Handle *handle, const NewInput *input,
							   GrpcStatus *status);

/* --- attempts.c --- */

/* Take an input that input_error has found good, and start it. */
extern void call_put_input(Call *call, const NewInput *input);
/* For the functions above; the slot of an index, made when it is not there. */
extern Slot *call_make_slot(Call *call, int32_t idx);
/* NULL when the index was never near any that was used. */
extern Slot *call_slot(const Call *call, int32_t idx);
/*
 * Is this attempt of an input, which the client waits for, unknown here or
 * dropped?
 */
extern bool call_input_lost(const Call *call, int32_t idx, uint32_t attempt);
/* Give out an internal failure in place of an attempt that is lost. */
extern void call_report_lost(Call *call, int32_t idx, uint32_t attempt);
/* An attempt that has not ended, for people to see. */
typedef struct LiveInput
{
	const Execution *execution;
	double created; /* Unix seconds */
	double started; /* likewise, when it is running */
	bool running;
} LiveInput;

/* The next older one; input NULL: the newest.  NULL: no more. */
extern const Input *call_next_live(const Call *call, const Input *input,
								   LiveInput *live);
/* End all that is unfinished. */
extern void call_cancel(Call *call, bool terminate);
extern void call_clear(Call *call, const char *key);
/* The outputs up to this number will not be asked for again. */
extern void call_forget_outputs(Call *call, uint64_t number);

/*
 * The waiter must have call and ready set; seconds: how long at most.  False:
 * it has been answered already.
 */
extern bool call_wait(Waiter *waiter, double seconds);
/* It has gone away, unanswered. */
extern void call_stop_waiting(Waiter *waiter);
/* Something has come: look at the waiters at the end of this round. */
extern void call_wake(Call *call);

#endif /* MODAL_LOCAL_CALLS_H */
