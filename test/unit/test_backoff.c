/* Tests of core/backoff: delays between attempts. */
#include "tap.h"

#include <math.h>

#include "core/backoff.h"

static void
is_seconds(double got, double want, const char *name)
{
	if (!ok(fabs(got - want) < 1e-9, "%s", name))
		printf("#   got %.12g, want %.12g\n", got, want);
}

int
main(void)
{
	static const double rpc_delays[] = {0.1, 0.2, 0.4, 0.8, 1.0, 1.0};
	Backoff b;
	bool within = true;

	/* The retry loop of Modal's clients. */
	backoff_init(&b, 0.1, 2.0, 1.0, false);
	for (int i = 0; i < 6; i++)
		is_seconds(backoff_next(&b, 0.7), rpc_delays[i], "without jitter");
	is_int(b.attempt, 6, "attempts are counted");
	backoff_reset(&b);
	is_seconds(backoff_next(&b, 0.0), 0.1, "from the start again");

	backoff_init(&b, 0.1, 2.0, 1.0, true);
	is_seconds(backoff_next(&b, 0.0), 0.1, "full jitter: all of it");
	is_seconds(backoff_next(&b, 0.5), 0.1, "full jitter: half of 0.2");
	is_seconds(backoff_next(&b, 0.75), 0.1, "full jitter: a quarter of 0.4");
	for (int i = 0; i < 1000; i++)
	{
		double delay = backoff_next(&b, i / 1000.0);

		within = within && delay > 0.0 && delay <= 1.0;
	}
	ok(within, "never zero, never more than the limit");
	b.attempt = UINT32_MAX;
	is_seconds(backoff_next(&b, 0.0), 1.0, "after endless attempts");
	is_int(b.attempt, UINT32_MAX, "the count stays");

	is_seconds(modal_retry_delay(1, 3, 1000, 2.0), 1.0, "first retry");
	is_seconds(modal_retry_delay(2, 3, 1000, 2.0), 2.0, "second retry");
	is_seconds(modal_retry_delay(3, 3, 1000, 2.0), 4.0, "third retry");
	ok(modal_retry_delay(4, 3, 1000, 2.0) < 0, "no fourth");
	ok(modal_retry_delay(1, 0, 1000, 2.0) < 0, "no retries at all");
	is_seconds(modal_retry_delay(1, 9, 0, 1.0), 1.0, "one second at least");
	is_seconds(modal_retry_delay(2, 9, 300, 2.5), 1.0, "750 ms are too short");
	is_seconds(modal_retry_delay(3, 9, 300, 2.5), 1.875, "1875 ms are not");
	is_seconds(modal_retry_delay(9, 9, 60000, 10.0), 86400.0, "a day at most");
	is_seconds(modal_retry_delay(4000000000, UINT32_MAX, 60000, 10.0), 86400.0,
			   "even when numbers overflow");
	is_seconds(modal_retry_delay(2, 9, 1000, NAN), 1.0, "senseless coefficient");
	is_seconds(modal_retry_delay(2, 9, 0, INFINITY), 1.0,
			   "senseless coefficient without a delay");
	return done_testing();
}
