/* Tests of core/numbers and core/cbor_typed: lists read in one pass. */
#include "tap.h"

#include <float.h>
#include <math.h>

#include "core/numbers.h"

/* --- numbers as text: "1 2.5" ---------------------------------------------- */

static void
describe(Buf *out, NumberType type, const Buf *numbers)
{
	size_t sizes[] = {2, 4, 8, 4, 8};

	for (size_t at = 0; at < numbers->len; at += sizes[type])
	{
		const uint8_t *p = numbers->data + at;
		int16_t i2;
		int32_t i4;
		int64_t i8;
		float f;
		double d;

		memcpy(&i2, p, sizeof(i2));
		memcpy(&i4, p, sizes[type] < 4 ? sizes[type] : sizeof(i4));
		memcpy(&i8, p, sizes[type]);
		memcpy(&f, p, sizes[type] < 4 ? sizes[type] : sizeof(f));
		memcpy(&d, p, sizes[type]);
		buf_put_cstr(out, at > 0 ? " " : "");
		switch (type)
		{
			case NUMBER_INT2:
				buf_printf(out, "%d", i2);
				break;
			case NUMBER_INT4:
				buf_printf(out, "%d", i4);
				break;
			case NUMBER_INT8:
				buf_printf(out, "%lld", (long long) i8);
				break;
			case NUMBER_FLOAT4:
				buf_printf(out, isnan(f) ? "nan" : "%.9g", (double) f);
				break;
			case NUMBER_FLOAT8:
				buf_printf(out, isnan(d) ? "nan" : "%.17g", d);
				break;
		}
	}
}

/*
 * What a list is read as; NULL: it is left alone.  There is another element
 * after it, which must be read all the same.
 */
static void
check_cbor(NumberType type, const char *hex, const char *want)
{
	uint8_t bytes[256];
	size_t n = from_hex(hex, bytes + 1, sizeof(bytes) - 2);
	CborReader r;
	CborToken tok;
	Buf numbers, text;
	bool read;

	bytes[0] = 0x82;
	bytes[n + 1] = 0xf5;
	buf_init(&numbers, 0, NULL);
	buf_init(&text, 0, NULL);
	cbor_reader_init(&r, bytes, n + 2, 10, NULL);
	r.typed_arrays = true;
	(void) cbor_next(&r, &tok);
	(void) cbor_next(&r, &tok);
	read = tok.kind == CBOR_ARRAY && numbers_from_cbor(&numbers, type, &r, &tok);
	if (read)
		describe(&text, type, &numbers);
	is_text(read ? buf_cstr(&text) : NULL, want, hex);
	if (want != NULL)
	{
		ok(cbor_next(&r, &tok) && tok.kind == CBOR_END && tok.depth == 1,
		   "%s: its end", hex);
		ok(cbor_next(&r, &tok) && tok.kind == CBOR_BOOL, "%s: what follows", hex);
		ok(cbor_next(&r, &tok) && !cbor_next(&r, &tok) && r.error == CBOR_OK,
		   "%s: all", hex);
	}
	else
		is_int((int64_t) numbers.len, 0, "nothing is appended");
	cbor_reader_free(&r);
	buf_free(&numbers);
	buf_free(&text);
}

static void
check_json(NumberType type, const char *json, const char *want)
{
	/* no zero byte follows */
	size_t n = strlen(json);
	char *copy = malloc(n + 1);
	Buf numbers, text;
	bool read;

	memcpy(copy, json, n);
	copy[n] = '7';
	buf_init(&numbers, 0, NULL);
	buf_init(&text, 0, NULL);
	read = numbers_from_json(&numbers, type, copy, n);
	if (read)
		describe(&text, type, &numbers);
	else
		is_int((int64_t) numbers.len, 0, "nothing is appended");
	is_text(read ? buf_cstr(&text) : NULL, want, json);
	free(copy);
	buf_free(&numbers);
	buf_free(&text);
}

/* --- CBOR -------------------------------------------------------------------- */

static void
test_cbor(void)
{
	check_cbor(NUMBER_INT4, "8400181819ffff1a7fffffff", "0 24 65535 2147483647");
	check_cbor(NUMBER_INT4, "8320381839ffff", "-1 -25 -65536");
	check_cbor(NUMBER_INT4, "811a80000000", NULL);
	check_cbor(NUMBER_INT4, "813a7fffffff", "-2147483648");
	check_cbor(NUMBER_INT2, "82197fff397fff", "32767 -32768");
	check_cbor(NUMBER_INT2, "81198000", NULL);
	check_cbor(NUMBER_INT8, "821b7fffffffffffffff3b7fffffffffffffff",
			   "9223372036854775807 -9223372036854775808");
	check_cbor(NUMBER_INT8, "811b8000000000000000", NULL);
	check_cbor(NUMBER_INT8, "81fb3ff0000000000000", NULL);
	check_cbor(NUMBER_FLOAT8, "87fb3fb999999999999afa3f800000f93e000120f9fc00f98000",
			   "0.10000000000000001 1 1.5 1 -1 -inf -0");
	check_cbor(NUMBER_FLOAT8, "82f97e00f90001", "nan 5.9604644775390625e-08");
	check_cbor(NUMBER_FLOAT8, "811b0020000000000000", "9007199254740992");
	check_cbor(NUMBER_FLOAT8, "811b0020000000000001", NULL);
	check_cbor(NUMBER_FLOAT4, "84fb3fb999999999999af97e00f97c0000",
			   "0.100000001 nan inf 0");
	/* not exactly a float's neighbour, half way, too large, too small */
	check_cbor(NUMBER_FLOAT4, "81fb3ff0000010000001", "1.00000012");
	check_cbor(NUMBER_FLOAT4, "81fb3ff0000010000000", NULL);
	check_cbor(NUMBER_FLOAT4, "81fb47f0000000000000", NULL);
	check_cbor(NUMBER_FLOAT4, "81fb36a0000000000000", NULL);
	check_cbor(NUMBER_FLOAT4, "81fa7f7fffff", "3.40282347e+38");
	/* what is not a list of numbers alone */
	check_cbor(NUMBER_FLOAT8, "80", NULL);
	check_cbor(NUMBER_FLOAT8, "9f01ff", NULL);
	check_cbor(NUMBER_FLOAT8, "8201f6", NULL);
	check_cbor(NUMBER_FLOAT8, "82018101", NULL);
	check_cbor(NUMBER_FLOAT8, "8201c24101", NULL);
	check_cbor(NUMBER_FLOAT8, "826131f5", NULL);
	check_cbor(NUMBER_FLOAT8, "8101", "1");
	check_cbor(NUMBER_INT4, "811c", NULL);
	/* cut off: what follows is one byte */
	check_cbor(NUMBER_INT4, "83011a0000", NULL);
	check_cbor(NUMBER_FLOAT8, "81fb3ff00000", NULL);
}

static void
test_typed(void)
{
	check_cbor(NUMBER_INT4, "d84042ff01", "255 1");
	check_cbor(NUMBER_INT4, "d84442ff01", "255 1");
	check_cbor(NUMBER_INT4, "d8414401020304", "258 772");
	check_cbor(NUMBER_INT4, "d8454401020304", "513 1027");
	check_cbor(NUMBER_INT4, "d84841ff", "-1");
	check_cbor(NUMBER_INT4, "d84d44fffe0080", "-257 -32768");
	check_cbor(NUMBER_INT4, "d84e48ffffffff01000000", "-1 1");
	check_cbor(NUMBER_INT8, "d84f480000000000000080", "-9223372036854775808");
	check_cbor(NUMBER_INT8, "d843488000000000000000", NULL);
	check_cbor(NUMBER_FLOAT4, "d85548 0000803f01000000", NULL);
	check_cbor(NUMBER_FLOAT8, "d85048 3c00c0007bff0001",
			   "1 -2 65504 5.9604644775390625e-08");
	check_cbor(NUMBER_FLOAT8, "d85444 003c007c", "1 inf");
	check_cbor(NUMBER_FLOAT4, "d85548 0000803fcdcccc3d", "1 0.100000001");
	check_cbor(NUMBER_FLOAT4, "d85148 3f8000003dcccccd", "1 0.100000001");
	check_cbor(NUMBER_FLOAT8, "d85648 9a9999999999b93f", "0.10000000000000001");
	check_cbor(NUMBER_FLOAT8, "d85640", NULL);
	check_cbor(NUMBER_FLOAT8, "d8564101", NULL);
	check_cbor(NUMBER_FLOAT8, "d84c42ff01", NULL);
	check_cbor(NUMBER_FLOAT8, "d8535000000000000000000000000000000000", NULL);
}

/* --- JSON -------------------------------------------------------------------- */

static void
test_json(void)
{
	check_json(NUMBER_FLOAT8, "[0.1,-2.5e3 , 1E+2,\n7]", "0.10000000000000001 -2500 100 7");
	check_json(NUMBER_FLOAT8, " [ -0.0 ] ", "0");
	check_json(NUMBER_FLOAT8, "[123456789012345678901234567890]", "1.2345678901234568e+29");
	check_json(NUMBER_FLOAT4, "[0.1,16777217,1.000000059604644775390626]",
			   "0.100000001 16777216 1.00000012");
	check_json(NUMBER_FLOAT4, "[1.000000059604644775390625]", "1");
	check_json(NUMBER_FLOAT8, "[900719925474099.1,-0.0000000000000000000001,123456789012345.67]",
			   "900719925474099.12 -1e-22 123456789012345.67");
	check_json(NUMBER_FLOAT4, "[0.30000001192092896,-0.3,-0]", "0.300000012 -0.300000012 0");
	check_json(NUMBER_FLOAT4, "[1e39]", NULL);
	check_json(NUMBER_FLOAT4, "[1e-50]", NULL);
	check_json(NUMBER_FLOAT8, "[1e999]", NULL);
	check_json(NUMBER_INT4, "[1,-2,0,-0]", "1 -2 0 0");
	check_json(NUMBER_INT4, "[2147483648]", NULL);
	check_json(NUMBER_INT2, "[-32768]", "-32768");
	check_json(NUMBER_INT8, "[999999999999999999]", "999999999999999999");
	check_json(NUMBER_INT8, "[9223372036854775807]", NULL);
	check_json(NUMBER_INT4, "[1.0]", NULL);
	check_json(NUMBER_INT4, "[1e2]", NULL);
	check_json(NUMBER_FLOAT8, "", NULL);
	check_json(NUMBER_FLOAT8, "[", NULL);
	check_json(NUMBER_FLOAT8, "[1", NULL);
	check_json(NUMBER_FLOAT8, "[1,", NULL);
	check_json(NUMBER_FLOAT8, "[]", NULL);
	check_json(NUMBER_FLOAT8, "[1,]", NULL);
	check_json(NUMBER_FLOAT8, "[1 2]", NULL);
	check_json(NUMBER_FLOAT8, "[1]]", NULL);
	check_json(NUMBER_FLOAT8, "[[1]]", NULL);
	check_json(NUMBER_FLOAT8, "[null]", NULL);
	check_json(NUMBER_FLOAT8, "[NaN]", NULL);
	check_json(NUMBER_FLOAT8, "[inf]", NULL);
	check_json(NUMBER_FLOAT8, "[0x10]", NULL);
	check_json(NUMBER_FLOAT8, "[01]", NULL);
	check_json(NUMBER_FLOAT8, "[+1]", NULL);
	check_json(NUMBER_FLOAT8, "[.5]", NULL);
	check_json(NUMBER_FLOAT8, "[5.]", NULL);
	check_json(NUMBER_FLOAT8, "[1e]", NULL);
	check_json(NUMBER_FLOAT8, "[-]", NULL);
	check_json(NUMBER_FLOAT8, "1", NULL);
}

/* --- writing ------------------------------------------------------------------- */

#define MANY 1000

/* As item by item. */
static void
test_writing(void)
{
	static int64_t ints[MANY];
	static float floats[MANY];
	static double doubles[MANY];
	Buf fast, slow;

	for (int i = 0; i < MANY; i++)
	{
		uint64_t size = (UINT64_C(1) << i % 64) - (uint64_t) (i % 3);

		ints[i] = (int64_t) (i % 2 == 0 ? size : -size);
		doubles[i] = i % 100 == 7 ? NAN : i % 100 == 8 ? -INFINITY : 1.0 / (i - 50);
		floats[i] = (float) doubles[i];
	}
	buf_init(&fast, 0, NULL);
	buf_init(&slow, 0, NULL);
	numbers_to_cbor(&fast, NUMBER_INT8, ints, MANY);
	numbers_to_cbor(&fast, NUMBER_FLOAT4, floats, MANY);
	numbers_to_cbor(&fast, NUMBER_FLOAT8, doubles, MANY);
	for (int i = 0; i < MANY; i++)
		cbor_put_int(&slow, ints[i]);
	for (int i = 0; i < MANY; i++)
		cbor_put_float(&slow, floats[i]);
	for (int i = 0; i < MANY; i++)
		cbor_put_double(&slow, doubles[i]);
	is_bytes(fast.data, fast.len, slow.data, slow.len, "the same bytes as one by one");
	buf_free(&fast);
	buf_free(&slow);
}

static void
test_writing_small(void)
{
	static const int16_t i2[] = {-32768, 0, 23, 24};
	static const int32_t i4[] = {INT32_MIN, INT32_MAX};
	static const float f[] = {0.1F};
	uint8_t want[64];
	size_t n = from_hex("397fff 00 17 1818 3a7fffffff 1a7fffffff fa3dcccccd", want,
						sizeof(want));
	Buf out;

	buf_init(&out, n, NULL);
	numbers_to_cbor(&out, NUMBER_INT2, i2, 4);
	numbers_to_cbor(&out, NUMBER_INT4, i4, 2);
	numbers_to_cbor(&out, NUMBER_FLOAT4, f, 1);
	is_bytes(out.data, out.len, want, n, "small numbers, up to the buffer's limit");
	numbers_to_cbor(&out, NUMBER_FLOAT4, f, 1);
	ok(out.failed, "and not beyond it");
	buf_free(&out);
}

int
main(void)
{
	test_cbor();
	test_typed();
	test_json();
	test_writing();
	test_writing_small();
	return done_testing();
}
