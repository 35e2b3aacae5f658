/*-------------------------------------------------------------------------
 *
 * input_encoder.h
 *	  From rows to stored inputs: payload, key columns, fingerprint.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_VALUES_INPUT_ENCODER_H
#define MODAL_VALUES_INPUT_ENCODER_H

#include "compat.h"

#include "core/chunk.h"
#include "values/values.h"

/*
 * Turns rows into inputs.  Columns are named by their position in the row's
 * values; each may be an argument, a key, a check, or several of these.
 */
typedef struct InputEncoder InputEncoder;

typedef struct InputColumns
{
	int nargs, nkeys, nchecks;
	int *args, *keys, *checks; /* positions from 0 */
} InputColumns;

extern InputEncoder *input_encoder_create(MemoryContext cxt,
										  ArgFormat format, Jsonb *kwargs,
										  TupleDesc desc,
										  const InputColumns *columns);
extern PayloadFormat input_encoder_format(const InputEncoder *enc);
/* Append the row's record (see core/chunk.h) to buf. */
extern void input_encode(InputEncoder *enc, Buf *buf, const Datum *values,
						 const bool *isnull);

/* The fingerprint of some values, as modal_batch.fingerprint() in SQL has it. */
typedef struct Fingerprint Fingerprint;

extern Fingerprint *fingerprint_create(MemoryContext cxt, int n, const Oid *types);
extern int64 fingerprint_of(Fingerprint *fingerprint, const Datum *values,
							const bool *isnull);

/*
 * The parts of an input's meta data: a fingerprint if the job has check
 * columns, then the key columns as a CBOR map, if there are any.
 */
#define FINGERPRINT_SIZE sizeof(uint64)

/*
 * A hash of such meta data, whatever the key columns were called then;
 * modal_batch.input_identity() gives it of a row.
 */
extern int64 input_identity(const void *meta, Size len);

#endif /* MODAL_VALUES_INPUT_ENCODER_H */
