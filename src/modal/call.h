/*-------------------------------------------------------------------------
 *
 * call.h
 *	  One call of a Modal function, with its inputs on their way.
 *
 * A ModalCall is what all calls have in common; each kind of call has a struct
 * of its own that begins with it, and a ModalKind that says what is different:
 *
 *	 remote_kind, map_kind	SyncCall, MapCall: their inputs are kept until
 *							their results are there (sync.c, map.c)
 *	 generator_kind			GeneratorCall: one input, a stream of items
 *	 spawn_kind				SpawnCall: goes on at the service when its caller
 *							goes, and is resumed
 *	 follow_kind			FollowCall: reads results of a call that is not ours
 *
 * It is owned by its DispatchCall (call->state).  Functions that may end the
 * call return false when they have done so: then it is gone, and whoever called
 * them returns at once.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_MODAL_CALL_H
#define MODAL_MODAL_CALL_H

#include "core/list.h"
#include "core/service_limits.h"
#include "modal/blob.h"
#include "modal/modal.h"
#include "proto/modal.pb-c.h"

#define MAX_PUTS 20				/* requests with inputs, at a time */
/* Of these, about half ask the service for a URL, the others are at the store. */
#define MAX_UPLOADS 40
#define MAX_DOWNLOADS 40
#define MAX_BLOB_ID 1024		/* bytes: it is kept until its turn comes */

/* FunctionCallInvocationType, as far as it is used */
#define INVOCATION_SYNC_LEGACY 1
#define INVOCATION_ASYNC 3
#define INVOCATION_SYNC 4

typedef struct ModalCall ModalCall;
typedef struct WireOutput WireOutput;
typedef struct WireStarted WireStarted;

/* A request that carries inputs, new or again. */
typedef struct PutRequest
{
	ListNode node;		/* ModalCall.puts */
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

/* How a poll is to be made. */
typedef struct PollWish
{
	double timeout;
	bool list;			/* name the waiting inputs */
} PollWish;

/* Why a call is given up, or over. */
typedef enum CallEnd
{
	END_DONE,			/* nothing is left to do */
	END_FAILED,
	END_CANCELLED
} CallEnd;

/* NULL: there is nothing of the sort to do. */
typedef struct ModalKind
{
	size_t size;		/* of its struct */
	bool unary;			/* the one input starts the call */
	bool by_id;			/* needs no function: begins at once */
	bool background;	/* the limits of calls that nobody waits for */
	int invocation;		/* for FunctionMap */
	void (*init)(ModalCall *mc);
	void (*free)(ModalCall *mc);
	/* The function is known: begin. */
	bool (*begin)(ModalCall *mc);
	/* The function is looked up again: what was to start the call is ready again. */
	void (*restart)(ModalCall *mc);
	/* The service has begun; false: no memory. */
	bool (*started)(ModalCall *mc, const WireStarted *started);
	/* Inputs have arrived, or something has ended: go on. */
	bool (*pump)(ModalCall *mc);
	/* A request with inputs was answered. */
	bool (*put_done)(PutRequest *put, const GrpcResult *result);
	bool (*wants_poll)(ModalCall *mc, PollWish *wish);
	bool (*output)(ModalCall *mc, const WireOutput *output, double now);
	/* A reply had n outputs; so many are unfinished, or -1. */
	bool (*polled)(ModalCall *mc, uint32_t n, int64_t unfinished);
	/* Is nothing of its own left to be done? */
	bool (*is_done)(const ModalCall *mc);
	/* The reader has taken something. */
	void (*consumed)(ModalCall *mc);
	/* Tell the service what it should know. */
	void (*leave)(ModalCall *mc, CallEnd end, bool terminate);
} ModalKind;

extern const ModalKind remote_kind, map_kind, generator_kind, spawn_kind,
	follow_kind;

struct ModalCall
{
	DispatchCall *call;
	ModalTarget *mt;
	const ModalKind *kind;
	FunctionHandle *handle;
	Lookup *lookup;
	GrpcService *plane; /* input plane, or NULL: control plane */
	bool looked_up_again; /* after NOT_FOUND */

	GrpcCall *start;
	bool started;
	bool stop;			/* a failed input ends the call */
	Buf call_id;		/* function call id; "" on the input plane */
	Buf token;			/* function_call_jwt, or map_token */
	uint32_t window;

	/* inputs.c */
	CallInput *ready, **ready_tail; /* to be sent */
	uint32_t nready;
	List uploads;
	uint32_t nuploads;
	List puts;			/* oldest first */
	uint32_t nputs;

	/* poll.c */
	GrpcCall *poll;
	Buf cursor;			/* last_entry_id */
	double poll_began;
	bool poll_brought;	/* something new, so far */
	Timer poll_pause;	/* before the next one */
	OutputSize inline_size; /* of results within replies */

	/* output.c */
	Map downloads;		/* by ordinal */
	Heap waiting_downloads; /* by ordinal where the reader wants them so */
	Heap active_downloads; /* likewise; what they may take */
	uint64_t active_bytes;
	uint64_t last_download; /* number of it */
	OutputSize blob_size;
};

/* A call whose inputs are kept until their results are there. */
typedef struct SyncCall
{
	ModalCall mc;
	CallState items;
	int64_t next_idx;
	Timer retry_timer;
} SyncCall;

#define SYNC_CALL(mc) ((SyncCall *) (mc))

/* --- call.c -------------------------------------------------------- */

/* Go on, whatever it is that has happened. */
extern void modal_call_pump(ModalCall *mc);
/* It has begun at the service, and its id is known: tell the session. */
extern void modal_call_opened(ModalCall *mc);
extern void modal_call_fail(ModalCall *mc, const ModalError *error);
extern void modal_call_fail_memory(ModalCall *mc);
extern void modal_call_fail_reply(ModalCall *mc, const char *rpc);
extern void modal_call_fail_grpc(ModalCall *mc, const GrpcResult *result,
								 const char *rpc);
/* All is well; mc is gone. */
extern void modal_call_end(ModalCall *mc);
/*
 * Send FunctionMap or AttemptStart, with the input of a unary call; key: its
 * idempotency key, or NULL.
 */
extern bool modal_call_start(ModalCall *mc, const CallInput *input,
							 const uint8_t *key);
/*
 * The service does not know the function: it may have been deployed anew since
 * it was looked up.  False: that has been tried.
 */
extern bool modal_call_look_up_again(ModalCall *mc);
/* What the service says about the call as a whole. */
extern bool modal_call_apply_started(ModalCall *mc, const GrpcResult *result);

/* --- inputs.c ------------------------------------------------------ */

extern void modal_inputs_init(ModalCall *mc);
extern void modal_inputs_free(ModalCall *mc);
extern PutRequest *put_request_add(ModalCall *mc);
extern void put_request_free(PutRequest *put);
/*
 * The next pending input, in the format that the function takes; NULL: the
 * call has failed.
 */
extern CallInput *modal_call_take(ModalCall *mc);
extern void modal_call_push_ready(ModalCall *mc, CallInput *input);
extern CallInput *modal_call_pop_ready(ModalCall *mc);
/* It is the next one again. */
extern void modal_call_unpop_ready(ModalCall *mc, CallInput *input);
/* Send what wire_put or wire_retry began; false: no memory. */
extern bool modal_call_start_put(PutRequest *put, GrpcSpec *spec);
/*
 * Upload the input, and put it to those that are ready then, unless it is among
 * them already.  False: no memory.
 */
extern bool modal_call_upload(ModalCall *mc, CallInput *input, bool is_ready);
extern size_t modal_call_inline_limit(const ModalCall *mc);

/* --- poll.c -------------------------------------------------------- */

extern void modal_poll_init(ModalCall *mc);
extern void modal_poll_free(ModalCall *mc);
/* Ask for outputs unless that is under way already, or not wanted. */
extern bool modal_call_ensure_poll(ModalCall *mc);
/* After a poll that brought nothing: who does not wait must not make us busy. */
extern void modal_poll_pause_if_hasty(ModalCall *mc);

/* --- sync.c -------------------------------------------------------- */

extern void sync_init(ModalCall *mc);
extern void sync_free(ModalCall *mc);
extern bool sync_pump(ModalCall *mc);
extern bool sync_put_done(PutRequest *put, const GrpcResult *result);
extern bool sync_output(ModalCall *mc, const WireOutput *output, double now);
typedef struct SyncResult
{
	int64_t ordinal;
	uint32_t attempts;
	bool failed;
} SyncResult;

/*
 * Is the output the last word on the item with this index?  Then that one is
 * gone.  If not, it is a duplicate, or the item is tried again.
 */
extern bool sync_settle(ModalCall *mc, int64_t idx, const WireOutput *output,
						double now, SyncResult *result);
extern void sync_apply_policy(ModalCall *mc, const WireStarted *started);
extern bool sync_is_done(const ModalCall *mc);
/* A request with new inputs, none of which was taken. */
extern void sync_take_back(PutRequest *put);
/* Of unary calls. */
extern bool unary_begin(ModalCall *mc);
extern void unary_restart(ModalCall *mc);
extern bool unary_started(ModalCall *mc, const WireStarted *started);
extern bool unary_wants_poll(ModalCall *mc, PollWish *wish);
extern void unary_leave(ModalCall *mc, CallEnd end, bool terminate);
/* The only item; NULL: there is none (any more). */
extern CallItem *unary_item(const ModalCall *mc);

/* --- wire.c -------------------------------------------------------- */

/* One result, as it stands in a reply. */
struct WireOutput
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
};

struct WireStarted
{
	Slice call_id, token;
	uint32_t window;
	bool client_retries;
	bool has_policy;
	uint32_t retries, initial_delay_ms;
	float backoff_coefficient;
	bool has_item;
	Slice item_token;
};

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
/*
 * MapCheckInputs about all items that wait, which are remembered in *checked
 * (malloc'd).  Those reported lost are to be retried.
 */
extern GrpcSpec wire_check(ModalCall *mc, int64_t **checked,
						   uint32_t *nchecked,
						   void (*on_done)(void *, const GrpcResult *));
extern void wire_apply_lost(ModalCall *mc, const int64_t *checked,
							uint32_t nchecked, const GrpcResult *result);

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

/* --- output.c ------------------------------------------------------ */

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
extern void modal_downloads_init(ModalCall *mc);
extern void modal_downloads_free(ModalCall *mc);
/* The same for whoever has no ModalCall: inline results only. */
extern void modal_output_fill(const DispatchCall *call, bool allow_pickle,
							  const WireOutput *wire, Slice data, Buf *scratch,
							  FrameOutput *out);

/* --- follow.c ------------------------------------------------------ */

/*
 * Ask for the call whose id the caller knows, and read the reply.  NULL: mc
 * has failed, with MODAL_SQLSTATE_GONE when there is no such call.
 */
extern bool modal_call_find(ModalCall *mc,
							void (*on_reply)(void *, const GrpcResult *));
extern Modal__Client__FunctionCallFromIdResponse *
modal_call_found(ModalCall *mc, const GrpcResult *result);

#endif /* MODAL_MODAL_CALL_H */
