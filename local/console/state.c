/*-------------------------------------------------------------------------
 *
 * state.c
 *	  What the console shows, as JSON: functions, calls, files, faults.
 *
 * Single calls and their inputs are in state_call.c.
 *
 *-------------------------------------------------------------------------
 */
#include "console/state.h"

#include <stdio.h>
#include <unistd.h>

#include "calls/calls.h"
#include "calls/faults.h"
#include "calls/registry.h"
#include "console/json.h"
#include "console/state_call.h"
#include "host/host.h"
#include "util.h"

#define MAX_NEWEST 60
#define MAX_ACTIVE 40

/* --- functions ----------------------------------------------------------- */

static json_object *
describe_parameter(const Parameter *parameter)
{
	json_object *to = json_object_new_object();

	put_text(to, "name", parameter->name);
	put_text(to, "type", parameter_type_name(parameter->type));
	put_bool(to, "optional", parameter->has_default);
	return to;
}

static json_object *
describe_method(const Method *method)
{
	json_object *to = json_object_new_object();

	put_text(to, "name", method->name);
	put_text(to, "signature", method->signature);
	return to;
}

static void
add_function(const Handle *handle, void *arg)
{
	const Function *function = handle->function;
	json_object *to = json_object_new_object();
	json_object *methods = json_object_new_array();
	json_object *parameters = json_object_new_array();

	put_text(to, "id", handle->id);
	put_text(to, "app", function->app);
	put_text(to, "name", function->name);
	put_text(to, "signature", function->signature);
	put_text(to, "doc", function->doc);
	put_text(to, "ignored", function->ignored);
	put_text(to, "url", function->web_url);
	put_bool(to, "class", function->is_class);
	put_bool(to, "generator", function->generator);
	for (int i = 0; i < function->n_methods; i++)
		json_object_array_add(methods, describe_method(&function->methods[i]));
	for (int i = 0; i < function->n_parameters; i++)
		json_object_array_add(parameters,
							  describe_parameter(&function->parameters[i]));
	json_object_object_add(to, "methods", methods);
	json_object_object_add(to, "parameters", parameters);
	json_object_array_add(arg, to);
}

/* Of those that have been called. */
static void
add_activity(const Handle *handle, void *arg)
{
	const Activity *activity = handle->activity;
	json_object *to;

	if (activity->n_calls == 0)
		return;
	to = json_object_new_object();
	put_int(to, "unfinished", activity->unfinished);
	put_int(to, "running", activity->running);
	put_int(to, "calls", (int64_t) activity->n_calls);
	put_int(to, "ended", (int64_t) activity->n_ended);
	put_int(to, "failed", (int64_t) activity->n_failed);
	put_double(to, "seconds", activity->seconds);
	json_object_object_add(arg, handle->id, to);
}

/* --- processes ----------------------------------------------------------- */

typedef struct Files
{
	json_object *list;
	json_object *workers; /* of the last of them */
} Files;

static void
add_file(const HostFileInfo *file, void *arg)
{
	Files *files = arg;
	json_object *to = json_object_new_object();

	put_text(to, "path", file->path);
	put_text(to, "error", file->error);
	put_bool(to, "importing", file->importing);
	put_double(to, "imported", file->imported);
	put_int(to, "imports", file->n_imports);
	put_int(to, "crashes", file->n_crashes);
	files->workers = json_object_new_array();
	json_object_object_add(to, "workers", files->workers);
	json_object_array_add(files->list, to);
}

/* In kB; 0: not known. */
static int64_t
memory_of(pid_t pid)
{
	char path[64];
	long pages = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/statm", (int) pid);
	file = fopen(path, "re");
	if (file == NULL)
		return 0;
	if (fscanf(file, "%*d %ld", &pages) != 1)
		pages = 0;
	fclose(file);
	return (int64_t) pages * (sysconf(_SC_PAGESIZE) / 1024);
}

static void
add_worker(const WorkerInfo *worker, bool current, void *arg)
{
	Files *files = arg;
	json_object *to = json_object_new_object();

	put_int(to, "pid", worker->pid);
	put_bool(to, "ready", worker->ready);
	put_bool(to, "current", current);
	put_double(to, "since", worker->since);
	put_int(to, "starts", worker->n_starts);
	put_int(to, "ended", (int64_t) worker->n_ended);
	put_int(to, "running", worker->running);
	put_int(to, "ahead", worker->ahead);
	put_int(to, "memory", memory_of(worker->pid));
	json_object_array_add(files->workers, to);
}

/* --- all of it ----------------------------------------------------------- */

static json_object *
describe_faults(void)
{
	json_object *list = json_object_new_array();

	for (int i = 0; i < faults_count(); i++)
	{
		FaultRule rule = faults_rule(i);
		json_object *to = json_object_new_object();

		put_text(to, "text", rule.text);
		put_bool(to, "on", !rule.off);
		put_int(to, "seen", rule.seen);
		put_int(to, "fired", rule.fired);
		json_object_array_add(list, to);
	}
	return list;
}

/* Those that have been at work for longest, and then the newest. */
static json_object *
describe_calls(void)
{
	json_object *list = json_object_new_array();
	const Call *call = calls_active();
	int n = 0;

	for (; call != NULL && n < MAX_ACTIVE; call = call->active_next, n++)
		json_object_array_add(list, state_call_summary(call));
	call = calls_newest();
	for (n = 0; call != NULL && n < MAX_NEWEST; call = call->older, n++)
		if (call->n_unfinished == 0)
			json_object_array_add(list, state_call_summary(call));
	return list;
}

json_object *
state_overview(bool functions)
{
	json_object *to = json_object_new_object();
	json_object *activity = json_object_new_object();
	Files files = {.list = json_object_new_array()};

	put_double(to, "now", loop_wall_time());
	if (functions)
	{
		json_object *list = json_object_new_array();

		registry_for_each(add_function, list);
		json_object_object_add(to, "functions", list);
	}
	registry_for_each(add_activity, activity);
	json_object_object_add(to, "activity", activity);
	json_object_object_add(to, "calls", describe_calls());
	host_visit(add_file, add_worker, &files);
	json_object_object_add(to, "files", files.list);
	json_object_object_add(to, "faults", describe_faults());
	return to;
}
