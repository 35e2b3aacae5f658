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
#include "jwt.h"
#include "net/loop.h"
#include "calls/outlog.h"
#include "calls/registry.h"
#include "api/rpc.h"

#define N_RESULT_STATUS 9
#define MAX_INPUTS_OUTSTANDING 1000	   /* of a synchronous call */
#define MAX_INPUTS_PENDING 1000000	   /* of an asynchronous call */
#define MAX_INPUT_INDEX ((1 << 24) - 1)
#define MAX_UNREAD_BYTES (256 * 1024 * 1024) /* outputs of a call */

typedef struct Call Call;
typedef struct Input Input;
typedef struct Waiter Waiter;

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
	uint64_t number; /* its id; see jwt.h */
	Handle *handle;
	bool async;		/* results are kept, retries are ours */
	bool map;
	bool plane; /* made on the input plane: the client retries */
	bool cancelled;
	bool cleared;		   /* the client has all it wants, ... */
	uint64_t cleared_upto; /* up to this output, ... */
	char *clear_key;	   /* by the request with this idempotency key */
	char *parent_input_id; /* "" */
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
	Input *inputs; /* live, newest first */

	OutLog outputs;
	Buf held; /* output that a fault keeps back; see faults.h */
	int32_t held_idx;
	ResultStatus held_status;

	Waiter *waiters;
	LoopDeferred wake;
	LoopTimer linger;
	uint64_t delivered;	 /* number of the newest output given to anybody */
	double first_unread; /* loop_now when the first after that came */

	Chunk *chunks; /* of a generator */
	uint64_t n_chunks;

	Call *next; /* older one of the same function */
	Call *prev;
};

/*
 * Somebody who waits for outputs or chunks of a call.  Embedded in the arena
 * of its Rpc.  ready() answers the Rpc and returns true, after which the
 * Waiter is forgotten; or returns false to wait on.
 */
struct Waiter
{
	Rpc *rpc;
	Call *call;
	bool (*ready)(Waiter *waiter, bool timed_out);
	uint64_t cursor;
	bool patient; /* rather wait a moment than get few outputs */
	LoopTimer timer;
	Waiter *prev;
	Waiter *next;

	/* For ready()'s use; see polls.h. */
	const struct PollReply *reply;
	int32_t max_values;
	int32_t start_idx;
	int32_t end_idx;
	bool by_index;
	bool clear;
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
extern Call *call_create(Handle *handle, bool map, bool async, bool plane,
						 const char *parent_input_id);
/* The asynchronous call of this number, as the journal has it. */
extern Call *call_restore(uint64_t number, Handle *handle, bool map,
						  double created, const char *parent_input_id);
/* NULL: unknown, expired. */
extern Call *call_get(uint64_t number);
extern Call *call_get_by_id(const char *id);

extern void calls_for_each(void (*visit)(Call *call, void *arg), void *arg);

/* --- attempts.c --- */

/*
 * Could this input be taken by a call of this function?  NULL, or why not
 * (and the gRPC status).
 */
extern const char *input_error(const Handle *handle, const NewInput *input,
							   GrpcStatus *status);
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
/* End all that is unfinished. */
extern void call_cancel(Call *call, bool terminate);
extern void call_clear(Call *call, const char *key);
/* The outputs up to this number will not be asked for again. */
extern void call_forget_outputs(Call *call, uint64_t number);

/* The waiter must have rpc, call and ready set; seconds: how long at most. */
extern void call_wait(Waiter *waiter, double seconds);
/* Something has come: look at the waiters at the end of this round. */
extern void call_wake(Call *call);

#endif /* MODAL_LOCAL_CALLS_H */
