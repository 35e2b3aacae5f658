/*-------------------------------------------------------------------------
 *
 * jsonb.c
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
#include "core/json_scan.h"
#include "port/pg_bitutils.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"
#include "values/type_table.h"

#define MAX_NUMERIC_EXPONENT 16383 /* digits on either side of the point */

/* --- bytes that are wrong ------------------------------------------------- */

void
bad_bytes(CborReader *r)
{
	if (r->error == CBOR_TOO_DEEP)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("result of the remote function is nested too deeply"),
				 errdetail("The limit is %d levels.", MAX_DEPTH)));
	ereport(ERROR,
			(errcode(ERRCODE_PROTOCOL_VIOLATION),
			 errmsg("result of the remote function cannot be decoded"),
			 errdetail("Invalid CBOR: %s.", cbor_error_text(r->error))));
}

void
next_token(CborReader *r, CborToken *tok)
{
	if (!cbor_next(r, tok))
	{
		if (r->error == CBOR_OK)
			r->error = CBOR_TRUNCATED;
		bad_bytes(r);
	}
}

/* --- what is too large -------------------------------------------------------- */

void
too_large_for_jsonb(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
			 errmsg("result of the remote function is too large for jsonb")));
}

/*
 * Most elements of an array, or pairs of an object: while the server builds
 * one, it keeps them in one piece of memory, whose size it doubles.  Beyond
 * that it has an internal error.
 */
static uint64
most_items(bool pairs)
{
	Size each = pairs ? sizeof(JsonbPair) : sizeof(JsonbValue);

	return (uint64) 1 << pg_leftmost_one_pos32((uint32) (MaxAllocSize / each));
}

/* --- numbers ------------------------------------------------------------------ */

/* The integer of a token of kind CBOR_UINT or CBOR_NINT, as digits. */
static char *
int_digits(const CborToken *tok)
{
	if (tok->kind == CBOR_UINT)
		return psprintf(UINT64_FORMAT, tok->u);
	return tok->u == PG_UINT64_MAX ? pstrdup("-18446744073709551616")
								   : psprintf("-" UINT64_FORMAT, tok->u + 1);
}

static Datum
numeric_from_int(const CborToken *tok)
{
	if (tok->u <= (uint64) PG_INT64_MAX)
		return NumericGetDatum(int64_to_numeric(
			tok->kind == CBOR_UINT ? (int64) tok->u : -1 - (int64) tok->u));
	return numeric_from_text(int_digits(tok));
}

/* What follows the tag of a bignum, as digits: n, or -1 - n. */
static const char *
bignum_digits(CborReader *r, bool negative)
{
	CborToken tok;
	Buf digits;
	uint8 *bytes;

	next_token(r, &tok);
	if (tok.kind != CBOR_BYTES)
		ereport(ERROR,
				(errcode(ERRCODE_PROTOCOL_VIOLATION),
				 errmsg("result of the remote function cannot be decoded"),
				 errdetail("A big integer is not made of bytes.")));
	if (tok.n > BIGNUM_MAX_BYTES)
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("integer in the result of the remote function is too large")));
	/* room for a carry */
	bytes = palloc0(tok.n + 1);
	memcpy(bytes + 1, tok.p, tok.n);
	for (Size i = tok.n + 1; negative && i-- > 0;)
		if (++bytes[i] != 0)
			break;
	buf_init(&digits, 0, buf_palloc);
	if (negative)
		buf_put_u8(&digits, '-');
	if (!bignum_to_digits(&digits, bytes, tok.n + 1))
		elog(ERROR, "could not write a big integer as digits");
	pfree(bytes);
	return buf_cstr(&digits);
}

/* An integer within a decimal fraction: plain or a bignum. */
static const char *
item_digits(CborReader *r)
{
	CborToken tok;

	next_token(r, &tok);
	if (tok.kind == CBOR_UINT || tok.kind == CBOR_NINT)
		return int_digits(&tok);
	if (tok.kind == CBOR_TAG &&
		(tok.u == CBOR_TAG_BIGNUM || tok.u == CBOR_TAG_NEG_BIGNUM))
		return bignum_digits(r, tok.u == CBOR_TAG_NEG_BIGNUM);
	ereport(ERROR, (errcode(ERRCODE_PROTOCOL_VIOLATION),
					errmsg("result of the remote function cannot be decoded"),
					errdetail("A decimal fraction is not made of integers.")));
}

static Datum
numeric_from_decimal(CborReader *r)
{
	CborToken tok;
	int64 exponent;
	const char *mantissa;

	next_token(r, &tok);
	if (tok.kind != CBOR_ARRAY || tok.indefinite || tok.u != 2)
		ereport(ERROR,
				(errcode(ERRCODE_PROTOCOL_VIOLATION),
				 errmsg("result of the remote function cannot be decoded"),
				 errdetail("A decimal fraction is not a pair.")));
	next_token(r, &tok);
	if ((tok.kind != CBOR_UINT && tok.kind != CBOR_NINT) ||
		tok.u > MAX_NUMERIC_EXPONENT)
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("exponent in the result of the remote function is out of range")));
	exponent = tok.kind == CBOR_UINT ? (int64) tok.u : -1 - (int64) tok.u;
	mantissa = item_digits(r);
	next_token(r, &tok); /* the end of the pair */
	return numeric_from_text(
		psprintf("%se" INT64_FORMAT, mantissa, exponent));
}

Datum
cbor_numeric(CborReader *r, const CborToken *tag)
{
	if (tag->u == CBOR_TAG_DECIMAL)
		return numeric_from_decimal(r);
	return numeric_from_text(bignum_digits(r, tag->u == CBOR_TAG_NEG_BIGNUM));
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
	int size;
	char *text;

	if (n / 3 * 4 > JENTRY_OFFLENMASK)
		too_large_for_jsonb();
	size = pg_b64_enc_len((int) n);
	text = palloc(size + 1);
	set_text(v, text, pg_b64_encode((const void *) p, (int) n, text, size));
}

/* Text survives a later token only as a copy when its string was joined. */
static void
set_cbor_text(JsonbValue *v, const CborToken *tok)
{
	Size len;
	char *text = text_from_utf8(tok->p, tok->n, &len);

	if (tok->indefinite)
		text = pnstrdup(text, len);
	set_text(v, text, len);
}

static void
set_double(JsonbValue *v, double d)
{
	if (!isfinite(d))
		set_text(v, not_finite_name(d), strlen(not_finite_name(d)));
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

	next_token(r, &tok);
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
	text = moment_text(DatumGetTimestampTz(
		DirectFunctionCall1(float8_timestamptz, Float8GetDatum(seconds))));
	set_text(v, text, strlen(text));
}

static void
set_uuid(CborReader *r, JsonbValue *v)
{
	CborToken tok;
	pg_uuid_t uuid;
	char *text;

	next_token(r, &tok);
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
		too_large_for_jsonb();
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
		next_token(r, tok);
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
	JsonbInState state = {0};
	CborToken tok = *first;
	CborKind open[MAX_DEPTH + 1];
	uint64 items[MAX_DEPTH + 1];
	int depth = 0;
	JsonbValue v;

	for (;;)
	{
		bool in_map = depth > 0 && open[depth - 1] == CBOR_MAP;

		CHECK_FOR_INTERRUPTS();
		if (depth > 0 && tok.kind != CBOR_END && in_map == tok.is_key &&
			++items[depth - 1] > most_items(in_map))
			too_large_for_jsonb();
		Assert(depth > 0 || tok.kind != CBOR_END);
		if (tok.kind == CBOR_END)
			pushJsonbValue(&state,
						   open[--depth] == CBOR_MAP ? WJB_END_OBJECT
													 : WJB_END_ARRAY,
						   NULL);
		else if (tok.is_key)
		{
			set_key(r, &tok, &v);
			pushJsonbValue(&state, WJB_KEY, &v);
		}
		else if (any_scalar(r, &tok, &v))
			pushJsonbValue(&state, in_map ? WJB_VALUE : WJB_ELEM, &v);
		else
		{
			if (!tok.indefinite && tok.u > most_items(tok.kind == CBOR_MAP))
				too_large_for_jsonb();
			items[depth] = 0;
			open[depth++] = tok.kind;
			pushJsonbValue(&state,
						   tok.kind == CBOR_MAP ? WJB_BEGIN_OBJECT
												: WJB_BEGIN_ARRAY,
						   NULL);
		}
		if (depth == 0)
			break;
		next_token(r, &tok);
	}
	return JsonbValueToJsonb(state.result);
}

Jsonb *
cbor_to_jsonb(CborReader *r, const CborToken *tok)
{
	CborToken inner = *tok;
	JsonbValue v;
	Jsonb *numbers = NULL;

	if (any_scalar(r, &inner, &v))
		return scalar_jsonb(&v);
	if (inner.kind == CBOR_ARRAY)
		numbers = numbers_to_jsonb(r, &inner);
	return numbers != NULL ? numbers : build_container(r, &inner);
}

Jsonb *
cbor_item_to_jsonb(const void *p, Size n)
{
	CborReader r;
	CborToken tok;
	Jsonb *jb;

	cbor_reader_init(&r, p, n, MAX_DEPTH, buf_palloc);
	r.typed_arrays = true;
	next_token(&r, &tok);
	jb = cbor_to_jsonb(&r, &tok);
	if (cbor_next(&r, &tok) || r.error != CBOR_OK)
		bad_bytes(&r);
	cbor_reader_free(&r);
	return jb;
}

/* The same limit, for JSON that json_scan has passed. */
static void
check_json_items(const char *p, Size n)
{
	uint64 commas[JSON_MAX_DEPTH];
	char open[JSON_MAX_DEPTH];
	int depth = 0;
	bool in_string = false;

	for (const char *end = p + n; p < end; p++)
	{
		if (*p == '"')
			in_string = !in_string;
		else if (in_string)
			p += *p == '\\';
		else if ((*p == '[' || *p == '{') && depth < JSON_MAX_DEPTH)
		{
			commas[depth] = 0;
			open[depth++] = *p;
		}
		else if ((*p == ']' || *p == '}') && depth > 0)
			depth--;
		else if (*p == ',' && depth > 0 &&
				 ++commas[depth - 1] >= most_items(open[depth - 1] == '{'))
			too_large_for_jsonb();
	}
}

static Jsonb *
json_to_jsonb(const void *p, Size n)
{
	/* an element takes two characters, or more */
	if (n / 2 > most_items(false))
		check_json_items(p, n);
	return DatumGetJsonbP(DirectFunctionCall1(
		jsonb_in, CStringGetDatum(json_from_utf8(p, n))));
}

Jsonb *
result_to_jsonb(PayloadFormat format, const void *p, Size n)
{
	return format == PAYLOAD_JSON ? json_to_jsonb(p, n)
								  : cbor_item_to_jsonb(p, n);
}
