/*-------------------------------------------------------------------------
 *
 * modal_spawn.c
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
#include "worker/modal_call.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "core/pb.h"

#define MAX_INDEX INT32_MAX /* an index is 32 bits on the wire */
#define FLUSH_DELAY_S 0.05	/* of an incomplete batch, when all else is done */
#define EMPTY_POLL_DELAY_S 1.0
#define EMPTY_POLLS 3		/* at the end, before results count as expired */

static void on_empty_timer(void *arg);
static void on_flush_timer(void *arg);

void
spawn_begin(ModalCall *mc)
{
	timer_init(&mc->empty_timer, on_empty_timer, mc);
	timer_init(&mc->flush_timer, on_flush_timer, mc);
	mc->total = mc->call->open.total_inputs;
}

void
spawn_free(ModalCall *mc)
{
	if (!mc->async)
		return;
	timer_cancel(&mc->empty_timer);
	timer_cancel(&mc->flush_timer);
	if (mc->finish_inputs != NULL)
		grpc_cancel(mc->finish_inputs);
	free(mc->seen);
}

bool
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
	modal__client__function_call_from_id_response__free_unpacked(reply, NULL);
	modal_call_opened(mc);
	modal_call_pump(mc);
}

/*
 * First make sure that the service still has the call: a NOT_FOUND of
 * any other request could mean many things, and the caller gives up results
 * that are there when it is told that the call is gone.
 */
void
spawn_resume(ModalCall *mc)
{
	if (!modal_call_find(mc, on_call_found))
		modal_call_fail_memory(mc);
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
is_idle(const ModalCall *mc)
{
	return mc->call->npending == 0 && mc->nanswered >= mc->call->sent;
}

/*
 * Will nothing more come until what we have is sent?  Not so while outputs
 * are outstanding, or have only just been handed over: each makes room for
 * more inputs, whatever it is that the caller limits.
 */
static bool
must_flush(const ModalCall *mc)
{
	const DispatchCall *call = mc->call;

	if (call->npending > 0)
		return false;
	if (call->sent == 0 && (call->received >= call->open.window ||
							call->received >= mc->window))
		return true;
	return call->finished || (mc->flush && is_idle(mc));
}

/* How many inputs the next batch has; 0: it is not complete yet. */
static uint32_t
next_batch(const ModalCall *mc)
{
	const CallInput *input = mc->ready;
	uint32_t size = group_size(mc);
	int64_t group;
	size_t bytes = 0;
	uint32_t n = 0;

	if (input == NULL)
		return 0;
	group = input->ordinal / size;
	for (; input != NULL; input = input->next)
	{
		if (input->ordinal / size != group)
			return n;
		/* uploaded ones count, too: the caller limits what is under way */
		if (n > 0 && bytes + input->len > SPAWN_CHUNK_BYTES)
			return n;
		if (!is_uploaded(mc, input))
			return 0;
		bytes += input->len;
		n++;
		if (input->ordinal % size == size - 1)
			return n;
	}
	return must_flush(mc) ? n : 0;
}

static bool
send_batch(ModalCall *mc, uint32_t n)
{
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
		if (input->ordinal > mc->highest)
			mc->highest = input->ordinal;
		call_input_free(input);
	}
	if (!spawn_key(mc, "inputs", put->ordinals, n, key))
		return false;
	spec.idempotency = key;
	if (mc->call->sent == 0)
		mc->first_sent = put->ordinals[0];
	mc->call->sent += n;
	call_touch(mc->call);
	return modal_call_start_put(put, &spec);
}

/* Move on what has arrived; false: the call has ended. */
static bool
take_inputs(ModalCall *mc)
{
	DispatchCall *call = mc->call;

	while (call->npending > 0 && mc->nuploads < MAX_UPLOADS)
	{
		CallInput *input = modal_call_take(mc);

		if (input == NULL)
			return false;
		*mc->ready_tail = input;
		mc->ready_tail = &input->next;
		mc->nready++;
		if (!is_uploaded(mc, input) && !modal_call_upload(mc, input))
		{
			modal_call_fail_memory(mc);
			return false;
		}
	}
	return true;
}

static bool
ordinals_are_valid(const ModalCall *mc)
{
	for (const CallInput *input = mc->call->pending; input != NULL;
		 input = input->next)
	{
		if (input->ordinal < 0 || input->ordinal > MAX_INDEX)
			return false;
	}
	return true;
}

static void
on_flush_timer(void *arg)
{
	ModalCall *mc = arg;

	mc->flush = true;
	modal_call_pump(mc);
}

/* --- the end of inputs ---------------------------------------------------- */

static void
on_finished(void *arg, const GrpcResult *result)
{
	ModalCall *mc = arg;

	mc->finish_inputs = NULL;
	if (result->status != GRPC_OK)
	{
		modal_call_fail_grpc(mc, result, "FunctionFinishInputs");
		return;
	}
	mc->inputs_finished = true;
	modal_call_pump(mc);
}

static bool
finish_inputs(ModalCall *mc)
{
	GrpcSpec spec = grpc_spec(mc->mt->control, "FunctionFinishInputs",
							  mc->call, on_finished, mc);
	uint8_t key[16];

	if (mc->total < 0)
		mc->total = mc->call->open.remote_call_id.n > 0
			? mc->highest + 1
			: (int64_t) mc->call->received;
	pb_put_string(&spec.request, 1, mc->handle->function_id);
	pb_put_bytes(&spec.request, 2, mc->call_id.data, mc->call_id.len);
	pb_put_uint(&spec.request, 3, mc->total);
	grpc_end(&spec.request);
	if (!spawn_key(mc, "finish", &mc->total, 1, key))
		return false;
	spec.idempotency = key;
	spec.max_retries = GRPC_RETRY_FOREVER;
	mc->finish_inputs = grpc_start(&spec);
	return mc->finish_inputs != NULL;
}

bool
spawn_pump(ModalCall *mc)
{
	uint32_t n;

	if (!ordinals_are_valid(mc))
	{
		ModalError error;

		modal_error(&error, MODAL_SQLSTATE_TOO_LARGE, NULL,
					"a job at a Modal server cannot have more than %d inputs",
					MAX_INDEX);
		modal_call_fail(mc, &error);
		return false;
	}
	if (!take_inputs(mc))
		return false;
	if (mc->started)
	{
		while (mc->nputs < MAX_PUTS && (n = next_batch(mc)) > 0)
		{
			if (!send_batch(mc, n))
				goto no_memory;
		}
		mc->flush = false;
		if (mc->ready != NULL && is_idle(mc) &&
			mc->flush_timer.heap_index == 0 &&
			!timer_set(&mc->flush_timer, monotonic_seconds() + FLUSH_DELAY_S))
			goto no_memory;
		if (mc->call->finished && mc->call->npending == 0 && mc->nready == 0 &&
			mc->nputs == 0 && !mc->inputs_finished &&
			mc->finish_inputs == NULL && !finish_inputs(mc))
			goto no_memory;
	}
	return true;

no_memory:
	modal_call_fail_memory(mc);
	return false;
}

/*
 * The caller relies on ACCEPTED coming in order, so batches that are
 * acknowledged early wait for those before them.
 */
void
spawn_put_done(PutRequest *put)
{
	ModalCall *mc = put->mc;

	put->acknowledged = true;
	while ((put = mc->puts) != NULL && put->acknowledged)
	{
		uint32_t from = 0;

		for (uint32_t i = 1; i <= put->n; i++)
		{
			if (i < put->n && put->ordinals[i] == put->ordinals[i - 1] + 1)
				continue;
			call_accepted(mc->call, put->ordinals[from], i - from);
			from = i;
		}
		put_request_free(put);
	}
}

/* --- outputs -------------------------------------------------------------- */

static bool
grow_seen(ModalCall *mc, int64_t idx)
{
	int64_t bits = mc->seen_bits > 0 ? mc->seen_bits * 2 : 8192;
	uint8_t *seen;

	while (bits <= idx)
		bits *= 2;
	seen = realloc(mc->seen, bits / 8);
	if (seen == NULL)
		return false;
	memset(seen + mc->seen_bits / 8, 0, (bits - mc->seen_bits) / 8);
	mc->seen = seen;
	mc->seen_bits = bits;
	return true;
}

bool
spawn_wants_output(ModalCall *mc, int64_t idx)
{
	uint8_t bit = 1 << (idx & 7);

	if (idx < 0 || (idx >= mc->seen_bits && !grow_seen(mc, idx)) ||
		(mc->seen[idx / 8] & bit) != 0)
		return false;
	mc->seen[idx / 8] |= bit;
	mc->nseen++;
	if (mc->call->sent > 0 && idx >= mc->first_sent)
		mc->nanswered++;
	mc->empty_at_end = 0;
	return idx >= mc->call->open.first_ordinal;
}

bool
spawn_all_finished(const ModalCall *mc)
{
	return mc->inputs_finished && mc->none_unfinished;
}

bool
spawn_is_done(const ModalCall *mc)
{
	return mc->inputs_finished && mc->nseen >= mc->total;
}

bool
spawn_wants_poll(const ModalCall *mc)
{
	if (mc->empty_timer.heap_index != 0 || spawn_is_done(mc))
		return false;
	return mc->call->open.remote_call_id.n > 0 ||
		mc->nseen < (int64_t) mc->call->sent;
}

static void
on_empty_timer(void *arg)
{
	modal_call_ensure_poll(arg);
}

bool
spawn_poll_empty(ModalCall *mc)
{
	ModalError error;

	if (!spawn_all_finished(mc))
		return false;
	if (++mc->empty_at_end < EMPTY_POLLS)
	{
		/* Look at everything once more, and not in a tight loop. */
		buf_reset(&mc->cursor);
		timer_set(&mc->empty_timer, monotonic_seconds() + EMPTY_POLL_DELAY_S);
		return false;
	}
	modal_error(&error, MODAL_SQLSTATE_GONE,
				"The service keeps results for a limited time; run the inputs again.",
				"results of remote call \"%s\" have expired",
				buf_cstr(&mc->call_id));
	modal_call_fail(mc, &error);
	return true;
}
