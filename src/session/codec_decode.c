/*-------------------------------------------------------------------------
 *
 * codec_decode.c
 *	  Results straight to declared types; see codec.h and docs/types.md.
 *
 * There is one decoder, and it reads CBOR.  A JSON result is first turned
 * into CBOR (scalars by hand, the rest through jsonb), so that both formats
 * follow the same rules.
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include <math.h>

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "common/base64.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "session/codec_types.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"
#include "utils/typcache.h"
#include "utils/uuid.h"

struct ResultDecoder
{
	TypeInfo info;
	int32 typmod;
	MemoryContext cxt;
	FmgrInfo in;		/* the type's input function */
	Oid ioparam;
	void *domain_cache; /* of domain_check */
	ResultDecoder *element;	  /* KIND_ARRAY */
	TupleDesc desc;			  /* KIND_ROW */
	ResultDecoder **columns;  /* KIND_ROW; NULL: dropped */
	Datum *values;			  /* KIND_ROW: scratch */
	bool *nulls;
	bool *found;
};

static Datum decode_value(ResultDecoder *dec, CborReader *r, CborToken *tok,
						  bool *isnull);

/* --- making one --------------------------------------------------------------- */

static void
init_row(ResultDecoder *dec, TupleDesc desc)
{
	int natts;

	if (desc == NULL)
	{
		TupleDesc shared = lookup_rowtype_tupdesc(dec->info.base, dec->typmod);

		dec->desc = CreateTupleDescCopy(shared);
		ReleaseTupleDesc(shared);
	}
	else
		dec->desc = CreateTupleDescCopy(desc);
	natts = dec->desc->natts;
	dec->columns = palloc0(natts * sizeof(ResultDecoder *));
	dec->values = palloc(natts * sizeof(Datum));
	dec->nulls = palloc(natts * sizeof(bool));
	dec->found = palloc(natts * sizeof(bool));
	for (int i = 0; i < natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(dec->desc, i);

		if (!att->attisdropped)
			dec->columns[i] = result_decoder_create(dec->cxt, att->atttypid,
													att->atttypmod, NULL);
	}
	if (dec->desc->tdtypeid == RECORDOID)
		BlessTupleDesc(dec->desc);
}

ResultDecoder *
result_decoder_create(MemoryContext cxt, Oid type, int32 typmod,
					  TupleDesc tupdesc)
{
	MemoryContext old = MemoryContextSwitchTo(cxt);
	ResultDecoder *dec = palloc0(sizeof(ResultDecoder));
	Oid in;

	dec->cxt = cxt;
	dec->typmod = typmod;
	if (tupdesc != NULL && !OidIsValid(type))
		type = RECORDOID;
	codec_type_info(type, &dec->info);
	if (dec->info.base != type && typmod < 0)
		dec->info.base = getBaseTypeAndTypmod(type, &dec->typmod);
	if (dec->info.kind == KIND_ROW)
		init_row(dec, tupdesc);
	else
	{
		getTypeInputInfo(dec->info.base, &in, &dec->ioparam);
		fmgr_info_cxt(in, &dec->in, cxt);
	}
	if (dec->info.kind == KIND_ARRAY)
		dec->element = result_decoder_create(
			cxt, get_element_type(dec->info.base), dec->typmod, NULL);
	MemoryContextSwitchTo(old);
	return dec;
}

/* --- what does not fit ------------------------------------------------------------ */

#define MAX_SHOWN 100 /* characters of a result shown in an error */

static char *
describe(const CborToken *tok)
{
	char number[DOUBLE_TEXT_SIZE];

	switch (tok->kind)
	{
		case CBOR_UINT:
			return psprintf("the number " UINT64_FORMAT, tok->u);
		case CBOR_NINT:
			return psprintf("the number -" UINT64_FORMAT,
							tok->u == PG_UINT64_MAX ? tok->u : tok->u + 1);
		case CBOR_DOUBLE:
			number[double_to_text(tok->d, number)] = '\0';
			return psprintf("the number %s", number);
		case CBOR_BOOL:
			return pstrdup(tok->u ? "true" : "false");
		case CBOR_BYTES:
			return psprintf("%zu bytes", tok->n);
		case CBOR_TEXT:
			{
				Size len;
				char *text = codec_text(tok->p, tok->n, &len);
				int shown = pg_mbcliplen(text, len, MAX_SHOWN);

				return psprintf("the string \"%.*s\"%s", shown, text,
								shown < (int) len ? "…" : "");
			}
		case CBOR_ARRAY:
			return pstrdup("an array");
		case CBOR_MAP:
			return pstrdup("an object");
		case CBOR_TAG:
			return psprintf("a value with CBOR tag " UINT64_FORMAT, tok->u);
		default:
			return pstrdup("null");
	}
}

pg_noreturn static void
does_not_fit(const ResultDecoder *dec, const CborToken *tok, int code)
{
	ereport(ERROR,
			(errcode(code),
			 errmsg("result of the remote function does not fit type %s",
					format_type_be(dec->info.type)),
			 errdetail("The result is %s.", describe(tok))));
}

pg_noreturn static void
wrong_kind(const ResultDecoder *dec, const CborToken *tok)
{
	does_not_fit(dec, tok, ERRCODE_DATATYPE_MISMATCH);
}

static Datum
through_input(ResultDecoder *dec, const char *text)
{
	return InputFunctionCall(&dec->in, (char *) text, dec->ioparam,
							 dec->typmod);
}

/* A token of text as a C string of its own. */
static char *
token_cstring(const CborToken *tok)
{
	Size len;
	char *text = codec_text(tok->p, tok->n, &len);

	return pnstrdup(text, len);
}

/* --- numbers -------------------------------------------------------------------- */

/* The integer that a token is, if it fits an int8. */
static bool
token_int64(const CborToken *tok, int64 *v)
{
	switch (tok->kind)
	{
		case CBOR_UINT:
			*v = (int64) tok->u;
			return tok->u <= (uint64) PG_INT64_MAX;
		case CBOR_NINT:
			*v = -1 - (int64) tok->u;
			return tok->u <= (uint64) PG_INT64_MAX;
		case CBOR_DOUBLE:
			/* -2^63 is exact as a double, 2^63 - 1 is not */
			if (tok->d != rint(tok->d) || tok->d < -9223372036854775808.0 ||
				tok->d >= 9223372036854775808.0)
				return false;
			*v = (int64) tok->d;
			return true;
		default:
			return false;
	}
}

static bool
is_number_tag(const CborToken *tok)
{
	return tok->kind == CBOR_TAG &&
		(tok->u == CBOR_TAG_BIGNUM || tok->u == CBOR_TAG_NEG_BIGNUM ||
		 tok->u == CBOR_TAG_DECIMAL);
}

static bool
is_number(const CborToken *tok)
{
	return tok->kind == CBOR_UINT || tok->kind == CBOR_NINT ||
		tok->kind == CBOR_DOUBLE || is_number_tag(tok);
}

/* Any number as text in SQL's form. */
static char *
number_text(CborReader *r, const CborToken *tok)
{
	char text[DOUBLE_TEXT_SIZE];

	switch (tok->kind)
	{
		case CBOR_UINT:
			return psprintf(UINT64_FORMAT, tok->u);
		case CBOR_NINT:
			return tok->u == PG_UINT64_MAX
				? pstrdup("-18446744073709551616")
				: psprintf("-" UINT64_FORMAT, tok->u + 1);
		case CBOR_DOUBLE:
			text[double_to_text(tok->d, text)] = '\0';
			return pstrdup(text);
		default:
			return DatumGetCString(
				DirectFunctionCall1(numeric_out, cbor_numeric(r, tok)));
	}
}

static Datum
decode_integer(ResultDecoder *dec, CborReader *r, const CborToken *tok,
			   int64 min, int64 max)
{
	int64 v;

	if (is_number_tag(tok))
	{
		Datum n = cbor_numeric(r, tok);

		/* Integral values only; int8's own check does the range. */
		if (!DatumGetBool(DirectFunctionCall2(
				numeric_eq, n, DirectFunctionCall2(numeric_trunc, n,
												   Int32GetDatum(0)))))
			does_not_fit(dec, tok, ERRCODE_DATATYPE_MISMATCH);
		v = DatumGetInt64(DirectFunctionCall1(numeric_int8, n));
	}
	else if (tok->kind == CBOR_TEXT)
		return through_input(dec, token_cstring(tok));
	else if (!is_number(tok))
		wrong_kind(dec, tok);
	else if (!token_int64(tok, &v))
		does_not_fit(dec, tok,
					 tok->kind == CBOR_DOUBLE && fabs(tok->d) < 9e18
						 ? ERRCODE_DATATYPE_MISMATCH
						 : ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE);
	if (v < min || v > max)
		does_not_fit(dec, tok, ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE);
	switch (dec->info.kind)
	{
		case KIND_INT2:
			return Int16GetDatum((int16) v);
		case KIND_INT4:
			return Int32GetDatum((int32) v);
		case KIND_OID:
			return ObjectIdGetDatum((Oid) v);
		default:
			return Int64GetDatum(v);
	}
}

static Datum
decode_float(ResultDecoder *dec, CborReader *r, const CborToken *tok)
{
	double v;

	if (tok->kind == CBOR_DOUBLE)
		v = tok->d;
	else if (tok->kind == CBOR_UINT)
		v = (double) tok->u;
	else if (tok->kind == CBOR_NINT)
		v = -1.0 - (double) tok->u;
	else if (is_number_tag(tok))
		return through_input(dec, number_text(r, tok));
	else if (tok->kind == CBOR_TEXT)
		return through_input(dec, token_cstring(tok));
	else
		wrong_kind(dec, tok);
	if (dec->info.kind == KIND_FLOAT8)
		return Float8GetDatum(v);
	if (isfinite(v) && !isfinite((float) v))
		does_not_fit(dec, tok, ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE);
	return Float4GetDatum((float) v);
}

/* --- bytes, dates and times ------------------------------------------------------- */

/* Bytes; or text: bytea's own hex form, else base64 (all that JSON has). */
static Datum
decode_bytea(ResultDecoder *dec, const CborToken *tok)
{
	bytea *result;

	if (tok->kind == CBOR_BYTES)
	{
		result = palloc(VARHDRSZ + tok->n);
		SET_VARSIZE(result, VARHDRSZ + tok->n);
		memcpy(VARDATA(result), tok->p, tok->n);
		return PointerGetDatum(result);
	}
	if (tok->kind != CBOR_TEXT)
		wrong_kind(dec, tok);
	if (tok->n >= 2 && tok->p[0] == '\\' && tok->p[1] == 'x')
		return through_input(dec, token_cstring(tok));
	else
	{
		int size = pg_b64_dec_len((int) tok->n);
		int len;

		result = palloc(VARHDRSZ + size);
		len = pg_b64_decode((const void *) tok->p, (int) tok->n,
							(void *) VARDATA(result), size);
		if (len < 0)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
					 errmsg("result of the remote function does not fit type %s",
							format_type_be(dec->info.type)),
					 errdetail("The string is neither base64 nor begins with \\x.")));
		SET_VARSIZE(result, VARHDRSZ + len);
		return PointerGetDatum(result);
	}
}

/* A moment: tags 0 and 1, or text, as timestamptz. */
static Datum
decode_moment(ResultDecoder *dec, CborReader *r, const CborToken *tok)
{
	CborToken inner;

	codec_next(r, &inner);
	if (tok->u == CBOR_TAG_DATETIME_TEXT && inner.kind == CBOR_TEXT)
		return DirectFunctionCall3(timestamptz_in,
								   CStringGetDatum(token_cstring(&inner)),
								   ObjectIdGetDatum(InvalidOid),
								   Int32GetDatum(-1));
	if (tok->u == CBOR_TAG_EPOCH && is_number(&inner))
		return DirectFunctionCall1(
			float8_timestamptz,
			DirectFunctionCall1(float8in,
								CStringGetDatum(number_text(r, &inner))));
	wrong_kind(dec, tok);
	return (Datum) 0;
}

static Datum
decode_time(ResultDecoder *dec, CborReader *r, const CborToken *tok)
{
	CborToken inner = *tok;
	Datum moment;

	if (tok->kind == CBOR_TAG &&
		(tok->u == CBOR_TAG_DATETIME_TEXT || tok->u == CBOR_TAG_EPOCH))
	{
		moment = decode_moment(dec, r, tok);
		if (dec->info.kind == KIND_TIMESTAMPTZ)
			return moment;
		/* The inverse of what the encoder does: a timestamp is UTC. */
		moment = DirectFunctionCall2(timestamptz_zone,
									 CStringGetTextDatum("UTC"), moment);
		if (dec->info.kind == KIND_TIMESTAMP)
			return moment;
		return DirectFunctionCall1(timestamp_date, moment);
	}
	if (tok->kind == CBOR_TAG && tok->u == CBOR_TAG_DATE_TEXT)
		codec_next(r, &inner);
	if (inner.kind != CBOR_TEXT)
		wrong_kind(dec, tok);
	return through_input(dec, token_cstring(&inner));
}

static Datum
decode_uuid(ResultDecoder *dec, CborReader *r, const CborToken *tok)
{
	CborToken inner = *tok;
	pg_uuid_t *uuid;

	if (tok->kind == CBOR_TAG && tok->u == CBOR_TAG_UUID)
		codec_next(r, &inner);
	if (inner.kind == CBOR_TEXT)
		return through_input(dec, token_cstring(&inner));
	if (inner.kind != CBOR_BYTES || inner.n != UUID_LEN)
		wrong_kind(dec, tok);
	uuid = palloc(sizeof(pg_uuid_t));
	memcpy(uuid->data, inner.p, UUID_LEN);
	return UUIDPGetDatum(uuid);
}

/* --- text and everything else that has an input function --------------------------- */

/* Containers and tags as they would look in jsonb. */
static char *
item_json(CborReader *r, const CborToken *tok)
{
	Jsonb *jb = cbor_to_jsonb(r, tok);

	return JsonbToCString(NULL, &jb->root, VARSIZE(jb));
}

static char *
item_text(ResultDecoder *dec, CborReader *r, const CborToken *tok)
{
	CborToken inner = *tok;

	if (is_number(tok))
		return number_text(r, tok);
	switch (tok->kind)
	{
		case CBOR_TEXT:
			return token_cstring(tok);
		case CBOR_BOOL:
			return pstrdup(tok->u ? "true" : "false");
		case CBOR_ARRAY:
		case CBOR_MAP:
			return item_json(r, tok);
		case CBOR_TAG:
			if (tok->u == CBOR_TAG_DATETIME_TEXT || tok->u == CBOR_TAG_DATE_TEXT)
			{
				codec_next(r, &inner);
				return item_text(dec, r, &inner);
			}
			if (tok->u == CBOR_TAG_UUID)
			{
				Jsonb *jb = cbor_to_jsonb(r, tok);
				JsonbValue v;

				(void) JsonbExtractScalar(&jb->root, &v);
				return pnstrdup(v.val.string.val, v.val.string.len);
			}
			return item_json(r, tok);
		default:
			wrong_kind(dec, tok);
			return NULL;
	}
}

static Datum
decode_text(ResultDecoder *dec, CborReader *r, const CborToken *tok)
{
	Size len;
	char *text;

	if (tok->kind == CBOR_TEXT && dec->typmod < 0)
	{
		text = codec_text(tok->p, tok->n, &len);
		return PointerGetDatum(cstring_to_text_with_len(text, (int) len));
	}
	return through_input(dec, item_text(dec, r, tok));
}

/* --- arrays ---------------------------------------------------------------------------- */

typedef struct ArrayBuild
{
	ResultDecoder *dec;
	Datum *values;
	bool *nulls;
	int n, size;
	int ndim;			/* 0: not known yet */
	int dims[MAXDIM];
	bool known[MAXDIM]; /* is the length of this dimension known? */
} ArrayBuild;

static void
array_add(ArrayBuild *build, Datum value, bool isnull)
{
	if (build->n == build->size)
	{
		build->size = Max(build->size * 2, 64);
		build->values = build->values == NULL
			? palloc(build->size * sizeof(Datum))
			: repalloc(build->values, build->size * sizeof(Datum));
		build->nulls = build->nulls == NULL
			? palloc(build->size * sizeof(bool))
			: repalloc(build->nulls, build->size * sizeof(bool));
	}
	build->values[build->n] = value;
	build->nulls[build->n++] = isnull;
}

static void
not_rectangular(ArrayBuild *build)
{
	ereport(ERROR,
			(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
			 errmsg("result of the remote function does not fit type %s",
					format_type_be(build->dec->info.type)),
			 errdetail("Arrays within an array must all have the same length.")));
}

/* An array token at nesting level has been read: its elements. */
static void
read_dimension(ArrayBuild *build, CborReader *r, int level)
{
	CborToken tok;
	int count = 0;
	bool nests = build->dec->element->info.kind != KIND_JSON &&
		build->dec->element->info.kind != KIND_JSONB &&
		build->dec->element->info.kind != KIND_ROW &&
		build->dec->element->info.kind != KIND_VECTOR;

	for (;;)
	{
		bool isnull;
		Datum value;

		CHECK_FOR_INTERRUPTS();
		codec_next(r, &tok);
		if (tok.kind == CBOR_END)
			break;
		count++;
		if (nests && tok.kind == CBOR_ARRAY)
		{
			if (level + 1 == MAXDIM)
				ereport(ERROR,
						(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						 errmsg("number of array dimensions exceeds the maximum allowed (%d)",
								MAXDIM)));
			if (build->ndim == level + 1)
				not_rectangular(build);
			read_dimension(build, r, level + 1);
			continue;
		}
		if (build->ndim == 0)
			build->ndim = level + 1;
		if (build->ndim != level + 1)
			not_rectangular(build);
		value = decode_value(build->dec->element, r, &tok, &isnull);
		array_add(build, value, isnull);
	}
	if (build->known[level] && build->dims[level] != count)
		not_rectangular(build);
	build->known[level] = true;
	build->dims[level] = count;
}

static Datum
decode_array(ResultDecoder *dec, CborReader *r, const CborToken *tok)
{
	ArrayBuild build = {.dec = dec};
	const TypeInfo *element = &dec->element->info;
	Oid element_type = element->type;
	int lower[MAXDIM];

	if (tok->kind == CBOR_TEXT) /* SQL's own form, {1,2,3} */
		return through_input(dec, token_cstring(tok));
	if (tok->kind != CBOR_ARRAY)
		wrong_kind(dec, tok);
	read_dimension(&build, r, 0);
	if (build.n == 0)
		return PointerGetDatum(construct_empty_array(element_type));
	for (int i = 0; i < MAXDIM; i++)
		lower[i] = 1;
	return PointerGetDatum(construct_md_array(
		build.values, build.nulls, build.ndim, build.dims, lower, element_type,
		element->len, element->byval, element->align));
}

/* pgvector reads [1,2,3], as JSON writes it. */
static Datum
decode_vector(ResultDecoder *dec, CborReader *r, const CborToken *tok)
{
	if (tok->kind == CBOR_TEXT)
		return through_input(dec, token_cstring(tok));
	if (tok->kind != CBOR_ARRAY)
		wrong_kind(dec, tok);
	return through_input(dec, item_json(r, tok));
}

/* --- rows ------------------------------------------------------------------------------- */

static int
column_named(const ResultDecoder *dec, const CborToken *key)
{
	Size len;
	char *name = codec_text(key->p, key->n, &len);

	for (int i = 0; i < dec->desc->natts; i++)
	{
		const char *attname = NameStr(TupleDescAttr(dec->desc, i)->attname);

		if (dec->columns[i] != NULL && strlen(attname) == len &&
			memcmp(attname, name, len) == 0)
			return i;
	}
	return -1;
}

static void
read_map(ResultDecoder *dec, CborReader *r, Datum *values, bool *isnull,
		 bool *found)
{
	CborToken tok;

	for (;;)
	{
		int column;

		codec_next(r, &tok);
		if (tok.kind == CBOR_END)
			return;
		column = tok.kind == CBOR_TEXT ? column_named(dec, &tok) : -1;
		if (!cbor_skip(r, &tok))
			codec_bad_bytes(r);
		codec_next(r, &tok);
		if (column < 0)
		{
			if (!cbor_skip(r, &tok))
				codec_bad_bytes(r);
			continue;
		}
		values[column] =
			decode_value(dec->columns[column], r, &tok, &isnull[column]);
		found[column] = true;
	}
}

static void
read_positions(ResultDecoder *dec, CborReader *r, Datum *values, bool *isnull,
			   bool *found)
{
	CborToken tok;
	int column = -1;
	int live = 0, count = 0;

	for (int i = 0; i < dec->desc->natts; i++)
		live += dec->columns[i] != NULL;
	for (;;)
	{
		codec_next(r, &tok);
		if (tok.kind == CBOR_END)
			break;
		do
			column++;
		while (column < dec->desc->natts && dec->columns[column] == NULL);
		count++;
		if (column < dec->desc->natts)
		{
			values[column] =
				decode_value(dec->columns[column], r, &tok, &isnull[column]);
			found[column] = true;
		}
		else if (!cbor_skip(r, &tok))
			codec_bad_bytes(r);
	}
	if (count != live)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("result of the remote function has %d values, but %d are declared",
						count, live)));
}

static void
read_row(ResultDecoder *dec, CborReader *r, CborToken *tok, int scalar_column,
		 Datum *values, bool *isnull, bool *found)
{
	memset(isnull, true, dec->desc->natts * sizeof(bool));
	memset(found, false, dec->desc->natts * sizeof(bool));
	memset(values, 0, dec->desc->natts * sizeof(Datum));
	if (tok->kind == CBOR_MAP)
		read_map(dec, r, values, isnull, found);
	else if (tok->kind == CBOR_ARRAY && scalar_column < 0)
		read_positions(dec, r, values, isnull, found);
	else if (scalar_column >= 0)
	{
		values[scalar_column] = decode_value(dec->columns[scalar_column], r,
											 tok, &isnull[scalar_column]);
		found[scalar_column] = true;
	}
	else
		wrong_kind(dec, tok);
}

static Datum
decode_row(ResultDecoder *dec, CborReader *r, CborToken *tok)
{
	/* Scratch is the decoder's: a row type cannot contain itself. */
	read_row(dec, r, tok, -1, dec->values, dec->nulls, dec->found);
	return HeapTupleGetDatum(
		heap_form_tuple(dec->desc, dec->values, dec->nulls));
}

/* --- any value ---------------------------------------------------------------------------- */

static Datum
decode_kind(ResultDecoder *dec, CborReader *r, CborToken *tok)
{
	switch (dec->info.kind)
	{
		case KIND_BOOL:
			if (tok->kind == CBOR_TEXT)
				return through_input(dec, token_cstring(tok));
			if (tok->kind != CBOR_BOOL)
				wrong_kind(dec, tok);
			return BoolGetDatum(tok->u != 0);
		case KIND_INT2:
			return decode_integer(dec, r, tok, PG_INT16_MIN, PG_INT16_MAX);
		case KIND_INT4:
			return decode_integer(dec, r, tok, PG_INT32_MIN, PG_INT32_MAX);
		case KIND_INT8:
			return decode_integer(dec, r, tok, PG_INT64_MIN, PG_INT64_MAX);
		case KIND_OID:
			return decode_integer(dec, r, tok, 0, PG_UINT32_MAX);
		case KIND_FLOAT4:
		case KIND_FLOAT8:
			return decode_float(dec, r, tok);
		case KIND_NUMERIC:
			if (tok->kind != CBOR_TEXT && !is_number(tok))
				wrong_kind(dec, tok);
			return through_input(dec, tok->kind == CBOR_TEXT
										  ? token_cstring(tok)
										  : number_text(r, tok));
		case KIND_TEXT:
			return decode_text(dec, r, tok);
		case KIND_BYTEA:
			return decode_bytea(dec, tok);
		case KIND_DATE:
		case KIND_TIMESTAMP:
		case KIND_TIMESTAMPTZ:
			return decode_time(dec, r, tok);
		case KIND_UUID:
			return decode_uuid(dec, r, tok);
		case KIND_JSONB:
			return JsonbPGetDatum(cbor_to_jsonb(r, tok));
		case KIND_JSON:
			return CStringGetTextDatum(item_json(r, tok));
		case KIND_ARRAY:
			return decode_array(dec, r, tok);
		case KIND_ROW:
			return decode_row(dec, r, tok);
		case KIND_VECTOR:
			return decode_vector(dec, r, tok);
		case KIND_INTERVAL:
		case KIND_OTHER:
			break;
	}
	if (tok->kind == CBOR_BYTES)
		wrong_kind(dec, tok);
	return through_input(dec, item_text(dec, r, tok));
}

static Datum
decode_value(ResultDecoder *dec, CborReader *r, CborToken *tok, bool *isnull)
{
	Datum value = (Datum) 0;

	check_stack_depth();
	while (tok->kind == CBOR_TAG && tok->u == CBOR_TAG_SET)
		codec_next(r, tok);
	*isnull = tok->kind == CBOR_NULL || tok->kind == CBOR_UNDEFINED;
	if (!*isnull)
		value = decode_kind(dec, r, tok);
	if (dec->info.type != dec->info.base)
		domain_check(value, *isnull, dec->info.type, &dec->domain_cache,
					 dec->cxt);
	return value;
}

/* --- JSON results --------------------------------------------------------------------------- */

/* The whole result as CBOR; integers and the like without a parser. */
static void
json_as_cbor(Buf *buf, const char *p, Size n)
{
	Writer w = {.buf = buf};
	bool digits = n > 0 && n <= 18;

	for (Size i = 0; digits && i < n; i++)
		digits = (p[i] >= '0' && p[i] <= '9') || (i == 0 && p[i] == '-' && n > 1);
	if (digits && !(n > 1 && p[0] == '0'))
		write_numeric_text(&w, pnstrdup(p, n));
	else if (n == 4 && memcmp(p, "null", 4) == 0)
		cbor_put_null(buf);
	else
		write_jsonb(&w, result_to_jsonb(PAYLOAD_JSON, p, n));
}

/* Begin reading a result; *copy holds it if it had to be converted. */
static void
open_result(CborReader *r, CborToken *tok, PayloadFormat format, const void *p,
			Size n, Buf *copy)
{
	buf_init(copy, 0, buf_palloc);
	if (format == PAYLOAD_JSON)
	{
		json_as_cbor(copy, p, n);
		p = copy->data;
		n = copy->len;
	}
	cbor_reader_init(r, p, n, CODEC_MAX_DEPTH, buf_palloc);
	codec_next(r, tok);
	if (tok->kind == CBOR_TAG && tok->u == CBOR_TAG_SELF_DESCRIBED)
		codec_next(r, tok);
}

static void
close_result(CborReader *r, Buf *copy)
{
	CborToken tok;

	if (cbor_next(r, &tok) || r->error != CBOR_OK)
		codec_bad_bytes(r);
	cbor_reader_free(r);
	buf_free(copy);
}

Datum
result_decode(ResultDecoder *dec, PayloadFormat format, const void *p, Size n,
			  bool *isnull)
{
	CborReader r;
	CborToken tok;
	Buf copy;
	Datum value;

	open_result(&r, &tok, format, p, n, &copy);
	value = decode_value(dec, &r, &tok, isnull);
	close_result(&r, &copy);
	return value;
}

void
result_decode_row(ResultDecoder *dec, PayloadFormat format, const void *p,
				  Size n, int scalar_column, Datum *values, bool *isnull,
				  bool *found)
{
	CborReader r;
	CborToken tok;
	Buf copy;

	Assert(dec->info.kind == KIND_ROW);
	open_result(&r, &tok, format, p, n, &copy);
	read_row(dec, &r, &tok, scalar_column, values, isnull, found);
	close_result(&r, &copy);
}
