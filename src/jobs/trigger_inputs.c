/*-------------------------------------------------------------------------
 *
 * trigger_inputs.c
 *	  The inputs that triggers collect until their transaction commits; see
 *	  trigger_inputs.h.
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include "commands/tablespace.h"
#include "core/chunk.h"
#include "jobs/trigger_inputs.h"
#include "miscadmin.h"
#include "storage/buffile.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "values/values.h"

/* In memory, for all of a transaction. */
#define SPILL_BYTES (32 * 1024 * 1024)

typedef struct Segment
{
	dlist_node in_queue;
	dlist_node in_order; /* among all of the transaction */
	InputQueue *queue;
	SubTransactionId subid;
	int count;
	Buf inputs; /* empty when it is in the file */
	Size len;	/* of its bytes, wherever they are */
	bool cut;	/* no inputs: there is an end to those before it */
	bool spilled;
	int fileno;
	pgoff_t offset;
} Segment;

/* Of the present transaction.  Those in the file come before all others. */
static MemoryContext inputs_cxt = NULL;
static dlist_head in_order;
static Size bytes_in_memory;
static BufFile *file = NULL;
static int file_end_fileno; /* where the next segment goes */
static pgoff_t file_end;

void
trigger_inputs_begin(MemoryContext cxt)
{
	inputs_cxt = cxt;
	dlist_init(&in_order);
	bytes_in_memory = 0;
	file = NULL;
}

bool
trigger_inputs_wait(void)
{
	return !dlist_is_empty(&in_order);
}

void
trigger_inputs_end(void)
{
	if (file != NULL)
		BufFileClose(file);
	file = NULL;
}

void
input_queue_init(InputQueue *queue)
{
	dlist_init(&queue->segments);
}

/* --- segments ------------------------------------------------------------- */

static Segment *
tail_of(InputQueue *queue)
{
	return dlist_is_empty(&queue->segments)
		? NULL
		: dlist_tail_element(Segment, in_queue, &queue->segments);
}

static void
free_segment(Segment *seg)
{
	dlist_delete(&seg->in_queue);
	dlist_delete(&seg->in_order);
	if (!seg->spilled)
		bytes_in_memory -= seg->len;
	buf_free(&seg->inputs);
	pfree(seg);
}

/*
 * Join it with the one before it in its queue.  Savepoints leave one for each
 * row; this is done when the next one is begun, and not where a savepoint
 * ends, because nothing may fail there.
 */
static bool
join_with_previous(Segment *seg)
{
	Segment *previous;

	if (seg->spilled || seg->cut || !dlist_has_prev(&seg->queue->segments, &seg->in_queue))
		return false;
	previous = dlist_container(Segment, in_queue, seg->in_queue.prev);
	if (previous->spilled || previous->cut || previous->subid != seg->subid ||
		previous->len + seg->len > CHUNK_TARGET_BYTES ||
		previous->count + seg->count > CHUNK_MAX_INPUTS)
		return false;
	buf_put(&previous->inputs, seg->inputs.data, seg->len);
	bytes_in_memory += seg->len;
	previous->len += seg->len;
	previous->count += seg->count;
	free_segment(seg);
	return true;
}

static Segment *
begin_segment(InputQueue *queue)
{
	MemoryContext old = MemoryContextSwitchTo(inputs_cxt);
	Segment *seg = palloc0(sizeof(Segment));

	seg->queue = queue;
	seg->subid = GetCurrentSubTransactionId();
	buf_init(&seg->inputs, MaxAllocSize, buf_palloc);
	dlist_push_tail(&queue->segments, &seg->in_queue);
	dlist_push_tail(&in_order, &seg->in_order);
	MemoryContextSwitchTo(old);
	return seg;
}

Buf *
input_queue_tail(InputQueue *queue)
{
	Segment *seg;

	while ((seg = tail_of(queue)) != NULL && join_with_previous(seg))
		;
	if (seg == NULL || seg->subid != GetCurrentSubTransactionId() ||
		seg->spilled || seg->cut || seg->len >= CHUNK_TARGET_BYTES ||
		seg->count >= CHUNK_MAX_INPUTS)
		seg = begin_segment(queue);
	return &seg->inputs;
}

void
input_queue_cut(InputQueue *queue)
{
	begin_segment(queue)->cut = true;
}

/* NULL: there is none. */
static const Segment *
last_cut(InputQueue *queue)
{
	dlist_iter iter;

	dlist_reverse_foreach(iter, &queue->segments)
	{
		const Segment *seg = dlist_container(Segment, in_queue, iter.cur);

		if (seg->cut)
			return seg;
	}
	return NULL;
}

/* --- the temporary file --------------------------------------------------- */

/* It belongs to the transaction, not to the savepoint that it is made in. */
static void
create_file(void)
{
	ResourceOwner owner = CurrentResourceOwner;

	CurrentResourceOwner = TopTransactionResourceOwner;
	PG_TRY();
	{
		PrepareTempTablespaces();
		file = BufFileCreateTemp(false);
	}
	PG_FINALLY();
	{
		CurrentResourceOwner = owner;
	}
	PG_END_TRY();
}

static void
spill(void)
{
	MemoryContext old = MemoryContextSwitchTo(inputs_cxt);
	dlist_iter iter;

	if (file == NULL)
		create_file();
	else if (BufFileSeek(file, file_end_fileno, file_end, SEEK_SET) != 0)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not write inputs of a job to a temporary file")));
	dlist_reverse_foreach(iter, &in_order)
	{
		Segment *seg = dlist_container(Segment, in_order, iter.cur);

		if (seg->spilled)
			break;
		CHECK_FOR_INTERRUPTS();
		BufFileTell(file, &seg->fileno, &seg->offset);
		BufFileWrite(file, seg->inputs.data, seg->len);
		BufFileTell(file, &file_end_fileno, &file_end);
		seg->spilled = true;
		buf_free(&seg->inputs);
	}
	bytes_in_memory = 0;
	MemoryContextSwitchTo(old);
}

static void
read_back(Segment *seg, Buf *inputs)
{
	buf_reset(inputs);
	if (BufFileSeek(file, seg->fileno, seg->offset, SEEK_SET) != 0 ||
		!buf_reserve(inputs, seg->len) ||
		BufFileRead(file, inputs->data, seg->len) != seg->len)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not read inputs of a job from a temporary file")));
	inputs->len = seg->len;
}

void
input_queue_added(InputQueue *queue)
{
	Segment *seg = tail_of(queue);

	Assert(seg->subid == GetCurrentSubTransactionId());
	seg->count++;
	bytes_in_memory += seg->inputs.len - seg->len;
	seg->len = seg->inputs.len;
	if (bytes_in_memory > SPILL_BYTES)
		spill();
}

static void
read_queue(InputQueue *queue, InputReader reader, void *arg, bool forget)
{
	const Segment *cut = last_cut(queue);
	dlist_mutable_iter iter;
	Buf read;

	buf_init(&read, MaxAllocSize, buf_palloc);
	dlist_foreach_modify(iter, &queue->segments)
	{
		Segment *seg = dlist_container(Segment, in_queue, iter.cur);

		CHECK_FOR_INTERRUPTS();
		/* an input that could not be encoded has left an empty one */
		if (cut == NULL && seg->count > 0)
		{
			if (seg->spilled)
				read_back(seg, &read);
			reader(arg, seg->spilled ? &read : &seg->inputs, seg->count);
		}
		if (seg == cut)
			cut = NULL;
		if (forget)
			free_segment(seg);
	}
	buf_free(&read);
}

void
input_queue_read(InputQueue *queue, InputReader reader, void *arg)
{
	read_queue(queue, reader, arg, false);
}

void
input_queue_drain(InputQueue *queue, InputReader reader, void *arg)
{
	read_queue(queue, reader, arg, true);
}

/* --- subtransactions ------------------------------------------------------ */

/* The last segment, if it is that subtransaction's. */
static Segment *
last_of(SubTransactionId subid)
{
	Segment *seg;

	if (dlist_is_empty(&in_order))
		return NULL;
	seg = dlist_tail_element(Segment, in_order, &in_order);
	return seg->subid == subid ? seg : NULL;
}

void
trigger_inputs_subxact(SubXactEvent event, SubTransactionId subid,
					   SubTransactionId parent)
{
	dlist_iter iter;

	if (event == SUBXACT_EVENT_ABORT_SUB)
	{
		Segment *seg;

		while ((seg = last_of(subid)) != NULL)
			free_segment(seg);
		return;
	}
	if (event != SUBXACT_EVENT_COMMIT_SUB)
		return;
	dlist_reverse_foreach(iter, &in_order)
	{
		Segment *seg = dlist_container(Segment, in_order, iter.cur);

		if (seg->subid != subid)
			break;
		seg->subid = parent;
	}
}
