/*-------------------------------------------------------------------------
 *
 * language.h
 *	  LANGUAGE modal: what is known of a typed function, and a place that
 *	  calls one.
 *
 * A TypedFunction is cached by OID and replaced when its pg_proc row has
 * changed; a TypedSite keeps the one that it was made with.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_SESSION_LANGUAGE_H
#define MODAL_SESSION_LANGUAGE_H

#include "compat.h"

#include "access/tupdesc.h"
#include "session/codec.h"
#include "session/remote_call.h"
#include "storage/itemptr.h"

typedef struct TypedFunction
{
	Oid funcid;
	TransactionId xmin; /* of the pg_proc row it was made from */
	ItemPointerData tid;
	MemoryContext cxt;
	int users; /* sites that hold it, and the cache */

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
} TypedFunction;

typedef struct TypedSite
{
	TypedFunction *function;
	ResultDecoder *decoder; /* NULL: RETURNS void */
	MemoryContext cxt;

	/* since typed_site_connect */
	Endpoint *endpoint;
	const char *reference; /* without "server:" */
	char *label;
	ArgEncoder *encoder;
	MemoryContext connection_cxt;
} TypedSite;

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

/* "server:function" for EXPLAIN, without looking the server up. */
extern char *typed_function_label(Oid funcid);

/*
 * A site lives in a child of cxt, and what it holds is let go with that.
 * desc: the row type, where only the caller knows it; else NULL.
 */
extern TypedSite *typed_site_create(MemoryContext cxt, Oid funcid,
									TupleDesc desc);
/*
 * Look up where the site's calls go now, as the effective user; must be done
 * before its first call and whenever user or server may have changed.
 */
extern void typed_site_connect(TypedSite *site);
extern void typed_site_spec(const TypedSite *site, CallKind kind,
							RemoteCallSpec *spec);
/* The value of an output, or its error raised. */
extern Datum typed_site_result(const TypedSite *site, const FrameOutput *out,
							   bool *isnull);

#endif /* MODAL_SESSION_LANGUAGE_H */
