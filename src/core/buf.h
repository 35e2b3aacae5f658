/*-------------------------------------------------------------------------
 *
 * buf.h
 *	  A growable byte buffer with a hard limit and a sticky error.
 *
 * Part of src/core: pure C, no PostgreSQL, no sockets.  Memory comes from a
 * BufRealloc given by the owner, so that a session can use palloc and a
 * worker malloc.  After a failed allocation or when the limit would be
 * passed, "failed" is set, the content stays as it was, and every later
 * append is a no-op: callers check once, at the end.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_CORE_BUF_H
#define MODAL_CORE_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Like realloc(3): ptr may be NULL; size 0 frees and returns NULL.  May return
 * NULL on failure, or leave by other means (palloc's ereport).
 */
typedef void *(*BufRealloc)(void *ptr, size_t size);

typedef struct Buf
{
	uint8_t *data;
	size_t len;
	size_t cap;
	size_t limit; /* most bytes it may ever hold */
	BufRealloc grow;
	bool failed; /* sticky: out of memory, or over the limit */
} Buf;

/* limit 0: no limit but size_t; grow NULL: the C library's realloc/free. */
extern void buf_init(Buf *buf, size_t limit, BufRealloc grow);
extern void buf_free(Buf *buf);	 /* releases; buf may be used again */
extern void buf_reset(Buf *buf); /* empties and clears "failed"; keeps memory */

/* Room for n more bytes; false (and failed) if it cannot be had. */
extern bool buf_reserve(Buf *buf, size_t n);
/* Reserve and account for n bytes, returning where to write them, or NULL. */
extern uint8_t *buf_extend(Buf *buf, size_t n);
extern void buf_put(Buf *buf, const void *bytes, size_t n);
extern void buf_put_u8(Buf *buf, uint8_t v);
extern void buf_put_cstr(Buf *buf, const char *s); /* without its final zero */
extern void buf_printf(Buf *buf, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
/* Make data a C string by writing a zero byte after len (not counted). */
extern const char *buf_cstr(Buf *buf);
/* Drop n bytes from the front. */
extern void buf_consume(Buf *buf, size_t n);

#endif /* MODAL_CORE_BUF_H */
