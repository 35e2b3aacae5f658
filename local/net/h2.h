/*-------------------------------------------------------------------------
 *
 * h2.h
 *	  The streams of HTTP/2 connections: a request and its response each.
 *
 * What they are about is the handler's business, of which main.c gives one for
 * all streams.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_LOCAL_H2_H
#define MODAL_LOCAL_H2_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define H2_MAX_HEADERS 6 /* of a response, or trailers */
#define H2_MAX_HEADER_BYTES (16 * 1024) /* of a request */

typedef struct H2Stream H2Stream;

typedef struct H2Header
{
	const char *name; /* stays */
	const char *value;
} H2Header;

/* What becomes of a stream; state is what open() has returned. */
typedef struct H2Handler
{
	void *(*open)(H2Stream *stream);
	/* One header of the request; false: it is too much, the stream ends. */
	bool (*header)(void *state, const char *name, size_t name_len,
				   const char *value, size_t value_len);
	void (*data)(void *state, const uint8_t *data, size_t len);
	/* The request is complete. */
	void (*complete)(void *state);
	/*
	 * At most room bytes of the response's body.  None and not *ended: nothing
	 * now, h2_resume() will tell.
	 */
	size_t (*produce)(void *state, uint8_t *out, size_t room, bool *ended);
	/* Once the body has ended: the trailers; how many, 0: none. */
	size_t (*trailers)(void *state, H2Header *out);
	/* The stream has ended, answered or not. */
	void (*close)(void *state);
} H2Handler;

/* To be called once, before there are connections. */
extern void h2_init(const H2Handler *handler);

/* The response's headers, :status first; its body comes from produce(). */
extern void h2_respond(H2Stream *stream, const H2Header *headers, size_t n,
					   bool with_body);
/* There is more of the body, or it has ended. */
extern void h2_resume(H2Stream *stream);
extern uint64_t h2_connection_number(const H2Stream *stream);

/* Misbehaviour, for faults. */
extern void h2_reset(H2Stream *stream);
extern void h2_goaway(H2Stream *stream, bool refuse);
extern void h2_abort_connection(H2Stream *stream);

#endif /* MODAL_LOCAL_H2_H */
