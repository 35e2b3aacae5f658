/*-------------------------------------------------------------------------
 *
 * modal_generator.c
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
#include "worker/modal_call.h"

#include <stdlib.h>
#include <string.h>

#include "core/pb.h"

#define MAX_REOPENINGS 10
#define FIRST_REOPEN_DELAY 0.001
#define MAX_REOPEN_DELAY 1.0

typedef struct Chunk
{
	struct Chunk *next;
	uint64_t index;
	WireOutput output;
	size_t n;
	uint8_t data[]; /* item, or blob id */
} Chunk;

struct Generator
{
	ModalCall *mc;
	GrpcCall *stream;
	Timer reopen;
	double delay;
	int reopenings;
	uint64_t last_index;  /* received */
	uint64_t delivered;
	bool total_known;
	uint64_t total;
	Chunk *head, **tail;
	size_t queued_bytes;
	BlobDownload *blob;	  /* of the head */
};

static void open_stream(void *arg);
static bool deliver_chunks(Generator *gen);

bool
generator_create(ModalCall *mc)
{
	Generator *gen = calloc(1, sizeof(*gen));

	if (gen == NULL)
		return false;
	gen->mc = mc;
	gen->tail = &gen->head;
	gen->delay = FIRST_REOPEN_DELAY;
	timer_init(&gen->reopen, open_stream, gen);
	mc->generator = gen;
	return true;
}

static void
pop_chunk(Generator *gen)
{
	Chunk *chunk = gen->head;

	gen->head = chunk->next;
	if (gen->head == NULL)
		gen->tail = &gen->head;
	gen->queued_bytes -= chunk->n;
	free(chunk);
}

void
generator_free(ModalCall *mc)
{
	Generator *gen = mc->generator;

	if (gen == NULL)
		return;
	if (gen->stream != NULL)
		grpc_cancel(gen->stream);
	if (gen->blob != NULL)
		blob_download_cancel(gen->blob);
	timer_cancel(&gen->reopen);
	while (gen->head != NULL)
		pop_chunk(gen);
	free(gen);
	mc->generator = NULL;
}

/* --- items to the reader -------------------------------------------------- */

static void
deliver_item(Generator *gen, const WireOutput *output, Slice data)
{
	ModalCall *mc = gen->mc;
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
	Generator *gen = arg;

	gen->blob = NULL;
	if (data == NULL)
	{
		modal_call_fail(gen->mc, error);
		return;
	}
	deliver_item(gen, &gen->head->output,
				 (Slice){(char *) data->data, data->len});
	pop_chunk(gen);
	deliver_chunks(gen);
}

/* True: the call has ended. */
static bool
deliver_chunks(Generator *gen)
{
	ModalCall *mc = gen->mc;
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
			blob_download(mc->mt, mc->call, data, on_item_downloaded, gen);
		if (gen->blob == NULL)
		{
			modal_call_fail_memory(mc);
			return true;
		}
	}
	if (gen->total_known && gen->delivered >= gen->total)
	{
		modal_call_end(mc);
		return true;
	}
	/* Closed while the reader had no room. */
	if (gen->stream == NULL && gen->reopen.heap_index == 0 &&
		gen->head == NULL && mc->started)
		open_stream(gen);
	return false;
}

void
generator_consumed(ModalCall *mc)
{
	deliver_chunks(mc->generator);
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
	Generator *gen = arg;
	WireOutput output;
	ModalError error;
	Chunk *chunk;
	Slice data;
	uint64_t index;

	if (!read_chunk(p, n, &output, &index))
	{
		modal_error(&error, MODAL_SQLSTATE_PROTOCOL, NULL,
					"an item of the generator cannot be read");
		modal_call_fail(gen->mc, &error);
		return;
	}
	if (index <= gen->last_index)
		return;
	data = output.blob_id.n > 0 ? output.blob_id : output.data;
	chunk = malloc(sizeof(*chunk) + data.n);
	if (chunk == NULL)
	{
		modal_call_fail_memory(gen->mc);
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
	gen->queued_bytes += chunk->n;
	gen->last_index = index;
	gen->delay = FIRST_REOPEN_DELAY;

	/* A reader who does not keep up: close, and come back later. */
	if (gen->queued_bytes > gen->mc->call->credit.budget &&
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
	Generator *gen = arg;

	gen->stream = NULL;
	if (result->status == GRPC_OK)
	{
		gen->delay = MAX_REOPEN_DELAY;
	}
	else if (!grpc_worth_retrying(result) ||
			 ++gen->reopenings > MAX_REOPENINGS)
	{
		modal_call_fail_grpc(gen->mc, result, "FunctionCallGetDataOut");
		return;
	}
	if (!timer_set(&gen->reopen, monotonic_seconds() + gen->delay))
	{
		modal_call_fail_memory(gen->mc);
		return;
	}
	gen->delay *= 10;
	if (gen->delay > MAX_REOPEN_DELAY)
		gen->delay = MAX_REOPEN_DELAY;
}

static void
open_stream(void *arg)
{
	Generator *gen = arg;
	ModalCall *mc = gen->mc;
	GrpcSpec spec =
		grpc_spec(mc->plane != NULL ? mc->plane : mc->mt->control,
				  "FunctionCallGetDataOut", mc->call, on_stream_end, gen);

	spec.on_message = on_chunk;
	spec.auth = mc->plane != NULL;
	if (mc->plane != NULL)
		pb_put_bytes(&spec.request, 3, gen->mc->attempt_token.data,
					 gen->mc->attempt_token.len);
	else
		pb_put_bytes(&spec.request, 1, mc->call_id.data, mc->call_id.len);
	if (gen->last_index > 0)
		pb_put_uint(&spec.request, 2, gen->last_index);
	grpc_end(&spec.request);
	gen->stream = grpc_start(&spec);
	if (gen->stream == NULL)
		modal_call_fail_memory(mc);
}

bool
generator_begin(ModalCall *mc)
{
	return timer_set(&mc->generator->reopen, monotonic_seconds());
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

bool
generator_result(ModalCall *mc, const WireOutput *output)
{
	Generator *gen = mc->generator;
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
		return true;
	}
	/* Items that came before the failure were delivered, or are lost. */
	deliver_item(gen, output, (Slice){NULL, 0});
	modal_call_end(mc);
	return true;
}
