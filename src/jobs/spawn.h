/*-------------------------------------------------------------------------
 *
 * spawn.h
 *	  Jobs that are made from the rows of a query.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_JOBS_SPAWN_H
#define MODAL_JOBS_SPAWN_H

#include "compat.h"

#include "jobs/store.h"

/*
 * Call the function for the rows of a query that reads a table whose columns
 * it fills: as modal_spawn_map does, but under the active snapshot, and as a
 * job that follows the table's owner.  Owner, kwargs, priority and sink are
 * the model's.  Returns its number.
 */
extern int64 spawn_backfill(const char *function, const Job *model,
							const char *query);

#endif /* MODAL_JOBS_SPAWN_H */
