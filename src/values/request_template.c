/*-------------------------------------------------------------------------
 *
 * request_template.c
 *	  Rows and envelopes by the template of a server's options.
 *
 * All that is the same for every row is written once.  What is left of a
 * template is a list of pieces: text, and arguments by their position.
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include "core/json_split.h"
#include "core/template.h"
#include "utils/builtins.h"
#include "values/arg_encoder.h"

/* --- keyword arguments ------------------------------------------------------ */

Jsonb *
request_kwargs(const RequestForm *form, Jsonb *kwargs)
{
	Datum all;

	if (form->parameters == NULL)
		return kwargs;
	all = DirectFunctionCall1(jsonb_in, CStringGetDatum(form->parameters));
	if (kwargs != NULL)
		all = DirectFunctionCall2(jsonb_concat, all, JsonbPGetDatum(kwargs));
	return DatumGetJsonbP(all);
}

JsonbValue *
request_kwarg(Jsonb *kwargs, const char *name, Size n)
{
	JsonbValue key = {.type = jbvString};

	if (kwargs == NULL)
		return NULL;
	key.val.string.val = (char *) name;
	key.val.string.len = (int) n;
	return findJsonbValueFromContainer(&kwargs->root, JB_FOBJECT, &key);
}

bool
request_no_kwargs(Jsonb *kwargs)
{
	return kwargs == NULL || JB_ROOT_COUNT(kwargs) == 0;
}

/* What a member "$kwargs" of an object stands for, without the braces. */
static Jsonb *
members(const TemplatePart *part, Jsonb *kwargs)
{
	char *text = json_from_utf8(part->text.p, part->text.n);
	Datum all = DirectFunctionCall1(jsonb_in, CStringGetDatum(text));

	if (kwargs != NULL)
		all = DirectFunctionCall2(jsonb_concat, all, JsonbPGetDatum(kwargs));
	return DatumGetJsonbP(all);
}

/* Neither of the two could win. */
static void
refuse_double(const TemplatePart *part, Slice key)
{
	JsonCursor c;
	Slice other, value;

	json_open(&c, part->object.p, part->object.n);
	json_enter(&c, '{');
	while (json_next_member(&c, &other, &value))
		if (other.n == key.n && memcmp(other.p, key.p, key.n) == 0)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("argument %s is given twice", remote_text(key)),
					 errdetail("It is both a keyword argument and a constant of the request template.")));
}

static void
write_members(Writer *w, const TemplatePart *part, Jsonb *all)
{
	JsonbIterator *it = JsonbIteratorInit(&all->root);
	JsonbIteratorToken token;
	JsonbValue v;

	while ((token = JsonbIteratorNext(&it, &v, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
		{
			Size start;

			/* Such members come last: is one there? */
			if (w->buf->len == 0 || w->buf->data[w->buf->len - 1] != '{')
				buf_put_u8(w->buf, ',');
			start = w->buf->len;
			write_text(w, v.val.string.val, v.val.string.len);
			refuse_double(part, (Slice){(char *) w->buf->data + start,
										w->buf->len - start});
			buf_put_u8(w->buf, ':');
		}
		else if (token == WJB_VALUE)
			write_jsonb(w, JsonbValueToJsonb(&v));
	}
}

static void
write_kwargs(Writer *w, const TemplatePart *part, Jsonb *kwargs)
{
	if (part->optional)
	{
		if (request_no_kwargs(kwargs))
			return;
		if (w->buf->len == 0 || w->buf->data[w->buf->len - 1] != '{')
			buf_put_u8(w->buf, ',');
		buf_put(w->buf, part->text.p, part->text.n);
		buf_put_u8(w->buf, ':');
	}
	if (request_no_kwargs(kwargs))
		buf_put_cstr(w->buf, "{}");
	else
		write_jsonb(w, kwargs);
}

/* --- templates ------------------------------------------------------------------ */

/* It was checked when the option was set. */
static void
parse_template(Template *t, const RequestForm *form)
{
	TextFault fault;
	Size n;
	char *text = text_to_utf8(form->request, strlen(form->request), &n);

	if (!template_parse(t, text, n, buf_palloc, &fault))
		elog(ERROR, "invalid request template: %s", fault.problem);
}

/* Is the name, which is in the database's encoding, in the template? */
static bool
names_it(const TemplateParts *parts, const char *name)
{
	Size n;
	char *text = text_to_utf8(name, strlen(name), &n);

	for (uint32 i = 0; i < parts->n; i++)
	{
		const TemplatePart *part = &parts->parts[i];

		if (part->kind == PART_KWARGS || part->kind == PART_MEMBERS ||
			(part->kind == PART_ARGUMENT && part->text.n == n &&
			 memcmp(part->text.p, text, n) == 0))
			return true;
	}
	return false;
}

/* No keyword argument of a call is left out in silence. */
static void
check_places(const Template *t, Jsonb *kwargs)
{
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue v;

	if (request_no_kwargs(kwargs))
		return;
	it = JsonbIteratorInit(&kwargs->root);
	while ((token = JsonbIteratorNext(&it, &v, true)) != WJB_DONE)
	{
		char *name;

		if (token != WJB_KEY)
			continue;
		name = pnstrdup(v.val.string.val, v.val.string.len);
		if (!names_it(&t->request, name) && !names_it(&t->row, name))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("the request template has no place for keyword argument \"%s\"",
							name),
					 errhint("It could have \"$kwargs\" or \"$%s\".", name)));
	}
}

pg_noreturn static void
no_argument(const TemplatePart *part, int nargs)
{
	if (part->number > 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the request template has \"$%u\", but a row has %d arguments",
						part->number, nargs)));
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("the request template has \"$%s\", but there is no such argument",
					remote_text(part->text)),
			 errhint("Arguments have the names of columns or parameters, or of keyword arguments.")));
}

/* A position from 0, or -1: it is a keyword argument, written to w. */
static int
resolve(const TemplatePart *part, ArgEncoder *enc, Jsonb *kwargs, Writer *w)
{
	int nargs = enc != NULL ? enc->nargs : 0;
	int found = -1;
	JsonbValue *v;
	Size n;
	char *name;

	if (part->number > 0)
	{
		if ((int) part->number > nargs)
			no_argument(part, nargs);
		return (int) part->number - 1;
	}
	name = text_from_utf8(part->text.p, part->text.n, &n);
	for (int i = 0; i < nargs; i++)
		if (enc->names[i] != NULL && strlen(enc->names[i]) == n &&
			memcmp(enc->names[i], name, n) == 0)
		{
			if (found >= 0)
				argument_given_twice(enc->names[i]);
			found = i;
		}
	if (found >= 0)
		return found;
	v = request_kwarg(kwargs, name, n);
	if (v == NULL)
		no_argument(part, nargs);
	write_jsonb(w, JsonbValueToJsonb(v));
	return -1;
}

/* Write what does not depend on a row; false: the part is not of that kind. */
static bool
write_constant(Writer *w, const TemplatePart *part, Jsonb *kwargs)
{
	switch (part->kind)
	{
		case PART_TEXT:
			buf_put(w->buf, part->text.p, part->text.n);
			return true;
		case PART_KWARGS:
			write_kwargs(w, part, kwargs);
			return true;
		case PART_MEMBERS:
			write_members(w, part, members(part, kwargs));
			return true;
		default:
			return false;
	}
}

/* A request of one row has all of it at hand; a row of a batch is a value. */
static void
make_pieces(Pieces *pieces, const TemplateParts *parts, ArgEncoder *enc,
			Jsonb *kwargs)
{
	Piece *piece;

	pieces->p = palloc0((parts->n + 1) * sizeof(Piece));
	piece = &pieces->p[pieces->n++];
	buf_init(&piece->text, 0, buf_palloc);
	piece->arg = PIECE_TEXT;
	for (uint32 i = 0; i < parts->n; i++)
	{
		const TemplatePart *part = &parts->parts[i];
		Writer w = {.buf = &piece->text, .json = true};
		int arg = PIECE_ROW;

		if (write_constant(&w, part, kwargs))
			continue;
		if (part->kind == PART_ARGUMENT)
		{
			arg = resolve(part, enc, kwargs, &w);
			if (arg < 0)
				continue;
		}
		else if (part->kind != PART_ROW)
			elog(ERROR, "unexpected part of a request template");
		piece->arg = arg;
		piece = &pieces->p[pieces->n++];
		buf_init(&piece->text, 0, buf_palloc);
		piece->arg = PIECE_TEXT;
	}
}

void
request_pieces(Pieces *pieces, ArgEncoder *enc, Jsonb *own, Jsonb *kwargs)
{
	const RequestForm *form = enc->format.request;
	Template t;

	parse_template(&t, form);
	/* of a batch, the envelope is another place for them */
	if (!t.batched)
		check_places(&t, own);
	make_pieces(pieces, t.batched ? &t.row : &t.request, enc, kwargs);
	template_free(&t);
}

char *
request_envelope(const RequestForm *form, Jsonb *kwargs)
{
	Template t;
	Buf buf;
	Writer w = {.buf = &buf, .json = true};
	Jsonb *all = request_kwargs(form, kwargs);
	Size n;

	buf_init(&buf, 0, buf_palloc);
	parse_template(&t, form);
	check_places(&t, kwargs);
	for (uint32 i = 0; i < t.request.n; i++)
	{
		const TemplatePart *part = &t.request.parts[i];

		if (write_constant(&w, part, all))
			continue;
		if (part->kind == PART_ROWS)
			buf_put_u8(&buf, TEMPLATE_ROWS);
		else if (part->kind == PART_COUNT)
			buf_put_u8(&buf, TEMPLATE_COUNT);
		else if (part->kind == PART_SHAPE)
			buf_put_u8(&buf, TEMPLATE_SHAPE);
		else
			(void) resolve(part, NULL, all, &w);
	}
	template_free(&t);
	(void) buf_cstr(&buf);
	return text_from_utf8(buf.data, buf.len, &n);
}
