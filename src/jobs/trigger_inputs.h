/*-------------------------------------------------------------------------
 *
 * trigger_inputs.h
 *	  The inputs that triggers collect until their transaction commits.
 *
 * They are kept in segments, each of which belongs to one subtransaction.  All
 * segments of a transaction stand in one list, in the order in which they were
 * begun.  Subtransactions nest, so what belongs to the present one is always
 * at the end of that list: its end, good or bad, looks at its own segments and
 * no others.  One that is released leaves its segments to its parent, where
 * small ones are joined; one that is rolled back takes them along.
 *
 * Inputs are in memory up to a limit for the transaction; when that is
 * reached, all go to a temporary file, so that a transaction makes one job
 * however large it is, and whatever savepoints it has.  A segment that is
 * rolled back then leaves a gap in the file.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_JOBS_TRIGGER_INPUTS_H
#define MODAL_JOBS_TRIGGER_INPUTS_H

#include "compat.h"

#include "access/xact.h"
#include "core/buf.h"
#include "lib/ilist.h"

/* Inputs that will be one job. */
typedef struct InputQueue
{
	dlist_head segments; /* oldest first */
} InputQueue;

/* Inputs of a transaction begin; what is kept of them lives in cxt. */
extern void trigger_inputs_begin(MemoryContext cxt);
/* Are there any? */
extern bool trigger_inputs_wait(void);
/* They are at an end: closes the file.  The memory is the caller's to free. */
extern void trigger_inputs_end(void);
/* For a callback of subtransactions. */
extern void trigger_inputs_subxact(SubXactEvent event, SubTransactionId subid,
								   SubTransactionId parent);

extern void input_queue_init(InputQueue *queue);
/* Forget its inputs, unless the present subtransaction is rolled back. */
extern void input_queue_cut(InputQueue *queue);
/* Where the next input is to be appended. */
extern Buf *input_queue_tail(InputQueue *queue);
/* It has been. */
extern void input_queue_added(InputQueue *queue);

typedef void (*InputReader)(void *arg, const Buf *inputs, int count);
/* Hand out all inputs in their order, some at a time. */
extern void input_queue_read(InputQueue *queue, InputReader reader, void *arg);
/* And forget them. */
extern void input_queue_drain(InputQueue *queue, InputReader reader, void *arg);

#endif /* MODAL_JOBS_TRIGGER_INPUTS_H */
