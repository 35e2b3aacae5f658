/* Tests of core/cbor: RFC 8949's examples, hostile bytes, UTF-8. */
#include "tap.h"

#include <float.h>
#include <math.h>

#include "core/cbor.h"

/* --- tokens as text: "[ 1 { key "a" 2 end end" ----------------------------- */

static void
describe_string(Buf *out, const CborToken *tok)
{
	buf_put_cstr(out, tok->kind == CBOR_TEXT ? "\"" : "h'");
	for (size_t i = 0; i < tok->n; i++)
	{
		if (tok->kind == CBOR_TEXT && tok->p[i] >= ' ')
			buf_put_u8(out, tok->p[i]);
		else
			buf_printf(out, "%02x", tok->p[i]);
	}
	buf_put_cstr(out, tok->kind == CBOR_TEXT ? "\"" : "'");
}

static void
describe_token(Buf *out, const CborToken *tok)
{
	if (out->len > 0)
		buf_put_u8(out, ' ');
	if (tok->is_key && tok->kind != CBOR_END)
		buf_put_cstr(out, "key ");
	switch (tok->kind)
	{
		case CBOR_UINT:
			buf_printf(out, "%llu", (unsigned long long) tok->u);
			break;
		case CBOR_NINT:
			buf_printf(out, "-1-%llu", (unsigned long long) tok->u);
			break;
		case CBOR_BYTES:
		case CBOR_TEXT:
			describe_string(out, tok);
			break;
		case CBOR_ARRAY:
			buf_put_cstr(out, tok->indefinite ? "[_" : "[");
			break;
		case CBOR_MAP:
			buf_put_cstr(out, tok->indefinite ? "{_" : "{");
			break;
		case CBOR_TAG:
			buf_printf(out, "tag(%llu)", (unsigned long long) tok->u);
			break;
		case CBOR_BOOL:
			buf_put_cstr(out, tok->u ? "true" : "false");
			break;
		case CBOR_NULL:
			buf_put_cstr(out, "null");
			break;
		case CBOR_UNDEFINED:
			buf_put_cstr(out, "undefined");
			break;
		case CBOR_SIMPLE:
			buf_printf(out, "simple(%llu)", (unsigned long long) tok->u);
			break;
		case CBOR_DOUBLE:
			buf_printf(out, isnan(tok->d) ? "nan" : "%.17g", tok->d);
			break;
		case CBOR_END:
			buf_put_cstr(out, "end");
			break;
	}
}

/* All tokens of the input, or the error's text. */
static bool typed_arrays;

static const char *
describe(Buf *out, const void *p, size_t n, uint32_t max_depth)
{
	CborReader reader;
	CborToken tok;

	buf_reset(out);
	cbor_reader_init(&reader, p, n, max_depth, NULL);
	reader.typed_arrays = typed_arrays;
	while (cbor_next(&reader, &tok))
		describe_token(out, &tok);
	if (reader.error != CBOR_OK)
	{
		buf_reset(out);
		buf_put_cstr(out, cbor_error_text(reader.error));
	}
	if (cbor_next(&reader, &tok))
		abort(); /* the end must stay the end */
	cbor_reader_free(&reader);
	return buf_cstr(out);
}

static void
check_reading(const char *hex, const char *want)
{
	uint8_t bytes[256];
	size_t n = from_hex(hex, bytes, sizeof(bytes));
	Buf out;

	buf_init(&out, 0, NULL);
	is_text(describe(&out, bytes, n, 100), want, hex);
	buf_free(&out);
}

/* --- RFC 8949, appendix A ---------------------------------------------------- */

static const struct
{
	const char *hex;
	const char *tokens;
} appendix_a[] = {
	{"00", "0"},
	{"01", "1"},
	{"0a", "10"},
	{"17", "23"},
	{"1818", "24"},
	{"1819", "25"},
	{"1864", "100"},
	{"1903e8", "1000"},
	{"1a000f4240", "1000000"},
	{"1b000000e8d4a51000", "1000000000000"},
	{"1bffffffffffffffff", "18446744073709551615"},
	{"c249010000000000000000", "tag(2) h'010000000000000000'"},
	{"3bffffffffffffffff", "-1-18446744073709551615"},
	{"c349010000000000000000", "tag(3) h'010000000000000000'"},
	{"20", "-1-0"},
	{"29", "-1-9"},
	{"3863", "-1-99"},
	{"3903e7", "-1-999"},
	{"f90000", "0"},
	{"f98000", "-0"},
	{"f93c00", "1"},
	{"fb3ff199999999999a", "1.1000000000000001"},
	{"f93e00", "1.5"},
	{"f97bff", "65504"},
	{"fa47c35000", "100000"},
	{"fa7f7fffff", "3.4028234663852886e+38"},
	{"fb7e37e43c8800759c", "1.0000000000000001e+300"},
	{"f90001", "5.9604644775390625e-08"},
	{"f90400", "6.103515625e-05"},
	{"f9c400", "-4"},
	{"fbc010666666666666", "-4.0999999999999996"},
	{"f97c00", "inf"},
	{"f97e00", "nan"},
	{"f9fc00", "-inf"},
	{"fa7f800000", "inf"},
	{"fa7fc00000", "nan"},
	{"faff800000", "-inf"},
	{"fb7ff0000000000000", "inf"},
	{"fb7ff8000000000000", "nan"},
	{"fbfff0000000000000", "-inf"},
	{"f4", "false"},
	{"f5", "true"},
	{"f6", "null"},
	{"f7", "undefined"},
	{"f0", "simple(16)"},
	{"f8ff", "simple(255)"},
	{"c074323031332d30332d32315432303a30343a30305a",
	 "tag(0) \"2013-03-21T20:04:00Z\""},
	{"c11a514b67b0", "tag(1) 1363896240"},
	{"c1fb41d452d9ec200000", "tag(1) 1363896240.5"},
	{"d74401020304", "tag(23) h'01020304'"},
	{"d818456449455446", "tag(24) h'6449455446'"},
	{"d82076687474703a2f2f7777772e6578616d706c652e636f6d",
	 "tag(32) \"http://www.example.com\""},
	{"40", "h''"},
	{"4401020304", "h'01020304'"},
	{"60", "\"\""},
	{"6161", "\"a\""},
	{"6449455446", "\"IETF\""},
	{"62225c", "\"\"\\\""},
	{"62c3bc", "\"\u00fc\""},
	{"63e6b0b4", "\"\u6c34\""},
	{"64f0908591", "\"\U00010151\""},
	{"80", "[ end"},
	{"83010203", "[ 1 2 3 end"},
	{"8301820203820405", "[ 1 [ 2 3 end [ 4 5 end end"},
	{"98190102030405060708090a0b0c0d0e0f101112131415161718181819",
	 "[ 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 "
	 "end"},
	{"a0", "{ end"},
	{"a201020304", "{ key 1 2 key 3 4 end"},
	{"a26161016162820203", "{ key \"a\" 1 key \"b\" [ 2 3 end end"},
	{"826161a161626163", "[ \"a\" { key \"b\" \"c\" end end"},
	{"a56161614161626142616361436164614461656145",
	 "{ key \"a\" \"A\" key \"b\" \"B\" key \"c\" \"C\" key \"d\" \"D\" "
	 "key \"e\" \"E\" end"},
	{"5f42010243030405ff", "h'0102030405'"},
	{"7f657374726561646d696e67ff", "\"streaming\""},
	{"9fff", "[_ end"},
	{"9f018202039f0405ffff", "[_ 1 [ 2 3 end [_ 4 5 end end"},
	{"9f01820203820405ff", "[_ 1 [ 2 3 end [ 4 5 end end"},
	{"83018202039f0405ff", "[ 1 [ 2 3 end [_ 4 5 end end"},
	{"83019f0203ff820405", "[ 1 [_ 2 3 end [ 4 5 end end"},
	{"9f0102030405060708090a0b0c0d0e0f101112131415161718181819ff",
	 "[_ 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 "
	 "end"},
	{"bf61610161629f0203ffff", "{_ key \"a\" 1 key \"b\" [_ 2 3 end end"},
	{"826161bf61626163ff", "[ \"a\" {_ key \"b\" \"c\" end end"},
	{"bf6346756ef563416d7421ff", "{_ key \"Fun\" true key \"Amt\" -1-1 end"},
};

static void
test_appendix_a(void)
{
	for (size_t i = 0; i < sizeof(appendix_a) / sizeof(appendix_a[0]); i++)
		check_reading(appendix_a[i].hex, appendix_a[i].tokens);
}

/* --- what is allowed but unusual, and what is wrong --------------------------- */

static void
test_unusual(void)
{
	/* longer heads than needed */
	check_reading("1800", "0");
	check_reading("190001", "1");
	check_reading("1a00000001", "1");
	check_reading("3b0000000000000000", "-1-0");
	check_reading("5900026869", "h'6869'");
	check_reading("7b00000000000000026869", "\"hi\"");
	check_reading("b9000161736178", "{ key \"s\" \"x\" end");
	check_reading("9a00000000", "[ end");
	check_reading("d9000201", "tag(2) 1");
	/* tags that libcbor refuses, and large ones */
	check_reading("c600", "tag(6) 0");
	check_reading("d400", "tag(20) 0");
	check_reading("dbffffffffffffffff00", "tag(18446744073709551615) 0");
	check_reading("d9d9f7c1820102", "tag(55799) tag(1) [ 1 2 end");
	/* simple values */
	check_reading("e0", "simple(0)");
	check_reading("f820", "simple(32)");
	/* keys of any kind */
	check_reading("a1820102f6", "{ key [ 1 2 end null end");
	check_reading("a1c2410501", "{ key tag(2) key h'05' 1 end");
	check_reading("a1a10102a10304", "{ key { key 1 2 end { key 3 4 end end");
	check_reading("bf9fff9fffff", "{_ key [_ end [_ end end");
	/* strings of no chunks, of empty ones */
	check_reading("5fff", "h''");
	check_reading("7f6060ff", "\"\"");
	check_reading("825f41014102ff7f6161ff", "[ h'0102' \"a\" end");
	check_reading("6161", "\"a\"");
	check_reading("63610062", "\"a00b\"");
}

/* RFC 8746, for readers who want numbers */
static void
test_typed(void)
{
	check_reading("d8404201ff", "tag(64) h'01ff'");
	typed_arrays = true;
	check_reading("d8404201ff", "[ 1 255 end");
	check_reading("82d84841ff07", "[ [ -1-0 end 7 end");
	check_reading("d84c4101", "tag(76) h'01'");
	check_reading("d84101", "tag(65) 1");
	check_reading("d8405f4101ff", "tag(64) h'01'");
	check_reading("d85480", "tag(84) [ end");
	check_reading("d85440", "[ end");
	check_reading("d855480000803f000000c0", "[ 1 -2 end");
	check_reading("c6d855440000803f", "tag(6) [ 1 end");
	check_reading("a1d840410102", "{ key [ 1 end 2 end");
	check_reading("d85543000000", "malformed CBOR data");
	check_reading("d85544000000", "unexpected end of CBOR data");
	check_reading("d855", "unexpected end of CBOR data");
	typed_arrays = false;
}

static void
test_malformed(void)
{
	const char *truncated = "unexpected end of CBOR data";
	const char *malformed = "malformed CBOR data";
	const char *trailing = "unexpected bytes after CBOR data";
	const char *utf8 = "invalid UTF-8 in CBOR text";

	check_reading("", truncated);
	check_reading("18", truncated);
	check_reading("1bffffffffffffff", truncated);
	check_reading("6261", truncated);
	check_reading("5bffffffffffffffff", truncated);
	check_reading("7bffffffffffffffff00", truncated);
	check_reading("5b7fffffffffffffff00", truncated);
	check_reading("81", truncated);
	check_reading("8201", truncated);
	check_reading("9f01", truncated);
	check_reading("a1", truncated);
	check_reading("a101", truncated);
	check_reading("bf01", truncated);
	check_reading("c1", truncated);
	check_reading("5f4101", truncated);
	check_reading("f8", truncated);
	check_reading("f97c", truncated);
	check_reading("9bffffffffffffffff00", truncated);
	check_reading("bb800000000000000000", truncated);
	check_reading("bbffffffffffffffff0000", truncated);
	check_reading("9a00000003 0102", truncated);

	check_reading("1c", malformed);
	check_reading("3f", malformed);
	check_reading("df", malformed);
	check_reading("dc", malformed);
	check_reading("fc", malformed);
	check_reading("ff", malformed);
	check_reading("81ff", malformed);
	check_reading("a1ff00", malformed);
	check_reading("a101ff", malformed);
	check_reading("bf01ff", malformed);
	check_reading("c1ff", malformed);
	check_reading("9fc1ffff", malformed);
	check_reading("f800", malformed);
	check_reading("f818", malformed);
	check_reading("f81f", malformed);
	check_reading("5f6161ff", malformed);
	check_reading("7f4161ff", malformed);
	check_reading("5f5f4101ffff", malformed);
	check_reading("5f01ff", malformed);
	check_reading("5fc14101ff", malformed);

	check_reading("0000", trailing);
	check_reading("8000", trailing);
	check_reading("9fffff", trailing);
	check_reading("c10102", trailing);

	check_reading("61ff", utf8);
	check_reading("63eda080", utf8);
	check_reading("7f61c361bcff", utf8);
}

static void
test_depth(void)
{
	static uint8_t deep[CBOR_MAX_DEPTH + 10];
	Buf out;
	CborReader reader;
	CborToken tok;
	uint32_t deepest = 0;

	buf_init(&out, 0, NULL);
	memset(deep, 0x81, sizeof(deep));
	deep[3] = 0;
	is_text(describe(&out, deep, 4, 3), "[ [ [ 0 end end end", "as deep as allowed");
	is_text(describe(&out, deep, 4, 2), "CBOR data is nested too deeply",
			"deeper");
	is_text(describe(&out, "\xc1\xc1\x01", 3, 1),
			"CBOR data is nested too deeply", "tags count");
	deep[3] = 0x81;
	is_text(describe(&out, deep, sizeof(deep), UINT32_MAX),
			"CBOR data is nested too deeply", "there is always a limit");
	deep[CBOR_MAX_DEPTH] = 0;
	cbor_reader_init(&reader, deep, CBOR_MAX_DEPTH + 1, UINT32_MAX, NULL);
	while (cbor_next(&reader, &tok))
	{
		if (tok.depth > deepest)
			deepest = tok.depth;
	}
	is_int(reader.error, CBOR_OK, "the limit itself is allowed");
	is_int(deepest, CBOR_MAX_DEPTH, "its depth");
	is_int(tok.depth, 0, "the last end is the outermost");
	cbor_reader_free(&reader);
	buf_free(&out);
}

static void
test_skip(void)
{
	/* [ {1: [2, [3]]}, 1(2("x")), (_ "a", "b"), 5 ] */
	uint8_t bytes[64];
	size_t n = from_hex("84 a1018202 8103 c1c26178 7f61616162ff 05", bytes,
						sizeof(bytes));
	CborReader reader;
	CborToken tok;

	cbor_reader_init(&reader, bytes, n, 10, NULL);
	cbor_next(&reader, &tok);
	for (int i = 0; i < 3; i++)
	{
		ok(cbor_next(&reader, &tok) && tok.depth == 1, "element %d begins", i);
		ok(cbor_skip(&reader, &tok), "and is skipped");
	}
	ok(cbor_next(&reader, &tok) && tok.kind == CBOR_UINT && tok.u == 5,
	   "what follows");
	ok(cbor_skip(&reader, &tok), "skipping a number reads nothing");
	ok(cbor_next(&reader, &tok) && tok.kind == CBOR_END, "the end");
	ok(!cbor_next(&reader, &tok) && reader.error == CBOR_OK, "all read");
	cbor_reader_free(&reader);

	cbor_reader_init(&reader, "\x82\x01", 2, 10, NULL);
	cbor_next(&reader, &tok);
	ok(!cbor_skip(&reader, &tok) && reader.error == CBOR_TRUNCATED,
	   "errors are found while skipping");
	cbor_reader_free(&reader);
}

/* --- writing ------------------------------------------------------------------ */

static void
check_written(Buf *buf, const char *hex)
{
	uint8_t bytes[256];

	is_bytes(buf->data, buf->len, bytes, from_hex(hex, bytes, sizeof(bytes)),
			 hex);
	buf_reset(buf);
}

static void
test_writing(void)
{
	static const struct
	{
		int64_t v;
		const char *hex;
	} ints[] = {
		{0, "00"}, {23, "17"}, {24, "1818"}, {255, "18ff"}, {256, "190100"},
		{65535, "19ffff"}, {65536, "1a00010000"}, {4294967295, "1affffffff"},
		{4294967296, "1b0000000100000000"},
		{INT64_MAX, "1b7fffffffffffffff"}, {-1, "20"}, {-24, "37"},
		{-25, "3818"}, {-256, "38ff"}, {-257, "390100"},
		{INT64_MIN, "3b7fffffffffffffff"},
	};
	Buf buf;
	char text[300];

	buf_init(&buf, 0, NULL);
	for (size_t i = 0; i < sizeof(ints) / sizeof(ints[0]); i++)
	{
		cbor_put_int(&buf, ints[i].v);
		check_written(&buf, ints[i].hex);
	}
	cbor_put_uint(&buf, UINT64_MAX);
	check_written(&buf, "1bffffffffffffffff");
	cbor_put_nint(&buf, UINT64_MAX);
	check_written(&buf, "3bffffffffffffffff");

	cbor_put_double(&buf, 1.1);
	check_written(&buf, "fb3ff199999999999a");
	cbor_put_double(&buf, -0.0);
	check_written(&buf, "fb8000000000000000");
	cbor_put_double(&buf, DBL_MAX);
	check_written(&buf, "fb7fefffffffffffff");
	cbor_put_double(&buf, DBL_TRUE_MIN);
	check_written(&buf, "fb0000000000000001");
	cbor_put_double(&buf, NAN);
	check_written(&buf, "f97e00");
	cbor_put_double(&buf, -NAN);
	check_written(&buf, "f97e00");
	cbor_put_double(&buf, INFINITY);
	check_written(&buf, "f97c00");
	cbor_put_double(&buf, -INFINITY);
	check_written(&buf, "f9fc00");

	cbor_put_array(&buf, 2);
	cbor_put_array(&buf, 1);
	cbor_put_text(&buf, "hello", 5);
	cbor_put_map(&buf, 1);
	cbor_put_text(&buf, "k", 1);
	cbor_put_int(&buf, 2);
	check_written(&buf, "82816568656c6c6fa1616b02");
	cbor_put_tag(&buf, CBOR_TAG_SET);
	cbor_put_array(&buf, 4);
	cbor_put_null(&buf);
	cbor_put_bool(&buf, true);
	cbor_put_bool(&buf, false);
	cbor_put_bytes(&buf, "\1\2", 2);
	check_written(&buf, "d9010284f6f5f4420102");
	cbor_put_text(&buf, NULL, 0);
	cbor_put_bytes(&buf, NULL, 0);
	check_written(&buf, "6040");

	memset(text, 'a', sizeof(text));
	cbor_put_text(&buf, text, sizeof(text));
	ok(buf.len == 303 && memcmp(buf.data, "\x79\x01\x2c" "aa", 5) == 0,
	   "300 letters");
	buf_free(&buf);
}

/* A buffer's limit is met exactly, whatever the longest head is. */
static void
test_writing_limit(void)
{
	Buf buf;
	int bad = 0;

	for (size_t limit = 1; limit < 200; limit++)
	{
		buf_init(&buf, limit, NULL);
		for (size_t i = 0; i < limit; i++)
			cbor_put_int(&buf, 1);
		bad += buf.failed || buf.len != limit;
		cbor_put_int(&buf, 1);
		bad += !buf.failed || buf.len != limit;
		buf_free(&buf);
	}
	is_int(bad, 0, "limits hold to the byte");
}

/* --- UTF-8 --------------------------------------------------------------------- */

/* The definition, without any cleverness: decode, and encode again. */
static bool
utf8_valid_slowly(const uint8_t *p, size_t n)
{
	size_t i = 0;

	while (i < n)
	{
		uint32_t c = p[i];
		int more = c < 0x80 ? 0 : c < 0xc0 ? -1 : c < 0xe0 ? 1 :
			c < 0xf0 ? 2 : c < 0xf8 ? 3 : -1;

		if (more < 0 || i + more >= n)
			return false;
		if (more > 0)
			c &= 0x3f >> more;
		for (int j = 1; j <= more; j++)
		{
			if ((p[i + j] & 0xc0) != 0x80)
				return false;
			c = c << 6 | (p[i + j] & 0x3f);
		}
		if ((more == 1 && c < 0x80) || (more == 2 && c < 0x800) ||
			(more == 3 && c < 0x10000) || c > 0x10ffff ||
			(c >= 0xd800 && c <= 0xdfff))
			return false;
		i += more + 1;
	}
	return true;
}

static void
test_utf8(void)
{
	static const struct
	{
		const char *bytes;
		bool valid;
	} cases[] = {
		{"", true}, {"plain", true}, {"\x7f", true}, {"\x80", false},
		{"\xc2\x80", true}, {"\xdf\xbf", true}, {"\xc1\xbf", false},
		{"\xe0\xa0\x80", true}, {"\xe0\x9f\xbf", false},
		{"\xed\x9f\xbf", true}, {"\xed\xa0\x80", false},
		{"\xed\xbf\xbf", false}, {"\xee\x80\x80", true},
		{"\xef\xbf\xbf", true}, {"\xf0\x90\x80\x80", true},
		{"\xf0\x8f\xbf\xbf", false}, {"\xf4\x8f\xbf\xbf", true},
		{"\xf4\x90\x80\x80", false}, {"\xf5\x80\x80\x80", false},
		{"\xfe", false}, {"\xc3", false}, {"\xe6\xb0", false},
		{"\xf0\x9f\x98", false}, {"\xc3(", false},
		{"12345678\xc3\xbc" "12345678\xe6\xb0\xb4!", true},
		{"12345678\xc3\xbc" "1234567\xff", false},
		{"1234567\xf0\x9f\x98\x80", true},
	};
	uint8_t p[12];
	long wrong = 0;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		ok(utf8_valid((const uint8_t *) cases[i].bytes,
					  strlen(cases[i].bytes)) == cases[i].valid,
		   "UTF-8 case %zu", i);

	/* Every two bytes, followed by every interesting two. */
	for (uint32_t first = 0; first < 0x10000; first++)
	{
		static const uint8_t tails[][2] = {
			{0x80, 0x80}, {0xbf, 0xbf}, {0x7f, 0x80}, {0x80, 0xc0}, {0x41, 0x42},
		};

		p[0] = (uint8_t) (first >> 8);
		p[1] = (uint8_t) first;
		for (int tail = 0; tail < 5; tail++)
		{
			memcpy(p + 2, tails[tail], 2);
			for (size_t n = 1; n <= 4; n++)
				wrong += utf8_valid(p, n) != utf8_valid_slowly(p, n);
		}
	}
	is_int(wrong, 0, "agrees with the definition");
}

static bool
read_all_kinds(void)
{
	uint8_t bytes[64];
	size_t n = from_hex("9f 7f 6161 6162 ff 5f 4101 ff a1 01 8182838485868788 "
						"8181818181818181 8101 00000000000000000000000000000000"
						"00000000000000000000000000000000 ff", bytes,
						sizeof(bytes));
	CborReader reader;
	CborToken tok;
	CborError error;

	cbor_reader_init(&reader, bytes, n, 100, failing_realloc);
	while (cbor_next(&reader, &tok))
		;
	error = reader.error;
	cbor_reader_free(&reader);
	if (error != CBOR_OK && error != CBOR_NO_MEMORY)
		abort();
	return error == CBOR_OK;
}

int
main(void)
{
	test_appendix_a();
	test_unusual();
	test_typed();
	test_malformed();
	test_depth();
	test_skip();
	test_writing();
	test_writing_limit();
	test_utf8();
	check_out_of_memory(read_all_kinds, "read");
	return done_testing();
}
