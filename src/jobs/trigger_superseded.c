/*-------------------------------------------------------------------------
 *
 * trigger_superseded.c
 *	  Inputs that a later one makes superfluous; see trigger_superseded.h.
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include "common/hashfn.h"
#include "jobs/trigger_superseded.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "values/input_encoder.h"

/* A row that was noted. */
typedef struct NotedRow
{
	uint64 hash;	  /* of its key */
	const char *key;  /* of the first input with that hash; NULL: none yet */
	Size key_len;
	bool ambiguous;	  /* another key has the same hash */
	int64 last;		  /* position of its last input */
} NotedRow;

struct Superseded
{
	MemoryContext cxt;
	HTAB *rows;
	int64 counted, taken; /* inputs, since superseded_begin */
};

static Slice
key_of(const ChunkRecord *input)
{
	Assert(input->meta_len >= FINGERPRINT_SIZE);
	return (Slice) {(const char *) input->meta + FINGERPRINT_SIZE,
					input->meta_len - FINGERPRINT_SIZE};
}

static NotedRow *
find_row(Superseded *superseded, Slice key, HASHACTION action, bool *found)
{
	uint64 hash = hash_bytes_extended((const unsigned char *) key.p, (int) key.n, 0);

	return hash_search(superseded->rows, &hash, action, found);
}

static Superseded *
create(MemoryContext cxt)
{
	Superseded *superseded = MemoryContextAllocZero(cxt, sizeof(Superseded));
	HASHCTL info = {.keysize = sizeof(uint64), .entrysize = sizeof(NotedRow),
					.hcxt = cxt};

	superseded->cxt = cxt;
	superseded->rows = hash_create("modal_batch superseded inputs", 64, &info,
								   HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	return superseded;
}

void
superseded_note(Superseded **superseded, MemoryContext cxt, const Buf *buf,
				Size offset)
{
	const uint8_t *p = buf->data + offset;
	ChunkRecord input;
	NotedRow *row;
	bool found;

	if (*superseded == NULL)
		*superseded = create(cxt);
	if (!chunk_next(&p, buf->data + buf->len, &input))
		return;
	row = find_row(*superseded, key_of(&input), HASH_ENTER, &found);
	if (!found)
		memset((char *) row + sizeof(row->hash), 0, sizeof(*row) - sizeof(row->hash));
}

void
superseded_begin(Superseded *superseded)
{
	superseded->counted = superseded->taken = 0;
}

/* The position of the row's input that is the last so far. */
static void
note_last(Superseded *superseded, NotedRow *row, Slice key)
{
	if (row->key == NULL)
	{
		char *copy = MemoryContextAlloc(superseded->cxt, Max(key.n, 1));

		memcpy(copy, key.p, key.n);
		row->key = copy;
		row->key_len = key.n;
	}
	else if (row->key_len != key.n || memcmp(row->key, key.p, key.n) != 0)
		row->ambiguous = true;
	row->last = superseded->counted;
}

void
superseded_count(Superseded *superseded, const Buf *inputs)
{
	const uint8_t *p = inputs->data;
	ChunkRecord input;

	while (chunk_next(&p, inputs->data + inputs->len, &input))
	{
		Slice key = key_of(&input);
		NotedRow *row = find_row(superseded, key, HASH_FIND, NULL);

		superseded->counted++;
		if (row != NULL)
			note_last(superseded, row, key);
	}
}

bool
superseded_take(Superseded *superseded, const ChunkRecord *input)
{
	const NotedRow *row = find_row(superseded, key_of(input), HASH_FIND, NULL);

	superseded->taken++;
	return row != NULL && !row->ambiguous && superseded->taken < row->last;
}
