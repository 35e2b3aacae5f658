/* Tests of core/climb: simulated peers, with time passed in. */
#include "tap.h"

#include "core/climb.h"

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

	climb_init(&c, 4, 1000, 1.05);
	is_int(c.value, 4, "begins where it is told");
	between(run(&c, (Peer){.slots = 64}, &now, 30), 48, 160,
			"finds what a peer can do at once");
	climb_init(&c, 4, 1000, 1.05);
	between(run(&c, (Peer){.slots = 1}, &now, 30), 1, 9,
			"does not grow where growing does not help");
	climb_init(&c, 4, 32, 1.05);
	between(run(&c, (Peer){.slots = 1000}, &now, 10), 31, 32,
			"stays within its limit");
	climb_init(&c, 200, 1000, 1.05);
	between(run(&c, (Peer){.slots = 50, .limit = 50}, &now, 60), 25, 110,
			"gives way to rejections");

	climb_init(&c, 8, 100, 1.05);
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

	climb_init(&c, 0, 0, 1.05);
	is_int(c.value, 1, "never less than one");
	climb_init(&c, 50, 10, 1.05);
	is_int(c.value, 10, "never more than the limit");
	return done_testing();
}
