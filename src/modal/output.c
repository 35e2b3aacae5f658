/*-------------------------------------------------------------------------
 *
 * output.c
 *	  Results of Modal functions as outputs of calls.
 *
 * A result that is a blob is fetched first; at most MAX_DOWNLOADS at a time,
 * and no more than the reader has room for.  The rest waits: in the order of
 * arrival, or of inputs where the reader wants them so.
 *
 *-------------------------------------------------------------------------
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/pickle.h"
#include "modal/call.h"

/* Downloads at a time until one has told how large they are. */
#define FIRST_DOWNLOADS 2

typedef struct Download
{
	HeapNode turn;		/* ModalCall.waiting_downloads, or active_downloads */
	ModalCall *mc;
	BlobDownload *blob; /* NULL: waits for its turn */
	uint64_t bytes;		/* that it may have, as far as is known */
	char *blob_id;
	int64_t ordinal;
	uint32_t attempts;
	WireOutput output;	/* without slices */
} Download;

/* --- failures ------------------------------------------------------------- */

static void
set_text(Slice *to, const char *text)
{
	to->p = text;
	to->n = strlen(text);
}

/* The class in a Python repr: what stands before "(". */
static Slice
exception_class(Slice repr)
{
	size_t n = 0;

	while (n < repr.n && (isalnum((unsigned char) repr.p[n]) ||
						  repr.p[n] == '_' || repr.p[n] == '.'))
		n++;
	if (n > 0 && n < repr.n && repr.p[n] == '(')
		return (Slice){repr.p, n};
	return (Slice){"", 0};
}

static void
fill_failure(const WireOutput *wire, Buf *scratch, FrameOutput *out)
{
	const char *sqlstate = MODAL_SQLSTATE_REMOTE;
	const char *message = "the remote function failed without a message";

	switch (wire->status)
	{
		case RESULT_TIMEOUT:
			sqlstate = MODAL_SQLSTATE_TIMEOUT;
			message = "the remote function ran into its timeout";
			out->retryable = true;
			break;
		case RESULT_TERMINATED:
			sqlstate = MODAL_SQLSTATE_TIMEOUT;
			message = "the remote call was cancelled";
			break;
		case RESULT_INTERNAL_FAILURE:
			sqlstate = MODAL_SQLSTATE_CONNECTION;
			message = "internal failure of the service";
			out->retryable = true;
			break;
	}
	memcpy(out->sqlstate, sqlstate, 5);
	out->message = wire->exception;
	out->type = exception_class(wire->exception);
	out->traceback = wire->traceback;

	/* Recorded by the platform itself: only a pickle tells. */
	if (wire->exception.n == 0 && wire->data.n > 0 &&
		wire->data_format <= DATA_FORMAT_PICKLE)
	{
		Buf type;

		buf_init(&type, 4096, NULL);
		if (pickle_exception(wire->data.p, wire->data.n, &type, scratch))
		{
			/* Both in one buffer, as both must stay. */
			size_t n = scratch->len;

			buf_put(scratch, type.data, type.len);
			out->message = (Slice){(char *) scratch->data, n};
			if (!scratch->failed)
				out->type = (Slice){(char *) scratch->data + n, type.len};
		}
		buf_free(&type);
	}
	if (out->message.n == 0)
		set_text(&out->message, message);
}

static void
fill_unreadable(FrameOutput *out, const char *message)
{
	out->ok = 0;
	memcpy(out->sqlstate, MODAL_SQLSTATE_PROTOCOL, 5);
	set_text(&out->message, message);
}

static void
fill_success(const DispatchCall *call, bool allow_pickle,
			 const WireOutput *wire, Slice data, Buf *scratch,
			 FrameOutput *out)
{
	const char *problem;

	out->ok = 1;
	out->format = PAYLOAD_CBOR;
	if (call->open.flags & CALL_DISCARD)
		return;
	if (wire->data_format == DATA_FORMAT_CBOR)
		out->data = data;
	else if (wire->data_format != DATA_FORMAT_PICKLE)
		fill_unreadable(out, "the result is in a format that is not known");
	else if (!allow_pickle)
		fill_unreadable(out, "the result is a pickle, and the server option allow_pickle is not set");
	else if ((problem = pickle_to_cbor(scratch, data.p, data.n)) != NULL)
		fill_unreadable(out, problem);
	else
		out->data = (Slice){(char *) scratch->data, scratch->len};
}

void
modal_output_fill(const DispatchCall *call, bool allow_pickle,
				  const WireOutput *wire, Slice data, Buf *scratch,
				  FrameOutput *out)
{
	out->started_at = wire->started_at;
	out->finished_at = wire->finished_at;
	if (wire->status == RESULT_SUCCESS)
		fill_success(call, allow_pickle, wire, data, scratch, out);
	else
		fill_failure(wire, scratch, out);
}

/* --- delivery ------------------------------------------------------------- */

static FrameOutput
make_output(const ModalCall *mc, int64_t ordinal, uint32_t attempts,
			const WireOutput *wire, Slice data, Buf *scratch)
{
	FrameOutput out = {0};

	out.ordinal = ordinal;
	out.attempts = attempts < UINT16_MAX ? attempts : UINT16_MAX;
	modal_output_fill(mc->call, mc->mt->allow_pickle, wire, data, scratch,
					  &out);
	return out;
}

/* owner: the buffer that data is all of, or NULL */
static void
deliver(ModalCall *mc, int64_t ordinal, uint32_t attempts,
		const WireOutput *wire, Slice data, Buf *owner)
{
	FrameOutput out;
	Buf scratch;

	buf_init(&scratch, FRAME_MAX_PAYLOAD, NULL);
	out = make_output(mc, ordinal, attempts, wire, data, &scratch);
	call_output_from(mc->call, &out, scratch.len > 0 ? &scratch : owner);
	buf_free(&scratch);
}

static void
leave_active(Download *download)
{
	ModalCall *mc = download->mc;

	heap_remove(&mc->active_downloads, &download->turn);
	mc->active_bytes -= download->bytes;
	download->blob = NULL;
}

static void
download_free(Download *download)
{
	ModalCall *mc = download->mc;

	if (download->blob != NULL)
		leave_active(download);
	else
		heap_remove(&mc->waiting_downloads, &download->turn);
	free(download->blob_id);
	free(download);
}

static void on_downloaded(void *arg, Buf *data, const ModalError *error);

bool
modal_is_download(const ModalCall *mc, int64_t ordinal)
{
	return map_get(&mc->downloads, ordinal) != NULL;
}

/* Do those that are under way, and what the reader has, leave nothing? */
static bool
is_budget_used(const ModalCall *mc, uint64_t active_bytes)
{
	const Credit *credit = &mc->call->credit;

	return credit->held + active_bytes >= credit->budget;
}

/*
 * May the blob be so large?  It begins when there is room for what is expected.
 * If it is more and the others leave nothing of the budget, it waits for its
 * turn again; the first one never does, so that there is always one that comes.
 */
static bool
may_hold(void *arg, uint64_t bytes)
{
	Download *download = arg;
	ModalCall *mc = download->mc;

	if (bytes <= download->bytes)
		return true;
	output_size_note(&mc->blob_size, bytes, 1);
	if (heap_first(&mc->active_downloads) != &download->turn &&
		is_budget_used(mc, mc->active_bytes - download->bytes))
		return false;
	mc->active_bytes += bytes - download->bytes;
	download->bytes = bytes;
	return true;
}

/* The one result of a call can be passed on as it comes, if it needs no reading. */
static bool
is_passed_on(const ModalCall *mc, const Download *download)
{
	return mc->call->open.kind == CALL_REMOTE &&
		download->output.data_format == DATA_FORMAT_CBOR;
}

static void
on_more(void *arg, const Buf *body, uint64_t length)
{
	const Download *download = arg;
	const ModalCall *mc = download->mc;
	FrameOutput out;
	Buf scratch;

	buf_init(&scratch, FRAME_MAX_PAYLOAD, NULL);
	out = make_output(mc, download->ordinal, download->attempts,
					  &download->output, (Slice){(char *) body->data, length},
					  &scratch);
	call_output_begun(mc->call, &out, body->len);
	buf_free(&scratch);
}

bool
modal_downloads_start(ModalCall *mc)
{
	const Credit *credit = &mc->call->credit;
	uint64_t each = output_size_peak(&mc->blob_size);
	uint32_t limit = mc->blob_size.weight > 0 ? MAX_DOWNLOADS : FIRST_DOWNLOADS;
	HeapNode *first;

	while (mc->active_downloads.count < limit &&
		   (first = heap_first(&mc->waiting_downloads)) != NULL)
	{
		Download *next = HEAP_OWNER(Download, turn, first);

		if ((credit_fetch(credit, each, mc->active_downloads.count) == 0 ||
			 is_budget_used(mc, mc->active_bytes)) &&
			credit_awaited(credit) != next->ordinal)
			break;
		if (!heap_reserve(&mc->active_downloads, MAX_DOWNLOADS) ||
			(next->blob = blob_download(
				 mc->mt, mc->call,
				 (Slice){next->blob_id, strlen(next->blob_id)}, may_hold,
				 is_passed_on(mc, next) ? on_more : NULL, on_downloaded,
				 next)) == NULL)
			/* tried again when another one is through */
			return mc->active_downloads.count > 0;
		heap_remove(&mc->waiting_downloads, first);
		(void) heap_put(&mc->active_downloads, first, first->key);
		next->bytes = each;
		mc->active_bytes += each;
	}
	return true;
}

static void
on_downloaded(void *arg, Buf *data, const ModalError *error)
{
	Download *download = arg;
	ModalCall *mc = download->mc;

	leave_active(download);
	if (data == NULL && error == NULL)
	{
		if (heap_put(&mc->waiting_downloads, &download->turn,
					 download->turn.key))
			modal_call_pump(mc);
		else
			modal_call_fail_memory(mc);
		return;
	}
	if (data != NULL)
	{
		output_size_note(&mc->blob_size, data->len, 1);
		deliver(mc, download->ordinal, download->attempts, &download->output,
				(Slice){(char *) data->data, data->len}, data);
	}
	else
	{
		FrameOutput out = {0};

		out.ordinal = download->ordinal;
		out.attempts = download->attempts;
		out.retryable = error->retryable;
		memcpy(out.sqlstate, error->sqlstate, 5);
		set_text(&out.message, error->message);
		call_output(mc->call, &out);
		if (!(mc->call->open.flags & CALL_RETURN_EXCEPTIONS))
			mc->stop = true;
	}
	map_remove(&mc->downloads, download->ordinal);
	download_free(download);
	if (modal_downloads_start(mc))
		modal_call_pump(mc);
	else
		modal_call_fail_memory(mc);
}

bool
modal_deliver(ModalCall *mc, int64_t ordinal, uint32_t attempts,
			  const WireOutput *output)
{
	Download *download;

	if (output->status != RESULT_SUCCESS || output->blob_id.n == 0 ||
		(mc->call->open.flags & CALL_DISCARD))
	{
		deliver(mc, ordinal, attempts, output, output->data, NULL);
		return true;
	}
	download = calloc(1, sizeof(*download));
	if (download == NULL)
		return false;
	download->mc = mc;
	download->ordinal = ordinal;
	download->attempts = attempts;
	download->output.status = output->status;
	download->output.data_format = output->data_format;
	download->output.started_at = output->started_at;
	download->output.finished_at = output->finished_at;
	download->blob_id = strndup(output->blob_id.p, output->blob_id.n);
	if (download->blob_id == NULL || modal_is_download(mc, ordinal) ||
		!map_put(&mc->downloads, ordinal, download))
	{
		download_free(download);
		return false;
	}
	return heap_put(&mc->waiting_downloads, &download->turn,
				  mc->call->open.flags & CALL_ORDERED
					  ? (double) ordinal
					  : (double) mc->last_download++) &&
		modal_downloads_start(mc);
}

void
modal_downloads_init(ModalCall *mc)
{
	map_init(&mc->downloads, NULL);
	heap_init(&mc->waiting_downloads);
	heap_init(&mc->active_downloads);
}

void
modal_downloads_free(ModalCall *mc)
{
	Download *download;
	MapVisit visit = {0};

	while ((download = map_next(&mc->downloads, &visit)) != NULL)
	{
		if (download->blob != NULL)
			blob_download_cancel(download->blob);
		download_free(download);
	}
	map_free(&mc->downloads);
	heap_free(&mc->waiting_downloads);
	heap_free(&mc->active_downloads);
}
