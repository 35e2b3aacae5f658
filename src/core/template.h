/*-------------------------------------------------------------------------
 *
 * template.h
 *	  Requests as users describe them: a JSON document, in which strings that
 *	  begin with "$" stand for something else.
 *
 *	  "$1"  "$name"		an argument of a row; a name may also be that of a
 *						keyword argument
 *	  "$row"			all arguments of a row: a single one itself, several
 *						as a list (option args says otherwise)
 *	  "$rows"			a list of these, of as many rows as a request has
 *	  {"$rows": …}		the same with a description of each row
 *	  "$kwargs"			the common keyword arguments; a member that has this
 *						value is left out when there are none
 *	  {"$kwargs": {…}}	as a member: they become members of this object, with
 *						defaults
 *	  "$count"			how many rows
 *	  "$shape"			[rows, …], the dimensions of the rows' arrays
 *	  "$$…"				a string that begins with "$"
 *
 * A session writes rows, and the envelope around them: JSON text, in which one
 * byte that JSON has no use for marks what only the dispatcher knows.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_CORE_TEMPLATE_H
#define MODAL_CORE_TEMPLATE_H

#include "core/buf.h"
#include "core/reference.h"
#include "core/text_fault.h"

typedef enum TemplatePartKind
{
	PART_TEXT,	   /* as it is */
	PART_ARGUMENT, /* number, or name */
	PART_ROW,
	PART_ROWS,
	PART_KWARGS,   /* with text before it, if there are any */
	PART_MEMBERS,  /* kwargs as members of an object */
	PART_COUNT,
	PART_SHAPE
} TemplatePartKind;

typedef struct TemplatePart
{
	TemplatePartKind kind;
	bool optional;	 /* KWARGS: a member, of which text is the key */
	uint32_t number; /* ARGUMENT: from 1; 0: by its name */
	Slice text;		 /* TEXT, KWARGS; the name of an ARGUMENT; the defaults of
					  * MEMBERS, a JSON object */
	Slice object;	 /* MEMBERS: the object that they become part of */
} TemplatePart;

typedef struct TemplateParts
{
	TemplatePart *parts;
	uint32_t n, room;
} TemplateParts;

typedef struct Template
{
	Buf source, text;	  /* slices point there */
	TemplateParts request; /* all, or the envelope */
	TemplateParts row;	  /* with $rows */
	bool batched;		  /* has $rows */
} Template;

/*
 * UTF-8; memory comes from grow (see buf_init).  False: *fault says why
 * (problem NULL: no memory), nothing to free.
 */
extern bool template_parse(Template *t, const char *text, size_t n,
						   BufRealloc grow, TextFault *fault);
extern void template_free(Template *t);

/* Marks in an envelope. */
#define TEMPLATE_ROWS '\001'
#define TEMPLATE_COUNT '\002'
#define TEMPLATE_SHAPE '\003'

/* The envelope up to the rows, and what follows them. */
extern void template_put_head(Slice envelope, Buf *body, uint32_t rows,
							  Slice first_row);
extern void template_put_tail(Slice envelope, Buf *body, uint32_t rows,
							  Slice first_row);
extern bool template_is_envelope(Slice envelope);

#endif /* MODAL_CORE_TEMPLATE_H */
