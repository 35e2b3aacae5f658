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

static size_t
count_lines(const char *text)
{
	size_t n = 0;

	while (*text != '\0')
	{
		size_t len = strcspn(text, "\n");

		n++;
		text += len + (text[len] == '\n');
	}
	return n;
}

static size_t
count_all_lines(const Modal__Client__AppFetchLogsResponse *reply)
{
	size_t n = 0;

	for (size_t i = 0; i < reply->n_batches; i++)
		for (size_t j = 0; j < reply->batches[i]->n_items; j++)
			n += count_lines(reply->batches[i]->items[j]->data);
	return n;
}

/* Each line of it by itself, but for so many that are skipped. */
static void
add_lines(Json *list, const Modal__Client__TaskLogsBatch *batch,
		  const Modal__Client__TaskLogs *item, size_t *skip)
{
	const char *input = item->input_id[0] != '\0' ? item->input_id
												  : batch->input_id;
	int64_t at = microseconds(item);
	size_t len;

	for (const char *p = item->data; *p != '\0'; p += len + (p[len] == '\n'))
	{
		Json *line;

		len = strcspn(p, "\n");
		if (*skip > 0)
		{
			(*skip)--;
			continue;
		}
		line = json_object_new_array();
		json_object_array_add(line, json_object_new_int64(at));
		json_object_array_add(line, clean_string(input, strlen(input)));
		json_object_array_add(line, json_object_new_int(item->file_descriptor));
		json_object_array_add(line, clean_string(p, len));
		json_object_array_add(list, line);
	}
}

Json *
logs_to_json(const Modal__Client__AppFetchLogsResponse *reply, size_t limit)
{
	Json *list = json_object_new_array();
	size_t n = count_all_lines(reply);
	size_t skip = n > limit ? n - limit : 0;

	for (size_t i = 0; i < reply->n_batches; i++)
		for (size_t j = 0; j < reply->batches[i]->n_items; j++)
			add_lines(list, reply->batches[i], reply->batches[i]->items[j],
					  &skip);
	return list;
}
