/*-------------------------------------------------------------------------
 *
 * codec_datetime.c
 *	  Dates, times and intervals to CBOR and JSON.
 *
 * Always ISO 8601, whatever DateStyle, IntervalStyle and TimeZone say: who
 * reads a value back may have other settings.  What Python's datetime cannot
 * hold (infinities, years before 1 and after 9999) travels as text without a
 * tag, in a form that PostgreSQL reads.
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include "session/codec_types.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/datetime.h"
#include "utils/timestamp.h"

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
void
write_timestamp(Writer *w, Timestamp t, bool has_zone)
{
	char text[MAXDATELEN + 1];
	char fraction[16] = "";
	struct pg_tm tm;
	fsec_t fsec;

	if (TIMESTAMP_NOT_FINITE(t))
	{
		write_iso(w, 0, 0, TIMESTAMP_IS_NOBEGIN(t) ? EARLY : LATE);
		return;
	}
	if (timestamp2tm(t, NULL, &tm, &fsec, NULL, NULL) != 0)
		ereport(ERROR, (errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
						errmsg("timestamp out of range")));
	if (fsec != 0)
		snprintf(fraction, sizeof(fraction), ".%06d", (int) fsec);
	snprintf(text, sizeof(text), "%04d-%02d-%02dT%02d:%02d:%02d%s%s%s",
			 shown_year(tm.tm_year), tm.tm_mon, tm.tm_mday, tm.tm_hour,
			 tm.tm_min, tm.tm_sec, fraction,
			 has_zone || !w->json ? "Z" : "", era(tm.tm_year));
	write_iso(w, CBOR_TAG_DATETIME_TEXT, tm.tm_year, text);
}

/* P1Y2M3DT4H5M6S */
void
write_interval(Writer *w, Interval *interval)
{
	int saved = IntervalStyle;
	char *text;

	IntervalStyle = INTSTYLE_ISO_8601;
	text = DatumGetCString(
		DirectFunctionCall1(interval_out, IntervalPGetDatum(interval)));
	IntervalStyle = saved;
	write_text(w, text, strlen(text));
	pfree(text);
}
