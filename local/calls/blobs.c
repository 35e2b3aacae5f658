/*-------------------------------------------------------------------------
 *
 * blobs.c
 *	  Payloads that are too large to travel inline: small ones in packs, large
 *	  ones in a file each.
 *
 * Files are written aside and renamed when they are complete, so that a blob
 * that exists is whole.  Those that nobody can want any more are removed.
 *
 *-------------------------------------------------------------------------
 */
#include "calls/blobs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "calls/packs.h"
#include "md5.h"
#include "net/loop.h"
#include "options.h"

#define MAX_PART_AGE 86400 /* seconds, of an upload that does not go on */
#define SWEEP_SECONDS 3600.0
#define COPY_SIZE (256 * 1024)
#define ID_PREFIX "bl-"
#define ID_HEX 24

static char *directory;
static LoopTimer sweep_timer;

static char *
path_of(const char *id)
{
	return xasprintf("%s/%s", directory, id);
}

static char *
part_path(const char *id, int part, bool whole)
{
	return xasprintf("%s/%s.%d%s", directory, id, part, whole ? "" : ".new");
}

/* What nobody can want any more; at the start also what was not finished. */
static void
remove_old(bool starting)
{
	DIR *dir = opendir(directory);
	struct dirent *entry;
	time_t now = time(NULL);

	if (dir == NULL)
		complain("cannot read directory \"%s\": %s", directory,
				 strerror(errno));
	while (dir != NULL && (entry = readdir(dir)) != NULL)
	{
		bool part = strchr(entry->d_name, '.') != NULL;
		double life = part ? MAX_PART_AGE : options.keep_seconds;
		struct stat st;

		if (strncmp(entry->d_name, ID_PREFIX, strlen(ID_PREFIX)) == 0 &&
			fstatat(dirfd(dir), entry->d_name, &st, 0) == 0 &&
			((part && starting) || (double) (now - st.st_mtime) > life))
			unlinkat(dirfd(dir), entry->d_name, 0);
	}
	if (dir != NULL)
		closedir(dir);
}

static void
sweep(void *arg)
{
	(void) arg;
	remove_old(false);
	packs_remove_old(options.keep_seconds);
	loop_set_timer(&sweep_timer, SWEEP_SECONDS, sweep, NULL);
}

void
blobs_init(const char *state_dir)
{
	directory = xasprintf("%s/blobs", state_dir);
	if (mkdir(directory, 0700) != 0 && errno != EEXIST)
		die_errno("cannot create directory \"%s\"", directory);
	remove_old(true);
	packs_init(directory);
	packs_remove_old(options.keep_seconds);
	loop_set_timer(&sweep_timer, SWEEP_SECONDS, sweep, NULL);
}

void
blob_new_id(char *out)
{
	uint8_t bytes[ID_HEX / 2];
	char *p = out + sprintf(out, ID_PREFIX);

	random_bytes(bytes, sizeof(bytes));
	for (size_t i = 0; i < sizeof(bytes); i++)
		p += sprintf(p, "%02x", bytes[i]);
}

bool
blob_id_valid(const char *id, size_t len)
{
	size_t prefix = strlen(ID_PREFIX);

	return len == prefix + ID_HEX && memcmp(id, ID_PREFIX, prefix) == 0 &&
		   strspn(id + prefix, "0123456789abcdef") >= ID_HEX;
}

int
blob_open(const char *id, int64_t *size)
{
	char *path;
	struct stat st;
	int fd;

	if (!blob_id_valid(id, strlen(id)))
		return -1;
	path = path_of(id);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	free(path);
	if (fd >= 0 && fstat(fd, &st) != 0)
	{
		close(fd);
		return -1;
	}
	if (fd >= 0)
		*size = st.st_size;
	return fd;
}

bool
blob_exists(const char *id)
{
	int64_t size;
	int fd;

	if (pack_has(id))
		return true;
	fd = blob_open(id, &size);
	if (fd < 0)
		return false;
	close(fd);
	return true;
}

static bool
write_all(int fd, const uint8_t *data, size_t len)
{
	while (len > 0)
	{
		ssize_t n = write(fd, data, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return false;
		data += n;
		len -= (size_t) n;
	}
	return true;
}

bool
blob_write(char *id, const void *data, size_t len)
{
	char *path;
	bool ok;
	int fd;

	blob_new_id(id);
	if (len <= SMALL_BLOB)
		return pack_put(id, data, len);
	fd = blob_open_part(id, 0);
	if (fd < 0)
		return false;
	ok = write_all(fd, data, len);
	if (close(fd) == 0 && ok && blob_finish_part(id, 0))
		return true;
	path = part_path(id, 0, false);
	unlink(path);
	free(path);
	return false;
}

uint8_t *
blob_read(const char *id, size_t *len)
{
	int64_t size;
	uint8_t *data = pack_get(id, len);
	size_t n = 0;
	int fd;

	if (data != NULL)
		return data;
	fd = blob_open(id, &size);
	if (fd < 0)
		return NULL;
	data = xmalloc((size_t) size);
	while (n < (size_t) size)
	{
		ssize_t got = read(fd, data + n, (size_t) size - n);

		if (got <= 0)
			break;
		n += (size_t) got;
	}
	close(fd);
	*len = n;
	return data;
}

int
blob_open_part(const char *id, int part)
{
	char *path = part_path(id, part, false);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	free(path);
	return fd;
}

bool
blob_finish_part(const char *id, int part)
{
	char *from = part_path(id, part, false);
	char *to = part == 0 ? path_of(id) : part_path(id, part, true);
	bool ok = rename(from, to) == 0;

	free(from);
	free(to);
	return ok;
}

/*
 * Append a part's file to out, and its MD5 to parts; false when it is missing
 * or out is full.
 */
static bool
append_part(int out, const char *id, int part, EVP_MD_CTX *parts)
{
	static uint8_t buffer[COPY_SIZE];
	char *path = part_path(id, part, true);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	EVP_MD_CTX *md5 = md5_begin();
	uint8_t digest[MD5_SIZE];
	ssize_t n = -1;

	while (fd >= 0 && (n = read(fd, buffer, sizeof(buffer))) > 0)
	{
		if (!write_all(out, buffer, (size_t) n))
			break;
		EVP_DigestUpdate(md5, buffer, (size_t) n);
	}
	if (fd >= 0)
		close(fd);
	unlink(path);
	free(path);
	md5_end(md5, digest);
	EVP_DigestUpdate(parts, digest, sizeof(digest));
	return n == 0;
}

bool
blob_join(const char *id, int n, char *etag)
{
	int fd = blob_open_part(id, 0);
	EVP_MD_CTX *parts = md5_begin();
	uint8_t digest[MD5_SIZE];
	bool ok = fd >= 0;

	for (int part = 1; part <= n && ok; part++)
		ok = append_part(fd, id, part, parts);
	if (fd >= 0)
		close(fd);
	md5_end(parts, digest);
	md5_hex(etag, digest);
	sprintf(etag + 2 * MD5_SIZE, "-%d", n);
	return ok && blob_finish_part(id, 0);
}
