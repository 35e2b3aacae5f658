/*-------------------------------------------------------------------------
 *
 * service_stats.c
 *	  How busy functions are and have been, and their autoscaler's settings.
 *
 *-------------------------------------------------------------------------
 */
#include <math.h>

#include "api/service.h"
#include "calls/history.h"

void
service_function_get_current_stats(Rpc *rpc)
{
	Modal__Client__FunctionGetCurrentStatsRequest *request = rpc_unpack(
		rpc, &modal__client__function_get_current_stats_request__descriptor);
	Modal__Client__FunctionStats reply = MODAL__CLIENT__FUNCTION_STATS__INIT;
	ExecutorStats stats = {0};
	Handle *handle;

	if (request == NULL)
		return;
	handle = service_find_function(rpc, request->function_id);
	if (handle == NULL)
		return;
	handle->function->executor->get_stats(handle->function->executor,
										  handle->function, &stats);
	reply.backlog = stats.backlog;
	reply.num_total_tasks = stats.tasks;
	reply.num_running_inputs = stats.running;
	reply.input_headroom = stats.headroom;
	rpc_reply_message(rpc, &reply.base);
}

/* --- ranges of time ------------------------------------------------------ */

#define MAX_POINTS 500 /* of a series, as the official service has it */
#define MAX_SECONDS (31 * 86400.0)

typedef Modal__Client__Timestamp Timestamp;

static Timestamp *
timestamp(Arena *arena, double seconds)
{
	Timestamp *time = arena_alloc(arena, sizeof(*time));

	modal__client__timestamp__init(time);
	time->seconds = (int64_t) seconds;
	time->nanos = (int32_t) ((seconds - floor(seconds)) * 1e9);
	return time;
}

typedef Modal__Client__FunctionGetTimeRangeStatsResponse RangeStats;
typedef Modal__Client__StatsPercentileDistribution Distribution;
typedef Modal__Client__FunctionGetTimeRangeStatsResponse__InputPercentileStatsEntry
	DistributionEntry;

static DistributionEntry *
describe_distribution(Arena *arena, char *name, double *values, size_t n)
{
	static const uint32_t points[] = {5000, 9000, 9500, 9900};
	DistributionEntry *entry = arena_alloc(arena, sizeof(*entry));
	Distribution *d = arena_alloc(arena, sizeof(*d));

	modal__client__function_get_time_range_stats_response__input_percentile_stats_entry__init(
		entry);
	modal__client__stats_percentile_distribution__init(d);
	d->unit = "seconds";
	d->percentiles = arena_alloc(arena, 4 * sizeof(*d->percentiles));
	for (size_t i = 0; n > 0 && i < 4; i++)
	{
		Modal__Client__StatsPercentile *p = arena_alloc(arena, sizeof(*p));

		modal__client__stats_percentile__init(p);
		p->percentile_basis_points = points[i];
		p->value = values[(n - 1) * points[i] / 10000];
		d->percentiles[d->n_percentiles++] = p;
	}
	entry->key = name;
	entry->value = d;
	return entry;
}

/* The handle itself and, with variants, those that were made of it. */
static void
add_range(const Handle *handle, bool variants, double since, double until,
		  HistoryRange *range)
{
	const Handle *root = handle;
	int place = 0;

	history_add_range(&handle->history, since, until, range);
	while (variants && (handle = registry_variant(root, &place)) != NULL)
		history_add_range(&handle->history, since, until, range);
}

void
service_function_get_time_range_stats(Rpc *rpc)
{
	Modal__Client__FunctionGetTimeRangeStatsRequest *request = rpc_unpack(
		rpc,
		&modal__client__function_get_time_range_stats_request__descriptor);
	RangeStats reply =
		MODAL__CLIENT__FUNCTION_GET_TIME_RANGE_STATS_RESPONSE__INIT;
	DistributionEntry *entries[2];
	ExecutorStats stats = {0};
	HistoryRange range = {0};
	const Handle *handle;
	double since;
	double until;

	if (request == NULL)
		return;
	handle = service_find_function(rpc, request->function_id);
	if (handle == NULL)
		return;
	until = service_seconds(request->until, loop_wall_time());
	since = service_seconds(request->since, until - 3600);
	if (!(since < until))
	{
		rpc_fail(rpc, GRPC_INVALID_ARGUMENT, "since must be before until");
		return;
	}
	add_range(handle, request->rollup, since, until, &range);
	history_sort(&range);
	handle->function->executor->get_stats(handle->function->executor,
										  handle->function, &stats);
	reply.since = timestamp(&rpc->arena, since);
	reply.until = timestamp(&rpc->arena, until);
	reply.input_success_count = range.succeeded;
	reply.input_failure_count = range.failed;
	reply.input_timeout_count = range.timed_out;
	reply.input_running_at_end_count = stats.running;
	reply.container_total_count = stats.tasks;
	entries[0] = describe_distribution(&rpc->arena, "execution_time",
									   range.execution, range.n_samples);
	entries[1] = describe_distribution(&rpc->arena, "end_to_end_latency",
									   range.latency, range.n_samples);
	reply.n_input_percentile_stats = 2;
	reply.input_percentile_stats = entries;
	rpc_reply_message(rpc, &reply.base);
}

static Modal__Client__FunctionMetricSeries *
describe_series(Arena *arena, char *name, char *description, size_t n)
{
	Modal__Client__FunctionMetricSeries *series =
		arena_alloc(arena, sizeof(*series));

	modal__client__function_metric_series__init(series);
	series->name = name;
	series->unit = "calls";
	series->description = description;
	series->n_points = n;
	series->points = arena_alloc(arena, (n + 1) * sizeof(*series->points));
	return series;
}

static Modal__Client__FunctionMetricPoint *
describe_point(Arena *arena, double at, uint64_t value)
{
	Modal__Client__FunctionMetricPoint *point =
		arena_alloc(arena, sizeof(*point));

	modal__client__function_metric_point__init(point);
	point->timestamp = timestamp(arena, at);
	point->value_opt_case =
		MODAL__CLIENT__FUNCTION_METRIC_POINT__VALUE_OPT_VALUE;
	point->value = (double) value;
	return point;
}

/* Group "calls" is what is known of them here. */
void
service_function_get_metrics(Rpc *rpc)
{
	Modal__Client__FunctionGetMetricsRequest *request = rpc_unpack(
		rpc, &modal__client__function_get_metrics_request__descriptor);
	Modal__Client__FunctionGetMetricsResponse reply =
		MODAL__CLIENT__FUNCTION_GET_METRICS_RESPONSE__INIT;
	Modal__Client__FunctionMetricSeries *series[3];
	const Handle *handle;
	double since;
	double until;
	double width;
	size_t n;

	if (request == NULL)
		return;
	handle = service_find_function(rpc, request->function_id);
	if (handle == NULL)
		return;
	until = service_seconds(request->until, loop_wall_time());
	since = service_seconds(request->since, until - 3600);
	width = request->bucket_secs_opt_case ==
					MODAL__CLIENT__FUNCTION_GET_METRICS_REQUEST__BUCKET_SECS_OPT_BUCKET_SECS &&
				request->bucket_secs >= HISTORY_SECONDS
				? request->bucket_secs
				: HISTORY_SECONDS * ceil((until - since) / 100 / HISTORY_SECONDS);
	if (!(since < until) || until - since > MAX_SECONDS ||
		(until - since) / width > MAX_POINTS)
	{
		rpc_fail(rpc, GRPC_INVALID_ARGUMENT,
				 "not a range of time of at most 31 days and %d points",
				 MAX_POINTS);
		return;
	}
	since = floor(since / width) * width;
	until = floor(until / width) * width;
	n = (size_t) ((until - since) / width);
	series[0] = describe_series(&rpc->arena, "successful_calls_count",
								"Inputs that succeeded", n);
	series[1] = describe_series(&rpc->arena, "failed_calls_count",
								"Inputs that failed", n);
	series[2] = describe_series(&rpc->arena, "timed_out_calls_count",
								"Inputs that took too long", n);
	for (size_t i = 0; i < n; i++)
	{
		double at = since + (double) i * width;
		HistoryRange range = {.counts_only = true};

		add_range(handle, request->rollup, at, at + width, &range);
		series[0]->points[i] = describe_point(&rpc->arena, at, range.succeeded);
		series[1]->points[i] = describe_point(&rpc->arena, at, range.failed);
		series[2]->points[i] = describe_point(&rpc->arena, at, range.timed_out);
	}
	reply.since = timestamp(&rpc->arena, since);
	reply.until = timestamp(&rpc->arena, until);
	reply.bucket_secs = (uint32_t) width;
	reply.n_series = 3;
	reply.series = series;
	rpc_reply_message(rpc, &reply.base);
}

/* --- autoscaler ---------------------------------------------------------- */

typedef Modal__Client__AutoscalerSettings Settings;

#define SET_CASE(field, FIELD) \
	((field##_opt_case) = \
		 MODAL__CLIENT__AUTOSCALER_SETTINGS__##FIELD##_OPT_##FIELD)
#define IS_SET(settings, field, FIELD) \
	((settings)->field##_opt_case == \
	 MODAL__CLIENT__AUTOSCALER_SETTINGS__##FIELD##_OPT_##FIELD)

static bool
has_server_settings(const Settings *s)
{
	return IS_SET(s, scaleup_window, SCALEUP_WINDOW) ||
		   IS_SET(s, target_concurrency, TARGET_CONCURRENCY) ||
		   IS_SET(s, scaledown_rate_limit, SCALEDOWN_RATE_LIMIT) ||
		   IS_SET(s, target_concurrency_float, TARGET_CONCURRENCY_FLOAT);
}

static void
merge_settings(Handle *handle, const Settings *s)
{
	if (IS_SET(s, min_containers, MIN_CONTAINERS))
		handle->min_containers = s->min_containers;
	if (IS_SET(s, max_containers, MAX_CONTAINERS))
		handle->max_containers = s->max_containers;
	if (IS_SET(s, buffer_containers, BUFFER_CONTAINERS))
		handle->buffer_containers = s->buffer_containers;
	if (IS_SET(s, scaledown_window, SCALEDOWN_WINDOW))
		handle->scaledown_window = s->scaledown_window;
}

static void
describe_settings(const Handle *handle, Settings *s)
{
	modal__client__autoscaler_settings__init(s);
	if (handle->min_containers != UNSET)
	{
		SET_CASE(s->min_containers, MIN_CONTAINERS);
		s->min_containers = (uint32_t) handle->min_containers;
	}
	if (handle->max_containers != UNSET)
	{
		SET_CASE(s->max_containers, MAX_CONTAINERS);
		s->max_containers = (uint32_t) handle->max_containers;
	}
	if (handle->buffer_containers != UNSET)
	{
		SET_CASE(s->buffer_containers, BUFFER_CONTAINERS);
		s->buffer_containers = (uint32_t) handle->buffer_containers;
	}
	if (handle->scaledown_window != UNSET)
	{
		SET_CASE(s->scaledown_window, SCALEDOWN_WINDOW);
		s->scaledown_window = (uint32_t) handle->scaledown_window;
	}
}

void
service_function_update_scheduling_params(Rpc *rpc)
{
	Modal__Client__FunctionUpdateSchedulingParamsRequest *request = rpc_unpack(
		rpc,
		&modal__client__function_update_scheduling_params_request__descriptor);
	Modal__Client__FunctionUpdateSchedulingParamsResponse reply =
		MODAL__CLIENT__FUNCTION_UPDATE_SCHEDULING_PARAMS_RESPONSE__INIT;
	Settings settings;
	Handle *handle;

	if (request == NULL)
		return;
	handle = service_find_function(rpc, request->function_id);
	if (handle == NULL)
		return;
	if (request->settings != NULL && has_server_settings(request->settings))
	{
		rpc_fail(rpc, GRPC_INVALID_ARGUMENT,
				 "Only Servers have such autoscaler settings");
		return;
	}
	if (request->settings != NULL)
		merge_settings(handle, request->settings);
	describe_settings(handle, &settings);
	reply.current_settings = &settings;
	rpc_reply_message(rpc, &reply.base);
}
