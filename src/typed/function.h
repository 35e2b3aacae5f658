/*-------------------------------------------------------------------------
 *
 * function.h
 *	  What is known of a function in LANGUAGE modal.
 *
 * A TypedFunction is cached by OID and replaced when its pg_proc row has
 * changed; who got one before that keeps it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_TYPED_FUNCTION_H
#define MODAL_TYPED_FUNCTION_H

#include "compat.h"

#include "access/htup.h"
#include "access/tupdesc.h"
#include "storage/itemptr.h"

typedef struct TypedFunction
{
	Oid funcid;
	TransactionId xmin; /* of the pg_proc row it was made from */
	ItemPointerData tid;
	MemoryContext cxt;
	int users; /* those who got it, and the cache */

	char *name;		  /* as in CREATE FUNCTION, with argument types */
	char *reference;  /* "[server:]..." without a parameter list */
	int nargs;		  /* input arguments */
	Oid *argtypes;
	char **argnames;  /* elements NULL: unnamed */
	int positional;	  /* the first so many are not sent by name */
	bool strict;
	bool shareable;	  /* IMMUTABLE or STABLE: equal inputs, equal results */
	Oid result_type;
	TupleDesc result_desc; /* result_type RECORD with OUT parameters */

	bool gives_list; /* it was seen to be no generator; may change */
} TypedFunction;

/* Is it LANGUAGE modal (or does a developer setting make it count as such)? */
extern bool typed_language_is_ours(Oid langid);
#ifdef MODAL_DEBUG_POINTS
/* Is it another language that counts as remote? */
extern bool typed_function_is_simulated(Oid funcid);
extern bool typed_language_is_simulated(void);
#else
#define typed_function_is_simulated(funcid) false
#define typed_language_is_simulated() false
#endif

/*
 * Fill in what the pg_proc row says; memory from the current context.
 * Errors: 42P13, a bad parameter list.
 */
extern void typed_function_read(TypedFunction *function, HeapTuple tuple);
/* The function as it is now; to be released. */
extern TypedFunction *typed_function_get(Oid funcid);
extern void typed_function_release(TypedFunction *function);

/* "server:function" for EXPLAIN, without looking the server up. */
extern char *typed_function_label(Oid funcid);
extern char *typed_reference_label(const char *reference);

#endif /* MODAL_TYPED_FUNCTION_H */
