/*-------------------------------------------------------------------------
 *
 * buf.c
 *	  A growable byte buffer with a hard limit and a sticky error.
 *
 * Invariants: len <= cap <= limit; data is NULL exactly when cap is 0;
 * otherwise cap + 1 bytes are allocated.
 *
 *-------------------------------------------------------------------------
 */
#include "core/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define BUF_FIRST_SIZE 64

void *
buf_libc_realloc(void *place, void *ptr, size_t size)
{
	(void) place;
	if (size == 0)
	{
		free(ptr);
		return NULL;
	}
	return realloc(ptr, size);
}

void
buf_init(Buf *buf, size_t limit, BufRealloc grow)
{
	memset(buf, 0, sizeof(*buf));
	/* PTRDIFF_MAX keeps all sums of lengths below from overflowing. */
	buf->limit = limit > 0 && limit < PTRDIFF_MAX ? limit : PTRDIFF_MAX - 1;
	buf->grow = grow != NULL ? grow : buf_libc_realloc;
	buf->place = buf->grow(NULL, NULL, 0);
}

void
buf_free(Buf *buf)
{
	if (buf->data != NULL)
		(void) buf_memory(buf, buf->data, 0);
	buf->data = NULL;
	buf->len = buf->cap = 0;
	buf->failed = false;
}

void
buf_reset(Buf *buf)
{
	buf->len = 0;
	buf->failed = false;
}

bool
buf_enlarge(Buf *buf, size_t n)
{
	size_t need;
	size_t size;
	uint8_t *data;

	if (buf->failed)
		return false;
	if (n > buf->limit - buf->len)
	{
		buf->failed = true;
		return false;
	}

	/*
	 * Doubling makes appending n bytes one by one cost O(n).  Behind a large
	 * piece there is room for the little that follows.
	 */
	need = buf->len + n + 1;
	size = buf->cap > 0 ? (buf->cap + 1) * 2 : BUF_FIRST_SIZE;
	if (size < need)
		size = need + BUF_FIRST_SIZE;
	if (size > buf->limit + 1)
		size = buf->limit + 1;

	data = buf_memory(buf, buf->data, size);
	if (data == NULL)
	{
		buf->failed = true;
		return false;
	}
	buf->data = data;
	buf->cap = size - 1;
	return true;
}

void
buf_printf(Buf *buf, const char *fmt, ...)
{
	va_list args;
	int n;

	va_start(args, fmt);
	n = vsnprintf(NULL, 0, fmt, args);
	va_end(args);
	if (n < 0)
	{
		buf->failed = true;
		return;
	}
	if (!buf_reserve(buf, n))
		return;

	/* The final zero goes where buf_cstr would put it. */
	if (n > 0)
	{
		va_start(args, fmt);
		vsnprintf((char *) buf->data + buf->len, (size_t) n + 1, fmt, args);
		va_end(args);
		buf->len += n;
	}
}

const char *
buf_cstr(Buf *buf)
{
	if (buf->data == NULL)
		return "";
	buf->data[buf->len] = '\0';
	return (const char *) buf->data;
}

void
buf_consume(Buf *buf, size_t n)
{
	if (n >= buf->len)
		buf->len = 0;
	else if (n > 0)
	{
		memmove(buf->data, buf->data + n, buf->len - n);
		buf->len -= n;
	}
}
