/*-------------------------------------------------------------------------
 *
 * codec_jsonb.c
 *	  CBOR to jsonb, without a detour through text.
 *
 * A scalar result, the most frequent kind, is put together directly; the rest
 * goes through the server's own builder.  What jsonb cannot hold follows the
 * rules of docs/types.md.
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include <math.h>

#include "common/base64.h"
#include "core/bignum.h"
#include "mb/pg_wchar.h"
#include "session/codec_types.h"
#include "utils/builtins.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#define MAX_NUMERIC_EXPONENT 16383 /* digits on either side of the point */
#define MAX_BIGNUM_BYTES 8192

/* --- bytes that are wrong ------------------------------------------------- */

void
codec_bad_bytes(CborReader *r)
{
	if (r->error == CBOR_TOO_DEEP)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("result of the remote function is nested too deeply"),
				 errdetail("The limit is %d levels.", CODEC_MAX_DEPTH)));
	ereport(ERROR,
			(errcode(ERRCODE_PROTOCOL_VIOLATION),
			 errmsg("result of the remote function cannot be decoded"),
			 errdetail("Invalid CBOR: %s.", cbor_error_text(r->error))));
}

void
codec_next(CborReader *r, CborToken *tok)
{
	if (!cbor_next(r, tok))
	{
		if (r->error == CBOR_OK)
			r->error = CBOR_TRUNCATED;
		codec_bad_bytes(r);
	}
}

char *
codec_text(const uint8_t *p, Size n, Size *len)
{
	char *text;

	if (memchr(p, '\0', n) != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNTRANSLATABLE_CHARACTER),
				 errmsg("result of the remote function has text with a zero character"),
				 errdetail("\\u0000 cannot be converted to text.")));
	if (GetDatabaseEncoding() == PG_UTF8)
	{
		*len = n;
		return (char *) p;
	}
	text = pg_any_to_server((const char *) p, n, PG_UTF8);
	*len = text == (const char *) p ? n : strlen(text);
	return text;
}

/* --- numbers ------------------------------------------------------------------ */

static Datum
numeric_from_text(const char *text)
{
	return DirectFunctionCall3(numeric_in, CStringGetDatum(text),
							   ObjectIdGetDatum(InvalidOid),
							   Int32GetDatum(-1));
}

static Datum
numeric_from_double(double v)
{
	char text[DOUBLE_TEXT_SIZE];

	text[double_to_text(v, text)] = '\0';
	return numeric_from_text(text);
}

/* The integer of a token of kind CBOR_UINT or CBOR_NINT. */
static Datum
numeric_from_int(const CborToken *tok)
{
	char text[32];

	if (tok->u <= (uint64) PG_INT64_MAX)
		return NumericGetDatum(int64_to_numeric(
			tok->kind == CBOR_UINT ? (int64) tok->u : -1 - (int64) tok->u));
	if (tok->kind == CBOR_UINT)
		snprintf(text, sizeof(text), UINT64_FORMAT, tok->u);
	else if (tok->u == PG_UINT64_MAX)
		strcpy(text, "-18446744073709551616");
	else
		snprintf(text, sizeof(text), "-" UINT64_FORMAT, tok->u + 1);
	return numeric_from_text(text);
}

static Datum
numeric_from_bignum(CborReader *r, bool negative)
{
	CborToken tok;
	Datum value;
	Buf digits;

	codec_next(r, &tok);
	if (tok.kind != CBOR_BYTES)
		ereport(ERROR,
				(errcode(ERRCODE_PROTOCOL_VIOLATION),
				 errmsg("result of the remote function cannot be decoded"),
				 errdetail("A big integer is not made of bytes.")));
	if (tok.n > MAX_BIGNUM_BYTES)
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("integer in the result of the remote function is too large")));
	buf_init(&digits, 0, buf_palloc);
	if (!bignum_to_digits(&digits, tok.p, tok.n))
		elog(ERROR, "could not write a big integer as digits");
	value = numeric_from_text(buf_cstr(&digits));
	buf_free(&digits);
	if (negative)
		value = DirectFunctionCall2(
			numeric_sub, NumericGetDatum(int64_to_numeric(-1)), value);
	return value;
}

/* An integer within a decimal fraction: plain or a bignum. */
static Datum
numeric_from_item(CborReader *r)
{
	CborToken tok;

	codec_next(r, &tok);
	if (tok.kind == CBOR_UINT || tok.kind == CBOR_NINT)
		return numeric_from_int(&tok);
	if (tok.kind == CBOR_TAG &&
		(tok.u == CBOR_TAG_BIGNUM || tok.u == CBOR_TAG_NEG_BIGNUM))
		return numeric_from_bignum(r, tok.u == CBOR_TAG_NEG_BIGNUM);
	ereport(ERROR, (errcode(ERRCODE_PROTOCOL_VIOLATION),
					errmsg("result of the remote function cannot be decoded"),
					errdetail("A decimal fraction is not made of integers.")));
}

static Datum
numeric_from_decimal(CborReader *r)
{
	CborToken tok;
	int64 exponent;
	char *mantissa;

	codec_next(r, &tok);
	if (tok.kind != CBOR_ARRAY || tok.indefinite || tok.u != 2)
		ereport(ERROR,
				(errcode(ERRCODE_PROTOCOL_VIOLATION),
				 errmsg("result of the remote function cannot be decoded"),
				 errdetail("A decimal fraction is not a pair.")));
	codec_next(r, &tok);
	if ((tok.kind != CBOR_UINT && tok.kind != CBOR_NINT) ||
		tok.u > MAX_NUMERIC_EXPONENT)
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("exponent in the result of the remote function is out of range")));
	exponent = tok.kind == CBOR_UINT ? (int64) tok.u : -1 - (int64) tok.u;
	mantissa = DatumGetCString(
		DirectFunctionCall1(numeric_out, numeric_from_item(r)));
	codec_next(r, &tok); /* the end of the pair */
	return numeric_from_text(
		psprintf("%se" INT64_FORMAT, mantissa, exponent));
}

Datum
cbor_numeric(CborReader *r, const CborToken *tag)
{
	if (tag->u == CBOR_TAG_DECIMAL)
		return numeric_from_decimal(r);
	return numeric_from_bignum(r, tag->u == CBOR_TAG_NEG_BIGNUM);
}

/* --- one item as a JsonbValue ------------------------------------------------- */

static void
set_text(JsonbValue *v, const char *p, Size n)
{
	v->type = jbvString;
	v->val.string.val = (char *) p;
	v->val.string.len = (int) n;
}

static void
set_base64(JsonbValue *v, const uint8 *p, Size n)
{
	int size = pg_b64_enc_len((int) n);
	char *text = palloc(size + 1);

	set_text(v, text, pg_b64_encode((const void *) p, (int) n, text, size));
}

/* Text survives a later token only as a copy when its string was joined. */
static void
set_cbor_text(JsonbValue *v, const CborToken *tok)
{
	Size len;
	char *text = codec_text(tok->p, tok->n, &len);

	if (tok->indefinite)
		text = pnstrdup(text, len);
	set_text(v, text, len);
}

static void
set_double(JsonbValue *v, double d)
{
	if (isnan(d))
		set_text(v, "NaN", 3);
	else if (isinf(d))
		set_text(v, d > 0 ? "Infinity" : "-Infinity", d > 0 ? 8 : 9);
	else
	{
		v->type = jbvNumeric;
		v->val.numeric = DatumGetNumeric(numeric_from_double(d));
	}
}

/* Seconds since 1970 (tag 1) as the text that tag 0 would have had. */
static void
set_epoch(CborReader *r, JsonbValue *v)
{
	CborToken tok;
	double seconds;
	char *text;

	codec_next(r, &tok);
	if (tok.kind == CBOR_DOUBLE)
		seconds = tok.d;
	else if (tok.kind == CBOR_UINT)
		seconds = (double) tok.u;
	else if (tok.kind == CBOR_NINT)
		seconds = -1.0 - (double) tok.u;
	else
		ereport(ERROR,
				(errcode(ERRCODE_PROTOCOL_VIOLATION),
				 errmsg("result of the remote function cannot be decoded"),
				 errdetail("A time is not a number.")));
	text = DatumGetCString(DirectFunctionCall1(
		timestamptz_out,
		DirectFunctionCall1(float8_timestamptz, Float8GetDatum(seconds))));
	set_text(v, text, strlen(text));
}

static void
set_uuid(CborReader *r, JsonbValue *v)
{
	CborToken tok;
	pg_uuid_t uuid;
	char *text;

	codec_next(r, &tok);
	if (tok.kind != CBOR_BYTES || tok.n != UUID_LEN)
		ereport(ERROR,
				(errcode(ERRCODE_PROTOCOL_VIOLATION),
				 errmsg("result of the remote function cannot be decoded"),
				 errdetail("A UUID is not made of 16 bytes.")));
	memcpy(uuid.data, tok.p, UUID_LEN);
	text = DatumGetCString(
		DirectFunctionCall1(uuid_out, UUIDPGetDatum(&uuid)));
	set_text(v, text, strlen(text));
}

/*
 * Tags that become a scalar.  True when the item is complete in *v; false
 * when the tag only says something about the item that follows.
 */
static bool
tagged_scalar(CborReader *r, const CborToken *tag, JsonbValue *v)
{
	switch (tag->u)
	{
		case CBOR_TAG_BIGNUM:
		case CBOR_TAG_NEG_BIGNUM:
		case CBOR_TAG_DECIMAL:
			v->type = jbvNumeric;
			v->val.numeric = DatumGetNumeric(cbor_numeric(r, tag));
			return true;
		case CBOR_TAG_EPOCH:
			set_epoch(r, v);
			return true;
		case CBOR_TAG_UUID:
			set_uuid(r, v);
			return true;
		default:
			return false;
	}
}

/* A token that is a scalar by itself. */
static bool
plain_scalar(const CborToken *tok, JsonbValue *v)
{
	switch (tok->kind)
	{
		case CBOR_UINT:
		case CBOR_NINT:
			v->type = jbvNumeric;
			v->val.numeric = DatumGetNumeric(numeric_from_int(tok));
			return true;
		case CBOR_DOUBLE:
			set_double(v, tok->d);
			return true;
		case CBOR_TEXT:
			set_cbor_text(v, tok);
			return true;
		case CBOR_BYTES:
			set_base64(v, tok->p, tok->n);
			return true;
		case CBOR_BOOL:
			v->type = jbvBool;
			v->val.boolean = tok->u != 0;
			return true;
		case CBOR_NULL:
		case CBOR_UNDEFINED:
			v->type = jbvNull;
			return true;
		case CBOR_SIMPLE:
			v->type = jbvNumeric;
			v->val.numeric = int64_to_numeric((int64) tok->u);
			return true;
		default:
			return false;
	}
}

/* --- a scalar as a whole jsonb ------------------------------------------------- */

/* An array of one element with the scalar flag, as the server stores it. */
static Jsonb *
scalar_jsonb(const JsonbValue *v)
{
	JEntry entry;
	const void *data = NULL;
	Size len = 0, size;
	Jsonb *jb;

	switch (v->type)
	{
		case jbvNull:
			entry = JENTRY_ISNULL;
			break;
		case jbvBool:
			entry = v->val.boolean ? JENTRY_ISBOOL_TRUE : JENTRY_ISBOOL_FALSE;
			break;
		case jbvNumeric:
			data = v->val.numeric;
			len = VARSIZE_ANY(v->val.numeric);
			entry = JENTRY_ISNUMERIC;
			break;
		default:
			data = v->val.string.val;
			len = v->val.string.len;
			entry = JENTRY_ISSTRING;
			break;
	}
	if (len > JENTRY_OFFLENMASK)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("result of the remote function is too large for jsonb")));
	size = offsetof(Jsonb, root) + offsetof(JsonbContainer, children) +
		sizeof(JEntry) + len;
	jb = palloc(size);
	SET_VARSIZE(jb, size);
	jb->root.header = JB_FARRAY | JB_FSCALAR | 1;
	jb->root.children[0] = entry | JENTRY_HAS_OFF | (JEntry) len;
	if (len > 0)
		memcpy(&jb->root.children[1], data, len);
	return jb;
}

/* --- containers ------------------------------------------------------------------ */

/* A scalar, with or without tags; tok moves on to what the tags are about. */
static bool
any_scalar(CborReader *r, CborToken *tok, JsonbValue *v)
{
	while (tok->kind == CBOR_TAG)
	{
		if (tagged_scalar(r, tok, v))
			return true;
		codec_next(r, tok);
	}
	return plain_scalar(tok, v);
}

/* Keys of maps become text; containers cannot be keys. */
static void
set_key(CborReader *r, CborToken *tok, JsonbValue *key)
{
	JsonbValue v;
	char *text;

	if (!any_scalar(r, tok, &v))
		ereport(ERROR,
				(errcode(ERRCODE_PROTOCOL_VIOLATION),
				 errmsg("result of the remote function cannot be converted to jsonb"),
				 errdetail("A key of a map is itself an array or a map.")));
	switch (v.type)
	{
		case jbvString:
			*key = v;
			return;
		case jbvNumeric:
			text = DatumGetCString(DirectFunctionCall1(
				numeric_out, NumericGetDatum(v.val.numeric)));
			break;
		case jbvBool:
			text = v.val.boolean ? "true" : "false";
			break;
		default:
			text = "null";
			break;
	}
	set_text(key, text, strlen(text));
}

/* Iterative: state is the server's stack of open containers, open is ours. */
static Jsonb *
build_container(CborReader *r, const CborToken *first)
{
	JsonbParseState *state = NULL;
	JsonbValue *result = NULL;
	CborToken tok = *first;
	CborKind open[CODEC_MAX_DEPTH + 1];
	int depth = 0;
	JsonbValue v;

	for (;;)
	{
		bool in_map = depth > 0 && open[depth - 1] == CBOR_MAP;

		CHECK_FOR_INTERRUPTS();
		Assert(depth > 0 || tok.kind != CBOR_END);
		if (tok.kind == CBOR_END)
			result = pushJsonbValue(&state,
									open[--depth] == CBOR_MAP ? WJB_END_OBJECT
															  : WJB_END_ARRAY,
									NULL);
		else if (tok.is_key)
		{
			set_key(r, &tok, &v);
			(void) pushJsonbValue(&state, WJB_KEY, &v);
		}
		else if (any_scalar(r, &tok, &v))
			(void) pushJsonbValue(&state, in_map ? WJB_VALUE : WJB_ELEM, &v);
		else
		{
			open[depth++] = tok.kind;
			(void) pushJsonbValue(&state,
								  tok.kind == CBOR_MAP ? WJB_BEGIN_OBJECT
													   : WJB_BEGIN_ARRAY,
								  NULL);
		}
		if (depth == 0)
			break;
		codec_next(r, &tok);
	}
	return JsonbValueToJsonb(result);
}

Jsonb *
cbor_to_jsonb(CborReader *r, const CborToken *tok)
{
	CborToken inner = *tok;
	JsonbValue v;

	if (any_scalar(r, &inner, &v))
		return scalar_jsonb(&v);
	return build_container(r, &inner);
}

Jsonb *
cbor_item_to_jsonb(const void *p, Size n)
{
	CborReader r;
	CborToken tok;
	Jsonb *jb;

	cbor_reader_init(&r, p, n, CODEC_MAX_DEPTH, buf_palloc);
	codec_next(&r, &tok);
	jb = cbor_to_jsonb(&r, &tok);
	if (cbor_next(&r, &tok) || r.error != CBOR_OK)
		codec_bad_bytes(&r);
	cbor_reader_free(&r);
	return jb;
}

static Jsonb *
json_to_jsonb(const void *p, Size n)
{
	char *text = pg_any_to_server((const char *) p, n, PG_UTF8);

	if (text == (const char *) p)
		text = pnstrdup(p, n);
	return DatumGetJsonbP(
		DirectFunctionCall1(jsonb_in, CStringGetDatum(text)));
}

Jsonb *
result_to_jsonb(PayloadFormat format, const void *p, Size n)
{
	return format == PAYLOAD_JSON ? json_to_jsonb(p, n)
								  : cbor_item_to_jsonb(p, n);
}
