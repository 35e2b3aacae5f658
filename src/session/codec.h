/*-------------------------------------------------------------------------
 *
 * codec.h
 *	  SQL values to CBOR and JSON, and back.  The type table lives here and
 *	  nowhere else (docs/types.md is its text form).
 *
 * An ArgEncoder is made once per call site for the types of its arguments;
 * encoding a row then costs no catalog look-up.  A ResultDecoder likewise.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_SESSION_CODEC_H
#define MODAL_SESSION_CODEC_H

#include "compat.h"

#include "core/buf.h"
#include "core/frame.h"
#include "session/server.h"
#include "utils/jsonb.h"

/* BufRealloc for buffers in CurrentMemoryContext. */
extern void *buf_palloc(void *ptr, size_t size);

typedef struct ArgEncoder ArgEncoder;
typedef struct ResultDecoder ResultDecoder;

/*
 * Encoder for nargs arguments of the given types.  names[i] NULL: positional,
 * else sent as that keyword argument (CBOR) or column (JSON object).  kwargs,
 * which may be NULL, is a jsonb object whose members every input carries.
 */
extern ArgEncoder *arg_encoder_create(MemoryContext cxt,
									  const Endpoint *endpoint, int nargs,
									  const Oid *types, char **names,
									  Jsonb *kwargs);
/* Append one input's whole payload (its encoded [args, kwargs]) to buf. */
extern void arg_encode(ArgEncoder *enc, Buf *buf, const Datum *values,
					   const bool *isnull);
extern PayloadFormat arg_encoder_format(const ArgEncoder *enc);

/* args (a jsonb array) and kwargs (an object) as one input: modal_call. */
extern void arg_encode_jsonb(const Endpoint *endpoint, Buf *buf, Jsonb *args,
							 Jsonb *kwargs);

/* One value, without the call around it: bare CBOR, or JSON text. */
extern void datum_to_cbor(Buf *buf, Datum value, bool isnull, Oid type);
extern void datum_to_json(Buf *buf, Datum value, bool isnull, Oid type);

/*
 * Result to jsonb.  What jsonb cannot hold follows docs/types.md: NaN and
 * infinities become strings "NaN", "Infinity", "-Infinity"; bytes become
 * base64 text; \u0000 in text is an error 22P05; map keys become text.
 * Errors: 08P01 for what cannot be decoded, 54000 for excessive depth.
 */
extern Jsonb *result_to_jsonb(PayloadFormat format, const void *p, Size n);
extern Jsonb *cbor_item_to_jsonb(const void *p, Size n);

/*
 * Result to a declared type, without passing through jsonb text.  The type
 * may be composite, or record with tupdesc: a map fills columns by name, an
 * array by position.
 */
extern ResultDecoder *result_decoder_create(MemoryContext cxt, Oid type,
											int32 typmod, TupleDesc tupdesc);
extern Datum result_decode(ResultDecoder *dec, PayloadFormat format,
						   const void *p, Size n, bool *isnull);
/*
 * Fill the columns of the decoder's row type (values, isnull, found have
 * natts elements; found: did the result name the column?).  A scalar result
 * is an error unless scalar_column >= 0 names the one that takes it.
 */
extern void result_decode_row(ResultDecoder *dec, PayloadFormat format,
							  const void *p, Size n, int scalar_column,
							  Datum *values, bool *isnull, bool *found);

/*
 * Text from outside, in the database's encoding; what is not valid is replaced
 * by "?".  Never an error: for messages.
 */
extern char *remote_text(Slice text);

/* The jsonb shape of a failed input, the same everywhere (DESIGN §5). */
extern Jsonb *error_to_jsonb(const FrameOutput *out);
/* What argument on_error says: "raise" or "return"; else 22023. */
extern bool on_error_raises(text *on_error);
/* Raise a failed input as an error; function label and ordinal in CONTEXT. */
pg_noreturn extern void error_raise(const FrameOutput *out, const char *label);

#endif /* MODAL_SESSION_CODEC_H */
