/*-------------------------------------------------------------------------
 *
 * output_queue.h
 *	  The outputs of one call that have arrived and are not taken yet, to be
 *	  handed out by ordinal or as they came.  Large ones that are not due for
 *	  long can go to a temporary file meanwhile.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_LINK_OUTPUT_QUEUE_H
#define MODAL_LINK_OUTPUT_QUEUE_H

#include "compat.h"

#include "core/credit.h"
#include "core/frame.h"
#include "storage/fd.h"

typedef struct OutputBlock OutputBlock;
typedef struct RingEntry RingEntry;

typedef struct OutputQueue
{
	MemoryContext cxt;
	/* as they came: */
	OutputBlock *first; /* the oldest that is not wholly handed out */
	OutputBlock **last;
	FrameReader reader; /* of *first, when reading */
	bool reading;
	/* by ordinal: */
	bool ordered;
	RingEntry *ring;
	Size ring_size; /* a power of two, or 0 */
	int64 next;		/* ordinal */

	OutputBlock *taken;	  /* the one that the caller's output points into */
	OutputBlock *partial; /* an output that comes in parts, so far */
	Size partial_len;
	OutputBlock *spare;	  /* of full frames, for the next ones */
	int nspare;

	uint64 finished; /* outputs arrived, good or bad */
	uint64 failed;
	uint64 bytes;	 /* of their data */
	OutputSize size; /* of their records */
	uint64 held;	 /* bytes of records that are here, */
	uint64 in_file;	 /* and those of them that are not in memory */
	File file;		 /* or 0 */
	off_t file_end;
	uint64 consumed; /* the same, gone since the owner last set it to zero */
} OutputQueue;

typedef enum OutputQueueResult
{
	OUTPUT_QUEUE_OK,
	OUTPUT_QUEUE_BAD,	   /* not what the dispatcher may send */
	OUTPUT_QUEUE_TOO_LARGE /* over modal_batch.max_payload */
} OutputQueueResult;

/* All memory is in cxt, and goes with it; the file must be closed. */
extern void output_queue_init(OutputQueue *q, MemoryContext cxt, bool ordered,
							  int64 first_ordinal);
/* The body of an OUTPUTS or OUTPUT_PART frame (copied). */
extern OutputQueueResult output_queue_add(OutputQueue *q,
										  const FrameReader *reader);
extern OutputQueueResult output_queue_add_part(OutputQueue *q,
											   FrameReader *reader);
/*
 * The next output is not here: write those that come last to a file until no
 * more than so many bytes are in memory, as far as that is worth it.
 */
extern void output_queue_spill(OutputQueue *q, uint64 bytes);
/* May be called while a transaction is aborted. */
extern void output_queue_close_file(OutputQueue *q);
/* The caller is done with the output that it had last. */
extern void output_queue_release(OutputQueue *q);
/* The next output, valid until released; false: not here yet. */
extern bool output_queue_next(OutputQueue *q, FrameOutput *out);
extern bool output_queue_has_next(OutputQueue *q);

/*
 * When no more will come: the first failed output of those that wait for their
 * turn in vain.
 */
extern bool output_queue_next_failed(OutputQueue *q, FrameOutput *out);

#endif /* MODAL_LINK_OUTPUT_QUEUE_H */
