/*-------------------------------------------------------------------------
 *
 * datetime.h
 *	  Points in time as Python has them, and as RFC 3339 writes them.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_CORE_DATETIME_H
#define MODAL_CORE_DATETIME_H

#include "core/buf.h"

typedef struct DateTime
{
	int year; /* 1 to 9999 */
	int month;
	int day;
	int hour;
	int minute;
	int second; /* no leap seconds */
	int micros;
	bool aware;		/* is the offset known? */
	int utc_offset; /* minutes east, less than a day */
} DateTime;

extern bool datetime_valid(const DateTime *t);
/*
 * "2024-02-29T23:59:58.123456+01:00"; the fraction may have any number of
 * digits (those beyond microseconds are dropped), the offset may be "Z", or
 * absent: then t is not aware.
 */
extern bool datetime_parse(const char *p, size_t n, DateTime *t);
/* "2024-02-29" */
extern bool date_parse(const char *p, size_t n, DateTime *t);
/* As above; "Z" when UTC, six fraction digits or none. */
extern void datetime_put(Buf *out, const DateTime *t);
extern void date_put(Buf *out, const DateTime *t);

/* UTC from microseconds since 1970; false beyond the years 1 to 9999. */
extern bool datetime_from_epoch(int64_t micros, DateTime *t);
/* Microseconds since 1970 of a time taken as UTC: utc_offset is ignored. */
extern int64_t datetime_to_epoch(const DateTime *t);

#endif /* MODAL_CORE_DATETIME_H */
