/*-------------------------------------------------------------------------
 *
 * redact.c
 *	  Keep secrets out of text that goes to a log, an error or a view.
 *
 * One pass over the text: at each position, the longest secret of any kind
 * that begins there is found; secrets that overlap are hidden together.  The
 * text comes from outside, so the work must grow with its length only: ends
 * of long runs are remembered, not searched again from every position.
 *
 *-------------------------------------------------------------------------
 */
#include "core/redact.h"

#include <strings.h>

#define MIN_SECRET 4	 /* bytes; shorter ones would hide ordinary text */
#define MIN_TOKEN 8		 /* bytes after "ak-" */
#define MIN_WEB_TOKEN 20 /* bytes after "eyJ" */
#define HIDDEN "***"

typedef struct Scan
{
	const char *p;
	size_t n;
	const char *const *secrets;
	int nsecrets;
	size_t web_token_end; /* the run that a web token was sought in */
	size_t url_end;		  /* the URL seen last */
	size_t query_begin;	  /* its query, up to url_end */
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

static size_t
given_secret_end(const Scan *s, size_t i)
{
	size_t end = i;

	for (int k = 0; k < s->nsecrets; k++)
	{
		const char *secret = s->secrets[k];
		size_t n;

		if (secret == NULL || secret[0] != s->p[i])
			continue;
		n = strlen(secret);
		if (n >= MIN_SECRET && s->n - i >= n &&
			memcmp(s->p + i, secret, n) == 0 && i + n > end)
			end = i + n;
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

void
redact(Buf *out, const char *text, size_t n, const char *const *secrets,
	   int nsecrets, size_t max)
{
	Scan s = {.p = text, .n = n, .secrets = secrets, .nsecrets = nsecrets};
	size_t copied = 0;
	size_t i = 0;

	while (i < n && max > 0)
	{
		size_t end = secret_end(&s, i);

		if (end == i)
		{
			i++;
			continue;
		}
		put_within(out, text + copied, i - copied, &max);
		while (++i < end)
		{
			size_t other = secret_end(&s, i);

			if (other > end)
				end = other;
		}
		put_within(out, HIDDEN, strlen(HIDDEN), &max);
		copied = end;
	}
	put_within(out, text + copied, n - copied, &max);
}
