/*-------------------------------------------------------------------------
 *
 * sink.h
 *	  Where the results of a job go: a user's table, or modal_batch.result.
 *
 * A batch of results is written by a few statements that read it as a table.
 * When one fails, the batch is halved until the bad row stands alone; that
 * row fails, the others are written.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_JOBS_SINK_H
#define MODAL_JOBS_SINK_H

#include "compat.h"

#include "jobs/store.h"
#include "values/values.h"

typedef struct Sink Sink;

typedef enum SinkOutcome
{
	SINK_SUCCEEDED,
	SINK_FAILED, /* at the remote side, or here; error says why */
	SINK_STALE	 /* the row has changed since, or is gone */
} SinkOutcome;

typedef struct SinkRow
{
	int64 ordinal;
	ChunkRecord input;
	PayloadFormat format;
	const uint8 *data; /* the result, if it did not fail */
	Size len;
	int attempts;
	double started_at, finished_at; /* Unix time; 0: not known */
	SinkOutcome outcome; /* in: how the remote side ended */
	Jsonb *error;		 /* FAILED */
	bool refused;		 /* in: its table cannot be told of the failure either */
	/* within a batch: the keys, read already; NULL: not yet */
	const Datum *keys;
	const bool *key_isnull;
} SinkRow;

/*
 * Looks at the table; within a transaction.  Raises the errors of
 * sink_target_get: then the job cannot go on.
 */
extern Sink *sink_create(MemoryContext parent, const Job *job);
extern void sink_free(Sink *sink);

/*
 * Write a batch within the caller's transaction, setting outcomes.  Errors
 * that say nothing about a row (lock timeout, full disk, …) are raised:
 * the caller aborts and tries the same batch again later.
 */
extern void sink_write(Sink *sink, SinkRow *rows, int nrows);

#endif /* MODAL_JOBS_SINK_H */
