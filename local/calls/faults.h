/*-------------------------------------------------------------------------
 *
 * faults.h
 *	  Misbehaviour on demand, for the tests of clients.
 *
 * Rules come from a script (--faults FILE, read again on SIGHUP) or, for one
 * request, from its header x-modal-local-fault.  docs/modal-local.md has the
 * language.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_LOCAL_FAULTS_H
#define MODAL_LOCAL_FAULTS_H

#include <stdbool.h>
#include <stdint.h>

/* What happens to one RPC; all zero: nothing. */
typedef struct Fault
{
	bool active;
	double delay_before; /* seconds before the request is applied */
	double delay_after;	 /* seconds between that and the reply */
	bool after;			 /* status, reset, drop, goaway: once it is applied */
	int status;			 /* gRPC status instead of the reply, 0: none */
	double retry_after;	 /* with status: an RPCRetryPolicy; < 0: none */
	int http_status;	 /* instead of a gRPC reply */
	bool reset;			 /* the stream */
	bool drop;			 /* the connection */
	bool goaway;
	bool no_trailers;
	bool truncate; /* the message, in its middle */
	bool empty;	   /* a message without any field */
	uint32_t repeat; /* the message so often: its lists are as much longer */
	bool hasty;	   /* a poll that does not wait */
	bool unasked;  /* outputs beyond those that were asked for */
} Fault;

/* What happens to one input (at its execution) or to its output. */
typedef struct InputFault
{
	bool internal_failure; /* instead of an execution */
	bool lost;			   /* never executed, no output */
	bool duplicate;		   /* output is given twice */
	bool reorder;		   /* output is given after the next one */
	bool expired;		   /* executed, but its output is not kept */
} InputFault;

/*
 * Read the script now and on SIGHUP, and then call read_again; path NULL: there
 * is none.
 */
extern void faults_init(const char *path, void (*read_again)(void));
/* A rule, for people to see and to switch. */
typedef struct FaultRule
{
	const char *text; /* the line of the script */
	bool off;
	uint32_t seen; /* what it is for, so often */
	uint32_t fired;
} FaultRule;

extern int faults_count(void);
extern FaultRule faults_rule(int place);
/* On: its counts start anew. */
extern void faults_switch(int place, bool on);
/* Another rule, until the script is read again; NULL, or what is wrong. */
extern const char *faults_add(const char *line);

/* The fault for this call of the RPC, counting it. */
extern Fault faults_for_rpc(const char *name, const char *header);
/* The fault for this attempt of an input.  Quick when no rule is for inputs. */
extern InputFault faults_for_input(int32_t idx, uint32_t attempt);

#endif /* MODAL_LOCAL_FAULTS_H */
