/*-------------------------------------------------------------------------
 *
 * trigger_superseded.h
 *	  Inputs of rows that the same transaction has changed again: of these
 *	  only the last is worth sending.
 *
 * The trigger notes which rows have had an input before, perhaps; whether that
 * is so, and which is the last, follows from the inputs that are left when
 * savepoints have been rolled back.  They are gone through twice for that, in
 * their order, some at a time.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_JOBS_TRIGGER_SUPERSEDED_H
#define MODAL_JOBS_TRIGGER_SUPERSEDED_H

#include "compat.h"

#include "core/chunk.h"

typedef struct Superseded Superseded;

/*
 * The input that is the last in buf, from that offset on, may supersede
 * another.  NULL becomes one in cxt.
 */
extern void superseded_note(Superseded **superseded, MemoryContext cxt,
							const Buf *buf, Size offset);
/* They are gone through now. */
extern void superseded_begin(Superseded *superseded);
/* The first time: these inputs are there. */
extern void superseded_count(Superseded *superseded, const Buf *inputs);
/* The second time, one by one: is it superseded? */
extern bool superseded_take(Superseded *superseded, const ChunkRecord *input);

#endif /* MODAL_JOBS_TRIGGER_SUPERSEDED_H */
