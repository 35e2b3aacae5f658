/*-------------------------------------------------------------------------
 *
 * numbers.c
 *	  Lists of numbers, to and from arrays in memory; see numbers.h.
 *
 * The loops are made once for each type, so that what the type decides is
 * decided when they are compiled.
 *
 *-------------------------------------------------------------------------
 */
#include "core/numbers.h"

#include <endian.h>
#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>

#include "core/cbor_typed.h"

#define HEAD_NEGATIVE 0x20 /* bit of an integer's head */
#define HEAD_HALF 0xf9
#define HEAD_SINGLE 0xfa
#define HEAD_DOUBLE 0xfb
#define FIRST_LONG 24 /* of a head's low bits: the value follows */
#define LAST_LONG 27
#define INT_HEAD_MASK 0x1f

#define EXACT_DOUBLE_INT (INT64_C(1) << 53)
#define MAX_INT_DIGITS 18 /* of any int64 */
#define TYPED_HALF 80 /* float16, highest byte first */

#define SPECIALIZED static inline __attribute__((always_inline))

/* A number as it was sent. */
typedef struct Number
{
	bool is_float;
	int64_t i;
	double d;
} Number;

SPECIALIZED size_t
size_of(NumberType type)
{
	switch (type)
	{
		case NUMBER_INT2:
			return 2;
		case NUMBER_INT4:
		case NUMBER_FLOAT4:
			return 4;
		default:
			return 8;
	}
}

size_t
number_size(NumberType type)
{
	return size_of(type);
}

/* --- into memory ---------------------------------------------------------- */

/*
 * The float next to a double.  False where it is not the one that the number's
 * decimal text would give, or may not be: half way between two floats, and
 * outside of the range of normalized ones.
 */
SPECIALIZED bool
nearest_float(double d, float *f)
{
	uint64_t bits;
	const uint64_t below_float = (UINT64_C(1) << 29) - 1;
	double size = fabs(d);

	memcpy(&bits, &d, sizeof(bits));
	*f = (float) d;
	if (size >= (double) FLT_MIN && size <= (double) FLT_MAX)
		return (bits & below_float) != UINT64_C(1) << 28;
	return d == 0 || !isfinite(d);
}

bool
number_nearest_float(double d, float *f)
{
	return nearest_float(d, f);
}

SPECIALIZED bool
store_int(uint8_t *to, NumberType type, int64_t i)
{
	int16_t i2 = (int16_t) i;
	int32_t i4 = (int32_t) i;

	switch (type)
	{
		case NUMBER_INT2:
			memcpy(to, &i2, sizeof(i2));
			return i == i2;
		case NUMBER_INT4:
			memcpy(to, &i4, sizeof(i4));
			return i == i4;
		default:
			memcpy(to, &i, sizeof(i));
			return true;
	}
}

SPECIALIZED bool
store(uint8_t *to, NumberType type, const Number *v)
{
	double d;
	float f;

	if (type < NUMBER_FLOAT4)
		return !v->is_float && store_int(to, type, v->i);
	if (!v->is_float && (v->i > EXACT_DOUBLE_INT || v->i < -EXACT_DOUBLE_INT))
		return false;
	d = v->is_float ? v->d : (double) v->i;
	if (type == NUMBER_FLOAT8)
	{
		memcpy(to, &d, sizeof(d));
		return true;
	}
	if (!nearest_float(d, &f))
		return false;
	memcpy(to, &f, sizeof(f));
	return true;
}

/* --- from CBOR ------------------------------------------------------------ */

static inline uint64_t
load(const uint8_t *p, size_t size)
{
	uint16_t u2;
	uint32_t u4;
	uint64_t u8;

	switch (size)
	{
		case 1:
			return p[0];
		case 2:
			memcpy(&u2, p, sizeof(u2));
			return be16toh(u2);
		case 4:
			memcpy(&u4, p, sizeof(u4));
			return be32toh(u4);
		default:
			memcpy(&u8, p, sizeof(u8));
			return be64toh(u8);
	}
}

static inline double
load_float(uint8_t head, const uint8_t *p)
{
	uint32_t single_bits;
	uint64_t bits;
	float f;
	double d;
	CborToken tok;

	switch (head)
	{
		case HEAD_DOUBLE:
			bits = load(p, 8);
			memcpy(&d, &bits, sizeof(d));
			return d;
		case HEAD_SINGLE:
			single_bits = (uint32_t) load(p, 4);
			memcpy(&f, &single_bits, sizeof(f));
			return f;
		default:
			cbor_typed_element(TYPED_HALF, p, &tok);
			return tok.d;
	}
}

/* The number at p; where it ends, or NULL: it is none that a list may have. */
SPECIALIZED const uint8_t *
read_item(const uint8_t *p, const uint8_t *end, Number *v)
{
	uint8_t head;
	size_t size = 0;
	uint64_t u;

	if (p == end)
		return NULL;
	head = *p++;
	v->is_float = head >= HEAD_HALF && head <= HEAD_DOUBLE;
	if (v->is_float)
		size = (size_t) 2 << (head - HEAD_HALF);
	else if ((head & ~(HEAD_NEGATIVE | INT_HEAD_MASK)) != 0 ||
			 (head & INT_HEAD_MASK) > LAST_LONG)
		return NULL;
	else if ((head & INT_HEAD_MASK) >= FIRST_LONG)
		size = (size_t) 1 << ((head & INT_HEAD_MASK) - FIRST_LONG);
	if (size > (size_t) (end - p))
		return NULL;
	if (v->is_float)
		v->d = load_float(head, p);
	else
	{
		u = size > 0 ? load(p, size) : head & INT_HEAD_MASK;
		if (u > INT64_MAX)
			return NULL;
		v->i = (head & HEAD_NEGATIVE) != 0 ? -1 - (int64_t) u : (int64_t) u;
	}
	return p + size;
}

SPECIALIZED const uint8_t *
read_typed(uint8_t tag, const uint8_t *p, Number *v)
{
	CborToken tok;

	cbor_typed_element(tag, p, &tok);
	v->is_float = tok.kind == CBOR_DOUBLE;
	if (v->is_float)
		v->d = tok.d;
	else if (tok.u > INT64_MAX)
		return NULL;
	else
		v->i = tok.kind == CBOR_UINT ? (int64_t) tok.u : -1 - (int64_t) tok.u;
	return p + cbor_typed_size(tag);
}

/*
 * As many items of 64 bits as come next, up to n: what lists of floats nearly
 * always are made of.  Returns how many.
 */
SPECIALIZED uint64_t
read_doubles(const uint8_t *p, const uint8_t *end, uint8_t *to, NumberType type,
			 uint64_t n)
{
	const size_t item = 1 + sizeof(double);
	Number v = {true, 0, 0};
	uint64_t i;

	if (n > (uint64_t) (end - p) / item)
		n = (uint64_t) (end - p) / item;
	for (i = 0; i < n && *p == HEAD_DOUBLE; i++, p += item, to += size_of(type))
	{
		v.d = load_float(HEAD_DOUBLE, p + 1);
		if (!store(to, type, &v))
			break;
	}
	return i;
}

SPECIALIZED const uint8_t *
read_list(uint8_t *to, NumberType type, const CborReader *r,
		  const CborToken *list)
{
	const uint8_t *p = r->p;
	uint64_t i = 0;
	Number v = {false, 0, 0};

	if (list->typed == 0 && type >= NUMBER_FLOAT4)
		i = read_doubles(p, r->end, to, type, list->u);
	p += i * (1 + sizeof(double));
	for (to += i * size_of(type); i < list->u; i++, to += size_of(type))
	{
		p = list->typed != 0 ? read_typed(list->typed, p, &v)
							 : read_item(p, r->end, &v);
		if (p == NULL || !store(to, type, &v))
			return NULL;
	}
	return p;
}

bool
numbers_from_cbor(Buf *out, NumberType type, CborReader *r,
				  const CborToken *list)
{
	size_t start = out->len;
	const uint8_t *end = NULL;
	uint8_t *to;

	if (list->indefinite || list->u == 0)
		return false;
	to = buf_extend(out, list->u * size_of(type));
	if (to == NULL)
		return false;
	switch (type)
	{
		case NUMBER_INT2:
			end = read_list(to, NUMBER_INT2, r, list);
			break;
		case NUMBER_INT4:
			end = read_list(to, NUMBER_INT4, r, list);
			break;
		case NUMBER_INT8:
			end = read_list(to, NUMBER_INT8, r, list);
			break;
		case NUMBER_FLOAT4:
			end = read_list(to, NUMBER_FLOAT4, r, list);
			break;
		case NUMBER_FLOAT8:
			end = read_list(to, NUMBER_FLOAT8, r, list);
			break;
	}
	if (end == NULL)
	{
		out->len = start;
		return false;
	}
	cbor_elements_read(r, end);
	return true;
}

/* --- from JSON ------------------------------------------------------------ */

static const char *
skip_space(const char *p, const char *end)
{
	while (p < end && (*p == ' ' || *p == '\t' || *p == '\n' || *p == '\r'))
		p++;
	return p;
}

/* Past the digits at p; NULL: there are none. */
static const char *
skip_digits(const char *p, const char *end)
{
	const char *start = p;

	while (p < end && *p >= '0' && *p <= '9')
		p++;
	return p > start ? p : NULL;
}

/*
 * Past the number at p, after which something must follow, so that the C
 * library can read it; NULL: there is none.
 */
static const char *
skip_number(const char *p, const char *end, bool *whole)
{
	const char *first;

	*whole = true;
	if (p < end && *p == '-')
		p++;
	first = p;
	p = skip_digits(p, end);
	if (p == NULL || (*first == '0' && p > first + 1))
		return NULL;
	if (p < end && *p == '.')
	{
		*whole = false;
		p = skip_digits(p + 1, end);
	}
	if (p != NULL && p < end && (*p == 'e' || *p == 'E'))
	{
		*whole = false;
		p++;
		if (p < end && (*p == '-' || *p == '+'))
			p++;
		p = skip_digits(p, end);
	}
	return p != NULL && p < end ? p : NULL;
}

/*
 * A number of few digits, rounded once: they are a double, the power of ten is
 * one, and so the quotient is the one next to the number.  False: not so few.
 */
static bool
read_few_digits(const char *p, const char *end, double *d)
{
	static const double powers[] = {1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7,
		1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19,
		1e20, 1e21, 1e22};
	const size_t max_scale = sizeof(powers) / sizeof(powers[0]) - 1;
	bool negative = *p == '-';
	bool fraction = false;
	int64_t digits = 0;
	size_t scale = 0;

	for (p += negative; p < end; p++)
	{
		if (*p == '.')
		{
			fraction = true;
			continue;
		}
		if (*p > '9' || digits >= EXACT_DOUBLE_INT / 10)
			return false;
		digits = digits * 10 + (*p - '0');
		scale += fraction;
	}
	if (scale > max_scale)
		return false;
	*d = (double) (negative ? -digits : digits) / powers[scale];
	return true;
}

/* As the C library rounds it, which the server's own types use; -0 is 0. */
static bool
read_float(uint8_t *to, NumberType type, const char *p, const char *end)
{
	bool few;
	double d;
	float f;

	errno = 0;
	few = read_few_digits(p, end, &d);
	if (type == NUMBER_FLOAT4)
	{
		if (!few || !nearest_float(d, &f))
			f = strtof(p, NULL);
		f += 0.0F;
		memcpy(to, &f, sizeof(f));
	}
	else
	{
		if (!few)
			d = strtod(p, NULL);
		d += 0.0;
		memcpy(to, &d, sizeof(d));
	}
	return errno == 0;
}

/* Append the number from p to end. */
static bool
put_text(Buf *out, NumberType type, const char *p, const char *end, bool whole)
{
	uint8_t number[8];

	if (type >= NUMBER_FLOAT4)
	{
		if (!read_float(number, type, p, end))
			return false;
	}
	else if (!whole || end - p > MAX_INT_DIGITS ||
			 !store_int(number, type, strtoll(p, NULL, 10)))
		return false;
	buf_put(out, number, size_of(type));
	return true;
}

static bool
put_list(Buf *out, NumberType type, const char *p, const char *end)
{
	p = skip_space(p, end);
	if (p == end || *p != '[')
		return false;
	do
	{
		const char *number = skip_space(p + 1, end);
		bool whole;

		p = skip_number(number, end, &whole);
		if (p == NULL || !put_text(out, type, number, p, whole))
			return false;
		p = skip_space(p, end);
	} while (p < end && *p == ',');
	return p < end && *p == ']' && skip_space(p + 1, end) == end &&
		!out->failed;
}

bool
numbers_from_json(Buf *out, NumberType type, const char *p, size_t n)
{
	size_t start = out->len;

	if (put_list(out, type, p, p + n))
		return true;
	out->len = start;
	return false;
}

/* --- to CBOR -------------------------------------------------------------- */

#define BLOCK 256	  /* numbers that are written at a time */
#define LONGEST_ITEM 9

static uint8_t *
put_int(uint8_t *to, int64_t i)
{
	uint8_t major = i < 0 ? HEAD_NEGATIVE : 0;
	uint64_t u = i < 0 ? ~(uint64_t) i : (uint64_t) i;
	int log_size = u <= UINT8_MAX ? 0 : u <= UINT16_MAX ? 1 : u <= UINT32_MAX ? 2 : 3;
	uint64_t bytes;

	if (u < FIRST_LONG)
	{
		*to++ = major | (uint8_t) u;
		return to;
	}
	*to++ = major | (uint8_t) (FIRST_LONG + log_size);
	bytes = htobe64(u << (64 - (8 << log_size)));
	memcpy(to, &bytes, sizeof(bytes));
	return to + (1 << log_size);
}

static uint8_t *
put_float(uint8_t *to, double d, bool single)
{
	float f = (float) d;
	uint32_t single_bits;
	uint64_t bits;
	uint16_t half;

	if (!isfinite(d))
	{
		half = htobe16(isnan(d) ? 0x7e00 : d > 0 ? 0x7c00 : 0xfc00);
		*to++ = HEAD_HALF;
		memcpy(to, &half, sizeof(half));
		return to + sizeof(half);
	}
	if (single)
	{
		memcpy(&single_bits, &f, sizeof(f));
		single_bits = htobe32(single_bits);
		*to++ = HEAD_SINGLE;
		memcpy(to, &single_bits, sizeof(single_bits));
		return to + sizeof(single_bits);
	}
	memcpy(&bits, &d, sizeof(d));
	bits = htobe64(bits);
	*to++ = HEAD_DOUBLE;
	memcpy(to, &bits, sizeof(bits));
	return to + sizeof(bits);
}

static uint8_t *
put_number(uint8_t *to, NumberType type, const uint8_t *p)
{
	int16_t i2;
	int32_t i4;
	int64_t i8;
	float f;
	double d;

	switch (type)
	{
		case NUMBER_INT2:
			memcpy(&i2, p, sizeof(i2));
			return put_int(to, i2);
		case NUMBER_INT4:
			memcpy(&i4, p, sizeof(i4));
			return put_int(to, i4);
		case NUMBER_INT8:
			memcpy(&i8, p, sizeof(i8));
			return put_int(to, i8);
		case NUMBER_FLOAT4:
			memcpy(&f, p, sizeof(f));
			return put_float(to, f, true);
		default:
			memcpy(&d, p, sizeof(d));
			return put_float(to, d, false);
	}
}

void
numbers_to_cbor(Buf *out, NumberType type, const void *numbers, size_t n)
{
	const uint8_t *p = numbers;
	uint8_t block[BLOCK * LONGEST_ITEM];

	while (n > 0)
	{
		uint8_t *to = block;
		size_t some = n < BLOCK ? n : BLOCK;

		for (size_t i = 0; i < some; i++, p += size_of(type))
			to = put_number(to, type, p);
		buf_put(out, block, (size_t) (to - block));
		n -= some;
	}
}
