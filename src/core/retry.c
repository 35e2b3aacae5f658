/*-------------------------------------------------------------------------
 *
 * retry.c
 *	  When something that failed is tried again; see retry.h.
 *
 *-------------------------------------------------------------------------
 */
#include "core/retry.h"

#include <stdlib.h>
#include <string.h>

#define MAX_DATE 64 /* of a header */
#define MIN_INPUT_DELAY_MS 1000.0
#define MAX_INPUT_DELAY_MS 86400000.0

double
retry_left(const Retry *r, const RetryPolicy *policy, double now)
{
	return r->since == 0 ? policy->budget : r->since + policy->budget - now;
}

bool
retry_failed(Retry *r, const RetryPolicy *policy, double now)
{
	if (r->since == 0 && policy->budget < RETRY_FOREVER)
		r->since = now;
	if (r->failures < UINT32_MAX)
		r->failures++;
	return retry_left(r, policy, now) > 0 &&
		(policy->tries == RETRY_OFTEN || r->failures <= policy->tries);
}

double
retry_pause(Retry *r, const RetryPolicy *policy, double now, double unit,
			double floor)
{
	double left = retry_left(r, policy, now);
	double pause = policy->first * pow(policy->growth, r->grown);

	/* Infinity, where pow overflows, is more than the most as well. */
	if (!(pause < policy->most))
		pause = policy->most;
	else
		r->grown++;
	pause *= 1.0 - unit;
	if (floor > 0)
		pause += floor;
	if (pause > left)
		pause = left;
	return pause > 0 ? pause : 0;
}

void
retry_progress(Retry *r)
{
	memset(r, 0, sizeof(*r));
}

void
retry_excuse(Retry *r)
{
	r->grown = 0;
}

/* Digits, perhaps with a fraction, and nothing else. */
static bool
read_seconds(const char *text, double *seconds)
{
	static const char digits[] = "0123456789";
	size_t whole = strspn(text, digits);
	size_t n = whole;

	if (text[n] == '.')
		n += 1 + strspn(text + n + 1, digits);
	if (whole == 0 || text[n] != '\0')
		return false;
	*seconds = strtod(text, NULL);
	return true;
}

static bool
copy_value(char text[MAX_DATE], const char *value, size_t n)
{
	if (n >= MAX_DATE || memchr(value, '\0', n) != NULL)
		return false;
	memcpy(text, value, n);
	text[n] = '\0';
	return true;
}

/* RFC 9110, 5.6.7, which asks for all three kinds. */
bool
http_date(const char *value, size_t n, time_t *date)
{
	static const char *const dates[] = {"%a, %d %b %Y %H:%M:%S GMT",
										"%A, %d-%b-%y %H:%M:%S GMT",
										"%a %b %d %H:%M:%S %Y"};
	char text[MAX_DATE];

	if (!copy_value(text, value, n))
		return false;
	for (size_t i = 0; i < sizeof(dates) / sizeof(dates[0]); i++)
	{
		struct tm tm = {0};
		const char *end = strptime(text, dates[i], &tm);

		if (end != NULL && *end == '\0')
		{
			*date = timegm(&tm);
			return true;
		}
	}
	return false;
}

/* RFC 9110, 10.2.3 */
double
retry_after_seconds(const char *value, size_t n, time_t now)
{
	char text[MAX_DATE];
	double seconds = 0;
	time_t date;

	if (copy_value(text, value, n) && read_seconds(text, &seconds))
		return seconds;
	if (http_date(value, n, &date))
		seconds = difftime(date, now);
	return seconds > 0 ? seconds : 0;
}

double
modal_retry_delay(uint32_t n, uint32_t retries, uint32_t initial_delay_ms,
				  double coefficient)
{
	double delay;

	if (n > retries)
		return -1.0;

	/*
	 * The coefficient comes from the network: with a senseless one (NaN, or
	 * 0 ms times infinity) the delay is the shortest.
	 */
	delay = initial_delay_ms * pow(coefficient, (double) n - 1.0);
	if (!(delay >= MIN_INPUT_DELAY_MS))
		delay = MIN_INPUT_DELAY_MS;
	else if (delay > MAX_INPUT_DELAY_MS)
		delay = MAX_INPUT_DELAY_MS;
	return delay / 1000.0;
}
