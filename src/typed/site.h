/*-------------------------------------------------------------------------
 *
 * site.h
 *	  A place that calls a typed function: a plan node's call, or an
 *	  expression's.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_TYPED_SITE_H
#define MODAL_TYPED_SITE_H

#include "compat.h"

#include "link/remote_call.h"
#include "typed/function.h"
#include "values/values.h"

typedef struct TypedSite
{
	TypedFunction *function; /* as it was when the site was made */
	ResultDecoder *decoder;	 /* NULL: RETURNS void */
	MemoryContext cxt;

	/* since typed_site_connect */
	Endpoint *endpoint;
	const char *reference; /* without "server:" */
	char *label;
	ArgEncoder *encoder;
	MemoryContext connection_cxt;
} TypedSite;

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
/* A call of its own for one input. */
extern RemoteCall *typed_site_open(const TypedSite *site, CallKind kind,
								   const Buf *input, MemoryContext cxt);
/*
 * The value of an output, or its error raised.  out->ordinal is the input's;
 * row is -1, or tells which of the rows that the input gave it is, from 0.
 */
extern Datum typed_site_result(const TypedSite *site, const FrameOutput *out,
							   int64 row, bool *isnull);

#endif /* MODAL_TYPED_SITE_H */
