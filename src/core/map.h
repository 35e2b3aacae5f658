/*-------------------------------------------------------------------------
 *
 * map.h
 *	  A hash table from keys to pointers.  A map has keys of one kind: 64-bit
 *	  integers, or bytes.
 *
 * Keys of bytes are not copied: they are part of the value, and the map asks
 * for them (MapKeyOf).  So they must stay as they are while the value is in.
 *
 * Open addressing: one array, at most half full, which grows and never
 * shrinks.  Memory comes from a BufRealloc (see core/buf.h), so that a session
 * can use palloc and a worker malloc, and from the place of map_init.  The hash has no secret: where peers
 * choose keys, the owner bounds how many there are.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_CORE_MAP_H
#define MODAL_CORE_MAP_H

#include "core/buf.h"

/* Most entries that a map can have. */
#define MAP_MAX_ENTRIES (UINT32_C(1) << 28)

/* Where the key of a value is: *n bytes. */
typedef const void *(*MapKeyOf)(const void *value, size_t *n);

typedef struct MapSlot
{
	uint64_t key; /* the integer, or the hash of the bytes */
	void *value;  /* NULL: empty */
} MapSlot;

typedef struct Map
{
	MapSlot *slots;
	uint32_t size; /* of slots: a power of two, or 0 */
	uint32_t count;
	MapKeyOf key_of; /* NULL: keys are integers */
	BufRealloc grow;
	void *place; /* for grow */
} Map;

/* grow NULL: the C library's realloc/free. */
extern void map_init(Map *map, BufRealloc grow);
extern void map_init_bytes(Map *map, MapKeyOf key_of, BufRealloc grow);
/* Releases the table, not the values; it is empty then, and can be used. */
extern void map_free(Map *map);

/*
 * A value, not NULL, whose key must be new; false: no memory, or too many.
 * After a map_reserve for it, it cannot fail.
 */
extern bool map_put(Map *map, int64_t key, void *value);
extern bool map_put_bytes(Map *map, void *value);
/* Room for n entries in all. */
extern bool map_reserve(Map *map, uint32_t n);

/* NULL: there is none. */
extern void *map_get(const Map *map, int64_t key);
extern void *map_get_bytes(const Map *map, const void *key, size_t n);
/* Takes it out; NULL: there is none. */
extern void *map_remove(Map *map, int64_t key);
extern void *map_remove_bytes(Map *map, const void *key, size_t n);

/*
 * Visits all values, in no order.  The current one may be removed meanwhile;
 * so may others, after which one that stays may be visited twice.  Nothing may
 * be put in.
 *
 *	 MapVisit visit = {0};
 *	 while ((value = map_next(&map, &visit)) != NULL) …
 */
typedef struct MapVisit
{
	uint32_t at;   /* slot visited last */
	uint32_t left; /* slots to go */
	bool begun;
} MapVisit;

extern void *map_next(const Map *map, MapVisit *visit);

#endif /* MODAL_CORE_MAP_H */
