/*-------------------------------------------------------------------------
 *
 * json_path.c
 *	  Paths into JSON text; see json_path.h.
 *
 * Every step goes one level down, so at a depth all paths that are still
 * possible are at the same step, and a set of bits says which those are.  The
 * functions that go down call each other, but no deeper than paths are long.
 *
 *-------------------------------------------------------------------------
 */
#include "core/json_path.h"

#include <stdlib.h>
#include <string.h>

#include "core/cbor.h"

#define MAX_INDEX 1000000000

/* --- parsing ------------------------------------------------------------- */

typedef struct Parser
{
	JsonPath *path;
	const char *p, *end;
	TextFault *fault;
} Parser;

static bool
fail(Parser *ps, const char *problem)
{
	return text_fault(ps->fault, problem, (size_t) (ps->p - ps->path->text));
}

static void
skip_space(Parser *ps)
{
	while (ps->p < ps->end && strchr(" \t\r\n", *ps->p) != NULL)
		ps->p++;
}

/* Pass a word, if it comes next. */
static bool
take(Parser *ps, const char *word)
{
	size_t n = strlen(word);

	skip_space(ps);
	if ((size_t) (ps->end - ps->p) < n || memcmp(ps->p, word, n) != 0)
		return false;
	ps->p += n;
	return true;
}

static bool
is_key_char(char c, bool first)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
		(unsigned char) c >= 0x80 || (!first && c >= '0' && c <= '9');
}

/* What is appended to keys may move; places in it are kept from its start. */
static Slice
kept(size_t start, size_t n)
{
	return (Slice){(const char *) (start + 1), n};
}

static void
settle(const Buf *keys, Slice *s)
{
	if (s->p != NULL)
		s->p = (const char *) keys->data + ((size_t) s->p - 1);
}

/* A string in quotes. */
static bool
take_string(Parser *ps, Slice *content)
{
	JsonCursor c;
	Slice quoted;
	size_t start = ps->path->keys.len;

	json_open(&c, ps->p, (size_t) (ps->end - ps->p));
	if (!json_value(&c, &quoted) || !json_string(quoted, &ps->path->keys))
		return fail(ps, "a string in double quotes is expected");
	ps->p = c.p;
	*content = kept(start, ps->path->keys.len - start);
	return true;
}

static bool
take_key(Parser *ps, JsonStep *step)
{
	const char *start;

	step->kind = STEP_KEY;
	skip_space(ps);
	if (ps->p < ps->end && *ps->p == '"')
		return take_string(ps, &step->key);
	if (ps->p == ps->end || !is_key_char(*ps->p, true))
		return fail(ps, "a key is expected, in double quotes unless it is a plain word");
	start = ps->p;
	while (ps->p < ps->end && is_key_char(*ps->p, false))
		ps->p++;
	if (ps->p < ps->end && *ps->p == '(')
		return fail(ps, "methods are not possible in this path");
	step->key = kept(ps->path->keys.len, (size_t) (ps->p - start));
	buf_put(&ps->path->keys, start, step->key.n);
	return true;
}

static bool
take_subscript(Parser *ps, JsonStep *step)
{
	const char *start;

	if (take(ps, "*"))
		step->kind = STEP_ALL;
	else
	{
		skip_space(ps);
		start = ps->p;
		step->kind = STEP_INDEX;
		for (; ps->p < ps->end && *ps->p >= '0' && *ps->p <= '9'; ps->p++)
		{
			if (step->index > MAX_INDEX / 10)
				return fail(ps, "a subscript is too large");
			step->index = step->index * 10 + (uint32_t) (*ps->p - '0');
		}
		if (ps->p == start)
			return fail(ps, "a subscript must be a number or *");
	}
	return take(ps, "]") || fail(ps, "a \"]\" is expected");
}

static bool
take_steps(Parser *ps)
{
	JsonPath *path = ps->path;

	for (;;)
	{
		JsonStep step = {0};
		bool subscript;

		if (take(ps, "["))
			subscript = true;
		else if (take(ps, "."))
			subscript = false;
		else
			return true;
		if (path->nsteps == JSON_PATH_MAX_STEPS)
			return fail(ps, "the path has more than 16 steps");
		if (!(subscript ? take_subscript(ps, &step) : take_key(ps, &step)))
			return false;
		path->steps[path->nsteps++] = step;
		if (step.kind == STEP_ALL)
			path->nitems = path->nsteps;
	}
}

static bool
take_condition(Parser *ps)
{
	JsonPath *path = ps->path;
	JsonCondition *cond = &path->conditions[path->nconditions];
	JsonCursor c;

	if (path->nconditions == JSON_PATH_MAX_CONDITIONS)
		return fail(ps, "the filter has more than 8 conditions");
	if (!take(ps, "@"))
		return fail(ps, "a condition begins with \"@\"");
	cond->equal = take(ps, "==");
	if (!cond->equal && !take(ps, "!=") && !take(ps, "<>"))
		return fail(ps, "\"==\" or \"!=\" is expected");
	skip_space(ps);
	json_open(&c, ps->p, (size_t) (ps->end - ps->p));
	if (!json_value(&c, &cond->literal) || strchr("[{", cond->literal.p[0]))
		return fail(ps, "a string, number, true, false or null is expected");
	if (cond->literal.p[0] == '"' && !take_string(ps, &cond->string))
		return false;
	ps->p = c.p;
	path->nconditions++;
	return true;
}

/* "(@ != "a" && …)", after the question mark. */
static bool
take_filter(Parser *ps)
{
	bool all = false;

	if (!take(ps, "("))
		return fail(ps, "a \"(\" is expected");
	for (;;)
	{
		if (!take_condition(ps))
			return false;
		if (take(ps, ")"))
			return true;
		if (take(ps, "&&"))
			all = true;
		else if (take(ps, "||"))
			ps->path->any = true;
		else
			return fail(ps, "\"&&\", \"||\" or \")\" is expected");
		if (all && ps->path->any)
			return fail(ps, "\"&&\" and \"||\" cannot be mixed");
	}
}

static bool
parse(Parser *ps)
{
	if (!take(ps, "$"))
		return fail(ps, "a path begins with \"$\"");
	if (!take_steps(ps) || (take(ps, "?") && !take_filter(ps)))
		return false;
	skip_space(ps);
	return ps->p == ps->end ||
		fail(ps, "this is not possible here: steps are .key, .\"key\", [0] and [*]");
}

bool
json_path_parse(JsonPath *path, const char *text, size_t n, TextFault *fault)
{
	Parser ps = {.path = path, .fault = fault};

	memset(path, 0, sizeof(*path));
	memset(fault, 0, sizeof(*fault));
	buf_init(&path->keys, 0, NULL);
	path->text = strndup(text, n);
	(void) buf_reserve(&path->keys, 1); /* an empty key has a place, too */
	if (path->text == NULL)
		return false;
	ps.p = path->text;
	ps.end = path->text + strlen(path->text);
	if (!parse(&ps) || path->keys.failed)
	{
		json_path_free(path);
		return false;
	}
	for (int i = 0; i < path->nsteps; i++)
		settle(&path->keys, &path->steps[i].key);
	for (int i = 0; i < path->nconditions; i++)
		settle(&path->keys, &path->conditions[i].string);
	return true;
}

void
json_path_free(JsonPath *path)
{
	free(path->text);
	buf_free(&path->keys);
	memset(path, 0, sizeof(*path));
}

static bool
same(Slice a, Slice b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

bool
json_path_same_items(const JsonPath *a, const JsonPath *b)
{
	if (a->nitems != b->nitems)
		return false;
	for (int i = 0; i < a->nitems; i++)
	{
		if (a->steps[i].kind != b->steps[i].kind ||
			a->steps[i].index != b->steps[i].index ||
			!same(a->steps[i].key, b->steps[i].key))
			return false;
	}
	return true;
}

Slice
json_path_last_key(const JsonPath *path)
{
	for (int i = path->nsteps; i > 0; i--)
		if (path->steps[i - 1].kind == STEP_KEY)
			return path->steps[i - 1].key;
	return (Slice){NULL, 0};
}

/* --- evaluation ------------------------------------------------------------ */

typedef struct Scan
{
	const JsonPath *paths;
	int n;
	const JsonPathVisitor *visitor;
	const char *error; /* of the visitor, or no memory */
} Scan;

static bool
string_is(Slice string, Slice content, const char **error)
{
	Buf text;
	bool is;

	/* mostly there is nothing to decode */
	if (memchr(string.p, '\\', string.n) == NULL)
		return same((Slice){string.p + 1, string.n - 2}, content);
	buf_init(&text, 0, NULL);
	is = json_string(string, &text) &&
		same((Slice){(const char *) text.data, text.len}, content);
	if (text.failed)
		*error = "out of memory";
	buf_free(&text);
	return is;
}

static bool
meets(Scan *s, const JsonPath *path, Slice value)
{
	for (int i = 0; i < path->nconditions; i++)
	{
		const JsonCondition *cond = &path->conditions[i];
		bool is = cond->string.p != NULL
			? value.p[0] == '"' && string_is(value, cond->string, &s->error)
			: same(value, cond->literal);

		if ((is == cond->equal) == path->any)
			return path->any;
	}
	return path->nconditions == 0 || !path->any;
}

static uint32_t
among(const Scan *s, uint32_t set, int depth, Slice key, uint32_t index,
	  const char **error)
{
	uint32_t next = 0;

	for (int i = 0; i < s->n; i++)
	{
		const JsonStep *step = &s->paths[i].steps[depth];

		if ((set >> i & 1) == 0)
			continue;
		if (key.p != NULL
				? step->kind == STEP_KEY && string_is(key, step->key, error)
				: step->kind == STEP_ALL ||
					(step->kind == STEP_INDEX && step->index == index))
			next |= UINT32_C(1) << i;
	}
	return next;
}

static bool scan_value(Scan *s, JsonCursor *c, uint32_t set, int depth);

/* Into the value that comes next, for paths that do not end with it. */
static bool
scan_inside(Scan *s, JsonCursor *c, uint32_t set, int depth)
{
	char bracket = json_peek(c);
	uint32_t index = 0;
	Slice key = {NULL, 0};
	Slice ignored;

	if (bracket != '{' && bracket != '[')
		return json_value(c, &ignored);
	json_enter(c, bracket);
	while (bracket == '{' ? json_next_key(c, &key) : json_next_begins(c))
	{
		uint32_t next = among(s, set, depth, key, index++, &s->error);

		if (s->error != NULL ||
			!(next == 0 ? json_value(c, &ignored)
						: scan_value(s, c, next, depth + 1)))
			return false;
	}
	return c->error == NULL;
}

static bool
scan_value(Scan *s, JsonCursor *c, uint32_t set, int depth)
{
	uint32_t ends = 0;
	Slice value;
	JsonCursor inner;

	for (int i = 0; i < s->n && s->error == NULL; i++)
	{
		if ((set >> i & 1) == 0)
			continue;
		if (depth > 0 && s->paths[i].nitems == depth)
			s->error = s->visitor->item(s->visitor->arg, i);
		if (s->paths[i].nsteps == depth)
			ends |= UINT32_C(1) << i;
	}
	if (s->error != NULL)
		return false;
	if (ends == 0)
		return scan_inside(s, c, set, depth);

	if (!json_value(c, &value))
		return false;
	for (int i = 0; i < s->n && s->error == NULL; i++)
		if ((ends >> i & 1) != 0 && meets(s, &s->paths[i], value) &&
			s->error == NULL)
			s->error = s->visitor->found(s->visitor->arg, i, value);
	if (s->error != NULL || set == ends)
		return s->error == NULL;
	/* it is good JSON: there can be no error of the cursor's */
	json_open(&inner, value.p, value.n);
	return scan_inside(s, &inner, set & ~ends, depth);
}

const char *
json_paths_scan(const JsonPath *paths, int n, JsonCursor *c,
				const JsonPathVisitor *visitor)
{
	Scan s = {.paths = paths, .n = n, .visitor = visitor};
	uint32_t all = n >= JSON_PATHS_MAX ? UINT32_MAX : (UINT32_C(1) << n) - 1;

	(void) scan_value(&s, c, all, 0);
	return s.error != NULL ? s.error : c->error;
}
