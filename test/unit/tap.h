/*-------------------------------------------------------------------------
 *
 * tap.h
 *	  Tests that speak TAP, in one header.
 *
 * A test is a program: ok() and its friends count and print; done_testing()
 * prints the plan and gives the exit status, so that a program that stops
 * early fails for want of a plan.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TEST_UNIT_TAP_H
#define TEST_UNIT_TAP_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/buf.h"

static int tap_count;
static int tap_failures;

__attribute__((format(printf, 2, 3), unused)) static bool
ok(bool passed, const char *fmt, ...)
{
	char name[500];
	va_list args;

	va_start(args, fmt);
	vsnprintf(name, sizeof(name), fmt, args);
	va_end(args);
	printf("%s %d - ", passed ? "ok" : "not ok", ++tap_count);
	for (const char *c = name; *c != '\0'; c++)
	{
		/* Neither lines nor directives may come from a name. */
		if (*c == '#')
			putchar('\\');
		putchar((unsigned char) *c < ' ' ? ' ' : *c);
	}
	putchar('\n');
	if (!passed)
		tap_failures++;
	return passed;
}

__attribute__((unused)) static bool
is_int(int64_t got, int64_t want, const char *name)
{
	if (ok(got == want, "%s", name))
		return true;
	printf("#   got %lld, want %lld\n", (long long) got, (long long) want);
	return false;
}

__attribute__((unused)) static bool
is_bytes(const void *got, size_t ngot, const void *want, size_t nwant,
		 const char *name)
{
	bool same = ngot == nwant && (ngot == 0 || memcmp(got, want, ngot) == 0);

	if (ok(same, "%s", name))
		return true;
	printf("#   got  ");
	for (size_t i = 0; i < ngot; i++)
		printf("%02x", ((const uint8_t *) got)[i]);
	printf("\n#   want ");
	for (size_t i = 0; i < nwant; i++)
		printf("%02x", ((const uint8_t *) want)[i]);
	putchar('\n');
	return false;
}

__attribute__((unused)) static bool
is_text(const char *got, const char *want, const char *name)
{
	bool same = got == NULL || want == NULL ? got == want :
											  strcmp(got, want) == 0;

	if (ok(same, "%s", name))
		return true;
	printf("#   got  %s\n#   want %s\n", got ? got : "(null)",
		   want ? want : "(null)");
	return false;
}

static int
done_testing(void)
{
	printf("1..%d\n", tap_count);
	return tap_failures == 0 ? 0 : 1;
}

/* The bytes that hexadecimal text stands for; spaces are skipped. */
__attribute__((unused)) static size_t
from_hex(const char *hex, uint8_t *out, size_t max)
{
	size_t n = 0;

	while (*hex != '\0')
	{
		unsigned int byte;

		if (*hex == ' ')
		{
			hex++;
			continue;
		}
		if (n == max || sscanf(hex, "%2x", &byte) != 1)
			abort();
		out[n++] = (uint8_t) byte;
		hex += 2;
	}
	return n;
}

/*
 * Memory that runs out: of the allocations that follow, the one with number
 * failing_at (from 1) fails, and so do those after it; 0: none.
 */
static long failing_at;
static long failing_count;

__attribute__((unused)) static void *
failing_realloc(void *place, void *ptr, size_t size)
{
	if (size > 0 && failing_at > 0 && ++failing_count >= failing_at)
		return NULL;
	return buf_libc_realloc(place, ptr, size);
}

/*
 * Run a scenario with the first allocation failing, then the second, and so
 * on, until it needs no more of them than were given.  The scenario says
 * whether it got through; it must notice when it did not, and leak nothing
 * (the sanitizer sees that).
 */
__attribute__((unused)) static void
check_out_of_memory(bool (*scenario)(void), const char *name)
{
	long n;

	failing_at = 0;
	if (!ok(scenario(), "%s: with enough memory", name))
		return;
	for (n = 1;; n++)
	{
		bool passed;

		failing_at = n;
		failing_count = 0;
		passed = scenario();
		if (failing_count < n)
		{
			ok(passed, "%s: with %ld allocations", name, n - 1);
			break;
		}
		if (passed)
		{
			ok(false, "%s: failure of allocation %ld goes unnoticed", name, n);
			break;
		}
	}
	failing_at = 0;
	ok(n > 1, "%s: allocates", name);
}

#endif /* TEST_UNIT_TAP_H */
