/*-------------------------------------------------------------------------
 *
 * subxact.h
 *	  Internal subtransactions around what may fail by itself.
 *
 *	sub_begin(&sub);
 *	PG_TRY();
 *	{
 *		...
 *		sub_commit(&sub);
 *	}
 *	PG_CATCH();
 *	{
 *		edata = sub_abort(&sub);
 *	}
 *	PG_END_TRY();
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_JOBS_SUBXACT_H
#define MODAL_JOBS_SUBXACT_H

#include "compat.h"

#include "utils/resowner.h"

/* What is restored when it is over. */
typedef struct SubScope
{
	MemoryContext cxt;
	ResourceOwner owner;
} SubScope;

extern void sub_begin(SubScope *sub);
extern void sub_commit(const SubScope *sub);
/* Roll back; returns the error, in the context of sub_begin. */
extern ErrorData *sub_abort(const SubScope *sub);

#endif /* MODAL_JOBS_SUBXACT_H */
