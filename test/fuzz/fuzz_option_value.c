/*
 * Options: what is accepted cannot end a header line, nor put credentials
 * or another scheme into a URL.
 */
#include "fuzz.h"

#include "core/option_value.h"

static void
check_url(const char *url)
{
	for (const char *p = url; p != NULL; p = strchr(p, ','))
	{
		size_t n;

		p += *p == ',';
		REQUIRE(strncmp(p, "http", 4) == 0);
		p = strstr(p, "://") + 3;
		n = strcspn(p, "/?#,");
		REQUIRE(n > 0 && memchr(p, '@', n) == NULL);
		REQUIRE(memchr(p, '\\', n) == NULL);
	}
	for (const char *p = url; *p != '\0'; p++)
		REQUIRE(*p > ' ' && *p < 0x7f);
}

static void
check_headers(const char *headers)
{
	for (const char *p = headers; *p != '\0';)
	{
		size_t line = strcspn(p, "\n");
		const char *colon = memchr(p, ':', line);

		REQUIRE(colon != NULL && colon > p && memchr(p, ' ', colon - p) == NULL);
		for (size_t i = 0; i < line; i++)
			REQUIRE(p[i] >= ' ' && p[i] < 0x7f);
		REQUIRE(strncasecmp(p, "authorization:", 14) != 0);
		REQUIRE(strncasecmp(p, "content-length:", 15) != 0);
		p += line;
		p += *p == '\n';
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *value = malloc(size + 1);
	double number;

	memcpy(value, data, size);
	value[size] = '\0';
	if (option_url_error(value) == NULL)
		check_url(value);
	if (option_headers_error(value) == NULL)
		check_headers(value);
	if (option_number(value, true, -100, 1000))
	{
		number = strtod(value, NULL);
		REQUIRE(number >= -100 && number <= 1000 &&
				number == (double) (long) number);
	}
	if (option_choice(value, "json|2|json-lines"))
		REQUIRE(strcmp(value, "json") == 0 || strcmp(value, "2") == 0 ||
				strcmp(value, "json-lines") == 0);
	if (option_text_error(value) == NULL)
		REQUIRE(strpbrk(value, "\r\n\t") == NULL && value[0] != '\0');
	free(value);
	return 0;
}
