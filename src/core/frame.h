/*-------------------------------------------------------------------------
 *
 * frame.h
 *	  The messages between a process that makes calls and the dispatcher.
 *
 * A channel (link/channel.h) is two shared-memory queues; every queue
 * message is one frame: a FrameHeader, then a body.  Integers are in host
 * order, bodies are unaligned: read and write them with the functions here,
 * which check every length.  No frame is larger than FRAME_MAX; a longer
 * input or output travels in parts, one after another, with no other frame
 * of the same call between them.
 *
 * Frames of one call keep their order in each direction.
 *
 *	session -> dispatcher			dispatcher -> session
 *	  OPEN		 begin a call		  OPENED	looked up, started remotely
 *	  INPUTS	 some inputs		  ACCEPTED	inputs that the service now holds
 *	  INPUT_PART part of a big one	  OUTPUTS	finished inputs, any order
 *	  FINISH	 no more inputs		  OUTPUT_PART	part of a big one
 *	  CONSUMED	 outputs read		  NOTICE	a warning of the service
 *	  CANCEL	 abandon the call	  CREDIT	room for inputs has changed
 *									  CLOSED	the end, good or bad; last frame
 *
 * Credit: the dispatcher never has more than CallOpen.window inputs in flight
 * (when 0, DEFAULT_WINDOW), and the session never puts many more than that
 * before some have finished, nor more bytes of them than its own memory for the
 * call (output_budget) and the last CREDIT allow, if they are more than one;
 * the dispatcher stops fetching outputs of a call
 * while CallOpen.output_budget bytes of them have been sent and not been
 * reported by CONSUMED (core/credit.h is the whole rule).  So neither side ever
 * holds back the queue itself, and calls do not block each other.
 *
 * Text and bytes are Slices: an absent one and an empty one are the same, and
 * are read as { NULL, 0 }.  An OPEN that would be larger than FRAME_MAX makes
 * its Buf fail; the texts of NOTICE and CLOSED are cut to fit.
 *
 * After CANCEL the session forgets the call and drops what still arrives;
 * call numbers are never used again on the same channel.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_CORE_FRAME_H
#define MODAL_CORE_FRAME_H

#include "core/buf.h"
#include "core/reference.h"

#define FRAME_MAX (64 * 1024)
#define FRAME_MAX_PAYLOAD ((uint64_t) 1000 * 1024 * 1024) /* one input or output */
#define DEFAULT_WINDOW 1000

typedef enum FrameType
{
	FRAME_OPEN = 1,
	FRAME_INPUTS,
	FRAME_INPUT_PART,
	FRAME_FINISH,
	FRAME_CONSUMED,
	FRAME_CANCEL,

	FRAME_OPENED = 65,
	FRAME_ACCEPTED,
	FRAME_OUTPUTS,
	FRAME_OUTPUT_PART,
	FRAME_NOTICE,
	FRAME_CREDIT,
	FRAME_CLOSED
} FrameType;

typedef struct FrameHeader
{
	uint16_t type;
	uint16_t flags;		/* 0, or FRAME_FLAG_* */
	uint32_t call;		/* chosen by the session, from 1 */
} FrameHeader;

#define FRAME_FLAG_TERMINATE 1 /* CANCEL: stop the containers too */
#define FRAME_FLAG_DETACH 2	   /* CANCEL: only stop following the call; the
								* remote side goes on (runner shutting down) */

typedef enum CallKind
{
	CALL_REMOTE = 1, /* one input, one output */
	CALL_MAP,		 /* many inputs, synchronous: lives as long as its caller */
	CALL_SPAWN_MAP,	 /* many inputs, asynchronous: survives its caller, can be
					  * resumed by remote_call_id (HTTP: inputs are sent anew) */
	CALL_GENERATOR,	 /* one input, many outputs: ordinals 0, 1, 2, … */
	CALL_FOLLOW,	 /* no inputs: the outputs of remote_call_id, from
					  * first_ordinal up to last_ordinal */
	CALL_CONTROL	 /* no inputs: one question (op, request as JSON), whose
					  * answer is one output, a JSON object */
} CallKind;

typedef enum ControlOp
{
	CONTROL_NONE,
	CONTROL_PING,		 /* {latency_ms, authenticated, server, …} */
	CONTROL_LOOKUP,		 /* what FunctionGet says */
	CONTROL_STATS,		 /* FunctionGetCurrentStats */
	CONTROL_AUTOSCALER,	 /* FunctionUpdateSchedulingParams */
	CONTROL_CALL_INFO,	 /* FunctionCallFromId + FunctionCallGetInfo */
	CONTROL_CALL_GRAPH,	 /* FunctionGetCallGraph */
	CONTROL_CALL_CANCEL, /* FunctionCallCancel */
	CONTROL_CALL_LOGS	 /* FunctionCallFromId + AppFetchLogs */
} ControlOp;

typedef enum PayloadFormat
{
	PAYLOAD_CBOR = 1, /* input: [args, kwargs]; output: the value */
	PAYLOAD_JSON = 2, /* input: args as array or object; output: the value */
	PAYLOAD_REQUEST = 3 /* input of an HTTP function: the length of its path (4
						 * bytes), the path with its query, the body */
} PayloadFormat;

/* CallOpen.flags */
#define CALL_RETURN_EXCEPTIONS 1 /* failures of inputs do not end the call */
#define CALL_DISCARD 2			 /* outputs are wanted without their data */
#define CALL_ORDERED 4			 /* the reader wants them by ordinal: when not
								  * all can be fetched, fetch the lowest first */
#define CALL_AVAILABLE 8		 /* FOLLOW: only what is there now, up to the
								  * first output that is not */

typedef struct CallOpen
{
	uint8_t kind;			 /* CallKind */
	uint8_t op;				 /* ControlOp */
	uint8_t input_format;	 /* PayloadFormat */
	uint32_t flags;
	uint32_t window;		 /* most inputs in flight; 0: DEFAULT_WINDOW */
	uint64_t output_budget;	 /* bytes; 0: the dispatcher's default */
	uint64_t max_output;	 /* bytes; larger ones are not fetched; 0: any */
	uint32_t deadline_ms;	 /* for the whole call; 0: none */
	int64_t first_ordinal;	 /* FOLLOW, SPAWN_MAP */
	int64_t last_ordinal;	 /* FOLLOW; -1: to the end */
	int64_t total_inputs;	 /* SPAWN_MAP when known, else -1 */
	uint8_t idempotency[16]; /* seed of all idempotency keys of the call; the
							  * same for a resumed call */
	Slice endpoint;			 /* options of server and mapping; see
							  * endpoint_put in endpoint/endpoint.h */
	Slice reference;		 /* function reference without "server:" */
	Slice label;			 /* what to show in views: "server:reference" */
	Slice remote_call_id;	 /* SPAWN_MAP: resume; FOLLOW, CONTROL_CALL_* */
	Slice request;			 /* JSON: CONTROL arguments; HTTP: kwargs */
} CallOpen;

typedef struct CallOpened
{
	Slice function_id;
	Slice remote_call_id;	 /* empty for HTTP; where inputs come first, it is
							  * told in another OPENED */
	uint32_t version;		 /* deployed app version, 0 when not known */
	uint32_t window;		 /* what the service allows */
	uint8_t accepts_cbor;	 /* else only pickle: see option allow_pickle */
	uint8_t is_generator;
} CallOpened;

typedef struct FrameOutput
{
	int64_t ordinal;
	uint8_t ok;
	uint8_t format;			 /* PayloadFormat of data */
	uint16_t attempts;		 /* 1 when it went well at once */
	double started_at;		 /* Unix seconds; 0 when not known */
	double finished_at;
	double usage;			 /* what the service counts; of a request with many
							  * inputs, with one of its outputs */
	Slice data;				 /* ok only */
	/* not ok: */
	uint8_t retryable;		 /* may it go well another time? */
	char sqlstate[6];
	Slice type;				 /* remote exception class, or empty */
	Slice message;
	Slice traceback;
} FrameOutput;

typedef struct CallClosed
{
	uint8_t ok;
	uint8_t retryable;
	char sqlstate[6];
	Slice message, detail, hint; /* PostgreSQL's message style */
	uint64_t inputs, failed, retries, bytes_out, bytes_in, requests;
} CallClosed;

/* --- writing: append one whole frame to buf ------------------------------ */

extern void frame_put_header(Buf *buf, FrameType type, uint16_t flags,
							 uint32_t call);
extern void frame_put_open(Buf *buf, uint32_t call, const CallOpen *open);
extern void frame_put_opened(Buf *buf, uint32_t call, const CallOpened *opened);
/* ACCEPTED: inputs [first, first + count) */
extern void frame_put_accepted(Buf *buf, uint32_t call, int64_t first,
							   uint32_t count);
/* See credit_consumed. */
extern void frame_put_consumed(Buf *buf, uint32_t call, uint64_t bytes,
							   int64_t awaited, uint64_t received);
/* What a notice is about; flags of its frame. */
typedef enum NoticeKind
{
	NOTICE_WARNING,		/* the service wants the user to know something */
	NOTICE_THROTTLED,	/* the service asks to wait */
	NOTICE_UNREACHABLE	/* it is waited for */
} NoticeKind;
extern void frame_put_notice(Buf *buf, uint32_t call, NoticeKind kind,
							 Slice message);
/* Most bytes of inputs that may be on their way. */
extern void frame_put_credit(Buf *buf, uint32_t call, uint64_t bytes);
extern void frame_put_closed(Buf *buf, uint32_t call, const CallClosed *closed);
/* FINISH, CANCEL: frame_put_header alone. */

/*
 * INPUTS and OUTPUTS grow record by record: write the header, append records
 * while they fit (frame_*_size says what one takes), send.
 */
extern size_t frame_input_size(size_t len);
extern void frame_put_input(Buf *buf, int64_t ordinal, const void *p, size_t n);
extern size_t frame_output_size(const FrameOutput *out);
/* How long the remote side took, in seconds; negative: not known. */
extern double frame_output_seconds(const FrameOutput *out);
extern void frame_put_output(Buf *buf, const FrameOutput *out);
/* The same without the bytes of out->data, which come last. */
extern void frame_put_output_head(Buf *buf, const FrameOutput *out);
/*
 * INPUT_PART, OUTPUT_PART: a piece of one record as frame_put_input or
 * frame_put_output would have written it.  _head leaves the n bytes of the
 * piece, which come last, to the caller.
 */
#define FRAME_PART_SIZE (FRAME_MAX - 64) /* a piece that fits into a frame */
extern void frame_put_part(Buf *buf, FrameType type, uint32_t call,
						   uint64_t total, uint64_t offset, const void *p,
						   size_t n);
extern void frame_put_part_head(Buf *buf, FrameType type, uint32_t call,
								uint64_t total, uint64_t offset, size_t n);
/*
 * The piece of an input that begins at *offset of its record, straight from
 * the input's bytes; moves *offset on.  False: that was the last one.
 */
extern bool frame_put_input_part(Buf *buf, uint32_t call, int64_t ordinal,
								 const void *p, size_t n, uint64_t *offset);

/* --- reading -------------------------------------------------------------- */

typedef struct FrameReader
{
	FrameHeader header;
	const uint8_t *p;
	const uint8_t *end;
} FrameReader;

/* All return false when the bytes are not such a frame; slices point into it. */
extern bool frame_read(FrameReader *r, const void *p, size_t n);
extern bool frame_get_open(FrameReader *r, CallOpen *open);
extern bool frame_get_opened(FrameReader *r, CallOpened *opened);
extern bool frame_get_accepted(FrameReader *r, int64_t *first, uint32_t *count);
extern bool frame_get_consumed(FrameReader *r, uint64_t *bytes,
							   int64_t *awaited, uint64_t *received);
extern bool frame_get_notice(FrameReader *r, Slice *message);
extern bool frame_get_credit(FrameReader *r, uint64_t *bytes);
extern bool frame_get_closed(FrameReader *r, CallClosed *closed);
/* Next record; false with *bad unset at the end of the frame. */
extern bool frame_next_input(FrameReader *r, int64_t *ordinal, Slice *data,
							 bool *bad);
extern bool frame_next_output(FrameReader *r, FrameOutput *out, bool *bad);
extern bool frame_get_part(FrameReader *r, uint64_t *total, uint64_t *offset,
						   Slice *data);
/* Read records, put together from parts, with frame_next_input or _output. */
extern void frame_read_records(FrameReader *r, const void *p, size_t n);

/* --- endpoint options: a list of name/value strings ----------------------- */

extern void frame_put_option(Buf *buf, const char *name, const char *value);
/* Next pair from *rest; false at the end (or when malformed: *bad). */
extern bool frame_next_option(Slice *rest, Slice *name, Slice *value, bool *bad);

#endif /* MODAL_CORE_FRAME_H */
