/*-------------------------------------------------------------------------
 *
 * main.c
 *	  modal-local: a server of Modal's API on this machine.
 *
 *-------------------------------------------------------------------------
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api/blob_http.h"
#include "api/rpc.h"
#include "api/service.h"
#include "api/web_http.h"
#include "calls/blobs.h"
#include "calls/calls.h"
#include "calls/faults.h"
#include "calls/idempotency.h"
#include "calls/journal.h"
#include "calls/listing.h"
#include "calls/registry.h"
#include "calls/secrets.h"
#include "console/console.h"
#include "host/builtin.h"
#include "host/host.h"
#include "net/conn.h"
#include "net/h2.h"
#include "net/http1.h"
#include "net/loop.h"
#include "options.h"
#include "util.h"

#define DEFAULT_PORT 9443
#define DEFAULT_TOKEN_ID "ak-local"
#define DEFAULT_TOKEN_SECRET "as-local"
#define MAX_INLINE_OPTION (100 * 1024 * 1024)
/* The official SDKs for JavaScript and Go upload nothing in parts. */
#define MAX_PART_OPTION (100 * 1024 * 1024)
#define MAX_KEEP_OPTION (366 * 86400)
#define IDLE_CHECKS 10 /* in the time allowed */

Options options = {
	.host = "127.0.0.1",
	.port = DEFAULT_PORT,
	.workers = 2,
	.concurrency = 1,
	.max_inline = 2 * 1024 * 1024,
	.max_async_inline = 8 * 1024,
	.max_part = MAX_PART_OPTION,
	.keep_seconds = 7 * 86400.0,
	.max_results = (int64_t) 1024 * 1024 * 1024,
};

static const HttpHandler *const http_handlers[] = {&blob_http, &web_http,
												   &console_http, NULL};

static LoopTimer idle_timer;
static double last_busy;

static const char usage[] =
	"modal-local serves Modal's API on this machine.\n"
	"\n"
	"Usage: modal-local [OPTION]... [FILE.py]...\n"
	"\n"
	"Serves app \"builtin\" and, for each FILE.py, its public functions and\n"
	"classes as an app of the file's name.\n"
	"\n"
	"  --port PORT         port to listen on, 0 for any free one (9443)\n"
	"  --host HOST         address to listen on (127.0.0.1)\n"
	"  --dir DIR           where certificate, blobs and calls are kept\n"
	"                      (~/.local/state/modal-local)\n"
	"  --workers N         Python processes per file (2)\n"
	"  --concurrency N     inputs at a time in each of them (1)\n"
	"  --python PROGRAM    interpreter (the first python3 with cbor2)\n"
	"  --log FILE          append a line per request to FILE\n"
	"  --faults FILE       misbehave as FILE says; read again on SIGHUP\n"
	"  --secret NAME:VARIABLE=VALUE   a secret for options of functions; once\n"
	"                      for each of its variables\n"
	"  --volume NAME       likewise, a volume\n"
	"  --max-inline BYTES        larger arguments and results are blobs (2097152)\n"
	"  --max-async-inline BYTES  the same, of asynchronous calls (8192)\n"
	"  --max-part BYTES    blobs of more than twice that are uploaded in parts\n"
	"                      of that size (104857600)\n"
	"  --blob-fields OLD|NEW|BOTH  which fields BlobCreate answers with (BOTH)\n"
	"  --keep SECS         how long results of asynchronous calls and blobs are\n"
	"                      kept (604800: seven days)\n"
	"  --max-results MB    memory for such results; then the oldest calls that are\n"
	"                      done are forgotten (1024)\n"
	"  --exit-with-parent  exit when the process that started it does\n"
	"  --idle-limit SECS   exit after so long without a connection\n"
	"  --help              show this and exit\n"
	"\n"
	"The token is that of MODAL_TOKEN_ID and MODAL_TOKEN_SECRET; for one that\n"
	"is not set, " DEFAULT_TOKEN_ID " or " DEFAULT_TOKEN_SECRET
	".  docs/modal-local.md says more.\n";

enum
{
	OPT_PORT = 256,
	OPT_HOST,
	OPT_DIR,
	OPT_WORKERS,
	OPT_CONCURRENCY,
	OPT_PYTHON,
	OPT_LOG,
	OPT_FAULTS,
	OPT_SECRET,
	OPT_VOLUME,
	OPT_MAX_INLINE,
	OPT_MAX_ASYNC_INLINE,
	OPT_MAX_PART,
	OPT_BLOB_FIELDS,
	OPT_KEEP,
	OPT_MAX_RESULTS,
	OPT_PARENT,
	OPT_IDLE,
	OPT_HELP
};

static const struct option long_options[] = {
	{"port", required_argument, NULL, OPT_PORT},
	{"host", required_argument, NULL, OPT_HOST},
	{"dir", required_argument, NULL, OPT_DIR},
	{"workers", required_argument, NULL, OPT_WORKERS},
	{"concurrency", required_argument, NULL, OPT_CONCURRENCY},
	{"python", required_argument, NULL, OPT_PYTHON},
	{"log", required_argument, NULL, OPT_LOG},
	{"faults", required_argument, NULL, OPT_FAULTS},
	{"secret", required_argument, NULL, OPT_SECRET},
	{"volume", required_argument, NULL, OPT_VOLUME},
	{"max-inline", required_argument, NULL, OPT_MAX_INLINE},
	{"max-async-inline", required_argument, NULL, OPT_MAX_ASYNC_INLINE},
	{"max-part", required_argument, NULL, OPT_MAX_PART},
	{"blob-fields", required_argument, NULL, OPT_BLOB_FIELDS},
	{"keep", required_argument, NULL, OPT_KEEP},
	{"max-results", required_argument, NULL, OPT_MAX_RESULTS},
	{"exit-with-parent", no_argument, NULL, OPT_PARENT},
	{"idle-limit", required_argument, NULL, OPT_IDLE},
	{"help", no_argument, NULL, OPT_HELP},
	{NULL, 0, NULL, 0},
};

static int
integer_option(const char *name, int min, int max)
{
	char *end;
	long value = strtol(optarg, &end, 10);

	if (end == optarg || *end != '\0' || value < min || value > max)
		die("--%s must be a number from %d to %d", name, min, max);
	return (int) value;
}

static void
parse_options(int argc, char **argv)
{
	int c;
	int which;

	while ((c = getopt_long(argc, argv, "", long_options, &which)) != -1)
	{
		switch (c)
		{
			case OPT_PORT:
				options.port = integer_option("port", 0, 65535);
				break;
			case OPT_HOST:
				options.host = optarg;
				break;
			case OPT_DIR:
				options.state_dir = optarg;
				break;
			case OPT_WORKERS:
				options.workers = integer_option("workers", 1, 256);
				break;
			case OPT_CONCURRENCY:
				options.concurrency = integer_option("concurrency", 1, 1000);
				break;
			case OPT_PYTHON:
				options.python = optarg;
				break;
			case OPT_LOG:
				options.log_path = optarg;
				break;
			case OPT_FAULTS:
				options.faults_path = optarg;
				break;
			case OPT_SECRET:
				if (!secret_define(optarg))
					die("--secret must be NAME:VARIABLE=VALUE, each once");
				break;
			case OPT_VOLUME:
				volume_define(optarg);
				break;
			case OPT_MAX_INLINE:
				options.max_inline =
					integer_option("max-inline", 0, MAX_INLINE_OPTION);
				break;
			case OPT_MAX_ASYNC_INLINE:
				options.max_async_inline =
					integer_option("max-async-inline", 0, MAX_INLINE_OPTION);
				break;
			case OPT_MAX_PART:
				options.max_part =
					integer_option("max-part", 1024, MAX_PART_OPTION);
				break;
			case OPT_BLOB_FIELDS:
				options.old_blob_fields = strcmp(optarg, "OLD") == 0;
				options.new_blob_fields = strcmp(optarg, "NEW") == 0;
				if (!options.old_blob_fields && !options.new_blob_fields &&
					strcmp(optarg, "BOTH") != 0)
					die("--blob-fields must be OLD, NEW or BOTH");
				break;
			case OPT_KEEP:
				options.keep_seconds =
					integer_option("keep", 10, MAX_KEEP_OPTION);
				break;
			case OPT_MAX_RESULTS:
				options.max_results =
					(int64_t) integer_option("max-results", 1, 1024 * 1024) *
					1024 * 1024;
				break;
			case OPT_PARENT:
				options.exit_with_parent = true;
				break;
			case OPT_IDLE:
				options.idle_limit = integer_option("idle-limit", 1, 86400);
				break;
			case OPT_HELP:
				fputs(usage, stdout);
				exit(0);
			default:
				die("try --help");
		}
	}
	options.files = argv + optind;
	options.n_files = argc - optind;
}

/* mkdir -p */
static void
make_directory(const char *path)
{
	char *copy = xstrdup(path);

	for (char *p = copy + 1;; p++)
	{
		char c = *p;

		if (c != '/' && c != '\0')
			continue;
		*p = '\0';
		if (mkdir(copy, 0755) != 0 && errno != EEXIST)
			die_errno("cannot create directory \"%s\"", copy);
		*p = c;
		if (c == '\0')
			break;
	}
	free(copy);
}

/* Where calls are kept unless --dir says so: nowhere that others can prepare. */
static char *
default_state_directory(void)
{
	const char *base = getenv("XDG_STATE_HOME");
	const char *home = getenv("HOME");
	const struct passwd *user;

	if (base != NULL && base[0] == '/')
		return xasprintf("%s/modal-local", base);
	if (home == NULL || home[0] != '/')
	{
		user = getpwuid(geteuid());
		home = user != NULL ? user->pw_dir : NULL;
	}
	if (home == NULL || home[0] != '/')
		die("HOME is not set: say with --dir where calls are to be kept");
	return xasprintf("%s/.local/state/modal-local", home);
}

/* Two processes would overwrite each other's blobs and journal. */
static void
lock_state_directory(void)
{
	static int fd; /* open until we end */
	char *path = xasprintf("%s/lock", options.state_dir);

	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		die_errno("cannot open \"%s\"", path);
	if (flock(fd, LOCK_EX | LOCK_NB) != 0)
	{
		if (errno == EWOULDBLOCK)
			die("another modal-local uses \"%s\": say with --dir where this "
				"one is to keep its calls", options.state_dir);
		die_errno("cannot lock \"%s\"", path);
	}
	free(path);
}

static void
prepare_state_directory(void)
{
	char *absolute;

	if (options.state_dir == NULL)
		options.state_dir = default_state_directory();
	make_directory(options.state_dir);
	absolute = realpath(options.state_dir, NULL);
	if (absolute == NULL)
		die_errno("cannot use directory \"%s\"", options.state_dir);
	options.state_dir = absolute;
	lock_state_directory();
}

/* The log tells whoever changed the script from when on it holds. */
static void
log_faults_read(void)
{
	rpc_log_event("faults", "read");
}

static void
list_functions(void *arg)
{
	(void) arg;
	complain("serving");
	listing_print(stderr, NULL);
	complain("console: %s", console_link());
}

static void
list_reloaded(const char *file, const Executor *executor)
{
	complain("%s has changed, and serves", file);
	listing_print(stderr, executor);
}

/* How programs on this machine reach us. */
static char *
own_url(const char *scheme)
{
	static const char *const local[] = {"127.0.0.1", "0.0.0.0", "::1", "::"};
	const char *host = options.host;

	for (int i = 0; i < 4; i++)
		if (strcmp(host, local[i]) == 0)
			host = "localhost";
	return strchr(host, ':') != NULL
			   ? xasprintf("%s://[%s]:%d", scheme, host, options.port)
			   : xasprintf("%s://%s:%d", scheme, host, options.port);
}

/* What Modal's SDK needs in a function to reach us: not another account. */
static void
set_environment(const char *url, const char *token_id,
				const char *token_secret)
{
	setenv("MODAL_SERVER_URL", url, 1);
	setenv("MODAL_TOKEN_ID", token_id, 1);
	setenv("MODAL_TOKEN_SECRET", token_secret, 1);
}

static void
stop(void *arg)
{
	const bool *serving = arg;

	if (!*serving)
		exit(0); /* the import of a file may take its time */
	loop_stop();
}

/* Shells ignore it for what runs in a script's background: it is meant for others. */
static bool
ignored(int signo)
{
	struct sigaction action;

	return sigaction(signo, NULL, &action) == 0 &&
		   action.sa_handler == SIG_IGN;
}

static void
check_idle(void *arg)
{
	(void) arg;
	if (conn_count() > 0)
		last_busy = loop_now();
	if (loop_now() - last_busy >= options.idle_limit)
		loop_stop();
	else
		loop_set_timer(&idle_timer, options.idle_limit / IDLE_CHECKS,
					   check_idle, NULL);
}

/* As text, so that nobody but us need be able to read the file. */
static void
print_certificate(void)
{
	char *path = xasprintf("%s/ca.pem", options.state_dir);
	FILE *file = fopen(path, "re");
	int c;

	free(path);
	if (file == NULL)
		return;
	while ((c = getc(file)) != EOF)
		putchar(c);
	fclose(file);
}

/* As a string in SQL. */
static void
print_literal(const char *text)
{
	putchar('\'');
	for (; *text != '\0'; text++)
	{
		if (*text == '\'')
			putchar('\'');
		putchar(*text);
	}
	putchar('\'');
}

/* For people, but for the first line: for programs that start us. */
static void
announce(const char *token_id, const char *token_secret)
{
	char *url = own_url("https");

	printf("ready\t%d\t%s/ca.pem\t%s\t%s\n", options.port, options.state_dir,
		   token_id, token_secret);
	printf("\nServing on %s (and http, for tests):\n", url);
	listing_print(stdout, NULL);
	printf("  builtin/...: functions for tests\n"
		   "\n"
		   "CREATE SERVER local FOREIGN DATA WRAPPER modal_batch\n"
		   "  OPTIONS (url '%s', ssl_ca '",
		   url);
	print_certificate();
	printf("');\n"
		   "CREATE USER MAPPING FOR CURRENT_USER SERVER local\n"
		   "  OPTIONS (token_id ");
	print_literal(token_id);
	printf(", token_secret ");
	print_literal(token_secret);
	printf(");\n\nConsole (this address works once): %s\n", console_link());
	fflush(stdout);
	free(url);
}

static const char *
variable(const char *name, const char *otherwise)
{
	const char *value = getenv(name);

	return value != NULL && value[0] != '\0' ? value : otherwise;
}

int
main(int argc, char **argv)
{
	const char *token_id = variable("MODAL_TOKEN_ID", DEFAULT_TOKEN_ID);
	const char *token_secret =
		variable("MODAL_TOKEN_SECRET", DEFAULT_TOKEN_SECRET);
	pid_t parent = getppid();
	static HostOptions host;
	static bool serving;
	char *url;

	parse_options(argc, argv);
	prepare_state_directory();
	loop_init();
	if (options.exit_with_parent)
	{
		prctl(PR_SET_PDEATHSIG, SIGTERM);
		if (getppid() != parent)
			return 0;
	}
	loop_on_signal(SIGTERM, stop, &serving);
	if (!ignored(SIGINT))
		loop_on_signal(SIGINT, stop, &serving);
	loop_on_signal(SIGUSR1, list_functions, NULL);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN); /* a limit of files is as a full disk */
	signal(SIGHUP, SIG_IGN); /* unless there are faults to read */
	signal(SIGCHLD, SIG_DFL); /* else the ends of processes are not told */

	rpc_init(&(RpcSettings){.methods = service_methods,
							.token_id = token_id,
							.token_secret = token_secret,
							.log_path = options.log_path});
	h2_init(&grpc_streams);
	http_init(http_handlers);
	blobs_init(options.state_dir);
	faults_init(options.faults_path, log_faults_read);
	registry_init();
	calls_init();
	idempotency_init();
	builtin_init();
	options.port = conn_bind(options.host, options.port);
	url = own_url("http");
	set_environment(url, token_id, token_secret);
	host.web_url = xasprintf("%s/web", url);
	console_init(url, options.port, options.host);
	free(url);
	host.reloaded = list_reloaded;
	host.files = options.files;
	host.n_files = options.n_files;
	host.workers = options.workers;
	host.concurrency = options.concurrency;
	host.python = options.python;
	if (options.n_files > 0 && !host_init(&host))
		return 1;
	journal_init(options.state_dir);
	conn_listen(options.state_dir, options.host);
	serving = true;
	announce(token_id, token_secret);
	if (options.idle_limit > 0)
	{
		last_busy = loop_now();
		check_idle(NULL);
	}
	loop_run();
	conn_stop_listening();
	executors_shutdown();
	return 0;
}
