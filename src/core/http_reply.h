/*-------------------------------------------------------------------------
 *
 * http_reply.h
 *	  What the options of a server say about replies: where in them the
 *	  results of rows are, their errors, and what they cost.
 *
 * All paths are evaluated in one pass.  What belongs to one row stands below
 * the same last [*]: "$.data[*].embedding" and "$.data[*].index".
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_CORE_HTTP_REPLY_H
#define MODAL_CORE_HTTP_REPLY_H

#include "core/http_format.h"
#include "core/json_path.h"

typedef enum ReplyType
{
	REPLY_JSON,
	REPLY_JSON_STRING, /* a JSON string, in which there is JSON */
	REPLY_TEXT,		   /* the whole body, as text */
	REPLY_BYTES
} ReplyType;

/* The options' values; NULL: not given. */
typedef struct ReplyOptions
{
	const char *result;		  /* a path */
	const char *result_index; /* a path */
	const char *result_shape; /* a path */
	const char *row_error;	  /* paths, one a line, as in error and usage */
	const char *error;
	const char *usage;
	const char *result_type; /* json, json-string, text, bytes */
	bool batched;			 /* a request has many rows */
} ReplyOptions;

typedef struct ReplyForm
{
	JsonPath paths[JSON_PATHS_MAX];
	int npaths;
	int result;			   /* which of them; all others -1: none */
	int index, shape;
	uint32_t row_errors, errors, usages; /* sets */
	ReplyType type;
	bool batched;
} ReplyForm;

/*
 * False: the option named by *option (NULL: no memory) is bad, as *fault says;
 * nothing to free.
 */
extern bool reply_form_parse(ReplyForm *form, const ReplyOptions *options,
							 const char **option, TextFault *fault);
extern void reply_form_free(ReplyForm *form);
extern bool reply_type_by_name(const char *name, ReplyType *type);

typedef struct Reply
{
	HttpRow *rows; /* as many as the request had */
	double usage;
	bool failed;   /* the function itself reported that it failed */
} Reply;

/*
 * As http_format_reply: take a good reply apart, or say what is wrong with it.
 * says_error: something else than the body said that it is an error's.
 */
extern const char *reply_form_read(const ReplyForm *form, const char *text,
								   size_t n, uint32_t rows, bool says_error,
								   Reply *reply, Buf *scratch);
/* The message of an error's body, appended; false: there is none. */
extern bool reply_form_error(const ReplyForm *form, const char *text, size_t n,
							 Buf *message);

#endif /* MODAL_CORE_HTTP_REPLY_H */
