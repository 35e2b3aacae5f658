/*-------------------------------------------------------------------------
 *
 * bulk.h
 *	  OpenAI's batch endpoint: requests as lines of a file that is uploaded,
 *	  the "batch" that is made of it, and the lines of its results.
 *
 * Here a batch is called a bulk, for a batch is what a request carries.  Its
 * metadata say whose it is: the run, a text that is only this one's, and which
 * ordinals its lines have.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_CORE_BULK_H
#define MODAL_CORE_BULK_H

#include "core/buf.h"
#include "core/reference.h"

/* --- what is sent --------------------------------------------------------- */

/* A form with the file, whose lines stand between begin and end. */
extern void bulk_form_begin(Buf *body, const char *boundary);
extern void bulk_form_end(Buf *body, const char *boundary);
/* A line: POST body, a JSON object, to that path. */
extern void bulk_put_line(Buf *body, int64_t ordinal, Slice path, Slice object);

/* The request for a bulk of rows lines, from that ordinal on. */
typedef struct BulkLabel
{
	const char *run;
	int64_t first;
	uint32_t rows;
} BulkLabel;

extern void bulk_put_request(Buf *body, const char *file, Slice path,
							 const BulkLabel *label);

/* --- what is answered ----------------------------------------------------- */

#define BULK_ID_MAX 128

typedef enum BulkStatus
{
	BULK_WORKING, /* or being cancelled */
	BULK_COMPLETED,
	BULK_EXPIRED,
	BULK_CANCELLED,
	BULK_FAILED,  /* the file was refused: none of its lines was run */
	BULK_NO_ROOM  /* the same, for there is too much under way already */
} BulkStatus;

typedef struct Bulk
{
	/* letters, digits, "_", "-" and "."; "": none */
	char id[BULK_ID_MAX + 1];
	char input_file[BULK_ID_MAX + 1];
	char output_file[BULK_ID_MAX + 1];
	char error_file[BULK_ID_MAX + 1];
	BulkStatus status;
	int64_t first; /* as its metadata have it */
	uint32_t rows; /* 0: they do not say */
	Slice errors;  /* FAILED: a list, in the text; p NULL: none */
} Bulk;

/* One that was stored; false: it is not one. */
extern bool bulk_set_id(Bulk *bulk, Slice id);
/* NULL, or what is wrong.  Text must be followed by a zero byte. */
extern const char *bulk_read_file_id(const char *text, size_t n,
									 char id[BULK_ID_MAX + 1]);
extern const char *bulk_read(const char *text, size_t n, Bulk *bulk);
/*
 * The newest one of that run in a list; its id is "" when there is none.  What is
 * wrong with others is no matter.
 */
extern const char *bulk_find(const char *text, size_t n, const char *run,
							 Bulk *bulk);

/* Why a file was refused. */
typedef struct BulkError
{
	int64_t line;		 /* from 1; 0: none in particular */
	Slice code, message; /* JSON strings, or p NULL */
} BulkError;

/* Move *rest, at first bulk.errors, over the next one; false at the end. */
extern bool bulk_next_error(Slice *rest, BulkError *error);

/* A line of results. */
typedef struct BulkLine
{
	int64_t ordinal;	 /* -1: not one of ours */
	int status;			 /* of HTTP; 0: there was no answer */
	Slice body;			 /* JSON, p NULL: none */
	Slice code, message; /* no answer: JSON strings, or p NULL */
} BulkLine;

/* One without its line break; followed by it, or by a zero byte. */
extern const char *bulk_read_line(const char *text, size_t n, BulkLine *line);

#endif /* MODAL_CORE_BULK_H */
