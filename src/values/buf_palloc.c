/*-------------------------------------------------------------------------
 *
 * buf_palloc.c
 *	  Lets the core's buffers and maps live in memory contexts: in the one that
 *	  is current where they are initialized, wherever they grow.
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include "utils/memutils.h"
#include "values/values.h"

void *
buf_palloc(void *place, void *ptr, size_t size)
{
	if (size == 0)
	{
		if (ptr == NULL)
			return CurrentMemoryContext;
		pfree(ptr);
		return NULL;
	}
	if (ptr == NULL)
		return MemoryContextAllocExtended(place, size, MCXT_ALLOC_HUGE);
	return repalloc_huge(ptr, size);
}
