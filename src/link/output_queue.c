/*-------------------------------------------------------------------------
 *
 * output_queue.c
 *	  Outputs that have arrived and are not taken yet; see output_queue.h.
 *
 * Frames with outputs are kept as they came, as blocks: an output is read out
 * of its block when the caller takes it, and a block is freed, and counted as
 * consumed, when all its outputs were taken.  In an ordered queue a ring,
 * indexed by ordinal, says where each output that has come is; otherwise
 * blocks are read one after another.
 *
 * What is in the file still counts as held: the dispatcher is to send nothing
 * more than the output that is waited for, and those that come before it.
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include "commands/tablespace.h"
#include "guc.h"
#include "link/output_queue.h"
#include "pgstat.h"
#include "utils/memutils.h"

#define FIRST_RING 256
#define MAX_SPARE 32 /* blocks */

struct OutputBlock
{
	OutputBlock *next;
	uint32 left; /* outputs not yet taken */
	Size room;   /* for data */
	Size len;
	off_t offset; /* in the file; -1: it is in memory */
	uint8 data[FLEXIBLE_ARRAY_MEMBER]; /* records */
};

struct RingEntry
{
	OutputBlock *block; /* NULL: not come yet */
	Size record;		/* where in it */
};

void
output_queue_init(OutputQueue *q, MemoryContext cxt, bool ordered,
				  int64 first_ordinal)
{
	memset(q, 0, sizeof(*q));
	q->cxt = cxt;
	q->ordered = ordered;
	q->next = first_ordinal;
	q->last = &q->first;
}

/* --- what arrives --------------------------------------------------------- */

/* Where an output goes in the ring; NULL when its ordinal cannot be. */
static RingEntry *
ring_entry(OutputQueue *q, int64 ordinal)
{
	uint64 ahead = (uint64) (ordinal - q->next);

	if (ordinal < q->next ||
		ahead >= MaxAllocHugeSize / (2 * sizeof(RingEntry)))
		return NULL;
	if (ahead >= q->ring_size)
	{
		Size size = Max(q->ring_size * 2, FIRST_RING);
		RingEntry *ring;

		while (ahead >= size)
			size *= 2;
		ring = MemoryContextAllocExtended(q->cxt, size * sizeof(RingEntry),
										  MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
		for (Size i = 0; i < q->ring_size; i++)
		{
			int64 o = q->next + i;

			ring[o & (size - 1)] = q->ring[o & (q->ring_size - 1)];
		}
		if (q->ring != NULL)
			pfree(q->ring);
		q->ring = ring;
		q->ring_size = size;
	}
	return &q->ring[ordinal & (q->ring_size - 1)];
}

/* Count and enter all outputs of a block; false when they cannot be right. */
static bool
scan_block(OutputQueue *q, OutputBlock *block)
{
	FrameReader reader;
	FrameOutput out;
	bool bad;

	frame_read_records(&reader, block->data, block->len);
	for (;;)
	{
		const uint8 *record = reader.p;

		if (!frame_next_output(&reader, &out, &bad))
			break;
		if (q->ordered)
		{
			RingEntry *entry = ring_entry(q, out.ordinal);

			if (entry == NULL || entry->block != NULL)
				return false;
			entry->block = block;
			entry->record = record - block->data;
		}
		block->left++;
		q->bytes += out.data.n;
		if (!out.ok)
			q->failed++;
	}
	return !bad && block->left > 0;
}

static OutputQueueResult
take_block(OutputQueue *q, OutputBlock *block)
{
	if (!scan_block(q, block))
		return OUTPUT_QUEUE_BAD;
	q->finished += block->left;
	q->held += block->len;
	output_size_note(&q->size, block->len, block->left);
	if (!q->ordered)
	{
		*q->last = block;
		q->last = &block->next;
	}
	return OUTPUT_QUEUE_OK;
}

/*
 * A few blocks of the size of frames are kept for those that follow: otherwise
 * the memory of each goes back to the system, which clears it for the next one.
 */
static bool
is_kept(const OutputQueue *q, const OutputBlock *block)
{
	return block->room > FRAME_MAX / 2 && block->room <= FRAME_MAX &&
		   q->nspare < MAX_SPARE;
}

/* NULL: none that would be used well, for what is held counts by its length. */
static OutputBlock *
take_spare(OutputQueue *q, Size len)
{
	OutputBlock *block = q->spare;

	if (block == NULL || len <= FRAME_MAX / 2 || len > FRAME_MAX)
		return NULL;
	q->spare = block->next;
	q->nspare--;
	if (len <= block->room && len >= block->room / 4 * 3)
		return block;
	pfree(block);
	return NULL;
}

static OutputBlock *
make_block(OutputQueue *q, Size len)
{
	OutputBlock *block = take_spare(q, len);
	Size room = block != NULL ? block->room : len;

	if (block == NULL)
		block = MemoryContextAllocExtended(
			q->cxt, offsetof(OutputBlock, data) + len, MCXT_ALLOC_HUGE);
	memset(block, 0, offsetof(OutputBlock, data));
	block->room = room;
	block->len = len;
	block->offset = -1;
	return block;
}

static void
free_block(OutputQueue *q, OutputBlock *block)
{
	if (!is_kept(q, block))
	{
		pfree(block);
		return;
	}
	block->next = q->spare;
	q->spare = block;
	q->nspare++;
}

OutputQueueResult
output_queue_add(OutputQueue *q, const FrameReader *reader)
{
	OutputBlock *block = make_block(q, reader->end - reader->p);

	memcpy(block->data, reader->p, block->len);
	return take_block(q, block);
}

OutputQueueResult
output_queue_add_part(OutputQueue *q, FrameReader *reader)
{
	uint64 total, offset;
	Slice data;
	OutputBlock *block;

	if (!frame_get_part(reader, &total, &offset, &data) ||
		offset != q->partial_len)
		return OUTPUT_QUEUE_BAD;
	if (offset == 0)
	{
		if (total > (uint64) modal_max_payload_kb * 1024 + FRAME_MAX)
			return OUTPUT_QUEUE_TOO_LARGE;
		q->partial = make_block(q, total);
	}
	block = q->partial;
	if (block == NULL || total != block->len)
		return OUTPUT_QUEUE_BAD;
	memcpy(block->data + offset, data.p, data.n);
	q->partial_len += data.n;
	if (q->partial_len < total)
		return OUTPUT_QUEUE_OK;
	q->partial = NULL;
	q->partial_len = 0;
	return take_block(q, block);
}

static RingEntry *
entry_of(OutputQueue *q, int64 ordinal)
{
	return &q->ring[ordinal & (q->ring_size - 1)];
}

/* --- what is not due for long ------------------------------------------------ */

/* A smaller one is not worth the system call, nor one of several outputs. */
#define MIN_SPILLED (64 * 1024)

/* Write the data of a block; what is left of it says where that is. */
static OutputBlock *
spill_block(OutputQueue *q, OutputBlock *block)
{
	OutputBlock *stub;
	int n;

	if (q->file == 0)
	{
		PrepareTempTablespaces();
		/* Calls outlive transactions, and close it themselves. */
		q->file = OpenTemporaryFile(true);
	}
	if (q->in_file == 0)
		q->file_end = 0;
	n = FileWrite(q->file, (char *) block->data, (int) block->len, q->file_end,
				  WAIT_EVENT_BUFFILE_WRITE);
	if (n != (int) block->len)
		ereport(ERROR, (errcode_for_file_access(),
						errmsg("could not write to a temporary file: %m")));
	stub = MemoryContextAlloc(q->cxt, offsetof(OutputBlock, data));
	memcpy(stub, block, offsetof(OutputBlock, data));
	stub->offset = q->file_end;
	q->file_end += (off_t) block->len;
	q->in_file += block->len;
	pfree(block);
	return stub;
}

void
output_queue_spill(OutputQueue *q, uint64 bytes)
{
	for (Size i = q->ring_size; i-- > 0 && q->held - q->in_file > bytes;)
	{
		int64 ordinal = q->next + (int64) i;
		RingEntry *entry = entry_of(q, ordinal);
		OutputBlock *block = entry->block;

		if (block != NULL && block->offset < 0 && block->left == 1 &&
			block->len >= MIN_SPILLED)
			entry->block = spill_block(q, block);
	}
}

/* Bring a block back. */
static OutputBlock *
load_block(OutputQueue *q, OutputBlock *stub)
{
	OutputBlock *block = make_block(q, stub->len);
	int n = FileRead(q->file, (char *) block->data, (int) block->len,
					 stub->offset, WAIT_EVENT_BUFFILE_READ);

	if (n < 0)
		ereport(ERROR, (errcode_for_file_access(),
						errmsg("could not read from a temporary file: %m")));
	if (n != (int) block->len)
		ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
						errmsg("could not read from a temporary file: read only %d of %zu bytes",
							   n, block->len)));
	block->left = stub->left;
	q->in_file -= block->len;
	pfree(stub);
	return block;
}

void
output_queue_close_file(OutputQueue *q)
{
	if (q->file != 0)
		FileClose(q->file);
	q->file = 0;
}

/* --- what is taken -------------------------------------------------------- */

void
output_queue_release(OutputQueue *q)
{
	OutputBlock *block = q->taken;

	q->taken = NULL;
	if (block == NULL || --block->left > 0)
		return;
	q->held -= block->len;
	q->consumed += block->len;
	free_block(q, block);
}

/* Take the output of an ordinal, which has come. */
static void
take_entry(OutputQueue *q, RingEntry *entry, FrameOutput *out)
{
	FrameReader reader;
	bool bad;

	if (entry->block->offset >= 0)
		entry->block = load_block(q, entry->block);
	q->taken = entry->block;
	entry->block = NULL;
	frame_read_records(&reader, q->taken->data + entry->record,
					   q->taken->len - entry->record);
	(void) frame_next_output(&reader, out, &bad);
}

bool
output_queue_has_next(OutputQueue *q)
{
	if (!q->ordered)
		return q->first != NULL;
	return q->ring != NULL && entry_of(q, q->next)->block != NULL;
}

static bool
next_in_order(OutputQueue *q, FrameOutput *out)
{
	if (!output_queue_has_next(q))
		return false;
	take_entry(q, entry_of(q, q->next), out);
	q->next++;
	return true;
}

bool
output_queue_next_failed(OutputQueue *q, FrameOutput *out)
{
	if (!q->ordered || q->failed == 0)
		return false;
	for (Size i = 0; i < q->ring_size; i++)
	{
		RingEntry *entry = entry_of(q, q->next + (int64) i);

		if (entry->block == NULL)
			continue;
		take_entry(q, entry, out);
		if (!out->ok)
			return true;
		output_queue_release(q);
	}
	return false;
}

static bool
next_as_completed(OutputQueue *q, FrameOutput *out)
{
	OutputBlock *block = q->first;
	bool bad;

	if (block == NULL)
		return false;
	if (!q->reading)
		frame_read_records(&q->reader, block->data, block->len);
	(void) frame_next_output(&q->reader, out, &bad);
	q->taken = block;
	/* After its last output a block is the taken one, and nothing else. */
	q->reading = q->reader.p < q->reader.end;
	if (!q->reading)
	{
		q->first = block->next;
		if (q->first == NULL)
			q->last = &q->first;
	}
	return true;
}

bool
output_queue_next(OutputQueue *q, FrameOutput *out)
{
	return q->ordered ? next_in_order(q, out) : next_as_completed(q, out);
}
