/*-------------------------------------------------------------------------
 *
 * decode.h
 *	  What the parts of the decoder share; private to this folder.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_VALUES_DECODE_H
#define MODAL_VALUES_DECODE_H

#include "compat.h"

#include "values/type_table.h"

typedef struct DomainCheck DomainCheck;

struct ResultDecoder
{
	TypeInfo info;
	int32 typmod;
	MemoryContext cxt;
	FmgrInfo in;		/* the type's input function */
	Oid ioparam;
	DomainCheck *domain; /* NULL: it was none yet */
	ResultDecoder *element;	  /* KIND_ARRAY */
	FloatCast cast;			  /* KIND_VECTOR: from real[] */
	/* KIND_ROW whose columns are the type's; NULL: desc was given */
	MemoryContext row_cxt;
	uint64 row_identifier;	  /* the type cache's; 0: none yet */
	TupleDesc desc;			  /* KIND_ROW */
	ResultDecoder **columns;  /* KIND_ROW; NULL: dropped */
	char **names;			  /* theirs, in UTF-8; NULL: no text is */
	Size *name_lens;
	Datum *values;			  /* KIND_ROW: scratch */
	bool *nulls;
	bool *found;
};

/* --- decode_scalar.c ------------------------------------------------------ */

/*
 * A value of a kind that is neither an array nor a row; tok, which is not
 * null, begins it.
 */
extern Datum decode_scalar(ResultDecoder *dec, CborReader *r, CborToken *tok);
/* Text through the type's own input function. */
extern Datum decode_through_input(ResultDecoder *dec, const char *text);
/* A token of text as a C string of its own. */
extern char *token_cstring(const CborToken *tok);
/* A number as text in SQL's form. */
extern bool is_number(const CborToken *tok);
extern char *number_text(CborReader *r, const CborToken *tok);
/* As a type's input function reads the number's text; 0 if it is too small. */
extern float4 number_as_float(ResultDecoder *dec, CborReader *r,
							  const CborToken *tok);
/* The error for a result that the type cannot take. */
pg_noreturn extern void does_not_fit(const ResultDecoder *dec,
									 const CborToken *tok, int code);
/* The same for a result of another kind than the type can take. */
pg_noreturn extern void wrong_kind(const ResultDecoder *dec,
								   const CborToken *tok);
/* The error for a result that should be a list. */
pg_noreturn extern void not_a_list(const CborToken *tok);

/* --- domain.c ------------------------------------------------------------- */

/*
 * Errors 23514 and 23502, when the domain's constraints are against the value.
 * What is kept for the next one is made in cxt, the first time, when *check is
 * NULL.
 */
extern void check_domain(DomainCheck **check, Oid domain, Datum value,
						 bool isnull, MemoryContext cxt);

/* --- decode_numbers.c ----------------------------------------------------- */

/*
 * An array of numbers from a list of nothing else, read in one pass; false:
 * nothing has been read.  list is the token that begins it.
 */
extern bool decode_numbers(const ResultDecoder *dec, CborReader *r,
						   const CborToken *list, Datum *value);
/* A type with a cast from real[], of a list of numbers. */
extern Datum decode_floats(ResultDecoder *dec, CborReader *r,
						   const CborToken *list);
/* Either of a list in JSON, which is the whole result; false: not read. */
extern bool decode_json_numbers(ResultDecoder *dec, const void *p, Size n,
								Datum *value);

#endif /* MODAL_VALUES_DECODE_H */
