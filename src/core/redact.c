/*-------------------------------------------------------------------------
 *
 * redact.c
 *	  Keep secrets out of text that goes to a log, an error or a view.
 *
 * One pass over the text: at each position, the longest secret of any kind
 * that begins there is found; secrets that overlap are hidden together.  The
 * text comes from outside, and so may the secrets, so the work must grow with
 * the text's length only: ends of long runs are remembered, not searched again
 * from every position, and what would be more work than any honest text is (one
 * in which secrets begin nearly everywhere) is not shown from there on.
 *
 *-------------------------------------------------------------------------
 */
#include "core/redact.h"

#include <limits.h>
#include <stdlib.h>
#include <strings.h>

#include "core/base64.h"

#define MIN_SECRET 4	 /* bytes; shorter ones would hide ordinary text */
#define MIN_BASE64 7	 /* characters of one within base64 */
#define MIN_TOKEN 8		 /* bytes after "ak-" */
#define MIN_WEB_TOKEN 20 /* bytes after "eyJ" */
#define MAX_HTML_CHAR 9  /* bytes before the ";" of one */
#define MAX_ESCAPE 10    /* bytes of one: \U0001f600 */
#define MAX_HIDDEN (64 * 1024) /* bytes looked at beyond what may be shown */
#define WORK_PER_BYTE 2  /* comparisons with each secret, on average */
#define WORK_AT_LEAST (1024 * 1024)
#define HIDDEN "***"

/* What is certain of a secret that begins at some byte of a base64 text. */
typedef struct Base64Form
{
	size_t offset; /* in Scan.memory */
	size_t n;
} Base64Form;

typedef struct Scan
{
	const char *p;
	size_t n;
	const char *const *secrets;
	int nsecrets;
	Base64Form *forms;
	int nforms;
	Buf memory;
	bool begins[256];	  /* may one of the secrets begin with it? */
	size_t web_token_end; /* the run that a web token was sought in */
	size_t url_end;		  /* the URL seen last */
	size_t query_begin;	  /* its query, up to url_end */
	size_t base64_begin;  /* the run seen last that a secret is in */
	size_t base64_end;
	size_t work;
} Scan;

static bool
is_alnum(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
		(c >= 'A' && c <= 'Z');
}

static bool
is_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool
is_url_char(char c)
{
	return (unsigned char) c > ' ' && c != 0x7f && strchr("\"'<>`", c) == NULL;
}

/* Does a word begin at i? */
static bool
word_begins(const Scan *s, size_t i)
{
	return i == 0 || !(is_alnum(s->p[i - 1]) || s->p[i - 1] == '_');
}

/* Is literal at i, in any case? */
static bool
literal_at(const Scan *s, size_t i, const char *literal)
{
	size_t n = strlen(literal);

	return s->n - i >= n && strncasecmp(s->p + i, literal, n) == 0;
}

/* The end of a run, from i, of letters, digits and the given others. */
static size_t
run_end(const Scan *s, size_t i, const char *others)
{
	while (i < s->n &&
		   (is_alnum(s->p[i]) || (s->p[i] != '\0' && strchr(others, s->p[i]))))
		i++;
	return i;
}

/* --- the kinds of secrets: each function returns the end of the one that
 * begins at i, or i --------------------------------------------------------- */

/* The value of n hexadecimal digits at i; -1: there are no so many. */
static int
hex_at(const Scan *s, size_t i, int n)
{
	char digits[9] = "";
	char *end;
	long value;

	if (s->n - i < (size_t) n)
		return -1;
	memcpy(digits, s->p + i, n);
	if (!is_alnum(digits[0]))
		return -1;
	value = strtol(digits, &end, 16);
	return end == digits + n && value <= INT_MAX ? (int) value : -1;
}

/*
 * What HTML has instead of a character at i, from its "&" to its ";": the length
 * of that, or 0.
 */
static size_t
html_char(const Scan *s, size_t i, int *c)
{
	static const struct
	{
		const char *text;
		unsigned char c;
	} names[] = {{"&amp;", '&'}, {"&lt;", '<'}, {"&gt;", '>'},
				 {"&quot;", '"'}, {"&apos;", '\''}};
	size_t at = i + 2;
	int base = 10;
	int value = 0;

	for (size_t k = 0; k < sizeof(names) / sizeof(names[0]); k++)
		if (literal_at(s, i, names[k].text))
		{
			*c = names[k].c;
			return strlen(names[k].text);
		}
	if (!literal_at(s, i, "&#"))
		return 0;
	if (literal_at(s, i, "&#x"))
	{
		base = 16;
		at++;
	}
	for (; at < s->n && at - i < MAX_HTML_CHAR && s->p[at] != ';'; at++)
	{
		const char *digits = "0123456789abcdef";
		const char *digit = memchr(digits, s->p[at] | 0x20, (size_t) base);

		if (digit == NULL)
			return 0;
		value = base * value + (int) (digit - digits);
	}
	*c = value;
	return at < s->n && s->p[at] == ';' ? at + 1 - i : 0;
}

/* Of "\u" at i, or of two of them: RFC 8259, 7.  The length of that, or 0. */
static size_t
json_char(const Scan *s, size_t i, int *c)
{
	int low;

	*c = hex_at(s, i + 2, 4);
	if (*c < 0)
		return 0;
	if (*c < 0xd800 || *c > 0xdbff || !literal_at(s, i + 6, "\\u") ||
		(low = hex_at(s, i + 8, 4)) < 0xdc00 || low > 0xdfff)
		return 6;
	*c = 0x10000 + ((*c - 0xd800) << 10) + (low - 0xdc00);
	return 12;
}

/*
 * The character at i, as a URL, a form, HTML, JSON or Python's repr may have
 * written it, and the length of that.
 */
static size_t
written_char(const Scan *s, size_t i, int *c)
{
	char next = i + 1 < s->n ? s->p[i + 1] : '\0';
	size_t n;

	if (s->p[i] == '%' && (*c = hex_at(s, i + 1, 2)) >= 0)
		return 3;
	if (s->p[i] == '\\' && next == 'x' && (*c = hex_at(s, i + 2, 2)) >= 0)
		return 4;
	if (s->p[i] == '\\' && next == 'u' && (n = json_char(s, i, c)) > 0)
		return n;
	if (s->p[i] == '\\' && next == 'U' && (*c = hex_at(s, i + 2, 8)) >= 0)
		return 10;
	if (s->p[i] == '\\' && next != '\0' && strchr("\"'/\\", next) != NULL)
	{
		*c = (unsigned char) next;
		return 2;
	}
	if (s->p[i] == '&' && (n = html_char(s, i, c)) > 0)
		return n;
	*c = (unsigned char) s->p[i];
	return 1;
}

/* How many bytes at the beginning of a secret are that: a byte, or a character. */
static size_t
stands_for(int c, const char *secret)
{
	char utf8[4];
	size_t n;

	if (c == (unsigned char) secret[0] || (c == '+' && secret[0] == ' '))
		return 1;
	if (c < 0x80 || c > 0x10ffff)
		return 0;
	n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
	for (size_t k = n - 1; k > 0; k--, c >>= 6)
		utf8[k] = (char) (0x80 | (c & 0x3f));
	utf8[0] = (char) ((0xf00 >> n) | c);
	return strncmp(secret, utf8, n) == 0 ? n : 0;
}

/* Does the text end at i, or in an escape that begins there? */
static bool
is_cut(const Scan *s, size_t i)
{
	return i == s->n ||
		(s->n - i < MAX_ESCAPE && strchr("%\\&", s->p[i]) != NULL &&
		 s->p[i] != '\0' && run_end(s, i + 1, "#\\") == s->n);
}

/* Where a text was cut off within a secret, what is left of that goes. */
static size_t
escaped_end(Scan *s, size_t i, const char *secret)
{
	const char *at = secret;
	size_t end = i;

	while (*at != '\0')
	{
		int c = 0;
		size_t n = end < s->n ? written_char(s, end, &c) : 0;
		size_t stands = n > 0 ? stands_for(c, at) : 0;

		if (stands == 0)
			return at - secret >= MIN_SECRET && is_cut(s, end) ? s->n : i;
		at += stands;
		end += n;
		s->work++;
	}
	return end;
}

static size_t
literal_end(Scan *s, size_t i, const char *secret, size_t n)
{
	size_t k = 0;

	if (s->n - i < n)
		return i;
	while (k < n && s->p[i + k] == secret[k])
		k++;
	s->work += k;
	return k == n ? i + n : i;
}

/* The two alphabets differ in two characters. */
static char
base64_char(char c)
{
	return c == '-' ? '+' : c == '_' ? '/' : c;
}

/* With the secret goes what follows it in the same text. */
static size_t
base64_end(Scan *s, size_t i, const Base64Form *form)
{
	const char *p = (const char *) s->memory.data + form->offset;
	size_t n = s->n - i < form->n ? s->n - i : form->n;

	if (n < form->n && n < MIN_BASE64)
		return i;
	for (size_t k = 0; k < n; k++, s->work++)
		if (base64_char(s->p[i + k]) != p[k])
			return i;
	if (i + n < s->base64_begin || i + n > s->base64_end)
	{
		s->base64_begin = i + n;
		s->base64_end = run_end(s, i + n, "+/-_=");
	}
	return s->base64_end;
}

static size_t
given_secret_end(Scan *s, size_t i)
{
	size_t end = i;

	if (!s->begins[(unsigned char) s->p[i]])
		return i;
	s->work += (size_t) s->nsecrets;
	for (int k = 0; k < s->nsecrets; k++)
	{
		const char *secret = s->secrets[k];
		size_t n = secret != NULL ? strlen(secret) : 0;
		size_t ends[2];

		if (n < MIN_SECRET)
			continue;
		ends[0] = literal_end(s, i, secret, n);
		ends[1] = escaped_end(s, i, secret);
		for (int e = 0; e < 2; e++)
			if (ends[e] > end)
				end = ends[e];
	}
	for (const Base64Form *form = s->forms; form < s->forms + s->nforms; form++)
	{
		size_t encoded = base64_end(s, i, form);

		if (encoded > end)
			end = encoded;
	}
	return end;
}

/* ak-…, as-…, wk-…, ws-…, and JSON web tokens, which begin with {" in base64. */
static size_t
token_end(Scan *s, size_t i)
{
	size_t end;

	if (!word_begins(s, i))
		return i;
	if (literal_at(s, i, "ak-") || literal_at(s, i, "as-") ||
		literal_at(s, i, "wk-") || literal_at(s, i, "ws-"))
	{
		end = run_end(s, i + 3, "");
		return end - i >= 3 + MIN_TOKEN ? end : i;
	}
	if (s->n - i > 3 && memcmp(s->p + i, "eyJ", 3) == 0)
	{
		if (i >= s->web_token_end)
			s->web_token_end = run_end(s, i, "-_.=");
		return s->web_token_end - i >= 3 + MIN_WEB_TOKEN ? s->web_token_end : i;
	}
	return i;
}

/* The credential that follows "Bearer " or "Basic ", which is before i. */
static size_t
credential_end(const Scan *s, size_t i)
{
	size_t word_end = i;
	bool bearer;
	size_t end;

	if (i == 0 || !is_space(s->p[i - 1]) || is_space(s->p[i]))
		return i;
	while (word_end > 0 && is_space(s->p[word_end - 1]))
		word_end--;
	bearer = word_end >= 6 && literal_at(s, word_end - 6, "bearer") &&
		word_begins(s, word_end - 6);
	if (!bearer &&
		!(word_end >= 5 && literal_at(s, word_end - 5, "basic") &&
		  word_begins(s, word_end - 5)))
		return i;

	/* "basic" is a common word: a plain word after it is not a secret. */
	end = run_end(s, i, "-._~+/=");
	if (!bearer)
	{
		size_t p = i;

		while (p < end && s->p[p] >= 'a' && s->p[p] <= 'z')
			p++;
		if (p == end)
			return i;
	}
	return end;
}

/* The user:password of a URL, or its query or fragment. */
static size_t
url_part_end(Scan *s, size_t i)
{
	size_t user_end = i;
	size_t p = i;

	if (i < s->url_end && i == s->query_begin)
		return s->url_end;
	if (i < 3 || memcmp(s->p + i - 3, "://", 3) != 0)
		return i;

	for (; p < s->n && is_url_char(s->p[p]) && !strchr("/?#", s->p[p]); p++)
	{
		if (s->p[p] == '@')
			user_end = p;
	}
	/* A URL within the path of another has the same end and query. */
	if (i >= s->url_end)
	{
		while (p < s->n && is_url_char(s->p[p]) && !strchr("?#", s->p[p]))
			p++;
		s->query_begin = p + 1;
		while (p < s->n && is_url_char(s->p[p]))
			p++;
		s->url_end = p;
	}
	return user_end;
}

static size_t
secret_end(Scan *s, size_t i)
{
	size_t end = given_secret_end(s, i);
	size_t ends[] = {token_end(s, i), credential_end(s, i), url_part_end(s, i)};

	for (int k = 0; k < 3; k++)
	{
		if (ends[k] > end)
			end = ends[k];
	}
	return end;
}

/* Append n bytes, as far as *max allows. */
static void
put_within(Buf *out, const char *p, size_t n, size_t *max)
{
	if (n > *max)
	{
		n = *max;
		while (n > 0 && ((unsigned char) p[n] & 0xc0) == 0x80)
			n--;
		*max = n;
	}
	buf_put(out, p, n);
	*max -= n;
}

/* --- what is sought ------------------------------------------------------- */

/*
 * A secret within base64, as of "user:secret", has three forms, by its distance
 * from the last multiple of three bytes.  Characters that also depend on what
 * stands before or after it are not part of the form.
 */
static void
add_base64_forms(Scan *s, const char *secret, size_t n)
{
	for (size_t before = 0; before < 3; before++)
	{
		size_t first = (before * 8 + 5) / 6;
		size_t end = (before + n) * 8 / 6;
		Base64Form *form = &s->forms[s->nforms];
		Buf bytes;

		if (end < first + MIN_BASE64)
			continue;
		buf_init(&bytes, 0, NULL);
		buf_put(&bytes, "\0\0", before);
		buf_put(&bytes, secret, n);
		form->offset = s->memory.len + first;
		form->n = end - first;
		base64_encode(&s->memory, bytes.data, bytes.len);
		s->memory.failed |= bytes.failed;
		buf_free(&bytes);
		if (s->memory.failed)
			return;
		s->begins[s->memory.data[form->offset]] = true;
		s->nforms++;
	}
}

/* False when memory is short. */
static bool
prepare(Scan *s)
{
	buf_init(&s->memory, 0, NULL);
	s->forms = calloc((size_t) s->nsecrets * 3 + 1, sizeof(Base64Form));
	if (s->forms == NULL)
		return false;
	for (int k = 0; k < s->nsecrets; k++)
	{
		size_t n = s->secrets[k] != NULL ? strlen(s->secrets[k]) : 0;

		if (n < MIN_SECRET)
			continue;
		s->begins[(unsigned char) s->secrets[k][0]] = true;
		s->begins['%'] = s->begins['\\'] = s->begins['&'] = true;
		s->begins['+'] |= s->secrets[k][0] == ' ';
		add_base64_forms(s, s->secrets[k], n);
	}
	if (s->begins['+'])
		s->begins['-'] = true;
	if (s->begins['/'])
		s->begins['_'] = true;
	return !s->memory.failed;
}

void
redact(Buf *out, const char *text, size_t n, const char *const *secrets,
	   int nsecrets, size_t max)
{
	Scan s = {.p = text, .secrets = secrets, .nsecrets = nsecrets};
	size_t most_work, copied = 0;
	size_t i = 0;

	if (n > max && n - max > MAX_HIDDEN)
		n = max + MAX_HIDDEN;
	s.n = n;
	most_work = n * WORK_PER_BYTE * ((size_t) nsecrets + 1) + WORK_AT_LEAST;

	/* What cannot be looked through is not shown. */
	if (!prepare(&s))
	{
		put_within(out, HIDDEN, strlen(HIDDEN), &max);
		copied = i = n;
	}
	/* What is not hidden yet may be all that fits. */
	while (i < n && max > 0 && i - copied <= max)
	{
		size_t end = secret_end(&s, i);

		if (s.work > most_work)
			end = n;
		if (end == i)
		{
			i++;
			continue;
		}
		put_within(out, text + copied, i - copied, &max);
		while (++i < end && s.work <= most_work)
		{
			size_t other = secret_end(&s, i);

			if (other > end)
				end = other;
		}
		put_within(out, HIDDEN, strlen(HIDDEN), &max);
		copied = i = s.work > most_work ? n : end;
	}
	put_within(out, text + copied, n - copied, &max);
	free(s.forms);
	if (s.memory.data != NULL)
		memset(s.memory.data, 0, s.memory.len);
	buf_free(&s.memory);
}
