/*-------------------------------------------------------------------------
 *
 * random.c
 *	  Chance, from the kernel; see random.h.
 *
 *-------------------------------------------------------------------------
 */
#include "core/random.h"

#include <string.h>
#include <sys/random.h>

#define AT_A_TIME 256 /* of which getrandom gives all or nothing */

void
random_bytes(uint8_t *to, size_t n)
{
	static uint8_t pool[16 * AT_A_TIME];
	static size_t used = sizeof(pool);

	if (used + n > sizeof(pool))
	{
		/* Cannot fail or be short for so few bytes once booted. */
		for (size_t got = 0; got < sizeof(pool); got += AT_A_TIME)
		{
			while (getrandom(pool + got, AT_A_TIME, 0) != AT_A_TIME)
				;
		}
		used = 0;
	}
	memcpy(to, pool + used, n);
	used += n;
}

double
random_unit(void)
{
	uint32_t bits;

	random_bytes((uint8_t *) &bits, sizeof(bits));
	return bits / 4294967296.0;
}
