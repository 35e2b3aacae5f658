/*-------------------------------------------------------------------------
 *
 * apply_exec.h
 *	  What the parts of the apply node's executor share.
 *
 * An ApplyCall is one hoisted function of one node: its call in progress, the
 * answers that rows in the window wait for, and its counters.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_TYPED_APPLY_EXEC_H
#define MODAL_TYPED_APPLY_EXEC_H

#include "compat.h"

#include "core/histogram.h"
#include "link/remote_call.h"
#include "nodes/execnodes.h"
#include "nodes/primnodes.h"

/* Set up once per process, by modal_apply_init. */
extern void apply_exec_init(void);
extern void apply_prefetch_init(void);

typedef struct ApplyCall ApplyCall;

/*
 * What a row in the window has of a call: NULL when none is due (its result
 * is NULL), else a reference to be handed to apply_call_result, once.
 */
typedef struct Answer Answer;

typedef struct ApplyCallStats
{
	uint64 due;	   /* rows that needed a result */
	uint64 inputs; /* sent */
	uint64 batches;
	uint64 bytes_sent;
	uint64 bytes_received;
	uint64 wait_us;
	int max_in_flight;
	uint64 timed; /* results with a remote run time */
	uint64 remote_p50_us;
	uint64 remote_max_us;
} ApplyCallStats;

/* The same over several remote calls, one after the other. */
typedef struct CallTally
{
	ApplyCallStats totals; /* of those that are closed */
	Histogram times; /* at the remote side, in microseconds */
} CallTally;

/* apply_tally.c */
extern void tally_output(CallTally *tally, const FrameOutput *out);
/* Before it is closed. */
extern void tally_call(CallTally *tally, RemoteCall *call);
/* open: the one in progress, or NULL.  Leaves due as it is: 0. */
extern void tally_read(const CallTally *tally, RemoteCall *open,
					   ApplyCallStats *stats);

/* apply_call.c */
/* Permission to execute is checked here; nothing is looked up or sent. */
extern ApplyCall *apply_call_create(FuncExpr *expr, List *guards,
									PlanState *parent);
/* Most inputs in flight, as far as is known yet. */
extern int apply_call_window(const ApplyCall *call);
/* Make the call for the row in econtext, without waiting. */
extern Answer *apply_call_send(ApplyCall *call, ExprContext *econtext);
/* Send on what has been collected, if it is worth a message, or all of it. */
extern void apply_call_push(ApplyCall *call);
extern void apply_call_flush(ApplyCall *call);
/* Is the answer here, or none due, for the row at the head of the window? */
extern bool apply_call_is_ready(ApplyCall *call, const Answer *answer);
/* Could one more input be put now? */
extern bool apply_call_has_room(const ApplyCall *call);
/*
 * The value of the row that is now at the head of the window, in the current
 * memory context; waits for it, raises its error.
 */
extern Datum apply_call_result(ApplyCall *call, Answer *answer, bool *isnull);
/*
 * The same of a function that returns a set: its rows, one by one.  answer may
 * be NULL: none.
 */
extern void apply_call_begin_set(ApplyCall *call, Answer *answer);
extern bool apply_call_next_in_set(ApplyCall *call, Datum *value,
								   bool *isnull);
/* Bytes held for answers that rows share. */
extern Size apply_call_held(const ApplyCall *call);
/* Forget all rows of the window; cancel what is in flight. */
extern void apply_call_cancel(ApplyCall *call);
/* The scan is over: let the service know that no inputs follow. */
extern void apply_call_end(ApplyCall *call);
extern void apply_call_stats(const ApplyCall *call, ApplyCallStats *stats);

extern FuncExpr *apply_call_expr(const ApplyCall *call);
extern List *apply_call_guards(const ApplyCall *call);

/* How far a node may read ahead of its consumer; see apply_prefetch.c. */
typedef struct ReadAhead
{
	PlanState *node;
	int flags; /* APPLY_* of apply_plan.h */

	/* the Limit above, if it says what it takes */
	ExprState *offset;
	ExprState *count;
	int64 bound; /* -1: none */
	int64 skip;	 /* so many of these rows it throws away */
	bool bound_known;

	int64 emitted;		  /* in this scan */
	int64 ramp;			  /* in all scans since the slow start began */
	uint64 run_serial;	  /* this run of the executor, and */
	int64 emitted_at_run; /*   what had been emitted when it began */
} ReadAhead;

/* A row in the window: what the child gave. */
typedef struct ApplyRow
{
	MinimalTuple tuple;
	Size size;
} ApplyRow;

typedef struct ApplyState
{
	CustomScanState css; /* must be first */
	int columns;		 /* of the child */
	int ncalls;
	ApplyCall **calls;
	ReadAhead ahead;

	/* the window: a ring of rows in input order, and their answers */
	ApplyRow *rows;
	Answer **answers; /* ncalls for each row */
	int capacity;	  /* a power of two */
	int head;
	int nrows;
	Size row_bytes;
	bool eof;
	MemoryContext tuples;
	TupleTableSlot *head_slot;

	/* APPLY_SET: the rows that head_slot's row has become */
	bool in_set;
	bool empty; /* so far */
} ApplyState;

/* Most rows in the window, by settings and server options. */
extern int apply_window(const ApplyState *state);

/* apply_prefetch.c */
/* An apply node begins; counted until its query's memory goes. */
extern void apply_count_node(EState *estate);
/* Is the executor running this query, and will not be asked to go on? */
extern bool apply_run_is_last(EState *estate);
extern void read_ahead_init(ReadAhead *ahead, CustomScanState *node);
/* Find out what the Limit above will take at most; for each scan anew. */
extern void read_ahead_find_bound(ReadAhead *ahead);
/* How many rows may be read that have not been emitted, of at most window? */
extern int64 read_ahead_rows(ReadAhead *ahead, int64 window);
/* A row has been handed to the consumer. */
extern void read_ahead_emitted(ReadAhead *ahead);
/* A scan is over; has it been read to its end? */
extern void read_ahead_ended(ReadAhead *ahead, bool whole);
/* The next one begins. */
extern void read_ahead_rescan(ReadAhead *ahead);

/* apply_explain.c */
extern void apply_explain(CustomScanState *node, List *ancestors,
						  struct ExplainState *es);

/* map_scan.c */
extern Node *map_scan_create(void);
extern int map_scan_window(const CustomScanState *node);
extern void map_scan_stats(const CustomScanState *node, ApplyCallStats *stats);
extern void map_scan_explain(CustomScanState *node, List *ancestors,
							 struct ExplainState *es);

#endif /* MODAL_TYPED_APPLY_EXEC_H */
