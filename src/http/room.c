/*-------------------------------------------------------------------------
 *
 * room.c
 *	  How much memory a call's replies take while they are read.
 *
 * Requests are sent as far as the reader has room for what their replies are
 * expected to be (core/credit.h).  A service may answer with much more, to all
 * that are under way at once.  So all together, with the results that are not
 * read yet, take a few times what the reader has room for; but one of them may
 * always come, unless nobody wants it now.  What is beyond that is given up, and
 * asked for again when there is room; the key of the request stays the same.
 *
 *-------------------------------------------------------------------------
 */
#include "http/http.h"

#define TIMES_EXPECTED 4
#define LEAST ((uint64_t) 16 * 1024 * 1024) /* which is no harm to anybody */

static uint64_t
most(const HttpCall *hcall)
{
	uint64_t bytes = hcall->call->credit.budget * TIMES_EXPECTED;

	return bytes > LEAST ? bytes : LEAST;
}

/* Of the batches under way, is it the first one? */
static bool
is_first(const HttpBatch *batch)
{
	for
		LIST_EACH(node, &batch->owner->batches)
		{
			const HttpBatch *other = LIST_OWNER(HttpBatch, of_call, node);

			if (other->request != NULL)
				return other == batch;
		}
	return true;
}

/* Does the reader have room for anything, or wait for something? */
static bool
one_is_wanted(const Credit *credit)
{
	return credit->held < credit->budget || credit_awaited(credit) >= 0;
}

bool
room_may_hold(void *arg, uint64_t bytes)
{
	HttpBatch *batch = arg;
	HttpCall *owner = batch->owner;
	const Credit *credit = &owner->call->credit;
	uint64_t others = owner->reply_bytes - batch->reply_bytes;

	/* more than that is an error anyway, whatever its head says */
	if (bytes > owner->http->max_reply_bytes)
		bytes = owner->http->max_reply_bytes;
	if (bytes <= batch->reply_bytes)
		return true;
	if (credit->held + others + bytes > most(owner) &&
		!(is_first(batch) && one_is_wanted(credit)))
	{
		batch->needs = bytes;
		return false;
	}
	owner->reply_bytes = others + bytes;
	batch->reply_bytes = bytes;
	return true;
}

bool
room_for(const HttpBatch *batch)
{
	const HttpCall *owner = batch->owner;
	const Credit *credit = &owner->call->credit;

	if (batch->needs == 0)
		return true;
	if (owner->under_way == 0)
		return one_is_wanted(credit);
	return credit->held + owner->reply_bytes + batch->needs <= most(owner);
}

void
room_begin(HttpBatch *batch)
{
	batch->reply_bytes = batch->needs;
	batch->owner->reply_bytes += batch->reply_bytes;
}

void
room_end(HttpBatch *batch)
{
	batch->owner->reply_bytes -= batch->reply_bytes;
	batch->reply_bytes = 0;
}
