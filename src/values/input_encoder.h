/*-------------------------------------------------------------------------
 *
 * input_encoder.h
 *	  From rows to stored inputs: payload, key columns, fingerprint.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_SESSION_INPUT_ENCODER_H
#define MODAL_SESSION_INPUT_ENCODER_H

#include "compat.h"

#include "core/chunk.h"
#include "session/codec.h"

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
										  const Endpoint *endpoint,
										  Jsonb *kwargs, TupleDesc desc,
										  const InputColumns *columns);
extern PayloadFormat input_encoder_format(const InputEncoder *enc);
/* Append the row's record (see core/chunk.h) to buf. */
extern void input_encode(InputEncoder *enc, Buf *buf, const Datum *values,
						 const bool *isnull);

/*
 * The parts of an input's meta data: a fingerprint if the job has check
 * columns, then the key columns as a CBOR map, if there are any.
 */
#define FINGERPRINT_SIZE sizeof(uint64)

/* Hash of the values as they would be sent. */
extern uint64 fingerprint(ArgEncoder *enc, Buf *scratch, const Datum *values,
						  const bool *isnull);
/* An encoder of bare CBOR for keys (with names) and checks (names NULL). */
extern ArgEncoder *meta_encoder_create(MemoryContext cxt, int n,
									   const Oid *types, char **names);

#endif /* MODAL_SESSION_INPUT_ENCODER_H */
