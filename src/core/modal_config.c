/*-------------------------------------------------------------------------
 *
 * modal_config.c
 *	  The configuration file that Modal's own clients keep (~/.modal.toml).
 *
 *-------------------------------------------------------------------------
 */
#include "core/modal_config.h"

#define BARE "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-"
#define MAX_TEXT (64 * 1024) /* of one string */
#define DEFAULT_PROFILE "default"

typedef struct Parser
{
	const char *p;
	const char *end;
	int line;
	Buf table;
	Buf key;
	Buf value;
	const char *error;
} Parser;

typedef enum Entry
{
	ENTRY_TABLE,
	ENTRY_SETTING,
	ENTRY_END /* or an error */
} Entry;

static bool
fail(Parser *parser, const char *error)
{
	if (parser->error == NULL)
		parser->error = error;
	return false;
}

static bool
at(const Parser *parser, char c)
{
	return parser->p < parser->end && *parser->p == c;
}

static void
skip_blanks(Parser *parser)
{
	while (at(parser, ' ') || at(parser, '\t'))
		parser->p++;
}

/* Nothing but a comment may stand before the end of the line. */
static bool
end_line(Parser *parser)
{
	skip_blanks(parser);
	if (at(parser, '#'))
	{
		while (parser->p < parser->end && *parser->p != '\n')
			parser->p++;
	}
	if (at(parser, '\r'))
		parser->p++;
	if (parser->p == parser->end)
		return true;
	if (*parser->p != '\n')
		return fail(parser, "text after the value");
	parser->p++;
	parser->line++;
	return true;
}

/* \uXXXX, the digits of which come next, as UTF-8. */
static bool
put_unicode(Parser *parser, Buf *to, int digits)
{
	uint32_t c = 0;

	for (int i = 0; i < digits; i++, parser->p++)
	{
		char d = parser->p < parser->end ? *parser->p : ' ';

		if (d >= '0' && d <= '9')
			c = c * 16 + (d - '0');
		else if ((d | 0x20) >= 'a' && (d | 0x20) <= 'f')
			c = c * 16 + ((d | 0x20) - 'a' + 10);
		else
			return fail(parser, "invalid escape in a string");
	}
	if (c == 0 || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
		return fail(parser, "invalid escape in a string");
	if (c < 0x80)
		buf_put_u8(to, c);
	else if (c < 0x800)
		buf_put_u8(to, 0xc0 | c >> 6);
	else if (c < 0x10000)
		buf_put_u8(to, 0xe0 | c >> 12);
	else
		buf_put_u8(to, 0xf0 | c >> 18);
	if (c >= 0x10000)
		buf_put_u8(to, 0x80 | (c >> 12 & 0x3f));
	if (c >= 0x800)
		buf_put_u8(to, 0x80 | (c >> 6 & 0x3f));
	if (c >= 0x80)
		buf_put_u8(to, 0x80 | (c & 0x3f));
	return true;
}

static bool
put_escape(Parser *parser, Buf *to)
{
	static const char names[] = "\"\\bfnrt";
	static const char meanings[] = "\"\\\b\f\n\r\t";
	char c = parser->p < parser->end ? *parser->p : '\0';
	const char *found = c != '\0' ? strchr(names, c) : NULL;

	parser->p++;
	if (found != NULL)
		buf_put_u8(to, meanings[found - names]);
	else if (c == 'u' || c == 'U')
		return put_unicode(parser, to, c == 'u' ? 4 : 8);
	else
		return fail(parser, "invalid escape in a string");
	return true;
}

/* "…" or '…'; the parser is behind the first quote. */
static bool
read_string(Parser *parser, char quote, Buf *to)
{
	while (!at(parser, quote))
	{
		if (parser->p == parser->end || *parser->p == '\n')
			return fail(parser, "a string does not end in its line");
		if (*parser->p == '\\' && quote == '"')
		{
			parser->p++;
			if (!put_escape(parser, to))
				return false;
		}
		else
			buf_put_u8(to, *parser->p++);
	}
	parser->p++;
	return !to->failed || fail(parser, "a string is too long");
}

/* A string, or as many characters of a set as there are, but at least one. */
static bool
read_word(Parser *parser, const char *set, Buf *to)
{
	buf_reset(to);
	if (at(parser, '"') || at(parser, '\''))
		return read_string(parser, *parser->p++, to);
	while (parser->p < parser->end && *parser->p != '\0' &&
		   strchr(set, *parser->p) != NULL)
		buf_put_u8(to, *parser->p++);
	if (to->len == 0)
		return fail(parser, "invalid name or value");
	return !to->failed || fail(parser, "a name is too long");
}

static Entry
read_table(Parser *parser)
{
	parser->p++;
	skip_blanks(parser);
	if (!read_word(parser, BARE, &parser->table))
		return ENTRY_END;
	skip_blanks(parser);
	if (!at(parser, ']'))
	{
		fail(parser, "a table's name must be one word in brackets");
		return ENTRY_END;
	}
	parser->p++;
	return end_line(parser) ? ENTRY_TABLE : ENTRY_END;
}

static Entry
read_setting(Parser *parser)
{
	if (!read_word(parser, BARE, &parser->key))
		return ENTRY_END;
	skip_blanks(parser);
	if (!at(parser, '='))
	{
		fail(parser, "\"=\" expected");
		return ENTRY_END;
	}
	parser->p++;
	skip_blanks(parser);
	if (!read_word(parser, BARE "+.:", &parser->value))
		return ENTRY_END;
	return end_line(parser) ? ENTRY_SETTING : ENTRY_END;
}

static Entry
next_entry(Parser *parser)
{
	for (;;)
	{
		skip_blanks(parser);
		if (parser->p == parser->end)
			return ENTRY_END;
		if (*parser->p == '[')
			return read_table(parser);
		if (*parser->p != '#' && *parser->p != '\r' && *parser->p != '\n')
			return read_setting(parser);
		if (!end_line(parser))
			return ENTRY_END;
	}
}

static void
begin(Parser *parser, const char *text, size_t n)
{
	parser->p = text;
	parser->end = text + n;
	parser->line = 1;
	parser->error = NULL;
	buf_reset(&parser->table);
}

/* The profile in use, which is put into *profile. */
static bool
choose_profile(Parser *parser, Buf *profile)
{
	int tables = 0;
	int active = 0;
	Entry entry;

	buf_put_cstr(profile, DEFAULT_PROFILE);
	while ((entry = next_entry(parser)) != ENTRY_END)
	{
		tables += entry == ENTRY_TABLE;
		if (entry != ENTRY_SETTING || parser->table.len == 0 ||
			strcmp(buf_cstr(&parser->key), "active") != 0 ||
			strcmp(buf_cstr(&parser->value), "true") != 0)
			continue;
		active++;
		buf_reset(profile);
		buf_put(profile, parser->table.data, parser->table.len);
	}
	if (parser->error != NULL)
		return false;
	parser->line = 0;
	if (active > 1)
		return fail(parser, "several profiles are active");
	if (active == 0 && tables > 1)
		return fail(parser, "there are several profiles, and none is active");
	return !profile->failed || fail(parser, "out of memory");
}

static void
report(Parser *parser, const Buf *profile, ModalConfigSetting on_setting,
	   void *arg)
{
	Entry entry;

	while ((entry = next_entry(parser)) != ENTRY_END)
	{
		if (entry == ENTRY_SETTING && parser->table.len == profile->len &&
			memcmp(parser->table.data, profile->data, profile->len) == 0)
			on_setting(arg,
					   (Slice){buf_cstr(&parser->key), parser->key.len},
					   (Slice){buf_cstr(&parser->value), parser->value.len});
	}
}

/* Secrets were in there. */
static void
wipe(Buf *buf)
{
	if (buf->data != NULL)
		explicit_bzero(buf->data, buf->cap);
	buf_free(buf);
}

const char *
modal_config_read(const char *text, size_t n, const char *profile,
				  ModalConfigSetting on_setting, void *arg, int *line)
{
	Parser parser = {0};
	Buf chosen;

	buf_init(&parser.table, MAX_TEXT, NULL);
	buf_init(&parser.key, MAX_TEXT, NULL);
	buf_init(&parser.value, MAX_TEXT, NULL);
	buf_init(&chosen, MAX_TEXT, NULL);
	begin(&parser, text, n);
	if (profile != NULL)
		buf_put_cstr(&chosen, profile);
	if (profile != NULL || choose_profile(&parser, &chosen))
	{
		begin(&parser, text, n);
		report(&parser, &chosen, on_setting, arg);
	}
	*line = parser.line;
	buf_free(&parser.table);
	buf_free(&parser.key);
	wipe(&parser.value);
	buf_free(&chosen);
	return parser.error;
}
