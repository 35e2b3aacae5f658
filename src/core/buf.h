/*-------------------------------------------------------------------------
 *
 * buf.h
 *	  A growable byte buffer with a hard limit and a sticky error.
 *
 * Part of src/core: pure C, no PostgreSQL, no sockets.  Memory comes from a
 * BufRealloc given by the owner, so that a session can use palloc and a
 * worker malloc.  It is all of one place, which is found where the buffer is
 * initialized, not where it is first written to.  After a failed allocation or when the limit would be
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
#include <string.h>

/*
 * Like realloc(3): ptr may be NULL; size 0 frees and returns NULL.  May return
 * NULL on failure, or leave by other means (palloc's ereport).  With ptr NULL
 * and size 0, it says from which place it would take memory now: the place
 * that all other calls for the same thing are given.
 */
typedef void *(*BufRealloc)(void *place, void *ptr, size_t size);

typedef struct Buf
{
	uint8_t *data;
	size_t len;
	size_t cap; /* one byte more is allocated, for buf_cstr */
	size_t limit; /* most bytes it may ever hold */
	BufRealloc grow;
	void *place; /* for grow */
	bool failed; /* sticky: out of memory, or over the limit */
} Buf;

/* limit 0: no limit but size_t; grow NULL: the C library's realloc/free. */
extern void buf_init(Buf *buf, size_t limit, BufRealloc grow);
extern void buf_free(Buf *buf);	 /* releases; buf may be used again */
extern void buf_reset(Buf *buf); /* empties and clears "failed"; keeps memory */
extern void buf_printf(Buf *buf, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
/*
 * Data as a C string: a zero byte after len, not counted.  Never fails and
 * never moves data, for there is always room for that byte.
 */
extern const char *buf_cstr(Buf *buf);
/* Drop n bytes from the front. */
extern void buf_consume(Buf *buf, size_t n);
/* The slow half of buf_reserve. */
extern bool buf_enlarge(Buf *buf, size_t n);
/* A BufRealloc made of the C library's realloc and free. */
extern void *buf_libc_realloc(void *place, void *ptr, size_t size);

/* Memory for what belongs to the buffer, from its place: as BufRealloc. */
static inline void *
buf_memory(const Buf *buf, void *ptr, size_t size)
{
	return buf->grow(buf->place, ptr, size);
}

/* Room for n more bytes; false (and failed) if it cannot be had. */
static inline bool
buf_reserve(Buf *buf, size_t n)
{
	if (!buf->failed && buf->cap - buf->len >= n)
		return true;
	return buf_enlarge(buf, n);
}

/* Reserve and account for n > 0 bytes: where to write them, or NULL. */
static inline uint8_t *
buf_extend(Buf *buf, size_t n)
{
	uint8_t *at;

	if (!buf_reserve(buf, n))
		return NULL;
	at = buf->data + buf->len;
	buf->len += n;
	return at;
}

static inline void
buf_put(Buf *buf, const void *bytes, size_t n)
{
	if (n > 0 && buf_reserve(buf, n))
	{
		memcpy(buf->data + buf->len, bytes, n);
		buf->len += n;
	}
}

static inline void
buf_put_u8(Buf *buf, uint8_t v)
{
	if (buf_reserve(buf, 1))
		buf->data[buf->len++] = v;
}

static inline void
buf_put_cstr(Buf *buf, const char *s) /* without its final zero */
{
	buf_put(buf, s, strlen(s));
}

#endif /* MODAL_CORE_BUF_H */
