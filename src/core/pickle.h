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

/*
 * Who translates a pickle does nothing else meanwhile, and what is shared in it
 * is written as often as it occurs.  So the work that one may make is limited,
 * in bytes: what it becomes, some for each value, and for a long number the
 * square of its digits, divided by what makes it the time of a byte.
 */
#define PICKLE_FREE_WORK (16 * 1024 * 1024)	 /* of the smallest */
#define PICKLE_WORK_PER_BYTE 64				 /* of its own size besides */
#define PICKLE_MAX_WORK (256 * 1024 * 1024)	 /* of the largest */
#define PICKLE_VALUE_WORK 8
#define PICKLE_READ_DIGITS 256 /* the divisor for digits that are read, */
#define PICKLE_WRITE_DIGITS 64 /* and written */

/* How much of it a pickle, or a call, of n bytes may make. */
static inline uint64_t
pickle_work(size_t n)
{
	uint64_t work = PICKLE_FREE_WORK + PICKLE_WORK_PER_BYTE * (uint64_t) n;

	return work < PICKLE_MAX_WORK ? work : PICKLE_MAX_WORK;
}

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
