/*-------------------------------------------------------------------------
 *
 * transport_inflate.h
 *	  Bodies with "Content-Encoding: gzip" (RFC 9110, 8.4.1.3), piece by piece.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_WORKER_TRANSPORT_INFLATE_H
#define MODAL_WORKER_TRANSPORT_INFLATE_H

#include <stdbool.h>
#include <stddef.h>

typedef struct Inflate Inflate;

typedef enum InflateResult
{
	INFLATE_OK,
	INFLATE_STOPPED, /* by put */
	INFLATE_BAD      /* this is not gzip */
} InflateResult;

extern Inflate *inflate_create(void); /* NULL: no memory */
/* What this piece contains is given to put, which returns false to stop. */
extern InflateResult
inflate_feed(Inflate *inflate, const void *p, size_t n,
			 bool (*put)(void *arg, const void *p, size_t n), void *arg);
/* Is the body complete? */
extern bool inflate_complete(const Inflate *inflate);
extern void inflate_free(Inflate *inflate);

#endif /* MODAL_WORKER_TRANSPORT_INFLATE_H */
