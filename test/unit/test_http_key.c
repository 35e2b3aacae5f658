/* Tests of core/http_key: what gives the same key, and what another one. */
#include "tap.h"

#include "core/http_key.h"

#define MANY 100000

typedef char KeyText[HTTP_KEY_LEN + 1];

static void
make(KeyText text, const char *seed, int64_t first, int64_t last)
{
	HttpKey key;

	http_key_begin(&key, (const uint8_t *) seed);
	for (int64_t i = first; i <= last; i++)
		http_key_add(&key, i);
	http_key_text(&key, text);
}

static int
compare(const void *a, const void *b)
{
	return memcmp(a, b, HTTP_KEY_LEN);
}

static int
count_different(KeyText *keys, int n)
{
	int different = 1;

	qsort(keys, n, sizeof(KeyText), compare);
	for (int i = 1; i < n; i++)
		different += compare(keys[i - 1], keys[i]) != 0;
	return different;
}

static bool
is_uuid(const char *text)
{
	for (int i = 0; i < HTTP_KEY_LEN; i++)
	{
		bool dash = i == 8 || i == 13 || i == 18 || i == 23;

		if (dash ? text[i] != '-' : strchr("0123456789abcdef", text[i]) == NULL)
			return false;
	}
	return text[HTTP_KEY_LEN] == '\0' && text[14] == '8' &&
		strchr("89ab", text[19]) != NULL;
}

int
main(void)
{
	static const char seed[] = "0123456789abcdef", other[] = "0123456789abcdeg";
	static const char zeros[HTTP_KEY_SEED];
	KeyText key, again;
	KeyText *keys = malloc(MANY * sizeof(KeyText));
	bool uuids = true;

	make(key, seed, 7, 9);
	make(again, seed, 7, 9);
	is_text(key, again, "the same rows of the same call: the same key");
	make(again, other, 7, 9);
	ok(strcmp(key, again) != 0, "another call: another key");
	make(again, seed, 7, 8);
	ok(strcmp(key, again) != 0, "a row less: another key");

	for (int i = 0; i < MANY; i++)
	{
		make(keys[i], i % 2 ? seed : other, i / 2, i / 2);
		uuids = uuids && is_uuid(keys[i]);
	}
	is_int(count_different(keys, MANY), MANY, "a key for each row");
	ok(uuids, "all of them are UUIDs");
	for (int i = 0; i < 1000; i++)
		make(keys[i], zeros, i / 32, i / 32 + i % 32);
	is_int(count_different(keys, 1000), 1000, "a key for each batch, whatever the seed");
	make(key, zeros, 0, 0);
	ok(memcmp(key, key + 19, 4) != 0, "the halves are not alike");
	free(keys);
	return done_testing();
}
