/*-------------------------------------------------------------------------
 *
 * buf_palloc.c
 *	  Lets the core's buffers live in memory contexts.
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include "session/codec.h"

void *
buf_palloc(void *ptr, size_t size)
{
	if (size == 0)
	{
		if (ptr != NULL)
			pfree(ptr);
		return NULL;
	}
	if (ptr == NULL)
		return palloc_extended(size, MCXT_ALLOC_HUGE);
	return repalloc_huge(ptr, size);
}
