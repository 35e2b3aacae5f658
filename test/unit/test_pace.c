/* Tests of core/pace: simulated services, with time passed in. */
#include "tap.h"

#include <math.h>

#include "core/pace.h"

/*
 * A service with so many workers, each of which needs "fixed" seconds for a
 * request and "each" for a row of it.
 */
typedef struct Service
{
	uint32_t workers;
	double fixed, each;
} Service;

/*
 * Run for some seconds of the service's time, with so many rows to be sent at
 * most at once; returns rows a second over the last half.
 */
static double
run(Pace *pace, Service service, uint32_t demand, double *now, double seconds)
{
	double begin = *now;
	double rows_done = 0;

	while (*now < begin + seconds)
	{
		uint32_t rows = pace_rows(pace) < demand ? pace_rows(pace) : demand;
		uint32_t wanted = demand / rows;
		uint32_t requests = pace_requests(pace) < wanted ? pace_requests(pace)
														 : wanted;
		double turns = requests <= service.workers
			? 1
			: (double) requests / service.workers;
		double took = (service.fixed + service.each * rows) * turns;
		PaceReport report = {.seconds = took,
							 .rows = rows,
							 .good = true,
							 .full = rows == pace_rows(pace),
							 .limited = requests == pace_requests(pace)};

		for (uint32_t i = 0; i < requests; i++)
		{
			*now += took / requests;
			report.now = *now;
			pace_report(pace, &report);
			if (*now > begin + seconds / 2)
				rows_done += rows;
		}
	}
	return rows_done / (seconds / 2);
}

/* Requests of which each nth fails. */
static void
fail_every(Pace *pace, int n, double *now)
{
	for (int i = 1; i <= 1000; i++)
	{
		bool failed = i % n == 0;

		pace_report(pace, &(PaceReport){.now = *now += 0.001,
										.seconds = 0.01,
										.rows = 1,
										.good = !failed,
										.failed = failed,
										.full = true});
	}
}

static void
at_least(double got, double least, const char *name)
{
	if (!ok(got >= least, "%s", name))
		printf("#   got %g, want at least %g\n", got, least);
}

static void
at_most(double got, double most, const char *name)
{
	if (!ok(got <= most, "%s", name))
		printf("#   got %g, want at most %g\n", got, most);
}

int
main(void)
{
	Pace pace;
	double now = 1000;

	/* An interpreter behind a lock: a request is dear, a row is cheap. */
	pace_init(&pace, 64, 1000);
	run(&pace, (Service){1, 0.002, 10e-6}, 16000, &now, 1);
	at_least(pace_rows(&pace), 500, "many rows where requests are dear, soon");
	at_most(pace_requests(&pace), 32, "and not many of them at once");

	/* A slow function per row: rows together bring nothing. */
	pace_init(&pace, 64, 1000);
	at_least(run(&pace, (Service){64, 0.001, 0.05}, 16000, &now, 30),
			 0.8 * 64 / 0.05, "all workers busy where rows are dear");
	at_most(pace_rows(&pace), 32, "and few rows in a request");

	/* One row a request, 50 ms each. */
	pace_init(&pace, 256, 1);
	run(&pace, (Service){1000, 0.05, 0}, 16000, &now, 0.8);
	is_int(pace_requests(&pace), 256, "up to 256 requests within 0.8 s");

	/* The same where nothing says how many there may be; and with batches. */
	pace_init(&pace, 1024, 1);
	run(&pace, (Service){2000, 0.05, 0}, 16000, &now, 0.8);
	is_int(pace_requests(&pace), 1024, "up to 1,024 requests within 0.8 s");
	pace_init(&pace, 1024, 1000);
	at_least(run(&pace, (Service){256, 0.05, 0}, 16000, &now, 4), 0.8 * 16000 / 0.05,
			 "all there is under way where requests are dear and many");
	pace_init(&pace, 1024, 1000);
	at_least(run(&pace, (Service){4, 0.01, 100e-6}, 16000, &now, 30),
			 0.8 * 4 * 1000 / 0.11, "few workers, whose requests are dear");
	at_most(pace_requests(&pace), 64, "and not many requests that wait for them");

	/* However it pays, a request does not take long. */
	pace_init(&pace, 4, 100000);
	run(&pace, (Service){4, 60, 0.001}, 400000, &now, 3600);
	at_most(pace_rows(&pace), 16, "few rows where any request takes a minute");

	/* Little to do. */
	pace_init(&pace, 64, 1000);
	run(&pace, (Service){4, 0.01, 0.001}, 3, &now, 30);
	at_most(pace_rows(&pace), 8, "without demand no more rows");
	at_most(pace_requests(&pace), 8, "and no more requests");

	pace_init(&pace, 64, 1);
	is_int((int) pace_stalled_after(&pace), 1,
		   "stalled: a second, where nothing is known");
	pace_report(&pace, &(PaceReport){.now = now, .seconds = 1, .rows = 1,
									 .good = true, .full = true});
	is_int((int) pace_stalled_after(&pace), 8, "stalled: much longer than usual");
	pace_init(&pace, 64, 1);
	is_int(pace_excused(&pace), 0, "nothing has failed yet");
	fail_every(&pace, 1, &now);
	is_int(pace_excused(&pace), 0, "no excuse where all fails");
	fail_every(&pace, 5, &now);
	at_least(pace_excused(&pace), 6, "where a fifth fails, six in a row are chance");
	at_most(pace_excused(&pace), 12, "twelve are not");
	fail_every(&pace, 1000, &now);
	at_most(pace_excused(&pace), 3, "where hardly anything fails, nor are three");
	fail_every(&pace, 1, &now);
	is_int(pace_excused(&pace), 0, "and then all fails again");

	pace_init(&pace, 0, 0);
	ok(pace_rows(&pace) == 1 && pace_requests(&pace) == 1, "at least one of each");
	return done_testing();
}
