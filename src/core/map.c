/*-------------------------------------------------------------------------
 *
 * map.c
 *	  Open addressing with linear probing; see map.h.
 *
 * Removal closes the gap, so that no mark of what was removed is needed: what
 * stands behind it, up to the next empty slot, moves to where it is found
 * sooner.  That is why a visit goes backwards, and begins below an empty slot:
 * what moves into the current slot has been visited.
 *
 *-------------------------------------------------------------------------
 */
#include "core/map.h"

#include "core/must.h"

#define FIRST_SIZE 16

void
map_init(Map *map, BufRealloc grow)
{
	memset(map, 0, sizeof(*map));
	map->grow = grow != NULL ? grow : buf_libc_realloc;
	map->place = map->grow(NULL, NULL, 0);
}

void
map_init_bytes(Map *map, MapKeyOf key_of, BufRealloc grow)
{
	map_init(map, grow);
	map->key_of = key_of;
}

void
map_free(Map *map)
{
	if (map->slots != NULL)
		(void) map->grow(map->place, map->slots, 0);
	map->slots = NULL;
	map->size = map->count = 0;
}

/* --- slots ---------------------------------------------------------------- */

/*
 * Scattered (by the golden ratio), as integers come in runs: side by side they
 * would be one long cluster, through which every removal has to go.
 */
static inline uint32_t
home_of(const Map *map, uint64_t key)
{
	return (uint32_t) ((key * UINT64_C(0x9E3779B97F4A7C15)) >> 32) &
		(map->size - 1);
}

/* FNV-1a */
static uint64_t
hash_bytes(const void *key, size_t n)
{
	const uint8_t *p = key;
	uint64_t hash = UINT64_C(0xCBF29CE484222325);

	for (size_t i = 0; i < n; i++)
		hash = (hash ^ p[i]) * UINT64_C(0x100000001B3);
	return hash;
}

static void
insert(Map *map, uint64_t key, void *value)
{
	uint32_t at = home_of(map, key);

	while (map->slots[at].value != NULL)
		at = (at + 1) & (map->size - 1);
	map->slots[at] = (MapSlot){key, value};
}

bool
map_reserve(Map *map, uint32_t n)
{
	MapSlot *old = map->slots;
	uint32_t old_size = map->size;
	uint32_t size = old_size > 0 ? old_size : FIRST_SIZE;
	MapSlot *slots;

	if (n > MAP_MAX_ENTRIES)
		return false;
	while (size / 2 < n)
		size *= 2;
	if (size == old_size)
		return true;
	slots = map->grow(map->place, NULL, size * sizeof(*slots));
	if (slots == NULL)
		return false;
	memset(slots, 0, size * sizeof(*slots));
	map->slots = slots;
	map->size = size;
	for (uint32_t i = 0; i < old_size; i++)
	{
		if (old[i].value != NULL)
			insert(map, old[i].key, old[i].value);
	}
	if (old != NULL)
		(void) map->grow(map->place, old, 0);
	return true;
}

/* Take out what is in the slot, and close the gap. */
static void *
remove_at(Map *map, uint32_t hole)
{
	void *value = map->slots[hole].value;
	uint32_t mask = map->size - 1;

	for (uint32_t at = (hole + 1) & mask; map->slots[at].value != NULL;
		 at = (at + 1) & mask)
	{
		uint32_t home = home_of(map, map->slots[at].key);

		if (((at - home) & mask) >= ((at - hole) & mask))
		{
			map->slots[hole] = map->slots[at];
			hole = at;
		}
	}
	map->slots[hole].value = NULL;
	map->count--;
	return value;
}

/* --- integers ------------------------------------------------------------- */

static bool
find(const Map *map, int64_t key, uint32_t *at)
{
	MUST(map->key_of == NULL);
	if (map->count == 0)
		return false;
	for (*at = home_of(map, (uint64_t) key); map->slots[*at].value != NULL;
		 *at = (*at + 1) & (map->size - 1))
	{
		if (map->slots[*at].key == (uint64_t) key)
			return true;
	}
	return false;
}

bool
map_put(Map *map, int64_t key, void *value)
{
	MUST(value != NULL && map_get(map, key) == NULL);
	if (!map_reserve(map, map->count + 1))
		return false;
	insert(map, (uint64_t) key, value);
	map->count++;
	return true;
}

void *
map_get(const Map *map, int64_t key)
{
	uint32_t at;

	return find(map, key, &at) ? map->slots[at].value : NULL;
}

void *
map_remove(Map *map, int64_t key)
{
	uint32_t at;

	return find(map, key, &at) ? remove_at(map, at) : NULL;
}

/* --- bytes ---------------------------------------------------------------- */

static bool
has_key(const Map *map, const void *value, const void *key, size_t n)
{
	size_t len;
	const void *own = map->key_of(value, &len);

	return len == n && (n == 0 || memcmp(own, key, n) == 0);
}

static bool
find_bytes(const Map *map, const void *key, size_t n, uint32_t *at)
{
	uint64_t hash;

	MUST(map->key_of != NULL);
	if (map->count == 0)
		return false;
	hash = hash_bytes(key, n);
	for (*at = home_of(map, hash); map->slots[*at].value != NULL;
		 *at = (*at + 1) & (map->size - 1))
	{
		if (map->slots[*at].key == hash &&
			has_key(map, map->slots[*at].value, key, n))
			return true;
	}
	return false;
}

bool
map_put_bytes(Map *map, void *value)
{
	size_t n;
	const void *key = map->key_of(value, &n);

	MUST(map_get_bytes(map, key, n) == NULL);
	if (!map_reserve(map, map->count + 1))
		return false;
	insert(map, hash_bytes(key, n), value);
	map->count++;
	return true;
}

void *
map_get_bytes(const Map *map, const void *key, size_t n)
{
	uint32_t at;

	return find_bytes(map, key, n, &at) ? map->slots[at].value : NULL;
}

void *
map_remove_bytes(Map *map, const void *key, size_t n)
{
	uint32_t at;

	return find_bytes(map, key, n, &at) ? remove_at(map, at) : NULL;
}

/* --- visits --------------------------------------------------------------- */

/* At an empty slot: no run of entries goes across it, as nothing is put in. */
static void
begin_visit(const Map *map, MapVisit *visit)
{
	visit->begun = true;
	visit->at = 0;
	visit->left = map->count > 0 ? map->size - 1 : 0;
	while (visit->left > 0 && map->slots[visit->at].value != NULL)
		visit->at++;
}

void *
map_next(const Map *map, MapVisit *visit)
{
	if (!visit->begun)
		begin_visit(map, visit);
	while (visit->left > 0)
	{
		visit->left--;
		visit->at = (visit->at - 1) & (map->size - 1);
		if (map->slots[visit->at].value != NULL)
			return map->slots[visit->at].value;
	}
	return NULL;
}
