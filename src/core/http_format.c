/*-------------------------------------------------------------------------
 *
 * http_format.c
 *	  Bodies of requests and replies of HTTP functions; see http_format.h.
 *
 *-------------------------------------------------------------------------
 */
#include "core/http_format.h"

#include <string.h>

#include "core/cbor.h"
#include "core/json_split.h"
#include "core/template.h"

static const char *const format_names[] = {
	[BODY_JSON] = "json",
	[BODY_JSON_LINES] = "json-lines",
	[BODY_BIGQUERY] = "bigquery",
	[BODY_SNOWFLAKE] = "snowflake",
	[BODY_REDSHIFT] = "redshift",
	[BODY_TEMPLATE] = "template",
	[BODY_WEBHOOK] = "webhook",
	[BODY_BULK] = "openai-batch",
};

bool
http_format_by_name(const char *name, HttpBodyFormat *format)
{
	for (size_t i = 0; i < sizeof(format_names) / sizeof(format_names[0]); i++)
		if (strcmp(name, format_names[i]) == 0)
		{
			*format = (HttpBodyFormat) i;
			return true;
		}
	return false;
}

bool
http_format_batches(HttpBodyFormat format)
{
	return format != BODY_JSON && format != BODY_WEBHOOK && format != BODY_BULK;
}

const char *
http_format_content_type(HttpBodyFormat format)
{
	return format == BODY_JSON_LINES ? "application/x-ndjson"
									 : "application/json";
}

/* --- requests ---------------------------------------------------------- */

static void
put_member(Buf *body, const char *name, const char *value, size_t n)
{
	buf_printf(body, "\"%s\":", name);
	json_put_string(body, value, n);
	buf_put_u8(body, ',');
}

static void
put_cstr_member(Buf *body, const char *name, const char *value)
{
	put_member(body, name, value, strlen(value));
}

static void
put_bigquery_head(Buf *body, const HttpCaller *caller)
{
	buf_put_u8(body, '{');
	put_cstr_member(body, "requestId", caller->request_id);
	put_member(body, "caller", caller->function.p, caller->function.n);
	put_cstr_member(body, "sessionUser", caller->user);
	if (caller->context.p != NULL)
	{
		buf_put_cstr(body, "\"userDefinedContext\":");
		buf_put(body, caller->context.p, caller->context.n);
		buf_put_u8(body, ',');
	}
	buf_put_cstr(body, "\"calls\":[");
}

static void
put_redshift_head(Buf *body, uint32_t rows, const HttpCaller *caller)
{
	buf_put_u8(body, '{');
	put_cstr_member(body, "request_id", caller->request_id);
	put_cstr_member(body, "cluster", "postgresql");
	put_cstr_member(body, "user", caller->user);
	put_cstr_member(body, "database", caller->database);
	put_member(body, "external_function", caller->function.p, caller->function.n);
	buf_printf(body, "\"query_id\":0,\"num_records\":%u,\"arguments\":[", rows);
}

void
http_format_begin(HttpBodyFormat format, Buf *body, uint32_t rows,
				  Slice first_row, const HttpCaller *caller)
{
	switch (format)
	{
		case BODY_JSON:
		case BODY_JSON_LINES:
		case BODY_WEBHOOK:
		case BODY_BULK:
			break;
		case BODY_BIGQUERY:
			put_bigquery_head(body, caller);
			break;
		case BODY_SNOWFLAKE:
			buf_put_cstr(body, "{\"data\":[");
			break;
		case BODY_REDSHIFT:
			put_redshift_head(body, rows, caller);
			break;
		case BODY_TEMPLATE:
			template_put_head(caller->context, body, rows, first_row);
			break;
	}
}

bool
http_format_row(HttpBodyFormat format, Buf *body, uint32_t number, Slice row)
{
	bool in_list = http_format_batches(format) && format != BODY_JSON_LINES;

	if (in_list && number > 0)
		buf_put_u8(body, ',');
	if (format == BODY_SNOWFLAKE)
	{
		/* [argument, …] becomes [number, argument, …] */
		if (row.n < 2 || row.p[0] != '[')
			return false;
		buf_printf(body, "[%u%s", number, row.p[1] == ']' ? "" : ",");
		row.p++;
		row.n--;
	}
	buf_put(body, row.p, row.n);
	if (format == BODY_JSON_LINES)
		buf_put_u8(body, '\n');
	return true;
}

void
http_format_end(HttpBodyFormat format, Buf *body, uint32_t rows,
				Slice first_row, const HttpCaller *caller)
{
	if (format == BODY_TEMPLATE)
		template_put_tail(caller->context, body, rows, first_row);
	else if (http_format_batches(format) && format != BODY_JSON_LINES)
		buf_put_cstr(body, "]}");
}

/* --- replies ----------------------------------------------------------- */

#define TOO_FEW "the reply has fewer results than the request has rows"
#define TOO_MANY "the reply has more results than the request has rows"

/* A list of values, one a row. */
static const char *
read_values(JsonCursor *c, uint32_t rows, HttpRow *out)
{
	uint32_t n = 0;
	Slice value;

	json_enter(c, '[');
	while (json_next_element(c, &value))
	{
		if (n == rows)
			return TOO_MANY;
		out[n++].value = value;
	}
	if (c->error == NULL && n < rows)
		return TOO_FEW;
	return c->error;
}

const char *
http_format_row_error(JsonCursor *c, HttpRow *row)
{
	Slice key, value;

	memset(row, 0, sizeof(*row));
	json_enter(c, '{');
	while (json_next_member(c, &key, &value))
	{
		if (json_key_is(key, "code"))
			row->code = value;
		else if (json_key_is(key, "message"))
			row->message = value;
		else if (json_key_is(key, "retryable"))
			row->retryable = value.p[0] == 't';
	}
	return c->error;
}

/* One entry of "errors": null, or an object. */
static const char *
read_row_error(JsonCursor *c, Slice entry, HttpRow *row)
{
	JsonCursor inner = {.p = entry.p, .end = c->end};

	if (entry.n == 4 && memcmp(entry.p, "null", 4) == 0)
		return NULL;
	return http_format_row_error(&inner, row);
}

static const char *
read_row_errors(JsonCursor *c, Slice list, uint32_t rows, HttpRow *out)
{
	JsonCursor inner = {.p = list.p, .end = c->end};
	uint32_t n = 0;
	Slice entry;

	if (list.n == 4 && memcmp(list.p, "null", 4) == 0)
		return NULL;
	json_enter(&inner, '[');
	while (json_next_element(&inner, &entry))
	{
		const char *error;

		if (n == rows)
			return "the reply has more errors than the request has rows";
		error = read_row_error(c, entry, &out[n++]);
		if (error != NULL)
			return error;
	}
	if (inner.error == NULL && n > 0 && n < rows)
		return "the reply has fewer errors than the request has rows";
	return inner.error;
}

/* Text of a JSON string, or of whatever else stands there. */
static void
put_text(Buf *out, Slice value)
{
	if (!json_string(value, out))
		buf_put(out, value.p, value.n);
}

/* The function's own report that it failed, as the error of its reply. */
static const char *
failure_text(Slice message, Buf *scratch, bool *failed)
{
	Buf text;

	*failed = true;
	/* The message may stand in scratch itself, so it is put together apart. */
	buf_init(&text, 0, NULL);
	if (message.p != NULL)
		put_text(&text, message);
	if (text.len == 0)
		buf_put_cstr(&text, "the function reported failure");
	buf_reset(scratch);
	buf_put(scratch, text.data, text.len);
	buf_free(&text);
	return scratch->failed ? "out of memory" : buf_cstr(scratch);
}

/*
 * {"replies" or "results": […], "errors": […]}; Redshift adds success and
 * error_msg.  Members may come in any order, so errors wait for the values; and
 * who reports failure may have any list, or null: all members are in the replies
 * of many languages.
 */
static const char *
read_reply_object(JsonCursor *c, const char *member, uint32_t rows,
				  HttpRow *out, Buf *scratch, bool *failed)
{
	Slice key, value, errors = {NULL, 0}, message = {NULL, 0};
	Slice records = {NULL, 0};
	const char *bad_list = NULL;
	int64_t count = rows;
	bool seen = false;
	bool success = true;

	json_enter(c, '{');
	while (json_next_key(c, &key))
	{
		if (json_key_is(key, member))
		{
			JsonCursor list = *c;

			if (seen)
				return "the reply has its list of results twice";
			seen = true;
			bad_list = read_values(c, rows, out);
			if (bad_list == NULL)
				continue;
			*c = list;
		}
		if (!json_value(c, &value))
			break;
		if (json_key_is(key, "errors"))
			errors = value;
		else if (json_key_is(key, "success"))
			success = value.p[0] != 'f';
		else if (json_key_is(key, "num_records"))
			records = value;
		else if ((json_key_is(key, "errorMessage") ||
				  json_key_is(key, "error_msg")) && value.p[0] != 'n')
			message = value;
	}
	if (c->error != NULL)
		return c->error;
	if (!success || (!seen && message.p != NULL) ||
		(bad_list != NULL && message.n > strlen("\"\"")))
		return failure_text(message, scratch, failed);
	if (!seen)
		return "the reply has no list of results";
	if (bad_list != NULL)
		return bad_list;
	if (records.p != NULL && !json_integer(records, &count))
		return "num_records of the reply is not an integer";
	if (count != rows)
		return "num_records of the reply is not the number of rows";
	return errors.p != NULL ? read_row_errors(c, errors, rows, out) : NULL;
}

/* {"data": [[0, value], [1, value], …]}, numbers ascending from 0. */
static const char *
read_snowflake(JsonCursor *c, uint32_t rows, HttpRow *out)
{
	uint32_t n = 0;
	bool seen = false;
	Slice key, value;

	json_enter(c, '{');
	while (json_next_key(c, &key))
	{
		if (!json_key_is(key, "data"))
		{
			json_value(c, &value);
			continue;
		}
		if (seen)
			return "the reply has its list of results twice";
		seen = true;
		json_enter(c, '[');
		while (json_next_element(c, &value))
		{
			JsonCursor pair = {.p = value.p, .end = c->end};
			Slice number, extra;
			int64_t i;

			if (n == rows)
				return TOO_MANY;
			json_enter(&pair, '[');
			if (!json_next_element(&pair, &number) ||
				!json_next_element(&pair, &out[n].value) ||
				json_next_element(&pair, &extra) || pair.error != NULL)
				return "a result is not a pair of row number and value";
			if (!json_integer(number, &i) || i != (int64_t) n)
				return "the row numbers of the reply are not those of the request, in order";
			n++;
		}
	}
	if (c->error != NULL)
		return c->error;
	if (!seen)
		return "the reply has no list of results";
	return n < rows ? TOO_FEW : NULL;
}

static const char *
read_lines(const char *text, size_t n, uint32_t rows, HttpRow *out)
{
	const char *p = text;
	const char *end = text + n;
	uint32_t row = 0;

	while (p < end)
	{
		const char *line_end = memchr(p, '\n', end - p);
		JsonCursor c;

		if (line_end == NULL)
			line_end = end;
		json_open(&c, p, line_end - p);
		if (!json_at_end(&c)) /* an empty line is no row */
		{
			if (row == rows)
				return TOO_MANY;
			if (!json_value(&c, &out[row].value))
				return c.error;
			if (!json_at_end(&c))
				return "a line holds more than one value";
			row++;
		}
		p = line_end < end ? line_end + 1 : end;
	}
	return row < rows ? TOO_FEW : NULL;
}

const char *
http_format_reply(HttpBodyFormat format, const char *text, size_t n,
				  uint32_t rows, HttpRow *out, Buf *scratch, bool *failed)
{
	JsonCursor c;
	Slice wrapped;
	const char *error;

	*failed = false;
	memset(out, 0, rows * sizeof(*out));
	buf_reset(scratch);
	if (format == BODY_WEBHOOK)
	{
		/* it was taken: what is said to it, many write for people */
		out[0].value = (Slice){"null", 4};
		return NULL;
	}
	if (format == BODY_JSON_LINES)
	{
		if (!utf8_valid((const uint8_t *) text, n))
			return "invalid utf-8 string";
		return read_lines(text, n, rows, out);
	}

	json_open(&c, text, n);
	if (format == BODY_REDSHIFT && json_value(&c, &wrapped) &&
		wrapped.p[0] == '"')
	{
		/* A Lambda handler may give its JSON inside a JSON string. */
		if (!json_at_end(&c) || !json_string(wrapped, scratch) ||
			buf_cstr(scratch) == NULL)
			return "a reply within a string cannot be read";
		json_open(&c, buf_cstr(scratch), scratch->len);
	}
	else
		json_open(&c, text, n);

	switch (format)
	{
		case BODY_BIGQUERY:
			error = read_reply_object(&c, "replies", rows, out, scratch, failed);
			break;
		case BODY_REDSHIFT:
			error = read_reply_object(&c, "results", rows, out, scratch, failed);
			break;
		case BODY_SNOWFLAKE:
			error = read_snowflake(&c, rows, out);
			break;
		default: /* templates have a reply form, see http_reply.h */
			json_value(&c, &out[0].value);
			error = c.error;
			break;
	}
	if (error == NULL && !json_at_end(&c))
		error = "there is more after the end of the reply";
	return error;
}
