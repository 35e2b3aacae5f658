/*-------------------------------------------------------------------------
 *
 * text.c
 *	  Text between the database's encoding and UTF-8, which is what remote
 *	  services speak.
 *
 * Nothing else in the extension converts text.  Conversions are looked up in
 * the catalogs, hence only inside a transaction; databases in UTF-8 need none,
 * but are held to the same rule, so that a breach does not wait for another
 * encoding to be seen.  Text of a database in SQL_ASCII, whose encoding nobody
 * knows, is taken as UTF-8.
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include <ctype.h>

#include "access/xact.h"
#include "catalog/namespace.h"
#include "common/string.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "values/values.h"

#define MAX_ERROR_TEXT (1024 * 1024) /* bytes of a message or a traceback */

/* The same in every encoding of a database, also in one without conversions. */
static bool
is_ascii(const char *p, Size n)
{
	for (Size i = 0; i < n; i++)
		if (IS_HIGHBIT_SET(p[i]) || p[i] == '\0')
			return false;
	return true;
}

static char *
from_utf8(const char *p, Size n)
{
	Assert(IsTransactionState());
	return is_ascii(p, n) ? unconstify(char *, p)
						  : pg_any_to_server(p, (int) n, PG_UTF8);
}

char *
text_to_utf8(const char *p, Size n, Size *len)
{
	char *utf8 = unconstify(char *, p);

	Assert(IsTransactionState());
	if (GetDatabaseEncoding() != PG_UTF8 && !is_ascii(p, n))
		utf8 = pg_server_to_any(p, (int) n, PG_UTF8);
	*len = utf8 == p ? n : strlen(utf8);
	return utf8;
}

char *
name_to_utf8(const char *name, Size *len)
{
	int encoding = GetDatabaseEncoding();
	int n = (int) strlen(name);
	Oid conversion;
	char *utf8;

	Assert(IsTransactionState());
	*len = n;
	if (encoding == PG_UTF8 || pg_is_ascii(name))
		return pstrdup(name);
	if (encoding == PG_SQL_ASCII)
		return pg_verify_mbstr(PG_UTF8, name, n, true) ? pstrdup(name) : NULL;
	conversion = FindDefaultConversionProc(encoding, PG_UTF8);
	utf8 = palloc0(n * MAX_CONVERSION_GROWTH + 1);
	if (!OidIsValid(conversion) ||
		pg_do_encoding_conversion_buf(conversion, encoding, PG_UTF8,
									  (unsigned char *) unconstify(char *, name),
									  n, (unsigned char *) utf8,
									  n * MAX_CONVERSION_GROWTH + 1, true) != n)
		return NULL;
	*len = strlen(utf8);
	return utf8;
}

char *
text_from_utf8(const void *p, Size n, Size *len)
{
	char *text;

	Assert(IsTransactionState());
	if (memchr(p, '\0', n) != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNTRANSLATABLE_CHARACTER),
				 errmsg("result of the remote function has text with a zero character"),
				 errdetail("\\u0000 cannot be converted to text.")));
	text = GetDatabaseEncoding() == PG_UTF8 ? unconstify(void *, p)
											: from_utf8(p, n);
	*len = text == p ? n : strlen(text);
	return text;
}

/* The code unit of \uXXXX at p; -1: it is none. */
static int
unicode_escape(const char *p)
{
	int unit = 0;

	if (p[0] != '\\' || p[1] != 'u')
		return -1;
	for (int i = 2; i < 6; i++)
	{
		if (!isxdigit((unsigned char) p[i]))
			return -1;
		unit = unit * 16 + (p[i] <= '9' ? p[i] - '0' : (p[i] | 0x20) - 'a' + 10);
	}
	return unit;
}

/*
 * Write characters beyond ASCII as such: the server's parser can make them of
 * escapes in databases of any encoding but SQL_ASCII.
 */
static void
resolve_escapes(char *json)
{
	char *to = json;

	for (const char *p = json; *p != '\0';)
	{
		int unit = unicode_escape(p);
		int low = unit >= 0xd800 && unit < 0xdc00 ? unicode_escape(p + 6) : -1;

		if (low >= 0xdc00 && low < 0xe000)
		{
			unit = 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
			p += 6;
		}
		if (unit >= 0x80 && (unit < 0xd800 || unit >= 0xe000))
		{
			to += pg_utf_mblen(unicode_to_utf8(unit, (unsigned char *) to));
			p += 6;
			continue;
		}
		if (p[0] == '\\' && p[1] != '\0')
			*to++ = *p++;
		*to++ = *p++;
	}
	*to = '\0';
}

char *
json_from_utf8(const void *p, Size n)
{
	char *text = from_utf8(p, n);

	if (text == p)
		text = pnstrdup(p, n);
	if (GetDatabaseEncoding() == PG_SQL_ASCII)
		resolve_escapes(text);
	return text;
}

/* --- for messages --------------------------------------------------------- */

/* A character that may stand in a message: no control of a terminal. */
static bool
may_be_shown(const char *p, int len)
{
	unsigned char c = (unsigned char) p[0];

	if (len == 1)
		return (c >= ' ' && c != 0x7f) || c == '\n' || c == '\t';
	return !(len == 2 && c == 0xc2 && (unsigned char) p[1] < 0xa0);
}

/* UTF-8 without what is invalid or must not be shown; returns the length. */
static int
clean_text(char *to, const char *p, int n)
{
	int written = 0;

	for (int i = 0; i < n;)
	{
		int len = pg_encoding_mblen(PG_UTF8, p + i);
		bool valid = i + len <= n &&
			pg_encoding_verifymbstr(PG_UTF8, p + i, len) == len;

		if (!valid)
			len = 1;
		if (p[i] == '\r' && i + 1 < n && p[i + 1] == '\n')
			; /* the end of a line, as others write it */
		else if (valid && may_be_shown(p + i, len))
		{
			memcpy(to + written, p + i, len);
			written += len;
		}
		else
			to[written++] = '?';
		i += len;
	}
	to[written] = '\0';
	return written;
}

/* Valid UTF-8 as far as the database's encoding has the characters. */
static char *
from_utf8_with_gaps(char *p, int n)
{
	int encoding = GetDatabaseEncoding();
	Oid conversion;
	StringInfoData text;

	Assert(IsTransactionState());
	if (encoding == PG_UTF8 || encoding == PG_SQL_ASCII)
		return p;
	conversion = FindDefaultConversionProc(PG_UTF8, encoding);
	initStringInfo(&text);
	for (int i = 0; i < n;)
	{
		int done = 0;

		if (OidIsValid(conversion))
		{
			int room = (n - i) * MAX_CONVERSION_GROWTH + 1;

			enlargeStringInfo(&text, room);
			done = pg_do_encoding_conversion_buf(
				conversion, PG_UTF8, encoding, (unsigned char *) p + i, n - i,
				(unsigned char *) text.data + text.len, room, true);
			text.len += strlen(text.data + text.len);
		}
		i += done;
		if (i == n)
			break;
		if (IS_HIGHBIT_SET(p[i]))
			appendStringInfoChar(&text, '?');
		else if (!OidIsValid(conversion))
			appendStringInfoChar(&text, p[i]);
		i += pg_encoding_mblen(PG_UTF8, p + i);
	}
	return text.data;
}

char *
remote_text(Slice s)
{
	int n = (int) Min(s.n, MAX_ERROR_TEXT);
	char *copy;

	if (n == 0)
		return pstrdup("");
	n = pg_encoding_mbcliplen(PG_UTF8, s.p, n, n);
	copy = palloc(n + 1);
	n = clean_text(copy, s.p, n);
	return from_utf8_with_gaps(copy, n);
}
