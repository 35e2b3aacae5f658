/*-------------------------------------------------------------------------
 *
 * webhook.h
 *	  Webhooks: modal_trigger() with a function alone, whose server has format
 *	  'webhook', tells of each change of a row.
 *
 *	  {id, type, table, schema, record, old_record, timestamp}
 *
 * With option ordered_by, the column that it names holds a key: messages of
 * one key are sent one after the other, in the order of their changes, each
 * when what has become of the one before is written down.  (An UPDATE of the
 * key itself is of both keys.)  Hashes of its keys are a message's meta data;
 * within a job, run_job_order.c holds back by them.  A job's stripes are the
 * hashes' last bits, one of 64 each: it does not begin before all older jobs
 * of its function that share a stripe have ended, nor while a younger one runs,
 * which can have been committed before it (CANDIDATES in sql.c).  The
 * numbers of jobs are in the order of changes of one row, for they are given
 * before a transaction lets go of its rows.
 *
 * The id is the message's own, so that it stays the same however often it is
 * sent: again by the dispatcher, after a restart, or by modal_retry().
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_JOBS_WEBHOOK_H
#define MODAL_JOBS_WEBHOOK_H

#include "compat.h"

#include "commands/trigger.h"
#include "core/buf.h"
#include "jobs/store.h"

/* SQLSTATE 39P01 unless the trigger is fired AFTER, by rows. */
extern void webhook_check_type(int16 tgtype);
/* The sink of its jobs, their owner, and the format of their inputs. */
extern void webhook_job_model(Job *job, Oid table);
/* 42703 unless the table has that column. */
extern AttrNumber webhook_order_column(Relation rel, const char *ordered_by);
/*
 * Append the input that tells of this change; returns its stripes.  ordered_by
 * NULL: it has none, and stands in no order.  What is kept for the next one
 * lives in cxt, which is the transaction's.
 */
extern uint64 webhook_encode(const TriggerData *td, const char *ordered_by,
							 MemoryContext cxt, Buf *inputs);

/* The keys of an input; returns how many, at most WEBHOOK_MAX_KEYS. */
#define WEBHOOK_MAX_KEYS 2
extern int webhook_keys(const ChunkRecord *rec, uint32 *keys);

#endif /* MODAL_JOBS_WEBHOOK_H */
