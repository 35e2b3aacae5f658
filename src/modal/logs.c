/*-------------------------------------------------------------------------
 *
 * logs.c
 *	  What functions have printed, as JSON.
 *
 *-------------------------------------------------------------------------
 */
#include "modal/logs.h"

#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "core/cbor.h"

typedef struct json_object Json;

/* Strings of protobuf-c are not checked; what is not UTF-8 becomes "?". */
static Json *
clean_string(const char *text, size_t len)
{
	char *copy = strndup(text, len);
	size_t n = 0;
	Json *clean;

	while (copy != NULL && n < len)
	{
		size_t size = 1;

		while (size < 4 && n + size < len &&
			   ((unsigned char) copy[n + size] & 0xC0) == 0x80)
			size++;
		if (!utf8_valid((const uint8_t *) copy + n, size))
			memset(copy + n, '?', size);
		n += size;
	}
	clean = copy != NULL ? json_object_new_string_len(copy, (int) len) : NULL;
	free(copy);
	return clean;
}

/* Of Unix time; 0: it tells none that there is. */
static int64_t
microseconds(const Modal__Client__TaskLogs *item)
{
	if (item->timestamp_ns != 0)
		return (int64_t) (item->timestamp_ns / 1000);
	return item->timestamp > 0 && item->timestamp < MAX_UNIX_SECONDS
		? (int64_t) (item->timestamp * 1e6)
		: 0;
}

/* Each line of it by itself. */
static void
add_lines(Json *list, const Modal__Client__TaskLogsBatch *batch,
		  const Modal__Client__TaskLogs *item)
{
	const char *input = item->input_id[0] != '\0' ? item->input_id
												  : batch->input_id;
	int64_t at = microseconds(item);

	for (const char *p = item->data; *p != '\0';)
	{
		size_t len = strcspn(p, "\n");
		Json *line = json_object_new_array();

		json_object_array_add(line, json_object_new_int64(at));
		json_object_array_add(line, clean_string(input, strlen(input)));
		json_object_array_add(line, json_object_new_int(item->file_descriptor));
		json_object_array_add(line, clean_string(p, len));
		json_object_array_add(list, line);
		p += len + (p[len] == '\n');
	}
}

Json *
logs_to_json(const Modal__Client__AppFetchLogsResponse *reply)
{
	Json *list = json_object_new_array();

	for (size_t i = 0; i < reply->n_batches; i++)
		for (size_t j = 0; j < reply->batches[i]->n_items; j++)
			add_lines(list, reply->batches[i], reply->batches[i]->items[j]);
	return list;
}
