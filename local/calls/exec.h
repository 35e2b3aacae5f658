/*-------------------------------------------------------------------------
 *
 * exec.h
 *	  What modal-local serves, and what runs it.
 *
 * An executor announces functions with function_add() and is then given one
 * Execution per attempt of an input: the functions in C (builtin.c) and the
 * Python processes (host.c) are executors.  The server (calls.c) knows about
 * calls, attempts, retries and results, the executor only about running.
 *
 * Everything happens on the thread of the event loop (loop.h).  Numbers of
 * formats, states and types are those of modal.proto.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_LOCAL_EXEC_H
#define MODAL_LOCAL_EXEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/modal.pb-c.h"

typedef struct Executor Executor;
typedef struct Execution Execution;
typedef struct Function Function;
typedef struct Method Method;
typedef struct Parameter Parameter;

/* Short names for the longest of protoc-c's. */
typedef Modal__Client__DataFormat DataFormat;
#define FORMAT_UNSPECIFIED MODAL__CLIENT__DATA_FORMAT__DATA_FORMAT_UNSPECIFIED
#define FORMAT_PICKLE MODAL__CLIENT__DATA_FORMAT__DATA_FORMAT_PICKLE
#define FORMAT_GENERATOR_DONE \
	MODAL__CLIENT__DATA_FORMAT__DATA_FORMAT_GENERATOR_DONE
#define FORMAT_CBOR MODAL__CLIENT__DATA_FORMAT__DATA_FORMAT_CBOR

typedef Modal__Client__GenericResult__GenericStatus ResultStatus;
#define RESULT_(s) MODAL__CLIENT__GENERIC_RESULT__GENERIC_STATUS__GENERIC_STATUS_##s
#define RESULT_UNSPECIFIED RESULT_(UNSPECIFIED)
#define RESULT_SUCCESS RESULT_(SUCCESS)
#define RESULT_FAILURE RESULT_(FAILURE)
#define RESULT_TERMINATED RESULT_(TERMINATED)
#define RESULT_TIMEOUT RESULT_(TIMEOUT)
#define RESULT_INIT_FAILURE RESULT_(INIT_FAILURE)
#define RESULT_INTERNAL_FAILURE RESULT_(INTERNAL_FAILURE)

typedef Modal__Client__ParameterType ParameterType;
#define PARAM_(t) MODAL__CLIENT__PARAMETER_TYPE__PARAM_TYPE_##t
#define PARAM_STRING PARAM_(STRING)
#define PARAM_INT PARAM_(INT)
#define PARAM_BYTES PARAM_(BYTES)
#define PARAM_BOOL PARAM_(BOOL)

/* --- what is served ----------------------------------------------------- */

/* A parameter of a class's constructor. */
struct Parameter
{
	const char *name;
	ParameterType type;
	bool has_default;
	const void *bytes_default; /* STRING (UTF-8) and BYTES */
	size_t bytes_default_len;
	int64_t int_default; /* INT, and BOOL as 0 or 1 */
};

struct Method
{
	const char *name;
	const char *signature; /* "(x: int) -> str"; NULL: not told */
	int target;			   /* the executor's own number for it */
	bool generator;
	int batch; /* as in Function */
	double batch_wait;
};

typedef struct RetryPolicy
{
	uint32_t retries; /* 0: failures are final */
	float backoff_coefficient;
	uint32_t initial_delay_ms;
	uint32_t max_delay_ms;
} RetryPolicy;

/*
 * One function, or one class (then is_class, with methods and parameters).
 * Strings and arrays belong to the executor and live as long as the program:
 * an execution may be of a function that has been replaced.
 */
struct Function
{
	const char *app;
	const char *name; /* of a class without ".*" */
	Executor *executor;
	int target; /* the executor's own number for it */
	bool generator;
	bool is_class;
	bool pickle_only;	   /* as if deployed by an SDK before 1.2 */
	bool client_retries;   /* sync_client_retries_enabled */
	const char *web_url;   /* not NULL: a web function */
	const char *region;	   /* not NULL: called on the input plane */
	RetryPolicy retry;
	uint32_t timeout_secs; /* of one attempt; 0: none */
	int batch;			   /* so many inputs may run as one; 0: alone */
	double batch_wait;	   /* seconds that a batch waits for more */
	const char *signature; /* NULL: not told */
	const char *doc;	   /* its first line; NULL: not told */
	const char *ignored;   /* what was asked for and has no effect; NULL: none */
	const Method *methods;
	int n_methods;
	const Parameter *parameters;
	int n_parameters;
};

/*
 * Copies the record; the executor's own of that app and name is replaced.
 * False when another one has it.
 */
extern bool function_add(const Function *function);
/*
 * Between these an executor announces all that it serves from now on; what is
 * not among it is served no more.
 */
extern void functions_begin(const Executor *executor);
extern void functions_end(const Executor *executor);

/* --- what runs it ------------------------------------------------------- */

/*
 * One attempt of one input.  Belongs to the server; lives from start() until
 * execution_done(), which every started execution must come to, exactly once.
 */
struct Execution
{
	const Function *function;
	const Method *method; /* NULL for a plain function */
	int target;			  /* of the method, or else of the function */
	uint32_t attempt;	  /* the input's retry count: 0 at first */
	DataFormat format;	  /* of args; results are to be in the same */
	const uint8_t *args;
	size_t args_len;
	const uint8_t *params; /* of the object: a ClassParameterSet; may be empty */
	size_t params_len;
	char *const *environment; /* secrets as "NAME=value", or NULL: none; the
							   * same pointer for the same ones, for ever */
	int32_t idx; /* of the input in its call */

	/* For the executor's use, zero at start. */
	void *executor_data;
	Execution *prev;
	Execution *next;
};

typedef struct ExecutorStats
{
	uint32_t backlog; /* accepted, not running */
	uint32_t running;
	uint32_t tasks; /* processes, or what stands for them */
	uint32_t headroom; /* inputs that could start at once */
} ExecutorStats;

struct Executor
{
	/* Take it; run it now or queue it.  May call execution_done() at once. */
	void (*start)(Executor *executor, Execution *execution);
	/*
	 * Stop it, with its process if "terminate".  The execution is answered
	 * already and will be freed when this returns: forget it, and do not call
	 * execution_done().
	 */
	void (*cancel)(Executor *executor, Execution *execution, bool terminate);
	void (*get_stats)(Executor *executor, const Function *function,
					  ExecutorStats *stats);
	/* The server is about to exit: end processes, without waiting long. */
	void (*shutdown)(Executor *executor);
};

/* To be called by main once for each executor, before any other use. */
extern void executor_register(Executor *executor);

/* A queued execution begins to run now, and its time allowed.  Optional for one that takes none. */
extern void execution_started(Execution *execution);
/* What ran it is gone: it will be started again. */
extern void execution_returned(Execution *execution);

/* Whole lines that it has printed; stream 1: standard output, 2: error. */
extern void execution_printed(Execution *execution, int stream,
							  const void *text, size_t len);

/* Of an executor's processes something has changed that people may see. */
extern void executor_changed(void);

/* The next item of a generator, in the format of args. */
extern void execution_yield(Execution *execution, const void *data,
							size_t len);

typedef struct ExecutionResult
{
	ResultStatus status;
	DataFormat format; /* of data; FORMAT_UNSPECIFIED without data */
	const void *data;  /* copied */
	size_t data_len;
	const char *blob_id; /* as which the data is kept; NULL: it is not yet */
	const char *exception; /* Python's repr, NULL on success; copied */
	size_t exception_len;
	const char *traceback; /* may be NULL; copied */
	size_t traceback_len;
	const void *frames; /* of the traceback, for Python clients; likewise */
	size_t frames_len;
	const void *lines; /* of source in these frames; likewise */
	size_t lines_len;
} ExecutionResult;

/*
 * The end of an execution, which is freed.  A generator that ends well has
 * status SUCCESS and no data: the number of its items is known here.
 */
extern void execution_done(Execution *execution,
						   const ExecutionResult *result);

#endif /* MODAL_LOCAL_EXEC_H */
