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
 * Append text to out with every secret in it replaced by "***": every
 * occurrence of one of the given secrets (those shorter than 4 bytes are
 * ignored), also written with %XX, \xXX, \uXXXX, \" or as HTML has it (&#XX;), or
 * within base64 (those of 6 bytes and more), Modal's tokens (ak-…, as-…, wk-…,
 * ws-…), JSON web tokens, what follows "Bearer" or "Basic", and of URLs the user:password and query parts.
 * At most max bytes are appended, cut at a character's border.
 */
extern void redact(Buf *out, const char *text, size_t n,
				   const char *const *secrets, int nsecrets, size_t max);

#endif /* MODAL_CORE_REDACT_H */
