/*-------------------------------------------------------------------------
 *
 * builtin_run.h
 *	  How a builtin function gets its arguments, and ends.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_LOCAL_BUILTIN_RUN_H
#define MODAL_LOCAL_BUILTIN_RUN_H

#include "calls/exec.h"
#include "host/arguments.h"
#include "util.h"

/* One run of a function, on the stack: gone when its body returns. */
typedef struct Run
{
	Execution *execution;
	const char *name;
	Arguments arguments;
	Arena arena;
	Buf result; /* for a CBOR item */
} Run;

/* Must end the run, by exactly one of the functions below. */
typedef void (*BuiltinBody)(Run *run);

extern void run_start(Execution *execution, const char *name,
					  BuiltinBody body);
extern void run_cancel(Execution *execution);
/* Runs of this function that wait. */
extern uint32_t run_waiting(const Function *function);

/* A mandatory argument; false: the run has ended with a TypeError. */
extern bool run_argument(Run *run, int position, const char *name, Item *item);

extern void run_succeed(Run *run, const void *item, size_t len);
extern void run_succeed_result(Run *run);
/* The result's bytes as they are, whatever format they are to be in. */
extern void run_succeed_raw(Run *run, const void *data, size_t len);
extern void run_raise(Run *run, const char *type, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
extern void run_end_by_platform(Run *run, ResultStatus status,
								const char *text);
extern void run_wait_then_succeed(Run *run, double seconds, Item value);
/*
 * Yield the integers from start to end - 1, with seconds between them; or,
 * with a size, bytes objects of that length.
 */
extern void run_generate(Run *run, int64_t start, int64_t end, double delay,
						 size_t size);

#endif /* MODAL_LOCAL_BUILTIN_RUN_H */
