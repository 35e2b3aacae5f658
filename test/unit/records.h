/*
 * The loop of a program that answers records, for the property tests.
 *
 * Record: an operation (one byte), a length (32 bits, host order), bytes.
 * Answer: 1 or 0 (did it work?), a length, bytes; those of a failure are the
 * error's text.
 */
#ifndef TEST_UNIT_RECORDS_H
#define TEST_UNIT_RECORDS_H

#include <stdio.h>
#include <stdlib.h>

#include "core/buf.h"

#define MAX_RECORD (64 * 1024 * 1024)

/* The error, or NULL; *known is unset for an operation that there is not. */
typedef const char *(*RecordHandler)(char op, Buf *out, const void *p, size_t n,
									 bool *known);

static inline int
answer_records(RecordHandler handle)
{
	Buf out;
	uint8_t op;
	uint32_t n;

	buf_init(&out, 0, NULL);
	while (fread(&op, 1, 1, stdin) == 1 && fread(&n, sizeof(n), 1, stdin) == 1)
	{
		uint8_t *bytes;
		const char *error;
		bool known = true;
		uint8_t status;

		if (n > MAX_RECORD)
			return 2;
		bytes = malloc(n > 0 ? n : 1);
		if (bytes == NULL || fread(bytes, 1, n, stdin) != n)
			return 2;
		buf_reset(&out);
		error = handle((char) op, &out, bytes, n, &known);
		if (!known)
			return 2;
		status = error == NULL;
		n = (uint32_t) (error ? strlen(error) : out.len);
		fwrite(&status, 1, 1, stdout);
		fwrite(&n, sizeof(n), 1, stdout);
		if (n > 0)
			fwrite(error ? (const void *) error : out.data, 1, n, stdout);
		fflush(stdout);
		free(bytes);
	}
	buf_free(&out);
	return 0;
}

#endif /* TEST_UNIT_RECORDS_H */
