/*-------------------------------------------------------------------------
 *
 * json_split.h
 *	  Take JSON text apart into pieces of text, without changing a byte.
 *
 * The pieces stay as the peer wrote them, so that no number loses digits on
 * its way.  Text must be followed by a zero byte (buf_cstr does that) or by the
 * end of a line.
 *
 *	 json_open(&c, p, n);
 *	 if (json_enter(&c, '['))
 *		while (json_next_element(&c, &value)) …
 *	 if (c.error || !json_at_end(&c)) …
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_CORE_JSON_SPLIT_H
#define MODAL_CORE_JSON_SPLIT_H

#include "core/buf.h"
#include "core/json_scan.h"
#include "core/reference.h"

typedef struct JsonCursor
{
	const char *p;
	const char *end;   /* where the byte after the text is */
	const char *error; /* NULL, or what is wrong, for a person */
	bool first;		   /* no element of the container read yet */
} JsonCursor;

extern void json_open(JsonCursor *c, const char *p, size_t n);
/* One value, as it stands in the text; false on error. */
extern bool json_value(JsonCursor *c, Slice *value);
/* Step into the array ('[') or object ('{') that comes next. */
extern bool json_enter(JsonCursor *c, char bracket);
/* False at the closing bracket (which is passed) and on error. */
extern bool json_next_element(JsonCursor *c, Slice *value);
/* Same, but leaves the element unread, for json_enter or json_value. */
extern bool json_next_begins(JsonCursor *c);
/* The first byte of what comes next, '\0' at the end. */
extern char json_peek(JsonCursor *c);
/* key keeps its quotes and escapes; compare with json_key_is. */
extern bool json_next_member(JsonCursor *c, Slice *key, Slice *value);
/* Same, but leaves the value unread, for json_enter or json_value. */
extern bool json_next_key(JsonCursor *c, Slice *key);
extern bool json_key_is(Slice key, const char *name);
/* Nothing but white space is left. */
extern bool json_at_end(JsonCursor *c);

/* Append the content of a JSON string; false when value is not one. */
extern bool json_string(Slice value, Buf *out);
/* Is it an integer that fits? */
extern bool json_integer(Slice value, int64_t *n);
/* Append text as a JSON string (it must be UTF-8). */
extern void json_put_string(Buf *buf, const char *p, size_t n);

#endif /* MODAL_CORE_JSON_SPLIT_H */
