/*-------------------------------------------------------------------------
 *
 * bulk.c
 *	  OpenAI's batch endpoint; see bulk.h.
 *
 *-------------------------------------------------------------------------
 */
#include "core/bulk.h"

#include <stdlib.h>
#include <string.h>

#include "core/json_split.h"

#define RUN_KEY "modal_batch_run"
#define FIRST_KEY "modal_batch_first"
#define ROWS_KEY "modal_batch_rows"

/* --- what is sent --------------------------------------------------------- */

void
bulk_form_begin(Buf *body, const char *boundary)
{
	buf_printf(body,
			   "--%s\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\n"
			   "batch\r\n--%s\r\nContent-Disposition: form-data; name=\"file\"; "
			   "filename=\"modal_batch.jsonl\"\r\n"
			   "Content-Type: application/jsonl\r\n\r\n",
			   boundary, boundary);
}

void
bulk_form_end(Buf *body, const char *boundary)
{
	buf_printf(body, "\r\n--%s--\r\n", boundary);
}

/* Line breaks may stand between the tokens of JSON, and nowhere else in it. */
static void
put_in_a_line(Buf *body, Slice json)
{
	size_t start = body->len;

	buf_put(body, json.p, json.n);
	if (body->failed)
		return;
	for (size_t i = start; i < body->len; i++)
		if (body->data[i] == '\n' || body->data[i] == '\r')
			body->data[i] = ' ';
}

void
bulk_put_line(Buf *body, int64_t ordinal, Slice path, Slice object)
{
	buf_printf(body, "{\"custom_id\":\"%lld\",\"method\":\"POST\",\"url\":",
			   (long long) ordinal);
	json_put_string(body, path.p, path.n);
	buf_put_cstr(body, ",\"body\":");
	put_in_a_line(body, object);
	buf_put_cstr(body, "}\n");
}

void
bulk_put_request(Buf *body, const char *file, Slice path,
				 const BulkLabel *label)
{
	buf_printf(body, "{\"input_file_id\":\"%s\",\"endpoint\":", file);
	json_put_string(body, path.p, path.n);
	buf_printf(body,
			   ",\"completion_window\":\"24h\",\"metadata\":{\"" RUN_KEY
			   "\":\"%s\",\"" FIRST_KEY "\":\"%lld\",\"" ROWS_KEY
			   "\":\"%u\"}}",
			   label->run, (long long) label->first, label->rows);
}

/* --- what is answered ----------------------------------------------------- */

/*
 * The content of a JSON string that has no escapes, and fits, with the zero
 * byte, into size; false: it is something else.
 */
static bool
plain_string(Slice value, char *out, size_t size)
{
	if (value.n < 2 || value.p[0] != '"' || value.n - 2 >= size ||
		memchr(value.p, '\\', value.n) != NULL)
		return false;
	memcpy(out, value.p + 1, value.n - 2);
	out[value.n - 2] = '\0';
	return true;
}

/* It becomes a step of a path. */
static bool
is_id(const char *id)
{
	return id[0] != '\0' && strspn(id, ".") < strlen(id) &&
		strspn(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.") ==
		strlen(id);
}

static bool
read_id(Slice value, char id[BULK_ID_MAX + 1])
{
	if (plain_string(value, id, BULK_ID_MAX + 1) && is_id(id))
		return true;
	id[0] = '\0';
	return false;
}

bool
bulk_set_id(Bulk *bulk, Slice id)
{
	memset(bulk, 0, sizeof(*bulk));
	if (id.n > BULK_ID_MAX || memchr(id.p, '\0', id.n) != NULL)
		return false;
	memcpy(bulk->id, id.p, id.n);
	return is_id(bulk->id);
}

static bool
is_null(Slice value)
{
	return value.n == 4 && memcmp(value.p, "null", 4) == 0;
}

/* A number in a string; false: it is none, from 0 to most. */
static bool
read_count(Slice value, int64_t most, int64_t *n)
{
	char digits[24];
	char *end;

	if (!plain_string(value, digits, sizeof(digits)) || digits[0] < '0' ||
		digits[0] > '9' || strlen(digits) > 18)
		return false;
	*n = strtoll(digits, &end, 10);
	return *end == '\0' && *n <= most;
}

static const char *
read_status(Slice value, BulkStatus *status)
{
	static const struct
	{
		const char *name;
		BulkStatus status;
	} names[] = {
		{"validating", BULK_WORKING},	{"in_progress", BULK_WORKING},
		{"finalizing", BULK_WORKING},	{"cancelling", BULK_WORKING},
		{"completed", BULK_COMPLETED},	{"expired", BULK_EXPIRED},
		{"cancelled", BULK_CANCELLED},	{"failed", BULK_FAILED},
	};
	char name[32];

	if (plain_string(value, name, sizeof(name)))
		for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
			if (strcmp(names[i].name, name) == 0)
			{
				*status = names[i].status;
				return NULL;
			}
	return "the status of the batch is not known";
}

/* Metadata of others may be anything. */
static void
read_metadata(JsonCursor c, char *run, size_t size, Bulk *bulk)
{
	Slice key, value;
	int64_t rows = 0;
	bool has_first = false;

	run[0] = '\0';
	json_enter(&c, '{');
	while (json_next_member(&c, &key, &value))
	{
		if (json_key_is(key, RUN_KEY))
			(void) plain_string(value, run, size);
		else if (json_key_is(key, FIRST_KEY))
			has_first = read_count(value, INT64_MAX, &bulk->first);
		else if (json_key_is(key, ROWS_KEY) &&
				 !read_count(value, UINT32_MAX, &rows))
			rows = 0;
	}
	bulk->rows = has_first && c.error == NULL ? (uint32_t) rows : 0;
}

/* {"data": […]} of what is wrong with the file. */
static void
read_errors(JsonCursor c, Bulk *bulk)
{
	Slice key, value;

	json_enter(&c, '{');
	while (json_next_member(&c, &key, &value))
		if (json_key_is(key, "data"))
			bulk->errors = value;
}

/* Is that the only thing that is wrong? */
static bool
lacks_room(const Bulk *bulk)
{
	static const char code[] = "\"token_limit_exceeded\"";
	Slice rest = bulk->errors;
	BulkError error;
	bool any = false;

	while (bulk_next_error(&rest, &error))
	{
		any = true;
		if (error.code.n != strlen(code) ||
			memcmp(error.code.p, code, strlen(code)) != 0)
			return false;
	}
	return any;
}

/* A member of a bulk; returns what is wrong with it. */
static const char *
read_member(JsonCursor inner, Slice key, Slice value, char *run, size_t size,
			Bulk *bulk)
{
	if (json_key_is(key, "id") && !read_id(value, bulk->id))
		return "the id of the batch is not one";
	if (json_key_is(key, "input_file_id"))
		(void) read_id(value, bulk->input_file);
	else if (json_key_is(key, "status"))
		return read_status(value, &bulk->status);
	else if (json_key_is(key, "output_file_id") && !is_null(value) &&
			 !read_id(value, bulk->output_file))
		return "the id of the output file is not one";
	else if (json_key_is(key, "error_file_id") && !is_null(value) &&
			 !read_id(value, bulk->error_file))
		return "the id of the error file is not one";
	else if (json_key_is(key, "metadata") && value.p[0] == '{')
		read_metadata(inner, run, size, bulk);
	else if (json_key_is(key, "errors") && value.p[0] == '{')
		read_errors(inner, bulk);
	return NULL;
}

/* Its run is read also of one with which something is wrong. */
static const char *
read_bulk(JsonCursor *c, char *run, size_t size, Bulk *bulk)
{
	Slice key, value;
	const char *error = NULL;
	bool has_status = false;

	memset(bulk, 0, sizeof(*bulk));
	run[0] = '\0';
	json_enter(c, '{');
	while (json_next_member(c, &key, &value))
	{
		JsonCursor inner = {.p = value.p, .end = c->end};
		const char *wrong = read_member(inner, key, value, run, size, bulk);

		has_status |= json_key_is(key, "status");
		error = error != NULL ? error : wrong;
	}
	if (error == NULL)
		error = c->error;
	if (error == NULL && (bulk->id[0] == '\0' || !has_status))
		error = "the batch has no id, or no status";
	if (error == NULL && bulk->status == BULK_FAILED &&
		bulk->input_file[0] != '\0' && lacks_room(bulk))
		bulk->status = BULK_NO_ROOM;
	return error;
}

const char *
bulk_read(const char *text, size_t n, Bulk *bulk)
{
	JsonCursor c;
	char run[1];

	json_open(&c, text, n);
	return read_bulk(&c, run, sizeof(run), bulk);
}

const char *
bulk_read_file_id(const char *text, size_t n, char id[BULK_ID_MAX + 1])
{
	JsonCursor c;
	Slice key, value;

	id[0] = '\0';
	json_open(&c, text, n);
	json_enter(&c, '{');
	while (json_next_member(&c, &key, &value))
		if (json_key_is(key, "id"))
			(void) read_id(value, id);
	return c.error != NULL		 ? c.error
		: id[0] == '\0'			 ? "the uploaded file has no id"
								 : NULL;
}

const char *
bulk_find(const char *text, size_t n, const char *run, Bulk *bulk)
{
	JsonCursor c, list;
	Slice key, value;
	char of_run[64];

	json_open(&c, text, n);
	json_enter(&c, '{');
	while (json_next_member(&c, &key, &value))
	{
		if (!json_key_is(key, "data"))
			continue;
		list = (JsonCursor){.p = value.p, .end = c.end};
		json_enter(&list, '[');
		while (json_next_element(&list, &value))
		{
			JsonCursor one = {.p = value.p, .end = c.end};
			const char *error = read_bulk(&one, of_run, sizeof(of_run), bulk);

			/* others' may be such as are not known here */
			if (strcmp(of_run, run) == 0 && run[0] != '\0')
				return error;
		}
		if (list.error != NULL)
			return list.error;
	}
	memset(bulk, 0, sizeof(*bulk));
	return c.error;
}

bool
bulk_next_error(Slice *rest, BulkError *error)
{
	JsonCursor c;
	Slice value, key;

	memset(error, 0, sizeof(*error));
	if (rest->p == NULL)
		return false;
	json_open(&c, rest->p, rest->n);
	/* at its beginning, or behind one of its elements */
	if (*rest->p == '[')
		json_enter(&c, '[');
	if (!json_next_element(&c, &value))
		return false;
	*rest = (Slice){c.p, (size_t) (c.end - c.p)};
	c = (JsonCursor){.p = value.p, .end = c.end};
	json_enter(&c, '{');
	while (json_next_member(&c, &key, &value))
	{
		if (json_key_is(key, "line") && !json_integer(value, &error->line))
			error->line = 0;
		else if (json_key_is(key, "code") && value.p[0] == '"')
			error->code = value;
		else if (json_key_is(key, "message") && value.p[0] == '"')
			error->message = value;
	}
	return true;
}

static void
read_response(JsonCursor c, BulkLine *line)
{
	Slice key, value;
	int64_t status;

	json_enter(&c, '{');
	while (json_next_member(&c, &key, &value))
	{
		if (json_key_is(key, "status_code") && json_integer(value, &status) &&
			status >= 100 && status <= 999)
			line->status = (int) status;
		else if (json_key_is(key, "body"))
			line->body = value;
	}
}

static void
read_line_error(JsonCursor c, BulkLine *line)
{
	Slice key, value;

	json_enter(&c, '{');
	while (json_next_member(&c, &key, &value))
	{
		if (json_key_is(key, "code") && value.p[0] == '"')
			line->code = value;
		else if (json_key_is(key, "message") && value.p[0] == '"')
			line->message = value;
	}
}

const char *
bulk_read_line(const char *text, size_t n, BulkLine *line)
{
	JsonCursor c;
	Slice key, value;

	*line = (BulkLine){.ordinal = -1};
	json_open(&c, text, n);
	json_enter(&c, '{');
	while (json_next_member(&c, &key, &value))
	{
		JsonCursor inner = {.p = value.p, .end = c.end};

		if (json_key_is(key, "custom_id") &&
			!read_count(value, INT64_MAX, &line->ordinal))
			line->ordinal = -1;
		else if (json_key_is(key, "response") && value.p[0] == '{')
			read_response(inner, line);
		else if (json_key_is(key, "error") && value.p[0] == '{')
			read_line_error(inner, line);
	}
	if (c.error == NULL && !json_at_end(&c))
		return "there is more after the end of a line's value";
	return c.error;
}
