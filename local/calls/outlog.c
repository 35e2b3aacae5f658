/*-------------------------------------------------------------------------
 *
 * outlog.c
 *	  The outputs of a call in the order of their arrival, encoded.
 *
 * Bytes lie in blocks, never moved; a block goes with its last output.
 *
 *-------------------------------------------------------------------------
 */
#include "calls/outlog.h"

#include <stdlib.h>
#include <string.h>

#include "util.h"

#define FIRST_BLOCK_SIZE 256
#define BLOCK_SIZE (64 * 1024)
#define FIRST_ENTRIES 2

struct OutBlock
{
	OutBlock *newer;
	uint64_t last; /* number of the last output in it */
	size_t used;
	size_t size;
	uint8_t data[];
};

static OutBlock *
block_for(OutLog *log, size_t len)
{
	OutBlock *block = log->newest;
	size_t size;

	if (block != NULL && block->size - block->used >= len)
		return block;
	/* A call of one input needs little. */
	size = block == NULL ? FIRST_BLOCK_SIZE : BLOCK_SIZE;
	if (size < len)
		size = len;
	block = xmalloc(sizeof(*block) + size);
	*block = (OutBlock){.size = size};
	if (log->newest != NULL)
		log->newest->newer = block;
	else
		log->oldest = block;
	log->newest = block;
	return block;
}

/* Make room for one more entry. */
static void
reserve_entry(OutLog *log)
{
	size_t n = (size_t) (log->last - log->dropped);

	if (log->start + n < log->cap)
		return;
	if (log->start > log->cap / 2)
	{
		memmove(log->entries, log->entries + log->start,
				n * sizeof(*log->entries));
		log->start = 0;
		return;
	}
	log->cap = log->cap > 0 ? log->cap * 2 : FIRST_ENTRIES;
	log->entries = xrealloc(log->entries, log->cap * sizeof(*log->entries));
}

uint8_t *
outlog_add(OutLog *log, int32_t idx, size_t len)
{
	OutBlock *block = block_for(log, len);
	uint8_t *at = block->data + block->used;

	reserve_entry(log);
	log->entries[log->start + (size_t) (log->last - log->dropped)] =
		(OutEntry){at, (uint32_t) len, idx};
	log->last++;
	log->bytes += len;
	block->used += len;
	block->last = log->last;
	return at;
}

void
outlog_drop(OutLog *log, uint64_t number)
{
	if (number > log->last)
		number = log->last;
	while (log->dropped < number)
	{
		log->bytes -= log->entries[log->start].len;
		log->start++;
		log->dropped++;
	}
	while (log->oldest != NULL && log->oldest->last <= log->dropped)
	{
		OutBlock *block = log->oldest;

		log->oldest = block->newer;
		if (log->oldest == NULL)
			log->newest = NULL;
		free(block);
	}
	if (log->dropped == log->last)
		log->start = 0;
}

void
outlog_free(OutLog *log)
{
	outlog_drop(log, log->last);
	free(log->entries);
	*log = (OutLog){0};
}
