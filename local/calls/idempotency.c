/*-------------------------------------------------------------------------
 *
 * idempotency.c
 *	  Replies by idempotency key, so that a repeated request is applied once.
 *
 * The oldest go when there are too many bytes of them or when they are so old
 * that no client repeats its request any more.
 *
 *-------------------------------------------------------------------------
 */
#include "calls/idempotency.h"

#include <stdlib.h>

#include "calls/journal.h"
#include "net/loop.h"
#include "util.h"

#define MAX_BYTES (64 * 1024 * 1024)
#define MAX_AGE 600.0
#define MAX_DURABLE_AGE 3600.0 /* in the journal */

typedef struct KeptReply KeptReply;

struct KeptReply
{
	KeptReply *newer;
	double time;
	Buf reply;
	size_t key_len;
	char key[]; /* method, zero, key */
};

static struct
{
	Table table;
	KeptReply *oldest;
	KeptReply *newest;
	size_t bytes;
} kept;

static size_t
size_of(const KeptReply *k)
{
	return sizeof(*k) + k->key_len + k->reply.cap;
}

static char *
make_key(const char *method, const char *key, size_t *len)
{
	size_t method_len = strlen(method) + 1;
	size_t key_len = strlen(key);
	char *out;

	*len = method_len + key_len;
	out = xmalloc(*len);
	memcpy(out, method, method_len);
	memcpy(out + method_len, key, key_len);
	return out;
}

const Buf *
idempotency_get(const char *method, const char *key)
{
	size_t len;
	char *full = make_key(method, key, &len);
	KeptReply *k = table_get(&kept.table, full, len);

	free(full);
	return k != NULL ? &k->reply : NULL;
}

static void
drop_oldest(void)
{
	KeptReply *k = kept.oldest;

	kept.oldest = k->newer;
	if (kept.oldest == NULL)
		kept.newest = NULL;
	kept.bytes -= size_of(k);
	table_delete(&kept.table, k->key, k->key_len);
	buf_free(&k->reply);
	free(k);
}

/* Takes what belongs to the key, unless it is known. */
static void
keep(const void *key, size_t key_len, const void *reply, size_t reply_len)
{
	KeptReply *k;

	if (table_get(&kept.table, key, key_len) != NULL)
		return;
	k = xmalloc(sizeof(*k) + key_len);
	k->newer = NULL;
	k->time = loop_now();
	k->key_len = key_len;
	memcpy(k->key, key, key_len);
	buf_init(&k->reply, 0, xbuf_realloc);
	buf_put(&k->reply, reply, reply_len);

	table_put(&kept.table, k->key, k->key_len, k);
	if (kept.newest != NULL)
		kept.newest->newer = k;
	else
		kept.oldest = k;
	kept.newest = k;
	kept.bytes += size_of(k);
	while (kept.oldest != k && (kept.bytes > MAX_BYTES ||
								kept.oldest->time < loop_now() - MAX_AGE))
		drop_oldest();
}

void
idempotency_put(const char *method, const char *key, const Buf *reply,
				bool durable, bool repeatable)
{
	size_t len;
	char *full = make_key(method, key, &len);

	keep(full, len, reply->data, reply->len);
	if (durable && journal_begin(RECORD_KEY))
	{
		journal_number((uint64_t) loop_wall_time());
		journal_text(full, len);
		journal_text(reply->data, repeatable ? 0 : reply->len);
		journal_end();
	}
	free(full);
}

/* --- the journal --------------------------------------------------------- */

static bool
key_needed(Record *record)
{
	return loop_wall_time() - (double) record_number(record) < MAX_DURABLE_AGE;
}

static void
key_take(Record *record)
{
	bool fresh = key_needed(record);
	Text key = record_text(record);
	Text reply = record_text(record);

	if (!record->failed && fresh)
		keep(key.data, key.len, reply.data, reply.len);
}

void
idempotency_init(void)
{
	static const RecordKind keys = {.take = key_take, .needed = key_needed};

	journal_register(RECORD_KEY, &keys);
}
