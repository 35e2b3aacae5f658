/*-------------------------------------------------------------------------
 *
 * codec_call.c
 *	  The arguments of one call as one payload.
 *
 * Modal: CBOR [positional, keywords].  HTTP: a JSON object of named arguments
 * or a JSON array of all of them, as the server's format wants.  What is the
 * same for every input (kwargs) is encoded once.
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include "catalog/pg_type.h"
#include "core/json_split.h"
#include "session/codec_types.h"
#include "utils/builtins.h"

struct ArgEncoder
{
	int nargs;
	ValueEncoder **args;
	char **names;		  /* [i] NULL: positional */
	int npositional;
	PayloadFormat format;
	bool as_object;		  /* JSON */
	bool whole;			  /* JSON: the one argument is the body itself */
	bool big_as_text;
	Buf common;			  /* encoded members of kwargs */
	uint32 ncommon;
	Buf *keys;			  /* encoded names, [nargs] */
};

/* Members of kwargs, without what holds them together. */
static void
encode_common(ArgEncoder *enc, Jsonb *kwargs)
{
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue v;
	Writer w = {.buf = &enc->common,
				.json = enc->format == PAYLOAD_JSON,
				.big_as_text = enc->big_as_text};

	if (!JB_ROOT_IS_OBJECT(kwargs))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("keyword arguments must be a JSON object")));
	it = JsonbIteratorInit(&kwargs->root);
	while ((token = JsonbIteratorNext(&it, &v, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
		{
			if (w.json && enc->ncommon > 0)
				buf_put_u8(w.buf, ',');
			write_text(&w, v.val.string.val, v.val.string.len);
			if (w.json)
				buf_put_u8(w.buf, ':');
			enc->ncommon++;
		}
		else if (token == WJB_VALUE)
			write_jsonb(&w, JsonbValueToJsonb(&v));
	}
}

static bool
has_member(Jsonb *kwargs, const char *name)
{
	JsonbValue key = {.type = jbvString};

	key.val.string.val = (char *) name;
	key.val.string.len = strlen(name);
	return findJsonbValueFromContainer(&kwargs->root, JB_FOBJECT, &key) != NULL;
}

static const char *
argument_name(ArgEncoder *enc, int i)
{
	if (enc->names[i] != NULL || enc->format == PAYLOAD_CBOR)
		return enc->names[i];
	/* An object needs a name for everything. */
	return psprintf("arg%d", i + 1);
}

static void
encode_keys(ArgEncoder *enc, Jsonb *kwargs)
{
	enc->keys = palloc0(Max(enc->nargs, 1) * sizeof(Buf));
	for (int i = 0; i < enc->nargs; i++)
	{
		const char *name = argument_name(enc, i);
		Writer w = {.buf = &enc->keys[i],
					.json = enc->format == PAYLOAD_JSON};

		buf_init(&enc->keys[i], 0, buf_palloc);
		if (name == NULL)
		{
			enc->npositional++;
			continue;
		}
		if (kwargs != NULL && has_member(kwargs, name))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("argument \"%s\" is given twice", name),
					 errdetail("It is both a column or parameter and a keyword argument.")));
		write_text(&w, name, strlen(name));
		if (w.json)
			buf_put_u8(w.buf, ':');
	}
}

ArgEncoder *
arg_encoder_create(MemoryContext cxt, const Endpoint *endpoint, int nargs,
				   const Oid *types, char **names, Jsonb *kwargs)
{
	MemoryContext old = MemoryContextSwitchTo(cxt);
	ArgEncoder *enc = palloc0(sizeof(ArgEncoder));

	enc->nargs = nargs;
	enc->format = endpoint->protocol == ENDPOINT_MODAL ? PAYLOAD_CBOR
													   : PAYLOAD_JSON;
	enc->as_object = endpoint->args_as_object;
	enc->big_as_text = endpoint->protocol == ENDPOINT_HTTP &&
		endpoint->format == HTTP_BIGQUERY;
	enc->args = palloc(Max(nargs, 1) * sizeof(ValueEncoder *));
	enc->names = palloc0(Max(nargs, 1) * sizeof(char *));
	for (int i = 0; i < nargs; i++)
	{
		enc->args[i] = value_encoder_create(cxt, types[i]);
		if (names != NULL && names[i] != NULL)
			enc->names[i] = pstrdup(names[i]);
	}
	buf_init(&enc->common, 0, buf_palloc);
	if (kwargs != NULL)
		encode_common(enc, kwargs);
	enc->whole = enc->as_object && nargs == 1 && enc->names[0] == NULL &&
		enc->ncommon == 0 && (types[0] == JSONBOID || types[0] == JSONOID);
	encode_keys(enc, kwargs);
	MemoryContextSwitchTo(old);
	return enc;
}

PayloadFormat
arg_encoder_format(const ArgEncoder *enc)
{
	return enc->format;
}

static void
encode_cbor(ArgEncoder *enc, Writer *w, const Datum *values,
			const bool *isnull)
{
	cbor_put_array(w->buf, 2);
	cbor_put_array(w->buf, enc->npositional);
	for (int i = 0; i < enc->nargs; i++)
		if (enc->names[i] == NULL)
			value_encode(enc->args[i], w, values[i], isnull[i]);
	cbor_put_map(w->buf, enc->nargs - enc->npositional + enc->ncommon);
	for (int i = 0; i < enc->nargs; i++)
		if (enc->names[i] != NULL)
		{
			buf_put(w->buf, enc->keys[i].data, enc->keys[i].len);
			value_encode(enc->args[i], w, values[i], isnull[i]);
		}
	buf_put(w->buf, enc->common.data, enc->common.len);
}

static void
encode_json(ArgEncoder *enc, Writer *w, const Datum *values,
			const bool *isnull)
{
	if (enc->whole)
	{
		value_encode(enc->args[0], w, values[0], isnull[0]);
		return;
	}
	buf_put_u8(w->buf, enc->as_object ? '{' : '[');
	for (int i = 0; i < enc->nargs; i++)
	{
		if (i > 0)
			buf_put_u8(w->buf, ',');
		if (enc->as_object)
			buf_put(w->buf, enc->keys[i].data, enc->keys[i].len);
		value_encode(enc->args[i], w, values[i], isnull[i]);
	}
	if (enc->as_object && enc->ncommon > 0)
	{
		if (enc->nargs > 0)
			buf_put_u8(w->buf, ',');
		buf_put(w->buf, enc->common.data, enc->common.len);
	}
	buf_put_u8(w->buf, enc->as_object ? '}' : ']');
}

void
arg_encode(ArgEncoder *enc, Buf *buf, const Datum *values, const bool *isnull)
{
	Writer w = {.buf = buf,
				.json = enc->format == PAYLOAD_JSON,
				.big_as_text = enc->big_as_text};

	if (w.json)
		encode_json(enc, &w, values, isnull);
	else
		encode_cbor(enc, &w, values, isnull);
	if (buf->failed)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("input of a remote function is too large"),
				 errhint("See setting modal_batch.max_payload.")));
}

/*
 * args is an array.  Modal: positional arguments; HTTP: the body's array, or,
 * where the server wants an object, kwargs alone is the body.
 */
void
arg_encode_jsonb(const Endpoint *endpoint, Buf *buf, Jsonb *args,
				 Jsonb *kwargs)
{
	Writer w = {.buf = buf, .json = endpoint->protocol == ENDPOINT_HTTP};

	if (!JB_ROOT_IS_ARRAY(args) || JB_ROOT_IS_SCALAR(args))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("positional arguments must be a JSON array")));
	if (!JB_ROOT_IS_OBJECT(kwargs))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("keyword arguments must be a JSON object")));
	if (!w.json)
	{
		cbor_put_array(buf, 2);
		write_jsonb(&w, args);
		write_jsonb(&w, kwargs);
	}
	else if (!endpoint->args_as_object)
		write_jsonb(&w, args);
	else if (JB_ROOT_COUNT(args) > 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("server \"%s\" takes keyword arguments only",
						endpoint->server_name),
				 errhint("Its option args is \"object\"; give the arguments in kwargs.")));
	else
		write_jsonb(&w, kwargs);
}
