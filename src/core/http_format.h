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
#include "core/reference.h"

typedef enum HttpBodyFormat
{
	BODY_JSON,		 /* one row: the input itself */
	BODY_JSON_LINES,
	BODY_BIGQUERY,
	BODY_SNOWFLAKE,
	BODY_REDSHIFT
} HttpBodyFormat;

/* What the warehouse formats tell the function about its caller. */
typedef struct HttpCaller
{
	const char *request_id; /* the idempotency key */
	Slice function;			/* "server:path" */
	const char *user;
	const char *database;
	Slice context;			/* JSON object of common arguments; p NULL: none */
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
							  const HttpCaller *caller);
extern bool http_format_row(HttpBodyFormat format, Buf *body, uint32_t number,
							Slice row);
extern void http_format_end(HttpBodyFormat format, Buf *body);

/* The outcome of one row. */
typedef struct HttpRow
{
	Slice value;	/* JSON text, in the reply; p NULL: failed */
	Slice code;		/* failed: JSON string or p NULL */
	Slice message;	/* failed: JSON string or p NULL */
	bool retryable;
} HttpRow;

/*
 * Take a good reply apart into exactly rows outcomes.  text must be followed
 * by a zero byte.  Returns NULL, or what is wrong with the reply as a whole;
 * *failed says that the function itself reported failure (the text is then
 * its message, in scratch).  Slices point into text or scratch.
 */
extern const char *http_format_reply(HttpBodyFormat format, const char *text,
									 size_t n, uint32_t rows, HttpRow *out,
									 Buf *scratch, bool *failed);

/*
 * What a body of an error status says, for a person: its errorMessage,
 * error_msg, error, detail or message member if it is such an object, else
 * its text.  Appended to out.
 */
extern void http_format_error_text(const char *text, size_t n, Buf *out);

#endif /* MODAL_CORE_HTTP_FORMAT_H */
