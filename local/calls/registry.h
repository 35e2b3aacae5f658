/*-------------------------------------------------------------------------
 *
 * registry.h
 *	  Functions that are served, and their variants with parameters or options.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_LOCAL_REGISTRY_H
#define MODAL_LOCAL_REGISTRY_H

#include "calls/exec.h"
#include "calls/history.h"
#include "util.h"

typedef struct Handle Handle;
struct Call;

#define FUNCTION_ID_SIZE 28
#define UNSET (-1) /* of an AutoscalerSettings member */

/* What goes on in a function. */
typedef struct Activity
{
	int64_t unfinished; /* attempts without an output, lost ones too */
	int64_t running;	/* of these */
	uint64_t n_calls;
	uint64_t n_ended;  /* attempts */
	uint64_t n_failed; /* of these */
	double seconds;	   /* that those have run */
} Activity;

/* What a function id stands for.  Lives as long as the program. */
struct Handle
{
	char id[FUNCTION_ID_SIZE];
	const Function *function; /* as it is now */
	const Handle *base;		  /* of a bound variant; else NULL */
	bool gone;				  /* served no more */
	const uint8_t *params; /* ClassParameterSet */
	size_t params_len;
	const Modal__Client__FunctionOptions *options; /* NULL: none */
	const char *region; /* not NULL: called on the input plane */
	char *const *environment; /* of its secrets; NULL: none */
	RetryPolicy retry;
	uint32_t timeout_secs; /* of one attempt; 0: none */
	int64_t min_containers;
	int64_t max_containers;
	int64_t buffer_containers;
	int64_t scaledown_window;
	struct Call *calls; /* newest first; calls.c's */
	History history;
	Activity *activity; /* of the function, its variants included */
};

/* To be called once, before journal_init. */
extern void registry_init(void);
/* tag: a function's name, or of a class with ".*".  NULL: not served. */
extern Handle *registry_find(const char *app, const char *tag);
extern Handle *registry_get(const char *function_id);
/*
 * The variant of a function or class with these parameters and options (packed;
 * empty for none): the same id for the same bytes.  Returns NULL, with a
 * message in *error, when they are not acceptable.
 */
extern Handle *registry_bind(Handle *base, ProtobufCBinaryData params,
							 const Modal__Client__FunctionOptions *options,
							 const char **error);
/* As Python has it. */
extern const char *parameter_type_name(ParameterType type);
extern const Method *function_method(const Function *function,
									 const char *name, size_t name_len);
/* Id of the app of that name, or of another named thing. */
extern void registry_name_id(char *out, const char *prefix, const char *name);
/* Of what has no name: by its content. */
extern void registry_bytes_id(char *out, const char *prefix, const void *data,
							  size_t len);
/* Every function and class that is served, in the order of its announcement. */
extern void registry_for_each(void (*visit)(const Handle *handle, void *arg),
							  void *arg);

/* Another number whenever something else is served. */
extern uint64_t registry_generation(void);

/* The next variant of the function; *place is 0 at first.  NULL: no more. */
extern const Handle *registry_variant(const Handle *base, int *place);

extern void executors_shutdown(void);

#endif /* MODAL_LOCAL_REGISTRY_H */
