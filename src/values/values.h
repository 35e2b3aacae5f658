/*-------------------------------------------------------------------------
 *
 * values.h
 *	  SQL values to CBOR and JSON, and back.  The type table lives here and
 *	  nowhere else (docs/types.md is its text form).
 *
 * An ArgEncoder is made once per call site for the types of its arguments;
 * encoding a row then costs no catalog look-up.  A ResultDecoder likewise.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_VALUES_VALUES_H
#define MODAL_VALUES_VALUES_H

#include "compat.h"

#include "core/buf.h"
#include "core/frame.h"
#include "datatype/timestamp.h"
#include "utils/jsonb.h"

/* BufRealloc for what is to live in the memory context of its buf_init. */
extern void *buf_palloc(void *place, void *ptr, size_t size);

/* What all arguments of a row together look like, where a request has them. */
typedef enum RowForm
{
	ROW_AUTO,	/* one: itself; several: an array */
	ROW_ARRAY,
	ROW_OBJECT
} RowForm;

typedef enum RequestBody
{
	REQUEST_JSON,
	REQUEST_RAW,  /* the one argument: bytea as it is, others as text */
	REQUEST_FORM, /* as a query has them */
	REQUEST_QUERY /* no body: they are in the query */
} RequestBody;

/* How an HTTP function's options want its requests; docs/http.md. */
typedef struct RequestForm
{
	const char *request;	/* a template (core/template.h), or NULL */
	const char *parameters; /* default keyword arguments, JSON, or NULL */
	const char *path;		/* of the reference, with its query */
	bool path_arguments;	/* it has placeholders */
	bool batched;			/* the template has many rows */
	RowForm row;
	RequestBody body;
} RequestForm;

/* What an input looks like to who takes it. */
typedef struct ArgFormat
{
	PayloadFormat payload;
	bool named;		  /* names of arguments are wanted */
	bool as_object;	  /* JSON: an object of named arguments, not an array */
	bool big_as_text; /* JSON: integers beyond 2^53 as strings (BigQuery) */
	/*
	 * CBOR that is read back, not sent: keeps apart what a function sees as the
	 * same, jsonb 'null' and NULL, and arrays with other lower bounds.
	 */
	bool exact;
	const RequestForm *request; /* or NULL: the payload is all arguments */
} ArgFormat;

typedef struct ArgEncoder ArgEncoder;
typedef struct ResultDecoder ResultDecoder;

/*
 * Encoder for nargs arguments of the given types.  names[i] NULL: positional,
 * else sent as that keyword argument (CBOR) or column (JSON object).  kwargs,
 * which may be NULL, is a jsonb object whose members every input carries.
 */
extern ArgEncoder *arg_encoder_create(MemoryContext cxt, ArgFormat format,
									  int nargs, const Oid *types,
									  char **names, Jsonb *kwargs);
/* Append one input's whole payload (its encoded [args, kwargs]) to buf. */
extern void arg_encode(ArgEncoder *enc, Buf *buf, const Datum *values,
					   const bool *isnull);
extern PayloadFormat arg_encoder_format(const ArgEncoder *enc);
/* May values of the type look different when they are written exactly? */
extern bool type_has_exact_form(Oid type);

/*
 * args (a jsonb array) and kwargs (an object) as one input.  As an object,
 * which has no place for positional arguments, args must be empty; a JSON
 * array has no place for kwargs.
 */
extern void arg_encode_jsonb(ArgFormat format, Buf *buf, Jsonb *args,
							 Jsonb *kwargs);

/*
 * What stands around the rows of a request (core/template.h); kwargs may
 * be NULL.  22023 when the template has no place for a keyword argument, or
 * needs one that is not there.
 */
extern char *request_envelope(const RequestForm *form, Jsonb *kwargs);

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
 * A result that is a list, element by element: "row" is called with what each
 * fills, as above.  Elements that are maps or lists fill columns by name or by
 * position, unless the only column is of a type that takes them whole; others
 * need scalar_column >= 0.  Null is the empty list.  Error 42804: no list.
 */
typedef void (*ResultRowFunction)(void *arg, const Datum *values,
								  const bool *isnull, const bool *found);
extern void result_decode_rows(ResultDecoder *dec, PayloadFormat format,
							   const void *p, Size n, int scalar_column,
							   ResultRowFunction row, void *arg);

/*
 * Text in the database's encoding as UTF-8, and back; only inside a
 * transaction.  May be the same bytes at the same place; of a C string, the
 * result is one, too.  What comes back must be known to be UTF-8; \0 in it is
 * an error, 22P05, as is a character that the database's encoding has not.
 */
extern char *text_to_utf8(const char *p, Size n, Size *len);
extern char *text_from_utf8(const void *p, Size n, Size *len);
/* A name, as a copy; NULL when it has characters that UTF-8 has not. */
extern char *name_to_utf8(const char *name, Size *len);
/* JSON from outside as a C string: 22021 when it is not UTF-8. */
extern char *json_from_utf8(const void *p, Size n);
/*
 * Text from outside, in the database's encoding, for messages: what is not
 * valid, a control character, or not in that encoding is replaced by "?".
 */
extern char *remote_text(Slice text);

/*
 * How long an interval is, of whatever size; a month has 30 days, and infinity
 * is at least many million years.
 */
extern double interval_seconds(const Interval *interval);

/* The jsonb shape of a failed input, the same everywhere (docs/functions.md). */
extern Jsonb *error_to_jsonb(const FrameOutput *out);
/* The same for an error of our own: text is in the database's encoding. */
typedef struct ErrorFields
{
	const char *sqlstate;
	const char *type; /* NULL: none */
	const char *message;
	const char *detail; /* NULL: left out */
	const char *hint;	/* the same */
	const char *traceback; /* NULL: none */
	bool retryable;
	int attempts;
} ErrorFields;
extern Jsonb *error_fields_to_jsonb(const ErrorFields *fields);
/*
 * An output as jsonb: its result, or with *ok false what went wrong, which may
 * also be that jsonb cannot hold the result.
 */
extern Jsonb *output_to_jsonb(const FrameOutput *out, bool *ok);
/* What argument on_error says: "raise" or "return"; else 22023. */
extern bool on_error_raises(text *on_error);
/* Raise a failed input as an error; function label and ordinal in CONTEXT. */
pg_noreturn extern void error_raise(const FrameOutput *out, const char *label);

#endif /* MODAL_VALUES_VALUES_H */
