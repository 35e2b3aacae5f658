/*-------------------------------------------------------------------------
 *
 * host.c
 *	  The executor that serves the functions of the user's Python files.
 *
 * One pool of processes per file, or rather per version of it: a file that is
 * changed is imported by processes of its own, which take over once that has
 * gone well.  An input whose process dies is a FAILURE
 * of that input: the real service gives the work of a crashed container to
 * another one, for ever, which is no help to somebody who wants to see why a
 * function crashes.
 *
 *-------------------------------------------------------------------------
 */
#include "host/host.h"

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "calls/exec.h"
#include "host/host_manifest.h"
#include "host/host_watch.h"
#include "util.h"

/* Processes with certain variables in their environment. */
typedef struct Variant
{
	struct Variant *next;
	char *const *environment; /* NULL: none beyond ours */
	Pool *pool;
} Variant;

typedef struct File File;

/* A file as it was at a time. */
typedef struct Version
{
	struct Version *next; /* of those that are replaced */
	File *file;
	int text;			   /* a descriptor of that */
	Variant *variants;	   /* the first one is without variables */
	const char *json;	   /* its manifest; NULL: not imported yet */
	json_object *manifest; /* the same */
} Version;

struct File
{
	HostSpawn spawn; /* path, label, interpreter, concurrency */
	int workers;
	Version *current; /* NULL: none has been imported yet */
	Version *coming;  /* being imported; NULL: none */
	Version *past;	  /* replaced; their inputs go on */
	json_object *manifests; /* of all versions: the names in them are in use */
	bool overtaken;	  /* modules have changed while it was imported last */
	bool again;		  /* which is why it is imported now */
	bool failed;	  /* the newest could not be imported, or not served whole */
	char *error;	  /* why it could not be imported */
	double imported;  /* Unix time */
	uint32_t n_imports;
	uint32_t n_crashes;
	Executor executor;
	HostWatch watch;
	LoopDeferred tidy;
};

typedef struct Input
{
	PoolInput pool; /* first: the pool knows only this */
	Pool *home;
	Version *version;
	Execution *execution; /* NULL: cancelled, nobody wants the answer */
} Input;

static const HostOptions *options;
static File *files;
static bool starting; /* host_init waits for the files */

/* --------------------------------------------------------------- versions */

static void
free_version(Version *version)
{
	for (Variant *v = version->variants, *next; v != NULL; v = next)
	{
		next = v->next;
		pool_destroy(v->pool);
		free(v);
	}
	close(version->text);
	free(version);
}

static bool
version_idle(const Version *version)
{
	for (const Variant *v = version->variants; v != NULL; v = v->next)
		if (!pool_idle(v->pool))
			return false;
	return true;
}

/* Forget past versions that have no input any more. */
static void
tidy(void *arg)
{
	File *file = arg;
	Version **link = &file->past;

	while (*link != NULL)
	{
		Version *version = *link;

		if (!version_idle(version))
		{
			link = &version->next;
			continue;
		}
		*link = version->next;
		free_version(version);
	}
}

static void
retire(Version *version)
{
	File *file = version->file;

	version->next = file->past;
	file->past = version;
	loop_defer(&file->tidy, tidy, file);
}

/* One that was coming has been imported, or (json NULL) cannot be. */
static void
take_manifest(void *arg, const char *json)
{
	Version *version = arg;
	File *file = version->file;

	if (starting)
		loop_stop(); /* await_file waits for us */
	if (version != file->coming || (json == NULL && starting))
		return;
	file->coming = NULL;
	file->failed = json == NULL;
	free(file->error);
	file->error = NULL;
	executor_changed();
	if (json == NULL)
	{
		file->error = xstrdup(pool_error(version->variants->pool));
		complain("%s stays as it was:\n%s", file->spawn.file, file->error);
		retire(version);
		return;
	}
	file->imported = loop_wall_time();
	file->n_imports++;
	version->json = json;
	version->manifest = json_tokener_parse(json);
	if (file->manifests == NULL)
		file->manifests = json_object_new_array();
	json_object_array_add(file->manifests, version->manifest);
	if (file->current != NULL)
		retire(file->current);
	file->current = version;
	file->failed = !manifest_announce(version->manifest, &file->executor,
									  file->spawn.file, options->web_url);
	if (!starting)
		options->reloaded(file->spawn.file, &file->executor);
}

/* --------------------------------------------------------- what happens */

static void
finish(PoolInput *pool_input, const ExecutionResult *result)
{
	Input *input = (Input *) pool_input;
	Execution *execution = input->execution;
	File *file = input->version->file;

	if (input->version != file->current)
		loop_defer(&file->tidy, tidy, file);
	free(input);
	if (execution != NULL)
		execution_done(execution, result);
}

/* What the platform, not the function, has to say about an input. */
static void
finish_by_platform(PoolInput *input, ResultStatus status, const char *exception)
{
	ExecutionResult result = {
		.status = status,
		.format = FORMAT_UNSPECIFIED,
		.exception = exception,
		.exception_len = strlen(exception),
	};

	finish(input, &result);
}

static void
input_started(PoolInput *pool_input)
{
	execution_started(((Input *) pool_input)->execution);
}

static void
input_returned(PoolInput *pool_input)
{
	execution_returned(((Input *) pool_input)->execution);
}

static void
input_yields(PoolInput *pool_input, const HostReply *item)
{
	execution_yield(((Input *) pool_input)->execution, item->data, item->len);
}

static void
input_prints(PoolInput *pool_input, int stream, const HostReply *text)
{
	execution_printed(((Input *) pool_input)->execution, stream, text->data,
					  text->len);
}

/* Cut a text with its length in front off the data; false if there is none. */
static bool
cut_text(const uint8_t **data, size_t *len, const char **text, size_t *text_len)
{
	const uint8_t *p = *data;

	if (*len < 4)
		return false;
	*text_len = p[0] | p[1] << 8 | p[2] << 16 | (size_t) p[3] << 24;
	if (*text_len > *len - 4)
		return false;
	*text = (const char *) p + 4;
	*data += 4 + *text_len;
	*len -= 4 + *text_len;
	return true;
}

static void
input_done(PoolInput *input, const HostReply *reply)
{
	ExecutionResult result = {
		.status = RESULT_SUCCESS,
		.format = (DataFormat) reply->format,
		.data = reply->data,
		.data_len = reply->len,
	};
	const uint8_t *data = reply->data;
	size_t len = reply->len;

	switch (reply->type)
	{
		case HOST_REPLY_DONE:
			result.data = NULL;
			result.data_len = 0;
			break;
		case HOST_REPLY_CANCELLED:
			result.status = RESULT_TERMINATED;
			result.format = FORMAT_UNSPECIFIED;
			break;
		case HOST_REPLY_FAILURE:
			if (!cut_text(&data, &len, &result.exception,
						  &result.exception_len) ||
				!cut_text(&data, &len, &result.traceback,
						  &result.traceback_len) ||
				!cut_text(&data, &len, (const char **) &result.frames,
						  &result.frames_len) ||
				!cut_text(&data, &len, (const char **) &result.lines,
						  &result.lines_len))
			{
				finish_by_platform(input, RESULT_INTERNAL_FAILURE,
								   "InternalFailure('malformed failure')");
				return;
			}
			result.status = RESULT_FAILURE;
			result.data = len > 0 ? data : NULL;
			result.data_len = len;
			break;
		default:
			break;
	}
	finish(input, &result);
}

static void
input_crashed(PoolInput *input, const char *how)
{
	char text[256];

	((Input *) input)->version->file->n_crashes++;
	snprintf(text, sizeof(text),
			 "ExecutionError('the process that ran the function %s')", how);
	finish_by_platform(input, RESULT_FAILURE, text);
}

static void
input_unstartable(PoolInput *input, const char *why)
{
	finish_by_platform(input, RESULT_INIT_FAILURE, why);
}

static const PoolEvents events = {
	.manifest = take_manifest,
	.started = input_started,
	.returned = input_returned,
	.yield = input_yields,
	.printed = input_prints,
	.done = input_done,
	.crashed = input_crashed,
	.unstartable = input_unstartable,
};

/* ---------------------------------------------------------- the executor */

static File *
file_of(Executor *executor)
{
	return (File *) ((char *) executor - offsetof(File, executor));
}

/* The processes that have these variables; started when there is work. */
static Variant *
get_variant(Version *version, char *const *environment)
{
	Variant **link = &version->variants;
	HostSpawn spawn = version->file->spawn;
	Variant *variant;

	while (*link != NULL && (*link)->environment != environment)
		link = &(*link)->next;
	if (*link != NULL)
		return *link;

	spawn.environment = environment;
	spawn.text = version->text;
	variant = xcalloc(sizeof(Variant));
	variant->environment = environment;
	variant->pool = pool_create(&spawn, version->file->workers, version->json,
								&events, version);
	*link = variant;
	return variant;
}

static void
host_start(Executor *executor, Execution *execution)
{
	Input *input = xcalloc(sizeof(Input));
	const Function *function = execution->function;
	const Method *method = execution->method;

	input->version = file_of(executor)->current;
	input->home = get_variant(input->version, execution->environment)->pool;
	input->execution = execution;
	input->pool.group = function;
	input->pool.batch = method != NULL ? method->batch : function->batch;
	input->pool.batch_wait =
		method != NULL ? method->batch_wait : function->batch_wait;
	input->pool.call = (HostCall){
		.target = execution->target,
		.format = execution->format,
		.parameters = execution->params,
		.parameters_len = execution->params_len,
		.arguments = execution->args,
		.arguments_len = execution->args_len,
	};
	execution->executor_data = input;
	pool_submit(input->home, &input->pool);
}

static void
host_cancel(Executor *executor, Execution *execution, bool terminate)
{
	Input *input = execution->executor_data;

	(void) executor;
	input->execution = NULL;
	pool_cancel(input->home, &input->pool, terminate);
}

static void
host_get_stats(Executor *executor, const Function *function,
			   ExecutorStats *stats)
{
	int ready = 0;
	int running = 0;
	int waiting = 0;
	int headroom = 0;

	for (const Variant *v = file_of(executor)->current->variants; v != NULL;
		 v = v->next)
		pool_counts(v->pool, function, &ready, &running, &waiting, &headroom);
	stats->tasks = ready;
	stats->running = running;
	stats->backlog = waiting;
	stats->headroom = headroom;
}

static void
host_shutdown(Executor *executor)
{
	File *file = file_of(executor);
	Version *next;

	loop_cancel_deferred(&file->tidy);
	watch_stop(&file->watch);
	if (file->coming != NULL)
		retire(file->coming);
	if (file->current != NULL)
		retire(file->current);
	loop_cancel_deferred(&file->tidy);
	for (Version *version = file->past; version != NULL; version = next)
	{
		next = version->next;
		free_version(version);
	}
}

/* --------------------------------------------------------------- starting */

/* Whether the interpreter exists and has the module that the host needs. */
static bool
python_works(const char *python)
{
	int status = -1;
	pid_t pid = fork();

	if (pid == 0)
	{
		execlp(
			python, python, "-c",
			"import sys\n"
			"sys.path[:] = [p for p in sys.path if p]\n" /* not this folder */
			"import importlib.util as u\n"
			"sys.exit(sys.version_info < (3, 9) or not u.find_spec('cbor2'))",
			(char *) NULL);
		_exit(127);
	}
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return pid > 0 && status == 0;
}

static const char *
find_python(const char *wanted)
{
	static const char *const candidates[] = {"python3", "/usr/bin/python3"};

	if (wanted != NULL)
		return python_works(wanted) ? wanted : NULL;
	for (int i = 0; i < 2; i++)
	{
		if (python_works(candidates[i]))
			return candidates[i];
	}
	return NULL;
}

/* What is in the file now, in a descriptor of its own; -1 with errno set. */
static int
copy_file(const char *path)
{
	int from = open(path, O_RDONLY | O_CLOEXEC);
	int to = memfd_create("text", MFD_CLOEXEC);
	char data[16384];
	ssize_t n = -1;

	while (from >= 0 && to >= 0 && (n = read(from, data, sizeof(data))) > 0)
		if (write(to, data, (size_t) n) != n)
			break;
	if (n != 0)
	{
		int error = errno;

		if (to >= 0)
			close(to);
		to = -1;
		errno = error;
	}
	if (from >= 0)
		close(from);
	return to;
}

static char *
label_of(const char *path)
{
	const char *slash = strrchr(path, '/');
	char *label = xstrdup(slash != NULL ? slash + 1 : path);
	char *dot = strrchr(label, '.');

	if (dot != NULL && dot != label)
		*dot = '\0';
	return label;
}

/* Begin to import the file as it is now; false with errno set. */
static bool
import_file(File *file)
{
	int text = copy_file(file->spawn.file);

	if (text < 0)
		return false;
	file->again = file->overtaken;
	file->overtaken = false;
	if (file->coming != NULL)
		retire(file->coming);
	file->coming = xcalloc(sizeof(Version));
	file->coming->file = file;
	file->coming->text = text;
	pool_start(get_variant(file->coming, NULL)->pool);
	executor_changed();
	return true;
}

static bool
is_module(const char *name)
{
	const char *dot = strrchr(name, '.');

	return dot != NULL && strcmp(dot, ".py") == 0;
}

/*
 * A file of the folder has changed.  Which modules there are is not known while
 * the file is imported, or could not be; other files may be its own doing.  So
 * may modules be that it writes: it is not imported for those over and over.
 */
static bool
is_concerned(void *arg, const char *name)
{
	File *file = arg;

	if (!((file->failed || file->coming != NULL) && is_module(name)) &&
		(file->current == NULL ||
		 !manifest_has_file(file->current->manifest, name)))
		return false;
	if (file->coming == NULL)
		return true;
	if (file->again)
		return false;
	file->overtaken = true;
	return true;
}

static void
file_changed(void *arg)
{
	File *file = arg;

	if (!import_file(file) && errno != ENOENT)
		complain("%s: %s", file->spawn.file, strerror(errno));
}

static bool
start_file(File *file, const char *path, const char *python)
{
	file->spawn.python = python;
	file->spawn.file = path;
	file->spawn.label = label_of(path);
	file->spawn.concurrency = options->concurrency;
	file->workers = options->workers;
	file->executor.start = host_start;
	file->executor.cancel = host_cancel;
	file->executor.get_stats = host_get_stats;
	file->executor.shutdown = host_shutdown;
	file->watch = (HostWatch){.path = path,
							  .is_concerned = is_concerned,
							  .changed = file_changed,
							  .arg = file};
	watch_start(&file->watch);
	if (!import_file(file))
	{
		complain("%s: %s", path, strerror(errno));
		return false;
	}
	executor_register(&file->executor);
	return true;
}

/* Run the loop until the file has been imported; false if it cannot be. */
static bool
await_file(File *file)
{
	while (file->coming != NULL)
	{
		const char *error = pool_error(file->coming->variants->pool);

		if (error != NULL)
		{
			complain("cannot serve %s:\n%s", file->spawn.file, error);
			return false;
		}
		loop_run();
	}
	return !file->failed;
}

bool
host_init(const HostOptions *host_options)
{
	const char *python;

	options = host_options;
	if (options->n_files == 0)
		return true;
	python = find_python(options->python);
	if (python == NULL)
	{
		if (options->python != NULL)
			complain("%s is not a Python 3.9 or later with the module cbor2",
					 options->python);
		else
			complain("there is no Python 3.9 or later with the module cbor2; "
					 "install python3-cbor2");
		return false;
	}
	starting = true;
	files = xcalloc(options->n_files * sizeof(File));
	for (int i = 0; i < options->n_files; i++)
	{
		if (!start_file(&files[i], options->files[i], python))
			return false;
	}
	for (int i = 0; i < options->n_files; i++)
	{
		if (!await_file(&files[i]))
			return false;
	}
	starting = false;
	return true;
}

/* ----------------------------------------------------------------- to see */

typedef struct Visit
{
	void (*worker)(const WorkerInfo *worker, bool current, void *arg);
	void *arg;
	bool current;
} Visit;

static void
visit_worker(const WorkerInfo *worker, void *arg)
{
	const Visit *visit = arg;

	visit->worker(worker, visit->current, visit->arg);
}

static void
visit_version(const Version *version, Visit *visit)
{
	for (const Variant *v = version != NULL ? version->variants : NULL;
		 v != NULL; v = v->next)
		pool_workers(v->pool, visit_worker, visit);
}

void
host_visit(void (*file)(const HostFileInfo *info, void *arg),
		   void (*worker)(const WorkerInfo *worker, bool current, void *arg),
		   void *arg)
{
	Visit visit = {.worker = worker, .arg = arg};

	for (int i = 0; files != NULL && i < options->n_files; i++)
	{
		const File *f = &files[i];
		HostFileInfo info = {
			.path = f->spawn.file,
			.error = f->error,
			.importing = f->coming != NULL,
			.imported = f->imported,
			.n_imports = f->n_imports,
			.n_crashes = f->n_crashes,
		};

		file(&info, arg);
		visit.current = true;
		visit_version(f->current, &visit);
		visit_version(f->coming, &visit);
		visit.current = false;
		for (const Version *v = f->past; v != NULL; v = v->next)
			visit_version(v, &visit);
	}
}

void
host_reload(void)
{
	for (int i = 0; files != NULL && i < options->n_files; i++)
		file_changed(&files[i]);
}
