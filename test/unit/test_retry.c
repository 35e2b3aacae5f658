/* Tests of core/retry and core/random: when something is tried again. */
#include "tap.h"

#include <math.h>
#include <string.h>

#include "core/random.h"
#include "core/retry.h"

static void
is_seconds(double got, double want, const char *name)
{
	if (!ok(fabs(got - want) < 1e-9, "%s", name))
		printf("#   got %.12g, want %.12g\n", got, want);
}

static RetryPolicy
make_policy(double budget, uint32_t tries)
{
	return (RetryPolicy){.first = 0.1,
						 .growth = 2,
						 .most = 1,
						 .budget = budget,
						 .tries = tries};
}

static void
test_pauses(void)
{
	static const double grown[] = {0.1, 0.2, 0.4, 0.8, 1.0, 1.0};
	RetryPolicy policy = make_policy(RETRY_FOREVER, RETRY_OFTEN);
	Retry r = {0};
	bool within = true;

	for (int i = 0; i < 6; i++)
	{
		ok(retry_failed(&r, &policy, 5), "may be tried again");
		is_seconds(retry_pause(&r, &policy, 5, 0, 0), grown[i], "pauses grow");
	}
	is_int(r.failures, 6, "failures are counted");
	retry_progress(&r);
	is_seconds(retry_pause(&r, &policy, 5, 0.25, 0), 0.075,
			   "from the start after progress, with jitter");
	is_seconds(retry_pause(&r, &policy, 5, 0.75, 0), 0.05, "a quarter of 0.2");
	for (int i = 0; i < 1000; i++)
	{
		double pause = retry_pause(&r, &policy, 5, i / 1000.0, 0);

		within = within && pause > 0 && pause <= 1;
	}
	ok(within, "never zero, never more than the limit");
	r.grown = UINT32_MAX;
	is_seconds(retry_pause(&r, &policy, 5, 0, 0), 1, "after endless pauses");
	r.failures = UINT32_MAX;
	ok(retry_failed(&r, &policy, 5), "and endless failures");
	is_int(r.failures, UINT32_MAX, "the count stays");
	retry_excuse(&r);
	is_seconds(retry_pause(&r, &policy, 5, 0, 0), 0.1, "an excuse");
}

static void
test_floor(void)
{
	static const double nothing[] = {0, -5, NAN, -HUGE_VAL};
	RetryPolicy policy = make_policy(RETRY_FOREVER, RETRY_OFTEN);
	Retry r = {0};

	for (size_t i = 0; i < sizeof(nothing) / sizeof(nothing[0]); i++)
	{
		r.grown = 2;
		is_seconds(retry_pause(&r, &policy, 5, 0, nothing[i]), 0.4,
				   "a floor that says nothing");
	}
	r.grown = 2;
	is_seconds(retry_pause(&r, &policy, 5, 0.5, 3), 3.2, "a floor");
	is_seconds(retry_pause(&r, &policy, 5, 0, 0.001), 0.801,
			   "a low one makes nothing shorter, and pauses grow on");
}

static void
test_budget(void)
{
	RetryPolicy policy = make_policy(10, RETRY_OFTEN);
	RetryPolicy patient = make_policy(RETRY_FOREVER, RETRY_OFTEN);
	Retry r = {0};

	is_seconds(retry_left(&r, &policy, 90), 10, "all of it at first");
	ok(retry_failed(&r, &patient, 90), "free of charge");
	ok(retry_failed(&r, &policy, 100), "the first that counts");
	is_seconds(retry_left(&r, &policy, 104), 6, "what is left");
	is_seconds(retry_pause(&r, &policy, 104, 0.5, 100), 6,
			   "a floor does not outlast it");
	is_seconds(retry_pause(&r, &policy, 104, 0.5, HUGE_VAL), 6,
			   "nor does an endless one");
	is_seconds(retry_pause(&r, &policy, 109.99, 0, 0), 0.01,
			   "nor does a pause");
	ok(retry_failed(&r, &policy, 109.99), "just in time");
	ok(!retry_failed(&r, &policy, 110), "too late");
	is_seconds(retry_pause(&r, &policy, 111, 0, 5), 0, "no pause any more");
	retry_excuse(&r);
	ok(!retry_failed(&r, &policy, 110), "an excuse gives nothing back");
	retry_progress(&r);
	ok(retry_failed(&r, &policy, 110), "progress does");

	policy.budget = 0;
	retry_progress(&r);
	ok(!retry_failed(&r, &policy, 100), "no budget, no retry");

	policy = make_policy(RETRY_FOREVER, 2);
	retry_progress(&r);
	ok(retry_failed(&r, &policy, 1) && retry_failed(&r, &policy, 2) &&
		   !retry_failed(&r, &policy, 3),
	   "so many tries");
	policy.tries = 0;
	retry_progress(&r);
	ok(!retry_failed(&r, &policy, 1), "none at all");
}

static void
test_header(void)
{
	/* Sun, 06 Nov 1994 08:49:37 GMT */
	static const time_t then = 784111777;
	static const struct
	{
		const char *text;
		double seconds;
	} headers[] = {
		{"0", 0},
		{"7", 7},
		{"007", 7},
		{"1.5", 1.5},
		{"2.", 2},
		{"99999999999999999999", 1e20},
		{"Sun, 06 Nov 1994 08:50:37 GMT", 60},
		{"Sunday, 06-Nov-94 08:50:37 GMT", 60},
		{"Sun Nov  6 08:50:37 1994", 60},
		{"Sun, 06 Nov 1994 08:49:36 GMT", 0},
		{"Sun, 06 Nov 1904 08:49:36 GMT", 0},
		/* nothing that can be understood */
		{"", 0},
		{"-5", 0},
		{"+5", 0},
		{" 5", 0},
		{"5 ", 0},
		{"5s", 0},
		{"1,5", 0},
		{".5", 0},
		{"1e3", 0},
		{"0x10", 0},
		{"inf", 0},
		{"nan", 0},
		{"soon", 0},
		{"Sun, 06 Nov 1994 08:50:37 GMT, 5", 0},
		{"Sun, 36 Nov 1994 08:50:37 GMT", 0},
		{"1994-11-06T08:50:37Z", 0},
	};
	char text[100];

	for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++)
		is_seconds(retry_after_seconds(headers[i].text,
									   strlen(headers[i].text), then),
				   headers[i].seconds, headers[i].text);
	is_seconds(retry_after_seconds("5\0", 2, then), 0, "a zero byte");
	memset(text, '9', sizeof(text));
	is_seconds(retry_after_seconds(text, sizeof(text), then), 0, "very long");
}

static void
test_modal(void)
{
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
}

static void
test_random(void)
{
	double sum = 0;
	bool within = true;

	for (int i = 0; i < 10000; i++)
	{
		double unit = random_unit();

		within = within && unit >= 0 && unit < 1;
		sum += unit;
	}
	ok(within, "from 0 to 1");
	ok(sum > 4700 && sum < 5300, "one half in the mean");
}

int
main(void)
{
	test_pauses();
	test_floor();
	test_budget();
	test_header();
	test_modal();
	test_random();
	return done_testing();
}
