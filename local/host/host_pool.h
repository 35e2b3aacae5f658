/*-------------------------------------------------------------------------
 *
 * host_pool.h
 *	  The processes that run one Python file, and the inputs they work on.
 *
 * Inputs wait in one queue and go to the process with the fewest; a process
 * that answers fast gets several ahead, as a container of the real service
 * does.  When a process dies, the input that it was running fails and the
 * others run elsewhere.  If several were running, each of them runs again
 * alone in a process, which shows which one it was.
 *
 * An input that waits for another one may wait for one of the same file: its
 * process gets nothing else meanwhile, and another process takes its place.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_LOCAL_HOST_POOL_H
#define MODAL_LOCAL_HOST_POOL_H

#include "host/host_process.h"

typedef struct Pool Pool;
typedef struct Worker Worker;

/* Embedded in what the owner keeps of an input; call and group set by it. */
typedef struct PoolInput
{
	HostCall call;     /* arguments stay until the end; the pool sets the id */
	const void *group; /* for pool_counts */
	int batch;         /* so many of its kind may run as one; 0: alone */
	double batch_wait; /* seconds that a batch waits for more */

	/* The pool's own. */
	Worker *worker; /* NULL while it waits */
	struct PoolInput *prev;
	struct PoolInput *next;
	bool started;
	bool yielded;
	bool suspect; /* was running in a process that died */
	bool cancelled;
} PoolInput;

/*
 * What a pool tells its owner.  Exactly one of done, crashed and unstartable
 * ends an input, which the pool then forgets.  They may call pool_submit and
 * pool_cancel, but not pool_destroy.
 */
typedef struct PoolEvents
{
	/*
	 * What the file offers, once; the text stays as long as the pool.  NULL:
	 * the file cannot be run, see pool_error.
	 */
	void (*manifest)(void *arg, const char *json);
	void (*started)(PoolInput *input); /* it runs now */
	/* Its process died or was ended: it will be started again. */
	void (*returned)(PoolInput *input);
	void (*yield)(PoolInput *input, const HostReply *item);
	/* Whole lines; stream 1: standard output, 2: standard error. */
	void (*printed)(PoolInput *input, int stream, const HostReply *text);
	/* HOST_REPLY_RESULT, _FAILURE, _DONE or _CANCELLED */
	void (*done)(PoolInput *input, const HostReply *reply);
	/* The input's process died: how. */
	void (*crashed)(PoolInput *input, const char *how);
	/* No process can be started: why. */
	void (*unstartable)(PoolInput *input, const char *why);
} PoolEvents;

/*
 * spawn's strings, events and arg stay the owner's and must outlive the pool.
 * manifest: what the file is known to offer, or NULL.  No process is started
 * before the first input or pool_start.
 */
extern Pool *pool_create(const HostSpawn *spawn, int workers,
						 const char *manifest, const PoolEvents *events,
						 void *arg);
extern void pool_destroy(Pool *pool); /* its inputs are forgotten */
extern void pool_start(Pool *pool);
/* Why the file cannot be served, as far as known now; else NULL. */
extern const char *pool_error(const Pool *pool);
extern void pool_submit(Pool *pool, PoolInput *input);
/* Has it no input? */
extern bool pool_idle(const Pool *pool);
/*
 * Interrupt an input, which then ends with HOST_REPLY_CANCELLED (or with what
 * it had come to already); at once and with its process when "terminate".
 */
extern void pool_cancel(Pool *pool, PoolInput *input, bool terminate);
/*
 * How many processes are ready, inputs of a group run and wait, and inputs
 * could start at once; all added to what is there.
 */
extern void pool_counts(const Pool *pool, const void *group, int *ready,
						int *running, int *waiting, int *headroom);


/* What people may see of a process. */
typedef struct WorkerInfo
{
	pid_t pid;
	bool ready;		   /* it has imported the file */
	double since;	   /* Unix time of its start */
	uint32_t n_starts; /* of processes in its place */
	uint64_t n_ended;  /* inputs that they have answered */
	int running;
	int ahead; /* inputs that it has and does not run yet */
} WorkerInfo;

extern void pool_workers(const Pool *pool,
						 void (*visit)(const WorkerInfo *worker, void *arg),
						 void *arg);

#endif /* MODAL_LOCAL_HOST_POOL_H */
