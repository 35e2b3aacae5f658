/*-------------------------------------------------------------------------
 *
 * large_result.c
 *	  Results that take long to be written; see large_result.h.
 *
 *-------------------------------------------------------------------------
 */
#include "calls/large_result.h"

#include <stdlib.h>
#include <string.h>

#include "calls/blobs.h"
#include "net/loop.h"
#include "options.h"
#include "util.h"

struct LargeResult
{
	ExecutionResult result; /* data is a copy */
	uint8_t *data;
	char blob_id[BLOB_ID_SIZE];
	BlobWrite *write;
	LoopTimer turn;
	void (*kept)(void *arg, const ExecutionResult *result);
	void *arg;
};

static bool
is_large(const Call *call, const ExecutionResult *result)
{
	return result->data_len > (size_t) (call->async ? options.max_async_inline
													: options.max_inline);
}

bool
large_result_store(const Call *call, const ExecutionResult *result,
				   char *blob_id)
{
	blob_id[0] = '\0';
	if (result->blob_id != NULL)
	{
		memcpy(blob_id, result->blob_id, BLOB_ID_SIZE);
		return true;
	}
	return !is_large(call, result) ||
		   blob_write(blob_id, result->data, result->data_len);
}

bool
large_result_is_slow(const Call *call, const ExecutionResult *result)
{
	return result->status == RESULT_SUCCESS && is_large(call, result) &&
		   result->data_len > LARGE_BLOB;
}

static void
write_some(void *arg)
{
	LargeResult *large = arg;
	BlobState state = blob_write_some(large->write);

	if (state == BLOB_GOES_ON)
		loop_set_timer(&large->turn, 0, write_some, large);
	else
		large->kept(large->arg, state == BLOB_WHOLE ? &large->result : NULL);
}

LargeResult *
large_result_keep(const ExecutionResult *result,
				  void (*kept)(void *arg, const ExecutionResult *result),
				  void *arg)
{
	LargeResult *large = xcalloc(sizeof(*large));

	large->data = xmalloc(result->data_len);
	memcpy(large->data, result->data, result->data_len);
	large->result = (ExecutionResult){
		.status = result->status,
		.format = result->format,
		.data = large->data,
		.data_len = result->data_len,
		.blob_id = large->blob_id,
	};
	large->kept = kept;
	large->arg = arg;
	large->write =
		blob_write_begin(large->blob_id, large->data, result->data_len);
	loop_set_timer(&large->turn, 0, write_some, large);
	return large;
}

void
large_result_free(LargeResult *large)
{
	if (large == NULL)
		return;
	loop_clear_timer(&large->turn);
	blob_write_free(large->write);
	free(large->data);
	free(large);
}
