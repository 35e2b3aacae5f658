/*-------------------------------------------------------------------------
 *
 * values.c
 *	  Arguments and results as text that people read, and from JSON.
 *
 *-------------------------------------------------------------------------
 */
#include "console/values.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>

#include "core/cbor.h"
#include "core/json_split.h"
#include "core/pickle.h"
#include "util.h"

#define MAX_DEPTH 64
#define MAX_BYTES_SHOWN 32
#define MAX_PICKLE (64 * 1024) /* that is read, for it is read whole */

/* --- to text ------------------------------------------------------------- */

typedef struct Writer
{
	Buf *out;
	size_t end; /* length of out from which on nothing is added */
	CborReader reader;
} Writer;

static void
put_bytes(Buf *out, const CborToken *tok)
{
	size_t n = tok->n < MAX_BYTES_SHOWN ? tok->n : MAX_BYTES_SHOWN;

	buf_put_cstr(out, "h'");
	for (size_t i = 0; i < n; i++)
		buf_printf(out, "%02x", tok->p[i]);
	buf_put_cstr(out, n < tok->n ? "…'" : "'");
	if (n < tok->n)
		buf_printf(out, " (%zu bytes)", tok->n);
}

/* All but containers and tags. */
static void
put_scalar(Writer *w, const CborToken *tok)
{
	size_t room = w->end > w->out->len ? w->end - w->out->len : 0;
	size_t n = tok->n;

	switch (tok->kind)
	{
		case CBOR_UINT:
			buf_printf(w->out, "%" PRIu64, tok->u);
			break;
		case CBOR_NINT:
			if (tok->u == UINT64_MAX)
				buf_put_cstr(w->out, "-18446744073709551616");
			else
				buf_printf(w->out, "-%" PRIu64, tok->u + 1);
			break;
		case CBOR_DOUBLE:
			buf_printf(w->out, "%.17g", tok->d);
			break;
		case CBOR_BOOL:
			buf_put_cstr(w->out, tok->u != 0 ? "true" : "false");
			break;
		case CBOR_NULL:
			buf_put_cstr(w->out, "null");
			break;
		case CBOR_TEXT:
			/* Not in the middle of a character. */
			while (n > room || (n < tok->n && (tok->p[n] & 0xC0) == 0x80))
				n = n > room ? room : n - 1;
			json_put_string(w->out, (const char *) tok->p, n);
			if (n < tok->n)
				buf_put_cstr(w->out, "…");
			break;
		case CBOR_BYTES:
			put_bytes(w->out, tok);
			break;
		default:
			buf_put_cstr(w->out, "undefined");
	}
}

static bool put_item(Writer *w, const CborToken *tok);

/* Up to the end of a container; keys: what stands between a key and its value. */
static bool
put_items(Writer *w, const char *keys)
{
	CborToken tok;
	bool first = true;

	while (cbor_next(&w->reader, &tok) && tok.kind != CBOR_END)
	{
		if (!first)
			buf_put_cstr(w->out, ", ");
		first = false;
		if (w->out->len >= w->end)
			return false;
		if (!put_item(w, &tok))
			return false;
		if (keys == NULL)
			continue;
		buf_put_cstr(w->out, keys);
		if (!cbor_next(&w->reader, &tok) || !put_item(w, &tok))
			return false;
	}
	return w->reader.error == CBOR_OK;
}

/* False: there is no more, or no room. */
static bool
put_item(Writer *w, const CborToken *tok)
{
	bool map = tok->kind == CBOR_MAP;

	switch (tok->kind)
	{
		case CBOR_TAG:
		{
			CborToken content;

			/* The time zones of Python and the like say enough without. */
			if (tok->u != CBOR_TAG_DATETIME_TEXT &&
				tok->u != CBOR_TAG_DATE_TEXT &&
				tok->u != CBOR_TAG_SELF_DESCRIBED)
				buf_printf(w->out, "%" PRIu64 "·", tok->u);
			return cbor_next(&w->reader, &content) && put_item(w, &content);
		}
		case CBOR_ARRAY:
		case CBOR_MAP:
			buf_put_u8(w->out, map ? '{' : '[');
			if (!put_items(w, map ? ": " : NULL))
				return false;
			buf_put_u8(w->out, map ? '}' : ']');
			return true;
		default:
			put_scalar(w, tok);
			return w->out->len < w->end;
	}
}

/* [args, kwargs], or as any value if it is something else. */
static bool
put_arguments(Writer *w)
{
	CborToken tok;
	size_t start = w->out->len;

	if (!cbor_next(&w->reader, &tok))
		return false;
	if (tok.kind != CBOR_ARRAY || tok.u != 2 || tok.indefinite)
		return put_item(w, &tok);
	if (!cbor_next(&w->reader, &tok) || tok.kind != CBOR_ARRAY ||
		!put_items(w, NULL))
		return false;
	if (!cbor_next(&w->reader, &tok) || tok.kind != CBOR_MAP)
		return false;
	while (cbor_next(&w->reader, &tok) && tok.kind != CBOR_END)
	{
		if (w->out->len > start)
			buf_put_cstr(w->out, ", ");
		if (tok.kind == CBOR_TEXT)
			buf_put(w->out, tok.p, tok.n);
		buf_put_u8(w->out, '=');
		if (!cbor_next(&w->reader, &tok) || !put_item(w, &tok))
			return false;
	}
	return w->reader.error == CBOR_OK;
}

static void
put_cbor(Buf *out, const void *data, size_t len, size_t max, bool arguments)
{
	Writer w = {.out = out, .end = out->len + max};
	CborToken tok;
	bool whole;

	cbor_reader_init(&w.reader, data, len, MAX_DEPTH, xbuf_realloc);
	whole = arguments ? put_arguments(&w)
					  : cbor_next(&w.reader, &tok) && put_item(&w, &tok);
	if (!whole)
		buf_put_cstr(out, "…");
	cbor_reader_free(&w.reader);
}

static void
put_value(Buf *out, DataFormat format, const void *data, size_t len, size_t max,
		  bool arguments)
{
	Buf cbor;

	if (format == FORMAT_CBOR)
		put_cbor(out, data, len, max, arguments);
	else if (format == FORMAT_PICKLE)
	{
		buf_init(&cbor, 0, xbuf_realloc);
		if (len <= MAX_PICKLE && pickle_to_cbor(&cbor, data, len) == NULL)
			put_cbor(out, cbor.data, cbor.len, max, arguments);
		else
			buf_printf(out, "(a pickle of %zu bytes)", len);
		buf_free(&cbor);
	}
	else if (format == FORMAT_GENERATOR_DONE)
		buf_put_cstr(out, "(the end of a generator)");
	else
		buf_printf(out, "(%zu bytes)", len);
}

void
value_to_text(Buf *out, DataFormat format, const void *data, size_t len,
			  size_t max)
{
	put_value(out, format, data, len, max, false);
}

void
arguments_to_text(Buf *out, DataFormat format, const void *data, size_t len,
				  size_t max)
{
	if (len > 0) /* else there are none */
		put_value(out, format, data, len, max, true);
}

/* --- from JSON ----------------------------------------------------------- */

static const char *from_json(Buf *out, Slice value, int depth);

static const char *
put_number(Buf *out, Slice value)
{
	char text[64];
	int64_t n;

	if (json_integer(value, &n))
	{
		cbor_put_int(out, n);
		return NULL;
	}
	if (value.n >= sizeof(text) || strcspn(value.p, ".eE") >= value.n)
		return "an integer has more than 64 bits";
	memcpy(text, value.p, value.n);
	text[value.n] = '\0';
	cbor_put_double(out, strtod(text, NULL));
	return NULL;
}

static const char *
put_string(Buf *out, Slice value)
{
	Buf text;
	bool good;

	buf_init(&text, 0, xbuf_realloc);
	good = json_string(value, &text) && utf8_valid(text.data, text.len);
	if (good)
		cbor_put_text(out, (const char *) text.data, text.len);
	buf_free(&text);
	return good ? NULL : "a string is not valid";
}

/* An array, or an object; its items are counted before they are written. */
static const char *
put_container(Buf *out, Slice container, int depth)
{
	bool map = container.p[0] == '{';
	const char *error = NULL;
	JsonCursor c;
	Slice key;
	Slice value;
	uint64_t n = 0;

	for (int pass = 0; pass < 2 && error == NULL; pass++)
	{
		if (pass == 1)
			(map ? cbor_put_map : cbor_put_array)(out, n);
		json_open(&c, container.p, container.n);
		json_enter(&c, map ? '{' : '[');
		while (error == NULL && (map ? json_next_member(&c, &key, &value)
									 : json_next_element(&c, &value)))
		{
			if (pass == 0)
			{
				n++;
				continue;
			}
			if (map)
				error = put_string(out, key);
			if (error == NULL)
				error = from_json(out, value, depth + 1);
		}
		if (error == NULL)
			error = c.error;
	}
	return error;
}

/* Every level is scanned once more, so there are not many. */
static const char *
from_json(Buf *out, Slice value, int depth)
{
	if (depth > MAX_DEPTH)
		return "arrays and objects are nested too deep";
	switch (value.p[0])
	{
		case '{':
		case '[':
			return put_container(out, value, depth);
		case '"':
			return put_string(out, value);
		case 't':
		case 'f':
			cbor_put_bool(out, value.p[0] == 't');
			return NULL;
		case 'n':
			cbor_put_null(out);
			return NULL;
		default:
			return put_number(out, value);
	}
}

/* One value that begins so; nothing at all is an empty one. */
static const char *
put_part(Buf *out, const char *text, size_t len, char bracket)
{
	JsonCursor c;
	Slice value;

	while (len > 0 && isspace((unsigned char) text[0]))
	{
		text++;
		len--;
	}
	if (len == 0)
	{
		(bracket == '{' ? cbor_put_map : cbor_put_array)(out, 0);
		return NULL;
	}
	json_open(&c, text, len);
	if (!json_value(&c, &value) || !json_at_end(&c))
		return c.error != NULL ? c.error : "not one JSON value";
	if (value.p[0] != bracket)
		return bracket == '{' ? "keyword arguments are not a JSON object"
							  : "arguments are not a JSON array";
	return from_json(out, value, 0);
}

const char *
arguments_from_json(Buf *out, const char *args, size_t args_len,
					const char *kwargs, size_t kwargs_len)
{
	const char *error;

	cbor_put_array(out, 2);
	error = put_part(out, args, args_len, '[');
	return error != NULL ? error : put_part(out, kwargs, kwargs_len, '{');
}
