/*-------------------------------------------------------------------------
 *
 * http_text.c
 *	  What the body of an answer says, for a person; see http_text.h.
 *
 *-------------------------------------------------------------------------
 */
#include "core/http_text.h"

#include <strings.h>

#include "core/json_split.h"

#define INVALID '?'

/* --- characters ------------------------------------------------------------ */

typedef struct Reader
{
	const uint8_t *p, *end;
	bool utf16, big_endian;
} Reader;

static void
open_reader(Reader *r, const char *body, size_t n)
{
	*r = (Reader){.p = (const uint8_t *) body};
	r->end = r->p + (n < HTTP_TEXT_MAX ? n : HTTP_TEXT_MAX);
	if (n >= 3 && memcmp(body, "\xef\xbb\xbf", 3) == 0)
		r->p += 3;
	else if (n >= 2 &&
			 (memcmp(body, "\xfe\xff", 2) == 0 || memcmp(body, "\xff\xfe", 2) == 0))
	{
		r->utf16 = true;
		r->big_endian = r->p[0] == 0xfe;
		r->p += 2;
	}
}

static uint32_t
utf16_unit(const Reader *r)
{
	return r->big_endian ? (uint32_t) r->p[0] << 8 | r->p[1]
						 : (uint32_t) r->p[1] << 8 | r->p[0];
}

static uint32_t
take_utf16(Reader *r)
{
	uint32_t c, low;

	if (r->end - r->p < 2)
	{
		r->p = r->end;
		return INVALID;
	}
	c = utf16_unit(r);
	r->p += 2;
	if (c < 0xd800 || c > 0xdfff)
		return c;
	if (c > 0xdbff || r->end - r->p < 2)
		return INVALID;
	low = utf16_unit(r);
	if (low < 0xdc00 || low > 0xdfff)
		return INVALID;
	r->p += 2;
	return 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
}

/* One byte is skipped where there is no character. */
static uint32_t
take_utf8(Reader *r)
{
	static const uint32_t least[] = {0, 0x80, 0x800, 0x10000};
	uint32_t c = *r->p++;
	int more = c < 0x80 ? 0 : c < 0xc0 ? -1 : c < 0xe0 ? 1 : c < 0xf0 ? 2 : 3;

	if (more < 0 || c >= 0xf8 || r->end - r->p < more)
		return INVALID;
	if (more > 0)
		c &= 0x3f >> more;
	for (int i = 0; i < more; i++)
	{
		if ((r->p[i] & 0xc0) != 0x80)
			return INVALID;
		c = c << 6 | (r->p[i] & 0x3f);
	}
	if (c < least[more] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
		return INVALID;
	r->p += more;
	return c;
}

static void
put_character(Buf *out, uint32_t c)
{
	if (c < 0x80)
		buf_put_u8(out, (uint8_t) c);
	else
	{
		static const uint8_t marks[] = {0, 0xc0, 0xe0, 0xf0};
		int more = c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;

		buf_put_u8(out, (uint8_t) (marks[more] | c >> 6 * more));
		while (more-- > 0)
			buf_put_u8(out, (uint8_t) (0x80 | (c >> 6 * more & 0x3f)));
	}
}

static void
put_utf8(const char *body, size_t n, Buf *out)
{
	Reader r;

	open_reader(&r, body, n);
	while (r.p < r.end)
		put_character(out, r.utf16 ? take_utf16(&r) : take_utf8(&r));
}

/* --- what a reader sees ---------------------------------------------------- */

static bool
begins_with(const char *p, const char *end, const char *word)
{
	size_t n = strlen(word);

	return (size_t) (end - p) >= n && strncasecmp(p, word, n) == 0;
}

/* Past text up to and including a word; the end if there is none. */
static const char *
past(const char *p, const char *end, const char *word)
{
	while (p < end && !begins_with(p, end, word))
		p++;
	return p < end ? p + strlen(word) : end;
}

/* A tag, or either end of text of XML that is written as it is. */
static bool
tag_at(const char *p, const char *end)
{
	return *p == '<' || begins_with(p, end, "]]>");
}

/* Past a tag, and what stands between it and its end if nobody sees that. */
static const char *
past_tag(const char *p, const char *end)
{
	if (begins_with(p, end, "<![CDATA["))
		return p + strlen("<![CDATA[");
	if (begins_with(p, end, "<!--"))
		return past(p, end, "-->");
	if (begins_with(p, end, "<script"))
		p = past(p, end, "</script");
	else if (begins_with(p, end, "<style"))
		p = past(p, end, "</style");
	return past(p, end, ">");
}

/* The length of a blank or control character (also U+0080 to U+009F), or 0. */
static size_t
space_at(const char *p, const char *end)
{
	const uint8_t *u = (const uint8_t *) p;

	if (u[0] <= ' ' || u[0] == 0x7f)
		return 1;
	return u[0] == 0xc2 && end - p >= 2 && u[1] < 0xa0 ? 2 : 0;
}

/* Of HTML: without tags, in one line. */
static void
put_html(const char *p, const char *end, Buf *out)
{
	size_t start = out->len;
	bool pending = false;

	while (p < end)
	{
		size_t space = space_at(p, end);

		if (space > 0 || tag_at(p, end))
		{
			pending = true;
			p = space > 0 ? p + space : past_tag(p, end);
			continue;
		}
		if (pending && out->len > start)
			buf_put_u8(out, ' ');
		pending = false;
		buf_put_u8(out, (uint8_t) *p++);
	}
}

/* With its line breaks and indentation, but no other control characters. */
static void
put_plain(const char *p, const char *end, Buf *out)
{
	while (p < end)
	{
		size_t space = space_at(p, end);

		if (space == 0 || *p == '\n' || *p == '\t')
			buf_put_u8(out, (uint8_t) *p++);
		else
		{
			buf_put_u8(out, ' ');
			p += space;
		}
	}
}

void
http_text_of_body(const char *body, size_t n, Buf *out)
{
	Buf text;
	const char *p, *end;

	if (n == 0)
		return;
	buf_init(&text, 0, NULL);
	put_utf8(body, n, &text);
	p = buf_cstr(&text);
	end = p + text.len;
	while (p < end && space_at(p, end) > 0)
		p += space_at(p, end);
	while (p < end && ((uint8_t) end[-1] <= ' ' || end[-1] == 0x7f))
		end--;
	if (p < end && *p == '<')
		put_html(p, end, out);
	else if (p < end)
		put_plain(p, end, out);
	buf_free(&text);
}

/* --- errors ----------------------------------------------------------------- */

static bool
put_message(const char *text, size_t n, Buf *out)
{
	static const char *const members[] = {"errorMessage", "error_msg", "error",
										  "detail", "message"};
	JsonCursor c;
	Slice key, value;

	json_open(&c, text, n);
	json_enter(&c, '{');
	while (json_next_member(&c, &key, &value))
		for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++)
			if (json_key_is(key, members[i]))
			{
				Buf message;

				buf_init(&message, 0, NULL);
				if (!json_string(value, &message))
					buf_put(&message, value.p, value.n);
				http_text_of_body((const char *) message.data, message.len, out);
				buf_free(&message);
				return true;
			}
	return false;
}

void
http_text_of_error(const char *body, size_t n, Buf *out)
{
	Buf text;

	if (n == 0)
		return;
	buf_init(&text, 0, NULL);
	put_utf8(body, n, &text);
	if (buf_cstr(&text) != NULL &&
		!put_message(buf_cstr(&text), text.len, out))
		http_text_of_body(body, n, out);
	buf_free(&text);
}

void
http_text_of_type(const char *value, size_t n, char *type, size_t size)
{
	static const char good[] = "abcdefghijklmnopqrstuvwxyz0123456789"
							   "ABCDEFGHIJKLMNOPQRSTUVWXYZ/+.-";
	size_t len = 0;

	while (len < n && value[len] != '\0' && strchr(good, value[len]) != NULL)
		len++;
	if (len >= size || (len < n && strchr("; ", value[len]) == NULL) ||
		(len >= 4 && strncasecmp(value + len - 4, "json", 4) == 0))
		len = 0;
	memcpy(type, value, len);
	type[len] = '\0';
}
