/*-------------------------------------------------------------------------
 *
 * http_reply.c
 *	  Take replies apart by paths; see http_reply.h.
 *
 *-------------------------------------------------------------------------
 */
#include "core/http_reply.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/cbor.h"
#include "core/json_tensor.h"

#define MAX_USAGE 1e15 /* of a reply: sums stay exact, and finite */

static const char *const type_names[] = {
	[REPLY_JSON] = "json",
	[REPLY_JSON_STRING] = "json-string",
	[REPLY_TEXT] = "text",
	[REPLY_BYTES] = "bytes",
};

bool
reply_type_by_name(const char *name, ReplyType *type)
{
	for (size_t i = 0; i < sizeof(type_names) / sizeof(type_names[0]); i++)
		if (strcmp(name, type_names[i]) == 0)
		{
			*type = (ReplyType) i;
			return true;
		}
	return false;
}

static bool
has(uint32_t set, int path)
{
	return (set >> path & 1) != 0;
}

/* --- options ------------------------------------------------------------- */

static bool
add_path(ReplyForm *form, const char *text, size_t n, TextFault *fault)
{
	if (form->npaths == JSON_PATHS_MAX)
		return text_fault(fault, "all paths together must not be more than 32",
						  0);
	if (!json_path_parse(&form->paths[form->npaths], text, n, fault))
		return false;
	form->npaths++;
	return true;
}

static bool
add_one(ReplyForm *form, const char *text, int *which, TextFault *fault)
{
	if (text == NULL)
		return true;
	*which = form->npaths;
	return add_path(form, text, strlen(text), fault);
}

/* One path a line. */
static bool
add_lines(ReplyForm *form, const char *text, uint32_t *set, TextFault *fault)
{
	for (const char *p = text; p != NULL && *p != '\0';)
	{
		size_t n = strcspn(p, "\n");

		if (n > 0)
		{
			int which = form->npaths;

			if (!add_path(form, p, n, fault))
			{
				fault->at += (size_t) (p - text);
				return false;
			}
			*set |= UINT32_C(1) << which;
		}
		p += n;
		p += *p == '\n';
	}
	return true;
}

/* Paths that have to go together with the one to the results. */
static bool
check_items(const ReplyForm *form, const char **option, TextFault *fault)
{
	const JsonPath *result = &form->paths[form->result];

	*option = "result";
	if (form->batched && result->nitems == 0 && form->shape < 0)
		return text_fault(fault,
						  "a path to the results of many rows has a [*], whose items are the rows'",
						  strlen(result->text));
	*option = "result_index";
	if (form->index >= 0 &&
		!json_path_same_items(result, &form->paths[form->index]))
		return text_fault(fault, "up to its last [*] it must be the same path as in option \"result\"",
						  0);
	*option = "row_error";
	for (int i = 0; i < form->npaths; i++)
		if (has(form->row_errors, i) &&
			!json_path_same_items(result, &form->paths[i]))
			return text_fault(fault, "up to its last [*] it must be the same path as in option \"result\"",
							  0);
	*option = "result_shape";
	if (form->shape >= 0 && (!form->batched || result->nitems > 0))
		return text_fault(fault, "it is for many rows in a request, whose results are one list without [*]",
						  0);
	*option = "result_type";
	if (form->type >= REPLY_TEXT && form->batched)
		return text_fault(fault, "results of many rows are in JSON", 0);
	return true;
}

static bool
parse(ReplyForm *form, const ReplyOptions *o, const char **option,
	  TextFault *fault)
{
	const char *result = o->result != NULL ? o->result
		: o->batched					   ? "$[*]"
										   : "$";

	*option = "result_type";
	if (o->result_type != NULL && !reply_type_by_name(o->result_type, &form->type))
		return text_fault(fault, "it must be json, json-string, text or bytes", 0);
	*option = "result";
	if (!add_one(form, result, &form->result, fault))
		return false;
	*option = "result_index";
	if (!add_one(form, o->result_index, &form->index, fault))
		return false;
	*option = "result_shape";
	if (!add_one(form, o->result_shape, &form->shape, fault))
		return false;
	*option = "row_error";
	if (!add_lines(form, o->row_error, &form->row_errors, fault))
		return false;
	*option = "error";
	if (!add_lines(form, o->error, &form->errors, fault))
		return false;
	*option = "usage";
	if (!add_lines(form, o->usage, &form->usages, fault))
		return false;
	return check_items(form, option, fault);
}

bool
reply_form_parse(ReplyForm *form, const ReplyOptions *options,
				 const char **option, TextFault *fault)
{
	memset(form, 0, sizeof(*form));
	memset(fault, 0, sizeof(*fault));
	form->result = form->index = form->shape = -1;
	form->batched = options->batched;
	if (parse(form, options, option, fault))
		return true;
	if (fault->problem == NULL)
		*option = NULL;
	reply_form_free(form);
	return false;
}

void
reply_form_free(ReplyForm *form)
{
	for (int i = 0; i < form->npaths; i++)
		json_path_free(&form->paths[i]);
	memset(form, 0, sizeof(*form));
}

/* --- one pass over a reply -------------------------------------------------- */

typedef struct Reading
{
	const ReplyForm *form;
	Reply *reply;
	uint32_t rows;
	uint32_t nitems;  /* seen so far */
	bool reordered;	  /* some index is not the item's number */
	uint32_t *places; /* of items, with result_index; rows of them */
	Slice message, shape;
	int message_path; /* of the lines of option error, the first one counts */
	Buf *scratch;
} Reading;

static const char no_memory[] = "out of memory";

/* A text with a path in it, in scratch: nothing else is there by then. */
static const char *
complain(Reading *r, const char *what, const JsonPath *path)
{
	buf_reset(r->scratch);
	buf_printf(r->scratch, "%s %s", what, path->text);
	return r->scratch->failed ? no_memory : buf_cstr(r->scratch);
}

static bool
is_nothing(Slice value)
{
	return value.p[0] == 'n' || value.p[0] == 'f' ||
		(value.n == 2 && value.p[0] == '"');
}

static const char *
new_item(void *arg, int path)
{
	Reading *r = arg;

	if (path != r->form->result)
		return NULL;
	if (r->nitems == r->rows)
		return "the reply has more results than the request has rows";
	r->nitems++;
	return NULL;
}

/* Without [*], the whole reply is the one item. */
static HttpRow *
this_row(const Reading *r)
{
	uint32_t n = r->form->paths[r->form->result].nitems > 0 ? r->nitems : 1;

	return n > 0 ? &r->reply->rows[n - 1] : NULL;
}

static const char *
take_row_error(Reading *r, int path, Slice value)
{
	HttpRow *row = this_row(r);
	const JsonPath *p = &r->form->paths[path];
	JsonCursor c;

	if (is_nothing(value) || row->message.p != NULL)
		return NULL;
	json_open(&c, value.p, value.n);
	if (value.p[0] == '{' && http_format_row_error(&c, row) != NULL)
		return "an error of a row cannot be read";
	if (row->message.p == NULL)
		row->message = value;
	if (row->code.p == NULL)
		row->code = json_path_last_key(p);
	if (p->nconditions > 0)
		row->what = json_path_last_key(p);
	return NULL;
}

static const char *
take_usage(Reading *r, int path, Slice value)
{
	char digits[64];
	char *end;
	double number;

	if (value.n == 4 && memcmp(value.p, "null", 4) == 0)
		return NULL;
	if (value.n < sizeof(digits) && strchr("-0123456789", value.p[0]) != NULL)
	{
		memcpy(digits, value.p, value.n);
		digits[value.n] = '\0';
		number = strtod(digits, &end);
		if (*end == '\0' && number >= 0 && number <= MAX_USAGE)
		{
			r->reply->usage += number;
			return NULL;
		}
	}
	return complain(r, "what the reply says of its usage is not a number:",
					&r->form->paths[path]);
}

static const char *
take_index(Reading *r, Slice value)
{
	int64_t i, at;

	if (!json_integer(value, &i) || i < 0 || i >= r->rows)
		return "an index in the reply is not one of the request's rows";
	at = this_row(r) - r->reply->rows;
	if (r->places[at] != UINT32_MAX)
		return "a result of the reply has two indexes";
	r->places[at] = (uint32_t) i;
	r->reordered |= i != at;
	return NULL;
}

static const char *
found(void *arg, int path, Slice value)
{
	Reading *r = arg;
	const ReplyForm *form = r->form;

	if (path == form->result)
	{
		HttpRow *row = this_row(r);

		if (row->value.p != NULL)
			return complain(r, "the reply has two results of a row at",
							&form->paths[path]);
		row->value = value;
	}
	else if (path == form->index)
		return take_index(r, value);
	else if (path == form->shape)
		r->shape = value;
	else if (has(form->row_errors, path))
		return take_row_error(r, path, value);
	else if (has(form->usages, path))
		return take_usage(r, path, value);
	else if (!is_nothing(value) &&
			 (r->message.p == NULL || path < r->message_path))
	{
		r->message = value;
		r->message_path = path;
	}
	return NULL;
}

/* --- after the pass ----------------------------------------------------------- */

/* Put the outcomes where their indexes say. */
static const char *
reorder(Reading *r)
{
	HttpRow *rows = r->reply->rows;

	for (uint32_t i = 0; i < r->rows; i++)
		if (r->places[i] == UINT32_MAX)
			return complain(r, "a result of the reply has no index at",
							&r->form->paths[r->form->index]);
	if (!r->reordered)
		return NULL;
	for (uint32_t i = 0; i < r->rows;)
	{
		uint32_t to = r->places[i];
		HttpRow row;

		if (to == i)
		{
			i++;
			continue;
		}
		if (r->places[to] == to)
			return "the reply has an index twice";
		row = rows[to];
		rows[to] = rows[i];
		rows[i] = row;
		r->places[i] = r->places[to];
		r->places[to] = to;
	}
	return NULL;
}

/*
 * JSON within strings: the texts are put behind each other, each with a zero
 * byte, which the scanner needs; only then is it known where they are.
 */
static const char *
open_strings(Reading *r)
{
	HttpRow *rows = r->reply->rows;
	const char *p;

	buf_reset(r->scratch);
	for (uint32_t i = 0; i < r->rows; i++)
	{
		size_t start = r->scratch->len;

		/* null is nobody's JSON, and may stay */
		if (rows[i].message.p != NULL || rows[i].value.p[0] == 'n')
			continue;
		if (!json_string(rows[i].value, r->scratch))
			return complain(r, "what should be JSON in a string is no string:",
							&r->form->paths[r->form->result]);
		rows[i].value = (Slice){"", r->scratch->len - start};
		buf_put_u8(r->scratch, '\0');
	}
	if (r->scratch->failed)
		return no_memory;
	p = (const char *) r->scratch->data;
	for (uint32_t i = 0; i < r->rows; i++)
	{
		HttpRow *row = &rows[i];
		JsonCursor c;
		Slice value;

		if (row->message.p != NULL || row->value.p[0] == 'n')
			continue;
		json_open(&c, p, row->value.n);
		p += row->value.n + 1;
		if (json_value(&c, &value) && json_at_end(&c))
			row->value = value;
		else
		{
			static const char what[] = "the result is a string, but not with JSON in it";

			row->message = (Slice){what, sizeof(what) - 1};
		}
	}
	return NULL;
}

static const char *
check_rows(Reading *r)
{
	const ReplyForm *form = r->form;
	const JsonPath *path = &form->paths[form->result];
	const char *error;

	if (path->nitems > 0 && r->nitems < r->rows)
		return r->nitems == 0
			? complain(r, "the reply has nothing at", path)
			: "the reply has fewer results than the request has rows";
	if (form->shape >= 0)
	{
		if (r->reply->rows[0].value.p == NULL)
			return complain(r, "the reply has nothing at", path);
		if (r->shape.p == NULL)
			return complain(r, "the reply has nothing at",
							&form->paths[form->shape]);
		return json_tensor_split(r->reply->rows[0].value, r->shape, r->rows,
								 r->reply->rows, r->scratch);
	}
	for (uint32_t i = 0; i < r->rows; i++)
		if (r->reply->rows[i].value.p == NULL &&
			r->reply->rows[i].message.p == NULL)
			return complain(r, "the reply has nothing at", path);
	error = form->index >= 0 ? reorder(r) : NULL;
	if (error == NULL && form->type == REPLY_JSON_STRING)
		error = open_strings(r);
	for (uint32_t i = 0; i < r->rows; i++)
		if (r->reply->rows[i].message.p != NULL)
			r->reply->rows[i].value = (Slice){NULL, 0};
	return error;
}

/* The function's own report, decoded. */
static const char *
report(Reading *r)
{
	Slice message = r->message;

	r->reply->failed = true;
	buf_reset(r->scratch);
	if (message.p == NULL)
		buf_put_cstr(r->scratch, "the function reported failure");
	else if (!json_string(message, r->scratch))
		buf_put(r->scratch, message.p, message.n);
	return r->scratch->failed ? no_memory : buf_cstr(r->scratch);
}

static const char *
read_json(Reading *r, const char *text, size_t n, bool says_error)
{
	const JsonPathVisitor visitor = {new_item, found, r};
	JsonCursor c;
	const char *error;

	json_open(&c, text, n);
	error = json_paths_scan(r->form->paths, r->form->npaths, &c, &visitor);
	if (error == NULL && !json_at_end(&c))
		error = "there is more after the end of the reply";
	if (error != NULL)
		return error;
	if (says_error)
		return report(r);
	/* A good status with an error's body. */
	if (r->message.p != NULL && r->nitems == 0 &&
		r->reply->rows[0].value.p == NULL)
		return report(r);
	return check_rows(r);
}

/* The whole body, with the head that makes it an item of CBOR. */
static const char *
read_whole(const ReplyForm *form, const char *text, size_t n, HttpRow *row,
		   Buf *scratch)
{
	if (form->type == REPLY_TEXT)
	{
		if (!utf8_valid((const uint8_t *) text, n))
			return "invalid utf-8 string";
		cbor_put_text(scratch, text, n);
	}
	else
		cbor_put_bytes(scratch, text, n);
	*row = (HttpRow){.value = {(const char *) scratch->data, scratch->len},
					 .cbor = true};
	return scratch->failed ? no_memory : NULL;
}

const char *
reply_form_read(const ReplyForm *form, const char *text, size_t n,
				uint32_t rows, bool says_error, Reply *reply, Buf *scratch)
{
	Reading r = {.form = form, .reply = reply, .rows = rows, .scratch = scratch};
	const char *error;

	reply->usage = 0;
	reply->failed = false;
	memset(reply->rows, 0, rows * sizeof(HttpRow));
	buf_reset(scratch);
	if (form->type >= REPLY_TEXT && !says_error)
		return read_whole(form, text, n, &reply->rows[0], scratch);
	if (form->index >= 0)
	{
		r.places = malloc(rows * sizeof(uint32_t));
		if (r.places == NULL)
			return no_memory;
		memset(r.places, 0xff, rows * sizeof(uint32_t));
	}
	error = read_json(&r, text, n, says_error);
	free(r.places);
	return error;
}

/* --- errors' bodies --------------------------------------------------------------- */


static const char *
ignore_item(void *arg, int path)
{
	(void) arg;
	(void) path;
	return NULL;
}

static const char *
find_message(void *arg, int path, Slice value)
{
	Reading *r = arg;

	return has(r->form->errors, path) ? found(r, path, value) : NULL;
}

bool
reply_form_error(const ReplyForm *form, const char *text, size_t n,
				 Buf *message)
{
	Reading r = {.form = form};
	const JsonPathVisitor visitor = {ignore_item, find_message, &r};
	JsonCursor c;

	json_open(&c, text, n);
	if (json_paths_scan(form->paths, form->npaths, &c, &visitor) != NULL ||
		r.message.p == NULL)
		return false;
	if (!json_string(r.message, message))
		buf_put(message, r.message.p, r.message.n);
	return true;
}
