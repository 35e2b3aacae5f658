/*-------------------------------------------------------------------------
 *
 * http_format.h
 *	  Bodies of requests and replies in the formats that HTTP functions
 *	  speak; docs/http.md shows them.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_CORE_HTTP_FORMAT_H
#define MODAL_CORE_HTTP_FORMAT_H

#include "core/buf.h"
#include "core/json_split.h"
#include "core/reference.h"

typedef enum HttpBodyFormat
{
	BODY_JSON,		 /* one row: the input itself */
	BODY_JSON_LINES,
	BODY_BIGQUERY,
	BODY_SNOWFLAKE,
	BODY_REDSHIFT,
	BODY_TEMPLATE,	 /* rows within an envelope; see core/template.h */
	BODY_WEBHOOK,	 /* one row: the input itself; the reply says nothing */
	BODY_BULK		 /* one row: the input itself; see http/bulk.h */
} HttpBodyFormat;

/* What the warehouse formats tell the function about its caller. */
typedef struct HttpCaller
{
	const char *request_id; /* the idempotency key */
	Slice function;			/* "server:path" */
	const char *user;
	const char *database;
	Slice context;			/* JSON object of common arguments; p NULL: none.
							 * Templates: the envelope */
} HttpCaller;

extern bool http_format_by_name(const char *name, HttpBodyFormat *format);
/* Can a request carry several rows? */
extern bool http_format_batches(HttpBodyFormat format);
extern const char *http_format_content_type(HttpBodyFormat format);

/*
 * Write a body: begin, then each row's arguments as JSON text (an array,
 * except for BODY_JSON), then end.  http_format_row is false when a row is
 * not what the format needs.
 */
extern void http_format_begin(HttpBodyFormat format, Buf *body, uint32_t rows,
							  Slice first_row, const HttpCaller *caller);
extern bool http_format_row(HttpBodyFormat format, Buf *body, uint32_t number,
							Slice row);
extern void http_format_end(HttpBodyFormat format, Buf *body, uint32_t rows,
							Slice first_row, const HttpCaller *caller);

/* The outcome of one row. */
typedef struct HttpRow
{
	Slice value;	/* JSON text, in the reply; p NULL: failed */
	bool cbor;		/* value is a CBOR item: see http_reply.h */
	Slice code;		/* failed: JSON string or p NULL */
	Slice message;	/* failed: JSON string or p NULL */
	Slice what;		/* failed: "what is message" says it better; or p NULL */
	bool retryable;
} HttpRow;

/* Make a failure of a row of {"code", "message", "retryable"}, which c is at. */
extern const char *http_format_row_error(JsonCursor *c, HttpRow *row);

/*
 * Take a good reply apart into exactly rows outcomes.  text must be followed
 * by a zero byte.  Returns NULL, or what is wrong with the reply as a whole;
 * *failed says that the function itself reported failure (the text is then
 * its message, in scratch).  Slices point into text or scratch.
 */
extern const char *http_format_reply(HttpBodyFormat format, const char *text,
									 size_t n, uint32_t rows, HttpRow *out,
									 Buf *scratch, bool *failed);

#endif /* MODAL_CORE_HTTP_FORMAT_H */
