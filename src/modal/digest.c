/*-------------------------------------------------------------------------
 *
 * digest.c
 *	  Digests in pieces; see digest.h.
 *
 *-------------------------------------------------------------------------
 */
#include "modal/digest.h"

#include <openssl/evp.h>
#include <stdlib.h>

#include "clock.h"
#include "core/list.h"
#include "net/timer.h"

#define PIECE (1024 * 1024) /* of all in a turn: takes some milliseconds */

struct Digest
{
	ListNode node; /* queue */
	const uint8_t *p;
	size_t left;
	EVP_MD_CTX *md5, *sha256; /* sha256 NULL: not wanted */
	DigestDone on_done;
	void *arg;
};

static List queue; /* who is first has the next turn */
static Timer turn;

static void take_turn(void *arg);

static bool
wait_for_turn(void)
{
	return timer_set(&turn, monotonic_seconds());
}

static void
init_queue(void)
{
	static bool done = false;

	if (done)
		return;
	list_init(&queue);
	timer_init(&turn, take_turn, NULL);
	done = true;
}

static EVP_MD_CTX *
begin(const EVP_MD *type)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();

	if (ctx != NULL && EVP_DigestInit_ex(ctx, type, NULL) == 1)
		return ctx;
	EVP_MD_CTX_free(ctx);
	return NULL;
}

void
digest_cancel(Digest *digest)
{
	list_remove(&digest->node);
	EVP_MD_CTX_free(digest->md5);
	EVP_MD_CTX_free(digest->sha256);
	free(digest);
}

Digest *
digest_start(const void *p, size_t n, bool sha256, DigestDone on_done,
			 void *arg)
{
	Digest *digest = calloc(1, sizeof(*digest));

	init_queue();
	if (digest == NULL)
		return NULL;
	digest->p = p;
	digest->left = n;
	digest->on_done = on_done;
	digest->arg = arg;
	digest->md5 = begin(EVP_md5());
	if (sha256)
		digest->sha256 = begin(EVP_sha256());
	if (digest->md5 == NULL || (sha256 && digest->sha256 == NULL) ||
		!wait_for_turn())
	{
		digest_cancel(digest);
		return NULL;
	}
	list_append(&queue, &digest->node);
	return digest;
}

/* At most n bytes more.  False: the library refuses. */
static bool
add_piece(Digest *digest, size_t n)
{
	if (EVP_DigestUpdate(digest->md5, digest->p, n) != 1 ||
		(digest->sha256 != NULL &&
		 EVP_DigestUpdate(digest->sha256, digest->p, n) != 1))
		return false;
	digest->p += n;
	digest->left -= n;
	return true;
}

static void
finish(Digest *digest, bool good)
{
	DigestDone on_done = digest->on_done;
	void *arg = digest->arg;
	uint8_t md5[EVP_MAX_MD_SIZE];
	uint8_t sha256[EVP_MAX_MD_SIZE];
	bool with_sha256 = digest->sha256 != NULL;

	good =
		good && EVP_DigestFinal_ex(digest->md5, md5, NULL) == 1 &&
		(!with_sha256 || EVP_DigestFinal_ex(digest->sha256, sha256, NULL) == 1);
	digest_cancel(digest);
	on_done(arg, good ? md5 : NULL, good && with_sha256 ? sha256 : NULL);
}

/*
 * So many of the queue as make a piece, from the first on; who is not through
 * goes to its end.
 */
static void
take_turn(void *arg)
{
	size_t room = PIECE;
	ListNode *node;

	(void) arg;
	/* A timer that has just fired can be set again without memory. */
	if (list_first(&queue) != NULL)
		(void) wait_for_turn();
	while (room > 0 && (node = list_pop(&queue)) != NULL)
	{
		Digest *digest = LIST_OWNER(Digest, node, node);
		size_t n = digest->left < room ? digest->left : room;
		bool good = add_piece(digest, n);

		room -= n;
		list_append(&queue, node);
		if (!good || digest->left == 0)
			finish(digest, good);
	}
}
