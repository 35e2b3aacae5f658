/*-------------------------------------------------------------------------
 *
 * arg_encoder.h
 *	  The encoder of one call's arguments; private to this folder.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_VALUES_ARG_ENCODER_H
#define MODAL_VALUES_ARG_ENCODER_H

#include "compat.h"

#include "values/type_table.h"

typedef struct RequestWriter RequestWriter;

/* Constant text, or after it an argument or the whole row. */
#define PIECE_TEXT (-1)
#define PIECE_ROW (-2)

typedef struct Piece
{
	Buf text;
	int arg; /* or PIECE_… */
} Piece;

typedef struct Pieces
{
	Piece *p;
	int n;
} Pieces;

struct ArgEncoder
{
	int nargs;
	ValueEncoder **args;
	Oid *types;
	char **names;		  /* [i] NULL: positional */
	int npositional;
	ArgFormat format;
	bool whole;			  /* JSON: the one argument is the body itself */
	Buf common;			  /* encoded members of kwargs */
	uint32 ncommon;
	Buf *keys;			  /* encoded names, [nargs] */
	bool members_checked; /* no two of an object have one name */
	RequestWriter *request; /* NULL: the payload is all arguments */
};

/* --- arguments.c ----------------------------------------------------------- */

/* The name by which an object has an argument, or NULL. */
extern const char *argument_name(ArgEncoder *enc, int i);
pg_noreturn extern void argument_given_twice(const char *name);
/* Append all arguments but those that are taken, which may be NULL: none. */
extern void write_row(ArgEncoder *enc, Writer *w, const Datum *values,
					  const bool *isnull, RowForm form, const bool *taken);

/* --- request.c --------------------------------------------------------------- */

/*
 * Set enc->request, for which enc has its arguments and their names.  Returns
 * the keyword arguments that are left for the body.
 */
extern Jsonb *request_writer_create(ArgEncoder *enc, Jsonb *kwargs);
extern void request_write(ArgEncoder *enc, Writer *w, const Datum *values,
						  const bool *isnull);

/* --- request_template.c ---------------------------------------------------- */

/* kwargs, which may be NULL, over the form's parameters; NULL: none. */
extern Jsonb *request_kwargs(const RequestForm *form, Jsonb *kwargs);
extern JsonbValue *request_kwarg(Jsonb *kwargs, const char *name, Size n);
extern bool request_no_kwargs(Jsonb *kwargs);
/*
 * What a row is made of by the template: own are the call's keyword arguments,
 * each of which must have a place, kwargs those with all defaults.
 */
extern void request_pieces(Pieces *pieces, ArgEncoder *enc, Jsonb *own,
						   Jsonb *kwargs);

#endif /* MODAL_VALUES_ARG_ENCODER_H */
