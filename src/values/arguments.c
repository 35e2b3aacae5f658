/*-------------------------------------------------------------------------
 *
 * arguments.c
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
#include "utils/builtins.h"
#include "values/arg_encoder.h"

static Writer
writer_for(ArgFormat format, Buf *buf)
{
	return (Writer){.buf = buf,
					.json = format.payload != PAYLOAD_CBOR,
					.big_as_text = format.big_as_text,
					.exact = format.exact};
}

/* Members of kwargs, without what holds them together. */
static void
encode_common(ArgEncoder *enc, Jsonb *kwargs)
{
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue v;
	Writer w = writer_for(enc->format, &enc->common);

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

const char *
argument_name(ArgEncoder *enc, int i)
{
	if (enc->names[i] != NULL || enc->format.payload == PAYLOAD_CBOR)
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
		Writer w = writer_for(enc->format, &enc->keys[i]);

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
arg_encoder_create(MemoryContext cxt, ArgFormat format, int nargs,
				   const Oid *types, char **names, Jsonb *kwargs)
{
	MemoryContext old = MemoryContextSwitchTo(cxt);
	ArgEncoder *enc = palloc0(sizeof(ArgEncoder));
	bool templated;

	enc->nargs = nargs;
	enc->format = format;
	enc->args = palloc(Max(nargs, 1) * sizeof(ValueEncoder *));
	enc->types = palloc(Max(nargs, 1) * sizeof(Oid));
	enc->names = palloc0(Max(nargs, 1) * sizeof(char *));
	for (int i = 0; i < nargs; i++)
	{
		enc->args[i] = value_encoder_create(cxt, types[i]);
		enc->types[i] = types[i];
		if (names != NULL && names[i] != NULL)
			enc->names[i] = pstrdup(names[i]);
	}
	buf_init(&enc->common, 0, buf_palloc);
	if (format.request != NULL)
		kwargs = request_writer_create(enc, kwargs);
	/* a template says itself where they go */
	templated = format.request != NULL && format.request->request != NULL;
	if (kwargs != NULL && !templated)
		encode_common(enc, kwargs);
	enc->whole = format.as_object && nargs == 1 && enc->names[0] == NULL &&
		enc->ncommon == 0 && (types[0] == JSONBOID || types[0] == JSONOID);
	encode_keys(enc, templated ? NULL : kwargs);
	MemoryContextSwitchTo(old);
	return enc;
}

PayloadFormat
arg_encoder_format(const ArgEncoder *enc)
{
	return enc->format.payload;
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

void
argument_given_twice(const char *name)
{
	ereport(ERROR,
			(errcode(ERRCODE_DUPLICATE_COLUMN),
			 errmsg("argument \"%s\" is given twice", name),
			 errdetail("Two columns or parameters have that name.")));
}

/* Who reads an object with two members of one name sees one of them. */
static void
check_members(ArgEncoder *enc, const bool *taken)
{
	for (int i = 0; i < enc->nargs; i++)
		for (int k = 0; k < i; k++)
			if ((taken == NULL || !(taken[i] || taken[k])) &&
				strcmp(argument_name(enc, i), argument_name(enc, k)) == 0)
				argument_given_twice(argument_name(enc, i));
	enc->members_checked = true;
}

/* As an object, with what is common to all. */
static void
write_object(ArgEncoder *enc, Writer *w, const Datum *values,
			 const bool *isnull, const bool *taken)
{
	bool first = true;

	if (!enc->members_checked)
		check_members(enc, taken);
	buf_put_u8(w->buf, '{');
	for (int i = 0; i < enc->nargs; i++)
	{
		if (taken != NULL && taken[i])
			continue;
		if (!first)
			buf_put_u8(w->buf, ',');
		first = false;
		buf_put(w->buf, enc->keys[i].data, enc->keys[i].len);
		value_encode(enc->args[i], w, values[i], isnull[i]);
	}
	if (enc->ncommon > 0)
	{
		if (!first)
			buf_put_u8(w->buf, ',');
		buf_put(w->buf, enc->common.data, enc->common.len);
	}
	buf_put_u8(w->buf, '}');
}

void
write_row(ArgEncoder *enc, Writer *w, const Datum *values, const bool *isnull,
		  RowForm form, const bool *taken)
{
	int left = 0, last = 0;
	bool bare;

	for (int i = 0; i < enc->nargs; i++)
		if (taken == NULL || !taken[i])
		{
			left++;
			last = i;
		}
	bare = left == 1 && (form == ROW_AUTO || (form == ROW_OBJECT && enc->whole));
	if (form == ROW_OBJECT && !bare)
	{
		write_object(enc, w, values, isnull, taken);
		return;
	}
	if (!bare)
		buf_put_u8(w->buf, '[');
	for (int i = 0, n = 0; i <= last && i < enc->nargs; i++)
	{
		if (taken != NULL && taken[i])
			continue;
		if (n++ > 0)
			buf_put_u8(w->buf, ',');
		value_encode(enc->args[i], w, values[i], isnull[i]);
	}
	if (!bare)
		buf_put_u8(w->buf, ']');
}

void
arg_encode(ArgEncoder *enc, Buf *buf, const Datum *values, const bool *isnull)
{
	Writer w = writer_for(enc->format, buf);

	if (enc->request != NULL)
		request_write(enc, &w, values, isnull);
	else if (w.json)
		write_row(enc, &w, values, isnull,
				  enc->format.as_object ? ROW_OBJECT : ROW_ARRAY, NULL);
	else
		encode_cbor(enc, &w, values, isnull);
	if (buf->failed)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("input of a remote function is too large"),
				 errhint("See setting modal_batch.max_payload.")));
}

/* As if the elements of args were arguments, each a jsonb. */
static void
encode_elements(ArgFormat format, Buf *buf, Jsonb *args, Jsonb *kwargs)
{
	int n = JB_ROOT_COUNT(args);
	Oid *types = palloc(Max(n, 1) * sizeof(Oid));
	Datum *values = palloc(Max(n, 1) * sizeof(Datum));
	bool *isnull = palloc0(Max(n, 1) * sizeof(bool));

	for (int i = 0; i < n; i++)
	{
		JsonbValue *v = getIthJsonbValueFromContainer(&args->root, i);

		types[i] = JSONBOID;
		isnull[i] = v->type == jbvNull;
		values[i] = JsonbPGetDatum(JsonbValueToJsonb(v));
	}
	arg_encode(arg_encoder_create(CurrentMemoryContext, format, n, types, NULL,
								  kwargs),
			   buf, values, isnull);
}

/*
 * Modal: both; HTTP: args is the body's array, or kwargs, where the server
 * wants an object, the whole body.
 */
void
arg_encode_jsonb(ArgFormat format, Buf *buf, Jsonb *args, Jsonb *kwargs)
{
	Writer w = writer_for(format, buf);

	if (!JB_ROOT_IS_ARRAY(args) || JB_ROOT_IS_SCALAR(args))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("positional arguments must be a JSON array")));
	if (!JB_ROOT_IS_OBJECT(kwargs))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("keyword arguments must be a JSON object")));
	if (format.request != NULL)
		encode_elements(format, buf, args, kwargs);
	else if (!w.json)
	{
		cbor_put_array(buf, 2);
		write_jsonb(&w, args);
		write_jsonb(&w, kwargs);
	}
	else if (format.as_object)
	{
		Assert(JB_ROOT_COUNT(args) == 0);
		write_jsonb(&w, kwargs);
	}
	else
		write_jsonb(&w, args);
}
