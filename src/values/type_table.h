/*-------------------------------------------------------------------------
 *
 * type_table.h
 *	  How each SQL type travels: the type table, private to this folder.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_VALUES_TYPE_TABLE_H
#define MODAL_VALUES_TYPE_TABLE_H

#include "compat.h"

#include "access/tupdesc.h"
#include "core/cbor.h"
#include "core/numbers.h"
#include "utils/date.h"
#include "utils/timestamp.h"
#include "values/values.h"

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
	KIND_VECTOR,	/* made of floats, as pgvector's types are */
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
	bool names_objects; /* its text depends on search_path */
	Oid from_floats;	/* KIND_VECTOR: casts from and to real[], or invalid */
	Oid to_floats;
} TypeInfo;

/* The type table. */
extern void type_info(Oid type, TypeInfo *info);

/* Numbers as text, shortest form that reads back the same; returns length. */
extern int double_to_text(double v, char *buf);
#define DOUBLE_TEXT_SIZE 32
/* What JSON has for NaN and infinities, as a string. */
extern const char *not_finite_name(double v);

/* --- writing one value, in either format ---------------------------------- */

typedef struct Writer
{
	Buf *buf;
	bool json;
	bool big_as_text; /* JSON: integers beyond 2^53 as strings (BigQuery) */
	bool exact;		  /* CBOR: see ArgFormat */
	bool decoded;	  /* CBOR: of a result, whose numbers keep their scale */
} Writer;

typedef struct ValueEncoder ValueEncoder;
extern ValueEncoder *value_encoder_create(MemoryContext cxt, Oid type);
extern void value_encode(ValueEncoder *enc, Writer *w, Datum value,
						 bool isnull);
extern void write_jsonb(Writer *w, Jsonb *jb);
extern void write_text(Writer *w, const char *p, Size n);
extern void write_numeric_text(Writer *w, const char *text);
/* datetime.c */
extern void write_date(Writer *w, DateADT date);
extern void write_timestamp(Writer *w, Timestamp t, bool has_zone);
/* As jsonb has it: what write_timestamp writes for JSON. */
extern char *moment_text(TimestampTz t);

/* Is it a number that arrays have in their own bytes? */
extern bool kind_is_number(ValueKind kind, NumberType *type);

/* --- floats.c -------------------------------------------------------------- */

/* A cast from or to real[]; zero before it is used first. */
typedef struct FloatCast
{
	FmgrInfo function;
	FmgrInfo length; /* applies the type modifier, if function does not */
	int32 typmod;
} FloatCast;

/* The functions of a type's casts from and to real[]; invalid: it has none. */
extern void type_float_casts(Oid base, Oid *from, Oid *to);
/* 42501: the role may not execute it. */
extern void float_cast_init(FloatCast *cast, Oid function, Oid target,
							int32 typmod, MemoryContext cxt);
extern Datum float_cast(FloatCast *cast, Datum value);

/* --- through_text.c --------------------------------------------------------- */

/*
 * What the types' output and input functions make of a value, and of a text,
 * whatever the session's settings are; or a cast of a value.
 */
extern bool type_names_objects(Oid base);
extern char *value_to_text(FmgrInfo *out, Datum value, bool names_objects);
extern Datum value_from_text(FmgrInfo *in, const char *text, Oid ioparam,
							 int32 typmod, bool names_objects);
extern Datum value_through_cast(FloatCast *cast, Datum value);
/* A time without a zone is in UTC. */
extern TimestampTz moment_from_text(const char *text);

/* --- double_numeric.c ------------------------------------------------------ */

extern Datum numeric_from_text(const char *text);
/*
 * The shortest decimal that reads back the same; v is finite.  The first form
 * writes it to an aligned place with room for any; returns its size.
 */
#define DOUBLE_NUMERIC_SIZE 32
extern Size double_to_numeric(double v, void *to);
extern Datum numeric_from_double(double v);

/* --- jsonb_numbers.c ------------------------------------------------------- */

/*
 * A list of nothing but plain numbers as a whole jsonb; NULL: it is not one, and
 * nothing has been read.
 */
extern Jsonb *numbers_to_jsonb(CborReader *r, const CborToken *list);

/* --- reading ---------------------------------------------------------------- */

/* A number that is not a plain integer, as numeric: decimals and bignums. */
extern Datum cbor_numeric(CborReader *r, const CborToken *tag);
/* The item that begins with tok, as part of a jsonb (or the whole of it). */
extern Jsonb *cbor_to_jsonb(CborReader *r, const CborToken *tok);
pg_noreturn extern void too_large_for_jsonb(void);
/* Next token; raises what is wrong with the bytes. */
extern void next_token(CborReader *r, CborToken *tok);
pg_noreturn extern void bad_bytes(CborReader *r);

#define MAX_DEPTH 1000 /* levels of nesting in one result */

#endif /* MODAL_VALUES_TYPE_TABLE_H */
