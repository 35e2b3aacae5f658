/*-------------------------------------------------------------------------
 *
 * decode_numbers.c
 *	  Results that are lists of numbers, straight to arrays and to types made of
 *	  floats; see decode.h.
 *
 * What core/numbers.h can read in one pass becomes the array's own bytes.  It
 * gives the same values as reading item by item does, and where it would not,
 * it declines.
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/memutils.h"
#include "values/decode.h"

/* An array of one dimension without NULL: this, and then its elements. */
#define ARRAY_HEAD ARR_OVERHEAD_NONULLS(1)
/* The server's own limit, which not all versions' headers tell. */
#define MAX_ELEMENTS (MaxAllocSize / sizeof(Datum))

/* The array that is under construction, with room for so many elements. */
static void
begin_array(Buf *array, Size bytes)
{
	buf_init(array, MaxAllocSize - 1, buf_palloc);
	if (buf_reserve(array, ARRAY_HEAD + bytes))
		memset(buf_extend(array, ARRAY_HEAD), 0, ARRAY_HEAD);
}

static Datum
finish_array(const Buf *buf, NumberType type, Oid element)
{
	ArrayType *array = (ArrayType *) buf->data;

	SET_VARSIZE(array, buf->len);
	array->ndim = 1;
	array->elemtype = element;
	ARR_DIMS(array)[0] = (int) ((buf->len - ARRAY_HEAD) / number_size(type));
	ARR_LBOUND(array)[0] = 1;
	return PointerGetDatum(array);
}

/* Is it an array of numbers, none of which has to pass a domain's checks? */
static bool
takes_numbers(const ResultDecoder *dec, NumberType *type)
{
	return dec->info.kind == KIND_ARRAY &&
		dec->info.base != INT2VECTOROID && dec->info.base != OIDVECTOROID &&
		dec->element->info.type == dec->element->info.base &&
		kind_is_number(dec->element->info.kind, type);
}

bool
decode_numbers(const ResultDecoder *dec, CborReader *r, const CborToken *list,
			   Datum *value)
{
	NumberType type;
	Buf array;
	CborToken end;

	if (!takes_numbers(dec, &type) || list->indefinite ||
		list->u > MAX_ELEMENTS)
		return false;
	begin_array(&array, list->u * number_size(type));
	if (!numbers_from_cbor(&array, type, r, list))
	{
		buf_free(&array);
		return false;
	}
	next_token(r, &end);
	*value = finish_array(&array, type, dec->element->info.base);
	return true;
}

/* --- types made of floats --------------------------------------------------- */

static Datum
cast_floats(ResultDecoder *dec, const Buf *floats)
{
	if (!OidIsValid(dec->cast.function.fn_oid))
		float_cast_init(&dec->cast, dec->info.from_floats, dec->info.base,
						dec->typmod, dec->cxt);
	if (floats->failed || floats->len > ARRAY_HEAD + MAX_ELEMENTS * sizeof(float4))
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("array size exceeds the maximum allowed (%d)",
						(int) MAX_ELEMENTS)));
	return value_through_cast(
		&dec->cast,
		floats->len > ARRAY_HEAD
			? finish_array(floats, NUMBER_FLOAT4, FLOAT4OID)
			: PointerGetDatum(construct_empty_array(FLOAT4OID)));
}

Datum
decode_floats(ResultDecoder *dec, CborReader *r, const CborToken *list)
{
	Buf floats;
	CborToken tok;

	begin_array(&floats, list->u * sizeof(float4));
	/* what is left is all of the list, or its end */
	(void) numbers_from_cbor(&floats, NUMBER_FLOAT4, r, list);
	for (next_token(r, &tok); tok.kind != CBOR_END; next_token(r, &tok))
	{
		float4 v = number_as_float(dec, r, &tok);

		CHECK_FOR_INTERRUPTS();
		buf_put(&floats, &v, sizeof(v));
	}
	return cast_floats(dec, &floats);
}

/* --- JSON ------------------------------------------------------------------- */

bool
decode_json_numbers(ResultDecoder *dec, const void *p, Size n, Datum *value)
{
	NumberType type = NUMBER_FLOAT4;
	bool casts = dec->info.kind == KIND_VECTOR &&
		OidIsValid(dec->info.from_floats);
	Buf array;

	if (!casts && !takes_numbers(dec, &type))
		return false;
	begin_array(&array, 0);
	if (!numbers_from_json(&array, type, p, n) ||
		array.len / number_size(type) > MAX_ELEMENTS)
	{
		buf_free(&array);
		return false;
	}
	*value = casts ? cast_floats(dec, &array)
				   : finish_array(&array, type, dec->element->info.base);
	return true;
}
