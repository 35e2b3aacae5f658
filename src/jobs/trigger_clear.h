/*-------------------------------------------------------------------------
 *
 * trigger_clear.h
 *	  Rows that have lost an argument lose their result, in the transaction
 *	  that took the argument: it is what a function says of NULL that is not
 *	  called for it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_JOBS_TRIGGER_CLEAR_H
#define MODAL_JOBS_TRIGGER_CLEAR_H

#include "compat.h"

#include "executor/spi.h"
#include "jobs/store.h"
#include "storage/itemptr.h"
#include "utils/rel.h"

/*
 * Set the columns that the job writes to NULL, as the owner of the table, with
 * that path.  The statement is kept in *plan, which is NULL at first, until it is
 * forgotten.
 */
extern void trigger_clear_row(SPIPlanPtr *plan, Relation rel,
							  const ItemPointerData *tid, const Job *job,
							  const char *path);
extern void trigger_clear_forget(SPIPlanPtr *plan);

#endif /* MODAL_JOBS_TRIGGER_CLEAR_H */
