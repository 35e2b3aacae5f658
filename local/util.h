/*-------------------------------------------------------------------------
 *
 * util.h
 *	  Memory, messages and small containers of modal-local.
 *
 * modal-local is a server for one machine: when memory ends it says so and
 * exits, so nothing else has to check for it.  What peers can make grow is
 * limited where it grows.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_LOCAL_UTIL_H
#define MODAL_LOCAL_UTIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <protobuf-c/protobuf-c.h>

#include "core/buf.h"

/* One line to standard error; die also exits with status 1. */
extern void complain(const char *fmt, ...)
	__attribute__((format(printf, 1, 2)));
extern void die(const char *fmt, ...)
	__attribute__((format(printf, 1, 2), noreturn));
extern void die_errno(const char *fmt, ...)
	__attribute__((format(printf, 1, 2), noreturn));

extern void *xmalloc(size_t size);
extern void *xcalloc(size_t size);
extern void *xrealloc(void *ptr, size_t size);
extern char *xstrdup(const char *s);
extern char *xasprintf(const char *fmt, ...)
	__attribute__((format(printf, 1, 2)));
/* Text as a segment of a URL's path, and back; NULL: that it is not. */
extern char *url_encode(const char *text);
extern char *url_decode(const char *segment, size_t len);
/* A BufRealloc (core/buf.h) that exits when memory ends. */
extern void *xbuf_realloc(void *place, void *ptr, size_t size);

/* Fill with unpredictable bytes. */
extern void random_bytes(void *p, size_t n);
/* Uniform in [0, 1), for faults by probability. */
extern double random_unit(void);

/*
 * Arena: allocations that are freed together.  Its blocks are reused by later
 * arenas.  Zero-initialized is empty.
 */
typedef struct ArenaBlock ArenaBlock;

typedef struct Arena
{
	ArenaBlock *blocks;
	uint8_t *at;
	size_t left;
} Arena;

extern void *arena_alloc(Arena *arena, size_t size);
extern char *arena_strndup(Arena *arena, const void *s, size_t n);
extern char *arena_printf(Arena *arena, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
extern void arena_free(Arena *arena);
/* For unpacking protobuf messages into the arena. */
extern ProtobufCAllocator arena_allocator(Arena *arena);

/*
 * Hash table from byte strings to pointers; never shrinks.  Keys belong to
 * the values and live as long as their entry.
 */
typedef struct TableEntry
{
	const void *key; /* NULL: free, or (with deleted) was taken */
	size_t key_len;
	uint64_t hash;
	void *value;
	bool deleted;
} TableEntry;

typedef struct Table
{
	TableEntry *entries;
	size_t size; /* a power of two, or 0 */
	size_t used; /* entries with a value */
	size_t filled; /* these and the deleted */
} Table;

extern void *table_get(const Table *table, const void *key, size_t key_len);
/* The key must not be in the table yet. */
extern void table_put(Table *table, const void *key, size_t key_len,
					  void *value);
extern void table_delete(Table *table, const void *key, size_t key_len);

static inline void *
table_get_str(const Table *table, const char *key)
{
	return table_get(table, key, strlen(key));
}

#endif /* MODAL_LOCAL_UTIL_H */
