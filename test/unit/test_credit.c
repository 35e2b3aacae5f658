/* Tests of core/credit: the arithmetic, and a simulated dispatcher and reader. */
#include "tap.h"

#include "core/credit.h"

#define MB (1024 * 1024)

static void
test_budget(void)
{
	Credit c;

	credit_init(&c, 16 * MB);
	is_int(credit_fetch(&c, MB, 0), 16, "as many as the budget has room for");
	is_int(credit_fetch(&c, 10 * MB, 0), 2, "the last one need not fit wholly");
	is_int(credit_fetch(&c, 100 * MB, 0), 1, "one is always fetched");
	is_int(credit_fetch(&c, 100 * MB, 1), 0, "and no second one meanwhile");
	is_int(credit_fetch(&c, MB, 10), 6, "less what is being fetched");
	is_int(credit_fetch(&c, MB, 17), 0, "which may be too much already");
	is_int(credit_fetch(&c, 1, 0), 16 * MB, "many small ones");

	credit_sent(&c, 10 * MB);
	is_int(credit_fetch(&c, MB, 0), 6, "less what is held");
	credit_sent(&c, 10 * MB);
	is_int(credit_fetch(&c, MB, 0), 0, "nothing when the budget is used up");
	credit_consumed(&c, 10 * MB, -1, 2);
	is_int(credit_fetch(&c, MB, 0), 6, "what is consumed makes room");
	credit_consumed(&c, UINT64_MAX, -1, 2);
	is_int(credit_fetch(&c, MB, 0), 16, "a reader cannot have read more than was sent");

	credit_init(&c, UINT64_MAX);
	is_int(credit_fetch(&c, 1, 0), UINT32_MAX, "no more than fits the type");
}

static void
test_awaited(void)
{
	Credit c;

	credit_init(&c, MB);
	is_int(credit_awaited(&c), -1, "nothing is awaited at first");
	credit_consumed(&c, 0, 7, 0);
	is_int(credit_awaited(&c), -1, "nor while there is room for any output");
	credit_sent(&c, MB);
	credit_sent(&c, MB);
	credit_consumed(&c, 0, 7, 1);
	is_int(credit_awaited(&c), -1, "it may be among those that are on their way");
	credit_consumed(&c, 0, 7, 2);
	is_int(credit_awaited(&c), 7, "all have arrived, and it was not among them");
	credit_sent(&c, MB);
	is_int(credit_awaited(&c), -1, "it may be the one that was sent now");
	credit_consumed(&c, MB, -1, 3);
	is_int(credit_awaited(&c), -1, "a reader that goes on awaits nothing");
}

static void
test_size(void)
{
	OutputSize size = {0};

	is_int(output_size_mean(&size), 1, "nothing is known: one byte");
	output_size_note(&size, 0, 0);
	is_int(output_size_mean(&size), 1, "nothing is learned of no outputs");
	output_size_note(&size, MB, 1);
	is_int(output_size_mean(&size), MB, "the first one counts fully");
	output_size_note(&size, 9 * MB, 3);
	ok(output_size_mean(&size) == 2.5 * MB, "the first ones count alike");
	is_int(output_size_peak(&size), 3 * MB, "the largest");
	for (int i = 0; i < 200; i++)
		output_size_note(&size, 100, 1);
	ok(output_size_mean(&size) < 10000, "large ones are forgotten");
	ok(output_size_peak(&size) < 10000, "the largest one as well");
	output_size_note(&size, 10 * MB, 1);
	ok(output_size_mean(&size) > 0.3 * MB && output_size_mean(&size) < 0.4 * MB,
	   "a large one among small ones raises the mean by its share");
	is_int(output_size_peak(&size), 10 * MB, "and is the largest at once");
	output_size_note(&size, 1000 * 50, 1000);
	is_int(output_size_mean(&size), 50, "many at once are all that counts");
}

static void
test_window(void)
{
	OutputSize size = {0};

	is_int(output_size_window(&size, 16 * MB, 1000), 1000,
		   "the whole window while nothing is known");
	output_size_note(&size, 0, 1);
	is_int(output_size_window(&size, 16 * MB, 1000), 1000, "and with no bytes");
	output_size_note(&size, 100 * MB, 100);
	is_int(output_size_window(&size, 16 * MB, 1000), 16,
		   "as many as have room");
	is_int(output_size_window(&size, 16 * MB, 10), 10, "but not more than it");
	is_int(output_size_window(&size, MB / 2, 1000), 1, "one at least");
	output_size_note(&size, 100 * 50, 100);
	is_int(output_size_window(&size, 16 * MB, 1000), 1000,
		   "it grows when results are small again");
}

/* --- a simulation ------------------------------------------------------------ */

#define OUTPUTS 400
#define DELAY 3 /* turns that a message takes */

static uint32_t seed = 1;

static uint32_t
random_below(uint32_t n)
{
	seed = seed * 1664525 + 1013904223;
	return (uint32_t) ((uint64_t) seed * n >> 32);
}

typedef struct Simulation
{
	uint64_t size[OUTPUTS];
	int place[OUTPUTS]; /* ordinals as the service gives them */
	bool came[OUTPUTS]; /* to the reader */
	int fetched;
	int next;			/* that the reader takes */
	uint64_t received, held; /* by the reader */
	uint64_t most;		/* held, by the dispatcher's account */
} Simulation;

/*
 * The dispatcher fetches as fast as it may, in the service's order; the reader
 * takes an output in a turn, in the order of ordinals, and reports that at
 * once.  Messages take a while both ways.  Returns whether it came to its end.
 */
static bool
simulate(Simulation *s, uint64_t budget)
{
	Credit c;
	OutputSize size = {0};
	int on_way[DELAY][OUTPUTS];
	int non_way[DELAY] = {0};
	struct
	{
		uint64_t bytes, received;
		int64_t awaited;
	} report[DELAY] = {{0}};

	credit_init(&c, budget);
	for (int i = 0; i < DELAY; i++)
		report[i].awaited = -1;
	for (int turn = 0; turn < 100 * OUTPUTS && s->next < OUTPUTS; turn++)
	{
		int at = turn % DELAY;
		uint32_t n;

		/* the dispatcher gets a report that is some turns old */
		credit_consumed(&c, report[at].bytes, report[at].awaited,
						report[at].received);
		/* the reader gets outputs that are as old */
		for (int i = 0; i < non_way[at]; i++)
		{
			s->came[on_way[at][i]] = true;
			s->held += s->size[on_way[at][i]];
			s->received++;
		}
		non_way[at] = 0;
		n = credit_fetch(&c, size.weight > 0 ? output_size_mean(&size) : MB, 0);
		if (n == 0 && credit_awaited(&c) >= 0)
			n = 1;
		for (; n > 0 && s->fetched < OUTPUTS; n--)
		{
			int ordinal = s->place[s->fetched++];

			credit_sent(&c, s->size[ordinal]);
			output_size_note(&size, s->size[ordinal], 1);
			on_way[at][non_way[at]++] = ordinal;
		}
		if (c.held > s->most)
			s->most = c.held;
		report[at].bytes = 0;
		report[at].awaited = s->next;
		report[at].received = s->received;
		if (s->came[s->next])
		{
			report[at].bytes = s->size[s->next];
			report[at].awaited = -1;
			s->held -= s->size[s->next++];
		}
	}
	return s->next == OUTPUTS;
}

/* Outputs of one size, shuffled within runs of so many. */
static void
prepare(Simulation *s, uint64_t each, int run)
{
	memset(s, 0, sizeof(*s));
	for (int i = 0; i < OUTPUTS; i++)
	{
		int j = i - (int) random_below((uint32_t) (i % run) + 1);

		s->size[i] = each;
		s->place[i] = s->place[j];
		s->place[j] = i;
	}
}

static void
test_simulation(void)
{
	static Simulation s;

	prepare(&s, MB, 1);
	ok(simulate(&s, 16 * MB), "outputs in order come to their end");
	ok(s.most < 18 * MB, "and take the budget and one more at most");

	prepare(&s, MB, 8);
	ok(simulate(&s, 16 * MB), "outputs a little out of order");
	ok(s.most < 18 * MB, "take no more");

	prepare(&s, MB, 100);
	ok(simulate(&s, 16 * MB), "far out of order: the one awaited always comes");
	ok(s.most > 18 * MB && s.most < (16 + 100) * MB, "with those before it");

	prepare(&s, MB, 1);
	s.place[0] = OUTPUTS - 1;
	s.place[OUTPUTS - 1] = 0;
	ok(simulate(&s, 16 * MB), "the first one comes last");

	for (int round = 0; round < 50; round++)
	{
		prepare(&s, 0, 1 + (int) random_below(50));
		for (int i = 0; i < OUTPUTS; i++)
			s.size[i] = random_below(10) == 0 ? random_below(5 * MB) : 50;
		if (!simulate(&s, 64 * 1024 + random_below(16 * MB)))
			ok(false, "round %d stands still", round);
	}
	ok(true, "outputs of any size, in any order");
}

int
main(void)
{
	test_budget();
	test_awaited();
	test_size();
	test_window();
	test_simulation();
	return done_testing();
}
