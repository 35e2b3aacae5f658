/* Tests of core/redact: what must not be seen, and what must stay. */
#include "tap.h"

#include <time.h>

#include "core/redact.h"

static const char *const secrets[] = {
	"hunter2!", "abc", NULL, "overlap-one", "one-two-three", "", "<&>\"'",
	"p\u00e4ss w\u00f6rd \U0001f511",
};

static void
check(const char *text, const char *want)
{
	Buf out;

	buf_init(&out, 0, NULL);
	buf_put_cstr(&out, "<");
	redact(&out, text, strlen(text), secrets, 8, 1000);
	buf_put_cstr(&out, ">");
	buf_consume(&out, 1);
	out.len--;
	is_text(buf_cstr(&out), want, text);
	buf_free(&out);
}

static void
test_given(void)
{
	check("", "");
	check("nothing to hide", "nothing to hide");
	check("password hunter2! refused", "password *** refused");
	check("hunter2!hunter2!", "******");
	check("xhunter2!x", "x***x");
	check("abc is too short to be one", "abc is too short to be one");
	check("overlap-one-two-three.", "***.");
}

/* Characters that are no ASCII are escaped by bytes, or as such. */
static void
test_wide(void)
{
	check("p\u00e4ss w\u00f6rd \U0001f511.", "***.");
	check("p%C3%A4ss%20w%c3%b6rd%20%F0%9F%94%91.", "***.");
	check("p%C3%A4ss+w%C3%B6rd+%F0%9F%94%91.", "***.");
	check("\"p\\u00e4ss w\\u00f6rd \\ud83d\\udd11\"", "\"***\"");
	check("'p\\xe4ss w\\xf6rd \\U0001f511'", "'***'");
	check("p&#228;ss w&#xf6;rd &#128273;!", "***!");
	check("p\\u00e4ss w\\u00f6rd \\ud83d", "***");
	check("p\\u00e5ss w\\u00f6rd \\ud83d\\udd11", "p\\u00e5ss w\\u00f6rd \\ud83d\\udd11");
	check("\\uffff \\U7fffffff \\U80000000 \\Uffffffff", "\\uffff \\U7fffffff \\U80000000 \\Uffffffff");
}

/* A text that is too long was cut off somewhere before it is looked through. */
static void
test_cut_off(void)
{
	check("it was hunt", "it was ***");
	check("it was hunter2", "it was ***");
	check("it was hun", "it was hun");
	check("it was hunt.", "it was hunt.");
	check("hunter2%", "***");
	check("hunter2%2", "***");
	check("hunter2\\u002", "***");
	check("hunter2\\", "***");
	check("hunter2&#0", "***");
	check("hunter2 &#0", "hunter2 &#0");
	check("got aHVudGVyM", "got ***");
	check("got aHVudG", "got aHVudG");
	check("dTpodW50ZXIy", "dTp***");
}

/* As services repeat what they got. */
static void
test_written_otherwise(void)
{
	check("hunter2%21 and h%75nter2!", "*** and ***");
	check("{\"key\": \"hunter2\\u0021\"}", "{\"key\": \"***\"}");
	check("b'\\x68unter2!'", "b'***'");
	check("\\u0068\\u0075\\u006e\\u0074\\u0065\\u0072\\u0032\\u0021.", "***.");
	check("hunter2%2 ", "hunter2%2 ");
	check("hunter2%2g %", "hunter2%2g %");
	check("hunter2\\u002.", "hunter2\\u002.");
	check("hunter2\\.", "hunter2\\.");
	check("<p>hunter2&#33; &#104;unter2&#x21; hunter2&#000033;</p>", "<p>*** *** ***</p>");
	check("hunter2&#34; hunter2&#33 hunter2&#3g; hunter2&#x;", "hunter2&#34; hunter2&#33 hunter2&#3g; hunter2&#x;");
	check("hunter2&#99999999999999999999; hunter2&#.", "hunter2&#99999999999999999999; hunter2&#.");
	check("a &amp; b&lt;c&gt; &quot;quoted&#39;", "a &amp; b&lt;c&gt; &quot;quoted&#39;");
	check("x&lt;&amp;&gt;&quot;&apos;x &lt;&#38;>&quot;' <&>\"'", "x***x *** ***");
	/* alone, and after one and two bytes */
	check("got aHVudGVyMiE= twice", "got *** twice");
	check("OmhdW50", "OmhdW50");
	check("dTpodW50ZXIyIQ==", "dTp***");
	check("dTpw dXNlcjpodW50ZXIyIQ", "dTpw dXNlcjp***");
	check("eDpodW50ZXIyITp5", "eDp***");
	check("eHg6aHVudGVyMiE6eQ", "eHg6***");
	check("eHh4Omh1bnRlcjIhOnk.", "eHh4Om***.");
}

static void
test_tokens(void)
{
	check("token ak-Abc123Def456 and as-zyxWVUT98765.",
		  "token *** and ***.");
	check("wk-0123456789ab/ws-0123456789ab", "***/***");
	check("was-something-longer", "was-something-longer");
	check("a task-force: as-is", "a task-force: as-is");
	check("x-modal-auth-token: eyJhbGciOiJIUzI1NiJ9.eyJleHAiOjF9.c2ln ok",
		  "x-modal-auth-token: *** ok");
	check("eyJ", "eyJ");
	check("Authorization: Bearer s3cr3t", "Authorization: Bearer ***");
	check("authorization:bearer   secretword, then",
		  "authorization:bearer   ***, then");
	check("Basic dXNlcjpwdw==", "Basic ***");
	check("basic authentication", "basic authentication");
	check("forbearer x", "forbearer x");
	check("Bearer", "Bearer");
	check("Bearer ", "Bearer ");
}

static void
test_urls(void)
{
	check("https://user:pw@host:8443/a", "https://***@host:8443/a");
	check("at http://host/a?key=1&b=2 now", "at http://host/a?*** now");
	check("http://host/a#frag", "http://host/a#***");
	check("http://host?q", "http://host?***");
	check("http://host?", "http://host?");
	check("(http://a@b@c/d@e)", "(http://***@c/d@e)");
	check("\"https://h/p?X-Sig=1\" and 2?", "\"https://h/p?***\" and 2?");
	check("http://a/http://u:p@b/c?d=http://e?f g",
		  "http://a/http://***@b/c?*** g");
	check("really? yes@no", "really? yes@no");
	check("://", "://");
}

static void
test_cut(void)
{
	Buf out;
	const char *text = "\u00e4\u00f6\u00fc hunter2! \u20ac";
	size_t full = strlen("\u00e4\u00f6\u00fc *** \u20ac");
	int bad = 0;

	buf_init(&out, 0, NULL);
	for (size_t max = 0; max <= full + 1; max++)
	{
		buf_reset(&out);
		redact(&out, text, strlen(text), secrets, 8, max);
		bad += out.len > max || strstr(buf_cstr(&out), "hun") != NULL ||
			strncmp(buf_cstr(&out), "\u00e4\u00f6\u00fc *** \u20ac", out.len) != 0 ||
			(out.len + 2 < max && out.len < full);
		if (max == 3)
			is_text(buf_cstr(&out), "\u00e4", "cut at a character's border");
	}
	is_int(bad, 0, "cut at every place");
	buf_free(&out);

	buf_init(&out, 0, NULL);
	redact(&out, "a\0hunter2!", 10, secrets, 8, 100);
	is_bytes(out.data, out.len, "a\0***", 5, "zero bytes are bytes");
	buf_free(&out);
}

/* Text made to be slow must not be: each takes minutes if work is quadratic. */
static void
test_hostile(void)
{
	static const char *const pieces[] = {
		"://", "eyJ-", "http://a@", "bearer ", "ak-", "hunter2", "?", " ",
	};
	const size_t size = 1 << 20;
	char *text = malloc(size);
	clock_t start = clock();
	Buf out;

	buf_init(&out, 0, NULL);
	for (size_t k = 0; k < sizeof(pieces) / sizeof(pieces[0]); k++)
	{
		size_t n = strlen(pieces[k]);

		for (size_t i = 0; i < size; i++)
			text[i] = pieces[k][i % n];
		buf_reset(&out);
		redact(&out, text, size, secrets, 8, SIZE_MAX);
	}
	ok(clock() - start < 20 * CLOCKS_PER_SEC, "time grows with the length only");

	memset(text, 'x', size);
	start = clock();
	for (int k = 0; k < 1000; k++)
	{
		buf_reset(&out);
		redact(&out, text, size, secrets, 6, 100);
	}
	ok(out.len == 100 && clock() - start < 5 * CLOCKS_PER_SEC,
	   "what is not shown takes no time");
	buf_free(&out);
	free(text);
}

/* Secrets that begin nearly everywhere: who knows one may write such a text. */
static void
test_everywhere(void)
{
	static const char *const pieces[] = {"YmJi", "b", "c", "%62", "\\u0063", "Y2Nj"};
	const size_t size = 1024 * 1024;
	char *text = malloc(size);
	char *secret = malloc(20001);
	const char *own[] = {"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb", secret};
	clock_t start = clock();
	Buf out;

	memset(secret, 'c', 20000);
	secret[20000] = '\0';
	buf_init(&out, 0, NULL);
	for (size_t k = 0; k < sizeof(pieces) / sizeof(pieces[0]); k++)
	{
		size_t n = strlen(pieces[k]);

		for (size_t i = 0; i < size; i++)
			text[i] = pieces[k][i % n];
		buf_reset(&out);
		redact(&out, text, size, own, 2, size);
		is_text(buf_cstr(&out), "***", pieces[k]);
		/* however much of it nobody will see */
		buf_reset(&out);
		redact(&out, text, size, own, 2, 100);
		is_text(buf_cstr(&out), "***", pieces[k]);
	}
	ok(clock() - start < 20 * CLOCKS_PER_SEC, "and takes little time");

	/* What is beyond the work that is done is not shown, what is before it is. */
	memset(text, 'c', size);
	memcpy(text, "before ", 7);
	memcpy(text + size - 6, " after", 6);
	buf_reset(&out);
	redact(&out, text, size, own, 2, size);
	is_text(buf_cstr(&out), "before ***", "a long text");
	buf_free(&out);
	free(secret);
	free(text);
}

int
main(void)
{
	test_everywhere();
	test_given();
	test_written_otherwise();
	test_wide();
	test_cut_off();
	test_tokens();
	test_urls();
	test_cut();
	test_hostile();
	return done_testing();
}
