/*-------------------------------------------------------------------------
 *
 * template.c
 *	  Requests as users describe them; see template.h.
 *
 * What is constant becomes as few pieces of text as possible.  Members that
 * may be left out are put at the end of their object, so that who writes it
 * knows by the byte before whether there must be a comma.
 *
 *-------------------------------------------------------------------------
 */
#include "core/template.h"

#include <string.h>

#include "core/json_split.h"
#include "core/json_tensor.h"

#define MAX_LEVELS 32
#define MAX_ARGUMENT 1664 /* the most columns that a query has */

typedef struct Parser
{
	Template *t;
	const char *source;
	TemplateParts *to;	/* the part that is being written */
	size_t pending;		/* constant text from here on is in no part yet */
	bool in_row;
	bool has_argument;	/* outside of $rows */
	bool has_any;		/* something that differs from call to call */
	bool counts;		/* $count or $shape */
	int level;
	TextFault *fault;
} Parser;

static bool
fail(Parser *ps, const char *problem, const char *at)
{
	return text_fault(ps->fault, problem, (size_t) (at - ps->source));
}

/* Text may still move: until the end, places in it are counted from its start. */
static void
end_text(Parser *ps)
{
	size_t n = ps->t->text.len - ps->pending;
	TemplateParts *to = ps->to;

	if (n == 0)
		return;
	if (to->n < to->room)
		to->parts[to->n++] = (TemplatePart){
			.kind = PART_TEXT, .text = {(const char *) ps->pending, n}};
	ps->pending = ps->t->text.len;
}

/* False: no memory. */
static bool
add_part(Parser *ps, TemplatePart part)
{
	TemplateParts *to = ps->to;

	/* one for the text before it, one for that at the end */
	if (to->room - to->n < 3)
	{
		uint32_t room = to->room * 2 + 8;
		TemplatePart *grown = buf_memory(&ps->t->source, to->parts,
										 room * sizeof(TemplatePart));

		if (grown == NULL)
			return false;
		to->parts = grown;
		to->room = room;
	}
	end_text(ps);
	to->parts[to->n++] = part;
	return true;
}

static void
put(Parser *ps, Slice text)
{
	buf_put(&ps->t->text, text.p, text.n);
}

static bool
is(Slice name, const char *word)
{
	return name.n == strlen(word) && memcmp(name.p, word, name.n) == 0;
}

static bool
is_name_char(char c, bool first)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
		(unsigned char) c >= 0x80 || (!first && c >= '0' && c <= '9');
}

static bool
is_name(Slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!is_name_char(s.p[i], i == 0))
			return false;
	return s.n > 0;
}

/* --- placeholders ---------------------------------------------------------- */

static bool walk(Parser *ps, Slice value);

/* What each row looks like: row is p NULL for "$row". */
static bool
add_rows(Parser *ps, Slice row, const char *at)
{
	TemplateParts *outer = ps->to;
	bool good = true;

	if (ps->in_row || ps->t->batched)
		return fail(ps, "\"$rows\" may stand only once in a request", at);
	if (!add_part(ps, (TemplatePart){.kind = PART_ROWS}))
		return false;
	ps->t->batched = ps->in_row = true;
	ps->to = &ps->t->row;
	if (row.p == NULL)
		good = add_part(ps, (TemplatePart){.kind = PART_ROW});
	else
	{
		bool outside = ps->has_argument;

		ps->has_argument = false;
		good = walk(ps, row);
		if (good && !ps->has_argument)
			return fail(ps, "the description of a row has no placeholder", at);
		ps->has_argument = outside;
	}
	end_text(ps);
	ps->to = outer;
	ps->in_row = false;
	return good;
}

static bool
add_argument(Parser *ps, Slice name)
{
	TemplatePart part = {.kind = PART_ARGUMENT, .text = name};

	if (name.p[0] >= '0' && name.p[0] <= '9')
	{
		for (size_t i = 0; i < name.n && part.number <= MAX_ARGUMENT; i++)
		{
			if (name.p[i] < '0' || name.p[i] > '9')
				return fail(ps, "after \"$\" there is a number or a name", name.p);
			part.number = part.number * 10 + (uint32_t) (name.p[i] - '0');
		}
		if (part.number == 0 || part.number > MAX_ARGUMENT)
			return fail(ps, "arguments are numbered from 1 to 1664", name.p);
		ps->has_argument = true;
	}
	else if (!is_name(name))
		return fail(ps, "after \"$\" there is a number or a name; a string that begins with \"$\" begins with \"$$\" here",
					name.p);
	else if (ps->in_row)
		ps->has_argument = true;
	ps->has_any = true;
	return add_part(ps, part);
}

/* A string that begins with "$". */
static bool
add_placeholder(Parser *ps, Slice value)
{
	Slice name = {value.p + 2, value.n - 3};
	TemplatePart part = {.kind = PART_TEXT};

	if (name.n > 0 && name.p[0] == '$')
	{
		buf_put_u8(&ps->t->text, '"');
		put(ps, (Slice){name.p, name.n + 1});
		return true;
	}
	if (is(name, "rows"))
	{
		ps->has_any = true;
		return add_rows(ps, (Slice){NULL, 0}, value.p);
	}
	if (is(name, "row"))
	{
		part.kind = PART_ROW;
		ps->has_argument = ps->has_any = true;
	}
	else if (is(name, "kwargs"))
	{
		part.kind = PART_KWARGS;
		ps->has_any = true;
	}
	else if (is(name, "count"))
		part.kind = PART_COUNT;
	else if (is(name, "shape"))
		part.kind = PART_SHAPE;
	else
		return add_argument(ps, name);
	if (ps->in_row && (part.kind == PART_COUNT || part.kind == PART_SHAPE))
		return fail(ps, "this is about all rows, not about one", value.p);
	ps->counts |= part.kind == PART_COUNT || part.kind == PART_SHAPE;
	return add_part(ps, part);
}

/* --- walking through the document --------------------------------------------- */

/* A member that may be left out. */
static bool
add_optional(Parser *ps, Slice key, Slice value, Slice object)
{
	TemplatePart part = {.kind = PART_KWARGS, .optional = true, .text = key};

	if (json_key_is(key, "$kwargs"))
	{
		if (value.p[0] != '{')
			return fail(ps, "the value of a member \"$kwargs\" is an object of defaults",
						value.p);
		part = (TemplatePart){
			.kind = PART_MEMBERS, .text = value, .object = object};
	}
	ps->has_any = true;
	return add_part(ps, part);
}

static bool
is_optional(Slice key, Slice value)
{
	return json_key_is(key, "$kwargs") || json_key_is(value, "$kwargs");
}

/* Is there such a member before this one?  Who reads them keeps one of the two. */
static bool
is_repeated(Slice object, Slice key)
{
	JsonCursor c;
	Slice other, value;

	json_open(&c, object.p, object.n);
	json_enter(&c, '{');
	while (json_next_member(&c, &other, &value) && other.p < key.p)
		if (other.n == key.n && memcmp(other.p, key.p, key.n) == 0)
			return true;
	return false;
}

static bool
walk_object(Parser *ps, Slice object)
{
	JsonCursor c;
	Slice key, value;
	bool first = true;

	json_open(&c, object.p, object.n);
	json_enter(&c, '{');
	buf_put_u8(&ps->t->text, '{');
	while (json_next_member(&c, &key, &value))
	{
		if (json_key_is(key, "$rows"))
			return fail(ps, "an object with the key \"$rows\" has no other", key.p);
		if (is_repeated(object, key))
			return fail(ps, "the object has this member twice", key.p);
		if (is_optional(key, value))
			continue;
		if (!first)
			buf_put_u8(&ps->t->text, ',');
		first = false;
		put(ps, key);
		buf_put_u8(&ps->t->text, ':');
		if (!walk(ps, value))
			return false;
	}
	json_open(&c, object.p, object.n);
	json_enter(&c, '{');
	while (json_next_member(&c, &key, &value))
		if (is_optional(key, value) && !add_optional(ps, key, value, object))
			return false;
	buf_put_u8(&ps->t->text, '}');
	return true;
}

/* {"$rows": row}? */
static bool
describes_rows(Slice object, Slice *row)
{
	JsonCursor c;
	Slice key, other;

	json_open(&c, object.p, object.n);
	json_enter(&c, '{');
	return json_next_member(&c, &key, row) && json_key_is(key, "$rows") &&
		!json_next_member(&c, &key, &other);
}

static bool
walk_array(Parser *ps, Slice array)
{
	JsonCursor c;
	Slice value;
	bool first = true;

	json_open(&c, array.p, array.n);
	json_enter(&c, '[');
	buf_put_u8(&ps->t->text, '[');
	while (json_next_element(&c, &value))
	{
		if (!first)
			buf_put_u8(&ps->t->text, ',');
		first = false;
		if (!walk(ps, value))
			return false;
	}
	buf_put_u8(&ps->t->text, ']');
	return true;
}

static bool
walk(Parser *ps, Slice value)
{
	Slice row;
	bool good = true;

	if (++ps->level > MAX_LEVELS)
		return fail(ps, "the document is nested too deeply", value.p);
	if (value.p[0] == '{' && describes_rows(value, &row))
	{
		ps->has_any = true;
		good = add_rows(ps, row, value.p);
	}
	else if (value.p[0] == '{')
		good = walk_object(ps, value);
	else if (value.p[0] == '[')
		good = walk_array(ps, value);
	else if (value.n > 3 && value.p[0] == '"' && value.p[1] == '$')
		good = add_placeholder(ps, value);
	else
		put(ps, value);
	ps->level--;
	return good;
}

/* --- the whole ------------------------------------------------------------------ */

static void
settle(const Template *t, TemplateParts *of)
{
	for (uint32_t i = 0; i < of->n; i++)
		if (of->parts[i].kind == PART_TEXT)
			of->parts[i].text.p =
				(const char *) t->text.data + (size_t) of->parts[i].text.p;
}

static bool
parse(Parser *ps)
{
	const char *source = buf_cstr(&ps->t->source);
	const char *error, *at;
	JsonCursor c;
	Slice value;

	ps->source = source;
	if (json_scan_where(source, source + ps->t->source.len, &error, &at) == NULL)
		return fail(ps, error, at);
	json_open(&c, source, ps->t->source.len);
	(void) json_value(&c, &value);
	if (!json_at_end(&c))
		return fail(ps, "there is more after the end of the document", c.p);
	/* room for a document without any part */
	if (!add_part(ps, (TemplatePart){.kind = PART_TEXT}) || !walk(ps, value))
		return false;
	end_text(ps);
	if (!ps->has_any)
		return fail(ps, "the document has no placeholder, such as \"$rows\" or \"$1\"",
					source);
	if (ps->t->batched && ps->has_argument)
		return fail(ps, "beside \"$rows\" there is no place for arguments of a single row",
					source);
	if (ps->counts && !ps->t->batched)
		return fail(ps, "\"$count\" and \"$shape\" need \"$rows\"", source);
	return !ps->t->text.failed;
}

bool
template_parse(Template *t, const char *text, size_t n, BufRealloc grow,
			   TextFault *fault)
{
	Parser ps = {.t = t, .to = &t->request, .fault = fault};

	memset(t, 0, sizeof(*t));
	memset(fault, 0, sizeof(*fault));
	buf_init(&t->text, 0, grow);
	buf_init(&t->source, 0, grow);
	buf_put(&t->source, text, n);
	(void) buf_reserve(&t->text, 1); /* no text has a place, too */
	if (t->source.failed || !parse(&ps))
	{
		template_free(t);
		return false;
	}
	settle(t, &t->request);
	settle(t, &t->row);
	return true;
}

void
template_free(Template *t)
{
	if (t->request.parts != NULL)
		(void) buf_memory(&t->source, t->request.parts, 0);
	if (t->row.parts != NULL)
		(void) buf_memory(&t->source, t->row.parts, 0);
	buf_free(&t->source);
	buf_free(&t->text);
	memset(t, 0, sizeof(*t));
}

/* --- envelopes -------------------------------------------------------------------- */

static void
put_marked(Slice text, Buf *body, uint32_t rows, Slice first_row)
{
	size_t start = 0;

	for (size_t i = 0; i < text.n; i++)
	{
		if (text.p[i] != TEMPLATE_COUNT && text.p[i] != TEMPLATE_SHAPE)
			continue;
		buf_put(body, text.p + start, i - start);
		start = i + 1;
		if (text.p[i] == TEMPLATE_COUNT)
			buf_printf(body, "%u", rows);
		else
			json_tensor_put_shape(body, rows, first_row);
	}
	buf_put(body, text.p + start, text.n - start);
}

static size_t
head_length(Slice envelope)
{
	const char *mark = envelope.n > 0
		? memchr(envelope.p, TEMPLATE_ROWS, envelope.n)
		: NULL;

	return mark != NULL ? (size_t) (mark - envelope.p) : envelope.n;
}

bool
template_is_envelope(Slice envelope)
{
	return head_length(envelope) < envelope.n;
}

void
template_put_head(Slice envelope, Buf *body, uint32_t rows, Slice first_row)
{
	put_marked((Slice){envelope.p, head_length(envelope)}, body, rows,
			   first_row);
	buf_put_u8(body, '[');
}

void
template_put_tail(Slice envelope, Buf *body, uint32_t rows, Slice first_row)
{
	size_t n = head_length(envelope) + 1;

	buf_put_u8(body, ']');
	if (n < envelope.n)
		put_marked((Slice){envelope.p + n, envelope.n - n}, body, rows,
				   first_row);
}
