/*-------------------------------------------------------------------------
 *
 * resolve.c
 *	  The addresses of names; see resolve.h.
 *
 * A Name is in the table from the first question for it until it is the one
 * that has not been used for the longest time, or too old.  It belongs to the
 * main thread alone, as all else here does but for Lookup: the threads take
 * one from the queue, fill it, put it on the list of those that are done, and
 * tell the loop through an eventfd.  They have all signals blocked, know
 * nothing of PostgreSQL, and end when there is nothing to ask.
 *
 * Names whose last look-up took long may have no more than half of the
 * threads, and with those that have never been asked for three quarters, so
 * that dead name servers keep no name from being known that has been found
 * before.  Nobody is waited for longer than he waits: who
 * gives up takes his place back, and a name that nobody waits for any more is
 * not asked for.
 *
 *-------------------------------------------------------------------------
 */
#include "net/internal.h"
#include "net/resolve.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define MAX_THREADS 16
#define MAX_SLOW_THREADS (MAX_THREADS / 2)
#define MAX_UNSURE_THREADS (MAX_THREADS * 3 / 4) /* of slow and new names */
#define SLOW_S 1.0    /* a look-up that took longer */
#define MAX_KEPT 1024 /* names that nobody waits for */
#define BUCKETS 1024
#define KEEP_S 60.0
#define KEEP_FAILURE_S 1.0
#define MAX_NAME 255
#define ERROR_SIZE 400

/* A question to the C library, and its answer. */
typedef struct Lookup
{
	ListNode node; /* queued or done; guarded by mutex */
	bool queued;   /* the same; nobody asks yet */
	Name *name;    /* for the main thread */
	bool slow;
	bool unsure; /* slow, or asked for the first time */
	char host[MAX_NAME + 1];
	int error; /* of getaddrinfo */
	Addresses addresses;
	double seconds;
} Lookup;

struct Name
{
	Name *next;    /* in its bucket */
	ListNode used; /* in kept, when nobody waits */
	List waiting; /* ResolveWaits, when lookup is under way or the answer new */
	Lookup *lookup;  /* NULL: none is under way */
	LoopMember told; /* kicked: the answer is to be handed out */
	double expires;
	bool slow;
	bool known;          /* there is an answer */
	Addresses addresses; /* none: see error */
	char error[ERROR_SIZE];
	char host[MAX_NAME + 1];
};

static Name *buckets[BUCKETS];
static List kept; /* the one that was not used for the longest time first */
static int nkept;
static LoopMember member; /* of the eventfd */

/* Between the threads. */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static List queue;
static List done;
static int nthreads, nslow, nunsure;
static int done_fd = -1;

/* --- addresses ------------------------------------------------------------ */

void
address_set_port(Address *address, uint16_t port)
{
	if (address->any.sa_family == AF_INET6)
		address->v6.sin6_port = htons(port);
	else
		address->v4.sin_port = htons(port);
}

/* Those that can be tried, the families by turns (RFC 8305, 4). */
static void
take_addresses(Addresses *to, const struct addrinfo *from)
{
	const struct addrinfo *at[2] = {from, from};
	int first = from->ai_family;
	int turn = 0;

	to->n = 0;
	while (to->n < MAX_ADDRESSES && (at[0] != NULL || at[1] != NULL))
	{
		const struct addrinfo *one = at[turn];

		while (one != NULL && ((one->ai_family == first) != (turn == 0) ||
							   one->ai_addrlen > sizeof(to->at[0].v6)))
			one = one->ai_next;
		if (one != NULL)
		{
			to->at[to->n].len = one->ai_addrlen;
			memcpy(&to->at[to->n].any, one->ai_addr, one->ai_addrlen);
			to->n++;
			one = one->ai_next;
		}
		at[turn] = one;
		turn = !turn;
	}
}

static int
ask(const char *host, int flags, Addresses *addresses)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = flags};
	struct addrinfo *found;
	int error = getaddrinfo(host, NULL, &hints, &found);

	if (error != 0)
		return error;
	take_addresses(addresses, found);
	freeaddrinfo(found);
	return addresses->n > 0 ? 0 : EAI_NONAME;
}

/* Is it an address, of which nobody need be asked? */
static bool
is_literal(const char *host, Addresses *addresses)
{
	return ask(host, AI_NUMERICHOST, addresses) == 0;
}

/* Without the brackets of an address; no name is as long as the limit. */
static void
copy_host(char bare[MAX_NAME + 1], const char *host)
{
	size_t n = strlen(host);

	if (n > 2 && host[0] == '[')
	{
		host++;
		n -= 2;
	}
	if (n > MAX_NAME)
		n = MAX_NAME;
	memcpy(bare, host, n);
	bare[n] = '\0';
}

bool
resolve_literal(const char *host, Address *address)
{
	char bare[MAX_NAME + 1];
	Addresses addresses;

	copy_host(bare, host);
	if (!is_literal(bare, &addresses))
		return false;
	*address = addresses.at[0];
	return true;
}

static bool
is_localhost(const char *host, Addresses *addresses)
{
	struct in_addr v4 = {htonl(INADDR_LOOPBACK)};
	struct in6_addr v6 = IN6ADDR_LOOPBACK_INIT;

	if (strcasecmp(host, "localhost") != 0)
		return false;
	*addresses = (Addresses){.n = 2};
	addresses->at[0].len = sizeof(struct sockaddr_in);
	addresses->at[0].v4 =
		(struct sockaddr_in){.sin_family = AF_INET, .sin_addr = v4};
	addresses->at[1].len = sizeof(struct sockaddr_in6);
	addresses->at[1].v6 =
		(struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_addr = v6};
	return true;
}

/* --- threads -------------------------------------------------------------- */

/* With the mutex: one that may be asked for now, NULL: none. */
static Lookup *
next_lookup(void)
{
	for
		LIST_EACH(node, &queue)
		{
			Lookup *lookup = LIST_OWNER(Lookup, node, node);

			if ((lookup->slow && nslow >= MAX_SLOW_THREADS) ||
				(lookup->unsure && nunsure >= MAX_UNSURE_THREADS))
				continue;
			list_remove(node);
			lookup->queued = false;
			nslow += lookup->slow;
			nunsure += lookup->unsure;
			return lookup;
		}
	return NULL;
}

static void
look_up(Lookup *lookup)
{
	double start = monotonic_seconds();

	lookup->error = ask(lookup->host, 0, &lookup->addresses);
	lookup->seconds = monotonic_seconds() - start;
}

static void *
thread_main(void *arg)
{
	uint64_t one = 1;
	Lookup *lookup;

	(void) arg;
	pthread_mutex_lock(&mutex);
	while ((lookup = next_lookup()) != NULL)
	{
		pthread_mutex_unlock(&mutex);
		look_up(lookup);
		pthread_mutex_lock(&mutex);
		nslow -= lookup->slow;
		nunsure -= lookup->unsure;
		list_append(&done, &lookup->node);
		/* Cannot fail but by a counter that is full, which will do. */
		while (write(done_fd, &one, sizeof(one)) < 0 && errno == EINTR)
			;
	}
	nthreads--;
	pthread_mutex_unlock(&mutex);
	return NULL;
}

/* With the mutex: one more thread, if there is work for it and may be. */
static bool
add_thread(void)
{
	pthread_attr_t attributes;
	pthread_t thread;
	sigset_t all, before;
	bool good;

	if (nthreads >= MAX_THREADS)
		return true;
	if (pthread_attr_init(&attributes) != 0)
		return nthreads > 0;
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	good = pthread_create(&thread, &attributes, thread_main, NULL) == 0;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attributes);
	nthreads += good;
	return nthreads > 0;
}

/* --- names ---------------------------------------------------------------- */

static Name **
bucket_of(const char *host)
{
	uint32_t hash = 2166136261u;

	for (const char *p = host; *p != '\0'; p++)
		hash = (hash ^ (unsigned char) *p) * 16777619u;
	return &buckets[hash % BUCKETS];
}

static Name *
find_name(const char *host)
{
	for (Name *name = *bucket_of(host); name != NULL; name = name->next)
	{
		if (strcmp(name->host, host) == 0)
			return name;
	}
	return NULL;
}

static void
keep(Name *name)
{
	if (!list_has(&name->used))
		nkept++;
	list_remove(&name->used);
	list_append(&kept, &name->used);
}

static void
use(Name *name)
{
	if (list_has(&name->used))
		nkept--;
	list_remove(&name->used);
}

static void
free_name(Name *name)
{
	Name **at = bucket_of(name->host);

	MUST(list_is_empty(&name->waiting) && name->lookup == NULL);
	while (*at != name)
		at = &(*at)->next;
	*at = name->next;
	use(name);
	loop_leave(&name->told);
	free(name);
}

/* Nobody waits for it, and nobody asks. */
static void
rest(Name *name)
{
	if (!list_is_empty(&name->waiting) || name->lookup != NULL)
		return;
	keep(name);
	if (nkept > MAX_KEPT)
		free_name(LIST_OWNER(Name, used, list_first(&kept)));
}

static void
hand_out(void *owner)
{
	Name *name = owner;
	ListNode mark;
	ListNode *node;

	list_mark(&name->waiting, &mark);
	while ((node = list_pop_until(&name->waiting, &mark)) != NULL)
	{
		ResolveWait *wait = LIST_OWNER(ResolveWait, node, node);

		wait->name = NULL;
		wait->on_resolved(wait->owner,
						  name->addresses.n > 0 ? &name->addresses : NULL,
						  name->error);
	}
	rest(name);
}

static Name *
create_name(const char *host)
{
	Name *name = calloc(1, sizeof(*name));
	Name **bucket = bucket_of(host);

	if (name == NULL)
		return NULL;
	memcpy(name->host, host, strlen(host) + 1); /* copy_host has cut it */
	list_init(&name->waiting);
	loop_member_init(&name->told, NULL, hand_out, name);
	name->next = *bucket;
	*bucket = name;
	return name;
}

static void
set_failure(Name *name, int error)
{
	name->addresses.n = 0;
	snprintf(name->error, sizeof(name->error),
			 "Could not resolve host: %s%s%s%s", name->host,
			 error != EAI_NONAME ? " (" : "",
			 error != EAI_NONAME ? gai_strerror(error) : "",
			 error != EAI_NONAME ? ")" : "");
}

/* --- the loop's side ------------------------------------------------------ */

static void
take_answer(Lookup *lookup)
{
	Name *name = lookup->name;

	name->lookup = NULL;
	name->known = true;
	name->slow = lookup->seconds > SLOW_S;
	name->expires = monotonic_seconds();
	if (lookup->error == 0)
	{
		name->addresses = lookup->addresses;
		name->expires += KEEP_S;
	}
	else
	{
		set_failure(name, lookup->error);
		name->expires += KEEP_FAILURE_S;
	}
	free(lookup);
	hand_out(name);
}

static void
on_answers(void *owner, uint32_t events)
{
	uint64_t count;
	ListNode *node;

	(void) owner;
	(void) events;
	if (read(done_fd, &count, sizeof(count)) < 0)
		return;
	do
	{
		pthread_mutex_lock(&mutex);
		node = list_pop(&done);
		/* One that was slow may have made room for another one. */
		if (!list_is_empty(&queue))
			(void) add_thread();
		pthread_mutex_unlock(&mutex);
		if (node != NULL)
			take_answer(LIST_OWNER(Lookup, node, node));
	} while (node != NULL);
}

static bool
start_lookup(Name *name)
{
	Lookup *lookup = calloc(1, sizeof(*lookup));
	bool good;

	if (lookup == NULL)
		return false;
	memcpy(lookup->host, name->host, sizeof(lookup->host));
	lookup->name = name;
	lookup->slow = name->slow;
	lookup->unsure = name->slow || !name->known;
	lookup->queued = true;
	pthread_mutex_lock(&mutex);
	list_append(&queue, &lookup->node);
	good = add_thread();
	if (!good)
		list_remove(&lookup->node);
	pthread_mutex_unlock(&mutex);
	if (!good)
	{
		free(lookup);
		return false;
	}
	name->lookup = lookup;
	return true;
}

/* Nobody wants to know: it need not be asked, if it is not asked already. */
static void
stop_lookup(Name *name)
{
	bool queued;

	pthread_mutex_lock(&mutex);
	queued = name->lookup->queued;
	if (queued)
		list_remove(&name->lookup->node);
	pthread_mutex_unlock(&mutex);
	if (!queued)
		return;
	free(name->lookup);
	name->lookup = NULL;
}

bool
resolve_start(ResolveWait *wait, const char *host)
{
	char bare[MAX_NAME + 1];
	Name *name;

	copy_host(bare, host);
	name = find_name(bare);
	if (name == NULL && (name = create_name(bare)) == NULL)
		return false;
	if (name->lookup == NULL &&
		(!name->known || name->expires < monotonic_seconds()))
	{
		if (is_literal(bare, &name->addresses) ||
			is_localhost(bare, &name->addresses))
		{
			name->known = true;
			name->expires = HUGE_VAL;
		}
		else if (!start_lookup(name))
		{
			rest(name);
			return false;
		}
	}
	use(name);
	wait->name = name;
	list_append(&name->waiting, &wait->node);
	if (name->lookup == NULL)
		loop_kick(&name->told);
	return true;
}

void
resolve_cancel(ResolveWait *wait)
{
	Name *name = wait->name;

	if (name == NULL)
		return;
	wait->name = NULL;
	list_remove(&wait->node);
	if (list_is_empty(&name->waiting) && name->lookup != NULL)
		stop_lookup(name);
	/* While it hands out an answer it is still needed; then it rests anyway. */
	if (name->waiting.mark == NULL)
		rest(name);
}

void
resolve_forget(const char *host)
{
	char bare[MAX_NAME + 1];
	Name *name;

	copy_host(bare, host);
	name = find_name(bare);
	if (name != NULL && name->expires < HUGE_VAL)
		name->expires = 0;
}

bool
resolve_init(void)
{
	list_init(&kept);
	list_init(&queue);
	list_init(&done);
	done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	loop_member_init(&member, on_answers, NULL, NULL);
	return done_fd >= 0 && loop_watch(&member, done_fd, EPOLLIN);
}
