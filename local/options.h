/*-------------------------------------------------------------------------
 *
 * options.h
 *	  What the command line said; set once by main.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_LOCAL_OPTIONS_H
#define MODAL_LOCAL_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

typedef struct Options
{
	const char *host;
	int port; /* the one in use */
	const char *state_dir;
	const char *log_path;	 /* NULL: no request log */
	const char *faults_path; /* NULL: no faults */
	int workers;			 /* Python processes per file */
	int concurrency;		 /* inputs at a time in each of them */
	const char *python;		 /* their interpreter, NULL: any */
	bool exit_with_parent;
	int64_t max_inline;		  /* larger arguments and results are blobs */
	int64_t max_async_inline; /* the same, of asynchronous calls */
	int64_t max_part;		  /* larger blobs are uploaded in parts of that */
	bool old_blob_fields;	  /* BlobCreate answers in the older fields only */
	bool new_blob_fields;	  /* in the newer ones only */
	double keep_seconds;	  /* results of asynchronous calls, and blobs */
	int64_t max_results;	  /* bytes of these results, in all */
	double idle_limit; /* seconds without a connection, then exit; 0: none */
	char **files;	   /* Python files to serve */
	int n_files;
} Options;

extern Options options;

#endif /* MODAL_LOCAL_OPTIONS_H */
