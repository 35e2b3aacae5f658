/*-------------------------------------------------------------------------
 *
 * service_logs.c
 *	  What functions have printed: as a stream, of a range of time, counted.
 *
 *-------------------------------------------------------------------------
 */
#include <math.h>
#include <stddef.h>
#include <stdio.h>

#include "api/polls.h"
#include "api/service.h"
#include "calls/logs.h"

#define MAX_STREAM_SECONDS 300.0
#define MAX_LINES 20000 /* in a reply, as the SDKs have it */
#define MAX_BATCH_BYTES (4 * 1024 * 1024)
#define MAX_BUCKETS 10000

typedef Modal__Client__TaskLogs TaskLogs;
typedef Modal__Client__TaskLogsBatch Batch;

/* What is asked for; empty texts ask for nothing in particular. */
typedef struct Filter
{
	const Call *call;	  /* NULL: of any */
	const Handle *handle; /* NULL: of any */
	const char *app_id;
	const char *input_id;
	const char *text;
	int stream;	  /* 0: both */
	double since; /* Unix seconds */
	double until;
} Filter;

static bool
line_contains(const LogLine *line, const char *text)
{
	size_t len = strlen(text);

	return len == 0 || memmem(line->text, line->len, text, len) != NULL;
}

static bool
matches(const Filter *filter, const LogLine *line)
{
	const Handle *handle = line->call->handle;

	if ((filter->stream != 0 && line->stream != filter->stream) ||
		line->at < filter->since || line->at >= filter->until ||
		!line_contains(line, filter->text))
		return false;
	if (filter->input_id[0] != '\0')
	{
		char id[INPUT_ID_SIZE];

		input_id_format(id, line->call->number, line->idx);
		if (strcmp(id, filter->input_id) != 0)
			return false;
	}
	if (filter->call != NULL)
		return true;
	if (filter->handle != NULL)
		return handle == filter->handle || handle->base == filter->handle;
	if (filter->app_id[0] != '\0')
	{
		char id[FUNCTION_ID_SIZE];

		registry_name_id(id, "ap", handle->function->app);
		return strcmp(id, filter->app_id) == 0;
	}
	return true;
}

/* By the ids in a request; false: there is no such call, and it is answered. */
static bool
set_objects(Rpc *rpc, Filter *filter, const char *call_id,
			const char *function_id)
{
	if (call_id[0] != '\0')
	{
		filter->call = service_find_call(rpc, call_id);
		return filter->call != NULL;
	}
	if (function_id[0] != '\0')
	{
		filter->handle = service_find_function(rpc, function_id);
		return filter->handle != NULL;
	}
	return true;
}

/* --- lines as messages --------------------------------------------------- */

static TaskLogs *
describe_line(Arena *arena, const LogLine *line)
{
	TaskLogs *message = arena_alloc(arena, sizeof(*message));
	char *call_id = arena_alloc(arena, CALL_ID_SIZE);
	char *input_id = arena_alloc(arena, INPUT_ID_SIZE);

	modal__client__task_logs__init(message);
	call_id_format(call_id, line->call->number);
	input_id_format(input_id, line->call->number, line->idx);
	message->data = arena_strndup(arena, line->text, line->len);
	message->timestamp = line->at;
	message->timestamp_ns = (uint64_t) (line->at * 1e6) * 1000;
	message->file_descriptor = (Modal__Client__FileDescriptor) line->stream;
	message->function_call_id = call_id;
	message->input_id = input_id;
	return message;
}

static Batch *
make_batch(Arena *arena, size_t max)
{
	Batch *batch = arena_alloc(arena, sizeof(*batch));

	modal__client__task_logs_batch__init(batch);
	batch->task_id = "ta-local";
	batch->items = arena_alloc(arena, (max + 1) * sizeof(TaskLogs *));
	return batch;
}

/* --- the stream ---------------------------------------------------------- */

typedef struct Stream
{
	Rpc *rpc;
	Filter filter;
	uint64_t call; /* number of the filter's, which is held by nobody */
	uint64_t last; /* number of the last line that has been looked at */
	LogWatcher watcher;
	LoopTimer timer;
} Stream;

static void
stream_leave(Stream *stream)
{
	logs_unwatch(&stream->watcher);
	loop_clear_timer(&stream->timer);
}

static void
stream_abandoned(Rpc *rpc)
{
	stream_leave(rpc->state);
}

static void
stream_over(void *arg)
{
	Stream *stream = arg;

	stream_leave(stream);
	rpc_stream_end(stream->rpc, GRPC_OK);
}

static void send_more(Rpc *rpc);

static void
send_lines(Stream *stream)
{
	const Filter *filter = &stream->filter;
	const LogLine *line;
	Arena arena = {0};
	char entry[24];

	if (filter->call != NULL && call_look(stream->call) == NULL)
	{
		stream_over(stream);
		return;
	}
	line = logs_after(filter->call, stream->last);
	while (line != NULL && !rpc_stream_full(stream->rpc, send_more))
	{
		Batch *batch = make_batch(&arena, MAX_LINES);
		size_t bytes = 0;

		for (; line != NULL && batch->n_items < MAX_LINES &&
			   bytes < MAX_BATCH_BYTES;
			 line = logs_next(filter->call, line))
		{
			stream->last = line->number;
			if (!matches(filter, line))
				continue;
			batch->items[batch->n_items++] = describe_line(&arena, line);
			bytes += line->len;
		}
		snprintf(entry, sizeof(entry), "%llu-0",
				 (unsigned long long) stream->last);
		batch->entry_id = entry;
		if (batch->n_items > 0)
			rpc_stream_send(stream->rpc, &batch->base);
		arena_free(&arena);
		arena = (Arena){0};
	}
}

static void
send_more(Rpc *rpc)
{
	send_lines(rpc->state);
}

static void
stream_woken(LogWatcher *watcher)
{
	send_lines((Stream *) ((char *) watcher - offsetof(Stream, watcher)));
}

void
service_app_get_logs(Rpc *rpc)
{
	Modal__Client__AppGetLogsRequest *request =
		rpc_unpack(rpc, &modal__client__app_get_logs_request__descriptor);
	Stream *stream;
	double seconds;

	if (request == NULL)
		return;
	stream = arena_alloc(&rpc->arena, sizeof(*stream));
	*stream = (Stream){.rpc = rpc,
					   .watcher.wake = stream_woken,
					   .filter = {.app_id = request->app_id,
								  .input_id = request->input_id,
								  .text = request->search_text,
								  .stream = request->file_descriptor,
								  .until = INFINITY}};
	if (!set_objects(rpc, &stream->filter, request->function_call_id,
					 request->function_id))
		return;
	if (!poll_parse_cursor(request->last_entry_id,
						   strlen(request->last_entry_id), &stream->last))
	{
		rpc_fail(rpc, GRPC_INVALID_ARGUMENT, "last_entry_id is not one of ours");
		return;
	}
	seconds = isfinite(request->timeout) && request->timeout > 0
				  ? request->timeout
				  : 0;
	if (stream->filter.call != NULL)
		stream->call = stream->filter.call->number;
	rpc_stream_begin(rpc);
	rpc->state = stream;
	rpc->abandoned = stream_abandoned;
	logs_watch(&stream->watcher);
	loop_set_timer(&stream->timer,
				   seconds < MAX_STREAM_SECONDS ? seconds : MAX_STREAM_SECONDS,
				   stream_over, stream);
	send_lines(stream);
}

/* --- ranges of time ------------------------------------------------------ */

/* The newest lines, at most limit of them, in their order. */
void
service_app_fetch_logs(Rpc *rpc)
{
	Modal__Client__AppFetchLogsRequest *request =
		rpc_unpack(rpc, &modal__client__app_fetch_logs_request__descriptor);
	Modal__Client__AppFetchLogsResponse reply =
		MODAL__CLIENT__APP_FETCH_LOGS_RESPONSE__INIT;
	Filter filter;
	Batch *batch;
	size_t n = 0;
	size_t limit;

	if (request == NULL)
		return;
	filter = (Filter){.app_id = request->app_id,
					  .input_id = "",
					  .text = request->search_text,
					  .stream = request->source,
					  .since = service_seconds(request->since, 0),
					  .until = service_seconds(request->until, INFINITY)};
	if (!set_objects(rpc, &filter, request->function_call_id,
					 request->function_id))
		return;
	limit = request->limit > 0 && request->limit < MAX_LINES ? request->limit
															 : MAX_LINES;
	for (const LogLine *line = logs_after(filter.call, 0); line != NULL;
		 line = logs_next(filter.call, line))
		n += matches(&filter, line);
	batch = make_batch(&rpc->arena, limit);
	for (const LogLine *line = logs_after(filter.call, 0); line != NULL;
		 line = logs_next(filter.call, line))
		if (matches(&filter, line) && n-- <= limit)
			batch->items[batch->n_items++] = describe_line(&rpc->arena, line);
	reply.n_batches = batch->n_items > 0;
	reply.batches = &batch;
	rpc_reply_message(rpc, &reply.base);
}

void
service_app_count_logs(Rpc *rpc)
{
	Modal__Client__AppCountLogsRequest *request =
		rpc_unpack(rpc, &modal__client__app_count_logs_request__descriptor);
	Modal__Client__AppCountLogsResponse reply =
		MODAL__CLIENT__APP_COUNT_LOGS_RESPONSE__INIT;
	Modal__Client__AppCountLogsResponse__LogBucket *buckets;
	Modal__Client__Timestamp *starts;
	Filter filter;
	double first;
	double width;
	size_t n;

	if (request == NULL)
		return;
	width = request->bucket_secs > 0 ? request->bucket_secs : 60;
	filter = (Filter){.app_id = request->app_id,
					  .input_id = "",
					  .text = request->search_text,
					  .stream = request->source,
					  .since = service_seconds(request->since, 0),
					  .until = service_seconds(request->until, loop_wall_time())};
	if (!set_objects(rpc, &filter, request->function_call_id,
					 request->function_id))
		return;
	first = floor(filter.since / width) * width;
	if (!(filter.until > first) || (filter.until - first) / width > MAX_BUCKETS)
	{
		rpc_fail(rpc, GRPC_INVALID_ARGUMENT, "not a range of time of at most %d "
				 "buckets", MAX_BUCKETS);
		return;
	}
	n = (size_t) ceil((filter.until - first) / width);
	buckets = arena_alloc(&rpc->arena, n * sizeof(*buckets));
	starts = arena_alloc(&rpc->arena, n * sizeof(*starts));
	reply.n_buckets = n;
	reply.buckets = arena_alloc(&rpc->arena, n * sizeof(*reply.buckets));
	for (size_t i = 0; i < n; i++)
	{
		modal__client__app_count_logs_response__log_bucket__init(&buckets[i]);
		modal__client__timestamp__init(&starts[i]);
		starts[i].seconds = (int64_t) (first + (double) i * width);
		buckets[i].bucket_start_at = &starts[i];
		reply.buckets[i] = &buckets[i];
	}
	for (const LogLine *line = logs_after(filter.call, 0); line != NULL;
		 line = logs_next(filter.call, line))
		if (matches(&filter, line))
		{
			size_t at = (size_t) ((line->at - first) / width);

			*(line->stream == 2 ? &buckets[at].stderr_logs
								: &buckets[at].stdout_logs) += 1;
		}
	reply.app_id = request->app_id;
	rpc_reply_message(rpc, &reply.base);
}
