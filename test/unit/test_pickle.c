/* Tests of core/pickle: known pickles byte for byte, and hostile ones. */
#include "tap.h"

#include "core/cbor.h"
#include "core/pickle.h"

static void
check_call(const char *cbor, const char *pickle)
{
	uint8_t in[256];
	uint8_t want[256];
	size_t nin = from_hex(cbor, in, sizeof(in));
	size_t nwant = from_hex(pickle, want, sizeof(want));
	Buf out;

	buf_init(&out, 0, NULL);
	is_text(pickle_from_cbor_call(&out, in, nin), NULL, cbor);
	is_bytes(out.data, out.len, want, nwant, pickle);
	buf_free(&out);
}

static void
check_bad_call(const char *cbor, const char *want)
{
	uint8_t in[256];
	size_t n = from_hex(cbor, in, sizeof(in));
	Buf out;

	buf_init(&out, 0, NULL);
	is_text(pickle_from_cbor_call(&out, in, n), want, cbor);
	buf_free(&out);
}

static void
check_value(const char *pickle, const char *cbor)
{
	uint8_t in[256];
	uint8_t want[256];
	size_t nin = from_hex(pickle, in, sizeof(in));
	size_t nwant = from_hex(cbor, want, sizeof(want));
	Buf out;

	buf_init(&out, 0, NULL);
	is_text(pickle_to_cbor(&out, in, nin), NULL, pickle);
	is_bytes(out.data, out.len, want, nwant, cbor);
	buf_free(&out);
}

static void
check_bad_value(const char *pickle, const char *want)
{
	uint8_t in[256];
	size_t n = from_hex(pickle, in, sizeof(in));
	Buf out;

	buf_init(&out, 0, NULL);
	is_text(pickle_to_cbor(&out, in, n), want, pickle);
	buf_free(&out);
}

static void
test_calls(void)
{
	check_call("8280a0", "80 04 29 7d 86 2e");
	check_call("82816568656c6c6fa1616b02",
			   "80 04 8c 05 68 65 6c 6c 6f 85 7d 8c 01 6b 4b 02 73 86 2e");
	/* tuples of 2, 3, 4; integers at the borders of their forms */
	check_call("82 82 18ff 190100 a0", "80 04 4bff 4d0001 86 7d 86 2e");
	check_call("82 83 19ffff 1a00010000 1a7fffffff a0",
			   "80 04 4dffff 4a00000100 4affffff7f 87 7d 86 2e");
	check_call("82 84 20 3a7fffffff 3a80000000 1a80000000 a0",
			   "80 04 28 4affffffff 4a00000080 8a05ffffff7fff "
			   "8a050000008000 74 7d 86 2e");
	check_call("82 81 1bffffffffffffffff a0",
			   "80 04 8a09ffffffffffffffff00 85 7d 86 2e");
	check_call("82 81 3bffffffffffffffff a0",
			   "80 04 8a090000000000000000ff 85 7d 86 2e");
	/* bignums, with useless zeros, too */
	check_call("82 82 c240 c34100 a0", "80 04 8a0100 8a01ff 86 7d 86 2e");
	check_call("82 81 c2 4a 0001000000000000 0000 a0",
			   "80 04 8a09 000000000000000001 85 7d 86 2e");
	/* constants, floats (big-endian), strings, bytes */
	check_call("82 84 f6 f7 f5 f4 a0", "80 04 28 4e 4e 88 89 74 7d 86 2e");
	check_call("82 81 f93e00 a0", "80 04 47 3ff8000000000000 85 7d 86 2e");
	check_call("82 82 60 420102 a0", "80 04 8c00 43020102 86 7d 86 2e");
	/* lists and maps by size, and of unknown size */
	check_call("82 83 80 8101 820102 a0",
			   "80 04 5d 5d4b0161 5d284b014b0265 87 7d 86 2e");
	check_call("82 81 9f01ff bf6161016162 02ff",
			   "80 04 5d284b0165 85 7d28 8c01614b01 8c01624b02 75 86 2e");
	check_call("9f 9f01ff bfff ff", "80 04 28 4b01 74 7d2875 86 2e");
	/* sets; keys and elements are hashable */
	check_call("82 82 d9010280 d901028101 a0",
			   "80 04 8f 8f284b0190 86 7d 86 2e");
	check_call("82 81 a1 820102 03 a0",
			   "80 04 7d 4b014b0286 4b03 73 85 7d 86 2e");
	check_call("82 81 d9010282 80 d9010280 a0",
			   "80 04 8f 28 29 2891 90 85 7d 86 2e");
	/* self-described CBOR */
	check_call("82 81 d9d9f701 a0", "80 04 4b01 85 7d 86 2e");
}

static void
test_bad_calls(void)
{
	const char *call = "a call must be an array of arguments and a map";
	const char *time = "a timestamp is beyond the years 1 to 9999";

	check_bad_call("", "unexpected end of CBOR data");
	check_bad_call("80", call);
	check_bad_call("8180", call);
	check_bad_call("8280", "unexpected end of CBOR data");
	check_bad_call("82a0", "unexpected end of CBOR data");
	check_bad_call("83 80 a0 01", call);
	check_bad_call("82 a0 a0", call);
	check_bad_call("82 80 80", call);
	check_bad_call("9f 80 a0 01 ff", call);
	check_bad_call("82 80 a0 00", "unexpected bytes after CBOR data");
	check_bad_call("82 80 a1 01 02", "names of keyword arguments must be text");
	check_bad_call("82 81 a1 a0 01 a0",
				   "a map cannot be a key or an element of a set");
	check_bad_call("82 81 d9010281 81a0 a0",
				   "a map cannot be a key or an element of a set");
	check_bad_call("82 81 d9010201 a0", "a set is malformed");
	check_bad_call("82 81 d820 6161 a0",
				   "a value has a CBOR tag without equivalent in pickle");
	check_bad_call("82 81 e0 a0",
				   "a CBOR simple value has no equivalent in pickle");
	check_bad_call("82 81 c201 a0", "a large integer is malformed");
	check_bad_call("82 81 c401 a0", "a decimal number is malformed");
	check_bad_call("82 81 c48101 a0", "a decimal number is malformed");
	check_bad_call("82 81 c483010203 a0", "a decimal number is malformed");
	check_bad_call("82 81 c48260 01 a0", "a decimal number is malformed");
	check_bad_call("82 81 d825 4101 a0", "a UUID is malformed");
	check_bad_call("82 81 d903ec 6161 a0",
				   "a date is malformed or beyond the years 1 to 9999");
	check_bad_call("82 81 c0 01 a0",
				   "a timestamp is malformed or beyond the years 1 to 9999");
	check_bad_call("82 81 c1 60 a0", "a timestamp is malformed");
	check_bad_call("82 81 c1 f97e00 a0", time);
	check_bad_call("82 81 c1 1bffffffffffffffff a0", time);
	check_bad_call("82 81 c1 3bffffffffffffffff a0", time);
}

static void
test_values(void)
{
	check_value("8004 4e 2e", "f6");
	check_value("8002 88 2e", "f5");
	check_value("8005 8a00 2e", "00");
	check_value("8004 8a01ff 2e", "20");
	check_value("8004 8a02ff00 2e", "18ff");
	check_value("8004 8a080000000000000080 2e", "3b7fffffffffffffff");
	check_value("8004 8a09000000000000008000 2e", "1b8000000000000000");
	check_value("8004 8a0900000000000000 80ff 2e", "3b7fffffffffffffff");
	check_value("8004 8a0a0000000000000000 0100 2e", "c249010000000000000000");
	check_value("8004 8a0a0000000000000000 00ff 2e",
				"c349ffffffffffffffffff");
	check_value("8004 47 3ff8000000000000 2e", "fb3ff8000000000000");
	check_value("8004 47 7ff0000000000000 2e", "f97c00");
	/* frames and memo, as Python writes ['a', 'a'] */
	check_value("8004 95 0e00000000000000 5d 94 28 8c0161 94 68 01 65 2e",
				"8261616161");
	/* the same in protocol 2 */
	check_value("8002 5d 7100 28 58010000 0061 7101 6801 65 2e", "8261616161");
	check_value("8002 4b01 7203000000 30 6a03000000 2e", "01");
	/* stack play: DUP, POP, POP of a MARK, POP_MARK */
	check_value("8004 4b01 32 86 2e", "820101");
	check_value("8004 4b01 4b02 30 28 30 28 4b03 4b04 31 2e", "01");
	/* containers from marks; sets */
	check_value("8002 28 4b01 4b02 6c 2e", "820102");
	check_value("8002 28 4b01 4b02 64 2e", "a10102");
	check_value("8004 8f 28 4b01 90 2e", "d901028101");
	check_value("8004 28 4b01 91 2e", "d901028101");
	check_value("8005 96 0200000000000000 0102 2e", "420102");
	/* datetime(2024, 2, 29, 23, 59, 58, 7, timezone(timedelta(0, 3600))), fold=1 */
	check_value("8004 8c08 6461746574696d65 8c08 6461746574696d65 93"
				"430a 07e8 82 1d 17 3b 3a 000007"
				"8c08 6461746574696d65 8c08 74696d657a6f6e65 93"
				"8c08 6461746574696d65 8c09 74696d6564656c7461 93"
				"4b00 4d100e 4b00 87 52 85 52 86 52 2e",
				"c0 7820 323032342d30322d32395432333a35393a35382e3030"
				"303030372b30313a3030");
	/* time zones with seconds are turned into UTC */
	check_value("8004 8c08 6461746574696d65 8c08 6461746574696d65 93"
				"430a 07e8 01 01 00 00 00 000000"
				"8c08 6461746574696d65 8c08 74696d657a6f6e65 93"
				"8c08 6461746574696d65 8c09 74696d6564656c7461 93"
				"4b00 4b01 86 52 85 52 86 52 2e",
				"c0 74 323032332d31322d33315432333a35393a35395a");
	/* Decimal("-1.50"), uuid.UUID(int=1) */
	check_value("8004 8c07 646563696d616c 8c07 446563696d616c 93"
				"8c05 2d312e3530 85 52 2e", "c4 82 21 3895");
	check_value("8004 8c04 75756964 8c04 55554944 93 29 81 7d 8c03 696e74"
				"4b01 73 62 2e", "d825 5000000000000000000000000000000001");
	/* UUID of its digits, which is how we write it; with hyphens */
	check_value("8004 8c04 75756964 8c04 55554944 93 8c20"
				"3030303130323033303430353036303730383039304130623063306430653066"
				"85 52 2e", "d825 50 000102030405060708090a0b0c0d0e0f");
	check_value("8004 8c04 75756964 8c04 55554944 93 8c24"
				"30303031303230332d303430352d303630372d303830392d304130623063306430653066"
				"85 52 2e", "d825 50 000102030405060708090a0b0c0d0e0f");
}

static void
test_bad_values(void)
{
	const char *truncated = "unexpected end of pickle";
	const char *malformed = "malformed pickle";

	check_bad_value("", truncated);
	check_bad_value("80", truncated);
	check_bad_value("8004", truncated);
	check_bad_value("8004 4e", truncated);
	check_bad_value("8004 8c0561 2e", truncated);
	check_bad_value("8004 8dffffffffffffffff61 2e", truncated);
	check_bad_value("8004 8bffffff7f 2e", truncated);
	check_bad_value("8004 63 6162", truncated);
	check_bad_value("8001 4e 2e", "unsupported pickle protocol");
	check_bad_value("8006 4e 2e", "unsupported pickle protocol");
	check_bad_value("8004 2e", malformed);
	check_bad_value("8004 28 2e", malformed);
	check_bad_value("8004 4b01 28 2e", malformed);
	check_bad_value("8004 30 2e", malformed);
	check_bad_value("8004 31 2e", malformed);
	check_bad_value("8004 32 2e", malformed);
	check_bad_value("8004 85 2e", malformed);
	check_bad_value("8004 4b01 28 85 2e", malformed);
	check_bad_value("8004 74 2e", malformed);
	check_bad_value("8004 61 2e", malformed);
	check_bad_value("8004 4b01 61 2e", malformed);
	check_bad_value("8004 4b01 4b02 61 2e", malformed);
	check_bad_value("8004 7d 4b01 61 2e", malformed);
	check_bad_value("8004 5d 4b01 4b02 73 2e", malformed);
	check_bad_value("8004 28 90 2e", malformed);
	check_bad_value("8004 7d 28 4b01 75 2e", malformed);
	check_bad_value("8004 28 4b01 64 2e", malformed);
	check_bad_value("8004 6800 2e", malformed);
	check_bad_value("8004 4e 94 6801 2e", malformed);
	check_bad_value("8004 4e 72ffffffff 2e", malformed);
	check_bad_value("8004 94 2e", malformed);
	check_bad_value("8004 93 2e", malformed);
	check_bad_value("8004 4b01 4b02 93 2e", malformed);
	check_bad_value("8004 52 2e", malformed);
	check_bad_value("8004 4b01 52 2e", malformed);
	check_bad_value("8004 4b01 4b02 52 2e", malformed);
	check_bad_value("8004 4b01 62 2e", malformed);
	check_bad_value("8004 8c01ff 2e", "invalid UTF-8 in pickled text");
	check_bad_value("8004 8c03eda080 2e", "invalid UTF-8 in pickled text");
	check_bad_value("8004 8c0178 51 2e", "reference to a Modal object in pickle");
	check_bad_value("8004 97 2e", "unsupported opcode in pickle");
	check_bad_value("8004 4b01 29 52 2e",
					"object of class without a name in pickle");
	/* os.system is a name, not to be called */
	check_bad_value("8004 63 6f730a 73797374656d0a 8c026c73 85 52 2e",
					"object of class os.system in pickle");
	/* datetime.date with month 13; datetime of three bytes; UUID without int */
	check_bad_value("8004 63 6461746574696d650a 646174650a 4304 07e8 0d 01 85 52 2e",
					"malformed date in pickle");
	check_bad_value("8004 63 6461746574696d650a 6461746574696d650a 4303 07e80d 85 52 2e",
					"malformed datetime in pickle");
	check_bad_value("8004 63 757569640a 555549440a 29 81 7d 62 2e",
					"malformed UUID in pickle");
	check_bad_value("8004 63 757569640a 555549440a 29 81 2e",
					"malformed UUID in pickle");
	check_bad_value("8004 63 757569640a 555549440a 8c0130 85 52 2e",
					"malformed UUID in pickle");
	check_bad_value("8004 63 757569640a 555549440a 8c21"
					"3030303130323033303430353036303730383039304130623063306430653066"
					"30 85 52 2e",
					"malformed UUID in pickle");
	check_bad_value("8004 63 757569640a 555549440a 8c20"
					"6730303130323033303430353036303730383039304130623063306430653066"
					"85 52 2e",
					"malformed UUID in pickle");
	check_bad_value("8004 63 646563696d616c0a 446563696d616c0a 8c0178 85 52 2e",
					"malformed or too large Decimal in pickle");
	check_bad_value("8004 63 646563696d616c0a 446563696d616c0a 29 52 2e",
					"malformed Decimal in pickle");
	/* a datetime whose time zone is a number */
	check_bad_value("8004 63 6461746574696d650a 6461746574696d650a"
					"430a 07e8 01 01 00 00 00 000000 4b01 86 52 2e",
					"datetime with an unsupported time zone in pickle");
	/* latin-1 text with a character beyond it */
	check_bad_value("8002 63 5f636f646563730a 656e636f64650a"
					"58 03000000 e282ac 58 06000000 6c6174696e31 86 52 2e",
					"malformed bytes in pickle");
}

/* A text is kept before what could not be read. */
static void
test_appended(void)
{
	Buf out;

	buf_init(&out, 0, NULL);
	buf_put_cstr(&out, "before");
	is_text(pickle_to_cbor(&out, "\x80\4Nc" "a\nb\n\x86.", 10),
			"object of class a.b in pickle", "an error after a part");
	is_bytes(out.data, 6, "before", 6, "what was there before is still");
	buf_free(&out);
}

static void
test_too_many(void)
{
	size_t n = PICKLE_MAX_VALUES + 100;
	uint8_t *p = malloc(n);
	Buf out;

	buf_init(&out, 0, NULL);
	for (int op = 0; op < 2; op++)
	{
		memset(p, "N("[op], n);
		p[0] = 0x80;
		p[1] = 4;
		is_text(pickle_to_cbor(&out, p, n),
				"out of memory, or too many values in pickle",
				op == 0 ? "too many values" : "too many marks");
	}
	buf_free(&out);
	free(p);
}

static void
put_repeated(Buf *out, const char *ops, size_t n, int times)
{
	while (times-- > 0)
		buf_put(out, ops, n);
}

/* Text that begins with some characters and goes on with one. */
static void
put_text(Buf *out, const char *start, char rest, uint32_t n)
{
	buf_put_u8(out, 'X');
	buf_put(out, &n, 4);
	buf_put_cstr(out, start);
	put_repeated(out, &rest, 1, (int) (n - strlen(start)));
}

static void
check_work(Buf *pickle, const char *want, const char *name)
{
	Buf out;

	buf_init(&out, 0, NULL);
	is_text(pickle_to_cbor(&out, pickle->data, pickle->len), want, name);
	ok(out.len <= 16 * 1024 * 1024, "%s: memory", name);
	buf_free(&out);
	buf_reset(pickle);
}

/* A list of one object, which a class makes of the text, 20,000 times. */
static void
check_shared_object(const char *class, const char *start, char rest,
					const char *name)
{
	Buf pickle;

	buf_init(&pickle, 0, NULL);
	buf_put_cstr(&pickle, "\x80\4](c");
	buf_put_cstr(&pickle, class);
	put_text(&pickle, start, rest, 100000);
	buf_put_cstr(&pickle, "\x85R\x94");
	put_repeated(&pickle, "h\0", 2, 20000);
	buf_put_cstr(&pickle, "e.");
	check_work(&pickle, "out of memory, or too large a value in pickle", name);
	buf_free(&pickle);
}

/* Small pickles that say much: what is shared, and long numbers. */
static void
test_work(void)
{
	const char *too_large = "out of memory, or too large a value in pickle";
	const char digits[] = "00112233445566778899aabbccddeeff";
	Buf pickle;

	buf_init(&pickle, 0, NULL);
	/* [None, None], doubled 22 times */
	buf_put_cstr(&pickle, "\x80\4]NaNa");
	for (int i = 0; i < 22; i++)
	{
		const char twice[] = {'\x94', '0', ']', 'h', (char) i, 'a',
							  'h', (char) i, 'a'};

		buf_put(&pickle, twice, sizeof(twice));
	}
	buf_put_u8(&pickle, '.');
	check_work(&pickle, too_large, "lists in lists");

	/* [[0.0] * 768] * 1000, as somebody may return it */
	buf_put_cstr(&pickle, "\x80\4](](");
	put_repeated(&pickle, "G\0\0\0\0\0\0\0\0", 9, 768);
	buf_put_cstr(&pickle, "e\x94");
	put_repeated(&pickle, "h\0", 2, 999);
	buf_put_cstr(&pickle, "e.");
	check_work(&pickle, NULL, "a row, repeated");

	check_shared_object("decimal\nDecimal\n", "0E", '0', "an exponent's zeros");
	check_shared_object("uuid\nUUID\n", digits, '-', "a UUID's hyphens");

	/* UUID with a state of 10,000 members, 20,000 times */
	buf_put_cstr(&pickle, "\x80\4](cuuid\nUUID\n)R}(");
	put_repeated(&pickle, "NN", 2, 9999);
	buf_put(&pickle, "\x8c\3intK\1ub\x94", 10);
	put_repeated(&pickle, "h\0", 2, 20000);
	buf_put_cstr(&pickle, "e.");
	check_work(&pickle, too_large, "a UUID's state");

	buf_put_cstr(&pickle, "\x80\4cdecimal\nDecimal\n");
	put_text(&pickle, "1", '1', 10000);
	buf_put_cstr(&pickle, "\x85R.");
	check_work(&pickle, NULL, "a number of 10,000 digits");
	buf_put_cstr(&pickle, "\x80\4cdecimal\nDecimal\n");
	put_text(&pickle, "1", '1', 100000);
	buf_put_cstr(&pickle, "\x85R.");
	check_work(&pickle, "malformed or too large Decimal in pickle",
			   "a number of 100,000 digits");
	buf_free(&pickle);
}

/* [[Decimal of so many bytes, …], {}] */
static void
check_long_numbers(uint16_t n, uint16_t count, const char *want,
				   const char *name)
{
	const uint8_t head[] = {0x82, 0x99, (uint8_t) (count >> 8), (uint8_t) count};
	const uint8_t number[] = {0xc4, 0x82, 0x21, 0xc2, 0x59, (uint8_t) (n >> 8),
							  (uint8_t) n};
	Buf call;
	Buf out;

	buf_init(&call, 0, NULL);
	buf_init(&out, 0, NULL);
	buf_put(&call, head, sizeof(head));
	while (count-- > 0)
	{
		buf_put(&call, number, sizeof(number));
		put_repeated(&call, "\xff", 1, n);
	}
	buf_put_u8(&call, 0xa0);
	is_text(pickle_from_cbor_call(&out, call.data, call.len), want, name);
	buf_free(&call);
	buf_free(&out);
}

static void
test_call_work(void)
{
	const char *too_large = "a decimal number is too large";

	check_long_numbers(4000, 1, NULL, "a number of 9,600 digits");
	check_long_numbers(12, 60000, NULL, "60,000 numbers of 29 digits");
	check_long_numbers(50000, 1, too_large, "a number of 120,000 digits");
	check_long_numbers(4000, 500, too_large, "500 numbers of 9,600 digits");
}

/* Exceptions of classes that travel by value, as cloudpickle has them. */
static void
test_exception(void)
{
	/* _make_skeleton_class(type, "Mine", (), {}, "id", None)("x", 2) */
	static const char skeleton[] =
		"\x80\4c" "modal._vendor.cloudpickle\n_make_skeleton_class\n"
		"(c" "builtins\ntype\n\x8c\4Mine)}\x8c\2idNtR"
		"\x8c\1xK\2\x86R.";
	Buf type;
	Buf text;

	buf_init(&type, 0, NULL);
	buf_init(&text, 0, NULL);
	ok(pickle_exception(skeleton, sizeof(skeleton) - 1, &type, &text),
	   "an exception of a class by value");
	is_text(buf_cstr(&type), "Mine", "its class");
	is_text(buf_cstr(&text), "('x', 2)", "its text");
	ok(!pickle_exception("\x80\4", 2, &type, &text), "not of a cut pickle");
	buf_free(&type);
	buf_free(&text);
}

/* An exception of which only so much is shown, however much there is. */
static void
test_long_exception(void)
{
	Buf pickle;
	Buf type;
	Buf text;

	buf_init(&pickle, 0, NULL);
	buf_init(&type, 0, NULL);
	buf_init(&text, 0, NULL);
	buf_put_cstr(&pickle, "\x80\4cbuiltins\nValueError\n(");
	put_text(&pickle, "x", 'y', 9000);
	buf_put_u8(&pickle, (uint8_t) '\x94');
	put_repeated(&pickle, "h\0", 2, 1000);
	buf_put_cstr(&pickle, "tR.");
	ok(pickle_exception(pickle.data, pickle.len, &type, &text),
	   "an exception with many arguments");
	is_text(buf_cstr(&type), "ValueError", "its class");
	ok(text.len < 20100, "%zu bytes of its text", text.len);
	ok(strcmp(buf_cstr(&text) + text.len - 6, ", ...)") == 0, "which says so");
	buf_free(&pickle);
	buf_free(&type);
	buf_free(&text);
}

/* Two datetimes, a date, a Decimal, a set, a bignum, bytes; a UUID; keywords. */
#define SEVEN \
	"c0 7819 323032342d30322d32395432333a35393a35382b30313a3030" \
	"c1 1a514b67b0" \
	"d903ec 6a 323032342d30322d3239" \
	"c4 82 20 c349ffffffffffffffffff" \
	"d90102 82 01 820203" \
	"c2 49 010000000000000000" \
	"5f 4101 4102 ff"
#define UUID "d825 50 000102030405060708090a0b0c0d0e0f"
#define KEYWORDS "a1 6161 9f f93e00 8181818181818181818180 ff"

static bool
write_call(void)
{
	uint8_t in[256];
	size_t n = from_hex("82 88" SEVEN UUID KEYWORDS, in, sizeof(in));
	const char *error;
	Buf out;

	buf_init(&out, 0, failing_realloc);
	error = pickle_from_cbor_call(&out, in, n);
	buf_free(&out);
	return error == NULL;
}

static bool
read_value(void)
{
	uint8_t in[256];
	size_t n = from_hex("82 88" SEVEN UUID KEYWORDS, in, sizeof(in));
	const char *error;
	Buf pickle;
	Buf out;

	buf_init(&pickle, 0, NULL);
	buf_init(&out, 0, failing_realloc);
	if (pickle_from_cbor_call(&pickle, in, n) != NULL)
		abort();
	error = pickle_to_cbor(&out, pickle.data, pickle.len);
	buf_free(&pickle);
	buf_free(&out);
	return error == NULL;
}

int
main(void)
{
	test_calls();
	test_bad_calls();
	test_values();
	test_bad_values();
	test_appended();
	test_too_many();
	test_work();
	test_call_work();
	test_exception();
	test_long_exception();
	check_out_of_memory(write_call, "write");
	check_out_of_memory(read_value, "read");
	return done_testing();
}
