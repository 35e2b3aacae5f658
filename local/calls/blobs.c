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
#include <sys/mman.h>
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
#define WRITE_SIZE (1024 * 1024)
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

static void
remove_part(const char *id, int part, bool whole)
{
	char *path = part_path(id, part, whole);

	unlink(path);
	free(path);
}

struct BlobWrite
{
	char id[BLOB_ID_SIZE];
	int fd; /* the file is ours; -1: there is none */
	const uint8_t *data;
	size_t left;
};

BlobWrite *
blob_write_begin(char *id, const void *data, size_t len)
{
	BlobWrite *w = xcalloc(sizeof(*w));

	blob_new_id(id);
	memcpy(w->id, id, sizeof(w->id));
	w->fd = blob_open_part(id, 0);
	w->data = data;
	w->left = len;
	return w;
}

BlobState
blob_write_some(BlobWrite *w)
{
	size_t n = w->left < WRITE_SIZE ? w->left : WRITE_SIZE;
	int fd = w->fd;

	if (fd < 0 || !write_all(fd, w->data, n))
		return BLOB_FAILED;
	w->data += n;
	w->left -= n;
	if (w->left > 0)
		return BLOB_GOES_ON;
	w->fd = -1;
	if (close(fd) == 0 && blob_finish_part(w->id, 0))
		return BLOB_WHOLE;
	remove_part(w->id, 0, false);
	return BLOB_FAILED;
}

void
blob_write_free(BlobWrite *w)
{
	if (w == NULL)
		return;
	if (w->fd >= 0)
	{
		close(w->fd);
		remove_part(w->id, 0, false);
	}
	free(w);
}

bool
blob_write(char *id, const void *data, size_t len)
{
	BlobWrite *w;
	BlobState state;

	if (len <= SMALL_BLOB)
	{
		blob_new_id(id);
		return pack_put(id, data, len);
	}
	w = blob_write_begin(id, data, len);
	while ((state = blob_write_some(w)) == BLOB_GOES_ON)
		;
	blob_write_free(w);
	return state == BLOB_WHOLE;
}

BlobContent
blob_get(const char *id)
{
	BlobContent content = {0};
	int64_t size;
	int fd;

	content.data = pack_get(id, &content.len);
	if (content.data != NULL || (fd = blob_open(id, &size)) < 0)
		return content;
	content.len = (size_t) size;
	content.data = mmap(NULL, content.len, PROT_READ, MAP_PRIVATE, fd, 0);
	content.mapped = content.data != MAP_FAILED;
	close(fd);
	if (!content.mapped)
		content = (BlobContent){0};
	return content;
}

void
blob_release(BlobContent *content)
{
	if (content->mapped)
		munmap(content->data, content->len);
	else
		free(content->data);
	*content = (BlobContent){0};
}

static int
open_new(const char *id, int part, int how)
{
	char *path = part_path(id, part, false);
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | how, 0600);

	free(path);
	return fd;
}

int
blob_open_part(const char *id, int part)
{
	return open_new(id, part, O_TRUNC);
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

/* --- joining the parts of an upload ---------------------------------------- */

struct BlobJoin
{
	char id[BLOB_ID_SIZE];
	int n;
	int out;		   /* its file is ours; -1: there is none */
	int part;		   /* that is being appended, from 1 on */
	int in;			   /* its file; -1: not open yet */
	EVP_MD_CTX *md5;   /* of it */
	EVP_MD_CTX *parts; /* of the MD5s of those before it */
};

BlobJoin *
blob_join_begin(const char *id, int n)
{
	BlobJoin *join = xcalloc(sizeof(*join));

	memcpy(join->id, id, strlen(id));
	join->n = n;
	join->out = open_new(id, 0, O_EXCL);
	join->part = 1;
	join->in = -1;
	join->parts = md5_begin();
	return join;
}

static bool
open_part(BlobJoin *join)
{
	char *path = part_path(join->id, join->part, true);

	join->in = open(path, O_RDONLY | O_CLOEXEC);
	free(path);
	if (join->in < 0)
		return false;
	join->md5 = md5_begin();
	return true;
}

static void
end_part(BlobJoin *join)
{
	uint8_t digest[MD5_SIZE];

	md5_end(join->md5, digest);
	join->md5 = NULL;
	EVP_DigestUpdate(join->parts, digest, sizeof(digest));
	close(join->in);
	join->in = -1;
	join->part++;
}

static void
remove_parts(const BlobJoin *join)
{
	for (int part = 1; part <= join->n; part++)
		remove_part(join->id, part, true);
}

static BlobState
end_join(BlobJoin *join, char *etag)
{
	uint8_t digest[MD5_SIZE];

	close(join->out);
	join->out = -1;
	md5_end(join->parts, digest);
	join->parts = NULL;
	md5_hex(etag, digest);
	sprintf(etag + 2 * MD5_SIZE, "-%d", join->n);
	if (!blob_finish_part(join->id, 0))
		return BLOB_FAILED;
	/* until now it could be begun again */
	remove_parts(join);
	return BLOB_WHOLE;
}

BlobState
blob_join_some(BlobJoin *join, char *etag)
{
	static uint8_t buffer[COPY_SIZE];
	ssize_t n;

	if (join->out < 0)
		return BLOB_FAILED;
	if (join->part > join->n)
		return end_join(join, etag);
	if (join->in < 0 && !open_part(join))
		return BLOB_FAILED;
	n = read(join->in, buffer, sizeof(buffer));
	if (n < 0 || !write_all(join->out, buffer, (size_t) n))
		return BLOB_FAILED;
	EVP_DigestUpdate(join->md5, buffer, (size_t) n);
	if (n == 0)
		end_part(join);
	return BLOB_GOES_ON;
}

void
blob_join_free(BlobJoin *join)
{
	if (join == NULL)
		return;
	if (join->in >= 0)
		close(join->in);
	if (join->out >= 0)
	{
		close(join->out);
		remove_part(join->id, 0, false);
	}
	EVP_MD_CTX_free(join->md5);
	EVP_MD_CTX_free(join->parts);
	free(join);
}
