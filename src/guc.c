/*-------------------------------------------------------------------------
 *
 * guc.c
 *	  Definition of all settings.
 *
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include <limits.h>

#include "core/allowed_hosts.h"
#include "guc.h"
#include "link/shmem.h"
#include "postmaster/interrupt.h"
#include "tcop/pquery.h"

char *modal_allowed_hosts = NULL;
int modal_dispatchers = 1;
bool modal_enable_pipelining = true;
int modal_max_in_flight = 1000;
int modal_max_payload_kb = 256 * 1024;
int modal_max_failures = -1;
int modal_max_job_inputs = -1;
int modal_max_runners = 32;
int modal_on_complete_timeout_ms = 5 * 60 * 1000;
int modal_result_retention_s = 7 * 24 * 3600;
int modal_trigger_job_retention_s = 3600;
bool modal_run_jobs = true;
int modal_runner_idle_ms = 10 * 1000;
int modal_runner_memory_kb = 64 * 1024;
char *modal_default_server = NULL;
int modal_window_bytes_kb = 64 * 1024;
int modal_dispatcher_memory_mb = 1024;
#ifdef MODAL_DEBUG_POINTS
char *modal_debug_remote_language = NULL;
#endif

/* --- settings with two names ----------------------------------------------- */

/*
 * A setting that got a new name keeps the old one, and both stand for one
 * value.  To the server they are two settings, each with its own place for
 * what a transaction, a function's SET clause or RESET restores; so each
 * carries a stamp that says where its value comes from and when it was given,
 * and the value with the higher source, or of equals the later one, holds for
 * both: as if both had been given under one name.
 */
typedef enum SettingName
{
	NEW_NAME,
	OLD_NAME
} SettingName;

typedef struct Stamp
{
	GucSource source;
	uint64 turn;
} Stamp;

typedef struct Renamed
{
	int value[2];
	Stamp stamp[2];
} Renamed;

static bool
put_stamp(void **extra, GucSource source)
{
	static uint64 turn = 0;
	Stamp *stamp = guc_malloc(LOG, sizeof(Stamp));

	if (stamp == NULL)
		return false;
	*stamp = (Stamp){source, ++turn};
	*extra = stamp;
	return true;
}

static bool
stamp_bool(bool *value, void **extra, GucSource source)
{
	(void) value;
	return put_stamp(extra, source);
}

static bool
stamp_int(int *value, void **extra, GucSource source)
{
	(void) value;
	return put_stamp(extra, source);
}

/* Returns the value that holds. */
static int
assign_renamed(Renamed *setting, SettingName name, int value, const Stamp *stamp)
{
	const Stamp *new_one = &setting->stamp[NEW_NAME];
	const Stamp *old_one = &setting->stamp[OLD_NAME];
	bool old_holds;

	setting->value[name] = value;
	setting->stamp[name] = *stamp;
	old_holds = old_one->source != new_one->source
		? old_one->source > new_one->source
		: old_one->turn > new_one->turn;
	return setting->value[old_holds ? OLD_NAME : NEW_NAME];
}

static Renamed pipelining;
static Renamed in_flight;

static void
assign_enable_pipelining(bool value, void *extra)
{
	modal_enable_pipelining = assign_renamed(&pipelining, NEW_NAME, value, extra);
}

static void
assign_enable_async_projection(bool value, void *extra)
{
	modal_enable_pipelining = assign_renamed(&pipelining, OLD_NAME, value, extra);
}

static const char *
show_enable_pipelining(void)
{
	return modal_enable_pipelining ? "on" : "off";
}

static void
assign_max_in_flight(int value, void *extra)
{
	modal_max_in_flight = assign_renamed(&in_flight, NEW_NAME, value, extra);
}

static void
assign_window(int value, void *extra)
{
	modal_max_in_flight = assign_renamed(&in_flight, OLD_NAME, value, extra);
}

static const char *
show_max_in_flight(void)
{
	static char text[16];

	snprintf(text, sizeof(text), "%d", modal_max_in_flight);
	return text;
}

static void
define_renamed(void)
{
	/* Where the server keeps what was given under each name. */
	static bool pipelining_of[2];
	static int in_flight_of[2];

	DefineCustomBoolVariable(
		"modal_batch.enable_pipelining",
		"Lets the planner run typed remote functions over a window of rows at a time.",
		"When off, a typed function is called for one row after another.",
		&pipelining_of[NEW_NAME], true, PGC_USERSET, GUC_EXPLAIN, stamp_bool,
		assign_enable_pipelining, show_enable_pipelining);
	DefineCustomBoolVariable(
		"modal_batch.enable_async_projection",
		"Old name of modal_batch.enable_pipelining.", NULL,
		&pipelining_of[OLD_NAME], true, PGC_USERSET, 0, stamp_bool,
		assign_enable_async_projection, show_enable_pipelining);
	DefineCustomIntVariable(
		"modal_batch.max_in_flight",
		"Most inputs of one call that are in flight at a time.",
		"The remote service may allow less.", &in_flight_of[NEW_NAME], 1000, 1,
		100000, PGC_USERSET, 0, stamp_int, assign_max_in_flight,
		show_max_in_flight);
	DefineCustomIntVariable(
		"modal_batch.window", "Old name of modal_batch.max_in_flight.", NULL,
		&in_flight_of[OLD_NAME], 1000, 1, 100000, PGC_USERSET, 0, stamp_int,
		assign_window, show_max_in_flight);
}

/* --- modal_batch.server ----------------------------------------------------- */

/*
 * A session may set it; but it says where data and credentials go, so it is
 * known who has set it, and what it would be had no role and no session done
 * so: the value from the highest of the places that hold for everybody.
 */
static Oid server_setter = InvalidOid;
static char *standing_servers[PGC_S_DATABASE + 1]; /* by source */

typedef struct ServerExtra
{
	Oid setter;
	GucSource source;
	char value[FLEXIBLE_ARRAY_MEMBER];
} ServerExtra;

static void
note_standing_server(const ServerExtra *extra)
{
	char *copy = strdup(extra->value);

	if (copy == NULL)
		return;
	free(standing_servers[extra->source]);
	standing_servers[extra->source] = copy;
	/* the default comes again when the file has it no more */
	if (extra->source == PGC_S_DEFAULT)
	{
		free(standing_servers[PGC_S_FILE]);
		standing_servers[PGC_S_FILE] = NULL;
	}
}

/*
 * What stands is noted when it is assigned.  It is not where a role's or the
 * session's value covers it; then it is noted here, but not while a statement
 * runs: ALTER SYSTEM and pg_file_settings only look whether it would be good.
 */
static bool
check_server(char **value, void **extra, GucSource source)
{
	Size n = strlen(*value) + 1;
	ServerExtra *server = guc_malloc(LOG, offsetof(ServerExtra, value) + n);
	int context;

	if (server == NULL)
		return false;
	server->setter = InvalidOid;
	server->source = source;
	memcpy(server->value, *value, n);
	if (source > PGC_S_DATABASE)
		GetUserIdAndSecContext(&server->setter, &context);
	else if (OidIsValid(server_setter) && ActivePortal == NULL)
		note_standing_server(server);
	*extra = server;
	return true;
}

static void
assign_server(const char *value, void *extra)
{
	const ServerExtra *server = extra;

	(void) value;
	server_setter = server->setter;
	if (server->source <= PGC_S_DATABASE)
		note_standing_server(server);
}

Oid
modal_server_setter(void)
{
	return server_setter;
}

const char *
modal_standing_server(void)
{
	int source = PGC_S_DATABASE;

	while (source > PGC_S_DEFAULT && standing_servers[source] == NULL)
		source--;
	return standing_servers[source];
}

/* --- modal_batch.allowed_hosts --------------------------------------------- */

static bool
check_allowed_hosts(char **value, void **extra, GucSource source)
{
	const char *error, *where;
	size_t len;
	AllowedHosts *allowed = allowed_hosts_parse(*value, &error, &where, &len);

	(void) extra;
	(void) source;
	if (allowed == NULL && error != NULL)
		GUC_check_errdetail("Entry \"%.*s\": %s", (int) len, where, error);
	if (allowed == NULL)
		return false;
	allowed_hosts_free(allowed);
	return true;
}

/* --- all settings ---------------------------------------------------------- */

/* In order of name, as those below. */
static void
define_for_jobs(void)
{
	DefineCustomIntVariable(
		"modal_batch.max_failures",
		"How many inputs of a job may fail before it stops.",
		"-1 leaves that to the job. It is superusers who set this, also by ALTER ROLE.",
		&modal_max_failures, -1, -1, INT_MAX, PGC_SUSET, 0, NULL, NULL, NULL);

	DefineCustomIntVariable(
		"modal_batch.max_job_inputs",
		"Most inputs of a job.",
		"-1 sets no limit. It is superusers who set this, also by ALTER ROLE.",
		&modal_max_job_inputs, -1, -1, INT_MAX, PGC_SUSET, 0, NULL, NULL, NULL);

	DefineCustomIntVariable(
		"modal_batch.max_runners",
		"Most job runners at a time.",
		"Roles and databases with jobs take turns when there are more. Runners count towards max_worker_processes.",
		&modal_max_runners, 32, 1, MODAL_MAX_RUNNERS, PGC_SIGHUP, 0, NULL, NULL,
		NULL);

	DefineCustomIntVariable(
		"modal_batch.on_complete_timeout",
		"How long the statement at the end of a job may run.",
		"0 turns this off. A smaller statement_timeout of the job's owner holds as well.",
		&modal_on_complete_timeout_ms, 5 * 60 * 1000, 0, INT_MAX, PGC_SIGHUP,
		GUC_UNIT_MS, NULL, NULL, NULL);

	DefineCustomIntVariable(
		"modal_batch.result_retention",
		"How long results of finished jobs are kept in modal_batch.result.",
		"-1 keeps them until modal_forget().",
		&modal_result_retention_s, 7 * 24 * 3600, -1, INT_MAX, PGC_SIGHUP,
		GUC_UNIT_S, NULL, NULL, NULL);

	DefineCustomIntVariable(
		"modal_batch.trigger_job_retention",
		"How long jobs of triggers are kept that have succeeded as a whole.",
		"-1 keeps them as long as other jobs.",
		&modal_trigger_job_retention_s, 3600, -1, INT_MAX, PGC_SIGHUP,
		GUC_UNIT_S, NULL, NULL, NULL);

	if (process_shared_preload_libraries_in_progress)
		DefineCustomBoolVariable(
			"modal_batch.run_jobs",
			"Runs background jobs.",
			"Off for a copy of a cluster, whose jobs are those of the original.",
			&modal_run_jobs, true, PGC_POSTMASTER, 0, NULL, NULL, NULL);

	DefineCustomIntVariable(
		"modal_batch.runner_idle_timeout",
		"How long a job runner stays when it has no work.",
		NULL, &modal_runner_idle_ms, 10 * 1000, 0, INT_MAX, PGC_SIGHUP,
		GUC_UNIT_MS, NULL, NULL, NULL);

	DefineCustomIntVariable(
		"modal_batch.runner_memory",
		"Memory of a job runner for inputs that are under way and for results.",
		"Its jobs share it.",
		&modal_runner_memory_kb, 64 * 1024, 1024, MAX_KILOBYTES, PGC_SIGHUP,
		GUC_UNIT_KB, NULL, NULL, NULL);
}

void
modal_reload_configuration(void)
{
	if (!ConfigReloadPending)
		return;
	ConfigReloadPending = false;
	ProcessConfigFile(PGC_SIGHUP);
}

void
modal_guc_init(void)
{
	define_renamed();
	define_for_jobs();

	/* Kept in order of name. */
	DefineCustomStringVariable(
		"modal_batch.allowed_hosts",
		"Hosts that the dispatcher may connect to.",
		"Names, suffixes as \"*.example.com\", addresses and ranges of them. Empty: all but link-local addresses and those where clouds keep credentials.",
		&modal_allowed_hosts, "", PGC_SIGHUP, GUC_LIST_INPUT,
		check_allowed_hosts, NULL, NULL);

#ifdef MODAL_DEBUG_POINTS
	DefineCustomStringVariable(
		"modal_batch.debug_remote_language",
		"Language whose functions are planned as if they were remote.",
		"For tests; \"*\" stands for every language.",
		&modal_debug_remote_language, "", PGC_USERSET, GUC_NOT_IN_SAMPLE, NULL,
		NULL, NULL);
#endif

	/* Only at server start can there be one of this kind. */
	if (process_shared_preload_libraries_in_progress)
		DefineCustomIntVariable(
			"modal_batch.dispatchers",
			"Number of background workers that talk to remote services.",
			"Each keeps its own connections; one is enough for most servers.",
			&modal_dispatchers, 1, 1, MODAL_MAX_DISPATCHERS, PGC_POSTMASTER, 0,
			NULL, NULL, NULL);

	DefineCustomIntVariable(
		"modal_batch.max_payload",
		"Largest encoded input or result of a remote function.",
		NULL, &modal_max_payload_kb, 256 * 1024, 64, 1000 * 1024, PGC_SUSET,
		GUC_UNIT_KB, NULL, NULL, NULL);

	DefineCustomStringVariable(
		"modal_batch.server",
		"Foreign server of function references that do not name one.",
		NULL, &modal_default_server, "modal", PGC_USERSET, 0,
		check_server, assign_server, NULL);

	DefineCustomIntVariable(
		"modal_batch.dispatcher_memory",
		"Memory of a dispatcher for the inputs of maps.",
		"The maps under way share it evenly; each may have one input, however large.",
		&modal_dispatcher_memory_mb, 1024, 16, MAX_KILOBYTES / 1024, PGC_SIGHUP,
		GUC_UNIT_MB, NULL, NULL, NULL);

	DefineCustomIntVariable(
		"modal_batch.window_bytes",
		"Results of one call that may be held in memory before they are read.",
		"With large results fewer inputs are in flight than modal_batch.max_in_flight. It is superusers who set this, also by ALTER ROLE.",
		&modal_window_bytes_kb, 64 * 1024, 64, MAX_KILOBYTES, PGC_SUSET,
		GUC_UNIT_KB, NULL, NULL, NULL);

	MarkGUCPrefixReserved("modal_batch");
}
