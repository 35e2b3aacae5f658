/*-------------------------------------------------------------------------
 *
 * arguments.c
 *	  The arguments of a call of a builtin function, as in Python.
 *
 *-------------------------------------------------------------------------
 */
#include "host/arguments.h"

#include <math.h>

#define MAX_NESTING 400 /* as the decoder of a container allows */

/* The whole item whose first token has just been read at start. */
static bool
finish_item(CborReader *r, const CborToken *tok, const uint8_t *start,
			Item *item)
{
	if (!cbor_skip(r, tok))
		return false;
	*item = (Item){start, (size_t) (r->p - start)};
	return true;
}

static const char *
parse_positional(CborReader *r, Arguments *arguments)
{
	const uint8_t *start;
	CborToken tok;

	if (!cbor_next(r, &tok) || tok.kind != CBOR_ARRAY)
		return "the positional arguments are not an array";
	for (start = r->p; cbor_next(r, &tok) && tok.kind != CBOR_END;
		 start = r->p)
	{
		if (arguments->n_positional == MAX_ARGUMENTS)
			return "too many arguments";
		if (!finish_item(r, &tok, start,
						 &arguments->positional[arguments->n_positional]))
			break;
		arguments->n_positional++;
	}
	return NULL;
}

static const char *
parse_named(CborReader *r, Arguments *arguments)
{
	const uint8_t *start = r->p;
	const uint8_t *at;
	CborToken tok;

	if (!cbor_next(r, &tok) || tok.kind != CBOR_MAP)
		return "the keyword arguments are not a map";
	while (cbor_next(r, &tok) && tok.kind != CBOR_END)
	{
		Item *name = &arguments->names[arguments->n_named];

		if (tok.kind != CBOR_TEXT || tok.indefinite)
			return "keywords must be strings";
		if (arguments->n_named == MAX_ARGUMENTS)
			return "too many arguments";
		*name = (Item){tok.p, tok.n};
		at = r->p;
		if (!cbor_next(r, &tok) ||
			!finish_item(r, &tok, at, &arguments->named[arguments->n_named]))
			break;
		arguments->n_named++;
	}
	arguments->kwargs = (Item){start, (size_t) (r->p - start)};
	return NULL;
}

const char *
arguments_parse(Arguments *arguments, const void *data, size_t len)
{
	CborReader r;
	CborToken tok;
	const char *error = NULL;

	arguments->n_positional = arguments->n_named = 0;
	cbor_reader_init(&r, data, len, MAX_NESTING, xbuf_realloc);
	if (!cbor_next(&r, &tok) || tok.kind != CBOR_ARRAY || tok.indefinite ||
		tok.u != 2)
		error = "the payload is not an array of two";
	if (error == NULL)
		error = parse_positional(&r, arguments);
	if (error == NULL)
		error = parse_named(&r, arguments);
	while (error == NULL && cbor_next(&r, &tok))
		;
	if (r.error != CBOR_OK)
		error = cbor_error_text(r.error);
	cbor_reader_free(&r);
	return error;
}

bool
arguments_get(const Arguments *arguments, int position, const char *name,
			  Item *item)
{
	if (position < arguments->n_positional)
	{
		*item = arguments->positional[position];
		return true;
	}
	for (int i = 0; i < arguments->n_named; i++)
		if (arguments->names[i].len == strlen(name) &&
			memcmp(arguments->names[i].data, name, strlen(name)) == 0)
		{
			*item = arguments->named[i];
			return true;
		}
	return false;
}

/* --- single items -------------------------------------------------------- */

/* The first token, its tags skipped; *tag: the outermost, or -1. */
static bool
first_token(CborReader *r, Item item, CborToken *tok, int64_t *tag)
{
	bool ok;

	*tag = -1;
	cbor_reader_init(r, item.data, item.len, MAX_NESTING, xbuf_realloc);
	while ((ok = cbor_next(r, tok)) && tok->kind == CBOR_TAG)
		if (*tag == -1)
			*tag = tok->u <= INT64_MAX ? (int64_t) tok->u : INT64_MAX;
	return ok;
}

static bool
token_int(const CborToken *tok, int64_t *value)
{
	if ((tok->kind == CBOR_UINT || tok->kind == CBOR_BOOL) &&
		tok->u <= INT64_MAX)
		*value = (int64_t) tok->u;
	else if (tok->kind == CBOR_NINT && tok->u <= INT64_MAX)
		*value = -1 - (int64_t) tok->u;
	else
		return false;
	return true;
}

bool
item_int(Item item, int64_t *value)
{
	CborReader r;
	CborToken tok;
	int64_t tag;
	bool ok = first_token(&r, item, &tok, &tag) && tag == -1 &&
			  token_int(&tok, value);

	cbor_reader_free(&r);
	return ok;
}

bool
item_decimal(Item item, int64_t *mantissa, int64_t *exponent)
{
	CborReader r;
	CborToken tok;
	int64_t tag;
	bool ok = first_token(&r, item, &tok, &tag) && tag == CBOR_TAG_DECIMAL &&
			  tok.kind == CBOR_ARRAY && cbor_next(&r, &tok) &&
			  token_int(&tok, exponent) && cbor_next(&r, &tok) &&
			  token_int(&tok, mantissa);

	cbor_reader_free(&r);
	return ok;
}

bool
item_double(Item item, double *value)
{
	CborReader r;
	CborToken tok;
	int64_t tag;
	int64_t integer;
	int64_t exponent = 0;
	bool ok;

	if (item_int(item, &integer) || item_decimal(item, &integer, &exponent))
	{
		*value = (double) integer * pow(10, (double) exponent);
		return true;
	}
	ok = first_token(&r, item, &tok, &tag) && tag == -1 &&
		 tok.kind == CBOR_DOUBLE;
	if (ok)
		*value = tok.d;
	cbor_reader_free(&r);
	return ok;
}

bool
item_bytes(Item item, Arena *arena, const uint8_t **data, size_t *len)
{
	CborReader r;
	CborToken tok;
	int64_t tag;
	bool ok = first_token(&r, item, &tok, &tag) && tag == -1 &&
			  (tok.kind == CBOR_TEXT || tok.kind == CBOR_BYTES);

	if (ok)
	{
		*data = (uint8_t *) arena_strndup(arena, tok.p, tok.n);
		*len = tok.n;
	}
	cbor_reader_free(&r);
	return ok;
}

static const char *
tagged_type(int64_t tag)
{
	switch (tag)
	{
		case CBOR_TAG_DATETIME_TEXT:
		case CBOR_TAG_EPOCH:
			return "datetime";
		case CBOR_TAG_BIGNUM:
		case CBOR_TAG_NEG_BIGNUM:
			return "int";
		case CBOR_TAG_DECIMAL:
			return "Decimal";
		case CBOR_TAG_UUID:
			return "UUID";
		case CBOR_TAG_SET:
			return "set";
		case CBOR_TAG_DATE_TEXT:
			return "date";
		default:
			return "CBORTag";
	}
}

const char *
item_type(Item item)
{
	CborReader r;
	CborToken tok;
	int64_t tag;
	const char *name = "?";

	if (!first_token(&r, item, &tok, &tag))
		name = "?";
	else if (tag != -1 && tag != CBOR_TAG_SELF_DESCRIBED)
		name = tagged_type(tag);
	else
		switch (tok.kind)
		{
			case CBOR_UINT:
			case CBOR_NINT:
				name = "int";
				break;
			case CBOR_BYTES:
				name = "bytes";
				break;
			case CBOR_TEXT:
				name = "str";
				break;
			case CBOR_ARRAY:
				name = "list";
				break;
			case CBOR_MAP:
				name = "dict";
				break;
			case CBOR_BOOL:
				name = "bool";
				break;
			case CBOR_NULL:
				name = "NoneType";
				break;
			case CBOR_UNDEFINED:
				name = "undefined_type";
				break;
			case CBOR_DOUBLE:
				name = "float";
				break;
			default:
				name = "CBORSimpleValue";
		}
	cbor_reader_free(&r);
	return name;
}
