/*-------------------------------------------------------------------------
 *
 * apply_call.c
 *	  One hoisted function of an apply node: sends inputs, hands out results.
 *
 * Results are taken in the order of the rows that wait for them, which is the
 * order of inputs, so the next output of the remote call always belongs to
 * the row at the head of the window.  A VOLATILE function's row needs no more
 * state than that.  For other functions, rows with equal inputs share an
 * Answer for as long as one of them is in the window.
 *
 * An Answer is a reference that one row holds: apply_call_result gives it
 * back, and with the last one the Answer is freed.  forget_answers frees all
 * of them at once, after which no row of the window may be looked at: who
 * drops rows drops them all (apply_exec.c).
 *
 * The remote call is opened with the first input and kept over rescans that
 * leave nothing in flight; with something in flight it is cancelled, because
 * outputs of inputs that nobody waits for would be taken for the next ones.
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include "catalog/objectaccess.h"
#include "catalog/pg_proc.h"
#include "common/hashfn.h"
#include "executor/executor.h"
#include "guc.h"
#include "nodes/nodeFuncs.h"
#include "pgstat.h"
#include "typed/apply_exec.h"
#include "typed/list.h"
#include "typed/site.h"
#include "utils/acl.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

/*
 * Collected inputs are sent on when this part of the window has come
 * together, so that the service does not run dry while results that have
 * arrived are being read.
 */
#define PUSH_FRACTION 8

struct Answer
{
	int refs; /* rows in the window that wait for it */
	bool arrived;
	PayloadFormat format;
	char *result; /* encoded; NULL until arrived */
	Size result_len;
	uint32 hash;
	Size key_len;
	char key[FLEXIBLE_ARRAY_MEMBER]; /* the encoded input */
};

typedef struct AnswerEntry
{
	Answer *answer;
	char status;
} AnswerEntry;

#define SH_PREFIX answers
#define SH_ELEMENT_TYPE AnswerEntry
#define SH_KEY_TYPE Answer *
#define SH_KEY answer
#define SH_HASH_KEY(tb, key) ((key)->hash)
#define SH_EQUAL(tb, a, b) \
	((a)->key_len == (b)->key_len && memcmp((a)->key, (b)->key, (a)->key_len) == 0)
#define SH_SCOPE static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

struct ApplyCall
{
	FuncExpr *expr;
	List *guards;
	List *args; /* of ExprState */
	ExprState *guard;
	bool strict;
	Datum *values;
	bool *nulls;
	MemoryContext cxt;

	TypedSite *site;	/* made for the first input */
	RemoteCall *remote; /* open, or NULL */
	Buf input;
	int64 next_ordinal;
	int64 taken; /* outputs of this remote call */
	int unsent;	 /* inputs put since the last push */

	/* only when equal inputs may share a result */
	answers_hash *shared;
	Answer *probe; /* for look-ups; grows with the input */
	Size probe_size;
	Size held;

	/* of a function that returns sets: the rows of the row that was taken */
	MemoryContext set_cxt; /* NULL: it does not */
	bool generator;		   /* each row is a call of its own, made when taken */
	RemoteCall *stream;	   /* such a call */
	bool listed;		   /* else it has none */
	TypedList list;

	CallTally tally;
	uint64 due;

	FmgrInfo fmgr; /* for track_functions; of simulated ones, to be called */
#ifdef MODAL_DEBUG_POINTS
	bool simulated;
#endif
};

/* The answer of a row that shares with no other: the next one to come. */
static Answer own_answer;

#ifdef MODAL_DEBUG_POINTS
static int64 apply_calls = 0;
#endif

ApplyCall *
apply_call_create(FuncExpr *expr, List *guards, PlanState *parent)
{
	ApplyCall *call = palloc0(sizeof(ApplyCall));
	Oid funcid = expr->funcid;
	AclResult acl;

	/* the call is no FuncExpr of any plan node any more */
	acl = object_aclcheck(ProcedureRelationId, funcid, GetUserId(),
						  ACL_EXECUTE);
	if (acl != ACLCHECK_OK)
		aclcheck_error(acl, OBJECT_FUNCTION, get_func_name(funcid));
	InvokeFunctionExecuteHook(funcid);

	call->expr = expr;
	call->guards = guards;
	call->args = ExecInitExprList(expr->args, parent);
	call->guard = ExecInitQual(guards, parent);
	call->strict = func_strict(funcid);
	call->values = palloc0(sizeof(Datum) * list_length(expr->args));
	call->nulls = palloc0(sizeof(bool) * list_length(expr->args));
	call->cxt = CurrentMemoryContext;
	if (expr->funcretset)
		call->set_cxt = AllocSetContextCreate(call->cxt, "modal list",
											  ALLOCSET_SMALL_SIZES);
	fmgr_info(funcid, &call->fmgr);
	fmgr_info_set_expr((Node *) expr, &call->fmgr);
#ifdef MODAL_DEBUG_POINTS
	call->simulated = typed_function_is_simulated(funcid);
#endif
	return call;
}

FuncExpr *
apply_call_expr(const ApplyCall *call)
{
	return call->expr;
}

List *
apply_call_guards(const ApplyCall *call)
{
	return call->guards;
}

int
apply_call_window(const ApplyCall *call)
{
	/* a cached plan outlives the setting under which it was made */
	if (!modal_enable_pipelining || call->generator)
		return 1;
	return call->site != NULL ? (int) endpoint_window(call->site->endpoint)
							  : modal_max_in_flight;
}

bool
apply_call_has_room(const ApplyCall *call)
{
	if (call->generator)
		return false;
	return call->remote == NULL || remote_call_room(call->remote) > 0;
}

Size
apply_call_held(const ApplyCall *call)
{
	return call->held;
}

#ifdef MODAL_DEBUG_POINTS

/*
 * For tests, which declare it in SQL: calls made by apply nodes in this
 * process.
 */
PG_FUNCTION_INFO_V1(modal_debug_apply_calls);

Datum
modal_debug_apply_calls(PG_FUNCTION_ARGS)
{
	(void) fcinfo;
	PG_RETURN_INT64(apply_calls);
}

/* The value of a simulated call, in place of an answer. */
typedef struct SimulatedAnswer
{
	Datum value;
	bool isnull;
} SimulatedAnswer;

static Answer *
simulate_send(ApplyCall *call, ExprContext *econtext)
{
	LOCAL_FCINFO(fcinfo, FUNC_MAX_ARGS);
	int nargs = list_length(call->args);
	PgStat_FunctionCallUsage usage;
	SimulatedAnswer *answer;
	MemoryContext old;
	Datum value;
	int16 typlen;
	bool typbyval;

	InitFunctionCallInfoData(*fcinfo, &call->fmgr, nargs,
							 call->expr->inputcollid, NULL, NULL);
	for (int i = 0; i < nargs; i++)
	{
		fcinfo->args[i].value = call->values[i];
		fcinfo->args[i].isnull = call->nulls[i];
	}
	old = MemoryContextSwitchTo(econtext->ecxt_per_tuple_memory);
	pgstat_init_function_usage(fcinfo, &usage);
	value = FunctionCallInvoke(fcinfo);
	pgstat_end_function_usage(&usage, true);
	MemoryContextSwitchTo(call->cxt);
	answer = palloc(sizeof(SimulatedAnswer));
	answer->isnull = fcinfo->isnull;
	get_typlenbyval(call->expr->funcresulttype, &typlen, &typbyval);
	answer->value =
		fcinfo->isnull ? (Datum) 0 : datumCopy(value, typbyval, typlen);
	MemoryContextSwitchTo(old);
	return (Answer *) answer;
}

#endif

/* Is a result due for the row, and with which arguments? */
static bool
evaluate_arguments(ApplyCall *call, ExprContext *econtext)
{
	bool due = true;
	MemoryContext old;
	ListCell *lc;
	int i = 0;

	if (!ExecQual(call->guard, econtext))
		return false;
	old = MemoryContextSwitchTo(econtext->ecxt_per_tuple_memory);
	foreach (lc, call->args)
	{
		call->values[i] =
			ExecEvalExpr(lfirst(lc), econtext, &call->nulls[i]);
		if (call->nulls[i] && call->strict)
			due = false;
		i++;
	}
	MemoryContextSwitchTo(old);
	return due;
}

static void
connect_site(ApplyCall *call)
{
	if (call->site == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(call->cxt);

		call->site = typed_site_create(call->cxt, call->expr->funcid, NULL);
		buf_init(&call->input, (size_t) modal_max_payload_kb * 1024,
				 buf_palloc);
		if (call->site->function->shareable)
			call->shared = answers_create(call->cxt, 64, NULL);
		MemoryContextSwitchTo(old);
	}
	typed_site_connect(call->site);
}

static void
open_remote(ApplyCall *call)
{
	RemoteCallSpec spec;

	typed_site_spec(call->site, CALL_MAP, &spec);
	spec.window = apply_call_window(call);
	call->remote = remote_call_open(call->cxt, call->site->endpoint, &spec);
	call->next_ordinal = 0;
	call->taken = 0;
	call->unsent = 0;
}

/* The answer that a row in the window with the same input waits for, or NULL. */
static Answer *
find_shared(ApplyCall *call)
{
	Size key_len = call->input.len;
	Size needed = offsetof(Answer, key) + key_len;
	AnswerEntry *entry;

	if (call->probe_size < needed)
	{
		if (call->probe != NULL)
			pfree(call->probe);
		call->probe_size = Max(needed, 256);
		call->probe = MemoryContextAllocHuge(call->cxt, call->probe_size);
	}
	call->probe->key_len = key_len;
	memcpy(call->probe->key, call->input.data, key_len);
	call->probe->hash =
		hash_bytes(call->input.data, (int) Min(key_len, INT_MAX));
	entry = answers_lookup(call->shared, call->probe);
	return entry != NULL ? entry->answer : NULL;
}

/* Remember the input just probed for, so that rows after it can share it. */
static Answer *
add_shared(ApplyCall *call)
{
	Size size = offsetof(Answer, key) + call->probe->key_len;
	Answer *answer = MemoryContextAllocHuge(call->cxt, size);
	bool found;

	memset(answer, 0, offsetof(Answer, key));
	answer->refs = 1;
	answer->hash = call->probe->hash;
	answer->key_len = call->probe->key_len;
	memcpy(answer->key, call->probe->key, answer->key_len);
	answers_insert(call->shared, answer, &found);
	Assert(!found);
	call->held += size;
	return answer;
}

static void
drop_shared(ApplyCall *call, Answer *answer)
{
	if (--answer->refs > 0)
		return;
	answers_delete(call->shared, answer);
	call->held -= offsetof(Answer, key) + answer->key_len + answer->result_len;
	if (answer->result != NULL)
		pfree(answer->result);
	pfree(answer);
}

static void
forget_answers(ApplyCall *call)
{
	answers_iterator iterator;
	AnswerEntry *entry;

	if (call->shared == NULL || call->shared->members == 0)
		return;
	answers_start_iterate(call->shared, &iterator);
	while ((entry = answers_iterate(call->shared, &iterator)) != NULL)
	{
		if (entry->answer->result != NULL)
			pfree(entry->answer->result);
		pfree(entry->answer);
	}
	answers_reset(call->shared);
	call->held = 0;
}

/*
 * Is the function a generator?  That is known when the call of the other kind
 * has been refused, before its input was sent; see set_open in language.c.
 */
static bool
is_generator(ApplyCall *call)
{
	if (call->site->endpoint->protocol == ENDPOINT_HTTP)
		return false;
	remote_call_flush(call->remote);
	call->generator = remote_call_wait_opened(call->remote)->is_generator;
	call->site->function->gives_list = !call->generator;
	return call->generator;
}

Answer *
apply_call_send(ApplyCall *call, ExprContext *econtext)
{
	Answer *answer = &own_answer;
	MemoryContext old;

	if (!evaluate_arguments(call, econtext))
		return NULL;
	call->due++;
#ifdef MODAL_DEBUG_POINTS
	apply_calls++;
	if (call->simulated)
		return simulate_send(call, econtext);
#endif
	if (call->remote == NULL)
		connect_site(call);
	if (call->remote == NULL && !call->generator)
		open_remote(call);

	/* the encoder's scratch memory goes with the row, the buffer stays */
	old = MemoryContextSwitchTo(econtext->ecxt_per_tuple_memory);
	buf_reset(&call->input);
	arg_encode(call->site->encoder, &call->input, call->values, call->nulls);
	MemoryContextSwitchTo(old);
	if (call->generator)
		return answer;

	if (call->shared != NULL)
	{
		answer = find_shared(call);
		if (answer != NULL)
		{
			answer->refs++;
			return answer;
		}
		answer = add_shared(call);
	}
	remote_call_put(call->remote, call->next_ordinal++, call->input.data,
					call->input.len);
	call->unsent++;
	if (call->set_cxt != NULL && call->next_ordinal == 1 && is_generator(call))
	{
		remote_call_close(call->remote, 0);
		call->remote = NULL;
		forget_answers(call);
		return &own_answer;
	}
	return answer;
}

void
apply_call_flush(ApplyCall *call)
{
	if (call->remote != NULL)
		remote_call_flush(call->remote);
	call->unsent = 0;
}

void
apply_call_push(ApplyCall *call)
{
	if (call->unsent >= Max(1, apply_call_window(call) / PUSH_FRACTION))
		apply_call_flush(call);
}

bool
apply_call_is_ready(ApplyCall *call, const Answer *answer)
{
	if (answer == NULL || call->remote == NULL)
		return true;
	return (answer != &own_answer && answer->arrived) ||
		   remote_call_is_ready(call->remote);
}

/* Wait for the output of the oldest input not answered yet. */
static void
take_output(ApplyCall *call, FrameOutput *out)
{
	if (remote_call_next(call->remote, out) != REMOTE_CALL_OUTPUT)
		ereport(ERROR, (errcode(ERRCODE_PROTOCOL_VIOLATION),
						errmsg("remote function \"%s\" ended before all its "
							   "results had arrived",
							   call->site->label)));
	Assert(out->ordinal == call->taken);
	call->taken++;
	tally_output(&call->tally, out);
	if (!out->ok)
		error_raise(out, call->site->label);
}

/* Keep an encoded result for the other rows that wait for it. */
static void
keep_result(ApplyCall *call, Answer *answer, const FrameOutput *out)
{
	answer->arrived = true;
	answer->format = out->format;
	answer->result_len = out->data.n;
	answer->result = MemoryContextAllocHuge(call->cxt, out->data.n + 1);
	memcpy(answer->result, out->data.p, out->data.n);
	call->held += out->data.n;
}

/* Wait for what an answer refers to, until release_answer. */
static void
fetch_answer(ApplyCall *call, Answer *answer, FrameOutput *out)
{
	if (answer == &own_answer)
		take_output(call, out);
	else if (answer->arrived)
	{
		memset(out, 0, sizeof(*out));
		out->ok = true;
		out->ordinal = call->taken - 1;
		out->format = answer->format;
		out->data.p = answer->result;
		out->data.n = answer->result_len;
	}
	else
	{
		take_output(call, out);
		if (answer->refs > 1)
			keep_result(call, answer, out);
		else
			answer->arrived = true;
	}
}

static void
release_answer(ApplyCall *call, Answer *answer)
{
	if (answer != &own_answer)
		drop_shared(call, answer);
}

/* The value of an answer of a remote call. */
static Datum
remote_result(ApplyCall *call, Answer *answer, bool *isnull)
{
	FrameOutput out;
	Datum result;

	fetch_answer(call, answer, &out);
	result = typed_site_result(call->site, &out, -1, isnull);
	release_answer(call, answer);
	return result;
}

Datum
apply_call_result(ApplyCall *call, Answer *answer, bool *isnull)
{
	LOCAL_FCINFO(fcinfo, 0);
	PgStat_FunctionCallUsage usage;
	Datum result;

#ifdef MODAL_DEBUG_POINTS
	if (call->simulated)
	{
		SimulatedAnswer *simulated = (SimulatedAnswer *) answer;

		*isnull = simulated->isnull;
		result = simulated->value;
		pfree(simulated);
		return result;
	}
#endif
	/* as if it had been called now; its time is what has been waited for it */
	InitFunctionCallInfoData(*fcinfo, &call->fmgr, 0, InvalidOid, NULL, NULL);
	pgstat_init_function_usage(fcinfo, &usage);
	result = remote_result(call, answer, isnull);
	pgstat_end_function_usage(&usage, true);
	return result;
}

static void
close_remote(ApplyCall *call)
{
	if (call->remote == NULL)
		return;
	tally_call(&call->tally, call->remote);
	remote_call_close(call->remote, 0);
	call->remote = NULL;
}

static void
end_set(ApplyCall *call)
{
	if (call->set_cxt == NULL)
		return;
	if (call->stream != NULL)
	{
		tally_call(&call->tally, call->stream);
		remote_call_close(call->stream, 0);
		call->stream = NULL;
	}
	call->listed = false;
	MemoryContextReset(call->set_cxt);
}

void
apply_call_begin_set(ApplyCall *call, Answer *answer)
{
	MemoryContext old;
	FrameOutput out;
	char *copy;

	end_set(call);
	if (answer == NULL)
		return;
	if (call->generator)
	{
		call->stream = typed_site_open(call->site, CALL_GENERATOR,
									   &call->input, call->set_cxt);
		return;
	}
	/* the output would not outlast the inputs that follow */
	fetch_answer(call, answer, &out);
	old = MemoryContextSwitchTo(call->set_cxt);
	copy = palloc_extended(out.data.n + 1, MCXT_ALLOC_HUGE);
	memcpy(copy, out.data.p, out.data.n);
	out.data.p = copy;
	release_answer(call, answer);
	call->listed = typed_list_open(&call->list, call->site, &out);
	MemoryContextSwitchTo(old);
}

/* The next row of a generator; its input is the last one that was due. */
static bool
next_of_stream(ApplyCall *call, FrameOutput *out, int64 *row)
{
	if (remote_call_next(call->stream, out) != REMOTE_CALL_OUTPUT)
		return false;
	*row = out->ordinal;
	out->ordinal = (int64) call->due - 1;
	return true;
}

bool
apply_call_next_in_set(ApplyCall *call, Datum *value, bool *isnull)
{
	FrameOutput out;
	int64 row = -1;
	bool more;

	if (call->stream != NULL)
		more = next_of_stream(call, &out, &row);
	else
		more = call->listed && typed_list_next(&call->list, &out, &row);
	if (more)
		*value = typed_site_result(call->site, &out, row, isnull);
	else
		end_set(call);
	return more;
}

void
apply_call_cancel(ApplyCall *call)
{
	end_set(call);
	if (call->remote != NULL && call->next_ordinal > call->taken)
		close_remote(call);
	forget_answers(call);
}

void
apply_call_end(ApplyCall *call)
{
	end_set(call);
	if (call->remote != NULL && call->next_ordinal == call->taken)
		remote_call_finish(call->remote);
	close_remote(call);
	forget_answers(call);
}

void
apply_call_stats(const ApplyCall *call, ApplyCallStats *stats)
{
	tally_read(&call->tally, call->remote, stats);
	stats->due = call->due;
#ifdef MODAL_DEBUG_POINTS
	if (call->simulated)
		stats->inputs = call->due;
#endif
}
