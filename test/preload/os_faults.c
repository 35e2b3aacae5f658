/*-------------------------------------------------------------------------
 *
 * os_faults.c
 *	  An operating system that misbehaves, for tests of the server: loaded
 *	  with LD_PRELOAD, it follows the file that $OS_FAULTS names.
 *
 * The file is a Control.  It is mapped, so that a change takes effect at once
 * in every process.
 *
 *-------------------------------------------------------------------------
 */
#define _GNU_SOURCE 1
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

typedef struct Control
{
	int64_t clock_s;  /* added to the time of day */
	char full[256];	  /* no file whose path has this in it can grow; "": all can */
	int32_t family;	  /* of addresses, for which there are no sockets; 0: none */
} Control;

static Control none;
static const Control *control = &none;

static void __attribute__((constructor))
map_control(void)
{
	const char *path = getenv("OS_FAULTS");
	int fd = path == NULL ? -1 : open(path, O_RDONLY | O_CLOEXEC);
	void *map;

	if (fd < 0)
		return;
	map = mmap(NULL, sizeof(Control), PROT_READ, MAP_SHARED, fd, 0);
	if (map != MAP_FAILED)
		control = map;
	close(fd);
}

/* --- time ----------------------------------------------------------------- */

int
clock_gettime(clockid_t id, struct timespec *ts)
{
	static int (*real) (clockid_t, struct timespec *);
	int rc;

	if (real == NULL)
		real = dlsym(RTLD_NEXT, "clock_gettime");
	rc = real(id, ts);
	if (rc == 0 && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE))
		ts->tv_sec += control->clock_s;
	return rc;
}

int
gettimeofday(struct timeval *tv, void *tz)
{
	struct timespec ts;

	(void) tz;
	if (clock_gettime(CLOCK_REALTIME, &ts) != 0)
		return -1;
	tv->tv_sec = ts.tv_sec;
	tv->tv_usec = ts.tv_nsec / 1000;
	return 0;
}

time_t
time(time_t *t)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	if (t != NULL)
		*t = ts.tv_sec;
	return ts.tv_sec;
}

/* --- network -------------------------------------------------------------- */

int
socket(int family, int type, int protocol)
{
	static int (*real) (int, int, int);

	if (real == NULL)
		real = dlsym(RTLD_NEXT, "socket");
	if (control->family != 0 && family == control->family)
	{
		errno = EAFNOSUPPORT;
		return -1;
	}
	return real(family, type, protocol);
}

/*
 * Name "two.test" has two addresses: 127.0.0.9 and 127.0.0.1.  Names that end
 * in ".well.test" are 127.0.0.1; the server of those in ".hangs.test" does not
 * answer, which takes five seconds.
 */
static bool
ends_with(const char *name, const char *end)
{
	size_t n = strlen(name);

	return n > strlen(end) && strcmp(name + n - strlen(end), end) == 0;
}

int
getaddrinfo(const char *name, const char *service,
			const struct addrinfo *hints, struct addrinfo **list)
{
	static int (*real) (const char *, const char *, const struct addrinfo *,
						struct addrinfo **);
	int rc;

	if (real == NULL)
		real = dlsym(RTLD_NEXT, "getaddrinfo");
	if (name == NULL || (hints != NULL && (hints->ai_flags & AI_NUMERICHOST) != 0))
		return real(name, service, hints, list);
	if (ends_with(name, ".hangs.test"))
	{
		sleep(5);
		return EAI_AGAIN;
	}
	if (ends_with(name, ".well.test"))
		return real("127.0.0.1", service, hints, list);
	if (strcmp(name, "two.test") != 0)
		return real(name, service, hints, list);
	rc = real("127.0.0.9", service, hints, list);
	if (rc == 0)
	{
		struct addrinfo *last = *list;

		while (last->ai_next != NULL)
			last = last->ai_next;
		rc = real("127.0.0.1", service, hints, &last->ai_next);
	}
	return rc;
}

/* --- space ---------------------------------------------------------------- */

static bool
is_full(int fd, off_t end)
{
	char link[64], path[4096];
	struct stat st;
	ssize_t n;

	if (control->full[0] == '\0' || fstat(fd, &st) != 0 || end <= st.st_size)
		return false;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, sizeof(path) - 1);
	if (n < 0)
		return false;
	path[n] = '\0';
	return strstr(path, control->full) != NULL;
}

ssize_t
pwrite64(int fd, const void *buf, size_t n, off64_t offset)
{
	static ssize_t (*real) (int, const void *, size_t, off64_t);

	if (real == NULL)
		real = dlsym(RTLD_NEXT, "pwrite64");
	if (is_full(fd, offset + (off_t) n))
	{
		errno = ENOSPC;
		return -1;
	}
	return real(fd, buf, n, offset);
}

ssize_t
pwrite(int fd, const void *buf, size_t n, off_t offset)
{
	return pwrite64(fd, buf, n, offset);
}

ssize_t
pwritev64(int fd, const struct iovec *iov, int count, off64_t offset)
{
	static ssize_t (*real) (int, const struct iovec *, int, off64_t);
	off_t end = offset;

	if (real == NULL)
		real = dlsym(RTLD_NEXT, "pwritev64");
	for (int i = 0; i < count; i++)
		end += (off_t) iov[i].iov_len;
	if (is_full(fd, end))
	{
		errno = ENOSPC;
		return -1;
	}
	return real(fd, iov, count, offset);
}

ssize_t
pwritev(int fd, const struct iovec *iov, int count, off_t offset)
{
	return pwritev64(fd, iov, count, offset);
}

int
posix_fallocate64(int fd, off64_t offset, off64_t len)
{
	static int (*real) (int, off64_t, off64_t);

	if (real == NULL)
		real = dlsym(RTLD_NEXT, "posix_fallocate64");
	return is_full(fd, offset + len) ? ENOSPC : real(fd, offset, len);
}

int
posix_fallocate(int fd, off_t offset, off_t len)
{
	return posix_fallocate64(fd, offset, len);
}
