/*-------------------------------------------------------------------------
 *
 * calls.c
 *	  Function calls: their life, what is known of their inputs, and who waits.
 *
 * Attempts and outputs are in attempts.c.
 *
 * A synchronous call lives until its client has said that it has everything,
 * or has not been heard of for a while; an asynchronous one until its results
 * expire.
 *
 *-------------------------------------------------------------------------
 */
#include "calls/calls.h"

#include <stdlib.h>

#include "calls/attempts.h"
#include "calls/blobs.h"
#include "calls/changes.h"
#include "calls/details.h"
#include "calls/journal.h"
#include "calls/logs.h"
#include "options.h"
#include "util.h"

#define SLOTS_PER_PAGE 256
#define CLEARED_LIFE 5.0 /* of a call whose client has its result */
#define SYNC_LIFE 600.0	 /* of one whose client is silent */
#define MAX_PAUSE 3600.0  /* between looks at all calls */
#define MAX_PAST 1000	  /* kept for those who read about them */
/* Of results that must go: not those of a call that was asked for just now. */
#define SPARE_SECONDS 60.0
#define OUTPUT_OVERHEAD 48 /* bytes of memory, beside what is in it */

/*
 * A reply with many outputs costs hardly more than one with few, and each
 * poll names all inputs that are waited for.  So a poll of a call with much
 * in flight waits a little, for a share of that to come in.
 */
#define LINGER_SECONDS 0.001
#define LINGER_SHARE 4

struct SlotPage
{
	Slot slots[SLOTS_PER_PAGE];
};

static struct
{
	Table by_number;
	uint64_t next_number;
	int n_calls;
	Call *newest;
	Call *first_active;
	Call *last_active;
	Call *oldest_past;
	Call *newest_past;
	int n_past;
	LoopTimer sweep;
	int64_t kept; /* bytes of outputs of asynchronous calls */
	LoopTimer make_room;
} calls;

static void sweep(void *arg);
static void wake(void *arg);

static void
schedule_sweep(double seconds)
{
	if (calls.sweep.place == 0 || calls.sweep.due > loop_now() + seconds)
		loop_set_timer(&calls.sweep, seconds, sweep, NULL);
}

/* How long the call is kept without being asked for. */
static double
life(const Call *call)
{
	if (call->async)
		return options.keep_seconds;
	/* A client that was given a failure may yet retry it. */
	if (call->cleared && call->n_unfinished == 0 &&
		call->n_by_status[RESULT_SUCCESS] > 0)
		return CLEARED_LIFE;
	return SYNC_LIFE;
}

static Call *
call_insert(uint64_t number, Handle *handle, double created,
			const char *parent_input_id)
{
	Call *call = xcalloc(sizeof(*call));

	call->number = number;
	call->handle = handle;
	call->declared_inputs = -1;
	call->parent_input_id = xstrdup(parent_input_id);
	call->created = created;
	call->touched = loop_now();
	buf_init(&call->held, 0, xbuf_realloc);
	call->next = handle->calls;
	if (call->next != NULL)
		call->next->prev = call;
	handle->calls = call;
	handle->activity->n_calls++;
	call->older = calls.newest;
	if (call->older != NULL)
		call->older->newer = call;
	calls.newest = call;
	table_put(&calls.by_number, &call->number, sizeof(call->number), call);
	calls.n_calls++;
	changes_note();
	return call;
}

static void
record_call(const Call *call)
{
	if (!call->async || !journal_begin(RECORD_CALL))
		return;
	journal_number(call->number);
	journal_number(call->map);
	journal_double(call->created);
	journal_text(call->handle->id, strlen(call->handle->id));
	journal_text(call->parent_input_id, strlen(call->parent_input_id));
	journal_end();
}

Call *
call_create(Handle *handle, bool map, bool async, bool plane,
			const char *parent_input_id)
{
	Call *call;

	do
		calls.next_number = (calls.next_number + 1) &
							(((uint64_t) 1 << CALL_NUMBER_BITS) - 1);
	while (call_look(calls.next_number) != NULL);
	call = call_insert(calls.next_number, handle, loop_wall_time(),
					   parent_input_id);
	call->map = map;
	call->async = async;
	call->plane = plane;
	schedule_sweep(life(call));
	record_call(call);
	return call;
}

static int64_t
kept_bytes(const Call *call)
{
	return call->async ? (int64_t) (call->outputs.bytes +
									(call->outputs.last - call->outputs.dropped) *
										OUTPUT_OVERHEAD)
					   : 0;
}

/* The end of what was kept of it as one of the past. */
static void
forget_oldest(void)
{
	Call *call = calls.oldest_past;

	calls.oldest_past = call->next;
	if (calls.oldest_past == NULL)
		calls.newest_past = NULL;
	calls.n_past--;
	table_delete(&calls.by_number, &call->number, sizeof(call->number));
	if (call->older != NULL)
		call->older->newer = call->newer;
	if (call->newer != NULL)
		call->newer->older = call->older;
	else
		calls.newest = call->older;
	logs_forget(call);
	details_forget(call);
	free(call);
}

/* The call exists no more: but for the counts, details and logs of a few. */
static void
call_end(Call *call)
{
	calls.kept -= kept_bytes(call);
	if (call->next != NULL)
		call->next->prev = call->prev;
	if (call->prev != NULL)
		call->prev->next = call->next;
	else
		call->handle->calls = call->next;
	call->handle->activity->unfinished -= call->n_unfinished;
	if (call->n_unfinished > 0)
		calls_set_active(call, false);
	for (int32_t i = 0; i < call->n_pages; i++)
		free(call->pages[i]);
	free(call->pages);
	for (uint64_t i = 0; i < call->n_chunks; i++)
	{
		free(call->chunks[i].data);
		free(call->chunks[i].blob_id);
	}
	free(call->chunks);
	outlog_free(&call->outputs);
	buf_free(&call->held);
	free(call->parent_input_id);
	free(call->clear_key);
	loop_cancel_deferred(&call->wake);
	loop_clear_timer(&call->linger);
	calls.n_calls--;

	call->past = true;
	call->pages = NULL;
	call->n_pages = 0;
	call->chunks = NULL;
	call->n_chunks = 0;
	call->parent_input_id = call->clear_key = NULL;
	call->next = NULL;
	if (calls.newest_past != NULL)
		calls.newest_past->next = call;
	else
		calls.oldest_past = call;
	calls.newest_past = call;
	if (++calls.n_past > MAX_PAST)
		forget_oldest();
	changes_note();
}

Call *
call_look(uint64_t number)
{
	return table_get(&calls.by_number, &number, sizeof(number));
}

Call *
call_peek(uint64_t number)
{
	Call *call = call_look(number);

	return call != NULL && !call->past ? call : NULL;
}

const Call *
calls_newest(void)
{
	return calls.newest;
}

const Call *
calls_active(void)
{
	return calls.first_active;
}

void
calls_set_active(Call *call, bool active)
{
	if (active)
	{
		call->active_next = NULL;
		call->active_prev = calls.last_active;
		if (calls.last_active != NULL)
			calls.last_active->active_next = call;
		else
			calls.first_active = call;
		calls.last_active = call;
		return;
	}
	if (call->active_next != NULL)
		call->active_next->active_prev = call->active_prev;
	else
		calls.last_active = call->active_prev;
	if (call->active_prev != NULL)
		call->active_prev->active_next = call->active_next;
	else
		calls.first_active = call->active_next;
}

Call *
call_get(uint64_t number)
{
	Call *call = call_peek(number);

	if (call != NULL)
		call->touched = loop_now();
	return call;
}

Call *
call_get_by_id(const char *id)
{
	uint64_t number;

	return call_id_parse(id, &number) ? call_get(number) : NULL;
}

/* At a place of the table; NULL: none, or one that is past. */
static Call *
call_at(size_t place)
{
	const TableEntry *entry = &calls.by_number.entries[place];
	Call *call = entry->key != NULL ? entry->value : NULL;

	return call != NULL && !call->past ? call : NULL;
}

/* Ends the call if its time is over; else, in how many seconds it will be. */
static double
expire(Call *call)
{
	double left = life(call) - (loop_now() - call->touched);

	if (call->waiters != NULL)
		return life(call);
	if (left > 0)
		return left;
	if (call->inputs != NULL)
	{
		call_cancel(call, false); /* the outputs first, the end next time */
		return CLEARED_LIFE;
	}
	call_end(call);
	return MAX_PAUSE;
}

static void
sweep(void *arg)
{
	double next = MAX_PAUSE;

	(void) arg;
	for (size_t i = 0; i < calls.by_number.size; i++)
	{
		Call *call = call_at(i);
		double left = call != NULL ? expire(call) : MAX_PAUSE;

		if (left < next)
			next = left;
	}
	if (calls.n_calls > 0)
		schedule_sweep(next > CLEARED_LIFE ? next : CLEARED_LIFE);
}

/* --- the bound of results ------------------------------------------------ */

const char *
calls_refusal(void)
{
	if (journal_full())
		return "the disk of modal-local is full";
	if (calls.kept > options.max_results)
		return "results of asynchronous calls take up all of --max-results";
	return NULL;
}

static int
compare_touched(const void *a, const void *b)
{
	const Call *x = *(Call *const *) a;
	const Call *y = *(Call *const *) b;

	return (x->touched > y->touched) - (x->touched < y->touched);
}

/* Forget calls that are done, those first that nobody has asked for longest. */
static void
make_room(void *arg)
{
	Call **done = xmalloc((size_t) (calls.n_calls + 1) * sizeof(*done));
	size_t n = 0;

	(void) arg;
	for (size_t i = 0; i < calls.by_number.size; i++)
	{
		Call *call = call_at(i);

		if (call != NULL && call->async && call->inputs == NULL &&
			call->waiters == NULL &&
			call->touched < loop_now() - SPARE_SECONDS)
			done[n++] = call;
	}
	qsort(done, n, sizeof(*done), compare_touched);
	for (size_t i = 0;
		 i < n && calls.kept > options.max_results -
										options.max_results / 8;
		 i++)
		call_end(done[i]);
	free(done);
	if (calls.kept > options.max_results)
		loop_set_timer(&calls.make_room, SPARE_SECONDS / 4, make_room, NULL);
}

void
calls_note_output(const Call *call, size_t len)
{
	if (!call->async)
		return;
	calls.kept += (int64_t) len + OUTPUT_OVERHEAD;
	if (calls.kept > options.max_results && calls.make_room.place == 0)
		loop_set_timer(&calls.make_room, 0, make_room, NULL);
}

/*
 * Outputs up to the newest are not to be given again, but in reply to the same
 * request, should its client not have got this one.
 */
void
call_clear(Call *call, const char *key)
{
	call->cleared = true;
	call->cleared_upto = call->outputs.last;
	free(call->clear_key);
	call->clear_key = key != NULL ? xstrdup(key) : NULL;
	if (call->map)
	{
		calls.kept -= kept_bytes(call);
		outlog_drop(&call->outputs, call->cleared_upto);
		calls.kept += kept_bytes(call);
	}
	schedule_sweep(CLEARED_LIFE);
}

void
calls_for_each(void (*visit)(Call *call, void *arg), void *arg)
{
	for (size_t i = 0; i < calls.by_number.size; i++)
		if (call_at(i) != NULL)
			visit(call_at(i), arg);
}

/* --- inputs -------------------------------------------------------------- */

const char *
input_error(const Handle *handle, const NewInput *input, GrpcStatus *status)
{
	const Function *function = handle->function;

	*status = GRPC_INVALID_ARGUMENT;
	if (input->idx < 0 || input->idx > MAX_INPUT_INDEX)
		return "index of an input is out of range";
	if (function->is_class &&
		(input->method == NULL ||
		 function_method(function, input->method, input->method_len) == NULL))
		return "the class has no such method";
	if (input->format != FORMAT_PICKLE &&
		(input->format != FORMAT_CBOR || function->pickle_only))
		return "the function does not accept this data format";
	if (input->blob_id != NULL)
	{
		char *id = xasprintf("%.*s", (int) input->blob_id_len, input->blob_id);
		bool exists = blob_exists(id);

		free(id);
		*status = GRPC_NOT_FOUND;
		if (!exists)
			return "there is no such blob";
	}
	return NULL;
}

/* --- slots --------------------------------------------------------------- */

Slot *
call_slot(const Call *call, int32_t idx)
{
	int32_t page = idx / SLOTS_PER_PAGE;

	if (idx == 0 && !call->map)
		return (Slot *) &call->only;
	if (idx < 0 || page >= call->n_pages || call->pages[page] == NULL)
		return NULL;
	return &call->pages[page]->slots[idx % SLOTS_PER_PAGE];
}

Slot *
call_make_slot(Call *call, int32_t idx)
{
	int32_t page = idx / SLOTS_PER_PAGE;

	if (idx == 0 && !call->map)
		return &call->only;
	if (page >= call->n_pages)
	{
		int32_t n = call->n_pages > 0 ? call->n_pages * 2 : 1;

		if (n <= page)
			n = page + 1;
		call->pages = xrealloc(call->pages, (size_t) n * sizeof(SlotPage *));
		memset(call->pages + call->n_pages, 0,
			   (size_t) (n - call->n_pages) * sizeof(SlotPage *));
		call->n_pages = n;
	}
	if (call->pages[page] == NULL)
		call->pages[page] = xcalloc(sizeof(SlotPage));
	return &call->pages[page]->slots[idx % SLOTS_PER_PAGE];
}

bool
call_input_lost(const Call *call, int32_t idx, uint32_t attempt)
{
	const Slot *slot = call_slot(call, idx);

	if (slot == NULL || (slot->live == 0 && slot->output == 0 && !slot->lost))
		return true;
	if (attempt != slot->attempt)
		return attempt > slot->attempt;
	return slot->lost;
}

void
call_forget_outputs(Call *call, uint64_t number)
{
	/*
	 * Those of asynchronous calls are kept, to be read as often as wanted; the
	 * few of a single call, for the repetition of a request.
	 */
	if (call->map && !call->async)
		outlog_drop(&call->outputs, number);
}

/* --- waiters ------------------------------------------------------------- */

void
call_stop_waiting(Waiter *waiter)
{
	Call *call = waiter->call;

	loop_clear_timer(&waiter->timer);
	if (waiter->next != NULL)
		waiter->next->prev = waiter->prev;
	if (waiter->prev != NULL)
		waiter->prev->next = waiter->next;
	else
		call->waiters = waiter->next;
	call->touched = loop_now();
}

static void
waiter_timed_out(void *arg)
{
	Waiter *waiter = arg;

	waiter->ready(waiter, true);
	call_stop_waiting(waiter);
}

/* How many outputs has the waiter not seen? */
static uint64_t
n_new(const Waiter *waiter)
{
	uint64_t last = waiter->call->outputs.last;

	return last > waiter->cursor ? last - waiter->cursor : 0;
}

static bool
worth_a_reply(const Waiter *waiter)
{
	const Call *call = waiter->call;

	return !waiter->patient ||
		   n_new(waiter) * LINGER_SHARE >= (uint64_t) call->n_unfinished ||
		   loop_now() - call->first_unread >= LINGER_SECONDS;
}

static void
linger(Waiter *waiter)
{
	Call *call = waiter->call;
	double passed = loop_now() - call->first_unread;

	if (n_new(waiter) > 0 && call->linger.place == 0)
		loop_set_timer(&call->linger, LINGER_SECONDS - passed, wake, call);
}

/* Offer what has come to all that wait. */
static void
wake(void *arg)
{
	Call *call = arg;
	Waiter *next;

	if (call->n_unfinished == 0)
		attempts_release_held(call);
	for (Waiter *waiter = call->waiters; waiter != NULL; waiter = next)
	{
		next = waiter->next;
		if (!worth_a_reply(waiter))
			linger(waiter);
		else if (waiter->ready(waiter, false))
			call_stop_waiting(waiter);
	}
}

void
call_wake(Call *call)
{
	loop_defer(&call->wake, wake, call);
}

bool
call_wait(Waiter *waiter, double seconds)
{
	Call *call = waiter->call;

	if (seconds > 0 && !worth_a_reply(waiter))
		linger(waiter);
	else if (waiter->ready(waiter, seconds <= 0))
		return false;
	waiter->prev = NULL;
	waiter->next = call->waiters;
	if (waiter->next != NULL)
		waiter->next->prev = waiter;
	call->waiters = waiter;
	loop_set_timer(&waiter->timer, seconds, waiter_timed_out, waiter);
	return true;
}

/* --- the journal --------------------------------------------------------- */

static void
take_call(Record *record)
{
	uint64_t number = record_number(record);
	bool map = record_number(record) != 0;
	double created = record_double(record);
	char *function_id = record_string(record);
	char *parent = record_string(record);
	Handle *handle = registry_get(function_id);

	if (!record->failed && handle != NULL && call_peek(number) == NULL &&
		loop_wall_time() - created < options.keep_seconds)
	{
		Call *call = call_insert(number, handle, created, parent);

		call->map = map;
		call->async = true;
		schedule_sweep(life(call));
	}
	free(function_id);
	free(parent);
}

bool
call_needed(Record *record)
{
	return call_peek(record_number(record)) != NULL;
}

void
call_declare_inputs(Call *call, int32_t n)
{
	call->declared_inputs = n;
	if (call->async && journal_begin(RECORD_DECLARED))
	{
		journal_number(call->number);
		journal_number((uint64_t) n);
		journal_end();
	}
	call_wake(call);
}

static void
take_declared(Record *record)
{
	Call *call = call_peek(record_number(record));
	uint64_t n = record_number(record);

	if (call != NULL && n <= MAX_INPUT_INDEX)
		call->declared_inputs = (int32_t) n;
}

void
calls_init(void)
{
	static const RecordKind created = {take_call, call_needed, NULL};
	static const RecordKind declared = {take_declared, call_needed, NULL};

	journal_register(RECORD_CALL, &created);
	journal_register(RECORD_DECLARED, &declared);
	attempts_init();
	/* Unlike those of earlier and later runs. */
	random_bytes(&calls.next_number, sizeof(calls.next_number));
	calls.next_number &= ((uint64_t) 1 << CALL_NUMBER_BITS) - 1;
}
