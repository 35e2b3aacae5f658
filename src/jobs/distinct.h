/*-------------------------------------------------------------------------
 *
 * distinct.h
 *	  Rows with equal arguments as one input, whose result each of them gets.
 *
 * In the chunks of such a job, a record's meta data is a chunk itself: one
 * record for each row, of the row's own meta data and its ordinal.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_JOBS_DISTINCT_H
#define MODAL_JOBS_DISTINCT_H

#include "compat.h"

#include "core/chunk.h"

/* Rows on their way to become inputs; what memory has no room for is on disk. */
typedef struct Distinct Distinct;

extern Distinct *distinct_begin(void);
extern void distinct_put(Distinct *d, int64 ordinal, const ChunkRecord *row);
/* Hands over the inputs, in no particular order, and frees all. */
extern void distinct_end(Distinct *d,
						 void (*emit) (void *arg, const ChunkRecord *record),
						 void *arg);

/*
 * Read the next row's meta data at *p, up to end, as chunk_next does; the
 * payload is the record's.
 */
extern bool distinct_next_row(const uint8_t **p, const uint8_t *end,
							  int64 *ordinal, ChunkRecord *row);

#endif /* MODAL_JOBS_DISTINCT_H */
