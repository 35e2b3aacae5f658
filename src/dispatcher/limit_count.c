/*-------------------------------------------------------------------------
 *
 * limit_count.c
 *	  How much of a server's limits is used; see limit_count.h.
 *
 * What several dispatchers share is in shared memory: under a spinlock, for a
 * few instructions.  Which server an entry is for, and who uses it, is under
 * ModalShared->lock.
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include "clock.h"
#include "dispatcher/limit_count.h"
#include "link/shmem.h"
#include "port/pg_bitutils.h"

static int my_dispatcher;

#define MY_BIT ((uint32) 1 << my_dispatcher)

/* --- who waits ------------------------------------------------------------ */

/* Those who wait, this dispatcher not among them. */
static void
wake(uint32 waiting)
{
	for (int i = 0; i < modal_shared->ndispatchers; i++)
	{
		DispatcherShared *d = &modal_shared->dispatchers[i];

		if ((waiting & ~MY_BIT & ((uint32) 1 << i)) == 0 ||
			pg_atomic_exchange_u32(&d->limits_news, 1) != 0)
			continue;
		LWLockAcquire(modal_shared->lock, LW_SHARED);
		if (d->latch != NULL)
			SetLatch(d->latch);
		LWLockRelease(modal_shared->lock);
	}
}

/* --- which ---------------------------------------------------------------- */

static void
init_count(LimitCount *count)
{
	memset(count, 0, sizeof(*count));
	SpinLockInit(&count->mutex);
}

/* Nothing of this dispatcher's is left in it.  Returns who waits for that. */
static uint32
leave(LimitCount *count)
{
	uint32 waiting;

	SpinLockAcquire(&count->mutex);
	count->active[my_dispatcher] = 0;
	waiting = count->waiting &= ~MY_BIT;
	SpinLockRelease(&count->mutex);
	count->users &= ~MY_BIT;
	return waiting;
}

void
limit_counts_init(int dispatcher)
{
	uint32 waiting = 0;

	my_dispatcher = dispatcher;
	LWLockAcquire(modal_shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < MODAL_LIMIT_COUNTS; i++)
		if ((modal_shared->limits[i].users & MY_BIT) != 0)
			waiting |= leave(&modal_shared->limits[i]);
	LWLockRelease(modal_shared->lock);
	wake(waiting);
}

/* Under ModalShared->lock: the server's, or an unused one; NULL: none is left. */
static LimitCount *
find(const char *server)
{
	LimitCount *unused = NULL;

	for (int i = 0; i < MODAL_LIMIT_COUNTS; i++)
	{
		LimitCount *count = &modal_shared->limits[i];

		if (count->users == 0)
			unused = count;
		else if (strcmp(count->server, server) == 0)
			return count;
	}
	if (unused != NULL)
	{
		init_count(unused);
		strlcpy(unused->server, server, sizeof(unused->server));
	}
	return unused;
}

LimitCount *
limit_count_get(const char *server, bool shared, const char **error)
{
	LimitCount *count = NULL;

	if (!shared || modal_shared->ndispatchers == 1)
	{
		count = malloc(sizeof(*count));
		if (count != NULL)
			init_count(count);
		return count;
	}
	LWLockAcquire(modal_shared->lock, LW_EXCLUSIVE);
	if (strlen(server) < sizeof(count->server))
		count = find(server);
	if (count != NULL)
		count->users |= MY_BIT;
	else
		*error = "too many servers are served by several dispatchers at once";
	LWLockRelease(modal_shared->lock);
	return count;
}

void
limit_count_put(LimitCount *count)
{
	uint32 waiting;

	if (count->users == 0)
	{
		free(count);
		return;
	}
	LWLockAcquire(modal_shared->lock, LW_EXCLUSIVE);
	waiting = leave(count);
	LWLockRelease(modal_shared->lock);
	wake(waiting);
}

/* --- counting ------------------------------------------------------------- */

/* Those who wait, and this dispatcher. */
static uint32
sharers(const LimitCount *count)
{
	return pg_popcount32(count->waiting | MY_BIT);
}

static bool
has_place(const LimitCount *count, uint32 at_once)
{
	uint32 n = sharers(count);
	uint32 share = at_once / n;
	uint32 active = 0, beyond = 0;

	for (int i = 0; i < MODAL_MAX_DISPATCHERS; i++)
	{
		active += count->active[i];
		beyond += Max(count->active[i], share) - share;
	}
	return active < at_once &&
		(n == 1 || count->active[my_dispatcher] < share || beyond < at_once % n);
}

/*
 * A second's worth of requests may be saved up, but not at the start.  Sets
 * *later, unless there is one.
 */
static bool
has_token(LimitCount *count, double rate, double now, double *later)
{
	double most = Max(rate, 1);
	uint32 n = sharers(count);
	double mine = n > 1 ? count->taken_at[my_dispatcher] + n / rate : now;

	if (count->tokens_at == 0)
		count->tokens = 1;
	else
		count->tokens = Min(count->tokens + (now - count->tokens_at) * rate, most);
	count->tokens_at = now;
	if (count->tokens < 1)
		*later = now + (1 - count->tokens) / rate;
	else if (now < mine)
		*later = mine;
	else
		return true;
	return false;
}

LimitTaken
limit_count_take(LimitCount *count, uint32_t at_once, double per_second,
				 double *later)
{
	double now = monotonic_seconds();
	LimitTaken taken = LIMIT_TAKEN;

	*later = 0;
	SpinLockAcquire(&count->mutex);
	if (!has_place(count, at_once))
		taken = LIMIT_AT_ONCE;
	else if (per_second > 0 && !has_token(count, per_second, now, later))
		taken = LIMIT_PER_SECOND;
	if (taken != LIMIT_TAKEN)
		count->waiting |= MY_BIT;
	else
	{
		count->active[my_dispatcher]++;
		if (per_second > 0)
			count->tokens -= 1;
		count->taken_at[my_dispatcher] = now;
	}
	SpinLockRelease(&count->mutex);
	return taken;
}

static void
release(LimitCount *count, double tokens)
{
	uint32 waiting;

	SpinLockAcquire(&count->mutex);
	count->active[my_dispatcher]--;
	count->tokens += tokens;
	waiting = count->waiting;
	SpinLockRelease(&count->mutex);
	wake(waiting);
}

void
limit_count_give_back(LimitCount *count)
{
	release(count, 1);
}

void
limit_count_over(LimitCount *count)
{
	release(count, 0);
}

void
limit_count_content(LimitCount *count)
{
	uint32 waiting;

	SpinLockAcquire(&count->mutex);
	count->waiting &= ~MY_BIT;
	waiting = count->waiting;
	SpinLockRelease(&count->mutex);
	wake(waiting);
}

bool
limit_counts_news(void)
{
	return pg_atomic_exchange_u32(
			   &modal_shared->dispatchers[my_dispatcher].limits_news, 0) != 0;
}
