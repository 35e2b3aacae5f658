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
#define SCRIPT(name) \
	__asm__(".section .rodata\n" \
			".globl " #name "\n" #name ":\n" \
			".incbin \"host/" #name ".py\"\n" \
			".globl " #name "_end\n" #name "_end:\n" \
			".byte 0\n" \
			".previous\n"); \
	extern const char name[]; \
	extern const char name##_end[]

SCRIPT(modal_local_host);
SCRIPT(modal_local_printed);
SCRIPT(modal_local_survey);
SCRIPT(modal_local_web);

static const struct
{
	const char *name;
	const char *start;
	const char *end;
} scripts[] = {
	{"modal_local_host.py", modal_local_host, modal_local_host_end},
	{"modal_local_printed.py", modal_local_printed, modal_local_printed_end},
	{"modal_local_survey.py", modal_local_survey, modal_local_survey_end},
	{"modal_local_web.py", modal_local_web, modal_local_web_end},
};

#define N_SCRIPTS 4
#define CALL_HEADER 16
#define REPLY_HEADER 16
#define READ_SIZE (256 * 1024)
#define MAX_REPLY (512u * 1024 * 1024)
#define MAX_LINE (64 * 1024)
#define MAX_LAST_READS 64 /* of the output of a process that has ended */

/* Where the child finds its descriptors. */
#define CHILD_FIRST 3 /* socket, control, the scripts, the text */
#define N_CHILD_FDS (2 + N_SCRIPTS + 1)

#define RECALLED 0xffff /* a target, as in modal_local_host.py */

static HostProcess *processes; /* all that run */

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

/* The scripts as files that the child can name; false with errno set. */
static bool
open_scripts(const int **fds)
{
	static int opened[N_SCRIPTS];
	static int n;

	for (; n < N_SCRIPTS; n++)
	{
		size_t size = (size_t) (scripts[n].end - scripts[n].start);
		int fd = memfd_create(scripts[n].name, MFD_CLOEXEC);

		if (fd < 0)
			return false;
		if (write(fd, scripts[n].start, size) != (ssize_t) size)
		{
			close(fd);
			errno = EIO;
			return false;
		}
		opened[n] = fd;
	}
	*fds = opened;
	return true;
}

/* Moves the descriptors to their places, above all of which they are first. */
static void
place_descriptors(int *fds, int output)
{
	output = fcntl(output, F_DUPFD, CHILD_FIRST + N_CHILD_FDS);
	for (int i = 0; i < N_CHILD_FDS; i++)
		fds[i] = fcntl(fds[i], F_DUPFD, CHILD_FIRST + N_CHILD_FDS);
	for (int i = 0; i < N_CHILD_FDS; i++)
		dup2(fds[i], CHILD_FIRST + i);
	/* There is nothing to read: a terminal, if there is one, is not theirs. */
	dup2(open("/dev/null", O_RDONLY), STDIN_FILENO);
	dup2(output, STDOUT_FILENO);
	dup2(output, STDERR_FILENO);
	close_range(CHILD_FIRST + N_CHILD_FDS, ~0U, 0);
}

/* In the child, after fork; does not return. */
static void
run_child(const HostSpawn *spawn, pid_t parent, int *fds, int output)
{
	char concurrency[16];
	sigset_t none;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(127);
	/* A terminal and its signals are ours alone, and what it starts ends with it. */
	setsid();
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	signal(SIGHUP, SIG_DFL);
	signal(SIGXFSZ, SIG_DFL);
	place_descriptors(fds, output);
	for (char *const *e = spawn->environment; e != NULL && *e != NULL; e++)
		putenv(*e);
	snprintf(concurrency, sizeof(concurrency), "%d", spawn->concurrency);
	execlp(spawn->python, spawn->python, "/proc/self/fd/5", "3", "4",
		   concurrency, spawn->file, "9", (char *) NULL);
	dprintf(STDERR_FILENO, "could not execute %s: %s\n", spawn->python,
			strerror(errno));
	_exit(127);
}

static void
print_line(const HostProcess *p, const uint8_t *text, size_t len)
{
	fprintf(stderr, "[%s %d] %.*s\n", p->label, (int) p->pid, (int) len,
			(const char *) text);
}

void
host_process_print(const HostProcess *p, const uint8_t *text, size_t len)
{
	while (len > 0)
	{
		const uint8_t *newline = memchr(text, '\n', len);
		size_t n = newline != NULL ? (size_t) (newline - text) : len;

		print_line(p, text, n);
		n += newline != NULL;
		text += n;
		len -= n;
	}
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

		print_line(p, start, n);
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

/*
 * Of those that have ended, what they have sent is read, and there is nothing
 * more, whoever else has the other end of the socket.
 */
static void
children_ended(void *arg)
{
	HostProcess *next;

	(void) arg;
	for (HostProcess *p = processes; p != NULL; p = next)
	{
		siginfo_t info = {.si_pid = 0};

		next = p->next;
		if (!p->ended &&
			waitid(P_PID, (id_t) p->pid, &info,
				   WEXITED | WNOHANG | WNOWAIT) == 0 &&
			info.si_pid != 0)
		{
			p->ended = true;
			p->ready(p->ready_arg, EPOLLIN);
		}
	}
}

static void
watch_end(HostProcess *p)
{
	p->ended = false;
	p->prev = NULL;
	p->next = processes;
	if (processes != NULL)
		processes->prev = p;
	processes = p;
}

static void
unwatch_end(HostProcess *p)
{
	if (p->next != NULL)
		p->next->prev = p->prev;
	if (p->prev != NULL)
		p->prev->next = p->next;
	else
		processes = p->next;
}

bool
host_process_start(HostProcess *p, const HostSpawn *spawn, LoopFdCallback ready,
				   void *arg)
{
	int socks[2] = {-1, -1};
	int control[2] = {-1, -1};
	int output[2] = {-1, -1};
	const int *script_fds;
	pid_t parent = getpid();
	int error;

	if (!open_scripts(&script_fds) ||
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, socks) < 0 ||
		pipe2(control, O_CLOEXEC) < 0 || pipe2(output, O_CLOEXEC) < 0)
		goto fail;
	loop_on_signal(SIGCHLD, children_ended, NULL);
	fflush(NULL);
	p->pid = fork();
	if (p->pid < 0)
		goto fail;
	if (p->pid == 0)
	{
		int fds[N_CHILD_FDS] = {socks[1], control[0]};

		memcpy(&fds[2], script_fds, N_SCRIPTS * sizeof(int));
		fds[2 + N_SCRIPTS] = spawn->text;
		run_child(spawn, parent, fds, output[1]);
	}

	close(socks[1]);
	close(control[0]);
	close(output[1]);
	p->sock = socks[0];
	p->control = control[1];
	p->output = output[0];
	p->label = spawn->label;
	p->ready = ready;
	p->ready_arg = arg;
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
	watch_end(p);
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
host_process_recall(HostProcess *p)
{
	return host_process_call(p, &(HostCall){.target = RECALLED});
}

bool
host_reply_has_id(const HostReply *reply, uint64_t id)
{
	for (size_t at = 0; at + 8 <= reply->len; at += 8)
		if (get_u64(reply->data + at) == id)
			return true;
	return false;
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
		return (errno == EAGAIN && !p->ended) || errno == EINTR;
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
	kill(-p->pid, SIGKILL);
	while (waitpid(p->pid, &status, 0) < 0 && errno == EINTR)
		;
	for (int i = 0; i < MAX_LAST_READS && read_output(p); i++)
		;
	print_lines(p, true);
	loop_remove_fd(p->sock_fd);
	if (p->output_fd != NULL)
		loop_remove_fd(p->output_fd);
	unwatch_end(p);
	close(p->sock);
	close(p->control);
	close(p->output);
	buf_free(&p->in);
	buf_free(&p->out);
	buf_free(&p->line);
	p->pid = 0;
	return status;
}
