/*-------------------------------------------------------------------------
 *
 * trigger_store.h
 *	  What a transaction's triggers collect for a table, until it becomes a
 *	  job.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_JOBS_TRIGGER_STORE_H
#define MODAL_JOBS_TRIGGER_STORE_H

#include "compat.h"

#include "endpoint/endpoint.h"
#include "jobs/sink_target.h"
#include "jobs/store.h"
#include "jobs/trigger_inputs.h"
#include "jobs/trigger_superseded.h"
#include "lib/ilist.h"

typedef struct Collector
{
	dlist_node node;
	Oid target;			 /* table whose rows are updated, or read */
	int nargs;			 /* as given to the trigger */
	char **args;
	bool skip_nulls;
	Job job;			 /* but for what is known at its end */
	char *path;			 /* of its owner, see owner_path.h; NULL: not asked for yet */
	Endpoint *endpoint;	 /* it says how inputs are written */
	SinkTarget *columns; /* of the target: their numbers */
	InputQueue inputs;
	Superseded *superseded; /* NULL: none of them is */
	int64 max_inputs;
} Collector;

/* Will its job write to this column? */
extern bool trigger_store_fills(const Collector *collector, Oid table,
								const char *column);
/* The inputs that it would have, if it were made now. */
typedef void (*CollectedReader)(void *arg, const ChunkRecord *input);
extern void trigger_store_read(Collector *collector, CollectedReader reader,
							   void *arg);
/*
 * Make a job of the inputs, if there are any, and forget them.  With an active
 * snapshot.
 */
extern void trigger_store(Collector *collector);

#endif /* MODAL_JOBS_TRIGGER_STORE_H */
