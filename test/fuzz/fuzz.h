/*-------------------------------------------------------------------------
 *
 * fuzz.h
 *	  What the fuzz targets share.
 *
 * A target is one function that takes any bytes.  The sanitizers find what
 * is undefined; REQUIRE finds what is wrong.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TEST_FUZZ_FUZZ_H
#define TEST_FUZZ_FUZZ_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define REQUIRE(condition) \
	do \
	{ \
		if (!(condition)) \
		{ \
			fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, \
					#condition); \
			abort(); \
		} \
	} while (0)

/* The first two bytes say in what pieces the others come; false: too few. */
static inline bool
take_piece_size(const uint8_t **data, size_t *size, size_t *piece)
{
	if (*size < 2)
		return false;
	*piece = 1 + ((*data)[0] | (size_t) (*data)[1] << 8);
	*data += 2;
	*size -= 2;
	return true;
}

extern int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif /* TEST_FUZZ_FUZZ_H */
