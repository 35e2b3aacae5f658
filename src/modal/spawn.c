/*-------------------------------------------------------------------------
 *
 * spawn.c
 *	  Asynchronous maps: inputs in large batches, accepted in order, outputs
 *	  whenever they come, and all of it again after a restart.
 *
 * An input's index at the service is its ordinal, and every request has an
 * idempotency key made of the caller's seed and the ordinals in it.  Batches
 * end at multiples of a number and at a size, not wherever inputs happened
 * to stop arriving, so that a caller who sends unconfirmed inputs again after
 * a crash makes the same requests again.
 *
 * Outputs of a resumed call are read from the beginning; what has been seen
 * is remembered with a bit per input, so each is delivered once.
 *
 *-------------------------------------------------------------------------
 */
#include "modal/call.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "core/pb.h"

#define MAX_INDEX INT32_MAX /* an index is 32 bits on the wire */
#define FLUSH_DELAY_S 0.05	/* of an incomplete batch, when all else is done */
#define EMPTY_POLL_DELAY_S 1.0
#define EMPTY_POLLS 3		/* at the end, before results count as expired */

/* What has been counted of the inputs that are ready: the next request. */
typedef struct Batch
{
	CallInput **rest;	/* of those that are ready, not counted yet */
	uint32_t n;
	size_t bytes;
	bool complete;
} Batch;

typedef struct SpawnCall
{
	ModalCall mc;
	Batch batch;
	GrpcCall *finish_inputs;
	bool inputs_finished;
	int64_t total;		/* of the remote call; -1: not known yet */
	int64_t highest;	/* ordinal sent from here; -1: none */
	int64_t at_service; /* inputs that were there when it was resumed */
	uint8_t *seen;		/* a bit per ordinal with an output */
	int64_t seen_bits, nseen;
	int64_t first_sent; /* ordinal; of those sent from here, so many have */
	uint64_t nanswered; /* outputs */
	bool none_unfinished; /* of the inputs there were at the last poll */
	int empty_at_end;	/* polls without anything, though all is sent */
	Timer empty_timer;
	Timer flush_timer;
	bool flush;			/* it has fired */
} SpawnCall;

#define SPAWN_CALL(mc) ((SpawnCall *) (mc))

/*
 * An idempotency key made of the caller's seed and of all ordinals that the
 * request is about.  False: no memory.
 */
static bool
spawn_key(const ModalCall *mc, const char *what, const int64_t *ordinals,
		  uint32_t n, uint8_t key[16])
{
	uint8_t digest[EVP_MAX_MD_SIZE];
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool ok = ctx != NULL && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) &&
		EVP_DigestUpdate(ctx, mc->call->open.idempotency, 16) &&
		EVP_DigestUpdate(ctx, what, strlen(what) + 1) &&
		EVP_DigestUpdate(ctx, ordinals, n * sizeof(*ordinals)) &&
		EVP_DigestFinal_ex(ctx, digest, NULL);

	EVP_MD_CTX_free(ctx);
	memcpy(key, digest, ok ? 16 : 0);
	return ok;
}

/* --- resuming ------------------------------------------------------------- */

static void
on_call_found(void *arg, const GrpcResult *result)
{
	ModalCall *mc = arg;
	Modal__Client__FunctionCallFromIdResponse *reply =
		modal_call_found(mc, result);

	if (reply == NULL)
		return;
	SPAWN_CALL(mc)->at_service = reply->num_inputs;
	modal__client__function_call_from_id_response__free_unpacked(reply, NULL);
	modal_call_opened(mc);
	modal_call_pump(mc);
}

/* --- batches -------------------------------------------------------------- */

static bool
is_uploaded(const ModalCall *mc, const CallInput *input)
{
	return input->len <= modal_call_inline_limit(mc) || input->blob_id != NULL;
}

/*
 * Batches end where the ordinal is a multiple of this: so large that requests
 * are few, and small enough that the window holds several.
 */
static uint32_t
group_size(const ModalCall *mc)
{
	uint32_t n = SPAWN_CHUNK;

	while (n > 1 && n * 4 > mc->call->open.window)
		n /= 2;
	return n;
}

/* Of what was sent from here, is nothing still to be answered? */
static bool
is_idle(const SpawnCall *spawn)
{
	const DispatchCall *call = spawn->mc.call;

	return call->npending == 0 && spawn->nanswered >= call->sent;
}

/*
 * Will nothing more come until what we have is sent?  Not so while outputs
 * are outstanding, or have only just been handed over: each makes room for
 * more inputs, whatever it is that the caller limits.
 */
static bool
must_flush(const SpawnCall *spawn)
{
	const DispatchCall *call = spawn->mc.call;

	if (call->npending > 0)
		return false;
	if (call->sent == 0 && (call->received >= call->open.window ||
							call->received >= spawn->mc.window))
		return true;
	return call->finished || (spawn->flush && is_idle(spawn));
}

static void
begin_batch(SpawnCall *spawn)
{
	spawn->batch = (Batch){.rest = &spawn->mc.ready};
}

/*
 * How many inputs the next batch has; 0: it is not complete yet.  Each input
 * is counted once, however often this is asked.
 */
static uint32_t
next_batch(SpawnCall *spawn)
{
	const ModalCall *mc = &spawn->mc;
	Batch *batch = &spawn->batch;
	uint32_t size = group_size(mc);
	CallInput *input;

	while (!batch->complete && (input = *batch->rest) != NULL)
	{
		/* uploaded ones count, too: the caller limits what is under way */
		if (batch->n > 0 &&
			(input->ordinal / size != mc->ready->ordinal / size ||
			 batch->bytes + input->len > SPAWN_CHUNK_BYTES))
		{
			batch->complete = true;
			break;
		}
		if (!is_uploaded(mc, input))
			return 0;
		batch->bytes += input->len;
		batch->n++;
		batch->rest = &input->next;
		batch->complete = input->ordinal % size == size - 1;
	}
	return batch->complete || must_flush(spawn) ? batch->n : 0;
}

static bool
send_batch(SpawnCall *spawn, uint32_t n)
{
	ModalCall *mc = &spawn->mc;
	PutRequest *put = put_request_add(mc);
	GrpcSpec spec;
	uint8_t key[16];

	if (put == NULL || (put->ordinals = calloc(n, sizeof(int64_t))) == NULL)
		return false;
	spec = wire_put(mc, put);
	while (put->n < n)
	{
		CallInput *input = modal_call_pop_ready(mc);

		put->ordinals[put->n++] = input->ordinal;
		wire_put_input(mc, &spec.request, input->ordinal, input);
		if (input->ordinal > spawn->highest)
			spawn->highest = input->ordinal;
		call_input_free(input);
	}
	begin_batch(spawn);
	if (!spawn_key(mc, "inputs", put->ordinals, n, key))
	{
		buf_free(&spec.request);
		return false;
	}
	spec.idempotency = key;
	if (mc->call->sent == 0)
		spawn->first_sent = put->ordinals[0];
	mc->call->sent += n;
	call_touch(mc->call);
	return modal_call_start_put(put, &spec);
}

/* Move on what has arrived; false: the call has ended. */
static bool
take_inputs(ModalCall *mc)
{
	DispatchCall *call = mc->call;
	ModalError error;

	while (call->npending > 0 && mc->nuploads < MAX_UPLOADS)
	{
		CallInput *input = modal_call_take(mc);

		if (input == NULL)
			return false;
		modal_call_push_ready(mc, input);
		if (input->ordinal < 0 || input->ordinal > MAX_INDEX)
		{
			modal_error(&error, MODAL_SQLSTATE_TOO_LARGE, NULL,
						"a job at a Modal server cannot have more than %d inputs",
						MAX_INDEX);
			modal_call_fail(mc, &error);
			return false;
		}
		if (!is_uploaded(mc, input) && !modal_call_upload(mc, input, true))
		{
			modal_call_fail_memory(mc);
			return false;
		}
	}
	return true;
}

static void
on_flush_timer(void *arg)
{
	SpawnCall *spawn = arg;

	spawn->flush = true;
	modal_call_pump(&spawn->mc);
}

/* --- the end of inputs ---------------------------------------------------- */

static void
on_finished(void *arg, const GrpcResult *result)
{
	SpawnCall *spawn = arg;

	spawn->finish_inputs = NULL;
	if (result->status != GRPC_OK)
	{
		modal_call_fail_grpc(&spawn->mc, result, "FunctionFinishInputs");
		return;
	}
	spawn->inputs_finished = true;
	modal_call_pump(&spawn->mc);
}

static bool
finish_inputs(SpawnCall *spawn)
{
	ModalCall *mc = &spawn->mc;
	GrpcSpec spec = grpc_spec(mc->mt->control, "FunctionFinishInputs",
							  mc->call, on_finished, spawn);
	uint8_t key[16];

	if (spawn->total < 0)
		spawn->total = mc->call->open.remote_call_id.n > 0
			? spawn->highest + 1
			: (int64_t) mc->call->received;
	pb_put_string(&spec.request, 1, mc->handle->function_id);
	pb_put_bytes(&spec.request, 2, mc->call_id.data, mc->call_id.len);
	pb_put_uint(&spec.request, 3, spawn->total);
	grpc_end(&spec.request);
	if (!spawn_key(mc, "finish", &spawn->total, 1, key))
	{
		buf_free(&spec.request);
		return false;
	}
	spec.idempotency = key;
	spec.max_retries = GRPC_RETRY_FOREVER;
	spawn->finish_inputs = grpc_start(&spec);
	return spawn->finish_inputs != NULL;
}

/* Have all inputs been sent and acknowledged, but not been finished? */
static bool
is_at_end(const SpawnCall *spawn)
{
	const ModalCall *mc = &spawn->mc;

	return mc->call->finished && mc->call->npending == 0 && mc->nready == 0 &&
		mc->nputs == 0 && !spawn->inputs_finished &&
		spawn->finish_inputs == NULL;
}

/* False: no memory. */
static bool
send_inputs(SpawnCall *spawn)
{
	ModalCall *mc = &spawn->mc;
	uint32_t n;

	while (mc->nputs < MAX_PUTS && (n = next_batch(spawn)) > 0)
	{
		if (!send_batch(spawn, n))
			return false;
	}
	spawn->flush = false;
	if (mc->ready != NULL && is_idle(spawn) &&
		spawn->flush_timer.heap_index == 0 &&
		!timer_set(&spawn->flush_timer, monotonic_seconds() + FLUSH_DELAY_S))
		return false;
	return !is_at_end(spawn) || finish_inputs(spawn);
}

static bool
spawn_pump(ModalCall *mc)
{
	if (!take_inputs(mc))
		return false;
	if (!mc->started || send_inputs(SPAWN_CALL(mc)))
		return true;
	modal_call_fail_memory(mc);
	return false;
}

/*
 * The caller relies on ACCEPTED coming in order, so batches that are
 * acknowledged early wait for those before them.
 */
static bool
spawn_put_done(PutRequest *put, const GrpcResult *result)
{
	ModalCall *mc = put->mc;
	ListNode *node;

	(void) result;
	put->acknowledged = true;
	while ((node = list_first(&mc->puts)) != NULL)
	{
		uint32_t from = 0;

		put = LIST_OWNER(PutRequest, node, node);
		if (!put->acknowledged)
			break;
		for (uint32_t i = 1; i <= put->n; i++)
		{
			if (i < put->n && put->ordinals[i] == put->ordinals[i - 1] + 1)
				continue;
			call_accepted(mc->call, put->ordinals[from], i - from);
			from = i;
		}
		put_request_free(put);
	}
	return true;
}

/* --- outputs -------------------------------------------------------------- */

static bool
grow_seen(SpawnCall *spawn, int64_t idx)
{
	int64_t bits = spawn->seen_bits > 0 ? spawn->seen_bits * 2 : 8192;
	uint8_t *seen;

	while (bits <= idx)
		bits *= 2;
	seen = realloc(spawn->seen, bits / 8);
	if (seen == NULL)
		return false;
	memset(seen + spawn->seen_bits / 8, 0, (bits - spawn->seen_bits) / 8);
	spawn->seen = seen;
	spawn->seen_bits = bits;
	return true;
}

/* Is there an input with this index, as far as we know? */
static bool
is_sent(const SpawnCall *spawn, int64_t idx)
{
	int64_t total = spawn->mc.call->open.total_inputs;

	return idx >= 0 && (total < 0 || idx < total) &&
		(idx <= spawn->highest || idx < spawn->at_service);
}

/*
 * False: seen already, before the caller's first, or of no input: an index
 * takes memory, so it is not for the service to make up.
 */
static bool
is_wanted(SpawnCall *spawn, int64_t idx)
{
	const DispatchCall *call = spawn->mc.call;
	uint8_t bit = 1 << (idx & 7);

	if (!is_sent(spawn, idx) || (idx >= spawn->seen_bits && !grow_seen(spawn, idx)) ||
		(spawn->seen[idx / 8] & bit) != 0)
		return false;
	spawn->seen[idx / 8] |= bit;
	spawn->nseen++;
	spawn->mc.poll_brought = true;
	if (call->sent > 0 && idx >= spawn->first_sent)
		spawn->nanswered++;
	spawn->empty_at_end = 0;
	return idx >= call->open.first_ordinal;
}

static bool
spawn_output(ModalCall *mc, const WireOutput *output, double now)
{
	(void) now;
	if (!is_wanted(SPAWN_CALL(mc), output->idx) ||
		modal_deliver(mc, output->idx, output->retry_count + 1, output))
		return true;
	modal_call_fail_memory(mc);
	return false;
}

/* Has the service all inputs, and is at work at none? */
static bool
all_finished(const SpawnCall *spawn)
{
	return spawn->inputs_finished && spawn->none_unfinished;
}

static bool
spawn_is_done(const ModalCall *mc)
{
	const SpawnCall *spawn = SPAWN_CALL(mc);

	return spawn->inputs_finished && spawn->nseen >= spawn->total;
}

static bool
spawn_wants_poll(ModalCall *mc, PollWish *wish)
{
	const SpawnCall *spawn = SPAWN_CALL(mc);

	if (spawn->empty_timer.heap_index != 0 || spawn_is_done(mc))
		return false;
	if (all_finished(spawn))
		wish->timeout = 0;
	return mc->call->open.remote_call_id.n > 0 ||
		spawn->nseen < (int64_t) mc->call->sent;
}

static void
on_empty_timer(void *arg)
{
	SpawnCall *spawn = arg;

	(void) modal_call_ensure_poll(&spawn->mc);
}

/* When there is nothing, though all is sent: have results expired? */
static bool
spawn_polled(ModalCall *mc, uint32_t n, int64_t unfinished)
{
	SpawnCall *spawn = SPAWN_CALL(mc);
	ModalError error;

	spawn->none_unfinished = unfinished == 0;
	if (n > 0 || !all_finished(spawn))
		return true;
	if (++spawn->empty_at_end < EMPTY_POLLS)
	{
		/* Look at everything once more, and not in a tight loop. */
		buf_reset(&mc->cursor);
		timer_set(&spawn->empty_timer,
				  monotonic_seconds() + EMPTY_POLL_DELAY_S);
		return true;
	}
	modal_error(&error, MODAL_SQLSTATE_GONE,
				"The service keeps results for a limited time; run the inputs again.",
				"results of remote call \"%s\" have expired",
				buf_cstr(&mc->call_id));
	modal_call_fail(mc, &error);
	return false;
}

/* --- the kind of call ----------------------------------------------------- */

static void
spawn_init(ModalCall *mc)
{
	SpawnCall *spawn = SPAWN_CALL(mc);

	timer_init(&spawn->empty_timer, on_empty_timer, spawn);
	timer_init(&spawn->flush_timer, on_flush_timer, spawn);
	spawn->total = mc->call->open.total_inputs;
	spawn->highest = -1;
	begin_batch(spawn);
}

static void
spawn_free(ModalCall *mc)
{
	SpawnCall *spawn = SPAWN_CALL(mc);

	timer_cancel(&spawn->empty_timer);
	timer_cancel(&spawn->flush_timer);
	if (spawn->finish_inputs != NULL)
		grpc_cancel(spawn->finish_inputs);
	free(spawn->seen);
}

/*
 * A call that is resumed is asked for first: a NOT_FOUND of any other request
 * could mean many things, and the caller gives up results that are there when
 * it is told that the call is gone.
 */
static bool
spawn_begin(ModalCall *mc)
{
	uint8_t key[16];

	if (mc->call->open.remote_call_id.n > 0
			? modal_call_find(mc, on_call_found)
			: spawn_key(mc, "start", NULL, 0, key) &&
				modal_call_start(mc, NULL, key))
		return true;
	modal_call_fail_memory(mc);
	return false;
}

static bool
spawn_started(ModalCall *mc, const WireStarted *started)
{
	(void) mc;
	(void) started;
	return true;
}

/* It goes on at the service, unless the caller does not want it any more. */
static void
spawn_leave(ModalCall *mc, CallEnd end, bool terminate)
{
	if (end == END_CANCELLED)
		modal_cancel_remote(mc->mt, buf_cstr(&mc->call_id), terminate);
}

const ModalKind spawn_kind = {
	.size = sizeof(SpawnCall),
	.background = true,
	.invocation = INVOCATION_ASYNC,
	.init = spawn_init,
	.free = spawn_free,
	.begin = spawn_begin,
	.started = spawn_started,
	.pump = spawn_pump,
	.put_done = spawn_put_done,
	.wants_poll = spawn_wants_poll,
	.output = spawn_output,
	.polled = spawn_polled,
	.is_done = spawn_is_done,
	.leave = spawn_leave,
};
