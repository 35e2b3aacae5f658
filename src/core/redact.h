/*-------------------------------------------------------------------------
 *
 * redact.h
 *	  Keep secrets out of text that goes to a log, an error or a view.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_CORE_REDACT_H
#define MODAL_CORE_REDACT_H

#include "core/buf.h"

/*
 * Append text to out with every occurrence of a given secret, every Modal
 * token (ak-…, as-…), every bearer credential and the user:password and
 * query part of URLs replaced by "***".  Secrets shorter than 4 bytes are
 * ignored.  Cuts after max bytes, at a character border.
 */
extern void redact(Buf *out, const char *text, size_t n,
				   const char *const *secrets, int nsecrets, size_t max);

#endif /* MODAL_CORE_REDACT_H */
