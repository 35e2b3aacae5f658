/*-------------------------------------------------------------------------
 *
 * util.c
 *	  Memory, messages and small containers of modal-local.
 *
 *-------------------------------------------------------------------------
 */
#include "util.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#define ARENA_BLOCK_SIZE (16 * 1024)
#define ARENA_BLOCKS_KEPT 256
#define ARENA_ALIGN 16
#define TABLE_FIRST_SIZE 64

/* --- messages ------------------------------------------------------------ */

static void
print_line(const char *fmt, va_list args, const char *reason)
{
	fputs("modal-local: ", stderr);
	vfprintf(stderr, fmt, args);
	if (reason != NULL)
		fprintf(stderr, ": %s", reason);
	fputc('\n', stderr);
}

void
complain(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	print_line(fmt, args, NULL);
	va_end(args);
}

void
die(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	print_line(fmt, args, NULL);
	va_end(args);
	exit(1);
}

void
die_errno(const char *fmt, ...)
{
	const char *reason = strerror(errno);
	va_list args;

	va_start(args, fmt);
	print_line(fmt, args, reason);
	va_end(args);
	exit(1);
}

/* --- memory -------------------------------------------------------------- */

void *
xrealloc(void *ptr, size_t size)
{
	ptr = realloc(ptr, size > 0 ? size : 1);
	if (ptr == NULL)
		die("out of memory");
	return ptr;
}

void *
xmalloc(size_t size)
{
	return xrealloc(NULL, size);
}

void *
xcalloc(size_t size)
{
	void *ptr = calloc(1, size > 0 ? size : 1);

	if (ptr == NULL)
		die("out of memory");
	return ptr;
}

char *
xstrdup(const char *s)
{
	size_t size = strlen(s) + 1;

	return memcpy(xmalloc(size), s, size);
}

char *
xasprintf(const char *fmt, ...)
{
	va_list args;
	char *s;
	int n;

	va_start(args, fmt);
	n = vasprintf(&s, fmt, args);
	va_end(args);
	if (n < 0)
		die("out of memory");
	return s;
}

char *
url_encode(const char *text)
{
	char *segment = xcalloc(3 * strlen(text) + 1);
	char *p = segment;

	for (; *text != '\0'; text++)
	{
		unsigned char c = (unsigned char) *text;

		if (isalnum(c) || strchr("-._~", c) != NULL)
			*p++ = (char) c;
		else
			p += sprintf(p, "%%%02X", c);
	}
	return segment;
}

char *
url_decode(const char *segment, size_t len)
{
	char *text = xcalloc(len + 1);
	char *p = text;

	for (size_t i = 0; i < len; i++)
	{
		char digits[3] = {0};
		unsigned c = (unsigned char) segment[i];

		if (c == '%' && len - i > 2 &&
			isxdigit((unsigned char) segment[i + 1]) &&
			isxdigit((unsigned char) segment[i + 2]))
		{
			memcpy(digits, segment + i + 1, 2);
			c = (unsigned) strtoul(digits, NULL, 16);
			i += 2;
		}
		else if (c == '%')
			c = 0;
		if (c == 0)
		{
			free(text);
			return NULL;
		}
		*p++ = (char) c;
	}
	return text;
}

void *
xbuf_realloc(void *place, void *ptr, size_t size)
{
	(void) place;
	if (size == 0)
	{
		free(ptr);
		return NULL;
	}
	return xrealloc(ptr, size);
}

void
random_bytes(void *p, size_t n)
{
	if (getrandom(p, n, 0) != (ssize_t) n)
		die_errno("cannot get random bytes");
}

double
random_unit(void)
{
	return drand48();
}

/* --- arena --------------------------------------------------------------- */

struct ArenaBlock
{
	ArenaBlock *next;
	size_t size;
	_Alignas(ARENA_ALIGN) uint8_t data[];
};

static ArenaBlock *kept_blocks;
static int n_kept_blocks;

static ArenaBlock *
take_block(size_t size)
{
	ArenaBlock *block = kept_blocks;

	if (block != NULL && size <= ARENA_BLOCK_SIZE)
	{
		kept_blocks = block->next;
		n_kept_blocks--;
		return block;
	}
	if (size < ARENA_BLOCK_SIZE)
		size = ARENA_BLOCK_SIZE;
	block = xmalloc(sizeof(*block) + size);
	block->size = size;
	return block;
}

void *
arena_alloc(Arena *arena, size_t size)
{
	void *at;

	size = (size + ARENA_ALIGN - 1) & ~(size_t) (ARENA_ALIGN - 1);
	if (size > arena->left)
	{
		ArenaBlock *block = take_block(size);

		block->next = arena->blocks;
		arena->blocks = block;
		arena->at = block->data;
		arena->left = block->size;
	}
	at = arena->at;
	arena->at += size;
	arena->left -= size;
	return at;
}

char *
arena_strndup(Arena *arena, const void *s, size_t n)
{
	char *copy = arena_alloc(arena, n + 1);

	if (n > 0)
		memcpy(copy, s, n);
	copy[n] = '\0';
	return copy;
}

char *
arena_printf(Arena *arena, const char *fmt, ...)
{
	va_list args;
	char *s;
	int n;

	va_start(args, fmt);
	n = vsnprintf(NULL, 0, fmt, args);
	va_end(args);
	if (n < 0)
		die("out of memory");
	s = arena_alloc(arena, (size_t) n + 1);
	va_start(args, fmt);
	vsnprintf(s, (size_t) n + 1, fmt, args);
	va_end(args);
	return s;
}

void
arena_free(Arena *arena)
{
	while (arena->blocks != NULL)
	{
		ArenaBlock *block = arena->blocks;

		arena->blocks = block->next;
		if (block->size == ARENA_BLOCK_SIZE && n_kept_blocks < ARENA_BLOCKS_KEPT)
		{
			block->next = kept_blocks;
			kept_blocks = block;
			n_kept_blocks++;
		}
		else
			free(block);
	}
	*arena = (Arena){0};
}

static void *
allocator_alloc(void *arena, size_t size)
{
	return arena_alloc(arena, size);
}

static void
allocator_free(void *arena, void *ptr)
{
	(void) arena;
	(void) ptr;
}

ProtobufCAllocator
arena_allocator(Arena *arena)
{
	return (ProtobufCAllocator){allocator_alloc, allocator_free, arena};
}

/* --- table --------------------------------------------------------------- */

static uint64_t
hash_bytes(const void *p, size_t n)
{
	const uint8_t *s = p;
	uint64_t hash = 14695981039346656037u; /* FNV-1a */

	for (size_t i = 0; i < n; i++)
		hash = (hash ^ s[i]) * 1099511628211u;
	return hash;
}

/* The entry with this key, or NULL. */
static TableEntry *
table_find(const Table *table, const void *key, size_t key_len)
{
	uint64_t hash = hash_bytes(key, key_len);

	if (table->size == 0)
		return NULL;
	for (size_t i = hash;; i++)
	{
		TableEntry *entry = &table->entries[i & (table->size - 1)];

		if (entry->key == NULL && !entry->deleted)
			return NULL;
		if (entry->key != NULL && entry->hash == hash &&
			entry->key_len == key_len &&
			memcmp(entry->key, key, key_len) == 0)
			return entry;
	}
}

static void
table_insert(Table *table, const TableEntry *new)
{
	size_t i = new->hash;

	while (table->entries[i & (table->size - 1)].key != NULL)
		i++;
	if (!table->entries[i & (table->size - 1)].deleted)
		table->filled++;
	table->entries[i & (table->size - 1)] = *new;
	table->used++;
}

static void
table_resize(Table *table)
{
	Table old = *table;

	table->size = TABLE_FIRST_SIZE;
	while (table->size < old.used * 4)
		table->size *= 2;
	table->entries = xcalloc(table->size * sizeof(TableEntry));
	table->used = table->filled = 0;
	for (size_t i = 0; i < old.size; i++)
		if (old.entries[i].key != NULL)
			table_insert(table, &old.entries[i]);
	free(old.entries);
}

void *
table_get(const Table *table, const void *key, size_t key_len)
{
	TableEntry *entry = table_find(table, key, key_len);

	return entry != NULL ? entry->value : NULL;
}

void
table_put(Table *table, const void *key, size_t key_len, void *value)
{
	TableEntry entry = {.key = key, .key_len = key_len, .value = value};

	if (table->filled * 2 >= table->size)
		table_resize(table);
	entry.hash = hash_bytes(key, key_len);
	table_insert(table, &entry);
}

void
table_delete(Table *table, const void *key, size_t key_len)
{
	TableEntry *entry = table_find(table, key, key_len);

	if (entry == NULL)
		return;
	*entry = (TableEntry){.deleted = true};
	table->used--;
}
