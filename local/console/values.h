/*-------------------------------------------------------------------------
 *
 * values.h
 *	  Arguments and results as text that people read, and from JSON.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_LOCAL_VALUES_H
#define MODAL_LOCAL_VALUES_H

#include "calls/exec.h"
#include "core/buf.h"

/*
 * Appends an encoded value, or the beginning of one, much as JSON or Python
 * would have it; of more than max bytes of text the rest is left out.
 */
extern void value_to_text(Buf *out, DataFormat format, const void *data,
						  size_t len, size_t max);
/* The same of the arguments of a call: a, b, name=c. */
extern void arguments_to_text(Buf *out, DataFormat format, const void *data,
							  size_t len, size_t max);
/*
 * JSON, an array and an object or nothing, to [args, kwargs] in CBOR.  NULL, or
 * what is wrong.
 */
extern const char *arguments_from_json(Buf *out, const char *args,
									   size_t args_len, const char *kwargs,
									   size_t kwargs_len);

#endif /* MODAL_LOCAL_VALUES_H */
