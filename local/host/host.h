/*-------------------------------------------------------------------------
 *
 * host.h
 *	  The executor that serves the functions of the user's Python files.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_LOCAL_HOST_H
#define MODAL_LOCAL_HOST_H

#include <stdbool.h>

#include "calls/exec.h"
#include "host/host_pool.h"

typedef struct HostOptions
{
	char *const *files;
	int n_files;
	int workers;        /* processes per file */
	int concurrency;    /* inputs at a time per process */
	const char *python; /* interpreter; NULL: the first one with cbor2 */
	const char *web_url; /* beginning of the URLs of web endpoints */
	/* A file has changed and is served as it is now. */
	void (*reloaded)(const char *file, const Executor *executor);
} HostOptions;

/*
 * Start the processes of every file and announce what the files offer; to be
 * called once, after loop_init and before the server listens (it runs the
 * loop until each file has been imported).  False, with the reason on stderr,
 * when one of them cannot be served.  The options must stay.
 *
 * A file that changes later is imported anew; inputs that it has already end
 * where they are, and when it cannot be imported all stays as it is.
 */
extern bool host_init(const HostOptions *options);

/* What people may see of a file that is served. */
typedef struct HostFileInfo
{
	const char *path;
	const char *error;	/* why it stays as it was; NULL: it is as on disk */
	bool importing;		/* it has changed */
	double imported;	/* Unix time */
	uint32_t n_imports; /* that have gone well */
	uint32_t n_crashes; /* inputs whose process has died */
} HostFileInfo;

/*
 * Each file, and then the processes that serve it; current: not those that
 * only end what they have begun before a change.
 */
extern void host_visit(void (*file)(const HostFileInfo *info, void *arg),
					   void (*worker)(const WorkerInfo *worker, bool current,
									  void *arg),
					   void *arg);
/* Import all files anew, as after a change. */
extern void host_reload(void);

#endif /* MODAL_LOCAL_HOST_H */
