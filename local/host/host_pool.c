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

#include "calls/exec.h"
#include "host/host_manifest.h"
#include "host/pool_list.h"
#include "util.h"

/* A process gets so many seconds' worth of inputs ahead. */
#define AHEAD 0.005
#define MAX_AHEAD 256
/* A cancelled input may go on so long before its process is killed. */
#define CANCEL_GRACE 2.0
/* Processes, or inputs of one, that may wait for other inputs. */
#define MAX_WAITING 64
/*
 * Processes that were started for those leave after so many idle seconds, and so
 * do all of a pool for certain variables.
 */
#define EXTRA_LIFE 30.0

typedef enum WorkerState
{
	WORKER_DOWN,
	WORKER_STARTING, /* importing the file */
	WORKER_READY
} WorkerState;

struct Worker
{
	HostProcess process;
	Pool *pool;
	WorkerState state;
	bool broken;       /* it died, or its replies make no sense */
	bool overdue;      /* to be killed: a cancelled input goes on */
	bool retired;      /* to be ended: it is one too many */
	int n_waiting;     /* of its inputs that wait for others */
	double filling;    /* until then (loop_now) its batch takes more */
	PoolList inputs;   /* unanswered, oldest first */
	double average;    /* seconds between answers; 0: not known yet */
	double busy_since; /* last answer, or first call after idleness */
	LoopTimer grace;   /* set while a cancelled input goes on */
	double since;      /* Unix time of its start */
	uint32_t n_starts;
	uint64_t n_ended;
};

struct Pool
{
	HostSpawn spawn;
	const PoolEvents *events;
	void *arg;
	int size;
	int n_slots; /* in workers: those beyond size are for waiting ones */
	uint64_t last_id;
	PoolList waiting;
	char *manifest; /* as known before, or from the first process */
	char *error;    /* why no process can be started */
	LoopDeferred run;
	LoopTimer extra; /* set after an input has waited, or in a spare pool */
	bool spare;		 /* not the one that the file is always ready with */
	bool resting;	 /* it has no processes until an input comes */
	Worker workers[];
};

static void run_pool(void *arg);
static void end_extra(void *arg);

static void
wake(Pool *pool)
{
	loop_defer(&pool->run, run_pool, pool);
}

Pool *
pool_create(const HostSpawn *spawn, int workers, const char *manifest,
			const PoolEvents *events, void *arg)
{
	int n_slots = workers + MAX_WAITING;
	Pool *pool = xcalloc(sizeof(Pool) + n_slots * sizeof(Worker));

	pool->spawn = *spawn;
	pool->events = events;
	pool->arg = arg;
	pool->size = workers;
	pool->spare = spawn->environment != NULL;
	pool->n_slots = n_slots;
	pool->manifest = manifest != NULL ? xstrdup(manifest) : NULL;
	for (int i = 0; i < n_slots; i++)
		pool->workers[i].pool = pool;
	return pool;
}

void
pool_destroy(Pool *pool)
{
	loop_cancel_deferred(&pool->run);
	loop_clear_timer(&pool->extra);
	for (int i = 0; i < pool->n_slots; i++)
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
note_use(Pool *pool)
{
	if (pool->spare)
		loop_set_timer(&pool->extra, EXTRA_LIFE, end_extra, pool);
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
	pool->resting = false;
	note_use(pool);
	wake(pool);
}

/* ------------------------------------------------- inputs that wait */

/* How many processes there should be: one more for each that waits. */
static int
wanted(const Pool *pool)
{
	int n = pool->resting ? 0 : pool->size;

	for (int i = 0; i < pool->n_slots && pool->spawn.concurrency == 1; i++)
		n += pool->workers[i].n_waiting > 0;
	return n < pool->n_slots ? n : pool->n_slots;
}

/*
 * The process runs nothing else while one of its inputs waits: what it was
 * sent ahead goes elsewhere, lest it is what is waited for.
 */
static void
recall(Worker *w, const HostReply *reply)
{
	const HostReply cancelled = {.type = HOST_REPLY_CANCELLED};
	PoolInput *prev;

	for (PoolInput *input = w->inputs.last; input != NULL; input = prev)
	{
		prev = input->prev;
		if (host_reply_has_id(reply, input->call.id))
			continue;
		take_out(&w->inputs, input);
		input->worker = NULL;
		if (input->cancelled)
			w->pool->events->done(input, &cancelled);
		else
			push_front(&w->pool->waiting, input);
	}
	if (!host_process_recall(&w->process))
		w->broken = true;
}

bool
pool_idle(const Pool *pool)
{
	for (int i = 0; i < pool->n_slots; i++)
		if (pool->workers[i].inputs.n > 0)
			return false;
	return pool->waiting.n == 0;
}

static void
end_extra(void *arg)
{
	Pool *pool = arg;
	bool up = false;
	int n;

	pool->resting = pool->spare && pool_idle(pool);
	n = wanted(pool);
	for (int i = n; i < pool->n_slots; i++)
	{
		Worker *w = &pool->workers[i];

		w->retired = w->state == WORKER_READY && w->inputs.n == 0;
		up = up || (w->state != WORKER_DOWN && !w->retired);
	}
	wake(pool);
	if (n > pool->size || (pool->spare && (up || !pool->resting)))
		loop_set_timer(&pool->extra, EXTRA_LIFE, end_extra, pool);
}

static void
take_wait(Worker *w, const HostReply *reply)
{
	w->n_waiting++;
	w->average = 0; /* the time was another's */
	if (w->pool->spawn.concurrency == 1)
		recall(w, reply);
	loop_set_timer(&w->pool->extra, EXTRA_LIFE, end_extra, w->pool);
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
	else if (pool->manifest != NULL &&
			 !manifest_same_targets(parsed, pool->manifest))
		set_error(pool, "a new process defines other functions than the first");
	else
	{
		w->state = WORKER_READY;
		executor_changed();
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

/* How many the process runs at once: those that wait are none. */
static int
places(const Worker *w)
{
	int n = w->pool->spawn.concurrency;

	if (n == 1)
		return 1;
	return n + (w->n_waiting < MAX_WAITING ? w->n_waiting : MAX_WAITING);
}

/* The next of the inputs that run now, after "input" (NULL: the first). */
static PoolInput *
next_running(const Worker *w, PoolInput *input, int *place)
{
	input = input == NULL ? w->inputs.first : input->next;
	return (*place)++ < places(w) ? input : NULL;
}

static void
start(Worker *w, PoolInput *input)
{
	if (input->started || input->cancelled)
		return;
	input->started = true;
	w->pool->events->started(input);
}

/* Tell the owner which of the process's inputs run now; a batch tells itself. */
static void
note_started(Worker *w)
{
	PoolInput *input = NULL;
	int place = 0;

	while ((input = next_running(w, input, &place)) != NULL)
		if (input->batch <= 1)
			start(w, input);
}

static void
take_start(Worker *w, const HostReply *reply)
{
	for (PoolInput *i = w->inputs.first; i != NULL; i = i->next)
		if (host_reply_has_id(reply, i->call.id))
			start(w, i);
}

static int
n_running(const Worker *w)
{
	const PoolInput *input = w->inputs.first;
	int n = 0;

	if (input == NULL || input->batch <= 1)
		return w->inputs.n < places(w) ? w->inputs.n : places(w);
	for (; input != NULL; input = input->next)
		n += input->started;
	return n;
}

static void
grace_over(void *arg)
{
	Worker *w = arg;

	w->overdue = true;
	wake(w->pool);
}

/* All of a batch, whether it runs already or not. */
static bool
all_cancelled(const Worker *w)
{
	for (const PoolInput *i = w->inputs.first; i != NULL; i = i->next)
		if (!i->cancelled && i->started == w->inputs.first->started)
			return false;
	return true;
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
		if (input->cancelled && (input->batch <= 1 || all_cancelled(w)))
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
	w->n_ended++;
	note_use(w->pool);
	start(w, input); /* of many that were answered at once: a moment ago */
	w->pool->events->done(input, reply);
	if (cancelled)
		set_grace(w);
}

/*
 * What is no answer.  Tasks that an input has left behind go on to print and to
 * wait: input NULL.
 */
static bool
take_word(Worker *w, PoolInput *input, const HostReply *reply)
{
	switch ((int) reply->type)
	{
		case HOST_REPLY_LOG:
			host_process_print(&w->process, reply->data, reply->len);
			if (input != NULL && !input->cancelled)
				w->pool->events->printed(input, reply->format, reply);
			return true;
		case HOST_REPLY_WAIT:
			take_wait(w, reply);
			return true;
		case HOST_REPLY_START:
			take_start(w, reply);
			return true;
		case HOST_REPLY_RESUME:
			w->n_waiting -= w->n_waiting > 0;
			w->busy_since = loop_now();
			return true;
		default:
			return false;
	}
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
	if (take_word(w, input, reply))
		return;
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

	/* Of one that has ended all is read: nothing else will tell of it. */
	while (!w->broken && (events & ~EPOLLOUT) != 0)
	{
		if (!host_process_receive(&w->process, take_reply, w))
			w->broken = true;
		if (!w->process.ended)
			break;
	}
	wake(w->pool);
}

/* ------------------------------------------------------------ scheduling */

static bool
same_batch(const PoolInput *a, const PoolInput *b)
{
	return a->call.target == b->call.target &&
		   a->call.parameters == b->call.parameters &&
		   a->call.format == b->call.format;
}

/* How many unanswered inputs the process may have, this one included. */
static int
capacity(const Worker *w, const PoolInput *input)
{
	const PoolInput *first = w->inputs.first;
	int concurrency = w->pool->spawn.concurrency;

	if (w->state != WORKER_READY || w->broken || w->overdue || w->retired)
		return 0;
	if (w->n_waiting > 0 && concurrency == 1)
		return 0;
	if (input->suspect || (first != NULL && first->suspect))
		return 1;
	if (first != NULL && (first->batch > 1 || input->batch > 1) &&
		!same_batch(first, input))
		return 0;
	if (input->batch > 1)
		return concurrency * input->batch;
	if (concurrency > 1)
		return places(w);
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

	for (int i = 0; i < pool->n_slots; i++)
	{
		Worker *w = &pool->workers[i];

		if (input->batch > 1 && loop_now() < w->filling &&
			w->inputs.n < capacity(w, input))
			return w;
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
		{
			w->busy_since = loop_now();
			w->filling = loop_now() + input->batch_wait;
		}
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
	int running = killed ? 0 : n_running(w);

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
			if (input->started)
				pool->events->returned(input);
			input->started = false;
			push_front(&pool->waiting, input);
		}
	}
}

static void
end_worker(Worker *w)
{
	Pool *pool = w->pool;
	bool was_ready = w->state == WORKER_READY;
	bool killed = (w->overdue || w->retired) && !w->broken;
	char how[128];
	char text[256];

	describe_end(host_process_end(&w->process), how, sizeof(how));
	executor_changed();
	loop_clear_timer(&w->grace);
	w->state = WORKER_DOWN;
	w->broken = false;
	w->overdue = false;
	w->retired = false;
	w->n_waiting = 0;
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
	int n = wanted(pool);

	set_error(pool, NULL);
	for (int i = 0; i < n; i++)
	{
		Worker *w = &pool->workers[i];

		if (w->state != WORKER_DOWN)
			continue;
		if (host_process_start(&w->process, &pool->spawn, worker_ready, w))
		{
			w->state = WORKER_STARTING;
			w->since = loop_wall_time();
			w->n_starts++;
			executor_changed();
		}
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

	for (int i = 0; i < pool->n_slots; i++)
	{
		Worker *w = &pool->workers[i];

		if (w->state != WORKER_DOWN && (w->broken || w->overdue || w->retired))
			end_worker(w);
		if (w->state == WORKER_DOWN)
			down = down || i < wanted(pool);
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
	for (int i = 0; i < pool->n_slots; i++)
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
	for (int n = 0; n < pool->n_slots; n++)
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

void
pool_workers(const Pool *pool,
			 void (*visit)(const WorkerInfo *worker, void *arg), void *arg)
{
	for (int i = 0; i < pool->n_slots; i++)
	{
		const Worker *w = &pool->workers[i];
		int n = w->inputs.n;
		int concurrency = pool->spawn.concurrency;
		WorkerInfo info = {
			.pid = w->process.pid,
			.ready = w->state == WORKER_READY,
			.since = w->since,
			.n_starts = w->n_starts,
			.n_ended = w->n_ended,
			.running = n < concurrency ? n : concurrency,
			.ahead = n < concurrency ? 0 : n - concurrency,
		};

		if (w->state != WORKER_DOWN)
			visit(&info, arg);
	}
}
