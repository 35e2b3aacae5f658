/* Tests of core/histogram: every bucket's borders, and percentiles against sorted values. */
#include "tap.h"

#include "core/histogram.h"

#include <math.h>

static uint64_t state = 88172645463325252u;

static uint64_t
random_value(int bits)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state & (((uint64_t) 1 << bits) - 1);
}

/* What a histogram makes of one value. */
static uint64_t
rounded(uint64_t value)
{
	Histogram h = {0};

	histogram_add(&h, value);
	return histogram_percentile(&h, 0.5);
}

static void
test_borders(void)
{
	bool exact = true, close = true, ordered = true;
	uint64_t before = 0;

	for (uint64_t v = 0; v < 16; v++)
		exact = exact && rounded(v) == v;
	ok(exact, "small values are exact");
	for (int power = 3; power < HISTOGRAM_BITS; power++)
	{
		for (uint64_t eighth = 8; eighth < 16; eighth++)
		{
			uint64_t start = eighth << (power - 3);
			uint64_t last = ((eighth + 1) << (power - 3)) - 1;

			exact = exact && rounded(start) == start;
			close = close && rounded(last) == start && (last - start) * 8 < last;
			ordered = ordered && start > before;
			before = start;
		}
	}
	ok(exact, "a bucket begins at an eighth of a power of two");
	ok(close, "and ends less than an eighth above");
	ok(ordered, "they follow one another");
	is_int(rounded(HISTOGRAM_END - 1), (int64_t) (HISTOGRAM_END / 16 * 15), "the last bucket");
	is_int(rounded(HISTOGRAM_END), (int64_t) (HISTOGRAM_END / 16 * 15), "has what is more, too");
	is_int(rounded(UINT64_MAX), (int64_t) (HISTOGRAM_END / 16 * 15), "whatever it is");
}

static int
compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *) a;
	uint64_t y = *(const uint64_t *) b;

	return x < y ? -1 : x > y;
}

#define VALUES 5000

static void
test_percentiles(void)
{
	static const double shares[] = {0, 0.001, 0.5, 0.95, 0.99, 0.999, 1};
	static uint64_t values[VALUES];
	Histogram h = {0};
	bool right = true;

	is_int(histogram_percentile(&h, 0.5), 0, "nothing has no percentiles");
	for (int i = 0; i < VALUES; i++)
	{
		values[i] = random_value(1 + (int) random_value(5));
		histogram_add(&h, values[i]);
	}
	is_int((int64_t) h.total, VALUES, "all are counted");
	qsort(values, VALUES, sizeof(values[0]), compare);
	for (size_t i = 0; i < sizeof(shares) / sizeof(shares[0]); i++)
	{
		int rank = (int) ceil(shares[i] * VALUES);
		uint64_t want = values[rank > 0 ? rank - 1 : 0];
		uint64_t got = histogram_percentile(&h, shares[i]);

		right = right && got <= want && (want - got) * 8 <= want;
	}
	ok(right, "percentiles are those of sorted values, less an eighth at most");
}

static void
test_merge(void)
{
	Histogram a = {0}, b = {0}, both = {0};

	for (int i = 0; i < 1000; i++)
	{
		uint64_t v = random_value(37);

		histogram_add(i % 3 == 0 ? &a : &b, v);
		histogram_add(&both, v);
	}
	histogram_merge(&a, &b);
	ok(memcmp(&a, &both, sizeof(a)) == 0, "two of them together");
	b = (Histogram){0};
	histogram_merge(&a, &b);
	ok(memcmp(&a, &both, sizeof(a)) == 0, "and an empty one");
}

int
main(void)
{
	test_borders();
	test_percentiles();
	test_merge();
	return done_testing();
}
