/*-------------------------------------------------------------------------
 *
 * output.c
 *	  Outputs as they are kept and sent: FunctionGetOutputsItems.
 *
 * See modal.proto for the numbers of fields.
 *
 *-------------------------------------------------------------------------
 */
#include "calls/output.h"

#include "net/loop.h"
#include "pb.h"

#define MAX_TEXT (2 * 1024 * 1024) /* of an exception or a traceback */
#define TASK_ID "ta-local"

static size_t
text_len(size_t len)
{
	return len < MAX_TEXT ? len : MAX_TEXT;
}

void
output_encode(Buf *out, const Call *call, int32_t idx, uint32_t attempt,
			  double started_at, const ExecutionResult *result,
			  const char *blob_id)
{
	size_t exception_len = text_len(result->exception_len);
	size_t traceback_len = text_len(result->traceback_len);
	size_t frames_len = result->frames_len; /* not to be cut: a pickle */
	size_t lines_len = result->lines_len;
	char input_id[INPUT_ID_SIZE];
	size_t input_id_len = input_id_format(input_id, call->number, idx);
	bool has_data = result->status == RESULT_SUCCESS || result->data_len > 0;
	size_t inner = 2;
	uint8_t *p;

	if (frames_len > MAX_TEXT || lines_len > MAX_TEXT)
		frames_len = 0;
	if (exception_len > 0)
		inner += pb_bytes_size(exception_len);
	if (traceback_len > 0)
		inner += pb_bytes_size(traceback_len);
	if (frames_len > 0)
		inner += pb_bytes_size(frames_len) + pb_bytes_size(lines_len);
	if (blob_id[0] != '\0')
		inner += pb_bytes_size(strlen(blob_id));
	else if (has_data)
		inner += pb_bytes_size(result->data_len);

	/* The fixed part: idx, format, two times and the attempt. */
	if (!buf_reserve(out, pb_bytes_size(inner) + pb_bytes_size(input_id_len) +
							  pb_bytes_size(strlen(TASK_ID)) +
							  3 * (1 + PB_MAX_VARINT) + 2 * (1 + 8)))
		return;
	p = out->data + out->len;
	p = pb_put_key(p, 1, PB_BYTES);
	p = pb_put_varint(p, inner);
	p = pb_put_uint(p, 1, result->status);
	if (exception_len > 0)
		p = pb_put_bytes(p, 2, result->exception, exception_len);
	if (traceback_len > 0)
		p = pb_put_bytes(p, 4, result->traceback, traceback_len);
	if (blob_id[0] != '\0')
		p = pb_put_bytes(p, 10, blob_id, strlen(blob_id));
	else if (has_data)
		p = pb_put_bytes(p, 5, result->data, result->data_len);
	if (frames_len > 0)
	{
		p = pb_put_bytes(p, 11, result->frames, frames_len);
		p = pb_put_bytes(p, 12, result->lines, lines_len);
	}
	if (idx != 0)
		p = pb_put_uint(p, 2, (uint32_t) idx);
	p = pb_put_bytes(p, 3, input_id, input_id_len);
	if (result->format != FORMAT_UNSPECIFIED)
		p = pb_put_uint(p, 5, result->format);
	p = pb_put_bytes(p, 6, TASK_ID, strlen(TASK_ID));
	p = pb_put_double(p, 7, started_at);
	p = pb_put_double(p, 8, loop_wall_time());
	if (attempt != 0)
		p = pb_put_uint(p, 9, attempt);
	out->len = (size_t) (p - out->data);
}
