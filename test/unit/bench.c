/* How long core/cbor takes for a token: make -C test/unit bench */
#include <stdio.h>
#include <time.h>

#include "core/cbor.h"

#define ROUNDS 7
#define CALLS 20000 /* whose size in all stays within the processor's caches */

static double
seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec + now.tv_nsec * 1e-9;
}

/* A call as codec writes it, with few short arguments. */
static void
put_call(Buf *buf, int i)
{
	cbor_put_array(buf, 2);
	cbor_put_array(buf, 4);
	cbor_put_text(buf, "a text of 25 characters..", 25);
	cbor_put_int(buf, i);
	cbor_put_double(buf, i * 0.5);
	cbor_put_bool(buf, i & 1);
	cbor_put_map(buf, 0);
}

#define HEADS 7	 /* what put_call writes */
#define TOKENS 10 /* what is read of it: with the ends of three containers */

int
main(void)
{
	static uint8_t text[1 << 20];
	double write = 1e9;
	double read = 1e9;
	double check = 1e9;
	size_t tokens = 0;
	Buf buf;

	buf_init(&buf, 0, NULL);
	memset(text, 'x', sizeof(text));
	/* The best of some rounds is what others did not disturb. */
	for (int round = 0; round < ROUNDS; round++)
	{
		double t0;
		double t1;
		double t2;
		double t3;
		bool valid;
		CborReader reader;
		CborToken tok;

		buf_reset(&buf);
		t0 = seconds();
		cbor_put_array(&buf, CALLS);
		for (int i = 0; i < CALLS; i++)
			put_call(&buf, i);
		t1 = seconds();
		tokens = 0;
		cbor_reader_init(&reader, buf.data, buf.len, 100, NULL);
		while (cbor_next(&reader, &tok))
			tokens++;
		t2 = seconds();
		valid = utf8_valid(text, sizeof(text));
		t3 = seconds();
		if (reader.error != CBOR_OK || tokens != (size_t) CALLS * TOKENS + 2 ||
			!valid)
			return 1;
		cbor_reader_free(&reader);

		if (t1 - t0 < write)
			write = t1 - t0;
		if (t2 - t1 < read)
			read = t2 - t1;
		if (t3 - t2 < check)
			check = t3 - t2;
	}
	printf("write: %.1f ns a token, %.0f ns a call of %zu bytes\n",
		   write / CALLS / HEADS * 1e9, write / CALLS * 1e9, buf.len / CALLS);
	printf("read: %.1f ns a token, %.0f ns a call\n", read / tokens * 1e9,
		   read / CALLS * 1e9);
	printf("UTF-8 check of ASCII: %.1f GB/s\n", sizeof(text) / check * 1e-9);
	buf_free(&buf);
	return 0;
}
