/*-------------------------------------------------------------------------
 *
 * codec_encode.c
 *	  SQL values to CBOR and JSON; see codec.h and docs/types.md.
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include <math.h>

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "common/base64.h"
#include "common/shortest_dec.h"
#include "core/bignum.h"
#include "core/json_split.h"
#include "funcapi.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "session/codec_types.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/lsyscache.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"
#include "utils/typcache.h"
#include "utils/uuid.h"

/* JSON numbers are doubles for many readers: exact up to here. */
#define JSON_EXACT_INT ((int64) 1 << 53)

struct ValueEncoder
{
	TypeInfo info;
	MemoryContext cxt;
	FmgrInfo out;			/* KIND_OTHER */
	ValueEncoder *element;	/* KIND_ARRAY */
	/* KIND_ROW: the last row type seen, and encoders of its columns */
	Oid row_type;
	int32 row_typmod;
	TupleDesc row_desc;
	ValueEncoder **columns;
};

/* --- the type table ---------------------------------------------------------- */

static bool
is_vector(Oid type)
{
	char *name = get_typtype(type) == TYPTYPE_BASE ? format_type_be(type) : NULL;
	const char *dot = name != NULL ? strrchr(name, '.') : NULL;

	return name != NULL && strcmp(dot != NULL ? dot + 1 : name, "vector") == 0 &&
		OidIsValid(get_extension_oid("vector", true));
}

static ValueKind
kind_of(Oid base)
{
	switch (base)
	{
		case BOOLOID:
			return KIND_BOOL;
		case INT2OID:
			return KIND_INT2;
		case INT4OID:
			return KIND_INT4;
		case INT8OID:
			return KIND_INT8;
		case OIDOID:
			return KIND_OID;
		case FLOAT4OID:
			return KIND_FLOAT4;
		case FLOAT8OID:
			return KIND_FLOAT8;
		case NUMERICOID:
			return KIND_NUMERIC;
		case TEXTOID:
		case VARCHAROID:
		case BPCHAROID:
			return KIND_TEXT;
		case BYTEAOID:
			return KIND_BYTEA;
		case DATEOID:
			return KIND_DATE;
		case TIMESTAMPOID:
			return KIND_TIMESTAMP;
		case TIMESTAMPTZOID:
			return KIND_TIMESTAMPTZ;
		case INTERVALOID:
			return KIND_INTERVAL;
		case UUIDOID:
			return KIND_UUID;
		case JSONOID:
			return KIND_JSON;
		case JSONBOID:
			return KIND_JSONB;
		default:
			break;
	}
	if (type_is_array(base))
		return KIND_ARRAY;
	if (type_is_rowtype(base))
		return KIND_ROW;
	return is_vector(base) ? KIND_VECTOR : KIND_OTHER;
}

void
codec_type_info(Oid type, TypeInfo *info)
{
	info->type = type;
	info->base = getBaseType(type);
	info->kind = kind_of(info->base);
	get_typlenbyvalalign(info->base, &info->len, &info->byval, &info->align);
}

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

static const char *
not_finite_name(double v)
{
	return isnan(v) ? "NaN" : v > 0 ? "Infinity" : "-Infinity";
}

static void
write_double(Writer *w, double v, bool is_float4)
{
	char text[DOUBLE_TEXT_SIZE];

	if (!w->json)
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
	char *utf8 = (char *) p;

	if (GetDatabaseEncoding() != PG_UTF8)
	{
		utf8 = pg_server_to_any(p, n, PG_UTF8);
		if (utf8 != p)
			n = strlen(utf8);
	}
	if (w->json)
		json_put_string(w->buf, utf8, n);
	else
		cbor_put_text(w->buf, utf8, n);
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

/* Significant digits that a double keeps. */
#define DOUBLE_EXACT_DIGITS 15

/*
 * A number in JSON is what a JSON reader would make of it: a fraction is a
 * double, unless it has more digits than that keeps.
 */
static void
write_json_number(Writer *w, Numeric number)
{
	char *text = DatumGetCString(
		DirectFunctionCall1(numeric_out, NumericGetDatum(number)));

	if (!w->json && strchr(text, '.') != NULL &&
		strlen(text) <= DOUBLE_EXACT_DIGITS)
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
		char *utf8;

		initStringInfo(&text);
		(void) JsonbToCString(&text, &jb->root, VARSIZE(jb));
		utf8 = pg_server_to_any(text.data, text.len, PG_UTF8);
		buf_put_cstr(w->buf, utf8);
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

/* One dimension; *next is the next element in storage order. */
static void
write_dimension(ValueEncoder *element, Writer *w, int ndim, const int *dims,
				Datum *values, bool *nulls, int *next)
{
	if (w->json)
		buf_put_u8(w->buf, '[');
	else
		cbor_put_array(w->buf, dims[0]);
	for (int i = 0; i < dims[0]; i++)
	{
		if (w->json && i > 0)
			buf_put_u8(w->buf, ',');
		if (ndim > 1)
			write_dimension(element, w, ndim - 1, dims + 1, values, nulls,
							next);
		else
		{
			value_encode(element, w, values[*next], nulls[*next]);
			(*next)++;
		}
	}
	if (w->json)
		buf_put_u8(w->buf, ']');
}

static void
write_array(ValueEncoder *enc, Writer *w, Datum value)
{
	ArrayType *array = DatumGetArrayTypeP(value);
	const TypeInfo *info;
	static const int no_elements[] = {0};
	Datum *values;
	bool *nulls;
	int n, next = 0;

	if (enc->element == NULL)
		enc->element = value_encoder_create(enc->cxt, ARR_ELEMTYPE(array));
	info = &enc->element->info;
	deconstruct_array(array, ARR_ELEMTYPE(array), info->len, info->byval,
					  info->align, &values, &nulls, &n);
	if (ARR_NDIM(array) == 0)
		write_dimension(enc->element, w, 1, no_elements, values, nulls, &next);
	else
		write_dimension(enc->element, w, ARR_NDIM(array), ARR_DIMS(array),
						values, nulls, &next);
	pfree(values);
	pfree(nulls);
}

/* pgvector's own layout: dimensions, then single-precision floats. */
typedef struct VectorDatum
{
	int32 vl_len_;
	int16 dim;
	int16 unused;
	float x[FLEXIBLE_ARRAY_MEMBER];
} VectorDatum;

static void
write_vector(Writer *w, Datum value)
{
	VectorDatum *vector = (VectorDatum *) PG_DETOAST_DATUM(value);
	int dim = vector->dim;

	if (dim < 0 || VARSIZE(vector) < offsetof(VectorDatum, x) + dim * sizeof(float))
		ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
						errmsg("invalid vector")));
	if (w->json)
		buf_put_u8(w->buf, '[');
	else
		cbor_put_array(w->buf, dim);
	for (int i = 0; i < dim; i++)
	{
		if (w->json && i > 0)
			buf_put_u8(w->buf, ',');
		write_double(w, vector->x[i], true);
	}
	if (w->json)
		buf_put_u8(w->buf, ']');
}

/* Rows of an anonymous record type may differ from one value to the next. */
static void
learn_row_type(ValueEncoder *enc, HeapTupleHeader row)
{
	Oid type = HeapTupleHeaderGetTypeId(row);
	int32 typmod = HeapTupleHeaderGetTypMod(row);
	TupleDesc desc;
	MemoryContext old;

	if (enc->row_desc != NULL && enc->row_type == type &&
		enc->row_typmod == typmod)
		return;
	desc = lookup_rowtype_tupdesc(type, typmod);
	old = MemoryContextSwitchTo(enc->cxt);
	enc->row_desc = CreateTupleDescCopy(desc);
	enc->columns = palloc0(desc->natts * sizeof(ValueEncoder *));
	for (int i = 0; i < desc->natts; i++)
		if (!TupleDescAttr(desc, i)->attisdropped)
			enc->columns[i] =
				value_encoder_create(enc->cxt, TupleDescAttr(desc, i)->atttypid);
	MemoryContextSwitchTo(old);
	ReleaseTupleDesc(desc);
	enc->row_type = type;
	enc->row_typmod = typmod;
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
	codec_type_info(type, &enc->info);
	if (enc->info.kind == KIND_OTHER)
	{
		getTypeOutputInfo(enc->info.base, &out, &varlena);
		fmgr_info_cxt(out, &enc->out, cxt);
	}
	return enc;
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
		buf_put_cstr(w->buf, pg_server_to_any(json, strlen(json), PG_UTF8));
	}
	else
		write_jsonb(w, DatumGetJsonbP(DirectFunctionCall1(
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
		case KIND_INTERVAL:
			write_interval(w, DatumGetIntervalP(value));
			break;
		case KIND_UUID:
			write_uuid(w, DatumGetUUIDP(value));
			break;
		case KIND_JSON:
			write_json_text(w, value);
			break;
		case KIND_JSONB:
			write_jsonb(w, DatumGetJsonbP(value));
			break;
		case KIND_ARRAY:
			write_array(enc, w, value);
			break;
		case KIND_ROW:
			write_row(enc, w, value);
			break;
		case KIND_VECTOR:
			write_vector(w, value);
			break;
		case KIND_OTHER:
			write_cstring(w, OutputFunctionCall(&enc->out, value));
			break;
	}
}

void
datum_to_cbor(Buf *buf, Datum value, bool isnull, Oid type)
{
	Writer w = {.buf = buf};

	value_encode(value_encoder_create(CurrentMemoryContext, type), &w, value,
				 isnull);
}

void
datum_to_json(Buf *buf, Datum value, bool isnull, Oid type)
{
	Writer w = {.buf = buf, .json = true};

	value_encode(value_encoder_create(CurrentMemoryContext, type), &w, value,
				 isnull);
}
