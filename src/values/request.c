/*-------------------------------------------------------------------------
 *
 * request.c
 *	  Rows as an HTTP function's options want them: by a template, with
 *	  arguments in the path or the query, as plain text or bytes.
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include "catalog/pg_type.h"
#include "core/json_split.h"
#include "core/reference.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "values/arg_encoder.h"

struct RequestWriter
{
	RequestForm form;	/* strings are copies */
	Pieces body;		/* of a template; n 0: the row itself */
	Pieces path;
	bool *taken;		/* arguments that the path has taken */
	char *common_query; /* kwargs, as a query; or NULL */
	Buf scratch, text;
};

/* --- paths and queries -------------------------------------------------------------- */

static void
put_percent(Buf *buf, const char *p, Size n)
{
	static const char hex[] = "0123456789ABCDEF";

	for (Size i = 0; i < n; i++)
	{
		unsigned char c = (unsigned char) p[i];

		if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
			(c >= '0' && c <= '9') || (c != '\0' && strchr("-._~", c) != NULL))
			buf_put_u8(buf, c);
		else
		{
			buf_put_u8(buf, '%');
			buf_put_u8(buf, (uint8) hex[c >> 4]);
			buf_put_u8(buf, (uint8) hex[c & 15]);
		}
	}
}

/* It would be another resource. */
pg_noreturn static void
refuse_empty_step(const char *name, bool isnull)
{
	ereport(ERROR,
			(errcode(isnull ? ERRCODE_NULL_VALUE_NOT_ALLOWED
							: ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("argument \"%s\", which is in the path of the function reference, must not be null or empty",
					name)));
}

/* JSON as a path or a query has it: a string without its quotes. */
static void
put_plain(Buf *buf, Buf *scratch, Slice json)
{
	buf_reset(scratch);
	if (json_string(json, scratch))
		put_percent(buf, (char *) scratch->data, scratch->len);
	else
		put_percent(buf, json.p, json.n);
}

static bool
is_json_null(Slice json)
{
	return json.n == 4 && memcmp(json.p, "null", 4) == 0;
}

static Slice
value_json(ArgEncoder *enc, int i, Datum value, bool isnull)
{
	RequestWriter *rw = enc->request;
	Writer w = {.buf = &rw->text, .json = true};

	buf_reset(&rw->text);
	value_encode(enc->args[i], &w, value, isnull);
	return (Slice){(char *) rw->text.data, rw->text.len};
}

/* The position of the argument that a placeholder of the path names, or -1. */
static int
path_argument(ArgEncoder *enc, const char *name)
{
	int found = -1;

	if (strspn(name, "0123456789") == strlen(name))
	{
		int i = strlen(name) < 5 ? pg_strtoint32(name) : 0;

		return i <= enc->nargs ? i - 1 : -1;
	}
	for (int i = 0; i < enc->nargs; i++)
	{
		const char *own = argument_name(enc, i);

		if (own == NULL || strcmp(own, name) != 0)
			continue;
		if (found >= 0)
			argument_given_twice(name);
		found = i;
	}
	return found;
}

/* A keyword argument in the path. */
static void
put_path_kwarg(RequestWriter *rw, Buf *buf, const char *name, Jsonb *kwargs)
{
	JsonbValue *v = request_kwarg(kwargs, name, strlen(name));
	Writer w = {.buf = &rw->text, .json = true};
	Size before = buf->len;

	if (v == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the path of the function reference has {%s}, but there is no such argument",
						name),
				 errhint("Arguments have the names of columns or parameters, or their numbers.")));
	buf_reset(&rw->text);
	write_jsonb(&w, JsonbValueToJsonb(v));
	if (v->type != jbvNull)
		put_plain(buf, &rw->scratch,
				  (Slice){(char *) rw->text.data, rw->text.len});
	if (buf->len == before)
		refuse_empty_step(name, v->type == jbvNull);
}

static Jsonb *
without(Jsonb *kwargs, const char *name)
{
	return kwargs == NULL
		? NULL
		: DatumGetJsonbP(DirectFunctionCall2(
			  jsonb_delete, JsonbPGetDatum(kwargs),
			  PointerGetDatum(cstring_to_text(name))));
}

/* What the path takes of the keyword arguments is nowhere else. */
static void
make_path(ArgEncoder *enc, Jsonb **kwargs, Jsonb **own)
{
	RequestWriter *rw = enc->request;
	const char *p = rw->form.path;
	Size most = 1;
	Jsonb *all = *kwargs;

	for (const char *c = p; *c != '\0'; c++)
		most += *c == '{';
	rw->path.p = palloc0(most * sizeof(Piece));
	for (;;)
	{
		Piece *piece = &rw->path.p[rw->path.n++];
		Size n = strcspn(p, "{#");
		char *name;

		buf_init(&piece->text, 0, buf_palloc);
		buf_put(&piece->text, p, n);
		piece->arg = PIECE_TEXT;
		p += n;
		if (*p != '{')
			break;
		n = strcspn(p, "}");
		name = pnstrdup(p + 1, n - 1);
		piece->arg = path_argument(enc, name);
		if (piece->arg >= 0)
			rw->taken[piece->arg] = true;
		else
		{
			put_path_kwarg(rw, &piece->text, name, all);
			*kwargs = without(*kwargs, name);
			*own = without(*own, name);
		}
		p += n + 1;
	}
}

static void
put_member(Buf *buf, const char *name, Buf *scratch, Slice json, bool *first)
{
	Size n;
	char *text;

	if (is_json_null(json))
		return;
	if (!*first)
		buf_put_u8(buf, '&');
	*first = false;
	text = text_to_utf8(name, strlen(name), &n);
	put_percent(buf, text, n);
	buf_put_u8(buf, '=');
	put_plain(buf, scratch, json);
}

/* Arguments that the path has not taken, and kwargs, as name=value&…. */
static void
put_query(ArgEncoder *enc, Buf *buf, bool first, const Datum *values,
		  const bool *isnull)
{
	RequestWriter *rw = enc->request;

	for (int i = 0; i < enc->nargs; i++)
		if (!rw->taken[i])
			put_member(buf, argument_name(enc, i), &rw->scratch,
					   value_json(enc, i, values[i], isnull[i]), &first);
	if (rw->common_query == NULL || rw->common_query[0] == '\0')
		return;
	if (!first)
		buf_put_u8(buf, '&');
	buf_put_cstr(buf, rw->common_query);
}

static char *
common_query(Jsonb *kwargs)
{
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue v;
	Buf buf, json, scratch;
	Writer w = {.buf = &json, .json = true};
	const char *name = "";
	bool first = true;

	if (request_no_kwargs(kwargs))
		return NULL;
	buf_init(&buf, 0, buf_palloc);
	buf_init(&json, 0, buf_palloc);
	buf_init(&scratch, 0, buf_palloc);
	it = JsonbIteratorInit(&kwargs->root);
	while ((token = JsonbIteratorNext(&it, &v, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
			name = pnstrdup(v.val.string.val, v.val.string.len);
		else if (token == WJB_VALUE)
		{
			buf_reset(&json);
			write_jsonb(&w, JsonbValueToJsonb(&v));
			put_member(&buf, name, &scratch,
					   (Slice){(char *) json.data, json.len}, &first);
		}
	}
	return pstrdup(buf_cstr(&buf));
}

static const char *
path_name(ArgEncoder *enc, int arg)
{
	const char *name = argument_name(enc, arg);

	return name != NULL ? name : psprintf("%d", arg + 1);
}

/*
 * What a row puts into the path becomes one step of it, or a part of one, and
 * nothing else: the whole is looked at again, for "..".
 */
static void
put_path(ArgEncoder *enc, Buf *buf, const Datum *values, const bool *isnull)
{
	RequestWriter *rw = enc->request;
	Size start = buf->len;
	Reference ref;
	const char *problem;

	for (int i = 0; i < rw->path.n; i++)
	{
		const Piece *piece = &rw->path.p[i];
		Size before;

		buf_put(buf, piece->text.data, piece->text.len);
		if (piece->arg < 0)
			continue;
		before = buf->len;
		if (!isnull[piece->arg])
			put_plain(buf, &rw->scratch,
					  value_json(enc, piece->arg, values[piece->arg], false));
		if (buf->len == before)
			refuse_empty_step(path_name(enc, piece->arg), isnull[piece->arg]);
	}
	problem = reference_parse_rest((char *) buf->data + start,
								   buf->len - start, true, &ref);
	if (problem != NULL)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg_internal("%s", problem)));
}

/* --- rows ---------------------------------------------------------------------------- */

/* The one argument that is left for a body without structure. */
static int
raw_argument(ArgEncoder *enc)
{
	int found = -1;

	for (int i = 0; i < enc->nargs; i++)
	{
		if (enc->request->taken[i])
			continue;
		if (found >= 0)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("a request whose content_type is not JSON has one argument as its body")));
		found = i;
	}
	return found;
}

static void
write_raw(ArgEncoder *enc, Writer *w, const Datum *values, const bool *isnull)
{
	int i = raw_argument(enc);
	Slice json;

	if (i < 0 || isnull[i])
		return;
	if (getBaseType(enc->types[i]) == BYTEAOID)
	{
		bytea *bytes = DatumGetByteaPP(values[i]);

		buf_put(w->buf, VARDATA_ANY(bytes), VARSIZE_ANY_EXHDR(bytes));
		return;
	}
	json = value_json(enc, i, values[i], false);
	if (!json_string(json, w->buf))
		buf_put(w->buf, json.p, json.n);
}

static void
write_body(ArgEncoder *enc, Writer *w, const Datum *values, const bool *isnull)
{
	RequestWriter *rw = enc->request;

	if (rw->form.body == REQUEST_RAW)
		write_raw(enc, w, values, isnull);
	else if (rw->form.body == REQUEST_FORM)
		put_query(enc, w->buf, true, values, isnull);
	else if (rw->form.request == NULL)
		write_row(enc, w, values, isnull, rw->form.row, rw->taken);
	for (int i = 0; i < rw->body.n; i++)
	{
		const Piece *piece = &rw->body.p[i];

		buf_put(w->buf, piece->text.data, piece->text.len);
		if (piece->arg >= 0)
			value_encode(enc->args[piece->arg], w, values[piece->arg],
						 isnull[piece->arg]);
		else if (piece->arg == PIECE_ROW)
			write_row(enc, w, values, isnull, rw->form.row, rw->taken);
	}
}

/* PAYLOAD_REQUEST: the path with its length before it, and the body. */
static void
write_with_path(ArgEncoder *enc, Writer *w, const Datum *values,
				const bool *isnull)
{
	RequestWriter *rw = enc->request;
	uint32 n = 0;
	Size start = w->buf->len;

	buf_put(w->buf, &n, sizeof(n));
	put_path(enc, w->buf, values, isnull);
	if (rw->form.body == REQUEST_QUERY)
	{
		Size before;
		bool has_query = strchr(rw->form.path, '?') != NULL;

		buf_put_u8(w->buf, has_query ? '&' : '?');
		before = w->buf->len;
		put_query(enc, w->buf, true, values, isnull);
		if (w->buf->len == before)
			w->buf->len--;
	}
	if (w->buf->failed)
		return;
	n = (uint32) (w->buf->len - start - sizeof(n));
	memcpy(w->buf->data + start, &n, sizeof(n));
	if (rw->form.body != REQUEST_QUERY)
		write_body(enc, w, values, isnull);
}

static void
copy_form(RequestForm *to, const RequestForm *from)
{
	*to = *from;
	to->request = from->request != NULL ? pstrdup(from->request) : NULL;
	to->path = pstrdup(from->path);
	to->parameters = NULL; /* are in kwargs by now */
}

Jsonb *
request_writer_create(ArgEncoder *enc, Jsonb *kwargs)
{
	RequestWriter *rw = palloc0(sizeof(RequestWriter));
	Jsonb *all = request_kwargs(enc->format.request, kwargs);
	Jsonb *own = kwargs;

	enc->request = rw;
	copy_form(&rw->form, enc->format.request);
	enc->format.request = &rw->form;
	rw->taken = palloc0(Max(enc->nargs, 1) * sizeof(bool));
	buf_init(&rw->scratch, MaxAllocSize, buf_palloc);
	buf_init(&rw->text, MaxAllocSize, buf_palloc);
	if (enc->format.payload == PAYLOAD_REQUEST)
		make_path(enc, &all, &own);
	if (rw->form.request != NULL)
		request_pieces(&rw->body, enc, own, all);
	if (rw->form.body == REQUEST_QUERY || rw->form.body == REQUEST_FORM)
		rw->common_query = common_query(all);
	if (rw->form.body == REQUEST_RAW)
		(void) raw_argument(enc);
	return all;
}

void
request_write(ArgEncoder *enc, Writer *w, const Datum *values,
			  const bool *isnull)
{
	if (enc->format.payload == PAYLOAD_REQUEST)
		write_with_path(enc, w, values, isnull);
	else
		write_body(enc, w, values, isnull);
}
