/* Retry-After: whatever it says, pauses are neither endless nor nothing. */
#include "fuzz.h"

#include <math.h>

#include "core/retry.h"

#define NOW 784111777 /* in November 1994 */

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const RetryPolicy policy = {
		.first = 0.1, .growth = 2, .most = 30, .budget = 60, .tries = RETRY_OFTEN};
	double floor = retry_after_seconds((const char *) data, size, NOW);
	Retry r = {0};
	double now = 1000;

	REQUIRE(floor >= 0 && isfinite(floor));
	for (int tries = 0; retry_failed(&r, &policy, now); tries++)
	{
		double pause = retry_pause(&r, &policy, now, 0.5, floor);

		REQUIRE(pause > 0 && now + pause <= 1060.001);
		REQUIRE(tries < 30);
		now += pause;
	}
	return 0;
}
