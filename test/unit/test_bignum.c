/* Tests of core/bignum: digits to bytes and back. */
#include "tap.h"

#include "core/bignum.h"

static void
check_both_ways(const char *digits, const char *hex)
{
	uint8_t want[64];
	size_t n = from_hex(hex, want, sizeof(want));
	Buf out;

	buf_init(&out, 0, NULL);
	ok(bignum_from_digits(&out, digits, strlen(digits)), "%s to bytes", digits);
	is_bytes(out.data, out.len, want, n, hex);
	buf_reset(&out);
	ok(bignum_to_digits(&out, want, n), "and back");
	is_text(buf_cstr(&out), digits, digits);
	buf_free(&out);
}

static void
test_values(void)
{
	Buf out;

	check_both_ways("0", "");
	check_both_ways("1", "01");
	check_both_ways("255", "ff");
	check_both_ways("256", "0100");
	check_both_ways("999999999", "3b9ac9ff");
	check_both_ways("1000000000", "3b9aca00");
	check_both_ways("4294967295", "ffffffff");
	check_both_ways("4294967296", "0100000000");
	check_both_ways("18446744073709551616", "010000000000000000");
	check_both_ways("1000000000000000000000000000", "033b2e3c9fd0803ce8000000");
	check_both_ways("340282366920938463463374607431768211455",
					"ffffffffffffffffffffffffffffffff");

	buf_init(&out, 0, NULL);
	ok(bignum_from_digits(&out, "", 0) && out.len == 0, "no digits are zero");
	ok(bignum_from_digits(&out, "000000000000000000000007", 24) &&
		   out.len == 1 && out.data[0] == 7,
	   "leading zeros");
	buf_reset(&out);
	ok(bignum_to_digits(&out, (const uint8_t *) "\0\0\0\0\0\7", 6), "and");
	is_text(buf_cstr(&out), "7", "leading zero bytes");
	ok(!bignum_from_digits(&out, "12a", 3), "no digit");
	ok(!bignum_from_digits(&out, "-1", 2), "no sign");
	buf_free(&out);
}

static void
test_limits(void)
{
	char *digits = malloc(BIGNUM_MAX_DIGITS + 1);
	Buf bytes;
	Buf back;

	memset(digits, '9', BIGNUM_MAX_DIGITS + 1);
	buf_init(&bytes, 0, NULL);
	buf_init(&back, 0, NULL);
	ok(bignum_from_digits(&bytes, digits, BIGNUM_MAX_DIGITS),
	   "the largest number");
	ok(bytes.len <= BIGNUM_MAX_BYTES, "within the limit of bytes");
	ok(bignum_to_digits(&back, bytes.data, bytes.len), "and back");
	is_bytes(back.data, back.len, digits, BIGNUM_MAX_DIGITS, "unchanged");
	ok(!bignum_from_digits(&bytes, digits, BIGNUM_MAX_DIGITS + 1),
	   "a larger one");
	buf_reset(&bytes);
	memset(buf_extend(&bytes, BIGNUM_MAX_BYTES + 1), 1, BIGNUM_MAX_BYTES + 1);
	ok(!bignum_to_digits(&back, bytes.data, bytes.len), "too many bytes");
	buf_free(&bytes);
	buf_free(&back);
	free(digits);
}

static bool
convert(void)
{
	Buf bytes;
	Buf back;
	bool good;

	buf_init(&bytes, 0, failing_realloc);
	buf_init(&back, 0, failing_realloc);
	good = bignum_from_digits(&bytes, "123456789012345678901234567890", 30) &&
		bignum_to_digits(&back, bytes.data, bytes.len);
	buf_free(&bytes);
	buf_free(&back);
	return good;
}

int
main(void)
{
	test_values();
	test_limits();
	check_out_of_memory(convert, "convert");
	return done_testing();
}
