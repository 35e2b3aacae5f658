/*-------------------------------------------------------------------------
 *
 * trigger.h
 *	  What modal_trigger() makes of a trigger's arguments, for those who do
 *	  the same to rows that were there before.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_JOBS_TRIGGER_H
#define MODAL_JOBS_TRIGGER_H

#include "compat.h"

#include "jobs/sink_target.h"
#include "jobs/trigger_spec.h"
#include "jobs/trigger_store.h"
#include "utils/rel.h"

/*
 * The table to update, for a trigger of this one (InvalidOid: one that is being
 * made): the highest partitioned table above that has a primary key, so that
 * rows are found when they have moved, and rows of all partitions go to one job.
 * It belongs to the owner of the table that the trigger was made on, as the job
 * will: partitions may belong to others.  Error 42501, or InvalidOid: there is no
 * such table.
 */
extern Oid trigger_target(Oid relid, Oid trigger, bool missing_ok);
/*
 * Fill in owner, sink, kwargs and priority of a job for that table.  Errors:
 * 55000 it has no primary key; those of sink_target_get.
 */
extern SinkTarget *trigger_job_model(Job *job, Oid target,
									 const TriggerSpec *spec);
/*
 * Inputs for this column that triggers have collected in this transaction, and
 * that are in no job yet.
 */
extern bool trigger_has_collected(Oid table, const char *column);
extern void trigger_read_collected(Oid table, const char *column,
								   CollectedReader reader, void *arg);
/* They are not to be sent, unless this savepoint is rolled back. */
extern void trigger_drop_collected(Oid table, const char *column);

#endif /* MODAL_JOBS_TRIGGER_H */
