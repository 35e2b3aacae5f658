/* Tests of core/datetime: texts, calendar, epoch. */
#include "tap.h"

#include <time.h>

#include "core/datetime.h"

static void
check_text(const char *text, const char *want)
{
	DateTime t;
	bool good = datetime_parse(text, strlen(text), &t);
	Buf out;

	buf_init(&out, 0, NULL);
	if (good)
		datetime_put(&out, &t);
	is_text(good ? buf_cstr(&out) : NULL, want, text);
	buf_free(&out);
}

static void
test_text(void)
{
	check_text("2013-03-21T20:04:00Z", "2013-03-21T20:04:00Z");
	check_text("2013-03-21t20:04:00z", "2013-03-21T20:04:00Z");
	check_text("2013-03-21 20:04:00+00:00", "2013-03-21T20:04:00Z");
	check_text("2013-03-21T20:04:00-05:30", "2013-03-21T20:04:00-05:30");
	check_text("2013-03-21T20:04:00+23:59", "2013-03-21T20:04:00+23:59");
	check_text("2013-03-21T20:04:00", "2013-03-21T20:04:00");
	check_text("2013-03-21T20:04:00.5Z", "2013-03-21T20:04:00.500000Z");
	check_text("2013-03-21T20:04:00.000001Z", "2013-03-21T20:04:00.000001Z");
	check_text("2013-03-21T20:04:00.1234567891234Z",
			   "2013-03-21T20:04:00.123456Z");
	check_text("2013-03-21T20:04:00.0000009Z", "2013-03-21T20:04:00Z");
	check_text("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z");
	check_text("9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59.999999Z");
	check_text("2024-02-29T00:00:00Z", "2024-02-29T00:00:00Z");
	check_text("2000-02-29T00:00:00Z", "2000-02-29T00:00:00Z");

	check_text("", NULL);
	check_text("2013-03-21", NULL);
	check_text("2023-02-29T00:00:00Z", NULL);
	check_text("1900-02-29T00:00:00Z", NULL);
	check_text("0000-01-01T00:00:00Z", NULL);
	check_text("10000-01-01T00:00:00Z", NULL);
	check_text("2013-13-01T00:00:00Z", NULL);
	check_text("2013-00-01T00:00:00Z", NULL);
	check_text("2013-04-31T00:00:00Z", NULL);
	check_text("2013-04-00T00:00:00Z", NULL);
	check_text("2013-03-21T24:00:00Z", NULL);
	check_text("2013-03-21T20:60:00Z", NULL);
	check_text("2013-03-21T20:04:60Z", NULL);
	check_text("2013-03-21T20:04:00.Z", NULL);
	check_text("2013-03-21T20:04:00+24:00", NULL);
	check_text("2013-03-21T20:04:00+01:60", NULL);
	check_text("2013-03-21T20:04:00+0100", NULL);
	check_text("2013-03-21T20:04:00+01", NULL);
	check_text("2013-03-21T20:04:00Zx", NULL);
	check_text("2013-3-21T20:04:00Z", NULL);
	check_text("-013-03-21T20:04:00Z", NULL);
}

static void
test_date(void)
{
	DateTime t;

	ok(date_parse("2024-02-29", 10, &t) && t.year == 2024 && t.month == 2 &&
		   t.day == 29,
	   "a date");
	ok(!date_parse("2024-02-30", 10, &t), "no such day");
	ok(!date_parse("2024-02-29T", 11, &t), "more than a date");
	ok(!date_parse("2024-02-2", 9, &t), "less than a date");
}

/* Every day there is, against the C library; and times between. */
static void
test_epoch(void)
{
	const int64_t day = INT64_C(86400000000);
	DateTime t = {.year = 1, .month = 1, .day = 1};
	int64_t first = datetime_to_epoch(&t);
	int64_t last;
	int bad = 0;

	is_int(first, INT64_C(-62135596800000000), "the first microsecond");
	t = (DateTime){.year = 9999, .month = 12, .day = 31, .hour = 23,
				   .minute = 59, .second = 59, .micros = 999999};
	last = datetime_to_epoch(&t);
	is_int(last, INT64_C(253402300799999999), "the last one");

	for (int64_t micros = first; micros <= last; micros += day)
	{
		int64_t within = micros + (micros / day & 0xfffff) * 79999;
		time_t seconds = (within - ((within % 1000000) + 1000000) % 1000000) /
			1000000;
		struct tm tm;

		gmtime_r(&seconds, &tm);
		if (!datetime_from_epoch(within, &t) || !datetime_valid(&t) ||
			t.year != tm.tm_year + 1900 || t.month != tm.tm_mon + 1 ||
			t.day != tm.tm_mday || t.hour != tm.tm_hour ||
			t.minute != tm.tm_min || t.second != tm.tm_sec ||
			datetime_to_epoch(&t) != within)
			bad++;
	}
	is_int(bad, 0, "every day, as the C library has it");

	ok(datetime_from_epoch(0, &t) && t.year == 1970 && t.aware &&
		   t.utc_offset == 0,
	   "1970, in UTC");
	ok(!datetime_from_epoch(first - 1, &t), "before the first");
	ok(!datetime_from_epoch(last + 1, &t), "after the last");
	ok(!datetime_from_epoch(INT64_MIN, &t), "long before");
	ok(!datetime_from_epoch(INT64_MAX, &t), "long after");
}

int
main(void)
{
	test_text();
	test_date();
	test_epoch();
	return done_testing();
}
