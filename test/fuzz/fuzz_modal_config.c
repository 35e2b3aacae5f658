/* The configuration file of Modal's clients: read, or refused at a line. */
#include "fuzz.h"

#include "core/modal_config.h"

static void
touch(void *arg, Slice key, Slice value)
{
	size_t *total = arg;

	REQUIRE(key.n > 0 || key.p != NULL);
	for (size_t i = 0; i < value.n; i++)
		*total += (unsigned char) value.p[i];
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t total = 0;
	int line;
	const char *error =
		modal_config_read((const char *) data, size, NULL, touch, &total, &line);

	REQUIRE(line >= 0 && (size_t) line <= size + 1);
	if (error != NULL)
		REQUIRE(strlen(error) > 0);
	return 0;
}
