/*-------------------------------------------------------------------------
 *
 * pickle_write.c
 *	  Calls in CBOR to pickles that Python's unpickler reads.
 *
 * One pass over the CBOR tokens, without a memo.  A container whose size is
 * known and small is written in its short form; for the others a MARK opens
 * and an opcode closes, so only that opcode is remembered per open container.
 *
 *-------------------------------------------------------------------------
 */
#include "core/pickle.h"

#include <math.h>

#include "core/bignum.h"
#include "core/cbor.h"
#include "core/datetime.h"
#include "core/pickle_opcodes.h"

/* Containers to write. */
typedef enum Shape
{
	SHAPE_TUPLE,
	SHAPE_LIST,
	SHAPE_DICT,
	SHAPE_SET,
	SHAPE_FROZENSET
} Shape;

/* An open container. */
typedef struct Level
{
	uint8_t close;	 /* the opcode that ends it, or 0 */
	bool hashable;	 /* what it holds must be hashable in Python */
} Level;

typedef struct Writer
{
	Buf *out;
	CborReader in;
	Buf levels; /* of Level */
	uint64_t limit; /* pickle_work */
	uint64_t work;	/* of long numbers */
	const char *error;
} Writer;

static bool
fail(Writer *w, const char *error)
{
	w->error = error;
	return false;
}

/* The next token, where one must follow. */
static bool
next(Writer *w, CborToken *tok)
{
	if (cbor_next(&w->in, tok))
		return true;
	return fail(w, cbor_error_text(w->in.error));
}

static void
put_op(Writer *w, uint8_t op)
{
	buf_put_u8(w->out, op);
}

/* The n lowest bytes of v, lowest first. */
static void
put_le(Writer *w, uint64_t v, int n)
{
	for (int i = 0; i < n; i++)
		buf_put_u8(w->out, (uint8_t) (v >> (8 * i)));
}

/* --- scalars ---------------------------------------------------------------- */

/* Text or bytes, each with three opcodes by the size of its length. */
static void
put_string(Writer *w, uint8_t op8, uint8_t op32, uint8_t op64, const void *p,
		   size_t n)
{
	if (n <= UINT8_MAX)
	{
		put_op(w, op8);
		put_le(w, n, 1);
	}
	else if (n <= UINT32_MAX)
	{
		put_op(w, op32);
		put_le(w, n, 4);
	}
	else
	{
		put_op(w, op64);
		put_le(w, n, 8);
	}
	buf_put(w->out, p, n);
}

static void
put_text(Writer *w, const void *p, size_t n)
{
	put_string(w, OP_SHORT_BINUNICODE, OP_BINUNICODE, OP_BINUNICODE8, p, n);
}

static void
put_bytes(Writer *w, const void *p, size_t n)
{
	put_string(w, OP_SHORT_BINBYTES, OP_BINBYTES, OP_BINBYTES8, p, n);
}

/* The integer v or -1 - v; v in n bytes, highest first. */
static bool
put_long(Writer *w, bool negative, const uint8_t *v, size_t n)
{
	uint8_t flip = negative ? 0xff : 0;
	bool sign_byte;

	while (n > 0 && v[0] == 0)
	{
		v++;
		n--;
	}

	/* Two's complement of -1 - v is v with all bits flipped. */
	sign_byte = n > 0 && (v[0] & 0x80) != 0;
	if (n + sign_byte > INT32_MAX)
		return fail(w, "an integer is too large");
	if (n == 0)
		sign_byte = true;
	if (n + sign_byte <= UINT8_MAX)
	{
		put_op(w, OP_LONG1);
		put_le(w, n + sign_byte, 1);
	}
	else
	{
		put_op(w, OP_LONG4);
		put_le(w, n + sign_byte, 4);
	}
	while (n-- > 0)
		buf_put_u8(w->out, v[n] ^ flip);
	if (sign_byte)
		buf_put_u8(w->out, flip);
	return true;
}

/* The integer v or -1 - v. */
static bool
put_int(Writer *w, bool negative, uint64_t v)
{
	if (v <= INT32_MAX && (negative || v > UINT16_MAX))
	{
		put_op(w, OP_BININT);
		put_le(w, negative ? ~v : v, 4);
	}
	else if (v <= UINT8_MAX)
	{
		put_op(w, OP_BININT1);
		put_le(w, v, 1);
	}
	else if (v <= UINT16_MAX)
	{
		put_op(w, OP_BININT2);
		put_le(w, v, 2);
	}
	else
	{
		uint8_t bytes[8];

		for (int i = 0; i < 8; i++)
			bytes[i] = (uint8_t) (v >> (56 - 8 * i));
		return put_long(w, negative, bytes, sizeof(bytes));
	}
	return true;
}

static void
put_double(Writer *w, double d)
{
	uint64_t bits;

	memcpy(&bits, &d, sizeof(bits));
	put_op(w, OP_BINFLOAT);
	for (int shift = 56; shift >= 0; shift -= 8)
		buf_put_u8(w->out, (uint8_t) (bits >> shift));
}

/* A class; calling it takes a tuple and OP_REDUCE. */
static void
put_global(Writer *w, const char *module, const char *name)
{
	put_op(w, OP_GLOBAL);
	buf_printf(w->out, "%s\n%s\n", module, name);
}

/* --- tagged values ------------------------------------------------------------ */

static bool
write_datetime(Writer *w, const DateTime *t)
{
	uint8_t state[10] = {
		(uint8_t) (t->year >> 8), (uint8_t) t->year, (uint8_t) t->month,
		(uint8_t) t->day, (uint8_t) t->hour, (uint8_t) t->minute,
		(uint8_t) t->second, (uint8_t) (t->micros >> 16),
		(uint8_t) (t->micros >> 8), (uint8_t) t->micros,
	};

	put_global(w, "datetime", "datetime");
	put_bytes(w, state, sizeof(state));
	if (t->aware)
	{
		int seconds = t->utc_offset * 60;

		put_global(w, "datetime", "timezone");
		put_global(w, "datetime", "timedelta");
		put_int(w, false, 0);
		put_int(w, seconds < 0, seconds < 0 ? -1 - seconds : seconds);
		put_op(w, OP_TUPLE2);
		put_op(w, OP_REDUCE);
		put_op(w, OP_TUPLE1);
		put_op(w, OP_REDUCE);
		put_op(w, OP_TUPLE2);
	}
	else
		put_op(w, OP_TUPLE1);
	put_op(w, OP_REDUCE);
	return true;
}

static bool
write_datetime_text(Writer *w)
{
	CborToken tok;
	DateTime t;

	if (!next(w, &tok))
		return false;
	if (tok.kind != CBOR_TEXT ||
		!datetime_parse((const char *) tok.p, tok.n, &t))
		return fail(w, "a timestamp is malformed or beyond the years 1 to 9999");
	return write_datetime(w, &t);
}

/* Seconds since 1970, as integer or double. */
static bool
write_epoch(Writer *w)
{
	const double limit = 1e13; /* seconds, beyond all that datetime holds */
	double seconds;
	CborToken tok;
	DateTime t;

	if (!next(w, &tok))
		return false;
	if (tok.kind == CBOR_UINT)
		seconds = (double) tok.u;
	else if (tok.kind == CBOR_NINT)
		seconds = -1.0 - (double) tok.u;
	else if (tok.kind == CBOR_DOUBLE)
		seconds = tok.d;
	else
		return fail(w, "a timestamp is malformed");
	if (!(fabs(seconds) < limit) ||
		!datetime_from_epoch(llrint(seconds * 1e6), &t))
		return fail(w, "a timestamp is beyond the years 1 to 9999");
	return write_datetime(w, &t);
}

static bool
write_date_text(Writer *w)
{
	CborToken tok;
	DateTime t;

	if (!next(w, &tok))
		return false;
	if (tok.kind != CBOR_TEXT || !date_parse((const char *) tok.p, tok.n, &t))
		return fail(w, "a date is malformed or beyond the years 1 to 9999");
	put_global(w, "datetime", "date");
	put_bytes(w, (uint8_t[]){(uint8_t) (t.year >> 8), (uint8_t) t.year,
							 (uint8_t) t.month, (uint8_t) t.day}, 4);
	put_op(w, OP_TUPLE1);
	put_op(w, OP_REDUCE);
	return true;
}

static bool
write_bignum(Writer *w, bool negative)
{
	CborToken tok;

	if (!next(w, &tok))
		return false;
	if (tok.kind != CBOR_BYTES)
		return fail(w, "a large integer is malformed");
	return put_long(w, negative, tok.p, tok.n);
}

/* The digits of a decimal fraction's mantissa, with a sign. */
static bool
mantissa_digits(Writer *w, Buf *digits)
{
	CborToken tok;
	uint8_t bytes[9];
	const uint8_t *p = bytes;
	size_t n = sizeof(bytes);
	bool negative;

	if (!next(w, &tok))
		return false;
	negative = tok.kind == CBOR_NINT ||
		(tok.kind == CBOR_TAG && tok.u == CBOR_TAG_NEG_BIGNUM);
	if (tok.kind == CBOR_TAG &&
		(tok.u == CBOR_TAG_BIGNUM || tok.u == CBOR_TAG_NEG_BIGNUM))
	{
		if (!next(w, &tok))
			return false;
		if (tok.kind != CBOR_BYTES)
			return fail(w, "a decimal number is malformed");
		p = tok.p;
		n = tok.n;
	}
	else if (tok.kind == CBOR_UINT || tok.kind == CBOR_NINT)
	{
		bytes[0] = 0;
		for (int i = 0; i < 8; i++)
			bytes[i + 1] = (uint8_t) (tok.u >> (56 - 8 * i));
	}
	else
		return fail(w, "a decimal number is malformed");

	/* a byte is 2.4 digits */
	w->work += (uint64_t) n * n * 6 / PICKLE_WRITE_DIGITS;
	if (w->work > w->limit)
		return fail(w, "a decimal number is too large");
	if (negative)
	{
		/* -1 - v has the digits of v + 1. */
		Buf sum;
		bool good;
		size_t i = n;

		buf_init(&sum, 0, w->out->grow);
		buf_put_u8(&sum, 0);
		buf_put(&sum, p, n);
		while (!sum.failed && ++sum.data[i] == 0)
			i--;
		buf_put_u8(digits, '-');
		good = !sum.failed && bignum_to_digits(digits, sum.data, sum.len);
		buf_free(&sum);
		return good ? true : fail(w, "a decimal number is too large");
	}
	if (!bignum_to_digits(digits, p, n))
		return fail(w, "a decimal number is too large");
	return true;
}

/* [exponent, mantissa] to Decimal("…E…"). */
static bool
write_decimal(Writer *w)
{
	CborToken tok;
	CborToken exponent;
	Buf digits;
	bool good;

	if (!next(w, &tok) || !next(w, &exponent))
		return false;
	if (tok.kind != CBOR_ARRAY || exponent.u > INT32_MAX ||
		(exponent.kind != CBOR_UINT && exponent.kind != CBOR_NINT))
		return fail(w, "a decimal number is malformed");

	buf_init(&digits, 0, w->out->grow);
	good = mantissa_digits(w, &digits) && next(w, &tok);
	if (good && tok.kind != CBOR_END)
		good = fail(w, "a decimal number is malformed");
	if (good)
	{
		if (exponent.kind == CBOR_NINT)
			buf_printf(&digits, "E-%llu", (unsigned long long) exponent.u + 1);
		else if (exponent.u > 0)
			buf_printf(&digits, "E%llu", (unsigned long long) exponent.u);
		if (digits.failed)
			w->out->failed = true;
		put_global(w, "decimal", "Decimal");
		put_text(w, digits.data, digits.len);
		put_op(w, OP_TUPLE1);
		put_op(w, OP_REDUCE);
	}
	buf_free(&digits);
	return good;
}

static bool
write_uuid(Writer *w)
{
	static const char hex[] = "0123456789abcdef";
	char digits[32];
	CborToken tok;

	if (!next(w, &tok))
		return false;
	if (tok.kind != CBOR_BYTES || tok.n != 16)
		return fail(w, "a UUID is malformed");
	for (int i = 0; i < 16; i++)
	{
		digits[2 * i] = hex[tok.p[i] >> 4];
		digits[2 * i + 1] = hex[tok.p[i] & 15];
	}
	put_global(w, "uuid", "UUID");
	put_text(w, digits, sizeof(digits));
	put_op(w, OP_TUPLE1);
	put_op(w, OP_REDUCE);
	return true;
}

/* --- containers --------------------------------------------------------------- */

/* Must the item be hashable: a key, or within one, or within a set? */
static bool
must_hash(const Writer *w, const CborToken *tok)
{
	size_t n = w->levels.len / sizeof(Level);

	return tok->is_key || (n > 0 && ((Level *) w->levels.data)[n - 1].hashable);
}

static bool
open_container(Writer *w, const CborToken *tok, Shape shape)
{
	static const struct
	{
		uint8_t open; /* the empty one, or 0 */
		uint8_t add;  /* to add all since the MARK, or to make it of them */
		uint8_t add1; /* to add one item or pair, or 0 */
	} opcodes[] = {
		[SHAPE_TUPLE] = {0, OP_TUPLE, OP_TUPLE1},
		[SHAPE_LIST] = {OP_EMPTY_LIST, OP_APPENDS, OP_APPEND},
		[SHAPE_DICT] = {OP_EMPTY_DICT, OP_SETITEMS, OP_SETITEM},
		[SHAPE_SET] = {OP_EMPTY_SET, OP_ADDITEMS, 0},
		[SHAPE_FROZENSET] = {0, OP_FROZENSET, 0},
	};
	Level level = {
		.hashable = shape == SHAPE_SET || must_hash(w, tok),
	};

	if (opcodes[shape].open != 0)
		put_op(w, opcodes[shape].open);
	if (!tok->indefinite && tok->u == 0 && shape != SHAPE_FROZENSET)
	{
		if (shape == SHAPE_TUPLE)
			put_op(w, OP_EMPTY_TUPLE);
	}
	else if (!tok->indefinite && tok->u == 1 && opcodes[shape].add1 != 0)
		level.close = opcodes[shape].add1;
	else if (!tok->indefinite && tok->u <= 3 && shape == SHAPE_TUPLE)
		level.close = tok->u == 2 ? OP_TUPLE2 : OP_TUPLE3;
	else
	{
		put_op(w, OP_MARK);
		level.close = opcodes[shape].add;
	}

	buf_put(&w->levels, &level, sizeof(level));
	return w->levels.failed ? fail(w, "out of memory") : true;
}

static void
close_container(Writer *w)
{
	Level level;

	w->levels.len -= sizeof(level);
	memcpy(&level, w->levels.data + w->levels.len, sizeof(level));
	if (level.close != 0)
		put_op(w, level.close);
}

static bool
write_tag(Writer *w, const CborToken *tok)
{
	CborToken content;

	switch (tok->u)
	{
		case CBOR_TAG_DATETIME_TEXT:
			return write_datetime_text(w);
		case CBOR_TAG_EPOCH:
			return write_epoch(w);
		case CBOR_TAG_BIGNUM:
			return write_bignum(w, false);
		case CBOR_TAG_NEG_BIGNUM:
			return write_bignum(w, true);
		case CBOR_TAG_DECIMAL:
			return write_decimal(w);
		case CBOR_TAG_UUID:
			return write_uuid(w);
		case CBOR_TAG_DATE_TEXT:
			return write_date_text(w);
		case CBOR_TAG_SELF_DESCRIBED:
			return true; /* what follows is the value itself */
		case CBOR_TAG_SET:
			if (!next(w, &content))
				return false;
			if (content.kind != CBOR_ARRAY)
				return fail(w, "a set is malformed");
			return open_container(w, &content,
								  must_hash(w, &content) ? SHAPE_FROZENSET :
														   SHAPE_SET);
		default:
			return fail(w, "a value has a CBOR tag without equivalent in pickle");
	}
}

/* One token, and for tags of scalars what they tag. */
static bool
write_item(Writer *w, const CborToken *tok)
{
	switch (tok->kind)
	{
		case CBOR_UINT:
			return put_int(w, false, tok->u);
		case CBOR_NINT:
			return put_int(w, true, tok->u);
		case CBOR_BYTES:
			put_bytes(w, tok->p, tok->n);
			return true;
		case CBOR_TEXT:
			put_text(w, tok->p, tok->n);
			return true;
		case CBOR_ARRAY:
			return open_container(w, tok,
								  must_hash(w, tok) ? SHAPE_TUPLE : SHAPE_LIST);
		case CBOR_MAP:
			if (must_hash(w, tok))
				return fail(w, "a map cannot be a key or an element of a set");
			return open_container(w, tok, SHAPE_DICT);
		case CBOR_TAG:
			return write_tag(w, tok);
		case CBOR_BOOL:
			put_op(w, tok->u ? OP_NEWTRUE : OP_NEWFALSE);
			return true;
		case CBOR_NULL:
		case CBOR_UNDEFINED:
			put_op(w, OP_NONE);
			return true;
		case CBOR_SIMPLE:
			return fail(w, "a CBOR simple value has no equivalent in pickle");
		case CBOR_DOUBLE:
			put_double(w, tok->d);
			return true;
		case CBOR_END:
			close_container(w);
			return true;
	}
	return fail(w, "unknown CBOR token");
}

/* Positional or keyword arguments: the whole of a container at depth 1. */
static bool
write_arguments(Writer *w, CborKind kind, Shape shape)
{
	CborToken tok;

	if (!next(w, &tok))
		return false;
	if (tok.kind != kind)
		return fail(w, "a call must be an array of arguments and a map");
	if (!open_container(w, &tok, shape))
		return false;
	do
	{
		if (!next(w, &tok))
			return false;
		if (tok.is_key && tok.depth == 2 && tok.kind != CBOR_TEXT)
			return fail(w, "names of keyword arguments must be text");
		if (!write_item(w, &tok))
			return false;
	} while (tok.kind != CBOR_END || tok.depth != 1);
	return true;
}

static bool
write_call(Writer *w)
{
	CborToken tok;

	put_op(w, OP_PROTO);
	put_op(w, PICKLE_PROTOCOL);
	if (!next(w, &tok))
		return false;
	if (tok.kind != CBOR_ARRAY || (!tok.indefinite && tok.u != 2))
		return fail(w, "a call must be an array of arguments and a map");
	if (!write_arguments(w, CBOR_ARRAY, SHAPE_TUPLE) ||
		!write_arguments(w, CBOR_MAP, SHAPE_DICT) || !next(w, &tok))
		return false;
	if (tok.kind != CBOR_END)
		return fail(w, "a call must be an array of arguments and a map");
	if (cbor_next(&w->in, &tok) || w->in.error != CBOR_OK)
		return fail(w, cbor_error_text(w->in.error));
	put_op(w, OP_TUPLE2);
	put_op(w, OP_STOP);
	return true;
}

const char *
pickle_from_cbor_call(Buf *out, const void *p, size_t n)
{
	Writer w = {.out = out, .limit = pickle_work(n)};

	cbor_reader_init(&w.in, p, n, PICKLE_MAX_DEPTH, out->grow);
	buf_init(&w.levels, 0, out->grow);
	if (write_call(&w) && out->failed)
		w.error = "out of memory, or too large a pickle";
	cbor_reader_free(&w.in);
	buf_free(&w.levels);
	return w.error;
}
