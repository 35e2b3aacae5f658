/*-------------------------------------------------------------------------
 *
 * datetime.c
 *	  Points in time as Python has them, and as RFC 3339 writes them.
 *
 *-------------------------------------------------------------------------
 */
#include "core/datetime.h"

#define MICROS_PER_SECOND INT64_C(1000000)
#define SECONDS_PER_DAY 86400
#define DAYS_TO_1970 719162 /* from 0001-01-01 */

static bool
is_leap(int year)
{
	return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

static int
days_in_month(int year, int month)
{
	static const uint8_t days[] = {31, 28, 31, 30, 31, 30,
								   31, 31, 30, 31, 30, 31};

	return days[month - 1] + (month == 2 && is_leap(year));
}

/* Days from 0001-01-01 to January 1st of the year. */
static int
days_before_year(int year)
{
	int y = year - 1;

	return y * 365 + y / 4 - y / 100 + y / 400;
}

bool
datetime_valid(const DateTime *t)
{
	return t->year >= 1 && t->year <= 9999 && t->month >= 1 && t->month <= 12 &&
		t->day >= 1 && t->day <= days_in_month(t->year, t->month) &&
		t->hour >= 0 && t->hour <= 23 && t->minute >= 0 && t->minute <= 59 &&
		t->second >= 0 && t->second <= 59 && t->micros >= 0 &&
		t->micros < MICROS_PER_SECOND && t->utc_offset > -24 * 60 &&
		t->utc_offset < 24 * 60;
}

/* --- text ------------------------------------------------------------------- */

/* Exactly count digits at *p. */
static bool
take_number(const char **p, const char *end, int count, int *value)
{
	*value = 0;
	if (end - *p < count)
		return false;
	for (int i = 0; i < count; i++, (*p)++)
	{
		if (**p < '0' || **p > '9')
			return false;
		*value = *value * 10 + (**p - '0');
	}
	return true;
}

static bool
take_char(const char **p, const char *end, const char *allowed)
{
	if (*p == end || **p == '\0' || strchr(allowed, **p) == NULL)
		return false;
	(*p)++;
	return true;
}

static bool
take_date(const char **p, const char *end, DateTime *t)
{
	memset(t, 0, sizeof(*t));
	return take_number(p, end, 4, &t->year) && take_char(p, end, "-") &&
		take_number(p, end, 2, &t->month) && take_char(p, end, "-") &&
		take_number(p, end, 2, &t->day);
}

/* ".123456789": at least one digit. */
static bool
take_fraction(const char **p, const char *end, int *micros)
{
	int unit = 100000;
	const char *begin;

	*micros = 0;
	if (!take_char(p, end, "."))
		return true;
	begin = *p;
	for (; *p < end && **p >= '0' && **p <= '9'; (*p)++, unit /= 10)
		*micros += unit * (**p - '0');
	return *p > begin;
}

/* "Z", "+01:00", or nothing. */
static bool
take_offset(const char **p, const char *end, DateTime *t)
{
	int sign;
	int hours;
	int minutes;

	if (*p == end)
		return true;
	t->aware = true;
	if (take_char(p, end, "Zz"))
		return true;
	sign = **p == '-' ? -1 : 1;
	if (!take_char(p, end, "+-") || !take_number(p, end, 2, &hours) ||
		!take_char(p, end, ":") || !take_number(p, end, 2, &minutes) ||
		minutes > 59)
		return false;
	t->utc_offset = sign * (hours * 60 + minutes);
	return true;
}

bool
datetime_parse(const char *p, size_t n, DateTime *t)
{
	const char *end = p + n;

	return take_date(&p, end, t) && take_char(&p, end, "Tt ") &&
		take_number(&p, end, 2, &t->hour) && take_char(&p, end, ":") &&
		take_number(&p, end, 2, &t->minute) && take_char(&p, end, ":") &&
		take_number(&p, end, 2, &t->second) &&
		take_fraction(&p, end, &t->micros) && take_offset(&p, end, t) &&
		p == end && datetime_valid(t);
}

bool
date_parse(const char *p, size_t n, DateTime *t)
{
	const char *end = p + n;

	return take_date(&p, end, t) && p == end && datetime_valid(t);
}

void
date_put(Buf *out, const DateTime *t)
{
	buf_printf(out, "%04d-%02d-%02d", t->year, t->month, t->day);
}

void
datetime_put(Buf *out, const DateTime *t)
{
	int offset = t->utc_offset < 0 ? -t->utc_offset : t->utc_offset;

	date_put(out, t);
	buf_printf(out, "T%02d:%02d:%02d", t->hour, t->minute, t->second);
	if (t->micros > 0)
		buf_printf(out, ".%06d", t->micros);
	if (t->aware && offset == 0)
		buf_put_u8(out, 'Z');
	else if (t->aware)
		buf_printf(out, "%c%02d:%02d", t->utc_offset < 0 ? '-' : '+',
				   offset / 60, offset % 60);
}

/* --- the epoch --------------------------------------------------------------- */

int64_t
datetime_to_epoch(const DateTime *t)
{
	int64_t days = days_before_year(t->year) + t->day - 1 - DAYS_TO_1970;

	for (int month = 1; month < t->month; month++)
		days += days_in_month(t->year, month);
	return (days * SECONDS_PER_DAY + t->hour * 3600 + t->minute * 60 +
			t->second) * MICROS_PER_SECOND + t->micros;
}

bool
datetime_from_epoch(int64_t micros, DateTime *t)
{
	static const DateTime first = {.year = 1, .month = 1, .day = 1};
	const int64_t micros_per_day = SECONDS_PER_DAY * MICROS_PER_SECOND;
	int64_t origin = datetime_to_epoch(&first);
	int64_t days;
	int64_t rest;

	memset(t, 0, sizeof(*t));
	t->aware = true;
	/* The second comparison keeps the subtraction from overflowing, and
	 * days from being more than an int holds. */
	if (micros < origin || micros >= INT64_MAX / 2)
		return false;
	days = (micros - origin) / micros_per_day;
	rest = (micros - origin) % micros_per_day;

	if (days >= days_before_year(10000))
		return false;

	/* The estimate is never too late, and a few years early at most. */
	t->year = (int) (days / 366) + 1;
	while (days >= days_before_year(t->year + 1))
		t->year++;
	days -= days_before_year(t->year);
	t->month = 1;
	while (days >= days_in_month(t->year, t->month))
		days -= days_in_month(t->year, t->month++);
	t->day = (int) days + 1;

	t->micros = (int) (rest % MICROS_PER_SECOND);
	rest /= MICROS_PER_SECOND;
	t->second = (int) (rest % 60);
	t->minute = (int) (rest / 60 % 60);
	t->hour = (int) (rest / 3600);
	return true;
}
