/*-------------------------------------------------------------------------
 *
 * host_process.c
 *	  One Python process that runs the functions of a file.
 *
 *-------------------------------------------------------------------------
 */
#include "host/host_process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "util.h"

/* The program itself, so that modal-local is one file wherever it lies. */
__asm__(".section .rodata\n"
		".globl host_script\n"
		"host_script:\n"
		".incbin \"modal_local_host.py\"\n"
		".globl host_script_end\n"
		"host_script_end:\n"
		".byte 0\n"
		".previous\n");
extern const char host_script[];
extern const char host_script_end[];

#define CALL_HEADER 16
#define REPLY_HEADER 16
#define READ_SIZE (256 * 1024)
#define MAX_REPLY (512u * 1024 * 1024)
#define MAX_LINE (64 * 1024)
#define MAX_LAST_READS 64 /* of the output of a process that has ended */

/* Where the child finds its descriptors. */
#define CHILD_SOCK 3
#define CHILD_CONTROL 4
#define CHILD_SCRIPT 5

static void
put_u16(uint8_t *p, uint16_t v)
{
	p[0] = v & 0xff;
	p[1] = v >> 8;
}

static void
put_u32(uint8_t *p, uint32_t v)
{
	put_u16(p, v & 0xffff);
	put_u16(p + 2, v >> 16);
}

static void
put_u64(uint8_t *p, uint64_t v)
{
	put_u32(p, (uint32_t) v);
	put_u32(p + 4, v >> 32);
}

static uint32_t
get_u32(const uint8_t *p)
{
	return p[0] | p[1] << 8 | p[2] << 16 | (uint32_t) p[3] << 24;
}

static uint64_t
get_u64(const uint8_t *p)
{
	return get_u32(p) | (uint64_t) get_u32(p + 4) << 32;
}

/* The script as a file that the child can name; -1 with errno set. */
static int
open_script(void)
{
	size_t size = host_script_end - host_script;
	int fd = memfd_create("modal_local_host.py", MFD_CLOEXEC);

	if (fd >= 0 && write(fd, host_script, size) != (ssize_t) size)
	{
		close(fd);
		errno = EIO;
		return -1;
	}
	return fd;
}

/* Moves the descriptors to their places, above all of which they are now. */
static void
place_descriptors(int sock, int control, int script, int output)
{
	int fds[] = {sock, control, script, output};
	const int places[] = {CHILD_SOCK, CHILD_CONTROL, CHILD_SCRIPT};

	for (int i = 0; i < 4; i++)
		fds[i] = fcntl(fds[i], F_DUPFD, CHILD_SCRIPT + 1);
	for (int i = 0; i < 3; i++)
		dup2(fds[i], places[i]);
	dup2(fds[3], STDOUT_FILENO);
	dup2(fds[3], STDERR_FILENO);
	close_range(CHILD_SCRIPT + 1, ~0U, 0);
}

/* In the child, after fork; does not return. */
static void
run_child(const HostSpawn *spawn, pid_t parent, int sock, int control,
		  int script, int output)
{
	char concurrency[16];
	sigset_t none;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(127);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	place_descriptors(sock, control, script, output);
	for (char *const *e = spawn->environment; e != NULL && *e != NULL; e++)
		putenv(*e);
	snprintf(concurrency, sizeof(concurrency), "%d", spawn->concurrency);
	execlp(spawn->python, spawn->python, "/proc/self/fd/5", "3", "4",
		   concurrency, spawn->file, (char *) NULL);
	dprintf(STDERR_FILENO, "could not execute %s: %s\n", spawn->python,
			strerror(errno));
	_exit(127);
}

/* Copy whole printed lines to our stderr, with the label. */
static void
print_lines(HostProcess *p, bool at_end)
{
	uint8_t *start = p->line.data;
	uint8_t *end = start + p->line.len;
	uint8_t *newline;

	while (start < end &&
		   ((newline = memchr(start, '\n', end - start)) != NULL ||
			end - start >= MAX_LINE || at_end))
	{
		size_t n = newline != NULL ? (size_t) (newline - start)
								   : (size_t) (end - start);

		fprintf(stderr, "[%s %d] %.*s\n", p->label, (int) p->pid, (int) n,
				(const char *) start);
		start += newline != NULL ? n + 1 : n;
	}
	buf_consume(&p->line, start - p->line.data);
}

/* Take what was printed; false when there is nothing now. */
static bool
read_output(HostProcess *p)
{
	char chunk[16384];
	ssize_t n;

	/* One piece at a time, so that a chatty function does not stall us. */
	n = read(p->output, chunk, sizeof(chunk));
	if (n > 0)
	{
		buf_put(&p->line, chunk, n);
		print_lines(p, false);
	}
	return n > 0;
}

static void
output_ready(void *arg, uint32_t events)
{
	HostProcess *p = arg;

	/* After the hangup a descendant may still hold the pipe; not our matter. */
	if (!read_output(p) && (events & EPOLLHUP))
	{
		loop_remove_fd(p->output_fd);
		p->output_fd = NULL;
	}
}

bool
host_process_start(HostProcess *p, const HostSpawn *spawn, LoopFdCallback ready,
				   void *arg)
{
	int socks[2] = {-1, -1};
	int control[2] = {-1, -1};
	int output[2] = {-1, -1};
	int script = open_script();
	pid_t parent = getpid();
	int error;

	if (script < 0 ||
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, socks) < 0 ||
		pipe2(control, O_CLOEXEC) < 0 || pipe2(output, O_CLOEXEC) < 0)
		goto fail;
	fflush(NULL);
	p->pid = fork();
	if (p->pid < 0)
		goto fail;
	if (p->pid == 0)
		run_child(spawn, parent, socks[1], control[0], script, output[1]);

	close(script);
	close(socks[1]);
	close(control[0]);
	close(output[1]);
	p->sock = socks[0];
	p->control = control[1];
	p->output = output[0];
	p->label = spawn->label;
	p->sock_blocked = false;
	p->out_sent = 0;
	buf_init(&p->in, 0, xbuf_realloc);
	buf_init(&p->out, 0, xbuf_realloc);
	buf_init(&p->line, 0, xbuf_realloc);
	fcntl(p->sock, F_SETFL, O_NONBLOCK);
	fcntl(p->control, F_SETFL, O_NONBLOCK);
	fcntl(p->output, F_SETFL, O_NONBLOCK);
	p->sock_fd = loop_add_fd(p->sock, EPOLLIN, ready, arg);
	p->output_fd = loop_add_fd(p->output, EPOLLIN, output_ready, p);
	return true;

fail:
	error = errno;
	p->pid = 0;
	for (int i = 0; i < 2; i++)
	{
		close(socks[i]);
		close(control[i]);
		close(output[i]);
	}
	close(script);
	errno = error;
	return false;
}

bool
host_process_call(HostProcess *p, const HostCall *call)
{
	size_t body = 4 + call->parameters_len + call->arguments_len;
	uint8_t header[CALL_HEADER + 4];

	if (p->out_sent == p->out.len)
	{
		buf_reset(&p->out);
		p->out_sent = 0;
	}
	if (body > UINT32_MAX || !buf_reserve(&p->out, CALL_HEADER + body))
		return false;
	put_u32(header, body);
	put_u16(header + 4, call->target);
	header[6] = call->format;
	header[7] = 0;
	put_u64(header + 8, call->id);
	put_u32(header + CALL_HEADER, call->parameters_len);
	buf_put(&p->out, header, sizeof(header));
	buf_put(&p->out, call->parameters, call->parameters_len);
	buf_put(&p->out, call->arguments, call->arguments_len);
	return true;
}

bool
host_process_flush(HostProcess *p)
{
	bool blocked = false;

	while (p->out_sent < p->out.len)
	{
		ssize_t n = send(p->sock, p->out.data + p->out_sent,
						 p->out.len - p->out_sent, MSG_NOSIGNAL);

		if (n >= 0)
			p->out_sent += n;
		else if (errno == EAGAIN)
		{
			blocked = true;
			break;
		}
		else if (errno != EINTR)
			return false;
	}
	if (blocked != p->sock_blocked)
	{
		p->sock_blocked = blocked;
		loop_modify_fd(p->sock_fd, blocked ? EPOLLIN | EPOLLOUT : EPOLLIN);
	}
	return true;
}

void
host_process_cancel(HostProcess *p, const uint64_t *ids, size_t n)
{
	for (size_t i = 0; i < n; i++)
	{
		uint8_t id[8];

		put_u64(id, ids[i]);

		/*
		 * A full pipe means that the process takes no notice; the owner ends
		 * such a process after a while anyway.
		 */
		if (write(p->control, id, sizeof(id)) != sizeof(id))
			break;
	}
	kill(p->pid, SIGUSR1);
}

bool
host_process_receive(HostProcess *p,
					 void (*handle)(void *arg, const HostReply *reply),
					 void *arg)
{
	size_t at = 0;
	ssize_t n;

	if (!buf_reserve(&p->in, READ_SIZE))
		return false;
	n = recv(p->sock, p->in.data + p->in.len, p->in.cap - p->in.len, 0);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	if (n == 0)
		return false;
	p->in.len += n;

	while (p->in.len - at >= REPLY_HEADER)
	{
		const uint8_t *header = p->in.data + at;
		size_t len = get_u32(header);
		HostReply reply = {
			.type = header[4],
			.format = header[5],
			.id = get_u64(header + 8),
			.data = header + REPLY_HEADER,
			.len = len,
		};

		if (len > MAX_REPLY || header[4] >= HOST_REPLY_END)
			return false;
		if (p->in.len - at - REPLY_HEADER < len)
		{
			if (!buf_reserve(&p->in, len))
				return false;
			break;
		}
		handle(arg, &reply);
		at += REPLY_HEADER + len;
	}
	buf_consume(&p->in, at);
	return true;
}

int
host_process_end(HostProcess *p)
{
	int status = 0;

	/* A process that is ending by itself keeps the status it is ending with. */
	kill(p->pid, SIGKILL);
	while (waitpid(p->pid, &status, 0) < 0 && errno == EINTR)
		;
	for (int i = 0; i < MAX_LAST_READS && read_output(p); i++)
		;
	print_lines(p, true);
	loop_remove_fd(p->sock_fd);
	if (p->output_fd != NULL)
		loop_remove_fd(p->output_fd);
	close(p->sock);
	close(p->control);
	close(p->output);
	buf_free(&p->in);
	buf_free(&p->out);
	buf_free(&p->line);
	p->pid = 0;
	return status;
}
