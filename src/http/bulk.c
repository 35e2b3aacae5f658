/*-------------------------------------------------------------------------
 *
 * bulk.c
 *	  Jobs at a service's batch endpoint: what comes next; see bulk.h.
 *
 *-------------------------------------------------------------------------
 */
#include "http/bulk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/random.h"
#include "errors.h"

#define IDLE_S 1.0 /* no more inputs come: it goes with those that are here */
#define BATCHES "/batches/"

/* A bulk takes minutes at least, and may take a day. */
static const RetryPolicy poll_policy = {
	.first = 0.5,
	.growth = 1.5,
	.most = 60,
	.budget = RETRY_FOREVER,
	.tries = RETRY_OFTEN,
};

/* --- the end -------------------------------------------------------------- */

static void
bulk_free(BulkCall *bc)
{
	bc->call->state = NULL;
	credentials_cancel(&bc->wait);
	timer_cancel(&bc->timer);
	if (bc->request != NULL)
		request_cancel(bc->request);
	buf_free(&bc->path);
	buf_free(&bc->body);
	buf_free(&bc->lines);
	free(bc->seen);
	free(bc);
}

void
bulk_fail(BulkCall *bc, const char *sqlstate, const char *hint,
		  const char *message)
{
	DispatchCall *call = bc->call;

	bulk_free(bc);
	call_fail(call, sqlstate, false, NULL, hint, "%s", message);
}

void
bulk_fail_memory(BulkCall *bc)
{
	bulk_fail(bc, MODAL_SQLSTATE_MEMORY, NULL,
			  "out of memory in the modal_batch dispatcher");
}

/* What a good answer has in it is not what it should be. */
static void
fail_answer(BulkCall *bc, const Response *response, const char *problem)
{
	Buf message;

	buf_init(&message, 0, NULL);
	judge_describe_reply(bc->http->target, response, bc->type, problem,
						 &message);
	bulk_fail(bc, MODAL_SQLSTATE_PROTOCOL, NULL, buf_cstr(&message));
	buf_free(&message);
}

void
bulk_end(BulkCall *bc)
{
	DispatchCall *call = bc->call;

	bulk_free(bc);
	call_close(call);
}

/* The answer to the question to cancel it. */
static void
cancelled(BulkCall *bc)
{
	FrameOutput out = {.ok = 1, .format = PAYLOAD_JSON, .attempts = 1};

	out.data = (Slice){"{}", 2};
	call_output(bc->call, &out);
	bulk_end(bc);
}

/* --- collecting ----------------------------------------------------------- */

/* No more rows go into the file. */
static void
close_file(BulkCall *bc)
{
	timer_cancel(&bc->timer);
	bulk_form_end(&bc->body, bc->run);
	bc->call->sent += bc->rows;
	call_touch(bc->call);
	bc->step = BULK_FIND;
	bulk_ask(bc);
}

/* Its lines' ordinals ascend without a gap, which the label needs. */
static bool
fits(const BulkCall *bc, const CallInput *input)
{
	const HttpTarget *http = bc->http;

	return bc->rows == 0 ||
		(input->ordinal == bc->first + bc->rows &&
		 bc->rows < http->max_batch_rows &&
		 bc->body.len + input->len < http->max_batch_bytes);
}

static void
collect(BulkCall *bc)
{
	DispatchCall *call = bc->call;
	Slice path = {(const char *) bc->path.data, bc->path.len};
	bool full = false;

	while (call->npending > 0 && !(full = !fits(bc, call->pending)))
	{
		uint32_t taken;
		CallInput *input = call_take_inputs(call, 1, SIZE_MAX, &taken);

		if (bc->rows++ == 0)
			bc->first = input->ordinal;
		bulk_put_line(&bc->body, input->ordinal, path,
					  (Slice){(const char *) input->data, input->len});
		call_input_free(input);
	}
	if (bc->body.failed)
		bulk_fail_memory(bc);
	else if (call->finished && bc->rows == 0)
		bulk_end(bc);
	else if (full || call->finished || bc->rows >= call->open.window)
		close_file(bc);
	else if (bc->rows > 0 &&
			 !timer_set(&bc->timer, monotonic_seconds() + IDLE_S))
		close_file(bc);
}

/* --- from answer to answer ------------------------------------------------ */

static void
poll_later(BulkCall *bc)
{
	double now = monotonic_seconds();

	(void) retry_failed(&bc->polling, &poll_policy, now);
	if (!timer_set(&bc->timer,
				   now + retry_pause(&bc->polling, &poll_policy, now,
									 random_unit(), bc->retry_after)))
		bulk_fail_memory(bc);
}

/* In views. */
static void
show_id(DispatchCall *call, Slice id)
{
	Buf text;

	buf_init(&text, 0, NULL);
	buf_put(&text, id.p, id.n);
	call_set_remote_id(call, buf_cstr(&text));
	buf_free(&text);
}

/* It is there: its path is what the caller is to keep. */
static void
found(BulkCall *bc)
{
	CallOpened opened = {.window = bc->call->open.window};
	Buf id;

	buf_init(&id, 0, NULL);
	buf_put(&id, bc->path.data + 1, bc->base);
	buf_printf(&id, BATCHES "%s", bc->bulk.id);
	opened.remote_call_id = (Slice){buf_cstr(&id), id.len};
	show_id(bc->call, opened.remote_call_id);
	call_opened(bc->call, &opened);
	buf_free(&id);
	buf_free(&bc->body);
	retry_progress(&bc->polling);
	bc->step = BULK_WAIT;
}

/*
 * Which rows have an outcome in it, or never: as its metadata say, or else those
 * that were uploaded just now.  None has one yet, also when it is said anew.
 * False: no memory.
 */
static bool
note_rows(BulkCall *bc)
{
	if (bc->bulk.rows > 0)
	{
		bc->first = bc->bulk.first;
		bc->rows = bc->bulk.rows <= BULK_MAX_ROWS ? bc->bulk.rows : 0;
	}
	free(bc->seen);
	bc->seen = bc->rows > 0 ? calloc(1, (bc->rows + 7) / 8) : NULL;
	return bc->seen != NULL || bc->rows == 0;
}

/* The file of this step, or of the next one; then it is over. */
static void
fetch(BulkCall *bc)
{
	if (bc->step == BULK_OUTPUTS && bc->bulk.output_file[0] == '\0')
		bc->step = BULK_ERRORS;
	if (bc->step == BULK_ERRORS && bc->bulk.error_file[0] == '\0')
	{
		bulk_fail_rest(bc);
		bulk_end(bc);
		return;
	}
	bulk_ask(bc);
}

/*
 * The file is there; when it is wanted, another bulk is made of it, unless that
 * has been done meanwhile.
 */
static void
wait_for_room(BulkCall *bc)
{
	const Failure failure = {.rejected = true};

	memcpy(bc->file, bc->bulk.input_file, sizeof(bc->file));
	http_tell_of_waiting(bc->call, &bc->next_notice, &failure,
						 "too many tokens are enqueued in batches");
	bc->step = BULK_FIND;
	poll_later(bc);
}

/* Has it ended? */
static void
look_at(BulkCall *bc)
{
	if (bc->bulk.status == BULK_WORKING)
		poll_later(bc);
	else if (!note_rows(bc))
		bulk_fail_memory(bc);
	else if (bc->bulk.status == BULK_NO_ROOM)
		wait_for_room(bc);
	else if (bc->bulk.status == BULK_FAILED)
		bulk_refuse_rows(bc);
	else
	{
		bc->step = BULK_OUTPUTS;
		fetch(bc);
	}
}

static void
hand_over(BulkCall *bc)
{
	bool again = false;

	if (!bulk_hand_over(bc, &again))
	{
		if (again && !timer_set(&bc->timer, monotonic_seconds()))
			bulk_fail_memory(bc);
		return;
	}
	buf_free(&bc->lines);
	bc->fetched = false;
	if (bc->has_lines && !bc->has_results)
	{
		/* a page of a proxy, maybe: it is fetched again, with another call */
		bulk_fail(bc, MODAL_SQLSTATE_PROTOCOL, NULL,
				  "no line of the file of the batch's results is one");
		return;
	}
	if (bc->step == BULK_OUTPUTS)
	{
		bc->step = BULK_ERRORS;
		fetch(bc);
		return;
	}
	bulk_fail_rest(bc);
	bulk_end(bc);
}

/* There is none of this run. */
static void
not_found(BulkCall *bc)
{
	if (bc->call->open.kind == CALL_CONTROL)
	{
		cancelled(bc);
		return;
	}
	bc->step = bc->file[0] != '\0' ? BULK_CREATE : BULK_UPLOAD;
	bulk_ask(bc);
}

static void
looked_for(BulkCall *bc)
{
	if (bc->bulk.id[0] == '\0')
		not_found(bc);
	else if (bc->call->open.kind == CALL_CONTROL)
	{
		bc->step = BULK_CANCEL;
		bulk_ask(bc);
	}
	else if (bc->bulk.status == BULK_NO_ROOM)
	{
		/* it has been waited for, or a crash has taken that time */
		memcpy(bc->file, bc->bulk.input_file, sizeof(bc->file));
		if (note_rows(bc))
			not_found(bc);
		else
			bulk_fail_memory(bc);
	}
	else
	{
		found(bc);
		look_at(bc);
	}
}

/* What is said of a bulk; returns what is wrong with that. */
static const char *
read_state(BulkCall *bc, const char *text, size_t n)
{
	char asked[BULK_ID_MAX + 1];
	const char *problem;

	memcpy(asked, bc->bulk.id, sizeof(asked));
	problem = bulk_read(text, n, &bc->bulk);
	/* Results of another one would become those of these rows. */
	if (problem == NULL && bc->step == BULK_WAIT &&
		strcmp(asked, bc->bulk.id) != 0)
		problem = "it is about another batch";
	return problem;
}

void
bulk_answered(BulkCall *bc, Response *response)
{
	const char *text = buf_cstr(&response->body);
	size_t n = response->body.len;
	const char *problem = NULL;

	switch (bc->step)
	{
		case BULK_FIND:
			problem = bulk_find(text, n, bc->run, &bc->bulk);
			/* to be cancelled, it need not be known better */
			if (bc->call->open.kind == CALL_CONTROL && bc->bulk.id[0] != '\0')
				problem = NULL;
			break;
		case BULK_UPLOAD:
			problem = bulk_read_file_id(text, n, bc->file);
			break;
		case BULK_CREATE:
		case BULK_WAIT:
			problem = read_state(bc, text, n);
			break;
		default:
			break;
	}
	if (problem != NULL)
	{
		fail_answer(bc, response, problem);
		return;
	}
	/* what it points to does not stay */
	buf_free(&bc->lines);
	bc->lines = response->body;
	buf_init(&response->body, 0, NULL);
	bc->at = 0;
	switch (bc->step)
	{
		case BULK_FIND:
			looked_for(bc);
			break;
		case BULK_UPLOAD:
			buf_free(&bc->body);
			bc->step = BULK_CREATE;
			bulk_ask(bc);
			break;
		case BULK_CREATE:
			found(bc);
			look_at(bc);
			break;
		case BULK_WAIT:
			look_at(bc);
			break;
		case BULK_CANCEL:
			cancelled(bc);
			break;
		default:
			bc->fetched = true;
			bc->has_lines = bc->has_results = false;
			hand_over(bc);
			break;
	}
}

bool
bulk_refused(BulkCall *bc, int status)
{
	bool gone = status == 404 || status == 410;

	/* where bulks cannot be listed, none is found */
	if (bc->step == BULK_FIND && (gone || status == 405 || status == 501))
		not_found(bc);
	else if (bc->step == BULK_CANCEL && (gone || status == 400 || status == 409))
		cancelled(bc); /* it has ended */
	else if (bc->step >= BULK_WAIT && bc->step != BULK_CANCEL && gone)
		bulk_fail(bc, MODAL_SQLSTATE_GONE,
				  "The service keeps batches and their files for a limited time.",
				  "the batch, or its results, does not exist at the service any more");
	else
		return false;
	return true;
}

/* --- the driver ----------------------------------------------------------- */

static void
on_timer(void *arg)
{
	BulkCall *bc = arg;

	if (bc->step == BULK_COLLECT)
		close_file(bc);
	else if (bc->fetched)
		hand_over(bc);
	else
		bulk_ask(bc);
}

/*
 * The paths of the function, and of its API: what comes before the first "/".
 * False: it has none.
 */
static bool
set_path(BulkCall *bc)
{
	const CallOpen *open = &bc->call->open;
	const char *query, *slash;
	size_t n;
	Reference ref;

	if (reference_parse_rest(open->reference.p, open->reference.n, true,
							 &ref) != NULL ||
		ref.placeholders || ref.target.n == 0)
		return false;
	query = memchr(ref.target.p, '?', ref.target.n);
	n = query != NULL ? (size_t) (query - ref.target.p) : ref.target.n;
	if (ref.target.p[0] != '/')
		buf_put_u8(&bc->path, '/');
	buf_put(&bc->path, ref.target.p, n);
	if (bc->path.failed || bc->path.len < 2)
		return false;
	slash = memchr(bc->path.data + 1, '/', bc->path.len - 1);
	if (slash == NULL)
		return false;
	bc->base = (size_t) ((const uint8_t *) slash - bc->path.data) - 1;
	return true;
}

/* A call that goes on; false: that is no id of ours. */
static bool
set_id(BulkCall *bc, Slice id)
{
	size_t skip = bc->base + strlen(BATCHES);

	return id.n > skip && memcmp(id.p, bc->path.data + 1, bc->base) == 0 &&
		memcmp(id.p + bc->base, BATCHES, strlen(BATCHES)) == 0 &&
		bulk_set_id(&bc->bulk, (Slice){id.p + skip, id.n - skip});
}

static void
on_settled(void *arg, const Failure *failure, const char *message)
{
	BulkCall *bc = arg;

	if (failure != NULL && failure->verdict == VERDICT_FAIL_CALL)
		bulk_fail(bc, failure->sqlstate, failure->hint, message);
	else
		bulk_ask(bc);
}

/* NULL: no memory. */
static BulkCall *
bulk_create(DispatchCall *call)
{
	BulkCall *bc = calloc(1, sizeof(BulkCall));
	HttpKey key;

	if (bc == NULL)
		return NULL;
	bc->call = call;
	bc->http = call->target->state;
	buf_init(&bc->path, 0, NULL);
	buf_init(&bc->body, 0, NULL);
	buf_init(&bc->lines, 0, NULL);
	timer_init(&bc->timer, on_timer, bc);
	bc->wait = (CredentialsWait){.on_settled = on_settled, .arg = bc};
	http_key_begin(&key, call->open.idempotency);
	http_key_text(&key, bc->run);
	call->state = bc;
	return bc;
}

static void
bulk_inputs(DispatchCall *call)
{
	BulkCall *bc = call->state;

	if (bc->step == BULK_COLLECT)
		collect(bc);
	else
		call_drop_pending(call); /* they are for another run */
}

static void
bulk_consumed(DispatchCall *call)
{
	BulkCall *bc = call->state;

	if (bc->fetched)
		hand_over(bc);
}

static void
bulk_cancel(DispatchCall *call, int flags)
{
	(void) flags; /* the service is asked by a control call */
	bulk_free(call->state);
}

static const CallDriver bulk_driver = {
	.inputs = bulk_inputs,
	.finish = bulk_inputs,
	.consumed = bulk_consumed,
	.cancel = bulk_cancel,
};

void
bulk_open(DispatchCall *call)
{
	bool control = call->open.kind == CALL_CONTROL;
	Slice id = call->open.remote_call_id;
	CallOpened opened = {.window = call->open.window, .remote_call_id = id};
	BulkCall *bc = bulk_create(call);

	if (bc == NULL)
	{
		call_fail(call, MODAL_SQLSTATE_MEMORY, true, NULL, NULL,
				  "out of memory in the modal_batch dispatcher");
		return;
	}
	call->driver = &bulk_driver;
	if (bc->http->form == NULL || !set_path(bc))
	{
		bulk_fail(bc, MODAL_SQLSTATE_REFERENCE,
				  "A path is like v1/chat/completions: first the step below which the API's files and batches are.",
				  "the path of a function of format openai-batch has two steps or more");
		return;
	}
	if (id.n > 0 && !set_id(bc, id))
	{
		bulk_fail(bc, MODAL_SQLSTATE_GONE, NULL,
				  "the job's remote call is not a batch of this service");
		return;
	}
	if (id.n > 0)
		show_id(call, id);
	if (!control)
		call_opened(call, &opened);
	bc->step = control ? id.n > 0 ? BULK_CANCEL : BULK_FIND
		: id.n > 0	   ? BULK_WAIT
					   : BULK_COLLECT;
	if (bc->step == BULK_COLLECT)
		bulk_form_begin(&bc->body, bc->run);
	else
		bulk_ask(bc);
}
