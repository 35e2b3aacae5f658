/* Tests of core/modal_config: ~/.modal.toml. */
#include "tap.h"

#include "core/modal_config.h"

static void
collect(void *arg, Slice key, Slice value)
{
	Buf *to = arg;

	buf_put(to, key.p, key.n);
	buf_put_u8(to, '=');
	buf_put(to, value.p, value.n);
	buf_put_u8(to, ';');
}

static void
reads(const char *text, const char *profile, const char *want, const char *name)
{
	Buf got;
	int line;
	const char *error;

	buf_init(&got, 0, NULL);
	error = modal_config_read(text, strlen(text), profile, collect, &got, &line);
	if (!ok(error == NULL && strcmp(buf_cstr(&got), want) == 0, "%s", name))
		printf("# %s, line %d: %s\n", error != NULL ? error : "no error", line,
			   buf_cstr(&got));
	buf_free(&got);
}

static void
refuses(const char *text, const char *want, int want_line, const char *name)
{
	Buf got;
	int line;
	const char *error;

	buf_init(&got, 0, NULL);
	error = modal_config_read(text, strlen(text), NULL, collect, &got, &line);
	if (!ok(error != NULL && strcmp(error, want) == 0 && line == want_line,
			"%s", name))
		printf("# %s, line %d\n", error != NULL ? error : "no error", line);
	buf_free(&got);
}

int
main(void)
{
	const char *two = "[work]\ntoken_id = \"ak-w\"\n\n[home]\n"
					  "token_id = 'ak-h'\nactive = true\n";

	reads("", NULL, "", "an empty file");
	reads("[default]\ntoken_id = \"ak-1\"\ntoken_secret = \"as-1\"\n", NULL,
		  "token_id=ak-1;token_secret=as-1;", "the profile \"default\"");
	reads("[me]\ntoken_id = \"ak-1\"\n", NULL, "",
		  "an only profile of another name that is not active");
	reads(two, NULL, "token_id=ak-h;active=true;", "the active profile");
	reads(two, "work", "token_id=ak-w;", "the one that is asked for");
	reads(two, "nowhere", "", "one that is not there");
	reads("# top\n[ \"default\" ] # here\r\n\ttoken_id=\"a\\\"\\u00fc\\U0001F418\"  # x\n"
		  "max_throttle_wait = 30\nserver_url = 'https://x'",
		  NULL, "token_id=a\"\u00fc\U0001F418;max_throttle_wait=30;server_url=https://x;",
		  "comments, blanks, quotes, escapes, no line end");
	reads("stray = 1\n[default]\na = 2\n", NULL, "a=2;", "settings of no table");

	refuses("[a]\nactive = true\n[b]\nactive = true\n",
			"several profiles are active", 0, "two active profiles");
	refuses("[a]\nx = 1\n[b]\nx = 2\n",
			"there are several profiles, and none is active", 0, "none of two");
	refuses("[default]\nx = \"1\n\"\n", "a string does not end in its line", 2,
			"a string over two lines");
	refuses("[default]\nx = \"\\q\"\n", "invalid escape in a string", 2,
			"an unknown escape");
	refuses("[default]\nx = \"\\ud800\"\n", "invalid escape in a string", 2,
			"half a surrogate pair");
	refuses("[default]\nx = \"\\u12\"\n", "invalid escape in a string", 2,
			"an escape cut short");
	refuses("\n[[default]]\n", "invalid name or value", 2, "an array of tables");
	refuses("[default\n", "a table's name must be one word in brackets", 1,
			"half a header");
	refuses("[default]\nx\n", "\"=\" expected", 2, "no value");
	refuses("[default]\nx = [1, 2]\n", "invalid name or value", 2, "an array");
	refuses("[default]\nx = 1 2\n", "text after the value", 2, "two values");
	refuses("[default]\n\xff = 1\n", "invalid name or value", 2, "a strange name");
	return done_testing();
}
