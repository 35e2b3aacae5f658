/* Tests of core/url: URLs taken apart. */
#include "tap.h"

#include "core/url.h"

static const char *
part(const char *p, size_t n)
{
	static char text[200];

	snprintf(text, sizeof(text), "%.*s", (int) n, p);
	return text;
}

static void
is_url(const char *text, bool plain, const char *host, int port,
	   const char *authority, const char *path)
{
	Url url;

	is_text(url_parse(text, strlen(text), &url), NULL, text);
	ok(url.plain == plain, "scheme");
	is_text(part(url.host, url.host_len), host, "host");
	is_int(url.port, port, "port");
	is_text(part(url.authority, url.authority_len), authority, "authority");
	is_text(part(url.path, url.path_len), path, "path");
}

static void
test_parts(void)
{
	is_url("https://host", false, "host", 443, "host", "");
	is_url("http://host", true, "host", 80, "host", "");
	is_url("https://host:8443/a/b?c=://d", false, "host", 8443, "host:8443", "/a/b?c=://d");
	is_url("https://host?x", false, "host", 443, "host", "?x");
	is_url("http://[::1]:1/", true, "[::1]", 1, "[::1]:1", "/");
	is_url("https://[fe80::1%25eth0]/", false, "[fe80::1%25eth0]", 443, "[fe80::1%25eth0]", "/");
	is_url("https://host:/x", false, "host", 443, "host", "/x");
	is_url("https://host:443/x", false, "host", 443, "host", "/x");
	is_url("http://[::1]:080?x", true, "[::1]", 80, "[::1]", "?x");
	is_url("https://host:80/x", false, "host", 80, "host:80", "/x");
	is_url("https://host:65535", false, "host", 65535, "host:65535", "");
}

static void
test_loopback(void)
{
	static const struct
	{
		const char *text;
		bool is;
	} cases[] = {
		{"http://localhost/x", true}, {"http://LOCALHOST:1", true},
		{"http://127.0.0.1:80", true}, {"http://[::1]", true},
		{"http://localhost.example", false}, {"http://[::11]", false},
		{"http://127.0.0.11", false}, {"http://example/localhost", false},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		Url url;

		ok(url_parse(cases[i].text, strlen(cases[i].text), &url) == NULL &&
			   url_is_loopback(&url) == cases[i].is,
		   "%s", cases[i].text);
	}
}

static void
test_bounds(void)
{
	const char *text = "https://host:443/path";

	/* No byte beyond the length is looked at. */
	for (size_t n = 0; n <= strlen(text); n++)
	{
		char *copy = malloc(n + 1);
		Url url;

		memcpy(copy, text, n);
		ok((url_parse(copy, n, &url) == NULL) == (n >= 9), "%zu bytes", n);
		free(copy);
	}
}

int
main(void)
{
	test_parts();
	test_loopback();
	test_bounds();
	return done_testing();
}
