/*-------------------------------------------------------------------------
 *
 * list.h
 *	  What a set-returning typed function gets from a remote function that is
 *	  no generator: a list, whose elements are the rows.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_TYPED_LIST_H
#define MODAL_TYPED_LIST_H

#include "compat.h"

#include "core/cbor.h"
#include "typed/site.h"

typedef struct TypedList
{
	const TypedSite *site;
	FrameOutput output;
	CborReader reader; /* of a list in CBOR */
	Buf number;		   /* of a typed array, whose elements have no heads */
	bool typed;
	Jsonb *elements;   /* of a list in JSON, in the context of the opener */
	uint32 rows; /* so far */
} TypedList;

/*
 * Of the function's output, which must last as long as the list; raises its
 * error.  False: it is null, and so no rows.
 */
extern bool typed_list_open(TypedList *list, const TypedSite *site,
							const FrameOutput *out);
/*
 * The next element as an output of its own, until the next call, and its number
 * from 0, for typed_site_result; false after the last.
 */
extern bool typed_list_next(TypedList *list, FrameOutput *out, int64 *row);

#endif /* MODAL_TYPED_LIST_H */
