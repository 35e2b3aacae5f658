/*-------------------------------------------------------------------------
 *
 * http_text.h
 *	  What the body of an answer says, for a person: whatever bytes it has,
 *	  what is appended is valid UTF-8 without control characters but line
 *	  breaks and tabs.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_CORE_HTTP_TEXT_H
#define MODAL_CORE_HTTP_TEXT_H

#include "core/buf.h"

/* Most bytes of a body that are looked at. */
#define HTTP_TEXT_MAX (64 * 1024)

/*
 * The body of an error status: its errorMessage, error_msg, error, detail or
 * message member if it is such an object, else its text.
 */
extern void http_text_of_error(const char *body, size_t n, Buf *out);
/*
 * Its text: UTF-8, or UTF-16 if it says so by its byte order mark; of HTML what
 * a reader sees.  Other bytes are shown as "?".
 */
extern void http_text_of_body(const char *body, size_t n, Buf *out);
/*
 * A media type without its parameters, "" if there is none that is one.  JSON
 * needs no mention: "" as well.
 */
extern void http_text_of_type(const char *value, size_t n, char *type,
							  size_t size);

#endif /* MODAL_CORE_HTTP_TEXT_H */
