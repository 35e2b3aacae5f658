/*-------------------------------------------------------------------------
 *
 * codec_types.h
 *	  How each SQL type travels: the type table, private to the codec.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_SESSION_CODEC_TYPES_H
#define MODAL_SESSION_CODEC_TYPES_H

#include "compat.h"

#include "access/tupdesc.h"
#include "core/cbor.h"
#include "session/codec.h"
#include "utils/date.h"
#include "utils/timestamp.h"

typedef enum ValueKind
{
	KIND_BOOL,
	KIND_INT2,
	KIND_INT4,
	KIND_INT8,
	KIND_OID,
	KIND_FLOAT4,
	KIND_FLOAT8,
	KIND_NUMERIC,
	KIND_TEXT,		/* text, varchar, bpchar: varlena text */
	KIND_BYTEA,
	KIND_DATE,
	KIND_TIMESTAMP,
	KIND_TIMESTAMPTZ,
	KIND_INTERVAL,
	KIND_UUID,
	KIND_JSON,
	KIND_JSONB,
	KIND_ARRAY,
	KIND_ROW,
	KIND_VECTOR,	/* pgvector's vector: an array of floats */
	KIND_OTHER		/* as text, through the type's own functions */
} ValueKind;

typedef struct TypeInfo
{
	Oid type;		/* as declared: may be a domain */
	Oid base;		/* below domains */
	ValueKind kind;
	int16 len;		/* of base */
	bool byval;
	char align;
} TypeInfo;

/* The type table. */
extern void codec_type_info(Oid type, TypeInfo *info);

/* Numbers as text, shortest form that reads back the same; returns length. */
extern int double_to_text(double v, char *buf);
#define DOUBLE_TEXT_SIZE 32

/* --- writing one value, in either format ---------------------------------- */

typedef struct Writer
{
	Buf *buf;
	bool json;
	bool big_as_text; /* JSON: integers beyond 2^53 as strings (BigQuery) */
} Writer;

typedef struct ValueEncoder ValueEncoder;
extern ValueEncoder *value_encoder_create(MemoryContext cxt, Oid type);
extern void value_encode(ValueEncoder *enc, Writer *w, Datum value,
						 bool isnull);
extern void write_jsonb(Writer *w, Jsonb *jb);
extern void write_text(Writer *w, const char *p, Size n);
extern void write_numeric_text(Writer *w, const char *text);
/* codec_datetime.c */
extern void write_date(Writer *w, DateADT date);
extern void write_timestamp(Writer *w, Timestamp t, bool has_zone);
extern void write_interval(Writer *w, Interval *interval);

/* --- reading ---------------------------------------------------------------- */

/* A number that is not a plain integer, as numeric: decimals and bignums. */
extern Datum cbor_numeric(CborReader *r, const CborToken *tag);
/* The item that begins with tok, as part of a jsonb (or the whole of it). */
extern Jsonb *cbor_to_jsonb(CborReader *r, const CborToken *tok);
/* Next token; raises what is wrong with the bytes. */
extern void codec_next(CborReader *r, CborToken *tok);
pg_noreturn extern void codec_bad_bytes(CborReader *r);
/* UTF-8 text from outside in the database's encoding; error 22P05 for \0. */
extern char *codec_text(const uint8_t *p, Size n, Size *len);

#define CODEC_MAX_DEPTH 1000 /* levels of nesting in one result */

#endif /* MODAL_SESSION_CODEC_TYPES_H */
