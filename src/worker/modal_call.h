/*-------------------------------------------------------------------------
 *
 * modal_call.h
 *	  One call of a Modal function, with its inputs on their way.
 *
 * The same machine serves single calls, maps, asynchronous maps and
 * generators; what differs is how it starts, how inputs travel, and when it
 * is over.  ModalCall is owned by its DispatchCall (call->state).
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_WORKER_MODAL_CALL_H
#define MODAL_WORKER_MODAL_CALL_H

#include "proto/modal.pb-c.h"
#include "modal/blob.h"
#include "modal/modal.h"

#define MAP_CHUNK 49			/* inputs in one request of a map */
#define SPAWN_CHUNK 512			/* the same, asynchronous */
#define SPAWN_CHUNK_BYTES (4 * 1024 * 1024)
#define MAX_PUTS 20				/* requests with inputs, at a time */
#define MAX_UPLOADS 20
#define MAX_DOWNLOADS 20

typedef struct ModalCall ModalCall;
typedef struct Generator Generator;

/* An input that is uploaded before it is sent. */
typedef struct Upload
{
	struct Upload *prev, *next;
	ModalCall *mc;
	CallInput *input;
	BlobUpload *blob;
} Upload;

/* A result that is fetched before it is delivered. */
typedef struct Download Download;

/* A request that carries inputs, new or again. */
typedef struct PutRequest
{
	struct PutRequest *prev, *next;
	ModalCall *mc;
	GrpcCall *grpc;
	bool retry;
	/* items in the order of the request */
	uint32_t n;
	int64_t idx[MAP_CHUNK];
	/* asynchronous */
	int64_t *ordinals;
	bool acknowledged;
} PutRequest;

struct ModalCall
{
	DispatchCall *call;
	ModalTarget *mt;
	FunctionHandle *handle;
	Lookup *lookup;
	bool unary;			/* one input: REMOTE, GENERATOR */
	bool async;			/* SPAWN_MAP */
	bool follow;		/* FOLLOW: the call is not ours */
	GrpcService *plane; /* input plane, or NULL: control plane */
	bool looked_up_again; /* after NOT_FOUND */

	GrpcCall *start;
	bool started;
	Buf call_id;		/* function call id; "" on the input plane */
	Buf token;			/* function_call_jwt, or map_token */
	uint32_t window;

	CallState items;
	int64_t next_idx;
	CallInput *ready, **ready_tail; /* to be sent */
	uint32_t nready;
	Upload *uploads;
	uint32_t nuploads;
	PutRequest *puts;	/* oldest first */
	uint32_t nputs;
	Timer retry_timer;

	GrpcCall *poll;
	Buf cursor;			/* last_entry_id */
	bool poll_lists;	/* the poll under way names the waiting inputs */
	bool poll_was_empty;
	double poll_began;
	Timer poll_pause;	/* before the next one */
	double last_listing;
	OutputSize inline_size; /* of results within replies */
	GrpcCall *check;	/* MapCheckInputs */
	int64_t *checked;	/* the items it asks about, in order */
	uint32_t nchecked;
	Timer check_timer;

	Download *downloads;
	uint32_t ndownloads;
	OutputSize blob_size;
	bool stop;			/* a failed input ends the call */

	/* asynchronous (modal_spawn.c) */
	GrpcCall *finish_inputs;
	bool inputs_finished;
	bool none_unfinished; /* of the inputs there were at the last poll */
	int64_t total;		/* of the remote call, once known */
	int64_t highest;	/* ordinal */
	uint8_t *seen;		/* a bit per ordinal with an output */
	int64_t seen_bits, nseen;
	int64_t first_sent; /* ordinal; of those sent from here, so many have */
	uint64_t nanswered; /* outputs */
	int empty_at_end;	/* polls without anything, though all is sent */
	Timer empty_timer;
	Timer flush_timer;
	bool flush;			/* it has fired */

	bool follow_wait;	/* for output next_idx, up to highest */

	Generator *generator;
	Buf attempt_token;	/* of a generator on an input plane */
};

/* --- modal_call.c -------------------------------------------------------- */

extern void modal_call_pump(ModalCall *mc);
/* It has begun at the service, and its id is known: tell the session. */
extern void modal_call_opened(ModalCall *mc);
extern void modal_call_fail(ModalCall *mc, const ModalError *error);
extern void modal_call_fail_memory(ModalCall *mc);
extern void modal_call_fail_reply(ModalCall *mc, const char *rpc);
extern void modal_call_fail_grpc(ModalCall *mc, const GrpcResult *result,
								 const char *rpc);
/* End the call if nothing is left to do; then mc is gone and true returned. */
extern bool modal_call_check_done(ModalCall *mc);
/* All is well; mc is gone. */
extern void modal_call_end(ModalCall *mc);
/* What the service says about the call as a whole; true: mc is gone. */
extern bool modal_call_apply_started(ModalCall *mc, const GrpcResult *result);

/* --- modal_inputs.c ------------------------------------------------------ */

extern void modal_inputs_init(ModalCall *mc);
extern void modal_inputs_free(ModalCall *mc);
/* Take what has arrived as far as the window allows; false: mc is gone. */
extern bool modal_inputs_take(ModalCall *mc);
/* Send what is ready, and what is to be sent again; false: no memory. */
extern bool modal_inputs_send(ModalCall *mc);
extern PutRequest *put_request_add(ModalCall *mc);
extern void put_request_free(PutRequest *put);
/*
 * The next pending input, in the format that the function takes; NULL: the
 * call has failed.
 */
extern CallInput *modal_call_take(ModalCall *mc);
extern CallInput *modal_call_pop_ready(ModalCall *mc);
/* Send what wire_put or wire_retry began; false: no memory. */
extern bool modal_call_start_put(PutRequest *put, GrpcSpec *spec);
/*
 * Start uploading.  Then the input goes to the end of those that are ready;
 * asynchronous calls have it there already.
 */
extern bool modal_call_upload(ModalCall *mc, CallInput *input);
extern size_t modal_call_inline_limit(const ModalCall *mc);

/* --- modal_poll.c -------------------------------------------------------- */

extern void modal_poll_init(ModalCall *mc);
extern void modal_poll_free(ModalCall *mc);
/* Ask for outputs unless that is under way already, or not wanted. */
extern void modal_call_ensure_poll(ModalCall *mc);
/* Input plane: ask now and then whether inputs were lost. */
extern void modal_check_later(ModalCall *mc);

/* --- modal_wire.c -------------------------------------------------------- */

/* One result, as it stands in a reply. */
typedef struct WireOutput
{
	int64_t idx;
	uint32_t retry_count;
	int status;
	int data_format;
	Slice data;
	Slice blob_id;
	Slice exception;
	Slice traceback;
	double started_at;
	double finished_at;
} WireOutput;

typedef struct WireStarted
{
	Slice call_id, token;
	uint32_t window;
	bool client_retries;
	bool has_policy;
	uint32_t retries, initial_delay_ms;
	float backoff_coefficient;
	bool has_item;
	Slice item_token;
} WireStarted;

extern GrpcSpec wire_start(ModalCall *mc, const CallInput *input,
						   void (*on_done)(void *, const GrpcResult *));
extern bool wire_read_started(const ModalCall *mc, const GrpcResult *result,
							  WireStarted *started);
/* Append one input to a put request of either plane. */
extern void wire_put_input(ModalCall *mc, Buf *buf, int64_t idx,
						   const CallInput *input);
extern GrpcSpec wire_put(ModalCall *mc, PutRequest *put);
extern void wire_retry_input(ModalCall *mc, Buf *buf, const CallItem *item);
extern GrpcSpec wire_retry(ModalCall *mc, PutRequest *put);
/* Tell the items their tokens; false: not readable, or no memory. */
extern bool wire_read_put(ModalCall *mc, const PutRequest *put,
						  const GrpcResult *result);
extern GrpcSpec wire_poll(ModalCall *mc, double timeout, bool list,
						  uint32_t max_values,
						  void (*on_done)(void *, const GrpcResult *));
extern GrpcSpec wire_ack(ModalCall *mc);
extern GrpcSpec wire_check(ModalCall *mc,
						   void (*on_done)(void *, const GrpcResult *));

/* MapCheckInputs: items reported lost are to be retried. */
extern void wire_apply_lost(ModalCall *mc, const GrpcResult *result);

typedef struct WireOutputs
{
	const uint8_t *p;
	size_t n;
	uint32_t field;		/* that holds the items */
	Slice cursor;
	int64_t unfinished; /* -1: not told */
} WireOutputs;

/* First the reply as a whole, then its outputs one by one. */
extern bool wire_read_outputs(const ModalCall *mc, const GrpcResult *result,
							  WireOutputs *outputs);
extern bool wire_next_output(WireOutputs *outputs, WireOutput *output,
							 bool *bad);
/* A reply to FunctionGetOutputs, whoever asked. */
extern bool wire_read_get_outputs(const GrpcResult *result,
								  WireOutputs *outputs);

/* --- modal_output.c ------------------------------------------------------ */

/* Deliver a result, after fetching its blob if it has one. */
extern bool modal_deliver(ModalCall *mc, int64_t ordinal, uint32_t attempts,
						  const WireOutput *output);
/*
 * Fetch blobs that wait, as far as the reader has room; false: out of memory,
 * and nothing will try again.
 */
extern bool modal_downloads_start(ModalCall *mc);
/* Is the output there, as a blob that waits or is being fetched? */
extern bool modal_is_download(const ModalCall *mc, int64_t ordinal);
extern void modal_downloads_cancel(ModalCall *mc);
/* The same for whoever has no ModalCall: inline results only. */
extern void modal_output_fill(const DispatchCall *call, bool allow_pickle,
							  const WireOutput *wire, Slice data, Buf *scratch,
							  FrameOutput *out);

/* --- modal_spawn.c ------------------------------------------------------- */

extern void spawn_begin(ModalCall *mc);
/* False: the call has ended. */
extern bool spawn_pump(ModalCall *mc);
extern bool spawn_wants_poll(const ModalCall *mc);
/* A batch was acknowledged. */
extern void spawn_put_done(PutRequest *put);
/* False: seen already, or before the caller's first. */
extern bool spawn_wants_output(ModalCall *mc, int64_t idx);
extern bool spawn_is_done(const ModalCall *mc);
/* Has the service all inputs, and is at work at none? */
extern bool spawn_all_finished(const ModalCall *mc);
/* A poll brought nothing: have results expired?  True: mc is gone. */
extern bool spawn_poll_empty(ModalCall *mc);
extern void spawn_free(ModalCall *mc);
/*
 * An idempotency key made of the caller's seed and of all ordinals that the
 * request is about.  False: no memory.
 */
extern bool spawn_key(const ModalCall *mc, const char *what,
					  const int64_t *ordinals, uint32_t n, uint8_t key[16]);
/* Go on with the call whose id the caller knows. */
extern void spawn_resume(ModalCall *mc);

/* --- modal_follow.c ------------------------------------------------------ */

/*
 * Ask for the call whose id the caller knows, and read the reply.  NULL: mc
 * has failed, with MODAL_SQLSTATE_GONE when there is no such call.
 */
extern bool modal_call_find(ModalCall *mc,
							void (*on_reply)(void *, const GrpcResult *));
extern Modal__Client__FunctionCallFromIdResponse *
modal_call_found(ModalCall *mc, const GrpcResult *result);

extern void follow_begin(ModalCall *mc);
extern void follow_pump(ModalCall *mc);

/* --- modal_generator.c --------------------------------------------------- */

extern bool generator_create(ModalCall *mc);
/* The call has begun: open the stream. */
extern bool generator_begin(ModalCall *mc);
/* The result that ends the stream; true: mc is gone. */
extern bool generator_result(ModalCall *mc, const WireOutput *output);
extern void generator_consumed(ModalCall *mc);
extern void generator_free(ModalCall *mc);

#endif /* MODAL_WORKER_MODAL_CALL_H */
