/*-------------------------------------------------------------------------
 *
 * generator.c
 *	  Generators: a stream of items beside the one result, which says how many
 *	  there are.
 *
 * Items come over FunctionCallGetDataOut, numbered from 1; a stream that ends
 * or breaks is opened again behind the last item.  The server keeps it open,
 * so it is closed when the number of items is known and reached.  Items that
 * are blobs are fetched one at a time, which keeps them in order; while one is
 * being fetched, or the reader has no room, arrived items wait here, and when
 * they take as much memory as the reader has for them the stream is closed for
 * a while.
 *
 *-------------------------------------------------------------------------
 */
#include "modal/call.h"

#include <stdlib.h>
#include <string.h>

#include "core/pb.h"
#include "core/random.h"

#define REOPEN_DELAY 1.0 /* of a stream that ended well, without the end */

static const RetryPolicy reopen_policy = {
	.first = 0.001,
	.growth = 10,
	.most = REOPEN_DELAY,
	.budget = RETRY_FOREVER,
	.tries = 10,
};

typedef struct Chunk
{
	struct Chunk *next;
	uint64_t index;
	WireOutput output;
	size_t n;
	uint8_t data[]; /* item, or blob id */
} Chunk;

typedef struct GeneratorCall
{
	SyncCall sync;
	Buf attempt_token;	  /* on an input plane */
	GrpcCall *stream;
	Timer reopen;
	Retry retry;
	uint64_t last_index;  /* received */
	uint64_t opened_behind; /* the same, when the stream was opened */
	uint64_t delivered;
	bool total_known;
	uint64_t total;
	Chunk *head, **tail;
	size_t queued_bytes;
	BlobDownload *blob;	  /* of the head */
} GeneratorCall;

#define GENERATOR_CALL(mc) ((GeneratorCall *) (mc))
#define CALL_OF(gen) (&(gen)->sync.mc)

/* What it takes, with what there is of it beside its bytes. */
static size_t
chunk_size(const Chunk *chunk)
{
	return sizeof(*chunk) + chunk->n;
}

static bool start_stream(GeneratorCall *gen);
static bool deliver_chunks(GeneratorCall *gen);

static void
pop_chunk(GeneratorCall *gen)
{
	Chunk *chunk = gen->head;

	gen->head = chunk->next;
	if (gen->head == NULL)
		gen->tail = &gen->head;
	gen->queued_bytes -= chunk_size(chunk);
	free(chunk);
}

/* --- items to the reader -------------------------------------------------- */

static void
deliver_item(GeneratorCall *gen, const WireOutput *output, Slice data)
{
	ModalCall *mc = CALL_OF(gen);
	FrameOutput out = {0};
	Buf scratch;

	buf_init(&scratch, FRAME_MAX_PAYLOAD, NULL);
	out.ordinal = gen->delivered++;
	out.attempts = 1;
	modal_output_fill(mc->call, mc->mt->allow_pickle, output, data, &scratch,
					  &out);
	call_output(mc->call, &out);
	buf_free(&scratch);
}

static void
on_item_downloaded(void *arg, Buf *data, const ModalError *error)
{
	GeneratorCall *gen = arg;

	gen->blob = NULL;
	if (data == NULL)
	{
		modal_call_fail(CALL_OF(gen), error);
		return;
	}
	deliver_item(gen, &gen->head->output,
				 (Slice){(char *) data->data, data->len});
	pop_chunk(gen);
	deliver_chunks(gen);
}

static bool
deliver_chunks(GeneratorCall *gen)
{
	ModalCall *mc = CALL_OF(gen);
	Chunk *chunk;

	while (gen->blob == NULL && (chunk = gen->head) != NULL &&
		   credit_fetch(&mc->call->credit, 1, 0) > 0)
	{
		Slice data = {(char *) chunk->data, chunk->n};

		if (chunk->output.blob_id.p == NULL)
		{
			deliver_item(gen, &chunk->output, data);
			pop_chunk(gen);
			continue;
		}
		gen->blob =
			blob_download(mc->mt, mc->call, data, NULL, NULL,
						  on_item_downloaded, gen);
		if (gen->blob == NULL)
		{
			modal_call_fail_memory(mc);
			return false;
		}
	}
	if (gen->total_known && gen->delivered >= gen->total)
	{
		modal_call_end(mc);
		return false;
	}
	/* Closed while the reader had no room. */
	if (gen->stream == NULL && gen->reopen.heap_index == 0 &&
		gen->head == NULL && mc->started)
		return start_stream(gen);
	return true;
}

static void
generator_consumed(ModalCall *mc)
{
	(void) deliver_chunks(GENERATOR_CALL(mc));
}

/* --- the stream ----------------------------------------------------------- */

static bool
read_chunk(const uint8_t *p, size_t n, WireOutput *output, uint64_t *index)
{
	PbReader r;
	PbField f;

	memset(output, 0, sizeof(*output));
	output->status = RESULT_SUCCESS;
	*index = 0;
	pb_reader_init(&r, p, n);
	while (pb_next(&r, &f))
	{
		switch (f.number)
		{
			case 1:
				output->data_format = (int) f.u;
				break;
			case 2:
				output->data = (Slice){(const char *) f.p, f.n};
				break;
			case 3:
				output->blob_id = (Slice){(const char *) f.p, f.n};
				break;
			case 4:
				*index = f.u;
				break;
		}
	}
	return !r.bad;
}

static void
on_chunk(void *arg, const uint8_t *p, size_t n)
{
	GeneratorCall *gen = arg;
	WireOutput output;
	ModalError error;
	Chunk *chunk;
	Slice data;
	uint64_t index;

	if (!read_chunk(p, n, &output, &index))
	{
		modal_error(&error, MODAL_SQLSTATE_PROTOCOL, NULL,
					"an item of the generator cannot be read");
		modal_call_fail(CALL_OF(gen), &error);
		return;
	}
	if (index <= gen->last_index)
		return;
	data = output.blob_id.n > 0 ? output.blob_id : output.data;
	chunk = malloc(sizeof(*chunk) + data.n);
	if (chunk == NULL)
	{
		modal_call_fail_memory(CALL_OF(gen));
		return;
	}
	chunk->next = NULL;
	chunk->index = index;
	chunk->n = data.n;
	chunk->output = output;
	if (output.blob_id.n == 0)
		chunk->output.blob_id.p = NULL;
	if (data.n > 0)
		memcpy(chunk->data, data.p, data.n);
	*gen->tail = chunk;
	gen->tail = &chunk->next;
	gen->queued_bytes += chunk_size(chunk);
	gen->last_index = index;
	retry_progress(&gen->retry);

	/* A reader who does not keep up: close, and come back later. */
	if (gen->queued_bytes > CALL_OF(gen)->call->credit.budget &&
		gen->stream != NULL)
	{
		grpc_cancel(gen->stream);
		gen->stream = NULL;
	}
	deliver_chunks(gen);
}

static void
on_stream_end(void *arg, const GrpcResult *result)
{
	GeneratorCall *gen = arg;

	double now = monotonic_seconds();
	/* Who has brought something may have more. */
	double pause = gen->last_index > gen->opened_behind ? 0 : REOPEN_DELAY;

	gen->stream = NULL;
	if (result->status != GRPC_OK)
	{
		if (!grpc_worth_retrying(result) ||
			!retry_failed(&gen->retry, &reopen_policy, now))
		{
			modal_call_fail_grpc(CALL_OF(gen), result, "FunctionCallGetDataOut");
			return;
		}
		pause = retry_pause(&gen->retry, &reopen_policy, now, random_unit(), 0);
	}
	if (!timer_set(&gen->reopen, now + pause))
		modal_call_fail_memory(CALL_OF(gen));
}

static bool
start_stream(GeneratorCall *gen)
{
	ModalCall *mc = CALL_OF(gen);
	GrpcSpec spec =
		grpc_spec(mc->plane != NULL ? mc->plane : mc->mt->control,
				  "FunctionCallGetDataOut", mc->call, on_stream_end, gen);

	spec.on_message = on_chunk;
	spec.auth = mc->plane != NULL;
	if (mc->plane != NULL)
		pb_put_bytes(&spec.request, 3, gen->attempt_token.data,
					 gen->attempt_token.len);
	else
		pb_put_bytes(&spec.request, 1, mc->call_id.data, mc->call_id.len);
	gen->opened_behind = gen->last_index;
	if (gen->last_index > 0)
		pb_put_uint(&spec.request, 2, gen->last_index);
	grpc_end(&spec.request);
	gen->stream = grpc_start(&spec);
	if (gen->stream != NULL)
		return true;
	modal_call_fail_memory(mc);
	return false;
}

static void
on_reopen(void *arg)
{
	(void) start_stream(arg);
}

/* --- the result ----------------------------------------------------------- */

static uint64_t
items_total(const WireOutput *output)
{
	PbReader r;
	PbField f;
	uint64_t total = 0;

	pb_reader_init(&r, output->data.p, output->data.n);
	while (pb_next(&r, &f))
	{
		if (f.number == 1)
			total = f.u;
	}
	return total;
}

/* The result that ends the stream. */
static bool
take_result(GeneratorCall *gen, const WireOutput *output)
{
	ModalCall *mc = CALL_OF(gen);
	ModalError error;

	if (output->status == RESULT_SUCCESS &&
		output->data_format == DATA_FORMAT_GENERATOR_DONE)
	{
		gen->total_known = true;
		gen->total = items_total(output);
		return deliver_chunks(gen);
	}
	if (output->status == RESULT_SUCCESS)
	{
		modal_error(&error, MODAL_SQLSTATE_PROTOCOL, NULL,
					"the generator ended without saying how many items there are");
		modal_call_fail(mc, &error);
		return false;
	}
	/* Items that came before the failure were delivered, or are lost. */
	deliver_item(gen, output, (Slice){NULL, 0});
	modal_call_end(mc);
	return false;
}

static bool
generator_output(ModalCall *mc, const WireOutput *output, double now)
{
	SyncResult result;

	return !sync_settle(mc, 0, output, now, &result) ||
		take_result(GENERATOR_CALL(mc), output);
}

/* --- the kind of call ----------------------------------------------------- */

static void
generator_init(ModalCall *mc)
{
	GeneratorCall *gen = GENERATOR_CALL(mc);

	sync_init(mc);
	buf_init(&gen->attempt_token, 64 * 1024, NULL);
	gen->tail = &gen->head;
	timer_init(&gen->reopen, on_reopen, gen);
}

static void
generator_free(ModalCall *mc)
{
	GeneratorCall *gen = GENERATOR_CALL(mc);

	if (gen->stream != NULL)
		grpc_cancel(gen->stream);
	if (gen->blob != NULL)
		blob_download_cancel(gen->blob);
	timer_cancel(&gen->reopen);
	while (gen->head != NULL)
		pop_chunk(gen);
	buf_free(&gen->attempt_token);
	sync_free(mc);
}

/* The call has begun: open the stream.  Its function is not run again. */
static bool
generator_started(ModalCall *mc, const WireStarted *started)
{
	GeneratorCall *gen = GENERATOR_CALL(mc);
	Slice token = started->item_token;

	if (!unary_started(mc, started))
		return false;
	SYNC_CALL(mc)->items.client_retries = false;
	if (mc->plane != NULL)
		buf_put(&gen->attempt_token, token.p, token.n);
	return !gen->attempt_token.failed &&
		timer_set(&gen->reopen, monotonic_seconds());
}

/* It ends with its last item. */
static bool
generator_is_done(const ModalCall *mc)
{
	(void) mc;
	return false;
}

const ModalKind generator_kind = {
	.size = sizeof(GeneratorCall),
	.unary = true,
	.invocation = INVOCATION_SYNC_LEGACY,
	.init = generator_init,
	.free = generator_free,
	.begin = unary_begin,
	.restart = unary_restart,
	.started = generator_started,
	.pump = sync_pump,
	.put_done = sync_put_done,
	.wants_poll = unary_wants_poll,
	.output = generator_output,
	.is_done = generator_is_done,
	.consumed = generator_consumed,
	.leave = unary_leave,
};
