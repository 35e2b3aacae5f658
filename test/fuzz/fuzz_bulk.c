/*
 * OpenAI's batch endpoint: ids can only be a step of a path, and what is taken
 * out of an answer lies in it.
 */
#include "fuzz.h"

#include "core/bulk.h"

static void
check_id(const char *id)
{
	REQUIRE(strlen(id) <= BULK_ID_MAX);
	REQUIRE(strpbrk(id, "/\\?#%& \r\n") == NULL);
	REQUIRE(strcmp(id, ".") != 0 && strcmp(id, "..") != 0);
}

static bool
within(Slice part, const char *text, size_t n)
{
	return part.p == NULL || (part.p >= text && part.p + part.n <= text + n);
}

static void
check_bulk(const Bulk *bulk, const char *text, size_t n)
{
	Slice rest = bulk->errors;
	BulkError error;

	check_id(bulk->id);
	check_id(bulk->output_file);
	check_id(bulk->error_file);
	REQUIRE(bulk->first >= 0 && within(rest, text, n));
	while (bulk_next_error(&rest, &error))
		REQUIRE(within(error.code, text, n) && within(error.message, text, n) &&
				within(rest, text, n));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);
	char id[BULK_ID_MAX + 1];
	Bulk bulk;
	BulkLine line;

	memcpy(text, data, size);
	text[size] = '\0';
	if (bulk_read(text, size, &bulk) == NULL)
	{
		REQUIRE(bulk.id[0] != '\0');
		check_bulk(&bulk, text, size);
	}
	if (bulk_find(text, size, "r", &bulk) == NULL)
		check_bulk(&bulk, text, size);
	if (bulk_read_file_id(text, size, id) == NULL)
	{
		REQUIRE(id[0] != '\0');
		check_id(id);
	}
	if (bulk_read_line(text, size, &line) == NULL)
		REQUIRE(line.ordinal >= -1 && within(line.body, text, size) &&
				within(line.code, text, size) && within(line.message, text, size));
	free(text);
	return 0;
}
