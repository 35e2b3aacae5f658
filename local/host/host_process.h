/*-------------------------------------------------------------------------
 *
 * host_process.h
 *	  One Python process that runs the functions of a file.
 *
 * Starts modal_local_host.py, frames calls to it and replies from it (the
 * format is described there), and copies what it prints beside its inputs to our
 * stderr, line by line with a prefix.  Which input goes to which process, and what the end
 * of a process means, is host.c's business.
 *
 * The descriptors are in the event loop from start to end.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MODAL_LOCAL_HOST_PROCESS_H
#define MODAL_LOCAL_HOST_PROCESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "core/buf.h"
#include "net/loop.h"

/* Types of replies, as in modal_local_host.py. */
typedef enum HostReplyType
{
	HOST_REPLY_MANIFEST,
	HOST_REPLY_RESULT,
	HOST_REPLY_FAILURE,
	HOST_REPLY_YIELD,
	HOST_REPLY_DONE,
	HOST_REPLY_CANCELLED,
	HOST_REPLY_LOG, /* format: 1 stdout, 2 stderr */
	HOST_REPLY_WAIT,
	HOST_REPLY_RESUME,
	HOST_REPLY_START, /* a batch runs */
	HOST_REPLY_END /* number of types */
} HostReplyType;

typedef struct HostReply
{
	HostReplyType type;
	uint8_t format; /* DataFormat of the data */
	uint64_t id;
	const uint8_t *data;
	size_t len;
} HostReply;

typedef struct HostCall
{
	uint64_t id;
	uint16_t target;
	uint8_t format; /* DataFormat of the arguments */
	const void *parameters;
	size_t parameters_len;
	const void *arguments;
	size_t arguments_len;
} HostCall;

typedef struct HostSpawn
{
	const char *python; /* interpreter */
	const char *file;
	int text; /* descriptor of the text that it is to run as that file */
	const char *label;        /* prefix of the lines that it prints */
	char *const *environment; /* "NAME=value" to add, ends with NULL */
	int concurrency;
} HostSpawn;

typedef struct HostProcess
{
	pid_t pid;
	int sock;
	int control;
	int output;
	const char *label;
	LoopFdCallback ready;
	void *ready_arg;
	LoopFd *sock_fd;
	LoopFd *output_fd;
	bool ended;
	struct HostProcess *prev; /* of all that run */
	struct HostProcess *next;
	bool sock_blocked; /* waiting until the socket takes more */
	Buf in;            /* the beginning of a reply */
	Buf out;           /* calls not yet sent, from out_sent on */
	size_t out_sent;
	Buf line; /* the beginning of a printed line */
} HostProcess;

/*
 * Starts it; false with errno set.  ready(arg, events) is to call
 * host_process_receive, and host_process_flush for EPOLLOUT.  The manifest
 * comes as first reply.
 */
extern bool host_process_start(HostProcess *p, const HostSpawn *spawn,
							   LoopFdCallback ready, void *arg);
/* Appends a call to what will be sent; false: out of memory. */
extern bool host_process_call(HostProcess *p, const HostCall *call);
/* Appends the word that what it has not begun is taken back; likewise. */
extern bool host_process_recall(HostProcess *p);
/* Sends what the socket takes; false: the process has gone. */
extern bool host_process_flush(HostProcess *p);
/* Interrupt the execution of these calls, where Python can. */
extern void host_process_cancel(HostProcess *p, const uint64_t *ids, size_t n);
/*
 * Hand every whole reply that has arrived to handle(), which must not end the
 * process; false: the process has gone, or does not speak our language.
 */
extern bool host_process_receive(HostProcess *p,
								 void (*handle)(void *arg,
												const HostReply *reply),
								 void *arg);
/* Kill it, unless it has ended by itself, and what it has started; its wait(2) status. */
extern int host_process_end(HostProcess *p);
/* Whole lines that one of its inputs has printed, to our stderr. */
extern void host_process_print(const HostProcess *p, const uint8_t *text,
							   size_t len);
/* The ids in a HOST_REPLY_WAIT or HOST_REPLY_START. */
extern bool host_reply_has_id(const HostReply *reply, uint64_t id);

#endif /* MODAL_LOCAL_HOST_PROCESS_H */
