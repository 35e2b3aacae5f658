/* Tests of core/option_value: what options may be. */
#include "tap.h"

#include "core/option_value.h"

static void
test_text(void)
{
	ok(option_text_error("a b~") == NULL, "printable ASCII");
	ok(option_text_error("") != NULL, "nothing");
	ok(option_text_error("a\nb") != NULL, "a line break");
	ok(option_text_error("a\x7f") != NULL, "a control character");
	ok(option_text_error("\u00fc") != NULL, "not ASCII");
}

static void
test_numbers(void)
{
	ok(option_number("5", true, 1, 10), "a whole number");
	ok(option_number("10", true, 1, 10), "the largest");
	ok(option_number("1", true, 1, 10), "the smallest");
	ok(option_number("2.5", false, 1, 10), "a fraction");
	ok(option_number("1e1", false, 1, 10), "an exponent");
	ok(option_number("-0.5", false, -1, 1), "a sign");
	ok(!option_number("2.5", true, 1, 10), "a fraction, not whole");
	ok(!option_number("10.0", true, 1, 10), "a point");
	ok(!option_number("1e1", true, 1, 10), "an exponent where a whole number is wanted");
	ok(option_number("+7", true, 1, 10) && option_number("-1", true, -1, 10), "a sign of a whole one");
	ok(!option_number("5-", true, 1, 10), "a sign behind");
	ok(!option_number("11", true, 1, 10), "too large");
	ok(!option_number("0", true, 1, 10), "too small");
	ok(!option_number("", true, 0, 10), "nothing");
	ok(!option_number(" 5", true, 1, 10), "a space");
	ok(!option_number("5s", true, 1, 10), "a unit");
	ok(!option_number("0x5", true, 1, 10), "hexadecimal");
	ok(!option_number("nan", false, 1, 10), "not a number");
	ok(!option_number("inf", false, 1, 10), "infinity");
	ok(!option_number("1e999", false, 1, 10), "infinity in disguise");
	ok(!option_number("e", false, 0, 10), "no digit");
}

static void
test_choices(void)
{
	const char *choices = "json|json-lines|2";

	ok(option_choice("json", choices), "the first");
	ok(option_choice("json-lines", choices), "the second");
	ok(option_choice("2", choices), "the last");
	ok(!option_choice("", choices), "nothing");
	ok(!option_choice("jso", choices), "a part");
	ok(!option_choice("json-", choices), "a larger part");
	ok(!option_choice("JSON", choices), "other letters");
	ok(!option_choice("json|json-lines", choices), "two at once");
}

static void
test_urls(void)
{
	static const char *const good[] = {
		"https://host", "http://host/", "https://host:8443/path?q=f",
		"https://api.modal.com,https://api.modal2.com", "https://[::1]:9443",
		"https://a-b.c_d~e/x,https://f",
	};
	static const char *const bad[] = {
		"", "host", "ftp://host", "HTTPS://host", "https://", "https:///path",
		"https://:443", "https://user@host", "https://user:pw@host/",
		"https://host, https://other", "https://host,", "https://ho st",
		"https://host\n", "https://h\u00f6st", "https://good\\@bad",
		"https://a,file:///etc/passwd", "https://host#part",
		"https://host/path#part", "https://host:0", "https://host:65536",
		"https://host:99999999999999999999", "https://host:+80",
		"https://host:8o", "https://%31%36%39.254.169.254", "https://ho%73t:1",
		"https://[::1", "https://[]", "https://[::1]x",
	};

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		is_text(option_url_error(good[i]), NULL, good[i]);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ok(option_url_error(bad[i]) != NULL, "refused: %s", bad[i]);
}

static void
test_proxies(void)
{
	static const char *const good[] = {
		"host", "host:3128", "http://host:3128", "https://host/",
		"socks5h://[::1]:1080", "10.0.0.1:80",
	};
	static const char *const bad[] = {
		"", "http://", "http://:80", "user@host", "http://user:pw@host",
		"host/path", "ht tp://host", "host\n", "//host", "host:80//",
	};

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		is_text(option_proxy_error(good[i]), NULL, good[i]);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ok(option_proxy_error(bad[i]) != NULL, "refused: %s", bad[i]);
}

static void
test_headers(void)
{
	static const char *const good[] = {
		"", "A: b", "A:", "X-Custom: a: b; c=\"d\"", "A: b\nC: d\n",
		"Authorization-Scheme: x", "Host: internal",
	};
	static const char *const bad[] = {
		"A", "A b: c", ": b", "A: b\n\nC: d", "A: b\r\nC: d", "A: \u00fc",
		"A\t: b", "Authorization: secret", "authorization:secret",
		"A: b\nAUTHORIZATION: secret", "Content-Length: 5",
		"transfer-encoding: chunked", "Connection: close", "(A): b",
	};

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		is_text(option_headers_error(good[i]), NULL, good[i]);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ok(option_headers_error(bad[i]) != NULL, "refused: %s", bad[i]);
}

int
main(void)
{
	test_text();
	test_numbers();
	test_choices();
	test_urls();
	test_proxies();
	test_headers();
	return done_testing();
}
