/*
 * JSON in pieces: each lies in the text, after the one before, and is a value
 * by itself, for json-c too; strings survive being read and written.
 */
#include "fuzz.h"

#include <json-c/json.h>

#include "core/cbor.h"
#include "core/json_split.h"

static void
check_string(Slice value)
{
	Buf text;
	Buf json;
	Buf again;

	buf_init(&text, 0, NULL);
	buf_init(&json, 0, NULL);
	buf_init(&again, 0, NULL);
	if (json_string(value, &text) && utf8_valid(text.data, text.len))
	{
		json_put_string(&json, buf_cstr(&text), text.len);
		REQUIRE(json_string((Slice){buf_cstr(&json), json.len}, &again));
		REQUIRE(again.len == text.len &&
				(text.len == 0 ||
				 memcmp(again.data, text.data, text.len) == 0));
	}
	buf_free(&text);
	buf_free(&json);
	buf_free(&again);
}

static void
check_with_json_c(const char *text, size_t n)
{
	json_tokener *tok = json_tokener_new_ex(JSON_MAX_DEPTH + 1);

	/* the zero byte ends a number */
	json_object_put(json_tokener_parse_ex(tok, text, (int) n + 1));
	REQUIRE(json_tokener_get_error(tok) == json_tokener_success);
	json_tokener_free(tok);
}

/* A piece of the text, taken out of it, is one whole value. */
static void
check_piece(const JsonCursor *c, Slice value, const char *after)
{
	Buf copy;
	JsonCursor alone;
	Slice same;
	int64_t integer;

	REQUIRE(value.n > 0 && value.p >= after && value.p + value.n <= c->p);
	buf_init(&copy, 0, NULL);
	buf_put(&copy, value.p, value.n);
	json_open(&alone, buf_cstr(&copy), copy.len);
	REQUIRE(json_value(&alone, &same) && same.n == value.n);
	REQUIRE(json_at_end(&alone));
	check_with_json_c(buf_cstr(&copy), copy.len);
	buf_free(&copy);

	check_string(value);
	(void) json_integer(value, &integer);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	JsonCursor c;
	Slice key;
	Slice value;
	const char *before;
	Buf text;

	buf_init(&text, 0, NULL);
	buf_put(&text, data, size);

	json_open(&c, buf_cstr(&text), text.len);
	before = c.p;
	if (json_value(&c, &value))
		check_piece(&c, value, before);

	json_open(&c, buf_cstr(&text), text.len);
	before = c.p;
	if (json_enter(&c, '['))
	{
		while (json_next_element(&c, &value))
		{
			check_piece(&c, value, before);
			before = c.p;
		}
	}

	json_open(&c, buf_cstr(&text), text.len);
	before = c.p;
	if (json_enter(&c, '{'))
	{
		while (json_next_member(&c, &key, &value))
		{
			REQUIRE(key.n >= 2 && key.p >= before && key.p + key.n <= value.p);
			check_string(key);
			check_piece(&c, value, before);
			before = c.p;
		}
	}
	buf_free(&text);
	return 0;
}
