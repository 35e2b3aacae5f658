/*-------------------------------------------------------------------------
 *
 * encode.c
 *	  SQL values to CBOR and JSON; see values.h and docs/types.md.
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include <math.h>

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "common/base64.h"
#include "common/shortest_dec.h"
#include "core/bignum.h"
#include "core/json_split.h"
#include "funcapi.h"
#include "lib/stringinfo.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"
#include "utils/typcache.h"
#include "utils/uuid.h"
#include "values/type_table.h"

/* JSON numbers are doubles for many readers: exact up to here. */
#define JSON_EXACT_INT ((int64) 1 << 53)

struct ValueEncoder
{
	TypeInfo info;
	MemoryContext cxt;
	FmgrInfo out;			/* the type's output function, when it is used */
	ValueEncoder *element;	/* KIND_ARRAY, and KIND_VECTOR: of floats */
	FloatCast cast;			/* KIND_VECTOR: to real[] */
	/* KIND_ROW: the last row type seen, and encoders of its columns */
	MemoryContext row_cxt;
	uint64 row_identifier; /* the type cache's: another type, or it was altered */
	TupleDesc row_desc;
	ValueEncoder **columns;
};

/* --- scalars -------------------------------------------------------------------- */

int
double_to_text(double v, char *buf)
{
	return double_to_shortest_decimal_buf(v, buf);
}

static void
write_null(Writer *w)
{
	if (w->json)
		buf_put(w->buf, "null", 4);
	else
		cbor_put_null(w->buf);
}

static void
write_bool(Writer *w, bool v)
{
	if (w->json)
		buf_put_cstr(w->buf, v ? "true" : "false");
	else
		cbor_put_bool(w->buf, v);
}

static void
write_int(Writer *w, int64 v)
{
	char text[MAXINT8LEN + 1];
	bool quoted;

	if (!w->json)
	{
		cbor_put_int(w->buf, v);
		return;
	}
	quoted = w->big_as_text && (v > JSON_EXACT_INT || v < -JSON_EXACT_INT);
	if (quoted)
		buf_put_u8(w->buf, '"');
	buf_put(w->buf, text, pg_lltoa(v, text));
	if (quoted)
		buf_put_u8(w->buf, '"');
}

const char *
not_finite_name(double v)
{
	return isnan(v) ? "NaN" : v > 0 ? "Infinity" : "-Infinity";
}

static void
write_double(Writer *w, double v, bool is_float4)
{
	char text[DOUBLE_TEXT_SIZE];

	if (!w->json && is_float4)
		cbor_put_float(w->buf, (float4) v);
	else if (!w->json)
		cbor_put_double(w->buf, v);
	else if (isnan(v) || isinf(v))
		write_text(w, not_finite_name(v), strlen(not_finite_name(v)));
	else if (is_float4)
		buf_put(w->buf, text, float_to_shortest_decimal_buf((float) v, text));
	else
		buf_put(w->buf, text, double_to_text(v, text));
}

void
write_text(Writer *w, const char *p, Size n)
{
	char *utf8 = text_to_utf8(p, n, &n);

	if (w->json)
		json_put_string(w->buf, utf8, n);
	else
		cbor_put_text(w->buf, utf8, n);
	if (utf8 != p)
		pfree(utf8);
}

/* JSON text as it stands. */
static void
write_raw_json(Writer *w, const char *p, Size n)
{
	char *utf8 = text_to_utf8(p, n, &n);

	buf_put(w->buf, utf8, n);
	if (utf8 != p)
		pfree(utf8);
}

static void
write_cstring(Writer *w, const char *s)
{
	write_text(w, s, strlen(s));
}

static void
write_bytes(Writer *w, const void *p, Size n)
{
	char *text;
	int size, len;

	if (!w->json)
	{
		cbor_put_bytes(w->buf, p, n);
		return;
	}
	size = pg_b64_enc_len(n);
	text = palloc(size);
	len = pg_b64_encode((const void *) p, n, text, size);
	buf_put_u8(w->buf, '"');
	buf_put(w->buf, text, len);
	buf_put_u8(w->buf, '"');
	pfree(text);
}

/* --- numeric ---------------------------------------------------------------------- */

/* An integer of any size: shortest form, or a bignum (RFC 8949, 3.4.3). */
static void
put_big_integer(Buf *buf, bool negative, const char *digits, int ndigits)
{
	int64 v = 0;

	while (ndigits > 1 && *digits == '0')
	{
		digits++;
		ndigits--;
	}
	if (ndigits <= 18)
	{
		for (int i = 0; i < ndigits; i++)
			v = v * 10 + (digits[i] - '0');
		cbor_put_int(buf, negative ? -v : v);
		return;
	}
	if (!bignum_put_digits(buf, negative, digits, ndigits) && !buf->failed)
		elog(ERROR, "numeric value has too many digits");
}

/* text as numeric_out gives it: [-]digits[.digits], NaN, [-]Infinity */
void
write_numeric_text(Writer *w, const char *text)
{
	bool negative = text[0] == '-';
	const char *digits = text + negative;
	const char *point = strchr(digits, '.');
	Size n = strlen(digits);
	char *all;
	int scale;

	if (digits[0] == 'N' || digits[0] == 'I')
	{
		if (w->json)
			write_cstring(w, text);
		else
			cbor_put_double(w->buf, digits[0] == 'N' ? NAN
								: negative			 ? -INFINITY
													 : INFINITY);
		return;
	}
	if (w->json)
	{
		bool quoted = w->big_as_text && point == NULL && n > 15;

		if (quoted)
			buf_put_u8(w->buf, '"');
		buf_put_cstr(w->buf, text);
		if (quoted)
			buf_put_u8(w->buf, '"');
		return;
	}
	if (point == NULL)
	{
		put_big_integer(w->buf, negative, digits, n);
		return;
	}
	scale = n - (point - digits) - 1;
	all = palloc(n);
	memcpy(all, digits, point - digits);
	memcpy(all + (point - digits), point + 1, scale);
	cbor_put_tag(w->buf, CBOR_TAG_DECIMAL);
	cbor_put_array(w->buf, 2);
	cbor_put_int(w->buf, -scale);
	put_big_integer(w->buf, negative, all, n - 1);
	pfree(all);
}

static void
write_through_output(ValueEncoder *enc, Writer *w, Datum value)
{
	char *text = value_to_text(&enc->out, value, enc->info.names_objects);

	write_cstring(w, text);
	pfree(text);
}

static void
write_numeric(Writer *w, Datum value)
{
	char *text = DatumGetCString(DirectFunctionCall1(numeric_out, value));

	write_numeric_text(w, text);
	pfree(text);
}

/* --- other scalars ---------------------------------------------------------------------- */

static void
write_uuid(Writer *w, pg_uuid_t *uuid)
{
	if (w->json)
	{
		write_cstring(w, DatumGetCString(DirectFunctionCall1(
							 uuid_out, UUIDPGetDatum(uuid))));
		return;
	}
	cbor_put_tag(w->buf, CBOR_TAG_UUID);
	cbor_put_bytes(w->buf, uuid->data, UUID_LEN);
}

/* --- jsonb ---------------------------------------------------------------------------- */

/* Characters of a number, in which a double keeps all digits, */
#define DOUBLE_EXACT_CHARS 15
/* and in which it may: not many more than the smallest double's. */
#define DOUBLE_MAX_CHARS 350

/* Is the fraction the shortest decimal that reads back as some double? */
static bool
is_a_double(const char *text, Numeric number)
{
	double v = strtod(text, NULL);

	return isfinite(v) &&
		DatumGetBool(DirectFunctionCall2(numeric_eq, numeric_from_double(v),
										 NumericGetDatum(number)));
}

/* Would the double's own text be the same? */
static bool
is_text_of_double(const char *text, Size n)
{
	return n <= DOUBLE_EXACT_CHARS && text[n - 1] != '0' &&
		strncmp(text + (text[0] == '-'), "0.0000", 6) != 0;
}

/*
 * A number in JSON is what a JSON reader would make of it: a fraction is a
 * double, unless it has more digits than that keeps.  Exactly, it is one only
 * if it is short, as in all the fingerprints that are stored.
 */
static void
write_json_number(Writer *w, Numeric number)
{
	char *text = DatumGetCString(
		DirectFunctionCall1(numeric_out, NumericGetDatum(number)));
	Size n = strlen(text);
	bool is_double = false;

	if (!w->json && strchr(text, '.') != NULL)
		is_double = w->decoded ? is_text_of_double(text, n)
			: n <= DOUBLE_EXACT_CHARS ? true
			: !w->exact && n <= DOUBLE_MAX_CHARS && is_a_double(text, number);
	if (is_double)
		cbor_put_double(w->buf, strtod(text, NULL));
	else
		write_numeric_text(w, text);
	pfree(text);
}

static void
write_jsonb_scalar(Writer *w, const JsonbValue *v)
{
	switch (v->type)
	{
		case jbvNull:
			write_null(w);
			break;
		case jbvBool:
			write_bool(w, v->val.boolean);
			break;
		case jbvNumeric:
			write_json_number(w, v->val.numeric);
			break;
		case jbvString:
			write_text(w, v->val.string.val, v->val.string.len);
			break;
		default:
			elog(ERROR, "unexpected jsonb value type %d", (int) v->type);
	}
}

void
write_jsonb(Writer *w, Jsonb *jb)
{
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue v;
	bool raw_scalar = JB_ROOT_IS_SCALAR(jb);

	if (w->json)
	{
		StringInfoData text;

		initStringInfo(&text);
		(void) JsonbToCString(&text, &jb->root, VARSIZE(jb));
		write_raw_json(w, text.data, text.len);
		pfree(text.data);
		return;
	}
	it = JsonbIteratorInit(&jb->root);
	while ((token = JsonbIteratorNext(&it, &v, false)) != WJB_DONE)
	{
		CHECK_FOR_INTERRUPTS();
		switch (token)
		{
			case WJB_BEGIN_ARRAY:
				if (!raw_scalar)
					cbor_put_array(w->buf, v.val.array.nElems);
				break;
			case WJB_BEGIN_OBJECT:
				cbor_put_map(w->buf, v.val.object.nPairs);
				break;
			case WJB_KEY:
			case WJB_ELEM:
			case WJB_VALUE:
				write_jsonb_scalar(w, &v);
				break;
			default:
				break;
		}
	}
}

/* --- arrays and rows -------------------------------------------------------------------- */

/* What is left of an array's elements, in storage order. */
typedef struct Elements
{
	ValueEncoder *encoder;
	const char *numbers; /* as the array has them, or NULL: */
	const Datum *values;
	const bool *nulls;
} Elements;

static void
write_elements(Elements *e, Writer *w, int n)
{
	NumberType type;

	if (e->numbers != NULL && kind_is_number(e->encoder->info.kind, &type))
	{
		numbers_to_cbor(w->buf, type, e->numbers, n);
		e->numbers += n * e->encoder->info.len;
		return;
	}
	for (int i = 0; i < n; i++)
	{
		if (w->json && i > 0)
			buf_put_u8(w->buf, ',');
		value_encode(e->encoder, w, *e->values++, *e->nulls++);
	}
}

static void
write_dimension(Elements *e, Writer *w, int ndim, const int *dims)
{
	if (w->json)
		buf_put_u8(w->buf, '[');
	else
		cbor_put_array(w->buf, dims[0]);
	if (ndim == 1)
		write_elements(e, w, dims[0]);
	else
		for (int i = 0; i < dims[0]; i++)
		{
			if (w->json && i > 0)
				buf_put_u8(w->buf, ',');
			write_dimension(e, w, ndim - 1, dims + 1);
		}
	if (w->json)
		buf_put_u8(w->buf, ']');
}

/* Is it written in SQL's own form, with its lower bounds? */
static bool
has_other_bounds(const TypeInfo *info, const ArrayType *array)
{
	int usual = info->base == INT2VECTOROID || info->base == OIDVECTOROID ? 0 : 1;

	for (int i = 0; i < ARR_NDIM(array); i++)
		if (ARR_LBOUND(array)[i] != usual)
			return true;
	return false;
}

/* Numbers are written from where they are, if that is one after another. */
static bool
has_plain_numbers(const ValueEncoder *element, const ArrayType *array)
{
	NumberType type;

	return !ARR_HASNULL(array) && kind_is_number(element->info.kind, &type);
}

static void
write_lists(ValueEncoder *enc, Writer *w, ArrayType *array)
{
	static const int no_elements[] = {0};
	const TypeInfo *info;
	Elements e = {0};
	Datum *values = NULL;
	bool *nulls = NULL;
	int n;

	if (enc->element == NULL)
		enc->element = value_encoder_create(enc->cxt, ARR_ELEMTYPE(array));
	e.encoder = enc->element;
	info = &enc->element->info;
	if (!w->json && has_plain_numbers(enc->element, array))
		e.numbers = ARR_DATA_PTR(array);
	else
		deconstruct_array(array, ARR_ELEMTYPE(array), info->len, info->byval,
						  info->align, &values, &nulls, &n);
	e.values = values;
	e.nulls = nulls;
	if (ARR_NDIM(array) == 0)
		write_dimension(&e, w, 1, no_elements);
	else
		write_dimension(&e, w, ARR_NDIM(array), ARR_DIMS(array));
	if (values != NULL)
	{
		pfree(values);
		pfree(nulls);
	}
}

static void
write_array(ValueEncoder *enc, Writer *w, Datum value)
{
	ArrayType *array = DatumGetArrayTypeP(value);

	if (w->exact && has_other_bounds(&enc->info, array))
		write_through_output(enc, w, value);
	else
		write_lists(enc, w, array);
}

/* A type made of floats, as a list of them, if it can be made one. */
static void
write_vector(ValueEncoder *enc, Writer *w, Datum value)
{
	ArrayType *floats;

	if (!OidIsValid(enc->info.to_floats))
	{
		write_through_output(enc, w, value);
		return;
	}
	if (!OidIsValid(enc->cast.function.fn_oid))
		float_cast_init(&enc->cast, enc->info.to_floats, FLOAT4ARRAYOID, -1,
						enc->cxt);
	floats = DatumGetArrayTypeP(value_through_cast(&enc->cast, value));
	write_lists(enc, w, floats);
	pfree(floats);
}

/*
 * Rows of an anonymous record type may differ from one value to the next, and
 * those of a named one while a call site lives: ALTER TABLE, ALTER TYPE.
 */
static void
learn_row_type(ValueEncoder *enc, HeapTupleHeader row)
{
	Oid type = HeapTupleHeaderGetTypeId(row);
	int32 typmod = HeapTupleHeaderGetTypMod(row);
	uint64 identifier = assign_record_type_identifier(type, typmod);
	TupleDesc desc;
	MemoryContext old;

	if (enc->row_desc != NULL && enc->row_identifier == identifier)
		return;
	enc->row_desc = NULL;
	if (enc->row_cxt == NULL)
		enc->row_cxt = AllocSetContextCreate(enc->cxt, "modal_batch row encoder",
											 ALLOCSET_SMALL_SIZES);
	MemoryContextReset(enc->row_cxt);
	desc = lookup_rowtype_tupdesc(type, typmod);
	old = MemoryContextSwitchTo(enc->row_cxt);
	enc->row_desc = CreateTupleDescCopy(desc);
	enc->columns = palloc0(desc->natts * sizeof(ValueEncoder *));
	for (int i = 0; i < desc->natts; i++)
		if (!TupleDescAttr(desc, i)->attisdropped)
			enc->columns[i] =
				value_encoder_create(enc->row_cxt,
									 TupleDescAttr(desc, i)->atttypid);
	MemoryContextSwitchTo(old);
	ReleaseTupleDesc(desc);
	enc->row_identifier = identifier;
}

static void
write_row(ValueEncoder *enc, Writer *w, Datum value)
{
	HeapTupleHeader row = DatumGetHeapTupleHeader(value);
	HeapTupleData tuple;
	Datum *values;
	bool *nulls;
	int natts, live = 0, written = 0;

	learn_row_type(enc, row);
	natts = enc->row_desc->natts;
	values = palloc(natts * sizeof(Datum));
	nulls = palloc(natts * sizeof(bool));
	tuple.t_len = HeapTupleHeaderGetDatumLength(row);
	ItemPointerSetInvalid(&tuple.t_self);
	tuple.t_tableOid = InvalidOid;
	tuple.t_data = row;
	heap_deform_tuple(&tuple, enc->row_desc, values, nulls);

	for (int i = 0; i < natts; i++)
		live += enc->columns[i] != NULL;
	if (w->json)
		buf_put_u8(w->buf, '{');
	else
		cbor_put_map(w->buf, live);
	for (int i = 0; i < natts; i++)
	{
		if (enc->columns[i] == NULL)
			continue;
		if (w->json && written++ > 0)
			buf_put_u8(w->buf, ',');
		write_cstring(w, NameStr(TupleDescAttr(enc->row_desc, i)->attname));
		if (w->json)
			buf_put_u8(w->buf, ':');
		value_encode(enc->columns[i], w, values[i], nulls[i]);
	}
	if (w->json)
		buf_put_u8(w->buf, '}');
	pfree(values);
	pfree(nulls);
}

/* --- any value ------------------------------------------------------------------------------ */

ValueEncoder *
value_encoder_create(MemoryContext cxt, Oid type)
{
	ValueEncoder *enc = MemoryContextAllocZero(cxt, sizeof(ValueEncoder));
	Oid out;
	bool varlena;

	enc->cxt = cxt;
	type_info(type, &enc->info);
	if (enc->info.kind == KIND_OTHER || enc->info.kind == KIND_INTERVAL ||
		enc->info.kind == KIND_ARRAY || enc->info.kind == KIND_VECTOR)
	{
		getTypeOutputInfo(enc->info.base, &out, &varlena);
		fmgr_info_cxt(out, &enc->out, cxt);
	}
	return enc;
}

/* An SQL value of type jsonb: exactly, JSON's null is a tagged one. */
static void
write_jsonb_value(Writer *w, Jsonb *jb)
{
	JsonbValue v;

	if (w->exact && JB_ROOT_IS_SCALAR(jb) &&
		JsonbExtractScalar(&jb->root, &v) && v.type == jbvNull)
		cbor_put_tag(w->buf, CBOR_TAG_SELF_DESCRIBED);
	write_jsonb(w, jb);
}

/*
 * As it stands; but a line break, which JSON has only between its tokens,
 * would end a row of format json-lines.
 */
static void
write_json_text(Writer *w, Datum value)
{
	char *json = TextDatumGetCString(value);

	if (w->json)
	{
		for (char *p = json; *p != '\0'; p++)
			if (*p == '\n' || *p == '\r')
				*p = ' ';
		write_raw_json(w, json, strlen(json));
	}
	else
		write_jsonb_value(w, DatumGetJsonbP(DirectFunctionCall1(
								 jsonb_in, CStringGetDatum(json))));
}

void
value_encode(ValueEncoder *enc, Writer *w, Datum value, bool isnull)
{
	struct varlena *v;

	check_stack_depth();
	if (isnull)
	{
		write_null(w);
		return;
	}
	switch (enc->info.kind)
	{
		case KIND_BOOL:
			write_bool(w, DatumGetBool(value));
			break;
		case KIND_INT2:
			write_int(w, DatumGetInt16(value));
			break;
		case KIND_INT4:
			write_int(w, DatumGetInt32(value));
			break;
		case KIND_INT8:
			write_int(w, DatumGetInt64(value));
			break;
		case KIND_OID:
			write_int(w, DatumGetObjectId(value));
			break;
		case KIND_FLOAT4:
			write_double(w, DatumGetFloat4(value), true);
			break;
		case KIND_FLOAT8:
			write_double(w, DatumGetFloat8(value), false);
			break;
		case KIND_NUMERIC:
			write_numeric(w, value);
			break;
		case KIND_TEXT:
			v = PG_DETOAST_DATUM_PACKED(value);
			write_text(w, VARDATA_ANY(v), VARSIZE_ANY_EXHDR(v));
			break;
		case KIND_BYTEA:
			v = PG_DETOAST_DATUM_PACKED(value);
			write_bytes(w, VARDATA_ANY(v), VARSIZE_ANY_EXHDR(v));
			break;
		case KIND_DATE:
			write_date(w, DatumGetDateADT(value));
			break;
		case KIND_TIMESTAMP:
			write_timestamp(w, DatumGetTimestamp(value), false);
			break;
		case KIND_TIMESTAMPTZ:
			write_timestamp(w, DatumGetTimestamp(value), true);
			break;
		case KIND_UUID:
			write_uuid(w, DatumGetUUIDP(value));
			break;
		case KIND_JSON:
			write_json_text(w, value);
			break;
		case KIND_JSONB:
			write_jsonb_value(w, DatumGetJsonbP(value));
			break;
		case KIND_ARRAY:
			write_array(enc, w, value);
			break;
		case KIND_ROW:
			write_row(enc, w, value);
			break;
		case KIND_VECTOR:
			write_vector(enc, w, value);
			break;
		case KIND_INTERVAL:
		case KIND_OTHER:
			write_through_output(enc, w, value);
			break;
	}
}
