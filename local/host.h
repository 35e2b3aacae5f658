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

typedef struct HostOptions
{
	char *const *files;
	int n_files;
	int workers;        /* processes per file */
	int concurrency;    /* inputs at a time per process */
	const char *python; /* interpreter; NULL: the first one with cbor2 */
} HostOptions;

/*
 * Start the processes of every file and announce what the files offer; to be
 * called once, after loop_init and before the server listens (it runs the
 * loop until each file has been imported).  False, with the reason on stderr,
 * when one of them cannot be served.  The strings must stay.
 */
extern bool host_init(const HostOptions *options);

#endif /* MODAL_LOCAL_HOST_H */
