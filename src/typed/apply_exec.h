/*-------------------------------------------------------------------------
 *
 * async_exec.h
 *	  What the parts of the apply node's executor share.
 *
 * An ApplyCall is one hoisted function of one node: its call in progress, the
 * answers that rows in the window wait for, and its counters.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_SESSION_ASYNC_EXEC_H
#define MODAL_SESSION_ASYNC_EXEC_H

#include "compat.h"

#include "nodes/execnodes.h"
#include "nodes/primnodes.h"

/* Set up once per process, by modal_async_init. */
extern void apply_exec_init(void);

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

/* Permission to execute is checked here; nothing is looked up or sent. */
extern ApplyCall *apply_call_create(FuncExpr *expr, List *guards,
									PlanState *parent);
/* Most inputs in flight, as far as is known yet. */
extern int apply_call_window(const ApplyCall *call);
/* Make the call for the row in econtext, without waiting. */
extern Answer *apply_call_send(ApplyCall *call, ExprContext *econtext);
/* Send on what has been collected, if it is worth a message. */
extern void apply_call_push(ApplyCall *call);
/* Could one more input be put now? */
extern bool apply_call_has_room(const ApplyCall *call);
/*
 * The value of the row that is now at the head of the window, in the current
 * memory context; waits for it, raises its error.
 */
extern Datum apply_call_result(ApplyCall *call, Answer *answer, bool *isnull);
/* Bytes held for answers that rows share. */
extern Size apply_call_held(const ApplyCall *call);
/* Forget all rows of the window; cancel what is in flight. */
extern void apply_call_cancel(ApplyCall *call);
/* The scan is over: let the service know that no inputs follow. */
extern void apply_call_end(ApplyCall *call);
extern void apply_call_stats(const ApplyCall *call, ApplyCallStats *stats);

extern FuncExpr *apply_call_expr(const ApplyCall *call);
extern List *apply_call_guards(const ApplyCall *call);

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
	int flags; /* APPLY_* of async_plan.h */

	/* the Limit above, if it says what it takes */
	ExprState *offset;
	ExprState *count;
	int64 bound; /* -1: none */
	int64 skip;	 /* so many of these rows it throws away */
	bool bound_known;

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

	/* how far to read ahead */
	int64 emitted;		  /* in this scan */
	int64 ramp;			  /* in all scans since the slow start began */
	uint64 run_serial;	  /* this run of the executor, and */
	int64 emitted_at_run; /*   what had been emitted when it began */
} ApplyState;

/* Most rows in the window, by settings and server options. */
extern int apply_window(const ApplyState *state);
/* async_exec_explain.c */
extern void apply_explain(CustomScanState *node, List *ancestors,
						  struct ExplainState *es);

#endif /* MODAL_SESSION_ASYNC_EXEC_H */
