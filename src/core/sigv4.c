/*-------------------------------------------------------------------------
 *
 * sigv4.c
 *	  AWS Signature Version 4; see sigv4.h.
 *
 * What is signed is not the request but a canonical form of it, which the
 * service makes of what it has received.  Services take the path as it is sent
 * for one that is to be encoded; S3 alone decodes it before.
 *
 *-------------------------------------------------------------------------
 */
#include "core/sigv4.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>
#include <strings.h>

#define ALGORITHM "AWS4-HMAC-SHA256"
#define DIGEST 32
#define MAX_SIGNED 84 /* headers: of a request, host and our own */

typedef struct SignedHeader
{
	const char *name; /* in any case of letters */
	size_t name_len;
	const char *value; /* without spaces around it */
	size_t value_len;
} SignedHeader;

typedef struct Headers
{
	SignedHeader at[MAX_SIGNED];
	int n;
} Headers;

typedef struct Parameter
{
	size_t begin, name_end, end; /* in a text that is encoded */
} Parameter;

/* --- encoding ------------------------------------------------------------- */

static bool
is_unreserved(unsigned char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
		(c >= 'A' && c <= 'Z') || c == '-' || c == '.' || c == '_' || c == '~';
}

static void
put_encoded(Buf *out, unsigned char c)
{
	if (is_unreserved(c))
		buf_put_u8(out, c);
	else
		buf_printf(out, "%%%02X", c);
}

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* The character at p, of n bytes that are left, and how many it takes. */
static size_t
decoded(const char *p, size_t n, unsigned char *c)
{
	if (p[0] == '%' && n > 2 && hex_digit(p[1]) >= 0 && hex_digit(p[2]) >= 0)
	{
		*c = (unsigned char) (hex_digit(p[1]) * 16 + hex_digit(p[2]));
		return 3;
	}
	*c = (unsigned char) p[0];
	return 1;
}

static void
put_recoded(Buf *out, const char *p, size_t n)
{
	while (n > 0)
	{
		unsigned char c;
		size_t used = decoded(p, n, &c);

		put_encoded(out, c);
		p += used;
		n -= used;
	}
}

static void
put_hex(Buf *out, const uint8_t *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++)
		buf_printf(out, "%02x", bytes[i]);
}

/* --- the canonical request ------------------------------------------------ */

/* A segment of a path is behind it: steps go, and so do empty ones. */
static bool
take_step(Buf *out, size_t begin, const char *p, size_t n)
{
	if (n == 0 || (n == 1 && p[0] == '.'))
		return true;
	if (n != 2 || p[0] != '.' || p[1] != '.')
		return false;
	while (out->len > begin && out->data[--out->len] != '/')
		;
	return true;
}

static void
put_path(Buf *out, const char *path, size_t n, bool is_s3)
{
	size_t begin = out->len;
	bool slash = n == 0 || path[n - 1] == '/';

	for (size_t i = 0; i < n;)
	{
		const char *segment = path + i;
		size_t len;

		if (*segment == '/')
		{
			if (is_s3)
				buf_put_u8(out, '/');
			i++;
			continue;
		}
		for (len = 0; i + len < n && segment[len] != '/'; len++)
			;
		i += len;
		if (is_s3)
			put_recoded(out, segment, len);
		else if (!take_step(out, begin, segment, len))
		{
			buf_put_u8(out, '/');
			for (size_t k = 0; k < len; k++)
				put_encoded(out, (unsigned char) segment[k]);
		}
	}
	if (out->len == begin || (slash && !is_s3))
		buf_put_u8(out, '/');
}

static const char *sorted_text; /* that parameters being sorted are in */

static int
compare_bytes(const char *a, size_t na, const char *b, size_t nb)
{
	int order = memcmp(a, b, na < nb ? na : nb);

	return order != 0 ? order : (na > nb) - (na < nb);
}

static int
compare_parameters(const void *a, const void *b)
{
	const Parameter *x = a;
	const Parameter *y = b;
	int order = compare_bytes(sorted_text + x->begin, x->name_end - x->begin,
							  sorted_text + y->begin, y->name_end - y->begin);

	return order != 0 ? order
					  : compare_bytes(sorted_text + x->name_end,
									  x->end - x->name_end,
									  sorted_text + y->name_end,
									  y->end - y->name_end);
}

/* Each name and value encoded alike, in the order of names and values. */
static void
put_query(Buf *out, const char *query)
{
	size_t most = 1;
	size_t n = 0;
	Parameter *found;
	Buf text;

	for (const char *p = query; *p != '\0'; p++)
		most += *p == '&';
	buf_init(&text, 0, NULL);
	found = calloc(most, sizeof(Parameter));
	if (found == NULL)
		out->failed = true;
	while (found != NULL && *query != '\0')
	{
		size_t whole = strcspn(query, "&");
		size_t name = strcspn(query, "=&");
		Parameter *at = &found[n];

		at->begin = text.len;
		put_recoded(&text, query, name);
		at->name_end = text.len;
		buf_put_u8(&text, '=');
		if (name < whole)
			put_recoded(&text, query + name + 1, whole - name - 1);
		at->end = text.len;
		n += whole > 0;
		query += whole + (query[whole] == '&');
	}
	out->failed |= text.failed;
	sorted_text = (const char *) text.data;
	if (n > 0 && !out->failed)
		qsort(found, n, sizeof(Parameter), compare_parameters);
	for (size_t i = 0; i < n && !out->failed; i++)
	{
		if (i > 0)
			buf_put_u8(out, '&');
		buf_put(out, sorted_text + found[i].begin, found[i].end - found[i].begin);
	}
	free(found);
	buf_free(&text);
}

static int
compare_headers(const void *a, const void *b)
{
	const SignedHeader *x = a;
	const SignedHeader *y = b;
	size_t n = x->name_len < y->name_len ? x->name_len : y->name_len;
	int order = strncasecmp(x->name, y->name, n);

	return order != 0 ? order : (x->name_len > y->name_len) - (x->name_len < y->name_len);
}

static bool
is_host(const char *line, size_t name_len)
{
	return name_len == 4 && strncasecmp(line, "host", 4) == 0;
}

static bool
is_signed(const char *line, size_t name_len)
{
	return (name_len > 6 && strncasecmp(line, "x-amz-", 6) == 0) ||
		(name_len == 12 && strncasecmp(line, "content-type", 12) == 0) ||
		is_host(line, name_len);
}

static void
add_header(Headers *headers, const char *line)
{
	size_t name_len = strcspn(line, ":");
	const char *value = line + name_len;
	size_t n;

	if (headers->n == MAX_SIGNED)
		return;
	value += *value == ':';
	value += strspn(value, " \t");
	n = strlen(value);
	while (n > 0 && (value[n - 1] == ' ' || value[n - 1] == '\t'))
		n--;
	headers->at[headers->n++] = (SignedHeader){line, name_len, value, n};
}

static void
put_name(Buf *out, const SignedHeader *header)
{
	for (size_t i = 0; i < header->name_len; i++)
	{
		char c = header->name[i];

		buf_put_u8(out, c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
	}
}

/* Blanks in a row count as one. */
static void
put_value(Buf *out, const SignedHeader *header)
{
	for (size_t i = 0; i < header->value_len; i++)
	{
		if (header->value[i] != ' ' || header->value[i - 1] != ' ')
			buf_put_u8(out, header->value[i]);
	}
}

/* Those of one name are one, with commas between the values. */
static void
put_headers(Buf *out, const Headers *headers)
{
	for (int i = 0; i < headers->n; i++)
	{
		if (i == 0 || compare_headers(&headers->at[i - 1], &headers->at[i]) != 0)
		{
			put_name(out, &headers->at[i]);
			buf_put_u8(out, ':');
		}
		put_value(out, &headers->at[i]);
		buf_put_u8(out, i + 1 < headers->n &&
						   compare_headers(&headers->at[i], &headers->at[i + 1]) == 0
					   ? ','
					   : '\n');
	}
}

static void
put_names(Buf *out, const Headers *headers)
{
	for (int i = 0; i < headers->n; i++)
	{
		if (i > 0 && compare_headers(&headers->at[i - 1], &headers->at[i]) == 0)
			continue;
		if (i > 0)
			buf_put_u8(out, ';');
		put_name(out, &headers->at[i]);
	}
}

static void
put_canonical(Buf *out, const SigV4Keys *keys, const SigV4Request *request,
			  const Headers *headers, const char *payload_hash)
{
	const char *query = strchr(request->target, '?');
	size_t path_len = query != NULL ? (size_t) (query - request->target)
									: strlen(request->target);

	buf_put_cstr(out, request->method);
	buf_put_u8(out, '\n');
	put_path(out, request->target, path_len, strcmp(keys->service, "s3") == 0);
	buf_put_u8(out, '\n');
	if (query != NULL)
		put_query(out, query + 1);
	buf_put_u8(out, '\n');
	put_headers(out, headers);
	buf_put_u8(out, '\n');
	put_names(out, headers);
	buf_put_u8(out, '\n');
	buf_put_cstr(out, payload_hash);
}

/* --- the signature -------------------------------------------------------- */

static bool
hash(const void *p, size_t n, uint8_t digest[DIGEST])
{
	return EVP_Digest(n > 0 ? p : "", n, digest, NULL, EVP_sha256(), NULL) == 1;
}

static bool
hmac(const void *key, size_t key_len, const void *p, size_t n,
	 uint8_t digest[DIGEST])
{
	return HMAC(EVP_sha256(), key, (int) key_len, p, n, digest, NULL) != NULL;
}

static bool
signing_key(const SigV4Keys *keys, const char *date, uint8_t key[DIGEST])
{
	const char *const steps[] = {keys->region, keys->service, "aws4_request"};
	Buf first;
	bool good;

	buf_init(&first, 0, NULL);
	buf_put_cstr(&first, "AWS4");
	buf_put_cstr(&first, keys->secret_access_key);
	good = !first.failed && hmac(first.data, first.len, date, strlen(date), key);
	for (int i = 0; i < 3 && good; i++)
		good = hmac(key, DIGEST, steps[i], strlen(steps[i]), key);
	if (first.data != NULL)
		explicit_bzero(first.data, first.len);
	buf_free(&first);
	return good;
}

/* *out: the signature of a canonical request. */
static bool
put_signature(Buf *out, const SigV4Keys *keys, const Buf *canonical,
			  const char *time, const char *scope)
{
	uint8_t digest[DIGEST], key[DIGEST];
	char date[9];
	Buf text;
	bool good;

	memcpy(date, time, 8);
	date[8] = '\0';
	buf_init(&text, 0, NULL);
	buf_printf(&text, ALGORITHM "\n%s\n%s\n", time, scope);
	good = !canonical->failed && hash(canonical->data, canonical->len, digest);
	put_hex(&text, digest, sizeof(digest));
	good = good && !text.failed && signing_key(keys, date, key) &&
		hmac(key, sizeof(key), text.data, text.len, digest);
	if (good)
		put_hex(out, digest, sizeof(digest));
	explicit_bzero(key, sizeof(key));
	buf_free(&text);
	return good;
}

/* Append a header, with its zero. */
static void
put_line(Buf *lines, const char *name, const char *value)
{
	buf_printf(lines, "%s: %s", name, value);
	buf_put_u8(lines, '\0');
}

static int
put_lines(const SigV4Keys *keys, const char *time, const char *payload_hash,
		  Buf *lines)
{
	put_line(lines, "X-Amz-Date", time);
	put_line(lines, "X-Amz-Content-Sha256", payload_hash);
	if (keys->session_token != NULL)
		put_line(lines, "X-Amz-Security-Token", keys->session_token);
	return keys->session_token != NULL ? 3 : 2;
}

static void
collect_headers(Headers *headers, const SigV4Request *request,
				const char *host_line, const char *lines, int nlines)
{
	bool own_host = false;

	headers->n = 0;
	for (int i = 0; i < nlines; i++, lines += strlen(lines) + 1)
		add_header(headers, lines);
	for (int i = 0; request->headers[i] != NULL; i++)
	{
		size_t name_len = strcspn(request->headers[i], ":");

		own_host |= is_host(request->headers[i], name_len);
		if (is_signed(request->headers[i], name_len))
			add_header(headers, request->headers[i]);
	}
	if (!own_host)
		add_header(headers, host_line);
	qsort(headers->at, headers->n, sizeof(SignedHeader), compare_headers);
}

/* The value of the header Authorization. */
static bool
put_authorization(Buf *out, const SigV4Keys *keys, const SigV4Request *request,
				  const Headers *headers, const char *time,
				  const char *payload_hash)
{
	Buf canonical, scope;
	bool good;

	buf_init(&canonical, 0, NULL);
	buf_init(&scope, 0, NULL);
	buf_printf(&scope, "%.8s/%s/%s/aws4_request", time, keys->region,
			   keys->service);
	put_canonical(&canonical, keys, request, headers, payload_hash);
	buf_printf(out, ALGORITHM " Credential=%s/%s, SignedHeaders=",
			   keys->access_key_id, buf_cstr(&scope));
	put_names(out, headers);
	buf_put_cstr(out, ", Signature=");
	good = !scope.failed &&
		put_signature(out, keys, &canonical, time, buf_cstr(&scope));
	buf_free(&canonical);
	buf_free(&scope);
	return good;
}

int
sigv4_sign(const SigV4Keys *keys, const SigV4Request *request, time_t now,
		   Buf *lines)
{
	size_t begin = lines->len;
	uint8_t digest[DIGEST];
	char time[17];
	struct tm utc;
	Headers headers;
	Buf host, payload_hash, authorization;
	bool good = false;
	int n = 0;

	buf_init(&host, 0, NULL);
	buf_init(&payload_hash, 0, NULL);
	buf_init(&authorization, 0, NULL);
	gmtime_r(&now, &utc);
	strftime(time, sizeof(time), "%Y%m%dT%H%M%SZ", &utc);
	buf_printf(&host, "host:%s", request->host);
	if (hash(request->body, request->body_len, digest))
	{
		put_hex(&payload_hash, digest, sizeof(digest));
		n = put_lines(keys, time, buf_cstr(&payload_hash), lines);
	}
	if (n > 0 && !lines->failed && !host.failed && !payload_hash.failed)
	{
		collect_headers(&headers, request, buf_cstr(&host),
						(const char *) lines->data + begin, n);
		good = put_authorization(&authorization, keys, request, &headers, time,
								 buf_cstr(&payload_hash)) &&
			!authorization.failed;
	}
	if (good)
		put_line(lines, "Authorization", buf_cstr(&authorization));
	buf_free(&host);
	buf_free(&payload_hash);
	buf_free(&authorization);
	return good && !lines->failed ? n + 1 : 0;
}
