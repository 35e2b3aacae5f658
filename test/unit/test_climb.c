/* Tests of core/climb: simulated peers, with time passed in. */
#include "tap.h"

#include <stdlib.h>

#include "core/climb.h"
#include "core/heap.h"

/*
 * A peer that serves "slots" requests at once, each in 10 ms; more than that
 * wait for each other.  With "limit", those beyond it are rejected at once.
 */
typedef struct Peer
{
	uint32_t slots;
	uint32_t limit; /* 0: none */
} Peer;

/* Run for some seconds; the mean value over the last half of that time. */
static double
run(Climb *c, Peer peer, double *now, double seconds)
{
	double end = *now + seconds;
	double half = *now + seconds / 2;
	double sum = 0;
	long count = 0;

	while (*now < end)
	{
		uint32_t value = c->value;
		uint32_t served = peer.limit > 0 && value > peer.limit ? peer.limit :
																 value;
		double took = served <= peer.slots ? 0.01 :
											 0.01 * served / peer.slots;

		/* One round: all that are under way end, evenly over its time. */
		for (uint32_t i = 0; i < value; i++)
		{
			*now += took / value;
			climb_report(c, *now, i < served, took, value, i >= served,
						 true);
		}
		if (*now > half)
		{
			sum += value;
			count++;
		}
	}
	return sum / count;
}

/*
 * A service that answers each request after 50 ms, more or less, and stalls at
 * times for all; connections cost another 100 ms when they are made.  With
 * "limit", requests beyond it are rejected after 2 ms.  Requests come in calls
 * of some rows.
 */
#define MOST 1024
#define STALLS 0.128 /* while each place is used once */

typedef struct Sent
{
	HeapNode end; /* when it does */
	double begun;
	uint32_t number; /* of its connection */
	bool rejected;
	struct Sent *next; /* of those that are not under way */
} Sent;

typedef struct Service
{
	Sent requests[MOST];
	Sent *unused;
	Heap under_way;
	uint32_t places; /* for which it is made */
	uint32_t served, limit;
	uint32_t connections;
	double stalled_until;
	uint32_t seed;
	double now;
	uint32_t rejected, answered;
	uint32_t soon; /* the climb's value after a second */
} Service;

static Service *
make_service(uint32_t seed, uint32_t places)
{
	Service *s = calloc(1, sizeof(*s));

	s->seed = seed * 7919;
	s->places = places;
	s->now = 1000;
	heap_init(&s->under_way);
	for (int i = MOST - 1; i >= 0; i--)
	{
		s->requests[i].number = i;
		s->requests[i].next = s->unused;
		s->unused = &s->requests[i];
	}
	return s;
}

static void
free_service(Service *s)
{
	heap_free(&s->under_way);
	free(s);
}

static double
chance(Service *s)
{
	s->seed = s->seed * 1664525 + 1013904223;
	return (s->seed >> 8) / 16777216.0;
}

static void
begin_request(Service *s)
{
	Sent *sent = s->unused;
	double end = s->now > s->stalled_until ? s->now : s->stalled_until;

	s->unused = sent->next;
	sent->begun = s->now;
	sent->rejected = s->limit > 0 && s->served >= s->limit;
	if (sent->rejected)
		end += 0.002;
	else
	{
		s->served++;
		end += 0.045 + 0.01 * chance(s) + (chance(s) < 0.02 ? 0.03 : 0);
		if (sent->number >= s->connections)
		{
			end += 0.1;
			s->connections = sent->number + 1;
		}
		if (chance(s) * s->places < STALLS)
			s->stalled_until = s->now + 0.04;
	}
	heap_put(&s->under_way, &sent->end, end);
}

/* The next request ends.  True: it was served. */
static bool
end_request(Service *s, Climb *c)
{
	Sent *sent = HEAP_OWNER(Sent, end, heap_first(&s->under_way));
	bool limited = s->under_way.count >= c->value;

	s->now = sent->end.key;
	heap_remove(&s->under_way, &sent->end);
	sent->next = s->unused;
	s->unused = sent;
	s->served -= !sent->rejected;
	s->rejected += sent->rejected;
	s->answered++;
	climb_report(c, s->now, sent->rejected ? 0 : 1, s->now - sent->begun,
				 c->value, sent->rejected, limited);
	if (s->now < 1001)
		s->soon = c->value;
	return !sent->rejected;
}

/* Rows a second. */
static double
serve(Service *s, Climb *c, int rows)
{
	double begin = s->now;
	int done = 0, sent = 0;

	while (done < rows)
	{
		while (s->under_way.count < c->value && sent < rows)
		{
			begin_request(s);
			sent++;
		}
		if (end_request(s, c))
			done++;
		else
			sent--;
	}
	return done / (s->now - begin);
}

/* In calls of so many rows, with so many requests at most. */
static void
latency(uint32_t most, int rows, uint32_t seeds, const char *name)
{
	int fallen = 0, late = 0, slow = 0;

	for (uint32_t seed = 1; seed <= seeds; seed++)
	{
		Service *s = make_service(seed, most);
		Climb c;

		climb_init(&c, 8, most, 1.1, 4);
		climb_trim(&c);
		while (s->now < 1001)
			serve(s, &c, rows);
		late += s->soon < 0.9 * most;
		fallen += serve(s, &c, 80 * most) < 0.85 * most / 0.0506;
		for (int i = 0; i < 20; i++)
		{
			s->now += 0.01;
			slow += serve(s, &c, 8 * most) < 0.6 * most / 0.0506;
		}
		free_service(s);
	}
	if (!ok(late == 0 && fallen == 0 && slow == 0, "%s", name))
		printf("#   of %u: late %d, fallen %d; slow %d\n", seeds, late, fallen, slow);
}

static void
test_latency(void)
{
	latency(256, 20000, 60, "256 requests at once within a second, and they stay");
	latency(256, 2000, 60, "also where calls come and go");
	latency(1024, 80000, 20, "1024 requests at once");
	latency(1024, 8000, 20, "also in short calls");
}

/* Who wants more than there are places is told to come later. */
static void
test_rejections(void)
{
	int slow = 0, greedy = 0;

	for (uint32_t seed = 1; seed <= 60; seed++)
	{
		Service *s = make_service(seed, 50);
		Climb c;

		s->limit = 50;
		climb_init(&c, 8, MOST, 1.1, 4);
		climb_trim(&c);
		while (s->now < 1005)
			serve(s, &c, 1000);
		s->rejected = s->answered = 0;
		slow += serve(s, &c, 20000) < 0.7 * s->limit / 0.0506;
		greedy += s->rejected > 0.25 * s->answered || c.value > 1.5 * s->limit;
		free_service(s);
	}
	if (!ok(slow == 0 && greedy == 0, "a service that rejects what is too much is used, and heeded"))
		printf("#   slow %d, greedy %d of 60\n", slow, greedy);
}

/* There are no more connections, for a moment or for ever. */
static void
test_limit(void)
{
	Service *s = make_service(1, 256);
	Climb c;
	double held = 0;

	climb_init(&c, 8, 256, 1.1, 4);
	while (c.value < 64)
		serve(s, &c, 500);
	for (int i = 0; i < 50; i++)
		climb_limit(&c, 76, s->now);
	is_int(c.value, 76, "a limit");
	s->now += 0.001;
	climb_limit(&c, 70, s->now);
	for (double end = s->now + 1; s->now < end;)
		serve(s, &c, 500);
	ok(c.value >= 140, "tried again within a second");
	for (int i = 0; i < 10; i++)
	{
		climb_limit(&c, 76, s->now);
		held = c.hold_until - s->now;
		s->now = c.hold_until;
	}
	ok(held == CLIMB_MAX_HOLD, "less and less often where it stays");
	free_service(s);
}

static void
between(double got, double low, double high, const char *name)
{
	if (!ok(got >= low && got <= high, "%s", name))
		printf("#   got %g, want %g to %g\n", got, low, high);
}

int
main(void)
{
	Climb c;
	double now = 1000;

	climb_init(&c, 4, 1000, 1.05, 2);
	is_int(c.value, 4, "begins where it is told");
	between(run(&c, (Peer){.slots = 64}, &now, 30), 48, 160,
			"finds what a peer can do at once");
	climb_trim(&c);
	climb_limit(&c, 1000, now);
	between(run(&c, (Peer){.slots = 64}, &now, 60), 48, 160,
			"also when it has come to more than that");
	climb_init(&c, 4, 1000, 1.05, 2);
	between(run(&c, (Peer){.slots = 1}, &now, 30), 1, 9,
			"does not grow where growing does not help");
	climb_init(&c, 4, 32, 1.05, 2);
	between(run(&c, (Peer){.slots = 1000}, &now, 10), 31, 32,
			"stays within its limit");
	climb_init(&c, 200, 1000, 1.05, 2);
	between(run(&c, (Peer){.slots = 50, .limit = 50}, &now, 60), 25, 110,
			"gives way to rejections");

	climb_init(&c, 8, 100, 1.05, 2);
	for (int i = 0; i < 10000; i++)
		climb_report(&c, now += 0.01, 1, 0.01, c.value, false, false);
	is_int(c.value, 8, "without demand nothing changes");
	for (int i = 0; i < 10000; i++)
	{
		climb_report(&c, now += 0.001, 0, 0.01, c.value, true, true);
		if (c.value < 1 || c.value > 100)
			break;
	}
	ok(c.value >= 1 && c.value <= 100, "rejections alone never lead to zero");

	test_latency();
	test_rejections();
	test_limit();

	climb_init(&c, 0, 0, 1.05, 2);
	is_int(c.value, 1, "never less than one");
	climb_init(&c, 50, 10, 1.05, 2);
	is_int(c.value, 10, "never more than the limit");
	return done_testing();
}
