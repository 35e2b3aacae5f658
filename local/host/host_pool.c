/*-------------------------------------------------------------------------
 *
 * host_pool.c
 *	  The processes that run one Python file, and the inputs they work on.
 *
 * Whatever happens only marks the pool; run_pool(), at the end of the round
 * of the event loop, replaces processes and hands out inputs, many at a time.
 *
 *-------------------------------------------------------------------------
 */
#include "host/host_pool.h"

#include <errno.h>
#include <json-c/json.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "util.h"

/* A process gets so many seconds' worth of inputs ahead. */
#define AHEAD 0.005
#define MAX_AHEAD 256
/* A cancelled input may go on so long before its process is killed. */
#define CANCEL_GRACE 2.0

typedef enum WorkerState
{
	WORKER_DOWN,
	WORKER_STARTING, /* importing the file */
	WORKER_READY
} WorkerState;

typedef struct PoolList
{
	PoolInput *first;
	PoolInput *last;
	int n;
} PoolList;

struct Worker
{
	HostProcess process;
	Pool *pool;
	WorkerState state;
	bool broken;       /* it died, or its replies make no sense */
	bool overdue;      /* to be killed: a cancelled input goes on */
	PoolList inputs;   /* unanswered, oldest first */
	double average;    /* seconds between answers; 0: not known yet */
	double busy_since; /* last answer, or first call after idleness */
	LoopTimer grace;   /* set while a cancelled input goes on */
};

struct Pool
{
	HostSpawn spawn;
	const PoolEvents *events;
	void *arg;
	int size;
	uint64_t last_id;
	PoolList waiting;
	char *manifest; /* as known before, or from the first process */
	char *error;    /* why no process can be started */
	LoopDeferred run;
	Worker workers[];
};

static void run_pool(void *arg);

static void
wake(Pool *pool)
{
	loop_defer(&pool->run, run_pool, pool);
}

Pool *
pool_create(const HostSpawn *spawn, int workers, const char *manifest,
			const PoolEvents *events, void *arg)
{
	Pool *pool = xcalloc(sizeof(Pool) + workers * sizeof(Worker));

	pool->spawn = *spawn;
	pool->events = events;
	pool->arg = arg;
	pool->size = workers;
	pool->manifest = manifest != NULL ? xstrdup(manifest) : NULL;
	for (int i = 0; i < workers; i++)
		pool->workers[i].pool = pool;
	return pool;
}

void
pool_destroy(Pool *pool)
{
	loop_cancel_deferred(&pool->run);
	for (int i = 0; i < pool->size; i++)
	{
		Worker *w = &pool->workers[i];

		loop_clear_timer(&w->grace);
		if (w->state != WORKER_DOWN)
			host_process_end(&w->process);
	}
	free(pool->manifest);
	free(pool->error);
	free(pool);
}

const char *
pool_error(const Pool *pool)
{
	return pool->error;
}

static void
set_error(Pool *pool, const char *text)
{
	free(pool->error);
	pool->error = text != NULL ? xstrdup(text) : NULL;
}

static void
push_back(PoolList *list, PoolInput *input)
{
	input->next = NULL;
	input->prev = list->last;
	if (list->last != NULL)
		list->last->next = input;
	else
		list->first = input;
	list->last = input;
	list->n++;
}

static void
push_front(PoolList *list, PoolInput *input)
{
	input->prev = NULL;
	input->next = list->first;
	if (list->first != NULL)
		list->first->prev = input;
	else
		list->last = input;
	list->first = input;
	list->n++;
}

static void
take_out(PoolList *list, PoolInput *input)
{
	if (input->prev != NULL)
		input->prev->next = input->next;
	else
		list->first = input->next;
	if (input->next != NULL)
		input->next->prev = input->prev;
	else
		list->last = input->prev;
	list->n--;
}

void
pool_submit(Pool *pool, PoolInput *input)
{
	input->suspect = false;
	input->cancelled = false;
	input->started = false;
	input->yielded = false;
	input->worker = NULL;
	push_back(&pool->waiting, input);
	wake(pool);
}

/* -------------------------------------------------------------- replies */

/* The file's manifest, or why there is none. */
static void
take_manifest(Worker *w, const HostReply *reply)
{
	Pool *pool = w->pool;
	char *text =
		xasprintf("%.*s", (int) reply->len, (const char *) reply->data);
	json_object *parsed = json_tokener_parse(text);
	json_object *error;

	if (parsed == NULL)
		w->broken = true;
	else if (json_object_object_get_ex(parsed, "error", &error))
		set_error(pool, json_object_get_string(error));
	else if (pool->manifest != NULL && strcmp(text, pool->manifest) != 0)
		set_error(pool, "the file has changed what it defines; "
						"restart modal-local to serve it");
	else
	{
		w->state = WORKER_READY;
		if (pool->manifest == NULL)
		{
			pool->manifest = text;
			text = NULL;
			pool->events->manifest(pool->arg, pool->manifest);
		}
	}
	if (w->state != WORKER_READY)
		w->broken = true;
	free(text);
	json_object_put(parsed);
}

/* The next of the inputs that run now, after "input" (NULL: the first). */
static PoolInput *
next_running(const Worker *w, PoolInput *input, int *place)
{
	input = input == NULL ? w->inputs.first : input->next;
	return (*place)++ < w->pool->spawn.concurrency ? input : NULL;
}

/* Tell the owner which of the process's inputs run now. */
static void
note_started(Worker *w)
{
	PoolInput *input = NULL;
	int place = 0;

	while ((input = next_running(w, input, &place)) != NULL)
	{
		if (!input->started && !input->cancelled)
		{
			input->started = true;
			w->pool->events->started(input);
		}
	}
}

static void
grace_over(void *arg)
{
	Worker *w = arg;

	w->overdue = true;
	wake(w->pool);
}

/* The process may go on with a cancelled input for a while, not longer. */
static void
set_grace(Worker *w)
{
	PoolInput *input = NULL;
	int place = 0;

	loop_clear_timer(&w->grace);
	while ((input = next_running(w, input, &place)) != NULL)
	{
		if (input->cancelled)
			loop_set_timer(&w->grace, CANCEL_GRACE, grace_over, w);
	}
}

static void
take_answer(Worker *w, PoolInput *input, const HostReply *reply)
{
	double now = loop_now();
	double weight = w->average > 0 ? 1.0 / 16 : 1;
	bool cancelled = input->cancelled;

	take_out(&w->inputs, input);
	w->average += (now - w->busy_since - w->average) * weight;
	w->busy_since = now;
	w->pool->events->done(input, reply);
	if (cancelled)
		set_grace(w);
}

static void
take_reply(void *arg, const HostReply *reply)
{
	Worker *w = arg;
	PoolInput *input = w->inputs.first;

	if (w->broken)
		return;
	if (w->state == WORKER_STARTING)
	{
		if (reply->type == HOST_REPLY_MANIFEST)
			take_manifest(w, reply);
		else
			w->broken = true;
		return;
	}
	while (input != NULL && input->call.id != reply->id)
		input = input->next;
	if (input == NULL || reply->type == HOST_REPLY_MANIFEST)
		w->broken = true;
	else if (reply->type != HOST_REPLY_YIELD)
		take_answer(w, input, reply);
	else if (!input->cancelled)
	{
		input->yielded = true;
		w->pool->events->yield(input, reply);
	}
}

static void
worker_ready(void *arg, uint32_t events)
{
	Worker *w = arg;

	if (!w->broken && (events & ~EPOLLOUT) != 0 &&
		!host_process_receive(&w->process, take_reply, w))
		w->broken = true;
	wake(w->pool);
}

/* ------------------------------------------------------------ scheduling */

/* How many unanswered inputs the process may have, this one included. */
static int
capacity(const Worker *w, const PoolInput *input)
{
	const PoolInput *first = w->inputs.first;
	int concurrency = w->pool->spawn.concurrency;

	if (w->state != WORKER_READY || w->broken || w->overdue)
		return 0;
	if (input->suspect || (first != NULL && first->suspect))
		return 1;
	if (concurrency > 1)
		return concurrency;
	if (first != NULL && first->cancelled)
		return 0;
	if (w->average == 0)
		return 1;
	if (w->average * MAX_AHEAD < AHEAD)
		return MAX_AHEAD;
	return 1 + (int) (AHEAD / w->average);
}

static Worker *
choose_worker(Pool *pool, const PoolInput *input)
{
	Worker *best = NULL;

	for (int i = 0; i < pool->size; i++)
	{
		Worker *w = &pool->workers[i];

		if ((best == NULL || w->inputs.n < best->inputs.n) &&
			w->inputs.n < capacity(w, input))
			best = w;
	}
	return best;
}

static void
hand_out(Pool *pool)
{
	PoolInput *input;
	Worker *w;

	while ((input = pool->waiting.first) != NULL &&
		   (w = choose_worker(pool, input)) != NULL)
	{
		input->call.id = ++pool->last_id;
		if (!host_process_call(&w->process, &input->call))
		{
			w->broken = true;
			wake(pool);
			break;
		}
		if (w->inputs.n == 0)
			w->busy_since = loop_now();
		take_out(&pool->waiting, input);
		push_back(&w->inputs, input);
		input->worker = w;
	}
}

void
pool_cancel(Pool *pool, PoolInput *input, bool terminate)
{
	const HostReply cancelled = {.type = HOST_REPLY_CANCELLED};
	Worker *w = input->worker;

	if (w == NULL)
	{
		take_out(&pool->waiting, input);
		pool->events->done(input, &cancelled);
		return;
	}
	input->cancelled = true;
	host_process_cancel(&w->process, &input->call.id, 1);
	set_grace(w);
	if (terminate && input->started)
		grace_over(w);
}

/* -------------------------------------------------- the end of a process */

static void
describe_end(int status, char *text, size_t size)
{
	if (WIFSIGNALED(status))
		snprintf(text, size, "was killed by signal %d (%s)", WTERMSIG(status),
				 strsignal(WTERMSIG(status)));
	else
		snprintf(text, size, "exited with status %d", WEXITSTATUS(status));
}

/*
 * What becomes of a dead process's inputs: cancelled ones are done, the
 * culprit fails (and a generator that cannot begin again), the others go back to the front of the queue.
 */
static void
settle_inputs(Worker *w, bool killed, const char *how)
{
	const HostReply cancelled = {.type = HOST_REPLY_CANCELLED};
	Pool *pool = w->pool;
	PoolInput *input;
	int running = killed ? 0 : w->inputs.n;

	if (running > pool->spawn.concurrency)
		running = pool->spawn.concurrency;
	while ((input = w->inputs.last) != NULL) /* so that their order stays */
	{
		take_out(&w->inputs, input);
		input->worker = NULL;
		if (input->cancelled)
			pool->events->done(input, &cancelled);
		else if ((running == 1 && w->inputs.n == 0) || input->yielded)
			pool->events->crashed(input, how);
		else
		{
			input->suspect = w->inputs.n < running;
			push_front(&pool->waiting, input);
		}
	}
}

static void
end_worker(Worker *w)
{
	Pool *pool = w->pool;
	bool was_ready = w->state == WORKER_READY;
	bool killed = w->overdue && !w->broken;
	char how[128];
	char text[256];

	describe_end(host_process_end(&w->process), how, sizeof(how));
	loop_clear_timer(&w->grace);
	w->state = WORKER_DOWN;
	w->broken = false;
	w->overdue = false;
	w->average = 0;
	if (was_ready)
	{
		if (!killed)
			complain("%s: a process %s", pool->spawn.label, how);
		settle_inputs(w, killed, how);
	}
	else if (pool->error == NULL)
	{
		snprintf(text, sizeof(text), "the process %s while starting", how);
		set_error(pool, text);
	}
	if (!was_ready && pool->manifest != NULL)
		fprintf(stderr,
				"modal-local: %s: could not start a process again: %s\n",
				pool->spawn.label, pool->error);
}

static void
fail_waiting(Pool *pool)
{
	char *why = xstrdup(pool->error);

	for (PoolInput *input; (input = pool->waiting.first) != NULL;)
	{
		take_out(&pool->waiting, input);
		pool->events->unstartable(input, why);
	}
	free(why);
}

void
pool_start(Pool *pool)
{
	set_error(pool, NULL);
	for (int i = 0; i < pool->size; i++)
	{
		Worker *w = &pool->workers[i];

		if (w->state != WORKER_DOWN)
			continue;
		if (host_process_start(&w->process, &pool->spawn, worker_ready, w))
			w->state = WORKER_STARTING;
		else
			set_error(pool, strerror(errno));
	}
}

static void
run_pool(void *arg)
{
	Pool *pool = arg;
	bool up = false;
	bool down = false;

	for (int i = 0; i < pool->size; i++)
	{
		Worker *w = &pool->workers[i];

		if (w->state != WORKER_DOWN && (w->broken || w->overdue))
			end_worker(w);
		if (w->state == WORKER_DOWN)
			down = true;
		else
			up = true;
	}

	/*
	 * When the file cannot be run (any more), the inputs learn why, and the
	 * next one tries anew.
	 */
	if (pool->error != NULL && !up)
	{
		fail_waiting(pool);
		if (pool->manifest != NULL)
			set_error(pool, NULL);
		else
			pool->events->manifest(pool->arg, NULL);
	}
	else if (down && pool->error == NULL)
		pool_start(pool);
	hand_out(pool);
	for (int i = 0; i < pool->size; i++)
	{
		Worker *w = &pool->workers[i];

		if (w->state != WORKER_READY)
			continue;
		if (!host_process_flush(&w->process))
			w->broken = true;
		note_started(w);
		if (w->broken)
			wake(pool);
	}
}

void
pool_counts(const Pool *pool, const void *group, int *ready, int *running,
			int *waiting, int *headroom)
{
	for (const PoolInput *i = pool->waiting.first; i != NULL; i = i->next)
		*waiting += i->group == group;
	for (int n = 0; n < pool->size; n++)
	{
		const Worker *w = &pool->workers[n];
		int place = 0;

		*ready += w->state == WORKER_READY;
		if (w->state == WORKER_READY && w->inputs.n < pool->spawn.concurrency)
			*headroom += pool->spawn.concurrency - w->inputs.n;
		for (const PoolInput *i = w->inputs.first; i != NULL; i = i->next)
		{
			bool runs = place++ < pool->spawn.concurrency;

			if (i->group == group && !i->cancelled)
				(*(runs ? running : waiting))++;
		}
	}
}
