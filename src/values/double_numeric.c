/*-------------------------------------------------------------------------
 *
 * double_numeric.c
 *	  A double as numeric, for jsonb: the shortest decimal that reads back the
 *	  same, as numeric_in would make it of float8's text.
 *
 * A numeric in its short form, as it is stored: the length, 16 bits with sign,
 * scale and weight, and digits to the base 10,000, of which none is zero at
 * either end.  The server cannot change that without making every table
 * unreadable; it offers no function that would not read text.
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include "utils/builtins.h"
#include "values/type_table.h"

#define GROUP 4		  /* decimal digits in one to the base */
#define MAX_DIGITS 17 /* that a double has */
#define MAX_GROUPS ((MAX_DIGITS + 2 * (GROUP - 1)) / GROUP)

#define SHORT_FORM 0x8000
#define SHORT_NEGATIVE 0x2000
#define SHORT_SCALE_SHIFT 7
#define SHORT_MAX_SCALE 63
#define SHORT_WEIGHT_MASK 0x7f /* in two's complement */

typedef struct ShortNumeric
{
	int32 vl_len_;
	uint16 header;
	int16 digits[MAX_GROUPS];
} ShortNumeric;

StaticAssertDecl(sizeof(ShortNumeric) <= DOUBLE_NUMERIC_SIZE,
				 "a numeric of a double has room");

/* 0.d₁d₂… × 10^weight; none of the digits at either end is zero */
typedef struct Decimal
{
	bool negative;
	int n;
	int scale; /* digits behind the point */
	int weight;
	const uint8 *digits; /* in all, with zeros around them */
	uint8 all[GROUP + DOUBLE_TEXT_SIZE + GROUP];
} Decimal;

/*
 * Of the text of a double, into what is all zero; false: its exponent takes it
 * out of short numerics.
 */
static bool
read_decimal(const char *p, Decimal *d)
{
	uint8 *end = d->all + GROUP;

	d->negative = *p == '-';
	for (p += d->negative; *p >= '0' && *p <= '9'; p++)
		*end++ = *p - '0';
	d->weight = (int) (end - d->all) - GROUP;
	if (*p == '.')
		for (p++; *p >= '0' && *p <= '9'; p++)
			*end++ = *p - '0';
	d->scale = (int) (end - d->all) - GROUP - d->weight;
	if (*p == 'e')
	{
		int exponent = atoi(p + 1);

		d->scale -= exponent;
		d->weight += exponent;
	}
	for (d->digits = d->all + GROUP; d->digits < end && *d->digits == 0; d->digits++)
		d->weight--;
	while (end > d->digits && end[-1] == 0)
		end--;
	d->n = (int) (end - d->digits);
	return d->scale >= 0 && d->scale <= SHORT_MAX_SCALE;
}

/* Returns its size. */
static Size
short_numeric(const Decimal *d, ShortNumeric *to)
{
	int weight = d->n == 0 ? 0 : ((d->weight - 1 + GROUP * SHORT_MAX_SCALE) / GROUP - SHORT_MAX_SCALE);
	int first = (weight + 1) * GROUP - d->weight; /* zeros before the digits */
	int n = d->n == 0 ? 0 : (first + d->n + GROUP - 1) / GROUP;
	const uint8 *p = d->digits - first;

	for (int i = 0; i < n; i++, p += GROUP)
		to->digits[i] = (int16) (p[0] * 1000 + p[1] * 100 + p[2] * 10 + p[3]);
	to->header = (uint16) (SHORT_FORM | (d->negative && n > 0 ? SHORT_NEGATIVE : 0) |
						   d->scale << SHORT_SCALE_SHIFT | (weight & SHORT_WEIGHT_MASK));
	return offsetof(ShortNumeric, digits) + n * sizeof(int16);
}

Datum
numeric_from_text(const char *text)
{
	return DirectFunctionCall3(numeric_in, CStringGetDatum(text),
							   ObjectIdGetDatum(InvalidOid),
							   Int32GetDatum(-1));
}

Size
double_to_numeric(double v, void *to)
{
	char text[DOUBLE_TEXT_SIZE];
	Decimal d = {0};
	Datum numeric;
	Size size;

	text[double_to_text(v, text)] = '\0';
	if (read_decimal(text, &d))
	{
		size = short_numeric(&d, to);
		SET_VARSIZE(to, size);
		return size;
	}
	numeric = numeric_from_text(text);
	size = VARSIZE(DatumGetPointer(numeric));
	Assert(size <= DOUBLE_NUMERIC_SIZE);
	memcpy(to, DatumGetPointer(numeric), size);
	pfree(DatumGetPointer(numeric));
	return size;
}

Datum
numeric_from_double(double v)
{
	void *numeric = palloc(DOUBLE_NUMERIC_SIZE);

	(void) double_to_numeric(v, numeric);
	return PointerGetDatum(numeric);
}
