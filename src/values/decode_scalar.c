/*-------------------------------------------------------------------------
 *
 * decode_scalar.c
 *	  Results to declared types that are neither arrays nor rows; see decode.h.
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include <math.h>

#include "common/base64.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/uuid.h"
#include "values/decode.h"

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
				char *text = text_from_utf8(tok->p, tok->n, &len);
				int shown = pg_mbcliplen(text, len, MAX_SHOWN);

				return psprintf("the string \"%.*s\"%s", shown, text,
								shown < (int) len ? "..." : "");
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

void
does_not_fit(const ResultDecoder *dec, const CborToken *tok, int code)
{
	ereport(ERROR,
			(errcode(code),
			 errmsg("result of the remote function does not fit type %s",
					format_type_be(dec->info.type)),
			 errdetail("The result is %s.", describe(tok))));
}

void
wrong_kind(const ResultDecoder *dec, const CborToken *tok)
{
	does_not_fit(dec, tok, ERRCODE_DATATYPE_MISMATCH);
}

void
not_a_list(const CborToken *tok)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATATYPE_MISMATCH),
			 errmsg("result of the remote function is not a list"),
			 errdetail("The result is %s.", describe(tok))));
}

Datum
decode_through_input(ResultDecoder *dec, const char *text)
{
	return value_from_text(&dec->in, text, dec->ioparam, dec->typmod,
						   dec->info.names_objects);
}

char *
token_cstring(const CborToken *tok)
{
	Size len;
	char *text = text_from_utf8(tok->p, tok->n, &len);

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

bool
is_number(const CborToken *tok)
{
	return tok->kind == CBOR_UINT || tok->kind == CBOR_NINT ||
		tok->kind == CBOR_DOUBLE || is_number_tag(tok);
}

char *
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
		return decode_through_input(dec, token_cstring(tok));
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

float4
number_as_float(ResultDecoder *dec, CborReader *r, const CborToken *tok)
{
	char *text;
	float4 v;

	if (!is_number(tok))
		wrong_kind(dec, tok);
	if (tok->kind == CBOR_DOUBLE && number_nearest_float(tok->d, &v))
		return v;
	text = number_text(r, tok);
	v = strtof(text, NULL);
	if (isinf(v) && strchr(text, 'I') == NULL)
		does_not_fit(dec, tok, ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE);
	pfree(text);
	return v;
}

/* Rounded once, as a type's input function does it. */
static Datum
decode_float(ResultDecoder *dec, CborReader *r, const CborToken *tok)
{
	float4 v;

	if (is_number_tag(tok))
		return decode_through_input(dec, number_text(r, tok));
	if (tok->kind == CBOR_TEXT)
		return decode_through_input(dec, token_cstring(tok));
	if (dec->info.kind == KIND_FLOAT4)
	{
		v = number_as_float(dec, r, tok);
		if (v == 0 && tok->kind == CBOR_DOUBLE && tok->d != 0)
			does_not_fit(dec, tok, ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE);
		return Float4GetDatum(v);
	}
	switch (tok->kind)
	{
		case CBOR_DOUBLE:
			return Float8GetDatum(tok->d);
		case CBOR_UINT:
			return Float8GetDatum((double) tok->u);
		case CBOR_NINT:
			/* -1 - u would be rounded twice */
			return Float8GetDatum(tok->u == PG_UINT64_MAX
									  ? -18446744073709551616.0
									  : -(double) (tok->u + 1));
		default:
			wrong_kind(dec, tok);
			return (Datum) 0;
	}
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
		return decode_through_input(dec, token_cstring(tok));
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

/* Seconds since 1970. */
static TimestampTz
moment_from_epoch(ResultDecoder *dec, CborReader *r)
{
	CborToken tok;

	next_token(r, &tok);
	if (!is_number(&tok))
		wrong_kind(dec, &tok);
	return DatumGetTimestampTz(DirectFunctionCall1(
		float8_timestamptz,
		DirectFunctionCall1(float8in, CStringGetDatum(number_text(r, &tok)))));
}

/* A timestamp is in UTC, as the encoder writes it; a date is that of UTC. */
static Datum
moment_as(const ResultDecoder *dec, TimestampTz moment)
{
	Datum value = TimestampTzGetDatum(moment);

	if (dec->info.kind == KIND_DATE)
		return DirectFunctionCall1(timestamp_date, value);
	return dec->typmod < 0
		? value
		: DirectFunctionCall2(timestamp_scale, value, Int32GetDatum(dec->typmod));
}

/*
 * Tags 0 and 1, and text.  A date alone reaches further than a timestamp does,
 * and has no zone to be minded; all that has a time is a moment first.
 */
static Datum
decode_time(ResultDecoder *dec, CborReader *r, const CborToken *tok)
{
	CborToken inner = *tok;
	char *text;

	if (tok->kind == CBOR_TAG && tok->u == CBOR_TAG_EPOCH)
		return moment_as(dec, moment_from_epoch(dec, r));
	if (tok->kind == CBOR_TAG &&
		(tok->u == CBOR_TAG_DATETIME_TEXT || tok->u == CBOR_TAG_DATE_TEXT))
		next_token(r, &inner);
	if (inner.kind != CBOR_TEXT)
		wrong_kind(dec, tok);
	text = token_cstring(&inner);
	if (dec->info.kind == KIND_DATE && strpbrk(text, ":Tt") == NULL)
		return decode_through_input(dec, text);
	return moment_as(dec, moment_from_text(text));
}

static Datum
decode_uuid(ResultDecoder *dec, CborReader *r, const CborToken *tok)
{
	CborToken inner = *tok;
	pg_uuid_t *uuid;

	if (tok->kind == CBOR_TAG && tok->u == CBOR_TAG_UUID)
		next_token(r, &inner);
	if (inner.kind == CBOR_TEXT)
		return decode_through_input(dec, token_cstring(&inner));
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
				next_token(r, &inner);
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
		text = text_from_utf8(tok->p, tok->n, &len);
		return PointerGetDatum(cstring_to_text_with_len(text, (int) len));
	}
	return decode_through_input(dec, item_text(dec, r, tok));
}

/* --- any of them ---------------------------------------------------------- */

Datum
decode_scalar(ResultDecoder *dec, CborReader *r, CborToken *tok)
{
	switch (dec->info.kind)
	{
		case KIND_BOOL:
			if (tok->kind == CBOR_TEXT)
				return decode_through_input(dec, token_cstring(tok));
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
			return decode_through_input(dec, tok->kind == CBOR_TEXT
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
		case KIND_VECTOR:
			if (tok->kind == CBOR_ARRAY && OidIsValid(dec->info.from_floats))
				return decode_floats(dec, r, tok);
			break;
		case KIND_ARRAY:
		case KIND_ROW:
			pg_unreachable();
		case KIND_INTERVAL:
		case KIND_OTHER:
			break;
	}
	if (tok->kind == CBOR_BYTES)
		wrong_kind(dec, tok);
	return decode_through_input(dec, item_text(dec, r, tok));
}
