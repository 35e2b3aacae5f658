/*-------------------------------------------------------------------------
 *
 * pickle.h
 *	  Plain values between CBOR and Python's pickle.
 *
 * For functions deployed by old SDKs, which take and give pickles only.
 * Reading is by whitelist (plain data, datetime, date, Decimal, UUID,
 * exceptions by name); nothing is ever executed, anything else is an error.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_CORE_PICKLE_H
#define MODAL_CORE_PICKLE_H

#include "core/buf.h"

#define PICKLE_MAX_DEPTH 10000				/* of nested values, both ways */
#define PICKLE_MAX_VALUES (4 * 1024 * 1024) /* that one pickle may make */
#define PICKLE_MAX_CBOR (256 * 1024 * 1024) /* bytes that one may become */

/*
 * [args, kwargs] in CBOR to a protocol-4 pickle of (args, kwargs), a 2-tuple
 * of tuple and dict.  Returns NULL, or what could not be written.
 */
extern const char *pickle_from_cbor_call(Buf *out, const void *p, size_t n);
/*
 * Any pickled plain value (protocols 2 to 5) to one CBOR item.  Returns NULL,
 * or what could not be read; that text may be kept in out, instead of the
 * value.
 */
extern const char *pickle_to_cbor(Buf *out, const void *p, size_t n);
/*
 * The class name and the text of a pickled exception, for error reports;
 * false when it is not one.
 */
extern bool pickle_exception(const void *p, size_t n, Buf *type, Buf *text);

#endif /* MODAL_CORE_PICKLE_H */
