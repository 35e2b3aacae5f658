/*-------------------------------------------------------------------------
 *
 * outlog.h
 *	  The outputs of a call in the order of their arrival, encoded.
 *
 * An output is encoded once, as the bytes of its FunctionGetOutputsItem; a
 * reply to a poll is then no more than copies of them.  Outputs are numbered
 * from 1; the numbers are the cursors of polls.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_LOCAL_OUTLOG_H
#define MODAL_LOCAL_OUTLOG_H

#include <stddef.h>
#include <stdint.h>

typedef struct OutBlock OutBlock;

typedef struct OutEntry
{
	uint8_t *data;
	uint32_t len;
	int32_t idx;
} OutEntry;

/* Zero-initialized is empty. */
typedef struct OutLog
{
	OutEntry *entries; /* those with numbers dropped + 1 ... last */
	size_t cap;
	size_t start; /* of the first that is not dropped, in entries */
	uint64_t dropped;
	uint64_t last;
	OutBlock *oldest;
	OutBlock *newest;
	size_t bytes; /* of all that are not dropped */
} OutLog;

/* Room for an output of len bytes, which gets the number log->last. */
extern uint8_t *outlog_add(OutLog *log, int32_t idx, size_t len);
/* Forget outputs up to this number. */
extern void outlog_drop(OutLog *log, uint64_t number);
extern void outlog_free(OutLog *log);

/* number: more than dropped, not more than last */
static inline const OutEntry *
outlog_get(const OutLog *log, uint64_t number)
{
	return &log->entries[log->start + (size_t) (number - log->dropped - 1)];
}

#endif /* MODAL_LOCAL_OUTLOG_H */
