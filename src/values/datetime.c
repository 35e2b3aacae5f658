/*-------------------------------------------------------------------------
 *
 * datetime.c
 *	  Dates and times to CBOR and JSON.
 *
 * Always ISO 8601, whatever DateStyle and TimeZone say: who reads a value back
 * may have other settings.  What Python's datetime cannot
 * hold (infinities, years before 1 and after 9999) travels as text without a
 * tag, in a form that PostgreSQL reads.
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/datetime.h"
#include "utils/timestamp.h"
#include "values/type_table.h"

#define FIRST_YEAR 1
#define LAST_YEAR 9999

/* tag: CBOR's, for a year that Python knows. */
static void
write_iso(Writer *w, uint64 tag, int year, const char *text)
{
	if (!w->json && year >= FIRST_YEAR && year <= LAST_YEAR)
		cbor_put_tag(w->buf, tag);
	write_text(w, text, strlen(text));
}

/* There is no year 0: before 1 comes 1 BC. */
static int
shown_year(int year)
{
	return year > 0 ? year : 1 - year;
}

static const char *
era(int year)
{
	return year > 0 ? "" : " BC";
}

void
write_date(Writer *w, DateADT date)
{
	char text[MAXDATELEN + 1];
	int year, month, day;

	if (DATE_NOT_FINITE(date))
	{
		write_iso(w, 0, 0, DATE_IS_NOBEGIN(date) ? EARLY : LATE);
		return;
	}
	j2date(date + POSTGRES_EPOCH_JDATE, &year, &month, &day);
	snprintf(text, sizeof(text), "%04d-%02d-%02d%s", shown_year(year), month,
			 day, era(year));
	write_iso(w, CBOR_TAG_DATE_TEXT, year, text);
}

/*
 * In UTC.  One without time zone travels in CBOR as if its zone were UTC,
 * because tag 0 wants an offset; in JSON it is written without one.
 */
static const char *
format_timestamp(Timestamp t, bool has_zone, char *text, int *year)
{
	char fraction[16] = "";
	struct pg_tm tm;
	fsec_t fsec;

	*year = 0;
	if (TIMESTAMP_NOT_FINITE(t))
		return TIMESTAMP_IS_NOBEGIN(t) ? EARLY : LATE;
	if (timestamp2tm(t, NULL, &tm, &fsec, NULL, NULL) != 0)
		ereport(ERROR, (errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
						errmsg("timestamp out of range")));
	if (fsec != 0)
		snprintf(fraction, sizeof(fraction), ".%06d", (int) fsec);
	snprintf(text, MAXDATELEN + 1, "%04d-%02d-%02dT%02d:%02d:%02d%s%s%s",
			 shown_year(tm.tm_year), tm.tm_mon, tm.tm_mday, tm.tm_hour,
			 tm.tm_min, tm.tm_sec, fraction, has_zone ? "Z" : "",
			 era(tm.tm_year));
	*year = tm.tm_year;
	return text;
}

void
write_timestamp(Writer *w, Timestamp t, bool has_zone)
{
	char text[MAXDATELEN + 1];
	int year;
	const char *shown = format_timestamp(t, has_zone || !w->json, text, &year);

	write_iso(w, CBOR_TAG_DATETIME_TEXT, year, shown);
}

char *
moment_text(TimestampTz t)
{
	char text[MAXDATELEN + 1];
	int year;

	return pstrdup(format_timestamp(t, true, text, &year));
}

double
interval_seconds(const Interval *interval)
{
	double days = (double) interval->month * DAYS_PER_MONTH + interval->day;

	return days * SECS_PER_DAY + (double) interval->time / USECS_PER_SEC;
}
